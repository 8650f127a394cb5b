// SPDX-License-Identifier: Apache-2.0
//! Disks of machines: the quota of the root, folders for what the image declares as `VOLUME`, and the owners of
//! volumes.

use super::{Connection, DockerMachines, names};
use crate::{
    drivers::{
        Bind, DriverError, MachineSpec, WorkloadId, io_error,
        pool::{CP, LAYERS, MOUNT, NEW_ROOTS, SUBVOLUMES, UMOUNT, is_fresh, set_used},
        tools::run,
    },
    trees::Image,
};
use bollard::models::ContainerInspectResponse;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, ResolveFlags, openat, openat2, renameat_with};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};
use tfgrid_client::snapshot::ImageId;
use tfgrid_primitives::units::MIB;
use tokio::task::spawn_blocking;
use tracing::debug;

/// Part of a machine's disk that its root keeps if the image has a `VOLUME`: these mostly hold what grows.
const ROOT_PART: u64 = 4;
/// Part of a machine's disk for its log and the files that the engine makes for it, within these limits.
const FILES_PART: u64 = 8;
const MIN_FILES_BYTES: u64 = 4 * MIB;
const MAX_FILES_BYTES: u64 = 32 * MIB;
/// Limit for an image's file of users.
const MAX_USERS_BYTES: u64 = 1 << 20;

/// The root of a machine: a subvolume that began as a snapshot of its image's files.
#[derive(Clone, Debug)]
pub struct Root {
    /// The subvolume.
    pub path: PathBuf,
    /// Its image, with the files that the engine adds.
    pub image: Image,
    /// Folder for another content of it.
    pub new: PathBuf,
}

impl DockerMachines {
    /// The root of a machine; `None` if there is no such machine, or the engine isn't in the pool.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn root(&self, id: &WorkloadId) -> Result<Option<Root>, DriverError> {
        let connection = self.connection().await?;
        let name = self.common.names.container(id);
        let Some(container) = self.inspect(&connection.docker, &name).await? else { return Ok(None) };
        let Some(path) = root(&connection, &container)? else { return Ok(None) };
        let files = layer(&connection, &container, "init-id")?;
        let image = container.image.as_deref().and_then(image_id);
        let image =
            image.ok_or_else(|| DriverError::transient(format!("the engine names no image of {name}")))?;
        let new = connection.root.join(NEW_ROOTS);
        Ok(Some(Root { path, image: Image { id: image, files }, new }))
    }

    /// Mounts for the paths that the image declares as `VOLUME`, without those on which the deployment mounts
    /// something. They lie in a subvolume of the machine, which lives as long as the contract.
    pub(super) async fn image_volumes(
        &self,
        connection: &Connection,
        spec: &MachineSpec,
        mut paths: Vec<String>,
        binds: &[Bind],
    ) -> Result<Vec<Bind>, DriverError> {
        paths.retain(|path| {
            !binds.iter().any(|bind| bind.target.trim_end_matches('/') == path.trim_end_matches('/'))
        });
        let subvolume = self.image_volumes_path(spec);
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        self.pool.ensure_subvolume(&subvolume, disk_bytes(spec).saturating_sub(root_part(spec))).await?;
        let mount = |target: String| {
            let source = subvolume.join(names::image_volume(&spec.id, &target));
            match fs::create_dir(&source) {
                Ok(()) => own(&source, connection.first_user, connection.first_user)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error("create", &source, error)),
            }
            Ok(Bind { source, target })
        };
        paths.into_iter().map(mount).collect()
    }

    /// Gives volumes that nobody has used to root in the machine, so that it can fill them with the image's files.
    pub(super) fn prepare(&self, connection: &Connection, binds: &[Bind]) -> Result<(), DriverError> {
        let mut fresh = binds.iter().filter(|bind| is_fresh(&bind.source));
        fresh.try_for_each(|bind| own(&bind.source, connection.first_user, connection.first_user))
    }

    /// Limits the machine's root, which is a snapshot of its image. An engine outside the pool has no limits.
    pub(super) async fn limit_root(
        &self,
        connection: &Connection,
        spec: &MachineSpec,
        container: &ContainerInspectResponse,
    ) -> Result<(), DriverError> {
        let Some(root) = root(connection, container)? else { return Ok(()) };
        let has_volumes = self.pool.subvolume(&self.image_volumes_path(spec))?.is_some();
        let limit = if has_volumes { root_part(spec) } else { disk_bytes(spec) };
        Ok(self.pool.limit_snapshot(&root, limit).await?)
    }

    /// Makes the subvolume to which [`Self::limit_files`] moves the engine's folder of a machine.
    pub(super) async fn prepare_files(
        &self,
        connection: &Connection,
        name: &str,
        spec: &MachineSpec,
    ) -> Result<(), DriverError> {
        if connection.in_pool {
            let limit = files_bytes(spec.container.rootfs);
            self.pool.ensure_subvolume(&new_files(connection, name), limit).await?;
        }
        Ok(())
    }

    /// Removes that of a machine that couldn't be created.
    pub(super) async fn drop_files(&self, connection: &Connection, name: &str) -> Result<(), DriverError> {
        Ok(self.pool.delete_subvolume(&new_files(connection, name)).await?)
    }

    /// Moves the engine's folder of the machine, with its log and files such as `/etc/hosts` that root in the machine
    /// can write, to a subvolume with a limit.
    pub(super) async fn limit_files(
        &self,
        connection: &Connection,
        name: &str,
        spec: &MachineSpec,
        container: &ContainerInspectResponse,
    ) -> Result<(), DriverError> {
        let id = container.id.as_deref().unwrap_or_default();
        let folder = connection.root.join("containers").join(id);
        if !connection.in_pool || self.pool.subvolume(&folder)?.is_some() {
            return Ok(());
        }
        self.prepare_files(connection, name, spec).await?;
        let other = new_files(connection, name);
        let content = folder.join(".");
        run(&CP, &["--archive", &content.to_string_lossy(), &other.to_string_lossy()]).await?;
        let mounts = container.mounts.iter().flatten().filter_map(|mount| mount.name.as_deref());
        let volumes = mounts.map(|name| connection.root.join("volumes").join(name));
        let synced: Vec<PathBuf> =
            [other.clone(), layers(connection, id)].into_iter().chain(volumes).collect();
        let synced = spawn_blocking(move || synced.iter().try_for_each(|folder| sync(folder))).await;
        synced
            .unwrap_or_else(|why| Err(io::Error::other(why)))
            .map_err(|error| io_error("sync files of", &folder, error))?;
        renameat_with(CWD, &folder, CWD, &other, RenameFlags::EXCHANGE)
            .map_err(|error| io_error("replace", &folder, error.into()))?;
        fs::remove_dir_all(&other).map_err(|error| io_error("delete", &other, error))
    }

    /// Gives volumes at their first use to the machine's user, unless the image's files have another owner.
    pub(super) async fn hand_over(
        &self,
        connection: &Connection,
        container: &ContainerInspectResponse,
        binds: &[Bind],
    ) -> Result<(), DriverError> {
        let fresh: Vec<&Bind> = binds.iter().filter(|bind| is_fresh(&bind.source)).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let user = container.config.as_ref().and_then(|config| config.user.as_deref()).unwrap_or_default();
        let users = match root(connection, container)? {
            Some(root) => read_within(&root, "etc/passwd").unwrap_or_else(|error| {
                debug!("an image without users: {error}");
                String::new()
            }),
            None => String::new(),
        };
        // The engine refuses to start a machine whose user it doesn't find.
        let (user, group) = user_and_group(user, &users).unwrap_or_default();
        for Bind { source, .. } in fresh {
            let owner = fs::metadata(source).map_err(|error| io_error("inspect", source, error))?.uid();
            if owner == connection.first_user {
                let outside = |id: u32| connection.first_user.saturating_add(id);
                own(source, outside(user), outside(group))?;
            }
            set_used(source).map_err(|error| io_error("mark", source, error))?;
        }
        Ok(())
    }

    /// Mounts the machine's volumes anew where the engine has mounted a content that was replaced since. One that was
    /// started while the machine ran leaves them mounted when it stops, and gives it the same mounts again.
    ///
    /// # Errors
    /// If the engine or a tool fails.
    pub async fn renew_mounts(&self, id: &WorkloadId) -> Result<(), DriverError> {
        let connection = self.connection().await?;
        let name = self.common.names.container(id);
        let container = self.inspect(&connection.docker, &name).await?.unwrap_or_default();
        for mount in container.host_config.and_then(|config| config.mounts).unwrap_or_default() {
            let options = mount.volume_options.and_then(|options| options.driver_config?.options);
            let folder = options.and_then(|mut options| options.remove("device"));
            let (Some(volume), Some(folder)) = (mount.source, folder) else { continue };
            let at = mount_point(&connection, &volume);
            if is_mounted(&at)? && identity(&at)? != identity(Path::new(&folder))? {
                run(&UMOUNT, &[&at.to_string_lossy()]).await?;
                run(&MOUNT, &["--bind", &folder, &at.to_string_lossy()]).await?;
            }
        }
        Ok(())
    }

    fn image_volumes_path(&self, spec: &MachineSpec) -> PathBuf {
        self.pool.volumes().join(names::image_volumes(&spec.id).to_string())
    }
}

/// What a machine with such a disk has of it for its log and the files that the engine makes for it.
pub(super) fn files_bytes(rootfs: u64) -> u64 {
    (rootfs / FILES_PART).clamp(MIN_FILES_BYTES, MAX_FILES_BYTES)
}

/// What is left of the machine's disk.
fn disk_bytes(spec: &MachineSpec) -> u64 {
    spec.container.rootfs.saturating_sub(files_bytes(spec.container.rootfs))
}

fn root_part(spec: &MachineSpec) -> u64 {
    disk_bytes(spec) / ROOT_PART
}

/// The subvolume of the machine's root; `None` if the engine isn't in the pool.
fn root(
    connection: &Connection,
    container: &ContainerInspectResponse,
) -> Result<Option<PathBuf>, DriverError> {
    if !connection.in_pool {
        return Ok(None);
    }
    layer(connection, container, "mount-id").map(Some)
}

/// A subvolume of a container, whose name the engine has in this file.
fn layer(
    connection: &Connection,
    container: &ContainerInspectResponse,
    file: &str,
) -> Result<PathBuf, DriverError> {
    let id = container.id.as_deref().unwrap_or_default();
    let file = layers(connection, id).join(file);
    let name = fs::read_to_string(&file).map_err(|error| io_error("read", &file, error))?;
    Ok(connection.root.join(SUBVOLUMES).join(name.trim()))
}

/// Unmounts a volume that the engine has left mounted, if it has.
pub(super) async fn unmount(connection: &Connection, volume: &str) -> Result<(), DriverError> {
    let at = mount_point(connection, volume);
    if is_mounted(&at)? {
        run(&UMOUNT, &[&at.to_string_lossy()]).await?;
    }
    Ok(())
}

/// Where the engine mounts the volume with this name.
fn mount_point(connection: &Connection, volume: &str) -> PathBuf {
    connection.root.join("volumes").join(volume).join("_data")
}

/// Whether a volume is mounted there: each is in a subvolume of its own, which has its own device.
fn is_mounted(at: &Path) -> Result<bool, DriverError> {
    let Some(above) = at.parent().filter(|_| at.exists()) else { return Ok(false) };
    Ok(identity(at)?.0 != identity(above)?.0)
}

/// Device and number of a folder.
fn identity(folder: &Path) -> Result<(u64, u64), DriverError> {
    let found = fs::metadata(folder).map_err(|error| io_error("inspect", folder, error))?;
    Ok((found.dev(), found.ino()))
}

/// The hash in the engine's name of an image, `sha256:…`.
fn image_id(text: &str) -> Option<ImageId> {
    hex::decode(text.strip_prefix("sha256:")?).ok()?.try_into().ok()
}

/// The folder in which the engine keeps of which layers a machine's root is.
fn layers(connection: &Connection, id: &str) -> PathBuf {
    connection.root.join(LAYERS).join("mounts").join(id)
}

/// Writes the files in a folder to the disk. The engine leaves them to the kernel, which takes half a minute.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

/// The engine empties this folder's parent when it starts.
fn new_files(connection: &Connection, name: &str) -> PathBuf {
    connection.root.join("tmp").join(name)
}

/// Reads a file of a machine. Its links can't lead out of it.
fn read_within(root: &Path, path: &str) -> io::Result<String> {
    let root = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
    let mut text = Vec::new();
    File::from(file).take(MAX_USERS_BYTES).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Numbers of a user in the form of an image's `USER`, such as `app`, `1000` or `1000:50`. Groups have no names here:
/// one that has is taken for the user's own. `None` if the user isn't known.
fn user_and_group(user: &str, users: &str) -> Option<(u32, u32)> {
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let known = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (name == user || id == user).then(|| Some((id.parse().ok()?, fields.next()?.parse().ok()?)))?
    });
    let (user, own_group) = match known {
        Some(known) => known,
        None if user.is_empty() => (0, 0),
        None => (user.parse().ok()?, 0),
    };
    Some((user, group.parse().unwrap_or(own_group)))
}

fn own(path: &Path, user: u32, group: u32) -> Result<(), DriverError> {
    chown(path, Some(user), Some(group)).map_err(|error| io_error("change the owner of", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_user_is_known_by_name_or_number() {
        let users = "root:x:0:0::/:/bin/sh\nbroken\napp:x:1000:50::/:/bin/sh\n";
        for (user, expected) in [
            ("", Some((0, 0))),
            ("root", Some((0, 0))),
            ("app", Some((1000, 50))),
            ("1000", Some((1000, 50))),
            ("app:7", Some((1000, 7))),
            ("app:staff", Some((1000, 50))),
            ("2000", Some((2000, 0))),
            ("2000:3", Some((2000, 3))),
            ("nobody", None),
        ] {
            assert_eq!(user_and_group(user, users), expected, "{user:?}");
        }
        assert_eq!(user_and_group("app", ""), None);
    }

    #[test]
    fn an_image_is_known_by_its_hash() {
        assert_eq!(image_id(&format!("sha256:{}", "07".repeat(32))), Some([7; 32]));
        for strange in ["", "07", "sha256:07", "sha512:07"] {
            assert_eq!(image_id(strange), None, "{strange:?}");
        }
    }

    #[test]
    fn a_volume_that_is_not_mounted_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for at in [folder.path().to_owned(), folder.path().join("missing")] {
            assert!(!is_mounted(&at).unwrap(), "{at:?}");
        }
        assert!(is_mounted(Path::new("/proc")).unwrap());
    }

    #[test]
    fn a_link_in_a_machine_does_not_lead_out_of_it() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        symlink("/etc/hostname", root.path().join("etc/passwd")).unwrap();
        assert!(read_within(root.path(), "etc/passwd").is_err());
        fs::write(root.path().join("etc/hostname"), "inside").unwrap();
        assert_eq!(read_within(root.path(), "etc/passwd").unwrap(), "inside");
    }
}
