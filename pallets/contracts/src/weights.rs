// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, written by `make weights` from the benchmarks in `benchmarking.rs`.
//!
//! Measured with the wasm runtime in 20 steps of 20 repeats, on AMD EPYC.
//! Reads and writes have the SDK's weights for ParityDb.

#![allow(missing_docs)]

use frame_support::weights::{Weight, constants::ParityDbWeight};

/// Weight functions of the pallet.
pub trait WeightInfo {
    fn create_node_contract(b: u32, n: u32) -> Weight;
    fn update_node_contract(b: u32, n: u32) -> Weight;
    fn replace_first_version(b: u32, n: u32) -> Weight;
    fn withdraw_update() -> Weight;
    fn create_rent_contract() -> Weight;
    fn create_name_contract() -> Weight;
    fn cancel() -> Weight;
    fn report_deployed() -> Weight;
    fn authorize_report_deployed() -> Weight;
    fn report_failed() -> Weight;
    fn report_failed_update() -> Weight;
    fn authorize_report_failed() -> Weight;
    fn report_progress() -> Weight;
    fn authorize_report_progress() -> Weight;
    fn report_released() -> Weight;
    fn authorize_report_released() -> Weight;
    fn report_usage(i: u32) -> Weight;
    fn authorize_usage(i: u32) -> Weight;
    fn force_close() -> Weight;
    fn reprice() -> Weight;
    fn serve_sweep(c: u32) -> Weight;
    fn serve_eviction(c: u32) -> Weight;
    fn serve_cool_down() -> Weight;
    fn serve_answer() -> Weight;
    fn serve_tombstone() -> Weight;
}

impl WeightInfo for () {
    fn create_node_contract(b: u32, n: u32) -> Weight {
        Weight::from_parts(404_913_365, 4_941)
            .saturating_add(Weight::from_parts(5_736, 0).saturating_mul(b.into()))
            .saturating_add(Weight::from_parts(8_060_596, 0).saturating_mul(n.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(56, 50))
            .saturating_add(ParityDbWeight::get().reads_writes(0, 1).saturating_mul(n.into()))
    }

    fn update_node_contract(_b: u32, _n: u32) -> Weight {
        Weight::from_parts(258_551_941, 4_012).saturating_add(ParityDbWeight::get().reads_writes(21, 11))
    }

    fn replace_first_version(b: u32, n: u32) -> Weight {
        Self::update_node_contract(b, n)
    }

    fn withdraw_update() -> Weight {
        Weight::from_parts(197_824_000, 4_289).saturating_add(ParityDbWeight::get().reads_writes(21, 15))
    }

    fn create_rent_contract() -> Weight {
        Weight::from_parts(225_004_000, 2_894).saturating_add(ParityDbWeight::get().reads_writes(22, 15))
    }

    fn create_name_contract() -> Weight {
        Weight::from_parts(132_446_000, 1_359).saturating_add(ParityDbWeight::get().reads_writes(13, 13))
    }

    fn cancel() -> Weight {
        Weight::from_parts(499_863_000, 4_982).saturating_add(ParityDbWeight::get().reads_writes(36, 38))
    }

    fn report_deployed() -> Weight {
        Weight::from_parts(237_994_000, 12_571).saturating_add(ParityDbWeight::get().reads_writes(22, 15))
    }

    fn authorize_report_deployed() -> Weight {
        Weight::from_parts(78_307_000, 1_515).saturating_add(ParityDbWeight::get().reads_writes(5, 0))
    }

    fn report_failed() -> Weight {
        Weight::from_parts(357_842_000, 4_081).saturating_add(ParityDbWeight::get().reads_writes(32, 34))
    }

    fn report_failed_update() -> Weight {
        Self::report_failed()
    }

    fn authorize_report_failed() -> Weight {
        Weight::from_parts(82_282_000, 1_557).saturating_add(ParityDbWeight::get().reads_writes(4, 0))
    }

    fn report_progress() -> Weight {
        Weight::from_parts(42_994_000, 1_129).saturating_add(ParityDbWeight::get().reads_writes(4, 3))
    }

    fn authorize_report_progress() -> Weight {
        Weight::from_parts(89_263_000, 1_738).saturating_add(ParityDbWeight::get().reads_writes(6, 0))
    }

    fn report_released() -> Weight {
        Weight::from_parts(146_638_000, 1_882).saturating_add(ParityDbWeight::get().reads_writes(17, 34))
    }

    fn authorize_report_released() -> Weight {
        Weight::from_parts(71_746_000, 1_319).saturating_add(ParityDbWeight::get().reads_writes(4, 0))
    }

    fn report_usage(i: u32) -> Weight {
        Weight::from_parts(55_267_086, 2_766)
            .saturating_add(Weight::from_parts(26_635_932, 156).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(9, 1))
            .saturating_add(ParityDbWeight::get().reads_writes(5, 4).saturating_mul(i.into()))
    }

    fn authorize_usage(i: u32) -> Weight {
        Weight::from_parts(65_352_614, 582)
            .saturating_add(Weight::from_parts(34_391, 0).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(3, 0))
    }

    fn force_close() -> Weight {
        Weight::from_parts(438_562_000, 4_871).saturating_add(ParityDbWeight::get().reads_writes(35, 37))
    }

    fn reprice() -> Weight {
        Weight::from_parts(193_317_000, 4_074).saturating_add(ParityDbWeight::get().reads_writes(22, 8))
    }

    fn serve_sweep(c: u32) -> Weight {
        Weight::from_parts(102_517_690, 3_225)
            .saturating_add(Weight::from_parts(362_789_396, 1_761).saturating_mul(c.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(21, 8))
            .saturating_add(ParityDbWeight::get().reads_writes(17, 30).saturating_mul(c.into()))
    }

    fn serve_eviction(c: u32) -> Weight {
        Weight::from_parts(373_986_000, 3_181)
            .saturating_add(Weight::from_parts(312_273_572, 1_711).saturating_mul(c.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(18, 8))
            .saturating_add(ParityDbWeight::get().reads_writes(16, 23).saturating_mul(c.into()))
    }

    fn serve_cool_down() -> Weight {
        Weight::from_parts(131_996_000, 1_882).saturating_add(ParityDbWeight::get().reads_writes(17, 34))
    }

    fn serve_answer() -> Weight {
        Weight::from_parts(364_992_000, 4_081).saturating_add(ParityDbWeight::get().reads_writes(32, 33))
    }

    fn serve_tombstone() -> Weight {
        Weight::from_parts(7_351_000, 0).saturating_add(ParityDbWeight::get().reads_writes(0, 3))
    }
}
