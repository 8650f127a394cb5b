// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, each in its worst case.

use crate::*;
use alloc::vec::Vec;
use codec::Decode;
use frame_benchmarking::v2::*;
use frame_support::{
    BoundedVec,
    traits::{EnsureOrigin, Get, fungible::MutateHold},
};
use frame_system::{Pallet as System, RawOrigin};
use pallet_session::{NextKeys, Pallet as Session};
use sp_runtime::{DispatchError, traits::TrailingZeroInput};

/// An account with session keys that has announced itself.
fn candidate<T: Config>(n: u32) -> T::AccountId {
    let who = account("candidate", n, 0);
    let keys = <T as pallet_session::Config>::Keys::decode(&mut TrailingZeroInput::zeroes());
    NextKeys::<T>::insert(&who, keys.expect("zeroes are keys"));
    hold_deposit::<T>(&who).expect("it has twice the deposit");
    System::<T>::inc_consumers(&who).expect("it has a balance");
    LastAnnouncement::<T>::insert(&who, Session::<T>::current_index());
    who
}

fn hold_deposit<T: Config>(who: &T::AccountId) -> Result<(), DispatchError> {
    Session::<T>::ensure_can_pay_key_deposit(who)?;
    Session::<T>::ensure_can_pay_key_deposit(who)?;
    let reason = pallet_session::HoldReason::Keys.into();
    <T as pallet_session::Config>::Currency::hold(&reason, who, T::KeyDeposit::get())
}

/// A set of `size` candidates, and a queue in which one more change has room.
fn crowd<T: Config>(size: u32) {
    let set = (0..size).map(|n| account("candidate", n, 0)).collect::<Vec<_>>();
    ChosenValidators::<T>::put(BoundedVec::truncate_from(set));
    let waiting = 1..T::MaxPendingChanges::get();
    let queue = waiting.map(|n| Change::Leaves(account("candidate", n, 0))).collect::<Vec<_>>();
    PendingChanges::<T>::put(BoundedVec::truncate_from(queue));
}

fn manager<T: Config>() -> Result<T::RuntimeOrigin, BenchmarkError> {
    T::ManagerOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)
}

#[benchmarks]
mod benchmarks {
    use super::*;

    /// Worst case: the first announcement.
    #[benchmark]
    fn announce() {
        let who = candidate::<T>(0);
        LastAnnouncement::<T>::remove(&who);
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()));
        assert!(LastAnnouncement::<T>::contains_key(who));
    }

    /// Worst case: a full set that other validators leave, one place left in the queue.
    #[benchmark]
    fn add_validator() -> Result<(), BenchmarkError> {
        let origin = manager::<T>()?;
        crowd::<T>(T::MaxValidators::get());
        let who = candidate::<T>(T::MaxValidators::get());
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, who.clone());
        assert_eq!(PendingChanges::<T>::get().last(), Some(&Change::Joins(who)));
        Ok(())
    }

    /// Worst case: a full set, one place left in the queue.
    #[benchmark]
    fn remove_validator() -> Result<(), BenchmarkError> {
        let origin = manager::<T>()?;
        crowd::<T>(T::MaxValidators::get());
        let who = account("candidate", 0, 0);
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, who);
        assert_eq!(PendingChanges::<T>::get().len(), T::MaxPendingChanges::get() as usize);
        Ok(())
    }

    /// Worst case: a full set and queue that the account isn't in.
    #[benchmark]
    fn retire() {
        crowd::<T>(T::MaxValidators::get());
        let who = candidate::<T>(T::MaxValidators::get());
        #[extrinsic_call]
        _(RawOrigin::Signed(who.clone()));
        assert!(!LastAnnouncement::<T>::contains_key(who));
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::chain().build(), crate::mock::Test);
}
