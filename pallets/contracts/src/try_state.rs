// SPDX-License-Identifier: Apache-2.0
//! The invariants of the pallet: for tests and try-runtime, never in a block.

use crate::{
    migrations::WITHOUT_RANGES,
    network_impls::{claims, last_of},
    *,
};
use frame_support::{
    ensure,
    traits::{StorageVersion, fungible::InspectHold},
};
use sp_runtime::TryRuntimeError;
use tfgrid_primitives::{Balance, NodeId, Resources, traits::TwinDirectory};

type Checked = Result<(), TryRuntimeError>;

impl<T: Config> Pallet<T> {
    /// Checks the invariants of the pallet.
    pub fn do_try_state() -> Checked {
        Self::records_belong_to_open_contracts()?;
        Self::bodies_belong_to_deployments()?;
        Self::indexes_are_complete()?;
        Self::ranges_are_claimed_once()?;
        Self::rents_and_names_have_their_contracts()?;
        Self::rented_nodes_are_their_tenants_alone()?;
        Self::holds_are_the_sums_of_deposits()
    }

    fn records_belong_to_open_contracts() -> Checked {
        for (id, contract) in Contracts::<T>::iter() {
            ensure!(id <= LastContractId::<T>::get(), "a contract has an id that was never given");
            ensure!(!ClosedContracts::<T>::contains_key(id), "an open contract has a tombstone");
            let shown = contract.deployment().is_some() && contract.state == ContractState::Deployed;
            ensure!(Results::<T>::contains_key(id) == shown, "a result without deployment, or none with");
        }
        ensure!(Usage::<T>::iter_keys().all(Contracts::<T>::contains_key), "usage without its contract");
        let is_known = |id| Contracts::<T>::contains_key(id) || ClosedContracts::<T>::contains_key(id);
        ensure!(Failures::<T>::iter_keys().all(is_known), "a failure of a contract that is forgotten");
        Ok(())
    }

    fn bodies_belong_to_deployments() -> Checked {
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

    fn indexes_are_complete() -> Checked {
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

    fn ranges_are_claimed_once() -> Checked {
        // The migration that claims them isn't through.
        if StorageVersion::get::<Self>() == WITHOUT_RANGES {
            return Ok(());
        }
        let mut claimed = 0;
        for contract in Contracts::<T>::iter_values() {
            let Some(deployment) = contract.deployment() else { continue };
            let active = &deployment.networks;
            let pending = deployment.pending.as_ref().map_or(active, |pending| &pending.networks);
            for Network { name, subnet } in claims([active, pending]) {
                let range = NetworkRanges::<T>::get((contract.twin, name), last_of(subnet));
                ensure!(range == Some(*subnet), "a contract's range isn't claimed");
                claimed += 1;
            }
        }
        ensure!(NetworkRanges::<T>::iter_keys().count() == claimed, "a range is claimed for no contract");
        for (network, last, range) in NetworkRanges::<T>::iter() {
            let from = NetworkRanges::<T>::hashed_key_for(&network, last);
            let next = NetworkRanges::<T>::iter_prefix_from(&network, from).next();
            let is_apart = next.is_none_or(|(_, next)| range.bounds().1 < next.bounds().0);
            ensure!(is_apart, "two ranges of a network have an address in common");
        }
        Ok(())
    }

    fn rents_and_names_have_their_contracts() -> Checked {
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

    fn rented_nodes_are_their_tenants_alone() -> Checked {
        for (node, rent) in Rents::<T>::iter() {
            let tenant = Contracts::<T>::get(rent).map(|rent| rent.twin);
            let theirs = NodeContracts::<T>::iter_key_prefix(node)
                .all(|id| Contracts::<T>::get(id).map(|contract| contract.twin) == tenant);
            ensure!(theirs, "somebody else has a contract on a rented node");
        }
        Ok(())
    }

    fn holds_are_the_sums_of_deposits() -> Checked {
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

    /// Sum of what open contracts reserve on a node, for the runtime's own invariants.
    pub fn reserved_on(node: NodeId) -> Resources {
        Contracts::<T>::iter_values()
            .filter_map(|contract| contract.deployment().cloned())
            .filter(|deployment| deployment.node == node)
            .map(|deployment| deployment.reserved())
            .fold(Resources::ZERO, |sum, r| sum.checked_add(&r).unwrap_or(sum))
    }
}
