// SPDX-License-Identifier: Apache-2.0
//! Contracts that run nothing: whole nodes, and names.

use super::event;
use crate::{cli::Consent, output::Answer, session::Session, spend::Spend};
use anyhow::{Context, Result};
use serde_json::json;
use tfgrid_client::{api, primitives::NodeId};

pub async fn rent(session: &Session, node: NodeId, consent: &Consent) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let rate = at.quote_rent(node).await?.with_context(|| format!("no node has the id {node}"))?;
    let spend = Spend::look(&at, twin, format!("rent node {node}"), rate, 0).await?;
    spend.agree(session, consent)?;
    let call = api::transactions().contracts().create_rent_contract(node, rate);
    let included = session.submit("rent", &call).await?;
    let contract = event::<api::contracts::events::RentContractCreated>(&included, "rent")?.contract;
    let text = format!("contract {contract}: node {node} is yours alone; deploy on it as on any other");
    Ok(Answer::new(text, json!({ "contract": contract, "node": node, "plan": spend.value() })))
}

pub async fn name(session: &Session, name: String, consent: &Consent) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let rate = at.quote_name().await?.context("the chain has no price for names")?;
    let spend = Spend::look(&at, twin, format!("take the name {name:?}"), rate, 0).await?;
    spend.agree(session, consent)?;
    let bytes = api::runtime_types::bounded_collections::bounded_vec::BoundedVec(name.clone().into_bytes());
    let call = api::transactions().contracts().create_name_contract(bytes, rate);
    let included = session.submit("name", &call).await?;
    let contract = event::<api::contracts::events::NameContractCreated>(&included, "name")?.contract;
    let text = format!("contract {contract}: the name {name:?} is yours");
    Ok(Answer::new(text, json!({ "contract": contract, "name": name, "plan": spend.value() })))
}
