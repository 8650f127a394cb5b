// SPDX-License-Identifier: Apache-2.0
//! Periods of nodes: hooks of nodes and billing record what counts, and the first heartbeat of a period
//! closes the last one. Each hook touches one node and one period.

use crate::*;
use frame_support::{defensive, storage::with_storage_layer, weights::Weight};
use tfgrid_primitives::{
    Balance, NodeId,
    farming::{period_of, period_start},
    traits::{Clock, FarmedNode, FarmedNodes, FarmingPeriods, OnPaidUse, PaidUse},
};

impl<T: Config> FarmingPeriods for Pallet<T> {
    fn joined(node: NodeId) {
        if Policy::<T>::get().is_some_and(|policy| policy.automatic) {
            // A node whose farmer can't pay the bond isn't enrolled.
            let _ = with_storage_layer(|| Self::do_enrol(node, None));
        }
    }

    fn heard(node: NodeId) {
        let now = Self::period_now();
        let Some((enrolment, open)) = Self::farming(node).filter(|(_, open)| open.period < now) else {
            return;
        };
        Self::close(node, &enrolment, &open, now);
        if let Some(record) = T::Nodes::describe(node) {
            let record = FarmedNode { resources: record.resources.min(&enrolment.seen), ..record };
            let next = OpenPeriod::begin(now, period_start(now), 0, &record);
            Self::set_open_period(node, enrolment, next);
        }
    }

    fn changed(node: NodeId) {
        // A period that is over doesn't change any more; the next one begins with the first heartbeat.
        let now = Self::period_now();
        let Some((enrolment, mut open)) = Self::farming(node).filter(|(_, open)| open.period == now) else {
            return;
        };
        if let Some(record) = T::Nodes::describe(node) {
            open.record_node(&record);
            Self::set_open_period(node, enrolment, open);
        }
    }

    fn left(node: NodeId) {
        if let Some((enrolment, open)) = Self::farming(node) {
            Self::stop_farming(node, enrolment, open);
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

/// What contracts pay counts for the open period of the node, also when that is over and not closed yet.
impl<T: Config> OnPaidUse for Pallet<T> {
    fn on_paid_use(node: NodeId, paid: PaidUse) {
        if let Some((enrolment, mut open)) = Self::farming(node) {
            open.add_paid_use(paid);
            Self::set_open_period(node, enrolment, open);
        }
    }
}

impl<T: Config> Pallet<T> {
    /// The present period.
    pub fn period_now() -> u32 {
        period_of(T::Clock::unix_now())
    }

    /// The enrolment and open period of a node that earns.
    pub(crate) fn farming(node: NodeId) -> Option<(Enrolment, OpenPeriod)> {
        let enrolment = Enrolments::<T>::get(node)?;
        match enrolment.phase {
            Phase::Farming(open) => Some((enrolment, open)),
            Phase::Leaving { .. } => None,
        }
    }

    pub(crate) fn set_open_period(node: NodeId, enrolment: Enrolment, open: OpenPeriod) {
        Enrolments::<T>::insert(node, Enrolment { phase: Phase::Farming(open), ..enrolment });
    }

    /// Closes the period of a node that is over. Its reward counts only in the period that follows: later,
    /// other nodes may have been paid from the total.
    pub(crate) fn close(node: NodeId, enrolment: &Enrolment, open: &OpenPeriod, now: u32) {
        let period = open.period;
        let in_time = period.saturating_add(1) == now;
        let tft = Policy::<T>::get().filter(|_| in_time).map_or(0, |policy| {
            let uptime_ms = T::Nodes::uptime_ms(node, period);
            Self::credit(node, period, open.earned(&policy, enrolment.price, uptime_ms), policy.cap)
        });
        Self::deposit_event(Event::PeriodClosed { node, period, tft });
    }

    /// Adds a reward to the node's rewards and the period's total. Returns the amount that was added, in 1e-7
    /// TFT.
    fn credit(node: NodeId, period: u32, tft: Balance, cap: Balance) -> Balance {
        if tft == 0 || !Self::add_to_total(period, tft, cap) {
            return 0;
        }
        NodeRewards::<T>::mutate(node, |rewards| {
            rewards.retain(|reward| !is_forgotten(reward.period, period));
            if rewards.try_push(Reward { period, tft, paid: None }).is_err() {
                defensive!("a node has one reward for each period that is kept");
            }
        });
        tft
    }

    fn add_to_total(period: u32, tft: Balance, cap: Balance) -> bool {
        Totals::<T>::mutate(|totals| {
            totals.retain(|total| !is_forgotten(total.period, period));
            if !totals.iter().any(|total| total.period == period) {
                let total = PeriodTotal { period, cap, sum: 0, paid: 0, forgotten: 0 };
                if totals.try_push(total).is_err() {
                    defensive!("there is one total for each period that is kept");
                }
            }
            let total = totals.iter_mut().find(|total| total.period == period);
            let grown = total.and_then(|total| Some((total.sum.checked_add(tft)?, total)));
            grown.map(|(sum, total)| total.sum = sum).is_some()
        })
    }

    /// Ends the farming of a node. Its bond can be withdrawn when its last reward has matured; is withdrawn
    /// at once if that is so already.
    pub(crate) fn stop_farming(node: NodeId, enrolment: Enrolment, open: OpenPeriod) {
        let now = Self::period_now();
        if open.period < now {
            Self::close(node, &enrolment, &open, now);
        }
        let last = NodeRewards::<T>::get(node).last().map(|reward| reward.period);
        let until = last.map_or(now, |period| period.saturating_add(MATURES_AFTER).max(now));
        let farm = enrolment.farm;
        Enrolments::<T>::insert(node, Enrolment { phase: Phase::Leaving { until }, ..enrolment });
        Self::deposit_event(Event::NodeLeft { node, farm, until });
        if until <= now {
            // If that fails now, `withdraw` can be called later.
            let _ = with_storage_layer(|| Self::do_withdraw(node));
        }
    }
}
