// SPDX-License-Identifier: Apache-2.0

//! Kills the agent at many instants of a deployment.

use anyhow::{Result, ensure};
use std::{collections::BTreeMap, thread};
use tfgrid_tests::{Footprint, Grid, Options, Site, Steps, on_a_grid};

/// More than a deployment has steps.
const MOST_KILLS: u32 = 12;

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

        let (site, kills) = submit_and_kill(grid)?;
        ensure!(kills > 1, "the agent was killed {kills} times only");
        site.page()?;
        ensure!(kinds(grid, &before)? == expected, "after {kills} kills: {:?}", grid.footprint()?);

        ensure_adopted(grid, &site)?;
        grid.cancels(&site.contract, &before)?;
        Ok(())
    })
}

/// Submits a deployment, and kills the agent after each of its changes to the machine.
fn submit_and_kill(grid: &mut Grid) -> Result<(Site, u32)> {
    let (user, node, image) = (grid.user.clone(), grid.node, grid.image.clone());
    let submission = thread::spawn(move || user.deploys_a_site(node, &image));
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
    let site = submission.join().expect("the submitting thread doesn't panic")?;
    Ok((site, kills))
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
