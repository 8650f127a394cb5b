// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls: upper bounds set by hand, from the storage that the worst case touches and a
//! generous allowance of time for its computation. An ed25519 verification takes some 50 µs; 80 are counted.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Time to verify one ed25519 signature, in picoseconds.
pub const VERIFY: u64 = 80_000_000;

/// Weights of the calls.
pub trait WeightInfo {
    /// Of `register`. Worst case: the farmer's account holds for tickets and other nodes.
    fn register() -> Weight;
    /// Of checking a registration: two signatures.
    fn authorize_register() -> Weight;
    /// Of `heartbeat`.
    fn heartbeat() -> Weight;
    /// Of checking a heartbeat: one signature.
    fn authorize_heartbeat() -> Weight;
    /// Of `remove`.
    fn remove() -> Weight;
    /// Of looking at a node that may be silent. Worst case: it goes offline.
    fn serve_silence() -> Weight;
}

impl WeightInfo for () {
    fn register() -> Weight {
        // Both clocks, ticket, admission, farm, twin, last id, key, farm index, node, heartbeat, liveness,
        // interval, deadline, account, its holds.
        Weight::from_parts(150_000_000, 35_000).saturating_add(ParityDbWeight::get().reads_writes(15, 12))
    }

    fn authorize_register() -> Weight {
        // Price clock, key index, ticket, admission, genesis hash.
        Weight::from_parts(2 * VERIFY + 20_000_000, 15_000).saturating_add(ParityDbWeight::get().reads(5))
    }

    fn heartbeat() -> Weight {
        // Both clocks, heartbeat, liveness, interval; back online: two silence deadlines and a sweep.
        Weight::from_parts(40_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(5, 5))
    }

    fn authorize_heartbeat() -> Weight {
        // Heartbeat, grid clock, node, genesis hash.
        Weight::from_parts(VERIFY + 20_000_000, 12_000).saturating_add(ParityDbWeight::get().reads(4))
    }

    fn remove() -> Weight {
        // Node, farm, twin, reservation, account, its holds, key, farm index, heartbeat, liveness, deadline.
        Weight::from_parts(90_000_000, 30_000).saturating_add(ParityDbWeight::get().reads_writes(10, 9))
    }

    fn serve_silence() -> Weight {
        // Liveness, heartbeat, two intervals, sweep.
        Weight::from_parts(40_000_000, 12_000).saturating_add(ParityDbWeight::get().reads_writes(4, 3))
    }
}
