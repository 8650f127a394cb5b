// SPDX-License-Identifier: Apache-2.0
//! Weights of calls and hooks: upper bounds set by hand, from the storage that the worst case touches and a
//! generous allowance of time for its computation. None depends on how many contracts a payer has.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weights of calls and hooks.
pub trait WeightInfo {
    /// Of `deposit`. Worst case: into a paused payer's credit.
    fn deposit() -> Weight;
    /// Of `withdraw`.
    fn withdraw() -> Weight;
    /// Of `claim`. Worst case: all payees share, a solution provider among them.
    fn claim() -> Weight;
    /// Of `pay_out`. Worst case: to a farmer's new account.
    fn pay_out() -> Weight;
    /// Of `set_price`.
    fn set_price() -> Weight;
    /// Of `set_policy`.
    fn set_policy() -> Weight;
    /// Of stepping the price clock.
    fn on_timestamp_set() -> Weight;
    /// Of stepping grid time.
    fn on_poll() -> Weight;
    /// Of looking for the next deadline.
    fn next_deadline() -> Weight;
    /// Of taking a deadline from the agenda and putting it back, without what it does.
    fn serve_deadline() -> Weight;
    /// Of `set_limits`.
    fn set_limits() -> Weight;
    /// Of `add_provider`.
    fn add_provider() -> Weight;
    /// Of `set_provider_share`.
    fn set_provider_share() -> Weight;
}

impl WeightInfo for () {
    fn deposit() -> Weight {
        // Twin, both accounts, price clock, payer.
        Weight::from_parts(100_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(5, 3))
    }

    fn withdraw() -> Weight {
        // Twin index, price clock, payer, both accounts.
        Weight::from_parts(100_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(5, 3))
    }

    fn claim() -> Weight {
        // Accrual, heartbeat and its interval, both clocks, payer, policy, provider, four payees.
        Weight::from_parts(80_000_000, 20_000).saturating_add(ParityDbWeight::get().reads_writes(13, 6))
    }

    fn pay_out() -> Weight {
        // Payable, farm, twin, both accounts.
        Weight::from_parts(100_000_000, 15_000).saturating_add(ParityDbWeight::get().reads_writes(5, 3))
    }

    fn set_price() -> Weight {
        // Policy, price clock.
        Weight::from_parts(30_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn set_policy() -> Weight {
        // Price clock, policy.
        Weight::from_parts(30_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn on_timestamp_set() -> Weight {
        Weight::from_parts(10_000_000, 3_000).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn on_poll() -> Weight {
        Weight::from_parts(10_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(2, 1))
    }

    fn next_deadline() -> Weight {
        Weight::from_parts(10_000_000, 3_000).saturating_add(ParityDbWeight::get().reads(1))
    }

    fn serve_deadline() -> Weight {
        Weight::from_parts(10_000_000, 3_000).saturating_add(ParityDbWeight::get().writes(2))
    }

    fn set_limits() -> Weight {
        // Twin index, limits.
        Weight::from_parts(30_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn add_provider() -> Weight {
        // Last id, record.
        Weight::from_parts(30_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(1, 2))
    }

    fn set_provider_share() -> Weight {
        Weight::from_parts(30_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }
}
