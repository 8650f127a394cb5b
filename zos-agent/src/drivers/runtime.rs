// SPDX-License-Identifier: Apache-2.0
//! The engine's runtime: `runc`, after it was told to refuse btrfs's calls to machines.
//!
//! These need no right. With them a machine makes subvolumes that no quota counts and that its volume can't be deleted
//! with, or shares what it wrote between two quotas, as a copy within the kernel does, too. The engine's own list of
//! calls allows them, and can't be changed in part; so it is changed in the description of each container.

use super::dockerd::RUNC;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Its name among the engine's runtimes.
pub const NAME: &str = "zos";
const CALL: &str = "ioctl";
/// The copy within the kernel.
const COPY: &str = "copy_file_range";
/// The bits of a request that name its kind, and those of btrfs: reflinks have them, too (`linux/btrfs.h`,
/// `linux/fs.h`).
const KIND_BITS: std::ops::Range<u32> = 8..16;
const BTRFS: u64 = 0x9400;
/// Position of the request among the call's arguments.
const REQUEST: u32 = 1;
/// What a file system without these calls answers, after which programs copy.
const ENOTTY: u32 = 25;
/// What a kernel without a call answers, after which programs copy by themselves.
const ENOSYS: u32 = 38;

/// Options of the runtime.
#[derive(Debug, Args)]
pub struct RuntimeArgs {
    /// Arguments for runc
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

/// Becomes `runc`, with a container's description changed before it is created.
///
/// # Errors
/// If the description can't be changed, or `runc` can't be run.
pub fn run(RuntimeArgs { args }: RuntimeArgs) -> Result<()> {
    if let Some(bundle) = created(&args) {
        restrict(&bundle.join("config.json"))?;
    }
    Err(Command::new(RUNC.program).args(args).exec()).context("can't run runc")
}

/// The folder of the container that these arguments create.
fn created(args: &[OsString]) -> Option<PathBuf> {
    let command = args.iter().position(|word| word == "create" || word == "run")?;
    let mut words = args[command..].iter();
    let is_bundle = |word: &OsString| word == "--bundle" || word == "-b";
    words.find(|word| is_bundle(word)).and_then(|_| words.next()).map(PathBuf::from)
}

fn restrict(config: &Path) -> Result<()> {
    let read = || fs::read(config).with_context(|| format!("can't read {}", config.display()));
    let mut container: Value = serde_json::from_slice(&read()?)?;
    let Some(rules) = container.pointer_mut("/linux/seccomp/syscalls").and_then(Value::as_array_mut) else {
        bail!("{} lists no system calls that a machine may use", config.display());
    };
    refuse_btrfs(rules);
    fs::write(config, container.to_string()).with_context(|| format!("can't write {}", config.display()))
}

/// Rules of a call add up, and one without a condition stands for all. So the call is allowed where any bit of the kind
/// is another than in btrfs's.
fn refuse_btrfs(rules: &mut Vec<Value>) {
    for rule in rules.iter_mut() {
        let is_allowed = rule["action"] == "SCMP_ACT_ALLOW";
        if let Some(names) = rule["names"].as_array_mut().filter(|_| is_allowed) {
            names.retain(|name| name != CALL && name != COPY);
        }
    }
    rules.retain(|rule| rule["names"].as_array().is_none_or(|names| !names.is_empty()));
    let with = |action: &str, mask: u64, bits: u64| {
        json!({
            "names": [CALL],
            "action": action,
            "args": [{ "index": REQUEST, "value": mask, "valueTwo": bits, "op": "SCMP_CMP_MASKED_EQ" }],
        })
    };
    rules.extend(KIND_BITS.map(|bit| with("SCMP_ACT_ALLOW", 1 << bit, !BTRFS & (1 << bit))));
    let mask = KIND_BITS.map(|bit| 1 << bit).sum();
    let mut refused = with("SCMP_ACT_ERRNO", mask, BTRFS);
    refused["errnoRet"] = ENOTTY.into();
    rules.push(refused);
    rules.push(json!({ "names": [COPY], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn only_a_created_container_has_its_description_changed() {
        let create = words("--root /run/runc --log /l.json create --bundle /run/b --pid-file /run/p 7");
        assert_eq!(created(&create), Some("/run/b".into()));
        for other in ["--root /run/runc start 7", "exec --process /p 7", "delete --force 7", "--version"] {
            assert_eq!(created(&words(other)), None, "{other}");
        }
    }

    /// Whether these rules allow a request.
    fn allow(rules: &[Value], request: u64) -> bool {
        let fits = |rule: &&Value| {
            rule["names"].as_array().unwrap().iter().any(|name| name == CALL)
                && rule["args"].as_array().is_none_or(|args| {
                    args.iter().all(|arg| request & arg["value"].as_u64().unwrap() == arg["valueTwo"])
                })
        };
        let fitting: Vec<_> = rules.iter().filter(fits).map(|rule| &rule["action"]).collect();
        assert!(!fitting.is_empty());
        fitting.iter().all(|action| *action == "SCMP_ACT_ALLOW")
    }

    #[test]
    fn btrfs_calls_are_refused_and_no_others() {
        let mut rules = vec![
            json!({ "names": ["read", CALL, COPY, "write"], "action": "SCMP_ACT_ALLOW" }),
            json!({ "names": [CALL], "action": "SCMP_ACT_ALLOW", "args": [] }),
        ];
        refuse_btrfs(&mut rules);
        assert_eq!(rules[0]["names"], json!(["read", "write"]));
        let of_copies: Vec<_> =
            rules.iter().filter(|rule| rule["names"].as_array().unwrap().contains(&COPY.into())).collect();
        let refused = json!({ "names": [COPY], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS });
        assert_eq!(of_copies, [&refused]);
        // Subvolumes, snapshots, their flags, reflinks.
        for request in [0x5000_940e, 0x5000_9418, 0x5000_9401, 0x4008_941a, 0x4004_9409, 0x4020_940d] {
            assert!(!allow(&rules, request), "{request:x}");
        }
        // Terminals, sockets, a random device, and every kind but btrfs's.
        for request in [0x5401, 0x5413, 0x8912, 0x8004_5200] {
            assert!(allow(&rules, request), "{request:x}");
        }
        let others = (0..=0xff).map(|kind| kind << 8).filter(|kind| *kind != BTRFS);
        assert!(others.into_iter().all(|request| allow(&rules, request)));
    }
}
