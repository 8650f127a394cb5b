// SPDX-License-Identifier: Apache-2.0

//! A node that sleeps, and another of its farm that wakes it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};
use tfgrid_client::{
    GridClient, MachineKey,
    primitives::report::{PowerPayload, PowerState},
};
use tfgrid_tests::{Agent, Grid, Options, OtherMachine, OtherNode, Steps, on_a_grid, text, wait_for};

/// Limit for a block with the report, and for the next look of the node that wakes others.
const ASLEEP_WITHIN: Duration = Duration::from_secs(60);
const WOKEN_WITHIN: Duration = Duration::from_secs(150);

/// A command that notes each of its runs with the node that it is about, and the file with them.
fn command(grid: &Grid, name: &str) -> Result<(String, PathBuf)> {
    let (file, runs) = (grid.run().folder().join(name), grid.run().folder().join(format!("{name}.runs")));
    fs::write(&file, format!("#!/bin/sh\necho \"run $ZOS_NODE\" >>{}\n", runs.display()))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o700))?;
    Ok((file.display().to_string(), runs))
}

/// Reports that the node sleeps, as its agent does some minutes after its start.
fn reports_sleep(grid: &Grid, agent: &Agent, node: u64) -> Result<()> {
    let identity: Value = serde_json::from_slice(&fs::read(agent.data().join("identity.json"))?)?;
    let seed: [u8; 32] =
        hex::decode(text(&identity["node"])?)?.try_into().ok().context("a seed has 32 bytes")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = GridClient::connect(&grid.chain.url()).await?;
        let payload = PowerPayload { state: PowerState::Standby };
        client.report_power(&MachineKey::from_seed(&seed), u32::try_from(node)?, 1, payload).await?;
        Ok(())
    })
}

#[test]
fn a_sleeping_node_is_woken_by_another_of_its_farm() -> Result<()> {
    on_a_grid("power", Options::default(), &Steps::silent(), |grid| {
        let (sleeps, _) = command(grid, "sleep")?;
        let (wakes, woken) = command(grid, "wake")?;
        grid.agent.kill()?;
        grid.agent.gets_options(&["--wake-command", &wakes]);
        grid.resume_agent()?;

        let machine = OtherMachine::start(grid.run())?;
        machine.reaches(grid.chain.rpc())?;
        let opened = grid.farmer.threebot(&["farm", "ticket", "--farm", "1", "--nodes", "1"])?;
        let (chain, ticket) = (grid.chain.url(), text(&opened["ticket"])?);
        let (ip, options) = (OtherMachine::THERE.into(), ["--sleep-command", &*sleeps]);
        let mut sleeper =
            machine.on(|| OtherNode::start(grid.run(), "agent-2", (&chain, ticket), ip, &options))?;
        let node = sleeper.id.to_string();
        grid.farmer.waits_until_served_by(sleeper.id)?;
        grid.farmer.threebot(&["node", "power", &node, "standby"])?;
        // Its heartbeat would wake it.
        sleeper.agent.kill()?;
        reports_sleep(grid, &sleeper.agent, sleeper.id)?;
        wait_for("the chain to know that the node sleeps", ASLEEP_WITHIN, || {
            Ok((grid.farmer.threebot(&["node", "show", &node])?["state"] == "asleep").then_some(()))
        })?;
        ensure!(!woken.exists(), "a node is woken that is to sleep");

        grid.farmer.threebot(&["node", "power", &node, "up"])?;
        let told =
            wait_for("the other node to wake it", WOKEN_WITHIN, || Ok(fs::read_to_string(&woken).ok()))?;
        ensure!(told.starts_with(&format!("run {node}\n")), "woken: {told:?}");
        Ok(())
    })
}
