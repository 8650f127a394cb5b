// SPDX-License-Identifier: Apache-2.0

//! A runtime upgrade while a node follows the chain.

use anyhow::{Result, ensure};
use std::{thread, time::Duration};
use tfgrid_tests::{Grid, text, units, wait_for};

/// On development chains, earnings of a contract's first minute are set aside.
const COLLECTABLE_LIMIT: Duration = Duration::from_secs(90);

pub fn contracts_and_agent_survive_a_new_runtime(grid: &mut Grid) -> Result<()> {
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

    the_farmer_is_paid_what_was_earned(grid, &old.contract)?;

    grid.user.threebot(&["cancel", &new.contract])?;
    grid.cancels(&old.contract, &clean)
}

fn the_farmer_is_paid_what_was_earned(grid: &Grid, contract: &str) -> Result<()> {
    let farmer = &grid.farmer;
    let collected = wait_for("a contract's first minute to pass", COLLECTABLE_LIMIT, || {
        let answer = farmer.threebot(&["collect", contract])?;
        let is_set_aside = answer["not_collected"][0]["code"] == "Billing.SetAside";
        Ok((!is_set_aside).then_some(answer))
    })?;
    let amount = units(&collected["collected"][0]["amount_tft_1e7"])?;
    ensure!(amount > 0 && collected["paid"].is_null(), "{collected}");

    let farm = farmer.threebot(&["node", "find", "--all"])?["nodes"][0]["farm"].to_string();
    let payable = units(&farmer.threebot(&["farm", "earnings", &farm])?["payable_tft_1e7"])?;
    let paid = farmer.threebot(&["collect", "--farm", &farm])?;
    let account = farmer.threebot(&["twin", "show"])?;
    ensure!(text(&paid["paid"]["to"])? == text(&account["account"])?, "{paid} isn't paid to {account}");
    ensure!(units(&paid["paid"]["amount_tft_1e7"])? >= payable, "{paid}, and {payable} were to be paid");
    let left = farmer.threebot(&["farm", "earnings", &farm])?;
    ensure!(units(&left["payable_tft_1e7"])? == 0, "{left} after {paid}");
    Ok(())
}
