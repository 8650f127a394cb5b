// SPDX-License-Identifier: Apache-2.0
//! Who may do what users may not.

use crate::*;

/// Who governs prices, policy and parameters.
pub type Governance = frame_system::EnsureRoot<AccountId>;

/// Only the development and local presets set a sudo key.
impl pallet_sudo::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type WeightInfo = pallet_sudo::weights::SubstrateWeight<Runtime>;
}
