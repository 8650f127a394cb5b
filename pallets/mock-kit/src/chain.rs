// SPDX-License-Identifier: Apache-2.0
//! Chains for tests.

use crate::{AccountId, agenda, clock, directory, recorder};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_io::TestExternalities;
use sp_runtime::{BuildStorage, Storage, TryRuntimeError};
use tfgrid_primitives::Balance;

/// Checks the invariants of a pallet: its `do_try_state`.
pub type Check = fn() -> Result<(), TryRuntimeError>;

/// Builds the genesis of a chain.
pub struct Chain {
    storage: Storage,
    first_block: fn(),
}

impl Chain {
    /// A chain of the runtime `T` with nothing in it. Sets all doubles of this crate back.
    pub fn new<T: frame_system::Config>() -> Self {
        clock::reset();
        agenda::reset();
        directory::reset();
        recorder::reset();
        let storage = frame_system::GenesisConfig::<T>::default().build_storage().expect("an empty genesis");
        let first_block = || frame_system::Pallet::<T>::set_block_number(BlockNumberFor::<T>::from(1u32));
        Self { storage, first_block }
    }

    /// Gives accounts TFT, in 1e-7 TFT.
    pub fn balances<T>(self, balances: impl IntoIterator<Item = (AccountId, Balance)>) -> Self
    where
        T: frame_system::Config<AccountId = AccountId> + pallet_balances::Config<Balance = Balance>,
    {
        let balances = balances.into_iter().collect();
        self.genesis(pallet_balances::GenesisConfig::<T> { balances, ..Default::default() })
    }

    /// Adds the genesis of another pallet.
    pub fn genesis(mut self, genesis: impl BuildStorage) -> Self {
        genesis.assimilate_storage(&mut self.storage).expect("a valid genesis");
        self
    }

    /// The chain at its first block.
    pub fn build(self) -> TestExternalities {
        let mut chain = TestExternalities::new(self.storage);
        chain.execute_with(self.first_block);
        chain
    }

    /// Runs `test` at the first block and checks the invariants afterwards.
    pub fn run(self, checks: &[Check], test: impl FnOnce()) {
        self.build().execute_with(|| {
            test();
            for check in checks {
                check().unwrap();
            }
        });
    }
}
