// SPDX-License-Identifier: Apache-2.0
//! Benchmarks of calls and hooks, in their worst cases.

use crate::*;
use frame_benchmarking::v2::*;
use frame_support::{
    traits::{EnsureOrigin, OnTimestampSet},
    weights::WeightMeter,
};
use tfgrid_primitives::{
    Deadline, DeadlineKey,
    traits::{Agenda, Clock},
    units::USD,
};

/// Sets up other pallets for benchmarks.
pub trait BenchmarkHelper {
    /// As many feeders as there may be have just fed a price of one dollar.
    fn feed();
}

/// 0.05 USD per TFT.
const PRICE: u64 = USD / 20;
const STEP_MS: u64 = 60_000;
const START_MS: u64 = 1_700_000_000_000;

/// A chain with a price, two blocks old.
fn start<T: Config>() {
    Bounds::<T>::put(PriceBounds::default());
    PriceClockState::<T>::mutate(|clock| clock.set_price(PRICE));
    for timestamp_ms in [START_MS, START_MS + STEP_MS] {
        Pallet::<T>::on_timestamp_set(timestamp_ms);
        Pallet::<T>::step_grid_clock(&mut WeightMeter::new());
    }
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn set_price() -> Result<(), BenchmarkError> {
        start::<T>();
        let origin = T::PriceOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, USD);
        assert_eq!(PriceClockState::<T>::get().price, USD);
        Ok(())
    }

    #[benchmark]
    fn set_bounds() -> Result<(), BenchmarkError> {
        start::<T>();
        let bounds = PriceBounds { min: LEAST_PRICE, max: GREATEST_PRICE };
        let origin = T::BoundsOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, bounds);
        assert_eq!(Bounds::<T>::get(), bounds);
        Ok(())
    }

    #[benchmark]
    fn on_timestamp_set() {
        start::<T>();
        let timestamp_ms = START_MS + 2 * STEP_MS;
        #[block]
        {
            Pallet::<T>::on_timestamp_set(timestamp_ms);
        }
        assert_eq!(PriceClockState::<T>::get().stepped_at_ms, timestamp_ms);
    }

    /// Neither a day is to be recorded nor the feed to be asked.
    #[benchmark]
    fn on_poll() {
        start::<T>();
        Pallet::<T>::watch_price(&mut WeightMeter::new());
        let before = Pallet::<T>::grid_now();
        Pallet::<T>::on_timestamp_set(START_MS + 2 * STEP_MS - 1);
        #[block]
        {
            let mut meter = WeightMeter::new();
            Pallet::<T>::step_grid_clock(&mut meter);
            Pallet::<T>::watch_price(&mut meter);
        }
        assert!(Pallet::<T>::grid_now() > before);
    }

    #[benchmark]
    fn record_day() {
        start::<T>();
        let mut watch = PriceWatch { day: 1, ..PriceWatchState::<T>::get() };
        #[block]
        {
            Pallet::<T>::record_day(&mut watch, 2);
            PriceWatchState::<T>::put(watch);
        }
        assert_eq!(watch.day, 2);
    }

    /// Worst case: as many feeders as there may be have fed, and the price follows them.
    #[benchmark]
    fn ask_feed() {
        start::<T>();
        T::BenchmarkHelper::feed();
        let mut watch = PriceWatch { fresh: true, ..PriceWatchState::<T>::get() };
        let now = Pallet::<T>::grid_now();
        #[block]
        {
            Pallet::<T>::ask_feed(&mut watch, now);
            PriceWatchState::<T>::put(watch);
        }
        assert_eq!(watch.asked_at, now);
        assert!(PriceClockState::<T>::get().price > PRICE);
    }

    #[benchmark]
    fn next_deadline() {
        Pallet::<T>::arm(u64::MAX, Deadline::Tombstone(u64::MAX));
        let next;
        #[block]
        {
            next = Deadlines::<T>::iter_keys().next();
        }
        assert!(next.is_some());
    }

    /// Without the step itself: the removal from the agenda and the return to it.
    #[benchmark]
    fn serve_deadline() {
        let key = DeadlineKey::new(1, Deadline::Tombstone(u64::MAX));
        Deadlines::<T>::insert(key, ());
        #[block]
        {
            Deadlines::<T>::remove(key);
            Pallet::<T>::arm(2, Deadline::Tombstone(u64::MAX));
        }
        assert!(!Deadlines::<T>::contains_key(key));
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Test);
}
