// SPDX-License-Identifier: Apache-2.0
//! How long to wait before the next try.

use rand::Rng;
use std::time::Duration;

/// Waits that double from `first` to `most`, each shortened at random by up to a half so that many
/// who failed together don't return together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The longest wait after one failure.
    pub first: Duration,
    /// The longest wait after any number of failures.
    pub most: Duration,
}

impl Backoff {
    /// The wait after that many failures in a row; none after none.
    pub fn delay(&self, failures: u32) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let doublings = (failures - 1).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.most);
        full.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_vary_by_a_half() {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
        assert_eq!(backoff.delay(0), Duration::ZERO);
        for (failures, full) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (u32::MAX, 60)] {
            let full = Duration::from_secs(full);
            for _ in 0..50 {
                let delay = backoff.delay(failures);
                assert!(delay >= full / 2 && delay <= full, "{failures}: {delay:?}");
            }
        }
    }
}
