// SPDX-License-Identifier: Apache-2.0
//! State that outlives the agent: small JSON files, each replaced atomically.

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A folder of JSON files that only its owner can read.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens the folder; creates it if it is missing.
    ///
    /// # Errors
    /// If it can't be created.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        create_private_dir(&dir)?;
        Ok(Self { dir })
    }

    /// Reads the value that was last written under this name, `None` if there is none.
    ///
    /// # Errors
    /// If the file can't be read or is damaged.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.dir.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        };
        let value = serde_json::from_slice(&text).with_context(|| {
            format!("{} is damaged: restore it from a backup, or move it away", path.display())
        })?;
        Ok(Some(value))
    }

    /// As [`Store::read`], but writes and returns the default if there is no value.
    ///
    /// # Errors
    /// As [`Store::read`] and [`Store::write`].
    pub fn read_or_default<T: Default + Serialize + DeserializeOwned>(&self, name: &str) -> Result<T> {
        if let Some(value) = self.read(name)? {
            return Ok(value);
        }
        let value = T::default();
        self.write(name, &value)?;
        Ok(value)
    }

    /// Replaces the value under this name. After a crash at any instant, the old or the new value is there.
    ///
    /// # Errors
    /// If the file can't be written. The old value stays.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let path = self.dir.join(name);
        let text = serde_json::to_vec(value)?;
        self.replace(&path, &text).with_context(|| format!("can't write {}", path.display()))
    }

    fn replace(&self, path: &Path, text: &[u8]) -> std::io::Result<()> {
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(&self.dir)?.sync_all()
    }
}

/// Lock on a data folder, held while an agent uses it.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// Locks the folder; creates it if it is missing.
    ///
    /// # Errors
    /// If another agent uses it.
    pub fn take(data: &Path) -> Result<Self> {
        create_private_dir(data)?;
        let lock = Self::try_take(data, FlockOperation::NonBlockingLockExclusive)?;
        lock.with_context(|| {
            format!(
                "another zos-agent uses {}: stop it first, or choose another folder with --data",
                data.display()
            )
        })
    }

    /// Whether an agent uses the folder.
    ///
    /// # Errors
    /// If that can't be found out.
    pub fn is_taken(data: &Path) -> Result<bool> {
        // Shared: two that ask don't see each other.
        Ok(Self::try_take(data, FlockOperation::NonBlockingLockShared)?.is_none())
    }

    /// `None` if somebody else has it.
    fn try_take(data: &Path, operation: FlockOperation) -> Result<Option<Self>> {
        let path = data.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("can't open {}", path.display()))?;
        match flock(&file, operation) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't lock {}", path.display())),
        }
    }
}

fn create_private_dir(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("can't create the folder {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_value_is_read_back_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("state")).unwrap();
        assert_eq!(store.read::<u32>("a.json").unwrap(), None);
        store.write("a.json", &1u32).unwrap();
        store.write("a.json", &2u32).unwrap();
        assert_eq!(store.read::<u32>("a.json").unwrap(), Some(2));
        let mode = fs::metadata(dir.path().join("state/a.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_named_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        fs::write(dir.path().join("a.json"), "{").unwrap();
        let error = store.read::<u32>("a.json").unwrap_err().to_string();
        assert!(error.contains("a.json is damaged"), "{error}");
    }

    #[test]
    fn a_data_folder_has_one_agent() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataLock::take(dir.path()).unwrap();
        let error = DataLock::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another zos-agent"), "{error}");
        assert!(DataLock::is_taken(dir.path()).unwrap());
        drop(held);
        assert!(!DataLock::is_taken(dir.path()).unwrap());
        DataLock::take(dir.path()).unwrap();
    }
}
