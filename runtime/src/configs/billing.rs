// SPDX-License-Identifier: Apache-2.0

use super::governance::Governance;
use crate::*;
use frame_support::{parameter_types, traits::ConstU64, PalletId};
use tfgrid_primitives::units::HOUR_MS;

parameter_types! {
    pub const PotId: PalletId = PalletId(*b"tfg/bill");
}

impl pallet_billing::Config for Runtime {
    type Currency = Balances;
    type Twins = Twins;
    type Farms = Farms;
    type GovernanceOrigin = Governance;
    type PotId = PotId;
    type MinRunwayMs = ConstU64<HOUR_MS>;
    type WeightInfo = ();
}
