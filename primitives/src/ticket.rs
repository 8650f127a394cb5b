// SPDX-License-Identifier: Apache-2.0
//! Boot tickets and the registration of machines (`docs/FORMATS.md` §2).

use crate::{ids::PublicKey, resources::Resources, units::UnixSeconds};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::H256;

/// Separates ticket signatures from all others that the same keys make.
pub const TICKET_DOMAIN: &[u8; 16] = b"tfgrid/ticket/v1";
/// What a ticket's text starts with; the ed25519 seed in hex follows.
pub const TICKET_PREFIX: &str = "tfgrid-ticket-1:";
/// A registration is valid for at most this long.
pub const MAX_REGISTRATION_SECONDS: UnixSeconds = 3_600;

/// What keeps tenants apart on a node.
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

/// What a machine says of itself when it joins a farm.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Registration {
    /// Public half of the boot ticket (ed25519).
    pub ticket: PublicKey,
    /// The node's own key (ed25519): signs its reports.
    pub node_key: PublicKey,
    /// The node's peer key (ed25519): others dial it.
    pub peer_key: PublicKey,
    /// The node's encryption key (X25519): bodies are sealed to it.
    pub encryption_key: PublicKey,
    /// What it offers.
    pub resources: Resources,
    /// What keeps its tenants apart.
    pub isolation: Isolation,
    /// Up to when the registration may enter the chain.
    pub valid_until: UnixSeconds,
}

impl Registration {
    /// The bytes that both the ticket key and the node key sign.
    pub fn signing_bytes(&self, genesis: H256) -> Vec<u8> {
        (TICKET_DOMAIN, genesis, self).encode()
    }
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
