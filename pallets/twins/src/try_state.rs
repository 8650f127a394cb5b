// SPDX-License-Identifier: Apache-2.0
//! Invariants that hold after every block.

use crate::*;
use frame_support::{ensure, traits::fungible::InspectHold};
use sp_runtime::TryRuntimeError;

impl<T: Config> Pallet<T> {
    /// Checks the invariants of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        Self::accounts_and_twins_are_inverse()?;
        Self::each_twin_has_its_deposit_on_hold()?;
        Self::offers_belong_to_twins()?;
        Self::peer_addresses_belong_to_twins_and_have_deposits()
    }

    fn accounts_and_twins_are_inverse() -> Result<(), TryRuntimeError> {
        for (id, twin) in Twins::<T>::iter() {
            ensure!(id <= LastTwinId::<T>::get(), "a twin has an id that was never given");
            ensure!(TwinByAccount::<T>::get(&twin.account) == Some(id), "a twin isn't found by its account");
        }
        let twins = Twins::<T>::iter_keys().count();
        ensure!(TwinByAccount::<T>::iter_keys().count() == twins, "an account is that of no twin");
        Ok(())
    }

    fn each_twin_has_its_deposit_on_hold() -> Result<(), TryRuntimeError> {
        for twin in Twins::<T>::iter_values() {
            let held = T::Currency::balance_on_hold(&HoldReason::Twin.into(), &twin.account);
            ensure!(held == twin.deposit, "a twin's hold isn't its deposit");
        }
        Ok(())
    }

    fn offers_belong_to_twins() -> Result<(), TryRuntimeError> {
        ensure!(TransferOffers::<T>::iter_keys().all(Twins::<T>::contains_key), "a removed twin is offered");
        Ok(())
    }

    fn peer_addresses_belong_to_twins_and_have_deposits() -> Result<(), TryRuntimeError> {
        for (id, twin) in Twins::<T>::iter() {
            let held = T::Currency::balance_on_hold(&HoldReason::PeerAddresses.into(), &twin.account);
            let addresses = PeerAddresses::<T>::get(id);
            ensure!((held > 0) == addresses.is_some(), "peer addresses without a deposit, or the reverse");
            ensure!(
                addresses.is_none_or(|text| !text.is_empty()),
                "peer addresses that are empty are stored"
            );
        }
        let mut ids = PeerAddresses::<T>::iter_keys();
        ensure!(ids.all(Twins::<T>::contains_key), "a removed twin has peer addresses");
        Ok(())
    }
}
