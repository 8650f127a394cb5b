// SPDX-License-Identifier: Apache-2.0
//! Volumes as subvolumes of the storage pool, `<contract>-<name>`, each with a quota.

use super::{DriverError, ObservedVolume, ObservedVolumes, VolumeDriver, VolumeSpec, WorkloadId, pool::Pool};
use anyhow::Context;
use async_trait::async_trait;
use std::{fs, path::PathBuf};
use tfgrid_primitives::FailureCode;
use tracing::warn;

/// Stores volumes in a pool.
#[derive(Clone, Debug)]
pub struct PoolVolumes {
    pool: Pool,
}

impl PoolVolumes {
    /// Uses this pool.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    fn path(&self, id: &WorkloadId) -> PathBuf {
        self.pool.volumes().join(id.to_string())
    }

    fn observe_one(&self, id: WorkloadId) -> anyhow::Result<ObservedVolume> {
        let found = self.pool.subvolume(&self.path(&id))?;
        let (size, used) = found.map_or((0, 0), |found| (found.limit, found.used));
        Ok(ObservedVolume { id, size, used })
    }
}

#[async_trait]
impl VolumeDriver for PoolVolumes {
    async fn observe(&self) -> Result<ObservedVolumes, DriverError> {
        self.pool.check().await?;
        let folder = self.pool.volumes();
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.with_context(|| format!("can't list {}", folder.display()))?;
        let mut observed = ObservedVolumes::default();
        let names = entries.iter().filter_map(|entry| entry.file_name().into_string().ok());
        for id in names.filter_map(|name| parse_name(&name)) {
            let contract = id.contract;
            match self.observe_one(id) {
                Ok(volume) => observed.volumes.push(volume),
                Err(error) => {
                    warn!(contract, "nothing of it is changed: {error:#}");
                    observed.unreadable.insert(contract);
                }
            }
        }
        Ok(observed)
    }

    async fn ensure(&self, spec: &VolumeSpec) -> Result<(), DriverError> {
        self.pool.check().await?;
        let path = self.path(&spec.id);
        if let Some(found) =
            self.pool.subvolume(&path)?.filter(|found| found.limit > spec.size && !spec.restores)
        {
            return Err(DriverError::Invalid {
                code: FailureCode::BodyInvalid,
                field: "/data/size",
                message: format!("a volume can't shrink: this one has {} bytes", found.limit),
            });
        }
        Ok(self.pool.ensure_subvolume(&path, spec.size).await?)
    }

    async fn folder(&self, id: &WorkloadId) -> Result<PathBuf, DriverError> {
        // Without the pool, a machine would write to the host's disk.
        self.pool.check().await?;
        let path = self.path(id);
        match self.pool.subvolume(&path)? {
            Some(_) => Ok(path),
            None => Err(DriverError::transient(format!("there is no volume {id}"))),
        }
    }

    async fn delete(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.pool.check().await?;
        Ok(self.pool.delete_subvolume(&self.path(id)).await?)
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
