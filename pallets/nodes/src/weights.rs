// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, as `make weights` measured them: change `benchmarking.rs`, not this file.
//!
//! The runtime ran as wasm, in 20 steps, 20 times each, on AMD EPYC.
//! Reads and writes are counted there and weighed with the SDK's figures for ParityDb.

use frame_support::weights::{Weight, constants::ParityDbWeight};

/// Weights of the calls, and of what else takes time.
pub trait WeightInfo {
    /// Of `register`. Worst case: a node with all records moves to another farm.
    fn register() -> Weight;
    /// Of `authorize_register`. Worst case: a registered node that moves to another farm.
    fn authorize_register() -> Weight;
    /// Of `heartbeat`. Worst case: it ends a silence that the agenda hasn't noticed yet.
    fn heartbeat() -> Weight;
    /// Of `authorize_heartbeat`.
    fn authorize_heartbeat() -> Weight;
    /// Of `remove`. Worst case: a draining node with all records.
    fn remove() -> Weight;
    /// Of `report_details`. Worst case: the most GPUs, and the certificate is lost.
    fn report_details() -> Weight;
    /// Of `authorize_report_details`. Worst case: the most GPUs.
    fn authorize_report_details() -> Weight;
    /// Of `report_power`. Worst case: the node wakes up.
    fn report_power() -> Weight;
    /// Of `authorize_report_power`. Worst case: the node falls asleep.
    fn authorize_report_power() -> Weight;
    /// Of `set_location`.
    fn set_location() -> Weight;
    /// Of `set_public_config`. Worst case: all fields are set, with the longest domain.
    fn set_public_config() -> Weight;
    /// Of `set_dedicated`.
    fn set_dedicated() -> Weight;
    /// Of `set_extra_fee`.
    fn set_extra_fee() -> Weight;
    /// Of `drain`. Worst case: the deadline is moved.
    fn drain() -> Weight;
    /// Of `cancel_drain`.
    fn cancel_drain() -> Weight;
    /// Of `set_power_target`.
    fn set_power_target() -> Weight;
    /// Of `clear_clone`.
    fn clear_clone() -> Weight;
    /// Of `certify`.
    fn certify() -> Weight;
    /// Of `serve_silence`. Worst case: the node goes offline.
    fn serve_silence() -> Weight;
    /// Of `serve_drain`. Worst case: the drain is over.
    fn serve_drain() -> Weight;
}

impl WeightInfo for () {
    fn register() -> Weight {
        Weight::from_parts(339_187_000, 2_393).saturating_add(ParityDbWeight::get().reads_writes(17, 13))
    }

    fn authorize_register() -> Weight {
        Weight::from_parts(161_554_000, 1_498).saturating_add(ParityDbWeight::get().reads_writes(7, 0))
    }

    fn heartbeat() -> Weight {
        Weight::from_parts(89_809_000, 1_060).saturating_add(ParityDbWeight::get().reads_writes(7, 5))
    }

    fn authorize_heartbeat() -> Weight {
        Weight::from_parts(90_661_000, 1_102).saturating_add(ParityDbWeight::get().reads_writes(5, 0))
    }

    fn remove() -> Weight {
        Weight::from_parts(146_836_000, 1_575).saturating_add(ParityDbWeight::get().reads_writes(8, 17))
    }

    fn report_details() -> Weight {
        Weight::from_parts(60_133_000, 1_003).saturating_add(ParityDbWeight::get().reads_writes(4, 3))
    }

    fn authorize_report_details() -> Weight {
        Weight::from_parts(102_261_000, 1_409).saturating_add(ParityDbWeight::get().reads_writes(6, 0))
    }

    fn report_power() -> Weight {
        Weight::from_parts(69_020_000, 981).saturating_add(ParityDbWeight::get().reads_writes(5, 5))
    }

    fn authorize_report_power() -> Weight {
        Weight::from_parts(97_864_000, 971).saturating_add(ParityDbWeight::get().reads_writes(6, 0))
    }

    fn set_location() -> Weight {
        Weight::from_parts(43_191_000, 856).saturating_add(ParityDbWeight::get().reads_writes(3, 1))
    }

    fn set_public_config() -> Weight {
        Weight::from_parts(46_046_000, 856).saturating_add(ParityDbWeight::get().reads_writes(3, 1))
    }

    fn set_dedicated() -> Weight {
        Weight::from_parts(41_678_000, 856).saturating_add(ParityDbWeight::get().reads_writes(3, 1))
    }

    fn set_extra_fee() -> Weight {
        Weight::from_parts(56_666_000, 1_305).saturating_add(ParityDbWeight::get().reads_writes(6, 1))
    }

    fn drain() -> Weight {
        Weight::from_parts(65_192_000, 1_659).saturating_add(ParityDbWeight::get().reads_writes(5, 3))
    }

    fn cancel_drain() -> Weight {
        Weight::from_parts(56_907_000, 1_139).saturating_add(ParityDbWeight::get().reads_writes(3, 2))
    }

    fn set_power_target() -> Weight {
        Weight::from_parts(44_112_000, 856).saturating_add(ParityDbWeight::get().reads_writes(4, 1))
    }

    fn clear_clone() -> Weight {
        Weight::from_parts(58_200_000, 1_047).saturating_add(ParityDbWeight::get().reads_writes(5, 2))
    }

    fn certify() -> Weight {
        Weight::from_parts(42_930_000, 681).saturating_add(ParityDbWeight::get().reads_writes(3, 1))
    }

    fn serve_silence() -> Weight {
        Weight::from_parts(61_806_000, 1_083).saturating_add(ParityDbWeight::get().reads_writes(5, 4))
    }

    fn serve_drain() -> Weight {
        Weight::from_parts(25_598_000, 739).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }
}
