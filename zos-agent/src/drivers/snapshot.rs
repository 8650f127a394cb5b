// SPDX-License-Identifier: Apache-2.0
//! Subvolumes beside a volume, for as long as a stream lasts. They count to their owner's room: together with the volume
//! they hold little more than its size.

use super::{
    DriverError, WorkloadId,
    pool::{Pool, set_used},
    volume::PoolVolumes,
};
use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{path::Path, path::PathBuf, time::Duration};
use tfgrid_primitives::units::MIB;
use tokio::time::sleep;

/// What a volume and its subvolume may hold together beyond the volume's size, so that one that is full can be kept, too.
/// Those of all streams at the same time are half of the smallest reserve.
const FREE_BYTES: u64 = 64 * MIB;
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
        Ok(Beside { pool: pool.clone(), volume, path: pool.snapshots().join(name), limit: found.limit })
    }
}

impl Beside {
    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it with the volume's content at this instant.
    ///
    /// # Errors
    /// If the pool is full or a tool fails.
    pub async fn keep(&self) -> Result<()> {
        self.ensure_room()?;
        self.pool.snapshot(&self.volume, &self.path).await
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

    /// Makes it the volume, and the volume it: at once, or not at all.
    ///
    /// # Errors
    /// If the volume is gone or a tool fails.
    pub async fn put_in_place(&self) -> Result<()> {
        self.pool.ensure_subvolume(&self.path, self.limit).await?;
        set_used(&self.path)?;
        renameat_with(CWD, &self.path, CWD, &self.volume, RenameFlags::EXCHANGE)
            .with_context(|| format!("can't replace {}", self.volume.display()))
    }

    /// Deletes it, if it is there.
    ///
    /// # Errors
    /// If a tool fails.
    pub async fn delete(&self) -> Result<()> {
        self.pool.delete_subvolume(&self.path).await
    }
}
