// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet, balances and another pallet that holds deposits.

use crate as pallet_grid_twins;
use frame_support::{
    derive_impl, parameter_types,
    traits::{ConstU128, Get},
};
use sp_runtime::BuildStorage;
use tfgrid_primitives::{TwinId, traits::TwinInUse, units::TFT};

/// A pallet that holds deposits of twins.
#[frame_support::pallet]
pub mod neighbour {
    #[pallet::pallet]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config: frame_system::Config {}

    /// Why it holds TFT.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// Belongs to a twin.
        Things,
        /// Belongs to an account.
        Other,
    }
}

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
    pub type Twins = pallet_grid_twins;
    #[runtime::pallet_index(3)]
    pub type Neighbour = neighbour;
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

impl neighbour::Config for Test {}

parameter_types! {
    /// The twin that something depends on.
    pub static Busy: Option<TwinId> = None;
}

/// Says that [`Busy`] is in use.
pub struct SetUse;

impl TwinInUse for SetUse {
    fn is_in_use(twin: TwinId) -> bool {
        Busy::get() == Some(twin)
    }
}

/// What belongs to a twin.
pub struct TwinsDeposits;

impl Get<&'static [RuntimeHoldReason]> for TwinsDeposits {
    fn get() -> &'static [RuntimeHoldReason] {
        &[
            RuntimeHoldReason::Twins(pallet_grid_twins::HoldReason::Twin),
            RuntimeHoldReason::Neighbour(neighbour::HoldReason::Things),
        ]
    }
}

impl pallet_grid_twins::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type DepositReasons = TwinsDeposits;
    type InUse = SetUse;
    type OnTwinLeft = ();
    type TwinDeposit = ConstU128<TFT>;
    type WeightInfo = ();
}

pub const ALICE: AccountId = 1;
pub const BOB: AccountId = 2;
pub const POOR: AccountId = 3;
pub const NOBODY: AccountId = 4;

/// A fresh chain.
pub fn new_chain() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    pallet_balances::GenesisConfig::<Test> {
        balances: vec![(ALICE, 100 * TFT), (BOB, 100 * TFT), (POOR, TFT / 2)],
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
        Twins::do_try_state().unwrap();
    });
}
