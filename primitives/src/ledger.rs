// SPDX-License-Identifier: Apache-2.0
//! The arithmetic of the payer ledger: pure, exact and independent of how often anybody settles.
//!
//! A [`Payer`] has a credit and the sum of the rates of its charged contracts. Its [`FundedClocks`] follow the
//! price clock while there is credit: one at the price factor, one at the full price for extra fees. A
//! contract's earnings are its rate times the stretch of its payer's funded clocks ([`Accrual`]), so starting,
//! stopping, pausing and settling touch one payer record and no contract.
//!
//! Nothing is rounded here: rates are whole numbers and clocks are Q64.64, so their products are exact
//! amounts, and the price factor's division by 1000 keeps its remainder in [`FundedClocks::carry`]. Hence the
//! place at which a payer's credit is used up ([`Payer::end`]) is the same whenever it is computed.
//!
//! A payer whose credit is used up is *paused* until it is resumed ([`Payer::resume`]): what is paid in
//! meanwhile is kept, but moves no clock, so that a deposit of a unit starts no contract for a moment.

use crate::{
    fixed::{ExactTft, PriceTime, mul_div},
    refund::{ClockSpan, PayerHistory},
    units::{Balance, GridMillis, HOUR_MS, UsdAmount, UsdRate},
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::U256;

/// The price factor of a payer that pays the full list price, in thousandths.
pub const FULL_PRICE: u16 = 1_000;

/// A point in time, on both scales that the ledger needs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Moment {
    /// The price clock.
    pub clock: PriceTime,
    /// Charged milliseconds ([`crate::PriceClock::total_ms`]).
    pub ms: u64,
}

/// What a contract costs per hour.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Rates {
    /// For capacity: the price factor applies, the proceeds are shared.
    pub usd: UsdRate,
    /// The farmer's extra fee: always in full, wholly the farmer's.
    pub extra: UsdRate,
}

impl Rates {
    /// Rates of a contract that costs nothing.
    pub const ZERO: Self = Self { usd: 0, extra: 0 };

    /// Part by part minimum.
    pub fn at_most(&self, limit: &Self) -> Self {
        Self { usd: self.usd.min(limit.usd), extra: self.extra.min(limit.extra) }
    }

    /// Part by part maximum.
    pub fn at_least(&self, least: &Self) -> Self {
        Self { usd: self.usd.max(least.usd), extra: self.extra.max(least.extra) }
    }

    /// Part by part difference, zero where it would be negative.
    pub fn beyond(&self, other: &Self) -> Self {
        Self { usd: self.usd.saturating_sub(other.usd), extra: self.extra.saturating_sub(other.extra) }
    }

    /// What they cost over a stretch of the price clock at a price factor.
    pub fn cost_of(&self, stretch: PriceTime, price_factor: u16) -> Earned {
        Earned {
            shared: stretch.cost_of(self.usd.into()).permille(price_factor),
            extra: stretch.cost_of(self.extra.into()),
        }
    }
}

/// The sum of many contracts' [`Rates`], in 1e-10 USD per hour.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct RateSums {
    /// For capacity.
    pub usd: u128,
    /// Extra fees.
    pub extra: u128,
}

impl RateSums {
    /// Adds a contract's rates.
    pub fn add(&mut self, rates: Rates) {
        *self = self.plus(&Self { usd: rates.usd.into(), extra: rates.extra.into() });
    }

    /// Takes a contract's rates away.
    pub fn remove(&mut self, rates: Rates) {
        self.usd = self.usd.saturating_sub(rates.usd.into());
        self.extra = self.extra.saturating_sub(rates.extra.into());
    }

    /// Part by part sum.
    pub fn plus(&self, other: &Self) -> Self {
        Self { usd: self.usd.saturating_add(other.usd), extra: self.extra.saturating_add(other.extra) }
    }

    /// Both parts together, at the full price.
    pub fn total(&self) -> u128 {
        self.usd.saturating_add(self.extra)
    }

    /// Whether they are zero.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// What they cost at most over `stretch` of the price clock at a price factor.
    pub fn cost_of(&self, stretch: PriceTime, price_factor: u16) -> ExactTft {
        let factored = mul_div(self.usd, price_factor.into(), FULL_PRICE.into());
        let rounded_up = factored.saturating_add(1).min(self.usd);
        stretch.cost_of(rounded_up.saturating_add(self.extra))
    }
}

/// Clocks that advance only while their payer has credit.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct FundedClocks {
    /// The price clock at the price factor.
    pub factored: PriceTime,
    /// The remainder of the price factor's division, in thousandths of the last place of `factored`.
    pub carry: u16,
    /// The price clock at the full price.
    pub full: PriceTime,
    /// Time at the price factor, in milliseconds × 1000.
    pub factored_ms_permille: u128,
    /// Time at the full price, in milliseconds.
    pub full_ms: u64,
}

/// The ledger's record of a payer (a twin).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Payer {
    /// The credit at `settled_at`.
    pub credit: ExactTft,
    /// Sum of the rates that are charged now.
    pub charged: RateSums,
    /// Sum of the rates that will be charged without another word of the owner: of contracts that no node has
    /// deployed yet or whose node is silent, and what proposed versions cost more than the present ones.
    ///
    /// Credit covers them, limits bind them and they shorten the runway, as if they were charged. Otherwise
    /// many contracts would live on the credit of one, and a silent node would earn its tenants a discount.
    pub committed: RateSums,
    /// What of the list price is paid, in thousandths: [`FULL_PRICE`] without a discount.
    pub price_factor: u16,
    /// Where the funded clocks stood at `settled_at`.
    pub funded: FundedClocks,
    /// When it was settled last.
    pub settled_at: Moment,
    /// The place on the price clock at which the credit is used up; the largest one while nothing is charged.
    pub end: PriceTime,
    /// Its credit was used up, and moves no clock until the payer is resumed.
    pub paused: bool,
    /// What was paid in and not taken out since the last grace period began, in 1e-7 TFT: it bounds the next
    /// one's length.
    pub paid: Balance,
    /// Grid time of the next review of its price factor; 0 while none is armed.
    pub review_at: GridMillis,
    /// What refunds must know of its past.
    pub history: PayerHistory,
}

impl Default for Payer {
    fn default() -> Self {
        Self {
            credit: ExactTft::ZERO,
            charged: RateSums::default(),
            committed: RateSums::default(),
            price_factor: FULL_PRICE,
            funded: FundedClocks::default(),
            settled_at: Moment::default(),
            end: PriceTime::MAX,
            paused: false,
            paid: 0,
            review_at: 0,
            history: PayerHistory::default(),
        }
    }
}

impl Payer {
    /// Brings the record to `now`: the funded clocks move on to now or to the end of the credit, whichever
    /// comes first, and the credit pays for it. Settling twice is the same as settling once.
    pub fn settle(&mut self, now: Moment) {
        let (passed, passed_ms) = self.funded_stretch(now);
        let scaled = U256::from(passed.raw()) * U256::from(self.price_factor) + U256::from(self.funded.carry);
        let (factored, carry) = scaled.div_mod(FULL_PRICE.into());
        let factored = PriceTime::from_raw(u128::try_from(factored).unwrap_or(u128::MAX));

        let funded = &mut self.funded;
        funded.factored = funded.factored.saturating_add(factored);
        funded.carry = u16::try_from(carry.low_u32()).unwrap_or(0);
        funded.full = funded.full.saturating_add(passed);
        let ms_permille = u128::from(passed_ms) * u128::from(self.price_factor);
        funded.factored_ms_permille = funded.factored_ms_permille.saturating_add(ms_permille);
        funded.full_ms = funded.full_ms.saturating_add(passed_ms);

        let extra = passed.cost_of(self.charged.extra);
        let cost = factored.cost_of(self.charged.usd).saturating_add(extra);
        self.credit = self.credit.saturating_sub(cost);
        self.settled_at.clock = self.settled_at.clock.max(now.clock);
        self.settled_at.ms = self.settled_at.ms.max(now.ms);
    }

    /// Settles, applies `change` to credit, rates or price factor, and computes the new end.
    pub fn change<R>(&mut self, now: Moment, change: impl FnOnce(&mut Self) -> R) -> R {
        self.settle(now);
        let result = change(self);
        self.end = self.new_end();
        result
    }

    /// Adds credit that counts from where the old credit ended, though that is noticed only `now`.
    pub fn prolong(&mut self, now: Moment, amount: ExactTft) {
        let (stretch, ms) = self.funded_stretch(now);
        let ended = Moment {
            clock: self.settled_at.clock.saturating_add(stretch),
            ms: self.settled_at.ms.saturating_add(ms),
        };
        self.change(ended, |p| p.credit = p.credit.saturating_add(amount));
    }

    /// The credit is used up: nothing is charged until [`Payer::resume`].
    pub fn pause(&mut self, now: Moment) {
        self.change(now, |p| p.paused = true);
    }

    /// What is charged goes on with the credit that there is.
    pub fn resume(&mut self, now: Moment) {
        let from = self.end;
        self.change(now, |p| {
            p.paused = false;
            let to = p.settled_at.clock;
            p.history.record_wait(ClockSpan { from: from.min(to), to });
        });
    }

    /// The price factor changes. Call within [`Payer::change`].
    pub fn set_price_factor(&mut self, price_factor: u16) {
        if price_factor != self.price_factor {
            self.history.record_factor(self.price_factor, self.settled_at.clock);
            self.price_factor = price_factor;
        }
    }

    /// The lowest price factor that it can have had since a place on the price clock.
    pub fn lowest_factor_since(&self, place: PriceTime) -> u16 {
        let changed = place < self.history.factor_changed_at;
        let earlier = if changed { self.history.lowest_factor } else { FULL_PRICE };
        self.price_factor.min(earlier)
    }

    /// All rates, the committed ones among them.
    pub fn all_rates(&self) -> RateSums {
        self.charged.plus(&self.committed)
    }

    /// Whether anything is charged at all.
    pub fn is_charged(&self) -> bool {
        !self.charged.is_zero()
    }

    /// Whether contracts are charged to credit that is used up: they are *paused*.
    pub fn is_exhausted(&self, clock: PriceTime) -> bool {
        self.is_charged() && clock >= self.end
    }

    /// Whether its credit is used up and the agenda hasn't served it yet.
    pub fn is_due(&self, clock: PriceTime) -> bool {
        !self.paused && self.is_exhausted(clock)
    }

    /// Where on the price clock the agenda must serve it, if anywhere.
    pub fn agenda_end(&self) -> Option<PriceTime> {
        (self.is_charged() && !self.paused).then_some(self.end)
    }

    /// How far on the price clock `amount` lasts at the charged rates and the price factor; the largest stretch
    /// where nothing is charged.
    pub fn stretch_of(&self, amount: ExactTft) -> PriceTime {
        let budget = U256::from(amount.raw()) * U256::from(FULL_PRICE);
        let stretch = budget.checked_div(self.cost_per_clock());
        PriceTime::from_raw(stretch.map_or(u128::MAX, |s| u128::try_from(s).unwrap_or(u128::MAX)))
    }

    /// How far its credit would last at the full price if all that is committed were charged, rounded up so
    /// that credit for exactly a month is a month; `None` where nothing is charged.
    pub fn runway(&self) -> Option<PriceTime> {
        let lasts = || PriceTime::from_raw(self.credit.raw().div_ceil(self.all_rates().total()));
        self.is_charged().then(lasts)
    }

    /// What all that is charged costs over `stretch` of the price clock, price factor included.
    pub fn cost_of(&self, stretch: PriceTime) -> ExactTft {
        self.charged.cost_of(stretch, self.price_factor)
    }

    /// The same for all that is charged or committed.
    pub fn cost_of_all(&self, stretch: PriceTime) -> ExactTft {
        self.all_rates().cost_of(stretch, self.price_factor)
    }

    /// How far the funded clocks move from the last settlement to `now`, and the time it took. Where the
    /// credit ended in between, the time is the part of it which the clock covered.
    fn funded_stretch(&self, now: Moment) -> (PriceTime, u64) {
        if !self.is_charged() {
            return (PriceTime::ZERO, 0);
        }
        let passed = now.clock.saturating_sub(self.settled_at.clock);
        let ms = now.ms.saturating_sub(self.settled_at.ms);
        let funded = passed.min(self.end.saturating_sub(self.settled_at.clock));
        if funded == passed {
            return (passed, ms);
        }
        let part = mul_div(ms.into(), funded.raw(), passed.raw());
        (funded, u64::try_from(part).unwrap_or(u64::MAX))
    }

    fn new_end(&self) -> PriceTime {
        if !self.is_charged() {
            PriceTime::MAX
        } else if self.paused {
            self.end.min(self.settled_at.clock)
        } else {
            self.find_end()
        }
    }

    /// What a unit of the price clock costs, in thousandths.
    fn cost_per_clock(&self) -> U256 {
        U256::from(self.charged.usd) * U256::from(self.price_factor)
            + U256::from(self.charged.extra) * U256::from(FULL_PRICE)
    }

    /// The last settlement plus the greatest stretch `Δ` with
    /// `usd × ⌊(Δ × factor + carry) ÷ 1000⌋ + extra × Δ ≤ credit`. The carry makes the answer the same from
    /// wherever it is computed.
    fn find_end(&self) -> PriceTime {
        let carried = U256::from(self.charged.usd) * U256::from(self.funded.carry);
        let budget = (U256::from(self.credit.raw()) * U256::from(FULL_PRICE)).saturating_sub(carried);
        let stretch = budget.checked_div(self.cost_per_clock()).unwrap_or_default();
        let end = U256::from(self.settled_at.clock.raw()).saturating_add(stretch);
        PriceTime::from_raw(u128::try_from(end).unwrap_or(u128::MAX))
    }
}

/// What a contract has earned.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Earned {
    /// For capacity, to be shared.
    pub shared: ExactTft,
    /// Extra fee, the farmer's.
    pub extra: ExactTft,
}

impl Earned {
    /// Both parts together.
    pub fn total(&self) -> ExactTft {
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

    /// As much of both parts, in proportion, that they are `total` together at most.
    pub fn within(&self, total: ExactTft) -> Self {
        let total = total.min(self.total());
        let extra = total.scaled(self.extra.raw(), self.total().raw()).min(self.extra);
        Self { shared: total.saturating_sub(extra), extra }
    }
}

/// What a contract has been charged over its life.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Charge {
    /// In TFT.
    pub tft: ExactTft,
    /// In 1e-10 USD.
    pub usd: UsdAmount,
}

impl Charge {
    /// Part by part sum.
    pub fn plus(&self, other: &Self) -> Self {
        Self { tft: self.tft.saturating_add(other.tft), usd: self.usd.saturating_add(other.usd) }
    }

    /// Part by part difference, zero where it would be negative.
    pub fn minus(&self, other: &Self) -> Self {
        Self { tft: self.tft.saturating_sub(other.tft), usd: self.usd.saturating_sub(other.usd) }
    }

    /// Part by part minimum.
    pub fn at_most(&self, limit: &Self) -> Self {
        Self { tft: self.tft.min(limit.tft), usd: self.usd.min(limit.usd) }
    }

    /// The charge when `back` of it is given back, USD in proportion.
    pub fn less(&self, back: ExactTft) -> Self {
        let back = back.min(self.tft);
        self.minus(&Self { tft: back, usd: mul_div(self.usd, back.raw(), self.tft.raw()) })
    }
}

/// A contract's place on its payer's funded clocks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Accrual {
    /// The funded clocks when its earnings were settled last.
    pub settled_at: FundedClocks,
    /// What it was charged up to then.
    pub charged: Charge,
    /// The remainder of the USD at the last settlement, in 1e-10 USD ÷ 3.6e9.
    pub usd_carry: u128,
}

/// One hour, in the unit of [`FundedClocks::factored_ms_permille`].
const HOUR_MS_PERMILLE: u128 = HOUR_MS as u128 * FULL_PRICE as u128;

impl Accrual {
    /// A contract that is charged from now on, on the clocks of a settled payer.
    pub fn starting(clocks: FundedClocks) -> Self {
        Self { settled_at: clocks, ..Self::default() }
    }

    /// What it earned at `rates` since the last settlement, on the clocks of a settled payer.
    pub fn earned(&self, rates: Rates, clocks: &FundedClocks) -> Earned {
        let at = &self.settled_at;
        Earned {
            shared: clocks.factored.saturating_sub(at.factored).cost_of(rates.usd.into()),
            extra: clocks.full.saturating_sub(at.full).cost_of(rates.extra.into()),
        }
    }

    /// Books what it earned at `rates`, which counts from now on, and returns it.
    pub fn settle(&mut self, rates: Rates, clocks: &FundedClocks) -> Earned {
        let earned = self.earned(rates, clocks);
        let usd = self.usd_permille_ms(rates, clocks);
        self.charged = self.charged.plus(&Charge { tft: earned.total(), usd: usd / HOUR_MS_PERMILLE });
        self.usd_carry = usd % HOUR_MS_PERMILLE;
        self.settled_at = *clocks;
        earned
    }

    /// What the contract has been charged in all, on the clocks of a settled payer.
    pub fn charge(&self, rates: Rates, clocks: &FundedClocks) -> Charge {
        let mut now = *self;
        now.settle(rates, clocks);
        now.charged
    }

    fn usd_permille_ms(&self, rates: Rates, clocks: &FundedClocks) -> u128 {
        let at = &self.settled_at;
        let shared = clocks.factored_ms_permille.saturating_sub(at.factored_ms_permille);
        let extra = u128::from(clocks.full_ms.saturating_sub(at.full_ms)) * u128::from(FULL_PRICE);
        shared
            .saturating_mul(rates.usd.into())
            .saturating_add(extra.saturating_mul(rates.extra.into()))
            .saturating_add(self.usd_carry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::stretch, fixed::ExactTft};
    use proptest::prelude::*;

    const PRICE: u64 = 500_000;

    fn at(ms: u64) -> Moment {
        Moment { clock: stretch(ms, PRICE), ms }
    }

    fn payer(credit: Balance, rates: Rates, price_factor: u16) -> Payer {
        let mut payer = Payer { price_factor, ..Payer::default() };
        payer.change(at(0), |p| {
            p.credit = ExactTft::from_whole(credit);
            p.charged.add(rates);
        });
        payer
    }

    const RATES: Rates = Rates { usd: 10_000_000_000, extra: 0 };

    #[test]
    fn a_dollar_is_twenty_tft_at_five_cents() {
        let mut payer = payer(1_000_000_000, RATES, FULL_PRICE);
        let accrual = Accrual::starting(payer.funded);
        payer.settle(at(HOUR_MS));
        let charge = accrual.charge(RATES, &payer.funded);
        // 20 TFT are 200,000,000 units; the clock's last place is lost.
        assert_eq!(charge.tft.ceil(), 200_000_000);
        assert_eq!(charge.usd, 10_000_000_000);
        assert_eq!(payer.credit + charge.tft, ExactTft::from_whole(1_000_000_000));
    }

    #[test]
    fn the_price_factor_leaves_the_extra_fee_alone() {
        let rates = Rates { usd: 10_000_000_000, extra: 10_000_000_000 };
        let mut payer = payer(1_000_000_000, rates, 400);
        let accrual = Accrual::starting(payer.funded);
        payer.settle(at(HOUR_MS));
        let earned = accrual.earned(rates, &payer.funded);
        assert_eq!(earned.shared.ceil(), 80_000_000);
        assert_eq!(earned.extra.ceil(), 200_000_000);
        assert_eq!(accrual.charge(rates, &payer.funded).usd, 14_000_000_000);
    }

    #[test]
    fn an_exhausted_payer_stops_at_its_end_and_owes_nothing() {
        let mut payer = payer(100_000_000, RATES, FULL_PRICE); // half an hour
        let end = payer.end;
        assert!(!payer.is_exhausted(at(HOUR_MS / 2 - 1).clock));
        payer.settle(at(HOUR_MS));
        assert!(payer.is_exhausted(at(HOUR_MS).clock));
        assert_eq!(payer.funded.full, end, "the clock began at zero");
        assert!(payer.credit.raw() < u128::from(RATES.usd), "less than one last place of the clock is left");
        let half_an_hour = HOUR_MS / 2;
        assert!(payer.funded.full_ms.abs_diff(half_an_hour) <= 1);

        // Time without credit is never charged, not even after a deposit.
        payer.change(at(2 * HOUR_MS), |p| p.credit = p.credit + ExactTft::from_whole(100_000_000));
        payer.settle(at(2 * HOUR_MS));
        assert!(payer.funded.full_ms.abs_diff(half_an_hour) <= 1);
        payer.settle(at(2 * HOUR_MS + 60_000));
        assert!(payer.funded.full_ms.abs_diff(half_an_hour + 60_000) <= 1);
    }

    #[test]
    fn a_paused_payer_keeps_deposits_until_it_is_resumed() {
        let mut payer = payer(100_000_000, RATES, FULL_PRICE); // half an hour
        let end = payer.end;
        assert!(payer.is_due(end) && payer.agenda_end() == Some(end));
        payer.pause(at(HOUR_MS));
        payer.change(at(2 * HOUR_MS), |p| p.credit = p.credit + ExactTft::from_whole(100_000_000));
        assert!(payer.is_exhausted(at(2 * HOUR_MS).clock) && !payer.is_due(at(2 * HOUR_MS).clock));
        assert_eq!((payer.agenda_end(), payer.end), (None, end));
        payer.settle(at(3 * HOUR_MS));
        assert_eq!(payer.credit.whole(), 100_000_000);

        payer.resume(at(3 * HOUR_MS));
        let wait = ClockSpan { from: end, to: at(3 * HOUR_MS).clock };
        assert_eq!(payer.history.waits, [ClockSpan::default(), wait]);
        assert_eq!(payer.history.waited(PriceTime::ZERO, PriceTime::MAX), wait.to - wait.from);
        payer.settle(at(3 * HOUR_MS + HOUR_MS / 4));
        assert!(payer.credit.whole().abs_diff(50_000_000) <= 1);
        // Who has nothing that runs isn't exhausted, paused or not.
        payer.pause(at(4 * HOUR_MS));
        payer.change(at(4 * HOUR_MS), |p| p.charged.remove(RATES));
        assert_eq!((payer.end, payer.is_exhausted(PriceTime::MAX)), (PriceTime::MAX, false));
    }

    #[test]
    fn credit_that_prolongs_counts_from_the_old_end() {
        let (mut late, mut prompt) = (payer(100_000_000, RATES, 700), payer(100_000_000, RATES, 700));
        let noticed = at(HOUR_MS);
        late.prolong(noticed, ExactTft::from_whole(300_000_000));
        prompt.change(at(HOUR_MS / 4), |p| p.credit = p.credit + ExactTft::from_whole(300_000_000));
        assert_eq!(late.end, prompt.end);
        late.settle(noticed);
        prompt.settle(noticed);
        assert_eq!((late.credit, late.funded.full), (prompt.credit, prompt.funded.full));
    }

    #[test]
    fn the_runway_counts_the_full_price() {
        let payer = payer(200_000_000, RATES, 500);
        assert!(payer.runway().unwrap().raw().abs_diff(at(HOUR_MS).clock.raw()) <= 1);
        assert!(
            payer.stretch_of(ExactTft::from_whole(200_000_000)).raw().abs_diff(2 * at(HOUR_MS).clock.raw())
                <= 4
        );
        let idle = Payer::default();
        assert_eq!((idle.runway(), idle.stretch_of(ExactTft::from_raw(1))), (None, PriceTime::MAX));
    }

    #[test]
    fn committed_rates_shorten_the_runway_uncharged() {
        let mut payer = payer(200_000_000, RATES, FULL_PRICE);
        payer.change(at(0), |p| p.committed.add(RATES));
        assert!(payer.runway().unwrap().raw().abs_diff(at(HOUR_MS / 2).clock.raw()) <= 1);
        assert_eq!(payer.cost_of_all(at(HOUR_MS).clock), payer.cost_of(at(HOUR_MS).clock).scaled(2, 1));
        let end = payer.end;
        payer.change(at(HOUR_MS / 2), |p| p.committed.remove(RATES));
        assert_eq!((payer.end, payer.committed), (end, RateSums::default()));
    }

    #[test]
    fn the_lowest_factor_since_a_place_is_at_most_the_real() {
        let mut payer = payer(1_000_000_000, RATES, 400);
        let (first, second) = (at(HOUR_MS), at(2 * HOUR_MS));
        payer.change(first, |p| p.set_price_factor(FULL_PRICE));
        assert_eq!(
            [PriceTime::ZERO, first.clock - PriceTime::from_raw(1), first.clock]
                .map(|p| payer.lowest_factor_since(p)),
            [400, 400, 1_000]
        );
        payer.change(second, |p| p.set_price_factor(800));
        let places = [PriceTime::ZERO, first.clock, second.clock];
        assert_eq!(places.map(|p| payer.lowest_factor_since(p)), [400, 400, 800]);
    }

    #[test]
    fn the_last_two_waits_are_kept_without_idle_ones() {
        let mut payer = payer(100_000_000, RATES, FULL_PRICE); // half an hour
        for hour in [1, 3] {
            payer.pause(at(hour * HOUR_MS));
            payer.change(at((hour + 1) * HOUR_MS), |p| {
                p.credit = p.credit + ExactTft::from_whole(100_000_000)
            });
            payer.resume(at((hour + 1) * HOUR_MS));
        }
        let waited = at(3 * HOUR_MS).clock; // from half past 0 to 2, and from half past 2 to 4
        assert!(payer.history.waited(PriceTime::ZERO, PriceTime::MAX).raw().abs_diff(waited.raw()) <= 2);
        let waits = payer.history.waits;
        payer.change(at(4 * HOUR_MS), |p| p.charged.remove(RATES));
        payer.pause(at(5 * HOUR_MS));
        payer.resume(at(6 * HOUR_MS));
        assert_eq!(payer.history.waits, waits);
    }

    #[test]
    fn a_payer_without_contracts_pays_nothing() {
        let mut payer = payer(5, Rates::default(), FULL_PRICE);
        payer.settle(at(1_000 * HOUR_MS));
        assert_eq!(payer.credit, ExactTft::from_whole(5));
        assert!(!payer.is_exhausted(PriceTime::MAX));
    }

    #[test]
    fn the_largest_rate_credit_and_clock_do_not_overflow() {
        let rates = Rates { usd: u64::MAX, extra: u64::MAX };
        let mut payer = Payer::default();
        payer.change(Moment::default(), |p| {
            p.credit = ExactTft::MAX;
            for _ in 0..10_000 {
                p.charged.add(rates);
            }
        });
        payer.settle(Moment { clock: PriceTime::MAX, ms: u64::MAX });
        assert!(payer.end < PriceTime::MAX);
        payer.change(Moment::default(), |p| p.committed.add(rates));
        let _ = payer.cost_of_all(PriceTime::MAX);
    }

    proptest! {
        /// However often anybody settles, the record is the same to the last bit.
        #[test]
        fn settling_more_often_changes_nothing(
            credit in 0u128..1 << 40,
            usd in 0u64..1 << 50,
            extra in 0u64..1 << 50,
            factor in prop::sample::select(vec![400u16, 600, 700, 800, 1000]),
            mut stops in prop::collection::vec(0u64..1_000 * HOUR_MS, 1..20),
        ) {
            stops.sort_unstable();
            let last = at(*stops.last().unwrap());
            let mut once = payer(credit, Rates { usd, extra }, factor);
            let mut often = once;
            let end = once.end;
            for stop in stops {
                often.change(at(stop), |_| ());
                if often.settled_at.clock < end {
                    prop_assert_eq!(often.end, end, "the end moved");
                }
            }
            once.settle(last);
            prop_assert_eq!(once.credit, often.credit);
            prop_assert_eq!(once.funded.factored, often.funded.factored);
            prop_assert_eq!(once.funded.full, often.funded.full);
        }

        /// What payers lose is what contracts earn, whoever starts, stops and collects when.
        #[test]
        fn credit_lost_is_what_contracts_earned(
            credit in 0u128..1 << 40,
            steps in prop::collection::vec((0u64..10 * HOUR_MS, 0usize..4, 1u64..1 << 44, 0u64..1 << 40), 1..60),
            factor in prop::sample::select(vec![400u16, 600, 700, 800, 1000]),
        ) {
            let mut payer = payer(credit, Rates::default(), factor);
            let mut charged: Vec<(Rates, Accrual)> = Vec::new();
            let (mut ms, mut earned) = (0, ExactTft::ZERO);
            for (delay, action, usd, extra) in steps {
                ms += delay;
                match action {
                    0 => {
                        let rates = Rates { usd, extra };
                        payer.change(at(ms), |p| p.charged.add(rates));
                        charged.push((rates, Accrual::starting(payer.funded)));
                    }
                    1 if !charged.is_empty() => {
                        let (rates, mut accrual) = charged.remove(usd as usize % charged.len());
                        payer.change(at(ms), |p| p.charged.remove(rates));
                        earned = earned + accrual.settle(rates, &payer.funded).total();
                    }
                    2 if !charged.is_empty() => {
                        payer.settle(at(ms));
                        let i = usd as usize % charged.len();
                        let (rates, accrual) = &mut charged[i];
                        earned = earned + accrual.settle(*rates, &payer.funded).total();
                    }
                    _ => payer.settle(at(ms)),
                }
            }
            payer.settle(at(ms));
            let unsettled: ExactTft =
                charged.iter().map(|(rates, accrual)| accrual.earned(*rates, &payer.funded).total()).sum();
            prop_assert_eq!(payer.credit + earned + unsettled, ExactTft::from_whole(credit));
            let usd: u128 = charged.iter().map(|(rates, _)| u128::from(rates.usd)).sum();
            prop_assert_eq!(payer.charged.usd, usd);
        }
    }
}
