// SPDX-License-Identifier: Apache-2.0
//! What nodes report. It can't fail here: `authorize_impls` has checked it.

use crate::*;
use frame_support::pallet_prelude::*;
use tfgrid_primitives::{
    ContractId, Deadline, GridMillis, NodeId, ReportMark, UsageItem, UsageTotals,
    pricing::Priced,
    report::{DeployedPayload, FailedPayload, ProgressPayload, UsagePayload},
    traits::{Agenda, Clock, Ledger, NodeDirectory, NodeFacts, Parties, Service},
    units::SECOND_MS,
    views::ClosingReason,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_report_deployed(sequence: u64, payload: DeployedPayload) {
        let DeployedPayload { contract, version, result, .. } = payload;
        let Some(mut record) = Contracts::<T>::get(contract) else { return };
        let now = T::Clock::grid_now();
        let ContractKind::Node(deployment) = &mut record.kind else { return };
        let node = deployment.node;
        deployment.last_report = ReportMark { sequence, at: now };
        let pending = deployment.pending.take_if(|pending| pending.version == version);
        let news = record.state == ContractState::Created || pending.is_some();
        if record.state == ContractState::Created {
            T::Agenda::disarm(deployment.answer.by, Deadline::Answer(contract));
            record.state = ContractState::Deployed;
            record.deployed_at = now;
            T::Ledger::start(contract, Self::parties(&record), record.rates);
            // A node on its way back isn't paid yet, for nothing that it runs.
            if T::Nodes::facts(node).is_some_and(|facts| facts.service == Service::Suspended) {
                T::Ledger::suspend(contract);
            }
        }
        if let Some(pending) = pending {
            Self::promote(contract, &mut record, pending);
        }
        Contracts::<T>::insert(contract, record);
        Results::<T>::insert(contract, result);
        Self::deposit_event(match news {
            true => Event::Deployed { contract, node, version },
            false => Event::ResultUpdated { contract },
        });
    }

    pub(crate) fn do_report_failed(node: NodeId, sequence: u64, payload: FailedPayload) {
        let FailedPayload { contract, version, code, path } = payload;
        let Some(mut record) = Contracts::<T>::get(contract) else { return };
        Self::deposit_event(Event::DeploymentRejected { contract, node, version, code, path });
        if Self::drop_pending(contract, &mut record).is_none() {
            return Self::close(contract, record, ClosingReason::NodeRejected { code });
        }
        if let ContractKind::Node(deployment) = &mut record.kind {
            deployment.last_report = ReportMark { sequence, at: T::Clock::grid_now() };
        }
        Contracts::<T>::insert(contract, record);
    }

    pub(crate) fn do_report_progress(sequence: u64, payload: ProgressPayload) {
        let contract = payload.contract;
        let Some(mut record) = Contracts::<T>::get(contract) else { return };
        let ContractKind::Node(deployment) = &mut record.kind else { return };
        let now = T::Clock::grid_now();
        deployment.last_report = ReportMark { sequence, at: now };
        let answer =
            deployment.pending.as_mut().map_or(&mut deployment.answer, |pending| &mut pending.answer);
        T::Agenda::disarm(answer.by, Deadline::Answer(contract));
        answer.by = Self::latest_answer(answer, now);
        T::Agenda::arm(answer.by, Deadline::Answer(contract));
        let by = answer.by;
        Contracts::<T>::insert(contract, record);
        Self::deposit_event(Event::DeploymentProgressed { contract, version: payload.version, by });
    }

    /// Until when a node that is still at work at `now` may answer.
    fn latest_answer(answer: &Answer, now: GridMillis) -> GridMillis {
        now.saturating_add(T::AnswerWithin::get()).min(Self::answer_limit(answer)).max(answer.by)
    }

    /// Until when a node may answer at most, however much progress it reports.
    pub(crate) fn answer_limit(answer: &Answer) -> GridMillis {
        answer.asked_at.saturating_add(T::AnswerLimit::get())
    }

    pub(crate) fn do_report_usage(node: NodeId, sequence: u64, payload: UsagePayload) {
        let now = T::Clock::grid_now();
        let last = LastUsageReport::<T>::get(node);
        LastUsageReport::<T>::insert(node, ReportMark { sequence, at: now });
        let bounds = UsageBounds {
            cores: T::Nodes::facts(node).map_or(0, |facts| facts.resources.cru),
            bytes_per_second: T::MaxBytesPerSecond::get(),
            last: last.at,
            now,
            leeway: T::UsageInterval::get(),
        };
        let (mut accepted, mut refused) = (0u32, BoundedVec::new());
        for (i, item) in payload.iter().enumerate() {
            // A window of time counts once for a contract.
            let repeated = payload[..i].iter().any(|earlier| earlier.contract == item.contract);
            if !repeated && Self::take_usage(node, &bounds, item) {
                accepted = accepted.saturating_add(1);
            } else {
                // As many as the payload has at most, so it always fits.
                let _ = refused.try_push(item.contract);
            }
        }
        Self::deposit_event(Event::UsageReported { node, accepted, refused });
    }

    /// Takes an item that can be true: the contract runs on this node, which could have done as much. Draws on
    /// the traffic that was paid for.
    fn take_usage(node: NodeId, bounds: &UsageBounds, item: &UsageItem) -> bool {
        let Some(record) = Contracts::<T>::get(item.contract) else { return false };
        let runs_here = record.state == ContractState::Deployed
            && record.deployment().is_some_and(|deployment| deployment.node == node);
        let before = Usage::<T>::get(item.contract).unwrap_or_default();
        let plausible = runs_here && bounds.admit(record.deployed_at, &before, &item.totals);
        if plausible {
            Usage::<T>::insert(item.contract, item.totals);
            T::Ledger::use_traffic(item.contract, traffic_since(&before, &item.totals));
        }
        plausible
    }

    /// Who is charged for a contract and who earns.
    pub(crate) fn parties(record: &Contract) -> Parties {
        let node = record.node();
        let facts = node.and_then(T::Nodes::facts);
        let (public_ips, ip_rate) =
            record.deployment().map_or((0, 0), |deployment| (deployment.public_ips, deployment.ip_rate));
        Parties {
            payer: record.twin,
            farm: facts.map(|facts| facts.farm),
            node,
            public_ips,
            ip_rate,
            priced: Self::priced_for(record, facts.as_ref()),
        }
    }

    /// What a contract is priced for.
    fn priced_for(record: &Contract, facts: Option<&NodeFacts>) -> Option<Priced> {
        Some(match &record.kind {
            ContractKind::Node(deployment) => {
                let Deployment { node, resources, public_ips, .. } = *deployment;
                Self::priced(Rents::<T>::contains_key(node), facts?, resources, public_ips)
            }
            ContractKind::Rent { .. } => Self::priced_rent(facts?),
            ContractKind::Name { .. } => Priced::Name,
        })
    }

    /// Nobody answered in time: nothing is charged for what never ran, and the version before stands.
    pub(crate) fn end_wait(contract: ContractId) {
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

/// What bounds a contract's use in a report of its node.
struct UsageBounds {
    /// The cores of the node.
    cores: u64,
    /// The most public traffic that it can carry.
    bytes_per_second: u64,
    /// When its last report came in, in grid time.
    last: GridMillis,
    /// Grid time.
    now: GridMillis,
    /// A node measures a little before it is heard: so much more time it may have had.
    leeway: GridMillis,
}

impl UsageBounds {
    /// Whether a contract that runs since `deployed_at` can have come from `before` to `totals`: no total went
    /// down, and the machine could have done as much since the last report.
    fn admit(&self, deployed_at: GridMillis, before: &UsageTotals, totals: &UsageTotals) -> bool {
        let window = self.now.saturating_sub(self.last.max(deployed_at)).saturating_add(self.leeway);
        totals.follows(before)
            && traffic_since(before, totals) <= self.bytes_per_second.saturating_mul(window / SECOND_MS)
            && totals.cpu_ms.saturating_sub(before.cpu_ms) <= self.cores.saturating_mul(window)
    }
}

/// The bytes that went in and out between two reports.
fn traffic_since(before: &UsageTotals, totals: &UsageTotals) -> u64 {
    let sum = |totals: &UsageTotals| totals.received_bytes.saturating_add(totals.sent_bytes);
    sum(totals).saturating_sub(sum(before))
}
