// SPDX-License-Identifier: Apache-2.0
//! What nodes do is written down, and closes their periods: one step per node and period, no loop over nodes.

use crate::*;
use frame_support::{storage::with_storage_layer, weights::Weight};
use tfgrid_primitives::{
    Balance, NodeId,
    farming::{period_of, period_start},
    traits::{Clock, FarmedNodes, FarmingPeriods, OnPaidUse, PaidUse},
};

impl<T: Config> FarmingPeriods for Pallet<T> {
    fn joined(node: NodeId) {
        if Policy::<T>::get().is_some_and(|policy| policy.automatic) {
            // A farmer who can't pay the bond has a node that isn't enrolled.
            let _ = with_storage_layer(|| Self::do_enrol(node));
        }
    }

    fn heard(node: NodeId) {
        let now = Self::period_now();
        let Some((enrolment, running)) = Self::farming(node).filter(|(_, running)| running.period < now)
        else {
            return;
        };
        Self::close(node, &enrolment, &running, now);
        if let Some(shown) = T::Nodes::describe(node) {
            let next = Running::begin(now, period_start(now), 0, &shown);
            Self::set_running(node, enrolment, next);
        }
    }

    fn changed(node: NodeId) {
        // A period that is over isn't changed any more; the next one begins with the first heartbeat.
        let now = Self::period_now();
        let Some((enrolment, mut running)) = Self::farming(node).filter(|(_, running)| running.period == now)
        else {
            return;
        };
        if let Some(shown) = T::Nodes::describe(node) {
            running.see(&shown);
            Self::set_running(node, enrolment, running);
        }
    }

    fn left(node: NodeId) {
        if let Some((enrolment, running)) = Self::farming(node) {
            Self::part(node, enrolment, running);
        }
    }

    fn weight_of_joining() -> Weight {
        T::WeightInfo::enrol()
    }

    fn weight_of_telling() -> Weight {
        T::WeightInfo::close()
    }

    fn weight_of_leaving() -> Weight {
        T::WeightInfo::leave()
    }
}

/// What is paid for a node in a period that is over counts for it until the node's first heartbeat of the next.
impl<T: Config> OnPaidUse for Pallet<T> {
    fn on_paid_use(node: NodeId, paid: PaidUse) {
        if let Some((enrolment, mut running)) = Self::farming(node) {
            running.count(paid);
            Self::set_running(node, enrolment, running);
        }
    }
}

impl<T: Config> Pallet<T> {
    /// The present period.
    pub fn period_now() -> u32 {
        period_of(T::Clock::unix_now())
    }

    /// A node that earns, and its period.
    pub(crate) fn farming(node: NodeId) -> Option<(Enrolment, Running)> {
        let enrolment = Enrolments::<T>::get(node)?;
        match enrolment.phase {
            Phase::Farming(running) => Some((enrolment, running)),
            Phase::Leaving { .. } => None,
        }
    }

    pub(crate) fn set_running(node: NodeId, enrolment: Enrolment, running: Running) {
        Enrolments::<T>::insert(node, Enrolment { phase: Phase::Farming(running), ..enrolment });
    }

    /// A node's period is over. Its reward counts only in the period that follows: later ones would come to
    /// a total of which others have been paid already.
    pub(crate) fn close(node: NodeId, enrolment: &Enrolment, running: &Running, now: u32) {
        let period = running.period;
        let in_time = period.saturating_add(1) == now;
        let tft = Policy::<T>::get().filter(|_| in_time).map_or(0, |policy| {
            let uptime_ms = T::Nodes::uptime_ms(node, period);
            Self::credit(node, period, running.earned(&policy, enrolment.price, uptime_ms), policy.cap)
        });
        Self::deposit_event(Event::PeriodClosed { node, period, tft });
    }

    /// Writes down a reward, with the period's total; says what was written down.
    fn credit(node: NodeId, period: u32, tft: Balance, cap: Balance) -> Balance {
        if tft == 0 || !Self::add_to_total(period, tft, cap) {
            return 0;
        }
        NodeRewards::<T>::mutate(node, |rewards| {
            rewards.retain(|reward| !is_forgotten(reward.period, period));
            // One per period and none older than that: there is room.
            let _ = rewards.try_push(Reward { period, tft, paid: None });
        });
        tft
    }

    fn add_to_total(period: u32, tft: Balance, cap: Balance) -> bool {
        Totals::<T>::mutate(|totals| {
            totals.retain(|total| !is_forgotten(total.period, period));
            if !totals.iter().any(|total| total.period == period) {
                let _ = totals.try_push(PeriodTotal { period, cap, sum: 0, paid: 0, forgotten: 0 });
            }
            let total = totals.iter_mut().find(|total| total.period == period);
            let grown = total.and_then(|total| Some((total.sum.checked_add(tft)?, total)));
            grown.map(|(sum, total)| total.sum = sum).is_some()
        })
    }

    /// A node stops earning. Its bond is free when its last reward has matured, which may be now.
    pub(crate) fn part(node: NodeId, enrolment: Enrolment, running: Running) {
        let now = Self::period_now();
        if running.period < now {
            Self::close(node, &enrolment, &running, now);
        }
        let last = NodeRewards::<T>::get(node).last().map(|reward| reward.period);
        let until = last.map_or(now, |period| period.saturating_add(MATURES_AFTER).max(now));
        let farm = enrolment.farm;
        Enrolments::<T>::insert(node, Enrolment { phase: Phase::Leaving { until }, ..enrolment });
        Self::deposit_event(Event::NodeLeft { node, farm, until });
        if until <= now {
            // What can't be paid now can be withdrawn later.
            let _ = with_storage_layer(|| Self::do_withdraw(node));
        }
    }
}
