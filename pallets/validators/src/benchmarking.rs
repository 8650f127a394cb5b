// SPDX-License-Identifier: Apache-2.0
//! What the calls cost, each in its worst case.

use crate::*;
use codec::Decode;
use frame_benchmarking::v2::*;
use frame_support::{
    traits::{EnsureOrigin, Get},
    BoundedVec,
};
use frame_system::{Pallet as System, RawOrigin};
use pallet_session::Pallet as Session;
use sp_runtime::{traits::TrailingZeroInput, Vec};

/// An account with session keys that has announced itself.
fn candidate<T: Config>(n: u32) -> T::AccountId {
    let who = account("candidate", n, 0);
    let keys = <T as pallet_session::Config>::Keys::decode(&mut TrailingZeroInput::zeroes());
    pallet_session::NextKeys::<T>::insert(&who, keys.expect("keys of zeroes"));
    System::<T>::inc_providers(&who);
    System::<T>::inc_consumers(&who).expect("it has a provider");
    Heard::<T>::insert(&who, Session::<T>::current_index());
    who
}

/// A set of `size` candidates, and a queue in which one more change has room.
fn crowd<T: Config>(size: u32) {
    let set = (0..size).map(|n| account("candidate", n, 0)).collect::<Vec<_>>();
    Chosen::<T>::put(BoundedVec::truncate_from(set));
    let waiting = 1..T::MaxPending::get();
    let queue = waiting.map(|n| Change::Leaves(account("candidate", n, 0))).collect::<Vec<_>>();
    Pending::<T>::put(BoundedVec::truncate_from(queue));
}

#[benchmarks]
mod benchmarks {
    use super::*;

    #[benchmark]
    fn announce() {
        let who = candidate::<T>(0);
        Heard::<T>::remove(&who);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()));
        assert!(Heard::<T>::contains_key(who));
    }

    #[benchmark]
    fn add_validator() -> Result<(), BenchmarkError> {
        let origin = T::ManagerOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        let size = T::MaxValidators::get().saturating_sub(1);
        crowd::<T>(size);
        let who = candidate::<T>(size);
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, who.clone());
        assert_eq!(Pending::<T>::get().last(), Some(&Change::Joins(who)));
        Ok(())
    }

    #[benchmark]
    fn remove_validator() -> Result<(), BenchmarkError> {
        let origin = T::ManagerOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        crowd::<T>(T::MaxValidators::get());
        let who = account("candidate", 0, 0);
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, who);
        assert_eq!(Pending::<T>::get().len(), T::MaxPending::get() as usize);
        Ok(())
    }

    #[benchmark]
    fn retire() {
        let size = T::MaxValidators::get();
        crowd::<T>(size);
        let who = candidate::<T>(size);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()));
        assert!(!Heard::<T>::contains_key(who));
    }
}
