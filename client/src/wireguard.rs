// SPDX-License-Identifier: Apache-2.0
//! Keys of WireGuard: of a node for a private network, and of a computer that joins one.

use base64::{Engine, engine::general_purpose::STANDARD};
use x25519_dalek::{PublicKey, StaticSecret};

/// A public key of WireGuard.
pub type WireGuardKey = [u8; 32];

/// A key as WireGuard's tools write it.
pub fn key_text(key: &[u8; 32]) -> String {
    STANDARD.encode(key)
}

/// Reads what [`key_text`] writes.
pub fn key_from_text(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// A new secret key: any 32 random bytes are one.
pub fn new_secret() -> [u8; 32] {
    iroh::SecretKey::generate().to_bytes()
}

/// The public half of a secret key.
pub fn public_key(secret: &[u8; 32]) -> WireGuardKey {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_and_read_as_by_wg() {
        // From `wg genkey` and `wg pubkey`.
        let secret = key_from_text("WIIkQwDyoaH+/cgdl3Neqhi6+OIbc6ZPfXU9HrsGfGM=").unwrap();
        assert_eq!(key_text(&public_key(&secret)), "KCnqvCOaZbfQ/kUARBbybHKzDdYvBZgFKJoNF4CxwAA=");
        for text in ["", "key", "WIIkQwDyoaH+/cgdl3Neqhi6+OIbc6ZPfXU9HrsGfGM"] {
            assert_eq!(key_from_text(text), None, "{text}");
        }
        assert_ne!(new_secret(), new_secret());
    }
}
