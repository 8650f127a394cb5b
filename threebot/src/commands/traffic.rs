// SPDX-License-Identifier: Apache-2.0
//! `threebot traffic`

use super::event;
use crate::{
    cli::Global, consent::Consent, contract::own_contract, output::Answer, plan::Plan, session::Session,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use tfgrid_client::{
    api,
    primitives::{
        Balance, ContractId, Rates,
        views::{Target, TwinContract},
    },
    units::{format_tft, parse_id},
};

/// The price may rise by this much until the call is in a block.
const SLACK_PERCENT: Balance = 2;

/// Buy public traffic for a contract: paid in advance; what is unused is refunded when the contract closes
#[derive(Args)]
pub struct Traffic {
    /// The contract's id
    #[arg(value_parser = parse_id::<ContractId>)]
    contract: ContractId,
    /// How many GB (10^9 bytes)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    gb: u32,
    #[command(flatten)]
    consent: Consent,
}

impl Traffic {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        let Self { contract, gb, consent } = self;
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let TwinContract { target, rate: usd, extra, .. } = own_contract(&at, twin, contract).await?;
        let rates = Rates { usd, extra };
        let Target::Node { node, .. } = target else { bail!("contract {contract} has no traffic") };
        let cost = at.traffic_cost(node, gb).await?.context("the chain has no price for traffic")?;
        let what = format!("{gb} GB of public traffic for contract {contract}");
        let plan = Plan::for_change(&at, twin, what, rates, rates).await?.with_traffic(gb, cost);
        let deposit = consent.ask_for(&session, &plan)?;
        let most = cost.saturating_add(cost.saturating_mul(SLACK_PERCENT) / 100);
        let call = api::transactions().billing().buy_traffic(contract, gb, most);
        let included = session.submit_after(deposit, "traffic", &call).await?;
        let bought = event::<api::billing::events::TrafficBought>(&included, "traffic")?;
        let text =
            format!("contract {contract}: bought {gb} GB of traffic for {} TFT", format_tft(bought.amount));
        let value = json!({ "contract": contract, "gb": gb, "amount_tft_1e7": bought.amount.to_string() });
        Ok(Answer::new(text, value))
    }
}
