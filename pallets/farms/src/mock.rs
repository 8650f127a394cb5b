// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet and balances, with twins that are their numbers and a clock that tests set.

use crate as pallet_farms;
use frame_support::{derive_impl, parameter_types, traits::ConstU128};
use sp_runtime::BuildStorage;
use tfgrid_primitives::{
    traits::{Clock, TwinDirectory},
    units::TFT,
    GridMillis, TwinId, UnixSeconds, Q64,
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
    pub type Farms = pallet_farms;
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
}

impl pallet_farms::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Twins = Numbers;
    type Clock = SetClock;
    type FarmDeposit = ConstU128<{ 10 * TFT }>;
    type NodeDeposit = ConstU128<{ 10 * TFT }>;
    type WeightInfo = ();
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

    fn price_now() -> Q64 {
        0
    }
}

pub const FARMER: AccountId = 1;
pub const OTHER: AccountId = 2;
pub const POOR: AccountId = 3;
pub const STRANGER: AccountId = 1_000;

/// Runs `test` on a fresh chain and checks the laws afterwards.
pub fn run(test: impl FnOnce()) {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    let rich = 10_000 * TFT;
    pallet_balances::GenesisConfig::<Test> {
        balances: vec![(FARMER, rich), (OTHER, rich), (POOR, TFT), (STRANGER, rich)],
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .unwrap();
    sp_io::TestExternalities::new(storage).execute_with(|| {
        System::set_block_number(1);
        test();
        Farms::do_try_state().unwrap();
    });
}
