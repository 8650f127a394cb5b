// SPDX-License-Identifier: Apache-2.0
//! Which snapshots of a volume are kept. Pure.

use crate::snapshot::Snapshot;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeSet;
use tfgrid_client::primitives::UnixSeconds;

const DAY: u64 = 24 * 3_600;
/// Seconds for which an old snapshot is kept after the next one: one that is being taken, for six hours at most, may
/// build on it.
const BUILT_ON: u64 = 7 * 3_600;

/// How many snapshots of a volume are kept, beside the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// The last ones.
    pub last: usize,
    /// The last one of each of so many days that have one.
    pub daily: usize,
    /// The last one of each of so many weeks that have one.
    pub weekly: usize,
}

impl Retention {
    /// Those that aren't kept any more, of snapshots in the order of volumes and times.
    pub fn past(self, all: &[Snapshot], now: UnixSeconds) -> Vec<&Snapshot> {
        let volumes = all.chunk_by(|one, next| one.workload == next.workload);
        volumes.flat_map(|all| self.past_of_volume(all, now)).collect()
    }

    fn past_of_volume(self, all: &[Snapshot], now: UnixSeconds) -> Vec<&Snapshot> {
        let (mut days, mut weeks) = (BTreeSet::new(), BTreeSet::new());
        let mut past = Vec::new();
        let mut next = None;
        let newest_first = all.iter().rev().filter_map(|snapshot| Some((snapshot, snapshot.taken_at()?)));
        for (index, (snapshot, at)) in newest_first.enumerate() {
            // Weeks begin on Mondays, and the first day of 1970 was a Thursday.
            let (day, week) = (at / DAY, (at / DAY + 3) / 7);
            let reasons = [
                index < self.last.max(1),
                is_first(&mut days, day, self.daily),
                is_first(&mut weeks, week, self.weekly),
                next.is_none_or(|next| now.saturating_sub(next) < BUILT_ON),
            ];
            if !reasons.contains(&true) {
                past.push(snapshot);
            }
            next = Some(at);
        }
        past.reverse();
        past
    }
}

/// Whether this is the first of a day or a week, of so many of them.
fn is_first(seen: &mut BTreeSet<u64>, one: u64, most: usize) -> bool {
    seen.len() < most && seen.insert(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snapshots of a volume, by their times.
    fn snapshots(workload: &str, times: &[&str]) -> Vec<Snapshot> {
        times.iter().map(|time| format!("7/{workload}/{time}000Z").parse().unwrap()).collect()
    }

    fn past(keep: Retention, all: &[Snapshot], now: &str) -> Vec<String> {
        let now = snapshots("data", &[now])[0].taken_at().unwrap();
        keep.past(all, now).into_iter().map(|it| it.time[..SECONDS].to_owned()).collect()
    }

    /// Length of a time without milliseconds.
    const SECONDS: usize = 15;
    /// From Friday to Wednesday.
    const TIMES: [&str; 6] = [
        "20261120T060000",
        "20261120T180000",
        "20261122T060000",
        "20261124T060000",
        "20261124T180000",
        "20261125T060000",
    ];
    const LATER: &str = "20261201T000000";

    #[test]
    fn the_last_of_days_and_weeks_are_kept() {
        let all = snapshots("data", &TIMES);
        let keep = Retention { daily: 2, ..Retention::default() };
        assert_eq!(past(keep, &all, LATER), [TIMES[0], TIMES[1], TIMES[2], TIMES[3]]);
        let keep = Retention { weekly: 2, ..Retention::default() };
        assert_eq!(past(keep, &all, LATER), [TIMES[0], TIMES[1], TIMES[3], TIMES[4]]);
        let keep = Retention { last: 2, daily: 1, weekly: 9 };
        assert_eq!(past(keep, &all, LATER), [TIMES[0], TIMES[1], TIMES[3]]);
        assert_eq!(past(Retention::default(), &all, LATER), TIMES[..5]);
    }

    #[test]
    fn each_volume_keeps_its_own() {
        let all = [snapshots("cache", &TIMES[..1]), snapshots("data", &TIMES[..2])].concat();
        assert_eq!(past(Retention::default(), &all, LATER), [TIMES[0]]);
    }

    #[test]
    fn what_a_snapshot_may_build_on_is_kept() {
        let all = snapshots("data", &TIMES[..2]);
        assert!(past(Retention::default(), &all, "20261121T005959").is_empty());
        assert_eq!(past(Retention::default(), &all, "20261121T010000"), [TIMES[0]]);
    }
}
