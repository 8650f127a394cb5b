// SPDX-License-Identifier: Apache-2.0
//! How contracts end: the charge stops, what they had becomes free, a tombstone stays.

use crate::*;
use frame_support::{
    pallet_prelude::*,
    traits::{fungible::MutateHold, tokens::Precision},
};
use tfgrid_primitives::{
    Balance, ContractId, Deadline, FailureCode, GridMillis, NodeId, TwinId,
    count::count_down,
    traits::{Agenda, Clock, Ledger, NodeDirectory, Outcome, PublicIps, Service, TwinDirectory},
    views::{ClosedContract, ClosingReason},
};

impl<T: Config> Pallet<T> {
    /// Ends a contract, for any reason.
    pub(crate) fn close(contract: ContractId, mut record: Contract, reason: ClosingReason) {
        Self::drop_pending(contract, &mut record);
        let charge = T::Ledger::close(contract, Self::outcome(&record, reason));
        if let Some(answer) = record.awaited() {
            T::Agenda::disarm(answer.by, Deadline::Answer(contract));
        }
        let (twin, node) = (record.twin, record.node());
        let released = Self::release_deposit(twin, record.deposit);
        Contracts::<T>::remove(contract);
        Self::unlist(twin, node, contract);
        match record.kind {
            ContractKind::Node(deployment) => {
                let deployed = record.state == ContractState::Deployed;
                let cool_down =
                    if deployed { T::CoolDownMs::get() } else { Self::brief_cool_down(deployment.node) };
                Self::clear_deployment(contract, twin, deployment, cool_down);
            }
            ContractKind::Rent { node } => Self::end_rent(node, reason),
            ContractKind::Name { name } => Names::<T>::remove(name),
        }
        let (usd, tft) = (charge.usd, charge.tft.whole());
        let (closed_at, closed_at_unix) = (T::Clock::grid_now(), T::Clock::unix_now());
        let tombstone = ClosedContract { twin, node, reason, closed_at, closed_at_unix, usd, tft };
        ClosedContracts::<T>::insert(contract, tombstone);
        let forget_at = closed_at.saturating_add(T::TombstoneLifeMs::get());
        T::Agenda::arm(forget_at, Deadline::Tombstone(contract));
        Self::deposit_event(Event::ContractClosed { contract, reason, tft, usd, released });
    }

    /// An owner who ends a contract early or whose body was at fault pays the minimum charge all the same, and so
    /// does a version that nobody confirmed: otherwise capacity could be occupied for nothing. Where the node is
    /// silent or at fault, nothing is paid; a deadline that is served late costs no more.
    fn outcome(record: &Contract, reason: ClosingReason) -> Outcome {
        let unconfirmed = record.state == ContractState::Created;
        let pays = match reason {
            ClosingReason::Cancelled => true,
            ClosingReason::NodeRejected { code } => !Self::is_excused(code, record.awaited()),
            ClosingReason::NodeSilent => unconfirmed,
            _ => false,
        };
        if reason == ClosingReason::NotDelivered {
            Outcome::NotDelivered
        } else if pays && record.node().is_none_or(Self::is_served) {
            let reserved_ms = record.awaited().map_or(0, |answer| Self::reserved_ms(&answer));
            Outcome::EndedByOwner { reserved_ms }
        } else {
            Outcome::Served
        }
    }

    /// Whether a version that its node rejects costs its owner nothing: the node is at fault, and said so in time.
    /// Later it is paid for, since an image may come slowly and fail in the end by its owner's will.
    pub(crate) fn is_excused(code: FailureCode, awaited: Option<Answer>) -> bool {
        let in_time = |answer: Answer| Self::reserved_ms(&answer) <= T::AnswerWithinMs::get();
        code.is_nodes_fault() && awaited.is_none_or(in_time)
    }

    /// Whether the contracts of a node may run.
    pub(crate) fn is_served(node: NodeId) -> bool {
        T::Nodes::facts(node).is_some_and(|facts| facts.service == Service::Running)
    }

    /// How long a version has been reserved that awaits this answer.
    pub(crate) fn reserved_ms(answer: &Answer) -> GridMillis {
        T::Clock::grid_now().min(answer.by).saturating_sub(answer.asked_at)
    }

    fn clear_deployment(contract: ContractId, twin: TwinId, deployment: Deployment, cool_down: GridMillis) {
        T::Nodes::release(deployment.node, &deployment.resources);
        Bodies::<T>::remove(contract);
        Results::<T>::remove(contract);
        Usage::<T>::remove(contract);
        Self::keep_ranges(twin, [&deployment.networks; 2], &Networks::default());
        Self::change_networks(twin, contract, &deployment.networks, &Networks::default());
        Self::cool_down(contract, 0, cool_down);
    }

    /// All but `kept` of the addresses that a contract has are free after `time`: until then packets may still arrive
    /// for it, unless its node says earlier that it released them.
    pub(crate) fn cool_down(contract: ContractId, kept: u8, time: GridMillis) {
        let until = T::Clock::grid_now().saturating_add(time.min(T::CoolDownMs::get()));
        if T::PublicIps::retire(contract, kept, until) {
            T::Agenda::arm(until, Deadline::CoolDown(contract));
        }
    }

    /// How long addresses cool down of a version that `node` hasn't confirmed: it has had no more time with them than
    /// an answer may take. Where it isn't heard it may have deployed all.
    pub(crate) fn brief_cool_down(node: NodeId) -> GridMillis {
        if Self::is_served(node) { T::AnswerWithinMs::get() } else { T::CoolDownMs::get() }
    }

    /// The rent paid for the capacity of all contracts on the node: they end with it, some per step.
    fn end_rent(node: NodeId, reason: ClosingReason) {
        Rents::<T>::remove(node);
        T::Nodes::release_whole(node);
        if T::Nodes::facts(node).is_some_and(|facts| facts.contracts > 0) {
            EndedRents::<T>::insert(node, reason);
            T::Agenda::arm(T::Clock::grid_now(), Deadline::Sweep(node));
        }
    }

    /// Returns the amount that is no longer held.
    pub(crate) fn release_deposit(twin: TwinId, deposit: Balance) -> Balance {
        T::Twins::account_of(twin)
            .and_then(|account| {
                let reason = HoldReason::Contract.into();
                T::Currency::release(&reason, &account, deposit, Precision::BestEffort).ok()
            })
            .unwrap_or(0)
    }

    /// Releases `amount` of the deposit of a contract that its owner is about to cancel.
    pub fn release_in_advance(owner: &T::AccountId, contract: ContractId, amount: Balance) -> DispatchResult {
        let mut record = Self::owned(owner, contract)?;
        record.deposit = record.deposit.checked_sub(amount).ok_or(Error::<T>::DepositTooSmall)?;
        Self::release_deposit(record.twin, amount);
        Contracts::<T>::insert(contract, record);
        Ok(())
    }

    fn unlist(twin: TwinId, node: Option<NodeId>, contract: ContractId) {
        TwinContractCount::<T>::mutate_exists(twin, count_down);
        TwinContracts::<T>::remove(twin, contract);
        if let Some(node) = node {
            NodeContracts::<T>::remove(node, contract);
        }
    }
}
