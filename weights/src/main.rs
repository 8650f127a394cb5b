// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]

mod machine;
mod overhead;
mod runtime;
mod storage;
mod times;
mod weights_file;

use clap::Parser;
use frame_benchmarking::{
    Analysis, BenchmarkBatch, BenchmarkList, BenchmarkMetadata, BenchmarkParameter, BenchmarkSelector,
};
use runtime::Runtime;
use std::{error::Error, path::PathBuf};
use weights_file::{WeightsFile, short_name};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Measures weights, and writes them into the pallets, the runtime and the primitives.
#[derive(Parser)]
pub struct Options {
    /// What to measure: pallets, such as `twins`, and `storage` and `overhead`; all if nothing is named.
    names: Vec<String>,
    /// Number of values of each parameter, from its minimum to its maximum.
    #[arg(long, default_value_t = 20)]
    steps: u32,
    /// Number of measurements per value.
    #[arg(long, default_value_t = 20)]
    repeat: u32,
    /// Folder of the workspace.
    #[arg(long, default_value = ".")]
    workspace: PathBuf,
    /// Folder for the database of `storage`, on a disk as a validator has it.
    #[arg(long, default_value = "target")]
    disk: PathBuf,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }
}

/// Measurements of one call.
pub struct Measured {
    pub name: String,
    /// Parameters in which the call's weight is linear.
    pub parameters: Vec<String>,
    /// Time in picoseconds.
    pub time: Analysis,
    pub reads: Analysis,
    pub writes: Analysis,
    /// Size of the proof in bytes.
    pub proof: Analysis,
}

/// A value for each parameter.
type Point = Vec<(BenchmarkParameter, u32)>;

fn main() -> Outcome<()> {
    let options = Options::parse();
    if options.wants("storage") {
        storage::measure(&options)?;
    }
    let runtime = Runtime::new()?;
    if options.wants("overhead") {
        overhead::measure(&runtime, &options)?;
    }
    for pallet in runtime.benchmarks()? {
        let name = text(&pallet.pallet);
        if options.wants(short_name(&name)) {
            let file = WeightsFile::open(&options.workspace, &name)?;
            file.ensure_complete(&pallet.benchmarks)?;
            file.write(&measure_all(&runtime, &pallet, &options)?, &options)?;
        }
    }
    Ok(())
}

fn measure_all(runtime: &Runtime, pallet: &BenchmarkList, options: &Options) -> Outcome<Vec<Measured>> {
    pallet.benchmarks.iter().map(|benchmark| measure(runtime, pallet, benchmark, options)).collect()
}

fn measure(
    runtime: &Runtime,
    pallet: &BenchmarkList,
    benchmark: &BenchmarkMetadata,
    options: &Options,
) -> Outcome<Measured> {
    let name = text(&benchmark.name);
    let (mut timed, mut counted) = (vec![], vec![]);
    for point in points(&benchmark.components, options.steps) {
        let run = |run: fn(&Runtime, &[u8]) -> Outcome<Vec<BenchmarkBatch>>, verify: bool, repeat: u32| {
            let config = (&pallet.pallet, &pallet.instance, &benchmark.name, &point, verify, repeat);
            let batches = run(runtime, &codec::Encode::encode(&config));
            let batches =
                batches.map_err(|error| format!("{} {name} {point:?}: {error}", text(&pallet.pallet)))?;
            Outcome::Ok(batches.into_iter().flat_map(|batch| batch.results).collect::<Vec<_>>())
        };
        run(Runtime::run, true, 1)?;
        counted.extend(run(Runtime::run_counting, false, 1)?);
        timed.extend(run(Runtime::run, false, options.repeat)?);
    }
    let measured = Measured {
        parameters: benchmark.components.iter().map(|(parameter, ..)| parameter.to_string()).collect(),
        time: Analysis::min_squares_iqr(&timed, BenchmarkSelector::ExtrinsicTime)?,
        reads: Analysis::min_squares_iqr(&counted, BenchmarkSelector::Reads)?,
        writes: Analysis::min_squares_iqr(&counted, BenchmarkSelector::Writes)?,
        proof: Analysis::min_squares_iqr(&counted, BenchmarkSelector::ProofSize)?,
        name,
    };
    eprintln!("{:>40} {:>10} µs", measured.name, measured.time.base / 1_000_000);
    Ok(measured)
}

/// Points at which a benchmark is measured: each parameter from minimum to maximum, with the others at their
/// maximum.
fn points(components: &[(BenchmarkParameter, u32, u32)], steps: u32) -> Vec<Point> {
    if components.is_empty() {
        return vec![vec![]];
    }
    let most: Point = components.iter().map(|(parameter, _, high)| (*parameter, *high)).collect();
    let last = steps.max(2) - 1;
    let axis = |(i, &(parameter, low, high)): (usize, &(BenchmarkParameter, u32, u32))| {
        let most = most.clone();
        (0..=last).map(move |step| {
            let way = u64::from(high.saturating_sub(low)) * u64::from(step) / u64::from(last);
            let mut point = most.clone();
            point[i] = (parameter, low + way as u32);
            point
        })
    };
    let mut points: Vec<Point> = components.iter().enumerate().flat_map(axis).collect();
    points.dedup();
    points
}

/// Names are UTF-8, by the API's contract.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use BenchmarkParameter::{a, b};

    #[test]
    fn each_parameter_varies_while_the_others_are_at_their_maximum() {
        assert_eq!(points(&[], 5), [vec![]]);
        assert_eq!(points(&[(a, 0, 10)], 3), [0, 5, 10].map(|n| vec![(a, n)]));
        let both = points(&[(a, 0, 10), (b, 1, 2)], 2);
        assert_eq!(both, [[(a, 0), (b, 2)], [(a, 10), (b, 2)], [(a, 10), (b, 1)], [(a, 10), (b, 2)]]);
    }

    #[test]
    fn few_values_are_each_measured_once() {
        assert_eq!(points(&[(a, 1, 2)], 20).len(), 2);
    }
}
