// SPDX-License-Identifier: Apache-2.0
//! `threebot rent`

use super::event;
use crate::{
    cli::Global,
    consent::Consent,
    foreseen::{self, Foreseen, Purse},
    output::{Answer, counted},
    plan::Plan,
    session::Session,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use tfgrid_client::{
    api,
    primitives::{NodeId, Rates},
    units::parse_id,
};

/// Rent a whole empty node: only you can deploy on it, and contracts there pay for addresses, and a least rate
#[derive(Args)]
pub struct Rent {
    /// The node
    #[arg(long, value_parser = parse_id::<NodeId>)]
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
        let offer = foreseen::open_node(&at, node).await?;
        if let Some(rent) = at.rent_of_node(node).await? {
            bail!(Foreseen::new(
                "Contracts.NodeRented",
                format!("node {node} is rented already: contract {rent}")
            ));
        }
        if offer.contracts > 0 {
            let text = format!(
                "only an empty node can be rented, and node {node} has {}",
                counted(offer.contracts.into(), "contract")
            );
            bail!(Foreseen::new("Contracts.NodeNotEmpty", text));
        }
        let rate = at.quote_rent(node).await?.with_context(|| foreseen::no_price(node))?;
        let rates = Rates { usd: rate.saturating_sub(offer.extra_fee), extra: offer.extra_fee };
        foreseen::ensure_place(&at, twin, Some(&offer)).await?;
        let call = api::transactions().contracts().create_rent_contract(node, rate);
        let fee = session.fee("rent", &call).await?;
        let purse = Purse::read(&at, session.account()?).await?;
        let plan = Plan::for_new(&at, twin, format!("rent node {node}"), rates).await?.holding(
            at.contract_deposit(0)?,
            fee,
            purse,
        )?;
        let deposit = self.consent.ask_for(&session, &plan)?;
        let included = session.submit_after(deposit, "rent", &call).await?;
        let contract = event::<api::contracts::events::RentContractCreated>(&included, "rent")?.contract;
        let text = format!("contract {contract}: node {node} is yours alone; deploy on it as on any other");
        Ok(Answer::new(text, json!({ "contract": contract, "node": node, "plan": plan.value() })))
    }
}
