// SPDX-License-Identifier: Apache-2.0

use super::{
    governance::PolicySetter,
    parameters::{GraceMax, NotDeliveredWindow},
};
use crate::*;
use frame_support::{
    PalletId, parameter_types,
    traits::{ConstU64, ConstU128},
};
use tfgrid_primitives::units::{HOUR_MS, MINUTE_MS, TFT};

parameter_types! {
    pub const PotId: PalletId = PalletId(*b"tfg/bill");
}

impl pallet_grid_billing::Config for Runtime {
    type Currency = Balances;
    type Clock = Clock;
    type Agenda = Clock;
    type Twins = Twins;
    type Farms = Farms;
    type Nodes = Nodes;
    type PaidUses = Farming;
    type PolicyOrigin = PolicySetter;
    type PotId = PotId;
    type MinRunwayMs = ConstU64<HOUR_MS>;
    type MinChargeMs = ConstU64<{ 10 * MINUTE_MS }>;
    type FeeReserve = ConstU128<{ TFT / 5 }>;
    type SetAsideMs = NotDeliveredWindow;
    type GraceMaxMs = GraceMax;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Grid;
}
