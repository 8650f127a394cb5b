// SPDX-License-Identifier: Apache-2.0
//! The calls.

use crate::{payer_impls::ChangedBy, *};
use frame_support::{
    pallet_prelude::*,
    storage::with_storage_layer,
    traits::{
        fungible::{Inspect, Mutate},
        tokens::Preservation,
    },
};
use tfgrid_primitives::{
    Balance, ContractId, ExactTft, ProviderId, TwinId,
    traits::{Clock, FarmDirectory, NodeLiveness, TwinDirectory},
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_deposit(from: T::AccountId, twin: TwinId, amount: Balance) -> DispatchResult {
        let owner = T::Twins::account_of(twin).ok_or(Error::<T>::UnknownTwin)?;
        ensure!(amount >= T::Currency::minimum_balance(), Error::<T>::DepositTooSmall);
        ensure!(Self::leaves_fees(&from, amount), Error::<T>::NothingLeftForFees);
        T::Currency::transfer(&from, &Self::pot(), amount, Preservation::Preserve)?;
        let by = if from == owner { ChangedBy::Owner } else { ChangedBy::Others };
        Self::change_payer(twin, by, |p| {
            p.credit = p.credit.saturating_add(ExactTft::from_whole(amount));
            p.paid = p.paid.saturating_add(amount);
        });
        Self::deposit_event(Event::Deposited { twin, from, amount });
        Self::tell_what_is_missing(twin);
        Ok(())
    }

    /// Whether an account that pays `amount` can still pay for calls: otherwise nobody could stop what it pays for.
    pub(crate) fn leaves_fees(account: &T::AccountId, amount: Balance) -> bool {
        let kept = T::Currency::minimum_balance().saturating_add(T::FeeReserve::get());
        T::Currency::balance(account) >= amount.saturating_add(kept)
    }

    /// Where a deposit was too small for the contracts to go on, its giver learns what is missing.
    fn tell_what_is_missing(twin: TwinId) {
        let payer = Self::settled_payer(twin);
        let missing = Self::must_keep(&payer).saturating_sub(payer.credit).ceil();
        if let Some(Grace { until, .. }) = Graces::<T>::get(twin).filter(|_| payer.paused && missing > 0) {
            Self::deposit_event(Event::CreditMissing { twin, missing, until });
        }
    }

    pub(crate) fn do_withdraw(account: T::AccountId, amount: Balance) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        with_storage_layer(|| {
            Self::change_payer(twin, ChangedBy::Owner, |p| {
                let left = p.credit.checked_sub(ExactTft::from_whole(amount));
                p.credit = left.ok_or(Error::<T>::NotEnoughCredit)?;
                p.paid = p.paid.saturating_sub(amount);
                Ok::<_, Error<T>>(())
            })?;
            let payer = Payers::<T>::get(twin);
            // What is paid in during a grace period may be withdrawn, unless something else relies on it.
            let unused = payer.paused && payer.committed.is_zero();
            ensure!(unused || payer.credit >= Self::must_keep(&payer), Error::<T>::CreditTooLow);
            T::Currency::transfer(&Self::pot(), &account, amount, Preservation::Preserve)?;
            Ok::<_, DispatchError>(())
        })?;
        Self::deposit_event(Event::Withdrawn { twin, amount });
        Ok(())
    }

    /// Withdraws `amount` for the fee of a withdrawal.
    pub fn withdraw_in_advance(owner: &T::AccountId, amount: Balance) -> DispatchResult {
        Self::do_withdraw(owner.clone(), amount)
    }

    pub(crate) fn do_collect(contract: ContractId) -> DispatchResult {
        let mut account = LedgerAccounts::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        let silent = account.node.is_some_and(|node| {
            T::Nodes::silent_since(node).is_some() || account.ran_through(T::Nodes::last_outage(node))
        });
        ensure!(!silent, Error::<T>::NodeSilent);
        let started_at = account.started_at.ok_or(Error::<T>::SetAside)?;
        let is_free = T::Clock::grid_now() >= started_at.saturating_add(T::SetAsideMs::get());
        ensure!(is_free, Error::<T>::SetAside);
        Self::settle(contract, &mut account);
        let amount = Self::share(&mut account);
        LedgerAccounts::<T>::insert(contract, account);
        Self::deposit_event(Event::Collected { contract, amount });
        Ok(())
    }

    pub(crate) fn do_pay_out(payee: Payee) -> DispatchResult {
        let payable = Payable::<T>::get(payee);
        let amount = payable.whole();
        ensure!(amount > 0, Error::<T>::NothingPayable);
        let to = Self::account_of_payee(payee).ok_or(Error::<T>::UnknownPayee)?;
        T::Currency::transfer(&Self::pot(), &to, amount, Preservation::Preserve)?;
        Payable::<T>::insert(payee, payable.fraction());
        Self::deposit_event(Event::PaidOut { payee, to, amount });
        Ok(())
    }

    pub(crate) fn do_set_policy(policy: BillingPolicy<T::AccountId>) -> DispatchResult {
        ensure!(policy.is_valid(), Error::<T>::PolicyInvalid);
        let old = Policy::<T>::get();
        if old.is_none_or(|old| old.prices != policy.prices) {
            PricesAnnouncedAt::<T>::put(T::Clock::grid_now());
        }
        Policy::<T>::put(policy);
        Self::deposit_event(Event::PolicySet);
        Ok(())
    }

    pub(crate) fn do_set_limits(account: T::AccountId, limits: Limits) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        OwnerLimits::<T>::insert(twin, limits);
        Self::change_payer(twin, ChangedBy::Owner, |_| ());
        Self::deposit_event(Event::LimitsSet { twin, limits });
        Ok(())
    }

    pub(crate) fn do_set_auto_refill(account: T::AccountId, refill: Option<AutoRefill>) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        let buys_enough = refill.is_none_or(|refill| refill.hours >= LEAST_REFILL_HOURS);
        ensure!(buys_enough, Error::<T>::RefillTooSmall);
        AutoRefills::<T>::set(twin, refill);
        Self::change_payer(twin, ChangedBy::Owner, |p| Self::refill_if_paused(twin, p));
        Self::deposit_event(Event::AutoRefillSet { twin, refill });
        Ok(())
    }

    pub(crate) fn do_attach_provider(
        account: T::AccountId,
        contract: ContractId,
        provider: ProviderId,
    ) -> DispatchResult {
        let mut record = Self::paid_by(&account, contract)?;
        ensure!(Providers::<T>::contains_key(provider), Error::<T>::UnknownProvider);
        ensure!(record.provider.is_none(), Error::<T>::ProviderAttached);
        record.provider = Some(provider);
        LedgerAccounts::<T>::insert(contract, record);
        Self::deposit_event(Event::ProviderAttached { contract, provider });
        Ok(())
    }

    pub(crate) fn do_buy_traffic(
        account: T::AccountId,
        contract: ContractId,
        gb: u32,
        max_tft: Balance,
    ) -> DispatchResult {
        let record = Self::paid_by(&account, contract)?;
        Self::fill_allowance(contract, &record, gb, max_tft)
    }

    /// The account of a contract that the caller's twin pays for.
    fn paid_by(account: &T::AccountId, contract: ContractId) -> Result<LedgerAccount, Error<T>> {
        let twin = T::Twins::twin_of(account).ok_or(Error::<T>::NoTwin)?;
        let record = LedgerAccounts::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        ensure!(record.payer == twin, Error::<T>::NotThePayer);
        Ok(record)
    }

    pub(crate) fn do_add_provider(account: T::AccountId, permille: u16) -> DispatchResult {
        ensure!(permille <= MAX_PROVIDER_PERMILLE, Error::<T>::ProviderShareTooLarge);
        let provider = LastProviderId::<T>::try_mutate(|last| {
            *last = last.checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
            Ok::<_, Error<T>>(*last)
        })?;
        Providers::<T>::insert(provider, Provider { account, permille });
        Self::deposit_event(Event::ProviderSet { provider, permille });
        Ok(())
    }

    pub(crate) fn do_set_provider_share(provider: ProviderId, permille: u16) -> DispatchResult {
        ensure!(permille <= MAX_PROVIDER_PERMILLE, Error::<T>::ProviderShareTooLarge);
        Providers::<T>::try_mutate(provider, |record| {
            record.as_mut().map(|record| record.permille = permille).ok_or(Error::<T>::UnknownProvider)
        })?;
        Self::deposit_event(Event::ProviderSet { provider, permille });
        Ok(())
    }

    fn account_of_payee(payee: Payee) -> Option<T::AccountId> {
        match payee {
            Payee::Farm(farm) => T::Farms::farmer_account(farm),
            Payee::Foundation => Policy::<T>::get().map(|policy| policy.foundation),
            Payee::Staking => Policy::<T>::get().map(|policy| policy.staking),
            Payee::Provider(provider) => Providers::<T>::get(provider).map(|record| record.account),
        }
    }
}
