// SPDX-License-Identifier: Apache-2.0
//! What the calls do. What machines authorise can't fail here: `authorize_impls` has checked it.

use crate::*;
use frame_support::{
    pallet_prelude::*,
    traits::{fungible::MutateHold, tokens::Precision},
};
use tfgrid_primitives::{
    report::HeartbeatPayload,
    traits::{BootTickets, Clock, FarmDirectory},
    Balance, FarmId, NodeId, Registration,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_register(registration: Registration) {
        let Registration { ticket, node_key: key, peer_key, encryption_key, resources, isolation, .. } =
            registration;
        let Ok(farm) = T::Farms::check(&ticket, &key, T::Clock::unix_now()) else { return };
        let Some(node) = LastNodeId::<T>::get().checked_add(1) else { return };

        let freed = T::Farms::spend(&ticket, &key);
        let deposit = Self::hold_deposit(farm, freed);
        LastNodeId::<T>::put(node);
        NodeByKey::<T>::insert(key, node);
        FarmNodes::<T>::insert(farm, node, ());
        let certified = false;
        Nodes::<T>::insert(
            node,
            Node { farm, key, peer_key, encryption_key, resources, isolation, certified, deposit },
        );
        Self::watch(node);
        Self::deposit_event(Event::NodeRegistered { node, farm, key, deposit });
    }

    pub(crate) fn do_heartbeat(node: NodeId, sequence: u64, payload: HeartbeatPayload) {
        let (at, clock) = (T::Clock::grid_now(), T::Clock::price_now());
        let last = Heartbeats::<T>::get(node).map_or(0, |last| last.at);
        Heartbeats::<T>::insert(node, Heartbeat { at, sequence, boot_nonce: payload.boot_nonce, clock });
        Self::count_towards_return(node, last, at);
    }

    pub(crate) fn do_remove(account: T::AccountId, node: NodeId) -> DispatchResult {
        let record = Nodes::<T>::get(node).ok_or(Error::<T>::UnknownNode)?;
        let Node { farm, key, deposit: released, .. } = record;
        ensure!(T::Farms::farmer_account(farm).as_ref() == Some(&account), Error::<T>::NotFarmer);
        ensure!(Reserved::<T>::get(node).contracts == 0, Error::<T>::NodeInUse);

        T::Currency::release(&HoldReason::Node.into(), &account, released, Precision::Exact)?;
        Nodes::<T>::remove(node);
        NodeByKey::<T>::remove(key);
        FarmNodes::<T>::remove(farm, node);
        Reserved::<T>::remove(node);
        Heartbeats::<T>::remove(node);
        Self::unwatch(node);
        Self::deposit_event(Event::NodeRemoved { node, farm, released });
        Ok(())
    }

    /// Holds what the ticket freed as the node's deposit. That much is on the account; where it can't be
    /// held all the same, the machine joins without one rather than fail after its ticket is spent.
    fn hold_deposit(farm: FarmId, freed: Balance) -> Balance {
        T::Farms::farmer_account(farm)
            .and_then(|account| T::Currency::hold(&HoldReason::Node.into(), &account, freed).ok())
            .map_or(0, |()| freed)
    }
}
