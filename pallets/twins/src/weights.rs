// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, written by `make weights` from the benchmarks in `benchmarking.rs`.
//!
//! Measured with the wasm runtime in 20 steps of 20 repeats, on AMD EPYC, 2 cores, 24 GiB.
//! Reads and writes have the weights in `primitives/src/weights.rs`.

#![allow(missing_docs)]

use frame_support::weights::Weight;
use tfgrid_primitives::weights::DbWeight;

/// Weight functions of the pallet.
pub trait WeightInfo {
    fn create() -> Weight;
    fn update() -> Weight;
    fn offer_transfer() -> Weight;
    fn withdraw_offer() -> Weight;
    fn accept_transfer() -> Weight;
    fn remove() -> Weight;
}

impl WeightInfo for () {
    fn create() -> Weight {
        Weight::from_parts(61_741_000, 106).saturating_add(DbWeight::get().reads_writes(4, 5))
    }

    fn update() -> Weight {
        Weight::from_parts(14_652_000, 350).saturating_add(DbWeight::get().reads_writes(2, 1))
    }

    fn offer_transfer() -> Weight {
        Weight::from_parts(11_807_000, 171).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn withdraw_offer() -> Weight {
        Weight::from_parts(12_869_000, 202).saturating_add(DbWeight::get().reads_writes(2, 1))
    }

    fn accept_transfer() -> Weight {
        Weight::from_parts(382_065_000, 1_008).saturating_add(DbWeight::get().reads_writes(9, 13))
    }

    fn remove() -> Weight {
        Weight::from_parts(76_843_000, 774).saturating_add(DbWeight::get().reads_writes(8, 10))
    }
}
