// SPDX-License-Identifier: Apache-2.0

//! Blocks with reports of nodes, read with the libraries that people use.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{collections::BTreeMap, process::Command};
use subxt::{OnlineClient, PolkadotConfig};
use tfgrid_tests::{Grid, answer, repository};
use tokio::runtime::Runtime;

/// Each with its environment below `tests/python/venv`, and what else the script is told.
const PYTHON_READERS: [(&str, &[&str]); 3] = [
    ("substrate-interface", &[]),
    ("async-substrate-interface", &[]),
    ("async-substrate-interface", &["--async"]),
];

pub fn every_library_decodes_blocks_with_reports(grid: &mut Grid) -> Result<()> {
    let clean = grid.footprint()?;
    let site = grid.deploys_a_site()?;
    grid.farmer.script("grid-state.mjs", &["heartbeat", &grid.node.to_string()])?;
    grid.cancels(&site.contract, &clean)?;

    let end = grid.chain.finalized()?;
    let last = end.to_string();
    let seen = grid.user.script("read-blocks.mjs", &[&last])?;
    for call in ["Nodes.register", "Nodes.heartbeat", "Nodes.report_details", "Contracts.report_deployed"] {
        ensure!(seen[call].as_u64() > Some(0), "no {call} in {seen}");
    }
    for (library, options) in PYTHON_READERS {
        let read = python(library, &[&[grid.chain.url().as_str(), last.as_str()], options].concat())?;
        ensure!(read == seen, "{library} {options:?} read {read}, and polkadot-js {seen}");
    }
    let by_subxt = Runtime::new()?.block_on(read_with_subxt(&grid.chain.url(), end))?;
    ensure!(by_subxt == seen, "subxt read {by_subxt}, and polkadot-js {seen}");
    let by_papi = grid.user.script("read-blocks-papi.mjs", &[&last])?;
    let (calls, all) = (by_papi.as_object(), seen.as_object());
    ensure!(
        calls.map(|calls| calls.keys().collect::<Vec<_>>()) == all.map(|calls| calls.keys().collect()),
        "PAPI read {by_papi}, and polkadot-js {seen}"
    );
    Ok(())
}

/// How often each call succeeded in blocks 0 to `last`.
async fn read_with_subxt(url: &str, last: u64) -> Result<Value> {
    let chain = OnlineClient::<PolkadotConfig>::from_insecure_url(url).await?;
    let mut calls = BTreeMap::new();
    for number in 0..=last {
        let at = chain.at_block(number).await?;
        for extrinsic in at.extrinsics().fetch().await?.iter() {
            let extrinsic = extrinsic?;
            let mut succeeded = false;
            for event in extrinsic.events().await?.iter() {
                let event = event?;
                succeeded |= (event.pallet_name(), event.event_name()) == ("System", "ExtrinsicSuccess");
            }
            let name = format!("{}.{}", extrinsic.pallet_name(), extrinsic.call_name());
            *calls.entry(name).or_insert(0u64) += u64::from(succeeded);
        }
    }
    Ok(json!(calls))
}

fn python(library: &str, args: &[&str]) -> Result<Value> {
    let folder = repository().join("tests/python");
    let mut command = Command::new(folder.join("venv").join(library).join("bin/python"));
    answer(command.arg(folder.join("read_blocks.py")).args(args))
        .context("`make setup` installs Python's libraries")
}
