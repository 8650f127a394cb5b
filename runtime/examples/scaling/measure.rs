// SPDX-License-Identifier: Apache-2.0
//! Measures jobs, each on a fresh view of the state.

use crate::{
    database::{Attempt, Database, Outcome},
    grid::Size,
    jobs::{Job, Scenario},
};
use frame_support::weights::Weight;
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// How often each operation is measured, with other participants each time.
pub const SAMPLES: u32 = 101;

/// What was measured.
pub struct Figures {
    pub median: Duration,
    pub slowest: Duration,
    /// The most keys that were read from the database.
    pub reads: u64,
    /// The most keys that changed.
    pub writes: u64,
    pub weight: Option<Weight>,
}

pub fn measure(scenario: &Scenario, database: &Database, size: Size, samples: u32) -> Outcome<Figures> {
    let (mut times, mut reads, mut writes, mut weight) = (vec![], 0, 0, None);
    for n in 0..samples {
        let job = Cell::new(None);
        let prepare = || job.set(Some((scenario.prepare)(size, n)));
        let work = || {
            let Job { work, weight, .. } = job.take().expect("it was prepared");
            let start = Instant::now();
            work();
            (start.elapsed(), weight)
        };
        let attempt = database.attempt(prepare, work, scenario.look)?;
        let Attempt { answer: (time, reckoned), reads: read, writes: written } = attempt;
        times.push(time);
        (reads, writes, weight) = (reads.max(read), writes.max(written), reckoned);
    }
    let slowest = times.iter().max().copied().unwrap_or_default();
    Ok(Figures { median: median(times), slowest, reads, writes, weight })
}

/// The middle one of these times.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
