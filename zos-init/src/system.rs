// SPDX-License-Identifier: Apache-2.0
//! What the kernel must have before anything runs: file systems, drivers, values and the base firewall.

use anyhow::{Context, Result, ensure};
use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, reboot, sethostname},
};
use std::{
    ffi::CStr,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// For all programs.
pub const PATH: &str = "/usr/sbin:/usr/bin";
/// Control group of all that isn't a machine: those have groups beside it.
const GROUP: &str = "/sys/fs/cgroup/zos";
/// Drivers that agent and engine need, one a line. Later none can be loaded.
const MODULES: &str = "/etc/zos/modules";
/// A driver may bring devices that need others.
const ROUNDS: u32 = 3;
const FIREWALL: &str = "/etc/zos/base.nft";
/// Variables of the firmware, in which the agent reads whether Secure Boot is on. The kernel has the folder where the
/// firmware is UEFI.
const VARIABLES: &str = "/sys/firmware/efi/efivars";
const VARIABLES_MODULE: &str = "efivarfs";
/// Closes doors that nobody here uses.
const VALUES: [(&str, &str); 8] = [
    ("kernel/sysrq", "0"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/kptr_restrict", "2"),
    ("kernel/kexec_load_disabled", "1"),
    ("kernel/yama/ptrace_scope", "2"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/panic", "10"),
    ("net/ipv4/ip_forward", "1"),
];

/// Names among devices for files of the process itself: the agent has `wg` read its standard input by one.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// The first process's part.
pub fn mount_all() -> Result<()> {
    let nothing = MountFlags::NOSUID | MountFlags::NOEXEC;
    let mounts: [(&str, &str, MountFlags, &CStr); 7] = [
        ("devpts", "/dev/pts", nothing, c"gid=5,mode=620,ptmxmode=000"),
        ("tmpfs", "/dev/shm", nothing | MountFlags::NODEV, c"mode=1777"),
        ("tmpfs", "/tmp", MountFlags::NOSUID | MountFlags::NODEV, c"mode=1777"),
        ("mqueue", "/dev/mqueue", nothing | MountFlags::NODEV, c""),
        ("securityfs", "/sys/kernel/security", nothing | MountFlags::NODEV, c""),
        ("cgroup2", "/sys/fs/cgroup", nothing | MountFlags::NODEV, c"nsdelegate"),
        ("bpf", "/sys/fs/bpf", nothing | MountFlags::NODEV, c"mode=700"),
    ];
    for (kind, target, flags, options) in mounts {
        if target.starts_with("/dev") {
            fs::create_dir_all(target)?;
        }
        mount(kind, target, kind, flags, options).with_context(|| format!("can't mount {target}"))?;
    }
    link_streams(Path::new("/dev")).context("can't link /dev/stdin")?;
    for folder in ["/run/dhcpcd-state", "/run/docker", "/run/zos-lease"] {
        fs::create_dir_all(folder)?;
    }
    // Ctrl-Alt-Del is a signal to this process then, which takes none.
    reboot(RebootCommand::CadOff)?;
    sethostname(b"zos")?;
    Ok(())
}

fn link_streams(devices: &Path) -> io::Result<()> {
    LINKS.iter().try_for_each(|(name, target)| symlink(target, devices.join(name)))
}

/// The supervisor's part: what it starts is in its group.
pub fn join_group() -> Result<()> {
    fs::create_dir_all(GROUP).with_context(|| format!("can't create {GROUP}"))?;
    fs::write(Path::new(GROUP).join("cgroup.procs"), "0").with_context(|| format!("can't join {GROUP}"))
}

/// Loads all drivers, and then forbids more of them.
pub fn load_drivers() -> Result<()> {
    for _ in 0..ROUNDS {
        let mut aliases = Vec::new();
        collect(Path::new("/sys/devices"), &mut aliases);
        aliases.sort();
        aliases.dedup();
        // Devices without a driver are the rule.
        let _ = tool("modprobe").args(["-a", "-b", "-q"]).args(aliases).status();
    }
    let list = fs::read_to_string(MODULES).with_context(|| format!("can't read {MODULES}"))?;
    run(tool("modprobe").arg("-a").args(list.lines()))?;
    // A firmware that lets nobody read them is as one without Secure Boot.
    let _ = mount_variables(Path::new(VARIABLES));
    for (name, value) in VALUES {
        let file = Path::new("/proc/sys").join(name);
        fs::write(&file, value).with_context(|| format!("can't set {} to {value}", file.display()))?;
    }
    fs::write("/proc/sys/kernel/modules_disabled", "1").context("can't forbid more drivers")
}

/// Machines have no view of them: the engine hides `/sys/firmware`.
fn mount_variables(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    run(tool("modprobe").arg(VARIABLES_MODULE))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(VARIABLES_MODULE, folder, VARIABLES_MODULE, flags, None)
        .with_context(|| format!("can't mount {}", folder.display()))
}

/// What devices below say for their drivers to be found.
fn collect(folder: &Path, aliases: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), aliases);
        } else if entry.file_name() == "modalias" {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            aliases.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        }
    }
}

/// Closes the machine before it has an address.
pub fn close() -> Result<()> {
    run(tool("nft").args(["-f", FIREWALL]))?;
    run(tool("ip").args(["link", "set", "lo", "up"]))
}

/// A program of the image.
pub fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output = command.stderr(Stdio::piped()).output().with_context(|| format!("can't run {shown}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown} failed ({}): {}", output.status, complaint.trim());
    Ok(())
}

/// Files of a folder, sorted.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_machine_without_uefi_has_no_variables_to_mount() {
        let firmware = tempfile::tempdir().unwrap();
        mount_variables(&firmware.path().join("efivars")).unwrap();
    }

    #[test]
    fn a_program_finds_its_streams_among_devices() {
        let devices = tempfile::tempdir().unwrap();
        link_streams(devices.path()).unwrap();
        let null = fs::File::open("/dev/null").unwrap();
        let own = devices.path().join("fd").join(null.as_raw_fd().to_string());
        assert_eq!(fs::read_link(own).unwrap(), Path::new("/dev/null"));
        for (number, name) in ["stdin", "stdout", "stderr"].into_iter().enumerate() {
            let target = fs::read_link(devices.path().join(name)).unwrap();
            assert_eq!(target, Path::new(&format!("/proc/self/fd/{number}")));
        }
    }

    #[test]
    fn rules_of_the_agent_find_their_drivers() {
        let drivers = include_str!("../../scripts/image/modules.txt");
        let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zos-agent/src/drivers");
        let rules: String = ["firewall.rs", "network/namespace.rs", "address/rules.rs"]
            .map(|file| fs::read_to_string(agent.join(file)).unwrap())
            .concat();
        for (rule, driver) in [
            ("counter name", "nft_objref"),
            ("ct count over", "nft_connlimit"),
            ("fib saddr", "nft_fib_inet"),
            ("masquerade", "nft_masq"),
            ("reject with tcp reset", "nft_reject_inet"),
        ] {
            assert!(rules.contains(rule), "no rule says {rule}");
            assert!(drivers.lines().any(|line| line == driver), "{rule} needs {driver}");
        }
    }

    #[test]
    fn the_agent_reads_secure_boot_where_variables_are() {
        let agent = include_str!("../../zos-agent/src/details.rs");
        let folder = VARIABLES.trim_start_matches('/');
        assert!(agent.contains(&format!("SECURE_BOOT: &str = \"{folder}/SecureBoot-")));
        let drivers = include_str!("../../scripts/image/drivers.txt");
        assert!(drivers.lines().any(|driver| driver == format!("fs/{VARIABLES_MODULE}")));
    }
}
