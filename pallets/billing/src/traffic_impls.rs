// SPDX-License-Identifier: Apache-2.0
//! Public traffic: bought in advance, so that a node's report can never touch credit.

use crate::{payer_impls::By, *};
use frame_support::{ensure, storage::with_storage_layer};
use sp_runtime::DispatchResult;
use tfgrid_primitives::{
    Balance, ContractId, TwinId, clock::tft_of, fixed, pricing::traffic_cost, traits::TwinDirectory,
};

/// Bytes of a GB of traffic.
const GB: u64 = 1_000_000_000;

impl<T: Config> Pallet<T> {
    pub(crate) fn do_buy_traffic(
        account: T::AccountId,
        contract: ContractId,
        gb: u32,
        max_tft: Balance,
    ) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        let record = Accruals::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        ensure!(record.payer == twin, Error::<T>::NotThePayer);
        let certified = record.priced.is_some_and(|priced| priced.is_certified());
        Self::fill_allowance(contract, twin, gb, certified, max_tft)
    }

    /// Moves credit into the contract's allowance. What runs keeps its minimum runway.
    pub(crate) fn fill_allowance(
        contract: ContractId,
        twin: TwinId,
        gb: u32,
        certified: bool,
        max_tft: Balance,
    ) -> DispatchResult {
        with_storage_layer(|| Self::try_fill_allowance(contract, twin, gb, certified, max_tft))
    }

    fn try_fill_allowance(
        contract: ContractId,
        twin: TwinId,
        gb: u32,
        certified: bool,
        max_tft: Balance,
    ) -> DispatchResult {
        if gb == 0 {
            return Ok(());
        }
        let policy = CurrentPolicy::<T>::get().ok_or(Error::<T>::PolicyInvalid)?;
        let mut allowance = Allowances::<T>::get(contract).unwrap_or_default();
        let bytes = allowance.bytes.checked_add(u64::from(gb).saturating_mul(GB));
        allowance.bytes = bytes.ok_or(Error::<T>::AllowanceTooLarge)?;
        allowance.payer = twin;

        let cost = Self::change_payer(twin, By::Owner, |p| {
            let usd = traffic_cost(&policy.prices, gb, certified, p.speed);
            let tft = tft_of(usd, Self::price());
            p.credit = p.credit.checked_sub(tft).ok_or(Error::<T>::NotEnoughCredit)?;
            allowance.usd = allowance.usd.saturating_add(usd);
            allowance.tft = allowance.tft.saturating_add(tft);
            Ok::<_, Error<T>>(tft)
        })?;
        ensure!(fixed::ceil(cost) <= max_tft, Error::<T>::TrafficTooDear);
        let payer = Payers::<T>::get(twin);
        ensure!(payer.credit >= Self::must_keep(&payer), Error::<T>::CreditTooLow);
        Allowances::<T>::insert(contract, allowance);
        Self::deposit_event(Event::TrafficBought { contract, twin, gb, amount: fixed::ceil(cost) });
        Ok(())
    }

    /// Moves what `bytes` cost from the allowance to the contract's earnings. Says how many it covered.
    pub(crate) fn draw_traffic(contract: ContractId, bytes: u64) -> u64 {
        let (Some(mut account), Some(mut allowance)) =
            (Accruals::<T>::get(contract), Allowances::<T>::get(contract))
        else {
            return 0;
        };
        let before = account.accrual.charged;
        let drawn = allowance.draw(bytes);
        account.earn_traffic(&drawn);
        Self::record_charge(contract, before, account.accrual.charged);
        Accruals::<T>::insert(contract, account);
        Allowances::<T>::set(contract, (allowance.bytes > 0).then_some(allowance));
        drawn.bytes
    }

    /// What wasn't used is credit again.
    pub(crate) fn return_allowance(contract: ContractId) {
        let Some(Allowance { payer: twin, tft, .. }) = Allowances::<T>::take(contract) else { return };
        Self::change_payer(twin, By::Others, |p| p.credit = p.credit.saturating_add(tft));
        Self::deposit_event(Event::Refunded { contract, twin, amount: fixed::whole(tft) });
    }
}
