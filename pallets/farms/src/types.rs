// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use codec::{Decode, Encode, MaxEncodedLen};
use frame_support::{traits::ConstU32, BoundedVec};
use scale_info::TypeInfo;
use sp_runtime::Vec;
use tfgrid_primitives::{ticket::MAX_REGISTRATION_SECONDS, Balance, FarmId, TwinId, UnixSeconds};

/// The most characters of a farm's name.
pub const MAX_NAME: u32 = 40;
/// The fewest characters of a farm's name.
pub const MIN_NAME: usize = 3;
/// The most nodes that one ticket admits.
pub const MAX_TICKET_NODES: u32 = 100;
/// The longest that a ticket is open.
pub const MAX_TICKET_SECONDS: UnixSeconds = 366 * 24 * 3_600;

/// A farm's name, valid by construction of [`checked_name`].
pub type FarmName = BoundedVec<u8, ConstU32<MAX_NAME>>;

/// A farm offers nodes and public IPs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Farm {
    /// The farmer.
    pub twin: TwinId,
    /// As the farmer writes it.
    pub name: FarmName,
    /// What is held for it, in 1e-7 TFT.
    pub deposit: Balance,
}

/// A boot ticket: lets machines join a farm without money or people.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Ticket {
    /// The farm that machines join.
    pub farm: FarmId,
    /// How many may still join.
    pub nodes_left: u32,
    /// Until when.
    pub expires: UnixSeconds,
    /// Whether the farmer has closed it.
    pub closed: bool,
    /// What is held for each node that may still join, in 1e-7 TFT.
    pub deposit_per_node: Balance,
}

impl Ticket {
    /// What is held for the nodes that may still join.
    pub fn deposit(&self) -> Balance {
        self.deposit_per_node.saturating_mul(self.nodes_left.into())
    }

    /// Whether no registration that was ever signed for it can still be valid, so that forgetting it
    /// (and whom it admitted) lets nobody in again.
    pub(crate) fn is_forgettable(&self, now: UnixSeconds) -> bool {
        now > self.expires.saturating_add(MAX_REGISTRATION_SECONDS)
    }
}

/// `name` as it is stored, or `None` where it breaks a rule.
pub(crate) fn checked_name(name: Vec<u8>) -> Option<FarmName> {
    let valid =
        name.len() >= MIN_NAME && name.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_' || *c == b'-');
    valid.then(|| name.try_into().ok()).flatten()
}

/// What makes names unique: case doesn't tell them apart.
pub(crate) fn name_key(name: &FarmName) -> FarmName {
    let mut key = name.clone();
    key.iter_mut().for_each(|c| c.make_ascii_lowercase());
    key
}
