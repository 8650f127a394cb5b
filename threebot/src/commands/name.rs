// SPDX-License-Identifier: Apache-2.0
//! `threebot name`

use super::event;
use crate::{
    application::cancelling,
    cli::Global,
    consent::Consent,
    contract::{self, own_record, status_columns},
    foreseen::{self, Foreseen, Purse},
    output::Answer,
    plan::Plan,
    session::Session,
};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;
use tfgrid_client::{
    api,
    primitives::{
        Rates,
        views::{Target, TwinContract},
    },
    units::parse_unique_name,
};

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
    /// List your names
    List,
}

impl Name {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        match self {
            Self::Reserve { name, consent } => reserve(&session, &name, &consent).await,
            Self::Release { name, consent } => release(&session, &name, &consent).await,
            Self::List => {
                let at = session.grid.finalized().await?;
                Ok(list(&at.contracts_of_twin(session.twin(&at).await?).await?))
            }
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

/// The names among a twin's contracts.
fn list(contracts: &[TwinContract]) -> Answer {
    let (mut lines, mut values) = (Vec::new(), Vec::new());
    for TwinContract { contract, target, status, .. } in contracts {
        let Target::Name { name } = target else { continue };
        let (name, (state, ..)) = (String::from_utf8_lossy(name), status_columns(status));
        lines.push(format!("{name}: contract {contract}, {state}"));
        values.push(json!({ "name": name, "contract": contract, "state": state }));
    }
    let none = "you have no name: `threebot name reserve NAME` takes one";
    let text = if lines.is_empty() { none.into() } else { lines.join("\n") };
    Answer::new(text, json!({ "names": values }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::views::ContractStatus;

    #[test]
    fn names_are_listed_with_their_contracts() {
        let own = |contract, target| TwinContract {
            contract,
            target,
            status: ContractStatus::Deployed { tft: 1, usd: 1 },
            rate: 1,
            extra: 0,
        };
        let shop = own(8, Target::Name { name: b"shop".to_vec() });
        let listed = list(&[own(7, Target::Rent { node: 3 }), shop]);
        assert_eq!(listed.text, "shop: contract 8, deployed");
        let value = json!({ "names": [{ "name": "shop", "contract": 8, "state": "deployed" }] });
        assert_eq!(listed.value, value);
        assert!(list(&[]).text.starts_with("you have no name"));
    }
}
