// SPDX-License-Identifier: Apache-2.0
//! The invariants of the pallet: for tests and try-runtime, never in a block.

use crate::*;
use frame_support::ensure;
use sp_runtime::TryRuntimeError;
use tfgrid_primitives::traits::LedgerClock;

impl<T: Config> Pallet<T> {
    /// Checks the invariants of the pallet.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        Self::the_price_is_within_its_bounds()?;
        Self::the_ring_of_daily_prices_is_in_place()
    }

    fn the_price_is_within_its_bounds() -> Result<(), TryRuntimeError> {
        let (bounds, price) = (Bounds::<T>::get(), Self::tft_price());
        ensure!(bounds.is_valid(), "the bounds of the price are invalid");
        ensure!(price == 0 || bounds.admit(price), "the price is out of bounds");
        Ok(())
    }

    fn the_ring_of_daily_prices_is_in_place() -> Result<(), TryRuntimeError> {
        let in_place = DailyPrices::<T>::iter().all(|(slot, day)| slot == price_impls::slot_of(day.day));
        ensure!(in_place, "a daily price is in another day's place");
        Ok(())
    }
}
