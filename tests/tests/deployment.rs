// SPDX-License-Identifier: Apache-2.0

//! From a deployment in JSON to a page that answers, and back to an empty node.

use anyhow::{ensure, Result};
use serde_json::Value;
use std::{collections::BTreeMap, thread, time::Duration};
use tfgrid_tests::{
    on_a_grid, page_of, tft_units, wait_for, Footprint, Grid, Options, Person, Steps, DEPOSIT, GREETING,
};

const GONE: Duration = Duration::from_secs(60);
/// More than there are steps in a deployment.
const MOST_KILLS: u32 = 12;

struct Submitted {
    contract: String,
    web: Value,
}

/// Submits the scripts' web server and waits until its node says that it is deployed.
fn submit(user: &Person, node: u64, image: &str) -> Result<Submitted> {
    let node = node.to_string();
    let args = ["--node", &node, "--image", image, "--greeting", GREETING];
    let answer = user.script("submit-contract.mjs", &args)?;
    Ok(Submitted { contract: answer["contract"].to_string(), web: answer["result"]["web"].clone() })
}

fn ensure_served_from_disk(web: &Value) -> Result<()> {
    let page = page_of(web)?;
    let mut lines = page.lines();
    ensure!(lines.next() == Some(GREETING), "the page is {page:?}");
    let mount = lines.next().unwrap_or_default();
    ensure!(mount.starts_with("/dev/loop") && mount.contains(" /data ext4 "), "/data is {mount:?}");
    Ok(())
}

fn cancel(grid: &Grid, contract: &str, before: &Footprint) -> Result<Value> {
    let cancelled = grid.user.script("cancel-contract.mjs", &[contract])?;
    wait_for("the node to be as it was", GONE, || {
        Ok(grid.footprint()?.beyond(before).is_empty().then_some(()))
    })?;
    Ok(cancelled)
}

/// How many of each kind a deployment added to the machine: names and numbers differ from one to
/// the next.
fn kinds(grid: &Grid, before: &Footprint) -> Result<BTreeMap<String, u32>> {
    let mut kinds = BTreeMap::new();
    for line in grid.footprint()?.beyond(before) {
        let kind = line.split(' ').next().unwrap_or_default().to_owned();
        *kinds.entry(kind).or_default() += 1;
    }
    Ok(kinds)
}

#[test]
fn a_contract_runs_is_billed_and_leaves_nothing() -> Result<()> {
    on_a_grid("deployment", Options::default(), &Steps::silent(), |grid| {
        let before = grid.footprint()?;
        let account = grid.user.script("grid-state.mjs", &["account"])?;
        let free = grid.free_capacity()?;

        let Submitted { contract, web } = submit(&grid.user, grid.node, &grid.image)?;
        ensure_served_from_disk(&web)?;
        let used = grid.user.script("grid-state.mjs", &["usage", &contract])?;
        ensure!(used["usage"]["memoryBytes"].as_u64() > Some(0), "{used}");
        ensure!(grid.free_capacity()? != free, "the contract reserves nothing");

        let cancelled = cancel(grid, &contract, &before)?;
        let billed = tft_units(&cancelled["tft"])?;
        ensure!(billed >= tft_units(&used["tft"])?, "{billed} billed in all, {used} before");
        ensure!(grid.free_capacity()? == free, "the contract's capacity isn't free");
        let after = grid.user.script("grid-state.mjs", &["account"])?;
        ensure!(after["held"] == account["held"], "a deposit is still held: {after}");

        let back = grid.user.script("withdraw.mjs", &[])?;
        ensure!(DEPOSIT.abs_diff(billed + tft_units(&back["tft"])?) <= 1, "{billed} billed, {back} back");
        Ok(())
    })
}

#[test]
fn an_agent_killed_again_and_again_ends_in_the_same_state() -> Result<()> {
    on_a_grid("crash", Options::default(), &Steps::silent(), |grid| {
        let before = grid.footprint()?;
        let Submitted { contract, .. } = submit(&grid.user, grid.node, &grid.image)?;
        let undisturbed = kinds(grid, &before)?;
        cancel(grid, &contract, &before)?;

        let (Submitted { contract, web }, kills) = submit_and_kill(grid)?;
        ensure!(kills > 1, "the agent was killed {kills} times only");
        ensure_served_from_disk(&web)?;
        ensure!(kinds(grid, &before)? == undisturbed, "after {kills} kills: {:?}", grid.footprint()?);

        ensure_adopted(grid, &web)?;
        cancel(grid, &contract, &before)?;
        Ok(())
    })
}

/// Submits, and kills the agent each time that it has changed something on the machine.
fn submit_and_kill(grid: &mut Grid) -> Result<(Submitted, u32)> {
    let (user, node, image) = (grid.user.clone(), grid.node, grid.image.clone());
    let submission = thread::spawn(move || submit(&user, node, &image));
    let mut seen = grid.footprint()?;
    let mut kills = 0;
    while !submission.is_finished() {
        let now = grid.footprint()?;
        if now != seen && kills < MOST_KILLS {
            grid.agent.kill()?;
            kills += 1;
            seen = grid.footprint()?;
            grid.resume_agent()?;
        }
    }
    let submitted = submission.join().expect("the submitting thread doesn't panic")?;
    Ok((submitted, kills))
}

/// A running workload outlives its agent, and the next agent lets it run.
fn ensure_adopted(grid: &mut Grid, web: &Value) -> Result<()> {
    let running = grid.engine.docker(&["ps", "--quiet", "--no-trunc"])?;
    grid.agent.kill()?;
    ensure_served_from_disk(web)?;
    grid.resume_agent()?;
    grid.farmer.waits_for_node()?;
    ensure!(
        grid.engine.docker(&["ps", "--quiet", "--no-trunc"])? == running,
        "the workload was started anew"
    );
    ensure_served_from_disk(web)
}
