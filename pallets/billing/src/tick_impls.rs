// SPDX-License-Identifier: Apache-2.0
//! What happens in every block: the two clocks step on, and what is due is served.

use crate::*;
use core::iter::Peekable;
use frame_support::{
    migrations::MigrationStatusHandler,
    traits::{Get, OnTimestampSet},
    weights::{Weight, WeightMeter},
};
use sp_runtime::Perbill;
use tfgrid_primitives::{
    Deadline, DeadlineKey, EndKey, GridMillis, Q64,
    traits::{Agenda, Clock, ServeDeadlines},
};

/// The most of a block that both agendas take together.
const AGENDA_SHARE: Perbill = Perbill::from_percent(20);

/// The price clock steps with the timestamp inherent: in every block, also during migrations.
impl<T: Config> OnTimestampSet<u64> for Pallet<T> {
    fn on_timestamp_set(timestamp_ms: u64) {
        PriceClockState::<T>::mutate(|clock| clock.step(timestamp_ms));
    }
}

/// Grid time stands still in migrations: the first block behind one counts from the last within it, else all
/// machines would have been silent for a minute.
impl<T: Config> MigrationStatusHandler for Pallet<T> {
    fn completed() {
        let timestamp_ms = PriceClockState::<T>::get().stepped_at_ms;
        GridClockState::<T>::mutate(|clock| clock.stepped_at_ms = timestamp_ms);
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

    /// Serves what is due on both agendas, the longest due first, within their share of the block.
    ///
    /// Half of it is the payers' and half the deadlines', and what one leaves is the other's: neither waits
    /// for the other to get through.
    pub(crate) fn serve_agendas(meter: &mut WeightMeter) {
        let mut own = WeightMeter::with_limit(meter.remaining().min(agenda_limit::<T>()));
        let mut half = WeightMeter::with_limit(own.limit() / 2);
        let mut ends = Ends::<T>::iter_keys().peekable();
        let left = serve_ends::<T>(&mut ends, &mut half);
        own.consume(half.consumed());
        if let Some(due) = serve_deadlines::<T>(&mut own) {
            Self::deposit_event(Event::Behind { due });
        }
        // Where not even a look is left, what was left before still is.
        let looks = own.can_consume(T::WeightInfo::next_end());
        let left = if looks { serve_ends::<T>(&mut ends, &mut own) } else { left };
        if let Some(end) = left {
            Self::deposit_event(Event::PayersBehind { end });
        }
        meter.consume(own.consumed());
    }

    fn serve_one(key: DeadlineKey, now: GridMillis) {
        Deadlines::<T>::remove(key);
        let Some(deadline) = key.deadline() else { return };
        let again = match deadline {
            Deadline::Grace(twin) => {
                Self::serve_grace(twin, now);
                None
            }
            Deadline::Review(twin) => Self::serve_review(twin, now),
            _ => T::Deadlines::serve(deadline, now),
        };
        if let Some(due) = again {
            Self::arm(due, deadline);
        }
    }

    /// A step that doesn't fit in its half of the agendas' share might never be served, nor what is due after
    /// it.
    pub(crate) fn every_step_fits_in_a_block() {
        let kinds = [
            Deadline::Silence(0),
            Deadline::Drain(0),
            Deadline::Sweep(0),
            Deadline::Answer(0),
            Deadline::CoolDown(0),
            Deadline::Tombstone(0),
            Deadline::Grace(0),
            Deadline::Eviction(0),
            Deadline::Review(0),
        ];
        let half = agenda_limit::<T>() / 2;
        for kind in kinds {
            let looks = T::WeightInfo::next_deadline() * 2;
            let step = weight_of::<T>(&kind).saturating_add(looks);
            assert!(step.all_lte(half), "a step of {kind:?} is too heavy: {step:?}");
        }
        let step = T::WeightInfo::serve_end().saturating_add(T::WeightInfo::next_end() * 2);
        assert!(step.all_lte(half), "serving a payer is too heavy: {step:?}");
    }
}

/// Serves payers whose credit has ended. Says where the next one's ended when the meter is used up before.
///
/// One iterator moves through the keys: starting at the prefix again would walk over all that this block has
/// served. What is put back lies ahead of it.
fn serve_ends<T: Config>(
    keys: &mut Peekable<impl Iterator<Item = EndKey>>,
    meter: &mut WeightMeter,
) -> Option<Q64> {
    let clock = Pallet::<T>::now().clock;
    while meter.try_consume(T::WeightInfo::next_end()).is_ok() {
        let key = keys.peek().copied().filter(|key| key.end() <= clock)?;
        let step = T::WeightInfo::serve_end();
        // With it must fit the look at what comes next: else nobody would hear that there is more.
        if !meter.can_consume(step.saturating_add(T::WeightInfo::next_end())) {
            return Some(key.end());
        }
        meter.consume(step);
        keys.next();
        Pallet::<T>::serve_end(key);
    }
    None
}

/// Serves deadlines. Says when the next one was due when the meter is used up before.
fn serve_deadlines<T: Config>(meter: &mut WeightMeter) -> Option<GridMillis> {
    let now = Pallet::<T>::grid_now();
    let mut keys = Deadlines::<T>::iter_keys();
    while meter.try_consume(T::WeightInfo::next_deadline()).is_ok() {
        let key = keys.next().filter(|key| key.due() <= now)?;
        let step = key.deadline().map_or(T::WeightInfo::serve_deadline(), |kind| weight_of::<T>(&kind));
        if !meter.can_consume(step.saturating_add(T::WeightInfo::next_deadline())) {
            return Some(key.due());
        }
        meter.consume(step);
        Pallet::<T>::serve_one(key, now);
    }
    None
}

/// What one step of a deadline takes, its coming and going included.
fn weight_of<T: Config>(deadline: &Deadline) -> Weight {
    let step = match deadline {
        Deadline::Grace(_) => T::WeightInfo::serve_grace(),
        Deadline::Review(_) => T::WeightInfo::serve_review(),
        _ => T::Deadlines::weight_of(deadline),
    };
    step.saturating_add(T::WeightInfo::serve_deadline())
}

fn agenda_limit<T: Config>() -> Weight {
    let block = T::BlockWeights::get().max_block;
    Weight::from_parts(AGENDA_SHARE * block.ref_time(), AGENDA_SHARE * block.proof_size())
}
