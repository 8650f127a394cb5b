// SPDX-License-Identifier: Apache-2.0
//! `threebot ps`

use crate::{
    cli::Global,
    contract::{merge, status_columns},
    output::Answer,
    session::Session,
};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use tfgrid_client::{
    primitives::views::{Target, TwinContract},
    units::{format_tft, format_usd},
};

/// List what you run
#[derive(Args)]
pub struct Ps {}

impl Ps {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let contracts = at.contracts_of_twin(session.twin(&at).await?).await?;
        let values: Vec<Value> = contracts.iter().map(value).collect();
        Ok(Answer::new(table(&contracts), json!({ "contracts": values })))
    }
}

fn table(contracts: &[TwinContract]) -> String {
    if contracts.is_empty() {
        return "nothing runs".into();
    }
    let row = |contract: &str, on: &str, state: &str, rate: &str, charged: &str| {
        format!("{contract:>8}  {on:<20}  {state:<12}  {rate:>12}  {charged:>14}")
    };
    let mut rows = vec![row("CONTRACT", "ON", "STATE", "USD/HOUR", "TFT SO FAR")];
    rows.extend(contracts.iter().map(|contract| {
        let on = match &contract.target {
            Target::Node { node, .. } => format!("node {node}"),
            Target::Rent { node } => format!("the whole node {node}"),
            Target::Name { name } => format!("name {}", String::from_utf8_lossy(name)),
        };
        let (state, tft, _) = status_columns(&contract.status);
        let rate = format_usd(contract.rate.saturating_add(contract.extra).into());
        row(&contract.contract.to_string(), &on, state, &rate, &format_tft(tft))
    }));
    rows.join("\n")
}

fn value(contract: &TwinContract) -> Value {
    let (state, tft, usd) = status_columns(&contract.status);
    let mut value = json!({
        "contract": contract.contract,
        "state": state,
        "rate_usd_1e10": contract.rate.to_string(),
        "extra_fee_usd_1e10": contract.extra.to_string(),
        "charged_tft_1e7": tft.to_string(),
        "charged_usd_1e10": usd.to_string(),
    });
    let kind = match &contract.target {
        Target::Node { node, resources, public_ips } => {
            json!({ "kind": "node", "node": node, "resources": resources, "public_ips": public_ips })
        }
        Target::Rent { node } => json!({ "kind": "rent", "node": node }),
        Target::Name { name } => json!({ "kind": "name", "name": String::from_utf8_lossy(name) }),
    };
    merge(&mut value, kind);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::views::ContractStatus;

    #[test]
    fn contracts_are_a_table_with_exact_rates() {
        let contract = TwinContract {
            contract: 7,
            target: Target::Rent { node: 3 },
            status: ContractStatus::Paused { tft: 1_234_567, usd: 10 },
            rate: 103_750_000,
            extra: 1_000_000,
        };
        let text = table(std::slice::from_ref(&contract));
        let words: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words, ["7", "the", "whole", "node", "3", "paused", "0.010475", "0.1234567"]);
        let value = value(&contract);
        assert_eq!((&value["kind"], &value["rate_usd_1e10"]), (&json!("rent"), &json!("103750000")));
        assert_eq!(table(&[]), "nothing runs");
    }
}
