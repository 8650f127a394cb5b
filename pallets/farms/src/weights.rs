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
    fn open_ticket() -> Weight;
    fn close_ticket() -> Weight;
    fn update() -> Weight;
    fn set_dedicated() -> Weight;
    fn remove() -> Weight;
    fn add_ip() -> Weight;
    fn remove_ip() -> Weight;
    fn force_remove_ip() -> Weight;
    fn set_certification() -> Weight;
}

impl WeightInfo for () {
    fn create() -> Weight {
        Weight::from_parts(72_537_000, 409).saturating_add(DbWeight::get().reads_writes(6, 6))
    }

    fn open_ticket() -> Weight {
        Weight::from_parts(127_139_000, 787).saturating_add(DbWeight::get().reads_writes(8, 4))
    }

    fn close_ticket() -> Weight {
        Weight::from_parts(187_717_000, 6_272).saturating_add(DbWeight::get().reads_writes(106, 103))
    }

    fn update() -> Weight {
        Weight::from_parts(27_561_000, 462).saturating_add(DbWeight::get().reads_writes(3, 3))
    }

    fn set_dedicated() -> Weight {
        Weight::from_parts(16_154_000, 371).saturating_add(DbWeight::get().reads_writes(2, 1))
    }

    fn remove() -> Weight {
        Weight::from_parts(78_527_000, 858).saturating_add(DbWeight::get().reads_writes(10, 5))
    }

    fn add_ip() -> Weight {
        Weight::from_parts(84_545_000, 620).saturating_add(DbWeight::get().reads_writes(8, 9))
    }

    fn remove_ip() -> Weight {
        Weight::from_parts(74_360_000, 903).saturating_add(DbWeight::get().reads_writes(6, 8))
    }

    fn force_remove_ip() -> Weight {
        Weight::from_parts(74_100_000, 913).saturating_add(DbWeight::get().reads_writes(6, 8))
    }

    fn set_certification() -> Weight {
        Weight::from_parts(11_758_000, 233).saturating_add(DbWeight::get().reads_writes(1, 1))
    }
}
