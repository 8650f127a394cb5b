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
        Weight::from_parts(265_655_402, 3_369)
            .saturating_add(Weight::from_parts(538, 0).saturating_mul(b.into()))
            .saturating_add(Weight::from_parts(16_149_739, 90).saturating_mul(n.into()))
            .saturating_add(Weight::from_parts(7_823_058, 65).saturating_mul(i.into()))
            .saturating_add(DbWeight::get().reads_writes(20, 16))
            .saturating_add(DbWeight::get().reads_writes(2, 2).saturating_mul(n.into()))
            .saturating_add(DbWeight::get().reads_writes(2, 2).saturating_mul(i.into()))
    }

    fn create_plain_node_contract(_b: u32, n: u32) -> Weight {
        Weight::from_parts(197_418_686, 2_594)
            .saturating_add(Weight::from_parts(21_213_259, 72).saturating_mul(n.into()))
            .saturating_add(DbWeight::get().reads_writes(17, 10))
            .saturating_add(DbWeight::get().reads_writes(2, 2).saturating_mul(n.into()))
    }

    fn update_node_contract(b: u32, n: u32) -> Weight {
        Weight::from_parts(440_203_333, 5_617)
            .saturating_add(Weight::from_parts(2_928, 0).saturating_mul(b.into()))
            .saturating_add(Weight::from_parts(3_347_105, 21).saturating_mul(n.into()))
            .saturating_add(DbWeight::get().reads_writes(61, 45))
            .saturating_add(DbWeight::get().reads_writes(2, 1).saturating_mul(n.into()))
    }

    fn replace_first_version(b: u32, n: u32) -> Weight {
        Weight::from_parts(342_738_552, 11_595)
            .saturating_add(Weight::from_parts(323, 0).saturating_mul(b.into()))
            .saturating_add(Weight::from_parts(18_524_012, 65).saturating_mul(n.into()))
            .saturating_add(DbWeight::get().reads_writes(24, 24))
            .saturating_add(DbWeight::get().reads_writes(2, 2).saturating_mul(n.into()))
    }

    fn withdraw_update() -> Weight {
        Weight::from_parts(288_536_000, 4_179).saturating_add(DbWeight::get().reads_writes(33, 24))
    }

    fn create_rent_contract() -> Weight {
        Weight::from_parts(208_819_000, 2_366).saturating_add(DbWeight::get().reads_writes(18, 13))
    }

    fn create_name_contract() -> Weight {
        Weight::from_parts(121_180_000, 891).saturating_add(DbWeight::get().reads_writes(9, 11))
    }

    fn cancel() -> Weight {
        Weight::from_parts(574_881_000, 4_835).saturating_add(DbWeight::get().reads_writes(46, 45))
    }

    fn report_deployed() -> Weight {
        Weight::from_parts(466_290_000, 13_989).saturating_add(DbWeight::get().reads_writes(48, 62))
    }

    fn authorize_report_deployed() -> Weight {
        Weight::from_parts(78_857_000, 1_235).saturating_add(DbWeight::get().reads_writes(5, 0))
    }

    fn report_failed() -> Weight {
        Weight::from_parts(349_387_000, 3_723).saturating_add(DbWeight::get().reads_writes(30, 38))
    }

    fn report_failed_update() -> Weight {
        Weight::from_parts(436_736_000, 5_790).saturating_add(DbWeight::get().reads_writes(51, 57))
    }

    fn authorize_report_failed() -> Weight {
        Weight::from_parts(94_970_000, 1_839).saturating_add(DbWeight::get().reads_writes(6, 0))
    }

    fn report_progress() -> Weight {
        Weight::from_parts(181_088_000, 3_816).saturating_add(DbWeight::get().reads_writes(19, 11))
    }

    fn authorize_report_progress() -> Weight {
        Weight::from_parts(97_935_000, 1_839).saturating_add(DbWeight::get().reads_writes(6, 0))
    }

    fn report_released() -> Weight {
        Weight::from_parts(137_363_000, 1_990).saturating_add(DbWeight::get().reads_writes(17, 33))
    }

    fn authorize_report_released() -> Weight {
        Weight::from_parts(71_305_000, 1_314).saturating_add(DbWeight::get().reads_writes(4, 0))
    }

    fn report_usage(i: u32) -> Weight {
        Weight::from_parts(38_177_281, 2_118)
            .saturating_add(Weight::from_parts(24_349_075, 388).saturating_mul(i.into()))
            .saturating_add(DbWeight::get().reads_writes(7, 1))
            .saturating_add(DbWeight::get().reads_writes(5, 4).saturating_mul(i.into()))
    }

    fn authorize_usage(i: u32) -> Weight {
        Weight::from_parts(62_586_820, 576)
            .saturating_add(Weight::from_parts(40_780, 0).saturating_mul(i.into()))
            .saturating_add(DbWeight::get().reads_writes(3, 0))
    }

    fn force_close() -> Weight {
        Weight::from_parts(543_724_000, 4_931).saturating_add(DbWeight::get().reads_writes(46, 45))
    }

    fn reprice() -> Weight {
        Weight::from_parts(183_481_000, 3_598).saturating_add(DbWeight::get().reads_writes(20, 8))
    }

    fn claim_ranges() -> Weight {
        Weight::from_parts(149_912_000, 1_026).saturating_add(DbWeight::get().reads_writes(17, 12))
    }

    fn serve_sweep(c: u32) -> Weight {
        Weight::from_parts(80_349_012, 2_714)
            .saturating_add(Weight::from_parts(453_900_105, 2_294).saturating_mul(c.into()))
            .saturating_add(DbWeight::get().reads_writes(19, 8))
            .saturating_add(DbWeight::get().reads_writes(29, 38).saturating_mul(c.into()))
    }

    fn serve_eviction(c: u32) -> Weight {
        Weight::from_parts(49_438_985, 3_132)
            .saturating_add(Weight::from_parts(397_490_175, 1_855).saturating_mul(c.into()))
            .saturating_add(DbWeight::get().reads_writes(25, 8))
            .saturating_add(DbWeight::get().reads_writes(20, 31).saturating_mul(c.into()))
    }

    fn serve_cool_down() -> Weight {
        Weight::from_parts(135_461_000, 1_990).saturating_add(DbWeight::get().reads_writes(17, 33))
    }

    fn serve_answer() -> Weight {
        Weight::from_parts(366_993_000, 3_723).saturating_add(DbWeight::get().reads_writes(30, 37))
    }

    fn serve_tombstone() -> Weight {
        Weight::from_parts(8_102_000, 0).saturating_add(DbWeight::get().reads_writes(0, 3))
    }
}
