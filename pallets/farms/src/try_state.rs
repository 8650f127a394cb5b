// SPDX-License-Identifier: Apache-2.0
//! Invariants that hold after every block.

use crate::{name::skeleton, *};
use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::AddAssign;
use frame_support::{ensure, traits::fungible::InspectHold};
use sp_runtime::TryRuntimeError;
use tfgrid_primitives::{
    Balance, TwinId,
    traits::{FarmDirectory, TwinDirectory},
};

impl<T: Config> Pallet<T> {
    /// Checks the invariants of the pallet: for tests and try-runtime, never in a block.
    pub fn do_try_state() -> Result<(), TryRuntimeError> {
        Self::names_and_farms_are_inverse()?;
        Self::counts_of_farms_and_tickets_are_exact()?;
        Self::admissions_belong_to_tickets()?;
        Self::addresses_and_ips_are_inverse()?;
        Self::each_taken_ip_has_one_contract()?;
        Self::lists_and_counts_of_ips_are_exact()?;
        Self::holds_are_the_sums_of_deposits()
    }

    fn names_and_farms_are_inverse() -> Result<(), TryRuntimeError> {
        for (id, farm) in Farms::<T>::iter() {
            ensure!(id <= LastFarmId::<T>::get(), "a farm has an id that was never given");
            let named = FarmByName::<T>::get(skeleton(&farm.name));
            ensure!(named == Some(id), "a farm isn't found by its name");
        }
        let farms = Farms::<T>::iter_keys().count();
        ensure!(farms == FarmByName::<T>::iter_keys().count(), "a name is that of no farm");
        Ok(())
    }

    fn counts_of_farms_and_tickets_are_exact() -> Result<(), TryRuntimeError> {
        let farms = tally(Farms::<T>::iter_values().map(|farm| (farm.twin, 1)));
        ensure!(FarmCount::<T>::iter().collect::<BTreeMap<_, _>>() == farms, "a twin's farms are miscounted");
        let open = tally(Tickets::<T>::iter_values().filter(|t| !t.closed).map(|t| (t.farm, 1)));
        ensure!(
            OpenTicketCount::<T>::iter().collect::<BTreeMap<_, _>>() == open,
            "a farm's open tickets are miscounted"
        );
        ensure!(open.into_keys().all(Farms::<T>::contains_key), "a removed farm has an open ticket");
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
            ensure!(ip.address.check().is_ok(), "a public IP has an invalid interface");
            for address in ip.address.addresses().filter(|_| !ip.removed) {
                ensure!(IpByAddress::<T>::get(address) == Some(id), "a public IP isn't found by its address");
                offered += 1;
            }
        }
        ensure!(IpByAddress::<T>::iter_keys().count() == offered, "an address is that of no public IP");
        Ok(())
    }

    fn each_taken_ip_has_one_contract() -> Result<(), TryRuntimeError> {
        let mut taken = 0;
        for (contract, ips) in ContractIps::<T>::iter() {
            ensure!(!ips.is_empty(), "a contract has an empty list of public IPs");
            for HeldIp { ip, .. } in &ips {
                let holder = Ips::<T>::get(ip).and_then(|record| record.contract);
                ensure!(holder == Some(contract), "a contract lists a public IP of another one");
            }
            taken += ips.len();
        }
        let records = Ips::<T>::iter_values().filter(|ip| ip.contract.is_some()).count();
        ensure!(records == taken, "a public IP is taken by no contract or by two");
        Ok(())
    }

    fn lists_and_counts_of_ips_are_exact() -> Result<(), TryRuntimeError> {
        for (id, ip) in Ips::<T>::iter() {
            ensure!(Farms::<T>::contains_key(ip.farm), "a removed farm has a public IP");
            ensure!(FarmIps::<T>::contains_key(ip.farm, id), "a farm doesn't list its public IP");
            let free = FreeIps::<T>::contains_key(ip.farm, id);
            ensure!(free == ip.contract.is_none(), "a public IP is free and taken, or neither");
            ensure!(!(ip.removed && free), "a removed public IP can be reserved");
        }
        let (all, free): (Vec<_>, Vec<_>) =
            Ips::<T>::iter_values().map(|ip| ((ip.farm, 1), ip.contract.is_none())).unzip();
        let free = free.into_iter().filter(|free| *free).count();
        ensure!(FarmIps::<T>::iter_keys().count() == all.len(), "a farm lists a removed public IP");
        ensure!(FreeIps::<T>::iter_keys().count() == free, "a removed public IP counts as free");
        let counts = FarmIpCount::<T>::iter().collect::<BTreeMap<_, _>>();
        ensure!(counts.values().all(|count| *count <= MAX_FARM_IPS), "a farm has too many public IPs");
        ensure!(counts == tally(all.into_iter()), "a farm's public IPs are miscounted");
        Ok(())
    }

    fn holds_are_the_sums_of_deposits() -> Result<(), TryRuntimeError> {
        let farmer = |farm| Self::farmer_of(farm).unwrap_or_default();
        let farms = tally(Farms::<T>::iter_values().map(|farm| (farm.twin, farm.deposit)));
        let tickets = tally(Tickets::<T>::iter_values().map(|t| (farmer(t.farm), t.deposit())));
        let ips = tally(Ips::<T>::iter_values().map(|ip| (farmer(ip.farm), ip.deposit)));
        for twin in farms.keys() {
            let account = T::Twins::account_of(*twin).ok_or("a farmer's twin has no account")?;
            let is_held = |reason: HoldReason, sums: &BTreeMap<TwinId, Balance>| {
                let sum = sums.get(twin).copied().unwrap_or_default();
                T::Currency::balance_on_hold(&reason.into(), &account) == sum
            };
            ensure!(is_held(HoldReason::Farm, &farms), "a hold isn't the sum of the farms' deposits");
            ensure!(
                is_held(HoldReason::BootTicket, &tickets),
                "a hold isn't the sum of the tickets' deposits"
            );
            ensure!(is_held(HoldReason::PublicIp, &ips), "a hold isn't the sum of the public IPs' deposits");
        }
        Ok(())
    }
}

/// Sums the parts of each key.
fn tally<Key: Ord, N: AddAssign + Default>(parts: impl Iterator<Item = (Key, N)>) -> BTreeMap<Key, N> {
    parts.fold(BTreeMap::new(), |mut sums, (key, part)| {
        *sums.entry(key).or_default() += part;
        sums
    })
}
