// SPDX-License-Identifier: Apache-2.0

use super::governance::FarmKeeper;
use crate::*;
use frame_support::traits::ConstU128;
use tfgrid_primitives::units::TFT;

impl pallet_grid_farms::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Twins = Twins;
    type Clock = Clock;
    type Use = (Nodes, (Billing, Farming));
    type GovernanceOrigin = FarmKeeper;
    type FarmDeposit = ConstU128<{ 10 * TFT }>;
    type NodeDeposit = ConstU128<{ 10 * TFT }>;
    type IpDeposit = ConstU128<{ 5 * TFT }>;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Grid;
}
