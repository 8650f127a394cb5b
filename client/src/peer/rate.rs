// SPDX-License-Identifier: Apache-2.0
//! How often something may be done.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Lets each key do something a number of times at once, then again in intervals.
pub struct Rate<K> {
    /// How far before its turn something may be done.
    ahead: Duration,
    every: Duration,
    /// When the next turn of a key is, if that isn't past.
    next: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> Rate<K> {
    /// Each key has a rate of its own.
    pub fn new(at_once: u32, every: Duration) -> Self {
        Self { ahead: every.saturating_mul(at_once.saturating_sub(1)), every, next: Mutex::default() }
    }

    /// Whether the key may do it now; this counts as done then.
    pub fn take(&self, key: K, now: Instant) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.retain(|_, turn| *turn > now);
        let turn = next.entry(key).or_insert(now);
        let may = turn.duration_since(now) <= self.ahead;
        if may {
            *turn += self.every;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_may_do_20_at_once_and_10_a_second() {
        let rate = Rate::new(20, Duration::from_millis(100));
        let begun = Instant::now();
        let taken = |key, after_ms| {
            let now = begun + Duration::from_millis(after_ms);
            (0..100).take_while(|_| rate.take(key, now)).count()
        };
        assert_eq!((taken(7, 0), taken(7, 0), taken(8, 0)), (20, 0, 20));
        assert_eq!((taken(7, 99), taken(7, 100), taken(7, 1_100)), (0, 1, 10));
        assert_eq!((taken(7, 60_000), rate.next.lock().unwrap().len()), (20, 1));
    }
}
