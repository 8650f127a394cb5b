// SPDX-License-Identifier: Apache-2.0
//! `threebot restore`

use super::{deploy::Waiting, snapshot::Opening};
use crate::{
    cli::Global,
    consent::Consent,
    contract::size_text,
    output::Answer,
    peer::Target,
    snapshot::{Restored, Snapshot, image_of, restore},
};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

/// Put a snapshot in place of the content of a volume or a machine
///
/// The contract may be another one than that of the snapshot, on any node. A machine has the image that it had. All
/// machines of the contract are stopped meanwhile, and run again when it ends. What fails leaves all as it was.
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot restore 9 7/data/20261128T065500123Z --place ./backups \\
      --identity key.txt                        contract 7's into contract 9's
  threebot restore 9 7/web/20261128T065500123Z --place ./backups \\
      --identity key.txt                        a machine's root")]
pub struct Restore {
    #[command(flatten)]
    target: Target,
    /// The snapshot's name
    snapshot: Snapshot,
    /// The volume or machine; that of the snapshot's name if it isn't given
    workload: Option<String>,
    #[command(flatten)]
    opening: Opening,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    consent: Consent,
}

impl Restore {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let (contract, place) = (self.target.contract, &self.opening.at.place);
        let keys = self.opening.keys_of_owner(global, contract, &[]).await?;
        self.opening.at.ensure_there(&self.snapshot).await?;
        // What can't be used isn't asked about.
        image_of(place, &keys, &self.snapshot).await?;
        let workload = self.workload.as_deref().unwrap_or(&self.snapshot.workload);
        let what = format!(
            "what {workload} of contract {contract} holds goes for good: {} replaces it",
            self.snapshot
        );
        self.consent.ask_offline(global.json, &what)?;
        let connected = self.target.connect(global).await?;
        let restored = async {
            let to = (contract, workload);
            let restored = restore(&connected.peer, place, &keys, &self.snapshot, to, false).await?;
            let runs = connected.until_it_runs(&restored.started, &self.waiting, global.json).await;
            runs.with_context(|| format!("{workload} of contract {contract} is restored"))?;
            anyhow::Ok(restored)
        };
        let restored = restored.await;
        connected.done(Ok(())).await?;
        let Restored { bytes, started } = restored?;
        let text = format!("{workload} of contract {contract} is {}: {}", self.snapshot, size_text(bytes));
        let value = json!({
            "contract": contract, "workload": workload, "snapshot": self.snapshot.to_string(), "bytes": bytes,
            "started": started,
        });
        Ok(Answer::new(text, value))
    }
}
