// SPDX-License-Identifier: Apache-2.0
//! The ledger, and who is called when something is due.

use super::{
    governance::{PolicySetter, PriceSetter},
    oracle::OraclePrice,
    parameters::{GraceMax, NotDeliveredWindow},
};
use crate::*;
use frame_support::{PalletId, parameter_types, traits::ConstU64, weights::Weight};
use tfgrid_primitives::{
    Deadline, GridMillis,
    traits::ServeDeadlines,
    units::{HOUR_MS, MINUTE_MS},
};

parameter_types! {
    pub const PotId: PalletId = PalletId(*b"tfg/bill");
}

/// Nodes serve what is about nodes, contracts all else.
pub struct GridDeadlines;

impl ServeDeadlines for GridDeadlines {
    fn weight_of(deadline: &Deadline) -> Weight {
        match deadline {
            Deadline::Silence(_) | Deadline::Drain(_) => Nodes::weight_of(deadline),
            _ => Contracts::weight_of(deadline),
        }
    }

    fn serve(deadline: Deadline, now: GridMillis) -> Option<GridMillis> {
        match deadline {
            Deadline::Silence(_) | Deadline::Drain(_) => Nodes::serve(deadline, now),
            _ => Contracts::serve(deadline, now),
        }
    }
}

impl pallet_grid_billing::Config for Runtime {
    type Currency = Balances;
    type Twins = Twins;
    type Farms = Farms;
    type Nodes = Nodes;
    type Deadlines = GridDeadlines;
    type Contracts = Contracts;
    type PriceFeed = OraclePrice;
    type PaidUses = Farming;
    type PriceOrigin = PriceSetter;
    type PolicyOrigin = PolicySetter;
    type PotId = PotId;
    type MinRunwayMs = ConstU64<HOUR_MS>;
    type MinChargeMs = ConstU64<{ 10 * MINUTE_MS }>;
    type SetAsideMs = NotDeliveredWindow;
    type GraceMaxMs = GraceMax;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Grid;
}
