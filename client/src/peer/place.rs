// SPDX-License-Identifier: Apache-2.0
//! How many may be open at the same time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// How many are open, of each key that has any.
pub type Counts<K> = Arc<Mutex<HashMap<K, usize>>>;

/// One that is open, until it is dropped.
pub struct Place<K: Eq + Hash>(Counts<K>, K);

impl<K: Eq + Hash + Copy> Place<K> {
    /// `None` if there are `most` already.
    pub fn take(counts: &Counts<K>, of: K, most: usize) -> Option<Self> {
        let mut open = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(of).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Self(counts.clone(), of))
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.1) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_places_until_they_are_dropped() {
        let counts = Counts::default();
        let taken: Vec<_> = (0..9).map_while(|_| Place::take(&counts, 7, 2)).collect();
        assert!(taken.len() == 2 && Place::take(&counts, 8, 2).is_some());
        drop(taken);
        assert!(counts.lock().unwrap().is_empty() && Place::take(&counts, 7, 2).is_some());
    }
}
