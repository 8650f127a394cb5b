// SPDX-License-Identifier: Apache-2.0
//! Volumes as subvolumes of the storage pool, `<contract>-<name>`, each with a quota.

use super::{
    DriverError, ObservedVolume, ObservedVolumes, VolumeDriver, VolumeSpec, WorkloadId,
    pool::{Pool, PoolFault, Pools, is_restored},
};
use anyhow::Context;
use async_trait::async_trait;
use std::{fs, path::PathBuf};
use tfgrid_client::deployment::DiskKind;
use tfgrid_primitives::FailureCode;
use tracing::warn;

/// Stores volumes in the pools of a node.
#[derive(Clone, Debug)]
pub struct PoolVolumes {
    pools: Pools,
}

impl PoolVolumes {
    /// Uses these pools.
    pub fn new(pools: Pools) -> Self {
        Self { pools }
    }

    /// The pools that are open.
    fn open(&self) -> impl Iterator<Item = &Pool> {
        let hdd = self.pools.hdd.as_ref().and_then(|hdd| hdd.as_ref().ok());
        [&self.pools.ssd].into_iter().chain(hdd)
    }

    fn pool(&self, disk: DiskKind) -> Result<&Pool, DriverError> {
        match (disk, &self.pools.hdd) {
            (DiskKind::Ssd, _) => Ok(&self.pools.ssd),
            (DiskKind::Hdd, Some(Ok(pool))) => Ok(pool),
            (DiskKind::Hdd, Some(Err(why))) => Err(no_hdd(why)),
            (DiskKind::Hdd, None) => Err(DriverError::Invalid {
                code: FailureCode::BodyUnsupported,
                field: "/data/disk",
                message: "this node has no storage pool on hard disks: choose another node or the disk ssd"
                    .into(),
            }),
        }
    }

    /// The volume's pool and folder.
    pub(super) async fn find(&self, id: &WorkloadId) -> Result<(&Pool, PathBuf), DriverError> {
        for pool in self.open() {
            // Without the pool, a machine would write to the host's disk.
            pool.check().await?;
            let path = path(pool, id);
            if pool.subvolume(&path)?.is_some() {
                return Ok((pool, path));
            }
        }
        match &self.pools.hdd {
            Some(Err(why)) => Err(no_hdd(why)),
            _ => Err(DriverError::transient(format!("there is no volume {id}"))),
        }
    }

    /// Content isn't moved from one kind of disk to another.
    async fn refuse_move(&self, spec: &VolumeSpec) -> Result<(), DriverError> {
        for pool in self.open().filter(|pool| pool.disk() != spec.disk) {
            let path = path(pool, &spec.id);
            // A pool that is gone keeps no volume from another one.
            if !path.exists() {
                continue;
            }
            if pool.subvolume(&path)?.is_some() {
                return Err(DriverError::Invalid {
                    code: FailureCode::BodyInvalid,
                    field: "/data/disk",
                    message: format!(
                        "a volume can't move to another kind of disk: this one is on {}",
                        pool.disk()
                    ),
                });
            }
            // The rest of an interrupted creation.
            pool.delete_subvolume(&path).await?;
        }
        Ok(())
    }
}

fn no_hdd(why: &str) -> DriverError {
    DriverError::transient(format!("the storage pool on hard disks is gone: {why}"))
}

fn path(pool: &Pool, id: &WorkloadId) -> PathBuf {
    pool.volumes().join(id.to_string())
}

/// Fails unless the pool can be used and all its limits hold.
async fn hold(pool: &Pool) -> Result<(), DriverError> {
    pool.check().await?;
    Ok(pool.hold_limits().await?)
}

fn observe_one(pool: &Pool, id: WorkloadId) -> anyhow::Result<ObservedVolume> {
    let path = path(pool, &id);
    let found = pool.subvolume(&path)?;
    let (size, used) = found.map_or((0, 0), |found| (found.limit, found.used));
    Ok(ObservedVolume { id, size, used, disk: pool.disk(), restored: is_restored(&path) })
}

fn observe_pool(pool: &Pool, observed: &mut ObservedVolumes) -> anyhow::Result<()> {
    let folder = pool.volumes();
    let entries = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.with_context(|| format!("can't list {}", folder.display()))?;
    let names = entries.iter().filter_map(|entry| entry.file_name().into_string().ok());
    for id in names.filter_map(|name| parse_name(&name)) {
        let contract = id.contract;
        match observe_one(pool, id) {
            Ok(volume) => observed.volumes.push(volume),
            Err(error) => {
                warn!(contract, why = format!("{error:#}"), "nothing of it is changed");
                observed.unreadable.insert(contract);
            }
        }
    }
    Ok(())
}

#[async_trait]
impl VolumeDriver for PoolVolumes {
    async fn faults(&self) -> Vec<(DiskKind, PoolFault)> {
        let of = |pool: &Pool| {
            let disk = pool.disk();
            pool.faults().into_iter().map(move |fault| (disk, fault))
        };
        let mut faults: Vec<_> = self.open().flat_map(of).collect();
        if matches!(self.pools.hdd, Some(Err(_))) {
            faults.push((DiskKind::Hdd, PoolFault::Gone));
        }
        faults
    }

    async fn observe(&self) -> Result<ObservedVolumes, DriverError> {
        let mut observed = ObservedVolumes::default();
        for pool in self.open() {
            match (hold(pool).await, pool.disk()) {
                (Err(error), DiskKind::Ssd) => return Err(error),
                (Err(_), DiskKind::Hdd) if pool.faults().contains(&PoolFault::Gone) => {}
                _ => observe_pool(pool, &mut observed)?,
            }
        }
        Ok(observed)
    }

    async fn ensure(&self, spec: &VolumeSpec) -> Result<(), DriverError> {
        let pool = self.pool(spec.disk)?;
        pool.check().await?;
        self.refuse_move(spec).await?;
        let path = path(pool, &spec.id);
        let has = pool.subvolume(&path)?.map_or(0, |found| found.limit);
        if has > spec.size && !spec.restores {
            return Err(DriverError::Invalid {
                code: FailureCode::BodyInvalid,
                field: "/data/size",
                message: format!("a volume can't shrink: this one has {has} bytes"),
            });
        }
        if has < spec.size && pool.is_full() {
            return Err(DriverError::Invalid {
                code: FailureCode::NodeFull,
                field: "/data/size",
                message: "the node's storage pool is full".into(),
            });
        }
        Ok(pool.ensure_subvolume(&path, spec.size).await?)
    }

    async fn folder(&self, id: &WorkloadId) -> Result<PathBuf, DriverError> {
        Ok(self.find(id).await?.1)
    }

    async fn delete(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.pools.ssd.check().await?;
        for pool in self.open() {
            pool.delete_subvolume(&path(pool, id)).await?;
        }
        Ok(())
    }
}

/// The volume that a folder belongs to.
fn parse_name(folder: &str) -> Option<WorkloadId> {
    let (contract, name) = folder.split_once('-')?;
    let id = WorkloadId { contract: contract.parse().ok()?, name: name.to_owned() };
    // Only names in the form that this driver writes: no leading zeros or signs.
    (id.to_string() == folder && !name.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_by_contract_and_volume() {
        let id = |contract, name: &str| WorkloadId { contract, name: name.into() };
        assert_eq!(parse_name("7-data"), Some(id(7, "data")));
        assert_eq!(parse_name("7-my-data"), Some(id(7, "my-data")));
        for strange in ["data", "7-", "07-data", "+7-data", "7", ""] {
            assert_eq!(parse_name(strange), None, "{strange}");
        }
    }
}
