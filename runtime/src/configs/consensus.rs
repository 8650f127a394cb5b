// SPDX-License-Identifier: Apache-2.0
//! Aura makes blocks, GRANDPA finalizes them, and from session to session the validators change.

use super::governance::ValidatorManager;
use crate::*;
use frame_support::traits::{ConstBool, ConstU32, ConstU64, ConstU128, Contains};
use pallet_session::PeriodicSessions;
use sp_consensus_aura::sr25519::AuthorityId;
use sp_runtime::traits::{ConvertInto, OpaqueKeys};
use tfgrid_primitives::units::TFT;

/// The most validators.
const MAX_VALIDATORS: u32 = 64;

/// A session: ten minutes.
pub const SESSION: BlockNumber = 10 * MINUTE;

impl pallet_aura::Config for Runtime {
    type AuthorityId = AuthorityId;
    type DisabledValidators = ();
    type MaxAuthorities = ConstU32<MAX_VALIDATORS>;
    type AllowMultipleBlocksPerSlot = ConstBool<false>;
    type SlotDuration = ConstU64<SLOT_DURATION>;
}

impl pallet_grandpa::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = ();
    type MaxAuthorities = ConstU32<MAX_VALIDATORS>;
    type MaxNominators = ConstU32<0>;
    type MaxSetIdSessionEntries = ConstU64<0>;
    type KeyOwnerProof = sp_core::Void;
    type EquivocationReportSystem = ();
}

impl pallet_session::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type ValidatorId = AccountId;
    type ValidatorIdOf = ConvertInto;
    type ShouldEndSession = PeriodicSessions<ConstU32<SESSION>, ConstU32<0>>;
    type NextSessionRotation = PeriodicSessions<ConstU32<SESSION>, ConstU32<0>>;
    type SessionManager = Validators;
    type SessionHandler = <SessionKeys as OpaqueKeys>::KeyTypeIdProviders;
    type Keys = SessionKeys;
    /// Nobody is disabled by machine: governance removes who misbehaves.
    type DisablingStrategy = ();
    type WeightInfo = pallet_session::weights::SubstrateWeight<Runtime>;
    type Currency = Balances;
    type KeyDeposit = ConstU128<TFT>;
}

impl pallet_grid_validators::Config for Runtime {
    type ManagerOrigin = ValidatorManager;
    type MaxValidators = ConstU32<MAX_VALIDATORS>;
    type MaxPendingChanges = ConstU32<16>;
    /// A day.
    type MaxSilence = ConstU32<{ DAY / SESSION }>;
    type WeightInfo = ();
}

/// Refuses what would take the keys of a validator from under it: `validators.retire` takes back those of
/// everybody else.
pub struct KeysOfValidatorsStay;

impl Contains<RuntimeCall> for KeysOfValidatorsStay {
    fn contains(call: &RuntimeCall) -> bool {
        !matches!(call, RuntimeCall::Session(pallet_session::Call::purge_keys { .. }))
    }
}
