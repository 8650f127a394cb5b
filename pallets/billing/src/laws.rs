// SPDX-License-Identifier: Apache-2.0
//! The laws that hold after every block, each by its name: for tests and try-runtime, never in a block.

use crate::*;
use alloc::collections::{BTreeMap, BTreeSet};
use frame_support::{ensure, traits::fungible::Inspect};
use sp_runtime::TryRuntimeError;
use tfgrid_primitives::{Deadline, DeadlineKey, EndKey, GridMillis, Q64, TwinId, fixed};

type Law = Result<(), TryRuntimeError>;

impl<T: Config> Pallet<T> {
    /// Checks the laws of the pallet.
    pub fn do_try_state() -> Law {
        Self::the_pot_covers_everything()?;
        Self::payers_rates_are_the_sums_of_their_contracts()?;
        Self::what_is_suspended_is_promised()?;
        Self::who_is_charged_and_does_not_wait_is_in_the_agenda_once()?;
        Self::who_waits_has_a_grace_and_that_a_deadline()?;
        Self::who_is_charged_is_reviewed()?;
        Self::months_add_up_to_what_was_charged()?;
        Self::allowances_hold_traffic()?;
        Self::every_deadline_is_one()
    }

    /// What of the pot belongs to nobody: fractions lost, and what strangers sent to its account. In Q64.64
    /// of 1e-7 TFT; `None` where the pot owes more than it has.
    pub fn dust() -> Option<Q64> {
        let credit: Q64 = Payers::<T>::iter_keys().map(|twin| Self::settled_payer(twin).credit).sum();
        let allowances: Q64 = Allowances::<T>::iter_values().map(|allowance| allowance.tft).sum();
        let unclaimed: Q64 = Accruals::<T>::iter_values()
            .map(|account| account.earned(&Self::settled_payer(account.payer).funded).total())
            .sum();
        let payable: Q64 = Payable::<T>::iter_values().sum();
        let pot = T::Currency::total_balance(&Self::pot()).saturating_sub(T::Currency::minimum_balance());
        fixed::from_whole(pot).checked_sub(credit + allowances + unclaimed + payable)
    }

    /// Whether `deadline` is armed for `due`, for the laws of others.
    pub fn is_armed(due: GridMillis, deadline: Deadline) -> bool {
        Deadlines::<T>::contains_key(DeadlineKey::new(due, deadline))
    }

    fn the_pot_covers_everything() -> Law {
        ensure!(Self::dust().is_some(), "the pot owes more than it has");
        Ok(())
    }

    fn payers_rates_are_the_sums_of_their_contracts() -> Law {
        let mut sums = sums_of_rates::<T>(|account| account.running);
        for (twin, payer) in Payers::<T>::iter() {
            let sum = sums.remove(&twin).unwrap_or_default();
            ensure!((payer.rate, payer.extra) == sum, "a payer's rate isn't the sum of its contracts'");
            ensure!(payer.is_charged() || payer.end == Q64::MAX, "a payer without contracts has an end");
        }
        ensure!(sums.is_empty(), "nobody pays for a contract");
        Ok(())
    }

    /// All that is promised is for the whole runtime to say; this is what the ledger knows of it.
    fn what_is_suspended_is_promised() -> Law {
        let sums = sums_of_rates::<T>(|account| !account.running);
        let is_promised = |(twin, (rate, extra))| {
            let promised = Payers::<T>::get(twin).promised;
            promised.rate >= rate && promised.extra >= extra
        };
        ensure!(sums.into_iter().all(is_promised), "what isn't charged for the time being isn't promised");
        Ok(())
    }

    fn who_is_charged_and_does_not_wait_is_in_the_agenda_once() -> Law {
        let mut expected: alloc::vec::Vec<EndKey> = Payers::<T>::iter()
            .filter_map(|(twin, payer)| payer.agenda_end().map(|end| EndKey::new(end, twin)))
            .collect();
        expected.sort_unstable();
        ensure!(
            Ends::<T>::iter_keys().eq(expected),
            "the agenda isn't the payers that are charged and don't wait, each at its end, in order"
        );
        Ok(())
    }

    fn who_waits_has_a_grace_and_that_a_deadline() -> Law {
        let clock = Self::now().clock;
        for (twin, payer) in Payers::<T>::iter() {
            ensure!(
                payer.paused == Graces::<T>::contains_key(twin),
                "who waits has no grace, or the other way"
            );
            let may_run = payer.paused && payer.is_charged() && !payer.is_exhausted(clock);
            ensure!(!may_run, "who waits isn't exhausted");
        }
        let expected = Graces::<T>::iter().filter(|(_, grace)| !grace.over);
        let expected = expected.map(|(twin, grace)| DeadlineKey::new(grace.until, Deadline::Grace(twin)));
        let is_grace = |deadline: &Deadline| matches!(deadline, Deadline::Grace(_));
        ensure!(armed::<T>(is_grace) == expected.collect(), "graces that last have one deadline each");
        ensure!(Graces::<T>::iter_keys().all(|twin| Payers::<T>::contains_key(twin)), "a grace has no payer");
        Ok(())
    }

    fn who_is_charged_is_reviewed() -> Law {
        ensure!(
            Payers::<T>::iter_values().all(|payer| payer.review_at > 0 || !payer.is_charged()),
            "nobody reviews a payer that is charged"
        );
        let expected = Payers::<T>::iter().filter(|(_, payer)| payer.review_at > 0);
        let expected =
            expected.map(|(twin, payer)| DeadlineKey::new(payer.review_at, Deadline::Review(twin)));
        let is_review = |deadline: &Deadline| matches!(deadline, Deadline::Review(_));
        ensure!(armed::<T>(is_review) == expected.collect(), "reviews have one deadline each");
        Ok(())
    }

    fn months_add_up_to_what_was_charged() -> Law {
        for (contract, account) in Accruals::<T>::iter() {
            let months = Bills::<T>::get(contract);
            ensure!(months.windows(2).all(|pair| pair[0].month < pair[1].month), "months are out of order");
            let (tft, usd) = months.iter().fold((0u128, 0u128), |(tft, usd), month| {
                (tft.saturating_add(month.charge.tft), usd.saturating_add(month.charge.usd))
            });
            let charged = account.accrual.charged;
            // The oldest month of a long life has been dropped.
            let whole = !months.is_full();
            ensure!(!whole || (tft, usd) == (charged.tft, charged.usd), "a bill isn't what was charged");
            ensure!(tft <= charged.tft, "a bill says more than what was charged");
        }
        Ok(())
    }

    fn allowances_hold_traffic() -> Law {
        ensure!(Allowances::<T>::iter_values().all(|a| a.bytes > 0), "an empty allowance is kept");
        Ok(())
    }

    fn every_deadline_is_one() -> Law {
        let all_decode = Deadlines::<T>::iter_keys().all(|key| key.deadline().is_some());
        ensure!(all_decode, "the agenda has a key that nobody armed");
        Ok(())
    }
}

/// What such contracts of each payer cost together: capacity rates and extra fees.
fn sums_of_rates<T: Config>(such: impl Fn(&ContractAccount) -> bool) -> BTreeMap<TwinId, (u128, u128)> {
    let mut sums: BTreeMap<TwinId, (u128, u128)> = BTreeMap::new();
    for account in Accruals::<T>::iter_values().filter(such) {
        let (rate, extra) = sums.entry(account.payer).or_default();
        *rate = rate.saturating_add(account.accrual.rates.usd.into());
        *extra = extra.saturating_add(account.accrual.rates.extra.into());
    }
    sums
}

/// The keys of all deadlines of a kind.
fn armed<T: Config>(kind: impl Fn(&Deadline) -> bool) -> BTreeSet<DeadlineKey> {
    Deadlines::<T>::iter_keys().filter(|key| key.deadline().is_some_and(|deadline| kind(&deadline))).collect()
}
