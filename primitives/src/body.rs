// SPDX-License-Identifier: Apache-2.0
//! The body of a node contract (`docs/FORMATS.md` §4).

use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::{ConstU32, H256};
use sp_runtime::BoundedVec;

/// Upper limit of bytes of a body.
pub const MAX_BODY_BYTES: u32 = 8_192;

/// A deployment: the workloads that the node is to run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Body<Bytes> {
    /// JSON (`docs/FORMATS.md` §4).
    #[codec(index = 0)]
    Plain(Bytes),
    /// JSON, sealed with age to the keys of the node, the owner and the owner's bots.
    #[codec(index = 1)]
    Sealed(Bytes),
}

/// A body as the chain stores it.
pub type StoredBody = Body<BoundedVec<u8, ConstU32<MAX_BODY_BYTES>>>;

impl<Bytes: AsRef<[u8]> + Encode> Body<Bytes> {
    /// The bytes, sealed or not.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) | Self::Sealed(bytes) => bytes.as_ref(),
        }
    }

    /// Blake2b-256 of the SCALE encoding.
    pub fn hash(&self) -> H256 {
        sp_io::hashing::blake2_256(&self.encode()).into()
    }
}

impl Body<Vec<u8>> {
    /// The body as the chain stores it; `None` if it is empty or too large.
    pub fn into_stored(self) -> Option<StoredBody> {
        if self.bytes().is_empty() {
            return None;
        }
        Some(match self {
            Self::Plain(bytes) => Body::Plain(bytes.try_into().ok()?),
            Self::Sealed(bytes) => Body::Sealed(bytes.try_into().ok()?),
        })
    }
}
