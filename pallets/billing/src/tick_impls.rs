// SPDX-License-Identifier: Apache-2.0
//! What happens in every block: the two clocks step on, and what is due is served.

use crate::*;
use frame_support::{
    traits::{Get, OnTimestampSet},
    weights::{Weight, WeightMeter},
};
use sp_runtime::Perbill;
use tfgrid_primitives::{
    traits::{Agenda, Clock, ServeDeadlines},
    Deadline, DeadlineKey, GridMillis,
};

/// The most of a block that deadlines take.
const AGENDA_SHARE: Perbill = Perbill::from_percent(20);

/// The price clock steps with the timestamp inherent: in every block, also during migrations.
impl<T: Config> OnTimestampSet<u64> for Pallet<T> {
    fn on_timestamp_set(timestamp_ms: u64) {
        PriceClockState::<T>::mutate(|clock| clock.step(timestamp_ms));
    }
}

impl<T: Config> Agenda for Pallet<T> {
    fn arm(due: GridMillis, deadline: Deadline) {
        Deadlines::<T>::insert(DeadlineKey::new(due, deadline), ());
    }

    fn disarm(due: GridMillis, deadline: Deadline) {
        Deadlines::<T>::remove(DeadlineKey::new(due, deadline));
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

    /// Serves what is due, the longest due first, within the agenda's share of the block.
    ///
    /// One iterator moves through the keys: starting at the prefix again would walk over all that this block
    /// has served. What a handler puts to the tail lies ahead of it.
    pub(crate) fn serve_deadlines(meter: &mut WeightMeter) {
        let mut own = WeightMeter::with_limit(meter.remaining().min(agenda_limit::<T>()));
        let now = Self::grid_now();
        let mut keys = Deadlines::<T>::iter_keys();
        while own.try_consume(T::WeightInfo::next_deadline()).is_ok() {
            let Some(key) = keys.next().filter(|key| key.due() <= now) else { break };
            let step = key.deadline().map_or(Weight::zero(), |deadline| T::Deadlines::weight_of(&deadline));
            if own.try_consume(step.saturating_add(T::WeightInfo::serve_deadline())).is_err() {
                Self::deposit_event(Event::Behind { due: key.due() });
                break;
            }
            Self::serve_one(key, now);
        }
        meter.consume(own.consumed());
    }

    fn serve_one(key: DeadlineKey, now: GridMillis) {
        Deadlines::<T>::remove(key);
        let Some(deadline) = key.deadline() else { return };
        if let Some(due) = T::Deadlines::serve(deadline, now) {
            Self::arm(due, deadline);
        }
    }

    /// A step that doesn't fit in the agenda's share would never be served, nor what is due after it.
    pub(crate) fn every_deadline_fits_in_a_block() {
        let kinds = [
            Deadline::Silence(0),
            Deadline::Drain(0),
            Deadline::Sweep(0),
            Deadline::Answer(0),
            Deadline::Tombstone(0),
        ];
        let around = T::WeightInfo::on_poll()
            .saturating_add(T::WeightInfo::next_deadline())
            .saturating_add(T::WeightInfo::serve_deadline());
        for kind in kinds {
            let step = T::Deadlines::weight_of(&kind).saturating_add(around);
            assert!(step.all_lte(agenda_limit::<T>()), "a step of {kind:?} is too heavy: {step:?}");
        }
    }
}

fn agenda_limit<T: Config>() -> Weight {
    let block = T::BlockWeights::get().max_block;
    Weight::from_parts(AGENDA_SHARE * block.ref_time(), AGENDA_SHARE * block.proof_size())
}
