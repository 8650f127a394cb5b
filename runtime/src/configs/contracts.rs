// SPDX-License-Identifier: Apache-2.0

use super::{
    governance::ContractCloser,
    nodes::MaxContractsPerNode,
    parameters::{
        AnswerLimit, AnswerTime, CoolDownTime, NotDeliveredWindow, ResultInterval, TombstoneTime,
        UsageInterval,
    },
};
use crate::*;
use frame_support::traits::{ConstU32, ConstU128};
use tfgrid_primitives::units::TFT;

impl pallet_grid_contracts::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type Twins = Twins;
    type Nodes = Nodes;
    type PublicIps = Farms;
    type Clock = Clock;
    type Ledger = Billing;
    type Agenda = Clock;
    type GovernanceOrigin = ContractCloser;
    type AnswerWithinMs = AnswerTime;
    type AnswerLimitMs = AnswerLimit;
    type CoolDownMs = CoolDownTime;
    type NotDeliveredWindowMs = NotDeliveredWindow;
    type TombstoneLifeMs = TombstoneTime;
    type ContractDeposit = ConstU128<{ TFT / 10 }>;
    type DepositPerByte = ConstU128<{ TFT / 1_000 }>;
    type NameDeposit = ConstU128<TFT>;
    type ShortNameDeposit = ConstU128<{ 10 * TFT }>;
    type MaxContractsPerNode = MaxContractsPerNode;
    type MaxContractsPerTwin = ConstU32<10_000>;
    type UsageIntervalMs = UsageInterval;
    type ResultIntervalMs = ResultInterval;
    type WeightInfo = ();
    #[cfg(feature = "runtime-benchmarks")]
    type BenchmarkHelper = crate::benchmarks::Grid;
}
