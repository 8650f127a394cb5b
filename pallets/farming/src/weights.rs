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
    fn enrol() -> Weight;
    fn leave() -> Weight;
    fn withdraw() -> Weight;
    fn claim() -> Weight;
    fn void() -> Weight;
    fn forfeit() -> Weight;
    fn set_policy() -> Weight;
    fn inspect() -> Weight;
    fn close() -> Weight;
}

impl WeightInfo for () {
    fn enrol() -> Weight {
        Weight::from_parts(193_697_000, 3_368).saturating_add(DbWeight::get().reads_writes(41, 4))
    }

    fn leave() -> Weight {
        Weight::from_parts(59_698_000, 2_901).saturating_add(DbWeight::get().reads_writes(8, 3))
    }

    fn withdraw() -> Weight {
        Weight::from_parts(415_345_000, 2_443).saturating_add(DbWeight::get().reads_writes(9, 6))
    }

    fn claim() -> Weight {
        Weight::from_parts(66_368_000, 2_418).saturating_add(DbWeight::get().reads_writes(7, 3))
    }

    fn void() -> Weight {
        Weight::from_parts(26_369_000, 1_541).saturating_add(DbWeight::get().reads_writes(3, 2))
    }

    fn forfeit() -> Weight {
        Weight::from_parts(379_522_000, 2_551).saturating_add(DbWeight::get().reads_writes(9, 6))
    }

    fn set_policy() -> Weight {
        Weight::from_parts(5_669_000, 0).saturating_add(DbWeight::get().reads_writes(0, 1))
    }

    fn inspect() -> Weight {
        Weight::from_parts(23_265_000, 329).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn close() -> Weight {
        Weight::from_parts(44_095_000, 2_585).saturating_add(DbWeight::get().reads_writes(8, 3))
    }
}
