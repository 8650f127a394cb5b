// SPDX-License-Identifier: Apache-2.0

//! How long nodes take for blocks, by their numbers.

use anyhow::{Context, Result};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tfgrid_tests::get;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

pub const METRICS: &str = "/metrics";
/// The SDK's histogram of imports.
const IMPORTS: &str = "substrate_block_verification_and_import_time";
/// What the SDK's author says of each block, with its number and how long that took.
const PREPARED: &str = "Prepared block for proposing at ";
/// Much less than a slot, so that it counts one import at a time.
const BETWEEN_READINGS: Duration = Duration::from_millis(200);

/// Seconds of all imports so far, by their number.
type Counted = BTreeMap<u64, f64>;

/// Milliseconds that the author took for each block, from its log. Of two blocks with a number, the later one stayed.
pub fn authored(log: &str) -> BTreeMap<u64, f64> {
    log.lines().filter_map(prepared).collect()
}

/// Reads `… Prepared block for proposing at 12 (345 ms) …`.
fn prepared(line: &str) -> Option<(u64, f64)> {
    let (_, rest) = line.split_once(PREPARED)?;
    let (number, rest) = rest.split_once(" (")?;
    let (took, _) = rest.split_once(" ms)")?;
    Some((number.parse().ok()?, took.parse().ok()?))
}

/// The imports of a node, read again and again until this is dropped.
pub struct Imports {
    counted: Arc<Mutex<Counted>>,
    _reader: JoinSet<()>,
}

impl Imports {
    pub fn of(metrics: SocketAddr) -> Self {
        let counted = Arc::<Mutex<Counted>>::default();
        let mut reader = JoinSet::new();
        reader.spawn(read(metrics, counted.clone()));
        Self { counted, _reader: reader }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        lock(&self.counted).last_key_value().map_or(0, |(count, _)| *count)
    }

    /// Milliseconds of one of them.
    pub fn took(&self, number: u64) -> Option<f64> {
        took(&lock(&self.counted), number)
    }
}

async fn read(metrics: SocketAddr, counted: Arc<Mutex<Counted>>) {
    loop {
        // Without an answer, the times of some blocks stay unknown.
        if let Ok(Ok(page)) = spawn_blocking(move || get(metrics, METRICS)).await
            && let Ok((count, seconds)) = imports(&page)
        {
            lock(&counted).insert(count, seconds);
        }
        sleep(BETWEEN_READINGS).await;
    }
}

fn lock(counted: &Mutex<Counted>) -> MutexGuard<'_, Counted> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Only if no other import was counted with it.
fn took(counted: &Counted, number: u64) -> Option<f64> {
    let before = counted.get(&number.checked_sub(1)?)?;
    Some(1_000.0 * (counted.get(&number)? - before))
}

/// Number and seconds of all imports so far, from a page of metrics.
fn imports(page: &str) -> Result<(u64, f64)> {
    let count = metric(page, &format!("{IMPORTS}_count"), "")?;
    Ok((count as u64, metric(page, &format!("{IMPORTS}_sum"), "")?))
}

/// The value of the first metric that begins so and has this label.
pub fn metric(page: &str, begin: &str, label: &str) -> Result<f64> {
    let line = page.lines().find(|line| line.starts_with(begin) && line.contains(label));
    let value = line.and_then(|line| line.split(' ').next_back()).context("the node has no such metric")?;
    value.parse().with_context(|| format!("{value:?} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_has_the_time_of_its_last_proposal() {
        let log = "\
2026-11-28 20:09:21 🙌 Starting consensus session on top of parent 0x6567 (#0)
2026-11-28 20:09:21 🎁 Prepared block for proposing at 1 (0 ms) hash: 0x01e7; parent_hash: 0x65; end: Done
2026-11-28 20:09:24 🎁 Prepared block for proposing at 2 (1829 ms) hash: 0x02e7; parent_hash: 0x01; end: Done
2026-11-28 20:09:27 🎁 Prepared block for proposing at 3 (17 ms) hash: 0x03e7; parent_hash: 0x02; end: Done
2026-11-28 20:09:30 🎁 Prepared block for proposing at 3 (625 ms) hash: 0x04e7; parent_hash: 0x02; end: Done
2026-11-28 20:09:33 🎁 Prepared block for proposing at 4 (25";
        let times = [(1, 0.0), (2, 1_829.0), (3, 625.0)];
        assert_eq!(authored(log), BTreeMap::from(times));
    }

    #[test]
    fn imports_that_were_counted_together_are_unknown() {
        let counted = Counted::from([(1, 0.5), (2, 0.75), (4, 1.0), (5, 1.125)]);
        let times = [None, None, Some(250.0), None, None, Some(125.0), None];
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(|number| took(&counted, number)), times);
    }

    #[test]
    fn a_page_of_metrics_has_number_and_seconds_of_imports() {
        let page = "\
# TYPE substrate_block_verification_and_import_time histogram
substrate_block_verification_and_import_time_bucket{chain=\"tfgrid_dev\",le=\"0.005\"} 4
substrate_block_verification_and_import_time_sum{chain=\"tfgrid_dev\"} 1.25
substrate_block_verification_and_import_time_count{chain=\"tfgrid_dev\"} 14
";
        assert_eq!(imports(page).unwrap(), (14, 1.25));
        let error = imports("").unwrap_err();
        assert_eq!(error.to_string(), "the node has no such metric");
    }
}
