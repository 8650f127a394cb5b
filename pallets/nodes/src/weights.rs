// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls: upper bounds set by hand, from the storage that the worst case touches and a
//! generous allowance of time for its computation. An ed25519 verification takes some 50 µs; 80 are counted.
//! What farming does when it is told of something comes on top.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Time to verify one ed25519 signature, in picoseconds.
pub const VERIFY: u64 = 80_000_000;

/// Weights of the calls.
pub trait WeightInfo {
    /// Of `register`. Worst case: a sleeping, draining, certified node with all records goes over to another
    /// farm, and both farmers' accounts hold for tickets and other nodes.
    fn register() -> Weight;
    /// Of checking a registration: two signatures. Worst case: a node that would go over.
    fn authorize_register() -> Weight;
    /// Of `heartbeat`. Worst case: an offline node comes back.
    fn heartbeat() -> Weight;
    /// Of checking a heartbeat: one signature.
    fn authorize_heartbeat() -> Weight;
    /// Of `remove`. Worst case: a draining node with all records.
    fn remove() -> Weight;
    /// Of `report_details`. Worst case: as many GPUs as may be, and the certificate is lost.
    fn report_details() -> Weight;
    /// Of checking a node's details: one signature.
    fn authorize_report_details() -> Weight;
    /// Of `report_power`. Worst case: a node wakes.
    fn report_power() -> Weight;
    /// Of checking a change of power: one signature. Worst case: a node falls asleep.
    fn authorize_report_power() -> Weight;
    /// Of `set_location`.
    fn set_location() -> Weight;
    /// Of `set_public_config`. Worst case: everything is set, with the longest domain.
    fn set_public_config() -> Weight;
    /// Of `set_dedicated`.
    fn set_dedicated() -> Weight;
    /// Of `set_extra_fee`.
    fn set_extra_fee() -> Weight;
    /// Of `drain`. Worst case: a deadline is moved.
    fn drain() -> Weight;
    /// Of `cancel_drain`.
    fn cancel_drain() -> Weight;
    /// Of `set_power_target`.
    fn set_power_target() -> Weight;
    /// Of `clear_clone`.
    fn clear_clone() -> Weight;
    /// Of `certify`.
    fn certify() -> Weight;
    /// Of looking at a node that may be silent. Worst case: it goes offline.
    fn serve_silence() -> Weight;
    /// Of the end of a drain.
    fn serve_drain() -> Weight;
}

/// What each farmer's call reads to know its caller: node, farm, twin.
const WHO: u64 = 3;

fn by_farmer(reads: u64, writes: u64) -> Weight {
    Weight::from_parts(50_000_000, 15_000)
        .saturating_add(ParityDbWeight::get().reads_writes(WHO.saturating_add(reads), writes))
}

impl WeightInfo for () {
    fn register() -> Weight {
        // Both clocks, ticket, admission, two farms, two twins, last id, key, node, both farm indexes,
        // heartbeat, liveness, interval, two accounts with their holds; written beside them: two deadlines,
        // a drain's, details, location, public config.
        Weight::from_parts(250_000_000, 60_000).saturating_add(ParityDbWeight::get().reads_writes(19, 19))
    }

    fn authorize_register() -> Weight {
        // Price clock, key index, ticket, admission, node, reservation or last id, genesis hash.
        Weight::from_parts(2 * VERIFY + 20_000_000, 20_000).saturating_add(ParityDbWeight::get().reads(7))
    }

    fn heartbeat() -> Weight {
        // Both clocks, heartbeat, liveness, uptime, interval; back online: two silence deadlines and a sweep.
        Weight::from_parts(50_000_000, 20_000).saturating_add(ParityDbWeight::get().reads_writes(6, 6))
    }

    fn authorize_heartbeat() -> Weight {
        // Heartbeat, grid clock, interval, node, genesis hash.
        Weight::from_parts(VERIFY + 20_000_000, 15_000).saturating_add(ParityDbWeight::get().reads(5))
    }

    fn remove() -> Weight {
        // Reservation, account, its holds, liveness; written: node, key, farm index, reservation, heartbeat,
        // uptime, details, two marks, location, public config, complaints, drain, silence, liveness, account,
        // holds.
        by_farmer(4, 17).saturating_add(Weight::from_parts(60_000_000, 20_000))
    }

    fn report_details() -> Weight {
        // Node, grid clock; written: node, details, mark.
        Weight::from_parts(50_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(2, 3))
    }

    fn authorize_report_details() -> Weight {
        // Node, mark, grid clock, interval, reservation, genesis hash.
        Weight::from_parts(VERIFY + 30_000_000, 20_000).saturating_add(ParityDbWeight::get().reads(6))
    }

    fn report_power() -> Weight {
        // Both clocks, liveness, heartbeat, interval; written: mark, liveness, heartbeat, two deadlines.
        Weight::from_parts(40_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(5, 5))
    }

    fn authorize_report_power() -> Weight {
        // Node, mark, grid clock, interval, liveness, reservation, genesis hash.
        Weight::from_parts(VERIFY + 20_000_000, 20_000).saturating_add(ParityDbWeight::get().reads(7))
    }

    fn set_location() -> Weight {
        by_farmer(0, 1)
    }

    fn set_public_config() -> Weight {
        by_farmer(0, 1)
    }

    fn set_dedicated() -> Weight {
        by_farmer(0, 1)
    }

    fn set_extra_fee() -> Weight {
        // The maximum, the notice, the grid clock.
        by_farmer(3, 1)
    }

    fn drain() -> Weight {
        // The notice, the grid clock; two deadlines.
        by_farmer(2, 3)
    }

    fn cancel_drain() -> Weight {
        by_farmer(0, 2)
    }

    fn set_power_target() -> Weight {
        // The reservation.
        by_farmer(1, 1)
    }

    fn clear_clone() -> Weight {
        // Liveness, heartbeat.
        by_farmer(2, 2)
    }

    fn certify() -> Weight {
        Weight::from_parts(30_000_000, 5_000).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn serve_silence() -> Weight {
        // Liveness, heartbeat, two intervals, both clocks; liveness, two deadlines, a sweep.
        Weight::from_parts(40_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(6, 4))
    }

    fn serve_drain() -> Weight {
        // Node; a sweep.
        Weight::from_parts(30_000_000, 5_000).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }
}
