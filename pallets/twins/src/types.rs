// SPDX-License-Identifier: Apache-2.0
//! Records of the pallet.

use codec::{Decode, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use tfgrid_primitives::{Balance, PublicKey, report::MAX_PEER_ADDRESSES_BYTES};

/// Upper limit of peer keys of a twin.
pub const MAX_PEER_KEYS: u32 = 4;

/// Upper limit of hold reasons whose deposits move with a twin.
pub const MAX_DEPOSIT_REASONS: usize = 8;

/// Ed25519 keys under which the machines and bots of a twin are dialled.
pub type PeerKeys = BoundedVec<PublicKey, ConstU32<MAX_PEER_KEYS>>;

/// Where bots are dialled: printable text as of nodes' peer endpoints (`docs/FORMATS.md` §8).
pub type Addresses = BoundedVec<u8, ConstU32<MAX_PEER_ADDRESSES_BYTES>>;

/// A twin of the runtime `T`.
pub type TwinOf<T> = Twin<<T as frame_system::Config>::AccountId>;

/// The on-chain identity of a person, a bot or a machine.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Twin<AccountId> {
    /// Account that owns the twin, acts for it and pays its deposits.
    pub account: AccountId,
    /// Keys under which it is dialled.
    pub peer_keys: PeerKeys,
    /// Key to which messages for it are sealed (X25519).
    pub encryption_key: Option<PublicKey>,
    /// Hold on its account, in 1e-7 TFT.
    pub deposit: Balance,
}

/// Whether no two items of a short list are equal.
pub(crate) fn are_distinct<Item: PartialEq>(list: &[Item]) -> bool {
    list.iter().enumerate().all(|(i, item)| !list.iter().take(i).any(|earlier| earlier == item))
}
