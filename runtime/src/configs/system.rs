// SPDX-License-Identifier: Apache-2.0
//! `frame_system` and the timestamp.

use super::{consensus::KeysOfValidatorsStay, upgrades};
use crate::{
    weights::overhead::{BlockExecutionWeight, ExtrinsicBaseWeight},
    *,
};
use frame_support::{
    derive_impl,
    dispatch::DispatchClass,
    parameter_types,
    traits::{ConstU16, ConstU64},
    weights::{Weight, constants::WEIGHT_REF_TIME_PER_SECOND},
};
use frame_system::limits::{BlockLength, BlockWeights};
use sp_runtime::Perbill;
use tfgrid_primitives::weights::DbWeight;

/// The most of a block that people's calls take. What reports have reserved goes on beside it.
const NORMAL_RATIO: Perbill = Perbill::from_percent(88);
/// What each kind of calls finds free, whatever else a block holds: free reports can't shut out governance, nor the
/// turn of a session the reports, nor people's calls the reports.
const RESERVED_RATIO: Perbill = Perbill::from_percent(25);
/// The most of a block that operational calls take: the reports of machines.
const OPERATIONAL_RATIO: Perbill = Perbill::from_percent(60);
/// What building a block takes on average before any call.
const INITIALIZATION_RATIO: Perbill = Perbill::from_percent(10);

/// The most bytes of a block.
const MAX_BLOCK_BYTES: u32 = 5 * 1024 * 1024;
/// The most of them that people's calls take. Of bytes nothing is reserved: reports have the rest.
const NORMAL_BYTES_RATIO: Perbill = Perbill::from_percent(75);

parameter_types! {
    pub const BlockHashCount: BlockNumber = 2_400;
    pub const Version: RuntimeVersion = VERSION;
    /// One second of computation in three seconds of slot: a block has to be made, sent and imported before the next
    /// author begins. A full block with the reserved part of one class takes 1.25 s to make, as much to import, and a
    /// third of a second between.
    pub MaxBlockWeight: Weight = Weight::from_parts(WEIGHT_REF_TIME_PER_SECOND, u64::MAX);
    pub RuntimeBlockWeights: BlockWeights = block_weights();
    pub RuntimeBlockLength: BlockLength =
        BlockLength::builder()
            .max_length(MAX_BLOCK_BYTES)
            .modify_max_length_for_class(DispatchClass::Normal, |max| *max = NORMAL_BYTES_RATIO * *max)
            .build();
}

fn block_weights() -> BlockWeights {
    let mut weights = BlockWeights::builder()
        .base_block(BlockExecutionWeight::get())
        .for_class(DispatchClass::all(), |class| class.base_extrinsic = ExtrinsicBaseWeight::get())
        .for_class(DispatchClass::Normal, |class| {
            class.max_total = Some(NORMAL_RATIO * MaxBlockWeight::get());
            class.reserved = Some(RESERVED_RATIO * MaxBlockWeight::get());
        })
        .for_class(DispatchClass::Operational, |class| {
            class.max_total = Some(OPERATIONAL_RATIO * MaxBlockWeight::get());
            class.reserved = Some(RESERVED_RATIO * MaxBlockWeight::get());
        })
        .avg_block_initialization(INITIALIZATION_RATIO)
        .build_or_panic();
    // The builder takes the largest class for the block.
    weights.max_block = MaxBlockWeight::get();
    weights
}

/// Substrate's generic address prefix.
pub const SS58_PREFIX: u16 = 42;

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
    type Block = Block;
    type BlockWeights = RuntimeBlockWeights;
    type BlockLength = RuntimeBlockLength;
    type AccountId = AccountId;
    type Nonce = Nonce;
    type Hash = Hash;
    type BlockHashCount = BlockHashCount;
    type DbWeight = DbWeight;
    type ExtensionsWeightInfo = weights::extensions::Weights;
    type Version = Version;
    type AccountData = pallet_balances::AccountData<Balance>;
    type SS58Prefix = ConstU16<SS58_PREFIX>;
    type MaxConsumers = frame_support::traits::ConstU32<16>;
    type BaseCallFilter = KeysOfValidatorsStay;
    type SingleBlockMigrations = upgrades::SingleBlockMigrations;
    type MultiBlockMigrator = MultiBlockMigrations;
}

impl pallet_timestamp::Config for Runtime {
    type Moment = u64;
    /// Both must see every block's timestamp: slots are checked, and the price clock steps.
    type OnTimestampSet = (Aura, Clock);
    type MinimumPeriod = ConstU64<{ SLOT_DURATION / 2 }>;
    type WeightInfo = pallet_timestamp::weights::SubstrateWeight<Runtime>;
}
