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
    fn deposit() -> Weight;
    fn withdraw() -> Weight;
    fn collect() -> Weight;
    fn pay_out() -> Weight;
    fn set_policy() -> Weight;
    fn set_limits() -> Weight;
    fn add_provider() -> Weight;
    fn set_provider_share() -> Weight;
    fn set_auto_refill() -> Weight;
    fn buy_traffic() -> Weight;
    fn attach_provider() -> Weight;
    fn poke() -> Weight;
    fn next_end() -> Weight;
    fn serve_end() -> Weight;
    fn serve_grace() -> Weight;
    fn serve_review() -> Weight;
}

impl WeightInfo for () {
    fn deposit() -> Weight {
        Weight::from_parts(157_433_000, 1_556).saturating_add(DbWeight::get().reads_writes(12, 7))
    }

    fn withdraw() -> Weight {
        Weight::from_parts(156_502_000, 1_498).saturating_add(DbWeight::get().reads_writes(11, 6))
    }

    fn collect() -> Weight {
        Weight::from_parts(98_045_000, 2_530).saturating_add(DbWeight::get().reads_writes(18, 8))
    }

    fn pay_out() -> Weight {
        Weight::from_parts(83_073_000, 1_222).saturating_add(DbWeight::get().reads_writes(5, 3))
    }

    fn set_policy() -> Weight {
        Weight::from_parts(22_303_000, 532).saturating_add(DbWeight::get().reads_writes(2, 2))
    }

    fn set_limits() -> Weight {
        Weight::from_parts(108_811_000, 1_498).saturating_add(DbWeight::get().reads_writes(10, 7))
    }

    fn add_provider() -> Weight {
        Weight::from_parts(8_683_000, 42).saturating_add(DbWeight::get().reads_writes(1, 2))
    }

    fn set_provider_share() -> Weight {
        Weight::from_parts(19_148_000, 242).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn set_auto_refill() -> Weight {
        Weight::from_parts(117_534_000, 1_511).saturating_add(DbWeight::get().reads_writes(11, 8))
    }

    fn buy_traffic() -> Weight {
        Weight::from_parts(121_760_000, 1_827).saturating_add(DbWeight::get().reads_writes(13, 7))
    }

    fn attach_provider() -> Weight {
        Weight::from_parts(29_624_000, 737).saturating_add(DbWeight::get().reads_writes(3, 1))
    }

    fn poke() -> Weight {
        Weight::from_parts(118_025_000, 1_437).saturating_add(DbWeight::get().reads_writes(11, 7))
    }

    fn next_end() -> Weight {
        Weight::from_parts(6_479_000, 215).saturating_add(DbWeight::get().reads_writes(1, 0))
    }

    fn serve_end() -> Weight {
        Weight::from_parts(96_443_000, 1_421).saturating_add(DbWeight::get().reads_writes(10, 6))
    }

    fn serve_grace() -> Weight {
        Weight::from_parts(106_468_000, 1_437).saturating_add(DbWeight::get().reads_writes(11, 6))
    }

    fn serve_review() -> Weight {
        Weight::from_parts(98_676_000, 1_421).saturating_add(DbWeight::get().reads_writes(10, 6))
    }
}
