// SPDX-License-Identifier: Apache-2.0
//! What happens from session to session: one change at most.

use crate::*;
use frame_support::ensure;
use sp_runtime::Vec;
use sp_staking::SessionIndex;

impl<T: Config> pallet_session::SessionManager<T::AccountId> for Pallet<T> {
    /// The set of session `index`, where it isn't that of the session before.
    fn new_session(index: SessionIndex) -> Option<Vec<T::AccountId>> {
        let change = Self::next_change()?;
        match Self::apply(&change) {
            Ok(()) => {
                Self::deposit_event(Event::SetChanged { change, session: index });
                Some(Chosen::<T>::get().into_inner())
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
        let mut pending = Pending::<T>::get();
        if pending.is_empty() {
            return None;
        }
        let change = pending.remove(0);
        Pending::<T>::put(pending);
        Some(change)
    }

    /// Brings a change about, if it still keeps the rules: since it was queued, a candidate may have fallen
    /// silent, and with it a set may have stayed too small for somebody else to leave.
    fn apply(change: &Change<T::AccountId>) -> Result<(), Error<T>> {
        Chosen::<T>::try_mutate(|chosen| match change {
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
