// SPDX-License-Identifier: Apache-2.0
//! What is asked in several places, and the laws that hold after every block.

use crate::*;
use frame_support::{ensure, traits::Get};
use pallet_session::Pallet as Session;

impl<T: Config> Pallet<T> {
    pub(crate) fn has_keys(account: &T::AccountId) -> bool {
        Session::<T>::load_keys(account).is_some()
    }

    /// Refuses a candidate that couldn't make blocks or shows no sign of life.
    pub(crate) fn ensure_eligible(account: &T::AccountId) -> Result<(), Error<T>> {
        ensure!(Self::has_keys(account), Error::<T>::NoSessionKeys);
        let heard = Heard::<T>::get(account).ok_or(Error::<T>::NotHeardFrom)?;
        let silent = Session::<T>::current_index().saturating_sub(heard);
        ensure!(silent <= T::HeardWithin::get(), Error::<T>::NotHeardFrom);
        Ok(())
    }

    /// Whether the session keys of `account` make blocks, now or soon.
    pub(crate) fn is_needed(account: &T::AccountId) -> bool {
        Session::<T>::validators().contains(account)
            || Chosen::<T>::get().contains(account)
            || Pending::<T>::get().iter().any(|change| change.account() == account)
    }
}

#[cfg(any(feature = "std", feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Checks the laws of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
        Self::sessions_have_the_chosen()?;
        Self::validators_are_different_and_have_keys()?;
        Self::changes_are_possible()
    }

    fn sessions_have_the_chosen() -> Result<(), sp_runtime::TryRuntimeError> {
        let queued = Session::<T>::queued_keys();
        let planned = queued.iter().map(|(account, _)| account);
        ensure!(
            planned.eq(Chosen::<T>::get().iter()),
            "the next session has other validators than the chosen"
        );
        Ok(())
    }

    fn validators_are_different_and_have_keys() -> Result<(), sp_runtime::TryRuntimeError> {
        let chosen = Chosen::<T>::get();
        for (i, account) in chosen.iter().enumerate() {
            ensure!(Self::has_keys(account), "a validator without session keys");
            ensure!(!chosen.iter().take(i).any(|other| other == account), "a validator is chosen twice");
        }
        Ok(())
    }

    fn changes_are_possible() -> Result<(), sp_runtime::TryRuntimeError> {
        let (chosen, pending) = (Chosen::<T>::get(), Pending::<T>::get());
        for (i, change) in pending.iter().enumerate() {
            let account = change.account();
            ensure!(
                chosen.contains(account) != change.is_growth(),
                "a validator is to join, or somebody else to leave"
            );
            let again = pending.iter().take(i).any(|other| other.account() == account);
            ensure!(!again, "two changes of one account");
        }
        Ok(())
    }
}
