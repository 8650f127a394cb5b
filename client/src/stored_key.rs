// SPDX-License-Identifier: Apache-2.0
//! Keys in files: age files with a passphrase (scrypt), which `age -d` opens, too.
//!
//! The plain text is one line: the scheme, a space and the secret URI.

use crate::{Error, Keypair, Scheme, is_development_key};
use age::{DecryptError, EncryptError, scrypt, secrecy::SecretString};
use std::fmt;

/// Scrypt computes with 128 MiB and about half a second: so long a guess takes.
const WORK_FACTOR: u8 = 17;
/// The most that opening a file may cost: 1 GiB.
const MAX_WORK_FACTOR: u8 = 20;

/// A secret URI with its scheme. Debug output has the account only.
#[derive(Clone)]
pub struct StoredKey {
    scheme: Scheme,
    suri: String,
    pair: Keypair,
}

/// Why a key file can't be written or opened. None of the messages repeats a secret.
#[derive(Debug, thiserror::Error)]
pub enum StoredKeyError {
    /// It isn't an age file with a passphrase.
    #[error("it isn't a file of `threebot key`")]
    Format,
    /// The passphrase doesn't open it.
    #[error("the passphrase is wrong, or the file is damaged")]
    Passphrase,
    /// An empty passphrase protects nothing.
    #[error("the passphrase is empty")]
    NoPassphrase,
    /// age can't encrypt.
    #[error("age can't encrypt the key: {0}")]
    Age(#[from] EncryptError),
    /// The plain text isn't a key.
    #[error(transparent)]
    Key(#[from] Box<Error>),
}

impl StoredKey {
    /// A key from its secret URI.
    pub fn new(scheme: Scheme, suri: &str) -> Result<Self, Error> {
        Ok(Self { scheme, suri: suri.into(), pair: Keypair::new(scheme, suri)? })
    }

    /// How it signs.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The secret URI itself.
    pub fn suri(&self) -> &str {
        &self.suri
    }

    /// The pair that signs, without what it is derived from.
    pub fn pair(&self) -> &Keypair {
        &self.pair
    }

    /// Whether it comes from the public development phrase, which everybody knows.
    pub fn is_development_key(&self) -> Result<bool, Error> {
        is_development_key(&self.suri)
    }

    /// The file of the key.
    pub fn encrypt(&self, passphrase: String) -> Result<Vec<u8>, StoredKeyError> {
        if passphrase.is_empty() {
            return Err(StoredKeyError::NoPassphrase);
        }
        let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase));
        recipient.set_work_factor(WORK_FACTOR);
        Ok(age::encrypt(&recipient, format!("{} {}", self.scheme.name(), self.suri).as_bytes())?)
    }

    /// Whether a file is that of a key, as far as it shows without a passphrase.
    pub fn is_key_file(file: &[u8]) -> bool {
        age::Decryptor::new_buffered(file).is_ok_and(|decryptor| decryptor.is_scrypt())
    }

    /// The key in a file.
    pub fn decrypt(file: &[u8], passphrase: String) -> Result<Self, StoredKeyError> {
        let mut identity = scrypt::Identity::new(SecretString::from(passphrase));
        identity.set_max_work_factor(MAX_WORK_FACTOR);
        let plain = age::decrypt(&identity, file).map_err(|error| match error {
            DecryptError::InvalidHeader | DecryptError::UnknownFormat => StoredKeyError::Format,
            _ => StoredKeyError::Passphrase,
        })?;
        let text = String::from_utf8(plain).map_err(|_| StoredKeyError::Format)?;
        let (scheme, suri) = text.trim_end().split_once(' ').ok_or(StoredKeyError::Format)?;
        let scheme = scheme.parse().map_err(|_| StoredKeyError::Format)?;
        Ok(Self::new(scheme, suri).map_err(Box::new)?)
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredKey({})", self.pair.account())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_opens_with_its_passphrase_alone() {
        let key = StoredKey::new(Scheme::Ed25519, "//Alice").unwrap();
        let file = key.encrypt("correct horse".into()).unwrap();
        assert!(!String::from_utf8_lossy(&file).contains("Alice"));
        assert!(StoredKey::is_key_file(&file));
        let opened = StoredKey::decrypt(&file, "correct horse".into()).unwrap();
        assert_eq!((opened.scheme(), opened.suri()), (Scheme::Ed25519, "//Alice"));
        assert_eq!(opened.pair().account(), key.pair().account());
        for wrong in ["correct", ""] {
            let error = StoredKey::decrypt(&file, wrong.into()).unwrap_err();
            assert!(matches!(error, StoredKeyError::Passphrase), "{error}");
        }
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        for file in [b"".as_slice(), b"//Alice", b"age-encryption.org/v1\n"] {
            assert!(!StoredKey::is_key_file(file));
            let error = StoredKey::decrypt(file, "x".into()).unwrap_err();
            assert!(matches!(error, StoredKeyError::Format | StoredKeyError::Passphrase), "{error}");
        }
    }

    #[test]
    fn an_empty_passphrase_is_refused() {
        let key = StoredKey::new(Scheme::Sr25519, "//Alice").unwrap();
        assert!(matches!(key.encrypt(String::new()), Err(StoredKeyError::NoPassphrase)));
        assert!(!format!("{key:?}").contains("//Alice"));
    }
}
