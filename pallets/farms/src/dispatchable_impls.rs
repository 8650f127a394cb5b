// SPDX-License-Identifier: Apache-2.0
//! Implementations of the calls about farms and boot tickets.

use crate::{
    name::{checked_name, skeleton},
    *,
};
use alloc::vec::Vec;
use frame_support::{
    pallet_prelude::*,
    traits::{fungible::MutateHold, tokens::Precision},
};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_core::H256;
use sp_io::crypto::ed25519_verify;
use sp_runtime::traits::Zero;
use tfgrid_primitives::{
    FarmId, PublicKey,
    count::count_down,
    ticket::opening_bytes,
    traits::{Clock, FarmInUse, TwinDirectory},
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_create(account: T::AccountId, name: Vec<u8>) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        let name = checked_name(name).ok_or(Error::<T>::NameInvalid)?;
        let key = skeleton(&name);
        ensure!(!FarmByName::<T>::contains_key(&key), Error::<T>::NameTaken);

        let farm = Self::next_id()?;
        let deposit = T::FarmDeposit::get();
        T::Currency::hold(&HoldReason::Farm.into(), &account, deposit)?;
        FarmByName::<T>::insert(key, farm);
        FarmCount::<T>::mutate(twin, |count| *count = count.saturating_add(1));
        let (dedicated, certification) = (false, Certification::default());
        Farms::<T>::insert(farm, Farm { twin, name, dedicated, certification, deposit });
        Self::deposit_event(Event::FarmCreated { farm, twin, deposit });
        Ok(())
    }

    pub(crate) fn do_update(account: T::AccountId, farm: FarmId, name: Vec<u8>) -> DispatchResult {
        let record = Self::own_farm(&account, farm)?;
        let name = checked_name(name).ok_or(Error::<T>::NameInvalid)?;
        let (old, new) = (skeleton(&record.name), skeleton(&name));
        let owner = FarmByName::<T>::get(&new);
        ensure!(owner.is_none_or(|owner| owner == farm), Error::<T>::NameTaken);

        FarmByName::<T>::remove(old);
        FarmByName::<T>::insert(new, farm);
        Farms::<T>::insert(farm, Farm { name, ..record });
        Self::deposit_event(Event::FarmRenamed { farm });
        Ok(())
    }

    pub(crate) fn do_set_dedicated(account: T::AccountId, farm: FarmId, dedicated: bool) -> DispatchResult {
        let record = Self::own_farm(&account, farm)?;
        Farms::<T>::insert(farm, Farm { dedicated, ..record });
        Self::deposit_event(Event::FarmDedicated { farm, dedicated });
        Ok(())
    }

    pub(crate) fn do_set_certification(farm: FarmId, certification: Certification) -> DispatchResult {
        let record = Farms::<T>::get(farm).ok_or(Error::<T>::UnknownFarm)?;
        Farms::<T>::insert(farm, Farm { certification, ..record });
        Self::deposit_event(Event::FarmCertified { farm, certification });
        Ok(())
    }

    pub(crate) fn do_remove(account: T::AccountId, farm: FarmId) -> DispatchResult {
        let Farm { twin, name, deposit: released, .. } = Self::own_farm(&account, farm)?;
        ensure!(!T::Use::has_nodes(farm), Error::<T>::FarmHasNodes);
        ensure!(!T::Use::has_earnings(farm), Error::<T>::FarmHasEarnings);
        ensure!(FarmIpCount::<T>::get(farm) == 0, Error::<T>::FarmHasIps);
        ensure!(OpenTicketCount::<T>::get(farm) == 0, Error::<T>::FarmHasOpenTickets);

        T::Currency::release(&HoldReason::Farm.into(), &account, released, Precision::Exact)?;
        FarmByName::<T>::remove(skeleton(&name));
        FarmCount::<T>::mutate_exists(twin, count_down);
        Farms::<T>::remove(farm);
        Self::deposit_event(Event::FarmRemoved { farm, released });
        Ok(())
    }

    pub(crate) fn do_open_ticket(
        account: T::AccountId,
        farm: FarmId,
        request: TicketRequest,
    ) -> DispatchResult {
        let TicketRequest { ticket, nodes, expires, proof } = request;
        Self::own_farm(&account, farm)?;
        ensure!((1..=MAX_TICKET_NODES).contains(&nodes), Error::<T>::NodeCountOutOfRange);
        let now = T::Clock::unix_now();
        let latest = now.saturating_add(MAX_TICKET_SECONDS);
        ensure!(expires > now && expires <= latest, Error::<T>::ExpiryOutOfRange);
        ensure!(!Tickets::<T>::contains_key(ticket), Error::<T>::TicketExists);
        let bytes = opening_bytes(Self::genesis(), farm);
        ensure!(ed25519_verify(&proof, &bytes, &ticket.into()), Error::<T>::TicketProofWrong);

        let record = Ticket {
            farm,
            nodes_left: nodes,
            expires,
            closed: false,
            deposit_per_node: T::NodeDeposit::get(),
        };
        let deposit = record.deposit();
        T::Currency::hold(&HoldReason::BootTicket.into(), &account, deposit)?;
        Tickets::<T>::insert(ticket, record);
        OpenTicketCount::<T>::mutate(farm, |count| *count = count.saturating_add(1));
        Self::deposit_event(Event::TicketOpened { farm, ticket, nodes, expires, deposit });
        Ok(())
    }

    /// Hash of the first block: a signature for one chain is invalid on every other.
    pub(crate) fn genesis() -> H256 {
        frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::zero())
    }

    pub(crate) fn do_close_ticket(account: T::AccountId, ticket: PublicKey) -> DispatchResult {
        let record = Tickets::<T>::get(ticket).ok_or(Error::<T>::UnknownTicket)?;
        let farm = record.farm;
        let forget = record.is_forgettable(T::Clock::unix_now());
        if record.closed {
            // Nothing is held for it and its farm may be removed: anybody may delete the record.
            ensure!(forget, Error::<T>::TicketAlreadyClosed);
            Self::forget_ticket(ticket);
            Self::deposit_event(Event::TicketForgotten { farm, ticket });
            return Ok(());
        }
        Self::own_farm(&account, farm)?;
        let released = record.deposit();
        T::Currency::release(&HoldReason::BootTicket.into(), &account, released, Precision::Exact)?;
        OpenTicketCount::<T>::mutate_exists(farm, count_down);
        if forget {
            Self::forget_ticket(ticket);
        } else {
            Tickets::<T>::insert(ticket, Ticket { closed: true, nodes_left: 0, ..record });
        }
        Self::deposit_event(Event::TicketClosed { farm, ticket, released });
        Ok(())
    }

    fn forget_ticket(ticket: PublicKey) {
        Tickets::<T>::remove(ticket);
        // A ticket admits no more node keys than that: all are deleted.
        let _ = Admitted::<T>::clear_prefix(ticket, MAX_TICKET_NODES, None);
    }

    /// The farm, if the caller is its farmer.
    pub(crate) fn own_farm(account: &T::AccountId, farm: FarmId) -> Result<Farm, Error<T>> {
        let twin = T::Twins::twin_of(account).ok_or(Error::<T>::NoTwin)?;
        let record = Farms::<T>::get(farm).ok_or(Error::<T>::UnknownFarm)?;
        ensure!(record.twin == twin, Error::<T>::NotFarmer);
        Ok(record)
    }

    fn next_id() -> Result<FarmId, Error<T>> {
        LastFarmId::<T>::try_mutate(|last| {
            *last = last.checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
            Ok(*last)
        })
    }
}
