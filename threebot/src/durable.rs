// SPDX-License-Identifier: Apache-2.0
//! Files that outlive a crash, readable by their user alone.

use anyhow::{Context, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};
use tempfile::{Builder, NamedTempFile};

/// Creates a folder and those around it.
pub fn create_folder(folder: &Path) -> Result<()> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.with_context(|| format!("can't create the folder {}", folder.display()))
}

/// A new file.
pub fn create(file: &Path) -> Result<File> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    opened.with_context(|| format!("can't create {}", file.display()))
}

/// Replaces a value, as [`replace`] does.
pub fn write(file: &Path, value: &impl Serialize) -> Result<()> {
    replace(file, &serde_json::to_vec(value)?)
}

/// Replaces the content of a file. After a crash at any instant, the old or the new one is there.
pub fn replace(file: &Path, content: &[u8]) -> Result<()> {
    let new = file.with_extension("new");
    let mut written = create(&new)?;
    written.write_all(content).with_context(|| format!("can't write {}", new.display()))?;
    publish(&written, &new, file)
}

/// Writes a file that isn't there yet: one that is stays. After a crash at any instant, it is there whole or not at all.
pub fn write_new(file: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(file);
    let mut new = before(file)?;
    new.write_all(content)?;
    new.as_file().sync_all()?;
    new.persist_noclobber(file).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// A file that is to become that one. A crash may leave it, so its name tells of which it is.
fn before(file: &Path) -> io::Result<NamedTempFile> {
    let mut prefix = file.file_name().unwrap_or_default().to_owned();
    prefix.push(".new-");
    Builder::new().prefix(&prefix).tempfile_in(folder_of(file))
}

/// Gives a written file its name.
pub fn publish(written: &File, new: &Path, file: &Path) -> Result<()> {
    let publish = || {
        written.sync_all()?;
        fs::rename(new, file)?;
        File::open(folder_of(file))?.sync_all()
    };
    publish().with_context(|| format!("can't write {}", file.display()))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// The value in a file; `None` without the file.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("can't read {}", file.display())),
    };
    let value = serde_json::from_slice(&text);
    value.map(Some).with_context(|| format!("{} is damaged: move it away", file.display()))
}

/// Removes a file, if it is there.
pub fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// The names in a folder that end like this, without that end.
pub fn names(folder: &Path, end: &str) -> Result<Vec<String>> {
    let list = fs::read_dir(folder).with_context(|| format!("can't read the folder {}", folder.display()))?;
    let names = list.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_file_is_for_its_user_alone_and_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.key");
        write_new(&file, b"first").unwrap();
        assert_eq!(write_new(&file, b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).unwrap(), b"first");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something else is left");
    }

    #[test]
    fn what_a_crash_leaves_tells_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let left = before(&folder.path().join("a.key")).unwrap();
        assert_eq!(left.path().parent(), Some(folder.path()));
        assert!(left.path().file_name().unwrap().to_str().unwrap().starts_with("a.key.new-"), "{left:?}");
    }

    #[test]
    fn a_damaged_file_is_told_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        assert_eq!(read::<u32>(&file).unwrap(), None);
        write(&file, &7).unwrap();
        assert_eq!(read::<u32>(&file).unwrap(), Some(7));
        fs::write(&file, "seven").unwrap();
        let error = read::<u32>(&file).unwrap_err().to_string();
        assert!(error.contains("a.json is damaged") && file.exists(), "{error}");
    }
}
