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
    fn create_node_contract(b: u32, n: u32, i: u32) -> Weight;
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
    fn claim_ranges() -> Weight;
    fn serve_sweep(c: u32) -> Weight;
    fn serve_eviction(c: u32) -> Weight;
    fn serve_cool_down() -> Weight;
    fn serve_answer() -> Weight;
    fn serve_tombstone() -> Weight;
}

impl WeightInfo for () {
    fn create_node_contract(_b: u32, n: u32, _i: u32) -> Weight {
        Weight::from_parts(476_965_424, 4_945)
            .saturating_add(DbWeight::get().reads_writes(56, 50))
            .saturating_add(DbWeight::get().reads_writes(0, 1).saturating_mul(n.into()))
    }

    fn update_node_contract(_b: u32, _n: u32) -> Weight {
        Weight::from_parts(437_668_904, 5_909).saturating_add(DbWeight::get().reads_writes(52, 42))
    }

    fn replace_first_version(_b: u32, n: u32) -> Weight {
        Weight::from_parts(411_608_309, 12_180)
            .saturating_add(Weight::from_parts(6_741_878, 0).saturating_mul(n.into()))
            .saturating_add(DbWeight::get().reads_writes(27, 21))
            .saturating_add(DbWeight::get().reads_writes(0, 1).saturating_mul(n.into()))
    }

    fn withdraw_update() -> Weight {
        Weight::from_parts(256_941_000, 4_504).saturating_add(DbWeight::get().reads_writes(24, 17))
    }

    fn create_rent_contract() -> Weight {
        Weight::from_parts(262_290_000, 2_898).saturating_add(DbWeight::get().reads_writes(22, 15))
    }

    fn create_name_contract() -> Weight {
        Weight::from_parts(144_024_000, 1_359).saturating_add(DbWeight::get().reads_writes(13, 13))
    }

    fn cancel() -> Weight {
        Weight::from_parts(563_297_000, 5_160).saturating_add(DbWeight::get().reads_writes(37, 38))
    }

    fn report_deployed() -> Weight {
        Weight::from_parts(444_550_000, 14_146).saturating_add(DbWeight::get().reads_writes(38, 54))
    }

    fn authorize_report_deployed() -> Weight {
        Weight::from_parts(93_489_000, 1_515).saturating_add(DbWeight::get().reads_writes(5, 0))
    }

    fn report_failed() -> Weight {
        Weight::from_parts(398_962_000, 4_153).saturating_add(DbWeight::get().reads_writes(32, 34))
    }

    fn report_failed_update() -> Weight {
        Weight::from_parts(436_128_000, 5_908).saturating_add(DbWeight::get().reads_writes(41, 49))
    }

    fn authorize_report_failed() -> Weight {
        Weight::from_parts(115_972_000, 2_232).saturating_add(DbWeight::get().reads_writes(8, 0))
    }

    fn report_progress() -> Weight {
        Weight::from_parts(204_083_000, 4_345).saturating_add(DbWeight::get().reads_writes(21, 11))
    }

    fn authorize_report_progress() -> Weight {
        Weight::from_parts(115_902_000, 2_271).saturating_add(DbWeight::get().reads_writes(8, 0))
    }

    fn report_released() -> Weight {
        Weight::from_parts(146_658_000, 1_990).saturating_add(DbWeight::get().reads_writes(17, 33))
    }

    fn authorize_report_released() -> Weight {
        Weight::from_parts(82_162_000, 1_495).saturating_add(DbWeight::get().reads_writes(4, 0))
    }

    fn report_usage(i: u32) -> Weight {
        Weight::from_parts(12_276_102, 2_786)
            .saturating_add(Weight::from_parts(28_819_142, 156).saturating_mul(i.into()))
            .saturating_add(DbWeight::get().reads_writes(9, 1))
            .saturating_add(DbWeight::get().reads_writes(5, 4).saturating_mul(i.into()))
    }

    fn authorize_usage(i: u32) -> Weight {
        Weight::from_parts(69_093_874, 582)
            .saturating_add(Weight::from_parts(318_286, 0).saturating_mul(i.into()))
            .saturating_add(DbWeight::get().reads_writes(3, 0))
    }

    fn force_close() -> Weight {
        Weight::from_parts(504_810_000, 5_049).saturating_add(DbWeight::get().reads_writes(36, 37))
    }

    fn reprice() -> Weight {
        Weight::from_parts(211_384_000, 4_094).saturating_add(DbWeight::get().reads_writes(22, 8))
    }

    fn claim_ranges() -> Weight {
        Weight::from_parts(120_000_000, 4_094).saturating_add(DbWeight::get().reads_writes(18, 13))
    }

    fn serve_sweep(c: u32) -> Weight {
        Weight::from_parts(151_976_497, 3_229)
            .saturating_add(Weight::from_parts(420_076_626, 1_887).saturating_mul(c.into()))
            .saturating_add(DbWeight::get().reads_writes(21, 8))
            .saturating_add(DbWeight::get().reads_writes(17, 30).saturating_mul(c.into()))
    }

    fn serve_eviction(c: u32) -> Weight {
        Weight::from_parts(41_730_155, 3_181)
            .saturating_add(Weight::from_parts(336_122_342, 1_841).saturating_mul(c.into()))
            .saturating_add(DbWeight::get().reads_writes(19, 8))
            .saturating_add(DbWeight::get().reads_writes(16, 23).saturating_mul(c.into()))
    }

    fn serve_cool_down() -> Weight {
        Weight::from_parts(206_928_000, 1_990).saturating_add(DbWeight::get().reads_writes(17, 33))
    }

    fn serve_answer() -> Weight {
        Weight::from_parts(350_611_000, 4_153).saturating_add(DbWeight::get().reads_writes(32, 33))
    }

    fn serve_tombstone() -> Weight {
        Weight::from_parts(7_681_000, 0).saturating_add(DbWeight::get().reads_writes(0, 3))
    }
}
