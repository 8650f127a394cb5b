// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, written by `make weights` from the benchmarks in `benchmarking.rs`.
//!
//! Measured with the wasm runtime in 20 steps of 20 repeats, on AMD EPYC, 2 cores, 24 GiB.
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
        Weight::from_parts(250_951_000, 2_394).saturating_add(DbWeight::get().reads_writes(17, 13))
    }

    fn authorize_register() -> Weight {
        Weight::from_parts(123_753_000, 1_499).saturating_add(DbWeight::get().reads_writes(7, 0))
    }

    fn heartbeat() -> Weight {
        Weight::from_parts(65_357_000, 1_090).saturating_add(DbWeight::get().reads_writes(7, 5))
    }

    fn authorize_heartbeat() -> Weight {
        Weight::from_parts(68_501_000, 1_131).saturating_add(DbWeight::get().reads_writes(5, 0))
    }

    fn remove() -> Weight {
        Weight::from_parts(113_938_000, 1_575).saturating_add(DbWeight::get().reads_writes(8, 19))
    }

    fn report_details() -> Weight {
        Weight::from_parts(39_508_000, 1_004).saturating_add(DbWeight::get().reads_writes(4, 3))
    }

    fn authorize_report_details() -> Weight {
        Weight::from_parts(79_818_000, 1_410).saturating_add(DbWeight::get().reads_writes(6, 0))
    }

    fn report_power() -> Weight {
        Weight::from_parts(46_158_000, 1_011).saturating_add(DbWeight::get().reads_writes(5, 5))
    }

    fn authorize_report_power() -> Weight {
        Weight::from_parts(74_030_000, 1_000).saturating_add(DbWeight::get().reads_writes(6, 0))
    }

    fn set_location() -> Weight {
        Weight::from_parts(27_792_000, 922).saturating_add(DbWeight::get().reads_writes(3, 1))
    }

    fn set_public_config() -> Weight {
        Weight::from_parts(29_944_000, 922).saturating_add(DbWeight::get().reads_writes(3, 1))
    }

    fn set_dedicated() -> Weight {
        Weight::from_parts(26_980_000, 922).saturating_add(DbWeight::get().reads_writes(3, 1))
    }

    fn set_extra_fee() -> Weight {
        Weight::from_parts(39_388_000, 1_371).saturating_add(DbWeight::get().reads_writes(6, 1))
    }

    fn drain() -> Weight {
        Weight::from_parts(46_158_000, 1_660).saturating_add(DbWeight::get().reads_writes(5, 3))
    }

    fn cancel_drain() -> Weight {
        Weight::from_parts(37_035_000, 1_139).saturating_add(DbWeight::get().reads_writes(3, 2))
    }

    fn set_power_target() -> Weight {
        Weight::from_parts(36_374_000, 1_521).saturating_add(DbWeight::get().reads_writes(5, 1))
    }

    fn clear_clone() -> Weight {
        Weight::from_parts(37_035_000, 1_077).saturating_add(DbWeight::get().reads_writes(5, 2))
    }

    fn certify() -> Weight {
        Weight::from_parts(24_235_000, 747).saturating_add(DbWeight::get().reads_writes(3, 1))
    }

    fn serve_silence() -> Weight {
        Weight::from_parts(42_263_000, 1_085).saturating_add(DbWeight::get().reads_writes(5, 4))
    }

    fn serve_drain() -> Weight {
        Weight::from_parts(14_522_000, 739).saturating_add(DbWeight::get().reads_writes(1, 1))
    }
}
