// SPDX-License-Identifier: Apache-2.0
//! Measures how long calls take on grids of different sizes, with the state in ParityDb, and prints a table:
//! `cargo run -p tfgrid-runtime --example scaling -- 1 1000 100000`.
//!
//! It is the native runtime that is measured, as it is built for tests, and each call finds nothing of the
//! state in the memory of this process: what counts is how the columns grow, not what they say.

mod database;
mod grid;

#[allow(dead_code)]
#[path = "../../tests/grid/chain.rs"]
mod chain;
#[allow(dead_code)]
#[path = "../../tests/grid/history.rs"]
mod history;

use database::{Database, Outcome};
use frame_support::dispatch::GetDispatchInfo;
use std::{
    env,
    time::{Duration, Instant},
};
use tfgrid_runtime::*;

/// How often each operation is measured, with other participants each time.
const SAMPLES: u32 = 101;

/// What is measured on a grid of a size, for the `n`th time.
struct Scenario {
    name: &'static str,
    /// What is done, and what the chain charges for it.
    prepare: fn(size: u32, n: u32) -> (Box<dyn FnOnce()>, Option<RuntimeCall>),
}

const SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "create_node_contract",
        prepare: |size, n| {
            let (who, node) = (pick(size, n), pick(size, n + SAMPLES));
            a_call(who, chain::create(node, chain::small()).into())
        },
    },
    Scenario {
        name: "cancel",
        prepare: |size, n| {
            let contract = pick(size, n);
            a_call(contract, chain::cancel(contract.into()).into())
        },
    },
    Scenario {
        name: "a block in which nothing is due",
        prepare: |_, _| (Box::new(|| chain::block(vec![])), None),
    },
];

fn a_call(who: u32, call: RuntimeCall) -> (Box<dyn FnOnce()>, Option<RuntimeCall>) {
    let origin = RuntimeOrigin::signed(grid::person(who));
    let made = call.clone();
    (Box::new(move || grid::dispatch(origin, made).expect("the call succeeds")), Some(call))
}

/// One of 1 to `size`, spread over all of them.
fn pick(size: u32, n: u32) -> u32 {
    const GOLDEN: u32 = 0x9E37_79B9;
    n.wrapping_mul(GOLDEN) % size + 1
}

/// What was measured.
struct Figures {
    median: Duration,
    slowest: Duration,
    reads: u64,
    weight: Option<Duration>,
}

fn measure(scenario: &Scenario, database: &Database, size: u32) -> Outcome<Figures> {
    let (mut times, mut reads, mut weight) = (vec![], 0, None);
    for n in 0..SAMPLES {
        let (work, call) = (scenario.prepare)(size, n);
        weight = call.map(|call| picoseconds(call.get_dispatch_info().call_weight.ref_time()));
        let (time, read) = database.attempt(|| {
            let start = Instant::now();
            work();
            start.elapsed()
        })?;
        times.push(time);
        reads = reads.max(read);
    }
    times.sort();
    Ok(Figures { median: times[times.len() / 2], slowest: times[times.len() - 1], reads, weight })
}

fn picoseconds(ps: u64) -> Duration {
    Duration::from_nanos(ps / 1_000)
}

fn micros(time: Duration) -> String {
    time.as_micros().to_string()
}

fn main() -> Outcome<()> {
    let sizes: Vec<u32> = env::args().skip(1).map(|size| size.parse()).collect::<Result<_, _>>()?;
    println!(
        "| twins, nodes, contracts | operation | median µs | slowest µs | keys read, most | weight µs |"
    );
    println!("|---|---|---|---|---|---|");
    for size in sizes {
        let folder = tempfile::tempdir()?;
        let mut database = Database::create(folder.path(), grid::genesis()?)?;
        grid::fill(&mut database, size)?;
        let database = database.cold(folder.path())?;
        for scenario in &SCENARIOS {
            let Figures { median, slowest, reads, weight } = measure(scenario, &database, size)?;
            let (name, weight) = (scenario.name, weight.map_or("–".into(), micros));
            println!("| {size} | {name} | {} | {} | {reads} | {weight} |", micros(median), micros(slowest));
        }
    }
    Ok(())
}
