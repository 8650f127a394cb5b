// SPDX-License-Identifier: Apache-2.0
//! What contracts were charged by month, bounded.

use crate::*;
use frame_support::defensive;
use tfgrid_primitives::{
    Charge, ContractId,
    traits::Clock,
    units::{MONTH_MS, SECOND_MS},
};

impl<T: Config> Pallet<T> {
    /// Adds to the contract's month what its charge has grown by, or takes off what was given back.
    pub(crate) fn record_charge(contract: ContractId, before: Charge, after: Charge) {
        if before == after {
            return;
        }
        let months = T::Clock::unix_now().saturating_mul(SECOND_MS) / MONTH_MS;
        let month = u32::try_from(months).unwrap_or(u32::MAX);
        Bills::<T>::mutate(contract, |months| add_to_months(months, month, before, after));
        Self::deposit_event(Event::Charged { contract, usd: after.usd, tft: after.tft.whole() });
    }
}

/// Lets the months' sum follow the charge exactly, as long as none has been dropped.
pub(crate) fn add_to_months(months: &mut Months, month: u32, before: Charge, after: Charge) {
    let mut less = before.minus(&after);
    for recorded in months.iter_mut().rev() {
        let back = less.at_most(&recorded.charge);
        recorded.charge = recorded.charge.minus(&back);
        less = less.minus(&back);
    }
    if months.last().is_none_or(|last| last.month < month) {
        if months.is_full() {
            months.remove(0);
        }
        if months.try_push(MonthlyCharge { month, charge: Charge::default() }).is_err() {
            defensive!("the oldest month made room");
        }
    }
    if let Some(last) = months.last_mut() {
        last.charge = last.charge.plus(&after.minus(&before));
    }
}
