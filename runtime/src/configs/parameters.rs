// SPDX-License-Identifier: Apache-2.0
//! Intervals that governance may change one by one, clamped where they are read.

use super::{governance::ParameterAdmin, oracle::MAX_FEEDERS};
use crate::*;
use frame_support::{
    dynamic_params::{dynamic_pallet_params, dynamic_params},
    traits::{EnsureOrigin, EnsureOriginWithArg, Get},
};
use tfgrid_primitives::{
    UsdRate,
    units::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS},
};

/// 1 USD, as a rate per hour.
const USD_PER_HOUR: UsdRate = 10_000_000_000;

/// What governance may change.
#[dynamic_params(RuntimeParameters, pallet_parameters::Parameters::<Runtime>)]
pub mod dynamic {
    use super::*;

    /// Intervals in milliseconds of grid time.
    #[dynamic_pallet_params]
    #[codec(index = 0)]
    pub mod intervals {
        /// How often a node says that it is alive.
        #[codec(index = 0)]
        pub static HeartbeatMs: u64 = 10 * MINUTE_MS;
        /// How often a node reports what its contracts use.
        #[codec(index = 1)]
        pub static UsageMs: u64 = HOUR_MS;
        /// How often a node may correct a contract's result.
        #[codec(index = 2)]
        pub static ResultMs: u64 = MINUTE_MS;
        /// How long a node may take to answer a new version of a contract, or after it reported progress.
        #[codec(index = 3)]
        pub static AnswerMs: u64 = 5 * MINUTE_MS;
        /// How long a node may be offline before its contracts close.
        #[codec(index = 4)]
        pub static LongOfflineMs: u64 = 14 * DAY_MS;
        /// How long after its deployment a contract can be cancelled as not delivered.
        #[codec(index = 5)]
        pub static NotDeliveredMs: u64 = HOUR_MS;
        /// How long a closed contract is remembered.
        #[codec(index = 6)]
        pub static TombstoneMs: u64 = 90 * DAY_MS;
        /// How long before its end a drain is announced.
        #[codec(index = 7)]
        pub static DrainNoticeMs: u64 = 7 * DAY_MS;
        /// How long before it counts a higher extra fee is announced.
        #[codec(index = 8)]
        pub static ExtraFeeNoticeMs: u64 = 24 * HOUR_MS;
        /// How long a node may take to answer in all, beside the download of images that fill its tenant's disk.
        #[codec(index = 9)]
        pub static AnswerLimitMs: u64 = 30 * MINUTE_MS;
        /// How long the addresses of a closed contract wait for its node to let go of them.
        #[codec(index = 10)]
        pub static CoolDownMs: u64 = 24 * HOUR_MS;
        /// The longest grace of a payer whose credit has ended.
        #[codec(index = 11)]
        pub static GraceMaxMs: u64 = 14 * DAY_MS;
    }

    /// Limits.
    #[dynamic_pallet_params]
    #[codec(index = 1)]
    pub mod limits {
        /// The most that a farmer may ask for a rent beside the list price, in 1e-10 USD per hour.
        #[codec(index = 0)]
        pub static MaxExtraFee: u64 = USD_PER_HOUR;
        /// How many feeders must have said lately what TFT costs.
        #[codec(index = 1)]
        pub static MinFeeders: u32 = 3;
    }
}

/// `P`, at least `MIN` and at most `MAX`.
pub struct Clamped<P, const MIN: u64, const MAX: u64>(core::marker::PhantomData<P>);

impl<P: Get<u64>, const MIN: u64, const MAX: u64> Get<u64> for Clamped<P, MIN, MAX> {
    fn get() -> u64 {
        P::get().clamp(MIN, MAX)
    }
}

/// How often a node says that it is alive: a slot to a day.
pub type HeartbeatInterval = Clamped<dynamic::intervals::HeartbeatMs, { 3 * SECOND_MS }, DAY_MS>;
/// How often a node reports what its contracts use: a slot to a day.
pub type UsageInterval = Clamped<dynamic::intervals::UsageMs, { 3 * SECOND_MS }, DAY_MS>;
/// How often a node may correct a contract's result: a slot to a day.
pub type ResultInterval = Clamped<dynamic::intervals::ResultMs, { 3 * SECOND_MS }, DAY_MS>;
/// How long a node may take to answer: 10 seconds, so that a report finds its block, to a day.
pub type AnswerTime = Clamped<dynamic::intervals::AnswerMs, { 10 * SECOND_MS }, DAY_MS>;
/// How long a node may take in all, beside downloads: a minute to a week.
pub type AnswerLimit = Clamped<dynamic::intervals::AnswerLimitMs, MINUTE_MS, { 7 * DAY_MS }>;
/// How long addresses cool down: a minute to 30 days.
pub type CoolDownTime = Clamped<dynamic::intervals::CoolDownMs, MINUTE_MS, { 30 * DAY_MS }>;
/// How long a node may be offline before its contracts close: a minute to 90 days.
pub type LongOffline = Clamped<dynamic::intervals::LongOfflineMs, MINUTE_MS, { 90 * DAY_MS }>;
/// How long a contract can be cancelled as not delivered: 10 seconds to a day.
pub type NotDeliveredWindow = Clamped<dynamic::intervals::NotDeliveredMs, { 10 * SECOND_MS }, DAY_MS>;
/// The longest grace of a payer whose credit has ended: a minute to 90 days.
pub type GraceMax = Clamped<dynamic::intervals::GraceMaxMs, MINUTE_MS, { 90 * DAY_MS }>;
/// How long a closed contract is remembered: a minute, so that its node sees it, to 400 days.
pub type TombstoneTime = Clamped<dynamic::intervals::TombstoneMs, MINUTE_MS, { 400 * DAY_MS }>;

/// How long before its end a drain is announced: a minute to 90 days.
pub type DrainNotice = Clamped<dynamic::intervals::DrainNoticeMs, MINUTE_MS, { 90 * DAY_MS }>;
/// How long before it counts a higher extra fee is announced: 10 seconds to 90 days.
pub type ExtraFeeNotice = Clamped<dynamic::intervals::ExtraFeeNoticeMs, { 10 * SECOND_MS }, { 90 * DAY_MS }>;
/// The most that a farmer may ask beside the list price: nothing to 100 USD per hour.
pub type ExtraFeeLimit = Clamped<dynamic::limits::MaxExtraFee, 0, { 100 * USD_PER_HOUR }>;

/// How many feeders must have said lately what TFT costs: one to all.
pub struct FeederQuorum;

impl Get<u32> for FeederQuorum {
    fn get() -> u32 {
        dynamic::limits::MinFeeders::get().clamp(1, MAX_FEEDERS)
    }
}

/// One origin sets every parameter.
pub struct AdminOfAll;

impl EnsureOriginWithArg<RuntimeOrigin, RuntimeParametersKey> for AdminOfAll {
    type Success = ();

    fn try_origin(origin: RuntimeOrigin, _key: &RuntimeParametersKey) -> Result<(), RuntimeOrigin> {
        <ParameterAdmin as EnsureOrigin<RuntimeOrigin>>::try_origin(origin)
    }

    #[cfg(feature = "runtime-benchmarks")]
    fn try_successful_origin(_key: &RuntimeParametersKey) -> Result<RuntimeOrigin, ()> {
        <ParameterAdmin as EnsureOrigin<RuntimeOrigin>>::try_successful_origin()
    }
}

impl pallet_parameters::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeParameters = RuntimeParameters;
    type AdminOrigin = AdminOfAll;
    type WeightInfo = ();
}

/// Sets the intervals that a chain starts with: `pallet-parameters` has no genesis of its own.
#[frame_support::pallet]
pub mod initial_intervals {
    use super::{
        RuntimeParameters,
        dynamic::{intervals, limits},
    };
    use frame_support::pallet_prelude::*;
    use frame_system::RawOrigin;
    use intervals::Parameters as Intervals;

    #[pallet::pallet]
    pub struct Pallet<T>(_);

    #[pallet::config]
    pub trait Config:
        frame_system::Config + pallet_parameters::Config<RuntimeParameters = RuntimeParameters>
    {
    }

    /// In milliseconds, each as its parameter says; what is left out keeps its default.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        pub heartbeat_ms: Option<u64>,
        pub usage_ms: Option<u64>,
        pub result_ms: Option<u64>,
        pub answer_ms: Option<u64>,
        pub long_offline_ms: Option<u64>,
        pub not_delivered_ms: Option<u64>,
        pub tombstone_ms: Option<u64>,
        pub drain_notice_ms: Option<u64>,
        pub extra_fee_notice_ms: Option<u64>,
        pub min_feeders: Option<u32>,
        pub answer_limit_ms: Option<u64>,
        pub cool_down_ms: Option<u64>,
        pub grace_max_ms: Option<u64>,
        #[serde(skip)]
        pub _runtime: core::marker::PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            let given = [
                Intervals::HeartbeatMs(intervals::HeartbeatMs, self.heartbeat_ms),
                Intervals::UsageMs(intervals::UsageMs, self.usage_ms),
                Intervals::ResultMs(intervals::ResultMs, self.result_ms),
                Intervals::AnswerMs(intervals::AnswerMs, self.answer_ms),
                Intervals::LongOfflineMs(intervals::LongOfflineMs, self.long_offline_ms),
                Intervals::NotDeliveredMs(intervals::NotDeliveredMs, self.not_delivered_ms),
                Intervals::TombstoneMs(intervals::TombstoneMs, self.tombstone_ms),
                Intervals::DrainNoticeMs(intervals::DrainNoticeMs, self.drain_notice_ms),
                Intervals::ExtraFeeNoticeMs(intervals::ExtraFeeNoticeMs, self.extra_fee_notice_ms),
                Intervals::AnswerLimitMs(intervals::AnswerLimitMs, self.answer_limit_ms),
                Intervals::CoolDownMs(intervals::CoolDownMs, self.cool_down_ms),
                Intervals::GraceMaxMs(intervals::GraceMaxMs, self.grace_max_ms),
            ];
            let feeders = limits::Parameters::MinFeeders(limits::MinFeeders, self.min_feeders);
            let given = given.map(RuntimeParameters::Intervals).into_iter();
            for parameter in given.chain([RuntimeParameters::Limits(feeders)]) {
                let set = pallet_parameters::Pallet::<T>::set_parameter(RawOrigin::Root.into(), parameter);
                assert!(set.is_ok(), "an initial interval can't be set: {set:?}");
            }
        }
    }
}

impl initial_intervals::Config for Runtime {}
