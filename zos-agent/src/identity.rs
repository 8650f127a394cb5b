// SPDX-License-Identifier: Apache-2.0
//! Who this node is: keys that are made at the first start and never leave the machine, and the
//! boot ticket that lets it join a farm.

use crate::store::Store;
use anyhow::{ensure, Context, Result};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use sp_core::{ed25519, Pair};
use std::{fmt, path::Path, str::FromStr};
use tfgrid_primitives::{ticket::TICKET_PREFIX, PublicKey};
use x25519_dalek::StaticSecret;

const FILE: &str = "identity.json";

/// The node's secret keys.
#[derive(Clone)]
pub struct Identity {
    node: ed25519::Pair,
    peer: ed25519::Pair,
    encryption: StaticSecret,
}

/// As they stand in the file, in hex.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secrets {
    /// Seed of the ed25519 key that signs reports.
    node: String,
    /// Seed of the ed25519 key that others dial.
    peer: String,
    /// X25519 key to which bodies are sealed.
    encryption: String,
}

impl Identity {
    /// The identity in this data folder, `None` where there is none yet.
    ///
    /// # Errors
    /// Where its file can't be read or is damaged.
    pub fn load(data: &Path) -> Result<Option<Self>> {
        let Some(secrets) = Store::open(data)?.read::<Secrets>(FILE)? else { return Ok(None) };
        let path = data.join(FILE);
        let identity = Self::from_secrets(&secrets)
            .with_context(|| format!("{} is damaged: restore it from a backup", path.display()))?;
        Ok(Some(identity))
    }

    /// The identity in this data folder, made where there is none yet.
    ///
    /// # Errors
    /// Where its file can't be read or written.
    pub fn load_or_create(data: &Path) -> Result<Self> {
        if let Some(identity) = Self::load(data)? {
            return Ok(identity);
        }
        let secrets = Secrets { node: random_hex(), peer: random_hex(), encryption: random_hex() };
        let identity = Self::from_secrets(&secrets)?;
        Store::open(data)?.write(FILE, &secrets)?;
        Ok(identity)
    }

    fn from_secrets(secrets: &Secrets) -> Result<Self> {
        Ok(Self {
            node: ed25519::Pair::from_seed(&key_from_hex(&secrets.node).context("the node key")?),
            peer: ed25519::Pair::from_seed(&key_from_hex(&secrets.peer).context("the peer key")?),
            encryption: key_from_hex(&secrets.encryption).context("the encryption key")?.into(),
        })
    }

    /// Signs reports and the registration.
    pub fn node_pair(&self) -> &ed25519::Pair {
        &self.node
    }

    /// Names the node on chain and on its containers.
    pub fn node_key(&self) -> PublicKey {
        self.node.public().0
    }

    /// Others dial it.
    pub fn peer_key(&self) -> PublicKey {
        self.peer.public().0
    }

    /// Bodies are sealed to it.
    pub fn encryption_key(&self) -> PublicKey {
        x25519_dalek::PublicKey::from(&self.encryption).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", hex::encode(self.node_key()))
    }
}

fn random_hex() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

fn key_from_hex(text: &str) -> Result<[u8; 32]> {
    ensure!(text.len() == 64, "a key has 64 hex digits, this has {} characters", text.chars().count());
    let bytes = hex::decode(text).map_err(|_| anyhow::anyhow!("a key has hex digits only"))?;
    bytes.try_into().map_err(|_| anyhow::anyhow!("a key has 32 bytes"))
}

/// The secret half of a boot ticket.
#[derive(Clone)]
pub struct Ticket(ed25519::Pair);

impl Ticket {
    /// Signs the registration.
    pub fn pair(&self) -> &ed25519::Pair {
        &self.0
    }

    /// The half that the farmer opened on chain.
    pub fn public(&self) -> PublicKey {
        self.0.public().0
    }
}

impl FromStr for Ticket {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let seed = text.trim().strip_prefix(TICKET_PREFIX).with_context(|| {
            format!("a boot ticket starts with {TICKET_PREFIX:?}: ask the farmer for one")
        })?;
        let seed = key_from_hex(seed).context("the boot ticket is damaged: copy it again")?;
        Ok(Self(ed25519::Pair::from_seed(&seed)))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", hex::encode(self.public()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn keys_are_made_once_and_are_for_the_owners_eyes_only() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Identity::load(dir.path()).unwrap().is_none());
        let first = Identity::load_or_create(dir.path()).unwrap();
        let second = Identity::load_or_create(dir.path()).unwrap();
        let keys = |i: &Identity| [i.node_key(), i.peer_key(), i.encryption_key()];
        assert_eq!(keys(&first), keys(&second));
        let [node, peer, encryption] = keys(&first);
        assert!(node != peer && peer != encryption && encryption != node);
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn two_machines_have_different_keys() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = |dir: &tempfile::TempDir| Identity::load_or_create(dir.path()).unwrap().node_key();
        assert_ne!(key(&one), key(&two));
    }

    #[test]
    fn the_encryption_key_is_the_x25519_key_of_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets {
            node: "00".repeat(32),
            peer: "00".repeat(32),
            encryption: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".into(),
        };
        Store::open(dir.path()).unwrap().write(FILE, &secrets).unwrap();
        let identity = Identity::load(dir.path()).unwrap().unwrap();
        // As `openssl pkey -pubout` computes it.
        assert_eq!(
            hex::encode(identity.encryption_key()),
            "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"
        );
    }

    #[test]
    fn a_damaged_identity_is_an_error_and_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), r#"{"node":"00","peer":"00","encryption":"00"}"#).unwrap();
        let error = format!("{:#}", Identity::load_or_create(dir.path()).unwrap_err());
        assert!(error.contains("identity.json is damaged"), "{error}");
    }

    #[test]
    fn a_ticket_is_read_as_the_formats_page_writes_it() {
        // RFC 8032 §7.1, test 1.
        let ticket: Ticket =
            "tfgrid-ticket-1:9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n"
                .parse()
                .unwrap();
        assert_eq!(
            hex::encode(ticket.public()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
    }

    #[test]
    fn a_mistake_in_a_ticket_is_named() {
        for (text, hint) in [
            ("", "starts with"),
            ("tfgrid-ticket-2:00", "starts with"),
            ("tfgrid-ticket-1:00", "64 hex digits"),
            (&format!("tfgrid-ticket-1:{}", "g".repeat(64)), "hex digits only"),
        ] {
            let error = format!("{:#}", text.parse::<Ticket>().unwrap_err());
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
