// SPDX-License-Identifier: Apache-2.0
//! The storage pool: a btrfs file system for the disks of machines, volumes and images.
//!
//! ```text
//! <pool>/pool.json     the node that the pool belongs to
//! <pool>/volumes/      subvolumes, one for each volume
//! <pool>/engine/       data of the container engine
//! <pool>/stopped/      marks of machines that the agent has stopped
//! ```
//!
//! It is mounted in a folder under `/run`, which root in a machine can traverse: root's own data folder it can't.

use super::{
    DriverError,
    tools::{Tool, run},
};
use crate::store::Store;
use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{StatVfs, StatVfsMountFlags, XattrFlags, getxattr, removexattr, setxattr, statfs, statvfs};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    str::FromStr,
};
use tfgrid_client::units::parse_bytes;
use tfgrid_primitives::{
    PublicKey,
    units::{GIB, MIB},
};
use tracing::{info, warn};

/// Tools that the pool needs.
pub(crate) const TOOLS: [&Tool; 7] = [&BTRFS, &MKFS, &WIPEFS, &BLKID, &LOSETUP, &MOUNT, &UMOUNT];
const BTRFS: Tool = Tool { program: "btrfs", package: "btrfs-progs" };
const MKFS: Tool = Tool { program: "mkfs.btrfs", package: "btrfs-progs" };
const WIPEFS: Tool = Tool { program: "wipefs", package: "util-linux" };
const BLKID: Tool = Tool { program: "blkid", package: "util-linux" };
const LOSETUP: Tool = Tool { program: "losetup", package: "mount" };
const MOUNT: Tool = Tool { program: "mount", package: "mount" };
const RM: Tool = Tool { program: "rm", package: "coreutils" };
const UMOUNT: Tool = Tool { program: "umount", package: "mount" };

/// Label of file systems that an agent has made.
const LABEL: &str = "zos-pool";
/// Type of a btrfs in `statfs(2)`.
const BTRFS_MAGIC: u64 = 0x9123_683e;
/// Remembers the place for starts without the option.
const PLACE_FILE: &str = "pool.json";
/// Extended attribute of a complete subvolume: its id. Only the host's root can set it.
const ID_ATTRIBUTE: &str = "trusted.zos.id";
/// Extended attribute of a subvolume that no machine has used yet.
const FRESH_ATTRIBUTE: &str = "trusted.zos.fresh";
/// Images may use a tenth of the pool, but at least this much.
const MIN_IMAGE_SHARE: u64 = 2 * GIB;
/// The reserve is a twentieth of the pool, but at least this much.
const MIN_RESERVE: u64 = 512 * MIB;

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

impl PoolPlace {
    /// The farmer's choice at this start, else that of the last start that had one, else `<data>/pool` if that is
    /// on btrfs.
    ///
    /// # Errors
    /// If there is none, or it isn't the pool that the node has.
    pub fn choose(data: &Path, store: &Store, given: Option<Self>) -> Result<Self> {
        match (given, store.read::<Self>(PLACE_FILE)?) {
            (Some(given), Some(known)) if given != known && !given.is_file_as(&known) => bail!(
                "the storage pool of this node is {known} and can't move to {given}: leave --pool out, or remove the \
                 pool and everything in it with `zos-agent purge`"
            ),
            (Some(place), _) | (None, Some(place)) => Ok(place),
            (None, None) => Self::within(data),
        }
    }

    /// Keeps the place of a pool that was opened for later starts.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn remember(&self, store: &Store) -> Result<()> {
        store.write(PLACE_FILE, self)
    }

    /// Forgets the place of a pool that was removed.
    ///
    /// # Errors
    /// If it can't be deleted.
    pub fn forget(data: &Path) -> Result<()> {
        let file = data.join("state").join(PLACE_FILE);
        fs::remove_file(&file).with_context(|| format!("can't delete {}", file.display()))
    }

    fn is_file_as(&self, other: &Self) -> bool {
        matches!((self, other), (Self::File(_), Self::File(_)))
    }

    /// Whether an earlier start has opened a pool.
    pub fn is_remembered(data: &Path) -> bool {
        data.join("state").join(PLACE_FILE).exists()
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
}

const BELONGING_FILE: &str = "pool.json";

/// Folder of all nodes' run folders.
pub(super) const RUN: &str = "/run/zos";

/// Folder of a node's mount points, sockets and pid files: all that a reboot ends.
pub fn run_folder(node: &PublicKey) -> PathBuf {
    Path::new(RUN).join(hex::encode(&node[..4]))
}

/// An open pool.
#[derive(Clone, Debug)]
pub struct Pool {
    root: PathBuf,
    place: PoolPlace,
    /// The file of [`PoolPlace::File`].
    file: PathBuf,
    /// Device number of the file system: another one is there once the pool is gone.
    device: u64,
    /// Figures of the quotas.
    qgroups: PathBuf,
    /// Bytes that were free when the node took it.
    first_free: u64,
}

/// A pool as others see it while an agent uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountedPool {
    /// Size of its file system in bytes.
    pub total: u64,
    /// Free bytes.
    pub free: u64,
    /// Whether the kernel has given it up.
    pub is_read_only: bool,
}

/// The pool of this node, `None` if it isn't mounted.
///
/// # Errors
/// If it can't be measured.
pub fn mounted(node: &PublicKey) -> Result<Option<MountedPool>> {
    let root = run_folder(node).join("pool");
    if !is_mount_point(&root)? {
        return Ok(None);
    }
    let space = statvfs(&root).with_context(|| format!("can't measure {}", root.display()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
    let is_read_only = space.f_flag.contains(StatVfsMountFlags::RDONLY);
    Ok(Some(MountedPool { total: bytes(space.f_blocks), free: bytes(space.f_bavail), is_read_only }))
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
    pub async fn open(data: &Path, place: PoolPlace, node: &PublicKey) -> Result<Self> {
        let data = data.canonicalize().with_context(|| format!("can't open {}", data.display()))?;
        let (file, root) = (data.join("pool.img"), run_folder(node).join("pool"));
        let opening = async {
            match &place {
                _ if is_mount_point(&root)? => {}
                PoolPlace::Folder(folder) => {
                    ensure!(is_btrfs(existing(folder))?, "it isn't on btrfs");
                    create_dir(folder)?;
                    create_dir(&root)?;
                    run(&MOUNT, &["--bind", text(folder)?, text(&root)?]).await?;
                }
                PoolPlace::Devices(devices) => mount(devices, &root).await?,
                PoolPlace::File(size) => mount(&[file_device(&file, *size).await?], &root).await?,
            }
            if let PoolPlace::File(size) = &place {
                grow(&file, *size, &root).await?;
            }
            let free = match claim(&root, node) {
                Ok(free) => free,
                Err(error) => {
                    run(&UMOUNT, &[text(&root)?]).await?;
                    return Err(error);
                }
            };
            run(&BTRFS, &["quota", "enable", text(&root)?]).await?;
            let pool = Self {
                device: fs::metadata(&root)?.dev(),
                qgroups: qgroups(&root).await?,
                first_free: free,
                root: root.clone(),
                place: place.clone(),
                file,
            };
            create_dir(&pool.volumes())?;
            create_dir(&pool.engine())?;
            create_dir(&pool.stopped())?;
            Ok(pool)
        };
        let opened = opening.await;
        if opened.is_err() {
            // They stay if anything is in them.
            let _ = fs::remove_dir(&root).and_then(|()| fs::remove_dir(run_folder(node)));
        }
        opened.with_context(|| format!("can't use {place} as the storage pool"))
    }

    /// Folder of the volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Folder of marks of machines that the agent has stopped.
    pub fn stopped(&self) -> PathBuf {
        self.root.join("stopped")
    }

    /// Folder of the container engine.
    pub fn engine(&self) -> PathBuf {
        self.root.join("engine")
    }

    /// Fails if the pool is gone or can't be written any more. Also counts anew if the kernel says that the
    /// figures of quotas have gone wrong.
    ///
    /// # Errors
    /// With what to do.
    pub async fn check(&self) -> Result<(), DriverError> {
        let root = self.root.display();
        let device = fs::metadata(&self.root).map(|metadata| metadata.dev()).ok();
        if device != Some(self.device) {
            return Err(DriverError::transient(format!(
                "the storage pool at {root} is gone: is it unmounted or its disk lost? Restart the agent when it is back"
            )));
        }
        if self.space()?.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(DriverError::transient(format!(
                "the storage pool at {root} is read-only, as after a failure of its disk: see the kernel's log"
            )));
        }
        if figure(&self.qgroups.join("inconsistent")) == Some(1) {
            warn!("the quotas of the storage pool are counted anew");
            // It fails while the counting of an earlier call goes on.
            let _ = run(&BTRFS, &["quota", "rescan", text(&self.root)?]).await;
        }
        Ok(())
    }

    /// How the pool is divided.
    ///
    /// # Errors
    /// If it can't be measured.
    pub fn share(&self) -> Result<Share> {
        let space = self.space()?;
        let total = match self.place {
            PoolPlace::Folder(_) => self.first_free,
            _ => space.f_blocks.saturating_mul(space.f_frsize),
        };
        let images = (total / 10).max(MIN_IMAGE_SHARE);
        let reserve = (total / 20).max(MIN_RESERVE);
        let rest = total.saturating_sub(images).saturating_sub(reserve);
        Ok(Share { offered: rest / MIB * MIB, images, reserve })
    }

    /// Whether even the reserve is used, as when an image unpacks to more than anybody announced: then tenants are
    /// about to find no room for what they have reserved.
    ///
    /// # Errors
    /// If it can't be measured.
    pub fn is_low(&self) -> Result<bool> {
        let space = self.space()?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize) < self.share()?.reserve)
    }

    fn space(&self) -> Result<StatVfs> {
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
        run(&BTRFS, &["qgroup", "limit", &limit.to_string(), text(path)?]).await?;
        if known.is_none() {
            let id = run(&BTRFS, &["inspect-internal", "rootid", text(path)?]).await?;
            setxattr(path, FRESH_ATTRIBUTE, b"", XattrFlags::empty())?;
            setxattr(path, ID_ATTRIBUTE, id.trim().as_bytes(), XattrFlags::empty())?;
        }
        Ok(())
    }

    /// Limits what a subvolume holds beyond what it shares with others, such as a machine's root with its image.
    ///
    /// # Errors
    /// If it isn't a subvolume.
    pub async fn limit_own(&self, path: &Path, limit: u64) -> Result<()> {
        run(&BTRFS, &["qgroup", "limit", "-e", &limit.to_string(), text(path)?]).await.map(drop)
    }

    /// Limit and content of a subvolume; `None` if there is none or its creation was interrupted.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn subvolume(&self, path: &Path) -> Result<Option<Subvolume>> {
        let mut id = [0; 20];
        let length = match getxattr(path, ID_ATTRIBUTE, &mut id) {
            Ok(length) => length,
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        };
        let id = String::from_utf8_lossy(&id[..length]).into_owned();
        let qgroup = self.qgroups.join(format!("0_{id}"));
        let read = |name| {
            figure(&qgroup.join(name))
                .with_context(|| format!("the kernel has no quota of {}", path.display()))
        };
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
            for entry in [self.volumes(), self.engine(), self.stopped(), self.root.join(BELONGING_FILE)] {
                run(&RM, &["-rf", "--", text(&entry)?]).await?;
            }
        }
        let run_folder = self.root.parent().unwrap_or(&self.root);
        // Newest first: one may lie on another.
        for mount in mount_points()?.iter().rev().filter(|mount| mount.starts_with(run_folder)) {
            run(&UMOUNT, &[text(mount)?]).await?;
        }
        fs::remove_dir_all(run_folder)?;
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

/// Mounts the file system of these devices. One is made if they hold nothing at all.
async fn mount(devices: &[PathBuf], root: &Path) -> Result<()> {
    let mut names = Vec::new();
    let mut holding = Vec::new();
    for device in devices {
        let name = text(device)?;
        ensure!(device.exists(), "there is no {name}: is the disk connected?");
        names.push(name);
        // It reads only: `--no-act` keeps it from erasing whatever else is said.
        let signatures = run(&WIPEFS, &["--no-act", "--noheadings", "--output", "TYPE", name]).await?;
        if !signatures.trim().is_empty() {
            let label = run(&BLKID, &["--probe", "--output", "value", "--match-tag", "LABEL", name]).await;
            holding.push((name, signatures.trim().replace('\n', ", "), label.unwrap_or_default()));
        }
    }
    if let Some((name, signatures, _)) = holding.iter().find(|(_, _, label)| label.trim() != LABEL) {
        bail!(
            "{name} holds data ({signatures}), which is never overwritten: name another disk, or if nothing on it is \
             needed, run `wipefs --all {name}`"
        );
    }
    if holding.is_empty() {
        info!(devices = names.join(","), "making the storage pool");
        run(&MKFS, &[&["--quiet", "--label", LABEL][..], names.as_slice()].concat()).await?;
    } else if holding.len() < names.len() {
        bail!("some of its disks hold a pool and others nothing: name those of the pool only");
    }
    create_dir(root)?;
    run(&BTRFS, &[&["device", "scan"][..], names.as_slice()].concat()).await?;
    let first = names.first().context("no disk is named")?;
    let mounted = run(&MOUNT, &["-t", "btrfs", "-o", "nosuid,nodev", first, text(root)?]).await;
    mounted.map(drop).context("is a disk of the pool missing or damaged?")
}

/// The loop device of the pool's file, which is created under another name and renamed when it is complete.
async fn file_device(file: &Path, size: u64) -> Result<PathBuf> {
    if !file.exists() {
        let new = file.with_extension("img.new");
        File::create(&new)?.set_len(size)?;
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
    ensure!(now <= size, "a pool can't shrink: {} has {now} bytes", file.display());
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
fn claim(root: &Path, node: &PublicKey) -> Result<u64> {
    let store = Store::open(root)?;
    let node = hex::encode(node);
    if let Some(belonging) = store.read::<Belonging>(BELONGING_FILE)? {
        ensure!(
            belonging.node == node,
            "it belongs to the node with the key {}: name another place with --pool, or use that node's --data",
            belonging.node
        );
        return Ok(belonging.free);
    }
    let unfinished = Path::new(BELONGING_FILE).with_extension("new");
    let holds = fs::read_dir(root)?.flatten().find(|entry| entry.file_name() != unfinished.as_os_str());
    if let Some(entry) = holds {
        bail!("it holds data, such as {}: name an empty place", entry.path().display());
    }
    let space = statvfs(root)?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    store.write(BELONGING_FILE, &Belonging { node, free })?;
    Ok(free)
}

/// The kernel's folder with figures of quotas.
async fn qgroups(root: &Path) -> Result<PathBuf> {
    let shown = run(&BTRFS, &["filesystem", "show", "--raw", text(root)?]).await?;
    let id = shown.split_once("uuid: ").and_then(|(_, rest)| rest.split_whitespace().next());
    let folder = Path::new("/sys/fs/btrfs").join(id.context("btrfs doesn't name its id")?).join("qgroups");
    ensure!(
        folder.exists(),
        "the kernel has no figures of quotas at {}: it needs Linux 5.9",
        folder.display()
    );
    // Else the kernel stops counting when a large subvolume is deleted.
    match fs::write(folder.join("drop_subtree_threshold"), "8") {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("can't set up quotas"),
        _ => Ok(folder),
    }
}

fn figure(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
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
    fn a_place_is_remembered_and_does_not_move() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("state")).unwrap();
        let choose = |given: Option<&str>| {
            let place =
                PoolPlace::choose(Path::new("/proc"), &store, given.map(|place| place.parse().unwrap()));
            place.map_err(|error| error.to_string())
        };
        assert!(choose(None).unwrap_err().contains("--pool /dev/sdb"));
        assert_eq!(choose(Some("/dev/sdb")).unwrap(), PoolPlace::Devices(vec!["/dev/sdb".into()]));
        assert!(!PoolPlace::is_remembered(dir.path()));
        choose(Some("20GiB")).unwrap().remember(&store).unwrap();
        assert!(PoolPlace::is_remembered(dir.path()));
        assert_eq!(choose(None).unwrap(), PoolPlace::File(20 * GIB));
        assert_eq!(choose(Some("30GiB")).unwrap(), PoolPlace::File(30 * GIB));
        assert!(choose(Some("/dev/sdb")).unwrap_err().contains("can't move to /dev/sdb"));
        PoolPlace::forget(dir.path()).unwrap();
        choose(Some("/dev/sdb")).unwrap();
    }

    #[test]
    fn a_folder_that_holds_data_or_another_nodes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), "").unwrap();
        let error = claim(dir.path(), &[1; 32]).unwrap_err().to_string();
        assert!(error.contains("holds data") && error.contains("/mine"), "{error}");
        fs::remove_file(dir.path().join("mine")).unwrap();

        let free = claim(dir.path(), &[1; 32]).unwrap();
        fs::write(dir.path().join("volumes"), "").unwrap();
        assert_eq!(claim(dir.path(), &[1; 32]).unwrap(), free);
        let error = claim(dir.path(), &[2; 32]).unwrap_err().to_string();
        assert!(error.contains("belongs to the node with the key 0101"), "{error}");
    }

    #[tokio::test]
    async fn a_folder_on_another_file_system_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let place = PoolPlace::Folder("/proc".into());
        let error = format!("{:#}", Pool::open(dir.path(), place, &[1; 32]).await.unwrap_err());
        assert_eq!(error, "can't use /proc as the storage pool: it isn't on btrfs");
    }
}
