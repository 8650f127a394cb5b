// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, as `make weights` measured them: change `benchmarking.rs`, not this file.
//!
//! The runtime ran as wasm, in 20 steps, 20 times each, on AMD EPYC.
//! Reads and writes are counted there and weighed with the SDK's figures for ParityDb.

use frame_support::weights::{Weight, constants::ParityDbWeight};

/// Weights of the calls, and of what else takes time.
pub trait WeightInfo {
    /// Of `create_node_contract`. Worst case: on a rented node, for a payer in grace that may go on. Whoever is to be refilled first has no credit for more.
    fn create_node_contract(b: u32, n: u32) -> Weight;
    /// Of `update_node_contract`. Worst case: it becomes dearer, for a payer in grace that may go on.
    fn update_node_contract(b: u32) -> Weight;
    /// Of `withdraw_update`. Worst case: for a payer in grace that may go on.
    fn withdraw_update() -> Weight;
    /// Of `create_rent_contract`. Worst case: for a payer in grace that may go on.
    fn create_rent_contract() -> Weight;
    /// Of `create_name_contract`. Worst case: for a payer in grace that may go on.
    fn create_name_contract() -> Weight;
    /// Of `cancel`. Worst case: deployed for less than what is charged at least, with a dearer version pending, traffic left, addresses, networks and all who can share in it, after an outage and for a payer that is to be refilled first. For what wasn't delivered nobody is paid, which is less.
    fn cancel() -> Weight;
    /// Of `report_deployed`. Worst case: a cheaper version, for a payer that is to be refilled first. The first version takes less, also where its node is away.
    fn report_deployed() -> Weight;
    /// Of `authorize_report_deployed`. Worst case: a result is corrected.
    fn authorize_report_deployed() -> Weight;
    /// Of `report_failed`. Worst case: the first version, with all that it may have, of a payer that is to be refilled first.
    fn report_failed() -> Weight;
    /// Of `authorize_report_failed`.
    fn authorize_report_failed() -> Weight;
    /// Of `report_progress`.
    fn report_progress() -> Weight;
    /// Of `authorize_report_progress`.
    fn authorize_report_progress() -> Weight;
    /// Of `report_released`.
    fn report_released() -> Weight;
    /// Of `authorize_report_released`.
    fn authorize_report_released() -> Weight;
    /// Of `report_usage`. Worst case: each item is of another contract, which draws on its traffic.
    fn report_usage(i: u32) -> Weight;
    /// Of `authorize_usage`.
    fn authorize_usage(i: u32) -> Weight;
    /// Of `force_close`. Worst case: as for `cancel`.
    fn force_close() -> Weight;
    /// Of `reprice`. Worst case: of a payer that is to be refilled first.
    fn reprice() -> Weight;
    /// Of `serve_sweep`. Worst case: the contracts close, each of another payer that is to be refilled first, with a dearer version pending and all else that `cancel` finds.
    fn serve_sweep(c: u32) -> Weight;
    /// Of `serve_eviction`. Worst case: the contracts are on a node each, with a dearer version pending and all else that `cancel` finds. A rent has less.
    fn serve_eviction(c: u32) -> Weight;
    /// Of `serve_cool_down`.
    fn serve_cool_down() -> Weight;
    /// Of `serve_answer`. Worst case: of the first version, of a payer that is to be refilled first.
    fn serve_answer() -> Weight;
    /// Of `serve_tombstone`.
    fn serve_tombstone() -> Weight;
}

impl WeightInfo for () {
    fn create_node_contract(b: u32, n: u32) -> Weight {
        Weight::from_parts(469_377_977, 4_784)
            .saturating_add(Weight::from_parts(447, 0).saturating_mul(b.into()))
            .saturating_add(Weight::from_parts(8_217_888, 0).saturating_mul(n.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(54, 49))
            .saturating_add(ParityDbWeight::get().reads_writes(0, 1).saturating_mul(n.into()))
    }

    fn update_node_contract(b: u32) -> Weight {
        Weight::from_parts(222_822_781, 3_555)
            .saturating_add(Weight::from_parts(2_539, 0).saturating_mul(b.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(16, 10))
    }

    fn withdraw_update() -> Weight {
        Weight::from_parts(222_822_781, 3_555).saturating_add(ParityDbWeight::get().reads_writes(16, 10))
    }

    fn create_rent_contract() -> Weight {
        Weight::from_parts(264_717_000, 2_696).saturating_add(ParityDbWeight::get().reads_writes(17, 15))
    }

    fn create_name_contract() -> Weight {
        Weight::from_parts(164_859_000, 1_268).saturating_add(ParityDbWeight::get().reads_writes(12, 13))
    }

    fn cancel() -> Weight {
        Weight::from_parts(554_301_000, 4_874).saturating_add(ParityDbWeight::get().reads_writes(33, 36))
    }

    fn report_deployed() -> Weight {
        Weight::from_parts(335_009_000, 12_681).saturating_add(ParityDbWeight::get().reads_writes(22, 15))
    }

    fn authorize_report_deployed() -> Weight {
        Weight::from_parts(114_695_000, 2_160).saturating_add(ParityDbWeight::get().reads_writes(6, 0))
    }

    fn report_failed() -> Weight {
        Weight::from_parts(394_170_000, 3_668).saturating_add(ParityDbWeight::get().reads_writes(26, 30))
    }

    fn authorize_report_failed() -> Weight {
        Weight::from_parts(93_906_000, 1_143).saturating_add(ParityDbWeight::get().reads_writes(3, 0))
    }

    fn report_progress() -> Weight {
        Weight::from_parts(55_093_000, 1_285).saturating_add(ParityDbWeight::get().reads_writes(4, 3))
    }

    fn authorize_report_progress() -> Weight {
        Weight::from_parts(111_580_000, 1_828).saturating_add(ParityDbWeight::get().reads_writes(6, 0))
    }

    fn report_released() -> Weight {
        Weight::from_parts(177_513_000, 1_882).saturating_add(ParityDbWeight::get().reads_writes(17, 34))
    }

    fn authorize_report_released() -> Weight {
        Weight::from_parts(92_775_000, 1_252).saturating_add(ParityDbWeight::get().reads_writes(4, 0))
    }

    fn report_usage(i: u32) -> Weight {
        Weight::from_parts(74_334_440, 2_711)
            .saturating_add(Weight::from_parts(31_228_200, 156).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(9, 1))
            .saturating_add(ParityDbWeight::get().reads_writes(5, 4).saturating_mul(i.into()))
    }

    fn authorize_usage(i: u32) -> Weight {
        Weight::from_parts(79_165_246, 516)
            .saturating_add(Weight::from_parts(140_591, 0).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(3, 0))
    }

    fn force_close() -> Weight {
        Weight::from_parts(494_659_000, 4_709).saturating_add(ParityDbWeight::get().reads_writes(30, 35))
    }

    fn reprice() -> Weight {
        Weight::from_parts(250_000_000, 4_000).saturating_add(ParityDbWeight::get().reads_writes(22, 10))
    }

    fn serve_sweep(c: u32) -> Weight {
        Weight::from_parts(110_962_425, 3_093)
            .saturating_add(Weight::from_parts(393_802_872, 1_779).saturating_mul(c.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(20, 7))
            .saturating_add(ParityDbWeight::get().reads_writes(16, 29).saturating_mul(c.into()))
    }

    fn serve_eviction(c: u32) -> Weight {
        Weight::from_parts(105_010_430, 3_110)
            .saturating_add(Weight::from_parts(303_571_281, 1_599).saturating_mul(c.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(15, 6))
            .saturating_add(ParityDbWeight::get().reads_writes(14, 23).saturating_mul(c.into()))
    }

    fn serve_cool_down() -> Weight {
        Weight::from_parts(160_652_000, 1_882).saturating_add(ParityDbWeight::get().reads_writes(17, 34))
    }

    fn serve_answer() -> Weight {
        Weight::from_parts(319_590_000, 3_339).saturating_add(ParityDbWeight::get().reads_writes(19, 26))
    }

    fn serve_tombstone() -> Weight {
        Weight::from_parts(7_284_000, 0).saturating_add(ParityDbWeight::get().reads_writes(0, 2))
    }
}
