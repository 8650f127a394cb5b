// SPDX-License-Identifier: Apache-2.0
//! Storage pools: btrfs file systems for the disks of machines, volumes and images.
//!
//! ```text
//! <pool>/pool.json     the node that the pool belongs to
//! <pool>/volumes/      subvolumes, one for each volume
//! <pool>/snapshots/    subvolumes that last as long as a stream: volumes at one instant, and new content of volumes
//! <pool>/engine/       data of the container engine, unless it is on hard disks; new content of machines' roots, in
//!                      docker/*/btrfs/new
//! <pool>/stopped/      marks of machines that the agent has stopped, unless it is on hard disks
//! <pool>/networks/     marks of contracts' networks
//! ```
//!
//! It is mounted in a folder under `/run`, which root in a machine can traverse: root's own data folder it can't.

use super::{
    DriverError,
    tools::{Tool, run, run_to_its_end},
};
use crate::{config::Place, host::Storage, store::Store};
use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use rustix::fs::{StatVfs, StatVfsMountFlags, XattrFlags, getxattr, removexattr, setxattr, statfs, statvfs};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    fs::{self, DirBuilder, DirEntry, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tfgrid_client::{deployment::DiskKind, units::parse_bytes};
use tfgrid_primitives::{
    PublicKey,
    units::{GIB, MIB},
};
use tokio::time::timeout;
use tracing::{error, info, warn};

/// Tools that the pool needs.
pub(crate) const TOOLS: [&Tool; 7] = [&BTRFS, &MKFS, &WIPEFS, &BLKID, &LOSETUP, &MOUNT, &UMOUNT];
const BTRFS: Tool = Tool { program: "btrfs", package: "btrfs-progs" };
const MKFS: Tool = Tool { program: "mkfs.btrfs", package: "btrfs-progs" };
const WIPEFS: Tool = Tool { program: "wipefs", package: "util-linux" };
const BLKID: Tool = Tool { program: "blkid", package: "util-linux" };
const LOSETUP: Tool = Tool { program: "losetup", package: "mount" };
pub(crate) const MOUNT: Tool = Tool { program: "mount", package: "mount" };
pub(super) const CP: Tool = Tool { program: "cp", package: "coreutils" };
const RM: Tool = Tool { program: "rm", package: "coreutils" };
pub(crate) const UMOUNT: Tool = Tool { program: "umount", package: "mount" };

/// Label of file systems that an agent has made.
const LABEL: &str = "zos-pool";
/// Their label until they are mounted for the first time and on the disk: nothing was ever in there.
const NEW_LABEL: &str = "zos-pool-new";
/// Type of a btrfs in `statfs(2)`.
const BTRFS_MAGIC: u64 = 0x9123_683e;
/// Extended attribute of a complete subvolume: its id. Only the host's root can set it.
const ID_ATTRIBUTE: &str = "trusted.zos.id";
/// Extended attribute of a subvolume with limits: its id and the limits, since the kernel forgets them when quotas are
/// switched off.
const LIMITS_ATTRIBUTE: &str = "trusted.zos.limits";
/// Extended attribute of a subvolume that no machine has used yet.
const FRESH_ATTRIBUTE: &str = "trusted.zos.fresh";
/// Folder in an engine's data for new content of machines' roots. It is on the engine's mount, as the roots are: only
/// within one mount are files exchanged.
pub(super) const NEW_ROOTS: &str = "btrfs/new";
/// Folders in an engine's data: the content of layers and machines' roots, and which layers there are.
pub(super) const SUBVOLUMES: &str = "btrfs/subvolumes";
pub(super) const LAYERS: &str = "image/btrfs/layerdb";
/// Extended attribute of a subvolume whose content its owner has restored.
const RESTORED_ATTRIBUTE: &str = "trusted.zos.restored";
/// Images may use a tenth of the pool, but at least this much.
const MIN_IMAGE_SHARE: u64 = 2 * GIB;
/// The reserve is a twentieth of the pool, but at least this much.
const MIN_RESERVE: u64 = 512 * MIB;
/// How often each limit is looked at while quotas stay switched on.
const LOOK_AT_LIMITS_EVERY: Duration = Duration::from_secs(600);
/// Limit for the kernel to count what the pool holds: observations wait for that, and machines start after it even if
/// the kernel still counts.
const COUNTED_WITHIN: Duration = Duration::from_secs(20);

/// Where the pool is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PoolPlace {
    /// A folder on a btrfs file system that others may use too.
    Folder(PathBuf),
    /// Whole block devices.
    Devices(Vec<PathBuf>),
    /// A sparse file of this size in the data folder. The disk below may fill up: for development only.
    File(u64),
}

impl FromStr for PoolPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let paths: Vec<PathBuf> = text.split(',').map(PathBuf::from).collect();
        if paths.iter().all(|path| path.starts_with("/dev") && path.components().count() > 2) {
            return Ok(Self::Devices(paths));
        }
        match paths.as_slice() {
            [folder] if folder.is_absolute() => return Ok(Self::Folder(folder.clone())),
            _ => {}
        }
        parse_bytes(text).map(Self::File).map_err(|_| {
            "write it as /folder/on/btrfs, /dev/sdb,/dev/sdc, or a size such as 20GiB for a file".into()
        })
    }
}

impl TryFrom<String> for PoolPlace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PoolPlace> for String {
    fn from(place: PoolPlace) -> Self {
        place.to_string()
    }
}

impl fmt::Display for PoolPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Devices(devices) => {
                let devices: Vec<_> = devices.iter().map(|device| device.display().to_string()).collect();
                f.write_str(&devices.join(","))
            }
            Self::File(size) => write!(f, "{size}B"),
        }
    }
}

/// What the option, the mount point and the files of a pool are named after.
fn stem(disk: DiskKind) -> &'static str {
    match disk {
        DiskKind::Ssd => "pool",
        DiskKind::Hdd => "hdd-pool",
    }
}

/// Remembers the place for starts without the option.
fn place_file(disk: DiskKind) -> String {
    format!("{}.json", stem(disk))
}

/// The file of [`PoolPlace::File`].
fn image_file(data: &Path, disk: DiskKind) -> PathBuf {
    data.join(format!("{}.img", stem(disk)))
}

impl PoolPlace {
    /// That of the pool on flash: as [`Self::known`], else `<data>/pool` if that is on btrfs.
    ///
    /// # Errors
    /// If there is none, or as [`Self::known`].
    pub fn choose(data: &Path, store: &Store, given: Option<Self>) -> Result<Self> {
        match Self::known(data, store, DiskKind::Ssd, given)? {
            Some(place) => Ok(place),
            None => Self::within(data),
        }
    }

    /// The farmer's choice at this start, else that of the last start that had one.
    ///
    /// # Errors
    /// If it isn't the pool that the node has, or lacks a disk of it.
    pub fn known(data: &Path, store: &Store, disk: DiskKind, given: Option<Self>) -> Result<Option<Self>> {
        match (given, store.read::<Self>(&place_file(disk))?) {
            (Some(given), Some(known)) => {
                given.ensure_has(&known, disk)?;
                Ok(Some(given))
            }
            // The start that gave the file another size may have been killed.
            (None, Some(Self::File(size))) => {
                let grown = fs::metadata(image_file(data, disk)).map_or(0, |file| file.len());
                Ok(Some(Self::File(size.max(grown))))
            }
            (given, known) => Ok(given.or(known)),
        }
    }

    /// Keeps the place of a pool that was opened for later starts.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn remember(&self, store: &Store, disk: DiskKind) -> Result<()> {
        store.write(&place_file(disk), self)
    }

    /// The place of the pool that an earlier start has opened, `None` if there was none.
    ///
    /// # Errors
    /// If its file is damaged.
    pub fn remembered(store: &Store, disk: DiskKind) -> Result<Option<Self>> {
        store.read(&place_file(disk))
    }

    /// Forgets the place of a pool that was removed.
    ///
    /// # Errors
    /// If it can't be deleted.
    pub fn forget(data: &Path, disk: DiskKind) -> Result<()> {
        let file = data.join("state").join(place_file(disk));
        fs::remove_file(&file).with_context(|| format!("can't delete {}", file.display()))
    }

    /// Disks may join a pool, and a file may grow.
    fn ensure_has(&self, known: &Self, disk: DiskKind) -> Result<()> {
        let option = stem(disk);
        if let (Self::Devices(given), Self::Devices(known)) = (self, known) {
            let given: Vec<PathBuf> = given.iter().map(|device| real(device)).collect();
            let (stays, lacks): (Vec<_>, Vec<_>) =
                known.iter().partition(|device| given.contains(&real(device)));
            match lacks.first() {
                None => return Ok(()),
                Some(device) if !stays.is_empty() => bail!(
                    "{} has a part of the storage pool and can't leave it: name it in --{option} too, or leave \
                     --{option} out",
                    device.display()
                ),
                Some(_) => {}
            }
        }
        let are_files = matches!((self, known), (Self::File(_), Self::File(_)));
        ensure!(
            self == known || are_files,
            "the storage pool of this node is {known} and can't move to {self}: leave --{option} out, or remove the \
             pool and everything in it with `zos-agent purge`"
        );
        Ok(())
    }

    /// Block devices that it names.
    pub fn devices(&self) -> &[PathBuf] {
        match self {
            Self::Devices(devices) => devices,
            Self::Folder(_) | Self::File(_) => &[],
        }
    }

    /// Whether an earlier start has opened a pool.
    pub fn is_remembered(data: &Path, disk: DiskKind) -> bool {
        data.join("state").join(place_file(disk)).exists()
    }

    /// A folder in this one, which need not exist yet.
    ///
    /// # Errors
    /// If it isn't on btrfs.
    pub fn within(data: &Path) -> Result<Self> {
        ensure!(
            is_btrfs(existing(data))?,
            "{} isn't on btrfs, which workloads need: name disks for them with --pool /dev/sdb, or for development \
             --pool 20GiB",
            data.display()
        );
        Ok(Self::Folder(std::path::absolute(data)?.join("pool")))
    }
}

/// The node that a pool belongs to.
#[derive(Debug, Serialize, Deserialize)]
struct Belonging {
    node: String,
    /// Bytes that were free when the node took it. In a folder, others use the rest.
    free: u64,
    /// For what the node has it.
    #[serde(default)]
    disk: DiskKind,
}

const BELONGING_FILE: &str = "pool.json";

/// Folder of all nodes' run folders.
pub(crate) const RUN: &str = "/run/zos";

/// Folder of a node's mount points, sockets and pid files: all that a reboot ends.
pub fn run_folder(node: &PublicKey) -> PathBuf {
    Path::new(RUN).join(hex::encode(&node[..4]))
}

/// What is wrong with a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolFault {
    /// It isn't mounted, or something else is in its place.
    Gone,
    /// The kernel has given it up.
    ReadOnly,
    /// Disks are missing or have failed, and which.
    Degraded(String),
    /// Even the reserve is used, as when an image unpacks to more than anybody announced: then tenants are about to
    /// find no room for what they have reserved.
    Full,
}

impl PoolFault {
    /// Whether nothing can be written any more.
    pub fn stops(&self) -> bool {
        matches!(self, Self::Gone | Self::ReadOnly)
    }

    /// Name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::ReadOnly => "read_only",
            Self::Degraded(_) => "degraded",
            Self::Full => "full",
        }
    }

    /// What to do.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Gone => {
                "check that its disks are connected, restart the agent, and read in its log what it lacks"
            }
            Self::ReadOnly => "see the kernel's log (dmesg), replace the disk, and restart the agent",
            Self::Degraded(_) => {
                "see `btrfs device stats` and the kernel's log (dmesg), replace the disk with `btrfs replace`, then \
                 reset its errors with `btrfs device stats --reset`"
            }
            Self::Full => "add a disk to it, or free the disk that it shares",
        }
    }
}

impl fmt::Display for PoolFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("is gone"),
            Self::ReadOnly => f.write_str("is read-only, as after a failure of its disk"),
            Self::Degraded(disks) => write!(f, "is degraded: {disks}"),
            Self::Full => f.write_str("is full: even its reserve is used"),
        }
    }
}

/// An open pool.
#[derive(Clone, Debug)]
pub struct Pool {
    root: PathBuf,
    disk: DiskKind,
    place: PoolPlace,
    /// The file of [`PoolPlace::File`].
    file: PathBuf,
    /// Device number of the file system: another one is there once the pool is gone.
    device: u64,
    /// The kernel's folder about the file system.
    kernel: PathBuf,
    /// Bytes that were free when the node took it.
    first_free: u64,
    /// When all limits were last looked at, and the kernel's folder of quotas at that time.
    limits_held: Arc<Mutex<Option<(Instant, u64)>>>,
}

/// The pools of a node.
#[derive(Clone, Debug)]
pub struct Pools {
    /// On flash: for machines, images and volumes.
    pub ssd: Pool,
    /// On hard disks: for volumes that ask for it. An error is why it can't be opened, though an earlier start has.
    pub hdd: Option<Result<Pool, String>>,
}

impl Pools {
    /// Opens the node's pools and remembers their places. Without the one on hard disks, a node that had it before goes
    /// on.
    ///
    /// # Errors
    /// If the pool on flash can't be used, or a new one on hard disks.
    pub async fn open(place: &Place, store: &Store, node: &PublicKey) -> Result<Self> {
        let data = &place.data;
        let ssd = PoolPlace::choose(data, store, place.pool.clone())?;
        let hdd = PoolPlace::known(data, store, DiskKind::Hdd, place.hdd_pool.clone())?;
        let ssd = Pool::open(data, DiskKind::Ssd, ssd, node).await?;
        ssd.place.remember(store, DiskKind::Ssd)?;
        let Some(hdd) = hdd else { return Ok(Self { ssd, hdd: None }) };
        let hdd = match Pool::open(data, DiskKind::Hdd, hdd, node).await {
            Err(why) if PoolPlace::is_remembered(data, DiskKind::Hdd) => {
                error!("going on without hard disks, and without heartbeats: {why:#}");
                return Ok(Self { ssd, hdd: Some(Err(format!("{why:#}"))) });
            }
            opened => opened?,
        };
        if hdd.kernel == ssd.kernel {
            run(&UMOUNT, &[text(&hdd.root)?]).await?;
            bail!(
                "{} and {} are on one file system, which can be offered only once: leave --hdd-pool out, or name other \
                 disks",
                ssd.place,
                hdd.place
            );
        }
        hdd.place.remember(store, DiskKind::Hdd)?;
        Ok(Self { ssd, hdd: Some(Ok(hdd)) })
    }

    /// What they offer.
    ///
    /// # Errors
    /// If one is gone or can't be measured.
    pub fn offered(&self) -> Result<Storage> {
        let hdd = match &self.hdd {
            None => 0,
            Some(Ok(pool)) => pool.share()?.offered,
            Some(Err(why)) => bail!("the storage pool on hard disks is gone: {why}"),
        };
        Ok(Storage { ssd: self.ssd.share()?.offered, hdd })
    }

    /// Deletes what streams have left that ended with the agent.
    pub async fn clear_snapshots(&self) {
        for pool in [&self.ssd].into_iter().chain(self.hdd.iter().flatten()) {
            if let Err(why) = pool.clear_snapshots().await {
                warn!(why = format!("{why:#}"), "what a snapshot has left takes room");
            }
        }
    }

    /// Removes them and everything in them.
    ///
    /// # Errors
    /// As [`Pool::remove`].
    pub async fn remove(self, data: &Path) -> Result<()> {
        match self.hdd {
            None => {}
            Some(Ok(pool)) => {
                pool.remove().await?;
                PoolPlace::forget(data, DiskKind::Hdd)?;
            }
            Some(Err(why)) => {
                warn!("what is on the hard disks stays there: {why}");
                PoolPlace::forget(data, DiskKind::Hdd)?;
            }
        }
        self.ssd.remove().await?;
        PoolPlace::forget(data, DiskKind::Ssd)
    }
}

/// A pool as others see it while an agent uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedPool {
    /// Size of its file system in bytes.
    pub total: u64,
    /// Free bytes.
    pub free: u64,
    /// What is wrong with it.
    pub faults: Vec<PoolFault>,
}

/// A pool of this node, `None` if it isn't mounted.
///
/// # Errors
/// If it can't be measured.
pub async fn mounted(node: &PublicKey, disk: DiskKind) -> Result<Option<MountedPool>> {
    let root = run_folder(node).join(stem(disk));
    if !is_mount_point(&root)? {
        return Ok(None);
    }
    let space = statvfs(&root).with_context(|| format!("can't measure {}", root.display()))?;
    let (total, free) = (bytes(&space, space.f_blocks), bytes(&space, space.f_bavail));
    let faults = faults(&space, &kernel_folder(&root).await?, reserve(total));
    Ok(Some(MountedPool { total, free, faults }))
}

fn bytes(space: &StatVfs, blocks: u64) -> u64 {
    blocks.saturating_mul(space.f_frsize)
}

/// What a pool of this size keeps for itself.
fn reserve(total: u64) -> u64 {
    (total / 20).max(MIN_RESERVE)
}

fn faults(space: &StatVfs, kernel: &Path, reserve: u64) -> Vec<PoolFault> {
    let is_read_only = space.f_flag.contains(StatVfsMountFlags::RDONLY);
    let is_full = bytes(space, space.f_bavail) < reserve;
    let faults = [
        is_read_only.then_some(PoolFault::ReadOnly),
        failures(kernel).map(PoolFault::Degraded),
        is_full.then_some(PoolFault::Full),
    ];
    faults.into_iter().flatten().collect()
}

/// Disks that are missing or have failed, by the numbers that btrfs gives them; `None` if there are none.
fn failures(kernel: &Path) -> Option<String> {
    let disks = fs::read_dir(kernel.join("devinfo")).ok()?.flatten();
    let failure = |disk: DirEntry| {
        let (number, folder) = (disk.file_name().to_string_lossy().into_owned(), disk.path());
        if figure(&folder.join("missing")) == Some(1) {
            return Some(format!("disk {number} is missing"));
        }
        let counted = fs::read_to_string(folder.join("error_stats")).ok()?;
        let counts = counted.lines().filter_map(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
        let errors = counts.fold(0, u64::saturating_add);
        (errors > 0).then(|| format!("disk {number} has had {errors} errors"))
    };
    let mut failures: Vec<String> = disks.filter_map(failure).collect();
    failures.sort();
    (!failures.is_empty()).then(|| failures.join(", "))
}

/// Space of a pool in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// For disks of machines and volumes.
    pub offered: u64,
    /// For images.
    pub images: u64,
    /// For the file system itself, logs and what the engine keeps about machines.
    pub reserve: u64,
}

impl Pool {
    /// Opens the pool; makes a file system only on devices that hold nothing. Everything of an earlier start is
    /// used again.
    ///
    /// # Errors
    /// If the place holds anything else, or can't be used.
    pub async fn open(data: &Path, disk: DiskKind, place: PoolPlace, node: &PublicKey) -> Result<Self> {
        let data = data.canonicalize().with_context(|| format!("can't open {}", data.display()))?;
        let (file, root) = (image_file(&data, disk), run_folder(node).join(stem(disk)));
        let was_mounted = is_mount_point(&root)?;
        let opening = async {
            match &place {
                PoolPlace::Folder(_) if was_mounted => {}
                PoolPlace::Folder(folder) => {
                    ensure!(is_btrfs(existing(folder))?, "it isn't on btrfs");
                    create_dir(folder)?;
                    create_dir(&root)?;
                    run(&MOUNT, &["--bind", text(folder)?, text(&root)?]).await?;
                }
                PoolPlace::Devices(devices) => mount(devices, &root, was_mounted).await?,
                PoolPlace::File(size) => {
                    mount(&[file_device(&file, *size).await?], &root, was_mounted).await?;
                    grow(&file, *size, &root).await?;
                }
            }
            let first_free = claim(&root, node, disk)?;
            let pool = Self {
                device: fs::metadata(&root)?.dev(),
                kernel: kernel_folder(&root).await?,
                first_free,
                limits_held: Arc::default(),
                root: root.clone(),
                disk,
                place: place.clone(),
                file,
            };
            pool.enable_quotas().await?;
            create_dir(&pool.volumes())?;
            create_dir(&pool.snapshots())?;
            if disk == DiskKind::Ssd {
                create_dir(&pool.engine())?;
                create_dir(&pool.stopped())?;
            }
            pool.with_all_disks().await
        };
        let opened = opening.await;
        if opened.is_err() {
            if !was_mounted && is_mount_point(&root)? {
                run(&UMOUNT, &[text(&root)?]).await?;
            }
            // They stay if anything is in them.
            let _ = fs::remove_dir(&root).and_then(|()| fs::remove_dir(run_folder(node)));
        }
        opened.with_context(|| format!("can't use {place} as the storage pool"))
    }

    /// Knows the disks that a killed start has added too, and sees that each part of the metadata is on two.
    async fn with_all_disks(mut self) -> Result<Self> {
        let PoolPlace::Devices(named) = &mut self.place else { return Ok(self) };
        let known: Vec<PathBuf> = named.iter().map(|device| real(device)).collect();
        let members = members(&self.kernel)?;
        named.extend(members.iter().filter(|device| !known.contains(device)).cloned());
        let is_single = |profile| self.kernel.join("allocation/metadata").join(profile).exists();
        if members.len() > 1 && (is_single("dup") || is_single("single")) {
            info!("writing the metadata of {} to two disks", self.place);
            let words = "balance start --background --force -mconvert=raid1,soft -sconvert=raid1,soft";
            let words: Vec<&str> = words.split(' ').chain([text(&self.root)?]).collect();
            if let Err(why) = run(&BTRFS, &words).await {
                warn!("the next start tries again: {why:#}");
            }
        }
        Ok(self)
    }

    /// Kind of its disks, as the farmer says.
    pub fn disk(&self) -> DiskKind {
        self.disk
    }

    /// Block devices that it is on, if it has disks of its own.
    pub fn devices(&self) -> &[PathBuf] {
        self.place.devices()
    }

    /// Folder of the volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Folder of what lasts as long as a stream.
    pub(super) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// Folder of marks of machines that the agent has stopped.
    pub fn stopped(&self) -> PathBuf {
        self.root.join("stopped")
    }

    /// Folder of marks of contracts' networks. It is there with the first: a full pool has no room for it.
    pub(super) fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }

    /// Makes a mark of a contract's network.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) fn mark_network(&self, name: &str) -> Result<()> {
        create_dir(&self.networks())?;
        let mark = self.networks().join(name);
        fs::write(&mark, "").with_context(|| format!("can't write {}", mark.display()))
    }

    /// Folder of the container engine.
    pub fn engine(&self) -> PathBuf {
        self.root.join("engine")
    }

    /// The engine's data: a folder for each range of users that machines' ones are mapped to.
    ///
    /// # Errors
    /// If they can't be read.
    pub(super) fn engine_data(&self) -> Result<Vec<PathBuf>> {
        entries(&self.engine().join("docker"))
    }

    /// Has the kernel count for quotas.
    async fn enable_quotas(&self) -> Result<()> {
        run(&BTRFS, &["quota", "enable", text(&self.root)?]).await?;
        count_always(&self.qgroups())
    }

    /// Puts limits back that the kernel has forgotten since quotas were switched off: the engine does that when it ends
    /// and no machine runs.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn restore_limits(&self) -> Result<()> {
        if !self.qgroups().exists() {
            self.enable_quotas().await?;
        }
        let mut lost = Vec::new();
        for path in self.limited()? {
            lost.extend(limits(&path)?.filter(|limits| !self.has(limits)).map(|limits| (path, limits)));
        }
        if lost.is_empty() {
            return Ok(());
        }
        warn!(count = lost.len(), "limits that the kernel doesn't have any more are put back");
        let mut restored = Ok(());
        for (path, limits) in lost {
            match self.set_limits(&limits).await {
                // It was deleted meanwhile.
                Err(_) if !path.exists() => {}
                set => restored = set.and(restored),
            }
        }
        if let Err(why) = self.count().await {
            warn!("more may be written than limits allow until the kernel has counted: {why:#}");
        }
        restored
    }

    /// [`Self::restore_limits`] if quotas may have been switched off since the last time: a node of a thousand machines
    /// can't look at each limit whenever it looks at its volumes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn hold_limits(&self) -> Result<()> {
        // The kernel makes the folder anew when quotas are switched on.
        let folder = fs::metadata(self.qgroups()).ok().map(|folder| folder.ino());
        let held = *self.limits_held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_some_and(|(at, of)| at.elapsed() < LOOK_AT_LIMITS_EVERY && folder == Some(of)) {
            return Ok(());
        }
        let now = Instant::now();
        self.restore_limits().await?;
        *self.limits_held.lock().unwrap_or_else(PoisonError::into_inner) = folder.map(|folder| (now, folder));
        Ok(())
    }

    /// Folders that may be subvolumes with limits.
    fn limited(&self) -> Result<Vec<PathBuf>> {
        let mut limited = entries(&self.volumes())?;
        for data in self.engine_data()? {
            for folder in [SUBVOLUMES, "containers"] {
                limited.extend(entries(&data.join(folder))?);
            }
        }
        Ok(limited)
    }

    /// Waits until the kernel has counted what the pool holds.
    ///
    /// # Errors
    /// If it takes too long.
    pub(super) async fn count(&self) -> Result<()> {
        if self.is_uncounted() {
            let words = ["quota", "rescan", "-w", text(&self.root)?];
            let counted = timeout(COUNTED_WITHIN, run(&BTRFS, &words)).await;
            counted.with_context(|| format!("it takes more than {COUNTED_WITHIN:?}"))??;
        }
        Ok(())
    }

    /// Whether figures of quotas aren't those of what the pool holds, or not yet.
    fn is_uncounted(&self) -> bool {
        figure(&self.qgroups().join("inconsistent")) == Some(1)
    }

    /// Fails if the pool is gone or can't be written any more. Also counts anew if the kernel says that the
    /// figures of quotas have gone wrong.
    ///
    /// # Errors
    /// With what to do.
    pub async fn check(&self) -> Result<(), DriverError> {
        if let Some(fault) = self.faults().into_iter().find(PoolFault::stops) {
            return Err(DriverError::Transient(self.fails(&fault)));
        }
        if self.is_uncounted() {
            warn!("the quotas of the storage pool are counted anew");
            // It fails while the counting of an earlier call goes on.
            let _ = run(&BTRFS, &["quota", "rescan", text(&self.root)?]).await;
        }
        Ok(())
    }

    /// What is wrong with it.
    pub fn faults(&self) -> Vec<PoolFault> {
        match self.space() {
            Ok(space) => faults(&space, &self.kernel, reserve(self.total(&space))),
            Err(_) => vec![PoolFault::Gone],
        }
    }

    fn fails(&self, fault: &PoolFault) -> Error {
        anyhow!("the storage pool at {} {fault}: {}", self.root.display(), fault.advice())
    }

    /// Figures of the quotas.
    fn qgroups(&self) -> PathBuf {
        self.kernel.join("qgroups")
    }

    /// How the pool is divided.
    ///
    /// # Errors
    /// If it can't be measured.
    pub fn share(&self) -> Result<Share> {
        let total = self.total(&self.space()?);
        let images = match self.disk {
            DiskKind::Ssd => (total / 10).max(MIN_IMAGE_SHARE),
            DiskKind::Hdd => 0,
        };
        let reserve = reserve(total);
        let rest = total.saturating_sub(images).saturating_sub(reserve);
        Ok(Share { offered: rest / MIB * MIB, images, reserve })
    }

    /// Whether even the reserve is used.
    pub fn is_full(&self) -> bool {
        self.faults().contains(&PoolFault::Full)
    }

    fn total(&self, space: &StatVfs) -> u64 {
        match self.place {
            PoolPlace::Folder(_) => self.first_free,
            _ => bytes(space, space.f_blocks),
        }
    }

    /// Fails if something else is in its place.
    fn space(&self) -> Result<StatVfs> {
        let device = fs::metadata(&self.root).map(|metadata| metadata.dev()).ok();
        ensure!(device == Some(self.device), self.fails(&PoolFault::Gone));
        statvfs(&self.root).with_context(|| format!("can't measure {}", self.root.display()))
    }

    /// Creates a subvolume that holds at most so many bytes, unless it is there; changes its limit if that differs.
    ///
    /// # Errors
    /// If a tool fails.
    pub async fn ensure_subvolume(&self, path: &Path, limit: u64) -> Result<()> {
        let known = self.subvolume(path)?;
        if known.is_some_and(|known| known.limit == limit) {
            return Ok(());
        }
        if known.is_none() {
            // The rest of an interrupted creation.
            self.delete_subvolume(path).await?;
            run(&BTRFS, &["subvolume", "create", text(path)?]).await?;
        }
        let limits = Limits { id: subvolume_id(path).await?, referenced: limit, exclusive: 0 };
        self.limit(path, &limits).await?;
        if known.is_none() {
            setxattr(path, FRESH_ATTRIBUTE, b"", XattrFlags::empty())?;
            setxattr(path, ID_ATTRIBUTE, limits.id.as_bytes(), XattrFlags::empty())?;
        }
        Ok(())
    }

    /// Limits a subvolume, which remembers the limits.
    async fn limit(&self, path: &Path, limits: &Limits) -> Result<()> {
        let value = limits.to_string();
        let remember = || setxattr(path, LIMITS_ATTRIBUTE, value.as_bytes(), XattrFlags::empty());
        match remember() {
            // A full subvolume takes no attribute.
            Err(rustix::io::Errno::DQUOT) => {
                run(&BTRFS, &["qgroup", "limit", "none", text(path)?]).await?;
                remember()?;
            }
            remembered => remembered?,
        }
        self.set_limits(limits).await
    }

    /// Tells the kernel the limits.
    async fn set_limits(&self, limits: &Limits) -> Result<()> {
        let (group, root) = (format!("0/{}", limits.id), text(&self.root)?);
        if limits.exclusive > 0 {
            run(&BTRFS, &["qgroup", "limit", "-e", &limits.exclusive.to_string(), &group, root]).await?;
        }
        run(&BTRFS, &["qgroup", "limit", &limits.referenced.to_string(), &group, root]).await.map(drop)
    }

    /// Whether the kernel knows these limits.
    fn has(&self, limits: &Limits) -> bool {
        let is = |name, limit| self.figure(&limits.id, name) == Some(limit);
        is("max_referenced", limits.referenced) && is("max_exclusive", limits.exclusive)
    }

    /// Makes a subvolume that can't be written, with the content of another one at this instant; it takes as long as
    /// the kernel does.
    ///
    /// # Errors
    /// If a tool fails.
    pub(super) async fn snapshot(&self, of: &Path, path: &Path) -> Result<()> {
        self.delete_subvolume(path).await?;
        let words = ["subvolume", "snapshot", "-r", text(of)?, text(path)?];
        run_to_its_end(&BTRFS, &words, "").await.map(drop)
    }

    /// Makes a subvolume with the content of another one, which is at rest; it takes as long as the kernel does.
    ///
    /// # Errors
    /// If a tool fails.
    pub(super) async fn copy(&self, of: &Path, path: &Path) -> Result<()> {
        path.parent().map_or(Ok(()), create_dir)?;
        self.delete_subvolume(path).await?;
        let words = ["subvolume", "snapshot", text(of)?, text(path)?];
        run_to_its_end(&BTRFS, &words, "").await.map(drop)
    }

    /// Waits until the kernel has dropped the deleted snapshots of a subvolume, if there are more than so many. It takes
    /// half a minute: until then they keep what they hold, and what they share is counted for neither.
    ///
    /// # Errors
    /// If a tool fails, or it takes too long.
    pub(super) async fn drop_snapshots(&self, of: &Path, most: usize) -> Result<()> {
        let (root, of) = (text(&self.root)?, text(of)?);
        let about = run(&BTRFS, &["subvolume", "show", of]).await?;
        let uuid = about.lines().find_map(|line| line.trim().strip_prefix("UUID:"));
        let uuid = uuid.with_context(|| format!("btrfs tells no UUID of {of}"))?.trim();
        let deleted = run(&BTRFS, &["subvolume", "list", "-d", "-q", root]).await?;
        let ids = snapshots_in(&deleted, uuid);
        if ids.len() <= most {
            return Ok(());
        }
        run(&BTRFS, &[&["subvolume", "sync", root], &ids[..]].concat()).await.map(drop)
    }

    /// Bytes that a subvolume shares with no other; the kernel counts with some seconds' delay.
    ///
    /// # Errors
    /// If it isn't one.
    pub(super) async fn exclusive(&self, path: &Path) -> Result<u64> {
        self.figure(&subvolume_id(path).await?, "exclusive").with_context(|| no_quota(path))
    }

    /// Deletes what streams have left that ended with the agent, as much as can be.
    ///
    /// # Errors
    /// If a tool fails.
    async fn clear_snapshots(&self) -> Result<()> {
        let mut left = entries(&self.snapshots())?;
        for data in self.engine_data()? {
            left.extend(entries(&data.join(NEW_ROOTS))?);
        }
        let mut cleared = Ok(());
        for path in left {
            cleared = self.delete_subvolume(&path).await.and(cleared);
        }
        cleared
    }

    /// What [`Self::limit_snapshot`] has set of a snapshot, and what that holds beyond what it shares; `None` if it
    /// hasn't.
    ///
    /// # Errors
    /// If it can't be read.
    pub(super) fn limited_snapshot(&self, path: &Path) -> Result<Option<Subvolume>> {
        let Some(Limits { id, exclusive, .. }) = limits(path)? else { return Ok(None) };
        let used = self.figure(&id, "exclusive").with_context(|| no_quota(path))?;
        Ok(Some(Subvolume { limit: exclusive, used }))
    }

    /// Limits what a fresh snapshot, such as a machine's root of its image, holds beyond what it shares with others, and
    /// what it shares with others beyond the snapshot.
    ///
    /// # Errors
    /// If it isn't a subvolume, or the kernel still counts what it shares.
    pub async fn limit_snapshot(&self, path: &Path, limit: u64) -> Result<()> {
        let known = limits(path)?;
        if let Some(known) = known.as_ref().filter(|known| known.exclusive == limit) {
            return if self.has(known) { Ok(()) } else { self.set_limits(known).await };
        }
        let (id, shared) = match known {
            Some(known) => (known.id, known.referenced.saturating_sub(known.exclusive)),
            None => {
                ensure!(
                    !self.is_uncounted(),
                    "the kernel still counts what the storage pool holds: the agent tries again"
                );
                let id = subvolume_id(path).await?;
                let shared = self.figure(&id, "referenced").with_context(|| no_quota(path))?;
                (id, shared)
            }
        };
        let limits = Limits { id, referenced: shared.saturating_add(limit), exclusive: limit };
        self.limit(path, &limits).await
    }

    /// A figure that the kernel has of the subvolume with this id.
    fn figure(&self, id: &str, name: &str) -> Option<u64> {
        figure(&self.qgroups().join(format!("0_{id}")).join(name))
    }

    /// Limit and content of a subvolume; `None` if there is none or its creation was interrupted.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn subvolume(&self, path: &Path) -> Result<Option<Subvolume>> {
        let Some(id) = attribute(path, ID_ATTRIBUTE)? else { return Ok(None) };
        let read = |name| self.figure(&id, name).with_context(|| no_quota(path));
        Ok(Some(Subvolume { limit: read("max_referenced")?, used: read("referenced")? }))
    }

    /// Deletes a subvolume with its content, if it is there.
    ///
    /// # Errors
    /// If a tool fails.
    pub async fn delete_subvolume(&self, path: &Path) -> Result<()> {
        if path.exists() {
            run(&BTRFS, &["subvolume", "delete", text(path)?]).await?;
        }
        Ok(())
    }

    /// Removes the pool and everything in it. Nothing may use it any more.
    ///
    /// # Errors
    /// If something is in use. It can be tried again.
    pub async fn remove(self) -> Result<()> {
        if let PoolPlace::Folder(_) = self.place {
            // They can't be written.
            self.clear_snapshots().await?;
            for entry in [
                self.volumes(),
                self.snapshots(),
                self.engine(),
                self.stopped(),
                self.networks(),
                self.root.join(BELONGING_FILE),
            ] {
                run(&RM, &["-rf", "--", text(&entry)?]).await?;
            }
        }
        // The engine has its own in the run folder.
        let folder = match self.disk {
            DiskKind::Ssd => self.root.parent().unwrap_or(&self.root),
            DiskKind::Hdd => &self.root,
        };
        // Newest first: one may lie on another.
        for mount in mount_points()?.iter().rev().filter(|mount| mount.starts_with(folder)) {
            run(&UMOUNT, &[text(mount)?]).await?;
        }
        fs::remove_dir_all(folder)?;
        match &self.place {
            PoolPlace::Folder(_) => {}
            PoolPlace::Devices(devices) => {
                for device in devices {
                    run(&WIPEFS, &["--all", text(device)?]).await?;
                }
            }
            PoolPlace::File(_) => {
                for device in loop_devices(&self.file).await? {
                    run(&LOSETUP, &["--detach", &device]).await?;
                }
                fs::remove_file(&self.file)?;
            }
        }
        Ok(())
    }
}

/// Figures of a subvolume in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subvolume {
    /// The most it may hold.
    pub limit: u64,
    /// What it holds; the kernel counts with some seconds' delay.
    pub used: u64,
}

/// Limits of a subvolume in bytes; 0 is none.
#[derive(Debug, PartialEq, Eq)]
struct Limits {
    id: String,
    /// The most it may hold.
    referenced: u64,
    /// The most it may hold of what it shares with no other.
    exclusive: u64,
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.referenced, self.exclusive)
    }
}

/// The limits that the subvolume remembers.
fn limits(path: &Path) -> Result<Option<Limits>> {
    let Some(text) = attribute(path, LIMITS_ATTRIBUTE)? else { return Ok(None) };
    let parse = || {
        let mut words = text.split(' ');
        let (id, mut limit) = (words.next()?.to_owned(), || words.next()?.parse().ok());
        Some(Limits { id, referenced: limit()?, exclusive: limit()? })
    };
    let limits = parse().with_context(|| format!("the limits of {} are unreadable: {text}", path.display()));
    limits.map(Some)
}

/// An extended attribute, `None` if there is none.
fn attribute(path: &Path, name: &str) -> Result<Option<String>> {
    // Room for three numbers of 20 digits.
    let mut value = [0; 64];
    match getxattr(path, name, &mut value) {
        Ok(length) => Ok(Some(String::from_utf8_lossy(&value[..length]).into_owned())),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
    }
}

async fn subvolume_id(path: &Path) -> Result<String> {
    Ok(run(&BTRFS, &["inspect-internal", "rootid", text(path)?]).await?.trim().to_owned())
}

/// Ids of the snapshots of the subvolume with this UUID in a list of btrfs's.
fn snapshots_in<'a>(list: &'a str, uuid: &str) -> Vec<&'a str> {
    let of = |line: &'a str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let is_of = words.windows(2).any(|pair| pair == ["parent_uuid", uuid]);
        words.get(1).copied().filter(|_| is_of)
    };
    list.lines().filter_map(of).collect()
}

/// Whether no machine has used the subvolume yet.
pub fn is_fresh(path: &Path) -> bool {
    getxattr(path, FRESH_ATTRIBUTE, &mut [0; 0]).is_ok()
}

/// Remembers that a machine has used the subvolume.
pub fn set_used(path: &Path) -> io::Result<()> {
    match removexattr(path, FRESH_ATTRIBUTE) {
        Err(rustix::io::Errno::NODATA) => Ok(()),
        other => other.map_err(Into::into),
    }
}

/// Types of the content of a block device; empty for a blank one.
///
/// # Errors
/// If it can't be read.
pub async fn signatures(device: &str) -> Result<String> {
    // It reads only: `--no-act` keeps it from erasing whatever else is said.
    let found = run(&WIPEFS, &["--no-act", "--noheadings", "--output", "TYPE", device]).await?;
    Ok(found.trim().replace('\n', ", "))
}

/// Whether the subvolume's content was restored.
pub fn is_restored(path: &Path) -> bool {
    getxattr(path, RESTORED_ATTRIBUTE, &mut [0; 0]).is_ok()
}

/// Remembers that the subvolume's content was restored.
pub fn set_restored(path: &Path) -> io::Result<()> {
    Ok(setxattr(path, RESTORED_ATTRIBUTE, b"", XattrFlags::empty())?)
}

/// Mounts the file system of these devices, and adds those to it that hold nothing at all. One is made if none holds
/// anything.
async fn mount(devices: &[PathBuf], root: &Path, is_mounted: bool) -> Result<()> {
    let (mut holding, mut blank, mut is_new) = (Vec::new(), Vec::new(), false);
    for device in devices {
        let name = text(device)?;
        ensure!(device.exists(), "there is no {name}: is the disk connected?");
        let signatures = signatures(name).await?;
        if signatures.is_empty() {
            blank.push(name);
            continue;
        }
        let label = run(&BLKID, &["--probe", "--output", "value", "--match-tag", "LABEL", name]).await;
        let label = label.unwrap_or_default();
        ensure!(
            [LABEL, NEW_LABEL].contains(&label.trim()),
            "{name} holds data ({signatures}), which is never overwritten: name another disk, or if nothing on it is \
             needed, run `wipefs --all {name}`"
        );
        // A power cut may have left one of these in parts.
        let is_unused = label.trim() == NEW_LABEL;
        is_new |= is_unused;
        if is_unused && !is_mounted { blank.push(name) } else { holding.push(name) }
    }
    if holding.is_empty() && !is_mounted {
        info!(devices = blank.join(","), "making the storage pool");
        let metadata = if blank.len() > 1 { "raid1" } else { "dup" };
        let options = ["--quiet", "--label", NEW_LABEL, "--data", "single", "--metadata", metadata];
        let force: &[&str] = if is_new { &["--force"] } else { &[] };
        run(&MKFS, &[&options, force, blank.as_slice()].concat()).await?;
        (holding, is_new) = (std::mem::take(&mut blank), true);
    }
    let first =
        holding.first().context("they hold nothing, and another pool is mounted: name its disks too")?;
    if !is_mounted {
        create_dir(root)?;
        // All: a start that was killed may have added one that isn't named.
        run(&BTRFS, &["device", "scan"]).await?;
        let mounted = run(&MOUNT, &["-t", "btrfs", "-o", "nosuid,nodev", first, text(root)?]).await;
        mounted.context("is a disk of the pool missing or damaged?")?;
    }
    if is_new {
        // The kernel returns when it is on the disk, with all of the file system.
        run(&BTRFS, &["filesystem", "label", text(root)?, LABEL]).await?;
    }
    let members = members(&kernel_folder(root).await?)?;
    if let Some(other) = holding.iter().find(|name| !members.contains(&real(Path::new(name)))) {
        bail!("{other} holds another storage pool: name one pool's disks only");
    }
    for name in blank {
        info!(name, "adding a disk to the storage pool");
        run(&BTRFS, &["device", "add", "--nodiscard", name, text(root)?]).await?;
    }
    Ok(())
}

/// Block devices of a file system.
fn members(kernel: &Path) -> Result<Vec<PathBuf>> {
    let folder = kernel.join("devices");
    let entries = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.with_context(|| format!("can't list {}", folder.display()))?;
    Ok(entries.iter().map(|entry| Path::new("/dev").join(entry.file_name())).collect())
}

fn no_quota(path: &Path) -> String {
    format!("the kernel has no quota of {}", path.display())
}

/// The device that a name such as `/dev/disk/by-id/…` stands for.
fn real(device: &Path) -> PathBuf {
    device.canonicalize().unwrap_or_else(|_| device.to_owned())
}

/// The loop device of the pool's file, which is created under another name and renamed when it is complete.
async fn file_device(file: &Path, size: u64) -> Result<PathBuf> {
    if !file.exists() {
        let new = file.with_extension("img.new");
        // Nobody else reads what tenants write.
        let created = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        created.set_len(size)?;
        run(&MKFS, &["--quiet", "--force", "--label", LABEL, text(&new)?]).await?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, file)?;
    }
    let device = match loop_devices(file).await?.into_iter().next() {
        Some(device) => device,
        None => run(&LOSETUP, &["--find", "--show", text(file)?]).await?.trim().to_owned(),
    };
    Ok(device.into())
}

/// Enlarges the file and its file system. A growth that was interrupted is completed.
async fn grow(file: &Path, size: u64, root: &Path) -> Result<()> {
    let now = fs::metadata(file)?.len();
    ensure!(
        now <= size,
        "a pool can't shrink, and {} has {now} bytes: name that size or a larger one",
        file.display()
    );
    File::options().write(true).open(file)?.set_len(size)?;
    for device in loop_devices(file).await? {
        run(&LOSETUP, &["--set-capacity", &device]).await?;
    }
    run(&BTRFS, &["filesystem", "resize", "max", text(root)?]).await.map(drop)
}

async fn loop_devices(file: &Path) -> Result<Vec<String>> {
    let args = ["--noheadings", "--output", "NAME", "--associated", text(file)?];
    Ok(run(&LOSETUP, &args).await?.lines().map(|line| line.trim().to_owned()).collect())
}

/// Takes a pool that belongs to nobody and holds nothing; returns the bytes that were free then.
fn claim(root: &Path, node: &PublicKey, disk: DiskKind) -> Result<u64> {
    let store = Store::open(root)?;
    let node = hex::encode(node);
    if let Some(belonging) = store.read::<Belonging>(BELONGING_FILE)? {
        ensure!(
            belonging.node == node,
            "it belongs to the node with the key {}: name another place with --pool, or use that node's --data",
            belonging.node
        );
        ensure!(
            belonging.disk == disk,
            "this node has it as another pool: name it with --{}",
            stem(belonging.disk)
        );
        return Ok(belonging.free);
    }
    let unfinished = Path::new(BELONGING_FILE).with_extension("new");
    let holds = fs::read_dir(root)?.flatten().find(|entry| entry.file_name() != unfinished.as_os_str());
    if let Some(entry) = holds {
        bail!("it holds data, such as {}: name an empty place", entry.path().display());
    }
    let space = statvfs(root)?;
    let free = bytes(&space, space.f_bavail);
    store.write(BELONGING_FILE, &Belonging { node, free, disk })?;
    Ok(free)
}

/// The kernel's folder about the file system.
async fn kernel_folder(root: &Path) -> Result<PathBuf> {
    let shown = run(&BTRFS, &["filesystem", "show", "--raw", text(root)?]).await?;
    let id = shown.split_once("uuid: ").and_then(|(_, rest)| rest.split_whitespace().next());
    Ok(Path::new("/sys/fs/btrfs").join(id.context("btrfs doesn't name its id")?))
}

/// Else the kernel stops counting for quotas when a large subvolume is deleted.
fn count_always(qgroups: &Path) -> Result<()> {
    ensure!(
        qgroups.exists(),
        "the kernel has no figures of quotas at {}: it needs Linux 5.9",
        qgroups.display()
    );
    match fs::write(qgroups.join("drop_subtree_threshold"), "8") {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("can't set up quotas"),
        _ => Ok(()),
    }
}

fn figure(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// What is in the folder; nothing if there is none.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect()),
    };
    entries.with_context(|| format!("can't read {}", folder.display()))
}

/// The folder, or the first above it that exists.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder)
}

fn is_btrfs(folder: &Path) -> Result<bool> {
    let system = statfs(folder).with_context(|| format!("can't inspect {}", folder.display()))?;
    Ok(u64::try_from(system.f_type).is_ok_and(|magic| magic == BTRFS_MAGIC))
}

/// Whether something is mounted on the folder.
fn is_mount_point(dir: &Path) -> Result<bool> {
    Ok(mount_points()?.iter().any(|mount| mount == dir))
}

/// All mount points, oldest first.
fn mount_points() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("can't read the mount table")?;
    Ok(mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from).collect())
}

/// Machines reach their volumes through mounts, not through these folders.
fn create_dir(path: &Path) -> Result<()> {
    let created = DirBuilder::new().recursive(true).mode(0o711).create(path);
    created.with_context(|| format!("can't create the folder {}", path.display()))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} isn't UTF-8: choose another name", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_devices_or_a_size() {
        let devices = PoolPlace::Devices(vec!["/dev/sdb".into(), "/dev/sdc".into()]);
        for (text, place) in [
            ("/srv/pool", PoolPlace::Folder("/srv/pool".into())),
            ("/dev/sdb,/dev/sdc", devices),
            ("20GiB", PoolPlace::File(20 * GIB)),
        ] {
            assert_eq!(text.parse::<PoolPlace>().unwrap(), place);
            assert_eq!(place.to_string().parse::<PoolPlace>().unwrap(), place);
        }
        for strange in ["", "pool", "/dev/sdb,/srv", "20", "-1GiB"] {
            let error = strange.parse::<PoolPlace>().unwrap_err();
            assert!(error.contains("/dev/sdb,/dev/sdc"), "{strange:?}: {error}");
        }
    }

    #[test]
    fn a_mark_makes_its_folder_or_says_what_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let pool = Pool {
            root: dir.path().to_owned(),
            disk: DiskKind::Ssd,
            place: PoolPlace::File(GIB),
            file: PathBuf::new(),
            device: 0,
            kernel: PathBuf::new(),
            first_free: 0,
            limits_held: Arc::default(),
        };
        pool.mark_network("zos-abababab-7").unwrap();
        pool.mark_network("zos-abababab-7").unwrap();
        assert_eq!(entries(&pool.networks()).unwrap(), [pool.networks().join("zos-abababab-7")]);

        fs::remove_dir_all(pool.networks()).unwrap();
        fs::write(pool.networks(), "").unwrap();
        let error = format!("{:#}", pool.mark_network("zos-abababab-7").unwrap_err());
        assert!(error.starts_with("can't create the folder") && error.contains("/networks"), "{error}");
    }

    #[test]
    fn snapshots_are_found_by_their_origin() {
        let list = "ID 257 gen 7 top level 0 parent_uuid d5267afa path DELETED\n\
                    ID 258 gen 7 top level 0 parent_uuid -        path DELETED\n\
                    ID 301 gen 9 top level 0 parent_uuid d5267afa path DELETED\n";
        assert_eq!(snapshots_in(list, "d5267afa"), ["257", "301"]);
        assert!(snapshots_in(list, "7afa").is_empty() && snapshots_in("", "d5267afa").is_empty());
    }

    #[test]
    fn a_place_is_remembered_and_does_not_move() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("state")).unwrap();
        let choose = |given: Option<&str>| {
            let given = given.map(|place| place.parse().unwrap());
            PoolPlace::choose(Path::new("/proc"), &store, given).map_err(|error| error.to_string())
        };
        assert!(choose(None).unwrap_err().contains("--pool /dev/sdb"));
        assert_eq!(choose(Some("/dev/sdb")).unwrap(), PoolPlace::Devices(vec!["/dev/sdb".into()]));
        assert!(!PoolPlace::is_remembered(dir.path(), DiskKind::Ssd));
        choose(Some("20GiB")).unwrap().remember(&store, DiskKind::Ssd).unwrap();
        assert!(PoolPlace::is_remembered(dir.path(), DiskKind::Ssd));
        assert_eq!(choose(None).unwrap(), PoolPlace::File(20 * GIB));
        assert_eq!(choose(Some("30GiB")).unwrap(), PoolPlace::File(30 * GIB));
        assert!(choose(Some("/dev/sdb")).unwrap_err().contains("can't move to /dev/sdb"));
        PoolPlace::forget(dir.path(), DiskKind::Ssd).unwrap();
        choose(Some("/dev/sdb")).unwrap();
    }

    #[test]
    fn disks_may_join_a_pool_and_not_leave_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("state")).unwrap();
        let given = |place: &str| {
            let place: PoolPlace = place.parse().unwrap();
            let known = PoolPlace::known(dir.path(), &store, DiskKind::Hdd, Some(place.clone()));
            known.map(|known| assert_eq!(known, Some(place))).map_err(|error| error.to_string())
        };
        assert_eq!(PoolPlace::known(dir.path(), &store, DiskKind::Hdd, None).unwrap(), None);
        let place: PoolPlace = "/dev/sdy,/dev/sdz".parse().unwrap();
        place.remember(&store, DiskKind::Hdd).unwrap();
        given("/dev/sdy,/dev/sdz").unwrap();
        given("/dev/sdx,/dev/sdz,/dev/sdy").unwrap();
        let left = given("/dev/sdy,/dev/sdx").unwrap_err();
        assert!(left.starts_with("/dev/sdz has a part") && left.contains("in --hdd-pool too"), "{left}");
        for other in ["/dev/sdx", "20GiB", "/srv"] {
            let moved = given(other).unwrap_err();
            assert!(moved.contains("can't move to"), "{moved}");
        }
    }

    #[test]
    fn a_file_that_a_killed_start_has_grown_keeps_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("state")).unwrap();
        PoolPlace::File(GIB).remember(&store, DiskKind::Ssd).unwrap();
        let choose = || PoolPlace::choose(dir.path(), &store, None).unwrap();
        assert_eq!(choose(), PoolPlace::File(GIB));
        File::create(dir.path().join("pool.img")).unwrap().set_len(2 * GIB).unwrap();
        assert_eq!(choose(), PoolPlace::File(2 * GIB));
    }

    #[test]
    fn disks_that_are_missing_or_have_failed_are_told() {
        let kernel = tempfile::tempdir().unwrap();
        let disk = |number: u32, missing: &str, errors: &str| {
            let folder = kernel.path().join(format!("devinfo/{number}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("missing"), missing).unwrap();
            fs::write(folder.join("error_stats"), errors).unwrap();
        };
        disk(1, "0\n", "write_errs 0\nread_errs 0\n");
        assert_eq!(failures(kernel.path()), None);
        disk(1, "0\n", "write_errs 3\nread_errs 4\n");
        disk(2, "1\n", "write_errs 0\nread_errs 0\n");
        assert_eq!(failures(kernel.path()).unwrap(), "disk 1 has had 7 errors, disk 2 is missing");
    }

    #[test]
    fn a_folder_that_holds_data_or_another_nodes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), "").unwrap();
        let error = claim(dir.path(), &[1; 32], DiskKind::Ssd).unwrap_err().to_string();
        assert!(error.contains("holds data") && error.contains("/mine"), "{error}");
        fs::remove_file(dir.path().join("mine")).unwrap();

        let free = claim(dir.path(), &[1; 32], DiskKind::Ssd).unwrap();
        fs::write(dir.path().join("volumes"), "").unwrap();
        assert_eq!(claim(dir.path(), &[1; 32], DiskKind::Ssd).unwrap(), free);
        let error = claim(dir.path(), &[1; 32], DiskKind::Hdd).unwrap_err().to_string();
        assert!(error.ends_with("name it with --pool"), "{error}");
        let error = claim(dir.path(), &[2; 32], DiskKind::Ssd).unwrap_err().to_string();
        assert!(error.contains("belongs to the node with the key 0101"), "{error}");
    }

    #[tokio::test]
    async fn a_folder_on_another_file_system_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let place = PoolPlace::Folder("/proc".into());
        let error =
            format!("{:#}", Pool::open(dir.path(), DiskKind::Ssd, place, &[1; 32]).await.unwrap_err());
        assert_eq!(error, "can't use /proc as the storage pool: it isn't on btrfs");
    }
}
