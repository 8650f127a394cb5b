// SPDX-License-Identifier: Apache-2.0

use super::{
    governance::{PolicySetter, PriceSetter},
    oracle::OraclePrice,
};
use crate::*;

impl pallet_grid_clock::Config for Runtime {
    type Deadlines = (Nodes, Contracts, Billing);
    type Payers = Billing;
    type PriceFeed = OraclePrice;
    type PriceOrigin = PriceSetter;
    type BoundsOrigin = PolicySetter;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Grid;
}
