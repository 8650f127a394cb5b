// SPDX-License-Identifier: Apache-2.0

use crate::{footprint::run_prefix, wait_for};
use anyhow::{Context, Result, ensure};
use std::{
    env,
    fs::{self, File, TryLockError},
    net::TcpListener,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

/// Longer than the end of another run takes: its containers, then its engine, have 10 s each.
const LOCK_LIMIT: Duration = Duration::from_secs(60);
const CLEANING_LIMIT: Duration = Duration::from_secs(90);
/// Set for an installed program, which is far from its repository.
const REPOSITORY: &str = "TFGRID_REPOSITORY";
/// Set for an installed program, beside which no logs belong.
const LOGS: &str = "TFGRID_LOGS";
/// A folder that every machine has. Locking it leaves no file behind.
const LOCKED: &str = "/run";
/// Runs a program on a machine of its own, which has the folder `OWN`.
const OWN_MACHINE: &str = "scripts/own-machine.sh";
const OWN: &str = "/run/own-machine";

/// The cleaner's program: it reads its stdin, which the kernel closes when the run's owner ends, and then
/// cleans up. Its stdout is the lock on the machine, which it so keeps to its end.
const CLEANER: &str = r#"cat; exec "$0" "$1" 3>&1 >&2"#;

/// A lock on this machine: two grids would share bridges and firewall tables. It is released when this is
/// dropped and the cleaners of all its runs have ended.
pub struct Machine(File);

impl Machine {
    /// Locks a machine of this program's own, beside which other grids run. A program that isn't on one runs itself
    /// again on one.
    pub fn own() -> Result<Self> {
        if !is_own_machine() {
            let script = repository().join(OWN_MACHINE);
            let program = env::current_exe().context("can't tell where this program is")?;
            let error = Command::new(&script).arg(program).args(env::args_os().skip(1)).exec();
            return Err(error).with_context(|| format!("can't run {}", script.display()));
        }
        Self::lock()
    }

    /// Takes the lock. While another grid runs, says so and waits for it to end, but not for long.
    pub fn lock() -> Result<Self> {
        let place = File::open(LOCKED).with_context(|| format!("can't open {LOCKED}"))?;
        let mut is_told = false;
        wait_for("the other grid on this machine to end", LOCK_LIMIT, || match place.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut is_told, true) {
                    eprintln!(
                        "another grid runs on this machine: waiting {} s for its end",
                        LOCK_LIMIT.as_secs()
                    );
                }
                Ok(None)
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("can't lock {LOCKED}")),
        })
        .context("only one grid can run on a machine: end `make dev` or the other demo first")?;
        Ok(Self(place))
    }
}

/// Whether this program runs on a machine of its own: nothing else is in its network.
pub(crate) fn is_own_machine() -> bool {
    Path::new(OWN).exists()
}

/// A run of a grid: the folder of its files, the folder of its logs, and its cleaner.
pub struct Run {
    folder: PathBuf,
    logs: PathBuf,
    cleaner: Child,
}

impl Run {
    /// Starts a run. Its logs replace those of the last run of this name.
    pub fn begin(machine: &Machine, name: &str) -> Result<Self> {
        let logs = logs()?.join(name);
        if logs.exists() {
            fs::remove_dir_all(&logs).with_context(|| format!("can't remove old logs {}", logs.display()))?;
        }
        fs::create_dir_all(&logs).with_context(|| format!("can't create {}", logs.display()))?;
        let folder = tempfile::Builder::new()
            .prefix(&run_prefix()?)
            .tempdir()
            .context("can't create a folder for the run: is TMPDIR writable?")?;
        fs::create_dir(folder.path().join("pids"))?;
        let cleaner = start_cleaner(machine, folder.path(), &logs)?;
        // From here on, the cleaner removes the folder.
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

    /// Links the agent's program into the run's folder, where the cleaner finds it to undo what the agent
    /// did.
    pub fn note_agent(&self, program: &Path) -> Result<()> {
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
                "{error:#}: see {}/cleaner.log; to finish it, run scripts/clean-run.sh {}",
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
        // In a process group of its own, so that neither Ctrl-C nor a test runner kills it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(lock.try_clone()?)
        .stderr(log)
        .spawn()
        .context("can't start the run's cleaner")
}

/// The repository from which this program was built, or a folder that holds what of it the program needs.
pub fn repository() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| match env::var_os(REPOSITORY) {
        Some(folder) => folder.into(),
        None => concat!(env!("CARGO_MANIFEST_DIR"), "/..").into(),
    });
    &FOLDER
}

/// The folder of all runs' logs.
fn logs() -> Result<PathBuf> {
    match env::var_os(LOGS) {
        Some(folder) => Ok(folder.into()),
        None => Ok(programs()?.join("grid-logs")),
    }
}

/// The folder of this workspace's programs.
pub fn programs() -> Result<PathBuf> {
    let program = env::current_exe().context("can't tell where this program is")?;
    let folder = program.parent().context("this program is in no folder")?;
    // Test programs are one level deeper.
    Ok(if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.into())
}

/// A program of the workspace.
pub fn binary(name: &str) -> Result<PathBuf> {
    let path = programs()?.join(name);
    ensure!(path.is_file(), "{} is missing: run `make build`", path.display());
    Ok(path)
}

/// A port on which no program listens at this moment.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}
