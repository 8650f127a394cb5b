// SPDX-License-Identifier: Apache-2.0
//! Whose credit ends next: the keys of the agenda that runs on the price clock.
//!
//! An [`EndKey`] is `end (u128 big-endian) ‖ twin (u32 big-endian)`. Under the `Identity` hasher the trie's
//! order is the order in which credit ends, whatever the price of TFT does meanwhile: it changes *when* a key
//! is reached, never *which* is next.

use crate::{TwinId, fixed::Q64};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// How many bytes the end takes.
const END_BYTES: usize = 16;
/// How many bytes a key has.
const KEY_BYTES: usize = END_BYTES + 4;

/// The key of a payer: sorts by where on the price clock its credit ends.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub struct EndKey([u8; KEY_BYTES]);

impl EndKey {
    /// The key of `twin` when its credit ends at `end`.
    pub fn new(end: Q64, twin: TwinId) -> Self {
        let mut key = [0; KEY_BYTES];
        key[..END_BYTES].copy_from_slice(&end.to_be_bytes());
        key[END_BYTES..].copy_from_slice(&twin.to_be_bytes());
        Self(key)
    }

    /// Where its credit ends.
    pub fn end(&self) -> Q64 {
        self.0[..END_BYTES].iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    /// Whose credit it is.
    pub fn twin(&self) -> TwinId {
        self.0[END_BYTES..].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_says_whose_credit_ends_and_where(end: u128, twin: u32) {
            let key = EndKey::new(end, twin);
            prop_assert_eq!((key.end(), key.twin()), (end, twin));
        }

        #[test]
        fn encoded_keys_sort_by_end_and_then_by_twin(a: u128, b: u128, x: u32, y: u32, near: bool) {
            let b = if near { a.saturating_add(b % 3) } else { b };
            let (first, second) = (EndKey::new(a, x).encode(), EndKey::new(b, y).encode());
            prop_assert_eq!(first.cmp(&second), a.cmp(&b).then(x.cmp(&y)));
        }
    }
}
