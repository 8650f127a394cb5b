// SPDX-License-Identifier: Apache-2.0
//! `threebot snapshot`

use crate::{
    cli::Global,
    consent::Consent,
    contract::{not_open, size_text},
    output::{Answer, Usage},
    peer::{OwnDevice, Target},
    progress::is_watched,
    sealing::Identity,
    session::Session,
    snapshot::{self, Around, Keys, Of, Place, Snapshot as Named, list, remove, take, verify},
};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tfgrid_client::{
    api::runtime_types::pallet_grid_contracts::types::ContractKind,
    primitives::{ContractId, PublicKey},
    sealing::Recipient,
    units::parse_id,
};

#[derive(Subcommand)]
pub enum Snapshot {
    Take(Take),
    List(List),
    Verify(Verify),
    Remove(Remove),
}

/// Where snapshots are.
#[derive(Args)]
pub struct Where {
    /// The folder, or the bucket as https://HOST/BUCKET; its credentials are those of AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY and AWS_REGION
    #[arg(long, env = "TFGRID_PLACE", value_name = "PLACE")]
    pub place: Place,
}

/// What opens snapshots, and whose are trusted.
#[derive(Args)]
pub struct Opening {
    #[command(flatten)]
    pub at: Where,
    #[command(flatten)]
    identity: Identity,
    /// A device, by its key in hex, whose snapshots are trusted, too; may be repeated
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    signed_by: Vec<PublicKey>,
}

/// Keep what volumes and machines hold, at one instant, in a place of yours
///
/// Of a machine, what differs from its image is kept, and as NAME_volumes what that image declares as VOLUME. Only what
/// changed since the last snapshot of a volume or a machine is moved and written. All is encrypted before it is
/// written: to your key, to the encryption keys of your twin and its bots, and to each --recipient.
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot snapshot take 7 --place ./backups --identity key.txt
  threebot snapshot take 7 --roots --place ./backups --identity key.txt
  threebot snapshot take 7 web --place ./backups --identity key.txt
  threebot snapshot take 7 data --place https://s3.example.org/backups \\
      --identity key.txt --machine db \\
      --before 'psql -c CHECKPOINT' --after 'echo done'")]
pub struct Take {
    #[command(flatten)]
    target: Target,
    /// Volumes and machines; all volumes of the contract if none is given
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// All machines of the contract, too
    #[arg(long, conflicts_with = "workloads")]
    roots: bool,
    #[command(flatten)]
    opening: Opening,
    /// Let this age key open it, too; may be repeated
    #[arg(long = "recipient", value_name = "age1…")]
    recipients: Vec<Recipient>,
    /// A command for a shell in --machine, before the instant of the snapshot
    #[arg(long, value_name = "COMMAND", requires = "machine")]
    before: Option<String>,
    /// A command for a shell in --machine, right after that instant, whatever happens
    #[arg(long, value_name = "COMMAND", requires = "machine")]
    after: Option<String>,
    /// The machine in which --before and --after run
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
}

/// List the snapshots in a place
#[derive(Args)]
pub struct List {
    /// Those of this contract alone
    #[arg(value_parser = parse_id::<ContractId>)]
    contract: Option<ContractId>,
    #[command(flatten)]
    at: Where,
}

/// Check all of a snapshot by its content
#[derive(Args)]
pub struct Verify {
    /// The snapshot's name
    snapshot: Named,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    device: OwnDevice,
}

/// Delete a snapshot, and all that no other one needs
#[derive(Args)]
pub struct Remove {
    /// The snapshot's name
    snapshot: Named,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    device: OwnDevice,
    #[command(flatten)]
    consent: Consent,
}

impl Snapshot {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        match self {
            Self::Take(command) => command.run(global).await,
            Self::List(command) => command.run().await,
            Self::Verify(command) => command.run().await,
            Self::Remove(command) => command.run(global).await,
        }
    }
}

impl Where {
    /// Fails if the place doesn't have a snapshot.
    pub async fn ensure_there(&self, snapshot: &Named) -> Result<()> {
        let there = list(&self.place, Some(snapshot.contract)).await?;
        ensure!(there.contains(snapshot), self.lacks(snapshot));
        Ok(())
    }

    /// Fails if the place has nothing of a snapshot. One whose removal was interrupted isn't whole any more.
    async fn ensure_some_is_there(&self, snapshot: &Named) -> Result<()> {
        let objects = self.place.list(snapshot.to_string()).await?;
        ensure!(!objects.is_empty(), self.lacks(snapshot));
        Ok(())
    }

    fn lacks(&self, snapshot: &Named) -> String {
        format!("{} has no snapshot {snapshot}: `threebot snapshot list` has their names", self.place)
    }
}

impl Opening {
    /// The keys of the owner of a contract.
    pub async fn keys_of_owner(
        &self,
        global: &Global,
        contract: ContractId,
        recipients: &[Recipient],
    ) -> Result<Keys> {
        let mut keys = self.keys(None)?;
        let session = Session::anonymous(global).await?;
        let at = session.grid.finalized().await?;
        let Some(record) = at.contract(contract).await? else {
            return Err(not_open(&at, contract).await?);
        };
        let ContractKind::Node(deployment) = record.kind else {
            bail!("contract {contract} has no volumes: it isn't one for a deployment");
        };
        let twin = at.twin(record.twin).await?.context("the chain has no twin for the contract's owner")?;
        keys.trusted.extend(twin.peer_keys.0);
        let sealed_to = at.seal_keys(deployment.node, record.twin).await?;
        let sealed_to: Vec<PublicKey> =
            sealed_to.map(|keys| keys.owner.into_iter().chain(keys.bots).collect()).unwrap_or_default();
        keys.recipients = sealed_to.iter().map(Recipient::new).collect::<Result<_, _>>()?;
        keys.recipients.extend(recipients.iter().cloned());
        Ok(keys)
    }

    /// The keys of this computer.
    pub fn keys(&self, device: Option<PublicKey>) -> Result<Keys> {
        let lacking = || {
            Usage::new(
                "snapshots are opened with your age key: name its file with --identity (`age-keygen` of the package \
                 age makes one)",
            )
        };
        let identity = self.identity.read()?.ok_or_else(lacking)?;
        let trusted = device.into_iter().chain(self.signed_by.iter().copied()).collect();
        Ok(Keys { identity, recipients: Vec::new(), trusted })
    }
}

impl Take {
    async fn run(self, global: &Global) -> Result<Answer> {
        let contract = self.target.contract;
        let keys = self.opening.keys_of_owner(global, contract, &self.recipients).await?;
        let (before, after) = (self.before, self.after);
        let around = self.machine.map(|machine| Around { machine, before, after });
        let (device, place) = (self.target.device()?, &self.opening.at.place);
        let connected = self.target.connect(global).await?;
        let of = match (&self.workloads[..], self.roots) {
            ([], false) => Of::Volumes,
            ([], true) => Of::All,
            (named, _) => Of::Named(named),
        };
        let is_watched = is_watched(global.json);
        let taken =
            take(&connected.peer, &device, contract, of, place, &keys, around.as_ref(), is_watched).await;
        connected.done(Ok(())).await?;
        let taken = taken?;
        let lines = taken.iter().map(told);
        let values: Vec<Value> = taken
            .iter()
            .map(|taken| {
                json!({
                    "snapshot": taken.snapshot.to_string(),
                    "since": taken.since.as_ref().map(ToString::to_string),
                    "bytes": taken.bytes,
                    "moved_bytes": taken.moved_bytes,
                    "written_bytes": taken.written_bytes,
                })
            })
            .collect();
        Ok(Answer::new(
            lines.collect::<Vec<_>>().join("\n"),
            json!({ "contract": contract, "snapshots": values }),
        ))
    }
}

fn told(taken: &snapshot::Taken) -> String {
    let [bytes, moved, written] = [taken.bytes, taken.moved_bytes, taken.written_bytes].map(size_text);
    let since = match &taken.since {
        Some(since) => format!("what changed since {}", since.time),
        None => "all of it".into(),
    };
    format!("{}: {bytes}, {since}: {moved} moved, {written} written", taken.snapshot)
}

impl List {
    async fn run(self) -> Result<Answer> {
        let found = list(&self.at.place, self.contract).await?;
        let names: Vec<_> = found.iter().map(ToString::to_string).collect();
        let text = if names.is_empty() { "no snapshots".into() } else { names.join("\n") };
        Ok(Answer::new(text, json!({ "snapshots": names })))
    }
}

impl Verify {
    async fn run(self) -> Result<Answer> {
        let keys = self.opening.keys(self.device.public())?;
        let verified = verify(&self.opening.at.place, &keys, &self.snapshot).await?;
        let text = format!(
            "{} is whole: {} files and folders, {}",
            self.snapshot,
            verified.items,
            size_text(verified.bytes)
        );
        let value = json!({
            "snapshot": self.snapshot.to_string(), "items": verified.items, "bytes": verified.bytes,
        });
        Ok(Answer::new(text, value))
    }
}

impl Remove {
    async fn run(self, global: &Global) -> Result<Answer> {
        let keys = self.opening.keys(self.device.public())?;
        self.opening.at.ensure_some_is_there(&self.snapshot).await?;
        self.consent.ask_offline(global.json, &format!("the snapshot {} goes for good", self.snapshot))?;
        remove(&self.opening.at.place, &keys, &self.snapshot).await?;
        let name = self.snapshot.to_string();
        Ok(Answer::new(format!("{name} is removed"), json!({ "snapshot": name })))
    }
}

fn parse_key(text: &str) -> Result<PublicKey, &'static str> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or("a device's key is 64 hex digits, as `threebot device list` shows it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_device_is_64_hex_digits() {
        assert_eq!(parse_key(&"07".repeat(32)), Ok([7; 32]));
        for wrong in ["", "07", "x"] {
            assert!(parse_key(wrong).is_err(), "{wrong}");
        }
    }
}
