// SPDX-License-Identifier: Apache-2.0
//! What other pallets may ask, and the laws that hold after every block.

use crate::*;
use frame_support::traits::{fungible::MutateHold, tokens::Precision};
use tfgrid_primitives::{
    traits::{BootTickets, FarmDirectory, TwinDirectory},
    Balance, FarmId, PublicKey, Refusal, TwinId, UnixSeconds,
};

impl<T: Config> FarmDirectory<T::AccountId> for Pallet<T> {
    fn farmer_of(farm: FarmId) -> Option<TwinId> {
        Farms::<T>::get(farm).map(|record| record.twin)
    }

    fn farmer_account(farm: FarmId) -> Option<T::AccountId> {
        Self::farmer_of(farm).and_then(T::Twins::account_of)
    }
}

impl<T: Config> BootTickets for Pallet<T> {
    fn check(ticket: &PublicKey, node_key: &PublicKey, now: UnixSeconds) -> Result<FarmId, Refusal> {
        let record = Tickets::<T>::get(ticket).ok_or(Refusal::TicketUnknown)?;
        let refusal = if record.closed {
            Some(Refusal::TicketRevoked)
        } else if now > record.expires {
            Some(Refusal::TicketExpired)
        } else if Admitted::<T>::contains_key(ticket, node_key) {
            Some(Refusal::TicketUsed)
        } else if record.nodes_left == 0 {
            Some(Refusal::TicketExhausted)
        } else {
            None
        };
        refusal.map_or(Ok(record.farm), Err)
    }

    fn spend(ticket: &PublicKey, node_key: &PublicKey) -> Balance {
        let spent = Tickets::<T>::mutate(ticket, |record| {
            let record = record.as_mut()?;
            record.nodes_left = record.nodes_left.saturating_sub(1);
            Some((record.farm, record.deposit_per_node))
        });
        let Some((farm, deposit)) = spent else { return 0 };
        Admitted::<T>::insert(ticket, node_key, ());
        Self::farmer_account(farm)
            .and_then(|account| {
                let reason = HoldReason::BootTicket.into();
                T::Currency::release(&reason, &account, deposit, Precision::BestEffort).ok()
            })
            .unwrap_or(0)
    }
}

#[cfg(any(feature = "std", feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Checks the laws of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
        Self::names_and_farms_are_inverse()?;
        Self::holds_are_the_sums_of_deposits()?;
        Self::admissions_belong_to_tickets()
    }

    fn names_and_farms_are_inverse() -> Result<(), sp_runtime::TryRuntimeError> {
        for (id, farm) in Farms::<T>::iter() {
            frame_support::ensure!(id <= LastFarmId::<T>::get(), "a farm has an id that was never given");
            frame_support::ensure!(
                FarmByName::<T>::get(name_key(&farm.name)) == Some(id),
                "a farm's name leads elsewhere"
            );
        }
        frame_support::ensure!(
            Farms::<T>::iter_keys().count() == FarmByName::<T>::iter_keys().count(),
            "a name leads to no farm"
        );
        Ok(())
    }

    fn holds_are_the_sums_of_deposits() -> Result<(), sp_runtime::TryRuntimeError> {
        use frame_support::traits::fungible::InspectHold;
        use sp_runtime::Vec;
        let farms: Vec<_> = Farms::<T>::iter().collect();
        let tickets: Vec<_> = Tickets::<T>::iter_values().collect();
        for twin in farms.iter().map(|(_, farm)| farm.twin) {
            let own = |farm: &FarmId| farms.iter().any(|(id, f)| id == farm && f.twin == twin);
            let for_farms: Balance = farms.iter().filter(|(id, _)| own(id)).map(|(_, f)| f.deposit).sum();
            let for_tickets: Balance = tickets.iter().filter(|t| own(&t.farm)).map(Ticket::deposit).sum();
            let account = T::Twins::account_of(twin).ok_or("a farmer's twin is gone")?;
            let held = |reason: HoldReason| T::Currency::balance_on_hold(&reason.into(), &account);
            frame_support::ensure!(held(HoldReason::Farm) == for_farms, "a hold isn't the farms' deposits");
            frame_support::ensure!(
                held(HoldReason::BootTicket) == for_tickets,
                "a hold isn't the tickets' deposits"
            );
        }
        Ok(())
    }

    fn admissions_belong_to_tickets() -> Result<(), sp_runtime::TryRuntimeError> {
        for (ticket, _) in Admitted::<T>::iter_keys() {
            frame_support::ensure!(Tickets::<T>::contains_key(ticket), "an admission without its ticket");
        }
        Ok(())
    }
}
