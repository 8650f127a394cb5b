// SPDX-License-Identifier: Apache-2.0
//! What the calls do.

use crate::*;
use frame_support::{pallet_prelude::*, traits::fungible::MutateHold};
use tfgrid_primitives::{PublicKey, TwinId};

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
        let twin = TwinByAccount::<T>::get(&account).ok_or(Error::<T>::NoTwin)?;
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

    fn next_id() -> Result<TwinId, Error<T>> {
        LastTwinId::<T>::try_mutate(|last| {
            *last = last.checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
            Ok(*last)
        })
    }
}
