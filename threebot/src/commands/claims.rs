// SPDX-License-Identifier: Apache-2.0
//! What is claimed beside deployments: whole nodes, names, traffic.

use super::{deploy::own_contract, event};
use crate::{cli::Consent, output::Answer, session::Session, spend::Spend};
use anyhow::{Context, Result, bail};
use serde_json::json;
use tfgrid_client::{
    api,
    primitives::{
        Balance, ContractId, NodeId,
        views::{Claim, TwinContract},
    },
    units::format_tft,
};

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

/// The price may move a little until the call is in a block.
const TRAFFIC_SLACK_PERCENT: Balance = 2;

pub async fn traffic(session: &Session, contract: ContractId, gb: u32, consent: &Consent) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let TwinContract { claim, rate, .. } = own_contract(&at, twin, contract).await?;
    let Claim::Node { node, .. } = claim else { bail!("contract {contract} has no traffic") };
    let cost = at.traffic_cost(twin, node, gb).await?.context("the chain has no price for traffic")?;
    let what = format!("{gb} GB of public traffic for contract {contract}");
    let spend = Spend::look(&at, twin, what, rate, rate).await?.with_traffic(gb, cost);
    spend.agree(session, consent)?;
    let most = cost.saturating_add(cost.saturating_mul(TRAFFIC_SLACK_PERCENT) / 100);
    let included =
        session.submit("traffic", &api::transactions().billing().buy_traffic(contract, gb, most)).await?;
    let bought = event::<api::billing::events::TrafficBought>(&included, "traffic")?;
    let text =
        format!("contract {contract}: bought {gb} GB of traffic for {} TFT", format_tft(bought.amount));
    let value = json!({ "contract": contract, "gb": gb, "amount_units": bought.amount.to_string() });
    Ok(Answer::new(text, value))
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
