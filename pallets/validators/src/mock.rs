// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet and sessions of ten blocks. The session key of account `n` is `n`.

use crate as pallet_grid_validators;
use frame_support::traits::{ConstU32, ConstU64, ConstU128, Hooks};
use frame_system::EnsureRoot;
pub use pallet_grid_mock_kit::AccountId;
use pallet_grid_mock_kit::{Chain, mock_runtime};
use pallet_session::PeriodicSessions;
use sp_runtime::{impl_opaque_keys, testing::UintAuthorityId, traits::ConvertInto};
use tfgrid_primitives::{Balance, units::TFT};

mock_runtime! {
    #[runtime::pallet_index(2)]
    pub type Session = pallet_session;
    #[runtime::pallet_index(3)]
    pub type Validators = pallet_grid_validators;
}

pub const SESSION: u64 = 10;
pub const KEY_DEPOSIT: Balance = TFT;

impl_opaque_keys! {
    pub struct Keys {
        pub dummy: UintAuthorityId,
    }
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
    type KeyDeposit = ConstU128<KEY_DEPOSIT>;
}

impl pallet_grid_validators::Config for Test {
    type ManagerOrigin = EnsureRoot<AccountId>;
    type MaxValidators = ConstU32<5>;
    type MaxPendingChanges = ConstU32<3>;
    type MaxSilence = ConstU32<2>;
    type WeightInfo = ();
}

pub fn keys(account: AccountId) -> Keys {
    Keys { dummy: account.into() }
}

/// A chain with the validators 1 and 2.
pub fn chain() -> Chain<Test> {
    let keys = [1, 2].map(|account| (account, account, keys(account)));
    Chain::<Test>::new((1..=9).map(|account| (account, 100 * TFT)))
        .genesis(pallet_session::GenesisConfig::<Test> { keys: keys.into(), ..Default::default() })
        .genesis(pallet_grid_validators::GenesisConfig::<Test>::default())
}

/// Runs `test` on a fresh chain and checks the invariants afterwards.
pub fn run(test: impl FnOnce()) {
    chain().run(&[Validators::do_try_state], test);
}

/// Runs blocks until the next session has begun, and checks the invariants after each.
pub fn next_session() {
    let session = Session::current_index();
    while Session::current_index() == session {
        System::set_block_number(System::block_number() + 1);
        Session::on_initialize(System::block_number());
        Validators::do_try_state().unwrap();
    }
}
