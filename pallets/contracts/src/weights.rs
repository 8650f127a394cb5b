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
    fn create_node_contract(b: u32, n: u32, i: u32) -> Weight;
    fn create_plain_node_contract(b: u32, n: u32) -> Weight;
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
    fn create_node_contract(b: u32, n: u32, i: u32) -> Weight {
        Weight::from_parts(224_293_490, 3_903)
            .saturating_add(Weight::from_parts(3_590, 0).saturating_mul(b.into()))
            .saturating_add(Weight::from_parts(21_537_565, 90).saturating_mul(n.into()))
            .saturating_add(Weight::from_parts(8_368_050, 65).saturating_mul(i.into()))
            .saturating_add(DbWeight::get().reads_writes(24, 18))
            .saturating_add(DbWeight::get().reads_writes(2, 2).saturating_mul(n.into()))
            .saturating_add(DbWeight::get().reads_writes(2, 2).saturating_mul(i.into()))
    }

    // By hand, until it is measured: no less than any other.
    fn create_plain_node_contract(b: u32, n: u32) -> Weight {
        Self::create_node_contract(b, n, 0)
    }

    fn update_node_contract(b: u32, n: u32) -> Weight {
        Weight::from_parts(443_052_239, 6_355)
            .saturating_add(Weight::from_parts(1_231, 0).saturating_mul(b.into()))
            .saturating_add(Weight::from_parts(6_299_324, 21).saturating_mul(n.into()))
            .saturating_add(DbWeight::get().reads_writes(64, 46))
            .saturating_add(DbWeight::get().reads_writes(2, 1).saturating_mul(n.into()))
    }

    fn replace_first_version(b: u32, n: u32) -> Weight {
        Weight::from_parts(341_275_994, 12_267)
            .saturating_add(Weight::from_parts(2_838, 0).saturating_mul(b.into()))
            .saturating_add(Weight::from_parts(19_045_769, 65).saturating_mul(n.into()))
            .saturating_add(DbWeight::get().reads_writes(27, 25))
            .saturating_add(DbWeight::get().reads_writes(2, 2).saturating_mul(n.into()))
    }

    fn withdraw_update() -> Weight {
        Weight::from_parts(290_029_000, 4_950).saturating_add(DbWeight::get().reads_writes(36, 25))
    }

    fn create_rent_contract() -> Weight {
        Weight::from_parts(213_846_000, 2_900).saturating_add(DbWeight::get().reads_writes(22, 15))
    }

    fn create_name_contract() -> Weight {
        Weight::from_parts(126_577_000, 1_359).saturating_add(DbWeight::get().reads_writes(13, 13))
    }

    fn cancel() -> Weight {
        Weight::from_parts(589_863_000, 5_606).saturating_add(DbWeight::get().reads_writes(49, 46))
    }

    fn report_deployed() -> Weight {
        Weight::from_parts(469_064_000, 14_553).saturating_add(DbWeight::get().reads_writes(50, 62))
    }

    fn authorize_report_deployed() -> Weight {
        Weight::from_parts(76_443_000, 1_548).saturating_add(DbWeight::get().reads_writes(5, 0))
    }

    fn report_failed() -> Weight {
        Weight::from_parts(357_589_000, 4_188).saturating_add(DbWeight::get().reads_writes(32, 38))
    }

    fn report_failed_update() -> Weight {
        Weight::from_parts(440_672_000, 6_354).saturating_add(DbWeight::get().reads_writes(53, 57))
    }

    fn authorize_report_failed() -> Weight {
        Weight::from_parts(95_621_000, 2_265).saturating_add(DbWeight::get().reads_writes(8, 0))
    }

    fn report_progress() -> Weight {
        Weight::from_parts(183_562_000, 4_380).saturating_add(DbWeight::get().reads_writes(21, 11))
    }

    fn authorize_report_progress() -> Weight {
        Weight::from_parts(101_070_000, 2_304).saturating_add(DbWeight::get().reads_writes(8, 0))
    }

    fn report_released() -> Weight {
        Weight::from_parts(132_316_000, 1_990).saturating_add(DbWeight::get().reads_writes(17, 33))
    }

    fn authorize_report_released() -> Weight {
        Weight::from_parts(66_829_000, 1_495).saturating_add(DbWeight::get().reads_writes(4, 0))
    }

    fn report_usage(i: u32) -> Weight {
        Weight::from_parts(52_339_944, 2_583)
            .saturating_add(Weight::from_parts(23_729_346, 388).saturating_mul(i.into()))
            .saturating_add(DbWeight::get().reads_writes(9, 1))
            .saturating_add(DbWeight::get().reads_writes(5, 4).saturating_mul(i.into()))
    }

    fn authorize_usage(i: u32) -> Weight {
        Weight::from_parts(56_255_312, 582)
            .saturating_add(Weight::from_parts(172_825, 0).saturating_mul(i.into()))
            .saturating_add(DbWeight::get().reads_writes(3, 0))
    }

    fn force_close() -> Weight {
        Weight::from_parts(548_181_000, 5_495).saturating_add(DbWeight::get().reads_writes(48, 45))
    }

    fn reprice() -> Weight {
        Weight::from_parts(178_113_000, 4_129).saturating_add(DbWeight::get().reads_writes(22, 8))
    }

    // By hand, until it is measured again: its benchmark has become heavier since, and had 112 µs, 17 reads, 8 writes.
    fn claim_ranges() -> Weight {
        Weight::from_parts(150_000_000, 1_357).saturating_add(DbWeight::get().reads_writes(22, 13))
    }

    fn serve_sweep(c: u32) -> Weight {
        Weight::from_parts(70_503_662, 3_278)
            .saturating_add(Weight::from_parts(456_102_879, 2_294).saturating_mul(c.into()))
            .saturating_add(DbWeight::get().reads_writes(21, 8))
            .saturating_add(DbWeight::get().reads_writes(29, 38).saturating_mul(c.into()))
    }

    fn serve_eviction(c: u32) -> Weight {
        Weight::from_parts(109_760_252, 3_663)
            .saturating_add(Weight::from_parts(395_018_219, 1_855).saturating_mul(c.into()))
            .saturating_add(DbWeight::get().reads_writes(27, 8))
            .saturating_add(DbWeight::get().reads_writes(20, 31).saturating_mul(c.into()))
    }

    fn serve_cool_down() -> Weight {
        Weight::from_parts(121_630_000, 1_990).saturating_add(DbWeight::get().reads_writes(17, 33))
    }

    fn serve_answer() -> Weight {
        Weight::from_parts(342_607_000, 4_188).saturating_add(DbWeight::get().reads_writes(32, 37))
    }

    fn serve_tombstone() -> Weight {
        Weight::from_parts(6_500_000, 0).saturating_add(DbWeight::get().reads_writes(0, 3))
    }
}
