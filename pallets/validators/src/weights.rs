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
    fn announce() -> Weight;
    fn add_validator() -> Weight;
    fn remove_validator() -> Weight;
    fn retire() -> Weight;
}

impl WeightInfo for () {
    fn announce() -> Weight {
        Weight::from_parts(13_751_000, 331).saturating_add(DbWeight::get().reads_writes(2, 1))
    }

    fn add_validator() -> Weight {
        Weight::from_parts(22_263_000, 3_077).saturating_add(DbWeight::get().reads_writes(5, 1))
    }

    fn remove_validator() -> Weight {
        Weight::from_parts(12_628_000, 2_672).saturating_add(DbWeight::get().reads_writes(2, 1))
    }

    fn retire() -> Weight {
        Weight::from_parts(75_742_000, 3_162).saturating_add(DbWeight::get().reads_writes(7, 6))
    }
}
