// SPDX-License-Identifier: Apache-2.0
//! Acting for others: batches, proxies, multisig accounts.

use crate::*;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
    parameter_types,
    traits::{ConstU32, InstanceFilter},
};
use scale_info::TypeInfo;
use sp_runtime::Debug;
use tfgrid_primitives::units::TFT;

impl pallet_utility::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type PalletsOrigin = OriginCaller;
    type WeightInfo = pallet_utility::weights::SubstrateWeight<Runtime>;
}

/// What a proxy may do for its principal.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub enum ProxyType {
    /// Everything.
    #[default]
    Any,
    /// Manage contracts, but never move money: how a bot acts for its owner. Traffic is paid for at once, and on a
    /// node of the thief's it would be spent at once: its owner buys it, with `billing.buy_traffic`.
    Deploy,
}

impl InstanceFilter<RuntimeCall> for ProxyType {
    fn filter(&self, call: &RuntimeCall) -> bool {
        match self {
            Self::Any => true,
            Self::Deploy => manages_contracts(call) || is_batch(call),
        }
    }

    fn is_superset(&self, other: &Self) -> bool {
        self == other || *self == Self::Any
    }
}

/// Whether `call` changes contracts, without attaching a payee or moving money out of the owner's reach.
fn manages_contracts(call: &RuntimeCall) -> bool {
    use pallet_grid_contracts::{Call, CancelReason};
    matches!(
        call,
        RuntimeCall::Contracts(
            Call::create_node_contract { traffic_gb: 0, .. }
                | Call::update_node_contract { .. }
                | Call::withdraw_update { .. }
                | Call::create_rent_contract { .. }
                | Call::create_name_contract { .. }
                | Call::cancel { reason: CancelReason::Cancelled, .. }
        )
    )
}

/// What makes several calls, each of which passes the filter by itself.
fn is_batch(call: &RuntimeCall) -> bool {
    use pallet_utility::Call;
    matches!(
        call,
        RuntimeCall::Utility(Call::batch { .. } | Call::batch_all { .. } | Call::force_batch { .. })
    )
}

parameter_types! {
    pub const ProxyDepositBase: Balance = TFT / 10;
    pub const ProxyDepositFactor: Balance = TFT / 20;
    pub const MultisigDepositBase: Balance = TFT / 10;
    pub const MultisigDepositFactor: Balance = TFT / 20;
}

impl pallet_proxy::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type Currency = Balances;
    type ProxyType = ProxyType;
    type ProxyDepositBase = ProxyDepositBase;
    type ProxyDepositFactor = ProxyDepositFactor;
    type MaxProxies = ConstU32<32>;
    type WeightInfo = pallet_proxy::weights::SubstrateWeight<Runtime>;
    type MaxPending = ConstU32<32>;
    type CallHasher = BlakeTwo256;
    type AnnouncementDepositBase = ProxyDepositBase;
    type AnnouncementDepositFactor = ProxyDepositFactor;
    type BlockNumberProvider = System;
}

impl pallet_multisig::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type Currency = Balances;
    type DepositBase = MultisigDepositBase;
    type DepositFactor = MultisigDepositFactor;
    type MaxSignatories = ConstU32<32>;
    type WeightInfo = pallet_multisig::weights::SubstrateWeight<Runtime>;
    type BlockNumberProvider = System;
}
