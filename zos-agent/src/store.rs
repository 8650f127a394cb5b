// SPDX-License-Identifier: Apache-2.0
//! What the agent keeps between two starts: small JSON files, each replaced as a whole.

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A folder of JSON files, readable by its owner alone.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens the folder, making it where it is missing.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        create_private_dir(&dir)?;
        Ok(Self { dir })
    }

    /// What was last written under this name, `None` where nothing was.
    ///
    /// # Errors
    /// Where the file can't be read or isn't what was written.
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

    /// As [`Store::read`]; where nothing was written, writes and returns the default.
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

    /// Replaces what stands under this name. After a crash at any instant, either the old or the
    /// new content is there.
    ///
    /// # Errors
    /// Where the file can't be written; the old content then stands.
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

/// Held as long as one agent works in a data folder.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the folder, making it where it is missing.
    ///
    /// # Errors
    /// Where another agent has it.
    pub fn take(data: &Path) -> Result<Self> {
        create_private_dir(data)?;
        let path = data.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("can't open {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => bail!(
                "another zos-agent works in {}: stop it first, or choose another folder with --data",
                data.display()
            ),
            Err(error) => Err(error).with_context(|| format!("can't lock {}", path.display())),
        }
    }
}

fn create_private_dir(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("can't make the folder {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_written_is_read_back_and_replaced_as_a_whole() {
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
        drop(held);
        DataLock::take(dir.path()).unwrap();
    }
}
