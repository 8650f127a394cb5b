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
    fn create_node_contract(_b: u32, n: u32) -> Weight {
        Weight::from_parts(444_129_035, 4_941)
            .saturating_add(Weight::from_parts(21_353_948, 0).saturating_mul(n.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(56, 50))
            .saturating_add(ParityDbWeight::get().reads_writes(0, 1).saturating_mul(n.into()))
    }

    fn update_node_contract(b: u32) -> Weight {
        Weight::from_parts(244_293_571, 4_012)
            .saturating_add(Weight::from_parts(821, 0).saturating_mul(b.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(21, 11))
    }

    fn withdraw_update() -> Weight {
        Weight::from_parts(195_721_000, 4_289).saturating_add(ParityDbWeight::get().reads_writes(21, 15))
    }

    fn create_rent_contract() -> Weight {
        Weight::from_parts(241_058_000, 2_894).saturating_add(ParityDbWeight::get().reads_writes(22, 15))
    }

    fn create_name_contract() -> Weight {
        Weight::from_parts(149_842_000, 1_359).saturating_add(ParityDbWeight::get().reads_writes(13, 13))
    }

    fn cancel() -> Weight {
        Weight::from_parts(496_949_000, 4_982).saturating_add(ParityDbWeight::get().reads_writes(36, 38))
    }

    fn report_deployed() -> Weight {
        Weight::from_parts(261_168_000, 12_571).saturating_add(ParityDbWeight::get().reads_writes(22, 15))
    }

    fn authorize_report_deployed() -> Weight {
        Weight::from_parts(85_908_000, 1_515).saturating_add(ParityDbWeight::get().reads_writes(5, 0))
    }

    fn report_failed() -> Weight {
        Weight::from_parts(369_649_000, 4_081).saturating_add(ParityDbWeight::get().reads_writes(32, 34))
    }

    fn authorize_report_failed() -> Weight {
        Weight::from_parts(90_094_000, 1_557).saturating_add(ParityDbWeight::get().reads_writes(4, 0))
    }

    fn report_progress() -> Weight {
        Weight::from_parts(47_851_000, 1_129).saturating_add(ParityDbWeight::get().reads_writes(4, 3))
    }

    fn authorize_report_progress() -> Weight {
        Weight::from_parts(100_680_000, 1_738).saturating_add(ParityDbWeight::get().reads_writes(6, 0))
    }

    fn report_released() -> Weight {
        Weight::from_parts(153_828_000, 1_882).saturating_add(ParityDbWeight::get().reads_writes(17, 34))
    }

    fn authorize_report_released() -> Weight {
        Weight::from_parts(85_547_000, 1_319).saturating_add(ParityDbWeight::get().reads_writes(4, 0))
    }

    fn report_usage(i: u32) -> Weight {
        Weight::from_parts(101_085_462, 2_766)
            .saturating_add(Weight::from_parts(25_598_769, 156).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(9, 1))
            .saturating_add(ParityDbWeight::get().reads_writes(5, 4).saturating_mul(i.into()))
    }

    fn authorize_usage(i: u32) -> Weight {
        Weight::from_parts(65_912_723, 582)
            .saturating_add(Weight::from_parts(229_846, 0).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(3, 0))
    }

    fn force_close() -> Weight {
        Weight::from_parts(482_467_000, 4_871).saturating_add(ParityDbWeight::get().reads_writes(35, 37))
    }

    fn reprice() -> Weight {
        Weight::from_parts(226_216_000, 4_074).saturating_add(ParityDbWeight::get().reads_writes(22, 8))
    }

    fn serve_sweep(c: u32) -> Weight {
        Weight::from_parts(113_737_252, 3_225)
            .saturating_add(Weight::from_parts(389_421_898, 1_761).saturating_mul(c.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(21, 8))
            .saturating_add(ParityDbWeight::get().reads_writes(17, 30).saturating_mul(c.into()))
    }

    fn serve_eviction(c: u32) -> Weight {
        Weight::from_parts(368_567_000, 3_181)
            .saturating_add(Weight::from_parts(305_841_878, 1_711).saturating_mul(c.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(18, 8))
            .saturating_add(ParityDbWeight::get().reads_writes(16, 23).saturating_mul(c.into()))
    }

    fn serve_cool_down() -> Weight {
        Weight::from_parts(128_811_000, 1_882).saturating_add(ParityDbWeight::get().reads_writes(17, 34))
    }

    fn serve_answer() -> Weight {
        Weight::from_parts(370_340_000, 4_081).saturating_add(ParityDbWeight::get().reads_writes(32, 33))
    }

    fn serve_tombstone() -> Weight {
        Weight::from_parts(8_002_000, 0).saturating_add(ParityDbWeight::get().reads_writes(0, 3))
    }
}
