// SPDX-License-Identifier: Apache-2.0
//! What the calls do.

use crate::*;
use frame_support::{
    pallet_prelude::*,
    traits::{
        fungible::{Inspect, Mutate},
        tokens::Preservation,
    },
};
use tfgrid_primitives::{
    fixed,
    traits::{Clock, FarmDirectory, NodeLiveness, TwinDirectory},
    Balance, ContractId, ProviderId, Rates, TftPrice, TwinId,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_deposit(from: T::AccountId, twin: TwinId, amount: Balance) -> DispatchResult {
        ensure!(T::Twins::account_of(twin).is_some(), Error::<T>::UnknownTwin);
        ensure!(amount >= T::Currency::minimum_balance(), Error::<T>::DepositTooSmall);
        T::Currency::transfer(&from, &Self::pot(), amount, Preservation::Preserve)?;
        Payers::<T>::mutate(twin, |payer| {
            payer.change(Self::now(), |p| {
                p.credit = p.credit.saturating_add(fixed::from_whole(amount));
            })
        });
        Self::deposit_event(Event::Deposited { twin, from, amount });
        Ok(())
    }

    pub(crate) fn do_withdraw(account: T::AccountId, amount: Balance) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        let runway = Self::min_runway();
        Payers::<T>::try_mutate(twin, |payer| {
            payer.change(Self::now(), |p| {
                let left = p.credit.checked_sub(fixed::from_whole(amount));
                p.credit = left.ok_or(Error::<T>::NotEnoughCredit)?;
                let must_stay = p.cost_of(runway, Rates::default());
                ensure!(p.credit >= must_stay, Error::<T>::CreditTooLow);
                Ok::<_, Error<T>>(())
            })
        })?;
        T::Currency::transfer(&Self::pot(), &account, amount, Preservation::Preserve)?;
        Self::deposit_event(Event::Withdrawn { twin, amount });
        Ok(())
    }

    pub(crate) fn do_claim(contract: ContractId) -> DispatchResult {
        let mut account = Accruals::<T>::get(contract).ok_or(Error::<T>::UnknownContract)?;
        let silent = account.node.and_then(T::Nodes::silent_since);
        ensure!(silent.is_none(), Error::<T>::NodeSilent);
        let free_at = account.started_at.saturating_add(T::SetAsideMs::get());
        ensure!(Self::grid_now() >= free_at, Error::<T>::SetAside);
        Self::settle(&mut account);
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
        PriceClockState::<T>::mutate(|clock| clock.set_price(price));
        Self::deposit_event(Event::PriceSet { price });
        Ok(())
    }

    pub(crate) fn do_set_policy(policy: Policy<T::AccountId>) -> DispatchResult {
        ensure!(policy.is_valid(), Error::<T>::PolicyInvalid);
        ensure!(policy.admits(PriceClockState::<T>::get().price), Error::<T>::PriceOutOfBounds);
        CurrentPolicy::<T>::put(policy);
        Self::deposit_event(Event::PolicySet);
        Ok(())
    }

    pub(crate) fn do_set_limits(account: T::AccountId, limits: Limits) -> DispatchResult {
        let twin = T::Twins::twin_of(&account).ok_or(Error::<T>::NoTwin)?;
        OwnerLimits::<T>::insert(twin, limits);
        let Limits { max_usd_rate, max_extra_fee } = limits;
        Self::deposit_event(Event::LimitsSet { twin, max_usd_rate, max_extra_fee });
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
