// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, written by `make weights` from the benchmarks in `benchmarking.rs`.
//!
//! Measured with the wasm runtime in 20 steps of 20 repeats, on AMD EPYC.
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
        Weight::from_parts(330_391_000, 3_366).saturating_add(DbWeight::get().reads_writes(41, 4))
    }

    fn leave() -> Weight {
        Weight::from_parts(93_649_000, 2_901).saturating_add(DbWeight::get().reads_writes(8, 3))
    }

    fn withdraw() -> Weight {
        Weight::from_parts(676_485_000, 2_443).saturating_add(DbWeight::get().reads_writes(9, 6))
    }

    fn claim() -> Weight {
        Weight::from_parts(130_094_000, 2_418).saturating_add(DbWeight::get().reads_writes(7, 3))
    }

    fn void() -> Weight {
        Weight::from_parts(42_273_000, 1_541).saturating_add(DbWeight::get().reads_writes(3, 2))
    }

    fn forfeit() -> Weight {
        Weight::from_parts(453_464_000, 2_551).saturating_add(DbWeight::get().reads_writes(9, 6))
    }

    fn set_policy() -> Weight {
        Weight::from_parts(13_790_000, 0).saturating_add(DbWeight::get().reads_writes(0, 1))
    }

    fn inspect() -> Weight {
        Weight::from_parts(40_430_000, 329).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn close() -> Weight {
        Weight::from_parts(72_398_000, 2_583).saturating_add(DbWeight::get().reads_writes(8, 3))
    }
}
