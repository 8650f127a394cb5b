// SPDX-License-Identifier: Apache-2.0
//! `threebot rent`

use super::event;
use crate::{cli::Global, consent::Consent, output::Answer, plan::Plan, session::Session};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use tfgrid_client::{api, primitives::NodeId};

/// Rent a whole empty node: only you can deploy on it, and contracts there pay for public addresses only
#[derive(Args)]
pub struct Rent {
    /// The node
    #[arg(long)]
    node: NodeId,
    #[command(flatten)]
    consent: Consent,
}

impl Rent {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        let node = self.node;
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let rate = at.quote_rent(node).await?.with_context(|| format!("no node has the id {node}"))?;
        let free = at.free_balance(&session.account()?).await?;
        let plan = Plan::for_new(&at, twin, format!("rent node {node}"), rate)
            .await?
            .holding(at.contract_deposit(0)?, free)?;
        self.consent.ask(&session, &plan.text())?;
        let call = api::transactions().contracts().create_rent_contract(node, rate);
        let included = session.submit("rent", &call).await?;
        let contract = event::<api::contracts::events::RentContractCreated>(&included, "rent")?.contract;
        let text = format!("contract {contract}: node {node} is yours alone; deploy on it as on any other");
        Ok(Answer::new(text, json!({ "contract": contract, "node": node, "plan": plan.value() })))
    }
}
