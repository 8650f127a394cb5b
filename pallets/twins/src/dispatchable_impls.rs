// SPDX-License-Identifier: Apache-2.0
//! Implementations of the calls.

use crate::*;
use frame_support::{
    defensive,
    pallet_prelude::*,
    traits::{
        fungible::{InspectHold, MutateHold},
        tokens::{Fortitude, Precision, Restriction},
    },
};
use sp_runtime::traits::Zero;
use tfgrid_primitives::{
    Balance, PublicKey, TwinId,
    text::is_printable,
    traits::{OnTwinLeft, TwinDirectory, TwinInUse},
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_create(
        account: T::AccountId,
        peer_keys: PeerKeys,
        encryption_key: Option<PublicKey>,
    ) -> DispatchResult {
        ensure!(!TwinByAccount::<T>::contains_key(&account), Error::<T>::AccountHasTwin);
        ensure!(are_distinct(&peer_keys), Error::<T>::DuplicatePeerKey);

        let twin = Self::next_id()?;
        let deposit = T::TwinDeposit::get();
        T::Currency::hold(&HoldReason::Twin.into(), &account, deposit)?;
        TwinByAccount::<T>::insert(&account, twin);
        Twins::<T>::insert(twin, Twin { account: account.clone(), peer_keys, encryption_key, deposit });
        Self::deposit_event(Event::TwinCreated { twin, account, deposit });
        Ok(())
    }

    pub(crate) fn do_update(
        account: T::AccountId,
        peer_keys: PeerKeys,
        encryption_key: Option<PublicKey>,
    ) -> DispatchResult {
        let twin = Self::own_twin(&account)?;
        ensure!(are_distinct(&peer_keys), Error::<T>::DuplicatePeerKey);

        Twins::<T>::insert(twin, Twin { peer_keys, encryption_key, ..Self::record(twin)? });
        Self::deposit_event(Event::TwinUpdated { twin });
        Ok(())
    }

    pub(crate) fn do_offer_transfer(account: T::AccountId, to: T::AccountId) -> DispatchResult {
        let twin = Self::own_twin(&account)?;
        TransferOffers::<T>::insert(twin, &to);
        Self::deposit_event(Event::TransferOffered { twin, to });
        Ok(())
    }

    pub(crate) fn do_withdraw_offer(account: T::AccountId) -> DispatchResult {
        let twin = Self::own_twin(&account)?;
        TransferOffers::<T>::take(twin).ok_or(Error::<T>::NoOffer)?;
        Self::deposit_event(Event::OfferWithdrawn { twin });
        Ok(())
    }

    pub(crate) fn do_accept_transfer(to: T::AccountId, twin: TwinId) -> DispatchResult {
        ensure!(TransferOffers::<T>::get(twin).as_ref() == Some(&to), Error::<T>::NotOffered);
        ensure!(!TwinByAccount::<T>::contains_key(&to), Error::<T>::AccountHasTwin);
        let Twin { account: from, deposit, .. } = Self::record(twin)?;

        Self::remove_peer_addresses(twin, &from)?;
        let deposits = Self::move_deposits(&from, &to)?;
        let (peer_keys, encryption_key) = (PeerKeys::default(), None);
        Twins::<T>::insert(twin, Twin { account: to.clone(), peer_keys, encryption_key, deposit });
        TwinByAccount::<T>::remove(&from);
        TwinByAccount::<T>::insert(&to, twin);
        TransferOffers::<T>::remove(twin);
        // Otherwise the new owner would pay for the auto-refill of the previous one.
        T::OnTwinLeft::on_twin_left(twin);
        Self::deposit_event(Event::TwinTransferred { twin, from, to, deposits });
        Ok(())
    }

    pub(crate) fn do_remove(account: T::AccountId) -> DispatchResult {
        let twin = Self::own_twin(&account)?;
        ensure!(!T::InUse::is_in_use(twin), Error::<T>::TwinInUse);
        let deposit = Self::record(twin)?.deposit;

        T::Currency::release(&HoldReason::Twin.into(), &account, deposit, Precision::Exact)?;
        let released = deposit.saturating_add(Self::remove_peer_addresses(twin, &account)?);
        Twins::<T>::remove(twin);
        TwinByAccount::<T>::remove(&account);
        TransferOffers::<T>::remove(twin);
        T::OnTwinLeft::on_twin_left(twin);
        Self::deposit_event(Event::TwinRemoved { twin, released });
        Ok(())
    }

    pub(crate) fn do_set_peer_addresses(account: T::AccountId, addresses: Addresses) -> DispatchResult {
        let twin = Self::own_twin(&account)?;
        ensure!(is_printable(&addresses), Error::<T>::NotPrintable);

        let deposit = T::DepositPerByte::get().saturating_mul(addresses.len() as Balance);
        T::Currency::set_on_hold(&HoldReason::PeerAddresses.into(), &account, deposit)?;
        if addresses.is_empty() {
            PeerAddresses::<T>::remove(twin);
        } else {
            PeerAddresses::<T>::insert(twin, addresses);
        }
        Self::deposit_event(Event::PeerAddressesSet { twin, deposit });
        Ok(())
    }

    /// Removes the peer addresses of a twin; returns the deposit that is released.
    fn remove_peer_addresses(twin: TwinId, account: &T::AccountId) -> Result<Balance, DispatchError> {
        PeerAddresses::<T>::remove(twin);
        T::Currency::release_all(&HoldReason::PeerAddresses.into(), account, Precision::Exact)
    }

    /// Moves all deposits of a twin to another account, on hold, and returns their sum.
    fn move_deposits(from: &T::AccountId, to: &T::AccountId) -> Result<Balance, DispatchError> {
        T::DepositReasons::get().iter().try_fold(Balance::zero(), |sum, reason| {
            let held = T::Currency::balance_on_hold(reason, from);
            if held.is_zero() {
                return Ok(sum);
            }
            let moved = T::Currency::transfer_on_hold(
                reason,
                from,
                to,
                held,
                Precision::Exact,
                Restriction::OnHold,
                Fortitude::Polite,
            )?;
            Ok(sum.saturating_add(moved))
        })
    }

    fn own_twin(account: &T::AccountId) -> Result<TwinId, Error<T>> {
        Self::twin_of(account).ok_or(Error::NoTwin)
    }

    /// The record of a twin that an account or an offer leads to.
    fn record(twin: TwinId) -> Result<TwinOf<T>, Error<T>> {
        Twins::<T>::get(twin).ok_or_else(|| {
            defensive!("an account or an offer leads to a twin that exists");
            Error::NoTwin
        })
    }

    fn next_id() -> Result<TwinId, Error<T>> {
        LastTwinId::<T>::try_mutate(|last| {
            *last = last.checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
            Ok(*last)
        })
    }
}
