// SPDX-License-Identifier: Apache-2.0

use crate::*;
use frame_support::traits::ConstU128;
use tfgrid_primitives::units::TFT;

impl pallet_twins::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type TwinDeposit = ConstU128<TFT>;
    type WeightInfo = ();
}
