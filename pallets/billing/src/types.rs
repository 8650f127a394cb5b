// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use tfgrid_primitives::{units::USD, Accrual, FarmId, PriceList, TftPrice, TwinId};

/// A running contract in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct ContractAccount {
    /// Who pays.
    pub payer: TwinId,
    /// The farm that earns the farmer's part.
    pub farm: FarmId,
    /// Its place on the payer's clocks.
    pub accrual: Accrual,
}

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
