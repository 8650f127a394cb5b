// SPDX-License-Identifier: Apache-2.0
//! The keys of machines and of boot tickets, and what they sign.

use crate::{Error, error::KeyError};
use sp_core::{H256, Pair, ed25519};
use tfgrid_primitives::{
    FarmId, KeySignature, NodeId, PublicKey, Registration, ReportKind,
    report::report_bytes,
    ticket::{TICKET_PREFIX, opening_bytes},
};

/// An ed25519 key pair of a machine or of a boot ticket.
#[derive(Clone)]
pub struct MachineKey(ed25519::Pair);

impl std::fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MachineKey({})", hex::encode(self.public()))
    }
}

impl MachineKey {
    /// A new random key with its seed.
    pub fn generate() -> (Self, [u8; 32]) {
        let (pair, seed) = ed25519::Pair::generate();
        (Self(pair), seed)
    }

    /// The key of a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519::Pair::from_seed(seed))
    }

    /// The key of a boot ticket's text (`tfgrid-ticket-1:` and the seed in hex).
    pub fn from_ticket(text: &str) -> Result<Self, Error> {
        let digits = text.trim().strip_prefix(TICKET_PREFIX).ok_or(KeyError::Ticket)?;
        let seed =
            hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(KeyError::Ticket)?;
        Ok(Self::from_seed(&seed))
    }

    /// The text of a boot ticket with this seed.
    pub fn ticket_text(seed: &[u8; 32]) -> String {
        format!("{TICKET_PREFIX}{}", hex::encode(seed))
    }

    /// The public half, by which the chain knows the ticket.
    pub fn public(&self) -> PublicKey {
        self.0.public().0
    }

    /// Signs with a ticket's key that it is opened for `farm`.
    pub fn sign_opening(&self, genesis: H256, farm: FarmId) -> KeySignature {
        self.0.sign(&opening_bytes(genesis, farm))
    }

    /// Signs a registration, with the ticket's key or with the node's.
    pub fn sign_registration(&self, genesis: H256, registration: &Registration) -> KeySignature {
        self.0.sign(&registration.signing_bytes(genesis))
    }

    /// Signs a report.
    pub fn sign_report(
        &self,
        genesis: H256,
        node: NodeId,
        kind: ReportKind,
        sequence: u64,
        payload: &impl codec::Encode,
    ) -> KeySignature {
        self.0.sign(&report_bytes(genesis, node, kind, sequence, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_text_leads_back_to_its_key() {
        let (key, seed) = MachineKey::generate();
        let text = MachineKey::ticket_text(&seed);
        assert_eq!(MachineKey::from_ticket(&format!(" {text}\n")).unwrap().public(), key.public());
    }

    #[test]
    fn a_text_that_is_no_ticket_is_refused() {
        for text in ["", "tfgrid-ticket-1:", "tfgrid-ticket-1:zz", "tfgrid-ticket-2:00", &"ab".repeat(32)] {
            assert!(MachineKey::from_ticket(text).is_err(), "{text:?}");
        }
    }
}
