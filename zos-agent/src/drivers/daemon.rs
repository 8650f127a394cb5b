// SPDX-License-Identifier: Apache-2.0
//! Daemons that outlive the agent: the next one goes on with them.

use super::tools::PATH;
use crate::{backoff::Backoff, ticket};
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tfgrid_primitives::units::MIB;
use tokio::{
    process::{Child, Command},
    time::sleep,
};
use tracing::{info, warn};

const RESTART: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
/// Uptime after which earlier ends are forgotten.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// How often a daemon of an earlier agent is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Limit for a daemon to end.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Size of the log above which a daemon's start begins a new one.
const MAX_LOG_BYTES: u64 = 8 * MIB;

/// A daemon. Its last arguments identify its process.
pub struct Daemon {
    /// Name or path of the program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The file that it reads at its start, and what is in there.
    pub config: Option<(PathBuf, String)>,
    /// Group that it runs as.
    pub group: u32,
}

impl Daemon {
    fn name(&self) -> &str {
        self.program.rsplit('/').next().unwrap_or(&self.program)
    }

    /// Goes on with the daemon of an earlier agent or starts it, and starts it again whenever it has ended, for ever.
    /// It writes to this log; `prepare` comes before each start.
    pub async fn keep<F: Future<Output = Result<()>>>(&self, log: &Path, prepare: impl Fn() -> F) {
        let name = self.name();
        let mut failures = 0u32;
        loop {
            let begun = Instant::now();
            let why = match self.keep_once(log, &prepare).await {
                Ok(how) => how,
                Err(error) => format!("{error:#}"),
            };
            failures = if begun.elapsed() > STABLE_AFTER { 1 } else { failures.saturating_add(1) };
            let delay = RESTART.delay(failures);
            warn!(retry_in = ?delay, log = %log.display(), "{name} has ended: {why}");
            sleep(delay).await;
        }
    }

    /// Resolves once the daemon has ended, with how.
    async fn keep_once<F: Future<Output = Result<()>>>(
        &self,
        log: &Path,
        prepare: impl Fn() -> F,
    ) -> Result<String> {
        if let Some(pid) = self.process() {
            if self.is_current(pid) {
                info!(pid = pid.as_raw_nonzero(), "{} runs already", self.name());
                // This one alone: a node may have hundreds of daemons.
                while runs(pid, &self.program, &self.arguments.join("\0")) {
                    sleep(LOOK_EVERY).await;
                }
                return Ok("killed".into());
            }
            self.stop().await?;
        }
        prepare().await?;
        Ok(self.start(log)?.wait().await?.to_string())
    }

    fn start(&self, log: &Path) -> Result<Child> {
        let start = || {
            if let Some((path, content)) = &self.config {
                fs::write(path, content)?;
            }
            let is_long = fs::metadata(log).is_ok_and(|log| log.len() > MAX_LOG_BYTES);
            let log = if is_long {
                File::create(log)
            } else {
                File::options().create(true).append(true).open(log)
            }?;
            info!("starting {}", self.name());
            Command::new(&self.program)
                .args(&self.arguments)
                .env("PATH", PATH)
                .env_remove(ticket::VARIABLE)
                .gid(self.group)
                // Ctrl-C ends the agent alone.
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
        };
        start().with_context(|| format!("can't start {}", self.program))
    }

    fn processes(&self) -> Vec<Pid> {
        processes(&self.program, &self.arguments.join("\0")).unwrap_or_default()
    }

    /// How many processes it has.
    pub fn count(&self) -> usize {
        self.processes().len()
    }

    /// Of several processes, the one that has started the others.
    fn process(&self) -> Option<Pid> {
        let all = self.processes();
        all.iter().copied().find(|pid| parent(*pid).is_none_or(|parent| !all.contains(&parent)))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it doesn't run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.process().with_context(|| format!("{} doesn't run", self.name()))?;
        kill_process(pid, signal).with_context(|| format!("can't send {} a signal", self.name()))
    }

    /// Whether this process, which is one of it, has its configuration, group and program: that may be a newer one.
    fn is_current(&self, pid: Pid) -> bool {
        let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
        let runs = |program: &Path| fs::read_link(process.join("exe")).is_ok_and(|path| path == program);
        fs::metadata(&process).is_ok_and(|process| process.gid() == self.group)
            && (!self.program.starts_with('/') || runs(Path::new(&self.program)))
            && self
                .config
                .iter()
                .all(|(path, content)| fs::read_to_string(path).is_ok_and(|is| is == *content))
    }

    /// Ends it, if it runs.
    ///
    /// # Errors
    /// If it doesn't end.
    pub async fn stop(&self) -> Result<()> {
        let begun = Instant::now();
        while let Some(pid) = self.process() {
            let (name, number) = (self.name(), pid.as_raw_nonzero());
            ensure!(begun.elapsed() < STOP_TIMEOUT, "{name} (pid {number}) doesn't end on SIGTERM");
            kill_process(pid, Signal::TERM).with_context(|| format!("can't end {name}"))?;
            sleep(LOOK_EVERY / 5).await;
        }
        Ok(())
    }
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // After the program's name, which may hold anything: the state, then the parent.
    let (_, rest) = stat.rsplit_once(") ")?;
    Pid::from_raw(rest.split(' ').nth(1)?.parse().ok()?)
}

/// The host's processes of the program whose last arguments these are, with a NUL between them.
pub fn processes(program: &str, arguments: &str) -> io::Result<Vec<Pid>> {
    let all = fs::read_dir("/proc")?.flatten();
    let all = all.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    Ok(all.filter(|pid| runs(*pid, program, arguments)).collect())
}

fn runs(pid: Pid, program: &str, arguments: &str) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    line.split('\0').next().is_some_and(|first| first.ends_with(program))
        && line.trim_end_matches('\0').ends_with(arguments)
        && is_of_host(pid)
}

/// Whether its users are the host's. A program in a machine says of itself what it likes, but has users of its own.
fn is_of_host(pid: Pid) -> bool {
    let users = |process: &str| fs::read_link(format!("/proc/{process}/ns/user")).ok();
    let its = users(&pid.as_raw_nonzero().to_string());
    its.is_some() && its == users("self")
}
