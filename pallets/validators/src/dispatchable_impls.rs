// SPDX-License-Identifier: Apache-2.0
//! Implementations of the calls.

use crate::*;
use frame_support::{ensure, traits::Get};
use frame_system::RawOrigin;
use pallet_session::Pallet as Session;
use sp_runtime::DispatchResult;

impl<T: Config> Pallet<T> {
    pub(crate) fn do_announce(account: T::AccountId) -> DispatchResult {
        ensure!(Self::has_keys(&account), Error::<T>::NoSessionKeys);
        let session = Session::<T>::current_index();
        LastAnnouncement::<T>::insert(&account, session);
        Self::deposit_event(Event::Announced { account, session });
        Ok(())
    }

    pub(crate) fn do_add_validator(account: T::AccountId) -> DispatchResult {
        ensure!(!ChosenValidators::<T>::get().contains(&account), Error::<T>::AlreadyValidator);
        Self::ensure_eligible(&account)?;
        let full = Self::size_to_come() >= T::MaxValidators::get() as usize;
        ensure!(!full, Error::<T>::SetFull);
        Self::queue(Change::Joins(account))
    }

    pub(crate) fn do_remove_validator(account: T::AccountId) -> DispatchResult {
        ensure!(ChosenValidators::<T>::get().contains(&account), Error::<T>::NotValidator);
        ensure!(Self::size_to_come() > 1, Error::<T>::LastValidator);
        Self::queue(Change::Leaves(account))
    }

    pub(crate) fn do_retire(account: T::AccountId) -> DispatchResult {
        ensure!(Self::has_keys(&account), Error::<T>::NoSessionKeys);
        ensure!(!Self::is_needed(&account), Error::<T>::StillValidator);
        Session::<T>::purge_keys(RawOrigin::Signed(account.clone()).into())?;
        LastAnnouncement::<T>::remove(&account);
        Self::deposit_event(Event::Retired { account });
        Ok(())
    }

    fn queue(change: Change<T::AccountId>) -> DispatchResult {
        PendingChanges::<T>::try_mutate(|pending| {
            let waits = pending.iter().any(|other| other.account() == change.account());
            ensure!(!waits, Error::<T>::ChangePending);
            pending.try_push(change.clone()).map_err(|_| Error::<T>::TooManyPending)
        })?;
        Self::deposit_event(Event::ChangeQueued { change });
        Ok(())
    }

    /// Number of validators after all pending changes.
    fn size_to_come() -> usize {
        let pending = PendingChanges::<T>::get();
        let joining = pending.iter().filter(|change| change.is_growth()).count();
        let leaving = pending.len().saturating_sub(joining);
        let present = ChosenValidators::<T>::decode_len().unwrap_or(0);
        present.saturating_add(joining).saturating_sub(leaving)
    }
}
