// SPDX-License-Identifier: Apache-2.0
//! The price of TFT: it follows a feed in small steps, and its daily means are kept.

use crate::*;
use alloc::vec::Vec;
use frame_support::{traits::Get, weights::WeightMeter};
use tfgrid_primitives::{
    GridMillis, TftPrice,
    clock::mean_price,
    traits::{Clock, LedgerClock, PriceHistory},
    units::{DAY_MS, MINUTE_MS, SECOND_MS},
};

/// How often the feed is asked.
const ASK_EVERY_MS: GridMillis = MINUTE_MS;
/// One answer moves the price by at most the price divided by this: the eleven answers that ten minutes can
/// have come to less than a tenth.
const STEP_DIVISOR: TftPrice = 120;

impl<T: Config> Pallet<T> {
    /// Records the day's price and asks the feed, each when it is time.
    pub(crate) fn watch_price(meter: &mut WeightMeter) {
        let mut watch = PriceWatchState::<T>::get();
        let (today, now) = (Self::today(), Self::grid_now());
        let is_first = watch == PriceWatch::default();
        if watch.day != today && meter.try_consume(T::WeightInfo::record_day()).is_ok() {
            Self::record_day(&mut watch, today);
            PriceWatchState::<T>::put(watch);
        }
        let asks = is_first || now.saturating_sub(watch.asked_at) >= ASK_EVERY_MS;
        if asks && meter.try_consume(T::WeightInfo::ask_feed()).is_ok() {
            Self::ask_feed(&mut watch, now);
            PriceWatchState::<T>::put(watch);
        }
    }

    fn today() -> u32 {
        let days = Self::unix_now().saturating_mul(SECOND_MS) / DAY_MS;
        u32::try_from(days).unwrap_or(u32::MAX)
    }

    /// The mean price of the day that ended replaces its first one, and `today` begins.
    pub(crate) fn record_day(watch: &mut PriceWatch, today: u32) {
        let now = Self::now();
        let (ms, stretch) = (now.ms.saturating_sub(watch.day_ms), now.clock.saturating_sub(watch.day_clock));
        if let Some(price) = mean_price(ms, stretch).filter(|_| watch.day > 0) {
            Self::put_day(watch.day, price);
        }
        Self::put_day(today, Self::tft_price());
        *watch = PriceWatch { day: today, day_clock: now.clock, day_ms: now.ms, ..*watch };
    }

    fn put_day(day: u32, price: TftPrice) {
        if price > 0 {
            DailyPrices::<T>::insert(slot_of(day), DayPrice { day, price });
        }
    }

    /// Moves the price towards the feed's answer, within the bounds.
    pub(crate) fn ask_feed(watch: &mut PriceWatch, now: GridMillis) {
        let answer = T::PriceFeed::get();
        let price = Self::tft_price();
        if answer.is_none() && watch.fresh {
            Self::deposit_event(Event::PriceStale { price });
        }
        watch.fresh = answer.is_some();
        watch.asked_at = now;
        let Some(answer) = answer else { return };
        let (step, bounds) = (price / STEP_DIVISOR, Bounds::<T>::get());
        let stepped = answer.clamp(price.saturating_sub(step), price.saturating_add(step));
        let next = stepped.max(bounds.min).min(bounds.max);
        if next != price {
            Self::change_price(next);
        }
    }

    pub(crate) fn change_price(price: TftPrice) {
        PriceClockState::<T>::mutate(|clock| clock.set_price(price));
        Self::deposit_event(Event::PriceSet { price });
    }

    /// The daily prices, the oldest first: at most [`DAYS_KEPT`].
    pub(crate) fn all_daily_prices() -> Vec<DayPrice> {
        let mut days: Vec<DayPrice> = DailyPrices::<T>::iter_values().take(DAYS_KEPT as usize).collect();
        days.sort_unstable_by_key(|day| day.day);
        days
    }
}

impl<T: Config> PriceHistory for Pallet<T> {
    fn average_price(days: u32) -> Option<TftPrice> {
        let today = Self::today();
        let prices: Vec<TftPrice> = (0..days.min(DAYS_KEPT))
            .filter_map(|back| today.checked_sub(back))
            .filter_map(|day| DailyPrices::<T>::get(slot_of(day)).filter(|record| record.day == day))
            .map(|record| record.price)
            .collect();
        let sum: u128 = prices.iter().map(|price| u128::from(*price)).sum();
        sum.checked_div(prices.len() as u128).and_then(|mean| TftPrice::try_from(mean).ok())
    }
}

/// The place of a day in the ring of [`DAYS_KEPT`].
pub(crate) fn slot_of(day: u32) -> u32 {
    day % DAYS_KEPT
}
