// SPDX-License-Identifier: Apache-2.0
//! Volumes as ext4 file systems in sparse files, mounted through loop devices.
//!
//! ```text
//! <data>/volumes/<contract>-<name>.img       a complete volume
//! <data>/volumes/<contract>-<name>.img.new   a volume in creation; after a crash it is created again
//! <data>/mnt/<contract>-<name>               mount point
//! ```

mod superblock;

use super::{
    DriverError, ObservedVolume, VolumeDriver, VolumeSpec, WorkloadId,
    tools::{Tool, run},
};
use anyhow::Context;
use async_trait::async_trait;
use std::{
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tfgrid_primitives::{FailureCode, units::MIB};
use tokio::time::sleep;
use tracing::warn;

/// Tools that the driver runs.
pub(crate) const TOOLS: [&Tool; 6] = [&MKFS, &E2FSCK, &RESIZE, &LOSETUP, &MOUNT, &UMOUNT];
const MKFS: Tool = Tool { program: "mkfs.ext4", package: "e2fsprogs" };
const E2FSCK: Tool = Tool { program: "e2fsck", package: "e2fsprogs" };
const RESIZE: Tool = Tool { program: "resize2fs", package: "e2fsprogs" };
const LOSETUP: Tool = Tool { program: "losetup", package: "mount" };
const MOUNT: Tool = Tool { program: "mount", package: "mount" };
const UMOUNT: Tool = Tool { program: "umount", package: "mount" };
/// Limit for the kernel to release a loop device.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);
const MOUNT_OPTIONS: &str = "nosuid,nodev,errors=remount-ro";

/// Stores volumes in a data folder.
#[derive(Clone, Debug)]
pub struct LoopVolumes {
    images: PathBuf,
    mounts: PathBuf,
}

impl LoopVolumes {
    /// Uses this data folder.
    ///
    /// # Errors
    /// If its folders can't be created.
    pub fn open(data: &Path) -> anyhow::Result<Self> {
        let folder = |name: &str| {
            let path = data.join(name);
            DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
            // Loop devices and binds need absolute paths.
            path.canonicalize()
        };
        let open = || Ok::<_, io::Error>(Self { images: folder("volumes")?, mounts: folder("mnt")? });
        open().with_context(|| format!("can't create the folders for volumes in {}", data.display()))
    }

    fn image(&self, id: &WorkloadId) -> PathBuf {
        self.images.join(format!("{id}.img"))
    }

    fn unfinished(&self, id: &WorkloadId) -> PathBuf {
        self.images.join(format!("{id}.img.new"))
    }

    fn mount_dir(&self, id: &WorkloadId) -> PathBuf {
        self.mounts.join(id.to_string())
    }

    /// Creates the file system under another name and renames it when it is complete.
    async fn create(&self, spec: &VolumeSpec) -> Result<(), DriverError> {
        let (new, image) = (self.unfinished(&spec.id), self.image(&spec.id));
        let sized = File::create(&new).and_then(|file| file.set_len(spec.size));
        sized.map_err(|error| io_error("create", &new, error))?;
        run(&MKFS, &["-q", "-F", "-m", "0", "-E", "nodiscard", text(&new)?]).await?;
        let named = File::open(&new).and_then(|file| {
            file.sync_all()?;
            fs::rename(&new, &image)?;
            File::open(&self.images)?.sync_all()
        });
        named.map_err(|error| io_error("create", &image, error))
    }

    /// Can be repeated after a crash: a volume's size is the one in its superblock, which changes last.
    async fn grow(&self, spec: &VolumeSpec) -> Result<(), DriverError> {
        self.detach(&spec.id).await?;
        let image = self.image(&spec.id);
        let sized = File::options().write(true).open(&image).and_then(|file| file.set_len(spec.size));
        sized.map_err(|error| io_error("grow", &image, error))?;
        run(&E2FSCK, &["-f", "-p", text(&image)?]).await?;
        run(&RESIZE, &[text(&image)?, &format!("{}M", spec.size / MIB)]).await?;
        Ok(())
    }

    async fn mount(&self, id: &WorkloadId) -> Result<(), DriverError> {
        let (image, dir) = (self.image(id), self.mount_dir(id));
        let device = match self.devices(&image).await?.into_iter().next() {
            Some(device) => device,
            None => run(&LOSETUP, &["--find", "--show", text(&image)?]).await?.trim().to_owned(),
        };
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(io_error("create", &dir, error));
            }
            _ => {}
        }
        run(&MOUNT, &["-t", "ext4", "-o", MOUNT_OPTIONS, &device, text(&dir)?]).await?;
        Ok(())
    }

    /// The loop devices of a file. There are several only after a crash.
    async fn devices(&self, image: &Path) -> Result<Vec<String>, DriverError> {
        if !image.exists() {
            return Ok(Vec::new());
        }
        let args = ["--noheadings", "--output", "NAME", "--associated", text(image)?];
        Ok(run(&LOSETUP, &args).await?.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// Waits until the file has no loop device. `umount` and `losetup` succeed while the volume is still in
    /// use, and the device then stays until its last user is gone. A container that starts holds all mounts
    /// of the host for a moment.
    async fn until_released(&self, id: &WorkloadId, image: &Path) -> Result<(), DriverError> {
        let begun = Instant::now();
        while let Some(device) = self.devices(image).await?.first() {
            if begun.elapsed() > RELEASE_TIMEOUT {
                return Err(DriverError::transient(format!("volume {id} is still in use, on {device}")));
            }
            sleep(RELEASE_TIMEOUT / 50).await;
        }
        Ok(())
    }

    fn is_mounted(&self, id: &WorkloadId) -> Result<bool, DriverError> {
        let dir = self.mount_dir(id);
        is_mount_point(&dir).map_err(|error| io_error("inspect", &dir, error))
    }

    /// `None` if the file isn't a volume, or is deleted at this moment.
    fn observe_file(&self, name: &str) -> Result<Option<ObservedVolume>, DriverError> {
        let Some((id, is_complete)) = parse_name(name) else { return Ok(None) };
        let path = self.images.join(name);
        let Ok(file) = fs::metadata(&path) else { return Ok(None) };
        let size = if is_complete { superblock::size(&path).unwrap_or(file.len()) } else { 0 };
        let attached = is_complete && self.is_mounted(&id)?;
        Ok(Some(ObservedVolume { id, size, attached, used: file.blocks() * 512 }))
    }

    /// Deletes all volumes in the data folder; returns their number.
    ///
    /// # Errors
    /// If one can't be deleted. The others are deleted even so.
    pub async fn purge(&self) -> Result<usize, DriverError> {
        let volumes = self.observe().await?;
        let mut last_error = None;
        for volume in &volumes {
            if let Err(error) = self.delete(&volume.id).await {
                warn!(volume = %volume.id, "not deleted: {error:#}");
                last_error = Some(error);
            }
        }
        last_error.map_or(Ok(volumes.len()), Err)
    }
}

#[async_trait]
impl VolumeDriver for LoopVolumes {
    async fn observe(&self) -> Result<Vec<ObservedVolume>, DriverError> {
        let entries = fs::read_dir(&self.images).map_err(|error| io_error("list", &self.images, error))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| self.observe_file(&name).transpose()).collect()
    }

    async fn attach(&self, spec: &VolumeSpec) -> Result<(), DriverError> {
        let image = self.image(&spec.id);
        match image.exists().then(|| superblock::size(&image)) {
            None => self.create(spec).await?,
            Some(Ok(size)) if size > spec.size => {
                return Err(DriverError::Invalid {
                    code: FailureCode::BodyInvalid,
                    field: "/data/size",
                    message: format!("a volume can't shrink: this one has {size} bytes"),
                });
            }
            Some(Ok(size)) if size < spec.size => self.grow(spec).await?,
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(io_error("read", &image, error)),
        }
        if !self.is_mounted(&spec.id)? {
            self.mount(&spec.id).await?;
        }
        self.mount_point(&spec.id).await.map(drop)
    }

    async fn mount_point(&self, id: &WorkloadId) -> Result<PathBuf, DriverError> {
        // Without the mount, a machine would write to the host's disk.
        if !self.is_mounted(id)? {
            return Err(DriverError::transient(format!("volume {id} isn't mounted")));
        }
        Ok(self.mount_dir(id))
    }

    async fn detach(&self, id: &WorkloadId) -> Result<(), DriverError> {
        let (image, dir) = (self.image(id), self.mount_dir(id));
        while self.is_mounted(id)? {
            run(&UMOUNT, &[text(&dir)?]).await?;
        }
        for device in self.devices(&image).await? {
            run(&LOSETUP, &["--detach", &device]).await?;
        }
        self.until_released(id, &image).await
    }

    async fn delete(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.detach(id).await?;
        for path in [self.image(id), self.unfinished(id)] {
            existing(tokio::fs::remove_file(&path).await)
                .map_err(|error| io_error("delete", &path, error))?;
        }
        let dir = self.mount_dir(id);
        existing(fs::remove_dir(&dir)).map_err(|error| io_error("delete", &dir, error))
    }
}

/// Whether something is mounted on the folder: its device isn't that of its parent then. `false` if it
/// doesn't exist.
fn is_mount_point(dir: &Path) -> io::Result<bool> {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
    match device(dir) {
        Ok(own) => Ok(device(&dir.join(".."))? != own),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ignores that the file is missing.
fn existing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The volume that a file belongs to, and whether the file is complete.
fn parse_name(file: &str) -> Option<(WorkloadId, bool)> {
    let (stem, is_complete) = match file.strip_suffix(".img") {
        Some(stem) => (stem, true),
        None => (file.strip_suffix(".img.new")?, false),
    };
    let (contract, name) = stem.split_once('-')?;
    let id = WorkloadId { contract: contract.parse().ok()?, name: name.to_owned() };
    // Only names in the form that this driver writes: no leading zeros or signs.
    (id.to_string() == stem && !name.is_empty()).then_some((id, is_complete))
}

fn text(path: &Path) -> Result<&str, DriverError> {
    path.to_str().ok_or_else(|| {
        DriverError::transient(format!("{} isn't UTF-8: choose another folder with --data", path.display()))
    })
}

fn io_error(action: &str, path: &Path, error: io::Error) -> DriverError {
    DriverError::Transient(anyhow::Error::from(error).context(format!("can't {action} {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_has_contract_name_and_completeness() {
        let id = |contract, name: &str| WorkloadId { contract, name: name.into() };
        assert_eq!(parse_name("7-data.img"), Some((id(7, "data"), true)));
        assert_eq!(parse_name("7-my-data.img"), Some((id(7, "my-data"), true)));
        assert_eq!(parse_name("7-data.img.new"), Some((id(7, "data"), false)));
        for strange in ["data.img", "7-.img", "07-data.img", "+7-data.img", "7-data", "7-data.img.bak", ""] {
            assert_eq!(parse_name(strange), None, "{strange}");
        }
    }

    #[tokio::test]
    async fn an_unfinished_volume_has_no_size() {
        let data = tempfile::tempdir().unwrap();
        let volumes = LoopVolumes::open(data.path()).unwrap();
        fs::write(data.path().join("volumes/7-data.img.new"), [0; 4096]).unwrap();
        fs::write(data.path().join("volumes/notes.txt"), "mine").unwrap();
        let observed = volumes.observe().await.unwrap();
        assert_eq!(observed.len(), 1);
        assert_eq!((observed[0].size, observed[0].attached), (0, false));

        volumes.delete(&observed[0].id).await.unwrap();
        assert_eq!(volumes.observe().await.unwrap(), []);
        assert!(data.path().join("volumes/notes.txt").exists());
    }

    #[tokio::test]
    async fn a_folder_without_a_mount_is_no_volume() {
        let data = tempfile::tempdir().unwrap();
        let volumes = LoopVolumes::open(data.path()).unwrap();
        fs::create_dir(data.path().join("mnt/7-data")).unwrap();
        let id = WorkloadId { contract: 7, name: "data".into() };
        let error = volumes.mount_point(&id).await.unwrap_err().to_string();
        assert_eq!(error, "volume 7-data isn't mounted");
    }

    #[test]
    fn a_mount_point_is_told_from_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("my data")).unwrap();
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert!(!is_mount_point(&dir.path().join("my data")).unwrap());
        assert!(!is_mount_point(&dir.path().join("missing")).unwrap());
    }
}
