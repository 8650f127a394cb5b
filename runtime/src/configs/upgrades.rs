// SPDX-License-Identifier: Apache-2.0
//! Calls that are made later, and what a new runtime changes in the state.

use super::{
    governance::{Governance, Planner},
    system::RuntimeBlockWeights,
};
use crate::*;
use frame_support::{
    migrations::FreezeChainOnFailedMigration,
    parameter_types,
    traits::{ConstU32, EqualPrivilegeOnly, LinearStoragePrice, fungible::HoldConsideration},
    weights::Weight,
};
use sp_runtime::Perbill;
use tfgrid_primitives::units::TFT;

/// Migrations that fit into the first block of a new runtime, in the order in which they run. They stay
/// here until every chain has run them.
pub type SingleBlockMigrations = ();

/// Migrations that take more than a block. Until they are done blocks carry nothing else: the price clock
/// goes on, grid time stands still.
#[cfg(not(feature = "runtime-benchmarks"))]
type LongMigrations = pallet_grid_contracts::migrations::ClaimRanges<Runtime>;
#[cfg(feature = "runtime-benchmarks")]
type LongMigrations = pallet_migrations::mock_helpers::MockedMigrations;

parameter_types! {
    pub const PreimageHold: RuntimeHoldReason = RuntimeHoldReason::Preimage(pallet_preimage::HoldReason::Preimage);
    pub const PreimageBase: Balance = TFT / 10;
    pub const PreimagePerByte: Balance = TFT / 1_000;
    /// What is planned may take a quarter of a block: the rest is for the grid.
    pub PlannedWeight: Weight = Perbill::from_percent(25) * RuntimeBlockWeights::get().max_block;
    pub MigrationWeight: Weight = Perbill::from_percent(80) * RuntimeBlockWeights::get().max_block;
}

impl pallet_preimage::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_preimage::weights::SubstrateWeight<Runtime>;
    type Currency = Balances;
    type ManagerOrigin = Governance;
    type Consideration = HoldConsideration<
        AccountId,
        Balances,
        PreimageHold,
        LinearStoragePrice<PreimageBase, PreimagePerByte, Balance>,
    >;
}

impl pallet_scheduler::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeOrigin = RuntimeOrigin;
    type PalletsOrigin = OriginCaller;
    type RuntimeCall = RuntimeCall;
    type MaximumWeight = PlannedWeight;
    type ScheduleOrigin = Planner;
    type OriginPrivilegeCmp = EqualPrivilegeOnly;
    type MaxScheduledPerBlock = ConstU32<{ MAX_PLANNED }>;
    type WeightInfo = pallet_scheduler::weights::SubstrateWeight<Runtime>;
    type Preimages = Preimage;
    type BlockNumberProvider = System;
}

/// Calls planned for one block.
const MAX_PLANNED: u32 = 32;

impl pallet_migrations::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type Migrations = LongMigrations;
    type CursorMaxLen = ConstU32<{ 64 * 1_024 }>;
    type IdentifierMaxLen = ConstU32<256>;
    type MigrationStatusHandler = Clock;
    /// A half-migrated state is worse than none that moves. A chain that is stuck takes no transaction: its operators
    /// give their nodes a runtime that mends it, as a code substitute in the chain's specification.
    type FailedMigrationHandler = FreezeChainOnFailedMigration;
    type MaxServiceWeight = MigrationWeight;
    type WeightInfo = pallet_migrations::weights::SubstrateWeight<Runtime>;
}
