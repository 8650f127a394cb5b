// SPDX-License-Identifier: Apache-2.0
//! What the calls do.

use crate::*;
use frame_support::{
    pallet_prelude::*,
    traits::{fungible::MutateHold, tokens::Precision},
};
use sp_runtime::Vec;
use tfgrid_primitives::{
    traits::{Clock, TwinDirectory},
    FarmId, PublicKey, TwinId, UnixSeconds,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_create(account: T::AccountId, name: Vec<u8>) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        let name = checked_name(name).ok_or(Error::<T>::NameInvalid)?;
        let key = name_key(&name);
        ensure!(!FarmByName::<T>::contains_key(&key), Error::<T>::NameTaken);

        let farm = Self::next_id()?;
        let deposit = T::FarmDeposit::get();
        T::Currency::hold(&HoldReason::Farm.into(), &account, deposit)?;
        FarmByName::<T>::insert(key, farm);
        Farms::<T>::insert(farm, Farm { twin, name, deposit });
        Self::deposit_event(Event::FarmCreated { farm, twin, deposit });
        Ok(())
    }

    pub(crate) fn do_open_ticket(
        account: T::AccountId,
        farm: FarmId,
        ticket: PublicKey,
        nodes: u32,
        expires: UnixSeconds,
    ) -> DispatchResult {
        Self::ensure_farmer(&account, farm)?;
        ensure!((1..=MAX_TICKET_NODES).contains(&nodes), Error::<T>::NodeCountOutOfRange);
        let now = T::Clock::unix_now();
        let latest = now.saturating_add(MAX_TICKET_SECONDS);
        ensure!(expires > now && expires <= latest, Error::<T>::ExpiryOutOfRange);
        ensure!(!Tickets::<T>::contains_key(ticket), Error::<T>::TicketExists);

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
        Self::deposit_event(Event::TicketOpened { farm, ticket, nodes, expires, deposit });
        Ok(())
    }

    pub(crate) fn do_close_ticket(account: T::AccountId, ticket: PublicKey) -> DispatchResult {
        let mut record = Tickets::<T>::get(ticket).ok_or(Error::<T>::UnknownTicket)?;
        Self::ensure_farmer(&account, record.farm)?;
        let forget = record.is_forgettable(T::Clock::unix_now());
        ensure!(forget || !record.closed, Error::<T>::TicketAlreadyClosed);

        let released = record.deposit();
        T::Currency::release(&HoldReason::BootTicket.into(), &account, released, Precision::Exact)?;
        let farm = record.farm;
        if forget {
            Tickets::<T>::remove(ticket);
            let _ = Admitted::<T>::clear_prefix(ticket, MAX_TICKET_NODES, None);
        } else {
            record.closed = true;
            record.nodes_left = 0;
            Tickets::<T>::insert(ticket, record);
        }
        Self::deposit_event(Event::TicketClosed { farm, ticket, released });
        Ok(())
    }

    /// The farmer, where the caller is it.
    pub(crate) fn ensure_farmer(account: &T::AccountId, farm: FarmId) -> Result<TwinId, Error<T>> {
        let twin = T::Twins::twin_of(account).ok_or(Error::<T>::NoTwin)?;
        let record = Farms::<T>::get(farm).ok_or(Error::<T>::UnknownFarm)?;
        ensure!(record.twin == twin, Error::<T>::NotFarmer);
        Ok(twin)
    }

    fn next_id() -> Result<FarmId, Error<T>> {
        LastFarmId::<T>::try_mutate(|last| {
            *last = last.checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
            Ok(*last)
        })
    }
}
