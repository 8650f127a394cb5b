// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet and another one that holds deposits.

use crate as pallet_grid_twins;
use frame_support::{
    parameter_types,
    traits::{ConstU128, Get},
};
pub use pallet_grid_mock_kit::AccountId;
use pallet_grid_mock_kit::{Chain, mock_runtime};
use tfgrid_primitives::{TwinId, traits::TwinInUse, units::TFT};

/// A pallet that holds deposits of twins.
#[frame_support::pallet]
pub mod neighbour {
    #[pallet::pallet]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config: frame_system::Config {}

    /// Hold reasons of the pallet.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// Belongs to a twin.
        Things,
        /// Belongs to an account.
        Other,
    }
}

mock_runtime! {
    #[runtime::pallet_index(2)]
    pub type Twins = pallet_grid_twins;
    #[runtime::pallet_index(3)]
    pub type Neighbour = neighbour;
}

impl neighbour::Config for Test {}

parameter_types! {
    /// The twin that owns something.
    pub static Busy: Option<TwinId> = None;
}

/// Reports [`Busy`] as in use.
pub struct SetUse;

impl TwinInUse for SetUse {
    fn is_in_use(twin: TwinId) -> bool {
        Busy::get() == Some(twin)
    }
}

/// The hold reasons of deposits that belong to a twin.
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
    type DepositPerByte = ConstU128<PER_BYTE>;
    type WeightInfo = ();
}

/// Deposit of a byte of peer addresses.
pub const PER_BYTE: u128 = TFT / 1_000;

pub const ALICE: AccountId = 1;
pub const BOB: AccountId = 2;
pub const POOR: AccountId = 3;
/// An account that doesn't exist.
pub const NOBODY: AccountId = 4;

pub fn chain() -> Chain<Test> {
    Busy::set(None);
    Chain::<Test>::new([(ALICE, 100 * TFT), (BOB, 100 * TFT), (POOR, TFT / 2)])
}

/// Runs `test` on a fresh chain and checks the invariants afterwards.
pub fn run(test: impl FnOnce()) {
    chain().run(&[Twins::do_try_state], test);
}
