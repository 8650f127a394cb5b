// SPDX-License-Identifier: Apache-2.0
//! Every block: payers whose credit is used up, grace periods that end, reviews of price factors.

use crate::*;
use frame_support::weights::{Weight, WeightMeter};
use tfgrid_primitives::{
    Deadline, GridMillis, PriceTime,
    traits::{Clock, ServeDeadlines, ServePriceClock},
};

impl<T: Config> ServePriceClock for Pallet<T> {
    fn serve_exhausted(meter: &mut WeightMeter) {
        if let Some(end) = Self::serve_ends(meter) {
            Self::deposit_event(Event::PayersBehind { end });
        }
    }

    fn heaviest_step() -> Weight {
        T::WeightInfo::serve_end().saturating_add(T::WeightInfo::next_end() * 2)
    }
}

impl<T: Config> ServeDeadlines for Pallet<T> {
    fn weight_of(deadline: &Deadline) -> Option<Weight> {
        match deadline {
            Deadline::Grace(_) => Some(T::WeightInfo::serve_grace()),
            Deadline::Review(_) => Some(T::WeightInfo::serve_review()),
            _ => None,
        }
    }

    fn heaviest_step() -> Weight {
        T::WeightInfo::serve_grace().max(T::WeightInfo::serve_review())
    }

    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis> {
        match deadline {
            Deadline::Grace(twin) => {
                Self::serve_grace(twin, now);
                None
            }
            Deadline::Review(twin) => Self::serve_review(twin, now),
            _ => None,
        }
    }
}

impl<T: Config> Pallet<T> {
    /// Serves payers whose credit is used up, and says where the next one's ended where the meter is used up
    /// before.
    ///
    /// One iterator moves through the keys: starting at the prefix again would walk over all that this block
    /// has served. What is put back lies ahead of it.
    fn serve_ends(meter: &mut WeightMeter) -> Option<PriceTime> {
        let clock = T::Clock::price_now();
        let mut keys = PayersByExhaustion::<T>::iter_keys();
        while meter.try_consume(T::WeightInfo::next_end()).is_ok() {
            let key = keys.next().filter(|key| key.end() <= clock)?;
            let step = T::WeightInfo::serve_end();
            // The look at the next one must fit, too: otherwise nobody would hear that there is more.
            if !meter.can_consume(step.saturating_add(T::WeightInfo::next_end())) {
                return Some(key.end());
            }
            meter.consume(step);
            Self::serve_end(key);
        }
        None
    }
}
