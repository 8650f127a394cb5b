// SPDX-License-Identifier: Apache-2.0
//! Weights of the calls, each in its worst case.

use crate::*;
use alloc::vec::Vec;
use frame_benchmarking::v2::*;
use frame_support::traits::EnsureOrigin;
use frame_system::RawOrigin;
use tfgrid_primitives::{
    FarmId, KeySignature, PublicKey, TwinId, UnixSeconds,
    ticket::{MAX_REGISTRATION_SECONDS, opening_bytes},
    traits::{BootTickets, Clock},
};

/// Creates what the benchmarks need in other pallets.
pub trait BenchmarkHelper<AccountId> {
    /// An account that can pay all deposits, and its twin.
    fn twin() -> (AccountId, TwinId);
    /// The public half of a boot ticket whose key is known.
    fn ticket() -> PublicKey;
    /// A signature of [`BenchmarkHelper::ticket`].
    fn sign(bytes: &[u8]) -> KeySignature;
    /// Sets calendar time.
    fn advance_to(now: UnixSeconds);
}

/// The longest name, all of one letter, so that names of different letters don't look alike.
fn longest_name(letter: u8) -> UncheckedName {
    UncheckedName::truncate_from((0..MAX_NAME).map(|_| letter).collect())
}

/// A farmer with a farm.
fn with_farm<T: Config>() -> Result<(T::AccountId, FarmId), BenchmarkError> {
    let (account, _) = T::BenchmarkHelper::twin();
    Pallet::<T>::create(RawOrigin::Signed(account.clone()).into(), longest_name(b'm'))?;
    Ok((account, LastFarmId::<T>::get()))
}

/// A ticket and its proof for `farm`.
fn proven<T: Config>(farm: FarmId) -> (PublicKey, KeySignature) {
    let bytes = opening_bytes(Pallet::<T>::genesis(), farm);
    (T::BenchmarkHelper::ticket(), T::BenchmarkHelper::sign(&bytes))
}

/// IPv4 and IPv6.
fn pair() -> PublicIp {
    let v4 = Interface { address: [185, 69, 166, 10], prefix: 24, gateway: [185, 69, 166, 1] };
    let mut v6 = Interface { address: [0x2a; 16], prefix: 64, gateway: [0x2a; 16] };
    v6.gateway[15] = 1;
    PublicIp { v4, v6: Some(v6) }
}

fn with_ip<T: Config>() -> Result<(T::AccountId, IpId), BenchmarkError> {
    let (account, farm) = with_farm::<T>()?;
    Pallet::<T>::add_ip(RawOrigin::Signed(account.clone()).into(), farm, pair())?;
    Ok((account, LastIpId::<T>::get()))
}

fn governance<T: Config>() -> Result<T::RuntimeOrigin, BenchmarkError> {
    T::GovernanceOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)
}

#[benchmarks]
mod benchmarks {
    use super::*;

    /// Worst case: the longest name, the account's first hold.
    #[benchmark]
    fn create() {
        let (account, _) = T::BenchmarkHelper::twin();
        #[extrinsic_call]
        _(RawOrigin::Signed(account), longest_name(b'm'));
        assert!(Farms::<T>::contains_key(LastFarmId::<T>::get()));
    }

    #[benchmark]
    fn open_ticket() -> Result<(), BenchmarkError> {
        let (account, farm) = with_farm::<T>()?;
        let expires = T::Clock::unix_now().saturating_add(MAX_TICKET_SECONDS);
        let (ticket, proof) = proven::<T>(farm);
        #[extrinsic_call]
        _(RawOrigin::Signed(account), farm, ticket, MAX_TICKET_NODES, expires, proof);
        assert!(Tickets::<T>::contains_key(ticket));
        Ok(())
    }

    /// Worst case: the record is deleted at once, with all admissions but one used.
    #[benchmark]
    fn close_ticket() -> Result<(), BenchmarkError> {
        let (account, farm) = with_farm::<T>()?;
        let expires = T::Clock::unix_now().saturating_add(1);
        let origin = RawOrigin::Signed(account.clone());
        let (ticket, proof) = proven::<T>(farm);
        Pallet::<T>::open_ticket(origin.into(), farm, ticket, MAX_TICKET_NODES, expires, proof)?;
        let keys: Vec<_> = (1..MAX_TICKET_NODES as u8).map(|n| [n; 32]).collect();
        keys.iter().for_each(|key| {
            Pallet::<T>::spend(&ticket, key);
        });
        T::BenchmarkHelper::advance_to(expires.saturating_add(MAX_REGISTRATION_SECONDS).saturating_add(1));
        #[extrinsic_call]
        _(RawOrigin::Signed(account), ticket);
        assert!(!Tickets::<T>::contains_key(ticket));
        Ok(())
    }

    /// Worst case: the longest name, unlike the old one.
    #[benchmark]
    fn update() -> Result<(), BenchmarkError> {
        let (account, farm) = with_farm::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), farm, longest_name(b'w'));
        assert_eq!(Pallet::<T>::farm_by_name(longest_name(b'w').into_inner()), Some(farm));
        Ok(())
    }

    #[benchmark]
    fn set_dedicated() -> Result<(), BenchmarkError> {
        let (account, farm) = with_farm::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), farm, true);
        assert!(Farms::<T>::get(farm).is_some_and(|farm| farm.dedicated));
        Ok(())
    }

    /// Worst case: the twin's only farm.
    #[benchmark]
    fn remove() -> Result<(), BenchmarkError> {
        let (account, farm) = with_farm::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), farm);
        assert!(!Farms::<T>::contains_key(farm));
        Ok(())
    }

    /// Worst case: IPv4 and IPv6, the account's first hold of this reason.
    #[benchmark]
    fn add_ip() -> Result<(), BenchmarkError> {
        let (account, farm) = with_farm::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), farm, pair());
        assert_eq!(FarmIpCount::<T>::get(farm), 1);
        Ok(())
    }

    /// Worst case: IPv4 and IPv6, the farm's only one.
    #[benchmark]
    fn remove_ip() -> Result<(), BenchmarkError> {
        let (account, ip) = with_ip::<T>()?;
        #[extrinsic_call]
        _(RawOrigin::Signed(account), ip);
        assert!(!Ips::<T>::contains_key(ip));
        Ok(())
    }

    /// Worst case: IPv4 and IPv6, the farm's only one.
    #[benchmark]
    fn force_remove_ip() -> Result<(), BenchmarkError> {
        let (_, ip) = with_ip::<T>()?;
        let origin = governance::<T>()?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, ip);
        assert!(!Ips::<T>::contains_key(ip));
        Ok(())
    }

    #[benchmark]
    fn set_certification() -> Result<(), BenchmarkError> {
        let (_, farm) = with_farm::<T>()?;
        let origin = governance::<T>()?;
        #[extrinsic_call]
        _(origin as T::RuntimeOrigin, farm, Certification::Gold);
        assert!(Farms::<T>::get(farm).is_some_and(|farm| farm.certification == Certification::Gold));
        Ok(())
    }

    impl_benchmark_test_suite!(Pallet, crate::mock::chain().build(), crate::mock::Test);
}
