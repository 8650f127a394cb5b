// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet and balances, with twins that are their numbers, and a clock, nodes and earnings that
//! tests set.

use crate as pallet_grid_farms;
use frame_support::{derive_impl, parameter_types, traits::ConstU128};
use frame_system::EnsureRoot;
use sp_runtime::BuildStorage;
use tfgrid_primitives::{
    FarmId, GridMillis, PriceTime, TwinId, UnixSeconds,
    traits::{Clock, FarmInUse, TwinDirectory},
    units::TFT,
};

#[frame_support::runtime]
mod runtime {
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeTask,
        RuntimeHoldReason,
        RuntimeFreezeReason
    )]
    pub struct Test;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(2)]
    pub type Farms = pallet_grid_farms;
}

pub type AccountId = u64;

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlock<Test>;
    type AccountData = pallet_balances::AccountData<u128>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type AccountStore = System;
    type Balance = u128;
    type ExistentialDeposit = ConstU128<1_000>;
}

parameter_types! {
    pub static Now: UnixSeconds = 1_700_000_000;
    /// The farm that has nodes.
    pub static WithNodes: Option<FarmId> = None;
    /// The farm that has earnings.
    pub static WithEarnings: Option<FarmId> = None;
}

impl pallet_grid_farms::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Twins = Numbers;
    type Clock = SetClock;
    type Use = SetUse;
    type GovernanceOrigin = EnsureRoot<AccountId>;
    type FarmDeposit = ConstU128<{ 10 * TFT }>;
    type NodeDeposit = ConstU128<{ 10 * TFT }>;
    type IpDeposit = ConstU128<{ 5 * TFT }>;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = Numbers;
}

/// Twin `n` is account `n`; accounts from 1,000 on have none.
pub struct Numbers;

impl TwinDirectory<AccountId> for Numbers {
    fn twin_of(account: &AccountId) -> Option<TwinId> {
        (*account < 1_000).then_some(*account as TwinId)
    }

    fn account_of(twin: TwinId) -> Option<AccountId> {
        (twin < 1_000).then_some(twin.into())
    }
}

/// Shows [`Now`].
pub struct SetClock;

impl Clock for SetClock {
    fn grid_now() -> GridMillis {
        0
    }

    fn unix_now() -> UnixSeconds {
        Now::get()
    }

    fn price_now() -> PriceTime {
        0
    }
}

/// Says what [`WithNodes`] and [`WithEarnings`] are set to.
pub struct SetUse;

impl FarmInUse for SetUse {
    fn has_nodes(farm: FarmId) -> bool {
        WithNodes::get() == Some(farm)
    }

    fn has_earnings(farm: FarmId) -> bool {
        WithEarnings::get() == Some(farm)
    }
}

#[cfg(feature = "runtime-benchmarks")]
impl crate::BenchmarkHelper<AccountId> for Numbers {
    fn twin() -> (AccountId, TwinId) {
        (FARMER, 1)
    }

    fn advance_to(now: UnixSeconds) {
        Now::set(now);
    }
}

pub const FARMER: AccountId = 1;
pub const OTHER: AccountId = 2;
pub const POOR: AccountId = 3;
pub const STRANGER: AccountId = 1_000;

/// A fresh chain.
pub fn new_chain() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    let rich = 10_000 * TFT;
    pallet_balances::GenesisConfig::<Test> {
        balances: vec![(FARMER, rich), (OTHER, rich), (POOR, TFT), (STRANGER, rich)],
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .unwrap();
    let mut chain = sp_io::TestExternalities::new(storage);
    chain.execute_with(|| System::set_block_number(1));
    chain
}

/// Runs `test` on a fresh chain and checks the laws afterwards.
pub fn run(test: impl FnOnce()) {
    new_chain().execute_with(|| {
        test();
        Farms::do_try_state().unwrap();
    });
}
