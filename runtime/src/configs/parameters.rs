// SPDX-License-Identifier: Apache-2.0
//! Intervals that governance may change one by one, clamped where they are read.

use super::governance::Governance;
use crate::*;
use frame_support::{
    dynamic_params::{dynamic_pallet_params, dynamic_params},
    traits::{EnsureOrigin, EnsureOriginWithArg, Get},
};
use tfgrid_primitives::units::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

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
    }
}

/// `P` in milliseconds, at least `MIN` and at most a day.
pub struct Clamped<P, const MIN: u64>(core::marker::PhantomData<P>);

impl<P: Get<u64>, const MIN: u64> Get<u64> for Clamped<P, MIN> {
    fn get() -> u64 {
        P::get().clamp(MIN, DAY_MS)
    }
}

/// How often a node says that it is alive.
pub type HeartbeatInterval = Clamped<dynamic::intervals::HeartbeatMs, { 3 * SECOND_MS }>;
/// How often a node reports what its contracts use.
pub type UsageInterval = Clamped<dynamic::intervals::UsageMs, { 3 * SECOND_MS }>;
/// How often a node may correct a contract's result.
pub type ResultInterval = Clamped<dynamic::intervals::ResultMs, { 3 * SECOND_MS }>;

/// Governance sets every parameter.
pub struct GovernanceOfAll;

impl EnsureOriginWithArg<RuntimeOrigin, RuntimeParametersKey> for GovernanceOfAll {
    type Success = ();

    fn try_origin(origin: RuntimeOrigin, _key: &RuntimeParametersKey) -> Result<(), RuntimeOrigin> {
        <Governance as EnsureOrigin<RuntimeOrigin>>::try_origin(origin)
    }
}

impl pallet_parameters::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeParameters = RuntimeParameters;
    type AdminOrigin = GovernanceOfAll;
    type WeightInfo = ();
}

/// Sets the intervals that a chain starts with: `pallet-parameters` has no genesis of its own.
#[frame_support::pallet]
pub mod initial_intervals {
    use super::{dynamic::intervals, RuntimeParameters};
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

    /// In milliseconds; what is left out keeps its default.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// How often a node says that it is alive.
        pub heartbeat_ms: Option<u64>,
        /// How often a node reports what its contracts use.
        pub usage_ms: Option<u64>,
        /// How often a node may correct a contract's result.
        pub result_ms: Option<u64>,
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
            ];
            for interval in given {
                let parameter = RuntimeParameters::Intervals(interval);
                let set = pallet_parameters::Pallet::<T>::set_parameter(RawOrigin::Root.into(), parameter);
                assert!(set.is_ok(), "an initial interval can't be set: {set:?}");
            }
        }
    }
}

impl initial_intervals::Config for Runtime {}
