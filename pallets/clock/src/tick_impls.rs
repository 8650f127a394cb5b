// SPDX-License-Identifier: Apache-2.0
//! Every block: both clocks step on, and what is due is served.

use crate::*;
use frame_support::{
    migrations::MigrationStatusHandler,
    traits::{Get, OnTimestampSet},
    weights::{Weight, WeightMeter},
};
use sp_runtime::Perbill;
use tfgrid_primitives::{
    Deadline, DeadlineKey, GridMillis,
    traits::{Agenda, Clock, ServeDeadlines, ServePriceClock},
};

/// The most of a block that both agendas take together.
const AGENDAS_SHARE: Perbill = Perbill::from_percent(20);

/// The price clock steps with the timestamp inherent: in every block, also during migrations.
impl<T: Config> OnTimestampSet<u64> for Pallet<T> {
    fn on_timestamp_set(timestamp_ms: u64) {
        PriceClockState::<T>::mutate(|clock| clock.step(timestamp_ms));
    }
}

/// Grid time stands still in migrations. The first block behind one counts from the last block within it:
/// otherwise all machines would have been silent for a minute.
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

    fn is_armed(due: GridMillis, deadline: Deadline) -> bool {
        Deadlines::<T>::contains_key(DeadlineKey::new(due, deadline))
    }
}

impl<T: Config> Pallet<T> {
    /// Grid time steps where polling happens, so it stands still in migrations.
    pub(crate) fn step_grid_clock(meter: &mut WeightMeter) {
        if meter.try_consume(T::WeightInfo::on_poll()).is_err() {
            return;
        }
        let timestamp_ms = PriceClockState::<T>::get().stepped_at_ms;
        GridClockState::<T>::mutate(|clock| clock.step(timestamp_ms));
    }

    /// Serves both agendas within their share of the block.
    ///
    /// Deadlines get half of it, payers all that is left, and deadlines what payers leave: neither waits for
    /// the other to get through.
    pub(crate) fn serve_agendas(meter: &mut WeightMeter) {
        let mut share = WeightMeter::with_limit(meter.remaining().min(agendas_limit::<T>()));
        let mut half = WeightMeter::with_limit(share.limit() / 2);
        let mut deadlines = Deadlines::<T>::iter_keys().peekable();
        let mut behind = Self::serve_deadlines(&mut deadlines, &mut half);
        share.consume(half.consumed());
        T::Payers::serve_exhausted(&mut share);
        // Where not even a look is left, what was late before is late still.
        if behind.is_some() && share.can_consume(T::WeightInfo::next_deadline()) {
            behind = Self::serve_deadlines(&mut deadlines, &mut share);
        }
        if let Some(due) = behind {
            Self::deposit_event(Event::Behind { due });
        }
        meter.consume(share.consumed());
    }

    /// Serves deadlines, and says when the next one was due where the meter is used up before.
    ///
    /// One iterator moves through the keys: starting at the prefix again would walk over all that this block
    /// has served. What is put back lies ahead of it.
    fn serve_deadlines(
        keys: &mut core::iter::Peekable<impl Iterator<Item = DeadlineKey>>,
        meter: &mut WeightMeter,
    ) -> Option<GridMillis> {
        let now = Self::grid_now();
        while meter.try_consume(T::WeightInfo::next_deadline()).is_ok() {
            let key = keys.peek().copied().filter(|key| key.due() <= now)?;
            let step = weight_of_step::<T>(&key.deadline);
            // The look at the next one must fit, too: otherwise nobody would hear that there is more.
            if !meter.can_consume(step.saturating_add(T::WeightInfo::next_deadline())) {
                return Some(key.due());
            }
            meter.consume(step);
            keys.next();
            Self::serve_deadline(key, now);
        }
        None
    }

    fn serve_deadline(key: DeadlineKey, now: GridMillis) {
        Deadlines::<T>::remove(key);
        if let Some(due) = T::Deadlines::serve(key.deadline, now) {
            Self::arm(due, key.deadline);
        }
    }

    /// A step that doesn't fit in half of the agendas' share might never be served, nor what is due after it.
    pub(crate) fn ensure_steps_fit() {
        let step = T::Deadlines::heaviest_step()
            .saturating_add(T::WeightInfo::serve_deadline())
            .saturating_add(T::WeightInfo::next_deadline() * 2);
        let half = agendas_limit::<T>() / 2;
        assert!(step.all_lte(half), "a deadline's step is too heavy: {step:?}");
        let step = T::Payers::heaviest_step();
        assert!(step.all_lte(half), "serving a payer is too heavy: {step:?}");
    }
}

/// What one step of a deadline takes, with its removal from the agenda and its return.
fn weight_of_step<T: Config>(deadline: &Deadline) -> Weight {
    let step = T::Deadlines::weight_of(deadline).unwrap_or_default();
    step.saturating_add(T::WeightInfo::serve_deadline())
}

/// The most that both agendas take of a block.
pub(crate) fn agendas_limit<T: frame_system::Config>() -> Weight {
    let block = T::BlockWeights::get().max_block;
    Weight::from_parts(AGENDAS_SHARE * block.ref_time(), AGENDAS_SHARE * block.proof_size())
}
