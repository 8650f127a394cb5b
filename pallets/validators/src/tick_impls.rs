// SPDX-License-Identifier: Apache-2.0
//! Changes of the set: at most one per session.

use crate::*;
use alloc::vec::Vec;
use frame_support::ensure;
use sp_staking::SessionIndex;

impl<T: Config> pallet_session::SessionManager<T::AccountId> for Pallet<T> {
    /// The set of session `index`; `None` if it is that of the session before.
    fn new_session(index: SessionIndex) -> Option<Vec<T::AccountId>> {
        let change = Self::next_change()?;
        match Self::apply(&change) {
            Ok(()) => {
                Self::deposit_event(Event::SetChanged { change, session: index });
                Some(ChosenValidators::<T>::get().into_inner())
            }
            Err(_) => {
                Self::deposit_event(Event::ChangeDropped { change });
                None
            }
        }
    }

    fn new_session_genesis(_: SessionIndex) -> Option<Vec<T::AccountId>> {
        None
    }

    fn start_session(_: SessionIndex) {}

    fn end_session(_: SessionIndex) {}
}

impl<T: Config> Pallet<T> {
    fn next_change() -> Option<Change<T::AccountId>> {
        let mut pending = PendingChanges::<T>::get();
        if pending.is_empty() {
            return None;
        }
        let change = pending.remove(0);
        PendingChanges::<T>::put(pending);
        Some(change)
    }

    /// Applies a change if it still keeps the rules. Since it was queued, a candidate may have fallen silent,
    /// which can leave the set too small for another validator to leave.
    fn apply(change: &Change<T::AccountId>) -> Result<(), Error<T>> {
        ChosenValidators::<T>::try_mutate(|chosen| match change {
            Change::Joins(account) => {
                Self::ensure_eligible(account)?;
                chosen.try_push(account.clone()).map_err(|_| Error::<T>::SetFull)
            }
            Change::Leaves(account) => {
                ensure!(chosen.len() > 1, Error::<T>::LastValidator);
                chosen.retain(|validator| validator != account);
                Ok(())
            }
        })
    }
}
