// SPDX-License-Identifier: Apache-2.0
//! The endpoints of bots, and where they are found.

use super::Book;
use crate::{device::config_folder, durable};
use anyhow::{Context, Error, Result, bail};
use clap::Args;
use iroh::{
    Endpoint, RelayUrl, SecretKey,
    endpoint::{Builder, presets},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tfgrid_client::{
    peer::{Device, LastingEndpoint, PeerAddresses, msg::MSG_ALPN, transport},
    primitives::TwinId,
};

/// Streams that a connection may have open: messages that are sent, and requests that wait for their answers.
const MAX_STREAMS: u32 = 64;
/// Bytes of a connection that wait in each direction.
const WINDOW_BYTES: u32 = 1 << 20;

/// How bots find each other.
#[derive(Args)]
pub struct Ways {
    /// Relays at which bots meet, the same at both ends. They see who talks to whom, and nothing of what is said
    #[arg(long, env = "TFGRID_MSG_RELAY", value_name = "URLS", value_delimiter = ',')]
    pub relay: Vec<RelayUrl>,
    #[command(flatten)]
    pub contacts: Contacts,
}

/// Where other twins are, as this one knows.
#[derive(Args)]
pub struct Contacts {
    /// File of `threebot msg contact`, such as {"7": "192.0.2.7:9618"}; contacts.json beside the key of this device if
    /// it isn't given
    #[arg(long, env = "TFGRID_CONTACTS", value_name = "FILE")]
    pub contacts: Option<PathBuf>,
}

impl Ways {
    /// Where a twin is dialled: at these addresses and at those that the contacts have of it, without either where it
    /// publishes that it is reached, and at the relays.
    pub async fn to(&self, twin: TwinId, at: &[SocketAddr], book: &Book) -> Result<PeerAddresses> {
        let mut addresses = self.contacts.of(twin)?;
        addresses.direct.extend(at);
        if addresses.is_empty() {
            addresses = book.addresses(twin).await?;
        }
        addresses.relays.extend(self.relay.iter().cloned());
        Ok(addresses)
    }
}

impl Contacts {
    /// The addresses of a twin.
    fn of(&self, twin: TwinId) -> Result<PeerAddresses> {
        let Ok(file) = self.file() else { return Ok(PeerAddresses::default()) };
        let contacts = read_contacts(&file, self.contacts.is_some())?;
        let text = contacts.get(&twin.to_string()).cloned().unwrap_or_default();
        let addresses = PeerAddresses::parse(text.as_bytes());
        if addresses.is_empty() && !text.is_empty() {
            bail!(
                "{} has no address of twin {twin}, but {text:?}: write IP addresses with ports, or URLs of relays",
                file.display()
            );
        }
        Ok(addresses)
    }

    /// Keeps the addresses of a twin in place of those that were there; none forgets it.
    pub fn keep(&self, twin: TwinId, at: &[String]) -> Result<()> {
        let file = self.file()?;
        let mut contacts = read_contacts(&file, false)?;
        if at.is_empty() {
            contacts.remove(&twin.to_string());
        } else {
            contacts.insert(twin.to_string(), at.join(" "));
        }
        durable::create_folder(file.parent().unwrap_or(Path::new(".")))?;
        durable::write(&file, &contacts)
    }

    fn file(&self) -> Result<PathBuf> {
        if let Some(file) = &self.contacts {
            return Ok(file.clone());
        }
        let config = config_folder("keep contacts in: name a file with --contacts")?;
        Ok(config.join("tfgrid-ledger/contacts.json"))
    }
}

fn read_contacts(file: &Path, must_be_there: bool) -> Result<BTreeMap<String, String>> {
    match durable::read(file)? {
        Some(contacts) => Ok(contacts),
        None if must_be_there => bail!("there is no file {}", file.display()),
        None => Ok(BTreeMap::new()),
    }
}

/// Where a bot may be: an IP address with a port, or a relay.
pub fn parse_address(text: &str) -> Result<String, String> {
    let addresses = PeerAddresses::parse(text.as_bytes());
    if addresses.direct.iter().any(|direct| direct.ip().is_unspecified()) {
        return Err(format!("{text} is no place: name an address at which others reach the bot"));
    }
    if text.contains(' ') || addresses.is_empty() {
        return Err(format!(
            "{text:?} is neither an IP address with a port, such as 192.0.2.9:9618, nor the URL of a relay, such as \
             https://relay.example.org"
        ));
    }
    Ok(text.into())
}

/// Where a bot listens.
#[derive(Args)]
pub struct Listening {
    /// UDP address at which other bots reach this one
    #[arg(long, env = "TFGRID_MSG_BIND", value_name = "ADDRESS", default_value = "0.0.0.0:9618")]
    pub bind: SocketAddr,
}

/// An endpoint that dials, on any free port.
pub async fn dialling(device: &Device, ways: &PeerAddresses) -> Result<Endpoint> {
    let endpoint = builder(device, ways).bind().await;
    endpoint.context("can't open a socket to dial other bots")
}

/// An endpoint that other bots reach.
pub async fn listening(device: &Device, bind: SocketAddr, relays: &[RelayUrl]) -> Result<LastingEndpoint> {
    let ways = PeerAddresses { relays: relays.to_vec(), direct: Vec::new() };
    let device = device.clone();
    let open = move || {
        let (device, ways) = (device.clone(), ways.clone());
        async move { listen(&device, bind, &ways).await.map_err(|why| format!("{why:#}")) }
    };
    LastingEndpoint::open(open).await.map_err(Error::msg)
}

async fn listen(device: &Device, bind: SocketAddr, ways: &PeerAddresses) -> Result<Endpoint> {
    let builder =
        builder(device, ways).alpns(vec![MSG_ALPN.to_vec()]).clear_ip_transports().bind_addr(bind)?;
    let endpoint = builder.bind().await;
    endpoint.with_context(|| format!("can't listen at {bind}: name another address with --bind"))
}

fn builder(device: &Device, ways: &PeerAddresses) -> Builder {
    Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&device.seed()))
        .relay_mode(ways.relay_mode())
        .transport_config(transport(MAX_STREAMS, WINDOW_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn ways(contacts: &Path) -> Ways {
        Ways {
            relay: vec!["https://relay.example.org".parse().unwrap()],
            contacts: Contacts { contacts: Some(contacts.to_owned()) },
        }
    }

    #[tokio::test]
    async fn a_twin_is_dialled_wherever_it_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("contacts.json");
        fs::write(&file, r#"{"7": "192.0.2.7:9618 https://other.example.org", "8": "home"}"#).unwrap();
        let published = PeerAddresses::parse(b"192.0.2.5:9618");
        let book = Book::of([(7, [7; 32]), (9, [9; 32])]);
        let book = book.with_addresses(7, published.clone()).with_addresses(9, published);
        let address: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let (none, at): (&[SocketAddr], &[SocketAddr]) = (&[], &[address]);
        let ways = ways(&file);
        let relay = "https://relay.example.org/";
        for (twin, at, dialled) in [
            (9, at, format!("{relay} 192.0.2.1:1")),
            (7, at, format!("https://other.example.org/ {relay} 192.0.2.7:9618 192.0.2.1:1")),
            (7, none, format!("https://other.example.org/ {relay} 192.0.2.7:9618")),
            // Neither is given: where it publishes that it is.
            (9, none, format!("{relay} 192.0.2.5:9618")),
        ] {
            assert_eq!(ways.to(twin, at, &book).await.unwrap().to_string(), dialled, "{twin} {at:?}");
        }
        let error = ways.to(8, at, &book).await.unwrap_err().to_string();
        assert!(error.contains("has no address of twin 8, but \"home\""), "{error}");
    }

    #[test]
    fn a_contact_is_kept_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let contacts = Contacts { contacts: Some(folder.path().join("new/contacts.json")) };
        let at = ["192.0.2.9:9618", "https://relay.example.org"].map(|text| parse_address(text).unwrap());
        contacts.keep(9, &at).unwrap();
        contacts.keep(8, &at[..1]).unwrap();
        contacts.keep(8, &[]).unwrap();
        assert_eq!(contacts.of(9).unwrap().to_string(), "https://relay.example.org/ 192.0.2.9:9618");
        assert!(contacts.of(8).unwrap().is_empty());
        for wrong in ["", "example.org", "192.0.2.9", "192.0.2.9:9618 192.0.2.8:9618"] {
            assert!(parse_address(wrong).unwrap_err().contains("is neither an IP address"), "{wrong}");
        }
        for nowhere in ["0.0.0.0:9618", "[::]:9618"] {
            assert!(parse_address(nowhere).unwrap_err().contains("is no place"), "{nowhere}");
        }
    }

    #[test]
    fn contacts_that_cannot_be_read_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("contacts.json");
        let error = || ways(&file).contacts.of(7).unwrap_err().to_string();
        assert!(error().contains("there is no file"), "{}", error());
        fs::write(&file, "[]").unwrap();
        assert!(error().contains("contacts.json is damaged"), "{}", error());
    }
}
