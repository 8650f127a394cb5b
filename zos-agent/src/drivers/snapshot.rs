// SPDX-License-Identifier: Apache-2.0
//! Subvolumes beside a volume, for as long as a stream lasts. They count to their owner's room: together with the
//! volume they hold little more than its size.

use super::{
    DriverError, WorkloadId,
    pool::{Pool, is_restored, set_restored, set_used},
    volume::PoolVolumes,
};
use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tfgrid_primitives::units::MIB;
use tokio::{
    spawn,
    sync::Mutex,
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// What a volume and its subvolume may hold together beyond the volume's size, so that one that is full can be kept,
/// too. Those of all streams at the same time are half of the smallest reserve.
const FREE_BYTES: u64 = 64 * MIB;
/// Limit for a volume's content to be kept: what its machine has written lately is written to the disk for it.
const KEPT_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked at what is held.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a subvolume beside a volume is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The volume's content at one instant.
    Snapshot,
    /// Another content for the volume.
    NewContent,
}

/// A subvolume beside a volume. Whoever has it deletes it.
#[derive(Clone, Debug)]
pub struct Beside {
    pool: Pool,
    volume: PathBuf,
    path: PathBuf,
    /// Bytes that the volume holds at most.
    limit: u64,
    /// Held while it is made.
    turn: Arc<Mutex<()>>,
}

impl PoolVolumes {
    /// That of a volume; it isn't made yet.
    ///
    /// # Errors
    /// If there is no such volume, or its pool fails.
    pub async fn beside(&self, id: &WorkloadId, used_for: Use) -> Result<Beside, DriverError> {
        let (pool, volume) = self.find(id).await?;
        let found = pool.subvolume(&volume)?.with_context(|| format!("the volume {id} is gone"))?;
        let name = match used_for {
            Use::Snapshot => id.to_string(),
            Use::NewContent => format!("{id}.new"),
        };
        let path = pool.snapshots().join(name);
        Ok(Beside { pool: pool.clone(), volume, path, limit: found.limit, turn: Arc::default() })
    }
}

impl Beside {
    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it with the volume's content at this instant. It is made though nobody waits for it any more, but for who
    /// deletes it: the kernel goes on where a tool is killed.
    ///
    /// # Errors
    /// If the pool is full, a tool fails or it takes too long.
    pub async fn keep(&self) -> Result<()> {
        self.ensure_room()?;
        let (beside, turn) = (self.clone(), self.turn.clone().lock_owned().await);
        let making = spawn(async move {
            let _turn = turn;
            beside.pool.snapshot(&beside.volume, &beside.path).await
        });
        let made = timeout(KEPT_WITHIN, making).await;
        made.with_context(|| format!("the volume's content isn't kept within {KEPT_WITHIN:?}"))??
    }

    /// Makes it empty, with the room that the volume leaves.
    ///
    /// # Errors
    /// If the pool is full or a tool fails.
    pub async fn make_empty(&self) -> Result<()> {
        self.ensure_room()?;
        let room = self.limit.saturating_sub(self.used()?).saturating_add(FREE_BYTES).min(self.limit);
        self.pool.delete_subvolume(&self.path).await?;
        self.pool.ensure_subvolume(&self.path, room).await
    }

    /// Resolves with the reason once it holds more than its owner has room for.
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
        let held = self.pool.exclusive(&self.path).await?.saturating_add(self.used()?);
        ensure!(
            held <= self.limit.saturating_add(FREE_BYTES),
            "the volume changes too much meanwhile for its size: make it larger, or its machines quiet"
        );
        Ok(())
    }

    fn ensure_room(&self) -> Result<()> {
        ensure!(!self.pool.is_full(), "the node's storage pool is full");
        Ok(())
    }

    fn used(&self) -> Result<u64> {
        Ok(self.pool.subvolume(&self.volume)?.context("the volume is gone")?.used)
    }

    /// Gives it all room of the volume.
    ///
    /// # Errors
    /// If a tool fails.
    pub async fn enlarge(&self) -> Result<()> {
        self.pool.ensure_subvolume(&self.path, self.limit).await
    }

    /// Whether the volume's content was restored before.
    pub fn is_restored(&self) -> bool {
        is_restored(&self.volume)
    }

    /// Makes it the volume, and the volume it: at once, or not at all.
    ///
    /// # Errors
    /// If the volume is gone.
    pub fn put_in_place(&self) -> Result<()> {
        set_used(&self.path)?;
        set_restored(&self.path)?;
        renameat_with(CWD, &self.path, CWD, &self.volume, RenameFlags::EXCHANGE)
            .with_context(|| format!("can't replace {}", self.volume.display()))
    }

    /// Sees that what is in place is on disk.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn sync(&self) -> Result<()> {
        let volume = self.volume.clone();
        let synced = spawn_blocking(move || -> Result<()> { Ok(syncfs(File::open(volume)?)?) });
        synced.await?.context("the new content may not be on disk")
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
