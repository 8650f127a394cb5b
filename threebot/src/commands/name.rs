// SPDX-License-Identifier: Apache-2.0
//! `threebot name`

use super::event;
use crate::{
    application::cancelling,
    cli::Global,
    consent::Consent,
    contract::{self, own_record},
    foreseen::{self, Foreseen, Purse},
    output::Answer,
    plan::Plan,
    session::Session,
};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;
use tfgrid_client::{api, primitives::Rates, units::parse_unique_name};

#[derive(Subcommand)]
pub enum Name {
    /// Take a name (locks a deposit of 1 TFT, or 10 TFT for names of up to four letters)
    #[command(after_help = "\
Example:
  threebot name reserve shop    then `gateway-name-proxy` workloads named shop
                                publish sites at shop.DOMAIN of their gateway")]
    Reserve {
        /// 1 to 63 of a-z, 0-9 and hyphens, none at either end
        #[arg(value_parser = parse_unique_name)]
        name: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Give a name back: others can take it, and its deposit is returned
    Release {
        /// A name of yours
        #[arg(value_parser = parse_unique_name)]
        name: String,
        #[command(flatten)]
        consent: Consent,
    },
}

impl Name {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        match self {
            Self::Reserve { name, consent } => reserve(&session, &name, &consent).await,
            Self::Release { name, consent } => release(&session, &name, &consent).await,
        }
    }
}

async fn reserve(session: &Session, name: &str, consent: &Consent) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    if let Some(contract) = at.contract_of_name(name).await? {
        let text = format!("the name {name:?} is taken: contract {contract} has it");
        bail!(Foreseen::new("Contracts.NameTaken", text));
    }
    let rate = at.quote_name().await?.context("the chain has no price for names")?;
    foreseen::ensure_place(&at, twin, None).await?;
    let bytes = api::runtime_types::bounded_collections::bounded_vec::BoundedVec(name.as_bytes().to_vec());
    let call = api::transactions().contracts().create_name_contract(bytes, rate);
    let fee = session.fee("name", &call).await?;
    let purse = Purse::read(&at, session.account()?).await?;
    let plan = Plan::for_new(&at, twin, format!("take the name {name:?}"), Rates { usd: rate, extra: 0 })
        .await?
        .holding(at.name_deposit(name)?, fee, purse)?;
    let deposit = consent.ask_for(session, &plan)?;
    let included = session.submit_after(deposit, "name", &call).await?;
    let contract = event::<api::contracts::events::NameContractCreated>(&included, "name")?.contract;
    let text = format!("contract {contract}: the name {name:?} is yours");
    Ok(Answer::new(text, json!({ "contract": contract, "name": name, "plan": plan.value() })))
}

async fn release(session: &Session, name: &str, consent: &Consent) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let contract =
        at.contract_of_name(name).await?.with_context(|| format!("nobody has the name {name:?}"))?;
    own_record(&at, session.twin(&at).await?, contract).await?;
    consent.ask(
        session,
        &format!("give the name {name:?} back: others can take it, and sites of that name end"),
    )?;
    let call = api::transactions().utility().batch_all(vec![cancelling(contract)]);
    session.submit("name release", &call).await?;
    contract::answer(session, contract, None).await
}
