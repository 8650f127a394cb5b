// SPDX-License-Identifier: Apache-2.0
//! The keys of people and bots.

use crate::Error;
use std::str::FromStr;
use subxt_signer::SecretUri;

/// An sr25519 key pair that signs transactions.
pub use subxt_signer::sr25519::Keypair;

/// A key pair from a secret URI: a phrase or a `0x` seed, with derivations (`//Alice`) and a password.
pub fn parse_suri(suri: &str) -> Result<Keypair, Error> {
    let help = "a secret URI is a phrase, a 0x seed or a derivation such as //Alice";
    let uri = SecretUri::from_str(suri)
        .map_err(|e| Error::Key(format!("the key isn't a secret URI: {e}; {help}")))?;
    Keypair::from_uri(&uri)
        .map_err(|e| Error::Key(format!("no key can be made of this secret URI: {e}; {help}")))
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
    fn what_is_no_secret_uri_is_refused_without_repeating_it() {
        let error = parse_suri("twelve words but not really").unwrap_err().to_string();
        assert!(error.contains("secret URI") && !error.contains("twelve"), "{error}");
    }
}
