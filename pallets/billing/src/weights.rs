// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, as `make weights` measured them: change `benchmarking.rs`, not this file.
//!
//! The runtime ran as wasm, in 20 steps, 20 times each, on AMD EPYC.
//! Reads and writes are counted there and weighed with the SDK's figures for ParityDb.

use frame_support::weights::{Weight, constants::ParityDbWeight};

/// Weights of the calls, and of what else takes time.
pub trait WeightInfo {
    /// Of `deposit`. Worst case: somebody else's, for a payer that is to be refilled first.
    fn deposit() -> Weight;
    /// Of `withdraw`. Worst case: of a payer that is to be refilled first.
    fn withdraw() -> Weight;
    /// Of `collect`. Worst case: farm, foundation, staking pool and a solution provider share, and what was paid for public addresses counts for the node.
    fn collect() -> Weight;
    /// Of `pay_out`. Worst case: to a farmer, whose farm and twin are looked up.
    fn pay_out() -> Weight;
    /// Of `set_policy`. Worst case: another price list.
    fn set_policy() -> Weight;
    /// Of `set_limits`. Worst case: of a payer that is to be refilled first.
    fn set_limits() -> Weight;
    /// Of `add_provider`.
    fn add_provider() -> Weight;
    /// Of `set_provider_share`.
    fn set_provider_share() -> Weight;
    /// Of `set_auto_refill`. Worst case: of a payer in grace that is refilled and goes on.
    fn set_auto_refill() -> Weight;
    /// Of `buy_traffic`. Worst case: of a payer that is to be refilled first.
    fn buy_traffic() -> Weight;
    /// Of `attach_provider`.
    fn attach_provider() -> Weight;
    /// Of `poke`. Worst case: the payer waits, is refilled and goes on.
    fn poke() -> Weight;
    /// Of `next_end`.
    fn next_end() -> Weight;
    /// Of `serve_end`. Worst case: the payer is refilled.
    fn serve_end() -> Weight;
    /// Of `serve_grace`. Worst case: the payer is refilled and goes on.
    fn serve_grace() -> Weight;
    /// Of `serve_review`. Worst case: of a payer that is to be refilled first.
    fn serve_review() -> Weight;
}

impl WeightInfo for () {
    fn deposit() -> Weight {
        Weight::from_parts(213_521_000, 1_529).saturating_add(ParityDbWeight::get().reads_writes(11, 7))
    }

    fn withdraw() -> Weight {
        Weight::from_parts(217_188_000, 1_471).saturating_add(ParityDbWeight::get().reads_writes(11, 6))
    }

    fn collect() -> Weight {
        Weight::from_parts(133_030_000, 2_168).saturating_add(ParityDbWeight::get().reads_writes(16, 7))
    }

    fn pay_out() -> Weight {
        Weight::from_parts(113_543_000, 1_267).saturating_add(ParityDbWeight::get().reads_writes(5, 3))
    }

    fn set_policy() -> Weight {
        Weight::from_parts(39_073_000, 509).saturating_add(ParityDbWeight::get().reads_writes(3, 2))
    }

    fn set_limits() -> Weight {
        Weight::from_parts(151_204_000, 1_471).saturating_add(ParityDbWeight::get().reads_writes(10, 7))
    }

    fn add_provider() -> Weight {
        Weight::from_parts(15_258_000, 75).saturating_add(ParityDbWeight::get().reads_writes(1, 2))
    }

    fn set_provider_share() -> Weight {
        Weight::from_parts(29_886_000, 320).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn set_auto_refill() -> Weight {
        Weight::from_parts(160_552_000, 1_484).saturating_add(ParityDbWeight::get().reads_writes(11, 8))
    }

    fn buy_traffic() -> Weight {
        Weight::from_parts(176_021_000, 1_770).saturating_add(ParityDbWeight::get().reads_writes(13, 7))
    }

    fn attach_provider() -> Weight {
        Weight::from_parts(35_000_000, 600).saturating_add(ParityDbWeight::get().reads_writes(3, 1))
    }

    fn poke() -> Weight {
        Weight::from_parts(162_405_000, 1_410).saturating_add(ParityDbWeight::get().reads_writes(11, 7))
    }

    fn next_end() -> Weight {
        Weight::from_parts(12_072_000, 293).saturating_add(ParityDbWeight::get().reads_writes(1, 0))
    }

    fn serve_end() -> Weight {
        Weight::from_parts(133_371_000, 1_394).saturating_add(ParityDbWeight::get().reads_writes(10, 6))
    }

    fn serve_grace() -> Weight {
        Weight::from_parts(145_183_000, 1_410).saturating_add(ParityDbWeight::get().reads_writes(11, 6))
    }

    fn serve_review() -> Weight {
        Weight::from_parts(135_484_000, 1_394).saturating_add(ParityDbWeight::get().reads_writes(10, 6))
    }
}
