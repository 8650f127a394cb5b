// SPDX-License-Identifier: Apache-2.0
//! Weights of calls and hooks: upper bounds set by hand, from the storage that the worst case touches and a
//! generous allowance of time for its computation. None depends on how many contracts a payer has.
//!
//! Whatever changes a payer's record may find that its credit has ended. In the worst case it is refilled:
//! read are both clocks, policy, payer, wish, refills, limits, twin and two accounts; written are payer, two
//! keys of the agenda, refills, two accounts and the first review. [`changed_payer`] is all that.

use frame_support::weights::{constants::ParityDbWeight, Weight};

/// Weights of calls and hooks.
pub trait WeightInfo {
    /// Of `deposit`. Worst case: of a payer that goes on with it.
    fn deposit() -> Weight;
    /// Of `withdraw`.
    fn withdraw() -> Weight;
    /// Of `claim`. Worst case: all payees share, a solution provider among them, and farming is told.
    fn claim() -> Weight;
    /// Of `pay_out`. Worst case: to a farmer's new account.
    fn pay_out() -> Weight;
    /// Of `set_price`.
    fn set_price() -> Weight;
    /// Of `set_policy`.
    fn set_policy() -> Weight;
    /// Of stepping the price clock.
    fn on_timestamp_set() -> Weight;
    /// Of stepping grid time and looking whether a day has ended or the feed is to be asked.
    fn on_poll() -> Weight;
    /// Of recording a day's price.
    fn record_day() -> Weight;
    /// Of asking the feed and following it. Worst case: the price changes.
    fn ask_feed() -> Weight;
    /// Of looking for the next payer whose credit ends.
    fn next_end() -> Weight;
    /// Of serving one. Worst case: it is refilled.
    fn serve_end() -> Weight;
    /// Of looking for the next deadline.
    fn next_deadline() -> Weight;
    /// Of taking a deadline from the agenda and putting it back, without what it does.
    fn serve_deadline() -> Weight;
    /// Of ending a grace. Worst case: contracts close from then on.
    fn serve_grace() -> Weight;
    /// Of finding a discount anew. Worst case: of a payer whose credit has just ended.
    fn serve_review() -> Weight;
    /// Of `set_limits`.
    fn set_limits() -> Weight;
    /// Of `add_provider`.
    fn add_provider() -> Weight;
    /// Of `set_provider_share`.
    fn set_provider_share() -> Weight;
    /// Of `set_auto_refill`.
    fn set_auto_refill() -> Weight;
    /// Of `buy_traffic`.
    fn buy_traffic() -> Weight;
    /// Of `reprice`. Worst case: the contract's node is silent, so something is given back.
    fn reprice() -> Weight;
    /// Of `poke`.
    fn poke() -> Weight;
}

/// Of a payer's record that changes, in the worst case.
pub fn changed_payer() -> Weight {
    Weight::from_parts(60_000_000, 12_000).saturating_add(ParityDbWeight::get().reads_writes(12, 7))
}

impl WeightInfo for () {
    fn deposit() -> Weight {
        // Twin, the caller's account; grace and its deadline.
        let own = ParityDbWeight::get().reads_writes(3, 3);
        Weight::from_parts(60_000_000, 6_000).saturating_add(own).saturating_add(changed_payer())
    }

    fn withdraw() -> Weight {
        // Twin index, the caller's account; grace and its deadline.
        let own = ParityDbWeight::get().reads_writes(3, 3);
        Weight::from_parts(60_000_000, 6_000).saturating_add(own).saturating_add(changed_payer())
    }

    fn claim() -> Weight {
        // Accrual, heartbeat and its interval, both clocks, payer, policy, provider, four payees, bill, paid use.
        Weight::from_parts(100_000_000, 22_000).saturating_add(ParityDbWeight::get().reads_writes(15, 8))
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
        // Price clock, policy, grid time, when prices were announced.
        Weight::from_parts(30_000_000, 9_000).saturating_add(ParityDbWeight::get().reads_writes(3, 2))
    }

    fn on_timestamp_set() -> Weight {
        Weight::from_parts(10_000_000, 3_000).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn on_poll() -> Weight {
        // Both clocks, what is seen of the price.
        Weight::from_parts(10_000_000, 9_000).saturating_add(ParityDbWeight::get().reads_writes(3, 1))
    }

    fn record_day() -> Weight {
        // What is seen of the price, two days.
        Weight::from_parts(20_000_000, 9_000).saturating_add(ParityDbWeight::get().reads_writes(3, 3))
    }

    fn ask_feed() -> Weight {
        // The combined value and those of up to 16 feeders, policy, price clock, what is seen of the price.
        Weight::from_parts(60_000_000, 30_000).saturating_add(ParityDbWeight::get().reads_writes(22, 2))
    }

    fn next_end() -> Weight {
        Weight::from_parts(10_000_000, 3_000).saturating_add(ParityDbWeight::get().reads(1))
    }

    fn serve_end() -> Weight {
        changed_payer()
    }

    fn next_deadline() -> Weight {
        Weight::from_parts(10_000_000, 3_000).saturating_add(ParityDbWeight::get().reads(1))
    }

    fn serve_deadline() -> Weight {
        Weight::from_parts(10_000_000, 3_000).saturating_add(ParityDbWeight::get().writes(2))
    }

    fn serve_grace() -> Weight {
        // Grace, the deadline of what follows.
        let own = ParityDbWeight::get().reads_writes(2, 2);
        Weight::from_parts(20_000_000, 3_000).saturating_add(own).saturating_add(changed_payer())
    }

    fn serve_review() -> Weight {
        changed_payer()
    }

    fn set_limits() -> Weight {
        // Twin index, limits.
        let own = ParityDbWeight::get().reads_writes(2, 3);
        Weight::from_parts(20_000_000, 3_000).saturating_add(own).saturating_add(changed_payer())
    }

    fn add_provider() -> Weight {
        // Last id, record.
        Weight::from_parts(30_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(1, 2))
    }

    fn set_provider_share() -> Weight {
        Weight::from_parts(30_000_000, 6_000).saturating_add(ParityDbWeight::get().reads_writes(1, 1))
    }

    fn set_auto_refill() -> Weight {
        // Twin index, wish.
        let own = ParityDbWeight::get().reads_writes(2, 3);
        Weight::from_parts(20_000_000, 3_000).saturating_add(own).saturating_add(changed_payer())
    }

    fn buy_traffic() -> Weight {
        // Twin index, accrual, policy, allowance; grace and its deadline.
        let own = ParityDbWeight::get().reads_writes(5, 3);
        Weight::from_parts(60_000_000, 9_000).saturating_add(own).saturating_add(changed_payer())
    }

    fn reprice() -> Weight {
        // Accrual, when prices were announced, policy, heartbeat and its interval, bill; grace and its deadline.
        let own = ParityDbWeight::get().reads_writes(7, 4);
        Weight::from_parts(80_000_000, 15_000).saturating_add(own).saturating_add(changed_payer())
    }

    fn poke() -> Weight {
        // Grace and its deadline.
        let own = ParityDbWeight::get().reads_writes(1, 2);
        Weight::from_parts(20_000_000, 3_000).saturating_add(own).saturating_add(changed_payer())
    }
}
