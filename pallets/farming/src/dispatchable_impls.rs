// SPDX-License-Identifier: Apache-2.0
//! Implementations of the calls.

use crate::*;
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::{Mutate, MutateHold},
        tokens::{Fortitude, Precision},
    },
};
use tfgrid_primitives::{
    Balance, FarmId, NodeId, Resources,
    count::count_down,
    farming::period_of,
    traits::{Clock, FarmDirectory, FarmedNodes, PriceHistory},
};

impl<T: Config> Pallet<T> {
    /// Without a certifier, what the node offers counts as seen.
    pub(crate) fn do_enrol(node: NodeId, seen: Option<Resources>) -> DispatchResult {
        let policy = Policy::<T>::get().ok_or(Error::<T>::NoPolicy)?;
        match Enrolments::<T>::get(node).map(|enrolment| enrolment.phase) {
            None => {}
            Some(Phase::Farming(_)) => return Err(Error::<T>::AlreadyEnrolled.into()),
            Some(Phase::Leaving { .. }) => return Err(Error::<T>::BondNotWithdrawn.into()),
        }
        let mut record = T::Nodes::describe(node).ok_or(Error::<T>::UnknownNode)?;
        let seen = seen.unwrap_or(record.resources);
        record.resources = record.resources.min(&seen);
        let (farm, bond) = (record.farm, policy.bond);
        let account = Self::farmer(farm)?;
        let price = T::Prices::average_price(PRICE_DAYS).filter(|price| *price > 0);
        let price = price.ok_or(Error::<T>::NoPrice)?;

        T::Currency::hold(&HoldReason::Bond.into(), &account, bond)?;
        let now = T::Clock::unix_now();
        let period = period_of(now);
        let open = OpenPeriod::begin(period, now, T::Nodes::uptime_ms(node, period), &record);
        let phase = Phase::Farming(open);
        Enrolments::<T>::insert(node, Enrolment { farm, bond, price, seen, phase });
        FarmEnrolments::<T>::mutate(farm, |count| *count = count.saturating_add(1));
        Self::deposit_event(Event::Enrolled { node, farm, bond, price });
        Ok(())
    }

    pub(crate) fn do_inspect(node: NodeId, seen: Resources) -> DispatchResult {
        let (enrolment, open) = Self::farming(node).ok_or(Error::<T>::NotEnrolled)?;
        Self::set_open_period(node, Enrolment { seen, ..enrolment }, open);
        Self::deposit_event(Event::Inspected { node, seen });
        Ok(())
    }

    pub(crate) fn do_leave(account: T::AccountId, node: NodeId) -> DispatchResult {
        let (enrolment, open) = Self::farming(node).ok_or(Error::<T>::NotEnrolled)?;
        ensure!(T::Farms::farmer_account(enrolment.farm) == Some(account), Error::<T>::NotFarmer);
        Self::stop_farming(node, enrolment, open);
        Ok(())
    }

    pub(crate) fn do_withdraw(node: NodeId) -> DispatchResult {
        let Enrolment { farm, bond, phase, .. } = Self::enrolment(node)?;
        let Phase::Leaving { until } = phase else { return Err(Error::<T>::AlreadyEnrolled.into()) };
        ensure!(until <= Self::period_now(), Error::<T>::NotMature);
        let account = Self::farmer(farm)?;
        let bond = T::Currency::release(&HoldReason::Bond.into(), &account, bond, Precision::BestEffort)?;
        Self::pay_all_and_forget(node, farm, &account)?;
        Self::deposit_event(Event::BondReleased { node, farm, bond });
        Ok(())
    }

    pub(crate) fn do_claim(node: NodeId, period: u32) -> DispatchResult {
        ensure!(is_mature(period, Self::period_now()), Error::<T>::NotMature);
        let farm = Self::enrolment(node)?.farm;
        let account = Self::farmer(farm)?;
        NodeRewards::<T>::try_mutate(node, |rewards| {
            let reward = rewards.iter_mut().find(|reward| reward.period == period);
            let reward = reward.ok_or(Error::<T>::NoReward)?;
            ensure!(reward.paid.is_none(), Error::<T>::AlreadyClaimed);
            reward.paid = Some(Self::pay(node, farm, &account, reward)?);
            Ok(())
        })
    }

    pub(crate) fn do_void(node: NodeId, period: u32) -> DispatchResult {
        ensure!(!is_mature(period, Self::period_now()), Error::<T>::AlreadyMature);
        let tft = match Self::take_reward(node, period) {
            Some(tft) => tft,
            None => {
                let open = Self::farming(node).filter(|(_, open)| open.period == period);
                let (enrolment, open) = open.ok_or(Error::<T>::NoReward)?;
                Self::set_open_period(node, enrolment, OpenPeriod { void: true, ..open });
                0
            }
        };
        Self::deposit_event(Event::RewardVoided { node, period, tft });
        Ok(())
    }

    pub(crate) fn do_forfeit(node: NodeId) -> DispatchResult {
        let Enrolment { farm, bond, .. } = Self::enrolment(node)?;
        let account = Self::farmer(farm)?;
        // The last period is the only closed one whose reward hasn't matured.
        if let Some(period) = Self::period_now().checked_sub(1)
            && let Some(tft) = Self::take_reward(node, period)
        {
            Self::deposit_event(Event::RewardVoided { node, period, tft });
        }
        let (precision, force) = (Precision::BestEffort, Fortitude::Force);
        let bond = T::Currency::burn_held(&HoldReason::Bond.into(), &account, bond, precision, force)?;
        Self::pay_all_and_forget(node, farm, &account)?;
        Self::deposit_event(Event::BondForfeited { node, farm, bond });
        Ok(())
    }

    pub(crate) fn do_set_policy(policy: FarmingPolicy) -> DispatchResult {
        ensure!(policy.is_valid(), Error::<T>::PolicyInvalid);
        Policy::<T>::put(policy);
        Self::deposit_event(Event::PolicySet { policy });
        Ok(())
    }

    fn enrolment(node: NodeId) -> Result<Enrolment, Error<T>> {
        Enrolments::<T>::get(node).ok_or(Error::<T>::NotEnrolled)
    }

    fn farmer(farm: FarmId) -> Result<T::AccountId, Error<T>> {
        T::Farms::farmer_account(farm).ok_or(Error::<T>::FarmerGone)
    }

    /// Mints a matured, unclaimed reward and returns the amount, in 1e-7 TFT.
    fn pay(
        node: NodeId,
        farm: FarmId,
        account: &T::AccountId,
        reward: &Reward,
    ) -> Result<Balance, DispatchError> {
        let period = reward.period;
        let tft = Totals::<T>::try_mutate(|totals| {
            let total = totals.iter_mut().find(|total| total.period == period);
            let total = total.ok_or(Error::<T>::PeriodForgotten)?;
            let tft = total.payout(reward.tft);
            total.paid = total.paid.saturating_add(tft);
            Ok::<_, Error<T>>(tft)
        })?;
        if tft > 0 {
            T::Currency::mint_into(account, tft)?;
        }
        Self::deposit_event(Event::RewardClaimed { node, period, farm, tft });
        Ok(tft)
    }

    /// Pays all unclaimed rewards of a node, which have matured, and deletes its records.
    fn pay_all_and_forget(node: NodeId, farm: FarmId, account: &T::AccountId) -> DispatchResult {
        for reward in NodeRewards::<T>::take(node) {
            let known = Totals::<T>::get().iter().any(|total| total.period == reward.period);
            if known && reward.paid.is_none() {
                Self::pay(node, farm, account, &reward)?;
            }
            Totals::<T>::mutate(|totals| {
                if let Some(total) = totals.iter_mut().find(|total| total.period == reward.period) {
                    total.forgotten = total.forgotten.saturating_add(reward.tft);
                }
            });
        }
        Enrolments::<T>::remove(node);
        FarmEnrolments::<T>::mutate_exists(farm, count_down);
        Ok(())
    }

    /// Deletes a reward that hasn't matured and returns its amount, in 1e-7 TFT.
    fn take_reward(node: NodeId, period: u32) -> Option<Balance> {
        let tft = NodeRewards::<T>::mutate_exists(node, |rewards| {
            let mut left = rewards.take().unwrap_or_default();
            let at = left.iter().position(|reward| reward.period == period);
            let tft = at.map(|at| left.remove(at).tft);
            *rewards = (!left.is_empty()).then_some(left);
            tft
        })?;
        Totals::<T>::mutate(|totals| {
            if let Some(total) = totals.iter_mut().find(|total| total.period == period) {
                total.sum = total.sum.saturating_sub(tft);
            }
        });
        Some(tft)
    }
}
