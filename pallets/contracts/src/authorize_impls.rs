// SPDX-License-Identifier: Apache-2.0
//! Which reports are authorized. Every reason to refuse is checked here, cheapest first and the signature last, so
//! that a refused report never enters a block and dispatch can't fail.

use crate::*;
use frame_support::pallet_prelude::*;
use sp_core::H256;
use tfgrid_primitives::{
    ContractId, GridMillis, KeySignature, NodeId, Refusal, ReportKind, ReportMark,
    report::{DeployedPayload, FailedPayload, ProgressPayload, ReleasedPayload, UsagePayload, valid_report},
    text::is_printable,
    traits::{Clock, NodeReports, PublicIps},
};

/// A report of progress is taken after one part in so many of the time that it adds.
const PROGRESS_PART: u64 = 2;

impl<T: Config> Pallet<T> {
    pub(crate) fn authorize_deployed(
        _source: TransactionSource,
        node: &NodeId,
        sequence: &u64,
        payload: &DeployedPayload,
        signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        ensure!(is_printable(&payload.result), Refusal::NotPrintable);
        let reported = Self::reported(*node, payload.contract, payload.version, *sequence)?;
        ensure!(reported.body_hash == payload.body_hash, Refusal::BodyMismatch);
        if !reported.awaited {
            let unchanged = Results::<T>::get(payload.contract).as_ref() == Some(&payload.result);
            ensure!(!unchanged, Refusal::Unchanged);
            Self::ensure_correction_is_due(*node)?;
        }
        T::Nodes::verify(*node, ReportKind::Deployed, *sequence, payload, signature)?;
        Ok((valid_report("Contracts.deployed", payload.contract), Weight::zero()))
    }

    pub(crate) fn authorize_failed(
        _source: TransactionSource,
        node: &NodeId,
        sequence: &u64,
        payload: &FailedPayload,
        signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        ensure!(payload.failure.is_printable(), Refusal::NotPrintable);
        let reported = Self::reported(*node, payload.contract, payload.failure.version, *sequence)?;
        ensure!(reported.awaited, Refusal::AlreadyDeployed);
        T::Nodes::verify(*node, ReportKind::Failed, *sequence, payload, signature)?;
        Ok((valid_report("Contracts.failed", payload.contract), Weight::zero()))
    }

    pub(crate) fn authorize_progress(
        _source: TransactionSource,
        node: &NodeId,
        sequence: &u64,
        payload: &ProgressPayload,
        signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        let reported = Self::reported(*node, payload.contract, payload.version, *sequence)?;
        let (by, limit) = reported.answer.filter(|_| reported.awaited).ok_or(Refusal::NothingPending)?;
        ensure!(by < limit, Refusal::AnswerExpired);
        // However little the limit lets it add.
        reported.last.ensure_due(T::Clock::grid_now(), T::AnswerWithinMs::get() / PROGRESS_PART)?;
        // Each adds `within` to its moment: what is missing of that has passed since.
        let within = T::AnswerWithinMs::get();
        let passed = within.saturating_sub(by.saturating_sub(T::Clock::grid_now()));
        ensure!(passed >= within / PROGRESS_PART, Refusal::TooSoon);
        T::Nodes::verify(*node, ReportKind::Progress, *sequence, payload, signature)?;
        Ok((valid_report("Contracts.progress", payload.contract), Weight::zero()))
    }

    /// The sequence needn't grow: what is free can't be released again.
    pub(crate) fn authorize_released(
        _source: TransactionSource,
        node: &NodeId,
        sequence: &u64,
        payload: &ReleasedPayload,
        signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        let closed = ClosedContracts::<T>::get(payload.contract).ok_or(Refusal::ContractUnknown)?;
        ensure!(closed.node == Some(*node), Refusal::ContractOfOtherNode);
        ensure!(T::PublicIps::is_cooling(payload.contract), Refusal::NothingToRelease);
        T::Nodes::verify(*node, ReportKind::Released, *sequence, payload, signature)?;
        Ok((valid_report("Contracts.released", payload.contract), Weight::zero()))
    }

    pub(crate) fn authorize_usage(
        _source: TransactionSource,
        node: &NodeId,
        sequence: &u64,
        payload: &UsagePayload,
        signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        ensure!(!payload.is_empty(), Refusal::NoItems);
        let last = LastUsageReport::<T>::get(node).mark;
        last.ensure_newer(*sequence)?;
        // A node's first report may come at any time.
        if last.sequence > 0 {
            last.ensure_due(T::Clock::grid_now(), T::UsageIntervalMs::get() / 2)?;
        }
        T::Nodes::verify(*node, ReportKind::Usage, *sequence, payload, signature)?;
        Ok((valid_report("Contracts.usage", node), Weight::zero()))
    }

    /// A correction is free, and nobody has paid for it as the first report of a version was paid for: a node has
    /// one turn for all its contracts, so that many of them can't fill blocks.
    fn ensure_correction_is_due(node: NodeId) -> Result<(), Refusal> {
        let Some(last) = LastCorrections::<T>::get(node) else { return Ok(()) };
        let due = last.saturating_add(T::ResultIntervalMs::get());
        if T::Clock::grid_now() < due { Err(Refusal::TooSoon) } else { Ok(()) }
    }

    /// The version that a report is about, where this node may report on it.
    fn reported(
        node: NodeId,
        contract: ContractId,
        version: u32,
        sequence: u64,
    ) -> Result<Reported, Refusal> {
        let record = Contracts::<T>::get(contract).ok_or(Refusal::ContractUnknown)?;
        let deployment = record.deployment().ok_or(Refusal::ContractOfOtherNode)?;
        ensure!(deployment.node == node, Refusal::ContractOfOtherNode);
        let pending = deployment.pending.as_ref().filter(|pending| pending.version == version);
        ensure!(pending.is_some() || deployment.version == version, Refusal::VersionMismatch);
        deployment.last_report.ensure_newer(sequence)?;
        Ok(Reported {
            last: deployment.last_report,
            body_hash: pending.map_or(deployment.body_hash, |pending| pending.body_hash),
            awaited: pending.is_some() || record.state == ContractState::Created,
            answer: record
                .awaited()
                .map(|answer| (answer.by, Self::answer_limit(record.twin, &answer, deployment))),
        })
    }
}

/// A version of a contract that a node may report on.
struct Reported {
    body_hash: H256,
    /// The node owes an answer on this version.
    awaited: bool,
    /// The node's last report on the contract.
    last: ReportMark,
    /// When the node must have answered, and when at the latest.
    answer: Option<(GridMillis, GridMillis)>,
}
