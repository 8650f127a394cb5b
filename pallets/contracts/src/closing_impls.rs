// SPDX-License-Identifier: Apache-2.0
//! How contracts end: the charge stops, what they had is free, a tombstone stays.

use crate::*;
use frame_support::{
    pallet_prelude::*,
    traits::{fungible::MutateHold, tokens::Precision},
};
use tfgrid_primitives::{
    Balance, Charge, ContractId, Deadline, NodeId, Resources, TwinId, fixed,
    traits::{Agenda, Clock, Ledger, NodeDirectory, PublicIps, Refund, Service, TwinDirectory},
    views::{ClosedContract, ClosingReason},
};

impl<T: Config> Pallet<T> {
    /// Ends a contract for whatever reason.
    pub(crate) fn close(contract: ContractId, mut record: Contract, reason: ClosingReason) {
        Self::drop_pending(contract, &mut record);
        let charge = Self::stop_charging(contract, &record, reason);
        if let Some(answer) = record.awaited() {
            T::Agenda::disarm(answer.by, Deadline::Answer(contract));
        }
        let (twin, node) = (record.twin, record.node());
        let released = Self::release_deposit(twin, record.deposit);
        Contracts::<T>::remove(contract);
        Self::unlist(twin, node, contract);
        match record.kind {
            ContractKind::Node(deployment) => Self::clear_deployment(contract, twin, deployment),
            ContractKind::Rent { node } => Self::end_rent(node, reason),
            ContractKind::Name { name } => Names::<T>::remove(name),
        }
        let (usd, tft) = (charge.usd, fixed::whole(charge.tft));
        let (closed_at, closed_at_unix) = (T::Clock::grid_now(), T::Clock::unix_now());
        let tombstone = ClosedContract { twin, node, reason, closed_at, closed_at_unix, usd, tft };
        Closed::<T>::insert(contract, tombstone);
        let forget_at = closed_at.saturating_add(T::TombstoneLife::get());
        T::Agenda::arm(forget_at, Deadline::Tombstone(contract));
        Self::deposit_event(Event::ContractClosed { contract, reason, tft, usd, released });
    }

    /// Ends the charge. Whoever ends a contract early, or whose body was at fault, pays ten minutes of it all the
    /// same, so that nobody occupies capacity for nothing. The farmer's part of what wasn't served goes to the
    /// foundation: rejecting earns a farmer nothing, nor does a stolen bot's key that creates and cancels. Where
    /// the node failed, nothing is paid for.
    fn stop_charging(contract: ContractId, record: &Contract, reason: ClosingReason) -> Charge {
        let refund = match reason {
            ClosingReason::NotDelivered => Refund::All,
            _ => Refund::Served,
        };
        if record.state == ContractState::Created {
            T::Ledger::take_back(record.twin, record.rates);
        }
        let stopped = T::Ledger::stop(contract, refund);
        let early = matches!(reason, ClosingReason::Cancelled | ClosingReason::NodeRejected { .. });
        let is_served = |node| T::Nodes::facts(node).is_some_and(|facts| facts.service == Service::Running);
        match early && record.node().is_none_or(is_served) {
            true => T::Ledger::charge_minimum(contract, record.twin, record.rates, stopped),
            false => stopped.charge,
        }
    }

    fn clear_deployment(contract: ContractId, twin: TwinId, deployment: Deployment) {
        T::Nodes::release(deployment.node, &deployment.resources);
        Bodies::<T>::remove(contract);
        Results::<T>::remove(contract);
        Usage::<T>::remove(contract);
        for Network { name, .. } in &deployment.networks {
            NetworkMembers::<T>::remove((twin, name, contract));
        }
        // Until its node says that it let go of them: packets still arrive for whoever had them.
        if T::PublicIps::retire(contract) {
            let cooled = T::Clock::grid_now().saturating_add(T::CoolDown::get());
            T::Agenda::arm(cooled, Deadline::CoolDown(contract));
        }
    }

    /// Nobody pays for the capacity of contracts on a node whose rent is over: they end with it, some per step.
    fn end_rent(node: NodeId, reason: ClosingReason) {
        Rents::<T>::remove(node);
        T::Nodes::release(node, &Resources::ZERO);
        if T::Nodes::facts(node).is_some_and(|facts| facts.contracts > 0) {
            EndedRents::<T>::insert(node, reason);
            T::Agenda::arm(T::Clock::grid_now(), Deadline::Sweep(node));
        }
    }

    /// Says how much is no longer held.
    pub(crate) fn release_deposit(twin: TwinId, deposit: Balance) -> Balance {
        T::Twins::account_of(twin)
            .and_then(|account| {
                let reason = HoldReason::Contract.into();
                T::Currency::release(&reason, &account, deposit, Precision::BestEffort).ok()
            })
            .unwrap_or(0)
    }

    fn unlist(twin: TwinId, node: Option<NodeId>, contract: ContractId) {
        // A count of nothing isn't stored, so that a twin without contracts leaves nothing behind.
        TwinContractCount::<T>::mutate_exists(twin, |count| {
            *count = count.and_then(|count| count.checked_sub(1)).filter(|count| *count > 0);
        });
        TwinContracts::<T>::remove(twin, contract);
        if let Some(node) = node {
            NodeContracts::<T>::remove(node, contract);
        }
    }
}
