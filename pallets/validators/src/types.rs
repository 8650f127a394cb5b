// SPDX-License-Identifier: Apache-2.0
//! Records of the pallet.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// A change of the set of validators.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Change<AccountId> {
    /// A candidate becomes a validator.
    #[codec(index = 0)]
    Joins(AccountId),
    /// A validator leaves the set.
    #[codec(index = 1)]
    Leaves(AccountId),
}

impl<AccountId> Change<AccountId> {
    /// Account that joins or leaves.
    pub fn account(&self) -> &AccountId {
        match self {
            Self::Joins(account) | Self::Leaves(account) => account,
        }
    }

    /// Whether the set grows by the change.
    pub fn is_growth(&self) -> bool {
        matches!(self, Self::Joins(_))
    }
}
