// SPDX-License-Identifier: Apache-2.0
//! Helpers of calls and sessions.

use crate::*;
use frame_support::{ensure, traits::Get};
use pallet_session::Pallet as Session;

impl<T: Config> Pallet<T> {
    pub(crate) fn has_keys(account: &T::AccountId) -> bool {
        Session::<T>::load_keys(account).is_some()
    }

    /// Refuses a candidate that has no session keys or hasn't announced itself lately.
    pub(crate) fn ensure_eligible(account: &T::AccountId) -> Result<(), Error<T>> {
        ensure!(Self::has_keys(account), Error::<T>::NoSessionKeys);
        let last = LastAnnouncement::<T>::get(account).ok_or(Error::<T>::NotAnnounced)?;
        let silence = Session::<T>::current_index().saturating_sub(last);
        ensure!(silence <= T::MaxSilence::get(), Error::<T>::NotAnnounced);
        Ok(())
    }

    /// Whether the session keys of `account` make blocks in this session or a planned one.
    pub(crate) fn is_needed(account: &T::AccountId) -> bool {
        Session::<T>::validators().contains(account)
            || ChosenValidators::<T>::get().contains(account)
            || PendingChanges::<T>::get().iter().any(|change| change.account() == account)
    }
}
