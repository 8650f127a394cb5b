// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    Accrual, Balance, Charge, Discount, FarmId, Funded, GridMillis, NodeId, Payer, PriceList, ProviderId,
    Q64, Rates, TftPrice, TwinId, UsdAmount, UsdRate, fixed,
    ledger::{Earned, FULL_SPEED, Gap},
    pricing::Priced,
    traits::{PaidUse, Parties},
    units::{HOUR_MS, USD},
    views::MONTHS_KEPT,
};

/// A month, in milliseconds: 720 hours.
pub const MONTH_MS: u64 = 720 * HOUR_MS;

/// A contract in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct ContractAccount {
    /// Who pays.
    pub payer: TwinId,
    /// The farm that earns the farmer's part; `None` gives it to the foundation.
    pub farm: Option<FarmId>,
    /// The node that serves it.
    pub node: Option<NodeId>,
    /// The solution provider that shares in the foundation's part.
    pub provider: Option<ProviderId>,
    /// What it is priced for; `None` where its price is agreed.
    pub priced: Option<Priced>,
    /// How many public addresses its rate includes.
    pub public_ips: u8,
    /// What they are of the rate, in 1e-10 USD per hour.
    pub ip_rate: UsdRate,
    /// Its place on the payer's clocks.
    pub accrual: Accrual,
    /// What it is charged beyond a lower rate that is on trial, on the same clocks.
    pub trial: Option<Accrual>,
    /// What it was charged for traffic, in 1e-10 USD.
    pub traffic_usd: UsdAmount,
    /// What it has earned up to there and nobody has claimed.
    pub unclaimed: Earned,
    /// The public traffic and addresses in that; `tft` is what was paid for them, the farmer's part included.
    pub uses: PaidUse,
    /// Whether it is charged; not while its node is silent.
    pub running: bool,
    /// The price clock when it last began to run.
    pub running_since: Q64,
    /// The lowest rates that it had since it began to run and before they changed last, and where that was on the
    /// price clock.
    pub earlier: (Rates, Q64),
    /// Grid time at which it started.
    pub started_at: GridMillis,
}

impl ContractAccount {
    /// A contract that starts now, on the clocks of a settled payer.
    pub fn start(parties: Parties, rates: Rates, clocks: Funded, clock: Q64, now: GridMillis) -> Self {
        let Parties { payer, farm, node, public_ips, ip_rate, priced } = parties;
        Self {
            payer,
            farm,
            node,
            provider: None,
            priced,
            public_ips,
            ip_rate,
            accrual: Accrual::start(rates, clocks),
            trial: None,
            traffic_usd: 0,
            unclaimed: Earned::default(),
            uses: PaidUse::default(),
            running: true,
            running_since: clock,
            earlier: (rates, clock),
            started_at: now,
        }
    }

    /// What it has earned and nobody has claimed, on the clocks of a settled payer.
    pub fn earned(&self, clocks: &Funded) -> Earned {
        let lately = if self.running { self.accrual.earned(clocks) } else { Earned::default() };
        self.unclaimed.plus(&lately)
    }

    /// What it has been charged in all, on the clocks of a settled payer.
    pub fn charge(&self, clocks: &Funded) -> Charge {
        if self.running { self.accrual.charge(clocks) } else { self.accrual.charged }
    }

    /// Counts from now on, on the clocks of a settled payer.
    pub(crate) fn settle(&mut self, clocks: &Funded) {
        if self.running {
            let ms = clocks.full_ms.saturating_sub(self.accrual.claimed_at.full_ms);
            let lately = self.accrual.claim(clocks);
            self.unclaimed = self.unclaimed.plus(&lately);
            let ips = fixed::mul_div(lately.shared, self.ip_rate.into(), self.accrual.rates.usd.into());
            self.uses.ip_ms = self.uses.ip_ms.saturating_add(ms.saturating_mul(self.public_ips.into()));
            // The list may have become cheaper than what the addresses were agreed to be of the rate.
            self.uses.tft = self.uses.tft.saturating_add(ips.min(lately.shared));
            if let Some(trial) = &mut self.trial {
                trial.claim(clocks);
            }
        }
    }

    /// Is charged from now on, on the clocks of a settled payer; all before is settled.
    pub(crate) fn run_from(&mut self, payer: &Payer) {
        self.running = true;
        self.running_since = payer.settled_at;
        self.earlier = (self.accrual.rates, payer.settled_at);
        self.accrual.claimed_at = payer.funded;
        if let Some(trial) = &mut self.trial {
            trial.claimed_at = payer.funded;
        }
    }

    /// Has other rates from this place of the price clock on, up to where it is settled. Says which it had.
    pub(crate) fn change_rates(&mut self, rates: Rates, clock: Q64) -> Rates {
        let old = core::mem::replace(&mut self.accrual.rates, rates);
        self.earlier = (old.at_most(&self.earlier.0), clock);
        old
    }

    /// The trial is over, and its rate counts: what was charged beyond it, as far as nobody has claimed it.
    pub(crate) fn end_trial(&mut self) -> Earned {
        let beyond = self.trial.take().map_or(0, |trial| trial.charged.tft);
        Earned { shared: beyond, extra: 0 }.at_most(&self.unclaimed)
    }

    /// Has earned this beside what its clocks say.
    pub(crate) fn earn(&mut self, charge: &Charge) {
        self.unclaimed.shared = self.unclaimed.shared.saturating_add(charge.tft);
        self.accrual.charged = self.accrual.charged.plus(charge);
    }

    /// Has earned what traffic was drawn from its allowance.
    pub(crate) fn earn_traffic(&mut self, drawn: &Allowance) {
        self.earn(&Charge { tft: drawn.tft, usd: drawn.usd });
        self.traffic_usd = self.traffic_usd.saturating_add(drawn.usd);
        self.uses.traffic_bytes = self.uses.traffic_bytes.saturating_add(drawn.bytes);
        self.uses.tft = self.uses.tft.saturating_add(drawn.tft);
    }

    /// Takes `back` of what nobody has claimed off its charge, and off its uses in proportion, rounded down:
    /// farming mints rather too little for them than too much.
    pub(crate) fn give_back(&mut self, back: &Earned) {
        if *back == Earned::default() {
            return;
        }
        let (before, rest) = (self.unclaimed.shared, self.unclaimed.minus(back));
        let scaled = |amount: u128| fixed::mul_div(amount, rest.shared, before);
        let narrow = |amount: u64| u64::try_from(scaled(amount.into())).unwrap_or(amount);
        self.uses = PaidUse {
            traffic_bytes: narrow(self.uses.traffic_bytes),
            ip_ms: narrow(self.uses.ip_ms),
            tft: scaled(self.uses.tft),
        };
        self.unclaimed = rest;
        self.accrual.charged = self.accrual.charged.less(back.total());
        self.traffic_usd = self.traffic_usd.min(self.accrual.charged.usd);
    }

    /// What a payer that is settled was charged for it while its node served nobody: as much as fell into time
    /// with credit and hasn't been claimed. Rather too little where its rates or the payer's speed have changed.
    /// Nothing of that time is set aside by a trial any more.
    pub(crate) fn unserved(&mut self, silence: Gap, payer: &Payer) -> Earned {
        if !self.running {
            return Earned::default();
        }
        let from = silence.from.max(self.running_since);
        let until = silence.to.min(payer.settled_at).min(payer.end);
        let stretch = until.saturating_sub(from).saturating_sub(payer.waited(from, until));
        let speed = payer.slowest_since(from);
        if let Some(Accrual { rates, charged, .. }) = &mut self.trial {
            *charged = charged.less(rates.cost_of(stretch, speed).total());
        }
        self.lowest_rates_since(from).cost_of(stretch, speed).at_most(&self.unclaimed)
    }

    fn lowest_rates_since(&self, clock: Q64) -> Rates {
        let (rates, (earlier, until)) = (self.accrual.rates, self.earlier);
        match clock < until {
            true => rates.at_most(&earlier),
            false => rates,
        }
    }

    /// Whether it was charged through a silence of its node that is over, and hasn't been settled since.
    pub(crate) fn ran_through(&self, silence: Gap) -> bool {
        self.running && self.running_since < silence.to
    }
}

/// Public traffic that a contract has bought and not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Allowance {
    /// Whose credit bought it and gets the rest.
    pub payer: TwinId,
    /// How much traffic.
    pub bytes: u64,
    /// What was paid for it, in Q64.64 of 1e-7 TFT.
    pub tft: Q64,
    /// The same in 1e-10 USD.
    pub usd: UsdAmount,
}

impl Allowance {
    /// Takes `bytes`, or what there is, with what was paid for them.
    pub(crate) fn draw(&mut self, bytes: u64) -> Self {
        let taken = bytes.min(self.bytes);
        let part = |amount: u128| fixed::mul_div(amount, taken.into(), self.bytes.into());
        let drawn = Self { bytes: taken, tft: part(self.tft), usd: part(self.usd), ..*self };
        self.bytes = self.bytes.saturating_sub(drawn.bytes);
        self.tft = self.tft.saturating_sub(drawn.tft);
        self.usd = self.usd.saturating_sub(drawn.usd);
        drawn
    }
}

/// Patience with a payer that has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Grace {
    /// Grid time at which it began.
    pub since: GridMillis,
    /// Grid time at which it ends.
    pub until: GridMillis,
    /// It has ended: the payer's contracts close.
    pub over: bool,
}

/// What an owner wishes to happen when the credit ends.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct AutoRefill {
    /// For how many hours of the rates of that moment the owner's account pays, at least
    /// [`LEAST_REFILL_HOURS`].
    pub hours: u32,
}

/// The least that an automatic refill buys.
pub const LEAST_REFILL_HOURS: u32 = 24;

/// What automatic refills have taken from an owner's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Refills {
    /// Grid time from which on they are counted.
    pub since: GridMillis,
    /// How much since then, in 1e-7 TFT.
    pub spent: Balance,
}

impl Refills {
    /// With `amount` more at `now`: the count begins anew after [`MONTH_MS`].
    pub(crate) fn plus(self, amount: Balance, now: GridMillis) -> Self {
        if now.saturating_sub(self.since) >= MONTH_MS {
            return Self { since: now, spent: amount };
        }
        Self { spent: self.spent.saturating_add(amount), ..self }
    }
}

/// What an owner allows those who act for it; only the owner changes it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Limits {
    /// The most that all contracts together may cost at list price, in 1e-10 USD per hour.
    pub max_usd_rate: UsdRate,
    /// The most that farmers' extra fees may be together, in 1e-10 USD per hour.
    pub max_extra_fee: UsdRate,
    /// The most that automatic refills may take from the owner's account in 30 days, in 1e-7 TFT.
    pub refill_per_30_days: Balance,
}

impl Default for Limits {
    /// No extra fee: whoever has a bot's key can't send the owner's credit to a farm by way of a fee. No
    /// refill either, before the owner has said how much.
    fn default() -> Self {
        Self { max_usd_rate: UsdRate::MAX, max_extra_fee: 0, refill_per_30_days: 0 }
    }
}

/// What a contract was charged in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct MonthlyCharge {
    /// Months of 720 hours since 1970.
    pub month: u32,
    /// What it was charged.
    pub charge: Charge,
}

/// What a contract was charged, by month, the latest last.
pub type Months = BoundedVec<MonthlyCharge, ConstU32<MONTHS_KEPT>>;

/// The price of TFT on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct DayPrice {
    /// Days since 1970.
    pub day: u32,
    /// The mean of the day, or of what the chain has seen of it, in 1e-7 USD.
    pub price: TftPrice,
}

/// How many daily prices are kept.
pub const DAYS_KEPT: u32 = 400;

/// What the chain has seen of the price of TFT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct PriceWatch {
    /// The day that is recorded: days since 1970.
    pub day: u32,
    /// The price clock when that day began.
    pub day_clock: Q64,
    /// Charged milliseconds when that day began.
    pub day_ms: u64,
    /// Grid time at which the feed was asked last.
    pub asked_at: GridMillis,
    /// Whether it had an answer.
    pub fresh: bool,
}

/// Who brought contracts to the grid and shares in the foundation's part of them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Provider<AccountId> {
    /// Where it is paid.
    pub account: AccountId,
    /// Its part of the foundation's part, in thousandths, at most [`MAX_PROVIDER_PERMILLE`].
    pub permille: u16,
}

/// A solution provider gets at most half of the foundation's part.
pub const MAX_PROVIDER_PERMILLE: u16 = 500;

/// Who shares in what contracts earn.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Payee {
    /// A farm: its farmer's account is paid.
    Farm(FarmId),
    /// The foundation.
    Foundation,
    /// The staking pool.
    Staking,
    /// A solution provider.
    Provider(ProviderId),
}

/// How earnings are shared, in thousandths; they sum up to 1000.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Shares {
    /// The farm's.
    pub farm: u16,
    /// The foundation's.
    pub foundation: u16,
    /// The staking pool's.
    pub staking: u16,
}

/// A step of the discount.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Level {
    /// How many hours of the list price the credit pays for.
    pub hours: u32,
    /// What is left of the price then, in thousandths.
    pub permille: u16,
}

/// The steps of the discount, from the least to the largest.
pub type Levels = [Level; 4];

/// 1.5, 3, 6 and 18 months.
fn standard_levels() -> Levels {
    [1_080, 2_160, 4_320, 12_960]
        .map(|hours| Level { hours, permille: Discount::for_runway_hours(hours.into()).permille() })
}

/// No discount is larger: the discounted clock keeps its places.
const LEAST_PERMILLE: u16 = 100;

/// Prices, shares, discounts and bounds, validated as a whole.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Policy<AccountId> {
    /// What capacity costs.
    pub prices: PriceList,
    /// Who gets how much of it.
    pub shares: Shares,
    /// The foundation's account.
    pub foundation: AccountId,
    /// The staking pool's account.
    pub staking: AccountId,
    /// The least price of one TFT that the chain believes, in 1e-7 USD.
    pub min_price: TftPrice,
    /// The highest.
    pub max_price: TftPrice,
    /// What prepaid runway earns.
    #[serde(default = "standard_levels")]
    pub levels: Levels,
}

/// Below 0.001 USD per TFT, ten years of the dearest contract would overflow the clock.
pub const LEAST_PRICE: TftPrice = USD / 1_000;
/// Above 10,000 USD per TFT, a millisecond would be lost in the clock's last places.
pub const GREATEST_PRICE: TftPrice = USD * 10_000;

impl<AccountId> Policy<AccountId> {
    /// Farm 50 %, foundation 40 %, staking 10 %; TFT between 0.001 and 100 USD.
    pub fn standard(foundation: AccountId, staking: AccountId) -> Self {
        Self {
            prices: PriceList::default(),
            shares: Shares { farm: 500, foundation: 400, staking: 100 },
            foundation,
            staking,
            min_price: LEAST_PRICE,
            max_price: USD * 100,
            levels: standard_levels(),
        }
    }

    /// Whether its parts agree with each other and with what the arithmetic can bear.
    pub fn is_valid(&self) -> bool {
        let Shares { farm, foundation, staking } = self.shares;
        let shares = u32::from(farm) + u32::from(foundation) + u32::from(staking);
        shares == 1_000
            && self.min_price >= LEAST_PRICE
            && self.max_price <= GREATEST_PRICE
            && self.min_price <= self.max_price
            && (1..=100).contains(&self.prices.rent_percent)
            && (100..=1_000).contains(&self.prices.certified_percent)
            && self.levels_are_valid()
    }

    /// More runway always earns more, and the first step less than the whole price.
    fn levels_are_valid(&self) -> bool {
        let ascend = |pair: &[Level]| match pair {
            [less, more] => less.hours < more.hours && less.permille > more.permille,
            _ => true,
        };
        self.levels.windows(2).all(ascend)
            && self.levels.iter().all(|level| (LEAST_PERMILLE..FULL_SPEED).contains(&level.permille))
    }

    /// What is left of the price for whoever has `hours` of runway, in thousandths.
    pub fn permille_for(&self, hours: u64) -> u16 {
        let earned = self.levels.iter().rev().find(|level| hours >= level.hours.into());
        earned.map_or(FULL_SPEED, |level| level.permille)
    }

    /// Whether `price` is one that the chain believes.
    pub fn admits(&self, price: TftPrice) -> bool {
        (self.min_price..=self.max_price).contains(&price)
    }
}
