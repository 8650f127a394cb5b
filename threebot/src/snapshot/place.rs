// SPDX-License-Identifier: Apache-2.0
//! Where a user's snapshots are kept: a folder, or a bucket of S3.

use super::s3::Bucket;
use anyhow::{Context, Result, ensure};
use rustix::fs::OFlags;
use std::{
    fmt,
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

/// A place for snapshots. Clones are the same.
#[derive(Clone, Debug)]
pub enum Place {
    Folder(PathBuf),
    Bucket(Arc<Bucket>),
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Self::Bucket(Arc::new(Bucket::parse(text)?)));
        }
        ensure!(
            !text.is_empty() && !text.contains("://"),
            "name a folder, or a bucket as https://HOST/BUCKET"
        );
        Ok(Self::Folder(text.into()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

/// Whether an object may have this name: it stays in its place.
pub fn is_object_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 255 && name.split('/').all(is_part)
}

impl Place {
    /// Keeps an object, in place of one with the same name.
    pub async fn put(&self, name: String, bytes: Vec<u8>) -> Result<()> {
        self.with(format!("can't write {name}"), move |place| match place {
            Self::Folder(folder) => write(&path(folder, &name)?, &bytes),
            Self::Bucket(bucket) => bucket.put(&name, &bytes),
        })
        .await
    }

    /// An object's content, of at most so many bytes.
    pub async fn get(&self, name: String, most: u64) -> Result<Vec<u8>> {
        self.with(format!("can't read {name}"), move |place| match place {
            Self::Folder(folder) => read(&path(folder, &name)?, most),
            Self::Bucket(bucket) => bucket.get(&name, most),
        })
        .await
    }

    /// Deletes an object, if it is there.
    pub async fn delete(&self, name: String) -> Result<()> {
        self.with(format!("can't delete {name}"), move |place| match place {
            Self::Folder(folder) => delete(folder, &path(folder, &name)?),
            Self::Bucket(bucket) => bucket.delete(&name),
        })
        .await
    }

    /// The names of all objects that begin with this name and `/`, in order; of all objects for an empty one.
    pub async fn list(&self, under: String) -> Result<Vec<String>> {
        self.with("can't list what is there".into(), move |place| {
            let mut names = match place {
                Self::Folder(folder) => list(folder, &under)?,
                Self::Bucket(bucket) => bucket.list(&under)?,
            };
            names.retain(|name| is_object_name(name));
            names.sort();
            Ok(names)
        })
        .await
    }

    /// Does what blocks on a thread of its own; `fails` says what can't be done.
    async fn with<T: Send + 'static>(
        &self,
        fails: String,
        act: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = self.clone();
        let done = spawn_blocking(move || act(&place)).await?;
        done.with_context(|| format!("the place {self}: {fails}"))
    }
}

fn path(folder: &Path, name: &str) -> Result<PathBuf> {
    ensure!(is_object_name(name), "{name:?} is no name of an object");
    Ok(folder.join(name))
}

/// Reads a file, and nothing else: links lead elsewhere, pipes and devices have no end.
fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits() as i32).open(path)?;
    ensure!(file.metadata()?.is_file(), "it isn't a file");
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= most, "it is longer than {most} bytes");
    Ok(bytes)
}

/// Writes a file that is there whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // Its name is on disk, too, before a manifest names it.
    Ok(File::open(folder)?.sync_all()?)
}

/// Deletes a file, and its folders that are empty then.
fn delete(place: &Path, path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let folders = path.ancestors().skip(1).take_while(|folder| *folder != place);
    for folder in folders {
        // Others may be in it.
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

fn list(place: &Path, under: &str) -> Result<Vec<String>> {
    let mut folders = vec![under.to_owned()];
    let mut names = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(place.join(&folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if entry.file_type()?.is_dir() { folders.push(name) } else { names.push(name) }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::symlink;

    #[tokio::test]
    async fn a_folder_keeps_lists_and_deletes() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Folder(folder.path().join("new"));
        assert!(place.list(String::new()).await.unwrap().is_empty());
        for name in ["7/data/a/0", "7/data/a/manifest", "8/data/b/0"] {
            place.put(name.into(), name.as_bytes().to_vec()).await.unwrap();
        }
        assert_eq!(place.list("7".into()).await.unwrap(), ["7/data/a/0", "7/data/a/manifest"]);
        assert_eq!(place.list(String::new()).await.unwrap().len(), 3);
        assert_eq!(place.get("8/data/b/0".into(), 10).await.unwrap(), b"8/data/b/0");
        let long = format!("{:#}", place.get("8/data/b/0".into(), 9).await.unwrap_err());
        assert!(long.contains("longer than 9 bytes"), "{long}");
        for _ in 0..2 {
            place.delete("8/data/b/0".into()).await.unwrap();
        }
        assert!(!folder.path().join("new/8").exists() && folder.path().join("new/7").exists());
        let error = format!("{:#}", place.get("8/data/b/0".into(), 10).await.unwrap_err());
        assert!(error.contains("can't read 8/data/b/0"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Folder(folder.path().into());
        mknodat(CWD, folder.path().join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        symlink("/dev/zero", folder.path().join("link")).unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        for name in ["pipe", "link", "folder"] {
            let error = format!("{:#}", place.get(name.into(), 10).await.unwrap_err());
            assert!(error.contains(&format!("can't read {name}")), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leaves_the_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Folder(folder.path().join("place"));
        for name in ["../x", "/etc/passwd", "a//b", "", "a/", "a/../../x", "a b"] {
            assert!(place.put(name.into(), Vec::new()).await.is_err(), "{name}");
            assert!(place.get(name.into(), 10).await.is_err(), "{name}");
            assert!(place.delete(name.into()).await.is_err(), "{name}");
        }
        assert!(!folder.path().join("x").exists());
    }

    #[test]
    fn a_place_is_a_folder_or_the_address_of_a_bucket() {
        assert!(matches!("./backups".parse(), Ok(Place::Folder(_))));
        for wrong in ["", "ftp://host/x", "https://s3.example.org", "s3://bucket"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
