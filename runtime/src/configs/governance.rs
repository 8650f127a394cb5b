// SPDX-License-Identifier: Apache-2.0
//! Who may do what users may not: root, or three fifths of the council.
//!
//! Each right has a name, so that giving it to somebody else is one line here.

use super::system::RuntimeBlockWeights;
use crate::*;
use frame_support::{
    parameter_types,
    traits::{ConstU32, EitherOf},
    weights::Weight,
};
use frame_system::EnsureRoot;
use pallet_collective::{DefaultVote, EnsureProportionAtLeast, Instance1, MemberCount};
use sp_runtime::Perbill;

/// Root, which only chains with a sudo key have by themselves, or three fifths of the council.
pub type Governance = EitherOf<EnsureRoot<AccountId>, EnsureProportionAtLeast<AccountId, Instance1, 3, 5>>;

/// Sets the price of TFT while no oracle does.
pub type PriceSetter = Governance;
/// Sets prices, shares, levels and limits.
pub type PolicySetter = Governance;
/// Sets lone intervals and limits.
pub type ParameterAdmin = Governance;
/// Closes contracts that must not run.
pub type ContractCloser = Governance;
/// Certifies farms and takes addresses from squatters.
pub type FarmKeeper = Governance;
/// Vouches for nodes.
pub type Certifier = Governance;
/// Has nodes farm.
pub type FarmingCertifier = Governance;
/// Voids farmed rewards, takes bonds and sets the farming policy.
pub type FarmingKeeper = Governance;
/// Chooses who feeds the price of TFT.
pub type FeederKeeper = Governance;
/// Changes the set of validators.
pub type ValidatorManager = Governance;
/// Changes the council.
pub type CouncilKeeper = Governance;
/// Has calls made at a later block.
pub type Planner = Governance;
/// Lets single calls be made as root, such as an upgrade of the runtime.
pub type RootDelegate = Governance;

/// Blocks in which the council votes on a motion: five days.
const MOTION_BLOCKS: BlockNumber = 5 * DAY;

parameter_types! {
    /// A motion may take half of the block that carries it out.
    pub MaxProposalWeight: Weight = Perbill::from_percent(50) * RuntimeBlockWeights::get().max_block;
}

/// A member who doesn't vote says no: otherwise a prime alone would carry what all others overlook.
pub struct SilenceIsNo;

impl DefaultVote for SilenceIsNo {
    fn default_vote(_: Option<bool>, _: MemberCount, _: MemberCount, _: MemberCount) -> bool {
        false
    }
}

/// The council decides; its members are those of [`CouncilMembership`].
impl pallet_collective::Config<Instance1> for Runtime {
    type RuntimeOrigin = RuntimeOrigin;
    type Proposal = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type MotionDuration = ConstU32<MOTION_BLOCKS>;
    type MaxProposals = ConstU32<32>;
    type MaxMembers = ConstU32<32>;
    type DefaultVote = SilenceIsNo;
    type WeightInfo = pallet_collective::weights::SubstrateWeight<Runtime>;
    type SetMembersOrigin = EnsureRoot<AccountId>;
    type MaxProposalWeight = MaxProposalWeight;
    type DisapproveOrigin = CouncilKeeper;
    type KillOrigin = CouncilKeeper;
    /// Only members propose.
    type Consideration = ();
}

impl pallet_membership::Config<Instance1> for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type AddOrigin = CouncilKeeper;
    type RemoveOrigin = CouncilKeeper;
    type SwapOrigin = CouncilKeeper;
    type ResetOrigin = CouncilKeeper;
    type PrimeOrigin = CouncilKeeper;
    type MembershipInitialized = Council;
    type MembershipChanged = Council;
    type MaxMembers = ConstU32<32>;
    type WeightInfo = pallet_membership::weights::SubstrateWeight<Runtime>;
}

/// How the council has a call made that only root may make, where nobody has a sudo key: it names the
/// call's hash, then has the call made, in one motion or in two.
impl pallet_whitelist::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type WhitelistOrigin = RootDelegate;
    type DispatchWhitelistedOrigin = RootDelegate;
    type Preimages = Preimage;
    type DeferredDispatchExpiration = ConstU32<MOTION_BLOCKS>;
    type BlockNumberProvider = System;
    type WeightInfo = pallet_whitelist::weights::SubstrateWeight<Runtime>;
}

/// Only the development and local presets set a sudo key.
impl pallet_sudo::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type WeightInfo = pallet_sudo::weights::SubstrateWeight<Runtime>;
}
