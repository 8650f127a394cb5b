// SPDX-License-Identifier: Apache-2.0
//! What happens in every block: the two clocks step on.

use crate::*;
use frame_support::{traits::OnTimestampSet, weights::WeightMeter};

/// The price clock steps with the timestamp inherent: in every block, also during migrations.
impl<T: Config> OnTimestampSet<u64> for Pallet<T> {
    fn on_timestamp_set(timestamp_ms: u64) {
        PriceClockState::<T>::mutate(|clock| clock.step(timestamp_ms));
    }
}

impl<T: Config> Pallet<T> {
    /// Grid time steps where polling happens: it stands still in migrations.
    pub(crate) fn step_grid_clock(meter: &mut WeightMeter) {
        if meter.try_consume(T::WeightInfo::on_poll()).is_err() {
            return;
        }
        let timestamp_ms = PriceClockState::<T>::get().stepped_at_ms;
        GridClockState::<T>::mutate(|clock| clock.step(timestamp_ms));
    }
}
