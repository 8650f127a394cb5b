// SPDX-License-Identifier: Apache-2.0
//! Refusals of calls that the key of a machine authorises (`docs/FORMATS.md` §3.1).
//!
//! The chain answers with `InvalidTransaction::Custom(code)`; clients turn the code into its text.

use codec::{Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError};

macro_rules! refusals {
    ($($name:ident = $code:literal: $text:literal,)*) => {
        /// A reason to refuse a registration or a report. Numbers are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
        #[repr(u8)]
        pub enum Refusal {
            $(#[doc = $text] $name = $code,)*
        }

        impl Refusal {
            /// All refusals in ascending order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The reason, for people to read.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

refusals! {
    TicketUnknown = 1: "no farmer has opened this boot ticket",
    TicketExpired = 2: "the boot ticket has expired",
    TicketExhausted = 3: "the boot ticket has admitted as many nodes as it was opened for",
    TicketRevoked = 4: "the farmer has closed the boot ticket",
    TicketUsed = 5: "the boot ticket has admitted this node key before",
    ValidityOutOfRange = 7: "valid_until is in the past or more than an hour ahead of the chain's clock",
    CapacityOutOfRange = 8: "the capacity has no cores or no memory, or exceeds the maximum of the chain",
    NodeUnknown = 9: "no node has this id",
    SequenceOld = 10: "the sequence isn't higher than that of the last report",
    TooSoon = 11: "the last report of this kind is too recent",
    ContractUnknown = 12: "no open contract has this id",
    ContractOfOtherNode = 13: "the contract belongs to another node",
    VersionMismatch = 14: "the contract has another version",
    BodyMismatch = 15: "the body hash isn't that of the contract's body",
    Unchanged = 16: "the contract has this result already",
    AlreadyDeployed = 17: "the contract is deployed already: it can't fail",
    NoItems = 18: "the report has no items",
    TicketSignatureWrong = 19: "the ticket key hasn't signed this registration for this chain",
    NodeSignatureWrong = 20: "the node key hasn't signed this for this chain",
    BelowReserved = 21: "contracts reserve more than the node would offer",
    GpusMiscounted = 22: "the number of GPUs described isn't the number offered",
    NotEmpty = 23: "contracts still reserve capacity of this node",
    SameFarm = 24: "the node is in this farm already",
    PowerRefused = 25: "the farmer hasn't asked for this, or the node isn't empty and online",
    IdsExhausted = 26: "no id is left for another node",
    NothingPending = 27: "no answer is expected for this contract",
    AnswerExpired = 28: "the time to answer for this contract can't be extended any more",
    NothingToRelease = 29: "nothing of this contract awaits the node's release",
    NotPrintable = 30: "a text isn't UTF-8 or has control characters",
}

impl Refusal {
    /// The refusal of a code in `InvalidTransaction::Custom`.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| *refusal as u8 == code)
    }
}

impl From<Refusal> for TransactionValidityError {
    fn from(refusal: Refusal) -> Self {
        InvalidTransaction::Custom(refusal as u8).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_for_one_refusal() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::from_code(*refusal as u8), Some(*refusal));
        }
        // 6 meant that a node's key is registered; such a node changes farms now.
        assert_eq!([0, 6].map(Refusal::from_code), [None, None]);
    }
}
