// SPDX-License-Identifier: Apache-2.0
//! What other pallets may ask, and the laws that hold after every block.

use crate::*;
use frame_support::{ensure, traits::Get};
use sp_runtime::DispatchError;
use tfgrid_primitives::{
    traits::{Clock, FarmUse, NodeDirectory, NodeFacts, NodeLiveness, Service},
    views::ClosingReason,
    FarmId, NodeId, Resources, Q64,
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

    fn service(node: NodeId) -> Service {
        match Liveliness::<T>::get(node).map(|live| live.state) {
            Some(LiveState::Online { .. }) => Service::Running,
            Some(LiveState::Offline { since, .. }) => {
                let close_at = since.saturating_add(T::LongOffline::get());
                if T::Clock::grid_now() >= close_at {
                    Service::Ended(ClosingReason::NodeSilent)
                } else {
                    Service::Suspended
                }
            }
            None => Service::Ended(ClosingReason::NodeRemoved),
        }
    }
}

impl<T: Config> FarmUse for Pallet<T> {
    fn has_nodes(farm: FarmId) -> bool {
        FarmNodes::<T>::iter_key_prefix(farm).next().is_some()
    }
}

impl<T: Config> NodeLiveness for Pallet<T> {
    fn silent_since(node: NodeId) -> Option<Q64> {
        let Some(last) = Heartbeats::<T>::get(node) else { return Some(0) };
        let silence = T::Clock::grid_now().saturating_sub(last.at);
        (silence > T::HeartbeatInterval::get()).then_some(last.clock)
    }
}

impl<T: Config> NodeDirectory for Pallet<T> {
    fn facts(node: NodeId) -> Option<NodeFacts> {
        let Node { farm, certified, .. } = Nodes::<T>::get(node)?;
        Some(NodeFacts { farm, certified, service: Self::service(node) })
    }

    fn reserve(node: NodeId, resources: &Resources) -> Result<(), DispatchError> {
        let total = Nodes::<T>::get(node).ok_or(Error::<T>::UnknownNode)?.resources;
        Reserved::<T>::try_mutate(node, |reserved| {
            let sum = reserved.resources.checked_add(resources).ok_or(Error::<T>::NotEnoughCapacity)?;
            ensure!(sum.fits_in(&total), Error::<T>::NotEnoughCapacity);
            ensure!(reserved.contracts < T::MaxContractsPerNode::get(), Error::<T>::TooManyContracts);
            *reserved = Reservation { resources: sum, contracts: reserved.contracts.saturating_add(1) };
            Ok(())
        })
    }

    fn release(node: NodeId, resources: &Resources) {
        Reserved::<T>::mutate(node, |reserved| {
            reserved.resources = reserved.resources.saturating_sub(resources);
            reserved.contracts = reserved.contracts.saturating_sub(1);
        });
    }
}

#[cfg(any(feature = "std", feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Checks the laws of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
        Self::indexes_are_inverse()?;
        Self::nothing_is_oversold()?;
        Self::holds_are_the_sums_of_deposits()
    }

    fn indexes_are_inverse() -> Result<(), sp_runtime::TryRuntimeError> {
        for (id, node) in Nodes::<T>::iter() {
            ensure!(id <= LastNodeId::<T>::get(), "a node has an id that was never given");
            ensure!(NodeByKey::<T>::get(node.key) == Some(id), "a node's key leads elsewhere");
            ensure!(FarmNodes::<T>::contains_key(node.farm, id), "a farm doesn't list its node");
            ensure!(Heartbeats::<T>::contains_key(id), "a node has no heartbeat");
            ensure!(Liveliness::<T>::contains_key(id), "nobody watches whether a node is heard from");
        }
        let nodes = Nodes::<T>::iter_keys().count();
        ensure!(NodeByKey::<T>::iter_keys().count() == nodes, "a key leads to no node");
        ensure!(FarmNodes::<T>::iter_keys().count() == nodes, "a farm lists a node that is gone");
        ensure!(Heartbeats::<T>::iter_keys().count() == nodes, "a heartbeat of a node that is gone");
        ensure!(Liveliness::<T>::iter_keys().count() == nodes, "a node that is gone is watched");
        Ok(())
    }

    fn nothing_is_oversold() -> Result<(), sp_runtime::TryRuntimeError> {
        for (id, reserved) in Reserved::<T>::iter() {
            let node = Nodes::<T>::get(id).ok_or("capacity is reserved on a node that is gone")?;
            ensure!(reserved.resources.fits_in(&node.resources), "a node is oversold");
        }
        Ok(())
    }

    fn holds_are_the_sums_of_deposits() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::traits::fungible::InspectHold;
        use sp_runtime::Vec;
        use tfgrid_primitives::{traits::FarmDirectory, Balance};
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
