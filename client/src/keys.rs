// SPDX-License-Identifier: Apache-2.0
//! The keys of people and bots.

use crate::{AccountId32, Config, Error, error::KeyError};
use sp_core::{Pair, ed25519};
use std::{fmt, str::FromStr};
use subxt::{transactions::Signer, utils::MultiSignature};
use subxt_signer::{DEV_PHRASE, ExposeSecret, SecretUri, sr25519};

/// A signature scheme of accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// What wallets make.
    #[default]
    Sr25519,
    /// What most other systems use.
    Ed25519,
}

impl Scheme {
    /// Its name in commands and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sr25519 => "sr25519",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl FromStr for Scheme {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        [Self::Sr25519, Self::Ed25519]
            .into_iter()
            .find(|scheme| scheme.name() == text)
            .ok_or_else(|| KeyError::Scheme(text.into()))
    }
}

/// A key pair that signs transactions. Debug output doesn't have the secret half.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a program has few of them")]
pub enum Keypair {
    /// Of [`Scheme::Sr25519`].
    Sr25519(sr25519::Keypair),
    /// Of [`Scheme::Ed25519`].
    Ed25519(Box<ed25519::Pair>),
}

impl Keypair {
    /// The key pair of a secret URI: a phrase or a `0x` seed, with derivations (`//Alice`) and a password.
    pub fn new(scheme: Scheme, suri: &str) -> Result<Self, Error> {
        let parsed = uri(suri)?;
        Ok(match scheme {
            Scheme::Sr25519 => Self::Sr25519(sr25519::Keypair::from_uri(&parsed).map_err(KeyError::from)?),
            Scheme::Ed25519 => {
                Self::Ed25519(Box::new(ed25519::Pair::from_string(suri, None).map_err(KeyError::from)?))
            }
        })
    }

    /// The account that it signs for.
    pub fn account(&self) -> AccountId32 {
        match self {
            Self::Sr25519(pair) => pair.public_key().to_account_id(),
            Self::Ed25519(pair) => AccountId32(pair.public().0),
        }
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.account())
    }
}

impl Signer<Config> for Keypair {
    fn account_id(&self) -> AccountId32 {
        self.account()
    }

    fn sign(&self, signer_payload: &[u8]) -> MultiSignature {
        match self {
            Self::Sr25519(pair) => MultiSignature::Sr25519(pair.sign(signer_payload).0),
            Self::Ed25519(pair) => MultiSignature::Ed25519(pair.sign(signer_payload).0),
        }
    }
}

/// The sr25519 key pair of a secret URI.
pub fn parse_suri(suri: &str) -> Result<Keypair, Error> {
    Keypair::new(Scheme::Sr25519, suri)
}

/// A new random phrase of twelve words.
pub fn new_phrase() -> String {
    ed25519::Pair::generate_with_phrase(None).1
}

/// Whether a key comes from the public development phrase, which everybody knows.
pub fn is_development_key(suri: &str) -> Result<bool, Error> {
    Ok(uri(suri)?.phrase.expose_secret() == DEV_PHRASE)
}

/// An empty URI would be the development phrase itself.
fn uri(suri: &str) -> Result<SecretUri, KeyError> {
    if suri.is_empty() {
        return Err(KeyError::Empty);
    }
    Ok(SecretUri::from_str(suri)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_keys_come_from_their_derivations() {
        let alice = parse_suri("//Alice").unwrap().account();
        assert_eq!(alice.to_string(), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
    }

    #[test]
    fn a_phrase_gives_one_account_for_each_scheme() {
        let ed25519 = Keypair::new(Scheme::Ed25519, "//Alice").unwrap();
        assert_eq!(ed25519.account().to_string(), "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu");
        let MultiSignature::Ed25519(signature) = ed25519.sign(b"a call") else { panic!("another scheme") };
        let public = ed25519::Public::from(ed25519.account().0);
        assert!(ed25519::Pair::verify(&signature.into(), b"a call", &public));
        assert!(Keypair::new(Scheme::Ed25519, "/soft").is_err());
    }

    #[test]
    fn a_new_phrase_is_a_key_of_both_schemes() {
        let phrase = new_phrase();
        assert_eq!(phrase.split(' ').count(), 12);
        assert_ne!(phrase, new_phrase());
        for scheme in [Scheme::Sr25519, Scheme::Ed25519] {
            let pair = Keypair::new(scheme, &phrase).unwrap();
            assert_eq!(format!("{pair:?}"), format!("Keypair({})", pair.account()));
        }
    }

    #[test]
    fn a_scheme_is_named_as_wallets_name_it() {
        assert_eq!("ed25519".parse::<Scheme>().unwrap(), Scheme::Ed25519);
        let error = "ecdsa".parse::<Scheme>().unwrap_err().to_string();
        assert!(error.contains("sr25519 or ed25519"), "{error}");
    }

    #[test]
    fn a_wrong_secret_uri_is_refused_without_repeating_it() {
        let error = parse_suri("twelve words but not really").unwrap_err().to_string();
        assert!(error.contains("secret URI") && !error.contains("twelve"), "{error}");
    }

    #[test]
    fn an_empty_key_is_refused() {
        assert!(matches!(parse_suri(""), Err(Error::Key(KeyError::Empty))));
    }

    #[test]
    fn development_keys_are_told_from_others() {
        let phrase = format!("{DEV_PHRASE}//Bob");
        for suri in ["//Alice", "/soft", &phrase] {
            assert!(is_development_key(suri).unwrap(), "{suri}");
        }
        let seed = format!("0x{}", "ab".repeat(32));
        let phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow//Alice";
        for suri in [seed.as_str(), phrase] {
            assert!(!is_development_key(suri).unwrap());
        }
    }
}
