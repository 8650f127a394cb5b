// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, as `make weights` measured them: change `benchmarking.rs`, not this file.
//!
//! The runtime ran as wasm, in 20 steps, 20 times each, on AMD EPYC.
//! Reads and writes are counted there and weighed with the SDK's figures for ParityDb.

use frame_support::weights::{Weight, constants::ParityDbWeight};

/// Weights of the calls, and of what else takes time.
pub trait WeightInfo {
    /// Of `create`. Worst case: four peer keys, the account's first hold.
    fn create() -> Weight;
    /// Of `update`. Worst case: four peer keys replace four.
    fn update() -> Weight;
    /// Of `offer_transfer`. Worst case: another offer is replaced.
    fn offer_transfer() -> Weight;
    /// Of `withdraw_offer`.
    fn withdraw_offer() -> Weight;
    /// Of `accept_transfer`. Worst case: a deposit of each reason is on hold.
    fn accept_transfer() -> Weight;
    /// Of `remove`. Worst case: the twin is offered.
    fn remove() -> Weight;
}

impl WeightInfo for () {
    fn create() -> Weight {
        Weight::from_parts(86_452_000, 106).saturating_add(ParityDbWeight::get().reads_writes(4, 5))
    }

    fn update() -> Weight {
        Weight::from_parts(25_217_000, 350).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn offer_transfer() -> Weight {
        Weight::from_parts(19_898_000, 175).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn withdraw_offer() -> Weight {
        Weight::from_parts(21_159_000, 205).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn accept_transfer() -> Weight {
        Weight::from_parts(485_542_000, 789).saturating_add(ParityDbWeight::get().reads_writes(7, 11))
    }

    fn remove() -> Weight {
        Weight::from_parts(96_481_000, 668).saturating_add(ParityDbWeight::get().reads_writes(7, 8))
    }
}
