// SPDX-License-Identifier: Apache-2.0
//! What other pallets may ask, and the laws that hold after every block.

use crate::{
    name::{checked_name, skeleton},
    *,
};
use frame_support::traits::{fungible::MutateHold, tokens::Precision};
use sp_runtime::Vec;
use tfgrid_primitives::{
    Balance, FarmId, PublicKey, Refusal, TwinId, UnixSeconds,
    traits::{BootTickets, FarmDirectory, FarmFacts, TwinDirectory, TwinInUse},
    views::Page,
};
#[cfg(any(feature = "std", feature = "try-runtime"))]
use {
    alloc::collections::BTreeMap,
    core::ops::AddAssign,
    frame_support::{ensure, traits::fungible::InspectHold},
    sp_runtime::TryRuntimeError,
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
            if CoolingDown::<T>::contains_key(contract) {
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

#[cfg(any(feature = "std", feature = "try-runtime"))]
impl<T: Config> Pallet<T> {
    /// Checks the laws of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        Self::names_and_farms_are_inverse()?;
        Self::farms_and_tickets_are_counted()?;
        Self::admissions_belong_to_tickets()?;
        Self::addresses_and_ips_are_inverse()?;
        Self::an_ip_is_taken_if_one_contract_has_it()?;
        Self::lists_of_ips_are_exact()?;
        Self::holds_are_the_sums_of_deposits()
    }

    fn names_and_farms_are_inverse() -> Result<(), TryRuntimeError> {
        for (id, farm) in Farms::<T>::iter() {
            ensure!(id <= LastFarmId::<T>::get(), "a farm has an id that was never given");
            let named = FarmByName::<T>::get(skeleton(&farm.name));
            ensure!(named == Some(id), "a farm's name leads elsewhere");
        }
        let farms = Farms::<T>::iter_keys().count();
        ensure!(farms == FarmByName::<T>::iter_keys().count(), "a name leads to no farm");
        Ok(())
    }

    fn farms_and_tickets_are_counted() -> Result<(), TryRuntimeError> {
        let farms = tally(Farms::<T>::iter_values().map(|farm| (farm.twin, 1)));
        ensure!(FarmCount::<T>::iter().collect::<BTreeMap<_, _>>() == farms, "farms are miscounted");
        let open = tally(Tickets::<T>::iter_values().filter(|t| !t.closed).map(|t| (t.farm, 1)));
        ensure!(OpenTickets::<T>::iter().collect::<BTreeMap<_, _>>() == open, "tickets are miscounted");
        ensure!(open.into_keys().all(Farms::<T>::contains_key), "an open ticket of a farm that is gone");
        Ok(())
    }

    fn admissions_belong_to_tickets() -> Result<(), TryRuntimeError> {
        let mut admissions = Admitted::<T>::iter_keys();
        ensure!(
            admissions.all(|(ticket, _)| Tickets::<T>::contains_key(ticket)),
            "an admission without its ticket"
        );
        Ok(())
    }

    fn addresses_and_ips_are_inverse() -> Result<(), TryRuntimeError> {
        let mut offered = 0;
        for (id, ip) in Ips::<T>::iter() {
            ensure!(id <= LastIpId::<T>::get(), "a public IP has an id that was never given");
            ensure!(ip.address.check().is_ok(), "a public IP can't be used");
            for address in ip.address.addresses().filter(|_| !ip.removed) {
                ensure!(IpByAddress::<T>::get(address) == Some(id), "an address leads elsewhere");
                offered += 1;
            }
        }
        ensure!(IpByAddress::<T>::iter_keys().count() == offered, "an address leads to no public IP");
        Ok(())
    }

    fn an_ip_is_taken_if_one_contract_has_it() -> Result<(), TryRuntimeError> {
        let mut taken = 0;
        for (contract, ips) in ContractIps::<T>::iter() {
            ensure!(!ips.is_empty(), "a contract has a list of no public IPs");
            for ip in &ips {
                let holder = Ips::<T>::get(ip).and_then(|record| record.contract);
                ensure!(holder == Some(contract), "a contract has another's public IP");
            }
            taken += ips.len();
        }
        let records = Ips::<T>::iter_values().filter(|ip| ip.contract.is_some()).count();
        ensure!(records == taken, "a public IP is taken twice, or by nobody");
        let mut cooling = CoolingDown::<T>::iter_keys();
        ensure!(cooling.all(ContractIps::<T>::contains_key), "a contract cools down without public IPs");
        Ok(())
    }

    fn lists_of_ips_are_exact() -> Result<(), TryRuntimeError> {
        for (id, ip) in Ips::<T>::iter() {
            ensure!(Farms::<T>::contains_key(ip.farm), "a public IP of a farm that is gone");
            ensure!(FarmIps::<T>::contains_key(ip.farm, id), "a farm doesn't list its public IP");
            let free = FreeIps::<T>::contains_key(ip.farm, id);
            ensure!(free == ip.contract.is_none(), "a public IP is free and taken, or neither");
            ensure!(!(ip.removed && free), "a removed public IP can be reserved");
        }
        let (all, free): (Vec<_>, Vec<_>) =
            Ips::<T>::iter_values().map(|ip| ((ip.farm, 1), ip.contract.is_none())).unzip();
        let free = free.into_iter().filter(|free| *free).count();
        ensure!(FarmIps::<T>::iter_keys().count() == all.len(), "a list has what is gone");
        ensure!(FreeIps::<T>::iter_keys().count() == free, "a free list has what is gone");
        let counts = FarmIpCount::<T>::iter().collect::<BTreeMap<_, _>>();
        ensure!(counts.values().all(|count| *count <= MAX_FARM_IPS), "a farm has too many public IPs");
        ensure!(counts == tally(all.into_iter()), "public IPs are miscounted");
        Ok(())
    }

    fn holds_are_the_sums_of_deposits() -> Result<(), TryRuntimeError> {
        let farmer = |farm| Self::farmer_of(farm).unwrap_or_default();
        let farms = tally(Farms::<T>::iter_values().map(|farm| (farm.twin, farm.deposit)));
        let tickets = tally(Tickets::<T>::iter_values().map(|t| (farmer(t.farm), t.deposit())));
        let ips = tally(Ips::<T>::iter_values().map(|ip| (farmer(ip.farm), ip.deposit)));
        for twin in farms.keys() {
            let account = T::Twins::account_of(*twin).ok_or("a farmer's twin is gone")?;
            let is_held = |reason: HoldReason, sums: &BTreeMap<TwinId, Balance>| {
                let sum = sums.get(twin).copied().unwrap_or_default();
                T::Currency::balance_on_hold(&reason.into(), &account) == sum
            };
            ensure!(is_held(HoldReason::Farm, &farms), "a hold isn't the farms' deposits");
            ensure!(is_held(HoldReason::BootTicket, &tickets), "a hold isn't the tickets' deposits");
            ensure!(is_held(HoldReason::PublicIp, &ips), "a hold isn't the public IPs' deposits");
        }
        Ok(())
    }
}

/// The sums of what belongs to each key.
#[cfg(any(feature = "std", feature = "try-runtime"))]
fn tally<Key: Ord, N: AddAssign + Default>(parts: impl Iterator<Item = (Key, N)>) -> BTreeMap<Key, N> {
    parts.fold(BTreeMap::new(), |mut sums, (key, part)| {
        *sums.entry(key).or_default() += part;
        sums
    })
}
