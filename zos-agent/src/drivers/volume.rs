// SPDX-License-Identifier: Apache-2.0
//! Volumes as subvolumes of the storage pool, `<contract>-<name>`, each with a quota.

use super::{DriverError, ObservedVolume, VolumeDriver, VolumeSpec, WorkloadId, pool::Pool};
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

    /// `None` if the folder isn't a volume's. One that can't be read hides no other.
    fn observe_folder(&self, name: &str) -> Option<ObservedVolume> {
        let id = parse_name(name)?;
        let found = self.pool.subvolume(&self.path(&id)).unwrap_or_else(|error| {
            warn!(volume = %id, "its figures are unknown: {error:#}");
            None
        });
        let (size, used) = found.map_or((0, 0), |found| (found.limit, found.used));
        Some(ObservedVolume { id, size, used })
    }
}

#[async_trait]
impl VolumeDriver for PoolVolumes {
    async fn observe(&self) -> Result<Vec<ObservedVolume>, DriverError> {
        self.pool.check().await?;
        let folder = self.pool.volumes();
        let entries = fs::read_dir(&folder).with_context(|| format!("can't list {}", folder.display()))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter_map(|name| self.observe_folder(&name)).collect())
    }

    async fn ensure(&self, spec: &VolumeSpec) -> Result<(), DriverError> {
        self.pool.check().await?;
        let path = self.path(&spec.id);
        if let Some(found) = self.pool.subvolume(&path)?.filter(|found| found.limit > spec.size) {
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
