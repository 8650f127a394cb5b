// SPDX-License-Identifier: Apache-2.0
//! What people read, and the clocks as other pallets use them.

use crate::*;
use frame_support::traits::{
    Get,
    fungible::{Inspect, Mutate},
};
use sp_runtime::traits::AccountIdConversion;
use tfgrid_primitives::{
    Charge, ContractId, FarmId, GridMillis, Payer, Q64, TwinId, UnixSeconds,
    clock::{ms_of_stretch, stretch},
    fixed,
    ledger::Moment,
    traits::{Clock, FarmUse, Ledger, TwinUse},
    units::SECOND_MS,
    views::PayerInfo,
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

    pub(crate) fn end_of_credit(twin: TwinId) -> Option<UnixSeconds> {
        Self::funded_ms(twin).map(|ms| Self::unix_now().saturating_add(ms / SECOND_MS))
    }

    pub(crate) fn payer_info(twin: TwinId) -> PayerInfo {
        let payer = Self::settled_payer(twin);
        PayerInfo {
            credit: fixed::whole(payer.credit),
            rate: payer.rate.saturating_add(payer.extra),
            promised: payer.promised.rate.saturating_add(payer.promised.extra),
            must_keep: fixed::ceil(Self::must_keep(&payer)),
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

    fn forget_owner(twin: TwinId) {
        AutoRefills::<T>::remove(twin);
        RefillsPaid::<T>::remove(twin);
        OwnerLimits::<T>::remove(twin);
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
