// SPDX-License-Identifier: Apache-2.0
//! Implementations of the calls about public IPs, and their reservation for contracts.

use crate::*;
use alloc::vec::Vec;
use frame_support::{
    defensive,
    pallet_prelude::*,
    traits::{fungible::MutateHold, tokens::Precision},
};
use tfgrid_primitives::{
    Balance, ContractId, FarmId, GridMillis,
    count::count_down,
    net::AddressError,
    traits::{FarmDirectory, PublicIps},
};

impl<T> From<AddressError> for Error<T> {
    fn from(error: AddressError) -> Self {
        match error {
            AddressError::NotPublic => Self::IpNotPublic,
            AddressError::PrefixOutOfRange => Self::PrefixOutOfRange,
            AddressError::NotAMachine => Self::AddressNotUsable,
            AddressError::GatewayInvalid => Self::GatewayInvalid,
        }
    }
}

impl<T: Config> Pallet<T> {
    pub(crate) fn do_add_ip(account: T::AccountId, farm: FarmId, address: PublicIp) -> DispatchResult {
        Self::own_farm(&account, farm)?;
        address.check().map_err(Error::<T>::from)?;
        let is_taken = address.addresses().any(IpByAddress::<T>::contains_key);
        ensure!(!is_taken, Error::<T>::AddressTaken);
        let count = FarmIpCount::<T>::get(farm);
        ensure!(count < MAX_FARM_IPS, Error::<T>::TooManyIps);

        let ip = LastIpId::<T>::get().checked_add(1).ok_or(Error::<T>::IdsExhausted)?;
        let deposit = T::IpDeposit::get();
        T::Currency::hold(&HoldReason::PublicIp.into(), &account, deposit)?;
        LastIpId::<T>::put(ip);
        address.addresses().for_each(|one| IpByAddress::<T>::insert(one, ip));
        FarmIps::<T>::insert(farm, ip, ());
        FreeIps::<T>::insert(farm, ip, ());
        FarmIpCount::<T>::insert(farm, count.saturating_add(1));
        Ips::<T>::insert(ip, FarmIp { farm, address, contract: None, removed: false, deposit });
        Self::deposit_event(Event::IpAdded { farm, ip, deposit });
        Ok(())
    }

    pub(crate) fn do_remove_ip(account: T::AccountId, ip: IpId) -> DispatchResult {
        let record = Self::offered_ip(ip)?;
        Self::own_farm(&account, record.farm)?;
        ensure!(record.contract.is_none(), Error::<T>::IpInUse);
        Self::withdraw_ip(account, ip, record)
    }

    /// Works on a public IP that a contract has, too: otherwise a squatter could shield an address with a
    /// contract of its own. The contract keeps the record, not the address.
    pub(crate) fn do_force_remove_ip(ip: IpId) -> DispatchResult {
        let record = Self::offered_ip(ip)?;
        let account = Self::farmer_account(record.farm).ok_or(Error::<T>::UnknownFarm)?;
        Self::withdraw_ip(account, ip, record)
    }

    fn offered_ip(ip: IpId) -> Result<FarmIp, Error<T>> {
        Ips::<T>::get(ip).filter(|record| !record.removed).ok_or(Error::<T>::UnknownIp)
    }

    /// Releases the deposit and the addresses, which other farms may offer now. The record stays while a
    /// contract has the public IP.
    fn withdraw_ip(farmer: T::AccountId, ip: IpId, record: FarmIp) -> DispatchResult {
        let FarmIp { farm, deposit: released, .. } = record;
        T::Currency::release(&HoldReason::PublicIp.into(), &farmer, released, Precision::Exact)?;
        record.address.addresses().for_each(IpByAddress::<T>::remove);
        if record.contract.is_some() {
            Ips::<T>::insert(ip, FarmIp { removed: true, deposit: Balance::default(), ..record });
        } else {
            FreeIps::<T>::remove(farm, ip);
            Self::forget_ip(farm, ip);
        }
        Self::deposit_event(Event::IpRemoved { farm, ip, released });
        Ok(())
    }

    fn forget_ip(farm: FarmId, ip: IpId) {
        Ips::<T>::remove(ip);
        FarmIps::<T>::remove(farm, ip);
        FarmIpCount::<T>::mutate_exists(farm, count_down);
    }

    fn assign_ip(ip: IpId, contract: ContractId) {
        let Some(record) = Ips::<T>::get(ip) else {
            defensive!("a free public IP has a record");
            return;
        };
        FreeIps::<T>::remove(record.farm, ip);
        Ips::<T>::insert(ip, FarmIp { contract: Some(contract), ..record });
    }

    /// Ends the reservation of a public IP: it is free, or forgotten if governance has removed it.
    fn free_ip(ip: IpId) {
        let Some(record) = Ips::<T>::get(ip) else {
            defensive!("a reserved public IP has a record");
            return;
        };
        let farm = record.farm;
        if record.removed {
            Self::forget_ip(farm, ip);
        } else {
            Ips::<T>::insert(ip, FarmIp { contract: None, ..record });
            FreeIps::<T>::insert(farm, ip, ());
        }
    }
}

impl<T: Config> PublicIps for Pallet<T> {
    fn reserve(farm: FarmId, contract: ContractId, count: u8) -> DispatchResult {
        ensure!(u32::from(count) <= MAX_CONTRACT_IPS, Error::<T>::IpCountOutOfRange);
        let mut held = ContractIps::<T>::get(contract).unwrap_or_default();
        let kept = held.iter().filter(|held| held.cools_until.is_none()).count();
        let missing = usize::from(count).saturating_sub(kept);
        if missing == 0 {
            return Ok(());
        }
        // One that governance has removed is another farm's by now.
        let is_offered = |ip| Ips::<T>::get(ip).is_some_and(|record| !record.removed);
        let own =
            held.iter_mut().filter(|held| held.cools_until.is_some() && is_offered(held.ip)).take(missing);
        let taken_back = own.map(|held| held.cools_until = None).count();
        let missing = missing.saturating_sub(taken_back);
        let more: Vec<_> = FreeIps::<T>::iter_key_prefix(farm).take(missing).collect();
        ensure!(more.len() == missing, Error::<T>::NotEnoughIps);
        let added = more.iter().map(|ip| HeldIp { ip: *ip, cools_until: None });
        held.try_extend(added).map_err(|()| Error::<T>::IpCountOutOfRange)?;

        more.iter().for_each(|ip| Self::assign_ip(*ip, contract));
        ContractIps::<T>::insert(contract, held);
        if !more.is_empty() {
            Self::deposit_event(Event::IpsReserved { contract, ips: IpIds::truncate_from(more) });
        }
        Ok(())
    }

    fn retire(contract: ContractId, kept: u8, until: GridMillis) -> bool {
        let Some(mut held) = ContractIps::<T>::get(contract) else { return false };
        let has = held.iter_mut().filter(|held| held.cools_until.is_none());
        let retired = has.skip(kept.into()).map(|held| held.cools_until = Some(until)).count();
        if retired > 0 {
            ContractIps::<T>::insert(contract, held);
        }
        retired > 0
    }

    fn is_cooling(contract: ContractId) -> bool {
        ContractIps::<T>::get(contract).is_some_and(|held| held.iter().any(|held| held.cools_until.is_some()))
    }

    fn free(contract: ContractId, now: GridMillis) {
        let Some(mut held) = ContractIps::<T>::take(contract) else { return };
        let mut freed = IpIds::default();
        held.retain(|HeldIp { ip, cools_until }| {
            let is_free = cools_until.is_some_and(|until| until <= now);
            // As many as it holds at most, so it always fits.
            !(is_free && freed.try_push(*ip).is_ok())
        });
        ContractIps::<T>::set(contract, (!held.is_empty()).then_some(held));
        if freed.is_empty() {
            return;
        }
        freed.iter().for_each(|ip| Self::free_ip(*ip));
        Self::deposit_event(Event::IpsFreed { contract, ips: freed });
    }
}
