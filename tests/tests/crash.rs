// SPDX-License-Identifier: Apache-2.0

//! Kills the agent at many instants of a deployment, an update and a cancellation.

use anyhow::{Result, ensure};
use std::{collections::BTreeMap, fs, thread, time::Duration};
use tfgrid_tests::{
    Footprint, Grid, MIB, Options, Person, Site, Steps, on_a_grid, page_deployment, wait_for,
};

/// More than a deployment has steps.
const MOST_KILLS: u32 = 12;
/// Of each later change.
const MOST_LATER_KILLS: u32 = 4;
const UPDATED_WITHIN: Duration = Duration::from_secs(90);

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

/// The file of a deployment that changes the machine of a site.
fn updated(grid: &Grid) -> Result<String> {
    let mut deployment = page_deployment(&grid.image, 1);
    deployment["workloads"][0]["data"]["size"] = (64 * MIB).into();
    let file = grid.run().folder().join("updated.json");
    fs::write(&file, deployment.to_string())?;
    Ok(file.display().to_string())
}

/// Does this as the user, and kills the agent after each of its changes to the machine, so many times at most, until it is
/// done and nothing is on the machine that isn't `until`; with a default one, whatever is there.
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
