// SPDX-License-Identifier: Apache-2.0
//! The container engine of the node's own: `containerd` and `dockerd`, with their data in the storage pool and their
//! sockets under `/run`. Both outlive the agent, and the next one goes on with them. Containers outlive all three.

use super::{
    machine::CTR,
    pool::{Pool, run_folder},
    tools::{PATH, Tool},
};
use crate::{backoff::Backoff, ticket};
use anyhow::{Context, Result, ensure};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use serde_json::json;
use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tfgrid_primitives::{PublicKey, units::MIB};
use tokio::{
    process::{Child, Command},
    time::sleep,
};
use tracing::{info, warn};

/// Programs of the engine.
pub(crate) const TOOLS: [&Tool; 6] = [&DOCKERD, &CONTAINERD, &CTR, &INIT, &RUNC, &IPTABLES];
const DOCKERD: Tool = Tool { program: "dockerd", package: "docker.io" };
const CONTAINERD: Tool = Tool { program: "containerd", package: "containerd" };
const INIT: Tool = Tool { program: "docker-init", package: "docker.io" };
const RUNC: Tool = Tool { program: "runc", package: "runc" };
/// Runs one machine for containerd.
const SHIM: &str = "containerd-shim-runc-v2";
const IPTABLES: Tool = Tool { program: "iptables", package: "iptables" };

const RESTART: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
/// Uptime after which earlier ends are forgotten.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// How often a daemon of an earlier agent is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Limit for a daemon to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Size of the log above which a daemon's start begins a new one.
const MAX_LOG_BYTES: u64 = 8 * MIB;
/// Group of `dockerd` and of nothing else, by which the firewall knows what the engine sends. It is none of those that
/// Debian or systemd give to anybody, nor of users in machines.
pub const GROUP: u32 = 90_000;
/// Subnets of contracts' networks: 4,096 of them.
const SUBNETS: (&str, u8) = ("172.30.0.0/16", 28);

/// The engine of a node.
#[derive(Clone, Debug)]
pub struct OwnEngine {
    run: PathBuf,
    pool: Pool,
    log: PathBuf,
    mirrors: Vec<String>,
}

/// A daemon with the configuration file that identifies its process.
struct Daemon {
    tool: &'static Tool,
    config: PathBuf,
    content: String,
    group: u32,
}

/// Socket of a node's own engine, in the form `unix:///…`.
pub fn socket(node: &PublicKey) -> String {
    socket_in(&run_folder(node))
}

fn socket_in(run: &Path) -> String {
    format!("unix://{}", run.join("docker.sock").display())
}

impl OwnEngine {
    /// The engine of the node with this key. Its log goes to the node's data folder.
    pub fn new(data: &Path, pool: &Pool, node: &PublicKey, mirrors: Vec<String>) -> Self {
        Self { run: run_folder(node), pool: pool.clone(), log: data.join("engine.log"), mirrors }
    }

    /// Its socket, in the form `unix:///…`.
    pub fn socket(&self) -> String {
        socket_in(&self.run)
    }

    /// Keeps both daemons running, for ever.
    pub async fn run(self) {
        futures::join!(self.keep(self.containerd()), self.keep(self.dockerd()));
    }

    /// Ends both daemons. Containers go on.
    ///
    /// # Errors
    /// If one doesn't end.
    pub async fn stop(&self) -> Result<()> {
        for daemon in [self.dockerd(), self.containerd()] {
            daemon.stop().await?;
        }
        Ok(())
    }

    /// Ends what containerd has started for machines: once all are removed, such a process has lost its own.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn end_shims(&self) -> Result<()> {
        end_all(SHIM, &format!("-address\0{}", self.containerd_socket().display()))
    }

    fn containerd_socket(&self) -> PathBuf {
        self.run.join("containerd.sock")
    }

    fn containerd(&self) -> Daemon {
        let quoted = |path: PathBuf| json!(path).to_string();
        let content = format!(
            "version = 2\nroot = {}\nstate = {}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {}\n",
            // In memory: it has the environment of each machine, and doesn't overwrite what is removed.
            quoted(self.run.join("containerd-root")),
            quoted(self.run.join("containerd")),
            quoted(self.containerd_socket()),
        );
        Daemon { tool: &CONTAINERD, config: self.run.join("containerd.toml"), content, group: 0 }
    }

    fn dockerd(&self) -> Daemon {
        let (base, size) = SUBNETS;
        let content = json!({
            "data-root": self.pool.engine().join("docker"),
            "exec-root": self.run.join("exec"),
            "pidfile": self.run.join("dockerd.pid"),
            "hosts": [self.socket()],
            "group": "root",
            "containerd": self.containerd_socket(),
            "features": { "containerd-snapshotter": false },
            "storage-driver": "btrfs",
            "userns-remap": "default",
            "live-restore": true,
            "no-new-privileges": true,
            // Each contract has a network of its own.
            "bridge": "none",
            "default-address-pools": [{ "base": base, "size": size }],
            "userland-proxy": false,
            // The engine's own limit holds for all downloads together: two slow ones would stop everybody's.
            "max-concurrent-downloads": 1_000,
            "registry-mirrors": self.mirrors,
            "log-level": "warn",
        });
        let config = self.run.join("dockerd.json");
        Daemon { tool: &DOCKERD, config, content: content.to_string(), group: GROUP }
    }

    /// Goes on with the daemon of an earlier agent or starts it, and starts it again whenever it has ended.
    async fn keep(&self, daemon: Daemon) {
        let name = daemon.tool.program;
        let mut failures = 0u32;
        loop {
            let begun = Instant::now();
            let why = match self.keep_once(&daemon).await {
                Ok(how) => how,
                Err(error) => format!("{error:#}"),
            };
            failures = if begun.elapsed() > STABLE_AFTER { 1 } else { failures.saturating_add(1) };
            let delay = RESTART.delay(failures);
            warn!(retry_in = ?delay, log = %self.log.display(), "{name} has ended: {why}");
            sleep(delay).await;
        }
    }

    /// Resolves once the daemon has ended, with how.
    async fn keep_once(&self, daemon: &Daemon) -> Result<String> {
        if let Some(pid) = daemon.process() {
            if daemon.is_current(pid) {
                info!(pid = pid.as_raw_nonzero(), "{} runs already", daemon.tool.program);
                while daemon.process() == Some(pid) {
                    sleep(LOOK_EVERY).await;
                }
                return Ok("killed".into());
            }
            daemon.stop().await?;
        }
        if daemon.tool.program == DOCKERD.program
            && let Err(error) = self.remove_roots_without_machine().await
        {
            warn!("machines that were removed may still use space: {error:#}");
        }
        Ok(self.start(daemon)?.wait().await?.to_string())
    }

    /// Removes roots of machines that the engine doesn't have: it was killed while it created or removed them. It must
    /// not run.
    async fn remove_roots_without_machine(&self) -> Result<()> {
        let docker = self.pool.engine().join("docker");
        // It has a folder for each range of users that machines' ones are mapped to.
        for data in entries(&docker)? {
            let subvolumes = data.join("btrfs/subvolumes");
            for root in entries(&data.join("image/btrfs/layerdb/mounts"))? {
                let machine = root.file_name().unwrap_or_default();
                if data.join("containers").join(machine).exists() {
                    continue;
                }
                for file in ["mount-id", "init-id"] {
                    let name = fs::read_to_string(root.join(file)).unwrap_or_default();
                    if !name.is_empty() {
                        self.pool.delete_subvolume(&subvolumes.join(name)).await?;
                    }
                }
                fs::remove_dir_all(&root).with_context(|| format!("can't remove {}", root.display()))?;
            }
        }
        Ok(())
    }

    fn start(&self, daemon: &Daemon) -> Result<Child> {
        let program = daemon.tool.program;
        let start = || {
            fs::create_dir_all(&self.run)?;
            fs::write(&daemon.config, &daemon.content)?;
            // Another process may have its number by now, and dockerd wouldn't start.
            match fs::remove_file(self.run.join(format!("{program}.pid"))) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let is_long = fs::metadata(&self.log).is_ok_and(|log| log.len() > MAX_LOG_BYTES);
            let log = if is_long {
                File::create(&self.log)
            } else {
                File::options().create(true).append(true).open(&self.log)
            }?;
            info!("starting {program}");
            Command::new(program)
                .arg(daemon.argument())
                .arg(&daemon.config)
                .env("PATH", PATH)
                .env_remove(ticket::VARIABLE)
                .gid(daemon.group)
                // Ctrl-C ends the agent alone.
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
        };
        start().with_context(|| format!("can't start {program}"))
    }
}

impl Daemon {
    fn argument(&self) -> &'static str {
        if self.config.extension().is_some_and(|extension| extension == "json") {
            "--config-file"
        } else {
            "--config"
        }
    }

    /// Its process: the one that was started with its configuration file.
    fn process(&self) -> Option<Pid> {
        let arguments = [self.argument(), self.config.to_str()?].join("\0");
        processes(self.tool.program, &arguments).ok()?.pop()
    }

    /// Whether this process, which is one of it, has its configuration and group.
    fn is_current(&self, pid: Pid) -> bool {
        let group = fs::metadata(format!("/proc/{}", pid.as_raw_nonzero())).map(|process| process.gid());
        group.is_ok_and(|group| group == self.group)
            && fs::read_to_string(&self.config).is_ok_and(|content| content == self.content)
    }

    async fn stop(&self) -> Result<()> {
        let begun = Instant::now();
        while let Some(pid) = self.process() {
            ensure!(
                begun.elapsed() < STOP_TIMEOUT,
                "{} (pid {}) doesn't end on SIGTERM",
                self.tool.program,
                pid.as_raw_nonzero()
            );
            kill_process(pid, Signal::TERM).with_context(|| format!("can't end {}", self.tool.program))?;
            sleep(LOOK_EVERY / 5).await;
        }
        Ok(())
    }
}

/// Processes of the program whose last arguments these are, with a NUL between them.
fn processes(program: &str, arguments: &str) -> io::Result<Vec<Pid>> {
    let is_wanted = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.split('\0').next().is_some_and(|first| first.ends_with(program))
            && line.trim_end_matches('\0').ends_with(arguments)
    };
    let all = fs::read_dir("/proc")?.flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(all.filter(is_wanted).filter_map(Pid::from_raw).collect())
}

fn end_all(program: &str, arguments: &str) -> Result<()> {
    for pid in processes(program, arguments)? {
        match kill_process(pid, Signal::KILL) {
            Err(error) if error != Errno::SRCH => {
                return Err(error)
                    .with_context(|| format!("can't end {program} (pid {})", pid.as_raw_nonzero()));
            }
            _ => info!(pid = pid.as_raw_nonzero(), "ended a {program} without a machine"),
        }
    }
    Ok(())
}

/// What is in the folder; nothing if there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect()),
    };
    entries.with_context(|| format!("can't read {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};

    #[test]
    fn a_process_is_known_by_program_and_last_arguments() {
        let mine = format!("-address\0/run/{}/containerd.sock", std::process::id());
        let start = |program: &str| {
            let mut shim = std::process::Command::new("sh");
            shim.arg0(program)
                .args(["-c", "read line"])
                .args(mine.split('\0'))
                .stdin(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let (mut shim, mut other) = (start(SHIM), start("other"));
        let begun = Instant::now();
        while processes(SHIM, &mine).unwrap().is_empty() {
            assert!(begun.elapsed() < STOP_TIMEOUT, "it doesn't start");
        }
        end_all(SHIM, &mine).unwrap();
        assert_eq!(shim.wait().unwrap().signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none(), "another program was ended");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
