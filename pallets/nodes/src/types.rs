// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use codec::{Decode, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    units::{DAY_MS, HOUR_MS},
    Balance, FarmId, GridMillis, Isolation, PublicKey, Resources, Q64,
};

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
    /// Where the price clock stood.
    pub clock: Q64,
}

/// Whether a node counts as online, and when that is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Liveness {
    /// Online or offline.
    pub state: LiveState,
    /// When its [`Deadline::Silence`](tfgrid_primitives::Deadline) is due.
    pub check_at: GridMillis,
    /// How often it went offline less than a day after it had returned.
    pub flaps: u8,
}

/// Whether a node counts as online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub enum LiveState {
    /// It is heard from.
    Online {
        /// Since when.
        since: GridMillis,
    },
    /// It was silent for too long.
    Offline {
        /// Since when.
        since: GridMillis,
        /// The heartbeats in a row that it has sent since, and when the first of them came.
        returning: Option<(u32, GridMillis)>,
    },
}

/// Heartbeats in a row after which a node is back.
pub const HEARTBEATS_TO_RETURN: u32 = 3;
/// A node that flaps must be heard from for at most this long.
pub const LONGEST_RETURN: GridMillis = HOUR_MS;
/// A node that stayed online for this long hasn't flapped.
pub const STEADY: GridMillis = DAY_MS;

impl Liveness {
    /// Online from `now` on.
    pub(crate) fn online(now: GridMillis, check_at: GridMillis, flaps: u8) -> Self {
        Self { state: LiveState::Online { since: now }, check_at, flaps }
    }

    /// For how long heartbeats must come in a row: doubles with each flap.
    pub(crate) fn return_time(&self, interval: GridMillis) -> GridMillis {
        let doublings = 1u64.checked_shl(self.flaps.into()).unwrap_or(u64::MAX);
        interval.saturating_mul(doublings).min(LONGEST_RETURN.max(interval))
    }
}
