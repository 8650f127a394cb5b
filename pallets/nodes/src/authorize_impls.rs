// SPDX-License-Identifier: Apache-2.0
//! Whether a machine may do what it asks for. Every reason to refuse is found here, cheapest first and
//! the signatures last, so that a refused call never enters a block and dispatch can't fail.

use crate::*;
use frame_support::pallet_prelude::*;
use frame_system::pallet_prelude::BlockNumberFor;
use sp_core::H256;
use sp_io::crypto::ed25519_verify;
use tfgrid_primitives::{
    report::{report_bytes, valid_report, HeartbeatPayload},
    ticket::MAX_REGISTRATION_SECONDS,
    traits::{BootTickets, Clock, NodeReports},
    KeySignature, NodeId, Refusal, Registration, ReportKind, Resources,
};

impl<T: Config> NodeReports for Pallet<T> {
    fn verify(
        node: NodeId,
        kind: ReportKind,
        sequence: u64,
        payload: &impl Encode,
        signature: &KeySignature,
    ) -> Result<(), Refusal> {
        let key = Nodes::<T>::get(node).ok_or(Refusal::NodeUnknown)?.key;
        let bytes = report_bytes(genesis::<T>(), node, kind, sequence, payload);
        let valid = ed25519_verify(signature, &bytes, &key.into());
        valid.then_some(()).ok_or(Refusal::NodeSignatureWrong)
    }
}

fn genesis<T: Config>() -> H256 {
    let hash = frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::from(0u32));
    H256::from_slice(&hash.as_ref()[..32])
}

impl<T: Config> Pallet<T> {
    pub(crate) fn authorize_register(
        _source: TransactionSource,
        registration: &Registration,
        ticket_signature: &KeySignature,
        node_signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        Self::check_registration(registration, ticket_signature, node_signature)?;
        let valid = valid_report("Nodes.register", registration.node_key);
        Ok((valid, Weight::zero()))
    }

    fn check_registration(
        registration: &Registration,
        ticket_signature: &KeySignature,
        node_signature: &KeySignature,
    ) -> Result<(), Refusal> {
        let now = T::Clock::unix_now();
        let in_time =
            (now..=now.saturating_add(MAX_REGISTRATION_SECONDS)).contains(&registration.valid_until);
        ensure!(in_time, Refusal::ValidityOutOfRange);
        ensure!(is_offerable::<T>(&registration.resources), Refusal::CapacityOutOfRange);
        ensure!(!NodeByKey::<T>::contains_key(registration.node_key), Refusal::KeyTaken);
        T::Farms::check(&registration.ticket, &registration.node_key, now)?;

        let bytes = registration.signing_bytes(genesis::<T>());
        let signed = |signature, key: [u8; 32]| ed25519_verify(signature, &bytes, &key.into());
        ensure!(signed(ticket_signature, registration.ticket), Refusal::TicketSignatureWrong);
        ensure!(signed(node_signature, registration.node_key), Refusal::NodeSignatureWrong);
        Ok(())
    }

    pub(crate) fn authorize_heartbeat(
        _source: TransactionSource,
        node: &NodeId,
        sequence: &u64,
        payload: &HeartbeatPayload,
        signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        let last = Heartbeats::<T>::get(node).ok_or(Refusal::NodeUnknown)?;
        ensure!(*sequence > last.sequence, Refusal::SequenceOld);
        let since = T::Clock::grid_now().saturating_sub(last.at);
        ensure!(since >= T::HeartbeatInterval::get() / 2, Refusal::TooSoon);
        Self::verify(*node, ReportKind::Heartbeat, *sequence, payload, signature)?;
        Ok((valid_report("Nodes.heartbeat", node), Weight::zero()))
    }
}

fn is_offerable<T: Config>(resources: &Resources) -> bool {
    let has_something = resources.cru > 0 && resources.mru > 0;
    has_something && resources.fits_in(&T::MaxResources::get())
}
