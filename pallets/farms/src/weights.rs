// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, as `make weights` measured them: change `benchmarking.rs`, not this file.
//!
//! The runtime ran as wasm, in 20 steps, 20 times each, on AMD EPYC.
//! Reads and writes are counted there and weighed with the SDK's figures for ParityDb.

use frame_support::weights::{Weight, constants::ParityDbWeight};

/// Weights of the calls, and of what else takes time.
pub trait WeightInfo {
    /// Of `create`. Worst case: the longest name, the account's first hold.
    fn create() -> Weight;
    /// Of `open_ticket`.
    fn open_ticket() -> Weight;
    /// Of `close_ticket`. Worst case: the record is deleted at once, with all admissions but one used.
    fn close_ticket() -> Weight;
    /// Of `update`. Worst case: the longest name, unlike the old one.
    fn update() -> Weight;
    /// Of `set_dedicated`.
    fn set_dedicated() -> Weight;
    /// Of `remove`. Worst case: the twin's only farm.
    fn remove() -> Weight;
    /// Of `add_ip`. Worst case: IPv4 and IPv6, the account's first hold of this reason.
    fn add_ip() -> Weight;
    /// Of `remove_ip`. Worst case: IPv4 and IPv6, the farm's only one.
    fn remove_ip() -> Weight;
    /// Of `force_remove_ip`. Worst case: IPv4 and IPv6, the farm's only one.
    fn force_remove_ip() -> Weight;
    /// Of `set_certification`.
    fn set_certification() -> Weight;
}

impl WeightInfo for () {
    fn create() -> Weight {
        Weight::from_parts(99_447_000, 409).saturating_add(ParityDbWeight::get().reads_writes(6, 6))
    }

    fn open_ticket() -> Weight {
        Weight::from_parts(101_381_000, 732).saturating_add(ParityDbWeight::get().reads_writes(7, 4))
    }

    fn close_ticket() -> Weight {
        Weight::from_parts(283_302_000, 6_271).saturating_add(ParityDbWeight::get().reads_writes(106, 103))
    }

    fn update() -> Weight {
        Weight::from_parts(40_746_000, 462).saturating_add(ParityDbWeight::get().reads_writes(3, 3))
    }

    fn set_dedicated() -> Weight {
        Weight::from_parts(26_469_000, 371).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn remove() -> Weight {
        Weight::from_parts(111_579_000, 891).saturating_add(ParityDbWeight::get().reads_writes(10, 5))
    }

    fn add_ip() -> Weight {
        Weight::from_parts(115_436_000, 620).saturating_add(ParityDbWeight::get().reads_writes(8, 9))
    }

    fn remove_ip() -> Weight {
        Weight::from_parts(104_416_000, 903).saturating_add(ParityDbWeight::get().reads_writes(6, 8))
    }

    fn force_remove_ip() -> Weight {
        Weight::from_parts(103_415_000, 913).saturating_add(ParityDbWeight::get().reads_writes(6, 8))
    }

    fn set_certification() -> Weight {
        Weight::from_parts(19_677_000, 233).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }
}
