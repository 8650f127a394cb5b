// SPDX-License-Identifier: Apache-2.0
//! Whether a node may report what it reports. Every reason to refuse is found here, cheapest first and
//! the signature last, so that a refused report never enters a block and dispatch can't fail.

use crate::*;
use frame_support::pallet_prelude::*;
use tfgrid_primitives::{
    report::{valid_report, DeployedPayload, FailedPayload, UsagePayload},
    traits::{Clock, NodeReports},
    ContractId, KeySignature, NodeId, Refusal, ReportKind,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn authorize_deployed(
        _source: TransactionSource,
        node: &NodeId,
        sequence: &u64,
        payload: &DeployedPayload,
        signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        let contract = Self::reported_contract(*node, payload.contract, payload.version, *sequence)?;
        ensure!(contract.body_hash == payload.body_hash, Refusal::BodyMismatch);
        if contract.state == ContractState::Deployed {
            let unchanged = Results::<T>::get(payload.contract).as_ref() == Some(&payload.result);
            ensure!(!unchanged, Refusal::Unchanged);
            ensure!(is_due::<T>(contract.last_report, T::ResultInterval::get()), Refusal::TooSoon);
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
        let contract = Self::reported_contract(*node, payload.contract, payload.version, *sequence)?;
        ensure!(contract.state == ContractState::Created, Refusal::AlreadyDeployed);
        T::Nodes::verify(*node, ReportKind::Failed, *sequence, payload, signature)?;
        Ok((valid_report("Contracts.failed", payload.contract), Weight::zero()))
    }

    pub(crate) fn authorize_usage(
        _source: TransactionSource,
        node: &NodeId,
        sequence: &u64,
        payload: &UsagePayload,
        signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        ensure!(!payload.is_empty(), Refusal::NoItems);
        let last = LastUsageReport::<T>::get(node);
        ensure!(*sequence > last.sequence, Refusal::SequenceOld);
        ensure!(last.sequence == 0 || is_due::<T>(last, T::UsageInterval::get() / 2), Refusal::TooSoon);
        T::Nodes::verify(*node, ReportKind::Usage, *sequence, payload, signature)?;
        Ok((valid_report("Contracts.usage", node), Weight::zero()))
    }

    /// The contract that a report is about, where this node may report on this version of it.
    fn reported_contract(
        node: NodeId,
        contract: ContractId,
        version: u32,
        sequence: u64,
    ) -> Result<Contract, Refusal> {
        let record = Contracts::<T>::get(contract).ok_or(Refusal::ContractUnknown)?;
        ensure!(record.node() == node, Refusal::ContractOfOtherNode);
        ensure!(record.version == version, Refusal::VersionMismatch);
        ensure!(sequence > record.last_report.sequence, Refusal::SequenceOld);
        Ok(record)
    }
}

fn is_due<T: Config>(last: ReportMark, interval_ms: u64) -> bool {
    T::Clock::grid_now().saturating_sub(last.at) >= interval_ms
}
