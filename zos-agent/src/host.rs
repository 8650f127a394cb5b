// SPDX-License-Identifier: Apache-2.0
//! Capacity of this machine.

use crate::store::Store;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, fs, path::Path, str::FromStr, thread};
use tfgrid_client::units::{CapacityParts, ParseError};
use tfgrid_primitives::{
    Resources,
    units::{GIB, MIB},
};

/// Memory kept for the system: a sixteenth, but at least this much.
const MIN_MEMORY_RESERVE: u64 = 512 * MIB;
/// Disk kept for the system (images, logs): a tenth, but at least this much.
const MIN_DISK_RESERVE: u64 = 2 * GIB;

/// Parts of the capacity that the farmer has set, such as `cru=2,mru=2GiB,sru=10GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityOverride(CapacityParts);

/// Keeps the farmer's settings for later starts.
const CAPACITY_FILE: &str = "capacity.json";

impl CapacityOverride {
    /// The farmer's settings of this start, else those of the last start that had any.
    ///
    /// # Errors
    /// If their file is damaged or can't be written.
    pub fn remembered(store: &Store, given: Option<Self>) -> Result<Self> {
        match given {
            Some(capacity) => store.write(CAPACITY_FILE, &capacity).map(|()| capacity),
            None => Ok(store.read(CAPACITY_FILE)?.unwrap_or_default()),
        }
    }

    /// Replaces these parts of `found`.
    pub fn apply(&self, found: Resources) -> Resources {
        self.0.or(found)
    }
}

impl FromStr for CapacityOverride {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.parse().map(Self)
    }
}

/// Capacity to offer: all cores, and memory and disk under `data` less what the system needs itself. HDDs and
/// GPUs are zero: only the farmer can set them.
///
/// # Errors
/// If the system doesn't report its memory or disk.
pub fn capacity(data: &Path) -> Result<Resources> {
    let cores = thread::available_parallelism().context("can't count this machine's cores")?;
    // One line of one file; `procfs` would parse all of it, and refuses mount points that aren't UTF-8 elsewhere.
    let meminfo = fs::read_to_string("/proc/meminfo").context("can't read /proc/meminfo")?;
    let memory = total_memory(&meminfo).context("/proc/meminfo has no MemTotal")?;
    let disk = rustix::fs::statvfs(data)
        .with_context(|| format!("can't measure the disk under {}", data.display()))?;
    let disk = disk.f_blocks.saturating_mul(disk.f_frsize);
    Ok(Resources {
        cru: cores.get() as u64,
        mru: less(memory, (memory / 16).max(MIN_MEMORY_RESERVE)),
        sru: less(disk, (disk / 10).max(MIN_DISK_RESERVE)),
        hru: 0,
        gpu: 0,
    })
}

/// The difference, rounded down to whole MiB.
fn less(total: u64, reserve: u64) -> u64 {
    total.saturating_sub(reserve) / MIB * MIB
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

/// Formats capacity for the log.
pub struct Display(pub Resources);

impl fmt::Display for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Resources { cru, mru, sru, hru, gpu } = self.0;
        write!(f, "{cru} cores, {} MiB memory, {} GiB SSD", mru / MIB, sru / GIB)?;
        if hru > 0 {
            write!(f, ", {} GiB HDD", hru / GIB)?;
        }
        if gpu > 0 {
            write!(f, ", {gpu} GPUs")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_replaces_only_what_it_names() {
        let found = Resources { cru: 8, mru: 16 * GIB, sru: 100 * GIB, hru: 0, gpu: 0 };
        let capacity: CapacityOverride = "cru=2, mru=2GiB,hru=1TiB".parse().unwrap();
        assert_eq!(
            capacity.apply(found),
            Resources { cru: 2, mru: 2 * GIB, sru: 100 * GIB, hru: 1 << 40, gpu: 0 }
        );
        let by_bytes: CapacityOverride = "sru=1048576B".parse().unwrap();
        assert_eq!(by_bytes.apply(found).sru, MIB);
    }

    #[test]
    fn an_override_is_remembered_until_another_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let remembered = |said: Option<&str>| {
            CapacityOverride::remembered(&store, said.map(|parts| parts.parse().unwrap())).unwrap()
        };
        assert_eq!(remembered(None), CapacityOverride::default());
        assert_eq!(remembered(Some("cru=2")).0.cru, Some(2));
        assert_eq!(remembered(None).0.cru, Some(2));
        assert_eq!(remembered(Some("mru=1GiB")).0.cru, None);
    }

    #[test]
    fn bytes_without_a_unit_are_no_override() {
        let error = "cru=2,mru=2".parse::<CapacityOverride>().unwrap_err();
        assert!(error.to_string().contains("has no unit"), "{error}");
    }

    #[test]
    fn memory_is_read_as_linux_writes_it() {
        assert_eq!(total_memory("MemTotal:       24680 kB\nMemFree: 1 kB\n"), Some(24680 * 1024));
        assert_eq!(total_memory("MemFree: 1 kB\n"), None);
        assert_eq!(total_memory("MemTotal: much\n"), None);
    }

    #[test]
    fn this_machine_offers_less_than_it_has() {
        let capacity = capacity(Path::new("/")).unwrap();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
        assert!(capacity.cru >= 1);
        assert!(capacity.mru + MIN_MEMORY_RESERVE <= total_memory(&meminfo).unwrap());
        assert_eq!(capacity.mru % MIB, 0);
    }
}
