// SPDX-License-Identifier: Apache-2.0
//! What other pallets and people may ask, and the laws that hold after every block.

use crate::*;
use sp_runtime::Vec;
use tfgrid_primitives::{FarmId, NodeId, farming::period_start, traits::FarmInUse};
#[cfg(any(feature = "std", feature = "try-runtime"))]
use {
    frame_support::{ensure, traits::fungible::InspectHold},
    sp_runtime::TryRuntimeError,
    tfgrid_primitives::{
        Balance,
        traits::{FarmDirectory, FarmedNodes},
    },
};

impl<T: Config> Pallet<T> {
    pub(crate) fn rewards_of(node: NodeId) -> Vec<RewardInfo> {
        let totals = Totals::<T>::get();
        let payout_of = |reward: &Reward| {
            let total = totals.iter().find(|total| total.period == reward.period);
            total.map_or(0, |total| total.payout(reward.tft))
        };
        let info = |reward: Reward| RewardInfo {
            period: reward.period,
            tft: reward.tft,
            payout: reward.paid.unwrap_or_else(|| payout_of(&reward)),
            claimable_from: period_start(reward.period.saturating_add(MATURES_AFTER)),
            claimed: reward.paid.is_some(),
        };
        NodeRewards::<T>::get(node).into_iter().map(info).collect()
    }
}

/// A farm stays while it has bonds or rewards: they are its farmer's.
impl<T: Config> FarmInUse for Pallet<T> {
    fn has_earnings(farm: FarmId) -> bool {
        FarmEnrolments::<T>::contains_key(farm)
    }
}

#[cfg(any(feature = "std", feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Checks the laws of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        Self::totals_are_the_sums_of_rewards()?;
        Self::no_period_mints_more_than_its_cap()?;
        Self::rewards_belong_to_enrolments()?;
        Self::who_earns_is_a_node_of_the_farm()?;
        Self::farms_enrolments_are_counted()?;
        Self::holds_are_the_sums_of_bonds()?;
        let is_valid = Policy::<T>::get().is_none_or(|policy| policy.is_valid());
        ensure!(is_valid, "the policy is out of bounds");
        Ok(())
    }

    fn totals_are_the_sums_of_rewards() -> Result<(), TryRuntimeError> {
        let rewards: Vec<_> = NodeRewards::<T>::iter_values().flatten().collect();
        for total in Totals::<T>::get() {
            let of_period = || rewards.iter().filter(|reward| reward.period == total.period);
            let sum: Balance = of_period().map(|reward| reward.tft).sum();
            ensure!(sum.checked_add(total.forgotten) == Some(total.sum), "a total isn't its rewards' sum");
            let paid: Balance = of_period().filter_map(|reward| reward.paid).sum();
            ensure!(paid <= total.paid, "rewards were paid that no total knows of");
        }
        Ok(())
    }

    fn no_period_mints_more_than_its_cap() -> Result<(), TryRuntimeError> {
        let totals = Totals::<T>::get();
        ensure!(totals.is_sorted_by_key(|total| total.period), "periods aren't in order");
        for total in totals {
            ensure!(total.paid <= total.cap && total.paid <= total.sum, "a period has minted too much");
            ensure!(is_mature(total.period, Self::period_now()) || total.paid == 0, "minted too early");
        }
        Ok(())
    }

    fn rewards_belong_to_enrolments() -> Result<(), TryRuntimeError> {
        for (node, rewards) in NodeRewards::<T>::iter() {
            ensure!(Enrolments::<T>::contains_key(node), "rewards of a node that is forgotten");
            let ascending = rewards.windows(2).all(|pair| pair[0].period < pair[1].period);
            ensure!(ascending && !rewards.is_empty(), "a node's rewards aren't in order");
        }
        Ok(())
    }

    fn who_earns_is_a_node_of_the_farm() -> Result<(), TryRuntimeError> {
        for (node, enrolment) in Enrolments::<T>::iter() {
            let farm = T::Nodes::describe(node).map(|node| node.farm);
            let earns = matches!(enrolment.phase, Phase::Farming(_));
            ensure!(!earns || farm == Some(enrolment.farm), "a farm earns by a node that isn't its own");
        }
        Ok(())
    }

    fn farms_enrolments_are_counted() -> Result<(), TryRuntimeError> {
        for (farm, count) in FarmEnrolments::<T>::iter() {
            let of_farm = Enrolments::<T>::iter_values().filter(|enrolment| enrolment.farm == farm);
            ensure!(of_farm.count() == count as usize && count > 0, "a farm's enrolments are miscounted");
        }
        let counted: u32 = FarmEnrolments::<T>::iter_values().sum();
        ensure!(Enrolments::<T>::iter_keys().count() == counted as usize, "an enrolment isn't counted");
        Ok(())
    }

    fn holds_are_the_sums_of_bonds() -> Result<(), TryRuntimeError> {
        let bonds: Vec<_> = Enrolments::<T>::iter_values()
            .map(|enrolment| (T::Farms::farmer_account(enrolment.farm), enrolment.bond))
            .collect();
        for (account, _) in &bonds {
            let sum: Balance = bonds.iter().filter(|(a, _)| a == account).map(|(_, bond)| bond).sum();
            let account = account.as_ref().ok_or("an enrolled node's farmer is gone")?;
            let held = T::Currency::balance_on_hold(&HoldReason::Bond.into(), account);
            ensure!(held == sum, "a hold isn't the sum of the bonds");
        }
        Ok(())
    }
}
