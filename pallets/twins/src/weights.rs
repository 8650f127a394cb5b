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

    // By hand, until it is measured again: peer addresses go, too. It had 382 µs, 9 reads, 13 writes.
    fn accept_transfer() -> Weight {
        Weight::from_parts(450_000_000, 1_400).saturating_add(DbWeight::get().reads_writes(10, 14))
    }

    // By hand, until it is measured again: peer addresses go, too. It had 77 µs, 8 reads, 10 writes.
    fn remove() -> Weight {
        Weight::from_parts(150_000_000, 1_200).saturating_add(DbWeight::get().reads_writes(9, 11))
    }

    // By hand, until `make weights PALLETS=twins` measures it.
    fn set_peer_addresses() -> Weight {
        Weight::from_parts(100_000_000, 700).saturating_add(DbWeight::get().reads_writes(4, 3))
    }
}
