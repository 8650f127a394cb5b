// SPDX-License-Identifier: Apache-2.0
//! Benchmarks of calls and hooks, in their worst cases.

use crate::{payer_impls::ChangedBy, *};
use frame_benchmarking::v2::*;
use frame_support::traits::{EnsureOrigin, Get, fungible::Mutate};
use frame_system::RawOrigin;
use tfgrid_primitives::{
    Balance, Deadline, ExactTft, ExhaustionKey, FarmId, GridMillis, NodeId, Rates, TwinId,
    traits::{Agenda, Clock, ContractPrice, Ledger, Outcome, Parties},
    units::{HOUR_MS, MONTH_MS, TFT},
};

/// Sets up other pallets for benchmarks.
pub trait BenchmarkHelper<AccountId> {
    /// A twin and its account.
    fn twin() -> (AccountId, TwinId);
    /// A farm whose farmer has an account, and an enrolled node of it.
    fn node() -> (FarmId, NodeId);
    /// The node sends a heartbeat.
    fn hear(node: NodeId);
    /// TFT costs 0.05 USD, and the clocks have started.
    fn start_clocks();
    /// Both clocks go on, and nothing that is due is served.
    fn pass(ms: GridMillis);
}

/// A dollar an hour, and a tenth for the farmer.
const RATES: Rates = Rates { usd: 10_000_000_000, extra: 1_000_000_000 };
/// What a payer of [`RATES`] needs for two hours.
const TWO_HOURS: Balance = 44 * TFT;
const MINUTE_MS: u64 = 60_000;

/// A payer with a full account and two hours of credit, whose contract has all who can share in it, uses public
/// addresses of the node and has been charged for a moment.
fn running<T: Config>() -> Result<(T::AccountId, TwinId, NodeId), BenchmarkError> {
    let (account, twin) = T::BenchmarkHelper::twin();
    let _ = T::Currency::mint_into(&account, 1_000_000 * TFT);
    Policy::<T>::put(BillingPolicy::standard(account.clone(), account.clone()));
    T::BenchmarkHelper::start_clocks();
    let limits = Limits { max_extra_fee: RATES.extra, ..Limits::default() };
    OwnerLimits::<T>::insert(twin, limits);
    Pallet::<T>::deposit(RawOrigin::Signed(account.clone()).into(), twin, TWO_HOURS)?;
    let (farm, node) = T::BenchmarkHelper::node();
    let parties = Parties { payer: twin, farm: Some(farm), node: Some(node) };
    let price = ContractPrice { rates: RATES, public_ips: 16, ip_usd: RATES.usd / 2, certified: true };
    Pallet::<T>::open(1, parties, price)?;
    Pallet::<T>::start(1, 0);
    Providers::<T>::insert(1, Provider { account: account.clone(), permille: MAX_PROVIDER_PERMILLE });
    LedgerAccounts::<T>::mutate_extant(1, |record| record.provider = Some(1));
    Ok((account, twin, node))
}

/// The same after `ms` in which the node was heard from.
fn served<T: Config>(ms: u64) -> Result<(T::AccountId, TwinId), BenchmarkError> {
    let (account, twin, node) = running::<T>()?;
    T::BenchmarkHelper::pass(ms);
    T::BenchmarkHelper::hear(node);
    Ok((account, twin))
}

/// A payer whose credit is used up, with an automatic refill that the agenda hasn't served.
fn due<T: Config>() -> Result<(T::AccountId, TwinId), BenchmarkError> {
    let (account, twin) = served::<T>(3 * HOUR_MS)?;
    let limits = Limits { refill_per_30_days: Balance::MAX, max_extra_fee: RATES.extra, ..Limits::default() };
    OwnerLimits::<T>::insert(twin, limits);
    AutoRefills::<T>::insert(twin, AutoRefill { hours: LEAST_REFILL_HOURS });
    assert!(Pallet::<T>::is_exhausted(twin));
    Ok((account, twin))
}

/// The same in grace, and its owner has set a refill meanwhile.
fn waiting<T: Config>() -> Result<(T::AccountId, TwinId), BenchmarkError> {
    let (account, twin) = due::<T>()?;
    let refill = AutoRefills::<T>::take(twin);
    Pallet::<T>::change_payer(twin, ChangedBy::Others, |_| ());
    AutoRefills::<T>::set(twin, refill);
    assert!(Graces::<T>::contains_key(twin));
    Ok((account, twin))
}

fn end_of<T: Config>(twin: TwinId) -> ExhaustionKey {
    ExhaustionKey::new(Payers::<T>::get(twin).end, twin)
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
        assert!(Pallet::<T>::settled_payer(twin).credit > ExactTft::ZERO);
        Ok(())
    }

    /// Worst case: of a payer that is to be refilled first.
    #[benchmark]
    fn withdraw() -> Result<(), BenchmarkError> {
        let (account, twin) = due::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), TFT);
        assert!(Pallet::<T>::settled_payer(twin).credit > ExactTft::ZERO);
        Ok(())
    }

    /// Worst case: farm, foundation, staking pool and a solution provider share, and what was paid for public
    /// addresses counts for the node.
    #[benchmark]
    fn collect() -> Result<(), BenchmarkError> {
        let (account, _) = served::<T>(T::SetAsideMs::get().max(HOUR_MS) + MINUTE_MS)?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), 1);
        assert_eq!(Payable::<T>::iter().count(), 4);
        Ok(())
    }

    /// Worst case: to a farmer, whose farm and twin are looked up.
    #[benchmark]
    fn pay_out() -> Result<(), BenchmarkError> {
        let (account, _) = served::<T>(HOUR_MS)?;
        let farm = LedgerAccounts::<T>::get(1).and_then(|record| record.farm).unwrap_or_default();
        Pallet::<T>::close(1, Outcome::Served);
        let before = Payable::<T>::get(Payee::Farm(farm));
        #[extrinsic_call]
        _(RawOrigin::Signed(account), Payee::Farm(farm));
        assert!(Payable::<T>::get(Payee::Farm(farm)) < before);
        Ok(())
    }

    /// Worst case: another price list.
    #[benchmark]
    fn set_policy() -> Result<(), BenchmarkError> {
        let (account, ..) = running::<T>()?;
        let mut policy = BillingPolicy::standard(account.clone(), account);
        policy.prices.cu += 1;
        let origin = T::PolicyOrigin::try_successful_origin().map_err(|()| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, policy.clone());
        assert_eq!(Policy::<T>::get(), Some(policy));
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

    /// Worst case: of a payer in grace that is refilled and goes on.
    #[benchmark]
    fn set_auto_refill() -> Result<(), BenchmarkError> {
        let (account, twin) = waiting::<T>()?;
        let refill = Some(AutoRefill { hours: 2 * LEAST_REFILL_HOURS });
        #[extrinsic_call]
        _(RawOrigin::Signed(account), refill);
        assert_eq!(AutoRefills::<T>::get(twin), refill);
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

    #[benchmark]
    fn attach_provider() -> Result<(), BenchmarkError> {
        let (account, ..) = running::<T>()?;
        LedgerAccounts::<T>::mutate_extant(1, |record| record.provider = None);
        #[extrinsic_call]
        _(RawOrigin::Signed(account), 1, 1);
        assert_eq!(LedgerAccounts::<T>::get(1).and_then(|record| record.provider), Some(1));
        Ok(())
    }

    /// Worst case: the payer is in grace, is refilled and goes on.
    #[benchmark]
    fn poke() -> Result<(), BenchmarkError> {
        let (account, twin) = waiting::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), twin);
        assert!(!Pallet::<T>::is_exhausted(twin));
        Ok(())
    }

    #[benchmark]
    fn next_end() -> Result<(), BenchmarkError> {
        running::<T>()?;
        let next;
        #[block]
        {
            next = PayersByExhaustion::<T>::iter_keys().next();
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
        assert!(!PayersByExhaustion::<T>::contains_key(key) && !Pallet::<T>::is_exhausted(twin));
        Ok(())
    }

    /// Worst case: the payer is refilled and goes on.
    #[benchmark]
    fn serve_grace() -> Result<(), BenchmarkError> {
        let (_, twin) = waiting::<T>()?;
        let now = T::Clock::grid_now();
        T::Agenda::disarm(Graces::<T>::get(twin).map_or(0, |grace| grace.until), Deadline::Grace(twin));
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

    impl_benchmark_test_suite!(Pallet, crate::mock::new_test_ext(), crate::mock::Test);
}
