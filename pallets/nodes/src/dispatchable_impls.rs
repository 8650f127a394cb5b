// SPDX-License-Identifier: Apache-2.0
//! Implementations of the calls. Those of machines can't fail here: `authorize_impls` has checked everything.

use crate::*;
use frame_support::{
    defensive,
    pallet_prelude::*,
    traits::{fungible::MutateHold, tokens::Precision},
};
use tfgrid_primitives::{
    Balance, Deadline, FarmId, Features, NodeId, Registration, ReportKind, ReportMark, Resources, UsdRate,
    report::{DetailsPayload, HeartbeatPayload, PowerState},
    traits::{Agenda, BootTickets, Clock, FarmDirectory, FarmingPeriods, OnNodeRemoved},
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_register(registration: Registration) {
        let key = registration.node_key;
        let Ok(farm) = T::Farms::check(&registration.ticket, &key, T::Clock::unix_now()) else {
            defensive!("authorize_register has checked the ticket");
            return;
        };
        match NodeByKey::<T>::get(key) {
            Some(node) => Self::move_to(node, farm, registration),
            None => Self::join(farm, registration),
        }
    }

    fn join(farm: FarmId, registration: Registration) {
        let Some(node) = LastNodeId::<T>::get().checked_add(1) else {
            defensive!("authorize_register has checked that ids are left");
            return;
        };
        let Registration { ticket, node_key: key, peer_key, encryption_key, resources, isolation, .. } =
            registration;
        let deposit = Self::hold_deposit(farm, T::Farms::spend(&ticket, &key));
        LastNodeId::<T>::put(node);
        NodeByKey::<T>::insert(key, node);
        FarmNodes::<T>::insert(farm, node, ());
        let (certified, settings) = (None, FarmerSettings::default());
        Nodes::<T>::insert(
            node,
            Node { farm, key, peer_key, encryption_key, resources, isolation, certified, deposit, settings },
        );
        Self::watch(node);
        Self::deposit_event(Event::NodeRegistered { node, farm, key, deposit });
        T::Farming::joined(node);
    }

    /// Moves an empty node to another farm. The settings and descriptions of the old farmer are removed.
    fn move_to(node: NodeId, to: FarmId, registration: Registration) {
        let Some(mut record) = Nodes::<T>::get(node) else {
            defensive!("a key leads to a node that exists");
            return;
        };
        let Registration { ticket, node_key, peer_key, encryption_key, resources, isolation, .. } =
            registration;
        let from = record.farm;
        T::Farming::left(node);
        let released = T::Farms::farmer_account(from)
            .and_then(|account| Self::release_deposit(&account, record.deposit, Precision::BestEffort).ok())
            .unwrap_or(0);
        let deposit = Self::hold_deposit(to, T::Farms::spend(&ticket, &node_key));
        Self::disarm_drain(node, &record.settings);
        let lost = record.set_resources(resources);
        let settings = FarmerSettings::default();
        let moved = Node { farm: to, peer_key, encryption_key, isolation, deposit, settings, ..record };
        Nodes::<T>::insert(node, moved);
        FarmNodes::<T>::remove(from, node);
        FarmNodes::<T>::insert(to, node, ());
        Self::forget_descriptions(node);
        Self::wake(node);
        Self::deposit_event(Event::NodeMoved { node, from, to, released, deposit });
        Self::emit_if_certificate_lost(node, lost);
        T::Farming::joined(node);
    }

    pub(crate) fn do_heartbeat(node: NodeId, sequence: u64, payload: HeartbeatPayload) {
        let Some(last) = Heartbeats::<T>::get(node) else {
            defensive!("authorize_heartbeat has read the last heartbeat");
            return;
        };
        let (at, clock) = (T::Clock::grid_now(), T::Clock::price_now());
        let cloned = last.is_contradicted_by(payload.boot_nonce);
        Heartbeats::<T>::insert(node, last.at_moment(at, clock).of_boot(sequence, payload.boot_nonce));
        if cloned {
            Self::mark_cloned(node);
        } else {
            Self::on_heartbeat(node, &last);
        }
        T::Farming::heard(node);
    }

    pub(crate) fn do_report_details(node: NodeId, sequence: u64, payload: DetailsPayload) {
        let Some(mut record) = Nodes::<T>::get(node) else {
            defensive!("authorize_report_details has checked that the node exists");
            return;
        };
        let lost = record.set_resources(payload.resources);
        record.isolation = payload.isolation;
        Nodes::<T>::insert(node, record);
        Details::<T>::insert(node, MachineDetails::from(payload));
        Self::mark_report(node, ReportKind::Details, sequence);
        Self::deposit_event(Event::DetailsReported { node });
        Self::emit_if_certificate_lost(node, lost);
        T::Farming::changed(node);
    }

    pub(crate) fn do_report_power(node: NodeId, sequence: u64, state: PowerState) {
        Self::mark_report(node, ReportKind::Power, sequence);
        match state {
            PowerState::Up => Self::wake(node),
            PowerState::Standby => Self::sleep(node),
        }
    }

    pub(crate) fn do_remove(account: T::AccountId, node: NodeId) -> DispatchResult {
        let Node { farm, key, deposit, settings, .. } = Self::owned(&account, node)?;
        Self::ensure_empty(node)?;
        let released = Self::release_deposit(&account, deposit, Precision::Exact)?;
        T::Farming::left(node);
        T::OnRemoved::on_node_removed(node);
        Nodes::<T>::remove(node);
        NodeByKey::<T>::remove(key);
        FarmNodes::<T>::remove(farm, node);
        Reserved::<T>::remove(node);
        Heartbeats::<T>::remove(node);
        Uptime::<T>::remove(node);
        Self::forget_descriptions(node);
        LastReports::<T>::remove(node, ReportKind::Details);
        LastReports::<T>::remove(node, ReportKind::Power);
        NotDelivered::<T>::remove(node);
        Self::disarm_drain(node, &settings);
        Self::unwatch(node);
        Self::deposit_event(Event::NodeRemoved { node, farm, released });
        Ok(())
    }

    pub(crate) fn do_set_location(account: T::AccountId, node: NodeId, location: Location) -> DispatchResult {
        Self::owned(&account, node)?;
        ensure!(location.has_valid_coordinates(), Error::<T>::CoordinatesOutOfRange);
        ensure!(location.has_valid_country(), Error::<T>::CountryInvalid);
        ensure!(is_text(&location.city), Error::<T>::TextInvalid);
        Locations::<T>::insert(node, location);
        Self::deposit_event(Event::LocationSet { node });
        Ok(())
    }

    pub(crate) fn do_set_public_config(
        account: T::AccountId,
        node: NodeId,
        config: Option<PublicConfig>,
    ) -> DispatchResult {
        Self::owned(&account, node)?;
        if let Some(config) = &config {
            ensure!(config.has_valid_addresses(), Error::<T>::AddressInvalid);
            ensure!(config.has_valid_domain(), Error::<T>::DomainInvalid);
            ensure!(config.has_valid_ports(), Error::<T>::PortsInvalid);
        }
        PublicConfigs::<T>::set(node, config);
        Self::deposit_event(Event::PublicConfigSet { node });
        Ok(())
    }

    pub(crate) fn do_set_dedicated(account: T::AccountId, node: NodeId, dedicated: bool) -> DispatchResult {
        Self::change_settings(&account, node, |settings| settings.dedicated = dedicated)?;
        Self::deposit_event(Event::DedicatedSet { node, dedicated });
        Ok(())
    }

    pub(crate) fn do_set_extra_fee(account: T::AccountId, node: NodeId, fee: UsdRate) -> DispatchResult {
        ensure!(fee <= T::MaxExtraFee::get(), Error::<T>::ExtraFeeAboveMaximum);
        let now = T::Clock::grid_now();
        let notice = T::ExtraFeeNotice::get();
        let settings = Self::change_settings(&account, node, |settings| {
            settings.extra_fee = settings.extra_fee.change(fee, now, notice);
        })?;
        Self::deposit_event(Event::ExtraFeeSet { node, fee, from: settings.extra_fee.from });
        Ok(())
    }

    pub(crate) fn do_drain(account: T::AccountId, node: NodeId, drain: Drain) -> DispatchResult {
        let deadline = drain.deadline;
        let earliest = T::Clock::grid_now().saturating_add(T::DrainNotice::get());
        ensure!(deadline >= earliest, Error::<T>::DrainTooSoon);
        ensure!(is_text(&drain.reason), Error::<T>::TextInvalid);
        Self::change_settings(&account, node, |settings| {
            Self::disarm_drain(node, settings);
            settings.drain = Some(drain);
        })?;
        T::Agenda::arm(deadline, Deadline::Drain(node));
        Self::deposit_event(Event::DrainAnnounced { node, deadline });
        Ok(())
    }

    pub(crate) fn do_cancel_drain(account: T::AccountId, node: NodeId) -> DispatchResult {
        let record = Self::owned(&account, node)?;
        ensure!(record.settings.drain.is_some(), Error::<T>::NotDraining);
        Self::change_settings(&account, node, |settings| {
            Self::disarm_drain(node, settings);
            settings.drain = None;
        })?;
        Self::deposit_event(Event::DrainCancelled { node });
        Ok(())
    }

    pub(crate) fn do_set_power_target(
        account: T::AccountId,
        node: NodeId,
        target: PowerState,
    ) -> DispatchResult {
        Self::change_settings(&account, node, |settings| settings.power_target = target)?;
        if target == PowerState::Standby {
            let serves_it = |details: MachineDetails| details.features.contains(Features::POWER);
            ensure!(Details::<T>::get(node).is_some_and(serves_it), Error::<T>::PowerNotServed);
            Self::ensure_empty(node)?;
        }
        Self::deposit_event(Event::PowerTargetSet { node, target });
        Ok(())
    }

    pub(crate) fn do_clear_clone(account: T::AccountId, node: NodeId) -> DispatchResult {
        Self::owned(&account, node)?;
        ensure!(Self::unmark_cloned(node), Error::<T>::NotCloned);
        Self::deposit_event(Event::CloneCleared { node });
        Ok(())
    }

    pub(crate) fn do_certify(node: NodeId, seen: Option<Resources>) -> DispatchResult {
        Nodes::<T>::try_mutate(node, |record| {
            let record = record.as_mut().ok_or(Error::<T>::UnknownNode)?;
            ensure!(seen.is_none_or(|seen| record.offers(&seen)), Error::<T>::OffersOtherThanSeen);
            record.certified = seen;
            Ok::<_, Error<T>>(())
        })?;
        let certified = seen.is_some();
        Self::deposit_event(Event::CertificationChanged { node, certified });
        T::Farming::changed(node);
        Ok(())
    }

    /// The node, if the caller is its farmer.
    fn owned(account: &T::AccountId, node: NodeId) -> Result<Node, Error<T>> {
        let record = Nodes::<T>::get(node).ok_or(Error::<T>::UnknownNode)?;
        let farmer = T::Farms::farmer_account(record.farm);
        ensure!(farmer.as_ref() == Some(account), Error::<T>::NotFarmer);
        Ok(record)
    }

    fn change_settings(
        account: &T::AccountId,
        node: NodeId,
        change: impl FnOnce(&mut FarmerSettings),
    ) -> Result<FarmerSettings, Error<T>> {
        let mut record = Self::owned(account, node)?;
        change(&mut record.settings);
        Nodes::<T>::insert(node, &record);
        Ok(record.settings)
    }

    fn ensure_empty(node: NodeId) -> Result<(), Error<T>> {
        ensure!(Reserved::<T>::get(node).contracts == 0, Error::<T>::NodeInUse);
        Ok(())
    }

    fn disarm_drain(node: NodeId, settings: &FarmerSettings) {
        if let Some(drain) = &settings.drain {
            T::Agenda::disarm(drain.deadline, Deadline::Drain(node));
        }
    }

    /// Removes the descriptions of a node by its machine and its farmer.
    fn forget_descriptions(node: NodeId) {
        Details::<T>::remove(node);
        Locations::<T>::remove(node);
        PublicConfigs::<T>::remove(node);
    }

    fn mark_report(node: NodeId, kind: ReportKind, sequence: u64) {
        LastReports::<T>::insert(node, kind, ReportMark { sequence, at: T::Clock::grid_now() });
    }

    fn emit_if_certificate_lost(node: NodeId, lost: bool) {
        if lost {
            Self::deposit_event(Event::CertificationChanged { node, certified: false });
        }
    }

    /// Holds what the ticket has freed as the node's deposit. If that fails, though the account has the
    /// amount, the machine joins without a deposit: its ticket is spent already.
    fn hold_deposit(farm: FarmId, freed: Balance) -> Balance {
        T::Farms::farmer_account(farm)
            .and_then(|account| T::Currency::hold(&HoldReason::Node.into(), &account, freed).ok())
            .map_or(0, |()| freed)
    }

    fn release_deposit(
        account: &T::AccountId,
        deposit: Balance,
        precision: Precision,
    ) -> Result<Balance, DispatchError> {
        T::Currency::release(&HoldReason::Node.into(), account, deposit, precision)
    }
}
