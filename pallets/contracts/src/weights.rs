// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls: upper bounds set by hand, from the storage that the worst case touches and a
//! generous allowance of time for its computation. An ed25519 verification takes some 50 µs; 80 are counted.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Time to verify one ed25519 signature, in picoseconds.
const VERIFY: u64 = 80_000_000;
/// Time to copy and hash a byte of a body, in picoseconds.
const BODY_BYTE: u64 = 10_000;

/// Weights of the calls.
pub trait WeightInfo {
    /// Of `create_node_contract` with a body of `b` bytes and `n` networks. Worst case: on a rented node, as many
    /// public IPs as a contract may have, traffic.
    fn create_node_contract(b: u32, n: u32) -> Weight;
    /// Of `update_node_contract` with a body of `b` bytes. Worst case: cheaper, so that the payer changes.
    fn update_node_contract(b: u32) -> Weight;
    /// Of `create_rent_contract`.
    fn create_rent_contract() -> Weight;
    /// Of `create_name_contract`.
    fn create_name_contract() -> Weight;
    /// Of `cancel`. Worst case: deployed, four networks, all payees share, the account's holds change.
    fn cancel() -> Weight;
    /// Of `report_deployed`. Worst case: another version, with the largest body.
    fn report_deployed() -> Weight;
    /// Of checking it: the result is compared, one signature.
    fn authorize_report_deployed() -> Weight;
    /// Of `report_failed`. Worst case: like `cancel`.
    fn report_failed() -> Weight;
    /// Of checking it: one signature.
    fn authorize_report_failed() -> Weight;
    /// Of `report_usage` with `i` items.
    fn report_usage(i: u32) -> Weight;
    /// Of checking it: one signature over `i` items.
    fn authorize_usage(i: u32) -> Weight;
    /// Of `report_progress`.
    fn report_progress() -> Weight;
    /// Of checking it: one signature.
    fn authorize_report_progress() -> Weight;
    /// Of `report_released`. Worst case: as many addresses as a contract may have.
    fn report_released() -> Weight;
    /// Of checking it: one signature.
    fn authorize_report_released() -> Weight;
    /// Of `force_close`. Worst case: like `cancel`.
    fn force_close() -> Weight;
    /// Of `attach_provider`.
    fn attach_provider() -> Weight;
    /// Of one step of a sweep over `c` contracts. Worst case: they close.
    fn serve_sweep(c: u32) -> Weight;
    /// Of one step of an eviction: `c` contracts close.
    fn serve_eviction(c: u32) -> Weight;
    /// Of addresses that have cooled down.
    fn serve_cool_down() -> Weight;
    /// Of a contract that nobody answered.
    fn serve_answer() -> Weight;
    /// Of forgetting a closed contract.
    fn serve_tombstone() -> Weight;
}

/// The public IPs of a contract.
const MOST_IPS: u64 = 16;

/// Closing a contract: record, price and grid clock, accrual, payer, its place in the agenda, policy, provider,
/// four payees, allowance, history, heartbeat and its interval, node, its liveness, farm, rent, reservation, twin,
/// account and its holds, both bodies, result, usage, both indexes, count, four networks, addresses, tombstone,
/// four deadlines, the twin's and the node's complaints.
fn closing() -> Weight {
    Weight::from_parts(300_000_000, 100_000).saturating_add(ParityDbWeight::get().reads_writes(40, 42))
}

/// Giving or taking all addresses of a contract: each has a record and a place among the free.
fn addresses() -> Weight {
    Weight::from_parts(100_000_000, 60_000)
        .saturating_add(ParityDbWeight::get().reads_writes(2 * MOST_IPS + 2, 2 * MOST_IPS + 2))
}

impl WeightInfo for () {
    fn create_node_contract(b: u32, n: u32) -> Weight {
        // Twin index, node, farm, rent and its contract, heartbeat, both clocks, policy, payer and its place in
        // the agenda, limits, allowance, reservation, last id, account, its holds, record, body, both indexes,
        // count, deadline; each network is one write.
        let (b, n) = (u64::from(b), u64::from(n));
        Weight::from_parts(200_000_000, 40_000)
            .saturating_add(Weight::from_parts(BODY_BYTE, 1).saturating_mul(b))
            .saturating_add(Weight::from_parts(5_000_000, 200).saturating_mul(n))
            .saturating_add(ParityDbWeight::get().reads_writes(22, 16 + n))
            .saturating_add(addresses())
    }

    fn update_node_contract(b: u32) -> Weight {
        // Record, twin index, node, farm, rent, heartbeat, both clocks, policy, payer and its place in the agenda,
        // limits, accrual, history, reservation, account, its holds, pending body, deadline.
        Weight::from_parts(200_000_000, 40_000)
            .saturating_add(Weight::from_parts(BODY_BYTE, 1).saturating_mul(b.into()))
            .saturating_add(ParityDbWeight::get().reads_writes(20, 14))
    }

    fn create_rent_contract() -> Weight {
        // As for a node contract, with its accrual and without a body.
        Weight::from_parts(200_000_000, 40_000).saturating_add(ParityDbWeight::get().reads_writes(22, 16))
    }

    fn create_name_contract() -> Weight {
        // As for a rent, with the name in the node's place.
        Weight::from_parts(150_000_000, 30_000).saturating_add(ParityDbWeight::get().reads_writes(18, 14))
    }

    fn cancel() -> Weight {
        // The twin's index, then what closing takes.
        closing().saturating_add(ParityDbWeight::get().reads(1))
    }

    fn report_deployed() -> Weight {
        // Record, both clocks, node, farm, heartbeat, payer and its place in the agenda, accrual, history, result,
        // both bodies, reservation, account, its holds, deadline.
        Weight::from_parts(300_000_000, 40_000).saturating_add(ParityDbWeight::get().reads_writes(16, 13))
    }

    fn report_progress() -> Weight {
        // Record, grid clock, three intervals, two deadlines.
        Weight::from_parts(40_000_000, 12_000).saturating_add(ParityDbWeight::get().reads_writes(5, 3))
    }

    fn authorize_report_progress() -> Weight {
        // Record, grid clock, two intervals, node, genesis hash.
        Weight::from_parts(VERIFY + 30_000_000, 15_000).saturating_add(ParityDbWeight::get().reads(6))
    }

    fn report_released() -> Weight {
        addresses()
    }

    fn authorize_report_released() -> Weight {
        // Tombstone, addresses, node, genesis hash.
        Weight::from_parts(VERIFY + 20_000_000, 12_000).saturating_add(ParityDbWeight::get().reads(4))
    }

    fn authorize_report_deployed() -> Weight {
        // Record, result, grid clock, node, genesis hash.
        Weight::from_parts(VERIFY + 30_000_000, 15_000).saturating_add(ParityDbWeight::get().reads(5))
    }

    fn report_failed() -> Weight {
        closing()
    }

    fn authorize_report_failed() -> Weight {
        // Record, node, genesis hash.
        Weight::from_parts(VERIFY + 20_000_000, 12_000).saturating_add(ParityDbWeight::get().reads(3))
    }

    fn report_usage(i: u32) -> Weight {
        // Mark, grid clock, interval, node; each item reads a record, its usage, its allowance, its accrual and
        // its payer, and writes the last four.
        let i = u64::from(i);
        Weight::from_parts(30_000_000, 6_000)
            .saturating_add(Weight::from_parts(40_000_000, 10_000).saturating_mul(i))
            .saturating_add(ParityDbWeight::get().reads_writes(4 + 5 * i, 1 + 4 * i))
    }

    fn authorize_usage(i: u32) -> Weight {
        // Mark, grid clock, node, genesis hash; the signed bytes grow with the items.
        Weight::from_parts(VERIFY + 20_000_000, 12_000)
            .saturating_add(Weight::from_parts(500_000, 0).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads(4))
    }

    fn force_close() -> Weight {
        closing()
    }

    fn attach_provider() -> Weight {
        // Record, twin index, provider, accrual, clock, payer.
        Weight::from_parts(60_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(6, 2))
    }

    fn serve_sweep(c: u32) -> Weight {
        // Node, liveness, interval, cursor, the index's next key; each contract is one more key.
        Weight::from_parts(30_000_000, 12_000)
            .saturating_add(ParityDbWeight::get().reads_writes(6, 1))
            .saturating_add(closing().saturating_add(ParityDbWeight::get().reads(1)).saturating_mul(c.into()))
    }

    fn serve_eviction(c: u32) -> Weight {
        // Payer, clock, the index's next key; each contract is one more key.
        Weight::from_parts(30_000_000, 12_000)
            .saturating_add(ParityDbWeight::get().reads(3))
            .saturating_add(closing().saturating_add(ParityDbWeight::get().reads(1)).saturating_mul(c.into()))
    }

    fn serve_cool_down() -> Weight {
        addresses()
    }

    fn serve_answer() -> Weight {
        closing()
    }

    fn serve_tombstone() -> Weight {
        // With the contract's months.
        Weight::from_parts(10_000_000, 3_000).saturating_add(ParityDbWeight::get().writes(2))
    }
}
