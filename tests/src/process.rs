// SPDX-License-Identifier: Apache-2.0

use crate::{Run, wait_for};
use anyhow::{Context, Result, bail};
use std::{
    fs::{self, OpenOptions},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

const TERM_LIMIT: Duration = Duration::from_secs(15);
const LINES_SHOWN: usize = 15;
/// Positions of times in `/proc/<pid>/stat`.
const USER_TIME: usize = 14;
const SYSTEM_TIME: usize = 15;
const START_TIME: usize = 22;
/// How many of their units are a second.
const TICKS: f64 = 100.0;

/// A long-running process of a run. Its output goes to a log file. Dropping this doesn't end it: the run's
/// cleaner does, which finds the process by its pid file and keeps the order.
pub struct Process {
    name: String,
    log: PathBuf,
    pid_file: PathBuf,
    child: Child,
}

impl Process {
    pub fn start(run: &Run, name: &str, command: &mut Command) -> Result<Self> {
        let log = run.logs().join(format!("{name}.log"));
        let out = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = command
            // Ctrl-C must reach the harness only: the cleaner ends all processes in their order.
            .process_group(0)
            .env("TMPDIR", run.folder())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("can't start {name} ({:?})", command.get_program()))?;
        let pid_file = run.folder().join("pids").join(name);
        fs::write(&pid_file, identity(child.id())?)?;
        Ok(Self { name: name.into(), log, pid_file, child })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its memory in MiB, by a name of `/proc/<pid>/status`: `VmRSS` is what it has now, `VmHWM` the most that it had.
    pub fn memory_mib(&self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.with_context(|| format!("{} has ended", self.name))?.parse::<u64>()? / 1_024)
    }

    /// Processor time that it has used.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let ticks = stat(self.id(), USER_TIME)? + stat(self.id(), SYSTEM_TIME)?;
        Ok(ticks as f64 / TICKS)
    }

    /// The output of all its starts in this run.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Fails if it has ended, with the end of its log.
    pub fn ensure_running(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
        bail!("{} ended ({status}); the end of {}:\n{end}", self.name, self.log.display())
    }

    /// Kills it.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("can't kill {}", self.name))?;
        self.reap()
    }

    /// Ends it with SIGTERM.
    pub fn stop(mut self) -> Result<()> {
        Command::new("sh").args(["-c", "kill \"$0\"", &self.child.id().to_string()]).status()?;
        let what = format!("{} to end on SIGTERM", self.name);
        wait_for(&what, TERM_LIMIT, || Ok(self.child.try_wait()?))?;
        self.reap()
    }

    fn reap(&mut self) -> Result<()> {
        self.child.wait()?;
        let _ = fs::remove_file(&self.pid_file);
        Ok(())
    }
}

/// Pid and start time. A pid alone may belong to another process later.
fn identity(pid: u32) -> Result<String> {
    Ok(format!("{pid} {}\n", stat(pid, START_TIME)?))
}

/// A number of `/proc/<pid>/stat`, by its position there as proc(5) counts.
fn stat(pid: u32, position: usize) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may have spaces; the third field follows it.
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let field = after_name.split(' ').nth(position - 3);
    let field = field.with_context(|| format!("/proc/{pid}/stat has no field {position}"))?;
    Ok(field.parse()?)
}
