// SPDX-License-Identifier: Apache-2.0

//! Measures `threebot` on a chain with many nodes and contracts.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};
use tfgrid_tests::{Chain, MIB, Person, Seeded, asks_for_help, free_port, on_a_run_beside_others};

const HELP: &str = "\
Measures threebot on a chain with 10,000 nodes and 100,000 contracts.

Usage: bench-cli";

const NODES: u32 = 10_000;
const CONTRACTS: u32 = 100_000;
/// Workloads of an application: so many nodes, and so many on each.
const PARTS: usize = 100;
const WORKLOADS: usize = 10;
const RUNS: usize = 5;
const READ_WITHIN: Duration = Duration::from_secs(1);
const PLANNED_WITHIN: Duration = Duration::from_secs(2);
const BLOCKS: u64 = 3;

fn main() -> Result<()> {
    if asks_for_help(HELP) {
        return Ok(());
    }
    on_a_run_beside_others("bench-cli", |run| {
        // A block each second, and each final: what is counted is blocks.
        let chain = Chain::start(&run, free_port()?, Some("interval=1000"))?;
        let _grid = Seeded::start(&chain, NODES, CONTRACTS)?;
        let user = Person::new("//Bob", &chain.url(), run.folder());
        let file = run.folder().join("application.json");
        fs::write(&file, application().to_string())?;
        measure(&chain, &user, &file.display().to_string())
    })
}

fn measure(chain: &Chain, user: &Person, file: &str) -> Result<()> {
    println!("| what | median | most | aim |\n|---|---|---|---|");
    let reads: [&[&str]; 3] = [&["ps"], &["node", "find", "--cpu", "2", "--mem", "4GiB"], &["funds"]];
    for read in reads {
        timed(user, read, READ_WITHIN)?;
    }
    timed(user, &["plan", "-f", file], PLANNED_WITHIN)?;
    let before = chain.finalized()?;
    let deployed = user.threebot(&["deploy", "-f", file, "--no-wait"])?;
    let blocks = chain.finalized()? - before;
    let parts = deployed["parts"].as_array().context("there are no parts")?.len();
    ensure!(parts == PARTS, "{parts} parts were submitted");
    println!(
        "| `deploy` of {} workloads on {PARTS} nodes until it is final | {blocks} blocks | | {BLOCKS} blocks |",
        PARTS * WORKLOADS
    );
    Ok(())
}

/// Prints how long a command takes.
fn timed(user: &Person, command: &[&str], aim: Duration) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let begun = Instant::now();
        user.threebot(command)?;
        times.push(begun.elapsed().as_millis());
    }
    times.sort_unstable();
    let what = if command[0] == "plan" { "plan".into() } else { command.join(" ") };
    println!("| `{what}` | {} ms | {} ms | {} ms |", times[RUNS / 2], times[RUNS - 1], aim.as_millis());
    Ok(())
}

/// Parts of small volumes, each on a node of its own.
fn application() -> Value {
    let volume = |n| json!({ "name": format!("data-{n}"), "type": "zmount", "data": { "size": 16 * MIB } });
    let workloads: Vec<Value> = (0..WORKLOADS).map(volume).collect();
    let part = |n| (format!("part-{n}"), json!({ "workloads": workloads }));
    let parts: BTreeMap<String, Value> = (0..PARTS).map(part).collect();
    json!({ "version": 1, "name": "large", "spread": "node", "parts": parts })
}
