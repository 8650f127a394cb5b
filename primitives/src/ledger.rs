// SPDX-License-Identifier: Apache-2.0
//! The arithmetic of the payer ledger: pure, exact and independent of how often anybody settles.
//!
//! A [`Payer`] has a credit and the sums of the rates of its running contracts. Its [`Funded`] clocks
//! follow the price clock while there is credit: one at the speed of the discount, one at full speed for
//! extra fees. A contract's earnings are its rate times the stretch of its payer's funded clocks
//! ([`Accrual`]), so starting, stopping, pausing and settling touch one payer record and no contract.
//!
//! Nothing is rounded here: rates are whole numbers and clocks are Q64.64, so their products are exact
//! Q64.64 amounts, and the discount's division by 1000 keeps its remainder in [`Funded::carry`]. Hence
//! the moment at which a payer runs out ([`Payer::end`]) is the same whenever it is computed.
//!
//! Who has run out is *paused* until somebody says that it goes on ([`Payer::resume`]): what is paid in
//! meanwhile is kept, but moves no clock. So a deposit of a unit doesn't start contracts for a moment.

use crate::{
    fixed::{Q64, mul_div},
    units::{Balance, GridMillis, HOUR_MS, UsdAmount, UsdRate},
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::U256;

/// Full speed of a funded clock, in thousandths.
pub const FULL_SPEED: u16 = 1_000;

/// A point in time, on both scales that the ledger needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The price clock.
    pub clock: Q64,
    /// Charged milliseconds ([`crate::PriceClock::total_ms`]).
    pub ms: u64,
}

/// What is charged per hour.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Rates {
    /// For capacity: the discount applies, the proceeds are shared.
    pub usd: UsdRate,
    /// The farmer's extra fee: no discount, wholly the farmer's.
    pub extra: UsdRate,
}

/// Clocks that advance only while their payer has credit.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Funded {
    /// The price clock at the speed of the discount.
    pub discounted: Q64,
    /// What the discount's division left over, in thousandths of the last place of `discounted`.
    pub carry: u16,
    /// The price clock at full speed.
    pub full: Q64,
    /// Time at the speed of the discount, in milliseconds × 1000.
    pub discounted_ms_permille: u128,
    /// Time at full speed, in milliseconds.
    pub full_ms: u64,
}

/// A stretch of the price clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Gap {
    /// Where it begins.
    pub from: Q64,
    /// Where it ends.
    pub to: Q64,
}

impl Gap {
    /// How much of it lies between `from` and `to`.
    pub fn within(&self, from: Q64, to: Q64) -> Q64 {
        self.to.min(to).saturating_sub(self.from.max(from))
    }
}

/// Sums of rates, in 1e-10 USD per hour: those of contracts that no node has deployed yet or whose node is
/// silent, and what versions cost more that their node hasn't confirmed.
///
/// Credit must suffice for them, limits bind them and they shorten the runway, as if they were charged:
/// otherwise many contracts would live on the credit of one, and a silent node would earn its users a discount.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Promised {
    /// For capacity.
    pub rate: u128,
    /// Extra fees.
    pub extra: u128,
}

/// The lowest speed that the discounted clock had before a place on the price clock.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Slower {
    /// The speed, in thousandths.
    pub speed: u16,
    /// Where it changed last.
    pub until: Q64,
}

impl Default for Slower {
    fn default() -> Self {
        Self { speed: FULL_SPEED, until: 0 }
    }
}

/// The ledger's record of a payer (a twin).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Payer {
    /// What is left, as Q64.64 of 1e-7 TFT, at `settled_at`.
    pub credit: Q64,
    /// Sum of the capacity rates of the running contracts.
    pub rate: u128,
    /// Sum of their extra fees.
    pub extra: u128,
    /// Rates that aren't charged now, but will be without another word of the owner.
    pub promised: Promised,
    /// Speed of the discounted clock in thousandths; [`FULL_SPEED`] without a discount.
    pub speed: u16,
    /// How slow it was before.
    pub slower: Slower,
    /// Where the funded clocks stood at `settled_at`.
    pub funded: Funded,
    /// The price clock at the last settlement.
    pub settled_at: Q64,
    /// Charged milliseconds at the last settlement.
    pub settled_ms: u64,
    /// The place on the price clock at which the credit is used up; `Q64::MAX` when nothing runs.
    pub end: Q64,
    /// It ran out and waits: credit moves no clock until it is resumed.
    pub paused: bool,
    /// Where on the price clock it waited the last two times, up to its resumptions. A silence of a node has no
    /// more: whoever resumes has credit for an hour.
    pub gaps: [Gap; 2],
    /// What was paid in and not taken out since it last ran out, in 1e-7 TFT: what patience with it is worth.
    pub paid: Balance,
    /// When its discount is found anew, in grid time; 0 while nobody looks.
    pub review_at: GridMillis,
}

impl Default for Payer {
    fn default() -> Self {
        Self {
            credit: 0,
            rate: 0,
            extra: 0,
            promised: Promised::default(),
            speed: FULL_SPEED,
            slower: Slower::default(),
            funded: Funded::default(),
            settled_at: 0,
            settled_ms: 0,
            end: Q64::MAX,
            paused: false,
            gaps: Default::default(),
            paid: 0,
            review_at: 0,
        }
    }
}

impl Payer {
    /// Brings the record to `now`: the funded clocks move on to now or to the end of the credit,
    /// whichever is first, and the credit pays for it. Settling twice is the same as settling once.
    pub fn settle(&mut self, now: Moment) {
        let (passed, passed_ms) = self.funded_stretch(now);
        let scaled = U256::from(passed) * U256::from(self.speed) + U256::from(self.funded.carry);
        let (discounted, carry) = scaled.div_mod(FULL_SPEED.into());
        let discounted = u128::try_from(discounted).unwrap_or(u128::MAX);

        let funded = &mut self.funded;
        funded.discounted = funded.discounted.saturating_add(discounted);
        funded.carry = u16::try_from(carry.low_u32()).unwrap_or(0);
        funded.full = funded.full.saturating_add(passed);
        funded.discounted_ms_permille =
            funded.discounted_ms_permille.saturating_add(u128::from(passed_ms) * u128::from(self.speed));
        funded.full_ms = funded.full_ms.saturating_add(passed_ms);

        let cost = mul_div(self.rate, discounted, 1).saturating_add(mul_div(self.extra, passed, 1));
        self.credit = self.credit.saturating_sub(cost);
        self.settled_at = self.settled_at.max(now.clock);
        self.settled_ms = self.settled_ms.max(now.ms);
    }

    /// Settles, applies `change` to credit, rates or speed, and finds the new end.
    pub fn change<R>(&mut self, now: Moment, change: impl FnOnce(&mut Self) -> R) -> R {
        self.settle(now);
        let result = change(self);
        self.end = self.new_end();
        result
    }

    /// Adds credit that counts from where the old ended, though that is noticed only `now`.
    pub fn prolong(&mut self, now: Moment, amount: Q64) {
        let (stretch, ms) = self.funded_stretch(now);
        let ended =
            Moment { clock: self.settled_at.saturating_add(stretch), ms: self.settled_ms.saturating_add(ms) };
        self.change(ended, |p| p.credit = p.credit.saturating_add(amount));
    }

    /// It has run out and waits from now on.
    pub fn pause(&mut self, now: Moment) {
        self.change(now, |p| p.paused = true);
    }

    /// It goes on with what credit it has.
    pub fn resume(&mut self, now: Moment) {
        let from = self.end;
        self.change(now, |p| {
            p.paused = false;
            let gap = Gap { from: from.min(p.settled_at), to: p.settled_at };
            if gap.from < gap.to {
                p.gaps = [p.gaps[1], gap];
            }
        });
    }

    /// How much of its last waits lies between two places of the price clock.
    pub fn waited(&self, from: Q64, to: Q64) -> Q64 {
        self.gaps.iter().fold(0, |sum, gap| sum.saturating_add(gap.within(from, to)))
    }

    /// The discounted clock has another speed from now on. Call within [`Payer::change`].
    pub fn set_speed(&mut self, speed: u16) {
        if speed != self.speed {
            self.slower = Slower { speed: self.slower.speed.min(self.speed), until: self.settled_at };
            self.speed = speed;
        }
    }

    /// The lowest speed that it can have had since a place on the price clock: what is given back for that time
    /// is no more than what was charged.
    pub fn slowest_since(&self, place: Q64) -> u16 {
        let earlier = if place < self.slower.until { self.slower.speed } else { FULL_SPEED };
        self.speed.min(earlier)
    }

    /// Adds a contract's rates to the sums. Call within [`Payer::change`].
    pub fn add(&mut self, rates: Rates) {
        self.rate = self.rate.saturating_add(rates.usd.into());
        self.extra = self.extra.saturating_add(rates.extra.into());
    }

    /// Takes a contract's rates from the sums. Call within [`Payer::change`].
    pub fn remove(&mut self, rates: Rates) {
        self.rate = self.rate.saturating_sub(rates.usd.into());
        self.extra = self.extra.saturating_sub(rates.extra.into());
    }

    /// These rates may be charged without another word of the owner. Call within [`Payer::change`].
    pub fn promise(&mut self, rates: Rates) {
        self.promised.rate = self.promised.rate.saturating_add(rates.usd.into());
        self.promised.extra = self.promised.extra.saturating_add(rates.extra.into());
    }

    /// They are charged now, or never will be. Call within [`Payer::change`].
    pub fn take_back(&mut self, rates: Rates) {
        self.promised.rate = self.promised.rate.saturating_sub(rates.usd.into());
        self.promised.extra = self.promised.extra.saturating_sub(rates.extra.into());
    }

    /// All capacity rates, those that are promised among them.
    pub fn whole_rate(&self) -> u128 {
        self.rate.saturating_add(self.promised.rate)
    }

    /// All extra fees, those that are promised among them.
    pub fn whole_extra(&self) -> u128 {
        self.extra.saturating_add(self.promised.extra)
    }

    /// Whether anything is charged at all.
    pub fn is_charged(&self) -> bool {
        self.rate > 0 || self.extra > 0
    }

    /// Whether contracts run on credit that is used up: they are *paused*.
    pub fn is_exhausted(&self, clock: Q64) -> bool {
        self.is_charged() && clock >= self.end
    }

    /// Whether its credit has ended and nobody has noticed.
    pub fn is_due(&self, clock: Q64) -> bool {
        !self.paused && self.is_exhausted(clock)
    }

    /// Where on the price clock somebody must look at it, if anywhere.
    pub fn agenda_end(&self) -> Option<Q64> {
        (self.is_charged() && !self.paused).then_some(self.end)
    }

    /// How far on the price clock `amount` (Q64.64 of 1e-7 TFT) lasts at the present rates and discount;
    /// `Q64::MAX` where nothing is charged.
    pub fn stretch_of(&self, amount: Q64) -> Q64 {
        let budget = U256::from(amount) * U256::from(FULL_SPEED);
        budget.checked_div(self.per_clock()).map_or(Q64::MAX, |s| u128::try_from(s).unwrap_or(Q64::MAX))
    }

    /// How far its credit would last without a discount if all that is promised were charged, rounded up so
    /// that credit for exactly a month is a month; `None` where nothing is charged.
    pub fn runway(&self) -> Option<Q64> {
        self.is_charged().then(|| self.credit.div_ceil(self.whole_rate().saturating_add(self.whole_extra())))
    }

    /// What all that is charged costs over `stretch` of the price clock, discount included, in Q64.64 of
    /// 1e-7 TFT.
    pub fn cost_of(&self, stretch: Q64) -> Q64 {
        cost_at(self.rate, self.extra, self.speed, stretch)
    }

    /// The same for all that is charged or promised.
    pub fn whole_cost_of(&self, stretch: Q64) -> Q64 {
        cost_at(self.whole_rate(), self.whole_extra(), self.speed, stretch)
    }

    /// How far the funded clocks move from the last settlement to `now`, and the time it took. Where
    /// the credit ended in between, the time is that part of it which the clock covered.
    fn funded_stretch(&self, now: Moment) -> (Q64, u64) {
        if !self.is_charged() {
            return (0, 0);
        }
        let passed = now.clock.saturating_sub(self.settled_at);
        let ms = now.ms.saturating_sub(self.settled_ms);
        let funded = passed.min(self.end.saturating_sub(self.settled_at));
        if funded == passed {
            return (passed, ms);
        }
        (funded, u64::try_from(mul_div(ms.into(), funded, passed)).unwrap_or(u64::MAX))
    }

    fn new_end(&self) -> Q64 {
        match (self.is_charged(), self.paused) {
            (false, _) => Q64::MAX,
            (true, true) => self.end.min(self.settled_at),
            (true, false) => self.find_end(),
        }
    }

    /// What a unit of the price clock costs, in thousandths.
    fn per_clock(&self) -> U256 {
        U256::from(self.rate) * U256::from(self.speed) + U256::from(self.extra) * U256::from(FULL_SPEED)
    }

    /// The greatest stretch `Δ` with `rate × ⌊(Δ × speed + carry) ÷ 1000⌋ + extra × Δ ≤ credit`, on from
    /// the last settlement. The carry makes the answer the same from wherever it is computed.
    fn find_end(&self) -> Q64 {
        let carried = U256::from(self.rate) * U256::from(self.funded.carry);
        let budget = (U256::from(self.credit) * U256::from(FULL_SPEED)).saturating_sub(carried);
        let stretch = budget.checked_div(self.per_clock()).unwrap_or_default();
        u128::try_from(U256::from(self.settled_at).saturating_add(stretch)).unwrap_or(Q64::MAX)
    }
}

/// What sums of rates cost at most over `stretch` of the price clock, where the discounted clock has this speed.
fn cost_at(usd: u128, extra: u128, speed: u16, stretch: Q64) -> Q64 {
    let discounted = mul_div(usd, speed.into(), FULL_SPEED.into()).saturating_add(1).min(usd);
    mul_div(discounted.saturating_add(extra), stretch, 1)
}

/// What a contract has earned.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Earned {
    /// For capacity, to be shared; Q64.64 of 1e-7 TFT.
    pub shared: Q64,
    /// Extra fee, the farmer's; Q64.64 of 1e-7 TFT.
    pub extra: Q64,
}

impl Earned {
    /// Both parts together.
    pub fn total(&self) -> Q64 {
        self.shared.saturating_add(self.extra)
    }

    /// Part by part sum.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            shared: self.shared.saturating_add(other.shared),
            extra: self.extra.saturating_add(other.extra),
        }
    }

    /// Part by part difference, zero where it would be negative.
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            shared: self.shared.saturating_sub(other.shared),
            extra: self.extra.saturating_sub(other.extra),
        }
    }

    /// Part by part minimum.
    pub fn at_most(&self, limit: &Self) -> Self {
        Self { shared: self.shared.min(limit.shared), extra: self.extra.min(limit.extra) }
    }
}

/// What a contract has been charged over its life.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Charge {
    /// In Q64.64 of 1e-7 TFT.
    pub tft: Q64,
    /// In 1e-10 USD.
    pub usd: UsdAmount,
}

impl Charge {
    /// Part by part sum.
    pub fn plus(&self, other: &Self) -> Self {
        Self { tft: self.tft.saturating_add(other.tft), usd: self.usd.saturating_add(other.usd) }
    }

    /// The charge when `back` of it (Q64.64 of 1e-7 TFT) is given back, USD in proportion.
    pub fn less(&self, back: Q64) -> Self {
        let back = back.min(self.tft);
        let usd = mul_div(self.usd, back, self.tft);
        Self { tft: self.tft.saturating_sub(back), usd: self.usd.saturating_sub(usd) }
    }
}

impl Rates {
    /// Part by part minimum.
    pub fn at_most(&self, limit: &Self) -> Self {
        Self { usd: self.usd.min(limit.usd), extra: self.extra.min(limit.extra) }
    }

    /// What they cost over a stretch of the price clock when the discounted clock has this speed.
    pub fn cost_of(&self, stretch: Q64, speed: u16) -> Earned {
        Earned {
            shared: mul_div(mul_div(self.usd.into(), stretch, 1), speed.into(), FULL_SPEED.into()),
            extra: mul_div(self.extra.into(), stretch, 1),
        }
    }
}

/// A running contract's place on its payer's funded clocks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Accrual {
    /// What it costs.
    pub rates: Rates,
    /// The funded clocks when it was last asked for its earnings.
    pub claimed_at: Funded,
    /// What it was charged up to then.
    pub charged: Charge,
    /// What was left over of the USD in the last claim, in 1e-10 USD ÷ 3.6e9.
    pub usd_carry: u128,
}

/// One hour, in the unit of [`Funded::discounted_ms_permille`].
const HOUR_MS_PERMILLE: u128 = HOUR_MS as u128 * FULL_SPEED as u128;

impl Accrual {
    /// A contract that starts now, on the clocks of a settled payer.
    pub fn start(rates: Rates, clocks: Funded) -> Self {
        Self { rates, claimed_at: clocks, ..Self::default() }
    }

    /// What it earned since the last claim, on the clocks of a settled payer.
    pub fn earned(&self, clocks: &Funded) -> Earned {
        Earned {
            shared: mul_div(
                self.rates.usd.into(),
                clocks.discounted.saturating_sub(self.claimed_at.discounted),
                1,
            ),
            extra: mul_div(self.rates.extra.into(), clocks.full.saturating_sub(self.claimed_at.full), 1),
        }
    }

    /// Takes what it earned: the earnings go to whoever shares them, the contract counts from now.
    pub fn claim(&mut self, clocks: &Funded) -> Earned {
        let earned = self.earned(clocks);
        let usd = self.usd_permille_ms(clocks);
        self.charged.tft = self.charged.tft.saturating_add(earned.shared).saturating_add(earned.extra);
        self.charged.usd = self.charged.usd.saturating_add(usd / HOUR_MS_PERMILLE);
        self.usd_carry = usd % HOUR_MS_PERMILLE;
        self.claimed_at = *clocks;
        earned
    }

    /// What the contract has been charged in all, on the clocks of a settled payer.
    pub fn charge(&self, clocks: &Funded) -> Charge {
        let mut now = *self;
        now.claim(clocks);
        now.charged
    }

    fn usd_permille_ms(&self, clocks: &Funded) -> u128 {
        let at = &self.claimed_at;
        let shared = clocks.discounted_ms_permille.saturating_sub(at.discounted_ms_permille);
        let extra = u128::from(clocks.full_ms.saturating_sub(at.full_ms)) * u128::from(FULL_SPEED);
        mul_div(self.rates.usd.into(), shared, 1)
            .saturating_add(mul_div(self.rates.extra.into(), extra, 1))
            .saturating_add(self.usd_carry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::stretch,
        fixed::{ONE, from_whole, whole},
    };
    use proptest::prelude::*;

    const PRICE: u64 = 500_000;

    fn at(ms: u64) -> Moment {
        Moment { clock: stretch(ms, PRICE), ms }
    }

    fn payer(credit: u128, rates: Rates, speed: u16) -> Payer {
        let mut payer = Payer { speed, ..Payer::default() };
        payer.change(at(0), |p| {
            p.credit = from_whole(credit);
            p.add(rates);
        });
        payer
    }

    const RATES: Rates = Rates { usd: 10_000_000_000, extra: 0 };

    #[test]
    fn an_hour_at_one_dollar_costs_twenty_tft_at_five_cents() {
        let mut payer = payer(1_000_000_000, RATES, FULL_SPEED);
        let accrual = Accrual::start(RATES, payer.funded);
        payer.settle(at(HOUR_MS));
        let charge = accrual.charge(&payer.funded);
        // 20 TFT are 200,000,000 units; the clock's last place is lost.
        assert_eq!(whole(charge.tft + ONE - 1), 200_000_000);
        assert_eq!(charge.usd, 10_000_000_000);
        assert_eq!(payer.credit + charge.tft, from_whole(1_000_000_000));
    }

    #[test]
    fn a_discount_slows_the_clock_and_leaves_the_extra_fee_alone() {
        let rates = Rates { usd: 10_000_000_000, extra: 10_000_000_000 };
        let mut payer = payer(1_000_000_000, rates, 400);
        let accrual = Accrual::start(rates, payer.funded);
        payer.settle(at(HOUR_MS));
        let earned = accrual.earned(&payer.funded);
        assert_eq!(crate::fixed::ceil(earned.shared), 80_000_000);
        assert_eq!(crate::fixed::ceil(earned.extra), 200_000_000);
        assert_eq!(accrual.charge(&payer.funded).usd, 14_000_000_000);
    }

    #[test]
    fn an_exhausted_payer_stops_at_its_end_and_owes_nothing() {
        let mut payer = payer(100_000_000, RATES, FULL_SPEED); // half an hour
        let end = payer.end;
        assert!(!payer.is_exhausted(at(HOUR_MS / 2 - 1).clock));
        payer.settle(at(HOUR_MS));
        assert!(payer.is_exhausted(at(HOUR_MS).clock));
        assert_eq!(payer.funded.full, end, "the clock began at zero");
        assert!(payer.credit < u128::from(RATES.usd), "less than one last place of the clock is left");
        let half_an_hour = HOUR_MS / 2;
        assert!(payer.funded.full_ms.abs_diff(half_an_hour) <= 1);

        // Time without credit is never charged, not even after a deposit.
        payer.change(at(2 * HOUR_MS), |p| p.credit += from_whole(100_000_000));
        payer.settle(at(2 * HOUR_MS));
        assert!(payer.funded.full_ms.abs_diff(half_an_hour) <= 1);
        payer.settle(at(2 * HOUR_MS + 60_000));
        assert!(payer.funded.full_ms.abs_diff(half_an_hour + 60_000) <= 1);
    }

    #[test]
    fn a_paused_payer_keeps_what_is_paid_in_until_it_is_resumed() {
        let mut payer = payer(100_000_000, RATES, FULL_SPEED); // half an hour
        let end = payer.end;
        assert!(payer.is_due(end) && payer.agenda_end() == Some(end));
        payer.pause(at(HOUR_MS));
        payer.change(at(2 * HOUR_MS), |p| p.credit += from_whole(100_000_000));
        assert!(payer.is_exhausted(at(2 * HOUR_MS).clock) && !payer.is_due(at(2 * HOUR_MS).clock));
        assert_eq!((payer.agenda_end(), payer.end), (None, end));
        payer.settle(at(3 * HOUR_MS));
        assert_eq!(whole(payer.credit), 100_000_000);

        payer.resume(at(3 * HOUR_MS));
        let gap = Gap { from: end, to: at(3 * HOUR_MS).clock };
        assert_eq!(payer.gaps, [Gap::default(), gap]);
        assert_eq!(payer.waited(0, Q64::MAX), gap.to - gap.from);
        payer.settle(at(3 * HOUR_MS + HOUR_MS / 4));
        assert!(whole(payer.credit).abs_diff(50_000_000) <= 1);
        // Who has nothing that runs isn't exhausted, paused or not.
        payer.pause(at(4 * HOUR_MS));
        payer.change(at(4 * HOUR_MS), |p| p.remove(RATES));
        assert_eq!((payer.end, payer.is_exhausted(Q64::MAX)), (Q64::MAX, false));
    }

    #[test]
    fn credit_that_prolongs_counts_from_the_old_end() {
        let (mut late, mut prompt) = (payer(100_000_000, RATES, 700), payer(100_000_000, RATES, 700));
        let noticed = at(HOUR_MS);
        late.prolong(noticed, from_whole(300_000_000));
        prompt.change(at(HOUR_MS / 4), |p| p.credit += from_whole(300_000_000));
        assert_eq!(late.end, prompt.end);
        late.settle(noticed);
        prompt.settle(noticed);
        assert_eq!((late.credit, late.funded.full), (prompt.credit, prompt.funded.full));
    }

    #[test]
    fn runway_ignores_the_discount_and_what_an_amount_buys_does_not() {
        let payer = payer(200_000_000, RATES, 500);
        assert!(payer.runway().unwrap().abs_diff(at(HOUR_MS).clock) <= 1);
        assert!(payer.stretch_of(from_whole(200_000_000)).abs_diff(2 * at(HOUR_MS).clock) <= 4);
        let idle = Payer::default();
        assert_eq!((idle.runway(), idle.stretch_of(1)), (None, Q64::MAX));
    }

    #[test]
    fn what_is_promised_shortens_the_runway_and_is_not_charged() {
        let mut payer = payer(200_000_000, RATES, FULL_SPEED);
        payer.change(at(0), |p| p.promise(RATES));
        assert!(payer.runway().unwrap().abs_diff(at(HOUR_MS / 2).clock) <= 1);
        assert_eq!(payer.whole_cost_of(at(HOUR_MS).clock), 2 * payer.cost_of(at(HOUR_MS).clock));
        let end = payer.end;
        payer.change(at(HOUR_MS / 2), |p| p.take_back(RATES));
        assert_eq!((payer.end, payer.promised), (end, Promised::default()));
    }

    #[test]
    fn the_slowest_speed_since_a_place_is_one_that_it_had_or_less() {
        let mut payer = payer(1_000_000_000, RATES, 400);
        let (first, second) = (at(HOUR_MS), at(2 * HOUR_MS));
        payer.change(first, |p| p.set_speed(FULL_SPEED));
        assert_eq!([0, first.clock - 1, first.clock].map(|p| payer.slowest_since(p)), [400, 400, 1_000]);
        payer.change(second, |p| p.set_speed(800));
        let places = [0, first.clock, second.clock];
        assert_eq!(places.map(|p| payer.slowest_since(p)), [400, 400, 800]);
    }

    #[test]
    fn the_last_two_waits_are_known_and_idle_ones_are_none() {
        let mut payer = payer(100_000_000, RATES, FULL_SPEED); // half an hour
        for hour in [1, 3] {
            payer.pause(at(hour * HOUR_MS));
            payer.change(at((hour + 1) * HOUR_MS), |p| p.credit += from_whole(100_000_000));
            payer.resume(at((hour + 1) * HOUR_MS));
        }
        let waited = at(3 * HOUR_MS).clock; // from half past 0 to 2, and from half past 2 to 4
        assert!(payer.waited(0, Q64::MAX).abs_diff(waited) <= 2);
        let gaps = payer.gaps;
        payer.change(at(4 * HOUR_MS), |p| p.remove(RATES));
        payer.pause(at(5 * HOUR_MS));
        payer.resume(at(6 * HOUR_MS));
        assert_eq!(payer.gaps, gaps);
    }

    #[test]
    fn a_gap_knows_how_much_of_it_lies_within() {
        let gap = Gap { from: 10, to: 20 };
        let within = [(0, 30), (0, 15), (15, 30), (20, 30), (0, 10), (12, 13)].map(|(a, b)| gap.within(a, b));
        assert_eq!(within, [10, 5, 5, 0, 0, 1]);
    }

    #[test]
    fn a_payer_without_contracts_pays_nothing() {
        let mut payer = payer(5, Rates::default(), FULL_SPEED);
        payer.settle(at(1_000 * HOUR_MS));
        assert_eq!(payer.credit, from_whole(5));
        assert!(!payer.is_exhausted(Q64::MAX));
    }

    #[test]
    fn the_largest_rate_credit_and_clock_do_not_overflow() {
        let rates = Rates { usd: u64::MAX, extra: u64::MAX };
        let mut payer = Payer::default();
        payer.change(Moment::default(), |p| {
            p.credit = Q64::MAX;
            for _ in 0..10_000 {
                p.add(rates);
            }
        });
        payer.settle(Moment { clock: Q64::MAX, ms: u64::MAX });
        assert!(payer.end < Q64::MAX);
        payer.change(Moment::default(), |p| p.promise(rates));
        let _ = payer.whole_cost_of(Q64::MAX);
    }

    proptest! {
        /// However often anybody settles, the record is the same to the last bit.
        #[test]
        fn settling_more_often_changes_nothing(
            credit in 0u128..1 << 40,
            usd in 0u64..1 << 50,
            extra in 0u64..1 << 50,
            speed in prop::sample::select(vec![400u16, 600, 700, 800, 1000]),
            mut stops in prop::collection::vec(0u64..1_000 * HOUR_MS, 1..20),
        ) {
            stops.sort_unstable();
            let last = at(*stops.last().unwrap());
            let mut once = payer(credit, Rates { usd, extra }, speed);
            let mut often = once;
            let end = once.end;
            for stop in stops {
                often.change(at(stop), |_| ());
                if often.settled_at < end {
                    prop_assert_eq!(often.end, end, "the end moved");
                }
            }
            once.settle(last);
            prop_assert_eq!(once.credit, often.credit);
            prop_assert_eq!(once.funded.discounted, often.funded.discounted);
            prop_assert_eq!(once.funded.full, often.funded.full);
        }

        /// What payers lose is what contracts earn, whoever starts, stops and claims when.
        #[test]
        fn credit_lost_is_what_contracts_earned(
            credit in 0u128..1 << 40,
            steps in prop::collection::vec((0u64..10 * HOUR_MS, 0usize..4, 1u64..1 << 44, 0u64..1 << 40), 1..60),
            speed in prop::sample::select(vec![400u16, 600, 700, 800, 1000]),
        ) {
            let mut payer = payer(credit, Rates::default(), speed);
            let mut running: Vec<Accrual> = Vec::new();
            let (mut ms, mut earned) = (0, 0u128);
            for (delay, action, usd, extra) in steps {
                ms += delay;
                match action {
                    0 => {
                        let rates = Rates { usd, extra };
                        payer.change(at(ms), |p| p.add(rates));
                        running.push(Accrual::start(rates, payer.funded));
                    }
                    1 if !running.is_empty() => {
                        let mut accrual = running.remove(usd as usize % running.len());
                        payer.change(at(ms), |p| p.remove(accrual.rates));
                        let e = accrual.claim(&payer.funded);
                        earned += e.shared + e.extra;
                    }
                    2 if !running.is_empty() => {
                        payer.settle(at(ms));
                        let i = usd as usize % running.len();
                        let e = running[i].claim(&payer.funded);
                        earned += e.shared + e.extra;
                    }
                    _ => payer.settle(at(ms)),
                }
            }
            payer.settle(at(ms));
            let unclaimed: u128 =
                running.iter().map(|a| a.earned(&payer.funded)).map(|e| e.shared + e.extra).sum();
            prop_assert_eq!(payer.credit + earned + unclaimed, from_whole(credit));
            prop_assert_eq!(payer.rate, running.iter().map(|a| u128::from(a.rates.usd)).sum::<u128>());
        }
    }
}
