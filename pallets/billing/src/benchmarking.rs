// SPDX-License-Identifier: Apache-2.0
//! What calls and hooks cost, in their worst cases.

use crate::{payer_impls::By, *};
use frame_benchmarking::v2::*;
use frame_support::{
    traits::{EnsureOrigin, Get, OnTimestampSet, fungible::Mutate},
    weights::WeightMeter,
};
use frame_system::RawOrigin;
use tfgrid_primitives::{
    Balance, ContractId, Deadline, DeadlineKey, EndKey, FarmId, NodeId, Rates, TwinId,
    pricing::Priced,
    traits::{Agenda, Clock, Ledger, Parties, Refund},
    units::{HOUR_MS, TFT, USD},
};

/// Makes what benchmarks need of other pallets.
pub trait BenchmarkHelper<AccountId> {
    /// A twin and its account.
    fn twin() -> (AccountId, TwinId);
    /// A farm whose farmer has an account, and a node of it for which counts what contracts pay for addresses.
    fn node() -> (FarmId, NodeId);
    /// The node is heard from.
    fn hear(node: NodeId);
    /// A contract that can agree to another rate.
    fn contract() -> ContractId;
    /// As many feeders as may be have just said that one TFT costs a dollar.
    fn feed();
}

/// A dollar an hour, and a tenth for the farmer.
const RATES: Rates = Rates { usd: 10_000_000_000, extra: 1_000_000_000 };
/// 0.05 USD per TFT.
const PRICE: u64 = USD / 20;
/// What a payer of [`RATES`] needs for two hours.
const TWO_HOURS: Balance = 44 * TFT;
const STEP_MS: u64 = 60_000;

/// Lets time pass in the ledger, without serving what comes due.
fn pass<T: Config>(ms: u64) {
    let start = PriceClockState::<T>::get().stepped_at_ms.max(1_700_000_000_000);
    for step in 0..=ms / STEP_MS {
        Pallet::<T>::on_timestamp_set(start + step * STEP_MS);
        GridClockState::<T>::mutate(|clock| clock.step(start + step * STEP_MS));
    }
}

fn priced_for() -> Priced {
    Priced::OnRented { public_ips: 16, certified: true }
}

/// A payer with an account full of money and two hours of credit, whose contract has all who can share in it,
/// uses public addresses of the node and runs for a moment.
fn running<T: Config>() -> Result<(T::AccountId, TwinId, NodeId), BenchmarkError> {
    let (account, twin) = T::BenchmarkHelper::twin();
    let _ = T::Currency::mint_into(&account, 1_000_000 * TFT);
    CurrentPolicy::<T>::put(Policy::standard(account.clone(), account.clone()));
    PriceClockState::<T>::mutate(|clock| clock.set_price(PRICE));
    pass::<T>(STEP_MS);
    Pallet::<T>::deposit(RawOrigin::Signed(account.clone()).into(), twin, TWO_HOURS)?;
    let (farm, node) = T::BenchmarkHelper::node();
    let parties = Parties {
        payer: twin,
        farm: Some(farm),
        node: Some(node),
        public_ips: 16,
        ip_rate: RATES.usd / 2,
        priced: Some(priced_for()),
    };
    Pallet::<T>::start(1, parties, RATES);
    Providers::<T>::insert(1, Provider { account: account.clone(), permille: MAX_PROVIDER_PERMILLE });
    Pallet::<T>::attach_provider(1, 1)?;
    Ok((account, twin, node))
}

/// The same after `ms` in which the node was heard from.
fn served<T: Config>(ms: u64) -> Result<(T::AccountId, TwinId), BenchmarkError> {
    let (account, twin, node) = running::<T>()?;
    pass::<T>(ms);
    T::BenchmarkHelper::hear(node);
    Ok((account, twin))
}

/// One whose credit has ended, with an automatic refill that nobody has served.
fn due<T: Config>() -> Result<(T::AccountId, TwinId), BenchmarkError> {
    let (account, twin) = served::<T>(3 * HOUR_MS)?;
    let limits = Limits { refill_per_30_days: Balance::MAX, ..Limits::default() };
    OwnerLimits::<T>::insert(twin, limits);
    AutoRefills::<T>::insert(twin, AutoRefill { hours: LEAST_REFILL_HOURS });
    assert!(Pallet::<T>::is_exhausted(twin));
    Ok((account, twin))
}

/// One who waits in grace, and whose owner has come to wish refills meanwhile.
fn waiting<T: Config>() -> Result<(T::AccountId, TwinId), BenchmarkError> {
    let (account, twin) = due::<T>()?;
    let wish = AutoRefills::<T>::take(twin);
    Pallet::<T>::change_payer(twin, By::Others, |_| ());
    AutoRefills::<T>::set(twin, wish);
    assert!(Graces::<T>::contains_key(twin));
    Ok((account, twin))
}

fn end_of<T: Config>(twin: TwinId) -> EndKey {
    EndKey::new(Payers::<T>::get(twin).end, twin)
}

#[benchmarks]
mod benchmarks {
    use super::*;

    /// Worst case: somebody else's, for a payer that is to be refilled first.
    #[benchmark]
    fn deposit() -> Result<(), BenchmarkError> {
        let (_, twin) = due::<T>()?;
        let donor: T::AccountId = account("donor", 0, 0);
        T::Currency::mint_into(&donor, 1_000 * TFT)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(donor), twin, TFT);
        assert!(Pallet::<T>::settled_payer(twin).credit > 0);
        Ok(())
    }

    /// Worst case: of a payer that is to be refilled first.
    #[benchmark]
    fn withdraw() -> Result<(), BenchmarkError> {
        let (account, twin) = due::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), TFT);
        assert!(Pallet::<T>::settled_payer(twin).credit > 0);
        Ok(())
    }

    /// Worst case: farm, foundation, staking pool and a solution provider share, and what was paid for public
    /// addresses counts for the node.
    #[benchmark]
    fn claim() -> Result<(), BenchmarkError> {
        let (account, _) = served::<T>(T::SetAsideMs::get().max(HOUR_MS) + STEP_MS)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), 1);
        assert_eq!(Payable::<T>::iter().count(), 4);
        Ok(())
    }

    /// Worst case: to a farmer, whose farm and twin are looked up.
    #[benchmark]
    fn pay_out() -> Result<(), BenchmarkError> {
        let (account, _) = served::<T>(HOUR_MS)?;
        let farm = Accruals::<T>::get(1).and_then(|record| record.farm).unwrap_or_default();
        Pallet::<T>::stop(1, Refund::Served);
        let before = Payable::<T>::get(Payee::Farm(farm));
        #[extrinsic_call]
        _(RawOrigin::Signed(account), Payee::Farm(farm));
        assert!(Payable::<T>::get(Payee::Farm(farm)) < before);
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

    /// Worst case: another price list.
    #[benchmark]
    fn set_policy() -> Result<(), BenchmarkError> {
        let (account, ..) = running::<T>()?;
        let mut policy = Policy::standard(account.clone(), account);
        policy.prices.cu += 1;
        let origin = T::PolicyOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, policy.clone());
        assert_eq!(CurrentPolicy::<T>::get(), Some(policy));
        Ok(())
    }

    /// Worst case: of a payer that is to be refilled first.
    #[benchmark]
    fn set_limits() -> Result<(), BenchmarkError> {
        let (account, twin) = due::<T>()?;
        let limits = Limits { refill_per_30_days: Balance::MAX, ..Limits::default() };
        #[extrinsic_call]
        _(RawOrigin::Signed(account), limits);
        assert_eq!(OwnerLimits::<T>::get(twin), limits);
        Ok(())
    }

    #[benchmark]
    fn add_provider() -> Result<(), BenchmarkError> {
        let (account, _) = T::BenchmarkHelper::twin();
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

    /// Worst case: of a payer that waits, is refilled and goes on.
    #[benchmark]
    fn set_auto_refill() -> Result<(), BenchmarkError> {
        let (account, twin) = waiting::<T>()?;
        let wish = Some(AutoRefill { hours: 2 * LEAST_REFILL_HOURS });
        #[extrinsic_call]
        _(RawOrigin::Signed(account), wish);
        assert_eq!(AutoRefills::<T>::get(twin), wish);
        assert!(!Pallet::<T>::is_exhausted(twin));
        Ok(())
    }

    /// Worst case: of a payer that is to be refilled first.
    #[benchmark]
    fn buy_traffic() -> Result<(), BenchmarkError> {
        let (account, _) = due::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), 1, 1, Balance::MAX);
        assert!(Allowances::<T>::contains_key(1));
        Ok(())
    }

    /// Worst case: of a payer that is to be refilled first.
    #[benchmark]
    fn reprice() -> Result<(), BenchmarkError> {
        let contract = T::BenchmarkHelper::contract();
        let (account, _) = due::<T>()?;
        Accruals::<T>::set(contract, Accruals::<T>::take(1));
        GridClockState::<T>::mutate(|clock| clock.now_ms += MONTH_MS);
        #[extrinsic_call]
        _(RawOrigin::Signed(account), contract);
        let rate = Accruals::<T>::get(contract).map(|record| record.accrual.rates.usd);
        assert_eq!(rate, Pallet::<T>::quote(&priced_for()));
        Ok(())
    }

    /// Worst case: the payer waits, is refilled and goes on.
    #[benchmark]
    fn poke() -> Result<(), BenchmarkError> {
        let (account, twin) = waiting::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), twin);
        assert!(!Pallet::<T>::is_exhausted(twin));
        Ok(())
    }

    #[benchmark]
    fn on_timestamp_set() {
        pass::<T>(HOUR_MS);
        let timestamp = PriceClockState::<T>::get().stepped_at_ms + STEP_MS;
        #[block]
        {
            Pallet::<T>::on_timestamp_set(timestamp);
        }
        assert_eq!(PriceClockState::<T>::get().stepped_at_ms, timestamp);
    }

    /// Nothing of the price is to be recorded or asked.
    #[benchmark]
    fn on_poll() {
        pass::<T>(HOUR_MS);
        Pallet::<T>::watch_price(&mut WeightMeter::new());
        let before = Pallet::<T>::grid_now();
        Pallet::<T>::on_timestamp_set(PriceClockState::<T>::get().stepped_at_ms + STEP_MS / 2);
        #[block]
        {
            let mut meter = WeightMeter::new();
            Pallet::<T>::step_grid_clock(&mut meter);
            Pallet::<T>::watch_price(&mut meter);
        }
        assert!(Pallet::<T>::grid_now() > before);
    }

    #[benchmark]
    fn record_day() -> Result<(), BenchmarkError> {
        running::<T>()?;
        let mut watch = PriceWatch { day: 1, ..PriceWatchState::<T>::get() };
        #[block]
        {
            Pallet::<T>::record_day(&mut watch, 2);
            PriceWatchState::<T>::put(watch);
        }
        assert_eq!(watch.day, 2);
        Ok(())
    }

    /// Worst case: as many feeders as may be have fed, and the price follows them.
    #[benchmark]
    fn ask_feed() -> Result<(), BenchmarkError> {
        running::<T>()?;
        T::BenchmarkHelper::feed();
        let mut watch = PriceWatch { fresh: true, ..PriceWatchState::<T>::get() };
        let now = Pallet::<T>::grid_now();
        #[block]
        {
            Pallet::<T>::ask_feed(&mut watch, now);
            PriceWatchState::<T>::put(watch);
        }
        assert_eq!(watch.asked_at, now);
        assert!(PriceClockState::<T>::get().price > PRICE);
        Ok(())
    }

    #[benchmark]
    fn next_end() -> Result<(), BenchmarkError> {
        running::<T>()?;
        let next;
        #[block]
        {
            next = Ends::<T>::iter_keys().next();
        }
        assert!(next.is_some());
        Ok(())
    }

    /// Worst case: the payer is refilled.
    #[benchmark]
    fn serve_end() -> Result<(), BenchmarkError> {
        let (_, twin) = due::<T>()?;
        let key = end_of::<T>(twin);
        #[block]
        {
            Pallet::<T>::serve_end(key);
        }
        assert!(!Ends::<T>::contains_key(key) && !Pallet::<T>::is_exhausted(twin));
        Ok(())
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

    /// Worst case: the payer is refilled and goes on.
    #[benchmark]
    fn serve_grace() -> Result<(), BenchmarkError> {
        let (_, twin) = waiting::<T>()?;
        let now = Pallet::<T>::grid_now();
        Pallet::<T>::disarm(Graces::<T>::get(twin).map_or(0, |grace| grace.until), Deadline::Grace(twin));
        #[block]
        {
            Pallet::<T>::serve_grace(twin, now);
        }
        assert!(!Graces::<T>::contains_key(twin) && !Pallet::<T>::is_exhausted(twin));
        Ok(())
    }

    /// Worst case: of a payer that is to be refilled first.
    #[benchmark]
    fn serve_review() -> Result<(), BenchmarkError> {
        let (_, twin) = due::<T>()?;
        let next;
        #[block]
        {
            next = Pallet::<T>::serve_review(twin, 7);
        }
        assert_eq!(next, Some(7 + MONTH_MS));
        Ok(())
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::externalities(), crate::mock::Test);
}
