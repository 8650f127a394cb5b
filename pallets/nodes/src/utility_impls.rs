// SPDX-License-Identifier: Apache-2.0
//! Reads for people (view functions) and the traits through which other pallets use nodes.

use crate::*;
use alloc::vec::Vec;
use frame_support::{ensure, traits::Get};
use sp_runtime::{DispatchError, DispatchResult};
use tfgrid_primitives::{
    Balance, FarmId, NodeId, PriceTime, Resources, UsdRate,
    refund::ClockSpan,
    traits::{
        Clock, FarmDirectory, FarmInUse, FarmedNode, FarmedNodes, NodeDirectory, NodeFacts, NodeLiveness,
        Service,
    },
    views::{ClosingReason, MAX_PAGE, NodeFilter, NodeOffer, Page},
};

impl<T: Config> Pallet<T> {
    /// Free capacity of a node; `None` for an unknown node.
    pub fn free(node: NodeId) -> Option<Resources> {
        let total = Nodes::<T>::get(node)?.resources;
        Some(Reserved::<T>::get(node).free(&total))
    }

    /// Whether a node is online.
    pub fn is_online(node: NodeId) -> bool {
        LivenessOf::<T>::get(node).is_some_and(|live| live.is_online())
    }

    fn service(live: Option<Liveness>, settings: &FarmerSettings) -> Service {
        let drained = |drain: &Drain| drain.deadline <= T::Clock::grid_now();
        match live.map(|live| live.state) {
            None => Service::Ended(ClosingReason::NodeRemoved),
            Some(LiveState::Offline(outage)) if outage.given_up => Service::Ended(ClosingReason::NodeSilent),
            Some(_) if settings.drain.as_ref().is_some_and(drained) => Service::Ended(ClosingReason::Drained),
            Some(LiveState::Online { .. }) => Service::Running,
            Some(LiveState::Offline(_) | LiveState::Standby { .. }) => Service::Suspended,
        }
    }

    /// Extra fee that counts now. Governance may have lowered the maximum after the farmer set the fee.
    fn extra_fee(settings: &FarmerSettings) -> UsdRate {
        settings.extra_fee.at(T::Clock::grid_now()).min(T::MaxExtraFee::get())
    }

    fn is_dedicated(farm: FarmId, settings: &FarmerSettings) -> bool {
        settings.dedicated || T::Farms::facts(farm).is_some_and(|facts| facts.dedicated)
    }

    pub(crate) fn offer_of(node: NodeId) -> Option<NodeOffer> {
        let Node { farm, resources: total, certified, settings, .. } = Nodes::<T>::get(node)?;
        let reserved = Reserved::<T>::get(node);
        Some(NodeOffer {
            node,
            farm,
            total,
            free: reserved.free(&total),
            certified: certified.is_some(),
            online: Self::is_online(node),
            draining: settings.drain.is_some(),
            dedicated: Self::is_dedicated(farm, &settings),
            extra_fee: Self::extra_fee(&settings),
            country: Locations::<T>::get(node).map(|location| location.country),
            contracts: reserved.contracts,
            features: Details::<T>::get(node).map(|details| details.features).unwrap_or_default(),
            not_delivered: NotDelivered::<T>::get(node).at(T::Clock::grid_now()),
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
    /// Price clock at the node's last heartbeat, if the node is offline or has missed `missed` heartbeats
    /// since.
    fn unheard_since(node: NodeId, missed: u64) -> Option<PriceTime> {
        // Heartbeats on the way back don't count: the sweep may not have suspended all contracts yet.
        if let Some(LiveState::Offline(outage)) = LivenessOf::<T>::get(node).map(|live| live.state) {
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
        LivenessOf::<T>::get(node).map_or_else(ClockSpan::default, |live| live.outage)
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
        let Node { farm, certified, resources, settings, .. } = Nodes::<T>::get(node)?;
        let details = Details::<T>::get(node);
        let (reserved, live) = (Reserved::<T>::get(node), LivenessOf::<T>::get(node));
        Some(NodeFacts {
            farm,
            certified: certified.is_some(),
            online: live.is_some_and(|live| live.is_online()),
            draining: settings.drain.is_some(),
            dedicated: Self::is_dedicated(farm, &settings),
            extra_fee: Self::extra_fee(&settings),
            resources,
            bytes_per_second: details
                .as_ref()
                .map_or(0, |details| details.bytes_per_second.min(MAX_BYTES_PER_SECOND)),
            features: details.map(|details| details.features).unwrap_or_default(),
            contracts: reserved.contracts,
            rented: reserved.rented,
            service: Self::service(live, &settings),
        })
    }

    fn reserve(node: NodeId, resources: &Resources) -> DispatchResult {
        let record = Nodes::<T>::get(node).ok_or(Error::<T>::UnknownNode)?;
        ensure!(record.settings.drain.is_none(), Error::<T>::NodeDraining);
        Reserved::<T>::try_mutate(node, |reserved| {
            let sum = reserved.resources.checked_add(resources).ok_or(Error::<T>::NotEnoughCapacity)?;
            ensure!(sum.fits_in(&reserved.most(&record.resources)), Error::<T>::NotEnoughCapacity);
            ensure!(reserved.contracts < T::MaxContractsPerNode::get(), Error::<T>::TooManyContracts);
            reserved.resources = sum;
            reserved.contracts = reserved.contracts.saturating_add(1);
            Ok(())
        })
    }

    fn reserve_whole(node: NodeId) -> DispatchResult {
        Self::reserve(node, &Resources::ZERO)?;
        let offered = Nodes::<T>::get(node).map(|record| record.resources);
        Reserved::<T>::mutate(node, |reserved| reserved.rented = offered);
        Ok(())
    }

    fn release_whole(node: NodeId) {
        Self::release(node, &Resources::ZERO);
        Reserved::<T>::mutate(node, |reserved| reserved.rented = None);
    }

    fn resize(node: NodeId, from: &Resources, to: &Resources) -> DispatchResult {
        let total = Nodes::<T>::get(node).ok_or(Error::<T>::UnknownNode)?.resources;
        Reserved::<T>::try_mutate(node, |reserved| {
            let others = reserved.resources.saturating_sub(from);
            let sum = others.checked_add(to).ok_or(Error::<T>::NotEnoughCapacity)?;
            // A smaller reservation always fits, whatever the node offers by now.
            ensure!(sum.fits_in(&reserved.most(&total)) || to.fits_in(from), Error::<T>::NotEnoughCapacity);
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

    fn count_not_delivered(node: NodeId, tft: Balance) {
        if Nodes::<T>::contains_key(node) {
            NotDelivered::<T>::mutate(node, |sum| *sum = sum.plus(tft, T::Clock::grid_now()));
        }
    }
}
