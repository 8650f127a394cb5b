// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls: upper bounds set by hand, from the storage that the worst case touches and a
//! generous allowance of time for its computation.

use crate::PRICE_DAYS;
use frame_support::weights::{constants::ParityDbWeight, Weight};
use tfgrid_primitives::farming::PERIODS_KEPT;

/// Weights of the calls, and of what happens when nodes are heard from.
pub trait WeightInfo {
    /// Of `enrol`. Worst case: the account's first hold, and a price for each of 30 days.
    fn enrol() -> Weight;
    /// Of `leave`. Worst case: a period closes, and all rewards but that are unclaimed and mature; or, where
    /// nothing waits any more, all are paid and the bond is free.
    fn leave() -> Weight;
    /// Of `withdraw`. Worst case: no reward was claimed.
    fn withdraw() -> Weight;
    /// Of `claim`. Worst case: scaled to the cap.
    fn claim() -> Weight;
    /// Of `void`. Worst case: a reward is taken back.
    fn void() -> Weight;
    /// Of `forfeit`. Worst case: no reward was claimed, and one is voided.
    fn forfeit() -> Weight;
    /// Of `set_policy`.
    fn set_policy() -> Weight;
    /// Of the first heartbeat of a period. Worst case: 13 periods are full, and the last one brings a reward.
    fn close() -> Weight;
}

/// Of paying so many rewards: arithmetic, an account and an event each; their storage is counted once.
fn pay(rewards: u32) -> Weight {
    Weight::from_parts(60_000_000, 0).saturating_mul(rewards.into())
}

impl WeightInfo for () {
    fn enrol() -> Weight {
        // Policy, enrolment, node, its details, farm, twin, the time, uptime, count, account, its holds; prices.
        let reads = 11 + u64::from(PRICE_DAYS);
        Weight::from_parts(150_000_000, 120_000).saturating_add(ParityDbWeight::get().reads_writes(reads, 4))
    }

    fn leave() -> Weight {
        Self::close().saturating_add(Self::withdraw())
    }

    fn withdraw() -> Weight {
        // Enrolment, the time, farm, twin, account, its holds, rewards, totals, issuance, count.
        Weight::from_parts(100_000_000, 25_000)
            .saturating_add(pay(PERIODS_KEPT))
            .saturating_add(ParityDbWeight::get().reads_writes(10, 7))
    }

    fn claim() -> Weight {
        // The time, enrolment, farm, twin, rewards, totals, account, issuance.
        Weight::from_parts(40_000_000, 20_000)
            .saturating_add(pay(1))
            .saturating_add(ParityDbWeight::get().reads_writes(8, 4))
    }

    fn void() -> Weight {
        // The time, rewards, totals or enrolment.
        Weight::from_parts(40_000_000, 10_000).saturating_add(ParityDbWeight::get().reads_writes(4, 3))
    }

    fn forfeit() -> Weight {
        Self::withdraw().saturating_add(Self::void())
    }

    fn set_policy() -> Weight {
        Weight::from_parts(20_000_000, 2_000).saturating_add(ParityDbWeight::get().writes(1))
    }

    fn close() -> Weight {
        // The time, enrolment, policy, uptime, rewards, totals, node, its details.
        Weight::from_parts(80_000_000, 25_000).saturating_add(ParityDbWeight::get().reads_writes(8, 3))
    }
}
