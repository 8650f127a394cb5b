// SPDX-License-Identifier: Apache-2.0
//! Reads for people (view functions) and the traits through which other pallets use farms and boot tickets.

use crate::{
    name::{checked_name, skeleton},
    *,
};
use alloc::vec::Vec;
use frame_support::traits::{fungible::MutateHold, tokens::Precision};
use tfgrid_primitives::{
    Balance, FarmId, PublicKey, Refusal, TwinId, UnixSeconds,
    traits::{BootTickets, FarmDirectory, FarmFacts, TwinDirectory, TwinInUse},
    views::Page,
};

impl<T: Config> Pallet<T> {
    pub(crate) fn find_by_name(name: Vec<u8>) -> Option<FarmId> {
        FarmByName::<T>::get(skeleton(&checked_name(name)?))
    }

    pub(crate) fn page_of_farm(farm: FarmId, after: Option<IpId>, limit: u32) -> Page<IpInfo, IpId> {
        let ids = match after {
            Some(after) => {
                FarmIps::<T>::iter_key_prefix_from(farm, FarmIps::<T>::hashed_key_for(farm, after))
            }
            None => FarmIps::<T>::iter_key_prefix(farm),
        };
        Page::first_of(ids, limit).filter_map(Self::ip_info)
    }

    fn ip_info(ip: IpId) -> Option<IpInfo> {
        let FarmIp { address, contract, removed, .. } = Ips::<T>::get(ip)?;
        let state = contract.map_or(IpState::Free, |contract| {
            let held = ContractIps::<T>::get(contract).unwrap_or_default();
            if held.iter().any(|held| held.ip == ip && held.cools_until.is_some()) {
                IpState::CoolingDown(contract)
            } else {
                IpState::Taken(contract)
            }
        });
        Some(IpInfo { ip, address, state, removed })
    }
}

impl<T: Config> FarmDirectory<T::AccountId> for Pallet<T> {
    fn facts(farm: FarmId) -> Option<FarmFacts> {
        Farms::<T>::get(farm).map(|Farm { twin, dedicated, .. }| FarmFacts { farmer: twin, dedicated })
    }

    fn farmer_account(farm: FarmId) -> Option<T::AccountId> {
        Self::farmer_of(farm).and_then(T::Twins::account_of)
    }
}

impl<T: Config> TwinInUse for Pallet<T> {
    fn is_in_use(twin: TwinId) -> bool {
        FarmCount::<T>::contains_key(twin)
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
