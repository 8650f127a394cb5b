// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use codec::{Decode, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use tfgrid_primitives::{Balance, FarmId, GridMillis, Isolation, PublicKey, Resources};

/// Heartbeats that a node may miss before it counts as offline.
pub const MISSED_HEARTBEATS: u64 = 3;

/// A machine that runs the agent (a 3Node).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Node {
    /// The farm that it belongs to.
    pub farm: FarmId,
    /// Signs its reports (ed25519).
    pub key: PublicKey,
    /// Under which others dial it (ed25519).
    pub peer_key: PublicKey,
    /// To which bodies are sealed (X25519).
    pub encryption_key: PublicKey,
    /// All that it offers.
    pub resources: Resources,
    /// What keeps its tenants apart.
    pub isolation: Isolation,
    /// Whether a certifier vouched for it.
    pub certified: bool,
    /// What the farmer's account holds for it, in 1e-7 TFT.
    pub deposit: Balance,
}

/// What of a node is promised to contracts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Reservation {
    /// Sum over its contracts.
    pub resources: Resources,
    /// How many they are.
    pub contracts: u32,
}

/// A node's last sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Heartbeat {
    /// Grid time at which it came in.
    pub at: GridMillis,
    /// Its sequence: the next must be above.
    pub sequence: u64,
    /// The agent's nonce of this boot.
    pub boot_nonce: u64,
}
