// SPDX-License-Identifier: Apache-2.0
//! Storage pools of both kinds, how they grow and how they fail.

use super::{
    Disk, DiskKind, DriverError, FailureCode, MIB, Pool, PoolFault, PoolPlace, PoolVolumes, Pools, Store,
    VolumeDriver, VolumeSpec, contract, open_for, stdout, unmount, volume, wait_until,
};
use rustix::fs::{Advice, FallocateFlags, XattrFlags, fadvise, fallocate, setxattr, statvfs};
use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;
use zos_agent::{config::Place, drivers::pool::run_folder};

const GIB: u64 = 1 << 30;

/// A node with two disks. Its mounts are removed on drop, the disks after them.
struct Node {
    data: TempDir,
    key: [u8; 32],
    one: Disk,
    two: Disk,
}

impl Node {
    fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap(), key: rand::random(), one: Disk::new(), two: Disk::new() }
    }

    /// A pool on hard disks.
    async fn open(&self, place: &str) -> Result<Pool, String> {
        open_for(DiskKind::Hdd, &self.data, place, self.key).await
    }

    /// Pools on flash and on hard disks.
    async fn pools(&self, ssd: &str, hdd: &str) -> Result<Pools, String> {
        let data = self.data.path().to_owned();
        let store = Store::open(data.join("state")).unwrap();
        let place = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        let place =
            Place { data, pool: place(ssd), hdd_pool: place(hdd), engine: None, unsafe_engine: false };
        Pools::open(&place, &store, &self.key).await.map_err(|error| format!("{error:#}"))
    }

    /// Those on its disks.
    async fn both(&self) -> (PoolVolumes, Pool) {
        let pools = self.pools(&self.one.device, &self.two.device).await.unwrap();
        let hdd = pools.hdd.clone().unwrap().unwrap();
        (PoolVolumes::new(pools), hdd)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let run = run_folder(&self.key);
        for mount in ["hdd-pool", "pool"].map(|name| run.join(name)) {
            let _ = Command::new("umount").arg("--quiet").arg(&mount).status();
            let _ = fs::remove_dir(mount);
        }
        let _ = fs::remove_dir(run);
        let file = self.data.path().join("hdd-pool.img");
        for device in loop_devices(&file) {
            let _ = Command::new("losetup").args(["--detach", &device]).status();
        }
    }
}

fn loop_devices(file: &Path) -> Vec<String> {
    let devices = stdout(Command::new("losetup").args(["--noheadings", "--output", "NAME", "-j"]).arg(file));
    devices.lines().map(|line| line.trim().to_owned()).collect()
}

fn root(pool: &Pool) -> PathBuf {
    pool.volumes().parent().unwrap().to_owned()
}

fn on_hdd(mib: u64) -> VolumeSpec {
    VolumeSpec { disk: DiskKind::Hdd, ..volume(contract(), mib) }
}

/// Code and field of a refusal.
fn refusal(result: Result<(), DriverError>) -> (FailureCode, &'static str) {
    match result {
        Err(DriverError::Invalid { code, field, .. }) => (code, field),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_blank_disk_joins_a_pool_and_no_other() {
    let (node, full) = (Node::new(), Disk::new());
    let (one, two) = (node.one.device.as_str(), node.two.device.as_str());
    stdout(Command::new("mkfs.ext4").args(["-q", &full.device]));
    let pool = node.open(one).await.unwrap();
    let (note, before) = (pool.volumes().join("note"), pool.share().unwrap().offered);
    fs::write(&note, "mine").unwrap();

    let error = node.open(&format!("{one},{}", full.device)).await.unwrap_err();
    assert!(error.contains("holds data (ext4)"), "{error}");
    let pool = node.open(&format!("{one},{two}")).await.unwrap();
    let grown = pool.share().unwrap().offered;
    assert!(grown > before + GIB, "{before} {grown}");
    wait_until("metadata on two disks", || {
        let shown = stdout(Command::new("btrfs").args(["filesystem", "df"]).arg(root(&pool)));
        shown.contains("Metadata, RAID1") && !shown.contains("DUP")
    });

    // As after a start that was killed before it remembered the second disk.
    unmount(&pool);
    let pool = node.open(one).await.unwrap();
    assert_eq!(pool.devices(), [one, two].map(PathBuf::from));
    assert_eq!(fs::read_to_string(&note).unwrap(), "mine");
    assert_eq!(pool.share().unwrap().offered, grown);
    pool.remove().await.unwrap();
    assert_eq!(
        (node.one.signatures() + &node.two.signatures(), full.signatures()),
        ("".into(), "ext4".into())
    );
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_blank_disk_is_one_until_its_pool_is_used() {
    let node = Node::new();
    let device = node.one.device.as_str();
    let tag = |name| stdout(Command::new("blkid").args(["-p", "-o", "value", "-s", name, device]));
    // A power cut came before it was mounted.
    stdout(Command::new("mkfs.btrfs").args(["-q", "-L", "zos-pool-new", device]));
    let unused = tag("UUID");
    let pool = node.open(device).await.unwrap();
    let used = tag("UUID");
    assert!(used != unused && tag("LABEL") == "zos-pool");
    unmount(&pool);
    let pool = node.open(device).await.unwrap();
    assert_eq!(tag("UUID"), used);
    pool.remove().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_growth_that_was_cut_off_is_completed() {
    let node = Node::new();
    let before = node.open("1GiB").await.unwrap().share().unwrap().offered;
    let file = node.data.path().join("hdd-pool.img");
    for (size, is_capacity_set) in [(2 * GIB, false), (3 * GIB, true)] {
        fs::File::options().write(true).open(&file).unwrap().set_len(size).unwrap();
        for device in loop_devices(&file).iter().filter(|_| is_capacity_set) {
            stdout(Command::new("losetup").args(["--set-capacity", device]));
        }
        let store = Store::open(node.data.path().join("state")).unwrap();
        PoolPlace::File(GIB).remember(&store, DiskKind::Hdd).unwrap();
        let place = PoolPlace::known(node.data.path(), &store, DiskKind::Hdd, None).unwrap().unwrap();
        let pool = node.open(&place.to_string()).await.unwrap();
        assert_eq!(pool.share().unwrap().offered, before + size - GIB);
    }
    let error = node.open("1GiB").await.unwrap_err();
    assert!(error.contains("can't shrink"), "{error}");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_volume_lies_on_the_disk_that_it_asks_for() {
    let node = Node::new();
    let (volumes, hdd) = node.both().await;
    let spec = on_hdd(16);
    volumes.ensure(&spec).await.unwrap();
    let folder = volumes.folder(&spec.id).await.unwrap();
    assert!(folder.starts_with(hdd.volumes()), "{}", folder.display());
    let observed = volumes.observe().await.unwrap().volumes;
    assert_eq!((observed[0].id.clone(), observed[0].disk), (spec.id.clone(), DiskKind::Hdd));

    let moved = VolumeSpec { disk: DiskKind::Ssd, ..spec.clone() };
    assert_eq!(refusal(volumes.ensure(&moved).await), (FailureCode::BodyInvalid, "/data/disk"));
    volumes.delete(&spec.id).await.unwrap();
    // The rest of a creation that was interrupted.
    stdout(Command::new("btrfs").args(["subvolume", "create"]).arg(&folder));
    volumes.ensure(&moved).await.unwrap();
    assert_eq!(volumes.observe().await.unwrap().volumes.len(), 1);

    let pools = node.pools("", "").await.unwrap();
    assert!(pools.offered().unwrap().hdd > GIB);
    let without = PoolVolumes::new(Pools { hdd: None, ..pools });
    assert_eq!(refusal(without.ensure(&spec).await), (FailureCode::BodyUnsupported, "/data/disk"));
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn limits_come_back_after_quotas_were_switched_off() {
    let node = Node::new();
    let (volumes, hdd) = node.both().await;
    let spec = on_hdd(16);
    volumes.ensure(&spec).await.unwrap();
    let folder = volumes.folder(&spec.id).await.unwrap();
    let write = |name: &str, mib: usize| {
        let written = fs::write(folder.join(name), vec![1; mib * MIB as usize]);
        written.map_err(|error| error.kind())
    };
    assert_eq!(write("full", 17), Err(ErrorKind::QuotaExceeded));
    // One that is full grows.
    volumes.ensure(&VolumeSpec { size: 32 * MIB, ..spec.clone() }).await.unwrap();
    write("more", 8).unwrap();
    for words in ["disable", "disable enable"] {
        for word in words.split(' ') {
            stdout(Command::new("btrfs").args(["quota", word]).arg(root(&hdd)));
        }
        assert_eq!(volumes.observe().await.unwrap().volumes[0].size, 32 * MIB);
        assert_eq!(write("much", 33), Err(ErrorKind::QuotaExceeded), "after {words}");
        fs::remove_file(folder.join("much")).unwrap();
    }
    let damaged = on_hdd(16);
    volumes.ensure(&damaged).await.unwrap();
    let folder = volumes.folder(&damaged.id).await.unwrap();
    setxattr(folder, "trusted.zos.limits", b"257 x", XattrFlags::REPLACE).unwrap();
    let error = hdd.restore_limits().await.unwrap_err().to_string();
    assert!(error.contains("are unreadable"), "{error}");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn other_tenants_go_on_without_hard_disks() {
    let node = Node::new();
    let (volumes, hdd) = node.both().await;
    let (lost, kept) = (on_hdd(16), volume(contract(), 16));
    for spec in [&lost, &kept] {
        volumes.ensure(spec).await.unwrap();
    }
    stdout(Command::new("mount").args(["-o", "remount,ro"]).arg(root(&hdd)));
    assert_eq!(volumes.faults().await, [(DiskKind::Hdd, PoolFault::ReadOnly)]);
    assert_eq!(volumes.observe().await.unwrap().volumes.len(), 2);
    let error = volumes.ensure(&lost).await.unwrap_err().to_string();
    assert!(error.contains("is read-only"), "{error}");

    unmount(&hdd);
    for volumes in [volumes, PoolVolumes::new(lose_disk(&node).await)] {
        assert_eq!(volumes.faults().await, [(DiskKind::Hdd, PoolFault::Gone)]);
        let observed = volumes.observe().await.unwrap().volumes;
        let is_there = |spec: &VolumeSpec| observed.iter().any(|volume| volume.id == spec.id);
        assert_eq!((is_there(&kept), is_there(&lost)), (true, false));
        volumes.folder(&kept.id).await.unwrap();
        volumes.ensure(&volume(contract(), 16)).await.unwrap_or_else(|error| panic!("{error}"));
        for error in [volumes.ensure(&lost).await.unwrap_err(), volumes.folder(&lost.id).await.unwrap_err()] {
            assert!(error.to_string().contains("is gone"), "{error}");
        }
    }
}

/// The pools as of a start without the second disk, which comes back after it.
async fn lose_disk(node: &Node) -> Pools {
    node.two.disconnect();
    let pools = node.pools("", "").await.unwrap();
    assert!(pools.offered().is_err());
    node.two.connect();
    pools
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_full_pool_takes_no_more_volumes() {
    let node = Node::new();
    let (volumes, hdd) = node.both().await;
    let spec = on_hdd(16);
    volumes.ensure(&spec).await.unwrap();
    let space = statvfs(hdd.volumes()).unwrap();
    let padding = fs::File::create(root(&hdd).join("padding")).unwrap();
    let length = space.f_bavail * space.f_frsize - hdd.share().unwrap().reserve / 2;
    fallocate(&padding, FallocateFlags::empty(), 0, length).unwrap();
    stdout(Command::new("btrfs").args(["filesystem", "sync"]).arg(root(&hdd)));

    let faults = volumes.faults().await;
    assert!(faults.contains(&(DiskKind::Hdd, PoolFault::Full)), "{faults:?}");
    for spec in [on_hdd(16), VolumeSpec { size: 32 * MIB, ..spec.clone() }] {
        assert_eq!(refusal(volumes.ensure(&spec).await), (FailureCode::NodeFull, "/data/size"));
    }
    volumes.ensure(&spec).await.unwrap();
    fs::write(volumes.folder(&spec.id).await.unwrap().join("file"), vec![1; 8 * MIB as usize]).unwrap();
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_older_pool_opens_without_room_for_more_folders() {
    let node = Node::new();
    let open = async || open_for(DiskKind::Ssd, &node.data, &node.one.device, node.key).await.unwrap();
    let pool = open().await;
    fs::write(root(&pool).join("networks"), "in the way").unwrap();
    unmount(&pool);
    assert_eq!(root(&open().await), root(&pool));
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_disk_that_fails_degrades_its_pool() {
    let node = Node::new();
    let pool = node.open(&node.one.device).await.unwrap();
    assert_eq!(pool.faults(), []);
    let path = pool.volumes().join("file");
    let content: Vec<u8> = (0..64 << 10).map(|_| rand::random()).collect();
    fs::write(&path, &content).unwrap();
    let file = fs::File::open(&path).unwrap();
    file.sync_all().unwrap();
    stdout(Command::new("btrfs").args(["filesystem", "sync"]).arg(root(&pool)));
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();

    let disk = fs::File::options().read(true).write(true).open(node.one.file.path()).unwrap();
    let mut block = [0; 4096];
    let place = (0..disk.metadata().unwrap().len()).step_by(block.len()).find(|place| {
        disk.read_exact_at(&mut block, *place).unwrap();
        block == content[..block.len()]
    });
    disk.write_all_at(&[0; 4096], place.expect("the disk has the file")).unwrap();
    fs::read(&path).unwrap_err();
    match pool.faults().as_slice() {
        [PoolFault::Degraded(disks)] => assert!(disks.starts_with("disk 1 has had "), "{disks}"),
        faults => panic!("{faults:?}"),
    }
    pool.check().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn one_file_system_is_not_offered_twice() {
    let node = Node::new();
    let pools = node.pools(&node.one.device, "").await.unwrap();
    let folder = root(&pools.ssd).join("hdd");
    let error = node.pools("", folder.to_str().unwrap()).await.unwrap_err();
    assert!(error.contains("are on one file system"), "{error}");
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(run_folder(&node.key).join("hdd-pool").to_str().unwrap()), "{mounts}");
}
