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
use frame_support::{dispatch::GetDispatchInfo, weights::Weight};
use std::{
    env,
    time::{Duration, Instant},
};
use tfgrid_runtime::*;

/// How often each operation is measured, with other participants each time.
const SAMPLES: u32 = 101;

/// What is measured.
struct Scenario {
    name: &'static str,
    /// Says what is done on a grid of this size for the `n`th time.
    job: fn(size: u32, n: u32) -> Job,
}

/// What is done once.
struct Job {
    /// Comes before, and isn't measured.
    before: Box<dyn FnOnce()>,
    work: Box<dyn FnOnce()>,
    /// What the chain reckons with for it.
    weight: Option<Weight>,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "create_node_contract",
        job: |size, n| Job::call(pick(size, n), chain::create(pick(size, n + SAMPLES), chain::small())),
    },
    Scenario { name: "cancel", job: |size, n| Job::call(pick(size, n), chain::cancel(pick(size, n).into())) },
    Scenario { name: "a block in which nothing is due", job: |_, _| Job::block_with_due(0) },
    Scenario { name: "a block in which 1 payer runs out", job: |_, _| Job::block_with_due(1) },
    Scenario {
        name: "a block in which 100 payers run out",
        job: |size, _| Job::block_with_due(size.min(100)),
    },
    Scenario {
        name: "a block in which 500 payers run out",
        job: |size, _| Job::block_with_due(size.min(500)),
    },
];

impl Job {
    /// A call of person `who`.
    fn call(who: u32, call: impl Into<RuntimeCall>) -> Self {
        let call = call.into();
        let weight = Some(call.get_dispatch_info().call_weight);
        let origin = RuntimeOrigin::signed(grid::person(who));
        let work = move || grid::dispatch(origin, call).expect("the call succeeds");
        Self { before: Box::new(|| {}), work: Box::new(work), weight }
    }

    /// A block that comes when the credit of the next `payers` has just ended. It serves those that fit into its
    /// share of the block.
    fn block_with_due(payers: u32) -> Self {
        let before = move || {
            let due = pallet_billing::Ends::<Runtime>::iter_keys().take(payers as usize);
            if let Some(last) = due.last() {
                pallet_billing::PriceClockState::<Runtime>::mutate(|clock| {
                    (clock.base, clock.since_base_ms) = (last.end(), 0);
                });
            }
        };
        Self { before: Box::new(before), work: Box::new(|| chain::block(vec![])), weight: None }
    }
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
        let Job { before, work, weight: reckoned } = (scenario.job)(size, n);
        weight = reckoned.map(|weight| Duration::from_nanos(weight.ref_time() / 1_000));
        let (time, read) = database.attempt(|| {
            before();
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
