// SPDX-License-Identifier: Apache-2.0
//! What feeders say that TFT costs.

use super::{governance::FeederKeeper, parameters::FeederQuorum};
use crate::*;
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
    PalletId, parameter_types,
    traits::{ConstU32, Get},
};
use pallet_membership::Instance2;
use pallet_oracle::DefaultCombineData;
use scale_info::TypeInfo;
use tfgrid_primitives::{TftPrice, units::HOUR_MS};

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
///
/// Not the value that the oracle keeps: that is combined only when somebody feeds, so it holds on to what has grown
/// old since and to what somebody said who feeds no more; and of an even number of values it is the upper one of
/// the middle, so half of the feeders could set it.
pub struct OraclePrice;

impl Get<Option<TftPrice>> for OraclePrice {
    fn get() -> Option<TftPrice> {
        let oldest = Timestamp::get().saturating_sub(MaxAge::get());
        // At most one of each feeder, and governance's.
        let said = Oracle::read_raw_values(&PriceKey::TftUsd).into_iter();
        let young: Vec<_> = said.filter(|said| said.timestamp > oldest).map(|said| said.value).collect();
        let enough = young.len() >= FeederQuorum::get() as usize;
        median(young).filter(|_| enough)
    }
}

/// The one in the middle; of an even number the mean of the two there, rounded down.
fn median(mut values: Vec<TftPrice>) -> Option<TftPrice> {
    values.sort_unstable();
    let last = values.len().checked_sub(1)?;
    let (lower, upper) = (values.get(last / 2)?, values.get(values.len() / 2)?);
    Some(lower.midpoint(*upper))
}
