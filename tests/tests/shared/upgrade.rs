// SPDX-License-Identifier: Apache-2.0

//! The chain gets a new runtime while a node follows it.

use anyhow::{ensure, Result};
use std::thread;
use tfgrid_tests::Grid;

pub fn contracts_and_agent_live_through_a_new_runtime(grid: &mut Grid) -> Result<()> {
    let clean = grid.footprint()?;
    let old = grid.deploys_a_site()?;
    let page = old.page()?;

    grid.farmer.script("upgrade-runtime.mjs", &[])?;
    let (farmer, node) = (grid.farmer.clone(), grid.node.to_string());
    let heartbeat = thread::spawn(move || farmer.script("grid-state.mjs", &["heartbeat", &node]));
    let new = grid.deploys_a_site()?;
    new.page()?;
    heartbeat.join().expect("a script's failure is an error")?;
    ensure!(grid.agent.is_running(), "the agent ended");
    ensure!(old.page()? == page, "the page isn't the same as before");

    grid.user.threebot(&["cancel", &new.contract])?;
    grid.cancels(&old.contract, &clean)
}
