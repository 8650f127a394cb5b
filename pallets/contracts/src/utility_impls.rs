// SPDX-License-Identifier: Apache-2.0
//! What people and nodes may read, and the laws that hold after every block.

use crate::*;
use sp_runtime::Vec;
use tfgrid_primitives::{
    fixed,
    traits::{Ledger, NodeDirectory, Service, TwinUse},
    views::{ClosedContract, ContractStatus, NodeContract},
    ContractId, NodeId, TwinId,
};

impl<T: Config> Pallet<T> {
    /// How a contract stands.
    pub fn status_of(contract: ContractId) -> Option<ContractStatus> {
        if let Some(ClosedContract { reason, tft, usd, .. }) = Closed::<T>::get(contract) {
            return Some(ContractStatus::Closed { reason, tft, usd });
        }
        let record = Contracts::<T>::get(contract)?;
        if record.state == ContractState::Created {
            return Some(ContractStatus::Created);
        }
        let charge = T::Ledger::charge_of(contract);
        let (tft, usd) = (fixed::whole(charge.tft), charge.usd);
        let running = T::Nodes::facts(record.node()).is_some_and(|facts| facts.service == Service::Running);
        Some(match (running, T::Ledger::is_exhausted(record.twin)) {
            (false, _) => ContractStatus::NodeOffline { tft, usd },
            (true, true) => ContractStatus::Paused { tft, usd },
            (true, false) => ContractStatus::Deployed { tft, usd },
        })
    }

    /// A page of a node's open contracts.
    pub fn page_of_node(node: NodeId, after: Option<ContractId>, limit: u32) -> Vec<NodeContract> {
        let ids = match after {
            Some(after) => NodeContracts::<T>::iter_key_prefix_from(
                node,
                NodeContracts::<T>::hashed_key_for(node, after),
            ),
            None => NodeContracts::<T>::iter_key_prefix(node),
        };
        ids.take(limit.min(MAX_PAGE) as usize).filter_map(Self::node_contract).collect()
    }

    fn node_contract(contract: ContractId) -> Option<NodeContract> {
        let Contract { twin, kind, state, version, body_hash, .. } = Contracts::<T>::get(contract)?;
        let ContractKind::Node { resources, .. } = kind;
        let deployed = state == ContractState::Deployed;
        let paused = deployed && T::Ledger::is_exhausted(twin);
        Some(NodeContract { contract, twin, version, body_hash, deployed, paused, resources })
    }
}

impl<T: Config> TwinUse for Pallet<T> {
    fn is_in_use(twin: TwinId) -> bool {
        TwinContractCount::<T>::get(twin) > 0
    }
}

#[cfg(any(feature = "std", feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Checks the laws of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
        Self::records_belong_to_open_contracts()?;
        Self::indexes_are_complete()?;
        Self::holds_are_the_sums_of_deposits()
    }

    fn records_belong_to_open_contracts() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::ensure;
        for (id, contract) in Contracts::<T>::iter() {
            ensure!(id <= LastContractId::<T>::get(), "a contract has an id that was never given");
            ensure!(!Closed::<T>::contains_key(id), "an open contract has a tombstone");
            let body = Bodies::<T>::get(id).ok_or("an open contract has no body")?;
            ensure!(body.hash() == contract.body_hash, "a contract's hash isn't that of its body");
            let deployed = contract.state == ContractState::Deployed;
            ensure!(Results::<T>::contains_key(id) == deployed, "a result without deployment, or none with");
        }
        let open = Contracts::<T>::iter_keys().count();
        ensure!(Bodies::<T>::iter_keys().count() == open, "a body without its contract");
        ensure!(Usage::<T>::iter_keys().all(Contracts::<T>::contains_key), "usage without its contract");
        Ok(())
    }

    fn indexes_are_complete() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::ensure;
        let mut memberships = 0;
        for (id, contract) in Contracts::<T>::iter() {
            let (twin, node) = (contract.twin, contract.node());
            ensure!(NodeContracts::<T>::contains_key(node, id), "a node doesn't list its contract");
            ensure!(TwinContracts::<T>::contains_key(twin, id), "a twin doesn't list its contract");
            let ContractKind::Node { networks, .. } = contract.kind;
            for network in &networks {
                ensure!(
                    NetworkMembers::<T>::get((twin, &network.name, id)) == Some(network.subnet),
                    "a network doesn't list its member"
                );
            }
            memberships += networks.len();
        }
        let open = Contracts::<T>::iter_keys().count();
        ensure!(NodeContracts::<T>::iter_keys().count() == open, "a node lists a contract that is gone");
        ensure!(TwinContracts::<T>::iter_keys().count() == open, "a twin lists a contract that is gone");
        ensure!(NetworkMembers::<T>::iter_keys().count() == memberships, "a network lists a stranger");
        let counted: u32 = TwinContractCount::<T>::iter_values().sum();
        ensure!(counted as usize == open, "the twins' counts don't add up");
        Ok(())
    }

    fn holds_are_the_sums_of_deposits() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::{ensure, traits::fungible::InspectHold};
        use tfgrid_primitives::{traits::TwinDirectory, Balance};
        for twin in TwinContractCount::<T>::iter_keys() {
            let account = T::Twins::account_of(twin).ok_or("an owner's twin is gone")?;
            let sum: Balance =
                Contracts::<T>::iter_values().filter(|c| c.twin == twin).map(|c| c.deposit).sum();
            ensure!(
                T::Currency::balance_on_hold(&HoldReason::Contract.into(), &account) == sum,
                "a hold isn't the contracts' deposits"
            );
        }
        Ok(())
    }

    /// Sum of what open contracts reserve on a node, for the laws of the whole runtime.
    pub fn reserved_on(node: NodeId) -> tfgrid_primitives::Resources {
        use tfgrid_primitives::Resources;
        Contracts::<T>::iter_values()
            .filter(|contract| contract.node() == node)
            .map(|contract| {
                let ContractKind::Node { resources, .. } = contract.kind;
                resources
            })
            .fold(Resources::ZERO, |sum, r| sum.checked_add(&r).unwrap_or(sum))
    }
}
