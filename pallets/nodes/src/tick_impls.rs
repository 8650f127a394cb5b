// SPDX-License-Identifier: Apache-2.0
//! Whether nodes are heard from: who falls silent goes offline by the chain's own agenda, and comes back
//! after heartbeats in a row.

use crate::*;
use frame_support::{traits::Get, weights::Weight};
use tfgrid_primitives::{
    traits::{Agenda, Clock, ServeDeadlines},
    Deadline, GridMillis, NodeId,
};

impl<T: Config> ServeDeadlines for Pallet<T> {
    fn weight_of(_: &Deadline) -> Weight {
        T::WeightInfo::serve_silence()
    }

    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis> {
        let Deadline::Silence(node) = deadline else { return None };
        let due = Self::look_at(node, now)?;
        Liveliness::<T>::mutate(node, |live| live.as_mut().map(|live| live.check_at = due));
        Some(due)
    }
}

impl<T: Config> Pallet<T> {
    /// A node has joined: it is online, and watched from now on.
    pub(crate) fn watch(node: NodeId) {
        let (at, clock) = (T::Clock::grid_now(), T::Clock::price_now());
        Heartbeats::<T>::insert(node, Heartbeat { at, sequence: 0, boot_nonce: 0, clock });
        Self::set_online(node, at, 0);
    }

    /// A node is gone.
    pub(crate) fn unwatch(node: NodeId) {
        if let Some(live) = Liveliness::<T>::take(node) {
            T::Agenda::disarm(live.check_at, Deadline::Silence(node));
        }
    }

    fn set_online(node: NodeId, now: GridMillis, flaps: u8) {
        let check_at = silent_at::<T>(now);
        Liveliness::<T>::insert(node, Liveness::online(now, check_at, flaps));
        T::Agenda::arm(check_at, Deadline::Silence(node));
    }

    /// Its silence may be over: says when to look again. `None` for a node that is gone.
    fn look_at(node: NodeId, now: GridMillis) -> Option<GridMillis> {
        let live = Liveliness::<T>::get(node)?;
        match live.state {
            LiveState::Online { since } => {
                let due = silent_at::<T>(Heartbeats::<T>::get(node)?.at);
                if now < due {
                    return Some(due);
                }
                let steady = now.saturating_sub(since) >= STEADY;
                let flaps = if steady { 0 } else { live.flaps.saturating_add(1) };
                let state = LiveState::Offline { since: now, returning: None };
                Liveliness::<T>::insert(node, Liveness { state, flaps, ..live });
                Self::deposit_event(Event::NodeOffline { node });
            }
            // It has been offline for long: its contracts close.
            LiveState::Offline { .. } => {}
        }
        T::Agenda::arm(now, Deadline::Sweep(node));
        Some(now.saturating_add(T::LongOffline::get()))
    }

    /// Counts a heartbeat of a node that is offline; one that came late starts the row anew.
    pub(crate) fn count_towards_return(node: NodeId, last: GridMillis, now: GridMillis) {
        let Some(live) = Liveliness::<T>::get(node) else { return };
        let LiveState::Offline { since, returning } = live.state else { return };
        let interval = T::HeartbeatInterval::get();
        let in_row = now.saturating_sub(last) <= interval.saturating_mul(2);
        let (beats, from) = returning.filter(|_| in_row).unwrap_or((0, now));
        let beats = beats.saturating_add(1);

        if beats < HEARTBEATS_TO_RETURN || now.saturating_sub(from) < live.return_time(interval) {
            let state = LiveState::Offline { since, returning: Some((beats, from)) };
            Liveliness::<T>::insert(node, Liveness { state, ..live });
            return;
        }
        T::Agenda::disarm(live.check_at, Deadline::Silence(node));
        Self::set_online(node, now, live.flaps);
        T::Agenda::arm(now, Deadline::Sweep(node));
        Self::deposit_event(Event::NodeOnline { node });
    }
}

/// When a node that was heard from at `last` has been silent for too long.
fn silent_at<T: Config>(last: GridMillis) -> GridMillis {
    let silence = T::HeartbeatInterval::get().saturating_mul(MISSED_HEARTBEATS);
    last.saturating_add(silence).saturating_add(1)
}
