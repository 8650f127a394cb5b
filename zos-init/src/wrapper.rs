// SPDX-License-Identifier: Apache-2.0
//! Takes the place of `/bin/sh` for the one script of the image: the engine writes it to call the agent as its runtime
//! with an argument. It runs nothing else.

use crate::system::PATH;
use anyhow::{Context, Result, bail};
use std::{fs, os::unix::process::CommandExt, process::Command};

/// The name under which the engine calls it.
pub const NAME: &str = "sh";
const RUNTIME: &str = "/usr/bin/zos-agent";

/// Becomes the program that the script names.
pub fn run(mut words: impl Iterator<Item = String>) -> Result<()> {
    let script = words.next().context("there is no shell in the boot image")?;
    let text = fs::read_to_string(&script).with_context(|| format!("can't read {script}"))?;
    let mut command = Command::new(RUNTIME);
    command.args(arguments(&text)?).args(words);
    Err(command.env("PATH", PATH).exec()).context("can't run the engine's runtime")
}

/// Those that the script gives to the runtime before its own.
fn arguments(script: &str) -> Result<Vec<&str>> {
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let ["#!/bin/sh", call] = lines.as_slice() else { bail!("there is no shell in the boot image") };
    let words: Vec<&str> = call.split(' ').filter(|word| *word != "exec").collect();
    match words.as_slice() {
        [RUNTIME, arguments @ .., "$@"] => Ok(arguments.to_vec()),
        _ => bail!("there is no shell in the boot image"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::entries;
    use std::path::Path;

    #[test]
    fn the_agent_calls_no_shell() {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../zos-agent/src")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in entries(&folder) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&entry).unwrap();
                    let program = text.split("#[cfg(test)]").next().unwrap_or_default();
                    assert!(!program.contains(r#""sh""#), "{}", entry.display());
                    files += 1;
                }
            }
        }
        assert!(files > 100, "{files} files");
    }

    #[test]
    fn only_the_engines_script_is_run() {
        assert_eq!(arguments("#!/bin/sh\n/usr/bin/zos-agent runtime $@\n").unwrap(), ["runtime"]);
        for script in [
            "",
            "#!/bin/sh\nid\n",
            "#!/bin/sh\n/usr/bin/zos-agent runtime $@\nid\n",
            "#!/bin/sh\n/usr/sbin/nft $@\n",
        ] {
            assert!(arguments(script).is_err(), "{script}");
        }
        assert!(run(["-c", "id"].map(str::to_owned).into_iter()).is_err());
        assert!(run(std::iter::empty()).is_err());
    }
}
