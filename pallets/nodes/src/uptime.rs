// SPDX-License-Identifier: Apache-2.0
//! Uptime of a node per farming period. Pure: no storage.

use codec::{Decode, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, defensive, traits::ConstU32};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    GridMillis, UnixSeconds,
    units::{HOUR_MS, SECOND_MS},
};

pub use tfgrid_primitives::farming::{PERIOD_SECONDS, PERIODS_KEPT, period_of};

/// A longer silence doesn't count as uptime.
pub const LONGEST_COUNTED_GAP: GridMillis = HOUR_MS;

/// A node's uptime in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct PeriodUptime {
    /// Period: its first second ÷ 30 days.
    pub period: u32,
    /// Uptime in that period, in milliseconds.
    pub ms: u64,
}

/// Uptime of a node in the last periods in which it sent heartbeats, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Uptimes(BoundedVec<PeriodUptime, ConstU32<PERIODS_KEPT>>);

impl Uptimes {
    /// The periods, oldest first.
    pub fn periods(&self) -> &[PeriodUptime] {
        &self.0
    }

    /// Uptime in one period, in milliseconds; zero for a period that isn't kept.
    pub fn in_period(&self, period: u32) -> u64 {
        self.0.iter().find(|up| up.period == period).map_or(0, |up| up.ms)
    }

    /// Adds the `gap` between two heartbeats, in milliseconds up to `now`, each part to the period in which
    /// it lies. A gap longer than [`LONGEST_COUNTED_GAP`] isn't uptime.
    pub fn count(&mut self, gap: GridMillis, now: UnixSeconds) {
        if gap > LONGEST_COUNTED_GAP {
            return;
        }
        let period = period_of(now);
        let into = (now % PERIOD_SECONDS).saturating_mul(SECOND_MS);
        let (before, after) = (gap.saturating_sub(into), gap.min(into));
        if before > 0 {
            self.add(period.saturating_sub(1), before);
        }
        self.add(period, after);
    }

    fn add(&mut self, period: u32, ms: u64) {
        if self.0.last().is_none_or(|last| last.period < period) {
            if self.0.is_full() {
                self.0.remove(0);
            }
            if self.0.try_push(PeriodUptime { period, ms: 0 }).is_err() {
                defensive!("the oldest period was removed from a full list");
            }
        }
        if let Some(up) = self.0.iter_mut().find(|up| up.period == period) {
            // Calendar time has whole seconds, so the parts may sum up to a little more than the period.
            up.ms = up.ms.saturating_add(ms).min(PERIOD_SECONDS.saturating_mul(SECOND_MS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn periods(uptimes: &Uptimes) -> Vec<(u32, u64)> {
        uptimes.periods().iter().map(|up| (up.period, up.ms)).collect()
    }

    #[test]
    fn short_gaps_add_up_and_long_ones_do_not_count() {
        let mut uptimes = Uptimes::default();
        let now = 5 * PERIOD_SECONDS + 100_000;
        uptimes.count(600_000, now);
        uptimes.count(LONGEST_COUNTED_GAP, now);
        uptimes.count(LONGEST_COUNTED_GAP + 1, now);
        uptimes.count(u64::MAX, now);
        assert_eq!(periods(&uptimes), [(5, 4_200_000)]);
        assert_eq!((uptimes.in_period(5), uptimes.in_period(4)), (4_200_000, 0));
    }

    #[test]
    fn a_gap_over_the_end_of_a_period_is_split() {
        let mut uptimes = Uptimes::default();
        uptimes.count(600_000, 6 * PERIOD_SECONDS + 60);
        assert_eq!(periods(&uptimes), [(5, 540_000), (6, 60_000)]);
        uptimes.count(600_000, 7 * PERIOD_SECONDS);
        assert_eq!(periods(&uptimes), [(5, 540_000), (6, 660_000), (7, 0)]);
    }

    #[test]
    fn the_last_thirteen_periods_with_uptime_are_kept() {
        let mut uptimes = Uptimes::default();
        for period in (1..=13).chain([20, 40, 41]) {
            uptimes.count(1_000, period * PERIOD_SECONDS + 500);
        }
        let kept: Vec<_> = periods(&uptimes).into_iter().map(|(period, _)| period).collect();
        assert_eq!(kept, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 20, 40, 41]);
    }

    #[test]
    fn uptime_never_exceeds_a_period_and_dates_may_be_extreme() {
        let mut uptimes = Uptimes::default();
        for _ in 0..800 {
            uptimes.count(LONGEST_COUNTED_GAP, PERIOD_SECONDS - 1);
        }
        assert_eq!(periods(&uptimes), [(0, PERIOD_SECONDS * 1_000)]);
        uptimes.count(1_000, u64::MAX);
        uptimes.count(1_000, 0);
        assert_eq!(uptimes.periods().last().unwrap().period, u32::MAX);
    }
}
