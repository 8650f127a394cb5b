// SPDX-License-Identifier: Apache-2.0
//! What the calls do.

use crate::*;
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::{InspectHold, MutateHold},
        tokens::{Fortitude, Precision, Restriction},
    },
};
use sp_runtime::traits::Zero;
use tfgrid_primitives::{
    Balance, PublicKey, TwinId,
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

        Twins::<T>::try_mutate(twin, |record| {
            let record = record.as_mut().ok_or(Error::<T>::NoTwin)?;
            record.peer_keys = peer_keys;
            record.encryption_key = encryption_key;
            Ok::<_, DispatchError>(())
        })?;
        Self::deposit_event(Event::TwinUpdated { twin });
        Ok(())
    }

    pub(crate) fn do_offer_transfer(account: T::AccountId, to: T::AccountId) -> DispatchResult {
        let twin = Self::own_twin(&account)?;
        Offers::<T>::insert(twin, &to);
        Self::deposit_event(Event::TransferOffered { twin, to });
        Ok(())
    }

    pub(crate) fn do_withdraw_offer(account: T::AccountId) -> DispatchResult {
        let twin = Self::own_twin(&account)?;
        Offers::<T>::take(twin).ok_or(Error::<T>::NoOffer)?;
        Self::deposit_event(Event::OfferWithdrawn { twin });
        Ok(())
    }

    pub(crate) fn do_accept_transfer(to: T::AccountId, twin: TwinId) -> DispatchResult {
        ensure!(Offers::<T>::get(twin).as_ref() == Some(&to), Error::<T>::NotOffered);
        ensure!(!TwinByAccount::<T>::contains_key(&to), Error::<T>::AccountHasTwin);
        let mut record = Twins::<T>::get(twin).ok_or(Error::<T>::NotOffered)?;

        let deposits = Self::move_deposits(&record.account, &to)?;
        let from = core::mem::replace(&mut record.account, to.clone());
        record.peer_keys = PeerKeys::default();
        record.encryption_key = None;
        Twins::<T>::insert(twin, record);
        TwinByAccount::<T>::remove(&from);
        TwinByAccount::<T>::insert(&to, twin);
        Offers::<T>::remove(twin);
        // Else the heir's account would pay for the refills that the seller has wished.
        T::OnTwinLeft::on_twin_left(twin);
        Self::deposit_event(Event::TwinTransferred { twin, from, to, deposits });
        Ok(())
    }

    pub(crate) fn do_remove(account: T::AccountId) -> DispatchResult {
        let twin = Self::own_twin(&account)?;
        ensure!(!T::InUse::is_in_use(twin), Error::<T>::TwinInUse);
        let released = Twins::<T>::take(twin).ok_or(Error::<T>::NoTwin)?.deposit;

        T::Currency::release(&HoldReason::Twin.into(), &account, released, Precision::Exact)?;
        TwinByAccount::<T>::remove(&account);
        Offers::<T>::remove(twin);
        T::OnTwinLeft::on_twin_left(twin);
        Self::deposit_event(Event::TwinRemoved { twin, released });
        Ok(())
    }

    /// Moves all that is held for a twin, whatever for, and says how much it was.
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

    fn next_id() -> Result<TwinId, Error<T>> {
        LastTwinId::<T>::try_mutate(|last| {
            *last = last.checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
            Ok(*last)
        })
    }
}
