// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, as `make weights` measured them: change `benchmarking.rs`, not this file.
//!
//! The runtime ran as wasm, in 20 steps, 20 times each, on AMD EPYC.
//! Reads and writes are counted there and weighed with the SDK's figures for ParityDb.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weights of the calls, and of what else takes time.
pub trait WeightInfo {
    /// Of `create_node_contract`.
    fn create_node_contract(b: u32, n: u32) -> Weight;
    /// Of `update_node_contract`.
    fn update_node_contract(b: u32) -> Weight;
    /// Of `create_rent_contract`.
    fn create_rent_contract() -> Weight;
    /// Of `create_name_contract`.
    fn create_name_contract() -> Weight;
    /// Of `cancel`. Worst case: deployed, with a pending update and a complaint about it.
    fn cancel() -> Weight;
    /// Of `report_deployed`.
    fn report_deployed() -> Weight;
    /// Of `authorize_report_deployed`.
    fn authorize_report_deployed() -> Weight;
    /// Of `report_failed`.
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
    /// Of `force_close`.
    fn force_close() -> Weight;
    /// Of `attach_provider`.
    fn attach_provider() -> Weight;
    /// Of `serve_sweep`. Worst case: the contracts close, each with everything that it may have but addresses.
    fn serve_sweep(c: u32) -> Weight;
    /// Of `serve_eviction`.
    fn serve_eviction(c: u32) -> Weight;
    /// Of `serve_cool_down`.
    fn serve_cool_down() -> Weight;
    /// Of `serve_answer`.
    fn serve_answer() -> Weight;
    /// Of `serve_tombstone`.
    fn serve_tombstone() -> Weight;
}

impl WeightInfo for () {
    fn create_node_contract(b: u32, n: u32) -> Weight {
        Weight::from_parts(410_928_659, 4_617)
            .saturating_add(Weight::from_parts(4_619, 0).saturating_mul(b.into()))
            .saturating_add(Weight::from_parts(7_477_471, 0).saturating_mul(n.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(53, 47))
            .saturating_add(ParityDbWeight::get().reads_writes(0, 1).saturating_mul(n.into()))
    }

    fn update_node_contract(b: u32) -> Weight {
        Weight::from_parts(238_971_901, 3_436)
            .saturating_add(Weight::from_parts(1_307, 0).saturating_mul(b.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(19, 10))
    }

    fn create_rent_contract() -> Weight {
        Weight::from_parts(235_471_000, 2_283).saturating_add(ParityDbWeight::get().reads_writes(16, 13))
    }

    fn create_name_contract() -> Weight {
        Weight::from_parts(138_469_000, 884).saturating_add(ParityDbWeight::get().reads_writes(11, 11))
    }

    fn cancel() -> Weight {
        Weight::from_parts(373_051_000, 3_761).saturating_add(ParityDbWeight::get().reads_writes(23, 27))
    }

    fn report_deployed() -> Weight {
        Weight::from_parts(221_456_000, 11_835).saturating_add(ParityDbWeight::get().reads_writes(19, 10))
    }

    fn authorize_report_deployed() -> Weight {
        Weight::from_parts(88_246_000, 1_072).saturating_add(ParityDbWeight::get().reads_writes(3, 0))
    }

    fn report_failed() -> Weight {
        Weight::from_parts(266_670_000, 3_118).saturating_add(ParityDbWeight::get().reads_writes(22, 23))
    }

    fn authorize_report_failed() -> Weight {
        Weight::from_parts(87_495_000, 1_072).saturating_add(ParityDbWeight::get().reads_writes(3, 0))
    }

    fn report_progress() -> Weight {
        Weight::from_parts(49_603_000, 1_081).saturating_add(ParityDbWeight::get().reads_writes(4, 3))
    }

    fn authorize_report_progress() -> Weight {
        Weight::from_parts(120_907_000, 1_624).saturating_add(ParityDbWeight::get().reads_writes(6, 0))
    }

    fn report_released() -> Weight {
        Weight::from_parts(172_404_000, 1_882).saturating_add(ParityDbWeight::get().reads_writes(17, 34))
    }

    fn authorize_report_released() -> Weight {
        Weight::from_parts(89_378_000, 1_107).saturating_add(ParityDbWeight::get().reads_writes(4, 0))
    }

    fn report_usage(i: u32) -> Weight {
        Weight::from_parts(58_827_516, 2_593)
            .saturating_add(Weight::from_parts(33_727_982, 156).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(9, 1))
            .saturating_add(ParityDbWeight::get().reads_writes(5, 4).saturating_mul(i.into()))
    }

    fn authorize_usage(i: u32) -> Weight {
        Weight::from_parts(70_284_790, 516)
            .saturating_add(Weight::from_parts(135_748, 0).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(3, 0))
    }

    fn force_close() -> Weight {
        Weight::from_parts(369_985_000, 3_648).saturating_add(ParityDbWeight::get().reads_writes(19, 25))
    }

    fn attach_provider() -> Weight {
        Weight::from_parts(54_532_000, 1_604).saturating_add(ParityDbWeight::get().reads_writes(6, 1))
    }

    fn serve_sweep(c: u32) -> Weight {
        Weight::from_parts(114_188_920, 3_178)
            .saturating_add(Weight::from_parts(165_299_212, 176).saturating_mul(c.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(16, 6))
            .saturating_add(ParityDbWeight::get().reads_writes(5, 16).saturating_mul(c.into()))
    }

    fn serve_eviction(c: u32) -> Weight {
        Weight::from_parts(120_378_052, 3_268)
            .saturating_add(Weight::from_parts(165_698_193, 276).saturating_mul(c.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(15, 6))
            .saturating_add(ParityDbWeight::get().reads_writes(9, 16).saturating_mul(c.into()))
    }

    fn serve_cool_down() -> Weight {
        Weight::from_parts(146_976_000, 1_882).saturating_add(ParityDbWeight::get().reads_writes(17, 34))
    }

    fn serve_answer() -> Weight {
        Weight::from_parts(193_844_000, 2_647).saturating_add(ParityDbWeight::get().reads_writes(14, 21))
    }

    fn serve_tombstone() -> Weight {
        Weight::from_parts(6_392_000, 0).saturating_add(ParityDbWeight::get().reads_writes(0, 2))
    }
}
