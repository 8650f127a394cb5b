// SPDX-License-Identifier: Apache-2.0
//! Measured times.

use std::{fmt, time::Duration};

/// Times in nanoseconds, in ascending order; at least one.
pub struct Times(Vec<u64>);

impl Times {
    pub fn new(times: Vec<Duration>) -> Option<Self> {
        let mut nanos: Vec<u64> = times.iter().map(|time| time.as_nanos() as u64).collect();
        nanos.sort_unstable();
        (!nanos.is_empty()).then_some(Self(nanos))
    }

    pub fn mean(&self) -> u64 {
        self.0.iter().sum::<u64>().div_ceil(self.0.len() as u64)
    }

    /// The time that so many percent of the times don't exceed.
    fn percentile(&self, percent: usize) -> u64 {
        self.0[(self.0.len() * percent).div_ceil(100).saturating_sub(1)]
    }

    /// Each of these without `base`, shared among `parts`.
    pub fn shares(&self, base: u64, parts: u64) -> Self {
        Self(self.0.iter().map(|time| time.saturating_sub(base).div_ceil(parts)).collect())
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p95, p99, most] = [50, 95, 99, 100].map(|percent| self.percentile(percent));
        let mean = self.mean();
        write!(f, "mean {mean} ns of {}; 50 % {median}, 95 % {p95}, 99 % {p99}, most {most}", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(nanos: impl Iterator<Item = u64>) -> Times {
        Times::new(nanos.map(Duration::from_nanos).collect()).unwrap()
    }

    #[test]
    fn percentiles_are_of_the_times_in_their_order() {
        let text = times((1..=100).rev()).to_string();
        assert_eq!(text, "mean 51 ns of 100; 50 % 50, 95 % 95, 99 % 99, most 100");
        assert!(Times::new(vec![]).is_none());
    }

    #[test]
    fn a_share_is_of_what_exceeds_the_base() {
        assert_eq!(times([30, 5].into_iter()).shares(10, 3).0, [0, 7]);
    }
}
