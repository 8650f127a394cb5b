// SPDX-License-Identifier: Apache-2.0
//! What people's calls do.

use crate::*;
use frame_support::{pallet_prelude::*, traits::fungible::MutateHold};
use sp_runtime::Vec;
use tfgrid_primitives::{
    Balance, Body, ContractId, Deadline, NodeId, ProviderId, Rates, Resources, StoredBody, TwinId, UsdRate,
    pricing::Priced,
    traits::{Agenda, Clock, Ledger, NodeDirectory, NodeFacts, PublicIps, Service, TwinDirectory},
    views::ClosingReason,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_create_node_contract(
        account: T::AccountId,
        wish: Wish,
        body: Body<Vec<u8>>,
    ) -> DispatchResult {
        let Wish { node, resources, public_ips, traffic_gb, max_usd_rate, .. } = wish;
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        let body = body.into_stored().ok_or(Error::<T>::BodySizeOutOfRange)?;
        Self::ensure_networks(&wish.networks)?;
        let facts = Self::running_node(node)?;
        Self::ensure_tenant(node, twin, &facts)?;
        let rates = Rates { usd: Self::rate_on(node, &facts, resources, public_ips)?, extra: 0 };
        Self::ensure_acceptable(twin, rates, rates, max_usd_rate)?;
        let ip_rate = rate_of::<T>(&Priced::OnRented { public_ips, certified: facts.certified })?;

        T::Nodes::reserve(node, &resources)?;
        let deposit = T::ContractDeposit::get().saturating_add(body_deposit::<T>(&body));
        let contract = Self::open(&account, twin, Some(node), deposit)?;
        T::PublicIps::reserve(facts.farm, contract, public_ips)?;
        for Network { name, subnet } in &wish.networks {
            NetworkMembers::<T>::insert((twin, name, contract), subnet);
        }
        T::Ledger::promise(twin, rates);
        if traffic_gb > 0 {
            T::Ledger::buy_traffic(contract, twin, traffic_gb, facts.certified)?;
        }
        let answer = Self::await_answer(contract);
        let record = Contract {
            twin,
            kind: ContractKind::Node(Deployment::first(wish, ip_rate, body.hash(), answer)),
            state: ContractState::Created,
            rates,
            deposit,
            created_at: answer.asked_at,
            deployed_at: 0,
        };
        Contracts::<T>::insert(contract, record);
        Bodies::<T>::insert(contract, body);
        let rate = rates.usd;
        Self::deposit_event(Event::NodeContractCreated { contract, node, twin, rate, deposit });
        Ok(())
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
        let rates = Self::rent_rates(&facts)?;
        Self::ensure_acceptable(twin, rates, rates, max_usd_rate)?;

        T::Nodes::reserve(node, &Resources::ZERO)?;
        let deposit = T::ContractDeposit::get();
        let contract = Self::open(&account, twin, Some(node), deposit)?;
        Rents::<T>::insert(node, contract);
        Self::begin(contract, twin, ContractKind::Rent { node }, rates, deposit);
        let Rates { usd: rate, extra } = rates;
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
        let rates = Rates { usd: rate_of::<T>(&Priced::Name)?, extra: 0 };
        Self::ensure_acceptable(twin, rates, rates, max_usd_rate)?;

        let short = name.len() <= SHORT_NAME;
        let deposit = if short { T::ShortNameDeposit::get() } else { T::NameDeposit::get() };
        let contract = Self::open(&account, twin, None, deposit)?;
        Names::<T>::insert(&name, contract);
        Self::begin(contract, twin, ContractKind::Name { name: name.clone() }, rates, deposit);
        let rate = rates.usd;
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
                Self::complain(&record)?;
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

    pub(crate) fn do_attach_provider(
        account: T::AccountId,
        contract: ContractId,
        provider: ProviderId,
    ) -> DispatchResult {
        let record = Self::owned(&account, contract)?;
        ensure!(record.state == ContractState::Deployed, Error::<T>::NotDeployed);
        T::Ledger::attach_provider(contract, provider)?;
        Self::deposit_event(Event::ProviderAttached { contract, provider });
        Ok(())
    }

    /// The contract, where the caller owns it.
    pub(crate) fn owned(account: &T::AccountId, contract: ContractId) -> Result<Contract, Error<T>> {
        let record = Contracts::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        let twin = T::Twins::twin_of(account).ok_or(Error::<T>::NoTwin)?;
        ensure!(record.twin == twin, Error::<T>::NotOwner);
        Ok(record)
    }

    /// Counts that a contract wasn't delivered, where its owner may still say so.
    fn complain(record: &Contract) -> DispatchResult {
        ensure!(record.state == ContractState::Deployed, Error::<T>::NotDeployed);
        let node = record.node().ok_or(Error::<T>::NothingToDeliver)?;
        let now = T::Clock::grid_now();
        let contestable = now < record.deployed_at.saturating_add(T::NotDeliveredWindow::get());
        ensure!(contestable, Error::<T>::DeliveryUncontested);
        TwinComplaints::<T>::try_mutate(record.twin, |complaints| {
            if now.saturating_sub(complaints.since) >= COMPLAINT_WINDOW || complaints.count == 0 {
                *complaints = Complaints { since: now, count: 0 };
            }
            ensure!(complaints.count < MAX_COMPLAINTS, Error::<T>::TooManyComplaints);
            complaints.count = complaints.count.saturating_add(1);
            Ok::<_, Error<T>>(())
        })?;
        T::Nodes::count_not_delivered(node);
        Ok(())
    }

    /// What is known of a node that is heard from.
    pub(crate) fn running_node(node: NodeId) -> Result<NodeFacts, Error<T>> {
        let facts = T::Nodes::facts(node).ok_or(Error::<T>::UnknownNode)?;
        ensure!(facts.service == Service::Running, Error::<T>::NodeOffline);
        Ok(facts)
    }

    /// A rented node is its tenant's alone, and a dedicated one nobody's without rent.
    fn ensure_tenant(node: NodeId, twin: TwinId, facts: &NodeFacts) -> Result<(), Error<T>> {
        ensure!(!EndedRents::<T>::contains_key(node), Error::<T>::RentEnding);
        match Rents::<T>::get(node).and_then(Contracts::<T>::get) {
            Some(rent) => ensure!(rent.twin == twin, Error::<T>::NodeRented),
            None => ensure!(!facts.dedicated, Error::<T>::NodeDedicated),
        }
        Ok(())
    }

    /// Refuses unless the caller accepts `rates`, and its credit and limits bear `more`.
    pub(crate) fn ensure_acceptable(
        twin: TwinId,
        rates: Rates,
        more: Rates,
        max_usd_rate: UsdRate,
    ) -> DispatchResult {
        Self::ensure_accepted(rates, max_usd_rate)?;
        T::Ledger::ensure_affordable(twin, more)
    }

    pub(crate) fn ensure_accepted(rates: Rates, max_usd_rate: UsdRate) -> DispatchResult {
        let rate = rates.usd.checked_add(rates.extra).ok_or(Error::<T>::RateOutOfRange)?;
        ensure!(rate <= max_usd_rate, Error::<T>::RateAboveMaximum);
        Ok(())
    }

    /// What capacity of a node costs its tenant, or anybody where it isn't rented.
    pub(crate) fn rate_on(
        node: NodeId,
        facts: &NodeFacts,
        resources: Resources,
        public_ips: u8,
    ) -> Result<UsdRate, Error<T>> {
        rate_of::<T>(&Self::priced(Rents::<T>::contains_key(node), facts, resources, public_ips))
    }

    pub(crate) fn priced(rented: bool, facts: &NodeFacts, resources: Resources, public_ips: u8) -> Priced {
        let certified = facts.certified;
        match rented {
            true => Priced::OnRented { public_ips, certified },
            false => Priced::Capacity { resources, public_ips, certified },
        }
    }

    /// What a whole node costs.
    pub(crate) fn rent_rates(facts: &NodeFacts) -> Result<Rates, Error<T>> {
        Ok(Rates { usd: rate_of::<T>(&Self::priced_rent(facts))?, extra: facts.extra_fee })
    }

    pub(crate) fn priced_rent(facts: &NodeFacts) -> Priced {
        Priced::Rent { resources: facts.resources, certified: facts.certified }
    }

    fn ensure_networks(networks: &Networks) -> Result<(), Error<T>> {
        for (i, network) in networks.iter().enumerate() {
            ensure!(network.has_valid_name(), Error::<T>::NetworkNameInvalid);
            ensure!(network.subnet.is_valid(), Error::<T>::SubnetInvalid);
            let earlier = &networks[..i];
            ensure!(earlier.iter().all(|n| n.name != network.name), Error::<T>::DuplicateNetwork);
        }
        Ok(())
    }

    /// Gives away an id, holds the deposit and lists the contract.
    fn open(
        account: &T::AccountId,
        twin: TwinId,
        node: Option<NodeId>,
        deposit: Balance,
    ) -> Result<ContractId, DispatchError> {
        TwinContractCount::<T>::try_mutate(twin, |count| {
            ensure!(*count < T::MaxContractsPerTwin::get(), Error::<T>::TooManyContracts);
            *count = count.saturating_add(1);
            Ok::<_, DispatchError>(())
        })?;
        let contract = LastContractId::<T>::get().checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
        LastContractId::<T>::put(contract);
        T::Currency::hold(&HoldReason::Contract.into(), account, deposit)?;
        TwinContracts::<T>::insert(twin, contract, ());
        if let Some(node) = node {
            NodeContracts::<T>::insert(node, contract, ());
        }
        Ok(contract)
    }

    /// What needs no deployment is charged from now on.
    fn begin(contract: ContractId, twin: TwinId, kind: ContractKind, rates: Rates, deposit: Balance) {
        let now = T::Clock::grid_now();
        let record = Contract {
            twin,
            kind,
            state: ContractState::Deployed,
            rates,
            deposit,
            created_at: now,
            deployed_at: now,
        };
        T::Ledger::promise(twin, rates);
        T::Ledger::start(contract, Self::parties(&record), rates);
        Contracts::<T>::insert(contract, record);
    }

    /// Asks the node for its answer on a version of a contract.
    pub(crate) fn await_answer(contract: ContractId) -> Answer {
        let asked_at = T::Clock::grid_now();
        let by = asked_at.saturating_add(T::AnswerWithin::get());
        T::Agenda::arm(by, Deadline::Answer(contract));
        Answer { asked_at, by }
    }
}

/// What this costs per hour.
pub(crate) fn rate_of<T: Config>(priced: &Priced) -> Result<UsdRate, Error<T>> {
    T::Ledger::quote(priced).ok_or(Error::<T>::RateOutOfRange)
}

/// What is held for a body.
pub(crate) fn body_deposit<T: Config>(body: &StoredBody) -> Balance {
    T::DepositPerByte::get().saturating_mul(body.bytes().len() as Balance)
}
