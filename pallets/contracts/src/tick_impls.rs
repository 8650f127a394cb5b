// SPDX-License-Identifier: Apache-2.0
//! Deadlines: unanswered versions, sweeps over a node's contracts, evictions after grace periods, addresses that
//! have cooled down, tombstones.

use crate::{utility_impls::ids_after, *};
use frame_support::weights::Weight;
use tfgrid_primitives::{
    ContractId, Deadline, GridMillis, NodeId, TwinId,
    traits::{Ledger, NodeDirectory, PublicIps, ServeDeadlines, Service},
    views::{ClosingReason, Page},
};

impl<T: Config> ServeDeadlines for Pallet<T> {
    fn weight_of(deadline: &Deadline) -> Option<Weight> {
        Some(match deadline {
            Deadline::Sweep(_) => T::WeightInfo::serve_sweep(SWEEP_STEP),
            Deadline::Eviction(_) => T::WeightInfo::serve_eviction(SWEEP_STEP),
            Deadline::Answer(_) => T::WeightInfo::serve_answer(),
            Deadline::CoolDown(_) => T::WeightInfo::serve_cool_down(),
            Deadline::Tombstone(_) => T::WeightInfo::serve_tombstone(),
            _ => return None,
        })
    }

    fn heaviest_step() -> Weight {
        let sweeps = T::WeightInfo::serve_sweep(SWEEP_STEP).max(T::WeightInfo::serve_eviction(SWEEP_STEP));
        let waits = T::WeightInfo::serve_answer().max(T::WeightInfo::serve_cool_down());
        sweeps.max(waits).max(T::WeightInfo::serve_tombstone())
    }

    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis> {
        match deadline {
            Deadline::Sweep(node) => return Self::sweep(node).then_some(now),
            Deadline::Eviction(twin) => return Self::evict(twin).then_some(now),
            Deadline::Answer(contract) => Self::end_answer(contract),
            Deadline::CoolDown(contract) => T::PublicIps::free(contract, now),
            Deadline::Tombstone(contract) => {
                ClosedContracts::<T>::remove(contract);
                Failures::<T>::remove(contract);
                T::Ledger::forget(contract);
            }
            _ => {}
        }
        None
    }
}

impl<T: Config> Pallet<T> {
    /// Closes some more contracts of a twin whose grace is over, until it pays again. Says whether more are left.
    fn evict(twin: TwinId) -> bool {
        if !T::Ledger::must_close(twin) {
            return false;
        }
        let step = Page::first_of(TwinContracts::<T>::iter_key_prefix(twin), SWEEP_STEP);
        for contract in step.items {
            if let Some(record) = Contracts::<T>::get(contract) {
                Self::close(contract, record, ClosingReason::OutOfFunds);
            }
        }
        step.next.is_some()
    }

    /// What a node's contracts should be doing: after its rent as much as after its own state.
    fn service_on(node: NodeId) -> Service {
        if let Some(reason) = EndedRents::<T>::get(node) {
            return Service::Ended(reason);
        }
        T::Nodes::facts(node).map_or(Service::Ended(ClosingReason::NodeRemoved), |facts| facts.service)
    }

    /// Brings some more of a node's contracts to what the node's state asks for now; starts over where that
    /// has changed. Says whether more are left.
    fn sweep(node: NodeId) -> bool {
        let service = Self::service_on(node);
        let begun = Sweeps::<T>::get(node).filter(|sweep| sweep.service == service);
        let last = begun.map(|sweep| sweep.last);
        let step = Page::first_of(ids_after::<NodeContracts<T>, _>(node, last), SWEEP_STEP);
        step.items.into_iter().for_each(|contract| Self::bring_to(service, contract));
        let Some(last) = step.next else {
            Sweeps::<T>::remove(node);
            // The ended rent's last contract is closed: the node's own state counts again.
            EndedRents::<T>::remove(node);
            return false;
        };
        Sweeps::<T>::insert(node, Sweep { service, last });
        true
    }

    fn bring_to(service: Service, contract: ContractId) {
        match service {
            // Nothing is charged before the node has deployed a contract.
            Service::Running if Self::is_deployed(contract) => T::Ledger::start(contract, 0),
            Service::Running => {}
            Service::Suspended => T::Ledger::suspend(contract),
            Service::Ended(reason) => {
                if let Some(record) = Contracts::<T>::get(contract) {
                    Self::close(contract, record, reason);
                }
            }
        }
    }

    fn is_deployed(contract: ContractId) -> bool {
        Contracts::<T>::get(contract).is_some_and(|record| record.state == ContractState::Deployed)
    }

    /// The node hasn't answered in time: a first version closes with its contract, and an update fails.
    fn end_answer(contract: ContractId) {
        let Some(mut record) = Contracts::<T>::get(contract) else { return };
        if record.state == ContractState::Created {
            return Self::close(contract, record, ClosingReason::NodeSilent);
        }
        if let Some(pending) = Self::drop_pending(contract, &mut record) {
            Contracts::<T>::insert(contract, record);
            Self::deposit_event(Event::UpdateExpired { contract, version: pending.version });
        }
    }
}
