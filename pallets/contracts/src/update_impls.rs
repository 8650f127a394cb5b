// SPDX-License-Identifier: Apache-2.0
//! A contract's next version.
//!
//! Until the node has answered, the larger of both versions is reserved and the cheaper one billed: what the
//! active version costs more is charged into escrow, which goes back when the pending version is confirmed. If
//! the update fails, the escrow is earned, since the active version ran. So nobody runs a large version on the
//! bill of a small one that never comes, nor on credit that would have been used up.

use crate::{dispatchable_impls::body_deposit, *};
use alloc::vec::Vec;
use frame_support::{defensive, pallet_prelude::*, traits::fungible::MutateHold};
use tfgrid_primitives::{
    Balance, Body, ContractId, Deadline, NodeId, Resources,
    traits::{Agenda, Ledger, NodeDirectory},
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_update_node_contract(
        account: T::AccountId,
        contract: ContractId,
        request: UpdateRequest,
        body: Body<Vec<u8>>,
    ) -> DispatchResult {
        let UpdateRequest { resources, max_usd_rate } = request;
        let mut record = Self::owned(&account, contract)?;
        let body = body.into_stored().ok_or(Error::<T>::BodySizeOutOfRange)?;
        ensure!(resources != Resources::ZERO, Error::<T>::NothingRequested);
        let node = record.deployment().ok_or(Error::<T>::NotANodeContract)?.node;
        ensure!(record.state == ContractState::Deployed, Error::<T>::NotDeployed);
        let facts = Self::running_node(node)?;
        let present = T::Ledger::price_of(contract).ok_or(Error::<T>::UnknownContract)?;
        let price = Self::price_on(node, &facts, resources, present.public_ips)?;
        Self::ensure_accepted(&price, max_usd_rate)?;

        // A newer version takes the place of the pending one, which is paid for as far as it was reserved.
        Self::drop_pending(contract, &mut record);
        let ContractKind::Node(deployment) = &mut record.kind else {
            return Err(Error::<T>::NotANodeContract.into());
        };
        T::Ledger::propose(contract, price)?;

        let version = deployment.last_version.checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
        T::Nodes::resize(node, &deployment.resources, &deployment.resources.max(&resources))?;
        let deposit = body_deposit::<T>(&body);
        T::Currency::hold(&HoldReason::Contract.into(), &account, deposit)?;
        record.deposit = record.deposit.saturating_add(deposit);
        deployment.last_version = version;
        let (body_hash, answer) = (body.hash(), Self::await_answer(contract));
        deployment.pending = Some(Pending { version, body_hash, resources, deposit, answer });
        PendingBodies::<T>::insert(contract, body);
        Contracts::<T>::insert(contract, record);
        let rate = price.rates.usd;
        Self::deposit_event(Event::UpdateRequested { contract, node, version, rate });
        Ok(())
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
        let reserved = deployment.resources.max(&pending.resources);
        Self::shrink(deployment.node, &reserved, &pending.resources);
        deployment.resources = pending.resources;
        deployment.version = pending.version;
        deployment.body_hash = pending.body_hash;
        let outdated = Bodies::<T>::get(contract).map_or(0, |body| body_deposit::<T>(&body));
        if let Some(body) = PendingBodies::<T>::take(contract) {
            Bodies::<T>::insert(contract, body);
        }
        Self::release_part(record, outdated);
        T::Ledger::accept(contract);
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
        PendingBodies::<T>::remove(contract);
        Self::release_part(record, pending.deposit);
        let reserved_ms = Self::reserved_ms(&pending.answer);
        T::Ledger::reject(contract, (pays && Self::is_served(node)).then_some(reserved_ms));
        Some(pending)
    }

    /// Reserves one of two versions only, which fits in what is reserved for both.
    fn shrink(node: NodeId, reserved: &Resources, to: &Resources) {
        if T::Nodes::resize(node, reserved, to).is_err() {
            defensive!("a node can't shrink a reservation", node);
        }
    }

    fn release_part(record: &mut Contract, part: Balance) {
        record.deposit = record.deposit.saturating_sub(part);
        Self::release_deposit(record.twin, part);
    }
}
