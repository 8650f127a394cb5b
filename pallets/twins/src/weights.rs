// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls: upper bounds set by hand, from the storage that the worst case touches and a
//! generous allowance of time for its computation.

use crate::MAX_DEPOSIT_REASONS;
use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weights of the calls.
pub trait WeightInfo {
    /// Of `create`. Worst case: four peer keys, the account's first hold.
    fn create() -> Weight;
    /// Of `update`. Worst case: four peer keys.
    fn update() -> Weight;
    /// Of `offer_transfer`. Worst case: another offer goes.
    fn offer_transfer() -> Weight;
    /// Of `withdraw_offer`.
    fn withdraw_offer() -> Weight;
    /// Of `accept_transfer`. Worst case: something is held for every reason.
    fn accept_transfer() -> Weight;
    /// Of `remove`. Worst case: the twin is offered, and all that could depend on it is asked.
    fn remove() -> Weight;
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

    fn offer_transfer() -> Weight {
        // Account index, offer.
        Weight::from_parts(30_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn withdraw_offer() -> Weight {
        // Account index, offer.
        Weight::from_parts(30_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn accept_transfer() -> Weight {
        // Offer, two account indexes, twin, both accounts and their holds, touched once for each reason.
        let each = Weight::from_parts(60_000_000, 0).saturating_mul(MAX_DEPOSIT_REASONS as u64);
        Weight::from_parts(60_000_000, 20_000)
            .saturating_add(each)
            .saturating_add(ParityDbWeight::get().reads_writes(7, 8))
    }

    fn remove() -> Weight {
        // Account index, twin, offer, account, its holds; farms, contracts, credit and rate.
        Weight::from_parts(80_000_000, 20_000).saturating_add(ParityDbWeight::get().reads_writes(8, 5))
    }
}
