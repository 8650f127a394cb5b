// SPDX-License-Identifier: Apache-2.0
//! What the chain remembers, bounded: daily prices, and what contracts were charged by month. Also the price
//! feed, which is asked in the same breath.

use crate::*;
use alloc::vec::Vec;
use frame_support::{traits::Get, weights::WeightMeter};
use tfgrid_primitives::{
    Charge, ContractId, GridMillis, TftPrice,
    clock::mean_price,
    fixed,
    traits::{Clock, PriceHistory},
    units::{DAY_MS, MINUTE_MS, SECOND_MS},
};

/// How often the feed is asked.
const ASK_EVERY_MS: GridMillis = MINUTE_MS;
/// The most that one answer may move the price is the price divided by this: eleven answers, as many as ten
/// minutes can have, come to less than a tenth.
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

    /// A day has ended: its mean price takes the place of the one with which it began.
    pub(crate) fn record_day(watch: &mut PriceWatch, today: u32) {
        let now = Self::now();
        let (ms, stretch) = (now.ms.saturating_sub(watch.day_ms), now.clock.saturating_sub(watch.day_clock));
        if let Some(price) = mean_price(ms, stretch).filter(|_| watch.day > 0) {
            Self::put_day(watch.day, price);
        }
        Self::put_day(today, Self::price());
        *watch = PriceWatch { day: today, day_clock: now.clock, day_ms: now.ms, ..*watch };
    }

    fn put_day(day: u32, price: TftPrice) {
        if price > 0 {
            DailyPrices::<T>::insert(slot_of(day), DayPrice { day, price });
        }
    }

    /// Follows the feed step by step, inside the policy's bounds. While it has no answer, the last price stays.
    pub(crate) fn ask_feed(watch: &mut PriceWatch, now: GridMillis) {
        let answer = T::PriceFeed::get();
        if answer.is_none() && watch.fresh {
            Self::deposit_event(Event::PriceStale { price: Self::price() });
        }
        watch.fresh = answer.is_some();
        watch.asked_at = now;
        if let (Some(wanted), Some(policy)) = (answer, CurrentPolicy::<T>::get()) {
            let price = Self::price();
            let step = price / STEP_DIVISOR;
            let (least, most) = (price.saturating_sub(step), price.saturating_add(step));
            let next = wanted.clamp(least, most).max(policy.min_price).min(policy.max_price);
            if next != price {
                Self::change_price(next);
            }
        }
    }

    pub(crate) fn change_price(price: TftPrice) {
        PriceClockState::<T>::mutate(|clock| clock.set_price(price));
        Self::deposit_event(Event::PriceSet { price });
    }

    /// Adds to the contract's month what its charge has grown by, or takes off what was given back.
    pub(crate) fn record_charge(contract: ContractId, before: Charge, after: Charge) {
        if before == after {
            return;
        }
        let month = u32::try_from(Self::unix_now().saturating_mul(SECOND_MS) / MONTH_MS).unwrap_or(u32::MAX);
        Bills::<T>::mutate(contract, |months| add_to_months(months, month, before, after));
        Self::deposit_event(Event::Charged { contract, usd: after.usd, tft: fixed::whole(after.tft) });
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
fn slot_of(day: u32) -> u32 {
    day % DAYS_KEPT
}

/// The months' sum follows the charge exactly, as long as none has been dropped.
pub(crate) fn add_to_months(months: &mut Months, month: u32, before: Charge, after: Charge) {
    let mut less =
        Charge { tft: before.tft.saturating_sub(after.tft), usd: before.usd.saturating_sub(after.usd) };
    for recorded in months.iter_mut().rev() {
        let back = Charge { tft: less.tft.min(recorded.charge.tft), usd: less.usd.min(recorded.charge.usd) };
        recorded.charge = minus(&recorded.charge, &back);
        less = minus(&less, &back);
    }
    if months.last().is_none_or(|last| last.month < month) {
        if months.is_full() {
            months.remove(0);
        }
        let _ = months.try_push(MonthlyCharge { month, charge: Charge::default() });
    }
    if let Some(last) = months.last_mut() {
        let more = minus(&after, &before);
        last.charge.tft = last.charge.tft.saturating_add(more.tft);
        last.charge.usd = last.charge.usd.saturating_add(more.usd);
    }
}

fn minus(a: &Charge, b: &Charge) -> Charge {
    Charge { tft: a.tft.saturating_sub(b.tft), usd: a.usd.saturating_sub(b.usd) }
}
