// SPDX-License-Identifier: Apache-2.0
//! What comes due: contracts that nobody answered, sweeps over a node's contracts, tombstones.

use crate::*;
use frame_support::weights::Weight;
use tfgrid_primitives::{
    traits::{Ledger, NodeDirectory, ServeDeadlines, Service},
    views::ClosingReason,
    ContractId, Deadline, GridMillis, NodeId,
};

impl<T: Config> ServeDeadlines for Pallet<T> {
    fn weight_of(deadline: &Deadline) -> Weight {
        match deadline {
            Deadline::Sweep(_) => T::WeightInfo::serve_sweep(SWEEP_STEP),
            Deadline::Answer(_) => T::WeightInfo::serve_answer(),
            _ => T::WeightInfo::serve_tombstone(),
        }
    }

    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis> {
        match deadline {
            Deadline::Sweep(node) => return Self::sweep(node).then_some(now),
            Deadline::Answer(contract) => Self::close_unanswered(contract),
            Deadline::Tombstone(contract) => Closed::<T>::remove(contract),
            // The nodes' own.
            Deadline::Silence(_) | Deadline::Drain(_) => {}
        }
        None
    }
}

impl<T: Config> Pallet<T> {
    /// The node didn't answer in time: nothing is charged.
    fn close_unanswered(contract: ContractId) {
        if let Some(record) = Contracts::<T>::get(contract).filter(|c| c.state == ContractState::Created) {
            Self::close(contract, record, ClosingReason::NodeSilent);
        }
    }

    /// Brings some more of a node's contracts to what the node's state asks for now; starts over where that
    /// has changed. Says whether more are left.
    fn sweep(node: NodeId) -> bool {
        let service =
            T::Nodes::facts(node).map_or(Service::Ended(ClosingReason::NodeRemoved), |facts| facts.service);
        let begun = Sweeps::<T>::get(node).filter(|sweep| sweep.service == service);
        let mut ids = match begun {
            Some(Sweep { last, .. }) => {
                NodeContracts::<T>::iter_key_prefix_from(node, NodeContracts::<T>::hashed_key_for(node, last))
            }
            None => NodeContracts::<T>::iter_key_prefix(node),
        };
        let mut last = None;
        for contract in ids.by_ref().take(SWEEP_STEP as usize) {
            Self::bring_to(service, contract);
            last = Some(contract);
        }
        match last.filter(|_| ids.next().is_some()) {
            Some(last) => Sweeps::<T>::insert(node, Sweep { service, last }),
            None => Sweeps::<T>::remove(node),
        }
        Sweeps::<T>::contains_key(node)
    }

    fn bring_to(service: Service, contract: ContractId) {
        match service {
            Service::Running => T::Ledger::resume(contract),
            Service::Suspended => T::Ledger::suspend(contract),
            Service::Ended(reason) => {
                if let Some(record) = Contracts::<T>::get(contract) {
                    Self::close(contract, record, reason);
                }
            }
        }
    }
}
