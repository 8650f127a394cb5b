// SPDX-License-Identifier: Apache-2.0

use crate::*;
use frame_support::traits::ConstU128;
use tfgrid_primitives::units::TFT;

impl pallet_farms::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Twins = Twins;
    type Clock = Billing;
    type FarmDeposit = ConstU128<{ 10 * TFT }>;
    type NodeDeposit = ConstU128<{ 10 * TFT }>;
    type WeightInfo = ();
}
