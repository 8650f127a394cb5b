// SPDX-License-Identifier: Apache-2.0
//! Boot tickets and the registration of machines (`docs/FORMATS.md` §2).

use crate::{
    ids::{FarmId, PublicKey},
    resources::Resources,
    units::UnixSeconds,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::H256;

/// Domain of ticket signatures: no other signature of the same keys starts with it.
pub const TICKET_DOMAIN: &[u8; 16] = b"tfgrid/ticket/v1";
/// Domain of the signatures by which tickets are opened.
pub const OPENING_DOMAIN: &[u8; 16] = b"tfgrid/opening/1";
/// Start of the text form of a ticket; the ed25519 seed in hex follows.
pub const TICKET_PREFIX: &str = "tfgrid-ticket-1:";
/// Upper limit of the time for which a registration is valid, in seconds.
pub const MAX_REGISTRATION_SECONDS: UnixSeconds = 3_600;

/// Isolation of the tenants of a node from each other.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum Isolation {
    /// Kernel namespaces: tenants share the host's kernel.
    #[default]
    Container,
    /// Virtual machines.
    Vm,
}

/// Request of a machine to join a farm.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Registration {
    /// Public half of the boot ticket (ed25519).
    pub ticket: PublicKey,
    /// Key that signs the node's reports (ed25519).
    pub node_key: PublicKey,
    /// Key under which others dial the node (ed25519).
    pub peer_key: PublicKey,
    /// Key to which bodies are sealed (X25519).
    pub encryption_key: PublicKey,
    /// Capacity that it offers.
    pub resources: Resources,
    /// Isolation of its tenants.
    pub isolation: Isolation,
    /// Last moment at which the registration is valid, in seconds since 1970.
    pub valid_until: UnixSeconds,
}

impl Registration {
    /// The bytes that both the ticket key and the node key sign.
    pub fn signing_bytes(&self, genesis: H256) -> Vec<u8> {
        (TICKET_DOMAIN, genesis, self).encode()
    }
}

/// The bytes that a ticket key signs to be opened for `farm`: nobody else opens it, or for another farm.
pub fn opening_bytes(genesis: H256, farm: FarmId) -> Vec<u8> {
    (OPENING_DOMAIN, genesis, farm).encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registration_bytes_are_those_of_the_formats_page() {
        let registration = Registration {
            ticket: [1; 32],
            node_key: [2; 32],
            peer_key: [3; 32],
            encryption_key: [4; 32],
            resources: Resources { cru: 1, mru: 2, sru: 3, hru: 4, gpu: 5 },
            isolation: Isolation::Vm,
            valid_until: 6,
        };
        let mut expected = b"tfgrid/ticket/v1".to_vec();
        expected.extend([9u8; 32]);
        for key in 1..=4u8 {
            expected.extend([key; 32]);
        }
        for part in 1..=5u64 {
            expected.extend(part.to_le_bytes());
        }
        expected.push(1);
        expected.extend(6u64.to_le_bytes());
        assert_eq!(registration.signing_bytes(H256([9; 32])), expected);
    }
}
