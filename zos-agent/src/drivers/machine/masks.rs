// SPDX-License-Identifier: Apache-2.0
//! Files of `/proc` and `/sys` that a machine doesn't see, since they tell of the host or of what other machines do.

use std::{fs, path::Path};

/// Those of Docker, which doesn't add its own to a list that it is given.
const OF_DOCKER: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];
/// How the host was started, its devices, and counters of all that runs on it. `stat`, `meminfo`, `cpuinfo`, `loadavg`
/// and `uptime` stay: too many programs need them.
const OF_THE_HOST: [&str; 29] = [
    "/proc/bootconfig",
    "/proc/cmdline",
    "/proc/consoles",
    "/proc/diskstats",
    "/proc/driver",
    "/proc/fs",
    "/proc/interrupts",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/key-users",
    "/proc/locks",
    "/proc/mdstat",
    "/proc/modules",
    "/proc/partitions",
    "/proc/pressure",
    "/proc/schedstat",
    "/proc/softirqs",
    "/sys/block",
    "/sys/dev",
    "/sys/hypervisor",
    "/sys/kernel/boot_params",
    "/sys/kernel/debug",
    "/sys/kernel/iommu_groups",
    "/sys/kernel/irq",
    "/sys/kernel/slab",
    "/sys/kernel/tracing",
    "/sys/kernel/vmcoreinfo",
    "/sys/module",
    "/sys/power",
];
/// Folders of which a machine sees these entries alone: processors, memory, its own network and control groups.
const PARTS: [(&str, &[&str]); 3] = [
    ("/sys/devices", &["system", "virtual"]),
    ("/sys/devices/virtual", &["mem", "net", "tty"]),
    ("/sys/fs", &["cgroup"]),
];

/// All of them on this host. The engine skips those that aren't there.
pub fn masked_paths() -> Vec<String> {
    let fixed = OF_DOCKER.iter().chain(&OF_THE_HOST).map(ToString::to_string);
    let rest = PARTS.iter().flat_map(|(folder, shown)| entries_beside(Path::new(folder), shown));
    fixed.chain(rest).collect()
}

fn entries_beside(folder: &Path, shown: &[&str]) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let hidden = entries.filter(|entry| !shown.iter().any(|shown| entry.file_name() == *shown));
    hidden.map(|entry| entry.path().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_masked_but_for_what_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["system", "pci0000:00"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let masked = entries_beside(folder.path(), &["system", "virtual"]);
        assert_eq!(masked, [folder.path().join("pci0000:00").to_str().unwrap()]);
        assert!(entries_beside(Path::new("/no/such/folder"), &[]).is_empty());
    }
}
