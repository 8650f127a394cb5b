// SPDX-License-Identifier: Apache-2.0
//! Where a peer endpoint is reached.

use iroh::{EndpointAddr, EndpointId, KeyParsingError, RelayMode, RelayUrl};
use std::{fmt, net::SocketAddr};
use tfgrid_primitives::{PublicKey, report::MAX_PEER_ADDRESSES_BYTES};

/// Addresses of a peer endpoint, as its node reports them to the chain: relays, then IP addresses with ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerAddresses {
    /// Relays on which the endpoint can be dialled.
    pub relays: Vec<RelayUrl>,
    /// Addresses at which it can be dialled, as far as it knows.
    pub direct: Vec<SocketAddr>,
}

/// A node's peer endpoint, as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// Key under which it is dialled.
    pub key: PublicKey,
    /// Where it is reached.
    pub addresses: PeerAddresses,
}

impl PeerAddresses {
    /// Reads the text of the chain. Skips what it doesn't know.
    pub fn parse(text: &[u8]) -> Self {
        let mut addresses = Self::default();
        for word in String::from_utf8_lossy(text).split(' ') {
            if let Ok(direct) = word.parse() {
                addresses.direct.push(direct);
            } else if let Some(relay) = relay(word) {
                addresses.relays.push(relay);
            }
        }
        addresses
    }

    /// The relays that an endpoint at these addresses uses, or that dials them.
    pub fn relay_mode(&self) -> RelayMode {
        match &self.relays[..] {
            [] => RelayMode::Disabled,
            relays => RelayMode::custom(relays.iter().cloned()),
        }
    }

    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.relays.is_empty() && self.direct.is_empty()
    }
}

/// The text for the chain: as many addresses as fit.
impl fmt::Display for PeerAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relays = self.relays.iter().map(ToString::to_string);
        let direct = self.direct.iter().map(ToString::to_string);
        let text = relays.chain(direct).fold(String::new(), |text, word| {
            let longer = if text.is_empty() { word } else { format!("{text} {word}") };
            if longer.len() <= MAX_PEER_ADDRESSES_BYTES as usize { longer } else { text }
        });
        f.write_str(&text)
    }
}

impl NodeAddress {
    /// It as iroh dials it.
    ///
    /// # Errors
    /// If its key isn't one.
    pub fn endpoint(&self) -> Result<EndpointAddr, KeyParsingError> {
        let PeerAddresses { relays, direct } = &self.addresses;
        let endpoint = EndpointAddr::new(EndpointId::from_bytes(&self.key)?);
        let endpoint = direct.iter().fold(endpoint, |endpoint, address| endpoint.with_ip_addr(*address));
        Ok(relays.iter().fold(endpoint, |endpoint, relay| endpoint.with_relay_url(relay.clone())))
    }
}

fn relay(word: &str) -> Option<RelayUrl> {
    let is_web = word.starts_with("https://") || word.starts_with("http://");
    is_web.then(|| word.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_and_read_as_on_the_chain() {
        let text = "https://relay.example.org/ 192.0.2.7:9617 [2001:db8::1]:9617";
        let addresses = PeerAddresses::parse(text.as_bytes());
        assert_eq!((addresses.relays.len(), addresses.direct.len()), (1, 2));
        assert_eq!(addresses.to_string(), text);
    }

    #[test]
    fn what_isnt_an_address_is_skipped() {
        let addresses = PeerAddresses::parse(b"new:thing \xff ftp://x 192.0.2.7 192.0.2.7:1");
        assert_eq!(addresses.to_string(), "192.0.2.7:1");
        assert!(PeerAddresses::parse(b"").is_empty());
    }

    #[test]
    fn the_text_is_as_long_as_the_chain_takes() {
        let direct = (0..100).map(|n| ([192, 0, 2, n], 9617).into()).collect();
        let text = PeerAddresses { relays: Vec::new(), direct }.to_string();
        assert!((230..=256).contains(&text.len()), "{text}");
        assert!(!PeerAddresses::parse(text.as_bytes()).is_empty());
    }
}
