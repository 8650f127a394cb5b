// SPDX-License-Identifier: Apache-2.0
//! The clocks as other pallets read them, and genesis.

use crate::*;
use tfgrid_primitives::{
    GridMillis, PriceTime, TftPrice, UnixSeconds,
    ledger::Moment,
    traits::{Clock, LedgerClock},
    units::SECOND_MS,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn build_genesis(genesis: &GenesisConfig<T>) {
        let GenesisConfig { price, bounds, .. } = *genesis;
        let accepted = bounds.is_valid() && (price == 0 || bounds.admit(price));
        assert!(accepted, "the genesis price {price} isn't within valid bounds: {bounds:?}");
        Bounds::<T>::put(bounds);
        PriceClockState::<T>::mutate(|clock| clock.set_price(price));
    }
}

impl<T: Config> Clock for Pallet<T> {
    fn grid_now() -> GridMillis {
        GridClockState::<T>::get().now_ms
    }

    fn unix_now() -> UnixSeconds {
        PriceClockState::<T>::get().stepped_at_ms / SECOND_MS
    }

    fn price_now() -> PriceTime {
        PriceClockState::<T>::get().now()
    }
}

impl<T: Config> LedgerClock for Pallet<T> {
    fn now() -> Moment {
        let clock = PriceClockState::<T>::get();
        Moment { clock: clock.now(), ms: clock.total_ms }
    }

    fn tft_price() -> TftPrice {
        PriceClockState::<T>::get().price
    }
}
