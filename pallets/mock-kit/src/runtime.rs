// SPDX-License-Identifier: Apache-2.0
//! The runtime of a mock.

pub use tfgrid_primitives::Balance;

/// Accounts are numbers.
pub type AccountId = u64;
/// The existential deposit of the mock runtimes, in 1e-7 TFT.
pub const EXISTENTIAL_DEPOSIT: Balance = 1_000;

/// Declares the runtime `Test` of frame-system (`System`), pallet-balances (`Balances`) and the given
/// pallets, and configures the first two.
///
/// The pallets stand as in `#[frame_support::runtime]`, from index 2 on. `system { … }` before them gives
/// items of `frame_system::Config` instead of the default block: `type Block = …;` must be among them.
#[macro_export]
macro_rules! mock_runtime {
    (system { $($system:tt)* } $($pallets:tt)*) => {
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
                RuntimeFreezeReason,
                RuntimeViewFunction
            )]
            pub struct Test;

            #[runtime::pallet_index(0)]
            pub type System = frame_system;
            #[runtime::pallet_index(1)]
            pub type Balances = pallet_balances;
            $($pallets)*
        }

        mod configs {
            use super::*;
            // By its name alone: `derive_impl` expands to itself.
            use frame_support::derive_impl;

            #[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
            impl frame_system::Config for Test {
                type AccountData = pallet_balances::AccountData<$crate::Balance>;
                $($system)*
            }

            #[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
            impl pallet_balances::Config for Test {
                type AccountStore = System;
                type Balance = $crate::Balance;
                type ExistentialDeposit = frame_support::traits::ConstU128<{ $crate::EXISTENTIAL_DEPOSIT }>;
            }
        }
    };
    ($($pallets:tt)*) => {
        $crate::mock_runtime! {
            system { type Block = frame_system::mocking::MockBlock<Test>; }
            $($pallets)*
        }
    };
}
