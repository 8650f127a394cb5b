// SPDX-License-Identifier: Apache-2.0
//! What people and nodes read.

use crate::*;
use codec::FullCodec;
use frame_support::storage::IterableStorageDoubleMap;
use tfgrid_primitives::{
    ContractId, NodeId, Resources, TwinId, UsdRate,
    traits::{ContractPrice, Ledger, NodeDirectory, OnNodeRemoved, Service, TwinInUse},
    views::{ClosedContract, ClosingReason, ContractStatus, NodeContract, Page, Target, TwinContract},
};

impl<T: Config> Pallet<T> {
    pub(crate) fn quote_of(node: NodeId, resources: Resources, public_ips: u8) -> Option<UsdRate> {
        let facts = T::Nodes::facts(node)?;
        Self::price_on(node, &facts, resources, public_ips).ok().map(|price| price.rates.usd)
    }

    pub(crate) fn quote_of_rent(node: NodeId) -> Option<UsdRate> {
        let rates = Self::price_of_rent(&T::Nodes::facts(node)?).ok()?.rates;
        rates.usd.checked_add(rates.extra)
    }

    pub(crate) fn quote_of_name() -> Option<UsdRate> {
        Self::price_of_name().ok().map(|price| price.rates.usd)
    }

    /// The status of an open or closed contract.
    pub fn status_of(contract: ContractId) -> Option<ContractStatus> {
        if let Some(ClosedContract { reason, tft, usd, .. }) = ClosedContracts::<T>::get(contract) {
            return Some(ContractStatus::Closed { reason, tft, usd });
        }
        Contracts::<T>::get(contract).map(|record| Self::status(contract, &record))
    }

    fn status(contract: ContractId, record: &Contract) -> ContractStatus {
        if record.state == ContractState::Created {
            return ContractStatus::Created;
        }
        let charge = T::Ledger::charge_of(contract);
        let (tft, usd) = (charge.tft.whole(), charge.usd);
        // Contracts of a drained node are charged until they close.
        let is_silent = |node| {
            let service = T::Nodes::facts(node).map(|facts| facts.service);
            matches!(service, Some(Service::Suspended | Service::Ended(ClosingReason::NodeSilent)))
        };
        match (!record.node().is_some_and(is_silent), T::Ledger::is_exhausted(record.twin)) {
            (false, _) => ContractStatus::NodeOffline { tft, usd },
            (true, true) => ContractStatus::Paused { tft, usd },
            (true, false) => ContractStatus::Deployed { tft, usd },
        }
    }

    /// A page of the open node contracts of a node.
    pub fn page_of_node(
        node: NodeId,
        after: Option<ContractId>,
        limit: u32,
    ) -> Page<NodeContract, ContractId> {
        Page::first_of(ids_after::<NodeContracts<T>, _>(node, after), limit).filter_map(Self::node_contract)
    }

    fn node_contract(contract: ContractId) -> Option<NodeContract> {
        let record = Contracts::<T>::get(contract)?;
        let twin = record.twin;
        let deployed = record.state == ContractState::Deployed;
        let paused = deployed && T::Ledger::is_exhausted(twin);
        let Deployment { version, body_hash, resources, pending, .. } = record.deployment()?.clone();
        let pending = pending.as_ref().map(Into::into);
        let closes_at = T::Ledger::closes_at(twin).filter(|_| paused);
        Some(NodeContract {
            contract,
            twin,
            version,
            body_hash,
            deployed,
            paused,
            closes_at,
            resources,
            pending,
        })
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
        let ContractPrice { rates, public_ips, .. } = T::Ledger::price_of(contract)?;
        let target = match record.kind {
            ContractKind::Node(Deployment { node, resources, .. }) => {
                Target::Node { node, resources, public_ips }
            }
            ContractKind::Rent { node } => Target::Rent { node },
            ContractKind::Name { name } => Target::Name { name: name.into_inner() },
        };
        Some(TwinContract { contract, target, status, rate: rates.usd, extra: rates.extra })
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

impl<T: Config> TwinInUse for Pallet<T> {
    fn is_in_use(twin: TwinId) -> bool {
        TwinContractCount::<T>::get(twin) > 0
    }
}

impl<T: Config> OnNodeRemoved for Pallet<T> {
    fn on_node_removed(node: NodeId) {
        LastUsageReport::<T>::remove(node);
        LastCorrections::<T>::remove(node);
    }
}
