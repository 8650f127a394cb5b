// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls: upper bounds set by hand, from the storage that the worst case touches and a
//! generous allowance of time for its computation.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weights of the calls.
pub trait WeightInfo {
    /// Of `create`. Worst case: four peer keys, the account's first hold.
    fn create() -> Weight;
    /// Of `update`. Worst case: four peer keys.
    fn update() -> Weight;
}

impl WeightInfo for () {
    fn create() -> Weight {
        // Last id, account index, twin, account, its holds.
        Weight::from_parts(80_000_000, 12_000).saturating_add(ParityDbWeight::get().reads_writes(5, 5))
    }

    fn update() -> Weight {
        // Account index, twin.
        Weight::from_parts(40_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }
}
