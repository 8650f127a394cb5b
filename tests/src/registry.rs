// SPDX-License-Identifier: Apache-2.0

use crate::{Engine, Process, Run, free_port, wait_for};
use anyhow::{Context, Result};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const START_LIMIT: Duration = Duration::from_secs(15);
const BUSYBOX: &str = "/bin/busybox";

/// First line of the page, from the deployment's `env`.
pub const GREETING: &str = "hello from the grid";

/// Serves a page from a mounted disk; without one, `grep` finds nothing and the workload exits. A new disk
/// gets a mark, so that the page shows whether the disk is the same as before.
const SERVE: &str = r#"#!/bin/sh
set -e
cd /data
[ -e mark ] || cat /proc/sys/kernel/random/uuid >mark
echo "${GREETING:-hello}" >index.html
grep ' /data ' /proc/mounts >>index.html
echo "serving $GREETING"
cat mark >>index.html
exec httpd -f -p 80 -h /data
"#;

/// An image registry on loopback, where engines need no TLS.
pub struct Registry {
    address: SocketAddr,
    folder: PathBuf,
    _process: Process,
}

impl Registry {
    pub fn start(run: &Run) -> Result<Self> {
        let folder = run.subfolder("registry")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let config = folder.join("config.yml");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\n\
                 http: {{addr: '{address}'}}\n",
                folder.join("storage").display()
            ),
        )?;
        let mut process =
            Process::start(run, "registry", Command::new("docker-registry").arg("serve").arg(&config))?;
        wait_for("the image registry", START_LIMIT, || {
            process.ensure_running()?;
            Ok(crate::get(address, "/v2/").ok())
        })?;
        Ok(Self { address, folder, _process: process })
    }

    /// Starts it, and pushes the image of a web server; returns the image's name, too.
    pub fn start_with_image(run: &Run) -> Result<(Self, String)> {
        Self::start_with_images(run, &[])
    }

    /// The same with more images.
    pub fn start_with_images(run: &Run, more: &[TestImage]) -> Result<(Self, String)> {
        let registry = Self::start(run)?;
        let builder = Engine::obtain(run)?;
        let image = registry.push_page_image(run, &builder)?;
        for image in more {
            registry.push(&builder, image)?;
        }
        builder.release()?;
        Ok((registry, image))
    }

    /// Builds an image, pushes it and removes the engine's copy.
    fn push(&self, engine: &Engine, image: &TestImage) -> Result<()> {
        let rootfs = self.folder.join(image.name.replace(['/', ':'], "-"));
        let archive = self.folder.join("image.tar");
        image.pack(&rootfs, &archive)?;
        let name = format!("{}/{}", self.address, image.name);
        let archive = archive.display().to_string();
        let changes = image.changes.iter().flat_map(|change| ["--change", *change]);
        let words = ["import"].into_iter().chain(changes).chain([archive.as_str(), name.as_str()]);
        let id = engine.docker(&words.collect::<Vec<_>>())?;
        engine.docker(&["push", "--quiet", &name])?;
        engine.docker(&["image", "rm", "--force", &id]).map(drop)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Builds the image of a web server, pushes it and removes the engine's copy, so that a deployment must
    /// pull it. Returns its name with the digest.
    pub fn push_page_image(&self, run: &Run, engine: &Engine) -> Result<String> {
        let archive = self.folder.join("rootfs.tar");
        pack_rootfs(&self.folder.join("rootfs"), &archive)?;
        let name = format!("{}/web:1", self.address);
        let id = engine.docker(&[
            "import",
            "--change",
            r#"CMD ["/bin/serve"]"#,
            &archive.to_string_lossy(),
            &name,
        ])?;
        engine.docker(&["push", "--quiet", &name])?;
        let format = "{{index .RepoDigests 0}}";
        let reference = engine.docker(&["image", "inspect", "--format", format, &name])?;
        engine.docker(&["image", "rm", "--force", &id])?;
        // The cleaner removes the copy that a deployment leaves on the engine.
        fs::write(run.folder().join("image"), &reference)?;
        Ok(reference)
    }

    /// Name of an image that the registry doesn't have.
    pub fn missing_image(&self) -> String {
        format!("{}/web@sha256:{}", self.address, "0".repeat(64))
    }
}

/// An image of busybox, and of what else it takes to be like another one.
pub struct TestImage<'a> {
    /// Its name in the registry, with a tag.
    pub name: &'a str,
    /// A folder whose content it has, too.
    pub files: Option<&'a Path>,
    /// Path and text of executable files.
    pub scripts: &'a [(&'a str, &'a str)],
    /// Instructions as of a Dockerfile.
    pub changes: &'a [&'a str],
}

impl TestImage<'_> {
    fn pack(&self, rootfs: &Path, archive: &Path) -> Result<()> {
        add_busybox(rootfs, &applets()?)?;
        self.scripts.iter().try_for_each(|(path, text)| add_script(&rootfs.join(path), text))?;
        if let Some(files) = self.files {
            pack(files, archive)?;
            // What is there already stays: an archive has no path twice.
            tar(Command::new("tar").args(["--skip-old-files", "-C"]).arg(rootfs).arg("-xf").arg(archive))?;
        }
        pack(rootfs, archive)
    }
}

/// The names of busybox's tools.
fn applets() -> Result<Vec<String>> {
    let output = Command::new(BUSYBOX).arg("--list").output();
    let output = output.with_context(|| format!("can't run {BUSYBOX}: run `make setup`"))?;
    let names = String::from_utf8(output.stdout)?;
    Ok(names.lines().filter(|name| *name != "busybox").map(Into::into).collect())
}

fn pack_rootfs(rootfs: &Path, archive: &Path) -> Result<()> {
    add_busybox(rootfs, &["sh", "cat", "grep", "httpd"])?;
    add_script(&rootfs.join("bin/serve"), SERVE)?;
    pack(rootfs, archive)
}

fn add_busybox(rootfs: &Path, applets: &[impl AsRef<Path>]) -> Result<()> {
    let bin = rootfs.join("bin");
    fs::create_dir_all(&bin)?;
    fs::copy(BUSYBOX, bin.join("busybox"))
        .with_context(|| format!("can't copy {BUSYBOX}: run `make setup`"))?;
    for applet in applets {
        symlink("busybox", bin.join(applet))?;
    }
    Ok(())
}

fn add_script(path: &Path, text: &str) -> Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// Packs the content of a folder.
fn pack(folder: &Path, archive: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command.arg("-cf").arg(archive).args(["--owner", "0", "--group", "0", "-C"]).arg(folder).arg(".");
    tar(&mut command)
}

fn tar(command: &mut Command) -> Result<()> {
    let status = command.status().context("can't run `tar`")?;
    anyhow::ensure!(status.success(), "{command:?} failed");
    Ok(())
}
