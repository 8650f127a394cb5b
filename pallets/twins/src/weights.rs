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
    fn set_peer_addresses() -> Weight;
}

impl WeightInfo for () {
    fn create() -> Weight {
        Weight::from_parts(61_120_000, 106).saturating_add(DbWeight::get().reads_writes(4, 5))
    }

    fn update() -> Weight {
        Weight::from_parts(14_521_000, 350).saturating_add(DbWeight::get().reads_writes(2, 1))
    }

    fn offer_transfer() -> Weight {
        Weight::from_parts(11_667_000, 171).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn withdraw_offer() -> Weight {
        Weight::from_parts(12_688_000, 202).saturating_add(DbWeight::get().reads_writes(2, 1))
    }

    fn accept_transfer() -> Weight {
        Weight::from_parts(423_406_000, 1_059).saturating_add(DbWeight::get().reads_writes(9, 14))
    }

    fn remove() -> Weight {
        Weight::from_parts(116_492_000, 821).saturating_add(DbWeight::get().reads_writes(8, 11))
    }

    fn set_peer_addresses() -> Weight {
        Weight::from_parts(62_823_000, 349).saturating_add(DbWeight::get().reads_writes(3, 3))
    }
}
