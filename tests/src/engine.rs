// SPDX-License-Identifier: Apache-2.0

use crate::{Process, Run, run::is_own_machine, wait_for};
use anyhow::{Context, Result, bail, ensure};
use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

const START_LIMIT: Duration = Duration::from_secs(30);
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// A Docker engine: the machine's own, or a private one.
pub struct Engine {
    host: String,
    private: Option<Process>,
}

impl Engine {
    /// The engine that answers at `DOCKER_HOST` or at the default socket, else a private one.
    pub fn obtain(run: &Run) -> Result<Self> {
        let host = env::var("DOCKER_HOST").unwrap_or_else(|_| DEFAULT_HOST.into());
        let found = Self { host, private: None };
        // An engine on another machine couldn't reach the registry on this one's loopback.
        if found.host.starts_with("unix://") && !is_own_machine() && found.answers() {
            fs::write(run.folder().join("engine"), &found.host)?;
            return Ok(found);
        }
        Self::private(run)
    }

    /// An engine that somebody else started.
    pub(crate) fn at(host: String) -> Self {
        Self { host, private: None }
    }

    /// An engine of the run's own. It shares nothing with other engines but the kernel.
    pub fn private(run: &Run) -> Result<Self> {
        remember_firewall(run)?;
        let host = format!("unix://{}", socket(run).display());
        fs::write(run.folder().join("engine"), &host)?;
        let mut engine = Self { host, private: None };
        engine.start(run)?;
        Ok(engine)
    }

    /// Starts the private engine, also after [`Self::stop`]. Its content is kept.
    pub fn start(&mut self, run: &Run) -> Result<()> {
        let folder = run.subfolder("docker")?;
        let mut process = Process::start(
            run,
            "dockerd",
            Command::new("dockerd")
                .arg("--data-root")
                .arg(folder.join("data"))
                .arg("--exec-root")
                .arg(folder.join("exec"))
                .arg("--pidfile")
                .arg(folder.join("pid"))
                .arg("--host")
                .arg(&self.host)
                // Each deployment has its own network, so the default one isn't needed.
                .args(["--bridge", "none"])
                .args(["--default-address-pool", "base=172.30.0.0/16,size=28"]),
        )?;
        wait_for("the private Docker engine", START_LIMIT, || {
            process.ensure_running()?;
            Ok(self.answers().then_some(()))
        })?;
        self.private = Some(process);
        Ok(())
    }

    /// Stops the private engine.
    pub fn stop(&mut self) -> Result<()> {
        self.private.take().context("the engine isn't private or doesn't run")?.stop()
    }

    /// Stops it if it is private.
    pub fn release(mut self) -> Result<()> {
        self.private.take().map_or(Ok(()), Process::stop)
    }

    /// Its address, in the form of `DOCKER_HOST`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Runs the `docker` command on it.
    pub fn docker(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).output().context("can't run `docker`: run `make setup`")?;
        ensure!(
            output.status.success(),
            "`docker {}` on {}: {}",
            args.join(" "),
            self.host,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?.trim().into())
    }

    fn answers(&self) -> bool {
        let asked = self.command(&["version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(&self.host).args(args);
        command
    }
}

fn socket(run: &Run) -> PathBuf {
    run.folder().join("docker.sock")
}

/// Saves the firewall for the cleaner to restore: an engine adds rules, sets the policy of the forward chain
/// to drop, and leaves both when it ends.
pub fn remember_firewall(run: &Run) -> Result<()> {
    let rules =
        Command::new("iptables-save").output().context("can't run `iptables-save`: run `make setup`")?;
    if !rules.status.success() {
        bail!(
            "`iptables-save`: {}; a private Docker engine needs root",
            String::from_utf8_lossy(&rules.stderr).trim()
        );
    }
    fs::write(run.folder().join("iptables"), rules.stdout)?;
    fs::copy("/proc/sys/net/ipv4/ip_forward", run.folder().join("ip_forward"))?;
    Ok(())
}
