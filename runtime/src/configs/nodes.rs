// SPDX-License-Identifier: Apache-2.0

use super::{
    governance::Certifier,
    parameters::{DrainNotice, ExtraFeeLimit, ExtraFeeNotice, HeartbeatInterval, LongOffline},
};
use crate::*;
use frame_support::parameter_types;
use tfgrid_primitives::{Resources, report::MAX_GPUS, units::GIB};

parameter_types! {
    /// Beyond any machine that is built, and small enough for the arithmetic of prices.
    pub const MaxResources: Resources = Resources {
        cru: 4_096,
        mru: 64 * 1_024 * GIB,
        sru: 4_096 * 1_024 * GIB,
        hru: 65_536 * 1_024 * GIB,
        gpu: MAX_GPUS as u64,
    };
    /// The most contracts of one node.
    pub const MaxContractsPerNode: u32 = 1_000;
}

impl pallet_grid_nodes::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Farms = Farms;
    type Clock = Clock;
    type Agenda = Clock;
    type Farming = Farming;
    type OnRemoved = Contracts;
    type CertifierOrigin = Certifier;
    type HeartbeatInterval = HeartbeatInterval;
    type OfflineTimeout = LongOffline;
    type DrainNotice = DrainNotice;
    type ExtraFeeNotice = ExtraFeeNotice;
    type MaxExtraFee = ExtraFeeLimit;
    type MaxResources = MaxResources;
    type MaxContractsPerNode = MaxContractsPerNode;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Grid;
}
