// SPDX-License-Identifier: Apache-2.0
//! Reads for people (view functions), and the trait through which a farm knows its earnings.

use crate::*;
use alloc::vec::Vec;
use tfgrid_primitives::{FarmId, NodeId, farming::period_start, traits::FarmInUse};

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

/// A farm can't be removed while its nodes have bonds or rewards: they are its farmer's.
impl<T: Config> FarmInUse for Pallet<T> {
    fn has_earnings(farm: FarmId) -> bool {
        FarmEnrolments::<T>::contains_key(farm)
    }
}
