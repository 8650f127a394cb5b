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
    traits::{FarmDirectory, TwinDirectory},
    Balance, ContractId, Rates, TftPrice, TwinId,
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
        let amount = Self::settle_and_share(&mut account);
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

    fn account_of_payee(payee: Payee) -> Option<T::AccountId> {
        match payee {
            Payee::Farm(farm) => T::Farms::farmer_account(farm),
            Payee::Foundation => CurrentPolicy::<T>::get().map(|policy| policy.foundation),
            Payee::Staking => CurrentPolicy::<T>::get().map(|policy| policy.staking),
        }
    }
}
