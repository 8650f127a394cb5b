// SPDX-License-Identifier: Apache-2.0
//! Subvolumes beside a volume or a machine's root, for as long as a stream lasts. They count to their owner's room:
//! together with the volume or the root they hold little more than its size.

use super::{
    DriverError, ObservedVolume, WorkloadId,
    machine::Root,
    pool::{CP, Pool, Subvolume, entries, is_restored, set_restored, set_used},
    tools::run,
    volume::PoolVolumes,
};
use crate::trees::Image;
use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tfgrid_primitives::units::MIB;
use tokio::{
    spawn,
    sync::Mutex,
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// What a volume or a root and its subvolume may hold together beyond its size, so that one that is full can be kept,
/// too. Those of all streams at the same time are half of the smallest reserve.
const FREE_BYTES: u64 = 64 * MIB;
/// Paths that images of a machine have declared as `VOLUME`, at most.
const MAX_IMAGE_VOLUMES: usize = 1_024;
/// Snapshots of a volume that the kernel has yet to drop when another one is made, at most: each may hold what the volume
/// has overwritten.
const MAX_DROPPED: usize = 8;
/// Limit for content to be kept: what its machine has written lately is written to the disk for it.
const KEPT_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked at what is held.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a subvolume beside a volume or a root is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Its content at one instant.
    Snapshot,
    /// Another content for it.
    NewContent,
}

/// A subvolume beside a volume or a machine's root. Whoever has it deletes it.
#[derive(Clone, Debug)]
pub struct Beside {
    pool: Pool,
    /// The volume or the root.
    disk: PathBuf,
    path: PathBuf,
    /// Bytes that the disk holds at most; a root beyond its image.
    limit: u64,
    /// That of a root.
    image: Option<Image>,
    /// Bytes that a root held beyond its image when it was kept.
    kept: Arc<AtomicU64>,
    /// Held while it is made.
    turn: Arc<Mutex<()>>,
}

impl PoolVolumes {
    /// That of a volume; it isn't made yet.
    ///
    /// # Errors
    /// If there is no such volume, or its pool fails.
    pub async fn beside(&self, id: &WorkloadId, used_for: Use) -> Result<Beside, DriverError> {
        let (pool, disk) = self.find(id).await?;
        let found = pool.subvolume(&disk)?.with_context(|| format!("the volume {id} is gone"))?;
        let name = match used_for {
            Use::Snapshot => id.to_string(),
            Use::NewContent => format!("{id}.new"),
        };
        let path = pool.snapshots().join(name);
        let (limit, pool) = (found.limit, pool.clone());
        Ok(Beside { pool, disk, path, limit, image: None, kept: Arc::default(), turn: Arc::default() })
    }

    /// That of a machine's root; it isn't made yet.
    ///
    /// # Errors
    /// If the machine isn't whole yet, or the pool fails.
    pub async fn beside_root(
        &self,
        id: &WorkloadId,
        root: Root,
        used_for: Use,
    ) -> Result<Beside, DriverError> {
        let limit = self.observe_root(id, &root).await?.size;
        let pool = self.machines_pool().clone();
        let folder = match used_for {
            Use::Snapshot => pool.snapshots(),
            Use::NewContent => root.new,
        };
        let (path, image) = (folder.join(id.to_string()), Some(root.image));
        Ok(Beside { pool, disk: root.path, path, limit, image, kept: Arc::default(), turn: Arc::default() })
    }

    /// A machine's root as if it were a volume: what it holds, and may hold, beyond its image.
    ///
    /// # Errors
    /// If the machine isn't whole yet, or the pool fails.
    pub async fn observe_root(&self, id: &WorkloadId, root: &Root) -> Result<ObservedVolume, DriverError> {
        let pool = self.machines_pool();
        pool.check().await?;
        let found = pool.limited_snapshot(&root.path)?;
        let Subvolume { limit, used } = found.with_context(|| format!("the machine {id} isn't whole yet"))?;
        let (id, restored) = (id.clone(), is_restored(&root.path));
        Ok(ObservedVolume { id, size: limit, used, disk: pool.disk(), restored })
    }
}

impl Beside {
    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The image from which it differs, if it is that of a root.
    pub fn image(&self) -> Option<&Image> {
        self.image.as_ref()
    }

    /// Makes it with the disk's content at this instant.
    ///
    /// # Errors
    /// If the pool is full, a tool fails or it takes too long.
    pub async fn keep(&self) -> Result<()> {
        self.ensure_room()?;
        let beside = self.clone();
        let keep = async move {
            // What a root shares with an earlier one isn't counted to it.
            let most = if beside.image.is_some() { 0 } else { MAX_DROPPED };
            beside.pool.drop_snapshots(&beside.disk, most).await?;
            if beside.image.is_some() {
                // The kernel has counted what is on disk.
                beside.flush().await?;
                let kept = beside.used().await?;
                ensure!(
                    kept <= beside.most(),
                    "it holds more than its size: free some of it, or make it larger"
                );
                beside.kept.store(kept, Relaxed);
            }
            beside.pool.snapshot(&beside.disk, &beside.path).await
        };
        self.make(keep).await
    }

    /// Makes it as the disk began, empty or with the image's files, and with the room that the disk leaves.
    ///
    /// # Errors
    /// If the pool is full or a tool fails.
    pub async fn begin_anew(&self) -> Result<()> {
        self.ensure_room()?;
        let room = self.limit.saturating_sub(self.used().await?).saturating_add(FREE_BYTES).min(self.limit);
        let Some(image) = self.image.clone() else {
            self.pool.delete_subvolume(&self.path).await?;
            return self.pool.ensure_subvolume(&self.path, room).await;
        };
        // Its limit follows from what it shares with the image.
        self.pool.count().await?;
        let beside = self.clone();
        self.make(async move { beside.pool.copy(&image.files, &beside.path).await }).await?;
        self.pool.limit_snapshot(&self.path, room).await
    }

    /// Makes it though nobody waits for it any more, but for who deletes it: the kernel goes on where a tool is killed.
    async fn make(&self, making: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
        let turn = self.turn.clone().lock_owned().await;
        let making = spawn(async move {
            let _turn = turn;
            making.await
        });
        let made = timeout(KEPT_WITHIN, making).await;
        made.with_context(|| format!("the content isn't there within {KEPT_WITHIN:?}"))??
    }

    /// Resolves with the reason once a snapshot holds more than its owner has room for.
    pub async fn outgrown(&self) -> String {
        loop {
            sleep(LOOK_EVERY).await;
            if let Err(why) = self.fits().await {
                return format!("{why:#}");
            }
        }
    }

    async fn fits(&self) -> Result<()> {
        self.ensure_room()?;
        let beside = match self.image {
            // What a root shares with its snapshot alone is the snapshot's.
            Some(_) => self.kept.load(Relaxed),
            None => self.pool.exclusive(&self.path).await?,
        };
        let held = beside.saturating_add(self.used().await?);
        ensure!(
            held <= self.most(),
            "it changes too much meanwhile for its size: make it larger, or its machines quiet"
        );
        Ok(())
    }

    /// Bytes that the disk and this may hold together.
    fn most(&self) -> u64 {
        self.limit.saturating_add(FREE_BYTES)
    }

    fn ensure_room(&self) -> Result<()> {
        ensure!(!self.pool.is_full(), "the node's storage pool is full");
        Ok(())
    }

    /// Bytes that the disk holds; a root those that it shares with nothing.
    async fn used(&self) -> Result<u64> {
        match self.image {
            Some(_) => self.pool.exclusive(&self.disk).await,
            None => Ok(self.pool.subvolume(&self.disk)?.context("the volume is gone")?.used),
        }
    }

    /// Gives it all room of the disk.
    ///
    /// # Errors
    /// If a tool fails.
    pub async fn enlarge(&self) -> Result<()> {
        match self.image {
            Some(_) => self.pool.limit_snapshot(&self.path, self.limit).await,
            None => self.pool.ensure_subvolume(&self.path, self.limit).await,
        }
    }

    /// Whether the disk's content was restored before.
    pub fn is_restored(&self) -> bool {
        is_restored(&self.disk)
    }

    /// Gives folders for what an image declares as `VOLUME` the names that they have with this machine. Those of the
    /// machine's that aren't among them stay as they are.
    ///
    /// # Errors
    /// If there is anything else, or a tool fails.
    pub async fn adopt_volumes(&self, machine: &WorkloadId) -> Result<()> {
        let folders = fs::read_dir(&self.path)?.take(MAX_IMAGE_VOLUMES + 1).collect::<Result<Vec<_>, _>>()?;
        ensure!(folders.len() <= MAX_IMAGE_VOLUMES, "it has more than {MAX_IMAGE_VOLUMES} folders");
        for folder in folders {
            let name = folder.file_name();
            let path = name.to_str().and_then(|name| Some(name.rsplit_once('.')?.1));
            // A link in place of a folder would have the engine mount what it leads to.
            let path = path.filter(|_| folder.file_type().is_ok_and(|kind| kind.is_dir()));
            let path = path.context("it isn't what an image declares as VOLUME")?;
            fs::rename(folder.path(), self.path.join(format!("{machine}.{path}")))?;
        }
        for folder in entries(&self.disk)? {
            let new = self.path.join(folder.file_name().unwrap_or_default());
            if !new.exists() {
                let (old, new) = (folder.to_string_lossy(), new.to_string_lossy());
                run(&CP, &["--archive", "--reflink=auto", &old, &new]).await?;
            }
        }
        Ok(())
    }

    /// Makes it the volume or the root, and that it: at once, or not at all.
    ///
    /// # Errors
    /// If the volume or the root is gone.
    pub fn put_in_place(&self) -> Result<()> {
        set_used(&self.path)?;
        set_restored(&self.path)?;
        renameat_with(CWD, &self.path, CWD, &self.disk, RenameFlags::EXCHANGE)
            .with_context(|| format!("can't replace {}", self.disk.display()))
    }

    /// Sees that what is in place is on disk.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn sync(&self) -> Result<()> {
        self.flush().await.context("the new content may not be on disk")
    }

    async fn flush(&self) -> Result<()> {
        let disk = self.disk.clone();
        let synced = spawn_blocking(move || -> Result<()> { Ok(syncfs(File::open(disk)?)?) });
        synced.await?
    }

    /// Deletes it, if it is there or still made.
    ///
    /// # Errors
    /// If a tool fails.
    pub async fn delete(&self) -> Result<()> {
        let _turn = self.turn.lock().await;
        self.pool.delete_subvolume(&self.path).await
    }
}
