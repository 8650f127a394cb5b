// SPDX-License-Identifier: Apache-2.0
//! The two clocks of the ledger.
//!
//! The *price clock* is `C(t) = ∫ TFT-per-USD dt`, in units of (1e-7 TFT) per (1e-10 USD/h), so that
//! a rate times a stretch of it is an amount of TFT: what a contract costs between two moments is
//! `usd_rate × (C₂ − C₁)`, exact across any number of price changes. With a price `P` in 1e-7 USD per
//! TFT, one millisecond moves it by
//!
//! ```text
//! 1e-10 USD/h × 1 ms ÷ (P × 1e-7 USD/TFT), in 1e-7 TFT  =  1 / (360 × P)
//! ```
//!
//! *Grid time* counts the milliseconds in which the chain ran. It stands still in halts and migrations;
//! all deadlines count it, so nothing fires in a heap after an outage.

use crate::{
    fixed::{ExactTft, FRACTION_BITS, ONE, PriceTime, mul_div},
    units::{GridMillis, MINUTE_MS, TftPrice, UsdAmount, UsdRate},
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// The most that one block may move either clock: a halt of days charges a minute.
pub const HALT_CAP_MS: u64 = MINUTE_MS;

/// See the [module](self): the denominator that belongs to a millisecond.
const MS_TIMES_PRICE: u128 = 360;

/// 1e-10 USD, in 1e-7 TFT × 1e-7 USD/TFT.
const TFT_TIMES_PRICE: u128 = 10_000;

/// The price clock: where it stands and how fast it runs.
///
/// It is kept as the milliseconds since the last price change, so that rounding happens once per
/// price and not once per block.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct PriceClock {
    /// Where the clock stood when `price` came into force.
    pub base: PriceTime,
    /// Charged milliseconds since then.
    pub since_base_ms: u64,
    /// Charged milliseconds ever, halts left out.
    pub total_ms: u64,
    /// The chain's timestamp at the last step, in milliseconds since 1970; 0 before the first.
    pub stepped_at_ms: u64,
    /// The price in force; the clock stands while it is zero.
    pub price: TftPrice,
}

impl PriceClock {
    /// Where the clock stands.
    pub fn now(&self) -> PriceTime {
        self.base.saturating_add(stretch(self.since_base_ms, self.price))
    }

    /// Moves on to the block's timestamp, at most [`HALT_CAP_MS`]. Time that goes back is ignored.
    pub fn step(&mut self, timestamp_ms: u64) {
        let first = self.stepped_at_ms == 0;
        let passed = timestamp_ms.saturating_sub(self.stepped_at_ms).min(HALT_CAP_MS);
        self.stepped_at_ms = self.stepped_at_ms.max(timestamp_ms);
        if !first {
            self.since_base_ms = self.since_base_ms.saturating_add(passed);
            self.total_ms = self.total_ms.saturating_add(passed);
        }
    }

    /// From now on the clock runs at another price.
    pub fn set_price(&mut self, price: TftPrice) {
        self.base = self.now();
        self.since_base_ms = 0;
        self.price = price;
    }

    /// What `rate` costs in `ms` at the present price.
    pub fn cost_of(&self, rate: UsdRate, ms: u64) -> ExactTft {
        stretch(ms, self.price).cost_of(rate.into())
    }
}

/// How far the clock moves in `ms` at `price`.
pub fn stretch(ms: u64, price: TftPrice) -> PriceTime {
    let per_ms = MS_TIMES_PRICE.saturating_mul(price.into());
    PriceTime::from_raw((u128::from(ms) << FRACTION_BITS).checked_div(per_ms).unwrap_or(0))
}

/// How long the clock takes for a stretch at `price`, in milliseconds, rounded down.
pub fn ms_of_stretch(stretch: PriceTime, price: TftPrice) -> u64 {
    let ms = mul_div(stretch.raw(), MS_TIMES_PRICE.saturating_mul(price.into()), ONE);
    u64::try_from(ms).unwrap_or(u64::MAX)
}

/// What an amount of TFT is worth at `price`, in 1e-10 USD, rounded down.
pub fn usd_of(tft: ExactTft, price: TftPrice) -> UsdAmount {
    mul_div(tft.raw(), price.into(), TFT_TIMES_PRICE << FRACTION_BITS)
}

/// What an amount of USD (1e-10 USD) buys at `price`, rounded down in the last place.
pub fn tft_of(usd: UsdAmount, price: TftPrice) -> ExactTft {
    ExactTft::from_raw(mul_div(usd, TFT_TIMES_PRICE << FRACTION_BITS, price.into()))
}

/// The mean price over `ms` in which the clock moved by `stretch`, weighted by time and rounded to the next
/// unit; `None` where it stood.
pub fn mean_price(ms: u64, stretch: PriceTime) -> Option<TftPrice> {
    let per_price = stretch.raw().checked_mul(MS_TIMES_PRICE).filter(|product| *product > 0)?;
    u64::try_from((u128::from(ms) << FRACTION_BITS).saturating_add(per_price / 2).checked_div(per_price)?)
        .ok()
}

/// Grid time: Σ min(Δ, [`HALT_CAP_MS`]) over the blocks that ran their poll.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct GridClock {
    /// Grid time now.
    pub now_ms: GridMillis,
    /// The chain's timestamp at the last step, in milliseconds since 1970; 0 before the first.
    pub stepped_at_ms: u64,
}

impl GridClock {
    /// Moves on to the block's timestamp, at most [`HALT_CAP_MS`].
    pub fn step(&mut self, timestamp_ms: u64) {
        if self.stepped_at_ms != 0 {
            let passed = timestamp_ms.saturating_sub(self.stepped_at_ms).min(HALT_CAP_MS);
            self.now_ms = self.now_ms.saturating_add(passed);
        }
        self.stepped_at_ms = self.stepped_at_ms.max(timestamp_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::HOUR_MS;

    #[test]
    fn twenty_tft_at_five_cents_are_a_dollar() {
        assert_eq!(usd_of(ExactTft::from_whole(200_000_000), 500_000), 10_000_000_000);
        assert!(usd_of(ExactTft::MAX, u64::MAX) > 0, "the extremes don't overflow");
    }

    #[test]
    fn a_dollar_buys_twenty_tft_at_five_cents() {
        assert_eq!(tft_of(10_000_000_000, 500_000), ExactTft::from_whole(200_000_000));
        assert_eq!(tft_of(1, 0), ExactTft::ZERO);
        assert_eq!(tft_of(UsdAmount::MAX, 1), ExactTft::MAX);
    }

    #[test]
    fn the_mean_price_is_weighted_by_time() {
        let ms = 24 * HOUR_MS;
        assert_eq!(mean_price(ms, stretch(ms, 777_777)), Some(777_777));
        let both = stretch(ms, 500_000) + stretch(ms, 1_000_000);
        assert!(mean_price(2 * ms, both).unwrap().abs_diff(666_666) <= 1);
        assert_eq!((mean_price(ms, PriceTime::ZERO), mean_price(ms, PriceTime::MAX)), (None, None));
    }

    const START: u64 = 1_700_000_000_000;

    fn running(price: TftPrice) -> PriceClock {
        let mut clock = PriceClock::default();
        clock.step(START);
        clock.set_price(price);
        clock
    }

    fn run(clock: &mut PriceClock, ms: u64) {
        let until = clock.stepped_at_ms + ms;
        while clock.stepped_at_ms < until {
            clock.step((clock.stepped_at_ms + 3_000).min(until));
        }
    }

    #[test]
    fn an_hour_at_one_dollar_an_hour_costs_a_dollar_of_tft() {
        // 0.05 USD per TFT: one USD buys 20 TFT.
        let mut clock = running(500_000);
        let before = clock.now();
        run(&mut clock, HOUR_MS);
        let one_usd_per_hour: UsdRate = 10_000_000_000;
        let cost = (clock.now() - before).cost_of(one_usd_per_hour.into());
        assert!((ExactTft::from_whole(200_000_000) - cost).raw() < 1 << 40, "{cost:?}");
        assert_eq!(clock.cost_of(one_usd_per_hour, HOUR_MS), cost);
    }

    #[test]
    fn block_times_do_not_change_where_the_clock_stands() {
        let (mut fine, mut coarse) = (running(777_777), running(777_777));
        run(&mut fine, 60_000);
        coarse.step(coarse.stepped_at_ms + 60_000);
        assert_eq!(fine.now(), coarse.now());
    }

    #[test]
    fn a_price_change_is_charged_on_both_sides_of_it() {
        let mut clock = running(1_000_000);
        run(&mut clock, 36_000);
        clock.set_price(500_000);
        run(&mut clock, 36_000);
        let expected = stretch(36_000, 1_000_000) + stretch(36_000, 500_000);
        assert_eq!(clock.now(), expected);
    }

    #[test]
    fn a_halt_charges_the_cap_and_time_never_goes_back() {
        let mut clock = running(1_000_000);
        let before = clock.now();
        clock.step(START + 3 * 24 * HOUR_MS);
        assert_eq!(clock.now() - before, stretch(HALT_CAP_MS, 1_000_000));
        let stood = clock;
        clock.step(START);
        assert_eq!(clock, stood);
    }

    #[test]
    fn a_clock_without_a_price_stands_still() {
        let mut clock = running(0);
        run(&mut clock, HOUR_MS);
        assert_eq!(clock.now(), PriceTime::ZERO);
    }

    #[test]
    fn ten_years_at_the_extremes_do_not_overflow() {
        let ten_years = 10 * 366 * 24 * HOUR_MS;
        // 0.001 USD per TFT is the least price that policy allows.
        let dearest = stretch(ten_years, 10_000);
        assert!(dearest.raw() >> FRACTION_BITS < 1 << 32);
        // 10,000 USD an hour for ten years at that price still fits: 8.8e11 TFT.
        let cost = dearest.cost_of(100_000_000_000_000);
        assert!(cost < ExactTft::MAX, "saturated");
        assert!(stretch(1, u64::MAX) == PriceTime::ZERO && stretch(1, 100_000_000_000) > PriceTime::ZERO);
    }

    #[test]
    fn a_stretch_takes_the_time_that_made_it() {
        let ms = ms_of_stretch(stretch(HOUR_MS, 777_777), 777_777);
        assert!(HOUR_MS - ms <= 1, "{ms}");
        assert_eq!(ms_of_stretch(PriceTime::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn grid_time_counts_at_most_the_cap_per_block() {
        let mut grid = GridClock::default();
        grid.step(START);
        grid.step(START + 3_000);
        grid.step(START + HOUR_MS);
        grid.step(START);
        assert_eq!(grid.now_ms, 3_000 + HALT_CAP_MS);
    }
}
