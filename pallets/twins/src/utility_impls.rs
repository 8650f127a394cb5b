// SPDX-License-Identifier: Apache-2.0
//! What other pallets may ask, and the laws that hold after every block.

use crate::*;
use tfgrid_primitives::{TwinId, traits::TwinDirectory};

impl<T: Config> TwinDirectory<T::AccountId> for Pallet<T> {
    fn twin_of(account: &T::AccountId) -> Option<TwinId> {
        TwinByAccount::<T>::get(account)
    }

    fn account_of(twin: TwinId) -> Option<T::AccountId> {
        Twins::<T>::get(twin).map(|record| record.account)
    }
}

#[cfg(any(feature = "std", feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Checks the laws of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
        Self::accounts_and_twins_are_inverse()?;
        Self::every_twin_has_its_deposit_on_hold()?;
        Self::offers_are_of_twins()
    }

    fn accounts_and_twins_are_inverse() -> Result<(), sp_runtime::TryRuntimeError> {
        for (id, twin) in Twins::<T>::iter() {
            frame_support::ensure!(id <= LastTwinId::<T>::get(), "a twin has an id that was never given");
            frame_support::ensure!(
                TwinByAccount::<T>::get(&twin.account) == Some(id),
                "a twin's account leads elsewhere"
            );
        }
        frame_support::ensure!(
            Twins::<T>::iter_keys().count() == TwinByAccount::<T>::iter_keys().count(),
            "an account leads to no twin"
        );
        Ok(())
    }

    fn every_twin_has_its_deposit_on_hold() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::traits::fungible::InspectHold;
        for twin in Twins::<T>::iter_values() {
            frame_support::ensure!(
                T::Currency::balance_on_hold(&HoldReason::Twin.into(), &twin.account) == twin.deposit,
                "a twin's hold isn't its deposit"
            );
        }
        Ok(())
    }

    fn offers_are_of_twins() -> Result<(), sp_runtime::TryRuntimeError> {
        let all = Offers::<T>::iter_keys().all(Twins::<T>::contains_key);
        frame_support::ensure!(all, "a twin is offered that is gone");
        Ok(())
    }
}
