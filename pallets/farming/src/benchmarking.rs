// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls and of the closing of a period, each in its worst case.

use crate::*;
use frame_benchmarking::v2::*;
use frame_support::traits::EnsureOrigin;
use frame_system::RawOrigin;
use tfgrid_primitives::{
    NodeId, Resources, UnixSeconds,
    farming::{PERIODS_KEPT, period_start},
    traits::FarmingPeriods,
};

/// Creates what the benchmarks need in other pallets.
pub trait BenchmarkHelper<AccountId> {
    /// Creates a node that isn't enrolled; returns the account of its farmer, which can pay all bonds, and
    /// its id.
    fn node() -> (AccountId, NodeId);
    /// Sets the node up to the end of the present period, and calendar time to `now`.
    fn be_up(node: NodeId, now: UnixSeconds);
}

/// An enrolled node with `rewards` unclaimed rewards, in the period after the last of them.
fn with_rewards<T: Config>(rewards: u32) -> Result<(T::AccountId, NodeId), BenchmarkError> {
    let (farmer, node) = T::BenchmarkHelper::node();
    // Every reward is scaled to the cap.
    Policy::<T>::put(FarmingPolicy { cap: 1_000_000, ..FarmingPolicy::standard() });
    Pallet::<T>::do_enrol(node, None)?;
    for _ in 0..rewards {
        go_on::<T>(node);
        Pallet::<T>::heard(node);
    }
    assert_eq!(NodeRewards::<T>::get(node).len(), rewards as usize);
    Ok((farmer, node))
}

/// Begins the next period; the node was up all the time.
fn go_on<T: Config>(node: NodeId) {
    T::BenchmarkHelper::be_up(node, period_start(Pallet::<T>::period_now().saturating_add(1)));
}

fn governance<T: Config>() -> Result<T::RuntimeOrigin, BenchmarkError> {
    T::GovernanceOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)
}

#[benchmarks]
mod benchmarks {
    use super::*;

    /// Worst case: the account's first hold.
    #[benchmark]
    fn enrol() -> Result<(), BenchmarkError> {
        let (_, node) = T::BenchmarkHelper::node();
        Policy::<T>::put(FarmingPolicy::standard());
        let origin = T::CertifierOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, node, Resources::ZERO);
        assert!(Enrolments::<T>::contains_key(node));
        Ok(())
    }

    /// Worst case: a period is closed, and the most rewards are unclaimed.
    #[benchmark]
    fn leave() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_rewards::<T>(PERIODS_KEPT)?;
        go_on::<T>(node);
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node);
        assert!(Pallet::<T>::farming(node).is_none());
        Ok(())
    }

    /// Worst case: all rewards are unclaimed.
    #[benchmark]
    fn withdraw() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_rewards::<T>(PERIODS_KEPT)?;
        Pallet::<T>::leave(RawOrigin::Signed(farmer.clone()).into(), node)?;
        go_on::<T>(node);
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node);
        assert!(!Enrolments::<T>::contains_key(node));
        Ok(())
    }

    /// Worst case: the most rewards, scaled to the cap.
    #[benchmark]
    fn claim() -> Result<(), BenchmarkError> {
        let (farmer, node) = with_rewards::<T>(PERIODS_KEPT)?;
        let period = Pallet::<T>::period_now().saturating_sub(MATURES_AFTER);
        #[extrinsic_call]
        _(RawOrigin::Signed(farmer), node, period);
        assert!(NodeRewards::<T>::get(node).iter().any(|reward| reward.paid == Some(1_000_000)));
        Ok(())
    }

    /// Worst case: a closed reward is deleted.
    #[benchmark]
    fn void() -> Result<(), BenchmarkError> {
        let (_, node) = with_rewards::<T>(PERIODS_KEPT)?;
        let origin = governance::<T>()?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, node, Pallet::<T>::period_now().saturating_sub(1));
        assert_eq!(NodeRewards::<T>::get(node).len() as u32, PERIODS_KEPT - 1);
        Ok(())
    }

    /// Worst case: all rewards are unclaimed, and the last one hasn't matured.
    #[benchmark]
    fn forfeit() -> Result<(), BenchmarkError> {
        let (_, node) = with_rewards::<T>(PERIODS_KEPT)?;
        let origin = governance::<T>()?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, node);
        assert!(!Enrolments::<T>::contains_key(node));
        Ok(())
    }

    #[benchmark]
    fn set_policy() -> Result<(), BenchmarkError> {
        let (origin, policy) = (governance::<T>()?, FarmingPolicy::standard());
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, policy);
        assert_eq!(Policy::<T>::get(), Some(policy));
        Ok(())
    }

    #[benchmark]
    fn inspect() -> Result<(), BenchmarkError> {
        let (_, node) = T::BenchmarkHelper::node();
        Policy::<T>::put(FarmingPolicy::standard());
        Pallet::<T>::do_enrol(node, None)?;
        let origin = T::CertifierOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, node, Resources::ZERO);
        assert!(Enrolments::<T>::get(node).is_some_and(|enrolment| enrolment.seen == Resources::ZERO));
        Ok(())
    }

    /// The first heartbeat of a period. Worst case: the oldest of 13 periods is deleted.
    #[benchmark]
    fn close() -> Result<(), BenchmarkError> {
        let (_, node) = with_rewards::<T>(PERIODS_KEPT)?;
        go_on::<T>(node);
        #[block]
        {
            Pallet::<T>::heard(node);
        }
        assert_eq!(NodeRewards::<T>::get(node).len() as u32, PERIODS_KEPT);
        Ok(())
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::chain().build(), crate::mock::Test);
}
