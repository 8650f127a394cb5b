// SPDX-License-Identifier: Apache-2.0
//! The keys of the two agendas: deadlines in grid time, and payers by where their credit ends.
//!
//! Both begin with a big-endian number. Under the `Identity` hasher the trie's order is the order in which
//! entries come due, and one moving iterator serves them.

use crate::{
    fixed::PriceTime,
    ids::{ContractId, NodeId, TwinId},
    units::GridMillis,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// What comes due in grid time. The pallet that arms a kind also serves it
/// ([`ServeDeadlines`](crate::traits::ServeDeadlines)).
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
    /// A node must have sent a heartbeat.
    Silence(NodeId),
    /// A node's drain ends.
    Drain(NodeId),
    /// A node's contracts follow the node's state, some per step.
    Sweep(NodeId),
    /// A node must have answered a version of a contract.
    Answer(ContractId),
    /// A closed contract's public addresses have cooled down.
    CoolDown(ContractId),
    /// A closed contract's tombstone is removed.
    Tombstone(ContractId),
    /// A payer's grace period ends.
    Grace(TwinId),
    /// A payer's contracts close, some per step.
    Eviction(TwinId),
    /// A payer's price factor is computed again.
    Review(TwinId),
}

/// The key of a [`Deadline`]: sorts by when it is due.
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
pub struct DeadlineKey {
    due_be: [u8; 8],
    /// What is due.
    pub deadline: Deadline,
}

impl DeadlineKey {
    /// The key of `deadline` when it is due at `due`.
    pub fn new(due: GridMillis, deadline: Deadline) -> Self {
        Self { due_be: due.to_be_bytes(), deadline }
    }

    /// When it is due.
    pub fn due(&self) -> GridMillis {
        GridMillis::from_be_bytes(self.due_be)
    }
}

/// The key of a payer: sorts by where on the price clock its credit ends. The price of TFT changes *when* a
/// key is reached, never *which* is next.
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
pub struct ExhaustionKey {
    end_be: [u8; 16],
    twin_be: [u8; 4],
}

impl ExhaustionKey {
    /// The key of `twin` when its credit ends at `end`.
    pub fn new(end: PriceTime, twin: TwinId) -> Self {
        Self { end_be: end.raw().to_be_bytes(), twin_be: twin.to_be_bytes() }
    }

    /// Where the credit ends.
    pub fn end(&self) -> PriceTime {
        PriceTime::from_raw(u128::from_be_bytes(self.end_be))
    }

    /// The twin whose credit ends there.
    pub fn twin(&self) -> TwinId {
        TwinId::from_be_bytes(self.twin_be)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deadline() -> impl Strategy<Value = Deadline> {
        prop_oneof![
            any::<NodeId>().prop_map(Deadline::Silence),
            any::<ContractId>().prop_map(Deadline::Answer),
            any::<TwinId>().prop_map(Deadline::Review),
        ]
    }

    proptest! {
        #[test]
        fn deadline_keys_sort_by_due_and_decode(due: u64, other: u64, x in deadline(), y in deadline()) {
            let (first, second) = (DeadlineKey::new(due, x), DeadlineKey::new(other, y));
            prop_assert_eq!((first.due(), first.deadline), (due, x));
            prop_assert_eq!(DeadlineKey::decode(&mut &first.encode()[..]), Ok(first));
            if due != other {
                prop_assert_eq!(first.encode().cmp(&second.encode()), due.cmp(&other));
            }
        }

        #[test]
        fn exhaustion_keys_sort_by_end_then_twin(a: u128, b: u128, x: u32, y: u32, near: bool) {
            let b = if near { a.saturating_add(b % 3) } else { b };
            let [first, second] = [(a, x), (b, y)].map(|(end, twin)| {
                let key = ExhaustionKey::new(PriceTime::from_raw(end), twin);
                prop_assert_eq!((key.end().raw(), key.twin()), (end, twin));
                Ok(key.encode())
            });
            prop_assert_eq!(first?.cmp(&second?), a.cmp(&b).then(x.cmp(&y)));
        }
    }
}
