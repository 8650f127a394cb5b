// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls: upper bounds set by hand, from the storage that the worst case touches and a
//! generous allowance of time for its computation.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weights of the calls. The work of a change is done between sessions, in a block that has no room for
/// anything else.
pub trait WeightInfo {
    /// Of `announce`. Worst case: the first announcement.
    fn announce() -> Weight;
    /// Of `add_validator`. Worst case: a full set that others leave, a full queue less one.
    fn add_validator() -> Weight;
    /// Of `remove_validator`. Worst case: a full set, a full queue less one.
    fn remove_validator() -> Weight;
    /// Of `retire`. Worst case: a full set and queue that the account isn't in.
    fn retire() -> Weight;
}

impl WeightInfo for () {
    fn announce() -> Weight {
        // Session keys, session index, announcement.
        Weight::from_parts(40_000_000, 5_000).saturating_add(ParityDbWeight::get().reads_writes(3, 1))
    }

    fn add_validator() -> Weight {
        // Set, session keys, announcement, session index, queue.
        Weight::from_parts(60_000_000, 10_000).saturating_add(ParityDbWeight::get().reads_writes(5, 1))
    }

    fn remove_validator() -> Weight {
        // Set, queue.
        Weight::from_parts(60_000_000, 10_000).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn retire() -> Weight {
        // Session keys, validators, set, queue, both key owners, account, its holds, announcement.
        Weight::from_parts(120_000_000, 20_000).saturating_add(ParityDbWeight::get().reads_writes(10, 8))
    }
}
