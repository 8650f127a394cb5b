// SPDX-License-Identifier: Apache-2.0
//! `threebot device`

use crate::{
    cli::Global,
    consent::unasked,
    device::DeviceFile,
    foreseen::Foreseen,
    output::Answer,
    session::{NoKey, Session},
};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;
use tfgrid_client::{
    AccountId32,
    api::{
        self,
        runtime_types::{bounded_collections::bounded_vec::BoundedVec, pallet_grid_twins::types::Twin},
    },
    primitives::{PublicKey, TwinId},
};

/// Upper limit of the devices of a twin.
pub const MAX_DEVICES: usize = 4;

#[derive(Subcommand)]
pub enum Device {
    /// Let this device, or another one, see and enter your workloads
    ///
    /// Nodes learn of it within 45 seconds. A twin has four devices at most; one of them may be a bot.
    #[command(arg = unasked())]
    Add {
        /// Public key of another device, as `threebot device list` prints it there
        #[arg(value_name = "KEY", value_parser = parse_key)]
        public: Option<PublicKey>,
        #[command(flatten)]
        device: DeviceFile,
    },
    /// List the devices of your twin; without its owner's key, this device alone
    List {
        #[command(flatten)]
        device: DeviceFile,
    },
    /// Take a device from your twin: what it has open ends within a minute
    #[command(arg = unasked())]
    Remove {
        /// Its public key; that of this device if it isn't given
        #[arg(value_name = "KEY", value_parser = parse_key)]
        public: Option<PublicKey>,
        #[command(flatten)]
        device: DeviceFile,
    },
}

impl Device {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let own = |device: &DeviceFile| Ok::<_, anyhow::Error>(device.read_or_create()?.public());
        let session = match (Session::open(global).await, &self) {
            // To be added from where the owner's key is.
            (Err(error), Self::List { device }) if error.is::<NoKey>() => return Ok(alone(own(device)?)),
            (session, _) => session?,
        };
        let (twin, record) = read(&session).await?;
        match self {
            Self::Add { public, device } => {
                let key = public.map_or_else(|| own(&device), Ok)?;
                add(&session, twin, record, key).await
            }
            Self::List { device } => Ok(list(twin, &record, device.read().ok().map(|own| own.public()))),
            Self::Remove { public, device } => {
                // A computer without a key doesn't get one to be removed.
                let key = public.map_or_else(|| device.read().map(|own| own.public()), Ok)?;
                remove(&session, twin, record, key).await
            }
        }
    }
}

async fn read(session: &Session) -> Result<(TwinId, Twin<AccountId32>)> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let record = at.twin(twin).await?.with_context(|| format!("no twin has the id {twin}"))?;
    Ok((twin, record))
}

async fn add(session: &Session, twin: TwinId, record: Twin<AccountId32>, key: PublicKey) -> Result<Answer> {
    let mut keys = record.peer_keys.0;
    let name = hex::encode(key);
    if keys.contains(&key) {
        bail!(Foreseen::new("Twins.DuplicatePeerKey", format!("{name} is a device of twin {twin} already")));
    }
    if keys.len() >= MAX_DEVICES {
        bail!("twin {twin} has {MAX_DEVICES} devices, which is all that it may have: remove one first");
    }
    keys.push(key);
    set(session, "device add", keys, record.encryption_key).await?;
    Ok(Answer::new(format!("{name} is a device of twin {twin}"), json!({ "twin": twin, "device": name })))
}

async fn remove(
    session: &Session,
    twin: TwinId,
    record: Twin<AccountId32>,
    key: PublicKey,
) -> Result<Answer> {
    let mut keys = record.peer_keys.0;
    let (name, before) = (hex::encode(key), keys.len());
    keys.retain(|kept| *kept != key);
    if keys.len() == before {
        bail!("{name} is no device of twin {twin}: `threebot device list` shows those that are");
    }
    set(session, "device remove", keys, record.encryption_key).await?;
    Ok(Answer::new(
        format!("{name} is no device of twin {twin} any more"),
        json!({ "twin": twin, "device": name }),
    ))
}

async fn set(
    session: &Session,
    what: &str,
    keys: Vec<PublicKey>,
    encryption: Option<PublicKey>,
) -> Result<()> {
    let call = api::transactions().twins().update(BoundedVec(keys), encryption);
    session.submit(what, &call).await.map(drop)
}

fn alone(own: PublicKey) -> Answer {
    let own = hex::encode(own);
    Answer::new(format!("{own}  this device"), json!({ "twin": null, "devices": null, "own": own }))
}

fn list(twin: TwinId, record: &Twin<AccountId32>, own: Option<PublicKey>) -> Answer {
    let line = |key: &PublicKey| {
        let this = if Some(*key) == own { "  this device" } else { "" };
        format!("{}{this}", hex::encode(key))
    };
    let keys = &record.peer_keys.0;
    let lines: Vec<_> = keys.iter().map(line).collect();
    let missing = own.filter(|own| !keys.contains(own));
    let missing = missing
        .map(|own| format!("{}  this device, which isn't one of twin {twin}: add it", hex::encode(own)));
    let text = lines.into_iter().chain(missing).collect::<Vec<_>>().join("\n");
    let text =
        if text.is_empty() { format!("twin {twin} has no device: `threebot device add`") } else { text };
    let devices: Vec<_> = keys.iter().map(hex::encode).collect();
    Answer::new(text, json!({ "twin": twin, "devices": devices, "own": own.map(hex::encode) }))
}

/// A device's public key.
pub fn parse_key(text: &str) -> Result<PublicKey, String> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "a device's key has 64 hex digits".into())
}
