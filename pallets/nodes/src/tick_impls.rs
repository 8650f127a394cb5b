// SPDX-License-Identifier: Apache-2.0
//! Whether nodes are heard from: who falls silent goes offline by the chain's own agenda, and comes back
//! after heartbeats in a row. Drains come to their end here, too.

use crate::{liveness::Row, *};
use frame_support::{traits::Get, weights::Weight};
use tfgrid_primitives::{
    Deadline, GridMillis, NodeId,
    refund::ClockSpan,
    report::PowerState,
    traits::{Agenda, Clock, ServeDeadlines},
};

impl<T: Config> ServeDeadlines for Pallet<T> {
    fn weight_of(deadline: &Deadline) -> Option<Weight> {
        match deadline {
            Deadline::Silence(_) => Some(T::WeightInfo::serve_silence()),
            Deadline::Drain(_) => Some(T::WeightInfo::serve_drain()),
            _ => None,
        }
    }

    fn heaviest_step() -> Weight {
        T::WeightInfo::serve_silence().max(T::WeightInfo::serve_drain())
    }

    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis> {
        match deadline {
            Deadline::Silence(node) => Self::look_at(node, now),
            Deadline::Drain(node) => Self::end_drain(node, now),
            _ => None,
        }
    }
}

impl<T: Config> Pallet<T> {
    /// A node has joined: it is online, and watched from now on.
    pub(crate) fn watch(node: NodeId) {
        let (at, clock) = (T::Clock::grid_now(), T::Clock::price_now());
        Heartbeats::<T>::insert(node, Heartbeat::at_joining(at, clock));
        Self::set_online(node, 0, ClockSpan::default());
    }

    /// A node is gone.
    pub(crate) fn unwatch(node: NodeId) {
        if let Some(live) = Liveliness::<T>::take(node) {
            T::Agenda::disarm(live.check_at, Deadline::Silence(node));
        }
    }

    /// The one place where liveness changes: the deadline moves with it.
    fn set_liveness(node: NodeId, live: Liveness) {
        let armed = Liveliness::<T>::get(node).map(|before| before.check_at);
        if armed != Some(live.check_at) {
            armed.into_iter().for_each(|due| T::Agenda::disarm(due, Deadline::Silence(node)));
            T::Agenda::arm(live.check_at, Deadline::Silence(node));
        }
        Liveliness::<T>::insert(node, live);
    }

    /// It is heard from now on, after it has served nobody through `outage`.
    fn set_online(node: NodeId, flaps: u8, outage: ClockSpan) {
        let now = T::Clock::grid_now();
        let state = LiveState::Online { since: now };
        Self::set_liveness(node, Liveness { state, check_at: silent_at::<T>(now), flaps, outage });
    }

    /// Its silence may be over: says when to look again. `None` for a node that is gone.
    fn look_at(node: NodeId, now: GridMillis) -> Option<GridMillis> {
        let live = Liveliness::<T>::get(node)?;
        let long = T::LongOffline::get();
        match live.state {
            LiveState::Online { .. } => {
                let last = Heartbeats::<T>::get(node)?;
                let due = silent_at::<T>(last.at);
                match now < due {
                    true => Self::set_liveness(node, Liveness { check_at: due, ..live }),
                    false => {
                        Self::set_offline(node, live, Outage::new(now, last.clock));
                    }
                }
            }
            LiveState::Offline(outage) if !outage.given_up => {
                let due = outage.since.saturating_add(long);
                match now < due {
                    true => Self::set_liveness(node, Liveness { check_at: due, ..live }),
                    false => Self::give_up(node, live, outage),
                }
            }
            // Nothing follows from more silence of a node that is given up or asleep.
            LiveState::Offline(_) | LiveState::Standby { .. } => {
                Self::set_liveness(node, Liveness { check_at: now.saturating_add(long), ..live });
            }
        }
        Liveliness::<T>::get(node).map(|live| live.check_at)
    }

    fn set_offline(node: NodeId, live: Liveness, outage: Outage) -> Liveness {
        let now = T::Clock::grid_now();
        let check_at = outage.since.saturating_add(T::LongOffline::get());
        let flaps = live.flaps_at(now);
        let live = Liveness { state: LiveState::Offline(outage), check_at, flaps, ..live };
        Self::set_liveness(node, live);
        T::Agenda::arm(now, Deadline::Sweep(node));
        Self::deposit_event(Event::NodeOffline { node });
        live
    }

    fn give_up(node: NodeId, live: Liveness, outage: Outage) {
        let now = T::Clock::grid_now();
        let state = LiveState::Offline(Outage { given_up: true, ..outage });
        let check_at = now.saturating_add(T::LongOffline::get());
        Self::set_liveness(node, Liveness { state, check_at, ..live });
        T::Agenda::arm(now, Deadline::Sweep(node));
        Self::deposit_event(Event::NodeGivenUp { node });
    }

    /// A node was heard from; the last time was `last`.
    pub(crate) fn hear(node: NodeId, last: &Heartbeat) {
        let Some(live) = Liveliness::<T>::get(node) else { return };
        let now = T::Clock::grid_now();
        let gap = now.saturating_sub(last.at);
        match live.state {
            LiveState::Online { .. } if now < silent_at::<T>(last.at) => {
                Uptime::<T>::mutate(node, |uptime| uptime.count(gap, T::Clock::unix_now()));
            }
            // The agenda is late, and the silence was one all the same.
            LiveState::Online { .. } => {
                let outage = Outage::new(now, last.clock);
                let live = Self::set_offline(node, live, outage);
                Self::count_towards_return(node, live, outage, gap);
            }
            LiveState::Offline(outage) if !outage.cloned => {
                Self::count_towards_return(node, live, outage, gap);
            }
            LiveState::Offline(_) => {}
            LiveState::Standby { .. } => Self::wake(node),
        }
    }

    fn count_towards_return(node: NodeId, live: Liveness, outage: Outage, gap: GridMillis) {
        let now = T::Clock::grid_now();
        let interval = T::HeartbeatInterval::get();
        let row = Row::with(outage.row, gap, now, interval);
        if row.suffices(now, interval, live.flaps) {
            let outage = ClockSpan { from: outage.clock, to: T::Clock::price_now() };
            Self::set_online(node, live.flaps, outage);
            T::Agenda::arm(now, Deadline::Sweep(node));
            Self::deposit_event(Event::NodeOnline { node });
        } else {
            let state = LiveState::Offline(Outage { row: Some(row), ..outage });
            Self::set_liveness(node, Liveness { state, ..live });
        }
    }

    /// A boot that was over goes on: another machine has the key.
    pub(crate) fn notice_clone(node: NodeId) {
        let Some(live) = Liveliness::<T>::get(node) else { return };
        match live.state {
            LiveState::Offline(outage) if outage.cloned => return,
            LiveState::Offline(outage) => {
                let state = LiveState::Offline(Outage { cloned: true, row: None, ..outage });
                Self::set_liveness(node, Liveness { state, ..live });
            }
            LiveState::Online { .. } | LiveState::Standby { .. } => {
                let outage = Outage::new(T::Clock::grid_now(), T::Clock::price_now());
                Self::set_offline(node, live, Outage { cloned: true, ..outage });
            }
        }
        Self::deposit_event(Event::NodeCloned { node });
    }

    /// The nonce before the last may have been the clone's: coming back to it is no offence from now on.
    /// Says whether there was a clone.
    pub(crate) fn forget_clone(node: NodeId) -> bool {
        let Some(live) = Liveliness::<T>::get(node) else { return false };
        let LiveState::Offline(outage) = live.state else { return false };
        if outage.cloned {
            let state = LiveState::Offline(Outage { cloned: false, row: None, ..outage });
            Self::set_liveness(node, Liveness { state, ..live });
            Heartbeats::<T>::mutate(node, |last| {
                last.as_mut().map(|last| last.previous_nonce = None);
            });
        }
        outage.cloned
    }

    /// A node goes to sleep.
    pub(crate) fn sleep(node: NodeId) {
        let Some(live) = Liveliness::<T>::get(node) else { return };
        let state = LiveState::Standby { since: T::Clock::grid_now() };
        Self::set_liveness(node, Liveness { state, ..live });
        Self::deposit_event(Event::PowerChanged { node, state: PowerState::Standby });
    }

    /// A node is up, where it was asleep.
    pub(crate) fn wake(node: NodeId) {
        let Some(live) = Liveliness::<T>::get(node) else { return };
        if !matches!(live.state, LiveState::Standby { .. }) {
            return;
        }
        let (at, clock) = (T::Clock::grid_now(), T::Clock::price_now());
        Heartbeats::<T>::mutate(node, |last| {
            *last = last.map(|last| last.at_moment(at, clock));
        });
        Self::set_online(node, live.flaps, live.outage);
        Self::deposit_event(Event::PowerChanged { node, state: PowerState::Up });
    }

    /// A drain may be over: the node's contracts close.
    fn end_drain(node: NodeId, now: GridMillis) -> Option<GridMillis> {
        let deadline = Nodes::<T>::get(node)?.terms.drain?.deadline;
        if now < deadline {
            return Some(deadline);
        }
        T::Agenda::arm(now, Deadline::Sweep(node));
        Self::deposit_event(Event::DrainEnded { node });
        None
    }
}

/// When a node that was heard from at `last` has been silent for too long.
fn silent_at<T: Config>(last: GridMillis) -> GridMillis {
    let silence = T::HeartbeatInterval::get().saturating_mul(liveness::MISSED_HEARTBEATS);
    last.saturating_add(silence).saturating_add(1)
}
