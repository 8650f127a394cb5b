// SPDX-License-Identifier: Apache-2.0
//! Authorisation of the calls of machines. Checks every reason to refuse a call, cheapest first and
//! signatures last, so that a refused call never enters a block and dispatch can't fail.

use crate::*;
use frame_support::pallet_prelude::*;
use frame_system::pallet_prelude::BlockNumberFor;
use sp_core::H256;
use sp_io::crypto::ed25519_verify;
use tfgrid_primitives::{
    FarmId, GridMillis, KeySignature, NodeId, Refusal, Registration, ReportKind, ReportMark, Resources,
    report::{
        DetailsPayload, HEARTBEAT_PRIORITY, HeartbeatPayload, PowerPayload, PowerState, report_bytes,
        valid_report,
    },
    text::is_printable,
    ticket::MAX_REGISTRATION_SECONDS,
    traits::{BootTickets, Clock, NodeReports},
};

/// How many registrations of one ticket the pool holds at most.
const POOL_SLOTS: u8 = 16;

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
        ensure!(ed25519_verify(signature, &bytes, &key.into()), Refusal::NodeSignatureWrong);
        Ok(())
    }
}

/// Hash of the first block: a signature for one chain is invalid on every other.
pub(crate) fn genesis<T: Config>() -> H256 {
    frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::from(0u32))
}

impl<T: Config> Pallet<T> {
    pub(crate) fn authorize_register(
        _source: TransactionSource,
        registration: &Registration,
        ticket_signature: &KeySignature,
        node_signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        Self::check_registration(registration, ticket_signature, node_signature)?;
        // Sixteen machines of a rack may register at once; more of a ticket's keys don't fill the pool.
        let [first, ..] = registration.node_key;
        let valid = valid_report("Nodes.register", (registration.ticket, first % POOL_SLOTS));
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
        let farm = T::Farms::check(&registration.ticket, &registration.node_key, now)?;
        match NodeByKey::<T>::get(registration.node_key) {
            Some(node) => Self::check_move(node, farm)?,
            None => ensure!(LastNodeId::<T>::get() < NodeId::MAX, Refusal::IdsExhausted),
        }

        let bytes = registration.signing_bytes(genesis::<T>());
        let signed = |signature, key: [u8; 32]| ed25519_verify(signature, &bytes, &key.into());
        ensure!(signed(ticket_signature, registration.ticket), Refusal::TicketSignatureWrong);
        ensure!(signed(node_signature, registration.node_key), Refusal::NodeSignatureWrong);
        Ok(())
    }

    /// Refuses to move a node that has contracts or belongs to the farm already.
    fn check_move(node: NodeId, to: FarmId) -> Result<(), Refusal> {
        let from = Nodes::<T>::get(node).ok_or(Refusal::NodeUnknown)?.farm;
        ensure!(from != to, Refusal::SameFarm);
        ensure!(Reserved::<T>::get(node).contracts == 0, Refusal::NotEmpty);
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
        ensure_turn::<T>(last.mark(), *sequence, half_an_interval::<T>())?;
        Self::verify(*node, ReportKind::Heartbeat, *sequence, payload, signature)?;
        let valid =
            ValidTransaction { priority: HEARTBEAT_PRIORITY, ..valid_report("Nodes.heartbeat", node) };
        Ok((valid, Weight::zero()))
    }

    pub(crate) fn authorize_report_details(
        _source: TransactionSource,
        node: &NodeId,
        sequence: &u64,
        payload: &DetailsPayload,
        signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        let texts = [&payload.serial[..], &payload.peer_addresses[..], &payload.version[..]];
        ensure!(texts.into_iter().all(is_printable), Refusal::NotPrintable);
        ensure!(payload.gpus.len() as u64 == payload.resources.gpu, Refusal::GpusMiscounted);
        ensure!(is_offerable::<T>(&payload.resources), Refusal::CapacityOutOfRange);
        let kind = ReportKind::Details;
        Self::check_turn(*node, kind, *sequence, T::HeartbeatInterval::get())?;
        let least = Reserved::<T>::get(node).least();
        ensure!(least.fits_in(&payload.resources), Refusal::BelowReserved);
        Self::verify(*node, kind, *sequence, payload, signature)?;
        Ok((valid_report("Nodes.report_details", node), Weight::zero()))
    }

    pub(crate) fn authorize_report_power(
        _source: TransactionSource,
        node: &NodeId,
        sequence: &u64,
        payload: &PowerPayload,
        signature: &KeySignature,
    ) -> TransactionValidityWithRefund {
        let kind = ReportKind::Power;
        Self::check_turn(*node, kind, *sequence, half_an_interval::<T>())?;
        ensure!(Self::may_change_power(*node, payload.state), Refusal::PowerRefused);
        Self::verify(*node, kind, *sequence, payload, signature)?;
        Ok((valid_report("Nodes.report_power", node), Weight::zero()))
    }

    /// Only a node that is online and empty may sleep: an outage doesn't end by sleep.
    fn may_change_power(node: NodeId, state: PowerState) -> bool {
        let Some(live) = LivenessOf::<T>::get(node) else { return false };
        match state {
            PowerState::Up => matches!(live.state, LiveState::Standby { .. }),
            PowerState::Standby => {
                let requested = Nodes::<T>::get(node).is_some_and(|node| node.settings.power_target == state);
                let online = live.is_online();
                requested && online && Reserved::<T>::get(node).contracts == 0
            }
        }
    }

    /// Refuses a report of a kind in [`LastReports`] from an unknown node, with an old sequence or too soon.
    fn check_turn(
        node: NodeId,
        kind: ReportKind,
        sequence: u64,
        interval: GridMillis,
    ) -> Result<(), Refusal> {
        ensure!(Nodes::<T>::contains_key(node), Refusal::NodeUnknown);
        LastReports::<T>::get(node, kind).map_or(Ok(()), |mark| ensure_turn::<T>(mark, sequence, interval))
    }
}

/// Least time between two heartbeats. Less than the interval at which nodes send them: a late heartbeat
/// doesn't delay the next one.
fn half_an_interval<T: Config>() -> GridMillis {
    T::HeartbeatInterval::get() / 2
}

/// Refuses a report with an old sequence, or less than `interval` after the last one of its kind.
fn ensure_turn<T: Config>(last: ReportMark, sequence: u64, interval: GridMillis) -> Result<(), Refusal> {
    last.ensure_newer(sequence)?;
    last.ensure_due(T::Clock::grid_now(), interval)
}

/// Whether a node may offer this capacity: some cores and memory, at most `MaxResources`.
fn is_offerable<T: Config>(resources: &Resources) -> bool {
    let has_something = resources.cru > 0 && resources.mru > 0;
    has_something && resources.fits_in(&T::MaxResources::get())
}
