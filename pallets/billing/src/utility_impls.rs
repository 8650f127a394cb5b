// SPDX-License-Identifier: Apache-2.0
//! What people read, the clocks as other pallets use them, and the laws that hold after every block.

use crate::*;
use frame_support::{
    ensure,
    traits::{
        fungible::{Inspect, Mutate},
        Get,
    },
};
use sp_runtime::traits::AccountIdConversion;
use tfgrid_primitives::{
    clock::{ms_of_stretch, stretch},
    fixed,
    ledger::Moment,
    traits::{Clock, FarmUse, Ledger, TwinUse},
    units::SECOND_MS,
    views::PayerInfo,
    Charge, ContractId, FarmId, GridMillis, Payer, TwinId, UnixSeconds, Q64,
};
#[cfg(any(feature = "std", feature = "try-runtime"))]
use tfgrid_primitives::{Deadline, DeadlineKey};

impl<T: Config> Pallet<T> {
    /// The account that keeps all credit and earnings.
    pub fn pot() -> T::AccountId {
        T::PotId::get().into_account_truncating()
    }

    /// Where the price clock stands.
    pub fn now() -> Moment {
        let clock = PriceClockState::<T>::get();
        Moment { clock: clock.now(), ms: clock.total_ms }
    }

    /// A payer's record, settled up to this block.
    pub fn settled_payer(twin: TwinId) -> Payer {
        let mut payer = Payers::<T>::get(twin);
        payer.settle(Self::now());
        payer
    }

    /// How long a payer's credit lasts at the present price, in milliseconds; `None` while nothing is charged.
    pub fn funded_ms(twin: TwinId) -> Option<u64> {
        let payer = Payers::<T>::get(twin);
        let left = payer.end.saturating_sub(Self::now().clock);
        payer.is_charged().then(|| ms_of_stretch(left, PriceClockState::<T>::get().price))
    }

    pub(crate) fn end_of_credit(twin: TwinId) -> Option<UnixSeconds> {
        Self::funded_ms(twin).map(|ms| Self::unix_now().saturating_add(ms / SECOND_MS))
    }

    pub(crate) fn payer_info(twin: TwinId) -> PayerInfo {
        let payer = Self::settled_payer(twin);
        PayerInfo {
            credit: fixed::whole(payer.credit),
            rate: payer.rate,
            exhausted: Self::is_exhausted(twin),
            funded_ms: Self::funded_ms(twin),
        }
    }

    /// What a running contract has been charged up to this block.
    pub fn charge_of(contract: ContractId) -> Option<Charge> {
        let account = Accruals::<T>::get(contract)?;
        Some(account.charge(&Self::settled_payer(account.payer).funded))
    }

    /// The minimum runway as a stretch of the price clock at the present price.
    pub(crate) fn min_runway() -> Q64 {
        stretch(T::MinRunwayMs::get(), PriceClockState::<T>::get().price)
    }

    pub(crate) fn build_genesis(genesis: &GenesisConfig<T>) {
        // The pot keeps an existential deposit of its own, so that paying out its last unit can't reap it.
        let minted = T::Currency::mint_into(&Self::pot(), T::Currency::minimum_balance());
        assert!(minted.is_ok(), "the pot can't be given its existential deposit: {minted:?}");
        if let Some(policy) = &genesis.policy {
            assert!(
                policy.is_valid() && policy.admits(genesis.price),
                "the genesis policy contradicts itself"
            );
            CurrentPolicy::<T>::put(policy);
            PriceClockState::<T>::mutate(|clock| clock.set_price(genesis.price));
        }
    }
}

impl<T: Config> TwinUse for Pallet<T> {
    fn is_in_use(twin: TwinId) -> bool {
        let payer = Payers::<T>::get(twin);
        payer.is_charged() || fixed::whole(payer.credit) > 0
    }
}

impl<T: Config> FarmUse for Pallet<T> {
    fn has_earnings(farm: FarmId) -> bool {
        fixed::whole(Payable::<T>::get(Payee::Farm(farm))) > 0
    }
}

impl<T: Config> Clock for Pallet<T> {
    fn grid_now() -> GridMillis {
        GridClockState::<T>::get().now_ms
    }

    fn unix_now() -> UnixSeconds {
        PriceClockState::<T>::get().stepped_at_ms / SECOND_MS
    }

    fn price_now() -> Q64 {
        Self::now().clock
    }
}

#[cfg(any(feature = "std", feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Checks the laws of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
        Self::the_pot_covers_everything()?;
        Self::payers_rates_are_the_sums_of_their_contracts()?;
        Self::every_deadline_is_one()
    }

    /// Whether `deadline` is armed for `due`, for the laws of others.
    pub fn is_armed(due: GridMillis, deadline: Deadline) -> bool {
        Deadlines::<T>::contains_key(DeadlineKey::new(due, deadline))
    }

    fn every_deadline_is_one() -> Result<(), sp_runtime::TryRuntimeError> {
        let all_decode = Deadlines::<T>::iter_keys().all(|key| key.deadline().is_some());
        ensure!(all_decode, "the agenda has a key that nobody armed");
        Ok(())
    }

    fn the_pot_covers_everything() -> Result<(), sp_runtime::TryRuntimeError> {
        let credit: Q64 = Payers::<T>::iter_values().map(|payer| payer.credit).sum();
        let unclaimed: Q64 = Accruals::<T>::iter_values()
            .map(|account| account.earned(&Payers::<T>::get(account.payer).funded).total())
            .sum();
        let payable: Q64 = Payable::<T>::iter_values().sum();
        let owed = credit.saturating_add(unclaimed).saturating_add(payable);
        let pot = T::Currency::total_balance(&Self::pot()).saturating_sub(T::Currency::minimum_balance());
        ensure!(fixed::from_whole(pot) >= owed, "the pot owes more than it has");
        Ok(())
    }

    fn payers_rates_are_the_sums_of_their_contracts() -> Result<(), sp_runtime::TryRuntimeError> {
        for (twin, payer) in Payers::<T>::iter() {
            let (rate, extra) = Accruals::<T>::iter_values()
                .filter(|account| account.payer == twin && account.running)
                .map(|account| account.accrual.rates)
                .fold((0u128, 0u128), |(rate, extra), rates| {
                    (rate.saturating_add(rates.usd.into()), extra.saturating_add(rates.extra.into()))
                });
            ensure!(
                (payer.rate, payer.extra) == (rate, extra),
                "a payer's rate isn't the sum of its contracts'"
            );
            ensure!(payer.is_charged() || payer.end == Q64::MAX, "a payer without contracts has an end");
        }
        Ok(())
    }
}
