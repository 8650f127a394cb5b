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
    /// Of `create_node_contract` with a body of `b` bytes and `n` networks.
    fn create_node_contract(b: u32, n: u32) -> Weight;
    /// Of `cancel`. Worst case: deployed, four networks, all payees share, the account's holds change.
    fn cancel() -> Weight;
    /// Of `report_deployed`. Worst case: the first of a version.
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
    /// Of `force_close`. Worst case: like `cancel`.
    fn force_close() -> Weight;
    /// Of `attach_provider`.
    fn attach_provider() -> Weight;
    /// Of one step of a sweep over `c` contracts. Worst case: they close.
    fn serve_sweep(c: u32) -> Weight;
    /// Of a contract that nobody answered.
    fn serve_answer() -> Weight;
    /// Of forgetting a closed contract.
    fn serve_tombstone() -> Weight;
}

/// Closing a contract: record, price and grid clock, accrual, payer, policy, provider, four payees, heartbeat and
/// its interval, node, its liveness, reservation, twin, account and its holds, body, result, usage, both indexes,
/// count, four networks, tombstone, two deadlines, the twin's and the node's complaints.
fn closing() -> Weight {
    Weight::from_parts(300_000_000, 80_000).saturating_add(ParityDbWeight::get().reads_writes(31, 30))
}

impl WeightInfo for () {
    fn create_node_contract(b: u32, n: u32) -> Weight {
        // Twin index, node, heartbeat, both clocks, policy, payer, reservation, last id, account, its holds,
        // record, body, both indexes, count; each network is one write.
        let (b, n) = (u64::from(b), u64::from(n));
        Weight::from_parts(200_000_000, 40_000)
            .saturating_add(Weight::from_parts(BODY_BYTE, 1).saturating_mul(b))
            .saturating_add(Weight::from_parts(5_000_000, 200).saturating_mul(n))
            .saturating_add(ParityDbWeight::get().reads_writes(16, 10 + n))
    }

    fn cancel() -> Weight {
        // The twin's index, then what closing takes.
        closing().saturating_add(ParityDbWeight::get().reads(1))
    }

    fn report_deployed() -> Weight {
        // Record, both clocks, node, heartbeat, payer, accrual, result.
        Weight::from_parts(100_000_000, 25_000).saturating_add(ParityDbWeight::get().reads_writes(8, 4))
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
        // Mark, grid clock; each item reads a record and its usage and writes the latter.
        let i = u64::from(i);
        Weight::from_parts(30_000_000, 6_000)
            .saturating_add(Weight::from_parts(15_000_000, 5_000).saturating_mul(i))
            .saturating_add(ParityDbWeight::get().reads_writes(1 + 2 * i, 1 + i))
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

    fn serve_answer() -> Weight {
        closing()
    }

    fn serve_tombstone() -> Weight {
        Weight::from_parts(10_000_000, 3_000).saturating_add(ParityDbWeight::get().writes(1))
    }
}
