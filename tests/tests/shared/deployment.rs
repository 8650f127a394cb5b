// SPDX-License-Identifier: Apache-2.0

//! A deployment from JSON to its page, and back to an empty node.

use crate::{command_line::ensure_runs, views::polkadot_js_asks_every_read_of_the_grid};
use anyhow::{Result, bail, ensure};
use serde_json::Value;
use std::fs;
use tfgrid_tests::{Grid, MIB, page_deployment, tft_units};

/// How often an update may miss the seconds before a report.
const HASTY_UPDATES: u32 = 4;

pub fn a_contract_runs_is_billed_and_leaves_nothing(grid: &mut Grid) -> Result<()> {
    let clean = grid.footprint()?;
    let account = grid.user.script("grid-state.mjs", &["account"])?;
    let free = grid.free_capacity()?;

    let site = grid.deploys_a_site()?;
    site.page()?;
    let used = grid.user.script("grid-state.mjs", &["usage", &site.contract])?;
    ensure!(used["usage"]["memoryBytes"].as_u64() > Some(0), "{used}");
    ensure!(grid.free_capacity()? != free, "the contract reserves nothing");

    polkadot_js_asks_every_read_of_the_grid(grid, &site)?;

    let cancelled = grid.user.script("cancel-contract.mjs", &[&site.contract])?;
    grid.until_clean(&clean)?;
    let billed = tft_units(&cancelled["tft"])?;
    ensure!(billed >= tft_units(&used["tft"])?, "{billed} billed in all, {used} before");
    let (open, all) = (grid.user.threebot(&["bill"])?, grid.user.threebot(&["bill", "--closed"])?);
    let totals = |bills: &Value| -> Vec<Value> {
        let bills = bills["bills"].as_array().into_iter().flatten();
        let own = bills.filter(|bill| bill["contract"].as_u64() == site.contract.parse().ok());
        own.map(|bill| bill["total_tft_1e7"].clone()).collect()
    };
    ensure!(totals(&open).is_empty(), "{open}");
    ensure!(totals(&all) == [billed.to_string().as_str()], "{all}");
    ensure!(grid.free_capacity()? == free, "the contract's capacity isn't free");
    let after = grid.user.script("grid-state.mjs", &["account"])?;
    ensure!(after["held"] == account["held"], "a deposit is still held: {after}");

    let back = grid.user.script("withdraw.mjs", &[])?;
    let (credit, back) = (tft_units(&account["credit"])?, tft_units(&back["tft"])?);
    // Both are rounded down to the last decimal.
    ensure!(credit.abs_diff(billed + back) <= 1, "{credit} of credit, {billed} billed, {back} back");
    grid.user.deposits()
}

pub fn a_volume_lies_on_hard_disks(grid: &mut Grid) -> Result<()> {
    let (clean, free) = (grid.footprint()?, grid.free_capacity()?);
    ensure!(free["hru"] != 0, "the node offers no hard disks: {free}");
    let mut deployment = page_deployment(&grid.image, 1);
    deployment["workloads"][0]["data"]["disk"] = "hdd".into();
    let file = grid.run().folder().join("hdd.json").display().to_string();
    fs::write(&file, deployment.to_string())?;

    let node = grid.node.to_string();
    let deployed = grid.user.threebot(&["deploy", "--file", &file, "--node", &node])?;
    ensure_runs(&deployed)?;
    let new = grid.footprint()?.beyond(&clean);
    let volumes: Vec<_> = new.iter().filter(|item| item.starts_with("volume ")).collect();
    ensure!(volumes.len() == 1 && volumes[0].contains("/hdd-pool/volumes/"), "{volumes:?}");
    ensure!(grid.free_capacity()?["hru"] != free["hru"], "the contract reserves no hard disks");
    grid.cancels(&deployed["contract"].to_string(), &clean)
}

pub fn an_update_waits_for_the_report_of_what_runs(grid: &mut Grid) -> Result<()> {
    let (clean, node) = (grid.footprint()?, grid.node.to_string());
    let file = grid.run().folder().join("hasty.json").display().to_string();
    let first = page_deployment(&grid.image, 1);
    let mut next = first.clone();
    next["workloads"][0]["data"]["size"] = (32 * MIB).into();
    // Its node has said that it runs; the report comes some blocks later. An update that begins after it, or whose node
    // is slow to answer, shows nothing.
    for _ in 0..HASTY_UPDATES {
        fs::write(&file, first.to_string())?;
        let deployed = grid.user.threebot(&["deploy", "--file", &file, "--node", &node, "--plain"])?;
        ensure_runs(&deployed)?;
        let contract = deployed["contract"].to_string();
        fs::write(&file, next.to_string())?;
        let update = ["--json", "update", &contract, "--file", &file, "--plain"];
        let output = grid.user.command()?.args(update).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{told}");
        let updated: Value = serde_json::from_slice(&output.stdout)?;
        grid.cancels(&contract, &clean)?;
        if told.contains("waiting for the report of it") {
            ensure!(updated["plan"]["at_once_tft_1e7"] == "0", "what ran was replaced: {updated}");
            return Ok(());
        }
    }
    bail!("none of {HASTY_UPDATES} updates right after a deployment has waited")
}
