// SPDX-License-Identifier: Apache-2.0
//! The node's keys, created at the first start. The secret halves never leave the machine.

use crate::store::Store;
use anyhow::{Context, Result, anyhow, ensure};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};
use tfgrid_client::{MachineKey, peer::Device, sealing::SealKey};
use tfgrid_primitives::PublicKey;
use x25519_dalek::StaticSecret;

const FILE: &str = "identity.json";

/// The node's secret keys.
#[derive(Clone)]
pub struct Identity {
    node: MachineKey,
    peer: Device,
    encryption: PublicKey,
    seal: SealKey,
}

/// Content of the file, in hex.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secrets {
    /// Seed of the ed25519 key that signs reports.
    node: String,
    /// Seed of the ed25519 key by which peers dial this node.
    peer: String,
    /// X25519 key that opens sealed bodies.
    encryption: String,
}

impl Identity {
    /// Reads the identity in this data folder, `None` if there is none yet.
    ///
    /// # Errors
    /// If its file can't be read or is damaged.
    pub fn load(data: &Path) -> Result<Option<Self>> {
        let Some(secrets) = Store::open(data)?.read::<Secrets>(FILE)? else { return Ok(None) };
        let path = data.join(FILE);
        let identity = Self::from_secrets(&secrets)
            .with_context(|| format!("{} is damaged: restore it from a backup", path.display()))?;
        Ok(Some(identity))
    }

    /// Reads the identity in this data folder, or creates it.
    ///
    /// # Errors
    /// If its file can't be read or written, or is damaged.
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
        let encryption = key_from_hex(&secrets.encryption).context("the encryption key")?;
        Ok(Self {
            node: MachineKey::from_seed(&key_from_hex(&secrets.node).context("the node key")?),
            peer: Device::from_seed(&key_from_hex(&secrets.peer).context("the peer key")?),
            encryption: x25519_dalek::PublicKey::from(&StaticSecret::from(encryption)).to_bytes(),
            seal: SealKey::new(&encryption)?,
        })
    }

    /// Identifies the node, and signs its registration and reports.
    pub fn node_key(&self) -> &MachineKey {
        &self.node
    }

    /// Public key by which peers dial this node.
    pub fn peer_key(&self) -> PublicKey {
        self.peer.public()
    }

    /// Seed of the key by which peers dial this node.
    pub fn peer_secret(&self) -> [u8; 32] {
        self.peer.seed()
    }

    /// Public key to which bodies are sealed.
    pub fn encryption_key(&self) -> PublicKey {
        self.encryption
    }

    /// Opens what is sealed to [`Self::encryption_key`].
    pub fn seal_key(&self) -> &SealKey {
        &self.seal
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.node)
    }
}

fn random_hex() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

fn key_from_hex(text: &str) -> Result<[u8; 32]> {
    ensure!(text.len() == 64, "a key has 64 hex digits, this has {} characters", text.chars().count());
    let bytes = hex::decode(text).map_err(|_| anyhow!("a key has only hex digits"))?;
    bytes.try_into().map_err(|_| anyhow!("a key has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn keys_are_created_once_and_readable_by_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Identity::load(dir.path()).unwrap().is_none());
        let first = Identity::load_or_create(dir.path()).unwrap();
        let second = Identity::load_or_create(dir.path()).unwrap();
        let keys = |i: &Identity| [i.node_key().public(), i.peer_key(), i.encryption_key()];
        assert_eq!(keys(&first), keys(&second));
        let [node, peer, encryption] = keys(&first);
        assert!(node != peer && peer != encryption && encryption != node);
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn two_machines_have_different_keys() {
        let key = || {
            let dir = tempfile::tempdir().unwrap();
            Identity::load_or_create(dir.path()).unwrap().node_key().public()
        };
        assert_ne!(key(), key());
    }

    #[test]
    fn public_keys_match_known_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets {
            // RFC 8032 §7.1, test 1.
            node: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".into(),
            peer: "00".repeat(32),
            // The public half as `openssl pkey -pubout` computes it.
            encryption: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".into(),
        };
        Store::open(dir.path()).unwrap().write(FILE, &secrets).unwrap();
        let identity = Identity::load(dir.path()).unwrap().unwrap();
        assert_eq!(
            hex::encode(identity.node_key().public()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert_eq!(
            hex::encode(identity.encryption_key()),
            "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"
        );
    }

    #[test]
    fn a_damaged_identity_is_an_error_and_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let damaged = r#"{"node":"00","peer":"00","encryption":"00"}"#;
        fs::write(dir.path().join(FILE), damaged).unwrap();
        let error = format!("{:#}", Identity::load_or_create(dir.path()).unwrap_err());
        assert!(error.contains("identity.json is damaged"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), damaged);
    }
}
