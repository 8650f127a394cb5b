// SPDX-License-Identifier: Apache-2.0
//! What comes due in grid time, and the key that sorts it.
//!
//! A [`DeadlineKey`] is `due (u64 big-endian) ‖ kind (u8) ‖ id (u64 big-endian)`. Under the `Identity` hasher
//! the trie's order is the order in which deadlines come due.

use crate::{ContractId, NodeId, TwinId, units::GridMillis};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// Something that comes due.
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
pub enum Deadline {
    /// The node must have been heard from.
    Silence(NodeId),
    /// The node's drain is over.
    Drain(NodeId),
    /// The node's contracts follow its state, some per step.
    Sweep(NodeId),
    /// The node must have answered the contract.
    Answer(ContractId),
    /// The addresses of a closed contract have cooled down.
    CoolDown(ContractId),
    /// A closed contract is forgotten.
    Tombstone(ContractId),
    /// The payer's grace is over.
    Grace(TwinId),
    /// The payer's contracts close, some per step.
    Eviction(TwinId),
    /// The payer's discount is found anew.
    Review(TwinId),
}

/// How many bytes a key has.
const KEY_BYTES: usize = 17;

/// The key of a deadline: sorts by when it is due.
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
pub struct DeadlineKey([u8; KEY_BYTES]);

impl DeadlineKey {
    /// The key of `deadline` when it is due at `due`.
    pub fn new(due: GridMillis, deadline: Deadline) -> Self {
        let (kind, id) = match deadline {
            Deadline::Silence(node) => (0, node.into()),
            Deadline::Drain(node) => (1, node.into()),
            Deadline::Sweep(node) => (2, node.into()),
            Deadline::Answer(contract) => (3, contract),
            Deadline::CoolDown(contract) => (4, contract),
            Deadline::Tombstone(contract) => (5, contract),
            Deadline::Grace(twin) => (6, twin.into()),
            Deadline::Eviction(twin) => (7, twin.into()),
            Deadline::Review(twin) => (8, twin.into()),
        };
        let mut key = [0; KEY_BYTES];
        key[..8].copy_from_slice(&due.to_be_bytes());
        key[8] = kind;
        key[9..].copy_from_slice(&u64::to_be_bytes(id));
        Self(key)
    }

    /// When it is due.
    pub fn due(&self) -> GridMillis {
        self.number_at(0)
    }

    /// What is due; `None` for a key that [`DeadlineKey::new`] didn't make.
    pub fn deadline(&self) -> Option<Deadline> {
        let id = self.number_at(9);
        // Nodes and twins alike.
        let short = u32::try_from(id);
        match self.0[8] {
            0 => Some(Deadline::Silence(short.ok()?)),
            1 => Some(Deadline::Drain(short.ok()?)),
            2 => Some(Deadline::Sweep(short.ok()?)),
            3 => Some(Deadline::Answer(id)),
            4 => Some(Deadline::CoolDown(id)),
            5 => Some(Deadline::Tombstone(id)),
            6 => Some(Deadline::Grace(short.ok()?)),
            7 => Some(Deadline::Eviction(short.ok()?)),
            8 => Some(Deadline::Review(short.ok()?)),
            _ => None,
        }
    }

    fn number_at(&self, start: usize) -> u64 {
        self.0[start..start + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deadline() -> impl Strategy<Value = Deadline> {
        prop_oneof![
            any::<NodeId>().prop_map(Deadline::Silence),
            any::<NodeId>().prop_map(Deadline::Drain),
            any::<NodeId>().prop_map(Deadline::Sweep),
            any::<ContractId>().prop_map(Deadline::Answer),
            any::<ContractId>().prop_map(Deadline::CoolDown),
            any::<ContractId>().prop_map(Deadline::Tombstone),
            any::<TwinId>().prop_map(Deadline::Grace),
            any::<TwinId>().prop_map(Deadline::Eviction),
            any::<TwinId>().prop_map(Deadline::Review),
        ]
    }

    proptest! {
        #[test]
        fn a_key_says_what_is_due_and_when(due: u64, deadline in deadline()) {
            let key = DeadlineKey::new(due, deadline);
            prop_assert_eq!(key.due(), due);
            prop_assert_eq!(key.deadline(), Some(deadline));
        }

        #[test]
        fn encoded_keys_sort_by_when_they_are_due(a: u64, b: u64, x in deadline(), y in deadline()) {
            let (first, second) = (DeadlineKey::new(a, x).encode(), DeadlineKey::new(b, y).encode());
            prop_assert_eq!(first.cmp(&second), a.cmp(&b).then(x.cmp(&y)));
        }
    }

    #[test]
    fn bytes_that_nobody_armed_are_no_deadline() {
        let mut key = DeadlineKey::new(1, Deadline::Tombstone(2));
        key.0[8] = 9;
        assert_eq!(key.deadline(), None);
        let mut key = DeadlineKey::new(1, Deadline::Silence(2));
        key.0[9] = 1;
        assert_eq!(key.deadline(), None);
    }
}
