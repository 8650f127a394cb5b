// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls: upper bounds set by hand, from the storage that the worst case touches and a
//! generous allowance of time for its computation.

use crate::MAX_TICKET_NODES;
use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weights of the calls.
pub trait WeightInfo {
    /// Of `create`. Worst case: the longest name, the account's first hold.
    fn create() -> Weight;
    /// Of `open_ticket`. Worst case: the account's first hold.
    fn open_ticket() -> Weight;
    /// Of `close_ticket`. Worst case: the record goes, with the admissions of a full ticket.
    fn close_ticket() -> Weight;
    /// Of `update`. Worst case: the longest name, unlike the old one.
    fn update() -> Weight;
    /// Of `set_dedicated`.
    fn set_dedicated() -> Weight;
    /// Of `remove`. Worst case: the twin's only farm.
    fn remove() -> Weight;
    /// Of `add_ip`. Worst case: IPv4 and IPv6, the account's first hold.
    fn add_ip() -> Weight;
    /// Of `remove_ip`. Worst case: IPv4 and IPv6, the farm's only one.
    fn remove_ip() -> Weight;
    /// Of `force_remove_ip`. Worst case: IPv4 and IPv6, the farm's only one.
    fn force_remove_ip() -> Weight;
    /// Of `set_certification`.
    fn set_certification() -> Weight;
}

impl WeightInfo for () {
    fn create() -> Weight {
        // Twin index, name, last id, farm, count, account, its holds.
        Weight::from_parts(90_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(7, 7))
    }

    fn open_ticket() -> Weight {
        // Twin index, farm, price clock, ticket, count, account, its holds.
        Weight::from_parts(90_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(7, 4))
    }

    fn close_ticket() -> Weight {
        // Ticket, twin index, farm, price clock, count, account, its holds, and every admission.
        let admissions = u64::from(MAX_TICKET_NODES);
        Weight::from_parts(90_000_000, 15_000)
            .saturating_add(Weight::from_parts(2_000_000, 3_000).saturating_mul(admissions))
            .saturating_add(ParityDbWeight::get().reads_writes(7 + admissions, 4 + admissions))
    }

    fn update() -> Weight {
        // Twin index, farm, both names.
        Weight::from_parts(50_000_000, 10_000).saturating_add(ParityDbWeight::get().reads_writes(3, 3))
    }

    fn set_dedicated() -> Weight {
        // Twin index, farm.
        Weight::from_parts(30_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn remove() -> Weight {
        // Twin index, farm, its nodes, its earnings, three counts, name, account, its holds.
        Weight::from_parts(90_000_000, 25_000).saturating_add(ParityDbWeight::get().reads_writes(9, 5))
    }

    fn add_ip() -> Weight {
        // Twin index, farm, both addresses, count, last id, both lists, the record, account, its holds.
        Weight::from_parts(110_000_000, 25_000).saturating_add(ParityDbWeight::get().reads_writes(8, 9))
    }

    fn remove_ip() -> Weight {
        // The record, twin index, farm, both addresses, count, both lists, account, its holds.
        Weight::from_parts(110_000_000, 20_000).saturating_add(ParityDbWeight::get().reads_writes(6, 8))
    }

    fn force_remove_ip() -> Weight {
        // The record, farm, twin, both addresses, count, both lists, account, its holds.
        Weight::from_parts(110_000_000, 20_000).saturating_add(ParityDbWeight::get().reads_writes(6, 8))
    }

    fn set_certification() -> Weight {
        // Farm.
        Weight::from_parts(30_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }
}
