// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    ledger::Earned, traits::Parties, units::USD, Accrual, Charge, FarmId, Funded, GridMillis, NodeId,
    PriceList, ProviderId, Rates, TftPrice, TwinId, UsdRate, Q64,
};

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
    /// Its place on the payer's clocks.
    pub accrual: Accrual,
    /// What it has earned up to there and nobody has claimed.
    pub unclaimed: Earned,
    /// Whether it is charged; not while its node is silent.
    pub running: bool,
    /// The price clock when it last began to run at its present rates.
    pub running_since: Q64,
    /// Grid time at which it started.
    pub started_at: GridMillis,
}

impl ContractAccount {
    /// A contract that starts now, on the clocks of a settled payer.
    pub fn start(parties: Parties, rates: Rates, clocks: Funded, clock: Q64, now: GridMillis) -> Self {
        let Parties { payer, farm, node } = parties;
        Self {
            payer,
            farm,
            node,
            provider: None,
            accrual: Accrual::start(rates, clocks),
            unclaimed: Earned::default(),
            running: true,
            running_since: clock,
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
        if self.running {
            self.accrual.charge(clocks)
        } else {
            self.accrual.charged
        }
    }

    /// Counts from now on, on the clocks of a settled payer.
    pub(crate) fn settle(&mut self, clocks: &Funded) {
        if self.running {
            let lately = self.accrual.claim(clocks);
            self.unclaimed = self.unclaimed.plus(&lately);
        }
    }

    /// Takes `back` of what nobody has claimed off its charge.
    pub(crate) fn give_back(&mut self, back: &Earned) {
        self.unclaimed = self.unclaimed.minus(back);
        self.accrual.charged = self.accrual.charged.less(back.total());
    }

    /// What it was charged for while its node was silent: from `silent_since` on the price clock to `until`.
    pub(crate) fn unserved(&self, silent_since: Q64, until: Q64, speed: u16) -> Earned {
        let stretch = until.saturating_sub(silent_since.max(self.running_since));
        self.accrual.rates.cost_of(stretch, speed).at_most(&self.unclaimed)
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
}

impl Default for Limits {
    /// No extra fee: whoever has a bot's key can't send the owner's credit to a farm by way of a fee.
    fn default() -> Self {
        Self { max_usd_rate: UsdRate::MAX, max_extra_fee: 0 }
    }
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

/// Prices, shares and bounds, validated as a whole.
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
    }

    /// Whether `price` is one that the chain believes.
    pub fn admits(&self, price: TftPrice) -> bool {
        (self.min_price..=self.max_price).contains(&price)
    }
}
