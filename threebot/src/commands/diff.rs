// SPDX-License-Identifier: Apache-2.0
//! `threebot diff`

use crate::{
    application::{
        Difference, Options, State, are_secrets_unknown, compare, differences, key_text, state_of,
    },
    cli::Global,
    commands::update::NextVersion,
    contract::own_contract,
    output::{Answer, Usage},
    pins,
    session::Session,
};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use tfgrid_client::{primitives::ContractId, units::parse_id};

/// Show what differs between a file and what runs, field by field
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot diff -f shop.yaml               an application and its contracts
  threebot diff 7 -f site.yaml             a deployment and contract 7
  threebot diff 7 -f site.yaml --identity key.txt    also what is sealed")]
pub struct Diff {
    /// The contract that runs the deployment; none for an application
    #[arg(value_parser = parse_id::<ContractId>)]
    contract: Option<ContractId>,
    #[command(flatten)]
    next: NextVersion,
}

impl Diff {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let source = self.next.deployment.source()?;
        let key = self.next.identity.read()?;
        if source.is_application() {
            if let Some(contract) = self.contract {
                let text =
                    format!("{} is an application: compare it without contract {contract}", source.name);
                bail!(Usage::new(text));
            }
            let application = source.application()?;
            let session = Session::open(global).await?;
            let sealing = &self.next.sealing;
            let options =
                Options { source: &source, sealing, key, no_pin: true, prune: false, max_rate: None };
            return compare(&session, application, &options).await;
        }
        let reservation = self.next.deployment.reservation(&source)?;
        let text = "name the contract to compare the deployment with: `threebot diff ID -f FILE`";
        let contract = self.contract.ok_or_else(|| Usage::new(text))?;
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let own = own_contract(&at, session.twin(&at).await?, contract).await?;
        let old = state_of(&at, &own, key.as_ref()).await?;
        let (mut deployment, resources) = (reservation.deployment, reservation.resources);
        pins::keep(&mut deployment, &old.deployment);
        let public_ips = self.next.public_ips(old.public_ips, &deployment);
        let new = State { deployment, resources, public_ips };
        let uncompared = are_secrets_unknown(&old, &new).then(|| key_text(key.is_some()));
        Ok(answer(contract, &differences(&old, &new), uncompared))
    }
}

/// `uncompared` is why secrets weren't compared.
fn answer(contract: ContractId, differences: &[Difference], uncompared: Option<&str>) -> Answer {
    let mut texts: Vec<String> = differences.iter().map(Difference::text).collect();
    if texts.is_empty() {
        texts.push(format!("contract {contract} is as the file says"));
    }
    texts.extend(uncompared.map(|why| format!("its sealed secrets aren't compared: {why}")));
    let text = texts.join("\n");
    let values: Vec<_> = differences.iter().map(Difference::value).collect();
    Answer::new(text, json!({ "contract": contract, "differences": values }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_lines_and_values() {
        let more = Difference { path: "public_ips".into(), old: Some(json!(0)), new: Some(json!(1)) };
        let found = answer(7, &[more], None);
        assert_eq!(found.text, "public_ips: 0 -> 1");
        let value = json!({ "contract": 7, "differences": [{ "path": "public_ips", "old": 0, "new": 1 }] });
        assert_eq!(found.value, value);
        assert_eq!(answer(7, &[], None).text, "contract 7 is as the file says");
        let text = answer(7, &[], Some(key_text(false))).text;
        assert!(text.ends_with("\nits sealed secrets aren't compared: --identity with your key opens that"));
    }
}
