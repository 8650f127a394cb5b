// SPDX-License-Identifier: Apache-2.0
//! Chains for tests.

use crate::{AccountId, agenda, clock, directory, recorder};
use core::marker::PhantomData;
use sp_io::TestExternalities;
use sp_runtime::{BuildStorage, Storage, TryRuntimeError};
use tfgrid_primitives::Balance;

/// Checks the invariants of a pallet: its `do_try_state`.
pub type Check = fn() -> Result<(), TryRuntimeError>;

/// Builds a chain of the runtime `T`.
pub struct Chain<T> {
    storage: Storage,
    runtime: PhantomData<T>,
}

impl<T> Chain<T>
where
    T: frame_system::Config<AccountId = AccountId> + pallet_balances::Config<Balance = Balance>,
{
    /// A chain whose accounts have these balances, in 1e-7 TFT. Resets all doubles of this crate.
    pub fn new(balances: impl IntoIterator<Item = (AccountId, Balance)>) -> Self {
        clock::reset();
        agenda::reset();
        directory::reset();
        recorder::reset();
        let storage = frame_system::GenesisConfig::<T>::default().build_storage().expect("an empty genesis");
        let balances = balances.into_iter().collect();
        Self { storage, runtime: PhantomData }
            .genesis(pallet_balances::GenesisConfig::<T> { balances, ..Default::default() })
    }

    /// Adds the genesis of another pallet.
    pub fn genesis(mut self, genesis: impl BuildStorage) -> Self {
        genesis.assimilate_storage(&mut self.storage).expect("a valid genesis");
        self
    }

    /// The chain at its first block.
    pub fn build(self) -> TestExternalities {
        let mut chain = TestExternalities::new(self.storage);
        chain.execute_with(|| frame_system::Pallet::<T>::set_block_number(1u32.into()));
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
