// SPDX-License-Identifier: Apache-2.0
//! The program that copies files of a machine: a new process, with nothing of the agent's, which enters the machine.
//!
//! Its paths lead where they lead in the machine, whatever programs there change meanwhile. They don't see it, since it
//! isn't in their process namespace. What it uses counts as the machine's.

use crate::{host, trees::Ids};
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use rustix::{
    process::{Pid, PidfdFlags, pidfd_open},
    thread::{
        CapabilitySet, CapabilitySets, Gid, ThreadNameSpaceType, Uid, move_into_thread_name_spaces,
        set_capabilities, set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    },
};
use std::{
    fs::{self, File},
    io::{self, BufWriter},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};
use tfgrid_client::archive::{pack, unpack};

/// Where the kernel shows control groups.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";
const ENDED: &str = "the machine has ended";
/// Bytes of an archive that are written at once.
const WRITTEN_BYTES: usize = 64 * 1024;

/// Options of the program that copies.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// Number of the machine's first process
    #[arg(long)]
    pub process: i32,
    /// Id of its container
    #[arg(long)]
    pub container: String,
    /// User and group of this host that are root in machines
    #[arg(long)]
    pub first_user: u32,
    /// Whether an archive comes out or goes in
    #[arg(value_enum)]
    pub direction: Direction,
    /// What is copied, or the folder that it goes to
    pub path: PathBuf,
}

/// Which way files are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// From the machine, to the standard output.
    Out,
    /// To the machine, from the standard input.
    In,
}

/// Copies, as one of the machine's processes.
///
/// # Errors
/// If the machine has ended, or files can't be read or written there.
pub fn run(args: &CopyArgs) -> Result<()> {
    let path = &args.path;
    enter(args)?;
    match args.direction {
        Direction::Out => {
            let name = path.file_name().with_context(|| format!("{} has no name", path.display()))?;
            let archive = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            Ok(pack(BufWriter::with_capacity(WRITTEN_BYTES, archive), path, Path::new(name))?)
        }
        Direction::In => {
            let shown = || format!("can't write to {}", path.display());
            ensure!(fs::metadata(path).with_context(shown)?.is_dir(), "{} isn't a folder", path.display());
            unpack(io::stdin().lock(), path).with_context(shown)
        }
    }
}

/// Becomes a process of the machine, with its root's right to all files there and no other, for good.
fn enter(args: &CopyArgs) -> Result<()> {
    let pid = Pid::from_raw(args.process).context("no process has the number 0")?;
    let machine = pidfd_open(pid, PidfdFlags::empty()).context(ENDED)?;
    let process = PathBuf::from(format!("/proc/{}", args.process));
    let owner = fs::metadata(&process).context(ENDED)?;
    let listed = fs::read_to_string(process.join("cgroup")).context(ENDED)?;
    let groups = control_groups(&listed, &args.container);
    ensure!(!groups.is_empty(), ENDED);
    // What it has used so far isn't the machine's: where memory is short, it ends before what runs there, and the
    // agent.
    fs::write("/proc/self/oom_score_adj", "1000").context("can't let the kernel end it first")?;
    for group in groups {
        // 0 is the process that writes it.
        let entered = fs::write(group.join("cgroup.procs"), "0");
        entered.with_context(|| format!("can't enter the control group {}", group.display()))?;
    }
    let spaces = ThreadNameSpaceType::USER
        | ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION;
    // It fails if the process has ended: so what was read above is about this process, not a later one with its number.
    move_into_thread_name_spaces(machine.as_fd(), spaces).context("can't enter the machine")?;
    let ids = Ids { first: args.first_user };
    become_user(ids.inside(owner.uid()), ids.inside(owner.gid()))
        .context("can't become a user of the machine")?;
    host::forbid_core_dumps()
}

/// Becomes this user, who keeps the right to all files.
fn become_user(user: u32, group: u32) -> rustix::io::Result<()> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    set_keep_capabilities(true)?;
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    let kept = CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)?;
    set_no_new_privs(true)
}

/// Folders of a container's control groups, as the kernel lists those of one of its processes; empty if it is none.
fn control_groups(listed: &str, container: &str) -> Vec<PathBuf> {
    // Beside version 1, that of version 2 has no controllers.
    let has_version_1 = listed.lines().count() > 1;
    let groups = listed.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let counts = !container.is_empty() && path.contains(container);
        let hierarchy = Path::new(CONTROL_GROUPS).join(controllers.trim_start_matches("name="));
        (counts && !(has_version_1 && controllers.is_empty()))
            .then(|| hierarchy.join(path.trim_start_matches('/')))
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_are_those_of_the_container() {
        let groups = |listed: &str, container: &str| {
            let groups = control_groups(listed, container).into_iter();
            groups.map(|group| group.display().to_string()).collect::<Vec<_>>()
        };
        let first = "5:memory:/docker/c1\n3:cpu,cpuacct:/docker/c1\n2:name=systemd:/docker/c1\n1:misc:/\n\
                     0::/docker/c1\n";
        let expected =
            ["memory", "cpu,cpuacct", "systemd"].map(|root| format!("/sys/fs/cgroup/{root}/docker/c1"));
        assert_eq!(groups(first, "c1"), expected);
        let second = "0::/system.slice/docker-c1.scope/own\n";
        assert_eq!(groups(second, "c1"), ["/sys/fs/cgroup/system.slice/docker-c1.scope/own"]);
        for (listed, container) in [(first, "c2"), (second, "c2"), (first, ""), ("", "c1"), ("0::/\n", "c1")]
        {
            assert_eq!(groups(listed, container), [""; 0], "{listed} {container}");
        }
    }
}
