// SPDX-License-Identifier: Apache-2.0
//! What calls and hooks cost, in their worst cases.

use crate::*;
use frame_benchmarking::v2::*;
use frame_support::traits::{
    fungible::{Inspect, Mutate},
    EnsureOrigin, OnTimestampSet,
};
use frame_system::RawOrigin;
use tfgrid_primitives::{
    traits::{Agenda, Clock, Ledger, Parties, Refund},
    units::{TFT, USD},
    Balance, Deadline, DeadlineKey, FarmId, Rates, TwinId,
};

/// Makes what benchmarks need of other pallets.
pub trait BenchmarkHelper<AccountId> {
    /// A twin and its account.
    fn twin() -> (AccountId, TwinId);
    /// A farm whose farmer has an account.
    fn farm() -> FarmId;
}

const RATES: Rates = Rates { usd: 10_000_000_000, extra: 1_000_000_000 };
const STEP_MS: u64 = 3_000;

/// Lets an hour and a bit pass in the ledger.
fn pass_an_hour<T: Config>() {
    let start = PriceClockState::<T>::get().stepped_at_ms.max(1_700_000_000_000);
    for block in 0..1_300 {
        Pallet::<T>::on_timestamp_set(start + block * STEP_MS);
        GridClockState::<T>::mutate(|clock| clock.step(start + block * STEP_MS));
    }
}

fn funded<T: Config>() -> (T::AccountId, TwinId) {
    let (account, twin) = T::BenchmarkHelper::twin();
    let _ = T::Currency::mint_into(&account, 10_000 * TFT);
    (account, twin)
}

/// A contract of a payer with credit, with all who can share in it.
fn running<T: Config>() -> Result<(T::AccountId, TwinId), BenchmarkError> {
    let (account, twin) = funded::<T>();
    let prices = Policy::standard(account.clone(), account.clone());
    CurrentPolicy::<T>::put(prices);
    PriceClockState::<T>::mutate(|clock| clock.set_price(USD / 20));
    pass_an_hour::<T>();
    Pallet::<T>::deposit(RawOrigin::Signed(account.clone()).into(), twin, 1_000 * TFT)?;
    let parties = Parties { payer: twin, farm: Some(T::BenchmarkHelper::farm()), node: None };
    Pallet::<T>::start(1, parties, RATES);
    Providers::<T>::insert(1, Provider { account: account.clone(), permille: MAX_PROVIDER_PERMILLE });
    Pallet::<T>::attach_provider(1, 1)?;
    Ok((account, twin))
}

#[benchmarks]
mod benchmarks {
    use super::*;

    /// Worst case: into the credit of a payer with contracts.
    #[benchmark]
    fn deposit() -> Result<(), BenchmarkError> {
        let (account, twin) = running::<T>()?;
        let before = Pallet::<T>::settled_payer(twin).credit;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), twin, TFT);
        assert!(Pallet::<T>::settled_payer(twin).credit > before);
        Ok(())
    }

    /// Worst case: with contracts that need their runway.
    #[benchmark]
    fn withdraw() -> Result<(), BenchmarkError> {
        let (account, twin) = running::<T>()?;
        let before = Pallet::<T>::settled_payer(twin).credit;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), TFT);
        assert!(Pallet::<T>::settled_payer(twin).credit < before);
        Ok(())
    }

    /// Worst case: farm, foundation, staking pool and a solution provider share.
    #[benchmark]
    fn claim() -> Result<(), BenchmarkError> {
        let (account, _) = running::<T>()?;
        pass_an_hour::<T>();
        #[extrinsic_call]
        _(RawOrigin::Signed(account), 1);
        assert_eq!(Payable::<T>::iter().count(), 4);
        Ok(())
    }

    /// Worst case: to a farmer, whose farm and twin are looked up.
    #[benchmark]
    fn pay_out() -> Result<(), BenchmarkError> {
        let (account, _) = running::<T>()?;
        pass_an_hour::<T>();
        Pallet::<T>::stop(1, Refund::Served);
        let payee = Payee::Farm(T::BenchmarkHelper::farm());
        let before = Payable::<T>::get(payee);
        #[extrinsic_call]
        _(RawOrigin::Signed(account), payee);
        assert!(Payable::<T>::get(payee) < before);
        Ok(())
    }

    #[benchmark]
    fn set_price() -> Result<(), BenchmarkError> {
        running::<T>()?;
        let origin = T::PriceOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, USD);
        assert_eq!(PriceClockState::<T>::get().price, USD);
        Ok(())
    }

    #[benchmark]
    fn set_policy() -> Result<(), BenchmarkError> {
        let (account, _) = running::<T>()?;
        let policy = Policy { max_price: USD, ..Policy::standard(account.clone(), account) };
        let origin = T::PolicyOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, policy.clone());
        assert_eq!(CurrentPolicy::<T>::get(), Some(policy));
        Ok(())
    }

    #[benchmark]
    fn set_limits() {
        let (account, twin) = funded::<T>();
        let limits = Limits { max_usd_rate: 7, max_extra_fee: 7 };
        #[extrinsic_call]
        _(RawOrigin::Signed(account), limits);
        assert_eq!(OwnerLimits::<T>::get(twin), limits);
    }

    #[benchmark]
    fn add_provider() -> Result<(), BenchmarkError> {
        let (account, _) = funded::<T>();
        let origin = T::PolicyOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, account, MAX_PROVIDER_PERMILLE);
        assert!(Providers::<T>::contains_key(1));
        Ok(())
    }

    #[benchmark]
    fn set_provider_share() -> Result<(), BenchmarkError> {
        running::<T>()?;
        let origin = T::PolicyOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, 1, 0);
        assert_eq!(Providers::<T>::get(1).map(|provider| provider.permille), Some(0));
        Ok(())
    }

    #[benchmark]
    fn on_timestamp_set() {
        pass_an_hour::<T>();
        let timestamp = PriceClockState::<T>::get().stepped_at_ms + STEP_MS;
        #[block]
        {
            Pallet::<T>::on_timestamp_set(timestamp);
        }
        assert_eq!(PriceClockState::<T>::get().stepped_at_ms, timestamp);
    }

    #[benchmark]
    fn on_poll() {
        pass_an_hour::<T>();
        let before = Pallet::<T>::grid_now();
        Pallet::<T>::on_timestamp_set(PriceClockState::<T>::get().stepped_at_ms + STEP_MS);
        #[block]
        {
            Pallet::<T>::step_grid_clock(&mut frame_support::weights::WeightMeter::new());
        }
        assert!(Pallet::<T>::grid_now() > before);
    }

    #[benchmark]
    fn next_deadline() {
        Pallet::<T>::arm(u64::MAX, Deadline::Tombstone(u64::MAX));
        let next;
        #[block]
        {
            next = Deadlines::<T>::iter_keys().next();
        }
        assert!(next.is_some());
    }

    /// A kind that nobody serves comes up: what remains is taking it from the agenda and putting one back.
    #[benchmark]
    fn serve_deadline() {
        let key = DeadlineKey::new(1, Deadline::Tombstone(u64::MAX));
        Deadlines::<T>::insert(key, ());
        #[block]
        {
            Deadlines::<T>::remove(key);
            Pallet::<T>::arm(2, Deadline::Tombstone(u64::MAX));
        }
        assert!(!Deadlines::<T>::contains_key(key));
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::externalities(), crate::mock::Test);
}
