// SPDX-License-Identifier: Apache-2.0
//! Hardware of this machine, reported when it differs from what the chain has.

use crate::{
    chain::{Chain, Snapshot},
    drivers::pool::Pools,
    gpus::{self, HostGpu},
    host::{self, CapacityOverride, Storage},
    peer::PeerEndpoint,
    update,
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tfgrid_client::trouble::SERVED;
use tfgrid_primitives::{
    Features, Isolation,
    report::{DetailsPayload, Gpu, MAX_SERIAL_BYTES},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::{info, warn};

/// Time from one inspection to the next.
const INSPECT_EVERY: Duration = Duration::from_secs(600);
/// The same while details are on their way to the chain: they are sent again until an inspection finds them there. The
/// machine's addresses are always looked at so often.
const CONFIRM_EVERY: Duration = Duration::from_secs(10);
/// Unit of the kernel's sizes of disks, whatever their own sectors have.
const SECTOR_BYTES: u64 = 512;
/// EFI variable: whether the firmware verified the boot loader (UEFI 2.10, 3.3).
const SECURE_BOOT: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Placeholders of boards without a serial number.
const NO_SERIALS: [&str; 5] =
    ["none", "not specified", "default string", "to be filled by o.e.m.", "system serial number"];

/// Inspects the machine and reports its details.
pub struct Inspector {
    chain: Arc<dyn Chain>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    details: watch::Sender<Option<DetailsPayload>>,
    pools: Pools,
    capacity: CapacityOverride,
    features: Features,
    peer: PeerEndpoint,
}

impl Inspector {
    /// Sends details that the chain doesn't have to `details` once it runs. `optional` is what this node serves because
    /// its farmer has named what that needs.
    pub fn new(
        chain: Arc<dyn Chain>,
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        details: watch::Sender<Option<DetailsPayload>>,
        pools: Pools,
        capacity: CapacityOverride,
        optional: Features,
        peer: PeerEndpoint,
    ) -> Self {
        let features = SERVED.and(optional);
        Self { chain, snapshots, details, pools, capacity, features, peer }
    }

    /// Inspects the machine at intervals, and when it has other addresses, for ever.
    pub async fn run(mut self) {
        loop {
            // Without a snapshot there is nothing to compare with.
            if self.snapshots.wait_for(Option::is_some).await.is_err() {
                return;
            }
            let (begun, addresses) = (Instant::now(), self.peer.addresses());
            let inspected = self.inspect().await;
            if let Err(why) = &inspected {
                warn!("can't report the details of this machine: {why:#}");
            }
            let every = interval(&inspected, self.details.borrow().as_ref());
            while begun.elapsed() < every && self.peer.addresses() == addresses {
                sleep(CONFIRM_EVERY).await;
            }
        }
    }

    async fn inspect(&mut self) -> Result<()> {
        let mut found = found(Path::new("/"), self.pools.offered()?, &self.capacity, self.features)?;
        let addresses = self.peer.addresses().to_string().into_bytes();
        found.peer_addresses = addresses.try_into().ok().context("the peer addresses are too long")?;
        let Some(snapshot) = self.snapshots.borrow().clone() else { return Ok(()) };
        let known = self.chain.details(&snapshot.head).await?;
        let news = (known.as_ref() != Some(&found)).then_some(found);
        self.details.send_if_modified(|sent| {
            let changed = *sent != news;
            if let Some(news) = news.as_ref().filter(|_| changed) {
                let capacity = host::Display(news.resources);
                info!(%capacity, virtualized = news.virtualized, "reporting the details of this machine");
            }
            *sent = news;
            changed
        });
        Ok(())
    }
}

/// Time from an inspection to the next, where these details are on their way to the chain.
fn interval(inspected: &Result<()>, sent: Option<&DetailsPayload>) -> Duration {
    if inspected.is_ok() && sent.is_none() { INSPECT_EVERY } else { CONFIRM_EVERY }
}

/// A disk of this machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Disk {
    /// Name of its device.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// Whether it is a hard disk (HDD) rather than flash (SSD).
    pub is_rotational: bool,
}

/// What this machine has beside cores and memory.
#[derive(Debug)]
pub struct Hardware {
    /// Serial number, empty if it has none.
    pub serial: String,
    /// Whether it is a virtual machine.
    pub is_virtualized: bool,
    /// Whether its firmware has verified the boot loader.
    pub is_secure_boot: bool,
    /// GPUs.
    pub gpus: Vec<HostGpu>,
    /// Disks that stay in the machine.
    pub disks: Vec<Disk>,
}

impl Hardware {
    /// That of the system with this root folder.
    pub fn of(root: &Path) -> Self {
        Self {
            serial: serial(root),
            is_virtualized: is_virtualized(root),
            is_secure_boot: is_secure_boot(root),
            gpus: gpus::found(root),
            disks: disks(root),
        }
    }
}

/// Details of this machine with the farmer's settings. `root` is the system's root folder, `storage` what the pools
/// offer.
fn found(
    root: &Path,
    storage: Storage,
    capacity: &CapacityOverride,
    features: Features,
) -> Result<DetailsPayload> {
    let mut resources = host::capacity(storage, capacity)?;
    let Hardware { serial, is_virtualized, is_secure_boot, gpus, .. } = Hardware::of(root);
    let gpus: Vec<Gpu> = gpus::offered(gpus, resources.gpu).into_iter().map(|gpu| gpu.ids).collect();
    // No more GPUs are offered than were found.
    resources.gpu = gpus.len() as u64;
    Ok(DetailsPayload {
        resources,
        isolation: Isolation::Container,
        serial: serial.into_bytes().try_into().ok().context("a serial number is too long")?,
        virtualized: is_virtualized,
        secure_boot: is_secure_boot,
        gpus: gpus.try_into().ok().context("there are too many GPUs")?,
        bytes_per_second: bytes_per_second(root),
        features,
        peer_addresses: Default::default(),
        version: update::version(root).into_bytes().try_into().ok().context("the version is too long")?,
    })
}

/// Speed of the fastest link that is up, of which the kernel says in Mbit/s; 1 Gbit/s where it says nothing, as of
/// virtual machines' links.
fn bytes_per_second(root: &Path) -> u64 {
    let speed_of = |link: fs::DirEntry| {
        let read = |name| fs::read_to_string(link.path().join(name)).ok();
        let mbit: u64 = read("speed")?.trim().parse().ok()?;
        (read("operstate")?.trim() == "up" && link.path().join("device").exists()).then_some(mbit)
    };
    let links = fs::read_dir(root.join("sys/class/net")).into_iter().flatten().flatten();
    links.filter_map(speed_of).max().unwrap_or(1_000).saturating_mul(1_000_000 / 8)
}

/// Serial number of the machine, else of its mainboard; empty if neither has one.
fn serial(root: &Path) -> String {
    let read = |name| fs::read_to_string(root.join("sys/class/dmi/id").join(name)).unwrap_or_default();
    ["product_serial", "board_serial"]
        .into_iter()
        .map(|name| read(name).trim().to_owned())
        .find(|serial| is_serial(serial))
        .unwrap_or_default()
}

fn is_serial(text: &str) -> bool {
    let printable = |b: u8| b.is_ascii_graphic() || b == b' ';
    (1..=MAX_SERIAL_BYTES as usize).contains(&text.len())
        && text.bytes().all(printable)
        && text.bytes().any(|b| b != b'0')
        && !NO_SERIALS.contains(&text.to_ascii_lowercase().as_str())
}

/// Whether Linux or the processor reports a hypervisor.
fn is_virtualized(root: &Path) -> bool {
    let cpuinfo = fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default();
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    root.join("sys/hypervisor/type").exists() || flags.split_whitespace().any(|flag| flag == "hypervisor")
}

fn is_secure_boot(root: &Path) -> bool {
    // Four bytes of attributes, then the value.
    matches!(fs::read(root.join(SECURE_BOOT)).as_deref(), Ok([_, _, _, _, 1]))
}

/// Disks with hardware behind them, in the order of their names.
fn disks(root: &Path) -> Vec<Disk> {
    let entries = fs::read_dir(root.join("sys/block")).into_iter().flatten().flatten();
    let mut disks: Vec<Disk> = entries.filter_map(|entry| disk(&entry.path())).collect();
    disks.sort_by(|a, b| a.name.cmp(&b.name));
    disks
}

/// Names of the hard disks on which these block devices are, as a partition is on its disk.
pub fn hard_disks(root: &Path, devices: &[PathBuf]) -> Vec<String> {
    let folder_of = |device: &PathBuf| {
        let name = device.canonicalize().unwrap_or_else(|_| device.clone());
        root.join("sys/class/block").join(name.file_name()?).canonicalize().ok()
    };
    let folders: Vec<PathBuf> = devices.iter().filter_map(folder_of).collect();
    let is_used = |disk: &Disk| folders.iter().any(|folder| folder.iter().any(|part| *part == *disk.name));
    let disks = disks(root).into_iter().filter(|disk| disk.is_rotational && is_used(disk));
    disks.map(|disk| disk.name).collect()
}

/// Names of the disks on which nothing is: no mounted file system, no swap and no other device.
pub fn unused_disks(root: &Path) -> Vec<String> {
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let names = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let (mounts, swaps) = (read(root.join("proc/self/mountinfo")), read(root.join("proc/swaps")));
    let mounted: Vec<&str> = mounts.lines().filter_map(|mount| mount.split(' ').nth(2)).collect();
    let swapping = swaps.lines().filter_map(|line| line.split_whitespace().next()?.rsplit('/').next());
    let btrfs = root.join("sys/fs/btrfs");
    // A mount of btrfs has a number of its own.
    let in_btrfs = names(btrfs.clone()).into_iter().flat_map(|id| names(btrfs.join(id).join("devices")));
    let used: Vec<String> = in_btrfs.chain(swapping.map(str::to_owned)).collect();
    let is_used = |name: &str, folder: &Path| {
        used.iter().any(|used| used == name)
            || mounted.contains(&read(folder.join("dev")).trim())
            || !names(folder.join("holders")).is_empty()
    };
    let is_unused = |disk: &String| {
        let folder = root.join("sys/block").join(disk);
        let mut parts = names(folder.clone()).into_iter().filter(|part| part.starts_with(disk.as_str()));
        !is_used(disk, &folder) && !parts.any(|part| is_used(&part, &folder.join(&part)))
    };
    disks(root).into_iter().map(|disk| disk.name).filter(is_unused).collect()
}

fn disk(device: &Path) -> Option<Disk> {
    let number =
        |file: &str| -> Option<u64> { fs::read_to_string(device.join(file)).ok()?.trim().parse().ok() };
    // Loop devices and the like have no device; media that can be removed are no place for workloads.
    if !device.join("device").exists() || number("removable")? == 1 {
        return None;
    }
    Some(Disk {
        name: device.file_name()?.to_string_lossy().into_owned(),
        bytes: number("size")?.checked_mul(SECTOR_BYTES)?,
        is_rotational: number("queue/rotational")? == 1,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// A system with these files.
    pub(crate) fn system(files: &[(&str, &[u8])]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn the_serial_is_the_machines_or_else_the_boards() {
        let machine = ("sys/class/dmi/id/product_serial", b"ABC-1\n" as &[u8]);
        let board = ("sys/class/dmi/id/board_serial", b"B/77\n" as &[u8]);
        let unnamed = ("sys/class/dmi/id/product_serial", b"To Be Filled By O.E.M.\n" as &[u8]);
        assert_eq!(serial(system(&[machine, board]).path()), "ABC-1");
        assert_eq!(serial(system(&[unnamed, board]).path()), "B/77");
        assert_eq!(serial(system(&[]).path()), "");
    }

    #[test]
    fn placeholders_and_unprintable_text_are_no_serials() {
        for text in ["", "0000", "None", "a\u{7}b", "ü", &"x".repeat(65)] {
            assert!(!is_serial(text), "{text:?}");
        }
        assert!(is_serial("0012") && is_serial(&"x".repeat(64)));
    }

    #[test]
    fn processor_or_hypervisor_reveal_a_virtual_machine() {
        let cpu = |flags: &'static str| ("proc/cpuinfo", flags.as_bytes());
        assert!(is_virtualized(system(&[cpu("model: x\nflags\t\t: fpu hypervisor lm\n")]).path()));
        assert!(!is_virtualized(system(&[cpu("flags\t\t: fpu lm\nbugs\t\t: hypervisor\n")]).path()));
        assert!(is_virtualized(system(&[("sys/hypervisor/type", b"xen\n")]).path()));
        assert!(!is_virtualized(system(&[]).path()));
    }

    #[test]
    fn secure_boot_is_read_from_the_firmware() {
        let said = |bytes: &'static [u8]| is_secure_boot(system(&[(SECURE_BOOT, bytes)]).path());
        assert!(said(&[6, 0, 0, 0, 1]));
        assert!(!said(&[6, 0, 0, 0, 0]) && !said(&[1]));
        assert!(!is_secure_boot(system(&[]).path()));
    }

    #[test]
    fn disks_are_told_by_kind_without_loop_devices_and_media() {
        let file = |disk: &str, file: &str| format!("sys/block/{disk}/{file}");
        let mut files = Vec::new();
        for (disk, rotational, removable) in
            [("sdb", "1", "0"), ("nvme0n1", "0", "0"), ("sr0", "1", "1"), ("loop0", "0", "0")]
        {
            files.push((file(disk, "queue/rotational"), rotational));
            files.push((file(disk, "removable"), removable));
            files.push((file(disk, "size"), "2048\n"));
            if disk != "loop0" {
                files.push((file(disk, "device/model"), "x"));
            }
        }
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        let disk = |name: &str, is_rotational| Disk { name: name.into(), bytes: 1 << 20, is_rotational };
        let system = system(&files);
        assert_eq!(disks(system.path()), [disk("nvme0n1", false), disk("sdb", true)]);

        let class = system.path().join("sys/class/block");
        fs::create_dir_all(&class).unwrap();
        fs::create_dir(system.path().join("sys/block/sdb/sdb1")).unwrap();
        for (name, folder) in [("nvme0n1", "nvme0n1"), ("sdb1", "sdb/sdb1"), ("loop0", "loop0")] {
            symlink(system.path().join("sys/block").join(folder), class.join(name)).unwrap();
        }
        let devices = ["/dev/sdb1", "/dev/nvme0n1", "/dev/loop0", "/dev/gone"].map(PathBuf::from);
        assert_eq!(hard_disks(system.path(), &devices), ["sdb"]);
        assert!(hard_disks(system.path(), &devices[1..]).is_empty());
    }

    #[test]
    fn a_disk_is_used_by_what_is_on_it_or_on_a_part_of_it() {
        let names = ["sda", "sdb", "sdc", "sdd", "sde", "sdf"];
        let mut files = vec![
            ("proc/self/mountinfo".into(), "22 1 8:1 / / rw - ext4 /dev/root rw\n".to_owned()),
            ("proc/swaps".into(), "Filename Type Size\n/dev/sdb2 partition 1\n".into()),
            ("sys/fs/btrfs/f5/devices/sdc/size".into(), String::new()),
            ("sys/block/sdd/holders/dm-0/dev".into(), String::new()),
            ("sys/block/sda/sda1/dev".into(), "8:1\n".into()),
            ("sys/block/sdb/sdb2/dev".into(), "8:18\n".into()),
            ("sys/block/sde/sde1/dev".into(), "8:65\n".into()),
        ];
        for name in names {
            for (file, text) in
                [("queue/rotational", "0"), ("removable", "0"), ("size", "8"), ("device/model", "x")]
            {
                files.push((format!("sys/block/{name}/{file}"), text.into()));
            }
        }
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(path, text): &(String, String)| (path.as_str(), text.as_bytes())).collect();
        assert_eq!(unused_disks(system(&files).path()), ["sde", "sdf"]);
    }

    #[test]
    fn details_that_the_chain_lacks_are_sent_again_within_seconds() {
        let details = found(system(&[]).path(), Storage::default(), &CapacityOverride::default(), SERVED);
        let details = details.unwrap();
        assert_eq!(interval(&Ok(()), None), INSPECT_EVERY);
        assert!(interval(&Ok(()), Some(&details)) <= Duration::from_secs(10));
        for sent in [None, Some(&details)] {
            assert!(interval(&Err(anyhow::anyhow!("no endpoint answers")), sent) <= Duration::from_secs(10));
        }
    }

    #[test]
    fn no_more_gpus_are_offered_than_were_found() {
        let device = |file: &str| format!("sys/bus/pci/devices/0000:01:00.0/{file}");
        let root = system(&[
            (&device("class"), b"0x030000\n"),
            (&device("vendor"), b"0x1002\n"),
            (&device("device"), b"0x73bf\n"),
            (&device("drm/renderD128/dev"), b"226:128\n"),
            ("dev/dri/renderD128", b""),
        ]);
        let offer =
            |parts: &str| found(root.path(), Storage::default(), &parts.parse().unwrap(), SERVED).unwrap();
        let details = offer("cru=2,gpu=2");
        assert_eq!(details.version[..], *env!("CARGO_PKG_VERSION").as_bytes());
        assert_eq!((details.resources.cru, details.resources.gpu), (2, 1));
        assert_eq!(details.gpus[0].device, 0x73bf);
        assert_eq!((offer("gpu=0").gpus.len(), offer("cru=1").resources.gpu), (0, 0));
    }
}
