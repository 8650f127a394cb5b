// SPDX-License-Identifier: Apache-2.0
//! The trait through which other pallets look up twins.

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
