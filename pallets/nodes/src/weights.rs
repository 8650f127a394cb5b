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
}

impl WeightInfo for () {
    fn register() -> Weight {
        // Both clocks, ticket, admission, farm, twin, last id, key, farm index, node, heartbeat, account, its holds.
        Weight::from_parts(150_000_000, 30_000).saturating_add(ParityDbWeight::get().reads_writes(13, 10))
    }

    fn authorize_register() -> Weight {
        // Price clock, key index, ticket, admission, genesis hash.
        Weight::from_parts(2 * VERIFY + 20_000_000, 15_000).saturating_add(ParityDbWeight::get().reads(5))
    }

    fn heartbeat() -> Weight {
        // Grid clock, heartbeat.
        Weight::from_parts(20_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn authorize_heartbeat() -> Weight {
        // Heartbeat, grid clock, node, genesis hash.
        Weight::from_parts(VERIFY + 20_000_000, 12_000).saturating_add(ParityDbWeight::get().reads(4))
    }

    fn remove() -> Weight {
        // Node, farm, twin, reservation, account, its holds, key, farm index, heartbeat.
        Weight::from_parts(90_000_000, 25_000).saturating_add(ParityDbWeight::get().reads_writes(9, 7))
    }
}
