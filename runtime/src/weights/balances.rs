// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, written by `make weights` from the benchmarks in `benchmarking.rs`.
//!
//! The SDK's: not measured yet.
//! Reads and writes have the weights in `primitives/src/weights.rs`.

#![allow(missing_docs)]

use frame_support::weights::Weight;
use tfgrid_primitives::weights::DbWeight;

/// Weights of the pallet's calls.
pub struct Weights;

impl pallet_balances::WeightInfo for Weights {
    fn transfer_allow_death() -> Weight {
        Weight::from_parts(48_834_000, 3_593).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn transfer_keep_alive() -> Weight {
        Weight::from_parts(39_051_000, 3_593).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn force_set_balance_creating() -> Weight {
        Weight::from_parts(12_547_000, 3_593).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn force_set_balance_killing() -> Weight {
        Weight::from_parts(19_206_000, 3_593).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn force_transfer() -> Weight {
        Weight::from_parts(49_519_000, 6_196).saturating_add(DbWeight::get().reads_writes(2, 2))
    }

    fn transfer_all() -> Weight {
        Weight::from_parts(48_209_000, 3_593).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn force_unreserve() -> Weight {
        Weight::from_parts(15_515_000, 3_593).saturating_add(DbWeight::get().reads_writes(1, 1))
    }

    fn upgrade_accounts(u: u32) -> Weight {
        Weight::from_parts(14_674_000, 990)
            .saturating_add(Weight::from_parts(14_648_188, 2_603).saturating_mul(u.into()))
            .saturating_add(DbWeight::get().reads_writes(1, 1).saturating_mul(u.into()))
    }

    fn force_adjust_total_issuance() -> Weight {
        Weight::from_parts(5_351_000, 0)
    }

    fn burn_allow_death() -> Weight {
        Weight::from_parts(30_219_000, 0)
    }

    fn burn_keep_alive() -> Weight {
        Weight::from_parts(20_720_000, 0)
    }
}
