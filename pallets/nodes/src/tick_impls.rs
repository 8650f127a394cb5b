// SPDX-License-Identifier: Apache-2.0
//! Liveness over time: the agenda sets silent nodes offline, heartbeats in a row bring them back. Drains end
//! here, too.

use crate::*;
use frame_support::{defensive, traits::Get, weights::Weight};
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
            Deadline::Silence(node) => Self::check_silence(node, now),
            Deadline::Drain(node) => Self::end_drain(node, now),
            _ => None,
        }
    }
}

impl<T: Config> Pallet<T> {
    /// Starts the liveness of a node that joins: it is online.
    pub(crate) fn watch(node: NodeId) {
        let (at, clock) = (T::Clock::grid_now(), T::Clock::price_now());
        Heartbeats::<T>::insert(node, Heartbeat::at_joining(at, clock));
        Self::set_online(node, 0, ClockSpan::default());
    }

    /// Removes the liveness of a removed node, and its deadline.
    pub(crate) fn unwatch(node: NodeId) {
        if let Some(live) = Self::liveness(node) {
            T::Agenda::disarm(live.check_at, Deadline::Silence(node));
        }
        LivenessOf::<T>::remove(node);
    }

    /// The liveness of a node that exists.
    fn liveness(node: NodeId) -> Option<Liveness> {
        let live = LivenessOf::<T>::get(node);
        if live.is_none() {
            defensive!("each node has a liveness");
        }
        live
    }

    /// The one place where liveness changes: the deadline moves with it.
    fn set_liveness(node: NodeId, live: Liveness) {
        let armed = LivenessOf::<T>::get(node).map(|before| before.check_at);
        if armed != Some(live.check_at) {
            if let Some(due) = armed {
                T::Agenda::disarm(due, Deadline::Silence(node));
            }
            T::Agenda::arm(live.check_at, Deadline::Silence(node));
        }
        LivenessOf::<T>::insert(node, live);
    }

    /// Sets a node online from now on, with its last outage.
    fn set_online(node: NodeId, flaps: u8, outage: ClockSpan) {
        let now = T::Clock::grid_now();
        let state = LiveState::Online { since: now };
        Self::set_liveness(node, Liveness { state, check_at: silent_at::<T>(now), flaps, outage });
    }

    /// Checks at a deadline whether a node has been silent for too long. Returns the time of the next check;
    /// `None` for a removed node.
    fn check_silence(node: NodeId, now: GridMillis) -> Option<GridMillis> {
        let live = LivenessOf::<T>::get(node)?;
        let timeout = T::OfflineTimeout::get();
        match live.state {
            LiveState::Online { .. } => {
                let last = Heartbeats::<T>::get(node)?;
                let due = silent_at::<T>(last.at);
                if now < due {
                    Self::set_liveness(node, Liveness { check_at: due, ..live });
                } else {
                    Self::set_offline(node, live, Outage::new(now, last.clock));
                }
            }
            LiveState::Offline(outage) if !outage.given_up => {
                let due = outage.since.saturating_add(timeout);
                if now < due {
                    Self::set_liveness(node, Liveness { check_at: due, ..live });
                } else {
                    Self::give_up(node, live, outage);
                }
            }
            // More silence changes nothing.
            LiveState::Offline(_) | LiveState::Standby { .. } => {
                Self::set_liveness(node, Liveness { check_at: now.saturating_add(timeout), ..live });
            }
        }
        LivenessOf::<T>::get(node).map(|live| live.check_at)
    }

    fn set_offline(node: NodeId, live: Liveness, outage: Outage) -> Liveness {
        let now = T::Clock::grid_now();
        let check_at = outage.since.saturating_add(T::OfflineTimeout::get());
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
        let check_at = now.saturating_add(T::OfflineTimeout::get());
        Self::set_liveness(node, Liveness { state, check_at, ..live });
        T::Agenda::arm(now, Deadline::Sweep(node));
        Self::deposit_event(Event::NodeGivenUp { node });
    }

    /// Counts a heartbeat; the one before was `last`.
    pub(crate) fn on_heartbeat(node: NodeId, last: &Heartbeat) {
        let Some(live) = Self::liveness(node) else { return };
        let now = T::Clock::grid_now();
        let gap = now.saturating_sub(last.at);
        match live.state {
            LiveState::Online { .. } if now < silent_at::<T>(last.at) => {
                Uptime::<T>::mutate(node, |uptime| uptime.count(gap, T::Clock::unix_now()));
            }
            // The agenda is late: the node was silent for too long before this heartbeat.
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
        let streak = HeartbeatStreak::with(outage.streak, gap, now, interval);
        if streak.suffices(now, interval, live.flaps) {
            let outage = ClockSpan { from: outage.clock, to: T::Clock::price_now() };
            Self::set_online(node, live.flaps, outage);
            T::Agenda::arm(now, Deadline::Sweep(node));
            Self::deposit_event(Event::NodeOnline { node });
        } else {
            let state = LiveState::Offline(Outage { streak: Some(streak), ..outage });
            Self::set_liveness(node, Liveness { state, ..live });
        }
    }

    /// Sets a node offline whose key two machines use.
    pub(crate) fn mark_cloned(node: NodeId) {
        let Some(live) = Self::liveness(node) else { return };
        match live.state {
            LiveState::Offline(outage) if outage.cloned => return,
            LiveState::Offline(outage) => {
                let state = LiveState::Offline(Outage { cloned: true, streak: None, ..outage });
                Self::set_liveness(node, Liveness { state, ..live });
            }
            LiveState::Online { .. } | LiveState::Standby { .. } => {
                let outage = Outage::new(T::Clock::grid_now(), T::Clock::price_now());
                Self::set_offline(node, live, Outage { cloned: true, ..outage });
            }
        }
        Self::deposit_event(Event::NodeCloned { node });
    }

    /// Lets the heartbeats of a cloned node count again; `false` if it wasn't cloned. Forgets the previous
    /// nonce, which the machine that stays may have.
    pub(crate) fn unmark_cloned(node: NodeId) -> bool {
        let Some(live) = Self::liveness(node) else { return false };
        let LiveState::Offline(outage) = live.state else { return false };
        if outage.cloned {
            let state = LiveState::Offline(Outage { cloned: false, streak: None, ..outage });
            Self::set_liveness(node, Liveness { state, ..live });
            Heartbeats::<T>::mutate(node, |last| {
                if let Some(last) = last {
                    last.previous_nonce = None;
                }
            });
        }
        outage.cloned
    }

    /// Puts a node to sleep.
    pub(crate) fn sleep(node: NodeId) {
        let Some(live) = Self::liveness(node) else { return };
        let state = LiveState::Standby { since: T::Clock::grid_now() };
        Self::set_liveness(node, Liveness { state, ..live });
        Self::deposit_event(Event::PowerChanged { node, state: PowerState::Standby });
    }

    /// Sets a node online that sleeps; a no-op for others.
    pub(crate) fn wake(node: NodeId) {
        let Some(live) = Self::liveness(node) else { return };
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

    /// Has a node's contracts close if its drain has reached its deadline; otherwise returns that deadline.
    fn end_drain(node: NodeId, now: GridMillis) -> Option<GridMillis> {
        let deadline = Nodes::<T>::get(node)?.settings.drain?.deadline;
        if now < deadline {
            return Some(deadline);
        }
        T::Agenda::arm(now, Deadline::Sweep(node));
        Self::deposit_event(Event::DrainEnded { node });
        None
    }
}

/// Grid time at which a node has been silent for too long since its heartbeat at `last`.
fn silent_at<T: Config>(last: GridMillis) -> GridMillis {
    let silence = T::HeartbeatInterval::get().saturating_mul(liveness::MISSED_HEARTBEATS);
    last.saturating_add(silence).saturating_add(1)
}
