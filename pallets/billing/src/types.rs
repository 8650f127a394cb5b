// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    Balance, Charge, Discount, ExactTft, FarmId, GridMillis, PriceList, ProviderId, TwinId, UsdAmount,
    UsdRate,
    fixed::mul_div,
    ledger::FULL_PRICE,
    units::{HOUR_MS, MONTH_MS},
    views::MONTHS_KEPT,
};

/// Public traffic that a contract has bought and not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Allowance {
    /// Whose credit bought it and gets the rest.
    pub payer: TwinId,
    /// How much traffic.
    pub bytes: u64,
    /// What was paid for it.
    pub tft: ExactTft,
    /// The same in 1e-10 USD.
    pub usd: UsdAmount,
}

impl Allowance {
    /// Takes `bytes`, or what there is, with what was paid for them.
    pub(crate) fn draw(&mut self, bytes: u64) -> Self {
        let taken = bytes.min(self.bytes);
        let (part, whole) = (u128::from(taken), u128::from(self.bytes));
        let drawn = Self {
            bytes: taken,
            tft: self.tft.scaled(part, whole),
            usd: mul_div(self.usd, part, whole),
            ..*self
        };
        self.bytes = self.bytes.saturating_sub(drawn.bytes);
        self.tft = self.tft.saturating_sub(drawn.tft);
        self.usd = self.usd.saturating_sub(drawn.usd);
        drawn
    }
}

/// The grace period of a payer whose credit is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Grace {
    /// Grid time at which it began.
    pub since: GridMillis,
    /// Grid time at which it ends.
    pub until: GridMillis,
    /// It has ended: the payer's contracts close.
    pub over: bool,
}

/// What the owner's account pays when the credit is used up.
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

/// The most that a twin's contracts may cost before its owner has set limits: 1 USD per hour, in 1e-10 USD.
pub const DEFAULT_MAX_USD_RATE: UsdRate = 10_000_000_000;

impl Default for Limits {
    /// A modest rate and no extra fee: whoever has a bot's key can't send all of the owner's credit to a farm of
    /// its own. No refill either, before the owner has said how much.
    fn default() -> Self {
        Self { max_usd_rate: DEFAULT_MAX_USD_RATE, max_extra_fee: 0, refill_per_30_days: 0 }
    }
}

/// What a twin was charged for contracts that ended early or unconfirmed: whoever opens and ends contracts with
/// a bot's key spends no more than the limit of the rate, either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct EarlyEnd {
    /// When the first of them ended in this hour, in grid time.
    pub since: GridMillis,
    /// What they were charged since then, in 1e-10 USD.
    pub usd: UsdAmount,
}

impl EarlyEnd {
    /// What counts at `now`, in 1e-10 USD.
    pub fn usd_at(&self, now: GridMillis) -> UsdAmount {
        if now.saturating_sub(self.since) < HOUR_MS { self.usd } else { 0 }
    }

    /// Adds `usd` at `now`.
    pub fn plus(&self, usd: UsdAmount, now: GridMillis) -> Self {
        let counted = self.usd_at(now);
        let since = if counted == 0 { now } else { self.since };
        Self { since, usd: counted.saturating_add(usd) }
    }
}

/// What an account has paid, and what its complaints gave back.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Standing {
    /// What the foundation and stakers got of what it has paid for capacity, in 1e-7 TFT: what surely doesn't
    /// come back to it by way of a farm.
    pub paid: Balance,
    /// What it got back for time that it says wasn't delivered, in 1e-7 TFT.
    pub refunded: Balance,
}

impl Standing {
    /// What complaints may still give back: a tenth of what was paid, in 1e-7 TFT. Whoever wants capacity for
    /// nothing must have lost ten times as much before, on whichever twin.
    pub fn refundable(&self) -> Balance {
        (self.paid / 10).saturating_sub(self.refunded)
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
    /// The foundation: the account that the policy names is paid.
    Foundation,
    /// The staking pool: the account that the policy names is paid.
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

/// No price factor is lower: the funded clock keeps its places.
const LEAST_FACTOR: u16 = 100;

/// Prices, shares and discounts, validated as a whole. The bounds of TFT's price aren't among them: the clock
/// pallet keeps those (`pallet_grid_clock::set_bounds`).
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
pub struct BillingPolicy<AccountId> {
    /// What capacity costs.
    pub prices: PriceList,
    /// Who gets how much of it.
    pub shares: Shares,
    /// The foundation's account.
    pub foundation: AccountId,
    /// The staking pool's account.
    pub staking: AccountId,
    /// What prepaid runway earns.
    #[serde(default = "standard_levels")]
    pub levels: Levels,
}

impl<AccountId> BillingPolicy<AccountId> {
    /// Farm 50 %, foundation 40 %, staking 10 %.
    pub fn standard(foundation: AccountId, staking: AccountId) -> Self {
        Self {
            prices: PriceList::default(),
            shares: Shares { farm: 500, foundation: 400, staking: 100 },
            foundation,
            staking,
            levels: standard_levels(),
        }
    }

    /// Whether its parts agree with each other and with what the arithmetic can bear.
    pub fn is_valid(&self) -> bool {
        let Shares { farm, foundation, staking } = self.shares;
        let shares = u32::from(farm) + u32::from(foundation) + u32::from(staking);
        shares == 1_000
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
            && self.levels.iter().all(|level| (LEAST_FACTOR..FULL_PRICE).contains(&level.permille))
    }

    /// The price factor of a payer with `hours` of runway, in thousandths.
    pub fn factor_for(&self, hours: u64) -> u16 {
        let earned = self.levels.iter().rev().find(|level| hours >= level.hours.into());
        earned.map_or(FULL_PRICE, |level| level.permille)
    }
}
