// SPDX-License-Identifier: Apache-2.0

//! The chain gets a new runtime while a node follows it.

use anyhow::{ensure, Context, Result};
use std::time::Duration;
use tfgrid_tests::{wait_for, Grid};

const HEARD_LIMIT: Duration = Duration::from_secs(60);

pub fn contracts_and_agent_live_through_a_new_runtime(grid: &mut Grid) -> Result<()> {
    let clean = grid.footprint()?;
    let old = grid.deploys_a_site()?;
    let page = old.page()?;

    let before = sequence_of_last_heartbeat(grid)?;
    grid.farmer.script("upgrade-runtime.mjs", &[])?;
    let upgraded = sequence_of_last_heartbeat(grid)?;
    ensure!(upgraded >= before, "heartbeat {before} before the upgrade, {upgraded} after it");
    wait_for("a heartbeat under the new runtime", HEARD_LIMIT, || {
        Ok((sequence_of_last_heartbeat(grid)? > upgraded).then_some(()))
    })?;

    ensure!(grid.agent.is_running(), "the agent ended");
    ensure!(old.page()? == page, "the page isn't the same as before");
    let new = grid.deploys_a_site()?;
    new.page()?;
    grid.user.script("cancel-contract.mjs", &[&new.contract])?;
    grid.cancels(&old.contract, &clean)?;
    Ok(())
}

fn sequence_of_last_heartbeat(grid: &Grid) -> Result<u64> {
    let heard = grid.farmer.script("grid-state.mjs", &["heartbeat", &grid.node.to_string()])?;
    heard["sequence"].as_u64().with_context(|| format!("{heard} has no sequence"))
}
