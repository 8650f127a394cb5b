// SPDX-License-Identifier: Apache-2.0

//! A chain whose pool somebody floods with all that is free or cheap.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{process::Command, thread};
use tfgrid_tests::{Chain, Person, Process, Run, free_port, on_a_run, repository, text};

/// Nodes of the attacker's own, which report as often as they may.
const NODES: &str = "64";
const MOST_BLOCKS: u64 = 2;
/// Each call is measured so often.
const ROUNDS: usize = 3;

#[test]
fn a_flooded_pool_keeps_nobody_out() -> Result<()> {
    on_a_run("flood", |run| {
        let chain = Chain::start(&run, free_port()?, None)?;
        let person = |key| Person::new(key, &chain.url(), run.folder());
        let (user, farmer, attacker) = (person("//Bob"), person("//Alice"), person("//Ferdie"));
        let (ticket, weapon) = thread::scope(|scope| {
            let joining = scope.spawn(|| user.joins_with_credit());
            let arming = scope.spawn(|| opens_a_large_ticket(&attacker));
            let ticket = farmer.opens_a_farm(1);
            joining.join().expect("a command's failure is an error")?;
            Ok::<_, anyhow::Error>((ticket?, arming.join().expect("a command's failure is an error")?))
        })?;

        let mut flood = start_flood(&run, &chain, &weapon)?;
        let rounds = ROUNDS.to_string();
        let seen = user.script(
            "under-flood.mjs",
            &["--council", "//Charlie", "--sudo", "//Alice", "--ticket", &ticket, "--rounds", &rounds],
        )?;
        flood.ensure_running()?;
        for name in ["heartbeat", "deposit", "deploy", "council", "sudo"] {
            ensure_included(name, &seen["included"][name], ROUNDS)?;
        }
        ensure_included("registration", &seen["included"]["joined"], 1)?;
        let effects = json!({ "contracts": ROUNDS, "motions": ROUNDS, "price": 500_000 + ROUNDS - 1 });
        ensure!(seen["effects"] == effects, "calls failed: {seen}");
        ensure!(seen["online"] == true, "the node is offline: {seen}");
        // With its own tip, and until finality.
        user.deposits()?;
        flood.ensure_running()
    })
}

fn opens_a_large_ticket(attacker: &Person) -> Result<String> {
    attacker.threebot(&["twin", "create"])?;
    let farm = attacker.threebot(&["farm", "create", "flooders"])?["farm"].to_string();
    let opened = attacker.threebot(&["farm", "ticket", "--farm", &farm, "--nodes", NODES])?;
    Ok(text(&opened["ticket"])?.into())
}

fn start_flood(run: &Run, chain: &Chain, ticket: &str) -> Result<Process> {
    let script = repository().join("tests/js/flood.mjs");
    let mut command = Command::new("node");
    command.arg(script).args([
        "--url",
        &chain.url(),
        "--key",
        "//Ferdie",
        "--ticket",
        ticket,
        "--nodes",
        NODES,
    ]);
    Process::start(run, "flood", &mut command)
}

/// Fails unless at least `least` of this kind were sent, and each was in one of the next two blocks.
fn ensure_included(name: &str, sent: &Value, least: usize) -> Result<()> {
    let sent = sent.as_array().with_context(|| format!("no {name} was sent"))?;
    ensure!(sent.len() >= least, "only {} of {name} were sent", sent.len());
    for one in sent {
        let blocks = one["blocks"].as_u64();
        ensure!(blocks.is_some_and(|blocks| blocks <= MOST_BLOCKS), "{name} came late or was lost: {one}");
    }
    Ok(())
}
