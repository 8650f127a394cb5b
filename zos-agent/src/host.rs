// SPDX-License-Identifier: Apache-2.0
//! Capacity of this machine.

use crate::store::Store;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::{fmt, fs, path::Path, str::FromStr, thread};
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
pub struct CapacityOverride {
    cru: Option<u64>,
    mru: Option<u64>,
    sru: Option<u64>,
    hru: Option<u64>,
    gpu: Option<u64>,
}

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
        Resources {
            cru: self.cru.unwrap_or(found.cru),
            mru: self.mru.unwrap_or(found.mru),
            sru: self.sru.unwrap_or(found.sru),
            hru: self.hru.unwrap_or(found.hru),
            gpu: self.gpu.unwrap_or(found.gpu),
        }
    }
}

impl FromStr for CapacityOverride {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut capacity = Self::default();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').with_context(|| {
                format!("{part:?} isn't a part of a capacity: write it as in cru=2,mru=2GiB,sru=10GiB")
            })?;
            let (slot, value) = match name.trim() {
                "cru" => (&mut capacity.cru, count(value)),
                "gpu" => (&mut capacity.gpu, count(value)),
                "mru" => (&mut capacity.mru, bytes(value)),
                "sru" => (&mut capacity.sru, bytes(value)),
                "hru" => (&mut capacity.hru, bytes(value)),
                other => bail!("{other:?} isn't a capacity: known are cru, mru, sru, hru and gpu"),
            };
            let value = value.with_context(|| format!("in {part:?}"))?;
            ensure!(slot.replace(value).is_none(), "{name:?} stands twice");
        }
        Ok(capacity)
    }
}

fn count(text: &str) -> Result<u64> {
    text.trim().parse().with_context(|| format!("{text:?} isn't a whole number"))
}

/// Whole bytes, or with a unit of 1024: `KiB`, `MiB`, `GiB`, `TiB`.
fn bytes(text: &str) -> Result<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => MIB,
        "GiB" => GIB,
        "TiB" => 1 << 40,
        other => bail!("{other:?} isn't a unit: use KiB, MiB, GiB or TiB, or bytes without a unit"),
    };
    let number: u64 =
        number.parse().with_context(|| format!("{text:?} doesn't start with a whole number"))?;
    number.checked_mul(factor).with_context(|| format!("{text:?} is more than 64 bits hold"))
}

/// Capacity to offer: all cores, and memory and disk under `data` less what the system needs itself. HDDs and
/// GPUs are zero: only the farmer can set them.
///
/// # Errors
/// If the system doesn't report its memory or disk.
pub fn capacity(data: &Path) -> Result<Resources> {
    let cores = thread::available_parallelism().context("can't count this machine's cores")?;
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
        assert_eq!("sru=1048576".parse::<CapacityOverride>().unwrap().apply(found).sru, MIB);
    }

    #[test]
    fn an_override_is_remembered_until_another_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let remembered = |said: Option<&str>| {
            CapacityOverride::remembered(&store, said.map(|parts| parts.parse().unwrap())).unwrap()
        };
        assert_eq!(remembered(None), CapacityOverride::default());
        assert_eq!(remembered(Some("cru=2")).cru, Some(2));
        assert_eq!(remembered(None).cru, Some(2));
        assert_eq!(remembered(Some("mru=1GiB")).cru, None);
    }

    #[test]
    fn a_mistake_in_an_override_is_named() {
        for (text, hint) in [
            ("", "isn't a part of a capacity"),
            ("cru", "isn't a part of a capacity"),
            ("cpu=2", "known are cru, mru, sru, hru and gpu"),
            ("cru=two", "isn't a whole number"),
            ("cru=2GiB", "isn't a whole number"),
            ("mru=2GB", "use KiB, MiB, GiB or TiB"),
            ("mru=GiB", "doesn't start with a whole number"),
            ("mru=99999999999TiB", "more than 64 bits"),
            ("cru=1,cru=2", "stands twice"),
        ] {
            let error = format!("{:#}", text.parse::<CapacityOverride>().unwrap_err());
            assert!(error.contains(hint), "{text}: {error}");
        }
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
