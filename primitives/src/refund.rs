// SPDX-License-Identifier: Apache-2.0
//! What a node's silence gives back to the tenants who paid through it.
//!
//! A node counts as offline three heartbeats after its last one, and its contracts are suspended some time
//! after that, a few per step. Up to then the ledger has charged for time in which nobody knows whether the
//! node served. When the ledger stops the charge, it gives back
//!
//! ```text
//! lowest rates × lowest price factor × charged stretch of the price clock within the silence
//! ```
//!
//! and never more than the contract has earned and not paid out. Four things can change between the last
//! heartbeat and the suspension, and each would let somebody take more than was charged:
//!
//! - **The contract's rates.** An update to a dearer version during the silence would give the dearer rate
//!   back for all of it. [`ChargeHistory`] keeps the lowest rates of the stretch since the charge began.
//! - **The payer's price factor.** A withdrawal during the silence raises the factor, and would give the full
//!   price back for time that cost 40 % of it. [`PayerHistory`] keeps the lowest factor.
//! - **The payer's grace periods.** While its credit was used up, nothing was charged. [`PayerHistory`] keeps
//!   the last two waits; a silence that gives back at all has no more, since resuming takes credit for an hour.
//! - **The charge itself.** It may have begun during the silence: [`ChargeHistory::since`].
//!
//! Where more changed than is kept, the estimate is too low, never too high: what isn't given back stays the
//! farm's until its node is heard, and the pot always covers it.

use crate::{
    fixed::PriceTime,
    ledger::{Earned, FULL_PRICE, Payer, Rates},
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// A stretch of the price clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct ClockSpan {
    /// Where it begins.
    pub from: PriceTime,
    /// Where it ends.
    pub to: PriceTime,
}

impl ClockSpan {
    /// How much of it lies between `from` and `to`.
    pub fn within(&self, from: PriceTime, to: PriceTime) -> PriceTime {
        self.to.min(to).saturating_sub(self.from.max(from))
    }
}

/// What a refund must know of a payer's past.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct PayerHistory {
    /// The lowest price factor before it changed last, in thousandths.
    pub lowest_factor: u16,
    /// Where on the price clock it changed last.
    pub factor_changed_at: PriceTime,
    /// The last two stretches in which the payer was paused, up to its resumptions.
    pub waits: [ClockSpan; 2],
}

impl Default for PayerHistory {
    fn default() -> Self {
        Self { lowest_factor: FULL_PRICE, factor_changed_at: PriceTime::ZERO, waits: Default::default() }
    }
}

impl PayerHistory {
    /// The factor changes from `old` to another one at `now`.
    pub(crate) fn record_factor(&mut self, old: u16, now: PriceTime) {
        self.lowest_factor = self.lowest_factor.min(old);
        self.factor_changed_at = now;
    }

    /// The payer was paused through `wait`; an empty one leaves no trace.
    pub(crate) fn record_wait(&mut self, wait: ClockSpan) {
        if wait.from < wait.to {
            self.waits = [self.waits[1], wait];
        }
    }

    /// How much of the last waits lies between two places of the price clock.
    pub fn waited(&self, from: PriceTime, to: PriceTime) -> PriceTime {
        self.waits.iter().fold(PriceTime::ZERO, |sum, wait| sum.saturating_add(wait.within(from, to)))
    }
}

/// What a refund must know of a contract's past.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct ChargeHistory {
    /// Where on the price clock the present charge began.
    pub since: PriceTime,
    /// The lowest rates since then, before they changed last.
    pub lowest_rates: Rates,
    /// Where they changed last.
    pub rates_changed_at: PriceTime,
}

impl ChargeHistory {
    /// A charge of `rates` that begins at `now`.
    pub fn starting(rates: Rates, now: PriceTime) -> Self {
        Self { since: now, lowest_rates: rates, rates_changed_at: now }
    }

    /// The rates change from `old` to others at `now`.
    pub fn record_rates(&mut self, old: Rates, now: PriceTime) {
        self.lowest_rates = self.lowest_rates.at_most(&old);
        self.rates_changed_at = now;
    }

    /// The stretch of `silence` in which the settled `payer` was charged, and at which factor at least.
    pub fn charged_within(&self, silence: ClockSpan, payer: &Payer) -> Unserved {
        let from = silence.from.max(self.since);
        let until = silence.to.min(payer.settled_at.clock).min(payer.end);
        let stretch = until.saturating_sub(from).saturating_sub(payer.history.waited(from, until));
        Unserved { from, stretch, factor: payer.lowest_factor_since(from) }
    }
}

/// A charged stretch of the price clock in which a node served nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unserved {
    from: PriceTime,
    stretch: PriceTime,
    factor: u16,
}

impl Unserved {
    /// What it cost at least, at the present `rates` and those of `history`.
    pub fn least_cost(&self, rates: Rates, history: &ChargeHistory) -> Earned {
        let changed = self.from < history.rates_changed_at;
        let lowest = if changed { rates.at_most(&history.lowest_rates) } else { rates };
        self.cost_of(lowest)
    }

    /// What `rates` cost over it.
    pub fn cost_of(&self, rates: Rates) -> Earned {
        rates.cost_of(self.stretch, self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: u128, to: u128) -> ClockSpan {
        ClockSpan { from: PriceTime::from_raw(from), to: PriceTime::from_raw(to) }
    }

    #[test]
    fn a_span_says_how_much_of_it_lies_within() {
        let within = [(0, 30), (0, 15), (15, 30), (20, 30), (0, 10), (12, 13)]
            .map(|(a, b)| span(10, 20).within(PriceTime::from_raw(a), PriceTime::from_raw(b)).raw());
        assert_eq!(within, [10, 5, 5, 0, 0, 1]);
    }

    #[test]
    fn empty_waits_leave_no_trace() {
        let mut history = PayerHistory::default();
        for wait in [span(1, 2), span(5, 7), span(9, 9)] {
            history.record_wait(wait);
        }
        assert_eq!(history.waits, [span(1, 2), span(5, 7)]);
        assert_eq!(history.waited(PriceTime::ZERO, PriceTime::MAX).raw(), 3);
    }
}
