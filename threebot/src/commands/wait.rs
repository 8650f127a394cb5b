// SPDX-License-Identifier: Apache-2.0
//! `threebot wait`

use super::deploy::late;
use crate::{
    application::{Awaited, Finished, Owned, await_all, contracts_named},
    cli::Global,
    contract::own_record,
    device::DeviceFile,
    output::Answer,
    sealing::Identity,
    session::Session,
};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use std::time::Duration;
use tfgrid_client::{
    api::runtime_types::pallet_grid_contracts::types::{Contract, ContractKind, ContractState},
    primitives::ContractId,
    units::parse_duration,
};

/// Wait until contracts or applications run
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot wait shop                  until all parts of an application run
  threebot wait 7 8 --timeout 30m     until two contracts do")]
pub struct Wait {
    /// Ids of contracts, or names of applications
    #[arg(required = true, value_name = "CONTRACT|APPLICATION")]
    contracts: Vec<String>,
    /// How long to wait, such as 90s or 10m
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    device: DeviceFile,
    #[command(flatten)]
    identity: Identity,
}

impl Wait {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let key = self.identity.read()?;
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let owned = Owned::for_words(&at, twin, &self.contracts, key.as_ref()).await?;
        let contracts = contracts_named(&self.contracts, &owned)?;
        let mut awaited = Vec::new();
        for contract in &contracts {
            let record = own_record(&at, twin, *contract).await?;
            awaited.extend(unsettled(*contract, &record, &owned));
        }
        match await_all(&session, &self.device, twin, &mut awaited, self.timeout).await? {
            Finished::AllRun => Ok(answer(&contracts)),
            Finished::Failed(error) => Err(error),
            Finished::Late => bail!("{}", late(&self.contracts.join(" "), &awaited, self.timeout)),
        }
    }
}

/// What a contract awaits, if it awaits something.
fn unsettled(contract: ContractId, record: &Contract, owned: &Owned) -> Option<Awaited> {
    let ContractKind::Node(versions) = &record.kind else { return None };
    let is_first = matches!(record.state, ContractState::Created);
    let version = versions.pending.as_ref().map(|pending| pending.version).filter(|_| !is_first);
    let running = owned.running.iter().find(|running| running.contract == contract);
    let part = running.map_or_else(String::new, |running| running.part.clone());
    let deployment = running.map(|running| running.state.deployment.clone());
    (is_first || version.is_some()).then_some(Awaited { part, contract, version, deployment })
}

fn answer(contracts: &[ContractId]) -> Answer {
    let texts: Vec<String> = contracts.iter().map(|contract| format!("contract {contract} runs")).collect();
    Answer::new(texts.join("\n"), json!({ "contracts": contracts }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_contract_has_a_line() {
        let answer = answer(&[7, 8]);
        assert_eq!(answer.text, "contract 7 runs\ncontract 8 runs");
        assert_eq!(answer.value, json!({ "contracts": [7, 8] }));
    }
}
