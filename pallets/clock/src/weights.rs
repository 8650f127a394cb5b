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
    fn set_price() -> Weight;
    fn set_bounds() -> Weight;
    fn on_timestamp_set() -> Weight;
    fn on_poll() -> Weight;
    fn record_day() -> Weight;
    fn ask_feed() -> Weight;
    fn next_deadline() -> Weight;
    fn serve_deadline() -> Weight;
}

impl WeightInfo for () {
    fn set_price() -> Weight {
        Weight::from_parts(8_903_000, 127).saturating_add(DbWeight::get().reads_writes(2, 1))
    }

    fn set_bounds() -> Weight {
        Weight::from_parts(7_191_000, 125).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn on_timestamp_set() -> Weight {
        Weight::from_parts(3_255_000, 125).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn on_poll() -> Weight {
        Weight::from_parts(7_180_000, 244).saturating_add(DbWeight::get().reads_writes(3, 1))
    }

    fn record_day() -> Weight {
        Weight::from_parts(7_031_000, 125).saturating_add(DbWeight::get().reads_writes(1, 3))
    }

    fn ask_feed() -> Weight {
        Weight::from_parts(85_506_000, 2_365).saturating_add(DbWeight::get().reads_writes(22, 2))
    }

    fn next_deadline() -> Weight {
        Weight::from_parts(2_865_000, 114).saturating_add(DbWeight::get().reads_writes(1, 0))
    }

    fn serve_deadline() -> Weight {
        Weight::from_parts(2_825_000, 0).saturating_add(DbWeight::get().reads_writes(0, 2))
    }
}
