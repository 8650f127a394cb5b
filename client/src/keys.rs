// SPDX-License-Identifier: Apache-2.0
//! The keys of people and bots.

use crate::{Error, error::KeyError};
use std::str::FromStr;
use subxt_signer::{DEV_PHRASE, ExposeSecret, SecretUri};

/// An sr25519 key pair that signs transactions.
pub use subxt_signer::sr25519::Keypair;

/// A key pair from a secret URI: a phrase or a `0x` seed, with derivations (`//Alice`) and a password.
pub fn parse_suri(suri: &str) -> Result<Keypair, Error> {
    Ok(Keypair::from_uri(&uri(suri)?).map_err(KeyError::from)?)
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
        let alice = parse_suri("//Alice").unwrap().public_key().to_account_id();
        assert_eq!(alice.to_string(), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
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
