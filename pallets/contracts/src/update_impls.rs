// SPDX-License-Identifier: Apache-2.0
//! A contract's next version, which may take the place of a first one that no node has deployed.
//!
//! Until the node has answered, the larger of each resource is reserved and the active version charged, since it
//! runs. What is reserved beyond it is committed, and paid for with the answer, whatever that is: for the time that
//! the node took, and after an update that failed for the minimum charge's time at least. So nobody reserves
//! capacity, or runs a large version at the price of a small one, with an image that is made to come slowly.

use crate::{dispatchable_impls::body_deposit, *};
use alloc::vec::Vec;
use frame_support::{defensive, pallet_prelude::*, traits::fungible::MutateHold};
use tfgrid_primitives::{
    Balance, Body, ContractId, Deadline, GridMillis, NodeId, Resources, StoredBody, TwinId,
    traits::{Agenda, Clock, ContractPrice, Ledger, NodeDirectory, NodeFacts, PublicIps},
};

/// A version that is to be deployed beside the active one.
struct Proposed {
    version: u32,
    request: UpdateRequest,
    price: ContractPrice,
    body: StoredBody,
    /// What is held for the body, in 1e-7 TFT.
    deposit: Balance,
}

impl<T: Config> Pallet<T> {
    pub(crate) fn do_update_node_contract(
        account: T::AccountId,
        contract: ContractId,
        request: UpdateRequest,
        body: Body<Vec<u8>>,
    ) -> DispatchResult {
        let UpdateRequest { resources, public_ips, ref networks, max_usd_rate } = request;
        let mut record = Self::owned(&account, contract)?;
        let body = body.into_stored().ok_or(Error::<T>::BodySizeOutOfRange)?;
        Self::ensure_networks(networks)?;
        ensure!(resources != Resources::ZERO, Error::<T>::NothingRequested);
        let node = record.deployment().ok_or(Error::<T>::NotANodeContract)?.node;
        let facts = Self::running_node(node)?;
        Self::ensure_still_served(contract, &record, &facts, &request)?;
        let price = Self::price_on(node, &facts, resources, public_ips)?;
        Self::ensure_accepted(&price, max_usd_rate)?;

        // A newer version takes the place of the one that awaits an answer, which is paid for as far as it was
        // reserved.
        Self::drop_pending(contract, &mut record);
        let is_first = record.state == ContractState::Created;
        let ContractKind::Node(deployment) = &mut record.kind else {
            return Err(Error::<T>::NotANodeContract.into());
        };
        let version = deployment.last_version.checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
        deployment.last_version = version;
        let deposit = body_deposit::<T>(&body);
        T::Currency::hold(&HoldReason::Contract.into(), &account, deposit)?;
        record.deposit = record.deposit.saturating_add(deposit);
        T::PublicIps::reserve(facts.farm, contract, public_ips)?;
        let proposed = Proposed { version, request, price, body, deposit };
        if is_first {
            Self::replace_first(contract, &mut record, proposed)?;
        } else {
            Self::propose(contract, record.twin, deployment, &facts, proposed)?;
        }
        Contracts::<T>::insert(contract, record);
        let rate = price.rates.usd;
        Self::deposit_event(Event::UpdateRequested { contract, node, version, rate });
        Ok(())
    }

    /// The node's agent has code for what is new; whatever the contract has can stay.
    fn ensure_still_served(
        contract: ContractId,
        record: &Contract,
        facts: &NodeFacts,
        request: &UpdateRequest,
    ) -> DispatchResult {
        let present = T::Ledger::price_of(contract).map_or(0, |price| price.public_ips);
        let more_ips = request.public_ips.saturating_sub(present);
        let same = record.deployment().is_some_and(|deployment| deployment.networks == request.networks);
        let networks = if same { &Networks::default() } else { &request.networks };
        Ok(Self::ensure_served(facts, more_ips, networks)?)
    }

    /// Awaits the node's answer on a version beside the active one.
    fn propose(
        contract: ContractId,
        twin: TwinId,
        deployment: &mut Deployment,
        facts: &NodeFacts,
        proposed: Proposed,
    ) -> DispatchResult {
        let Proposed { version, request, price, body, deposit } = proposed;
        let UpdateRequest { resources, public_ips, networks, .. } = request;
        let (node, active) = (deployment.node, deployment.resources);
        Self::claim_ranges(twin, [&deployment.networks; 2], [&deployment.networks, &networks])?;
        let both = active.max(&resources);
        let present = T::Ledger::price_of(contract).ok_or(Error::<T>::UnknownContract)?;
        // Whoever only asks for less pays no more, whatever the list says today.
        let reserved = if active == both && public_ips <= present.public_ips {
            present
        } else {
            Self::price_on(node, facts, both, public_ips.max(present.public_ips))?
        };
        T::Ledger::propose(contract, price, reserved.rates)?;
        T::Nodes::resize(node, &active, &both)?;
        let (body_hash, answer) = (body.hash(), Self::await_answer(contract));
        deployment.pending =
            Some(Pending { version, body_hash, resources, public_ips, networks, deposit, answer });
        PendingBodies::<T>::insert(contract, body);
        Ok(())
    }

    /// Another first version takes the place of one that the node hasn't deployed.
    fn replace_first(contract: ContractId, record: &mut Contract, proposed: Proposed) -> DispatchResult {
        let Proposed { request: UpdateRequest { resources, public_ips, networks, .. }, price, body, .. } =
            proposed;
        let ContractKind::Node(deployment) = &mut record.kind else { return Ok(()) };
        let Deployment { node, answer, .. } = *deployment;
        Self::claim_ranges(record.twin, [&deployment.networks; 2], [&networks; 2])?;
        T::Ledger::replace(contract, price, Self::served_reservation(node, &answer))?;
        T::Nodes::resize(node, &deployment.resources, &resources)?;
        T::Agenda::disarm(answer.by, Deadline::Answer(contract));
        Self::cool_down(contract, public_ips, Self::brief_cool_down(node));
        Self::change_networks(record.twin, contract, &deployment.networks, &networks);
        deployment.resources = resources;
        deployment.networks = networks;
        deployment.version = deployment.last_version;
        deployment.body_hash = body.hash();
        deployment.answer = Self::await_answer(contract);
        Self::replace_body(contract, record, body);
        Ok(())
    }

    /// Stores a body in the place of the active one, whose deposit is released.
    fn replace_body(contract: ContractId, record: &mut Contract, body: StoredBody) {
        let outdated = Bodies::<T>::get(contract).map_or(0, |body| body_deposit::<T>(&body));
        Bodies::<T>::insert(contract, body);
        Self::release_part(record, outdated);
    }

    pub(crate) fn do_withdraw_update(account: T::AccountId, contract: ContractId) -> DispatchResult {
        let mut record = Self::owned(&account, contract)?;
        let pending = Self::drop_pending(contract, &mut record).ok_or(Error::<T>::NoUpdatePending)?;
        Contracts::<T>::insert(contract, record);
        Self::deposit_event(Event::UpdateWithdrawn { contract, version: pending.version });
        Ok(())
    }

    /// The node runs the pending version: it becomes the active one.
    pub(crate) fn activate(contract: ContractId, record: &mut Contract, pending: Pending) {
        let ContractKind::Node(deployment) = &mut record.kind else { return };
        T::Agenda::disarm(pending.answer.by, Deadline::Answer(contract));
        let node = deployment.node;
        let reserved = deployment.resources.max(&pending.resources);
        Self::shrink(node, &reserved, &pending.resources);
        let versions = [&deployment.networks, &pending.networks];
        Self::keep_ranges(record.twin, versions, &pending.networks);
        Self::change_networks(record.twin, contract, &deployment.networks, &pending.networks);
        // What the node runs now has no others.
        T::PublicIps::retire(contract, pending.public_ips, T::Clock::grid_now());
        T::PublicIps::free(contract, GridMillis::MAX);
        deployment.resources = pending.resources;
        deployment.networks = pending.networks;
        deployment.version = pending.version;
        deployment.body_hash = pending.body_hash;
        if let Some(body) = PendingBodies::<T>::take(contract) {
            Self::replace_body(contract, record, body);
        }
        T::Ledger::accept(contract, Self::served_reservation(node, &pending.answer).unwrap_or(0));
    }

    /// The pending version fails: the active one stands, at its own price.
    pub(crate) fn drop_pending(contract: ContractId, record: &mut Contract) -> Option<Pending> {
        Self::end_pending(contract, record, true)
    }

    /// The same, where the owner `pays` for what was reserved only if the node isn't at fault.
    pub(crate) fn end_pending(contract: ContractId, record: &mut Contract, pays: bool) -> Option<Pending> {
        let ContractKind::Node(deployment) = &mut record.kind else { return None };
        let (node, reserved) = (deployment.node, deployment.reserved());
        let pending = deployment.pending.take()?;
        T::Agenda::disarm(pending.answer.by, Deadline::Answer(contract));
        Self::shrink(node, &reserved, &deployment.resources);
        Self::keep_ranges(record.twin, [&deployment.networks, &pending.networks], &deployment.networks);
        PendingBodies::<T>::remove(contract);
        Self::release_part(record, pending.deposit);
        let kept = T::Ledger::price_of(contract).map_or(0, |price| price.public_ips);
        Self::cool_down(contract, kept, Self::brief_cool_down(node));
        T::Ledger::reject(contract, Self::served_reservation(node, &pending.answer).filter(|_| pays));
        Some(pending)
    }

    /// How long a version has been reserved that awaits this answer; `None` where its node serves nobody.
    pub(crate) fn served_reservation(node: NodeId, answer: &Answer) -> Option<GridMillis> {
        Self::is_served(node).then(|| Self::reserved_ms(answer))
    }

    /// Reserves one of two versions only, which fits in what is reserved for both.
    fn shrink(node: NodeId, reserved: &Resources, to: &Resources) {
        if T::Nodes::resize(node, reserved, to).is_err() {
            defensive!("a node can't shrink a reservation", node);
        }
    }

    fn release_part(record: &mut Contract, part: Balance) {
        // A part of it may have gone for a fee.
        let part = part.min(record.deposit);
        record.deposit = record.deposit.saturating_sub(part);
        Self::release_deposit(record.twin, part);
    }
}
