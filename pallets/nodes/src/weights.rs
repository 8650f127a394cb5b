// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, written by `make weights` from the benchmarks in `benchmarking.rs`.
//!
//! Measured with the wasm runtime in 20 steps of 20 repeats, on AMD EPYC.
//! Reads and writes have the weights in `primitives/src/weights.rs`.

#![allow(missing_docs)]

use frame_support::weights::Weight;
use tfgrid_primitives::weights::DbWeight;

/// Weight functions of the pallet.
pub trait WeightInfo {
    fn register() -> Weight;
    fn authorize_register() -> Weight;
    fn heartbeat() -> Weight;
    fn authorize_heartbeat() -> Weight;
    fn remove() -> Weight;
    fn report_details() -> Weight;
    fn authorize_report_details() -> Weight;
    fn report_power() -> Weight;
    fn authorize_report_power() -> Weight;
    fn set_location() -> Weight;
    fn set_public_config() -> Weight;
    fn set_dedicated() -> Weight;
    fn set_extra_fee() -> Weight;
    fn drain() -> Weight;
    fn cancel_drain() -> Weight;
    fn set_power_target() -> Weight;
    fn clear_clone() -> Weight;
    fn certify() -> Weight;
    fn serve_silence() -> Weight;
    fn serve_drain() -> Weight;
}

impl WeightInfo for () {
    fn register() -> Weight {
        Weight::from_parts(368_918_000, 2_394).saturating_add(DbWeight::get().reads_writes(17, 13))
    }

    fn authorize_register() -> Weight {
        Weight::from_parts(186_327_000, 1_499).saturating_add(DbWeight::get().reads_writes(7, 0))
    }

    fn heartbeat() -> Weight {
        Weight::from_parts(111_496_000, 1_090).saturating_add(DbWeight::get().reads_writes(7, 5))
    }

    fn authorize_heartbeat() -> Weight {
        Weight::from_parts(114_069_000, 1_131).saturating_add(DbWeight::get().reads_writes(5, 0))
    }

    fn remove() -> Weight {
        Weight::from_parts(198_505_000, 1_575).saturating_add(DbWeight::get().reads_writes(8, 19))
    }

    fn report_details() -> Weight {
        Weight::from_parts(51_156_000, 1_004).saturating_add(DbWeight::get().reads_writes(4, 3))
    }

    fn authorize_report_details() -> Weight {
        Weight::from_parts(88_561_000, 1_410).saturating_add(DbWeight::get().reads_writes(6, 0))
    }

    fn report_power() -> Weight {
        Weight::from_parts(58_277_000, 1_011).saturating_add(DbWeight::get().reads_writes(5, 5))
    }

    fn authorize_report_power() -> Weight {
        Weight::from_parts(85_637_000, 1_000).saturating_add(DbWeight::get().reads_writes(6, 0))
    }

    fn set_location() -> Weight {
        Weight::from_parts(34_211_000, 922).saturating_add(DbWeight::get().reads_writes(3, 1))
    }

    fn set_public_config() -> Weight {
        Weight::from_parts(38_747_000, 922).saturating_add(DbWeight::get().reads_writes(3, 1))
    }

    fn set_dedicated() -> Weight {
        Weight::from_parts(36_004_000, 922).saturating_add(DbWeight::get().reads_writes(3, 1))
    }

    fn set_extra_fee() -> Weight {
        Weight::from_parts(47_221_000, 1_371).saturating_add(DbWeight::get().reads_writes(6, 1))
    }

    fn drain() -> Weight {
        Weight::from_parts(56_814_000, 1_660).saturating_add(DbWeight::get().reads_writes(5, 3))
    }

    fn cancel_drain() -> Weight {
        Weight::from_parts(41_302_000, 1_139).saturating_add(DbWeight::get().reads_writes(3, 2))
    }

    fn set_power_target() -> Weight {
        Weight::from_parts(39_659_000, 1_197).saturating_add(DbWeight::get().reads_writes(5, 1))
    }

    fn clear_clone() -> Weight {
        Weight::from_parts(38_707_000, 1_077).saturating_add(DbWeight::get().reads_writes(5, 2))
    }

    fn certify() -> Weight {
        Weight::from_parts(30_045_000, 747).saturating_add(DbWeight::get().reads_writes(3, 1))
    }

    fn serve_silence() -> Weight {
        Weight::from_parts(46_589_000, 1_085).saturating_add(DbWeight::get().reads_writes(5, 4))
    }

    fn serve_drain() -> Weight {
        Weight::from_parts(28_031_000, 739).saturating_add(DbWeight::get().reads_writes(1, 1))
    }
}
