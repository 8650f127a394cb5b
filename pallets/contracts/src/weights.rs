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
    fn update_node_contract(b: u32) -> Weight;
    fn withdraw_update() -> Weight;
    fn create_rent_contract() -> Weight;
    fn create_name_contract() -> Weight;
    fn cancel() -> Weight;
    fn report_deployed() -> Weight;
    fn authorize_report_deployed() -> Weight;
    fn report_failed() -> Weight;
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
        Weight::from_parts(264_242_418, 4_941)
            .saturating_add(Weight::from_parts(40_067, 0).saturating_mul(b.into()))
            .saturating_add(Weight::from_parts(41_222_094, 0).saturating_mul(n.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(56, 50))
            .saturating_add(ParityDbWeight::get().reads_writes(0, 1).saturating_mul(n.into()))
    }

    fn update_node_contract(_b: u32) -> Weight {
        Weight::from_parts(318_673_935, 4_053).saturating_add(ParityDbWeight::get().reads_writes(22, 12))
    }

    fn withdraw_update() -> Weight {
        Weight::from_parts(222_321_000, 4_379).saturating_add(ParityDbWeight::get().reads_writes(21, 16))
    }

    fn create_rent_contract() -> Weight {
        Weight::from_parts(254_028_000, 2_894).saturating_add(ParityDbWeight::get().reads_writes(22, 15))
    }

    fn create_name_contract() -> Weight {
        Weight::from_parts(133_589_000, 1_359).saturating_add(ParityDbWeight::get().reads_writes(13, 13))
    }

    fn cancel() -> Weight {
        Weight::from_parts(513_824_000, 5_072).saturating_add(ParityDbWeight::get().reads_writes(36, 39))
    }

    fn report_deployed() -> Weight {
        Weight::from_parts(228_780_000, 11_814).saturating_add(ParityDbWeight::get().reads_writes(18, 15))
    }

    fn authorize_report_deployed() -> Weight {
        Weight::from_parts(88_341_000, 1_515).saturating_add(ParityDbWeight::get().reads_writes(5, 0))
    }

    fn report_failed() -> Weight {
        Weight::from_parts(357_601_000, 4_081).saturating_add(ParityDbWeight::get().reads_writes(32, 33))
    }

    fn authorize_report_failed() -> Weight {
        Weight::from_parts(87_810_000, 1_184).saturating_add(ParityDbWeight::get().reads_writes(3, 0))
    }

    fn report_progress() -> Weight {
        Weight::from_parts(52_799_000, 1_129).saturating_add(ParityDbWeight::get().reads_writes(4, 3))
    }

    fn authorize_report_progress() -> Weight {
        Weight::from_parts(115_812_000, 1_738).saturating_add(ParityDbWeight::get().reads_writes(6, 0))
    }

    fn report_released() -> Weight {
        Weight::from_parts(157_554_000, 1_882).saturating_add(ParityDbWeight::get().reads_writes(17, 34))
    }

    fn authorize_report_released() -> Weight {
        Weight::from_parts(86_398_000, 1_319).saturating_add(ParityDbWeight::get().reads_writes(4, 0))
    }

    fn report_usage(i: u32) -> Weight {
        Weight::from_parts(55_513_495, 2_766)
            .saturating_add(Weight::from_parts(28_212_184, 156).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(9, 1))
            .saturating_add(ParityDbWeight::get().reads_writes(5, 4).saturating_mul(i.into()))
    }

    fn authorize_usage(i: u32) -> Weight {
        Weight::from_parts(69_828_642, 582)
            .saturating_add(Weight::from_parts(186_887, 0).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(3, 0))
    }

    fn force_close() -> Weight {
        Weight::from_parts(478_441_000, 4_961).saturating_add(ParityDbWeight::get().reads_writes(35, 38))
    }

    fn reprice() -> Weight {
        Weight::from_parts(199_997_000, 4_074).saturating_add(ParityDbWeight::get().reads_writes(22, 8))
    }

    fn serve_sweep(c: u32) -> Weight {
        Weight::from_parts(52_462_947, 3_218)
            .saturating_add(Weight::from_parts(355_902_348, 1_852).saturating_mul(c.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(21, 8))
            .saturating_add(ParityDbWeight::get().reads_writes(17, 30).saturating_mul(c.into()))
    }

    fn serve_eviction(c: u32) -> Weight {
        Weight::from_parts(358_463_000, 3_186)
            .saturating_add(Weight::from_parts(326_365_422, 1_801).saturating_mul(c.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(18, 9))
            .saturating_add(ParityDbWeight::get().reads_writes(16, 23).saturating_mul(c.into()))
    }

    fn serve_cool_down() -> Weight {
        Weight::from_parts(147_099_000, 1_882).saturating_add(ParityDbWeight::get().reads_writes(17, 34))
    }

    fn serve_answer() -> Weight {
        Weight::from_parts(372_053_000, 4_081).saturating_add(ParityDbWeight::get().reads_writes(32, 33))
    }

    fn serve_tombstone() -> Weight {
        Weight::from_parts(8_072_000, 0).saturating_add(ParityDbWeight::get().reads_writes(0, 2))
    }
}
