// SPDX-License-Identifier: Apache-2.0
//! `threebot twin`

use super::{
    device::{MAX_DEVICES, parse_key},
    event,
};
use crate::{
    account::parse_account,
    cli::Global,
    consent::{Consent, unasked},
    device::DeviceFile,
    foreseen::{Foreseen, Purse},
    msg::parse_address,
    output::{Answer, Usage},
    session::Session,
    time::stretch,
};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use tfgrid_client::{
    AccountId32, GridAt,
    api::{self, runtime_types::bounded_collections::bounded_vec::BoundedVec},
    peer::{Device, PeerAddresses},
    primitives::{PublicKey, TwinId, report::MAX_PEER_ADDRESSES_BYTES},
    sealing::Recipient,
    units::{format_tft, parse_id},
};

#[derive(Subcommand)]
pub enum Twin {
    /// Create your twin (holds 1 TFT as a deposit)
    ///
    /// This device becomes one of it: nodes show it the output of your workloads, and let it in.
    Create {
        #[command(flatten)]
        device: DeviceFile,
        #[command(flatten)]
        consent: Consent,
    },
    /// Show a twin, its account, its credit and its keys
    Show {
        /// The twin's id [default: yours]
        #[arg(value_parser = parse_id::<TwinId>)]
        twin: Option<TwinId>,
    },
    /// Set all devices of your twin at once, or its sealing key, or both
    ///
    /// What isn't given stays as it is. `threebot device` adds and removes single devices.
    #[command(arg = unasked(), after_help = "\
Examples:
  threebot twin update --devices 3d40…,d759…    these two and no other
  threebot twin update --no-seal-key            seal to nodes alone from now on")]
    Update(NewKeys),
    /// Publish where bots of your twin are reached, in place of what the chain says; without an address, nowhere
    ///
    /// `threebot msg send` of others finds them there. Everybody sees it. The deposit is 0.001 TFT a byte.
    #[command(arg = unasked(), after_help = "\
Examples:
  threebot twin publish 192.0.2.9:9618
  threebot twin publish https://relay.example.org    a relay at which they are
  threebot twin publish                              say nothing any more")]
    Publish {
        /// IP addresses with ports, and URLs of relays
        #[arg(value_name = "ADDRESS", value_parser = parse_address)]
        at: Vec<String>,
    },
    /// Offer your twin, with all that it owns, to an account that has none
    Offer {
        /// The account, SS58
        #[arg(value_parser = parse_account)]
        to: AccountId32,
        #[command(flatten)]
        consent: Consent,
    },
    /// Take over a twin that is offered to your account; its devices and bots are those of its old account no more
    #[command(arg = unasked())]
    Accept {
        /// The twin's id
        #[arg(value_parser = parse_id::<TwinId>)]
        twin: TwinId,
    },
    /// Find the twin of an account
    Find {
        /// The account, SS58
        #[arg(value_parser = parse_account)]
        account: AccountId32,
    },
    /// Set the key to which your deployments are sealed beside that of their node, so that you can open them
    ///
    /// `age-keygen -o FILE`, of the package age, makes one; `threebot show ID --identity FILE` opens with it. Earlier
    /// deployments stay as they are.
    #[command(arg = unasked())]
    SealKey {
        /// The public half, as age-keygen prints it
        #[arg(value_name = "age1…")]
        recipient: Recipient,
    },
}

/// The keys that a twin gets.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub struct NewKeys {
    /// Public keys of all devices, as `threebot device list` prints them there
    #[arg(long, value_name = "KEY,…", value_delimiter = ',', value_parser = parse_key)]
    devices: Option<Vec<PublicKey>>,
    /// No device any more
    #[arg(long, conflicts_with = "devices")]
    no_devices: bool,
    /// The key of `twin seal-key`
    #[arg(long, value_name = "age1…")]
    seal_key: Option<Recipient>,
    /// No key of `twin seal-key` any more
    #[arg(long, conflicts_with = "seal_key")]
    no_seal_key: bool,
}

impl NewKeys {
    /// The keys of the twin from now on, of which it has these.
    fn over(
        self,
        devices: Vec<PublicKey>,
        seal_key: Option<PublicKey>,
    ) -> Result<(Vec<PublicKey>, Option<PublicKey>)> {
        let devices = if self.no_devices { Vec::new() } else { self.devices.unwrap_or(devices) };
        let count = devices.len();
        ensure!(
            count <= MAX_DEVICES,
            Usage::new(format!("a twin has {MAX_DEVICES} devices at most, not {count}"))
        );
        let new = self.seal_key.map(|recipient| recipient.key()).transpose()?;
        let seal_key = if self.no_seal_key { None } else { new.or(seal_key) };
        Ok((devices, seal_key))
    }
}

impl Twin {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        match self {
            Self::Create { device, consent } => {
                create(&Session::open(global).await?, &device.read_or_create()?, &consent).await
            }
            Self::Show { twin: Some(twin) } => {
                show(&Session::anonymous(global).await?.grid.finalized().await?, twin).await
            }
            Self::Show { twin: None } => {
                let session = Session::open(global).await?;
                let at = session.grid.finalized().await?;
                show(&at, session.twin(&at).await?).await
            }
            Self::Find { account } => {
                let at = Session::anonymous(global).await?.grid.finalized().await?;
                let twin = at.twin_of(&account).await?;
                show(&at, twin.with_context(|| format!("the account {account} has no twin"))?).await
            }
            Self::Update(keys) => update(&Session::open(global).await?, keys).await,
            Self::Publish { at } => {
                let addresses = publishable(&at)?;
                set_addresses(&Session::open(global).await?, &addresses).await
            }
            Self::Offer { to, consent } => offer(&Session::open(global).await?, to, &consent).await,
            Self::Accept { twin } => accept(&Session::open(global).await?, twin).await,
            Self::SealKey { recipient } => set_seal_key(&Session::open(global).await?, &recipient).await,
        }
    }
}

async fn create(session: &Session, device: &Device, consent: &Consent) -> Result<Answer> {
    let (at, account) = (session.grid.finalized().await?, session.account()?);
    if let Some(twin) = at.twin_of(&account).await? {
        bail!(Foreseen::new(
            "Twins.AccountHasTwin",
            format!("the account {account} has twin {twin} already")
        ));
    }
    let purse = Purse::read(&at, account).await?;
    let held = purse.deposit_text("a twin", at.twin_deposit()?, "it is removed")?;
    consent.ask(session, &format!("create a twin: {held}"))?;
    let keys = BoundedVec(vec![device.public()]);
    let call = api::transactions().twins().create(keys, None);
    let included = session.submit("twin create", &call).await?;
    let twin = event::<api::twins::events::TwinCreated>(&included, "twin create")?.twin;
    let text = format!("twin {twin} of {account}");
    Ok(Answer::new(text, json!({ "twin": twin, "account": account.to_string() })))
}

async fn set_seal_key(session: &Session, recipient: &Recipient) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let record = at.twin(twin).await?.with_context(|| format!("no twin has the id {twin}"))?;
    let call = api::transactions().twins().update(record.peer_keys, Some(recipient.key()?));
    session.submit("twin seal-key", &call).await?;
    let text = format!("deployments of twin {twin} are sealed to {recipient}, too");
    Ok(Answer::new(text, json!({ "twin": twin, "key": recipient.to_string() })))
}

async fn update(session: &Session, keys: NewKeys) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let record = at.twin(twin).await?.with_context(|| format!("no twin has the id {twin}"))?;
    let (devices, seal_key) = keys.over(record.peer_keys.0, record.encryption_key)?;
    let call = api::transactions().twins().update(BoundedVec(devices), seal_key);
    session.submit("twin update", &call).await?;
    show(&session.grid.finalized().await?, twin).await
}

/// The addresses, if the chain takes so many.
pub fn publishable(at: &[String]) -> Result<PeerAddresses> {
    let addresses = PeerAddresses::parse(at.join(" ").as_bytes());
    let text = addresses.to_string();
    ensure!(
        PeerAddresses::parse(text.as_bytes()) == addresses,
        Usage::new(format!(
            "a twin publishes {MAX_PEER_ADDRESSES_BYTES} bytes of addresses at most: leave some out"
        ))
    );
    Ok(addresses)
}

/// Lets the chain say that bots of the caller's twin are reached there, unless it does; returns the twin.
pub async fn publish(session: &Session, addresses: &PeerAddresses) -> Result<TwinId> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    if at.twin_addresses(twin).await? != *addresses {
        let text = BoundedVec(addresses.to_string().into_bytes());
        session.submit("twin publish", &api::transactions().twins().set_peer_addresses(text)).await?;
    }
    Ok(twin)
}

async fn set_addresses(session: &Session, addresses: &PeerAddresses) -> Result<Answer> {
    let twin = publish(session, addresses).await?;
    let text = if addresses.is_empty() {
        format!("the chain doesn't say where twin {twin} is reached")
    } else {
        format!("the chain says that twin {twin} is reached at {addresses}")
    };
    Ok(Answer::new(text, json!({ "twin": twin, "addresses": words(addresses) })))
}

fn words(addresses: &PeerAddresses) -> Vec<String> {
    addresses.to_string().split_whitespace().map(Into::into).collect()
}

async fn offer(session: &Session, to: AccountId32, consent: &Consent) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    if let Some(own) = at.twin_of(&to).await? {
        bail!(Foreseen::new("Twins.AccountHasTwin", format!("the account {to} has twin {own} already")));
    }
    let what = format!("offer twin {twin}, with its credit, contracts and farms, to {to}");
    consent.ask(session, &what)?;
    session.submit("twin offer", &api::transactions().twins().offer_transfer(to)).await?;
    let text = format!("twin {twin} is offered to {to}, which takes it with `threebot twin accept {twin}`");
    Ok(Answer::new(text, json!({ "twin": twin, "to": to.to_string() })))
}

async fn accept(session: &Session, twin: TwinId) -> Result<Answer> {
    session.submit("twin accept", &api::transactions().twins().accept_transfer(twin)).await?;
    show(&session.grid.finalized().await?, twin).await
}

async fn show(at: &GridAt, twin: TwinId) -> Result<Answer> {
    let record = at.twin(twin).await?.with_context(|| format!("no twin has the id {twin}"))?;
    let account = record.account;
    let free = at.free_balance(&account).await?;
    let payer = at.payer(twin).await?;
    let lasts = payer.funded_ms.map(|ms| ms / 1_000);
    let devices: Vec<String> = record.peer_keys.0.iter().map(hex::encode).collect();
    let seal_key = record.encryption_key.map(|key| Recipient::new(&key)).transpose()?;
    let seal_key = seal_key.map(|key| key.to_string());
    let addresses = words(&at.twin_addresses(twin).await?);
    let text = format!(
        "twin     {twin}\naccount  {account}\nfree     {} TFT\ncredit   {} TFT{}\ndevices  {}\nreached  {}\n\
         sealed   {}",
        format_tft(free),
        format_tft(payer.credit),
        lasts.map_or(String::new(), |seconds| format!(", lasts {} at the present price", stretch(seconds))),
        if devices.is_empty() { "none".into() } else { devices.join("\n         ") },
        if addresses.is_empty() {
            "the chain doesn't say where".into()
        } else {
            addresses.join("\n         ")
        },
        seal_key
            .as_ref()
            .map_or("to nodes alone: it has no key of its own".into(), |key| format!("to {key}, too")),
    );
    let value = json!({
        "twin": twin,
        "account": account.to_string(),
        "free_tft_1e7": free.to_string(),
        "credit_tft_1e7": payer.credit.to_string(),
        "rate_usd_1e10": payer.rate.to_string(),
        "exhausted": payer.exhausted,
        "funded_seconds": lasts,
        "devices": devices,
        "addresses": addresses,
        "seal_key": seal_key,
    });
    Ok(Answer::new(text, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn keys_that_are_not_given_stay() {
        let parsed = |line: &str| {
            let line = format!("threebot twin update {line}");
            Cli::try_parse_from(line.split_whitespace()).map(|cli| match cli.command {
                Command::Twin(Twin::Update(keys)) => keys,
                _ => panic!("another command"),
            })
        };
        let over = |line: &str| parsed(line).unwrap().over(vec![[1; 32]], Some([9; 32])).unwrap();
        let two = format!("--devices {},{}", "02".repeat(32), "03".repeat(32));
        assert_eq!(over(&two), (vec![[2; 32], [3; 32]], Some([9; 32])));
        assert_eq!(over("--no-seal-key"), (vec![[1; 32]], None));
        assert_eq!(over("--no-devices"), (Vec::new(), Some([9; 32])));
        let five = vec!["04".repeat(32); 5].join(",");
        let error = parsed(&format!("--devices {five}")).unwrap().over(Vec::new(), None).unwrap_err();
        assert!(error.to_string().contains("4 devices at most, not 5"), "{error}");
        for wrong in ["", "--devices abc", &format!("{two} --no-devices")] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn more_addresses_than_the_chain_takes_are_refused() {
        let at = |count: u16| (1..=count).map(|port| format!("192.0.2.9:{port}")).collect::<Vec<_>>();
        let few = ["192.0.2.9:9618", "https://relay.example.org"].map(String::from);
        let addresses = publishable(&few).unwrap();
        assert_eq!(words(&addresses), ["https://relay.example.org/", "192.0.2.9:9618"]);
        assert!(publishable(&[]).unwrap().is_empty());
        let error = publishable(&at(30)).unwrap_err().to_string();
        assert!(error.contains("256 bytes of addresses at most"), "{error}");
    }

    #[test]
    fn a_seal_key_stands_beside_the_key_that_signs() {
        let text = "age13aqvttdk3ujkyjh9kg2w5an6dmy5mq5a84a4uxk3hfhnugfc9p0sy5p2wh";
        let cli = Cli::try_parse_from(["threebot", "--key", "//Bob", "twin", "seal-key", text]).unwrap();
        assert_eq!(cli.global.key.as_deref(), Some("//Bob"));
        let Command::Twin(Twin::SealKey { recipient }) = cli.command else { panic!("another command") };
        assert_eq!(recipient.to_string(), text);
    }
}
