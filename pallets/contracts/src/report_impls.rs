// SPDX-License-Identifier: Apache-2.0
//! The reports of nodes. They can't fail here: `authorize_impls` has checked them.

use crate::*;
use frame_support::{defensive, pallet_prelude::*};
use tfgrid_primitives::{
    ContractId, Deadline, GridMillis, NodeId, ReportMark, TwinId, UsageItem, UsageTotals,
    report::{DeployedPayload, FailedPayload, ProgressPayload, UsagePayload, download_ms},
    traits::{Agenda, Clock, Ledger, NodeDirectory, PublicIps, Service},
    units::SECOND_MS,
    views::ClosingReason,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_report_deployed(sequence: u64, payload: DeployedPayload) {
        let DeployedPayload { contract, version, result, .. } = payload;
        let Some(mut record) = Self::reported_contract(contract) else { return };
        let now = T::Clock::grid_now();
        let ContractKind::Node(deployment) = &mut record.kind else {
            defensive!("a node reports on node contracts only", contract);
            return;
        };
        let node = deployment.node;
        deployment.last_report = ReportMark { sequence, at: now };
        let pending = deployment.pending.take_if(|pending| pending.version == version);
        let news = record.state == ContractState::Created || pending.is_some();
        if record.state == ContractState::Created {
            T::Agenda::disarm(deployment.answer.by, Deadline::Answer(contract));
            record.state = ContractState::Deployed;
            record.deployed_at = now;
            T::Ledger::start(contract, Self::beyond_answer(node, &deployment.answer));
            // A node that isn't back yet is paid for nothing that it runs.
            if T::Nodes::facts(node).is_some_and(|facts| facts.service == Service::Suspended) {
                T::Ledger::suspend(contract);
            }
        }
        if let Some(pending) = pending {
            Self::activate(contract, &mut record, pending);
        }
        if !news {
            LastCorrections::<T>::insert(node, now);
        }
        Contracts::<T>::insert(contract, record);
        Results::<T>::insert(contract, result);
        Self::deposit_event(if news {
            Event::Deployed { contract, node, version }
        } else {
            Event::ResultUpdated { contract }
        });
    }

    /// The contract that a report is about, which `authorize_impls` has found.
    fn reported_contract(contract: ContractId) -> Option<Contract> {
        let record = Contracts::<T>::get(contract).filter(|record| record.deployment().is_some());
        if record.is_none() {
            defensive!("a report on no node contract was authorized", contract);
        }
        record
    }

    pub(crate) fn do_report_failed(node: NodeId, sequence: u64, payload: FailedPayload) {
        let FailedPayload { contract, failure } = payload;
        let Some(mut record) = Self::reported_contract(contract) else { return };
        let code = failure.code;
        Failures::<T>::insert(contract, &failure);
        Self::deposit_event(Event::DeploymentRejected { contract, node, failure });
        let pays = !Self::is_excused(code, record.awaited());
        if Self::end_pending(contract, &mut record, pays).is_none() {
            return Self::close(contract, record, ClosingReason::NodeRejected { code });
        }
        // The node has none of what the version would have had.
        T::PublicIps::free(contract, GridMillis::MAX);
        if let ContractKind::Node(deployment) = &mut record.kind {
            deployment.last_report = ReportMark { sequence, at: T::Clock::grid_now() };
        }
        Contracts::<T>::insert(contract, record);
    }

    pub(crate) fn do_report_progress(sequence: u64, payload: ProgressPayload) {
        let contract = payload.contract;
        let Some(mut record) = Self::reported_contract(contract) else { return };
        let ContractKind::Node(deployment) = &mut record.kind else {
            defensive!("a node reports on node contracts only", contract);
            return;
        };
        let now = T::Clock::grid_now();
        deployment.last_report = ReportMark { sequence, at: now };
        let answer = deployment.pending.as_ref().map_or(deployment.answer, |pending| pending.answer);
        T::Ledger::pay_wait(contract, Self::beyond_answer(deployment.node, &answer));
        let limit = Self::answer_limit(record.twin, &answer, deployment);
        let by = now.saturating_add(T::AnswerWithinMs::get()).min(limit).max(answer.by);
        T::Agenda::disarm(answer.by, Deadline::Answer(contract));
        T::Agenda::arm(by, Deadline::Answer(contract));
        deployment.pending.as_mut().map_or(&mut deployment.answer, |pending| &mut pending.answer).by = by;
        Contracts::<T>::insert(contract, record);
        Self::deposit_event(Event::DeploymentProgressed { contract, version: payload.version, by });
    }

    /// How long a version has been reserved beyond the time to answer, which is paid for as it passes; nothing while
    /// its node serves nobody.
    fn beyond_answer(node: NodeId, answer: &Answer) -> GridMillis {
        Self::served_reservation(node, answer).unwrap_or(0).saturating_sub(T::AnswerWithinMs::get())
    }

    /// Until when a node may answer at most, however much progress it reports: it has `AnswerLimitMs`, and as
    /// long again as the largest images that fit on the contract's disk take to download. Disk that the owner
    /// doesn't reserve gives a node no time. Each report pays for the wait until then, and none is longer than the
    /// credit of its payer lasts. The owner may end it.
    pub(crate) fn answer_limit(twin: TwinId, answer: &Answer, deployment: &Deployment) -> GridMillis {
        let asked = deployment.pending.as_ref().map_or(&deployment.resources, |pending| &pending.resources);
        let in_all = T::AnswerLimitMs::get().saturating_add(download_ms(asked.sru));
        let unpaid = Self::reserved_ms(answer).min(T::AnswerWithinMs::get());
        let funded = T::Ledger::lasts_ms(twin).saturating_sub(unpaid);
        answer.asked_at.saturating_add(in_all).min(T::Clock::grid_now().saturating_add(funded))
    }

    pub(crate) fn do_report_released(contract: ContractId) {
        T::PublicIps::free(contract, GridMillis::MAX);
    }

    pub(crate) fn do_report_usage(node: NodeId, sequence: u64, payload: UsagePayload) {
        let now = T::Clock::grid_now();
        let facts = T::Nodes::facts(node);
        let bytes_per_second = facts.as_ref().map_or(0, |facts| facts.bytes_per_second);
        let last = LastUsageReport::<T>::get(node);
        let mark = ReportMark { sequence, at: now };
        LastUsageReport::<T>::insert(node, UsageMark { mark, bytes_per_second });
        let bounds = UsageBounds {
            cores: facts.map_or(0, |facts| facts.resources.cru),
            // What it declares since carries nothing of the time before.
            bytes_per_second: bytes_per_second.min(last.bytes_per_second),
            last: last.mark.at.max(now.saturating_sub(LONGEST_USAGE_WINDOW)),
            now,
        };
        let mut bytes_left = bounds.bytes_since(0);
        let (mut accepted, mut refused) = (0u32, BoundedVec::new());
        for (i, item) in payload.iter().enumerate() {
            // A window of time counts once for a contract.
            let repeated = payload[..i].iter().any(|earlier| earlier.contract == item.contract);
            if !repeated && Self::take_usage(node, &bounds, &mut bytes_left, item) {
                accepted = accepted.saturating_add(1);
            } else {
                // As many as the payload has at most, so it always fits.
                let _ = refused.try_push(item.contract);
            }
        }
        Self::deposit_event(Event::UsageReported { node, accepted, refused });
    }

    /// Takes an item that is plausible: the contract runs on this node, which could have done as much, with
    /// `bytes_left` for all that it reports. Draws on the contract's traffic allowance.
    fn take_usage(node: NodeId, bounds: &UsageBounds, bytes_left: &mut u64, item: &UsageItem) -> bool {
        let Some(record) = Contracts::<T>::get(item.contract) else { return false };
        let runs_here = record.state == ContractState::Deployed
            && record.deployment().is_some_and(|deployment| deployment.node == node);
        let before = Usage::<T>::get(item.contract).unwrap_or_default();
        let bytes = traffic_since(&before, &item.totals);
        let plausible =
            runs_here && bytes <= *bytes_left && bounds.admit(record.deployed_at, &before, &item.totals);
        if plausible {
            *bytes_left = bytes_left.saturating_sub(bytes);
            Usage::<T>::insert(item.contract, item.totals);
            T::Ledger::use_traffic(item.contract, bytes);
        }
        plausible
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
}

impl UsageBounds {
    /// Whether a contract that runs since `deployed_at` can have come from `before` to `totals`: no total went
    /// down, and the machine could have done as much since the last report.
    fn admit(&self, deployed_at: GridMillis, before: &UsageTotals, totals: &UsageTotals) -> bool {
        totals.follows(before)
            && traffic_since(before, totals) <= self.bytes_since(deployed_at)
            && totals.cpu_ms.saturating_sub(before.cpu_ms)
                <= self.cores.saturating_mul(self.window(deployed_at))
    }

    /// The most public traffic since the last report, or since `then` if that was later.
    fn bytes_since(&self, then: GridMillis) -> u64 {
        self.bytes_per_second.saturating_mul(self.window(then) / SECOND_MS)
    }

    fn window(&self, then: GridMillis) -> GridMillis {
        self.now.saturating_sub(self.last.max(then)).saturating_add(USAGE_LEEWAY_MS)
    }
}

/// The bytes that went in and out between two reports.
fn traffic_since(before: &UsageTotals, totals: &UsageTotals) -> u64 {
    let sum = |totals: &UsageTotals| totals.received_bytes.saturating_add(totals.sent_bytes);
    sum(totals).saturating_sub(sum(before))
}
