// SPDX-License-Identifier: Apache-2.0

use super::{
    governance::ContractCloser,
    parameters::{AnswerTime, NotDeliveredWindow, ResultInterval, TombstoneTime, UsageInterval},
};
use crate::*;
use frame_support::traits::{ConstU128, ConstU32};
use tfgrid_primitives::units::TFT;

impl pallet_contracts::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Twins = Twins;
    type Nodes = Nodes;
    type Clock = Billing;
    type Ledger = Billing;
    type Agenda = Billing;
    type GovernanceOrigin = ContractCloser;
    type AnswerWithin = AnswerTime;
    type NotDeliveredWindow = NotDeliveredWindow;
    type TombstoneLife = TombstoneTime;
    type ContractDeposit = ConstU128<{ TFT / 10 }>;
    type DepositPerByte = ConstU128<{ TFT / 1_000 }>;
    type MaxContractsPerTwin = ConstU32<10_000>;
    type UsageInterval = UsageInterval;
    type ResultInterval = ResultInterval;
    type WeightInfo = ();
}
