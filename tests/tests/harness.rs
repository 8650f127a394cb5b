// SPDX-License-Identifier: Apache-2.0

//! Tests of the harness: what it starts works, and nothing of it is left behind however a test ends.

use anyhow::{Context, Result, ensure};
use std::{
    env,
    io::{BufRead, BufReader},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use tfgrid_tests::{Engine, Footprint, Machine, Registry, Run, on_a_run, repository};

const LIFE_OF_A_VICTIM: Duration = Duration::from_secs(60);
const UP: &str = "everything is up";
/// Has the name of the victim's run.
const VICTIM: &str = "TFGRID_VICTIM";

fn run_command(program: &str, args: &[&str]) -> Result<()> {
    let status = Command::new(program).args(args).status()?;
    ensure!(status.success(), "`{program} {}` failed", args.join(" "));
    Ok(())
}

/// Creates a container on a network, and a mounted disk, as a node does.
fn litter(run: &Run, engine: &Engine, image: &str) -> Result<()> {
    engine.docker(&["network", "create", "litter"])?;
    engine.docker(&["run", "--detach", "--network", "litter", image, "httpd", "-f"])?;
    let disk = run.subfolder("agent")?.join("disk");
    let disk = disk.to_str().context("the run's folder isn't UTF-8")?;
    run_command("truncate", &["--size", "16M", disk])?;
    run_command("mkfs.ext4", &["-q", disk])?;
    let place = format!("{disk}.mounted");
    run_command("mkdir", &[&place])?;
    run_command("mount", &["-o", "loop", disk, &place])
}

fn set_up(run: &Run) -> Result<(Engine, Registry)> {
    let engine = Engine::private(run)?;
    let registry = Registry::start(run)?;
    let image = registry.push_page_image(run, &engine)?;
    ensure!(engine.docker(&["images", "--quiet"])?.is_empty(), "the engine kept a copy");
    engine.docker(&["pull", "--quiet", &image])?;
    litter(run, &engine, &image)?;
    Ok((engine, registry))
}

#[test]
fn an_image_is_pulled_by_digest_and_a_missing_one_is_not() -> Result<()> {
    on_a_run("harness-image", |run| {
        let (engine, registry) = set_up(&run)?;
        let missing = engine.docker(&["pull", &registry.missing_image()]);
        let error = missing.err().context("an image that isn't there was pulled")?;
        ensure!(error.to_string().contains("manifest unknown"), "{error:#}");
        Ok(())
    })
}

#[test]
fn nothing_is_left_by_a_test_that_panics() -> Result<()> {
    let machine = Machine::own()?;
    let before = Footprint::of_machine()?;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        machine.run("harness-panic", |run| -> Result<()> {
            let _all = set_up(&run)?;
            panic!("on purpose")
        })
    }));
    ensure!(outcome.is_err(), "the panic got lost");
    Footprint::of_machine()?.ensure_within(&before)
}

/// A run of this name in a process of its own, which waits to be killed.
struct Victim(Child);

impl Victim {
    /// Starts it by a command that takes a program with its arguments; returns once all is up.
    fn start(mut command: Command, name: &str) -> Result<Self> {
        command.args(["--ignored", "--exact", "victim", "--nocapture"]).env(VICTIM, name);
        let mut victim = Self(command.stdout(Stdio::piped()).spawn()?);
        let mut said = BufReader::new(victim.0.stdout.take().context("no stdout")?).lines();
        let up = said.any(|line| line.is_ok_and(|line| line.contains(UP)));
        ensure!(up, "the victim ended before all was up");
        Ok(victim)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_machine_of_a_programs_own_sees_nothing_of_another() -> Result<()> {
    let _machine = Machine::own()?;
    let before = Footprint::of_machine()?;
    let mut command = Command::new(repository().join("scripts/own-machine.sh"));
    command.arg(env::current_exe()?);
    let _other = Victim::start(command, "harness-other")?;
    Footprint::of_machine()?.ensure_within(&before)
}

#[test]
fn nothing_is_left_by_a_test_that_is_killed() -> Result<()> {
    let before = Machine::own().and_then(|_machine| Footprint::of_machine())?;
    let victim = Victim::start(Command::new(env::current_exe()?), "harness-victim")?;
    let littered = Footprint::of_machine()?;
    drop(victim);
    ensure!(!littered.beyond(&before).is_empty(), "the victim left nothing to clean up");
    // Its cleaner holds the lock until it is done.
    let _machine = Machine::lock()?;
    Footprint::of_machine()?.ensure_within(&before)
}

#[test]
#[ignore = "run and killed by others"]
fn victim() -> Result<()> {
    on_a_run(&env::var(VICTIM)?, |run| {
        let _all = set_up(&run)?;
        println!("{UP}");
        thread::sleep(LIFE_OF_A_VICTIM);
        Ok(())
    })
}

#[test]
fn an_error_of_a_scenario_names_its_logs() -> Result<()> {
    let outcome: Result<()> = on_a_run("harness-logs", |_| anyhow::bail!("on purpose"));
    let error = outcome.err().context("the error got lost")?.to_string();
    let (cause, logs) = error.split_once("\nlogs: ").context("the error names no logs")?;
    ensure!(cause == "on purpose" && Path::new(logs).is_dir(), "{error}");
    Ok(std::fs::remove_dir_all(logs)?)
}
