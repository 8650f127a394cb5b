// SPDX-License-Identifier: Apache-2.0
//! What the calls do. What nodes report can't fail here: `authorize_impls` has checked it.

use crate::*;
use frame_support::{
    pallet_prelude::*,
    traits::{fungible::MutateHold, tokens::Precision},
};
use sp_runtime::Vec;
use tfgrid_primitives::{
    fixed,
    report::{DeployedPayload, FailedPayload, UsagePayload},
    traits::{Agenda, Clock, Ledger, NodeDirectory, NodeFacts, Parties, Refund, Service, TwinDirectory},
    views::{ClosedContract, ClosingReason},
    Balance, Body, Charge, ContractId, Deadline, NodeId, ProviderId, Rates, Resources, StoredBody, TwinId,
    UsageItem, UsdRate,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_create_node_contract(
        account: T::AccountId,
        wish: Wish,
        body: Body<Vec<u8>>,
    ) -> DispatchResult {
        let Wish { node, resources, public_ips, networks, traffic_gb, max_usd_rate } = wish;
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        let body = body.into_stored().ok_or(Error::<T>::BodySizeOutOfRange)?;
        Self::ensure_networks(&networks)?;
        ensure!(public_ips == 0, Error::<T>::NotEnoughPublicIps);
        ensure!(traffic_gb == 0, Error::<T>::TrafficUnavailable);
        let (facts, rate) = Self::rate_on(node, &resources, public_ips)?;
        ensure!(facts.service == Service::Running, Error::<T>::NodeOffline);
        ensure!(rate <= max_usd_rate, Error::<T>::RateAboveMaximum);
        let rates = Rates { usd: rate, extra: 0 };
        T::Ledger::ensure_affordable(twin, rates)?;

        T::Nodes::reserve(node, &resources)?;
        let contract = Self::next_id()?;
        let deposit = deposit_for::<T>(&body);
        T::Currency::hold(&HoldReason::Contract.into(), &account, deposit)?;
        Self::index(twin, node, contract, &networks)?;
        let created_at = T::Clock::grid_now();
        let answer_by = created_at.saturating_add(T::AnswerWithin::get());
        T::Agenda::arm(answer_by, Deadline::Answer(contract));
        let record = Contract {
            twin,
            kind: ContractKind::Node { node, resources, networks },
            state: ContractState::Created,
            version: 1,
            body_hash: body.hash(),
            rates,
            deposit,
            created_at,
            answer_by,
            deployed_at: 0,
            last_report: ReportMark::default(),
        };
        Contracts::<T>::insert(contract, record);
        Bodies::<T>::insert(contract, body);
        Self::deposit_event(Event::NodeContractCreated { contract, node, twin, rate, deposit });
        Ok(())
    }

    pub(crate) fn do_cancel(
        account: T::AccountId,
        contract: ContractId,
        reason: CancelReason,
    ) -> DispatchResult {
        let record = Self::owned(&account, contract)?;
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
    fn owned(account: &T::AccountId, contract: ContractId) -> Result<Contract, Error<T>> {
        let record = Contracts::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        let twin = T::Twins::twin_of(account).ok_or(Error::<T>::NoTwin)?;
        ensure!(record.twin == twin, Error::<T>::NotOwner);
        Ok(record)
    }

    /// Counts that a contract wasn't delivered, where its owner may still say so.
    fn complain(record: &Contract) -> DispatchResult {
        ensure!(record.state == ContractState::Deployed, Error::<T>::NotDeployed);
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
        NodeComplaints::<T>::mutate(record.node(), |count| *count = count.saturating_add(1));
        Ok(())
    }

    pub(crate) fn do_report_deployed(sequence: u64, payload: DeployedPayload) {
        let DeployedPayload { contract, version, result, .. } = payload;
        let Some(mut record) = Contracts::<T>::get(contract) else { return };
        let node = record.node();
        record.last_report = ReportMark { sequence, at: T::Clock::grid_now() };
        let first = record.state == ContractState::Created;
        if first {
            record.state = ContractState::Deployed;
            record.deployed_at = record.last_report.at;
            T::Agenda::disarm(record.answer_by, Deadline::Answer(contract));
            T::Ledger::start(contract, Self::parties(&record), record.rates);
        }
        Contracts::<T>::insert(contract, record);
        Results::<T>::insert(contract, result);
        Self::deposit_event(match first {
            true => Event::Deployed { contract, node, version },
            false => Event::ResultUpdated { contract },
        });
    }

    pub(crate) fn do_report_failed(payload: FailedPayload) {
        let FailedPayload { contract, code, path, .. } = payload;
        let Some(record) = Contracts::<T>::get(contract) else { return };
        Self::deposit_event(Event::DeploymentRejected { contract, node: record.node(), code, path });
        Self::close(contract, record, ClosingReason::NodeRejected { code });
    }

    pub(crate) fn do_report_usage(node: NodeId, sequence: u64, payload: UsagePayload) {
        LastUsageReport::<T>::insert(node, ReportMark { sequence, at: T::Clock::grid_now() });
        let (mut accepted, mut refused) = (0u32, BoundedVec::new());
        for item in payload {
            if Self::take_usage(node, &item) {
                accepted = accepted.saturating_add(1);
            } else {
                // As many as the payload has at most, so it always fits.
                let _ = refused.try_push(item.contract);
            }
        }
        Self::deposit_event(Event::UsageReported { node, accepted, refused });
    }

    /// Whether an item can be true: the contract runs on this node and no total went down.
    fn take_usage(node: NodeId, item: &UsageItem) -> bool {
        let runs_here = Contracts::<T>::get(item.contract)
            .is_some_and(|record| record.node() == node && record.state == ContractState::Deployed);
        let before = Usage::<T>::get(item.contract).unwrap_or_default();
        let plausible = runs_here && item.totals.follows(&before);
        if plausible {
            Usage::<T>::insert(item.contract, item.totals);
        }
        plausible
    }

    /// Who is charged for a contract and who earns.
    fn parties(record: &Contract) -> Parties {
        let node = record.node();
        let farm = T::Nodes::facts(node).map(|facts| facts.farm);
        Parties { payer: record.twin, farm, node: Some(node) }
    }

    /// Ends the charge. Whoever ends a contract early pays ten minutes of it all the same, so that nobody
    /// occupies capacity for nothing; where the user's body was at fault, the farmer's part of that goes to
    /// the foundation, so that rejecting earns a farmer nothing. Where the node failed, nothing is paid for.
    fn stop_charging(contract: ContractId, record: &Contract, reason: ClosingReason) -> Charge {
        let refund = match reason {
            ClosingReason::NotDelivered => Refund::All,
            _ => Refund::Served,
        };
        let charge = T::Ledger::stop(contract, refund);
        let parties = match reason {
            ClosingReason::Cancelled => Self::parties(record),
            ClosingReason::NodeRejected { .. } => Parties { farm: None, ..Self::parties(record) },
            _ => return charge,
        };
        let served = T::Nodes::facts(record.node()).is_some_and(|facts| facts.service == Service::Running);
        match served {
            true => T::Ledger::charge_minimum(parties, record.rates, charge),
            false => charge,
        }
    }

    /// Ends a contract for whatever reason: the charge stops, capacity and deposit are free, a tombstone stays.
    pub(crate) fn close(contract: ContractId, record: Contract, reason: ClosingReason) {
        let charge = Self::stop_charging(contract, &record, reason);
        if record.state == ContractState::Created {
            T::Agenda::disarm(record.answer_by, Deadline::Answer(contract));
        }
        let Contract { twin, kind, deposit, .. } = record;
        let ContractKind::Node { node, resources, networks } = kind;
        T::Nodes::release(node, &resources);
        let released = Self::release_deposit(twin, deposit);

        Contracts::<T>::remove(contract);
        Bodies::<T>::remove(contract);
        Results::<T>::remove(contract);
        Usage::<T>::remove(contract);
        Self::unindex(twin, node, contract, &networks);
        let (usd, tft) = (charge.usd, fixed::whole(charge.tft));
        let closed_at = T::Clock::grid_now();
        let closed_at_unix = T::Clock::unix_now();
        Closed::<T>::insert(
            contract,
            ClosedContract { twin, node, reason, closed_at, closed_at_unix, usd, tft },
        );
        let forget_at = closed_at.saturating_add(T::TombstoneLife::get());
        T::Agenda::arm(forget_at, Deadline::Tombstone(contract));
        Self::deposit_event(Event::ContractClosed { contract, reason, tft, usd, released });
    }

    fn release_deposit(twin: TwinId, deposit: Balance) -> Balance {
        T::Twins::account_of(twin)
            .and_then(|account| {
                let reason = HoldReason::Contract.into();
                T::Currency::release(&reason, &account, deposit, Precision::BestEffort).ok()
            })
            .unwrap_or(0)
    }

    /// What a contract would cost on a node, with what is known of the node.
    pub(crate) fn rate_on(
        node: NodeId,
        resources: &Resources,
        public_ips: u8,
    ) -> Result<(NodeFacts, UsdRate), Error<T>> {
        let facts = T::Nodes::facts(node).ok_or(Error::<T>::UnknownNode)?;
        let rate = T::Ledger::quote(resources, public_ips.into(), facts.certified);
        Ok((facts, rate.ok_or(Error::<T>::RateOutOfRange)?))
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

    fn index(twin: TwinId, node: NodeId, contract: ContractId, networks: &Networks) -> DispatchResult {
        TwinContractCount::<T>::try_mutate(twin, |count| {
            ensure!(*count < T::MaxContractsPerTwin::get(), Error::<T>::TooManyContracts);
            *count = count.saturating_add(1);
            Ok::<_, DispatchError>(())
        })?;
        TwinContracts::<T>::insert(twin, contract, ());
        NodeContracts::<T>::insert(node, contract, ());
        for Network { name, subnet } in networks {
            NetworkMembers::<T>::insert((twin, name, contract), subnet);
        }
        Ok(())
    }

    fn unindex(twin: TwinId, node: NodeId, contract: ContractId, networks: &Networks) {
        // A count of nothing isn't stored, so that a twin without contracts leaves nothing behind.
        TwinContractCount::<T>::mutate_exists(twin, |count| {
            *count = count.and_then(|count| count.checked_sub(1)).filter(|count| *count > 0);
        });
        TwinContracts::<T>::remove(twin, contract);
        NodeContracts::<T>::remove(node, contract);
        for Network { name, .. } in networks {
            NetworkMembers::<T>::remove((twin, name, contract));
        }
    }

    fn next_id() -> Result<ContractId, Error<T>> {
        LastContractId::<T>::try_mutate(|last| {
            *last = last.checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
            Ok(*last)
        })
    }
}

/// What a contract with this body holds.
fn deposit_for<T: Config>(body: &StoredBody) -> Balance {
    let bytes = body.bytes().len() as Balance;
    T::ContractDeposit::get().saturating_add(T::DepositPerByte::get().saturating_mul(bytes))
}
