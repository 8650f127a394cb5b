// SPDX-License-Identifier: Apache-2.0
//! `threebot cancel`

use crate::{
    cli::Global,
    consent::Consent,
    contract::{self, size_text},
    output::Answer,
    session::Session,
};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use tfgrid_client::{
    GridAt,
    api::{
        self,
        runtime_types::pallet_grid_contracts::types::{CancelReason, ContractKind},
    },
    primitives::ContractId,
};

/// Close contracts: what they ran and their disks are gone for good
#[derive(Args)]
pub struct Cancel {
    /// The contracts' ids
    #[arg(required = true)]
    contracts: Vec<ContractId>,
    #[command(flatten)]
    consent: Consent,
}

impl Cancel {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let mut losses = Vec::new();
        for contract in &self.contracts {
            losses.push(loss(&at, *contract).await?);
        }
        self.consent.ask(&session, &losses.join("\n"))?;
        let (mut texts, mut values) = (Vec::new(), Vec::new());
        for contract in self.contracts {
            let call = api::transactions().contracts().cancel(contract, CancelReason::Cancelled);
            session.submit(&format!("the cancelling of contract {contract}"), &call).await?;
            let Answer { text, value } = contract::answer(&session, contract).await?;
            texts.push(text);
            values.push(value);
        }
        Ok(Answer::new(texts.join("\n\n"), json!({ "contracts": values })))
    }
}

/// What will be gone.
async fn loss(at: &GridAt, contract: ContractId) -> Result<String> {
    let record = at.contract(contract).await?.ok_or_else(|| contract::unknown(contract))?;
    Ok(match record.kind {
        ContractKind::Node(deployment) => format!(
            "contract {contract} on node {} goes for good, with its disks ({})",
            deployment.node,
            size_text(deployment.resources.sru)
        ),
        ContractKind::Rent { node } => format!("contract {contract}: node {node} isn't yours alone any more"),
        ContractKind::Name { name } => {
            format!("contract {contract}: others can take the name {:?}", String::from_utf8_lossy(&name.0))
        }
    })
}
