// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, as `make weights` measured them: change `benchmarking.rs`, not this file.
//!
//! The runtime ran as wasm, in 20 steps, 20 times each, on AMD EPYC.
//! Reads and writes are counted there and weighed with the SDK's figures for ParityDb.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weights of the calls, and of what else takes time.
pub trait WeightInfo {
    /// Of `deposit`. Worst case: of a payer that is to be refilled first.
    fn deposit() -> Weight;
    /// Of `withdraw`. Worst case: of a payer that is to be refilled first.
    fn withdraw() -> Weight;
    /// Of `claim`. Worst case: farm, foundation, staking pool and a solution provider share.
    fn claim() -> Weight;
    /// Of `pay_out`. Worst case: to a farmer, whose farm and twin are looked up.
    fn pay_out() -> Weight;
    /// Of `set_price`.
    fn set_price() -> Weight;
    /// Of `set_policy`. Worst case: another price list.
    fn set_policy() -> Weight;
    /// Of `set_limits`. Worst case: of a payer that is to be refilled first.
    fn set_limits() -> Weight;
    /// Of `add_provider`.
    fn add_provider() -> Weight;
    /// Of `set_provider_share`.
    fn set_provider_share() -> Weight;
    /// Of `set_auto_refill`. Worst case: of a payer that is to be refilled first.
    fn set_auto_refill() -> Weight;
    /// Of `buy_traffic`. Worst case: of a payer that is to be refilled first.
    fn buy_traffic() -> Weight;
    /// Of `reprice`. Worst case: of a payer that is to be refilled first.
    fn reprice() -> Weight;
    /// Of `poke`. Worst case: the payer is refilled.
    fn poke() -> Weight;
    /// Of `on_timestamp_set`.
    fn on_timestamp_set() -> Weight;
    /// Of `on_poll`. Nothing of the price is to be recorded or asked.
    fn on_poll() -> Weight;
    /// Of `record_day`.
    fn record_day() -> Weight;
    /// Of `ask_feed`. Where no feeder has fed anything: those have their own weights beside this one.
    fn ask_feed() -> Weight;
    /// Of `next_end`.
    fn next_end() -> Weight;
    /// Of `serve_end`. Worst case: the payer is refilled.
    fn serve_end() -> Weight;
    /// Of `next_deadline`.
    fn next_deadline() -> Weight;
    /// Of `serve_deadline`. A kind that nobody serves comes up: what remains is taking it from the agenda and putting one back.
    fn serve_deadline() -> Weight;
    /// Of `serve_grace`. Worst case: contracts close from then on.
    fn serve_grace() -> Weight;
    /// Of `serve_review`. Worst case: of a payer that is to be refilled first.
    fn serve_review() -> Weight;
}

impl WeightInfo for () {
    fn deposit() -> Weight {
        Weight::from_parts(176_702_000, 1_279).saturating_add(ParityDbWeight::get().reads_writes(10, 6))
    }

    fn withdraw() -> Weight {
        Weight::from_parts(187_091_000, 1_356).saturating_add(ParityDbWeight::get().reads_writes(11, 6))
    }

    fn claim() -> Weight {
        Weight::from_parts(70_513_000, 1_303).saturating_add(ParityDbWeight::get().reads_writes(12, 6))
    }

    fn pay_out() -> Weight {
        Weight::from_parts(94_868_000, 1_021).saturating_add(ParityDbWeight::get().reads_writes(5, 3))
    }

    fn set_price() -> Weight {
        Weight::from_parts(18_504_000, 449).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn set_policy() -> Weight {
        Weight::from_parts(22_332_000, 476).saturating_add(ParityDbWeight::get().reads_writes(3, 2))
    }

    fn set_limits() -> Weight {
        Weight::from_parts(129_694_000, 1_356).saturating_add(ParityDbWeight::get().reads_writes(10, 7))
    }

    fn add_provider() -> Weight {
        Weight::from_parts(14_978_000, 75).saturating_add(ParityDbWeight::get().reads_writes(1, 2))
    }

    fn set_provider_share() -> Weight {
        Weight::from_parts(17_694_000, 287).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn set_auto_refill() -> Weight {
        Weight::from_parts(127_871_000, 1_353).saturating_add(ParityDbWeight::get().reads_writes(10, 7))
    }

    fn buy_traffic() -> Weight {
        Weight::from_parts(147_577_000, 1_602).saturating_add(ParityDbWeight::get().reads_writes(13, 7))
    }

    fn reprice() -> Weight {
        Weight::from_parts(161_423_000, 1_864).saturating_add(ParityDbWeight::get().reads_writes(14, 9))
    }

    fn poke() -> Weight {
        Weight::from_parts(126_027_000, 1_279).saturating_add(ParityDbWeight::get().reads_writes(10, 6))
    }

    fn on_timestamp_set() -> Weight {
        Weight::from_parts(4_759_000, 124).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn on_poll() -> Weight {
        Weight::from_parts(10_640_000, 243).saturating_add(ParityDbWeight::get().reads_writes(3, 1))
    }

    fn record_day() -> Weight {
        Weight::from_parts(11_833_000, 289).saturating_add(ParityDbWeight::get().reads_writes(1, 3))
    }

    fn ask_feed() -> Weight {
        Weight::from_parts(40_076_000, 935).saturating_add(ParityDbWeight::get().reads_writes(8, 1))
    }

    fn next_end() -> Weight {
        Weight::from_parts(6_502_000, 260).saturating_add(ParityDbWeight::get().reads_writes(1, 0))
    }

    fn serve_end() -> Weight {
        Weight::from_parts(114_836_000, 1_279).saturating_add(ParityDbWeight::get().reads_writes(10, 6))
    }

    fn next_deadline() -> Weight {
        Weight::from_parts(4_588_000, 113).saturating_add(ParityDbWeight::get().reads_writes(1, 0))
    }

    fn serve_deadline() -> Weight {
        Weight::from_parts(4_187_000, 0).saturating_add(ParityDbWeight::get().reads_writes(0, 2))
    }

    fn serve_grace() -> Weight {
        Weight::from_parts(31_650_000, 705).saturating_add(ParityDbWeight::get().reads_writes(4, 3))
    }

    fn serve_review() -> Weight {
        Weight::from_parts(112_621_000, 1_279).saturating_add(ParityDbWeight::get().reads_writes(10, 6))
    }
}
