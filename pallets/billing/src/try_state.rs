// SPDX-License-Identifier: Apache-2.0
//! The invariants of the pallet: for tests and try-runtime, never in a block.

use crate::*;
use alloc::{collections::BTreeMap, vec::Vec};
use frame_support::{ensure, traits::fungible::Inspect};
use sp_runtime::TryRuntimeError;
use tfgrid_primitives::{
    Charge, Deadline, ExactTft, ExhaustionKey, Payer, PriceTime, RateSums, TwinId,
    traits::{Agenda, Clock},
};

type Checked = Result<(), TryRuntimeError>;

impl<T: Config> Pallet<T> {
    /// Checks the invariants of the pallet.
    pub fn do_try_state() -> Checked {
        Self::the_pot_covers_everything()?;
        Self::charged_is_the_sum_of_charged_accounts()?;
        Self::committed_is_the_sum_of_other_accounts_and_proposals()?;
        Self::each_active_payer_has_exactly_one_agenda_key()?;
        Self::each_paused_payer_has_a_grace_period_with_a_deadline()?;
        Self::each_charged_payer_has_a_review()?;
        Self::bills_add_up_to_the_charges()?;
        Self::allowances_hold_traffic()
    }

    /// What of the pot belongs to nobody: lost fractions, and what strangers sent to its account. `None` where
    /// the pot owes more than it has.
    pub fn dust() -> Option<ExactTft> {
        let credit = Payers::<T>::iter_keys().map(|twin| Self::settled_payer(twin).credit);
        let allowances = Allowances::<T>::iter_values().map(|allowance| allowance.tft);
        let uncollected = LedgerAccounts::<T>::iter_values()
            .map(|account| account.earned(&Self::settled_payer(account.payer).funded).total());
        let payable = Payable::<T>::iter_values();
        let owed = credit.chain(allowances).chain(uncollected).chain(payable);
        let owed = owed.fold(ExactTft::ZERO, ExactTft::saturating_add);
        let pot = T::Currency::total_balance(&Self::pot()).saturating_sub(T::Currency::minimum_balance());
        ExactTft::from_whole(pot).checked_sub(owed)
    }

    fn the_pot_covers_everything() -> Checked {
        ensure!(Self::dust().is_some(), "the pot owes more than it has");
        Ok(())
    }

    fn charged_is_the_sum_of_charged_accounts() -> Checked {
        let sums = sums_of_rates::<T>(|account, sum| {
            if account.is_charged {
                sum.add(account.price.rates);
            }
        });
        ensure!(has_sums::<T>(sums, |payer| payer.charged), "charged isn't the sum of charged accounts");
        let idle_end = |payer: Payer| payer.is_charged() || payer.end == PriceTime::MAX;
        ensure!(Payers::<T>::iter_values().all(idle_end), "a payer without charges has an end");
        Ok(())
    }

    fn committed_is_the_sum_of_other_accounts_and_proposals() -> Checked {
        let sums = sums_of_rates::<T>(|account, sum| {
            if !account.is_charged {
                sum.add(account.price.rates);
            }
            sum.add(account.proposed_more());
        });
        let holds = has_sums::<T>(sums, |payer| payer.committed);
        ensure!(holds, "committed isn't the sum of uncharged accounts and proposals");
        Ok(())
    }

    fn each_active_payer_has_exactly_one_agenda_key() -> Checked {
        let mut expected: Vec<ExhaustionKey> = Payers::<T>::iter()
            .filter_map(|(twin, payer)| payer.agenda_end().map(|end| ExhaustionKey::new(end, twin)))
            .collect();
        expected.sort_unstable();
        ensure!(
            PayersByExhaustion::<T>::iter_keys().eq(expected),
            "the agenda isn't the charged, unpaused payers, each at its end, in order"
        );
        Ok(())
    }

    fn each_paused_payer_has_a_grace_period_with_a_deadline() -> Checked {
        let clock = T::Clock::price_now();
        for (twin, payer) in Payers::<T>::iter() {
            let grace = Graces::<T>::get(twin);
            ensure!(
                payer.paused == grace.is_some(),
                "a paused payer has no grace period, or another has one"
            );
            let may_run = payer.paused && payer.is_charged() && !payer.is_exhausted(clock);
            ensure!(!may_run, "a paused payer isn't exhausted");
            let armed = grace
                .is_none_or(|grace| grace.over || T::Agenda::is_armed(grace.until, Deadline::Grace(twin)));
            ensure!(armed, "a grace period has no deadline");
        }
        ensure!(Graces::<T>::iter_keys().all(Payers::<T>::contains_key), "a grace period has no payer");
        Ok(())
    }

    fn each_charged_payer_has_a_review() -> Checked {
        for (twin, payer) in Payers::<T>::iter() {
            let at = payer.review_at;
            ensure!(at > 0 || !payer.is_charged(), "a charged payer has no review");
            ensure!(at == 0 || T::Agenda::is_armed(at, Deadline::Review(twin)), "a review has no deadline");
        }
        Ok(())
    }

    fn bills_add_up_to_the_charges() -> Checked {
        for (contract, account) in LedgerAccounts::<T>::iter() {
            let months = Bills::<T>::get(contract);
            ensure!(months.windows(2).all(|pair| pair[0].month < pair[1].month), "months are out of order");
            let sum = months.iter().fold(Charge::default(), |sum, month| sum.plus(&month.charge));
            let charged = account.accrual.charged;
            // The oldest months of a long life have been dropped.
            ensure!(months.is_full() || sum == charged, "a bill isn't what was charged");
            ensure!(sum.tft <= charged.tft, "a bill says more than what was charged");
        }
        Ok(())
    }

    fn allowances_hold_traffic() -> Checked {
        ensure!(Allowances::<T>::iter_values().all(|a| a.bytes > 0), "an empty allowance is kept");
        Ok(())
    }
}

/// What `add` makes of each payer's accounts.
fn sums_of_rates<T: Config>(add: impl Fn(&LedgerAccount, &mut RateSums)) -> BTreeMap<TwinId, RateSums> {
    let mut sums = BTreeMap::new();
    for account in LedgerAccounts::<T>::iter_values() {
        add(&account, sums.entry(account.payer).or_default());
    }
    sums
}

/// Whether each payer's sum is the expected one, zero where none is, and no sum lacks its payer.
fn has_sums<T: Config>(mut expected: BTreeMap<TwinId, RateSums>, sum: impl Fn(&Payer) -> RateSums) -> bool {
    let matches = Payers::<T>::iter().all(|(twin, payer)| {
        let expected = expected.remove(&twin).unwrap_or_default();
        sum(&payer) == expected
    });
    matches && expected.values().all(RateSums::is_zero)
}
