// SPDX-License-Identifier: Apache-2.0
//! Invariants that hold after every block.

use crate::*;
use alloc::{collections::BTreeMap, vec::Vec};
use frame_support::{ensure, traits::fungible::InspectHold};
use sp_runtime::TryRuntimeError;
use tfgrid_primitives::{
    Balance,
    traits::{FarmDirectory, FarmedNodes},
};

impl<T: Config> Pallet<T> {
    /// Checks the invariants of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        Self::policy_is_valid()?;
        Self::totals_are_the_sums_of_rewards()?;
        Self::no_period_mints_more_than_its_cap()?;
        Self::rewards_belong_to_enrolments()?;
        Self::farming_nodes_belong_to_their_farms()?;
        Self::counts_of_enrolments_are_exact()?;
        Self::holds_are_the_sums_of_bonds()
    }

    fn policy_is_valid() -> Result<(), TryRuntimeError> {
        ensure!(Policy::<T>::get().is_none_or(|policy| policy.is_valid()), "the policy is out of bounds");
        Ok(())
    }

    fn totals_are_the_sums_of_rewards() -> Result<(), TryRuntimeError> {
        let rewards: Vec<_> = NodeRewards::<T>::iter_values().flatten().collect();
        for total in Totals::<T>::get() {
            let of_period = || rewards.iter().filter(|reward| reward.period == total.period);
            let sum: Balance = of_period().map(|reward| reward.tft).sum();
            ensure!(sum.checked_add(total.forgotten) == Some(total.sum), "a total isn't its rewards' sum");
            let paid: Balance = of_period().filter_map(|reward| reward.paid).sum();
            ensure!(paid <= total.paid, "a total is less than the rewards paid of it");
        }
        Ok(())
    }

    fn no_period_mints_more_than_its_cap() -> Result<(), TryRuntimeError> {
        let totals = Totals::<T>::get();
        ensure!(totals.is_sorted_by_key(|total| total.period), "periods aren't in order");
        for total in totals {
            ensure!(total.paid <= total.cap && total.paid <= total.sum, "a period has minted too much");
            ensure!(
                is_mature(total.period, Self::period_now()) || total.paid == 0,
                "a period has minted before it matured"
            );
        }
        Ok(())
    }

    fn rewards_belong_to_enrolments() -> Result<(), TryRuntimeError> {
        for (node, rewards) in NodeRewards::<T>::iter() {
            ensure!(Enrolments::<T>::contains_key(node), "a node without an enrolment has rewards");
            let ascending = rewards.windows(2).all(|pair| pair[0].period < pair[1].period);
            ensure!(ascending && !rewards.is_empty(), "a node's rewards aren't in order");
        }
        Ok(())
    }

    fn farming_nodes_belong_to_their_farms() -> Result<(), TryRuntimeError> {
        for (node, enrolment) in Enrolments::<T>::iter() {
            let farm = T::Nodes::describe(node).map(|node| node.farm);
            let earns = matches!(enrolment.phase, Phase::Farming(_));
            ensure!(!earns || farm == Some(enrolment.farm), "a farm earns with a node of another farm");
        }
        Ok(())
    }

    fn counts_of_enrolments_are_exact() -> Result<(), TryRuntimeError> {
        for (farm, count) in FarmEnrolments::<T>::iter() {
            let of_farm = Enrolments::<T>::iter_values().filter(|enrolment| enrolment.farm == farm);
            ensure!(of_farm.count() == count as usize && count > 0, "a farm's enrolments are miscounted");
        }
        let counted: u32 = FarmEnrolments::<T>::iter_values().sum();
        ensure!(Enrolments::<T>::iter_keys().count() == counted as usize, "an enrolment isn't counted");
        Ok(())
    }

    fn holds_are_the_sums_of_bonds() -> Result<(), TryRuntimeError> {
        let mut bonds = BTreeMap::<_, Balance>::new();
        for enrolment in Enrolments::<T>::iter_values() {
            let account = T::Farms::farmer_account(enrolment.farm);
            let account = account.ok_or("the farmer of an enrolled node has no account")?;
            *bonds.entry(account).or_default() += enrolment.bond;
        }
        for (account, sum) in bonds {
            let held = T::Currency::balance_on_hold(&HoldReason::Bond.into(), &account);
            ensure!(held == sum, "a hold isn't the sum of the bonds");
        }
        Ok(())
    }
}
