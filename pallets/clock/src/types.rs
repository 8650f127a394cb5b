// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use tfgrid_primitives::{GridMillis, PriceTime, TftPrice, units::USD};

/// Below 0.001 USD per TFT, ten years of the dearest contract would overflow the price clock.
pub const LEAST_PRICE: TftPrice = USD / 1_000;
/// Above 10,000 USD per TFT, a millisecond would be lost in the price clock's last places.
pub const GREATEST_PRICE: TftPrice = USD * 10_000;

/// The prices of one TFT that the chain accepts, in 1e-7 USD.
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
pub struct PriceBounds {
    /// The lowest price, in 1e-7 USD per TFT; a call that sets less fails, a lower feed counts as this.
    pub min: TftPrice,
    /// The highest price, in 1e-7 USD per TFT; a call that sets more fails, a higher feed counts as this.
    pub max: TftPrice,
}

impl Default for PriceBounds {
    /// 0.001 to 100 USD.
    fn default() -> Self {
        Self { min: LEAST_PRICE, max: USD * 100 }
    }
}

impl PriceBounds {
    /// Whether they are in order, and not wider than the price clock can bear.
    pub fn is_valid(&self) -> bool {
        self.min <= self.max && self.min >= LEAST_PRICE && self.max <= GREATEST_PRICE
    }

    /// Whether `price` lies between them.
    pub fn admit(&self, price: TftPrice) -> bool {
        (self.min..=self.max).contains(&price)
    }
}

/// How many daily prices are kept.
pub const DAYS_KEPT: u32 = 400;

/// The price of TFT on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct DayPrice {
    /// Days since 1970.
    pub day: u32,
    /// The mean of the day, weighted by time, in 1e-7 USD; of the present day, the price at its start.
    pub price: TftPrice,
}

/// When the price was recorded and the feed was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct PriceWatch {
    /// The day that is being recorded, in days since 1970.
    pub day: u32,
    /// The price clock at the start of that day.
    pub day_clock: PriceTime,
    /// Charged milliseconds at the start of that day.
    pub day_ms: u64,
    /// Grid time at which the feed was asked last.
    pub asked_at: GridMillis,
    /// Whether the feed had an answer then.
    pub fresh: bool,
}
