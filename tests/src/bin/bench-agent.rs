// SPDX-License-Identifier: Apache-2.0

//! Measures a node's agent on a grid of its own, beside bare containers on the same engine.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    env, fs,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use tfgrid_tests::{
    Grid, HIGH_PRICE, LOW_PRICE, MIB, Options, Steps, asks_for_help, on_a_grid, repository, set_price,
    wait_for,
};

const HELP: &str = "\
Measures a node's agent on a grid of its own, beside bare containers on the same engine.

Usage: bench-agent [COUNT [MOST]]

  COUNT  contracts at once, 100 if it isn't given
  MOST   contracts on the node in the end, 500 if it isn't given";

/// Contracts one at a time, for the median.
const SINGLES: usize = 11;
/// What a machine does: it waits.
const WAITS: [&str; 4] = ["/bin/busybox", "tail", "-f", "/dev/null"];
/// Seconds over which the agent is watched at rest.
const REST_SECONDS: &str = "60";
/// From the last start until nothing follows from the starts any more: what works is reported, and failures are
/// forgotten after a minute.
const SETTLES: Duration = Duration::from_secs(75);
/// Bare containers that are started at the same time: as many as the machine has cores keep it busy.
const BARE_AT_ONCE: usize = 4;
const RUN_LIMIT: Duration = Duration::from_secs(900);
/// More than is used: what a contract may use at least adds up.
const CAPACITY: &str = "cru=1000,mru=32GiB,sru=20GiB";

fn main() -> Result<()> {
    if asks_for_help(HELP) {
        return Ok(());
    }
    let counts: Vec<usize> =
        env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>().context(HELP)?;
    let (count, most) = match counts[..] {
        [] => (100, 500),
        [count] => (count, count),
        [count, most] => (count, most),
        _ => anyhow::bail!(HELP),
    };
    let options = Options { capacity: Some(CAPACITY), ignores_others: true, ..Options::default() };
    on_a_grid("bench-agent", options, &Steps::silent(), |grid| {
        let bench = Bench::prepare(grid)?;
        bench.singles()?;
        let contracts = bench.at_once(count)?;
        bench.at_rest(count)?;
        bench.pause_and_resume(&contracts)?;
        bench.many(count, most)?;
        bench.cancel_all()
    })
}

struct Bench<'a> {
    grid: &'a Grid,
    deployment: String,
}

impl<'a> Bench<'a> {
    /// A machine that sleeps, whose image is on the node.
    fn prepare(grid: &'a Grid) -> Result<Self> {
        let machine = json!({
            "image": grid.image, "cpu": 0.01, "memory": 16 * MIB, "rootfs": 16 * MIB,
            "entrypoint": WAITS, "stop_seconds": 0,
        });
        let body =
            json!({ "version": 1, "workloads": [{ "name": "m", "type": "zmachine", "data": machine }] });
        let file = grid.run().folder().join("bench.json");
        fs::write(&file, body.to_string())?;
        grid.user.threebot(&["limits", "--rate", "none"])?;
        // A grace period lasts as long as what was paid before would buy, so all is paid at the price at which it
        // comes.
        set_price(grid, LOW_PRICE)?;
        grid.user.threebot(&["deposit", "10000"])?;
        let bench = Self { grid, deployment: file.display().to_string() };
        let (contracts, _) = bench.create(1)?;
        bench.until_running(&contracts)?;
        Ok(bench)
    }

    /// Creates contracts; returns their ids and when the last was final, in milliseconds since 1970.
    fn create(&self, count: usize) -> Result<(Vec<u64>, u64)> {
        let (node, count) = (self.grid.node.to_string(), count.to_string());
        let args = ["--node", &node, "--count", &count, "--file", &self.deployment];
        let created = self.grid.user.script("create-contracts.mjs", &args)?;
        let ids = created["contracts"].as_array().context("the script gave no contracts")?;
        let at = created["finalized_at"].as_u64().context("the script gave no time")?;
        Ok((ids.iter().filter_map(Value::as_u64).collect(), at))
    }

    /// When the machines of these contracts were started, in milliseconds since 1970, in order; waits for all.
    fn until_running(&self, contracts: &[u64]) -> Result<Vec<u64>> {
        wait_for("the machines to run", RUN_LIMIT, || {
            let names = self.grid.engine.docker(&["ps", "--format", "{{.Names}}"])?;
            let is_mine = |name: &&str| contracts.iter().any(|id| name.ends_with(&format!("-{id}-m")));
            let mine: Vec<&str> = names.lines().filter(is_mine).collect();
            if mine.len() < contracts.len() {
                return Ok(None);
            }
            let inspect = [&["inspect", "--format", "{{.State.StartedAt}}"], mine.as_slice()].concat();
            let times = self.grid.engine.docker(&inspect)?;
            let mut times = times.lines().map(milliseconds).collect::<Result<Vec<_>>>()?;
            times.sort_unstable();
            Ok(Some(times))
        })
    }

    fn singles(&self) -> Result<()> {
        let (mut waits, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..SINGLES {
            bare.push(self.bare(1)?.runs.as_millis());
            let (contracts, finalized_at) = self.create(1)?;
            let started = self.until_running(&contracts)?[0];
            waits.push(started.saturating_sub(finalized_at));
            self.grid.user.threebot(&["cancel", &contracts[0].to_string()])?;
        }
        waits.sort_unstable();
        bare.sort_unstable();
        println!(
            "final → started, {SINGLES} contracts one at a time: p50 {} ms, most {} ms; a bare container: p50 {} ms",
            waits[SINGLES / 2],
            waits[SINGLES - 1],
            bare[SINGLES / 2]
        );
        Ok(())
    }

    fn at_once(&self, count: usize) -> Result<Vec<u64>> {
        let Bare { runs: bare, restarts } = self.bare(count)?;
        println!(
            "{count} bare containers, {BARE_AT_ONCE} at a time: {} ms, started again after their end: {} ms",
            bare.as_millis(),
            restarts.as_millis()
        );
        let (contracts, finalized_at) = self.create(count)?;
        let started = self.until_running(&contracts)?;
        let (first, last) =
            (started[0].saturating_sub(finalized_at), started[count - 1].saturating_sub(finalized_at));
        println!(
            "{count} contracts at once: the first after {first} ms, the last after {last} ms, {:.2} × bare",
            last as f64 / bare.as_millis() as f64
        );
        Ok(contracts)
    }

    /// `docker run` with the same limits, each on a network of its own, and `docker start` of each after its end;
    /// everything is removed afterwards.
    fn bare(&self, count: usize) -> Result<Bare> {
        let names: Vec<String> = (0..count).map(|index| format!("bare-{index}")).collect();
        let runs = few_at_a_time(&names, |name| {
            self.grid.engine.docker(&["network", "create", name])?;
            let limits = "--memory 16m --memory-swap 16m --cpus 0.01 --pids-limit 1000 --cap-drop NET_RAW";
            let run = ["run", "--detach", "--name", name, "--network", name, "--entrypoint", WAITS[0]];
            let run: Vec<&str> = run
                .into_iter()
                .chain(limits.split(' '))
                .chain([&*self.grid.image])
                .chain(WAITS[1..].iter().copied())
                .collect();
            self.grid.engine.docker(&run).map(drop)
        })?;
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        self.grid.engine.docker(&[&["kill"], all.as_slice()].concat())?;
        let restarts = few_at_a_time(&names, |name| self.grid.engine.docker(&["start", name]).map(drop))?;
        self.grid.engine.docker(&[&["rm", "--force"], all.as_slice()].concat())?;
        self.grid.engine.docker(&[&["network", "rm"], all.as_slice()].concat())?;
        Ok(Bare { runs, restarts })
    }

    fn at_rest(&self, count: usize) -> Result<()> {
        thread::sleep(SETTLES);
        let pid = self.grid.agent.pid().context("the agent has ended")?.to_string();
        let measure = repository().join("scripts/measure-agent.sh");
        let output = Command::new(measure).args([&pid, REST_SECONDS]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        println!("at rest with {count} contracts: {}", String::from_utf8_lossy(&output.stdout).trim());
        Ok(())
    }

    /// All credit is used up, all machines stop; a deposit lets them go on.
    fn pause_and_resume(&self, contracts: &[u64]) -> Result<()> {
        set_price(self.grid, HIGH_PRICE)?;
        self.grid.user.threebot(&["withdraw"])?;
        set_price(self.grid, LOW_PRICE)?;
        wait_for("all machines to stop", RUN_LIMIT, || {
            Ok(self.grid.engine.docker(&["ps", "--quiet"])?.is_empty().then_some(()))
        })?;
        let state = &self.grid.user.threebot(&["show", &contracts[0].to_string()])?["state"];
        ensure!(state == "paused", "the contracts are {state}, not paused");
        self.grid.user.threebot(&["deposit", "10000"])?;
        let deposited = Instant::now();
        self.until_running(contracts)?;
        let seconds = deposited.elapsed().as_secs_f64();
        println!("{} paused contracts run {seconds:.1} s after a final deposit", contracts.len());
        Ok(())
    }

    fn many(&self, count: usize, most: usize) -> Result<()> {
        if most > count {
            let begun = Instant::now();
            let (contracts, _) = self.create(most - count)?;
            self.until_running(&contracts)?;
            println!("{} contracts more: {:.0} s", contracts.len(), begun.elapsed().as_secs_f64());
            self.at_rest(most)?;
        }
        Ok(())
    }

    fn cancel_all(&self) -> Result<()> {
        self.grid.user.threebot(&["cancel", "--all"])?;
        let begun = Instant::now();
        wait_for("all machines and their bridges to be gone", RUN_LIMIT, || {
            let machines = self.grid.engine.docker(&["ps", "--all", "--quiet"])?;
            // The engine lists no network whose removal has begun.
            let mut links = fs::read_dir("/sys/class/net")?.flatten();
            let has_bridge = links.any(|link| link.file_name().to_string_lossy().starts_with("zb"));
            Ok((machines.is_empty() && !has_bridge).then_some(()))
        })?;
        println!(
            "all machines and their bridges are gone {:.0} s after the contracts",
            begun.elapsed().as_secs_f64()
        );
        Ok(())
    }
}

/// What the engine takes for containers without an agent.
struct Bare {
    runs: Duration,
    restarts: Duration,
}

/// How long it takes to do this for all names, [`BARE_AT_ONCE`] at a time.
fn few_at_a_time(names: &[String], act: impl Fn(&str) -> Result<()> + Sync) -> Result<Duration> {
    let (begun, next) = (Instant::now(), AtomicUsize::new(0));
    thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                act(name)?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..BARE_AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a failure is an error"))
    })?;
    Ok(begun.elapsed())
}

/// Milliseconds since 1970 of a time such as `2026-11-24T08:00:00.123456789Z`.
fn milliseconds(time: &str) -> Result<u64> {
    let time: jiff::Timestamp = time.parse().with_context(|| format!("{time:?} is no time"))?;
    Ok(u64::try_from(time.as_millisecond())?)
}
