// SPDX-License-Identifier: Apache-2.0
//! The ledger as other pallets use it, and the laws that hold after every block.

use crate::*;
use frame_support::{
    ensure,
    traits::{
        fungible::{Inspect, Mutate},
        Get,
    },
};
use sp_runtime::{traits::AccountIdConversion, DispatchError};
use tfgrid_primitives::{
    clock::{ms_of_stretch, stretch},
    fixed,
    ledger::{Earned, Moment},
    pricing::{capacity_rate, PricedNode},
    traits::{Clock, Ledger},
    Accrual, Balance, Charge, ContractId, FarmId, GridMillis, Payer, Rates, Resources, TwinId, UnixSeconds,
    UsdRate, Q64,
};

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

    /// What a running contract has been charged up to this block.
    pub fn charge_of(contract: ContractId) -> Option<Charge> {
        let account = Accruals::<T>::get(contract)?;
        Some(account.accrual.charge(&Self::settled_payer(account.payer).funded))
    }

    /// The minimum runway as a stretch of the price clock at the present price.
    pub(crate) fn min_runway() -> Q64 {
        stretch(T::MinRunwayMs::get(), PriceClockState::<T>::get().price)
    }

    /// Brings payer and contract up to now and makes the earnings payable. Says how much, fraction left out.
    pub(crate) fn settle_and_share(account: &mut ContractAccount) -> Balance {
        let earned = Payers::<T>::mutate(account.payer, |payer| {
            payer.settle(Self::now());
            account.accrual.claim(&payer.funded)
        });
        Self::share(account.farm, earned);
        fixed::whole(earned.shared.saturating_add(earned.extra))
    }

    /// Credits earnings to those who share them. The farm gets what the others' shares leave over, so
    /// no fraction is lost.
    fn share(farm: FarmId, earned: Earned) {
        let Earned { shared, extra } = earned;
        let part = |permille: u16| fixed::mul_div(shared, permille.into(), 1_000);
        let (foundation, staking) = CurrentPolicy::<T>::get()
            .map_or((0, 0), |policy| (part(policy.shares.foundation), part(policy.shares.staking)));
        let farmer = shared.saturating_sub(foundation).saturating_sub(staking).saturating_add(extra);
        for (payee, amount) in
            [(Payee::Farm(farm), farmer), (Payee::Foundation, foundation), (Payee::Staking, staking)]
        {
            if amount > 0 {
                Payable::<T>::mutate(payee, |payable| *payable = payable.saturating_add(amount));
            }
        }
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

impl<T: Config> Clock for Pallet<T> {
    fn grid_now() -> GridMillis {
        GridClockState::<T>::get().now_ms
    }

    fn unix_now() -> UnixSeconds {
        PriceClockState::<T>::get().stepped_at_ms / tfgrid_primitives::units::SECOND_MS
    }
}

impl<T: Config> Ledger for Pallet<T> {
    fn quote(resources: &Resources, public_ips: u32, certified: bool) -> Option<UsdRate> {
        let policy = CurrentPolicy::<T>::get()?;
        capacity_rate(&policy.prices, resources, public_ips, PricedNode { certified, rent: false })
    }

    fn ensure_runway(twin: TwinId, more: Rates) -> Result<(), DispatchError> {
        let payer = Self::settled_payer(twin);
        ensure!(payer.credit >= payer.cost_of(Self::min_runway(), more), Error::<T>::CreditTooLow);
        Ok(())
    }

    fn start(contract: ContractId, payer: TwinId, farm: FarmId, rates: Rates) {
        let accrual = Payers::<T>::mutate(payer, |record| {
            record.change(Self::now(), |p| p.add(rates));
            Accrual::start(rates, record.funded)
        });
        Accruals::<T>::insert(contract, ContractAccount { payer, farm, accrual });
    }

    fn stop(contract: ContractId) -> Charge {
        let Some(mut account) = Accruals::<T>::take(contract) else { return Charge::default() };
        Self::settle_and_share(&mut account);
        Payers::<T>::mutate(account.payer, |payer| {
            payer.change(Self::now(), |p| p.remove(account.accrual.rates))
        });
        account.accrual.charged
    }

    fn charge_of(contract: ContractId) -> Charge {
        Self::charge_of(contract).unwrap_or_default()
    }

    fn is_exhausted(twin: TwinId) -> bool {
        Payers::<T>::get(twin).is_exhausted(Self::now().clock)
    }
}

#[cfg(any(feature = "std", feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Checks the laws of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
        Self::the_pot_covers_everything()?;
        Self::payers_rates_are_the_sums_of_their_contracts()
    }

    fn the_pot_covers_everything() -> Result<(), sp_runtime::TryRuntimeError> {
        let credit: Q64 = Payers::<T>::iter_values().map(|payer| payer.credit).sum();
        let unclaimed: Q64 = Accruals::<T>::iter_values()
            .map(|account| account.accrual.earned(&Payers::<T>::get(account.payer).funded))
            .map(|earned| earned.shared.saturating_add(earned.extra))
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
                .filter(|account| account.payer == twin)
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
