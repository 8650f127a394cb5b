// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, written by `make weights` from the benchmarks in `benchmarking.rs`.
//!
//! Measured with the wasm runtime in 20 steps of 20 repeats, on AMD EPYC, 2 cores, 24 GiB.
//! Reads and writes have the weights in `primitives/src/weights.rs`.

#![allow(missing_docs)]

use frame_support::weights::Weight;
use tfgrid_primitives::weights::DbWeight;

/// Weights of the pallet's calls.
pub struct Weights;

impl pallet_balances::WeightInfo for Weights {
    fn transfer_allow_death() -> Weight {
        Weight::from_parts(62_642_000, 52).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn transfer_keep_alive() -> Weight {
        Weight::from_parts(48_381_000, 52).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn force_set_balance_creating() -> Weight {
        Weight::from_parts(22_504_000, 39).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn force_set_balance_killing() -> Weight {
        Weight::from_parts(23_585_000, 174).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn force_transfer() -> Weight {
        Weight::from_parts(64_645_000, 155).saturating_add(DbWeight::get().reads_writes(2, 2))
    }

    fn transfer_all() -> Weight {
        Weight::from_parts(61_331_000, 52).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn force_unreserve() -> Weight {
        Weight::from_parts(19_679_000, 174).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn upgrade_accounts(u: u32) -> Weight {
        Weight::from_parts(19_168_000, 103)
            .saturating_add(Weight::from_parts(17_192_754, 85).saturating_mul(u.into()))
            .saturating_add(DbWeight::get().reads_writes(1, 1).saturating_mul(u.into()))
    }

    fn force_adjust_total_issuance() -> Weight {
        Weight::from_parts(5_998_000, 0)
    }

    fn burn_allow_death() -> Weight {
        Weight::from_parts(39_468_000, 0)
    }

    fn burn_keep_alive() -> Weight {
        Weight::from_parts(25_237_000, 0)
    }
}
