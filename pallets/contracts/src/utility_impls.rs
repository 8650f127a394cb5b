// SPDX-License-Identifier: Apache-2.0
//! What people and nodes may read, and the laws that hold after every block.

use crate::{dispatchable_impls::rate_of, *};
use codec::FullCodec;
use frame_support::storage::IterableStorageDoubleMap;
use sp_runtime::Vec;
use tfgrid_primitives::{
    ContractId, NodeId, Resources, TwinId, UsdRate, fixed,
    pricing::Priced,
    traits::{Ledger, NodeDirectory, Service, TwinUse},
    views::{Claim, ClosedContract, ContractStatus, MAX_PAGE, NodeContract, Page, TwinContract},
};

impl<T: Config> Pallet<T> {
    pub(crate) fn quote_of(node: NodeId, resources: Resources, public_ips: u8) -> Option<UsdRate> {
        let facts = T::Nodes::facts(node)?;
        Self::rate_on(node, &facts, resources, public_ips).ok()
    }

    pub(crate) fn quote_of_rent(node: NodeId) -> Option<UsdRate> {
        let rates = Self::rent_rates(&T::Nodes::facts(node)?).ok()?;
        rates.usd.checked_add(rates.extra)
    }

    pub(crate) fn quote_of_name() -> Option<UsdRate> {
        rate_of::<T>(&Priced::Name).ok()
    }

    /// How a contract stands.
    pub fn status_of(contract: ContractId) -> Option<ContractStatus> {
        if let Some(ClosedContract { reason, tft, usd, .. }) = Closed::<T>::get(contract) {
            return Some(ContractStatus::Closed { reason, tft, usd });
        }
        Contracts::<T>::get(contract).map(|record| Self::status(contract, &record))
    }

    fn status(contract: ContractId, record: &Contract) -> ContractStatus {
        if record.state == ContractState::Created {
            return ContractStatus::Created;
        }
        let charge = T::Ledger::charge_of(contract);
        let (tft, usd) = (fixed::whole(charge.tft), charge.usd);
        let is_heard = |node| T::Nodes::facts(node).is_some_and(|facts| facts.service == Service::Running);
        match (record.node().is_none_or(is_heard), T::Ledger::is_exhausted(record.twin)) {
            (false, _) => ContractStatus::NodeOffline { tft, usd },
            (true, true) => ContractStatus::Paused { tft, usd },
            (true, false) => ContractStatus::Deployed { tft, usd },
        }
    }

    /// A page of a node's open contracts that it has to deploy. A rent among them takes no place on it: a page
    /// that isn't full is the last.
    pub fn page_of_node(node: NodeId, after: Option<ContractId>, limit: u32) -> Vec<NodeContract> {
        let ids = ids_after::<NodeContracts<T>, _>(node, after);
        ids.filter_map(Self::node_contract).take(limit.min(MAX_PAGE) as usize).collect()
    }

    fn node_contract(contract: ContractId) -> Option<NodeContract> {
        let record = Contracts::<T>::get(contract)?;
        let twin = record.twin;
        let deployed = record.state == ContractState::Deployed;
        let paused = deployed && T::Ledger::is_exhausted(twin);
        let Deployment { version, body_hash, resources, pending, .. } = record.deployment()?.clone();
        let pending = pending.as_ref().map(Into::into);
        Some(NodeContract { contract, twin, version, body_hash, deployed, paused, resources, pending })
    }

    /// A page of a twin's open contracts.
    pub fn page_of_twin(
        twin: TwinId,
        after: Option<ContractId>,
        limit: u32,
    ) -> Page<TwinContract, ContractId> {
        Page::first_of(ids_after::<TwinContracts<T>, _>(twin, after), limit).filter_map(Self::twin_contract)
    }

    fn twin_contract(contract: ContractId) -> Option<TwinContract> {
        let record = Contracts::<T>::get(contract)?;
        let status = Self::status(contract, &record);
        let (rate, extra) = (record.rates.usd, record.rates.extra);
        let claim = match record.kind {
            ContractKind::Node(Deployment { node, resources, public_ips, .. }) => {
                Claim::Node { node, resources, public_ips }
            }
            ContractKind::Rent { node } => Claim::Rent { node },
            ContractKind::Name { name } => Claim::Name { name: name.into_inner() },
        };
        Some(TwinContract { contract, claim, status, rate, extra })
    }
}

/// The contracts that a node or twin has on its list behind `after`; all of them where that is `None`.
pub(crate) fn ids_after<List, Owner>(owner: Owner, after: Option<ContractId>) -> List::PartialKeyIterator
where
    Owner: FullCodec + Copy,
    List: IterableStorageDoubleMap<Owner, ContractId, ()>,
{
    match after {
        Some(after) => List::iter_key_prefix_from(owner, List::hashed_key_for(owner, after)),
        None => List::iter_key_prefix(owner),
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
        Self::bodies_belong_to_deployments()?;
        Self::indexes_are_complete()?;
        Self::rents_and_names_have_their_contracts()?;
        Self::rented_nodes_are_their_tenants_alone()?;
        Self::holds_are_the_sums_of_deposits()
    }

    fn records_belong_to_open_contracts() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::ensure;
        for (id, contract) in Contracts::<T>::iter() {
            ensure!(id <= LastContractId::<T>::get(), "a contract has an id that was never given");
            ensure!(!Closed::<T>::contains_key(id), "an open contract has a tombstone");
            let shown = contract.deployment().is_some() && contract.state == ContractState::Deployed;
            ensure!(Results::<T>::contains_key(id) == shown, "a result without deployment, or none with");
        }
        ensure!(Usage::<T>::iter_keys().all(Contracts::<T>::contains_key), "usage without its contract");
        Ok(())
    }

    fn bodies_belong_to_deployments() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::ensure;
        let (mut bodies, mut pending_bodies) = (0, 0);
        for (id, contract) in Contracts::<T>::iter() {
            let Some(deployment) = contract.deployment() else { continue };
            let body = Bodies::<T>::get(id).ok_or("a node contract has no body")?;
            ensure!(body.hash() == deployment.body_hash, "a contract's hash isn't that of its body");
            let pending = deployment.pending.as_ref().map(|pending| pending.body_hash);
            ensure!(
                PendingBodies::<T>::get(id).map(|body| body.hash()) == pending,
                "another body is pending"
            );
            ensure!(deployment.version <= deployment.last_version, "a version was never given");
            bodies += 1;
            pending_bodies += usize::from(pending.is_some());
        }
        ensure!(Bodies::<T>::iter_keys().count() == bodies, "a body without its contract");
        ensure!(PendingBodies::<T>::iter_keys().count() == pending_bodies, "a pending body without contract");
        Ok(())
    }

    fn indexes_are_complete() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::ensure;
        let (mut memberships, mut on_nodes) = (0, 0);
        for (id, contract) in Contracts::<T>::iter() {
            let twin = contract.twin;
            ensure!(TwinContracts::<T>::contains_key(twin, id), "a twin doesn't list its contract");
            if let Some(node) = contract.node() {
                ensure!(NodeContracts::<T>::contains_key(node, id), "a node doesn't list its contract");
                on_nodes += 1;
            }
            for network in contract.deployment().iter().flat_map(|deployment| &deployment.networks) {
                ensure!(
                    NetworkMembers::<T>::get((twin, &network.name, id)) == Some(network.subnet),
                    "a network doesn't list its member"
                );
                memberships += 1;
            }
        }
        let open = Contracts::<T>::iter_keys().count();
        ensure!(NodeContracts::<T>::iter_keys().count() == on_nodes, "a node lists a contract that is gone");
        ensure!(TwinContracts::<T>::iter_keys().count() == open, "a twin lists a contract that is gone");
        ensure!(NetworkMembers::<T>::iter_keys().count() == memberships, "a network lists a stranger");
        let counted: u32 = TwinContractCount::<T>::iter_values().sum();
        ensure!(counted as usize == open, "the twins' counts don't add up");
        Ok(())
    }

    fn rents_and_names_have_their_contracts() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::ensure;
        let (mut rents, mut names) = (0, 0);
        for (id, contract) in Contracts::<T>::iter() {
            match contract.kind {
                ContractKind::Rent { node } => {
                    ensure!(Rents::<T>::get(node) == Some(id), "a rented node doesn't know its rent");
                    rents += 1;
                }
                ContractKind::Name { name } => {
                    ensure!(Names::<T>::get(&name) == Some(id), "a name leads elsewhere");
                    names += 1;
                }
                ContractKind::Node(_) => {}
            }
        }
        ensure!(Rents::<T>::iter_keys().count() == rents, "a node is rented without a contract");
        ensure!(Names::<T>::iter_keys().count() == names, "a name is taken without a contract");
        Ok(())
    }

    fn rented_nodes_are_their_tenants_alone() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::ensure;
        for (node, rent) in Rents::<T>::iter() {
            let tenant = Contracts::<T>::get(rent).map(|rent| rent.twin);
            let theirs = NodeContracts::<T>::iter_key_prefix(node)
                .all(|id| Contracts::<T>::get(id).map(|contract| contract.twin) == tenant);
            ensure!(theirs, "somebody else has a contract on a rented node");
        }
        Ok(())
    }

    fn holds_are_the_sums_of_deposits() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::{ensure, traits::fungible::InspectHold};
        use tfgrid_primitives::{Balance, traits::TwinDirectory};
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
    pub fn reserved_on(node: NodeId) -> Resources {
        Contracts::<T>::iter_values()
            .filter_map(|contract| contract.deployment().cloned())
            .filter(|deployment| deployment.node == node)
            .map(|deployment| deployment.reserved())
            .fold(Resources::ZERO, |sum, r| sum.checked_add(&r).unwrap_or(sum))
    }
}
