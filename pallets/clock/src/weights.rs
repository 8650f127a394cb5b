// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, as `make weights` measured them: change `benchmarking.rs`, not this file.
//!
//! The runtime ran as wasm, in 20 steps, 20 times each, on AMD EPYC.
//! Reads and writes are counted there and weighed with the SDK's figures for ParityDb.

use frame_support::weights::{Weight, constants::ParityDbWeight};

/// Weights of the calls, and of what else takes time.
pub trait WeightInfo {
    /// Of `set_price`.
    fn set_price() -> Weight;
    /// Of `set_bounds`.
    fn set_bounds() -> Weight;
    /// Of `on_timestamp_set`.
    fn on_timestamp_set() -> Weight;
    /// Of `on_poll`.
    fn on_poll() -> Weight;
    /// Of `record_day`.
    fn record_day() -> Weight;
    /// Of `ask_feed`.
    fn ask_feed() -> Weight;
    /// Of `next_deadline`.
    fn next_deadline() -> Weight;
    /// Of `serve_deadline`.
    fn serve_deadline() -> Weight;
}

impl WeightInfo for () {
    fn set_price() -> Weight {
        Weight::from_parts(32_802_000, 482).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn set_bounds() -> Weight {
        Weight::from_parts(32_802_000, 482).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn on_timestamp_set() -> Weight {
        Weight::from_parts(4_829_000, 124).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn on_poll() -> Weight {
        Weight::from_parts(10_609_000, 243).saturating_add(ParityDbWeight::get().reads_writes(3, 1))
    }

    fn record_day() -> Weight {
        Weight::from_parts(14_938_000, 322).saturating_add(ParityDbWeight::get().reads_writes(1, 3))
    }

    fn ask_feed() -> Weight {
        Weight::from_parts(141_657_000, 2_720).saturating_add(ParityDbWeight::get().reads_writes(22, 2))
    }

    fn next_deadline() -> Weight {
        Weight::from_parts(4_838_000, 113).saturating_add(ParityDbWeight::get().reads_writes(1, 0))
    }

    fn serve_deadline() -> Weight {
        Weight::from_parts(4_358_000, 0).saturating_add(ParityDbWeight::get().reads_writes(0, 2))
    }
}
