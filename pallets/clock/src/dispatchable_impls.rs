// SPDX-License-Identifier: Apache-2.0
//! The calls.

use crate::*;
use frame_support::pallet_prelude::*;
use tfgrid_primitives::TftPrice;

impl<T: Config> Pallet<T> {
    pub(crate) fn do_set_price(price: TftPrice) -> DispatchResult {
        ensure!(Bounds::<T>::get().admit(price), Error::<T>::PriceOutOfBounds);
        Self::change_price(price);
        Ok(())
    }

    pub(crate) fn do_set_bounds(bounds: PriceBounds) -> DispatchResult {
        let admits_present = bounds.admit(PriceClockState::<T>::get().price);
        ensure!(bounds.is_valid() && admits_present, Error::<T>::BoundsInvalid);
        Bounds::<T>::put(bounds);
        Self::deposit_event(Event::BoundsSet { bounds });
        Ok(())
    }
}
