// SPDX-License-Identifier: Apache-2.0
//! Invariants that hold after every block.

use crate::*;
use alloc::collections::BTreeMap;
use frame_support::{ensure, traits::fungible::InspectHold};
use sp_runtime::TryRuntimeError;
use tfgrid_primitives::{Balance, traits::FarmDirectory, units::SECOND_MS};

impl<T: Config> Pallet<T> {
    /// Checks the invariants of the pallet: for tests and try-runtime, never in a block. That each node has
    /// one armed deadline at its [`Liveness::check_at`] and one at the end of its drain is an invariant of
    /// the whole runtime.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        Self::indexes_are_inverse()?;
        Self::each_node_has_liveness_and_heartbeat()?;
        Self::all_records_belong_to_nodes()?;
        Self::reservations_fit_in_capacity()?;
        Self::sleeping_nodes_are_empty()?;
        Self::gpus_are_as_many_as_described()?;
        Self::uptimes_are_in_order()?;
        Self::holds_are_the_sums_of_deposits()
    }

    fn indexes_are_inverse() -> Result<(), TryRuntimeError> {
        for (id, node) in Nodes::<T>::iter() {
            ensure!(id > 0 && id <= LastNodeId::<T>::get(), "a node has an id that was never given");
            ensure!(NodeByKey::<T>::get(node.key) == Some(id), "a node isn't found by its key");
            ensure!(FarmNodes::<T>::contains_key(node.farm, id), "a farm doesn't list its node");
        }
        let nodes = Nodes::<T>::iter_keys().count();
        ensure!(NodeByKey::<T>::iter_keys().count() == nodes, "a key is that of no node");
        ensure!(FarmNodes::<T>::iter_keys().count() == nodes, "a farm lists a removed node");
        Ok(())
    }

    fn each_node_has_liveness_and_heartbeat() -> Result<(), TryRuntimeError> {
        for id in Nodes::<T>::iter_keys() {
            ensure!(Heartbeats::<T>::contains_key(id), "a node has no heartbeat");
            ensure!(LivenessOf::<T>::contains_key(id), "a node has no liveness");
        }
        let nodes = Nodes::<T>::iter_keys().count();
        ensure!(Heartbeats::<T>::iter_keys().count() == nodes, "a removed node has a heartbeat");
        ensure!(LivenessOf::<T>::iter_keys().count() == nodes, "a removed node has a liveness");
        Ok(())
    }

    fn all_records_belong_to_nodes() -> Result<(), TryRuntimeError> {
        let mut owners = Reserved::<T>::iter_keys()
            .chain(Uptime::<T>::iter_keys())
            .chain(Details::<T>::iter_keys())
            .chain(LastReports::<T>::iter_keys().map(|(node, _)| node))
            .chain(Locations::<T>::iter_keys())
            .chain(PublicConfigs::<T>::iter_keys())
            .chain(NotDelivered::<T>::iter_keys());
        ensure!(owners.all(Nodes::<T>::contains_key), "a removed node has a record left");
        Ok(())
    }

    fn reservations_fit_in_capacity() -> Result<(), TryRuntimeError> {
        for (id, reserved) in Reserved::<T>::iter() {
            let node = Nodes::<T>::get(id).ok_or("capacity is reserved on a removed node")?;
            ensure!(reserved.resources.fits_in(&node.resources), "contracts reserve more than a node offers");
        }
        Ok(())
    }

    fn sleeping_nodes_are_empty() -> Result<(), TryRuntimeError> {
        for (id, live) in LivenessOf::<T>::iter() {
            let asleep = matches!(live.state, LiveState::Standby { .. });
            ensure!(!asleep || Reserved::<T>::get(id).contracts == 0, "a node with contracts sleeps");
        }
        Ok(())
    }

    fn gpus_are_as_many_as_described() -> Result<(), TryRuntimeError> {
        for (id, details) in Details::<T>::iter() {
            let offered = Nodes::<T>::get(id).map(|node| node.resources.gpu);
            ensure!(offered == Some(details.gpus.len() as u64), "a node offers other GPUs than it describes");
        }
        Ok(())
    }

    fn uptimes_are_in_order() -> Result<(), TryRuntimeError> {
        for uptimes in Uptime::<T>::iter_values() {
            let ascending = uptimes.periods().windows(2).all(|pair| pair[0].period < pair[1].period);
            ensure!(ascending, "a node's periods aren't in order");
            let longest = uptime::PERIOD_SECONDS.saturating_mul(SECOND_MS);
            ensure!(uptimes.periods().iter().all(|up| up.ms <= longest), "an uptime exceeds its period");
        }
        Ok(())
    }

    fn holds_are_the_sums_of_deposits() -> Result<(), TryRuntimeError> {
        let mut deposits = BTreeMap::<_, Balance>::new();
        for node in Nodes::<T>::iter_values() {
            let account = T::Farms::farmer_account(node.farm).ok_or("a node's farmer has no account")?;
            *deposits.entry(account).or_default() += node.deposit;
        }
        for (account, sum) in deposits {
            let held = T::Currency::balance_on_hold(&HoldReason::Node.into(), &account);
            ensure!(held == sum, "a hold isn't the sum of the nodes' deposits");
        }
        Ok(())
    }
}
