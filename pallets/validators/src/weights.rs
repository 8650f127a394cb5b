// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, as `make weights` measured them: change `benchmarking.rs`, not this file.
//!
//! The runtime ran as wasm, in 20 steps, 20 times each, on AMD EPYC.
//! Reads and writes are counted there and weighed with the SDK's figures for ParityDb.

use frame_support::weights::{Weight, constants::ParityDbWeight};

/// Weights of the calls, and of what else takes time.
pub trait WeightInfo {
    /// Of `announce`. Worst case: the first announcement.
    fn announce() -> Weight;
    /// Of `add_validator`. Worst case: a full set that other validators leave, one place left in the queue.
    fn add_validator() -> Weight;
    /// Of `remove_validator`. Worst case: a full set, one place left in the queue.
    fn remove_validator() -> Weight;
    /// Of `retire`. Worst case: a full set and queue that the account isn't in.
    fn retire() -> Weight;
}

impl WeightInfo for () {
    fn announce() -> Weight {
        Weight::from_parts(22_773_000, 331).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn add_validator() -> Weight {
        Weight::from_parts(51_226_000, 3_077).saturating_add(ParityDbWeight::get().reads_writes(5, 1))
    }

    fn remove_validator() -> Weight {
        Weight::from_parts(21_610_000, 2_672).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn retire() -> Weight {
        Weight::from_parts(122_640_000, 3_162).saturating_add(ParityDbWeight::get().reads_writes(7, 6))
    }
}
