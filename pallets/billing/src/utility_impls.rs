// SPDX-License-Identifier: Apache-2.0
//! What people read, what other pallets ask, and genesis.

use crate::*;
use frame_support::traits::{
    Get,
    fungible::{Inspect, Mutate},
};
use sp_runtime::traits::AccountIdConversion;
use tfgrid_primitives::{
    Deadline, ExactTft, FarmId, Payer, TwinId, UnixSeconds,
    clock::ms_of_stretch,
    ledger::Earned,
    traits::{Agenda, Clock, FarmInUse, Ledger, LedgerClock, OnTwinLeft, TwinInUse},
    units::SECOND_MS,
    views::PayerInfo,
};

impl<T: Config> Pallet<T> {
    /// The account that keeps all credit and earnings.
    pub fn pot() -> T::AccountId {
        T::PotId::get().into_account_truncating()
    }

    /// A payer's record, settled up to this block.
    pub fn settled_payer(twin: TwinId) -> Payer {
        let mut payer = Payers::<T>::get(twin);
        payer.settle(T::Clock::now());
        payer
    }

    /// How long a payer's credit lasts at the present price, in milliseconds; `None` while nothing is charged.
    pub fn funded_ms(twin: TwinId) -> Option<u64> {
        let payer = Payers::<T>::get(twin);
        let left = payer.end.saturating_sub(T::Clock::price_now());
        payer.is_charged().then(|| ms_of_stretch(left, T::Clock::tft_price()))
    }

    pub(crate) fn end_of_credit(twin: TwinId) -> Option<UnixSeconds> {
        Self::funded_ms(twin).map(|ms| T::Clock::unix_now().saturating_add(ms / SECOND_MS))
    }

    pub(crate) fn payer_info(twin: TwinId) -> PayerInfo {
        let payer = Self::settled_payer(twin);
        PayerInfo {
            credit: payer.credit.whole(),
            rate: payer.charged.total(),
            committed: payer.committed.total(),
            must_keep: Self::must_keep(&payer).ceil(),
            exhausted: Self::is_exhausted(twin),
            funded_ms: Self::funded_ms(twin),
        }
    }

    /// A record that holds nothing isn't kept: a last fraction of a unit is earned, so that fractions of many
    /// make up no unit that is nobody's.
    fn drop_idle_payer(twin: TwinId) {
        let payer = Payers::<T>::get(twin);
        if payer.paused || !payer.all_rates().is_zero() || payer.credit.whole() > 0 {
            return;
        }
        if payer.review_at > 0 {
            T::Agenda::disarm(payer.review_at, Deadline::Review(twin));
        }
        Self::credit_payees(None, None, Earned { shared: payer.credit, extra: ExactTft::ZERO });
        Payers::<T>::remove(twin);
    }

    pub(crate) fn build_genesis(genesis: &GenesisConfig<T>) {
        // The pot keeps an existential deposit of its own, so that paying out its last unit can't reap it.
        let minted = T::Currency::mint_into(&Self::pot(), T::Currency::minimum_balance());
        assert!(minted.is_ok(), "the pot can't be given its existential deposit: {minted:?}");
        if let Some(policy) = &genesis.policy {
            assert!(policy.is_valid(), "the genesis policy contradicts itself");
            Policy::<T>::put(policy);
        }
    }
}

impl<T: Config> TwinInUse for Pallet<T> {
    fn is_in_use(twin: TwinId) -> bool {
        let payer = Payers::<T>::get(twin);
        payer.is_charged() || payer.credit.whole() > 0
    }
}

impl<T: Config> OnTwinLeft for Pallet<T> {
    fn on_twin_left(twin: TwinId) {
        AutoRefills::<T>::remove(twin);
        RefillsPaid::<T>::remove(twin);
        OwnerLimits::<T>::remove(twin);
        EarlyEnds::<T>::remove(twin);
        Self::drop_idle_payer(twin);
    }
}

impl<T: Config> FarmInUse for Pallet<T> {
    fn has_earnings(farm: FarmId) -> bool {
        Payable::<T>::get(Payee::Farm(farm)) >= ExactTft::from_whole(1)
    }
}
