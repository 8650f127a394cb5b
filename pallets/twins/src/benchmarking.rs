// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, each in its worst case.

use crate::*;
use frame_benchmarking::v2::*;
use frame_support::traits::{
    Get,
    fungible::{Mutate, MutateHold},
};
use frame_system::RawOrigin;
use tfgrid_primitives::{report::MAX_PEER_ADDRESSES_BYTES, traits::TwinDirectory, units::TFT};

/// As many keys as a twin may have.
fn full_keys(first: u8) -> PeerKeys {
    PeerKeys::truncate_from((first..).take(MAX_PEER_KEYS as usize).map(|n| [n; 32]).collect())
}

/// As many bytes of peer addresses as a twin may have.
fn full_addresses(byte: u8) -> Addresses {
    Addresses::truncate_from(core::iter::repeat_n(byte, MAX_PEER_ADDRESSES_BYTES as usize).collect())
}

fn funded<T: Config>(name: &'static str) -> T::AccountId
where
    T::Currency: Mutate<T::AccountId>,
{
    let account = account(name, 0, 0);
    let _ = T::Currency::mint_into(&account, 1_000 * TFT);
    account
}

/// An account with a twin that has all keys.
fn with_twin<T: Config>() -> Result<T::AccountId, BenchmarkError>
where
    T::Currency: Mutate<T::AccountId>,
{
    let account = funded::<T>("owner");
    Pallet::<T>::create(RawOrigin::Signed(account.clone()).into(), full_keys(0), Some([9; 32]))?;
    Ok(account)
}

#[benchmarks(where T::Currency: Mutate<T::AccountId>)]
mod benchmarks {
    use super::*;

    /// Worst case: four peer keys, the account's first hold.
    #[benchmark]
    fn create() {
        let account = funded::<T>("owner");
        #[extrinsic_call]
        _(RawOrigin::Signed(account.clone()), full_keys(0), Some([9; 32]));
        assert!(Pallet::<T>::twin_of(&account).is_some());
    }

    /// Worst case: four peer keys replace four.
    #[benchmark]
    fn update() -> Result<(), BenchmarkError> {
        let account = with_twin::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), full_keys(100), Some([8; 32]));
        assert_eq!(Twins::<T>::get(LastTwinId::<T>::get()).map(|twin| twin.peer_keys), Some(full_keys(100)));
        Ok(())
    }

    /// Worst case: another offer is replaced.
    #[benchmark]
    fn offer_transfer() -> Result<(), BenchmarkError> {
        let account = with_twin::<T>()?;
        let (first, second) = (funded::<T>("first"), funded::<T>("second"));
        Pallet::<T>::offer_transfer(RawOrigin::Signed(account.clone()).into(), first)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), second.clone());
        assert_eq!(TransferOffers::<T>::get(LastTwinId::<T>::get()), Some(second));
        Ok(())
    }

    #[benchmark]
    fn withdraw_offer() -> Result<(), BenchmarkError> {
        let account = with_twin::<T>()?;
        let new_owner = funded::<T>("new owner");
        Pallet::<T>::offer_transfer(RawOrigin::Signed(account.clone()).into(), new_owner)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account));
        assert_eq!(TransferOffers::<T>::get(LastTwinId::<T>::get()), None);
        Ok(())
    }

    /// Worst case: a deposit of each reason is on hold, and one of peer addresses.
    #[benchmark]
    fn accept_transfer() -> Result<(), BenchmarkError> {
        let account = with_twin::<T>()?;
        let new_owner = funded::<T>("new owner");
        for reason in T::DepositReasons::get() {
            T::Currency::hold(reason, &account, TFT)?;
        }
        let signed = RawOrigin::Signed(account.clone());
        Pallet::<T>::set_peer_addresses(signed.into(), full_addresses(b'a'))?;
        Pallet::<T>::offer_transfer(RawOrigin::Signed(account).into(), new_owner.clone())?;
        let twin = LastTwinId::<T>::get();
        #[extrinsic_call]
        _(RawOrigin::Signed(new_owner.clone()), twin);
        assert_eq!(Pallet::<T>::account_of(twin), Some(new_owner));
        Ok(())
    }

    /// Worst case: the twin is offered, and has peer addresses.
    #[benchmark]
    fn remove() -> Result<(), BenchmarkError> {
        let account = with_twin::<T>()?;
        let new_owner = funded::<T>("new owner");
        Pallet::<T>::offer_transfer(RawOrigin::Signed(account.clone()).into(), new_owner)?;
        let signed = RawOrigin::Signed(account.clone());
        Pallet::<T>::set_peer_addresses(signed.into(), full_addresses(b'a'))?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account.clone()));
        assert_eq!(Pallet::<T>::twin_of(&account), None);
        Ok(())
    }

    /// Worst case: shorter ones are replaced by as many bytes as there may be.
    #[benchmark]
    fn set_peer_addresses() -> Result<(), BenchmarkError> {
        let account = with_twin::<T>()?;
        let short = Addresses::truncate_from(core::iter::once(b'a').collect());
        Pallet::<T>::set_peer_addresses(RawOrigin::Signed(account.clone()).into(), short)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), full_addresses(b'b'));
        assert_eq!(PeerAddresses::<T>::get(LastTwinId::<T>::get()), Some(full_addresses(b'b')));
        Ok(())
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::chain().build(), crate::mock::Test);
}
