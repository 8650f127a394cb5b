// SPDX-License-Identifier: Apache-2.0
//! What the farmer gives the node to boot with: lines `NAME=value` in a file beside the image. Nothing comes from the
//! kernel's command line, which every machine of a tenant can read.

use anyhow::{Context, Result, bail};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// Readable by root alone.
pub const FOLDER: &str = "/run/zos-boot";
/// Content of the farmer's file in [`FOLDER`].
const FILE: &str = "settings";
/// The ticket in [`FOLDER`], in a file of its own for the agent.
pub const TICKET: &str = "/run/zos-boot/ticket";
/// There while the image has to prove itself: the agent removes it. The boot loader brings it with a new image.
pub const TRIAL: &str = "/run/zos-boot/trial";
const TRIAL_SOURCE: &str = ".extra/credentials/trial.cred";
/// Where the boot loader puts the file: a credential of the UEFI stub, or a second archive.
const SOURCES: [&str; 3] = [".extra/credentials/zos.cred", ".extra/global_credentials/zos.cred", "zos.cred"];
const TICKET_NAME: &str = "ZOS_TICKET";
/// Servers of the clock.
const CLOCK_NAME: &str = "ZOS_NTP";
/// All names. What could make it run or open something else on this machine isn't among them.
const NAMES: [&str; 14] = [
    "ZOS_ALLOW_PRIVATE_LOGS",
    "ZOS_ALLOW_PRIVATE_REGISTRIES",
    "ZOS_ALLOW_SMTP",
    "ZOS_CAPACITY",
    "ZOS_CHAIN",
    "ZOS_CHANNEL",
    "ZOS_DNS",
    "ZOS_PEER_EXTERNAL",
    "ZOS_PEER_RELAY",
    "ZOS_PUBLIC_INTERFACE",
    "ZOS_REGISTRY_MIRROR",
    "ZOS_UPDATE_WITHIN",
    TICKET_NAME,
    CLOCK_NAME,
];

/// What a settings file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Variables for the agent.
    pub agent: Vec<(String, String)>,
    pub ticket: Option<String>,
    pub clock: Vec<String>,
}

/// Copies the farmer's file from the kernel's first file system, which is about to go, and whether this is a trial.
pub fn keep(from: &Path, folder: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(folder)?;
    if from.join(TRIAL_SOURCE).exists() {
        write(&folder.join("trial"), b"")?;
    }
    let content = SOURCES.iter().find_map(|source| fs::read(from.join(source)).ok());
    write(&folder.join(FILE), &content.unwrap_or_default())
}

/// Reads the file, and leaves the ticket where the agent looks for it.
pub fn load() -> Result<Settings> {
    let file = Path::new(FOLDER).join(FILE);
    let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
    let settings = parse(&text)?;
    if let Some(ticket) = &settings.ticket {
        write(Path::new(TICKET), ticket.as_bytes())?;
    }
    Ok(settings)
}

fn parse(text: &str) -> Result<Settings> {
    let mut settings = Settings::default();
    for line in text.lines().map(|line| line.trim_matches(['\0', ' ', '\t', '\r'])) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            bail!("a line of the settings has no `=`: write NAME=value");
        };
        match (name, NAMES.contains(&name)) {
            (TICKET_NAME, _) => settings.ticket = Some(value.into()),
            (CLOCK_NAME, _) => settings.clock = value.split(',').map(str::to_owned).collect(),
            (_, true) => settings.agent.push((name.into(), value.into())),
            (_, false) => bail!("the settings have {name:?}; known are {}", NAMES.join(", ")),
        }
    }
    if let Some(server) = settings.clock.iter().find(|server| !is_host(server)) {
        bail!("{CLOCK_NAME} has {server:?}, which is no name or address of a server");
    }
    Ok(settings)
}

/// Whether it can stand in the configuration of the clock's program.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-:".contains(c))
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(content)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_has_variables_ticket_and_clock() {
        let text = "# tfgrid\nZOS_CHAIN=wss://a,wss://b\r\nZOS_TICKET=t:1\nZOS_NTP=ntp.example.org,10.0.0.1\n\n\n\0\0";
        let settings = parse(text).unwrap();
        assert_eq!(settings.agent, [("ZOS_CHAIN".to_owned(), "wss://a,wss://b".to_owned())]);
        assert_eq!(settings.ticket.as_deref(), Some("t:1"));
        assert_eq!(settings.clock, ["ntp.example.org", "10.0.0.1"]);
        assert_eq!(parse("").unwrap(), Settings::default());
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for (text, why) in [
            ("ZOS_SLEEP_COMMAND=/usr/sbin/nft", "the settings have \"ZOS_SLEEP_COMMAND\""),
            ("PATH=/tmp", "known are ZOS_ALLOW_PRIVATE_LOGS"),
            ("ZOS_TICKET", "has no `=`"),
            ("ZOS_NTP=a\u{b}allow", "no name or address"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_images_page_names_all_settings() {
        let page = include_str!("../../scripts/image/settings");
        let known = page.lines().find_map(|line| line.strip_prefix("# known: ")).unwrap();
        assert_eq!(known.split(' ').collect::<Vec<_>>(), NAMES);
        assert_eq!(parse(page).unwrap(), Settings::default());
    }

    #[test]
    fn the_farmers_file_is_kept_for_root_alone() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = to.path().join("boot");
        fs::create_dir_all(from.path().join(".extra/credentials")).unwrap();
        fs::write(from.path().join(SOURCES[0]), "ZOS_CHAIN=a").unwrap();
        fs::write(from.path().join("zos.cred"), "ZOS_CHAIN=b").unwrap();
        keep(from.path(), &folder).unwrap();
        assert_eq!(fs::read_to_string(folder.join(FILE)).unwrap(), "ZOS_CHAIN=a");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
        assert!(!folder.join("trial").exists());
    }

    #[test]
    fn a_new_image_knows_that_it_is_on_trial() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(from.path().join(".extra/credentials")).unwrap();
        fs::write(from.path().join(TRIAL_SOURCE), "1").unwrap();
        let folder = to.path().join("boot");
        keep(from.path(), &folder).unwrap();
        assert!(folder.join("trial").exists());
    }
}
