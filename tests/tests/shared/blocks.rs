// SPDX-License-Identifier: Apache-2.0

//! Blocks with reports of nodes, read with the libraries that people use.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Command;
use tfgrid_tests::{Grid, answer, repository};

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

    let last = grid.chain.finalized()?.to_string();
    let seen = grid.user.script("read-blocks.mjs", &[&last])?;
    for call in ["Nodes.register", "Nodes.heartbeat", "Nodes.report_details", "Contracts.report_deployed"] {
        ensure!(seen[call].as_u64() > Some(0), "no {call} in {seen}");
    }
    for (library, options) in PYTHON_READERS {
        let read = python(library, &[&[grid.chain.url().as_str(), last.as_str()], options].concat())?;
        ensure!(read == seen, "{library} {options:?} read {read}, and polkadot-js {seen}");
    }
    Ok(())
}

fn python(library: &str, args: &[&str]) -> Result<Value> {
    let folder = repository().join("tests/python");
    let mut command = Command::new(folder.join("venv").join(library).join("bin/python"));
    answer(command.arg(folder.join("read_blocks.py")).args(args))
        .context("`make setup` installs Python's libraries")
}
