// SPDX-License-Identifier: Apache-2.0
//! Invariants that hold after every block.

use crate::*;
use frame_support::ensure;
use pallet_session::Pallet as Session;
use sp_runtime::TryRuntimeError;

impl<T: Config> Pallet<T> {
    /// Checks the invariants of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        Self::next_session_has_the_chosen()?;
        Self::validators_are_distinct_and_have_keys()?;
        Self::pending_changes_are_possible()
    }

    fn next_session_has_the_chosen() -> Result<(), TryRuntimeError> {
        let queued = Session::<T>::queued_keys();
        let planned = queued.iter().map(|(account, _)| account);
        ensure!(
            planned.eq(ChosenValidators::<T>::get().iter()),
            "the next session has other validators than the chosen ones"
        );
        Ok(())
    }

    fn validators_are_distinct_and_have_keys() -> Result<(), TryRuntimeError> {
        let chosen = ChosenValidators::<T>::get();
        for (i, account) in chosen.iter().enumerate() {
            ensure!(Self::has_keys(account), "a validator has no session keys");
            ensure!(!chosen.iter().take(i).any(|other| other == account), "a validator is chosen twice");
        }
        Ok(())
    }

    fn pending_changes_are_possible() -> Result<(), TryRuntimeError> {
        let (chosen, pending) = (ChosenValidators::<T>::get(), PendingChanges::<T>::get());
        for (i, change) in pending.iter().enumerate() {
            let account = change.account();
            ensure!(
                chosen.contains(account) != change.is_growth(),
                "a validator is to join, or another account to leave"
            );
            let again = pending.iter().take(i).any(|other| other.account() == account);
            ensure!(!again, "two changes of one account are pending");
        }
        Ok(())
    }
}
