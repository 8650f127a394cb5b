// SPDX-License-Identifier: Apache-2.0
//! Measures how long calls and blocks take on grids of different sizes, with the state in ParityDb, and prints
//! tables: `cargo run -p tfgrid-runtime --example scaling -- 1 1000 1000000`.
//!
//! It is the native runtime that is measured, as it is built for tests, and each call finds nothing of the
//! state in the memory of this process: what counts is how the columns grow, not what they say.

mod database;
mod drain;
mod grid;
mod hourly;
mod jobs;
mod measure;

#[allow(dead_code)]
#[path = "../../tests/grid/chain.rs"]
mod chain;
#[allow(dead_code)]
#[path = "../../tests/grid/history.rs"]
mod history;

use database::{Database, Outcome};
use drain::{Drained, drain};
use frame_support::weights::Weight;
use grid::Size;
use hourly::{Hour, hour};
use jobs::SCENARIOS;
use measure::{Figures, SAMPLES, measure};
use std::{env, time::Duration};
use tfgrid_runtime::SLOT_DURATION;

fn main() -> Outcome<()> {
    let sizes: Vec<u32> = env::args().skip(1).map(|size| size.parse()).collect::<Result<_, _>>()?;
    let (mut hours, mut drains) = (vec![], vec![]);
    println!(
        "| contracts | payers | operation | median µs | slowest µs | keys read | keys changed | weight µs |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for contracts in sizes {
        let size = Size { contracts };
        let folder = tempfile::tempdir()?;
        let mut database = Database::create(folder.path(), grid::genesis()?)?;
        grid::fill(&mut database, size)?;
        let mut database = database.cold(folder.path())?;
        for scenario in &SCENARIOS {
            print_figures(size, scenario.name, &measure(scenario, &database, size, SAMPLES)?);
        }
        hours.push((size, hour(&database, size)?));
        drains.push((size, drain(&mut database)?));
    }
    print_hours(&hours);
    print_drains(&drains);
    Ok(())
}

fn print_figures(size: Size, name: &str, figures: &Figures) {
    let Figures { median, slowest, reads, writes, weight } = figures;
    let (contracts, payers) = (size.contracts, size.payers());
    let (median, slowest) = (median.as_micros(), slowest.as_micros());
    let weight = weight.map_or("–".into(), micros);
    println!("| {contracts} | {payers} | {name} | {median} | {slowest} | {reads} | {writes} | {weight} |");
}

fn print_hours(hours: &[(Size, Hour)]) {
    println!("\nAn hour in which no contract starts, ends or runs out, {} blocks:\n", hourly::BLOCKS);
    println!(
        "| contracts | settled by | transactions | µs each | weight µs each | of people's room | processor s | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (size, hour) in hours {
        let Hour { settlement, settlement_weight, room_permille, hourly, by_clock } = hour;
        let (contracts, weight) = (size.contracts, micros(*settlement_weight));
        let room = *room_permille as f64 / 10.0;
        let (each, all) = (settlement.as_micros(), hourly.as_secs_f64());
        let (clock, ratio) = (by_clock.as_secs_f64(), hourly.as_secs_f64() / by_clock.as_secs_f64());
        println!(
            "| {contracts} | a transaction each | {contracts} | {each} | {weight} | {room:.1} % | {all:.2} | \
             {ratio:.1} |"
        );
        println!("| {contracts} | the clock | 0 | – | – | 0 % | {clock:.2} | 1 |");
    }
}

fn print_drains(drains: &[(Size, Drained)]) {
    println!("\nThe credit of all payers ends at the same moment:\n");
    println!(
        "| payers | blocks until all wait | time on the chain | most in a block | transactions meanwhile | \
         ms a block | stored |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (_, drained) in drains {
        let Drained { payers, blocks, most, transactions, block, stored } = drained;
        let minutes = Duration::from_millis(SLOT_DURATION * u64::from(*blocks)).as_secs_f64() / 60.0;
        let (block, stored) = (block.as_millis(), stored.as_millis());
        println!("| {payers} | {blocks} | {minutes:.1} min | {most} | {transactions} | {block} | {stored} |");
    }
}

fn micros(weight: Weight) -> String {
    (weight.ref_time() / 1_000_000).to_string()
}
