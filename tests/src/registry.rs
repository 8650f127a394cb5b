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
                "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '{address}'}}\n",
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
        let registry = Self::start(run)?;
        let builder = Engine::obtain(run)?;
        let image = registry.push_page_image(run, &builder)?;
        builder.release()?;
        Ok((registry, image))
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

fn pack_rootfs(rootfs: &Path, archive: &Path) -> Result<()> {
    let bin = rootfs.join("bin");
    fs::create_dir_all(&bin)?;
    fs::copy(BUSYBOX, bin.join("busybox"))
        .with_context(|| format!("can't copy {BUSYBOX}: run `make setup`"))?;
    for applet in ["sh", "cat", "grep", "httpd", "tar"] {
        symlink("busybox", bin.join(applet))?;
    }
    fs::write(bin.join("serve"), SERVE)?;
    fs::set_permissions(bin.join("serve"), fs::Permissions::from_mode(0o755))?;
    let packed = Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(archive).arg(".").status();
    anyhow::ensure!(packed.context("can't run `tar`")?.success(), "`tar` couldn't pack {}", rootfs.display());
    Ok(())
}
