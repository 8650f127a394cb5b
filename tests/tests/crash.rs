// SPDX-License-Identifier: Apache-2.0

//! Kills the agent at many instants of a deployment, an update and a cancellation, the engine while a contract is
//! paused and resumed, and all of a node at once.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, process::Command, thread, time::Duration};
use tfgrid_tests::{
    Footprint, Grid, HIGH_PRICE, LOW_PRICE, MIB, Options, Person, Site, Steps, kill_programs, on_a_grid,
    page_deployment, set_price, wait_for,
};

/// More than a deployment has steps.
const MOST_KILLS: u32 = 12;
/// Of each later change.
const MOST_LATER_KILLS: u32 = 4;
/// Of an engine, in a pause and at its end: so few that its node stays online.
const MOST_ENGINE_KILLS: usize = 3;
const UPDATED_WITHIN: Duration = Duration::from_secs(90);
/// Limit for a node to keep what the chain says, and for all of it to end.
const KEPT_WITHIN: Duration = Duration::from_secs(30);
/// Limit for a machine to be back where the chain isn't reached.
const BACK_WITHIN: Duration = Duration::from_secs(120);

/// Number of items of each kind that were added to the machine. Their names differ between deployments.
fn kinds(grid: &Grid, before: &Footprint) -> Result<BTreeMap<String, u32>> {
    let mut kinds = BTreeMap::new();
    for line in grid.footprint()?.beyond(before) {
        let kind = line.split(' ').next().unwrap_or_default().to_owned();
        *kinds.entry(kind).or_default() += 1;
    }
    Ok(kinds)
}

#[test]
fn an_agent_killed_again_and_again_ends_in_the_same_state() -> Result<()> {
    on_a_grid("crash", Options::default(), &Steps::silent(), |grid| {
        let before = grid.footprint()?;
        let undisturbed = grid.deploys_a_site()?;
        let expected = kinds(grid, &before)?;
        grid.cancels(&undisturbed.contract, &before)?;

        let (node, image) = (grid.node, grid.image.clone());
        let deploys = move |user: &Person| user.deploys_a_site(node, &image);
        let (site, kills) = kill_while(grid, MOST_KILLS, &Footprint::default(), deploys)?;
        ensure!(kills > 1, "the agent was killed {kills} times only");
        site.page()?;
        ensure!(kinds(grid, &before)? == expected, "after {kills} kills: {:?}", grid.footprint()?);
        ensure_adopted(grid, &site)?;

        wait_for("the node to be heard again", UPDATED_WITHIN, || {
            let shown = grid.user.threebot(&["node", "show", &node.to_string()])?;
            Ok((shown["state"] == "online").then_some(()))
        })?;
        let update = updated(grid)?;
        let contract = site.contract.clone();
        let updates = move |user: &Person| {
            user.threebot(&["update", &contract, "-f", &update, "--plain"])?;
            wait_for("the update to be confirmed", UPDATED_WITHIN, || {
                Ok(user.threebot(&["show", &contract])?["pending"].is_null().then_some(()))
            })
        };
        let ((), kills) = kill_while(grid, MOST_LATER_KILLS, &Footprint::default(), updates)?;
        ensure!(kills > 0, "the agent was killed in no update");
        ensure!(kinds(grid, &before)? == expected, "after an update: {:?}", grid.footprint()?);
        let machine = grid.engine.docker(&["ps", "--quiet"])?;
        let memory = grid.engine.docker(&["inspect", "--format", "{{.HostConfig.Memory}}", &machine])?;
        ensure!(memory == (64 * MIB).to_string(), "the machine has {memory} bytes of memory");

        let contract = site.contract.clone();
        let cancels = move |user: &Person| user.threebot(&["cancel", &contract]);
        let (_, kills) = kill_while(grid, MOST_LATER_KILLS, &before, cancels)?;
        ensure!(kills > 0, "the agent was killed in no cancellation");
        grid.until_clean(&before)
    })
}

#[test]
fn an_engine_killed_in_a_pause_and_at_its_end_loses_nothing() -> Result<()> {
    on_a_grid("engine-crash", Options::default(), &Steps::silent(), |grid| {
        let before = grid.footprint()?;
        set_price(grid, LOW_PRICE)?;
        // A grace period is as long as what was paid before would buy.
        let paid = grid.deploys_a_site()?;
        grid.cancels(&paid.contract, &before)?;
        let site = grid.deploys_a_site()?;
        let mark = mark(&site)?;
        set_price(grid, HIGH_PRICE)?;
        grid.user.threebot(&["withdraw"])?;

        set_price(grid, LOW_PRICE)?;
        kill_engine_until(grid, "the machine of a paused contract to stop", || {
            let is_paused = grid.user.threebot(&["show", &site.contract])?["state"] == "paused";
            Ok(is_paused && grid.engine.docker(&["ps", "--quiet"])?.is_empty())
        })?;
        grid.user.threebot(&["deposit", "10"])?;
        kill_engine_until(grid, "the machine to run again", || {
            Ok(!grid.engine.docker(&["ps", "--quiet"])?.is_empty() && site.page().is_ok())
        })?;
        ensure!(self::mark(&site)? == mark, "the disk is another one");
        grid.cancels(&site.contract, &before)
    })
}

/// Kills the engine each time that it answers, [`MOST_ENGINE_KILLS`] times, and waits until `is_done`, which may fail
/// while the engine is away.
fn kill_engine_until(grid: &Grid, what: &str, is_done: impl Fn() -> Result<bool>) -> Result<()> {
    let config = grid.agent.run_folder()?.join("dockerd.json").display().to_string();
    let mut kills = 0;
    wait_for(what, BACK_WITHIN, || {
        if kills < MOST_ENGINE_KILLS {
            if grid.engine.docker(&["version"]).is_ok() {
                kills += kill_programs("dockerd", &config)?;
            }
            return Ok(None);
        }
        Ok(is_done().is_ok_and(|is_done| is_done).then_some(()))
    })
}

#[test]
fn a_node_without_power_and_chain_runs_its_tenants_again() -> Result<()> {
    on_a_grid("power-cut", Options::default(), &Steps::silent(), |grid| {
        let site = grid.deploys_a_site()?;
        let mark = mark(&site)?;
        let stored = grid.agent.data().join("state/snapshot.json");
        wait_for("the node to keep that it has the contract", KEPT_WITHIN, || {
            let snapshot: Value = serde_json::from_str(&fs::read_to_string(&stored)?)?;
            Ok(snapshot["contracts"].as_array().is_some_and(|kept| !kept.is_empty()).then_some(()))
        })?;
        grid.chain.stop()?;
        cut_power(grid)?;
        ensure!(site.page().is_err(), "the machine has survived");
        grid.resume_agent()?;
        let back = wait_for("the page to be back", BACK_WITHIN, || Ok(self::mark(&site).ok()))?;
        ensure!(back == mark, "the disk is another one: {back:?}, it was {mark:?}");
        let log = grid.agent.log();
        ensure!(log.contains("going by what it said last"), "the node has asked the chain: {log}");
        Ok(())
    })
}

/// What the disk of a site got when it was new.
fn mark(site: &Site) -> Result<String> {
    Ok(site.page()?.lines().last().context("an empty page")?.to_owned())
}

/// Ends what a reboot ends of a node: agent, engine and machines, mounts and run folder.
fn cut_power(grid: &mut Grid) -> Result<()> {
    let run = grid.agent.run_folder()?;
    let machines = grid.engine.docker(&["ps", "--quiet"])?;
    let pid = |machine: &str| -> Result<i32> {
        Ok(grid.engine.docker(&["inspect", "--format", "{{.State.Pid}}", machine])?.parse()?)
    };
    let machines = machines.lines().map(pid).collect::<Result<Vec<_>>>()?;
    grid.agent.kill()?;
    wait_for("all processes of the node to end", KEPT_WITHIN, || {
        let left = processes(&run, &machines)?;
        for pid in left.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // It may have ended by now.
            let _ = kill_process(pid, Signal::KILL);
        }
        Ok(left.is_empty().then_some(()))
    })?;
    wait_for("all of the node to be unmounted", KEPT_WITHIN, || {
        let mounts = fs::read_to_string("/proc/mounts")?;
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let own: Vec<&str> = places.filter(|place| Path::new(place).starts_with(&run)).collect();
        for place in own.iter().rev() {
            Command::new("umount").args(["--quiet", place]).status()?;
        }
        Ok(own.is_empty().then_some(()))
    })?;
    fs::remove_dir_all(&run).with_context(|| format!("can't remove {}", run.display()))
}

/// The processes of these machines, and all that were started with this folder.
fn processes(run: &Path, machines: &[i32]) -> Result<Vec<i32>> {
    let run = run.display().to_string();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<i32>() else { continue };
        // Empty, once it has ended.
        let line = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        if line.contains(&run) || (machines.contains(&pid) && !line.is_empty()) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// The file of a deployment that changes the machine of a site.
fn updated(grid: &Grid) -> Result<String> {
    let mut deployment = page_deployment(&grid.image, 1);
    deployment["workloads"][0]["data"]["size"] = (64 * MIB).into();
    let file = grid.run().folder().join("updated.json");
    fs::write(&file, deployment.to_string())?;
    Ok(file.display().to_string())
}

/// Does this as the user, and kills the agent after each of its changes to the machine, so many times at most, until it
/// is done and nothing is on the machine that isn't `until`; with a default one, whatever is there.
fn kill_while<T: Send + 'static>(
    grid: &mut Grid,
    most: u32,
    until: &Footprint,
    act: impl FnOnce(&Person) -> Result<T> + Send + 'static,
) -> Result<(T, u32)> {
    let user = grid.user.clone();
    let acts = thread::spawn(move || act(&user));
    let mut seen = grid.footprint()?;
    let mut kills = 0;
    let is_whatever = *until == Footprint::default();
    loop {
        let now = grid.footprint()?;
        if acts.is_finished() && (is_whatever || kills >= most || now.beyond(until).is_empty()) {
            break;
        }
        if now != seen && kills < most {
            grid.agent.kill()?;
            kills += 1;
            seen = grid.footprint()?;
            grid.resume_agent()?;
        }
    }
    Ok((acts.join().expect("the user's thread doesn't panic")?, kills))
}

/// Asserts that a workload keeps running while its agent is killed and started.
fn ensure_adopted(grid: &mut Grid, site: &Site) -> Result<()> {
    let running = grid.engine.docker(&["ps", "--quiet", "--no-trunc"])?;
    grid.agent.kill()?;
    let page = site.page()?;
    grid.resume_agent()?;
    grid.agent.follows_its_chain()?;
    ensure!(grid.engine.docker(&["ps", "--quiet", "--no-trunc"])? == running, "the workload was restarted");
    ensure!(site.page()? == page, "the page isn't the same as before");
    Ok(())
}
