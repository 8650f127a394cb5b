// SPDX-License-Identifier: Apache-2.0

use super::governance::{FarmingCertifier, FarmingKeeper};
use crate::*;

impl pallet_grid_farming::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Nodes = Nodes;
    type Farms = Farms;
    type Clock = Clock;
    type Prices = Clock;
    type CertifierOrigin = FarmingCertifier;
    type GovernanceOrigin = FarmingKeeper;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Grid;
}
