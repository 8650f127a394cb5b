// SPDX-License-Identifier: Apache-2.0
//! The calls of people; those of nodes are in `report_impls`.

use crate::*;
use alloc::vec::Vec;
use frame_support::{pallet_prelude::*, traits::fungible::MutateHold};
use tfgrid_primitives::{
    Balance, Body, ContractId, Deadline, Features, NodeId, Resources, StoredBody, TwinId, UsdRate,
    traits::{
        Agenda, Clock, ContractPrice, Ledger, NodeDirectory, NodeFacts, Parties, PublicIps, Service,
        TwinDirectory,
    },
    views::ClosingReason,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_create_node_contract(
        account: T::AccountId,
        request: CreateRequest,
        body: Body<Vec<u8>>,
    ) -> DispatchResultWithPostInfo {
        let CreateRequest { node, resources, public_ips, traffic_gb, max_usd_rate, .. } = request;
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        let body = body.into_stored().ok_or(Error::<T>::BodySizeOutOfRange)?;
        Self::ensure_networks(&request.networks)?;
        ensure!(resources != Resources::ZERO, Error::<T>::NothingRequested);
        let facts = Self::running_node(node)?;
        Self::ensure_tenant(node, twin, &facts)?;
        Self::ensure_served(&facts, public_ips, &request.networks)?;
        let price = Self::price_on(node, &facts, resources, public_ips)?;
        Self::ensure_accepted(&price, max_usd_rate)?;

        let (bytes, networks) = (body.bytes().len() as u32, request.networks.len() as u32);
        let deposit = T::ContractDeposit::get().saturating_add(body_deposit::<T>(&body));
        let (contract, goes_on) = Self::open(&account, twin, Some((node, &facts)), price, deposit)?;
        T::Nodes::reserve(node, &resources)?;
        if public_ips > 0 {
            T::PublicIps::reserve(facts.farm, contract, public_ips)?;
        }
        Self::claim_ranges(twin, [&Networks::default(); 2], [&request.networks; 2])?;
        Self::change_networks(twin, contract, &Networks::default(), &request.networks);
        if traffic_gb > 0 {
            T::Ledger::buy_traffic(contract, traffic_gb)?;
        }
        let answer = Self::await_answer(contract);
        let record = Contract {
            twin,
            kind: ContractKind::Node(Deployment::first(request, body.hash(), answer)),
            state: ContractState::Created,
            deposit,
            created_at: answer.asked_at,
            deployed_at: 0,
        };
        Contracts::<T>::insert(contract, record);
        Bodies::<T>::insert(contract, body);
        let rate = price.rates.usd;
        Self::deposit_event(Event::NodeContractCreated { contract, node, twin, rate, deposit });
        let is_plain = goes_on && public_ips == 0 && traffic_gb == 0;
        Ok(is_plain.then(|| T::WeightInfo::create_plain_node_contract(bytes, networks)).into())
    }

    pub(crate) fn do_create_rent_contract(
        account: T::AccountId,
        node: NodeId,
        max_usd_rate: UsdRate,
    ) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        let facts = Self::running_node(node)?;
        ensure!(!Rents::<T>::contains_key(node), Error::<T>::NodeRented);
        ensure!(facts.contracts == 0, Error::<T>::NodeNotEmpty);
        // Its last sweep would close this rent for the end of the one before.
        ensure!(!EndedRents::<T>::contains_key(node), Error::<T>::RentEnding);
        let price = Self::price_of_rent(&facts)?;
        Self::ensure_accepted(&price, max_usd_rate)?;

        let deposit = T::ContractDeposit::get();
        let (contract, _) = Self::open(&account, twin, Some((node, &facts)), price, deposit)?;
        T::Nodes::reserve_whole(node)?;
        Rents::<T>::insert(node, contract);
        Self::begin(contract, twin, ContractKind::Rent { node }, deposit);
        let (rate, extra) = (price.rates.usd, price.rates.extra);
        Self::deposit_event(Event::RentContractCreated { contract, node, twin, rate, extra, deposit });
        Ok(())
    }

    pub(crate) fn do_create_name_contract(
        account: T::AccountId,
        name: UniqueName,
        max_usd_rate: UsdRate,
    ) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        ensure!(is_unique_name(&name), Error::<T>::NameInvalid);
        ensure!(!Names::<T>::contains_key(&name), Error::<T>::NameTaken);
        let price = Self::price_of_name()?;
        Self::ensure_accepted(&price, max_usd_rate)?;

        let short = name.len() <= SHORT_NAME;
        let deposit = if short { T::ShortNameDeposit::get() } else { T::NameDeposit::get() };
        let (contract, _) = Self::open(&account, twin, None, price, deposit)?;
        Names::<T>::insert(&name, contract);
        Self::begin(contract, twin, ContractKind::Name { name: name.clone() }, deposit);
        let rate = price.rates.usd;
        Self::deposit_event(Event::NameContractCreated { contract, twin, name, rate, deposit });
        Ok(())
    }

    pub(crate) fn do_cancel(
        account: T::AccountId,
        contract: ContractId,
        reason: CancelReason,
    ) -> DispatchResult {
        let record = Self::owned(&account, contract)?;
        if let ContractKind::Rent { node } = record.kind {
            // The rent itself is one of them.
            let others = T::Nodes::facts(node).is_some_and(|facts| facts.contracts > 1);
            ensure!(!others, Error::<T>::RentInUse);
        }
        match reason {
            CancelReason::Cancelled => Self::close(contract, record, ClosingReason::Cancelled),
            CancelReason::NotDelivered => {
                Self::count_complaint(account, contract, &record)?;
                Self::close(contract, record, ClosingReason::NotDelivered);
            }
        }
        Ok(())
    }

    pub(crate) fn do_force_close(contract: ContractId) -> DispatchResult {
        let record = Contracts::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        Self::close(contract, record, ClosingReason::ByGovernance);
        Ok(())
    }

    pub(crate) fn do_reprice(contract: ContractId) -> DispatchResult {
        let record = Contracts::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        // Two prices are at stake then: the node's answer decides.
        let settled = record.deployment().is_none_or(|deployment| deployment.pending.is_none());
        ensure!(settled, Error::<T>::UpdatePending);
        let price = Self::listed_price(contract, &record)?;
        T::Ledger::reprice(contract, price)?;
        Self::deposit_event(Event::Repriced { contract, rate: price.rates.usd });
        Ok(())
    }

    /// The contract, if the caller owns it.
    pub(crate) fn owned(account: &T::AccountId, contract: ContractId) -> Result<Contract, Error<T>> {
        let record = Contracts::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        let twin = T::Twins::twin_of(account).ok_or(Error::<T>::NoTwin)?;
        ensure!(record.twin == twin, Error::<T>::NotOwner);
        Ok(record)
    }

    /// Counts a complaint that a contract wasn't delivered, if its owner may still make one.
    fn count_complaint(account: T::AccountId, contract: ContractId, record: &Contract) -> DispatchResult {
        ensure!(record.state == ContractState::Deployed, Error::<T>::NotDeployed);
        let node = record.node().ok_or(Error::<T>::NotOnANode)?;
        let now = T::Clock::grid_now();
        let in_window = now < record.deployed_at.saturating_add(T::NotDeliveredWindowMs::get());
        ensure!(in_window, Error::<T>::NotDeliveredWindowOver);
        let refund = T::Ledger::refund_of_complaint(contract);
        ensure!(refund > 0, Error::<T>::NothingToRefund);
        AccountComplaints::<T>::try_mutate(account, |complaints| {
            if now.saturating_sub(complaints.since) >= COMPLAINT_WINDOW || complaints.count == 0 {
                *complaints = Complaints { since: now, count: 0 };
            }
            ensure!(complaints.count < MAX_COMPLAINTS, Error::<T>::TooManyComplaints);
            complaints.count = complaints.count.saturating_add(1);
            Ok::<_, Error<T>>(())
        })?;
        T::Nodes::count_not_delivered(node, refund);
        Ok(())
    }

    /// The node, if its contracts may run.
    pub(crate) fn running_node(node: NodeId) -> Result<NodeFacts, Error<T>> {
        let facts = T::Nodes::facts(node).ok_or(Error::<T>::UnknownNode)?;
        ensure!(facts.service == Service::Running, Error::<T>::NodeOffline);
        Ok(facts)
    }

    /// A rented node is its tenant's alone, and a dedicated one nobody's without rent.
    fn ensure_tenant(node: NodeId, twin: TwinId, facts: &NodeFacts) -> Result<(), Error<T>> {
        match Rents::<T>::get(node).and_then(Contracts::<T>::get) {
            Some(rent) => ensure!(rent.twin == twin, Error::<T>::NodeRented),
            None => ensure!(!facts.dedicated, Error::<T>::NodeDedicated),
        }
        Ok(())
    }

    pub(crate) fn ensure_accepted(price: &ContractPrice, max_usd_rate: UsdRate) -> DispatchResult {
        let rate = price.rates.usd.checked_add(price.rates.extra).ok_or(Error::<T>::RateOutOfRange)?;
        ensure!(rate <= max_usd_rate, Error::<T>::RateAboveMaximum);
        Ok(())
    }

    /// The node's agent has code for what is asked of it.
    pub(crate) fn ensure_served(
        facts: &NodeFacts,
        public_ips: u8,
        networks: &Networks,
    ) -> Result<(), Error<T>> {
        let serves = |feature| facts.features.contains(feature);
        ensure!(public_ips == 0 || serves(Features::PUBLIC_IPS), Error::<T>::PublicIpsNotServed);
        ensure!(networks.is_empty() || serves(Features::NETWORKS), Error::<T>::NetworksNotServed);
        Ok(())
    }

    /// Gives the next id, holds the deposit, opens the ledger account and lists the contract. Says also whether its
    /// payer goes on as before.
    fn open(
        account: &T::AccountId,
        twin: TwinId,
        node: Option<(NodeId, &NodeFacts)>,
        price: ContractPrice,
        deposit: Balance,
    ) -> Result<(ContractId, bool), DispatchError> {
        TwinContractCount::<T>::try_mutate(twin, |count| {
            ensure!(*count < T::MaxContractsPerTwin::get(), Error::<T>::TooManyContracts);
            *count = count.saturating_add(1);
            Ok::<_, DispatchError>(())
        })?;
        let contract = LastContractId::<T>::get().checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
        LastContractId::<T>::put(contract);
        let farm = node.map(|(_, facts)| facts.farm);
        let node = node.map(|(node, _)| node);
        let goes_on = T::Ledger::open(contract, Parties { payer: twin, farm, node }, price)?;
        T::Currency::hold(&HoldReason::Contract.into(), account, deposit)?;
        TwinContracts::<T>::insert(twin, contract, ());
        if let Some(node) = node {
            NodeContracts::<T>::insert(node, contract, ());
        }
        Ok((contract, goes_on))
    }

    /// Charges what needs no deployment from now on.
    fn begin(contract: ContractId, twin: TwinId, kind: ContractKind, deposit: Balance) {
        let now = T::Clock::grid_now();
        let state = ContractState::Deployed;
        let record = Contract { twin, kind, state, deposit, created_at: now, deployed_at: now };
        T::Ledger::start(contract, 0);
        Contracts::<T>::insert(contract, record);
    }

    /// Starts the wait for the node's answer on a version of a contract.
    pub(crate) fn await_answer(contract: ContractId) -> Answer {
        let asked_at = T::Clock::grid_now();
        let by = asked_at.saturating_add(T::AnswerWithinMs::get());
        T::Agenda::arm(by, Deadline::Answer(contract));
        Answer { asked_at, by }
    }
}

/// What is held for a body.
pub(crate) fn body_deposit<T: Config>(body: &StoredBody) -> Balance {
    T::DepositPerByte::get().saturating_mul(body.bytes().len() as Balance)
}
