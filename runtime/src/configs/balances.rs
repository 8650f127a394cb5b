// SPDX-License-Identifier: Apache-2.0
//! TFT.

use crate::*;
use frame_support::traits::{ConstU32, ConstU128, VariantCountOf};
use tfgrid_primitives::units::TFT;

/// The least that an account keeps: 0.01 TFT.
pub const EXISTENTIAL_DEPOSIT: Balance = TFT / 100;

impl pallet_balances::Config for Runtime {
    type MaxLocks = ConstU32<0>;
    type MaxReserves = ConstU32<50>;
    type ReserveIdentifier = [u8; 8];
    type Balance = Balance;
    type RuntimeEvent = RuntimeEvent;
    type DustRemoval = ();
    type ExistentialDeposit = ConstU128<EXISTENTIAL_DEPOSIT>;
    type AccountStore = System;
    type WeightInfo = weights::balances::Weights;
    type FreezeIdentifier = RuntimeFreezeReason;
    type MaxFreezes = VariantCountOf<RuntimeFreezeReason>;
    type RuntimeHoldReason = RuntimeHoldReason;
    type RuntimeFreezeReason = RuntimeFreezeReason;
    type DoneSlashHandler = ();
}
