// SPDX-License-Identifier: Apache-2.0

//! Every function of GridApi, read with polkadot-js.

use anyhow::{Result, ensure};
use tfgrid_tests::{Grid, Site};

/// `site` must be the only contract.
pub fn polkadot_js_asks_every_read_of_the_grid(grid: &Grid, site: &Site) -> Result<()> {
    let node = grid.node.to_string();
    let twin = grid.user.threebot(&["twin", "show"])?["twin"].to_string();
    let ids = ["--node", &node, "--farm", "1", "--twin", &twin, "--contract", &site.contract];
    let answers = grid.user.script("grid-views.mjs", &ids)?;
    let contract: u64 = site.contract.parse()?;

    ensure!(answers["nodeOnline"] == true && answers["farmByName"] == 1, "{answers}");
    ensure!(answers["contractStatus"]["deployed"]["usd"].is_number(), "{}", answers["contractStatus"]);
    ensure!(answers["contractsOfNode"]["items"][0]["contract"] == contract, "{}", answers["contractsOfNode"]);
    let mine = &answers["contractsOfTwin"]["items"][0];
    ensure!(mine["contract"] == contract && mine["target"]["node"]["node"] == grid.node, "{mine}");
    let offer = &answers["findNodes"]["items"][0];
    ensure!(offer["node"] == grid.node && *offer == answers["nodeOffer"], "{offer}");
    ensure!(answers["quote"].as_u64() > answers["quoteName"].as_u64(), "a name is dearer than a machine");
    ensure!(answers["quoteRent"].is_number() && answers["fundedUntil"].is_number(), "{answers}");
    ensure!(answers["payer"]["exhausted"] == false && answers["grace"].is_null(), "{answers}");
    ensure!(answers["ipsOfFarm"]["items"].as_array().is_some_and(Vec::is_empty), "{answers}");
    Ok(())
}
