// SPDX-License-Identifier: Apache-2.0
//! A contract's next version: until the node confirms it, the larger of both is reserved and the smaller billed:
//! what the present one costs more is set aside and goes back when the smaller one is confirmed. If that comes to
//! nothing it is earned: the present one ran. So nobody runs a large version on the bill of a small one that never
//! comes, nor on credit that would have ended.

use crate::{dispatchable_impls::body_deposit, *};
use frame_support::{pallet_prelude::*, traits::fungible::MutateHold};
use sp_runtime::Vec;
use tfgrid_primitives::{
    Balance, Body, ContractId, Deadline, Rates, UsdRate,
    traits::{Agenda, AgreedRates, Ledger, NodeDirectory},
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_update_node_contract(
        account: T::AccountId,
        contract: ContractId,
        wish: UpdateWish,
        body: Body<Vec<u8>>,
    ) -> DispatchResult {
        let UpdateWish { resources, max_usd_rate } = wish;
        let mut record = Self::owned(&account, contract)?;
        let body = body.into_stored().ok_or(Error::<T>::BodySizeOutOfRange)?;
        let ContractKind::Node(deployment) = &mut record.kind else {
            return Err(Error::<T>::NothingToUpdate.into());
        };
        ensure!(record.state == ContractState::Deployed, Error::<T>::NotDeployed);
        ensure!(deployment.pending.is_none(), Error::<T>::UpdatePending);
        let node = deployment.node;
        let facts = Self::running_node(node)?;
        let rate = Self::rate_on(node, &facts, resources, deployment.public_ips)?;
        let more = Rates { usd: rate.saturating_sub(record.rates.usd), extra: 0 };
        Self::ensure_accepted(Rates { usd: rate, extra: 0 }, max_usd_rate)?;
        // Who can hardly pay any more may still want less.
        if more.usd > 0 {
            T::Ledger::ensure_affordable(record.twin, more)?;
        }

        let version = deployment.last_version.checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
        T::Nodes::resize(node, &deployment.resources, &deployment.resources.max(&resources))?;
        let deposit = body_deposit::<T>(&body);
        T::Currency::hold(&HoldReason::Contract.into(), &account, deposit)?;
        record.deposit = record.deposit.saturating_add(deposit);
        deployment.last_version = version;
        let (body_hash, answer) = (body.hash(), Self::await_answer(contract));
        deployment.pending = Some(Pending { version, body_hash, resources, rate, deposit, answer });
        if rate < record.rates.usd {
            T::Ledger::begin_trial(contract, rate);
        } else if more.usd > 0 {
            T::Ledger::promise(record.twin, more);
        }
        PendingBodies::<T>::insert(contract, body);
        Contracts::<T>::insert(contract, record);
        Self::deposit_event(Event::UpdateRequested { contract, node, version, rate });
        Ok(())
    }

    /// The node runs the pending version: it is the present one from now on.
    pub(crate) fn promote(contract: ContractId, record: &mut Contract, pending: Pending) {
        let ContractKind::Node(deployment) = &mut record.kind else { return };
        T::Agenda::disarm(pending.answer.by, Deadline::Answer(contract));
        let reserved = deployment.resources.max(&pending.resources);
        // Can't fail: what is wanted fits in what is reserved.
        let _ = T::Nodes::resize(deployment.node, &reserved, &pending.resources);
        deployment.resources = pending.resources;
        deployment.version = pending.version;
        deployment.body_hash = pending.body_hash;
        let outdated = Bodies::<T>::get(contract).map_or(0, |body| body_deposit::<T>(&body));
        if let Some(body) = PendingBodies::<T>::take(contract) {
            Bodies::<T>::insert(contract, body);
        }
        Self::release_part(record, outdated);
        let raised = pending.raised_from(record.rates);
        record.rates.usd = pending.rate;
        T::Ledger::resize(contract, record.rates);
        T::Ledger::take_back(record.twin, raised);
        if let Some(priced) = Self::parties(record).priced {
            T::Ledger::describe(contract, priced);
        }
    }

    /// The pending version comes to nothing: the present one stands, at its own rate.
    pub(crate) fn drop_pending(contract: ContractId, record: &mut Contract) -> Option<Pending> {
        let ContractKind::Node(deployment) = &mut record.kind else { return None };
        let reserved = deployment.reserved();
        let pending = deployment.pending.take()?;
        T::Agenda::disarm(pending.answer.by, Deadline::Answer(contract));
        // Can't fail: the present version fits in what is reserved for both.
        let _ = T::Nodes::resize(deployment.node, &reserved, &deployment.resources);
        PendingBodies::<T>::remove(contract);
        Self::release_part(record, pending.deposit);
        match pending.rate < record.rates.usd {
            true => T::Ledger::end_trial(contract),
            false => T::Ledger::take_back(record.twin, pending.raised_from(record.rates)),
        }
        Some(pending)
    }

    fn release_part(record: &mut Contract, part: Balance) {
        record.deposit = record.deposit.saturating_sub(part);
        Self::release_deposit(record.twin, part);
    }
}

impl<T: Config> AgreedRates for Pallet<T> {
    fn agree(contract: ContractId, usd: UsdRate) -> DispatchResult {
        Contracts::<T>::try_mutate(contract, |record| {
            let record = record.as_mut().ok_or(Error::<T>::UnknownContract)?;
            // Two rates are at stake then: the node's answer says which one counts.
            let settled = record.deployment().is_none_or(|deployment| deployment.pending.is_none());
            ensure!(settled, Error::<T>::UpdatePending);
            record.rates.usd = usd;
            Ok(())
        })
    }
}
