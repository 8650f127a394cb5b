// SPDX-License-Identifier: Apache-2.0

use crate::*;
use frame_support::traits::{ConstU128, Get};
use tfgrid_primitives::units::TFT;

/// The deposits that belong to a twin: they move with it.
pub struct TwinsDeposits;

impl Get<&'static [RuntimeHoldReason]> for TwinsDeposits {
    fn get() -> &'static [RuntimeHoldReason] {
        &[
            RuntimeHoldReason::Twins(pallet_grid_twins::HoldReason::Twin),
            RuntimeHoldReason::Farms(pallet_grid_farms::HoldReason::Farm),
            RuntimeHoldReason::Farms(pallet_grid_farms::HoldReason::BootTicket),
            RuntimeHoldReason::Farms(pallet_grid_farms::HoldReason::PublicIp),
            RuntimeHoldReason::Nodes(pallet_grid_nodes::HoldReason::Node),
            RuntimeHoldReason::Contracts(pallet_grid_contracts::HoldReason::Contract),
            RuntimeHoldReason::Farming(pallet_grid_farming::HoldReason::Bond),
        ]
    }
}

impl pallet_grid_twins::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type DepositReasons = TwinsDeposits;
    type InUse = (Farms, Contracts, Billing);
    type OnTwinLeft = Billing;
    type TwinDeposit = ConstU128<TFT>;
    type DepositPerByte = ConstU128<{ TFT / 1_000 }>;
    type WeightInfo = ();
}
