// SPDX-License-Identifier: Apache-2.0
//! Public traffic: bought in advance, so that a node's report can never touch credit.

use crate::{payer_impls::ChangedBy, *};
use frame_support::{ensure, storage::with_storage_layer};
use sp_runtime::DispatchResult;
use tfgrid_primitives::{Balance, ContractId, clock::tft_of, pricing::traffic_cost, traits::LedgerClock};

/// Bytes of a GB of traffic.
const GB: u64 = 1_000_000_000;

impl<T: Config> Pallet<T> {
    /// Moves credit into a contract's allowance, for at most `max_tft`. All rates keep their minimum runway.
    ///
    /// Traffic has no discount: the runway of a tiny contract would earn one for any amount of it. What lies in
    /// an allowance isn't paid in any more, so that it prolongs no grace period.
    pub(crate) fn fill_allowance(
        contract: ContractId,
        account: &LedgerAccount,
        gb: u32,
        max_tft: Balance,
    ) -> DispatchResult {
        if gb == 0 {
            return Ok(());
        }
        let twin = account.payer;
        let policy = Policy::<T>::get().ok_or(Error::<T>::PolicyInvalid)?;
        let usd = traffic_cost(&policy.prices, gb, account.price.certified);
        let tft = tft_of(usd, T::Clock::tft_price());
        let amount = tft.ceil();
        ensure!(amount <= max_tft, Error::<T>::TrafficTooDear);
        let mut allowance = Allowances::<T>::get(contract).unwrap_or_default();
        let bytes = allowance.bytes.checked_add(u64::from(gb).saturating_mul(GB));
        allowance.bytes = bytes.ok_or(Error::<T>::AllowanceTooLarge)?;
        allowance.usd = allowance.usd.saturating_add(usd);
        allowance.tft = allowance.tft.saturating_add(tft);
        allowance.payer = twin;

        with_storage_layer(|| {
            Self::change_payer(twin, ChangedBy::Owner, |p| {
                p.credit = p.credit.checked_sub(tft).ok_or(Error::<T>::NotEnoughCredit)?;
                p.paid = p.paid.saturating_sub(amount);
                Ok::<_, Error<T>>(())
            })?;
            let payer = Payers::<T>::get(twin);
            ensure!(payer.credit >= Self::must_keep(&payer), Error::<T>::CreditTooLow);
            Allowances::<T>::insert(contract, allowance);
            Self::deposit_event(Event::TrafficBought { contract, twin, gb, amount });
            Ok(())
        })
    }

    /// Moves what `bytes` cost from the allowance to the contract's earnings. Says how many it covered.
    pub(crate) fn draw_traffic(contract: ContractId, bytes: u64) -> u64 {
        let (Some(mut account), Some(mut allowance)) =
            (LedgerAccounts::<T>::get(contract), Allowances::<T>::get(contract))
        else {
            return 0;
        };
        let before = account.accrual.charged;
        let drawn = allowance.draw(bytes);
        account.earn_traffic(&drawn);
        Self::record_charge(contract, before, account.accrual.charged);
        LedgerAccounts::<T>::insert(contract, account);
        Allowances::<T>::set(contract, (allowance.bytes > 0).then_some(allowance));
        drawn.bytes
    }

    /// Unused traffic becomes credit again.
    pub(crate) fn return_allowance(contract: ContractId) {
        let Some(Allowance { payer: twin, tft, .. }) = Allowances::<T>::take(contract) else { return };
        let amount = tft.whole();
        Self::change_payer(twin, ChangedBy::Others, |p| {
            p.credit = p.credit.saturating_add(tft);
            p.paid = p.paid.saturating_add(amount);
        });
        Self::deposit_event(Event::Refunded { contract, twin, amount });
    }
}
