// SPDX-License-Identifier: Apache-2.0
//! What the calls do.

use crate::{payer_impls::By, *};
use frame_support::{
    pallet_prelude::*,
    storage::with_storage_layer,
    traits::{
        fungible::{Inspect, Mutate},
        tokens::Preservation,
    },
};
use tfgrid_primitives::{
    Balance, ContractId, ProviderId, Rates, TftPrice, TwinId, fixed,
    traits::{AgreedRates, Clock, FarmDirectory, Ledger, NodeLiveness, TwinDirectory},
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_deposit(from: T::AccountId, twin: TwinId, amount: Balance) -> DispatchResult {
        let owner = T::Twins::account_of(twin).ok_or(Error::<T>::UnknownTwin)?;
        ensure!(amount >= T::Currency::minimum_balance(), Error::<T>::DepositTooSmall);
        T::Currency::transfer(&from, &Self::pot(), amount, Preservation::Preserve)?;
        let by = if from == owner { By::Owner } else { By::Others };
        Self::change_payer(twin, by, |p| {
            p.credit = p.credit.saturating_add(fixed::from_whole(amount));
            p.paid = p.paid.saturating_add(amount);
        });
        Self::deposit_event(Event::Deposited { twin, from, amount });
        Ok(())
    }

    pub(crate) fn do_withdraw(account: T::AccountId, amount: Balance) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        with_storage_layer(|| {
            Self::change_payer(twin, By::Owner, |p| {
                let left = p.credit.checked_sub(fixed::from_whole(amount));
                p.credit = left.ok_or(Error::<T>::NotEnoughCredit)?;
                p.paid = p.paid.saturating_sub(amount);
                Ok::<_, Error<T>>(())
            })?;
            let payer = Payers::<T>::get(twin);
            // What is paid in while nothing runs on it may go again.
            ensure!(payer.paused || payer.credit >= Self::must_keep(&payer), Error::<T>::CreditTooLow);
            T::Currency::transfer(&Self::pot(), &account, amount, Preservation::Preserve)?;
            Ok::<_, DispatchError>(())
        })?;
        Self::deposit_event(Event::Withdrawn { twin, amount });
        Ok(())
    }

    pub(crate) fn do_claim(contract: ContractId) -> DispatchResult {
        let mut account = Accruals::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        let silent = account.node.is_some_and(|node| {
            T::Nodes::silent_since(node).is_some() || account.ran_through(T::Nodes::last_outage(node))
        });
        ensure!(!silent, Error::<T>::NodeSilent);
        let free_at = account.started_at.saturating_add(T::SetAsideMs::get());
        ensure!(Self::grid_now() >= free_at && account.trial.is_none(), Error::<T>::SetAside);
        Self::settle(contract, &mut account);
        let amount = Self::share(&mut account);
        Accruals::<T>::insert(contract, account);
        Self::deposit_event(Event::Claimed { contract, amount });
        Ok(())
    }

    pub(crate) fn do_pay_out(payee: Payee) -> DispatchResult {
        let payable = Payable::<T>::get(payee);
        let amount = fixed::whole(payable);
        ensure!(amount > 0, Error::<T>::NothingPayable);
        let to = Self::account_of_payee(payee).ok_or(Error::<T>::UnknownPayee)?;
        T::Currency::transfer(&Self::pot(), &to, amount, Preservation::Preserve)?;
        Payable::<T>::insert(payee, fixed::fraction(payable));
        Self::deposit_event(Event::PaidOut { payee, to, amount });
        Ok(())
    }

    pub(crate) fn do_set_price(price: TftPrice) -> DispatchResult {
        let policy = CurrentPolicy::<T>::get().ok_or(Error::<T>::PolicyInvalid)?;
        ensure!(policy.admits(price), Error::<T>::PriceOutOfBounds);
        Self::change_price(price);
        Ok(())
    }

    pub(crate) fn do_set_policy(policy: Policy<T::AccountId>) -> DispatchResult {
        ensure!(policy.is_valid(), Error::<T>::PolicyInvalid);
        ensure!(policy.admits(Self::price()), Error::<T>::PriceOutOfBounds);
        let old = CurrentPolicy::<T>::get();
        if old.is_none_or(|old| old.prices != policy.prices) {
            PricesAnnouncedAt::<T>::put(Self::grid_now());
        }
        CurrentPolicy::<T>::put(policy);
        Self::deposit_event(Event::PolicySet);
        Ok(())
    }

    pub(crate) fn do_reprice(contract: ContractId) -> DispatchResult {
        let account = Accruals::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        let priced = account.priced.ok_or(Error::<T>::PriceAgreed)?;
        let from = PricesAnnouncedAt::<T>::get().saturating_add(MONTH_MS);
        ensure!(Self::grid_now() >= from, Error::<T>::NoticeRuns);
        let usd = Self::quote(&priced).ok_or(Error::<T>::PolicyInvalid)?;
        let old = account.accrual.rates;
        ensure!(usd != old.usd, Error::<T>::PricedAlready);
        T::Contracts::agree(contract, usd)?;
        Self::resize_by(contract, Rates { usd, ..old }, By::Others);
        Self::describe(contract, priced);
        Self::deposit_event(Event::Repriced { contract, rate: usd });
        Ok(())
    }

    pub(crate) fn do_set_limits(account: T::AccountId, limits: Limits) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        OwnerLimits::<T>::insert(twin, limits);
        Self::change_payer(twin, By::Owner, |_| ());
        Self::deposit_event(Event::LimitsSet { twin, limits });
        Ok(())
    }

    pub(crate) fn do_set_auto_refill(account: T::AccountId, wish: Option<AutoRefill>) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        let bought_enough = wish.is_none_or(|wish| wish.hours >= LEAST_REFILL_HOURS);
        ensure!(bought_enough, Error::<T>::RefillTooSmall);
        AutoRefills::<T>::set(twin, wish);
        Self::change_payer(twin, By::Owner, |p| Self::refill_if_paused(twin, p));
        Self::deposit_event(Event::AutoRefillSet { twin, wish });
        Ok(())
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
            Payee::Foundation => CurrentPolicy::<T>::get().map(|policy| policy.foundation),
            Payee::Staking => CurrentPolicy::<T>::get().map(|policy| policy.staking),
            Payee::Provider(provider) => Providers::<T>::get(provider).map(|record| record.account),
        }
    }
}
