// SPDX-License-Identifier: Apache-2.0
//! What other pallets and people may ask, and the laws that hold after every block.

use crate::*;
use frame_support::{ensure, traits::Get};
use sp_runtime::{DispatchError, DispatchResult, Vec};
use tfgrid_primitives::{
    FarmId, NodeId, PriceTime, Resources, UsdRate,
    refund::ClockSpan,
    traits::{
        Clock, FarmDirectory, FarmInUse, FarmedNode, FarmedNodes, NodeDirectory, NodeFacts, NodeLiveness,
        Service,
    },
    units::SECOND_MS,
    views::{ClosingReason, MAX_PAGE, NodeFilter, NodeOffer, Page},
};

impl<T: Config> Pallet<T> {
    /// What a node could still reserve; `None` for an unknown node.
    pub fn free(node: NodeId) -> Option<Resources> {
        let total = Nodes::<T>::get(node)?.resources;
        Some(total.saturating_sub(&Reserved::<T>::get(node).resources))
    }

    /// Whether a node counts as online.
    pub fn is_online(node: NodeId) -> bool {
        Liveliness::<T>::get(node).is_some_and(|live| matches!(live.state, LiveState::Online { .. }))
    }

    fn service(node: NodeId, terms: &Terms) -> Service {
        let drained = |drain: &Drain| drain.deadline <= T::Clock::grid_now();
        match Liveliness::<T>::get(node).map(|live| live.state) {
            None => Service::Ended(ClosingReason::NodeRemoved),
            Some(LiveState::Offline(outage)) if outage.given_up => Service::Ended(ClosingReason::NodeSilent),
            Some(_) if terms.drain.as_ref().is_some_and(drained) => Service::Ended(ClosingReason::Drained),
            Some(LiveState::Online { .. }) => Service::Running,
            Some(LiveState::Offline(_) | LiveState::Standby { .. }) => Service::Suspended,
        }
    }

    /// What is asked for a rent beside the list price: governance may have lowered the maximum since.
    fn extra_fee(terms: &Terms) -> UsdRate {
        terms.extra_fee.at(T::Clock::grid_now()).min(T::MaxExtraFee::get())
    }

    fn is_dedicated(farm: FarmId, terms: &Terms) -> bool {
        terms.dedicated || T::Farms::facts(farm).is_some_and(|facts| facts.dedicated)
    }

    pub(crate) fn offer_of(node: NodeId) -> Option<NodeOffer> {
        let Node { farm, resources: total, certified, terms, .. } = Nodes::<T>::get(node)?;
        let reserved = Reserved::<T>::get(node);
        Some(NodeOffer {
            node,
            farm,
            total,
            free: total.saturating_sub(&reserved.resources),
            certified: certified.is_some(),
            online: Self::is_online(node),
            draining: terms.drain.is_some(),
            dedicated: Self::is_dedicated(farm, &terms),
            extra_fee: Self::extra_fee(&terms),
            country: Locations::<T>::get(node).map(|location| location.country),
            contracts: reserved.contracts,
            not_delivered: NotDelivered::<T>::get(node),
        })
    }

    pub(crate) fn page_of_nodes(
        filter: &NodeFilter,
        after: Option<NodeId>,
        limit: u32,
    ) -> Page<NodeOffer, NodeId> {
        let limit = limit.clamp(1, MAX_PAGE) as usize;
        let last = LastNodeId::<T>::get();
        let start = after.unwrap_or(0);
        let end = start.saturating_add(MAX_PAGE).min(last);
        let mut items = Vec::new();
        for node in start.saturating_add(1)..=end {
            items.extend(Self::offer_of(node).filter(|offer| matches(offer, filter)));
            if items.len() >= limit {
                return Page { items, next: (node < last).then_some(node) };
            }
        }
        Page { items, next: (end < last).then_some(end) }
    }
}

fn matches(offer: &NodeOffer, filter: &NodeFilter) -> bool {
    filter.free.fits_in(&offer.free)
        && filter.farm.is_none_or(|farm| farm == offer.farm)
        && (filter.country.is_none() || filter.country == offer.country)
        && (offer.certified || !filter.certified)
        && (!filter.rentable || offer.contracts == 0 && !offer.draining)
        && (filter.unavailable || offer.online && !offer.draining)
}

impl<T: Config> FarmInUse for Pallet<T> {
    fn has_nodes(farm: FarmId) -> bool {
        FarmNodes::<T>::iter_key_prefix(farm).next().is_some()
    }
}

impl<T: Config> Pallet<T> {
    /// Where the price clock stood at a node's last heartbeat, if it is offline or has missed so many since.
    fn unheard_since(node: NodeId, missed: u64) -> Option<PriceTime> {
        // A node on its way back was silent all the same: its contracts are stopped one by one.
        if let Some(LiveState::Offline(outage)) = Liveliness::<T>::get(node).map(|live| live.state) {
            return Some(outage.clock);
        }
        let Some(last) = Heartbeats::<T>::get(node) else { return Some(PriceTime::ZERO) };
        let silence = T::Clock::grid_now().saturating_sub(last.at);
        (silence > T::HeartbeatInterval::get().saturating_mul(missed)).then_some(last.clock)
    }
}

impl<T: Config> NodeLiveness for Pallet<T> {
    fn silent_since(node: NodeId) -> Option<PriceTime> {
        Self::unheard_since(node, 1)
    }

    fn offline_since(node: NodeId) -> Option<PriceTime> {
        Self::unheard_since(node, liveness::MISSED_HEARTBEATS)
    }

    fn last_outage(node: NodeId) -> ClockSpan {
        Liveliness::<T>::get(node).map_or_else(ClockSpan::default, |live| live.outage)
    }
}

impl<T: Config> FarmedNodes for Pallet<T> {
    fn describe(node: NodeId) -> Option<FarmedNode> {
        let Node { farm, resources, certified, .. } = Nodes::<T>::get(node)?;
        let virtualized = Details::<T>::get(node).map(|details| details.virtualized);
        Some(FarmedNode { farm, resources, certified: certified.is_some(), virtualized })
    }

    fn uptime_ms(node: NodeId, period: u32) -> u64 {
        Uptime::<T>::get(node).in_period(period)
    }
}

impl<T: Config> NodeDirectory for Pallet<T> {
    fn facts(node: NodeId) -> Option<NodeFacts> {
        let Node { farm, certified, resources, terms, .. } = Nodes::<T>::get(node)?;
        Some(NodeFacts {
            farm,
            certified: certified.is_some(),
            online: Self::is_online(node),
            draining: terms.drain.is_some(),
            dedicated: Self::is_dedicated(farm, &terms),
            extra_fee: Self::extra_fee(&terms),
            resources,
            contracts: Reserved::<T>::get(node).contracts,
            service: Self::service(node, &terms),
        })
    }

    fn reserve(node: NodeId, resources: &Resources) -> DispatchResult {
        let record = Nodes::<T>::get(node).ok_or(Error::<T>::UnknownNode)?;
        ensure!(record.terms.drain.is_none(), Error::<T>::NodeDraining);
        Reserved::<T>::try_mutate(node, |reserved| {
            let sum = reserved.resources.checked_add(resources).ok_or(Error::<T>::NotEnoughCapacity)?;
            ensure!(sum.fits_in(&record.resources), Error::<T>::NotEnoughCapacity);
            ensure!(reserved.contracts < T::MaxContractsPerNode::get(), Error::<T>::TooManyContracts);
            *reserved = Reservation { resources: sum, contracts: reserved.contracts.saturating_add(1) };
            Ok(())
        })
    }

    fn resize(node: NodeId, from: &Resources, to: &Resources) -> DispatchResult {
        let total = Nodes::<T>::get(node).ok_or(Error::<T>::UnknownNode)?.resources;
        Reserved::<T>::try_mutate(node, |reserved| {
            let others = reserved.resources.saturating_sub(from);
            let sum = others.checked_add(to).ok_or(Error::<T>::NotEnoughCapacity)?;
            // What shrinks always fits: who gives capacity back counts on it.
            ensure!(sum.fits_in(&total) || to.fits_in(from), Error::<T>::NotEnoughCapacity);
            reserved.resources = sum;
            Ok::<_, DispatchError>(())
        })
    }

    fn release(node: NodeId, resources: &Resources) {
        Reserved::<T>::mutate(node, |reserved| {
            reserved.resources = reserved.resources.saturating_sub(resources);
            reserved.contracts = reserved.contracts.saturating_sub(1);
        });
    }

    fn count_not_delivered(node: NodeId) {
        if Nodes::<T>::contains_key(node) {
            NotDelivered::<T>::mutate(node, |count| *count = count.saturating_add(1));
        }
    }
}

#[cfg(any(feature = "std", feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Checks the laws of the pallet: for tests and try-runtime, never in a block. That each node's
    /// [`Liveness::check_at`] and drain is one deadline of the agenda is a law of the whole runtime.
    pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
        Self::indexes_are_inverse()?;
        Self::every_node_is_watched()?;
        Self::records_belong_to_nodes()?;
        Self::nothing_is_oversold()?;
        Self::nobody_sleeps_with_contracts()?;
        Self::gpus_are_as_many_as_described()?;
        Self::uptimes_are_in_order()?;
        Self::holds_are_the_sums_of_deposits()
    }

    fn indexes_are_inverse() -> Result<(), sp_runtime::TryRuntimeError> {
        for (id, node) in Nodes::<T>::iter() {
            ensure!(id > 0 && id <= LastNodeId::<T>::get(), "a node has an id that was never given");
            ensure!(NodeByKey::<T>::get(node.key) == Some(id), "a node's key leads elsewhere");
            ensure!(FarmNodes::<T>::contains_key(node.farm, id), "a farm doesn't list its node");
        }
        let nodes = Nodes::<T>::iter_keys().count();
        ensure!(NodeByKey::<T>::iter_keys().count() == nodes, "a key leads to no node");
        ensure!(FarmNodes::<T>::iter_keys().count() == nodes, "a farm lists a node that is gone");
        Ok(())
    }

    fn every_node_is_watched() -> Result<(), sp_runtime::TryRuntimeError> {
        for id in Nodes::<T>::iter_keys() {
            ensure!(Heartbeats::<T>::contains_key(id), "a node has no heartbeat");
            ensure!(Liveliness::<T>::contains_key(id), "nobody watches whether a node is heard from");
        }
        let nodes = Nodes::<T>::iter_keys().count();
        ensure!(Heartbeats::<T>::iter_keys().count() == nodes, "a heartbeat of a node that is gone");
        ensure!(Liveliness::<T>::iter_keys().count() == nodes, "a node that is gone is watched");
        Ok(())
    }

    fn records_belong_to_nodes() -> Result<(), sp_runtime::TryRuntimeError> {
        let owners = Reserved::<T>::iter_keys()
            .chain(Uptime::<T>::iter_keys())
            .chain(Details::<T>::iter_keys())
            .chain(LastReports::<T>::iter_keys().map(|(node, _)| node))
            .chain(Locations::<T>::iter_keys())
            .chain(PublicConfigs::<T>::iter_keys())
            .chain(NotDelivered::<T>::iter_keys());
        for id in owners {
            ensure!(Nodes::<T>::contains_key(id), "something is left of a node that is gone");
        }
        Ok(())
    }

    fn nothing_is_oversold() -> Result<(), sp_runtime::TryRuntimeError> {
        for (id, reserved) in Reserved::<T>::iter() {
            let node = Nodes::<T>::get(id).ok_or("capacity is reserved on a node that is gone")?;
            ensure!(reserved.resources.fits_in(&node.resources), "a node is oversold");
        }
        Ok(())
    }

    fn nobody_sleeps_with_contracts() -> Result<(), sp_runtime::TryRuntimeError> {
        for (id, live) in Liveliness::<T>::iter() {
            let asleep = matches!(live.state, LiveState::Standby { .. });
            ensure!(!asleep || Reserved::<T>::get(id).contracts == 0, "a node sleeps on its contracts");
        }
        Ok(())
    }

    fn gpus_are_as_many_as_described() -> Result<(), sp_runtime::TryRuntimeError> {
        for (id, details) in Details::<T>::iter() {
            let offered = Nodes::<T>::get(id).map(|node| node.resources.gpu);
            ensure!(offered == Some(details.gpus.len() as u64), "a node's GPUs aren't those described");
        }
        Ok(())
    }

    fn uptimes_are_in_order() -> Result<(), sp_runtime::TryRuntimeError> {
        for uptimes in Uptime::<T>::iter_values() {
            let ascending = uptimes.periods().windows(2).all(|pair| pair[0].period < pair[1].period);
            ensure!(ascending, "a node's periods aren't in order");
            let longest = uptime::PERIOD_SECONDS.saturating_mul(SECOND_MS);
            ensure!(uptimes.periods().iter().all(|up| up.ms <= longest), "a period is too long");
        }
        Ok(())
    }

    fn holds_are_the_sums_of_deposits() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::traits::fungible::InspectHold;
        use tfgrid_primitives::Balance;
        let deposits: Vec<_> = Nodes::<T>::iter_values()
            .map(|node| (T::Farms::farmer_account(node.farm), node.deposit))
            .collect();
        for (account, _) in &deposits {
            let sum: Balance = deposits.iter().filter(|(a, _)| a == account).map(|(_, d)| d).sum();
            let account = account.as_ref().ok_or("a node's farmer is gone")?;
            ensure!(
                T::Currency::balance_on_hold(&HoldReason::Node.into(), account) == sum,
                "a hold isn't the nodes' deposits"
            );
        }
        Ok(())
    }
}
