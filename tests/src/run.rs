// SPDX-License-Identifier: Apache-2.0

use crate::wait_for;
use anyhow::{Context, Result, ensure};
use std::{
    env,
    fs::{self, File, TryLockError},
    net::TcpListener,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Longer than the slowest end of another run: its containers, then its engine, are given 10 s each.
const LOCK_LIMIT: Duration = Duration::from_secs(60);
const CLEANING_LIMIT: Duration = Duration::from_secs(90);
/// Always there, the same for all on the machine, and locking it leaves no file behind.
const LOCKED: &str = "/run";

/// What the cleaner is: it reads until its stdin ends, which the kernel sees to, and cleans up. Its stdout
/// is the lock on the machine, which it keeps to its end.
const CLEANER: &str = r#"cat; exec "$0" "$1" 3>&1 >&2"#;

/// This machine, for one grid at a time: two would share bridges and firewall tables. It is free again when
/// this is dropped and the cleaners of all runs that began under it have ended.
pub struct Machine(File);

impl Machine {
    /// Waits for another grid to end, but not for long: `make dev` runs until somebody ends it.
    pub fn lock() -> Result<Self> {
        let place = File::open(LOCKED).with_context(|| format!("can't open {LOCKED}"))?;
        wait_for("the grid that runs on this machine to end", LOCK_LIMIT, || match place.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("can't lock {LOCKED}")),
        })
        .context("only one grid can run on a machine: end `make dev` or the other tests first")?;
        Ok(Self(place))
    }
}

/// A folder for everything that one grid writes, a folder for its logs, and the cleaner.
pub struct Run {
    folder: PathBuf,
    logs: PathBuf,
    cleaner: Child,
}

impl Run {
    /// Begins a run. Its logs replace those of the last run of this name.
    pub fn begin(machine: &Machine, name: &str) -> Result<Self> {
        let logs = target_folder()?.join("grid-logs").join(name);
        if logs.exists() {
            fs::remove_dir_all(&logs).with_context(|| format!("can't remove old logs {}", logs.display()))?;
        }
        fs::create_dir_all(&logs).with_context(|| format!("can't create {}", logs.display()))?;
        let folder = tempfile::Builder::new()
            .prefix("tfgrid-")
            .tempdir()
            .context("can't create a folder for the run: is TMPDIR writable?")?;
        fs::create_dir(folder.path().join("pids"))?;
        let cleaner = start_cleaner(machine, folder.path(), &logs)?;
        // From here on, removing it is the cleaner's task.
        Ok(Self { folder: folder.keep(), logs, cleaner })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Creates a folder of this name in the run's folder.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("can't create {}", folder.display()))?;
        Ok(folder)
    }

    /// Tells the cleaner where the agent's program is: it can take back what the agent did.
    pub(crate) fn note_agent(&self, program: &Path) -> Result<()> {
        let link = self.folder.join("zos-agent");
        if !link.exists() {
            symlink(program, &link).with_context(|| format!("can't create {}", link.display()))?;
        }
        Ok(())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        drop(self.cleaner.stdin.take());
        let cleaned = wait_for("the cleaner of the run", CLEANING_LIMIT, || Ok(self.cleaner.try_wait()?));
        match cleaned {
            Ok(status) if status.success() => {}
            Ok(_) => eprintln!("cleaning up failed: see {}/cleaner.log", self.logs.display()),
            Err(error) => eprintln!(
                "{error:#}: see {}/cleaner.log; to finish it: scripts/clean-run.sh {}",
                self.logs.display(),
                self.folder.display()
            ),
        }
    }
}

fn start_cleaner(Machine(lock): &Machine, folder: &Path, logs: &Path) -> Result<Child> {
    let log = File::create(logs.join("cleaner.log"))?;
    Command::new("sh")
        .args(["-c", CLEANER])
        .arg(repository().join("scripts/clean-run.sh"))
        .arg(folder)
        // Out of reach of a Ctrl-C and of a test runner's kill of the whole group.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(lock.try_clone()?)
        .stderr(log)
        .spawn()
        .context("can't start the run's cleaner")
}

/// The repository that this program was built from.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Where cargo put this program and its siblings.
fn target_folder() -> Result<PathBuf> {
    let program = env::current_exe().context("can't tell where this program is")?;
    let folder = program.parent().context("this program is in no folder")?;
    // Tests are one level below the programs.
    Ok(if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.into())
}

/// A program of the workspace.
pub fn binary(name: &str) -> Result<PathBuf> {
    let path = target_folder()?.join(name);
    ensure!(path.is_file(), "{} isn't there: run `make build`", path.display());
    Ok(path)
}

/// A port that nobody listens on at this moment.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}
