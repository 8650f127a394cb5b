// SPDX-License-Identifier: Apache-2.0
//! Images on the medium that the machine boots from. Its boot loader is `systemd-boot`: it takes the entry with the
//! highest number, counts the tries of one that has not proven itself, and leaves out what has none left.

use anyhow::{Context, Result, bail};
use rustix::fs::syncfs;
use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

/// Name that the build gives to the partition.
const PARTITION: &str = "PARTNAME=zos";
const ENTRIES: &str = "loader/entries";
const IMAGES: &str = "zos";
/// Tells an image, by its loader, that it must prove itself.
const TRIAL: &str = "trial.cred";

/// The partition that the machine boots from. `root` is the system's root folder.
///
/// # Errors
/// If there is none, as where it boots over the network, or more than one.
pub fn partition(root: &Path) -> Result<PathBuf> {
    let devices = fs::read_dir(root.join("sys/class/block")).context("can't list the disks")?;
    let is_boot = |device: &fs::DirEntry| {
        let text = fs::read_to_string(device.path().join("uevent")).unwrap_or_default();
        text.lines().any(|line| line == PARTITION)
    };
    let found: Vec<PathBuf> =
        devices.flatten().filter(is_boot).map(|device| Path::new("/dev").join(device.file_name())).collect();
    match found.as_slice() {
        [device] => Ok(device.clone()),
        [] => bail!("no disk here holds it: a machine that boots over the network gets its image there"),
        _ => bail!("two disks hold it: leave the one in the machine that it boots from"),
    }
}

/// An entry of the boot loader for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    file: String,
    number: u64,
    /// `None` once the image has proven itself.
    tries_left: Option<u32>,
}

impl Entry {
    fn parse(file: &str) -> Option<Self> {
        let name = file.strip_prefix("zos-")?.strip_suffix(".conf")?;
        let (number, tries_left) = match name.split_once('+') {
            Some((number, tries)) => (number, Some(tries.split('-').next()?.parse().ok()?)),
            None => (name, None),
        };
        Some(Self { file: file.into(), number: number.parse().ok()?, tries_left })
    }
}

/// The mounted medium. After a crash at any instant, the image that runs is there and is started.
#[derive(Clone, Debug)]
pub struct Medium(PathBuf);

impl Medium {
    /// The one mounted there.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The highest number of an image that was ever put there, also if it failed.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn newest(&self) -> Result<Option<u64>> {
        Ok(self.entries()?.iter().map(|entry| entry.number).max())
    }

    /// Whether that image is tried at the next start.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn is_next(&self, number: u64) -> Result<bool> {
        let is_next = |entry: &Entry| entry.number == number && entry.tries_left.is_some_and(|left| left > 0);
        Ok(self.entries()?.iter().any(is_next) && self.image(number).exists())
    }

    /// Removes all images but the one that runs.
    ///
    /// # Errors
    /// If one can't be removed.
    pub fn make_room(&self, running: u64) -> Result<()> {
        for entry in self.entries()?.iter().filter(|entry| entry.number < running) {
            self.remove(&format!("{ENTRIES}/{}", entry.file))?;
        }
        let keeps = [format!("{running}.efi"), format!("{running}.efi.extra.d")];
        for name in self.names(IMAGES)?.iter().filter(|name| !keeps.contains(name)) {
            self.remove(&format!("{IMAGES}/{name}"))?;
        }
        self.sync()
    }

    /// Where an image belongs.
    pub fn image(&self, number: u64) -> PathBuf {
        self.0.join(IMAGES).join(format!("{number}.efi"))
    }

    /// Lets the boot loader try an image once.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn try_next(&self, number: u64) -> Result<()> {
        self.sync()?;
        let folder = format!("{IMAGES}/{number}.efi.extra.d");
        fs::create_dir_all(self.0.join(&folder)).with_context(|| format!("can't create {folder}"))?;
        self.write(&format!("{folder}/{TRIAL}"), "1\n")?;
        self.write(&format!("{ENTRIES}/zos-{number}+1.conf"), &entry_text(number))
    }

    /// Keeps the image that runs: it has proven itself.
    ///
    /// # Errors
    /// If that can't be written.
    pub fn keep(&self, running: u64) -> Result<()> {
        let of_it: Vec<Entry> = self.entries()?.into_iter().filter(|entry| entry.number == running).collect();
        if of_it.iter().all(|entry| entry.tries_left.is_some()) {
            self.write(&format!("{ENTRIES}/zos-{running}.conf"), &entry_text(running))?;
        }
        for entry in of_it.iter().filter(|entry| entry.tries_left.is_some()) {
            self.remove(&format!("{ENTRIES}/{}", entry.file))?;
        }
        self.remove(&format!("{IMAGES}/{running}.efi.extra.d"))?;
        self.sync()
    }

    /// Without empty ones, which a power cut left when they were written: the boot loader ignores them, too.
    fn entries(&self) -> Result<Vec<Entry>> {
        let is_whole = |name: &String| {
            fs::metadata(self.0.join(ENTRIES).join(name)).is_ok_and(|metadata| metadata.len() > 0)
        };
        Ok(self
            .names(ENTRIES)?
            .iter()
            .filter(|name| is_whole(name))
            .filter_map(|n| Entry::parse(n))
            .collect())
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let found = fs::read_dir(self.0.join(folder)).with_context(|| format!("can't list {folder}"))?;
        Ok(found.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// Writes a file; returns once it and all earlier ones are on the medium.
    fn write(&self, name: &str, content: &str) -> Result<()> {
        let written = File::create(self.0.join(name)).and_then(|mut file| file.write_all(content.as_bytes()));
        written.with_context(|| format!("can't write {name}"))?;
        self.sync()
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.0.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("can't remove {name}"))
            }
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<()> {
        syncfs(File::open(&self.0)?).context("can't write it to the medium")
    }
}

/// As the build writes it for the first image.
fn entry_text(number: u64) -> String {
    format!("title Zero-OS\nsort-key zos\nversion {number}\nefi /{IMAGES}/{number}.efi\n")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::details::tests::system;
    use tempfile::TempDir;

    /// A medium with image 1, as the build makes it.
    pub fn medium() -> (TempDir, Medium) {
        let text = entry_text(1);
        let folder = system(&[("loader/entries/zos-1.conf", text.as_bytes()), ("zos/1.efi", b"image")]);
        let medium = Medium::new(folder.path());
        (folder, medium)
    }

    /// The boot loader's part, before it starts this image: the file's name has one try less.
    pub fn count_try(medium: &Medium, number: u64) {
        let entries = medium.0.join(ENTRIES);
        let new = entries.join(format!("zos-{number}+0-1.conf"));
        fs::rename(entries.join(format!("zos-{number}+1.conf")), new).unwrap();
    }

    fn put(medium: &Medium, number: u64) {
        fs::write(medium.image(number), "image").unwrap();
        medium.try_next(number).unwrap();
    }

    fn names(medium: &Medium, folder: &str) -> Vec<String> {
        let mut names = medium.names(folder).unwrap();
        names.sort();
        names
    }

    #[test]
    fn an_image_that_has_proven_itself_is_kept() {
        let (_folder, medium) = medium();
        put(&medium, 2);
        assert!(medium.is_next(2).unwrap());
        assert_eq!(names(&medium, ENTRIES), ["zos-1.conf", "zos-2+1.conf"]);
        assert_eq!(names(&medium, "zos/2.efi.extra.d"), ["trial.cred"]);
        count_try(&medium, 2);
        assert!(!medium.is_next(2).unwrap());
        medium.keep(2).unwrap();
        assert_eq!(names(&medium, ENTRIES), ["zos-1.conf", "zos-2.conf"]);
        assert_eq!(names(&medium, IMAGES), ["1.efi", "2.efi"]);
        medium.keep(2).unwrap();
        assert_eq!(fs::read_to_string(medium.0.join(ENTRIES).join("zos-2.conf")).unwrap(), entry_text(2));
    }

    #[test]
    fn one_that_failed_is_known_after_its_room_is_taken() {
        let (_folder, medium) = medium();
        put(&medium, 2);
        count_try(&medium, 2);
        medium.make_room(1).unwrap();
        assert_eq!(names(&medium, IMAGES), ["1.efi"]);
        assert_eq!((medium.newest().unwrap(), medium.is_next(2).unwrap()), (Some(2), false));

        put(&medium, 3);
        count_try(&medium, 3);
        medium.keep(3).unwrap();
        medium.make_room(3).unwrap();
        assert_eq!(names(&medium, ENTRIES), ["zos-3.conf"]);
        assert_eq!(names(&medium, IMAGES), ["3.efi"]);
    }

    #[test]
    fn what_a_power_cut_leaves_is_made_good() {
        let (_folder, medium) = medium();
        // While an image is downloaded, or its entry written.
        fs::write(medium.image(2), "ima").unwrap();
        fs::write(medium.0.join(ENTRIES).join("zos-2+1.conf"), "").unwrap();
        assert_eq!((medium.newest().unwrap(), medium.is_next(2).unwrap()), (Some(1), false));
        medium.make_room(1).unwrap();
        assert_eq!(names(&medium, IMAGES), ["1.efi"]);
        // While it is kept: both entries are there, or it is still told to prove itself.
        put(&medium, 2);
        fs::write(medium.0.join(ENTRIES).join("zos-2.conf"), entry_text(2)).unwrap();
        count_try(&medium, 2);
        medium.keep(2).unwrap();
        assert_eq!(names(&medium, ENTRIES), ["zos-1.conf", "zos-2.conf"]);
        assert_eq!(names(&medium, IMAGES), ["1.efi", "2.efi"]);
    }

    #[test]
    fn a_medium_is_known_by_its_partitions_name() {
        let uevent = |disk: &str| format!("sys/class/block/{disk}/uevent");
        let (stick, other, second) = (uevent("sda1"), uevent("vda1"), uevent("sdb1"));
        let boot: (&str, &[u8]) = (&stick, b"DEVNAME=sda1\nPARTNAME=zos\n");
        let data: (&str, &[u8]) = (&other, b"DEVNAME=vda1\nPARTNAME=zos-data\n");
        assert_eq!(partition(system(&[boot, data]).path()).unwrap(), Path::new("/dev/sda1"));
        let why = |files: &[(&str, &[u8])]| partition(system(files).path()).unwrap_err().to_string();
        assert!(why(&[data]).starts_with("no disk here holds it"));
        assert!(why(&[boot, (&second, boot.1)]).starts_with("two disks hold it"));
    }

    #[test]
    fn other_files_are_no_entries() {
        let entry = Entry::parse("zos-7+0-1.conf").unwrap();
        assert_eq!((entry.number, entry.tries_left), (7, Some(0)));
        assert_eq!(Entry::parse("zos-7.conf").unwrap().tries_left, None);
        for file in ["zos-.conf", "zos-x.conf", "zos-7+.conf", "7.conf", "zos-7"] {
            assert_eq!(Entry::parse(file), None, "{file}");
        }
    }
}
