// SPDX-License-Identifier: Apache-2.0

//! A farmer who is told of a node.

use anyhow::{Result, ensure};
use serde_json::Value;
use std::{path::Path, time::Duration};
use tfgrid_tests::{Grid, Lines};

/// Three heartbeats of ten seconds, and blocks.
const TOLD_WITHIN: Duration = Duration::from_secs(120);

pub fn a_farmer_is_told_of_a_silent_node_and_of_its_return(grid: &mut Grid) -> Result<()> {
    let farm = grid.user.threebot(&["node", "show", &grid.node.to_string()])?["farm"].to_string();
    let (watched, once) = (grid.run().folder().join("watched.json"), grid.run().folder().join("once.json"));
    let mut command = grid.farmer.command()?;
    command.args(["--json", "farm", "watch", &farm, "--every", "1s", "--state"]).arg(&watched);
    let watching = Lines::start(&mut command)?;
    let is_silence = |begins: bool| {
        let node = grid.node;
        move |line: &Value| {
            (line["node"] == node && line["alarm"] == "silent" && line["begins"] == begins)
                .then(|| line["text"].to_string())
        }
    };
    let (begins, ends) = (is_silence(true), is_silence(false));
    ensure!(!is_silent(grid, &farm, &once)?, "the node is silent already");

    grid.agent.kill()?;
    let told = watching.until("that the node is silent", TOLD_WITHIN, begins)?;
    ensure!(told.contains("the chain counts the node as offline"), "{told}");
    ensure!(is_silent(grid, &farm, &once)?, "a look doesn't find the silence");
    grid.resume_agent()?;
    watching.until("that the node is back", TOLD_WITHIN, ends)?;
    ensure!(!is_silent(grid, &farm, &once)?, "a look still finds the silence");
    watching.kill()
}

/// Whether one look finds the silence, which its exit code says, too.
fn is_silent(grid: &Grid, farm: &str, state: &Path) -> Result<bool> {
    let mut command = grid.farmer.command()?;
    let output = command.args(["--json", "farm", "watch", farm, "--once", "--state"]).arg(state).output()?;
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let alarms = found["alarms"].as_array().map(Vec::as_slice).unwrap_or_default();
    let code = if alarms.is_empty() { 0 } else { 6 };
    ensure!(output.status.code() == Some(code), "{} with {found}", output.status);
    Ok(alarms.iter().any(|alarm| alarm["alarm"] == "silent"))
}
