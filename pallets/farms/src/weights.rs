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
}

impl WeightInfo for () {
    fn create() -> Weight {
        // Twin index, name, last id, farm, account, its holds.
        Weight::from_parts(90_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(6, 5))
    }

    fn open_ticket() -> Weight {
        // Twin index, farm, price clock, ticket, account, its holds.
        Weight::from_parts(90_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(6, 3))
    }

    fn close_ticket() -> Weight {
        // Ticket, twin index, farm, price clock, account, its holds, and every admission.
        let admissions = u64::from(MAX_TICKET_NODES);
        Weight::from_parts(90_000_000, 15_000)
            .saturating_add(Weight::from_parts(2_000_000, 3_000).saturating_mul(admissions))
            .saturating_add(ParityDbWeight::get().reads_writes(6 + admissions, 3 + admissions))
    }
}
