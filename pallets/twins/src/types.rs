// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use codec::{Decode, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use tfgrid_primitives::{Balance, PublicKey};

/// The most peer keys of a twin.
pub const MAX_PEER_KEYS: u32 = 4;

/// The most reasons for which deposits are held that move with a twin.
pub const MAX_DEPOSIT_REASONS: usize = 8;

/// Ed25519 keys under which a twin's machines and bots are dialled.
pub type PeerKeys = BoundedVec<PublicKey, ConstU32<MAX_PEER_KEYS>>;

/// A twin of the runtime `T`.
pub type TwinOf<T> = Twin<<T as frame_system::Config>::AccountId>;

/// The on-chain identity of a person, a bot or a machine.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Twin<AccountId> {
    /// Whose it is, who pays for it and who acts for it.
    pub account: AccountId,
    /// How to reach it.
    pub peer_keys: PeerKeys,
    /// What to seal messages for it to (X25519).
    pub encryption_key: Option<PublicKey>,
    /// What is held for it, in 1e-7 TFT.
    pub deposit: Balance,
}

/// Whether nothing is listed twice in a short list.
pub(crate) fn are_distinct<Item: PartialEq>(list: &[Item]) -> bool {
    list.iter().enumerate().all(|(i, item)| !list.iter().take(i).any(|earlier| earlier == item))
}
