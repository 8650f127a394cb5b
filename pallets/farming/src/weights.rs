// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, as `make weights` measured them: change `benchmarking.rs`, not this file.
//!
//! The runtime ran as wasm, in 20 steps, 20 times each, on AMD EPYC.
//! Reads and writes are counted there and weighed with the SDK's figures for ParityDb.

use frame_support::weights::{Weight, constants::ParityDbWeight};

/// Weights of the calls, and of what else takes time.
pub trait WeightInfo {
    /// Of `enrol`. Worst case: the account's first hold.
    fn enrol() -> Weight;
    /// Of `leave`. Worst case: a period is closed, and the most rewards are unclaimed.
    fn leave() -> Weight;
    /// Of `withdraw`. Worst case: all rewards are unclaimed.
    fn withdraw() -> Weight;
    /// Of `claim`. Worst case: the most rewards, scaled to the cap.
    fn claim() -> Weight;
    /// Of `void`. Worst case: a closed reward is deleted.
    fn void() -> Weight;
    /// Of `forfeit`. Worst case: all rewards are unclaimed, and the last one hasn't matured.
    fn forfeit() -> Weight;
    /// Of `set_policy`.
    fn set_policy() -> Weight;
    /// Of `inspect`.
    fn inspect() -> Weight;
    /// Of `close`. The first heartbeat of a period. Worst case: the oldest of 13 periods is deleted.
    fn close() -> Weight;
}

impl WeightInfo for () {
    fn enrol() -> Weight {
        Weight::from_parts(263_696_000, 3_321).saturating_add(ParityDbWeight::get().reads_writes(41, 4))
    }

    fn leave() -> Weight {
        Weight::from_parts(86_703_000, 2_812).saturating_add(ParityDbWeight::get().reads_writes(8, 3))
    }

    fn withdraw() -> Weight {
        Weight::from_parts(556_656_000, 2_402).saturating_add(ParityDbWeight::get().reads_writes(9, 6))
    }

    fn claim() -> Weight {
        Weight::from_parts(99_717_000, 2_362).saturating_add(ParityDbWeight::get().reads_writes(7, 3))
    }

    fn void() -> Weight {
        Weight::from_parts(43_331_000, 1_541).saturating_add(ParityDbWeight::get().reads_writes(3, 2))
    }

    fn forfeit() -> Weight {
        Weight::from_parts(517_121_000, 2_495).saturating_add(ParityDbWeight::get().reads_writes(9, 6))
    }

    fn set_policy() -> Weight {
        Weight::from_parts(18_175_000, 0).saturating_add(ParityDbWeight::get().reads_writes(0, 1))
    }

    fn inspect() -> Weight {
        Weight::from_parts(43_331_000, 1_541).saturating_add(ParityDbWeight::get().reads_writes(3, 2))
    }

    fn close() -> Weight {
        Weight::from_parts(69_080_000, 2_482).saturating_add(ParityDbWeight::get().reads_writes(8, 3))
    }
}
