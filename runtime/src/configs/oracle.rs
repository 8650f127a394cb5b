// SPDX-License-Identifier: Apache-2.0
//! What feeders say that TFT costs.

use super::{governance::FeederKeeper, parameters::FeederQuorum};
use crate::*;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
    parameter_types,
    traits::{ConstU32, Get},
    PalletId,
};
use pallet_membership::Instance2;
use pallet_oracle::DefaultCombineData;
use scale_info::TypeInfo;
use tfgrid_primitives::{units::HOUR_MS, TftPrice};

/// What feeders speak of.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum PriceKey {
    /// What one TFT costs, in 1e-7 USD.
    #[codec(index = 0)]
    TftUsd,
}

/// There are never more feeders.
pub const MAX_FEEDERS: u32 = 16;

parameter_types! {
    /// Whose voice it is when governance feeds.
    pub const OracleId: PalletId = PalletId(*b"tfg/orac");
    /// How old a value may be that counts, in milliseconds.
    pub const MaxAge: u64 = HOUR_MS;
}

impl pallet_oracle::Config for Runtime {
    type OnNewData = ();
    type CombineData = DefaultCombineData<Runtime, FeederQuorum, MaxAge>;
    type Time = Timestamp;
    type OracleKey = PriceKey;
    type OracleValue = TftPrice;
    type PalletId = OracleId;
    type Members = Feeders;
    type WeightInfo = ();
    type MaxHasDispatchedSize = ConstU32<MAX_FEEDERS>;
    type MaxFeedValues = ConstU32<1>;
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = ();
}

/// Who feeds; whoever leaves takes its values along.
impl pallet_membership::Config<Instance2> for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type AddOrigin = FeederKeeper;
    type RemoveOrigin = FeederKeeper;
    type SwapOrigin = FeederKeeper;
    type ResetOrigin = FeederKeeper;
    type PrimeOrigin = FeederKeeper;
    type MembershipInitialized = ();
    type MembershipChanged = Oracle;
    type MaxMembers = ConstU32<MAX_FEEDERS>;
    type WeightInfo = pallet_membership::weights::SubstrateWeight<Runtime>;
}

/// The median of what feeders say, while enough of them have said it lately.
pub struct OraclePrice;

impl Get<Option<TftPrice>> for OraclePrice {
    fn get() -> Option<TftPrice> {
        let now = Timestamp::get();
        let said = Oracle::read_raw_values(&PriceKey::TftUsd);
        let young = said.iter().filter(|said| said.timestamp.saturating_add(MaxAge::get()) > now).count();
        let enough = young >= FeederQuorum::get() as usize;
        Oracle::values(PriceKey::TftUsd).filter(|_| enough).map(|combined| combined.value)
    }
}
