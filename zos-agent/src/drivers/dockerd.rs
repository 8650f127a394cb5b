// SPDX-License-Identifier: Apache-2.0
//! The container engine of the node's own: `containerd` and `dockerd`, with their data in the storage pool and their
//! sockets under `/run`. Both outlive the agent, and the next one goes on with them. Containers outlive all three.

use super::{
    daemon::{Daemon, processes},
    leftovers::{self, Leftovers},
    machine::CTR,
    pool::{LAYERS, Pool, SUBVOLUMES, entries, run_folder},
    runtime,
    tools::Tool,
};
use anyhow::{Context, Result};
use bollard::{API_DEFAULT_VERSION, Docker};
use rustix::{
    io::Errno,
    process::{Signal, kill_process},
};
use serde_json::json;
use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};
use tfgrid_primitives::PublicKey;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// Programs of the engine.
pub(crate) const TOOLS: [&Tool; 6] = [&DOCKERD, &CONTAINERD, &CTR, &INIT, &RUNC, &IPTABLES];
const DOCKERD: Tool = Tool { program: "dockerd", package: "docker.io" };
const CONTAINERD: Tool = Tool { program: "containerd", package: "containerd" };
const INIT: Tool = Tool { program: "docker-init", package: "docker.io" };
pub(crate) const RUNC: Tool = Tool { program: "runc", package: "runc" };
/// Runs one machine for containerd.
const SHIM: &str = "containerd-shim-runc-v2";
/// What containerd has of machines' tasks, in the folder of its state.
const TASKS: &str = "io.containerd.runtime.v2.task/moby";
/// Limit for containerd to remove a task whose shim has ended.
const TASK_GONE_WITHIN: Duration = Duration::from_secs(10);
pub(crate) const IPTABLES: Tool = Tool { program: "iptables", package: "iptables" };

/// Group of `dockerd` and of nothing else, by which the firewall knows what the engine sends. It is none of those that
/// Debian or systemd give to anybody, nor of users in machines.
pub const GROUP: u32 = 90_000;
/// In the data folder: the boot image has ended all processes and written everything to the disk.
const ENDED_IN_ORDER: &str = "ended-in-order";
/// Below `/run`: the engine has answered since the host's start.
const ANSWERED: &str = "answered";
/// Limit for an answer, and how often it is asked until the first one.
const ANSWER_SECONDS: u64 = 5;
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Subnets of contracts' networks: 4,096 of them.
const SUBNETS: (&str, u8) = ("172.30.0.0/16", 28);

/// The engine of a node.
#[derive(Clone, Debug)]
pub struct OwnEngine {
    run: PathBuf,
    pool: Pool,
    data: PathBuf,
    log: PathBuf,
    mirrors: Vec<String>,
    /// Path of the agent's program, which is the runtime.
    program: PathBuf,
}

/// Socket of a node's own engine, in the form `unix:///…`.
pub fn socket(node: &PublicKey) -> String {
    socket_in(&run_folder(node))
}

fn socket_in(run: &Path) -> String {
    format!("unix://{}", run.join("docker.sock").display())
}

impl OwnEngine {
    /// The engine of the node with this key. Its log goes to the node's data folder. `program` is the agent's.
    pub fn new(data: &Path, pool: &Pool, node: &PublicKey, mirrors: Vec<String>, program: PathBuf) -> Self {
        let (run, log) = (run_folder(node), data.join("engine.log"));
        Self { run, pool: pool.clone(), data: data.to_owned(), log, mirrors, program }
    }

    /// Its socket, in the form `unix:///…`.
    pub fn socket(&self) -> String {
        socket_in(&self.run)
    }

    /// Keeps both daemons running, for ever.
    pub async fn run(self) {
        let (containerd, dockerd) = (self.containerd(), self.dockerd());
        futures::join!(
            containerd.keep(&self.log, || self.prepare(&containerd)),
            dockerd.keep(&self.log, || self.prepare(&dockerd)),
            self.note_answer(),
        );
    }

    /// Remembers until the host's next start that the engine has answered.
    async fn note_answer(&self) {
        while let Err(error) = self.ask().await {
            debug!("the engine doesn't answer yet: {error:#}");
            sleep(ASK_EVERY).await;
        }
    }

    async fn ask(&self) -> Result<()> {
        let docker = Docker::connect_with_unix(&self.socket(), ANSWER_SECONDS, API_DEFAULT_VERSION)?;
        docker.ping().await?;
        Ok(fs::write(self.run.join(ANSWERED), "")?)
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

    /// Ends what containerd has started for machines: once all are removed, such a process has lost its own. It ends
    /// with what it has started while containerd runs.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn end_shims(&self) -> Result<()> {
        let containerd = self.containerd_socket();
        end_all(SHIM, &format!("-address\0{}", containerd.display()))?;
        until_removed(&tasks(&containerd)).await;
        Ok(())
    }

    fn containerd_socket(&self) -> PathBuf {
        self.run.join("containerd.sock")
    }

    fn containerd(&self) -> Daemon {
        let quoted = |path: PathBuf| json!(path).to_string();
        let content = format!(
            "version = 2\nroot = {}\nstate = {}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {}\n",
            // In memory: it has the environment of each machine, and doesn't overwrite what is removed.
            quoted(self.run.join("containerd-root")),
            quoted(self.run.join("containerd")),
            quoted(self.containerd_socket()),
        );
        daemon(&CONTAINERD, "--config", self.run.join("containerd.toml"), content, 0)
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
            "runtimes": { runtime::NAME: { "path": self.program, "runtimeArgs": ["runtime"] } },
            "default-runtime": runtime::NAME,
            // Each contract has a network of its own.
            "bridge": "none",
            "default-address-pools": [{ "base": base, "size": size }],
            "userland-proxy": false,
            // The engine's own limit holds for all downloads together: two slow ones would stop everybody's.
            "max-concurrent-downloads": 1_000,
            "registry-mirrors": self.mirrors,
            "log-level": "warn",
        });
        daemon(&DOCKERD, "--config-file", self.dockerd_config(), content.to_string(), GROUP)
    }

    /// It is there from the engine's first start since the host's.
    fn dockerd_config(&self) -> PathBuf {
        self.run.join("dockerd.json")
    }

    /// What a daemon's start needs.
    async fn prepare(&self, daemon: &Daemon) -> Result<()> {
        let run = &self.run;
        fs::create_dir_all(run).with_context(|| format!("can't create {}", run.display()))?;
        // Another process may have its number by now, and dockerd wouldn't start.
        let number = run.join(format!("{}.pid", daemon.program));
        match fs::remove_file(&number) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("can't remove {}", number.display()));
            }
            _ => {}
        }
        if daemon.program == DOCKERD.program {
            self.pool.restore_limits().await?;
            // An engine that ended in order may have been unable to start before.
            let is_whole = self.run.join(ANSWERED).exists()
                || !self.dockerd_config().exists() && ended_in_order(&self.data);
            if !is_whole && let Err(error) = self.remove_leftovers().await {
                warn!("the engine may not start after a power cut: {error:#}");
            }
            if let Err(error) = self.remove_roots_without_machine().await {
                warn!("machines that were removed may still use space: {error:#}");
            }
        }
        Ok(())
    }

    /// Removes what a power cut may have left. The engine may not have answered since the host's start.
    async fn remove_leftovers(&self) -> Result<()> {
        for data in self.pool.engine_data()? {
            let Leftovers { entries, subvolumes } = leftovers::find(&data)?;
            let count = entries.len() + subvolumes.len();
            if count > 0 {
                info!(count, "removing what the engine's last run has left");
            }
            // Nothing is built here, and a damaged database of builds keeps the engine from starting.
            for entry in entries.into_iter().chain([data.join("buildkit")]).filter(|entry| entry.exists()) {
                let removed =
                    if entry.is_dir() { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) };
                removed.with_context(|| format!("can't remove {}", entry.display()))?;
            }
            for subvolume in subvolumes {
                self.pool.delete_subvolume(&subvolume).await?;
            }
        }
        Ok(())
    }

    /// Removes roots of machines that the engine doesn't have: it was killed while it created or removed them. It must
    /// not run.
    async fn remove_roots_without_machine(&self) -> Result<()> {
        for data in self.pool.engine_data()? {
            let subvolumes = data.join(SUBVOLUMES);
            for root in entries(&data.join(LAYERS).join("mounts"))? {
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
}

/// Whether all that the engine wrote before the host's start is on the disk. It is told once.
fn ended_in_order(data: &Path) -> bool {
    let removed = fs::remove_file(data.join(ENDED_IN_ORDER));
    // For good: the next end may be a power cut.
    removed.and_then(|()| File::open(data)?.sync_all()).is_ok()
}

/// A daemon that its configuration file identifies.
fn daemon(tool: &Tool, option: &str, config: PathBuf, content: String, group: u32) -> Daemon {
    let arguments = vec![option.to_owned(), config.to_string_lossy().into_owned()];
    Daemon { program: tool.program.into(), arguments, config: Some((config, content)), group }
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

/// Ends what containerd has started for a task that it hasn't made, with its files: it was killed meanwhile, and takes
/// the task for one that exists.
pub(super) async fn end_shim(containerd: &Path, task: &str) -> Result<()> {
    end_all(SHIM, &format!("-id\0{task}\0-address\0{}", containerd.display()))?;
    let files = tasks(containerd).join(task);
    until_removed(&files).await;
    match fs::remove_dir_all(&files) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", files.display()))
        }
        _ => Ok(()),
    }
}

/// Folder of what a containerd has of machines' tasks.
fn tasks(containerd: &Path) -> PathBuf {
    containerd.with_file_name("containerd").join(TASKS)
}

/// Lets containerd see that shims have ended: it needs their files to end the machines that they have made.
async fn until_removed(files: &Path) {
    let removed = async {
        while entries(files).is_ok_and(|left| !left.is_empty()) {
            sleep(TASK_GONE_WITHIN / 200).await;
        }
    };
    let _ = timeout(TASK_GONE_WITHIN, removed).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::daemon::STOP_TIMEOUT;
    use std::{
        os::unix::process::{CommandExt, ExitStatusExt},
        process::Stdio,
        time::Instant,
    };

    #[test]
    fn an_end_in_order_counts_for_one_start() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(ENDED_IN_ORDER), "").unwrap();
        assert!(ended_in_order(data.path()));
        assert!(!ended_in_order(data.path()));
    }

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

    #[tokio::test]
    async fn what_an_interrupted_start_has_left_ends_alone() {
        let run = tempfile::tempdir().unwrap();
        let socket = run.path().join("containerd.sock");
        let files = |task: &str| run.path().join("containerd").join(TASKS).join(task);
        let start = |task: &str| {
            fs::create_dir_all(files(task)).unwrap();
            fs::write(files(task).join("config.json"), "{}").unwrap();
            let mut shim = std::process::Command::new("sh");
            shim.arg0(SHIM).args(["-c", "read line", "-id", task, "-address"]).arg(&socket);
            shim.stdin(Stdio::piped()).spawn().unwrap()
        };
        let (mut left, mut other) = (start("81f0"), start("92a1"));
        let all = format!("-address\0{}", socket.display());
        let begun = Instant::now();
        while processes(SHIM, &all).unwrap().len() < 2 {
            assert!(begun.elapsed() < STOP_TIMEOUT, "they don't start");
        }
        let containerd = async {
            while left.try_wait().unwrap().is_none() {
                sleep(TASK_GONE_WITHIN / 1_000).await;
            }
            // It needs them until then.
            fs::remove_dir_all(files("81f0")).unwrap();
        };
        let (ended, ()) = tokio::join!(end_shim(&socket, "81f0"), containerd);
        ended.unwrap();
        assert_eq!(left.wait().unwrap().signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none(), "that of another task was ended");
        assert_eq!((files("81f0").exists(), files("92a1").exists()), (false, true));
        end_shim(&socket, "81f0").await.unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_program_in_a_machine_is_no_daemon() {
        let mine = format!("--config-file\0/run/{}/dockerd.json", std::process::id());
        let start = |words: &[&str]| {
            let mut command = std::process::Command::new(words[0]);
            command.args(&words[1..]).args(mine.split('\0')).stdin(Stdio::piped()).spawn().unwrap()
        };
        let script = ["sh", "-c", "read line"];
        // As a machine has it.
        let mut inside = start(&[&["unshare", "--user"], &script[..]].concat());
        let mut outside = start(&script);
        let is_shell = |id: u32| {
            fs::read_to_string(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.starts_with("sh\0"))
        };
        let begun = Instant::now();
        while ![inside.id(), outside.id()].into_iter().all(is_shell) {
            assert!(begun.elapsed() < STOP_TIMEOUT, "they don't start");
        }
        let found = processes("sh", &mine).unwrap();
        for child in [&mut inside, &mut outside] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let found: Vec<u32> = found.iter().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()).collect();
        assert_eq!(found, [outside.id()]);
    }
}
