// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, their checks and the deadlines, each in its worst case. What farming does in its
//! hooks has weights of its own.

use crate::{
    authorize_impls::genesis,
    public_config::{Interface, MAX_DOMAIN, Ports},
    *,
};
use alloc::vec::Vec;
use codec::Encode;
use frame_benchmarking::v2::*;
use frame_support::{
    BoundedVec,
    traits::{EnsureOrigin, Get},
};
use frame_system::RawOrigin;
use sp_runtime::transaction_validity::TransactionSource::External;
use tfgrid_primitives::{
    Deadline, FarmId, Features, GridMillis, Isolation, KeySignature, NodeId, PublicKey, Registration,
    ReportKind, Resources,
    report::{
        DetailsPayload, Gpu, HeartbeatPayload, MAX_GPUS, MAX_PEER_ADDRESSES_BYTES, MAX_SERIAL_BYTES,
        MAX_VERSION_BYTES, PowerPayload, PowerState, report_bytes,
    },
    traits::{Clock, NodeDirectory, ServeDeadlines},
    units::GIB,
};

/// Creates what the benchmarks need in other pallets.
pub trait BenchmarkHelper<AccountId> {
    /// Creates a farm; returns the account of its farmer, which can pay all deposits, and its id.
    fn farm() -> (AccountId, FarmId);
    /// Opens a ticket for one node of the farm.
    fn open_ticket(farm: FarmId, ticket: PublicKey);
    /// Advances grid time and calendar; no deadline is served.
    fn pass(ms: GridMillis);
    /// Public half of ed25519 key `n`.
    fn key(n: u8) -> PublicKey;
    /// Signs `bytes` with that key.
    fn sign(n: u8, bytes: &[u8]) -> KeySignature;
}

const TICKET: u8 = 1;
const OTHER_TICKET: u8 = 2;
const NODE: u8 = 3;

type Helper<T> = <T as Config>::BenchmarkHelper;

fn capacity() -> Resources {
    Resources { cru: 32, mru: 128 * GIB, sru: 2_048 * GIB, hru: 0, gpu: 0 }
}

/// A registration of the node key with an open ticket of the farm, and both signatures.
fn registration<T: Config>(farm: FarmId, ticket: u8) -> (Registration, KeySignature, KeySignature) {
    let registration = Registration {
        ticket: Helper::<T>::key(ticket),
        node_key: Helper::<T>::key(NODE),
        peer_key: [4; 32],
        encryption_key: [5; 32],
        resources: capacity(),
        isolation: Isolation::Vm,
        valid_until: T::Clock::unix_now().saturating_add(60),
    };
    Helper::<T>::open_ticket(farm, registration.ticket);
    let bytes = registration.signing_bytes(genesis::<T>());
    (registration, Helper::<T>::sign(ticket, &bytes), Helper::<T>::sign(NODE, &bytes))
}

/// A node that has joined, and its farmer.
fn with_node<T: Config>() -> Result<(T::AccountId, NodeId), BenchmarkError> {
    let (farmer, farm) = Helper::<T>::farm();
    let (registration, ticket_signature, node_signature) = registration::<T>(farm, TICKET);
    Pallet::<T>::register(RawOrigin::None.into(), registration, ticket_signature, node_signature)?;
    let node = LastNodeId::<T>::get();
    Details::<T>::insert(node, MachineDetails::from(details(most_gpus())));
    Ok((farmer, node))
}

fn resources_of<T: Config>(node: NodeId) -> Option<Resources> {
    Nodes::<T>::get(node).map(|node| node.resources)
}

/// A draining, certified node with all records.
fn with_full_node<T: Config>() -> Result<(T::AccountId, NodeId), BenchmarkError> {
    let (farmer, node) = with_node::<T>()?;
    let signed = || RawOrigin::Signed(farmer.clone()).into();
    Pallet::<T>::set_location(signed(), node, location())?;
    Pallet::<T>::set_public_config(signed(), node, Some(public_config()))?;
    Pallet::<T>::drain(signed(), node, earliest_drain::<T>(), longest_reason())?;
    Pallet::<T>::do_certify(node, resources_of::<T>(node))?;
    Pallet::<T>::do_report_details(node, 1, details(capacity()));
    Pallet::<T>::do_report_power(node, 1, PowerState::Up);
    Pallet::<T>::count_not_delivered(node, 1);
    beat::<T>(node, 1, 1);
    Ok((farmer, node))
}

/// Lets an interval pass and sends a heartbeat.
fn beat<T: Config>(node: NodeId, sequence: u64, boot_nonce: u64) {
    Helper::<T>::pass(T::HeartbeatInterval::get());
    Pallet::<T>::do_heartbeat(node, sequence, HeartbeatPayload { boot_nonce });
}

/// A node whose key two machines use.
fn with_clone<T: Config>() -> Result<(T::AccountId, NodeId), BenchmarkError> {
    let (farmer, node) = with_node::<T>()?;
    for (sequence, nonce) in [(1, 1), (2, 2), (3, 1)] {
        beat::<T>(node, sequence, nonce);
    }
    Ok((farmer, node))
}

/// A node that sleeps, as its farmer has asked.
fn with_sleeper<T: Config>() -> Result<NodeId, BenchmarkError> {
    let (farmer, node) = with_node::<T>()?;
    Pallet::<T>::set_power_target(RawOrigin::Signed(farmer).into(), node, PowerState::Standby)?;
    Pallet::<T>::do_report_power(node, 1, PowerState::Standby);
    Helper::<T>::pass(T::HeartbeatInterval::get());
    Ok(node)
}

fn signature<T: Config>(
    node: NodeId,
    kind: ReportKind,
    sequence: u64,
    payload: &impl Encode,
) -> KeySignature {
    Helper::<T>::sign(NODE, &report_bytes(genesis::<T>(), node, kind, sequence, payload))
}

/// The most GPUs.
fn details(resources: Resources) -> DetailsPayload {
    let gpus: Vec<_> = (0..resources.gpu).map(|_| Gpu::default()).collect();
    DetailsPayload {
        resources,
        isolation: Isolation::Vm,
        serial: BoundedVec::truncate_from((0..MAX_SERIAL_BYTES).map(|_| b'S').collect()),
        virtualized: false,
        secure_boot: true,
        gpus: BoundedVec::truncate_from(gpus),
        bytes_per_second: u64::MAX,
        features: Features::ALL,
        peer_addresses: BoundedVec::truncate_from((0..MAX_PEER_ADDRESSES_BYTES).map(|_| b'a').collect()),
        version: BoundedVec::truncate_from((0..MAX_VERSION_BYTES).map(|_| b'v').collect()),
    }
}

fn most_gpus() -> Resources {
    Resources { gpu: MAX_GPUS.into(), ..capacity() }
}

fn location() -> Location {
    let city = BoundedVec::truncate_from((0..MAX_CITY_BYTES).map(|_| b'x').collect());
    Location { latitude: -90_000_000, longitude: 180_000_000, country: *b"BE", city }
}

fn public_config() -> PublicConfig {
    let mut ipv6 = Interface { address: [0x2a; 16], prefix: 64, gateway: [0x2a; 16] };
    ipv6.gateway[15] = 1;
    let domain = (0..MAX_DOMAIN).map(|at| if at % 50 == 49 { b'.' } else { b'a' }).collect();
    PublicConfig {
        ipv4: Some(Interface { address: [185, 69, 166, 10], prefix: 24, gateway: [185, 69, 166, 1] }),
        ipv6: Some(ipv6),
        domain: Some(BoundedVec::truncate_from(domain)),
        wireguard_ports: Some(Ports { first: 1, last: u16::MAX }),
    }
}

fn longest_reason() -> DrainReason {
    BoundedVec::truncate_from((0..MAX_REASON_BYTES).map(|_| b'x').collect())
}

fn earliest_drain<T: Config>() -> GridMillis {
    T::Clock::grid_now().saturating_add(T::DrainNotice::get())
}

#[benchmarks]
mod benchmarks {
    use super::*;

    /// Worst case: a node with all records moves to another farm.
    #[benchmark]
    fn register() -> Result<(), BenchmarkError> {
        let (_, node) = with_full_node::<T>()?;
        let (_, to) = Helper::<T>::farm();
        let (registration, ticket_signature, node_signature) = registration::<T>(to, OTHER_TICKET);
        #[extrinsic_call]
        _(RawOrigin::None, registration, ticket_signature, node_signature);
        assert_eq!(Nodes::<T>::get(node).map(|node| node.farm), Some(to));
        Ok(())
    }

    /// Worst case: a registered node that moves to another farm.
    #[benchmark]
    fn authorize_register() -> Result<(), BenchmarkError> {
        with_full_node::<T>()?;
        let (_, to) = Helper::<T>::farm();
        let (registration, ticket_signature, node_signature) = registration::<T>(to, OTHER_TICKET);
        let valid;
        #[block]
        {
            valid =
                Pallet::<T>::authorize_register(External, &registration, &ticket_signature, &node_signature);
        }
        assert!(valid.is_ok());
        Ok(())
    }

    /// Worst case: it ends a silence that the agenda hasn't noticed yet.
    #[benchmark]
    fn heartbeat() -> Result<(), BenchmarkError> {
        let (_, node) = with_node::<T>()?;
        Helper::<T>::pass(T::HeartbeatInterval::get().saturating_mul(4));
        assert!(Pallet::<T>::is_online(node));
        let payload = HeartbeatPayload { boot_nonce: 1 };
        let signature = signature::<T>(node, ReportKind::Heartbeat, 1, &payload);
        #[extrinsic_call]
        _(RawOrigin::None, node, 1, payload, signature);
        assert!(!Pallet::<T>::is_online(node));
        Ok(())
    }

    #[benchmark]
    fn authorize_heartbeat() -> Result<(), BenchmarkError> {
        let (_, node) = with_node::<T>()?;
        Helper::<T>::pass(T::HeartbeatInterval::get());
        let payload = HeartbeatPayload { boot_nonce: 1 };
        let signature = signature::<T>(node, ReportKind::Heartbeat, 1, &payload);
        let valid;
        #[block]
        {
            valid = Pallet::<T>::authorize_heartbeat(External, &node, &1, &payload, &signature);
        }
        assert!(valid.is_ok());
        Ok(())
    }

    /// Worst case: a draining node with all records.
    #[benchmark]
    fn remove() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_full_node::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node);
        assert!(!Nodes::<T>::contains_key(node));
        Ok(())
    }

    /// Worst case: the most GPUs, and the certificate is lost.
    #[benchmark]
    fn report_details() -> Result<(), BenchmarkError> {
        let (_, node) = with_full_node::<T>()?;
        let payload = details(most_gpus());
        let signature = signature::<T>(node, ReportKind::Details, 2, &payload);
        #[extrinsic_call]
        _(RawOrigin::None, node, 2, payload, signature);
        assert!(Nodes::<T>::get(node).is_some_and(|node| node.certified.is_none()));
        Ok(())
    }

    /// Worst case: the most GPUs.
    #[benchmark]
    fn authorize_report_details() -> Result<(), BenchmarkError> {
        let (_, node) = with_full_node::<T>()?;
        let payload = details(most_gpus());
        let signature = signature::<T>(node, ReportKind::Details, 2, &payload);
        let valid;
        #[block]
        {
            valid = Pallet::<T>::authorize_report_details(External, &node, &2, &payload, &signature);
        }
        assert!(valid.is_ok());
        Ok(())
    }

    /// Worst case: the node wakes up.
    #[benchmark]
    fn report_power() -> Result<(), BenchmarkError> {
        let node = with_sleeper::<T>()?;
        let payload = PowerPayload { state: PowerState::Up };
        let signature = signature::<T>(node, ReportKind::Power, 2, &payload);
        #[extrinsic_call]
        _(RawOrigin::None, node, 2, payload, signature);
        assert!(Pallet::<T>::is_online(node));
        Ok(())
    }

    /// Worst case: the node falls asleep.
    #[benchmark]
    fn authorize_report_power() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_node::<T>()?;
        let state = PowerState::Standby;
        Pallet::<T>::set_power_target(RawOrigin::Signed(farmer).into(), node, state)?;
        let payload = PowerPayload { state };
        let signature = signature::<T>(node, ReportKind::Power, 1, &payload);
        let valid;
        #[block]
        {
            valid = Pallet::<T>::authorize_report_power(External, &node, &1, &payload, &signature);
        }
        assert!(valid.is_ok());
        Ok(())
    }

    #[benchmark]
    fn set_location() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_node::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node, location());
        assert!(Locations::<T>::contains_key(node));
        Ok(())
    }

    /// Worst case: all fields are set, with the longest domain.
    #[benchmark]
    fn set_public_config() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_node::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node, Some(public_config()));
        assert!(PublicConfigs::<T>::contains_key(node));
        Ok(())
    }

    #[benchmark]
    fn set_dedicated() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_node::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node, true);
        assert!(Nodes::<T>::get(node).is_some_and(|node| node.settings.dedicated));
        Ok(())
    }

    #[benchmark]
    fn set_extra_fee() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_node::<T>()?;
        let fee = T::MaxExtraFee::get();
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node, fee);
        assert!(Nodes::<T>::get(node).is_some_and(|node| node.settings.extra_fee.next == fee));
        Ok(())
    }

    /// Worst case: the deadline is moved.
    #[benchmark]
    fn drain() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_full_node::<T>()?;
        let deadline = earliest_drain::<T>();
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node, deadline, longest_reason());
        let announced = Nodes::<T>::get(node).and_then(|node| node.settings.drain);
        assert_eq!(announced.map(|announced| announced.deadline), Some(deadline));
        Ok(())
    }

    #[benchmark]
    fn cancel_drain() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_full_node::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node);
        assert!(Nodes::<T>::get(node).is_some_and(|node| node.settings.drain.is_none()));
        Ok(())
    }

    #[benchmark]
    fn set_power_target() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_node::<T>()?;
        let target = PowerState::Standby;
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node, target);
        assert!(Nodes::<T>::get(node).is_some_and(|node| node.settings.power_target == target));
        Ok(())
    }

    #[benchmark]
    fn clear_clone() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_clone::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node);
        assert!(!Pallet::<T>::unmark_cloned(node));
        Ok(())
    }

    #[benchmark]
    fn certify() -> Result<(), BenchmarkError> {
        let (_, node) = with_node::<T>()?;
        let seen = resources_of::<T>(node);
        let origin = T::CertifierOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, node, seen);
        assert!(Nodes::<T>::get(node).is_some_and(|node| node.certified.is_some()));
        Ok(())
    }

    /// Worst case: the node goes offline.
    #[benchmark]
    fn serve_silence() -> Result<(), BenchmarkError> {
        let (_, node) = with_full_node::<T>()?;
        Helper::<T>::pass(T::HeartbeatInterval::get().saturating_mul(4));
        let now = T::Clock::grid_now();
        #[block]
        {
            Pallet::<T>::serve(Deadline::Silence(node), now);
        }
        assert!(!Pallet::<T>::is_online(node));
        Ok(())
    }

    /// Worst case: the drain is over.
    #[benchmark]
    fn serve_drain() -> Result<(), BenchmarkError> {
        let (_, node) = with_full_node::<T>()?;
        Helper::<T>::pass(T::DrainNotice::get());
        let now = T::Clock::grid_now();
        let due;
        #[block]
        {
            due = Pallet::<T>::serve(Deadline::Drain(node), now);
        }
        assert_eq!(due, None);
        Ok(())
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::chain().build(), crate::mock::Test);
}
