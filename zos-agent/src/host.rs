// SPDX-License-Identifier: Apache-2.0
//! Capacity of this machine, and what the agent asks of its kernel.

use crate::{gpus, store::Store};
use anyhow::{Context, Result, ensure};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use serde::{Deserialize, Serialize};
use std::{fmt, fs, path::Path, str::FromStr, thread};
use tfgrid_client::units::{CapacityParts, ParseError};
use tfgrid_primitives::{
    Resources,
    units::{GIB, MIB},
};

/// Memory kept for the system: a sixteenth, but at least this much.
const MIN_MEMORY_RESERVE: u64 = 512 * MIB;

/// Parts of the capacity that the farmer has set, such as `cru=2,mru=2GiB,sru=10GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityOverride(CapacityParts);

/// Keeps the farmer's settings for later starts.
const CAPACITY_FILE: &str = "capacity.json";

impl CapacityOverride {
    /// The farmer's settings of this start, else those that were remembered.
    ///
    /// # Errors
    /// If their file is damaged.
    pub fn of_start(store: &Store, given: Option<Self>) -> Result<Self> {
        match given {
            Some(capacity) => Ok(capacity),
            None => Ok(store.read(CAPACITY_FILE)?.unwrap_or_default()),
        }
    }

    /// Keeps them for starts without any. Those that this machine refuses must not be kept.
    ///
    /// # Errors
    /// If their file can't be written.
    pub fn remember(&self, store: &Store) -> Result<()> {
        store.write(CAPACITY_FILE, self)
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

/// Keeps keys and the content of sealed bodies out of core dumps, the agent's and its engine's. A machine's own limit
/// is set for itself.
///
/// # Errors
/// If the kernel refuses.
pub fn forbid_core_dumps() -> Result<()> {
    let none = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    setrlimit(Resource::Core, none).context("can't set the limit of core dumps to 0")?;
    // Of a kernel that pipes core dumps to a program, the limit stops none.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("can't forbid core dumps of the agent")
}

/// Lets the agent open as many files as the system allows: each health check of a machine needs one.
///
/// # Errors
/// If the kernel refuses.
pub fn raise_open_files() -> Result<()> {
    let allowed = getrlimit(Resource::Nofile);
    let all = Rlimit { current: allowed.maximum, ..allowed };
    setrlimit(Resource::Nofile, all).context("can't raise the limit of open files to its maximum")
}

/// Refuses to offer more cores, memory or GPUs than this machine has for workloads.
///
/// # Errors
/// With the largest part that may be offered.
pub fn ensure_real(settings: &CapacityOverride) -> Result<()> {
    let found = found(Storage::default())?;
    let offered = settings.apply(found);
    ensure!(
        offered.cru <= found.cru,
        "cru={} of --capacity is more than the {} cores of this machine: set {} or less",
        offered.cru,
        found.cru,
        found.cru
    );
    ensure!(
        offered.mru <= found.mru,
        "mru={} MiB of --capacity is more than the {} MiB of memory that this machine has beside what the system \
         needs: set {} MiB or less",
        offered.mru / MIB,
        found.mru / MIB,
        found.mru / MIB
    );
    let usable = gpus::offered(gpus::found(Path::new("/")), offered.gpu).len();
    ensure!(
        offered.gpu == usable as u64,
        "gpu={} of --capacity is more than the {usable} GPUs of this machine whose drivers are loaded: load them, or \
         set {usable} or less",
        offered.gpu
    );
    Ok(())
}

/// What the storage pools have for workloads, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// On flash.
    pub ssd: u64,
    /// On hard disks.
    pub hdd: u64,
}

/// Capacity to offer: all cores, memory less what the system needs itself, and what the storage pools offer. GPUs are
/// zero: only the farmer can set them.
///
/// # Errors
/// If the system doesn't report its memory, or the farmer's settings exceed a pool.
pub fn capacity(storage: Storage, settings: &CapacityOverride) -> Result<Resources> {
    let offered = settings.apply(found(storage)?);
    for (name, offered, has, option) in
        [("sru", offered.sru, storage.ssd, "--pool"), ("hru", offered.hru, storage.hdd, "--hdd-pool")]
    {
        ensure!(
            offered <= has,
            "{name}={} MiB of --capacity is more than the {} MiB that the pool of {option} has for workloads: set \
             less, or enlarge the pool",
            offered / MIB,
            has / MIB
        );
    }
    Ok(offered)
}

/// What this machine has for workloads, with this storage.
fn found(storage: Storage) -> Result<Resources> {
    let cores = thread::available_parallelism().context("can't count this machine's cores")?;
    // One line of one file; `procfs` would parse all of it, and refuses mount points that aren't UTF-8 elsewhere.
    let meminfo = fs::read_to_string("/proc/meminfo").context("can't read /proc/meminfo")?;
    let memory = total_memory(&meminfo).context("/proc/meminfo has no MemTotal")?;
    let reserve = (memory / 16).max(MIN_MEMORY_RESERVE);
    Ok(Resources {
        cru: cores.get() as u64,
        mru: memory.saturating_sub(reserve) / MIB * MIB,
        sru: storage.ssd,
        hru: storage.hdd,
        gpu: 0,
    })
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
    use rustix::process::dumpable_behavior;

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
        let of_start = |said: Option<&str>| {
            CapacityOverride::of_start(&store, said.map(|parts| parts.parse().unwrap())).unwrap()
        };
        assert_eq!(of_start(None), CapacityOverride::default());
        of_start(Some("cru=2")).remember(&store).unwrap();
        assert_eq!(of_start(Some("mru=1GiB")).0.cru, None);
        assert_eq!(of_start(None).0.cru, Some(2), "settings count that nothing has checked");
        of_start(Some("mru=1GiB")).remember(&store).unwrap();
        assert_eq!(of_start(None).0.cru, None);
    }

    #[test]
    fn core_dumps_are_forbidden() {
        forbid_core_dumps().unwrap();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[test]
    fn as_many_files_may_be_open_as_the_system_allows() {
        let allowed = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(256), ..allowed }).unwrap();
        raise_open_files().unwrap();
        assert_eq!(getrlimit(Resource::Nofile), Rlimit { current: allowed.maximum, ..allowed });
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
    fn more_than_this_machine_has_is_refused() {
        let why = |parts: &str| ensure_real(&parts.parse().unwrap()).map_err(|error| error.to_string());
        assert_eq!(why("cru=1,mru=1MiB,hru=1TiB"), Ok(()));
        let cores = why("cru=100000").unwrap_err();
        assert!(cores.starts_with("cru=100000 of --capacity is more than the "), "{cores}");
        let memory = why("mru=1024TiB").unwrap_err();
        assert!(memory.contains("MiB of memory that this machine has"), "{memory}");
        let gpus = why("gpu=17").unwrap_err();
        assert!(gpus.starts_with("gpu=17 of --capacity is more than the "), "{gpus}");
    }

    #[test]
    fn this_machine_offers_less_than_it_has() {
        let storage = Storage { ssd: 20 * GIB, hdd: 50 * GIB };
        let capacity = |parts: &str| capacity(storage, &parts.parse().unwrap());
        let offered = capacity("gpu=0").unwrap();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
        assert!(offered.cru >= 1);
        assert!(offered.mru + MIN_MEMORY_RESERVE <= total_memory(&meminfo).unwrap());
        assert_eq!((offered.mru % MIB, offered.sru, offered.hru), (0, 20 * GIB, 50 * GIB));
        for (parts, has) in [("sru=21GiB", "20480 MiB"), ("hru=51GiB", "51200 MiB")] {
            let error = capacity(parts).unwrap_err().to_string();
            assert!(error.contains(&format!("more than the {has}")), "{error}");
        }
    }
}
