// SPDX-License-Identifier: Apache-2.0
//! A runtime of this pallet, with nodes and earnings that tests set.

use crate as pallet_grid_farms;
use frame_support::{parameter_types, traits::ConstU128};
use frame_system::EnsureRoot;
pub use pallet_grid_mock_kit::{AccountId, MockClock};
use pallet_grid_mock_kit::{Chain, Directory, mock_runtime};
use tfgrid_primitives::{FarmId, traits::FarmInUse, units::TFT};

mock_runtime! {
    #[runtime::pallet_index(2)]
    pub type Farms = pallet_grid_farms;
}

parameter_types! {
    /// The farm that has nodes.
    pub static WithNodes: Option<FarmId> = None;
    /// The farm that has earnings.
    pub static WithEarnings: Option<FarmId> = None;
}

impl pallet_grid_farms::Config for Test {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Twins = Directory;
    type Clock = MockClock;
    type Use = SetUse;
    type GovernanceOrigin = EnsureRoot<AccountId>;
    type FarmDeposit = ConstU128<{ 10 * TFT }>;
    type NodeDeposit = ConstU128<{ 10 * TFT }>;
    type IpDeposit = ConstU128<{ 5 * TFT }>;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = BenchmarkDoubles;
}

/// Reports the uses of [`WithNodes`] and [`WithEarnings`].
pub struct SetUse;

impl FarmInUse for SetUse {
    fn has_nodes(farm: FarmId) -> bool {
        WithNodes::get() == Some(farm)
    }

    fn has_earnings(farm: FarmId) -> bool {
        WithEarnings::get() == Some(farm)
    }
}

/// What benchmarks need of other pallets.
#[cfg(feature = "runtime-benchmarks")]
pub struct BenchmarkDoubles;

#[cfg(feature = "runtime-benchmarks")]
impl crate::BenchmarkHelper<AccountId> for BenchmarkDoubles {
    fn twin() -> (AccountId, tfgrid_primitives::TwinId) {
        (FARMER, 1)
    }

    fn ticket() -> tfgrid_primitives::PublicKey {
        use sp_core::Pair;
        ticket_key().public().0
    }

    fn sign(bytes: &[u8]) -> tfgrid_primitives::KeySignature {
        use sp_core::Pair;
        ticket_key().sign(bytes)
    }

    fn advance_to(now: tfgrid_primitives::UnixSeconds) {
        MockClock::set_unix(now);
    }
}

/// The secret half of a boot ticket.
pub fn ticket_key() -> sp_core::ed25519::Pair {
    sp_core::Pair::from_seed(&[7; 32])
}

pub const FARMER: AccountId = 1;
pub const OTHER: AccountId = 2;
pub const POOR: AccountId = 3;
/// An account without a twin.
pub const STRANGER: AccountId = 1_000;

pub fn chain() -> Chain<Test> {
    WithNodes::set(None);
    WithEarnings::set(None);
    let rich = 10_000 * TFT;
    Chain::<Test>::new([(FARMER, rich), (OTHER, rich), (POOR, TFT), (STRANGER, rich)])
}

/// Runs `test` on a fresh chain and checks the invariants afterwards.
pub fn run(test: impl FnOnce()) {
    chain().run(&[Farms::do_try_state], test);
}
