// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet, sessions of ten blocks and balances. The session key of account `n` is `n`.

use crate as pallet_grid_validators;
use frame_support::{
    derive_impl,
    traits::{ConstU32, ConstU64, Hooks},
};
use frame_system::EnsureRoot;
use pallet_session::PeriodicSessions;
use sp_runtime::{BuildStorage, impl_opaque_keys, testing::UintAuthorityId, traits::ConvertInto};

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
    pub type Session = pallet_session;
    #[runtime::pallet_index(3)]
    pub type Validators = pallet_grid_validators;
}

pub type AccountId = u64;

pub const SESSION: u64 = 10;
pub const KEY_DEPOSIT: u64 = 7;
const RICH: u64 = 1_000;

impl_opaque_keys! {
    pub struct Keys {
        pub dummy: UintAuthorityId,
    }
}

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type Block = frame_system::mocking::MockBlock<Test>;
    type AccountData = pallet_balances::AccountData<u64>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type AccountStore = System;
}

impl pallet_session::Config for Test {
    type RuntimeEvent = RuntimeEvent;
    type ValidatorId = AccountId;
    type ValidatorIdOf = ConvertInto;
    type ShouldEndSession = PeriodicSessions<ConstU64<SESSION>, ConstU64<0>>;
    type NextSessionRotation = PeriodicSessions<ConstU64<SESSION>, ConstU64<0>>;
    type SessionManager = Validators;
    type SessionHandler = pallet_session::TestSessionHandler;
    type Keys = Keys;
    type DisablingStrategy = ();
    type WeightInfo = ();
    type Currency = Balances;
    type KeyDeposit = ConstU64<KEY_DEPOSIT>;
}

impl pallet_grid_validators::Config for Test {
    type ManagerOrigin = EnsureRoot<AccountId>;
    type MaxValidators = ConstU32<5>;
    type MaxPending = ConstU32<3>;
    type HeardWithin = ConstU32<2>;
    type WeightInfo = ();
}

pub fn keys(account: AccountId) -> Keys {
    Keys { dummy: account.into() }
}

/// A fresh chain of the validators 1 and 2.
pub fn new_chain() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    pallet_balances::GenesisConfig::<Test> {
        balances: (1..=9).map(|account| (account, RICH)).collect(),
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .unwrap();
    let keys = [1, 2].map(|account| (account, account, keys(account)));
    pallet_session::GenesisConfig::<Test> { keys: keys.into(), ..Default::default() }
        .assimilate_storage(&mut storage)
        .unwrap();
    pallet_grid_validators::GenesisConfig::<Test>::default().assimilate_storage(&mut storage).unwrap();
    let mut chain = sp_io::TestExternalities::new(storage);
    chain.execute_with(|| System::set_block_number(1));
    chain
}

/// Runs `test` on a fresh chain and checks the laws afterwards.
pub fn run(test: impl FnOnce()) {
    new_chain().execute_with(|| {
        test();
        Validators::do_try_state().unwrap();
    });
}

/// Blocks until the next session has begun, and the laws after each.
pub fn next_session() {
    let session = Session::current_index();
    while Session::current_index() == session {
        System::set_block_number(System::block_number() + 1);
        Session::on_initialize(System::block_number());
        Validators::do_try_state().unwrap();
    }
}
