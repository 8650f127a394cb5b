// SPDX-License-Identifier: Apache-2.0
//! `threebot ps`

use super::funds::Funding;
use crate::{
    application::Owned,
    cli::Global,
    closing::Closing,
    contract::{Pending, merge, status_columns},
    output::Answer,
    sealing::Identity,
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
pub struct Ps {
    #[command(flatten)]
    identity: Identity,
}

impl Ps {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let key = self.identity.read()?;
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let contracts = at.contracts_of_twin(twin).await?;
        let owned = Owned::read(&at, &contracts, key.as_ref()).await?;
        let mut rows = Vec::new();
        for contract in contracts {
            let pending = Pending::read(&at, contract.contract).await?;
            let drain = match contract.target {
                Target::Node { node, .. } | Target::Rent { node } => Closing::of_drain(&at, node).await?,
                Target::Name { .. } => None,
            };
            let part = owned.running.iter().find(|running| running.contract == contract.contract);
            let part = part.map(|running| (running.application.clone(), running.part.clone()));
            rows.push(Row { contract, part, pending, drain });
        }
        let values: Vec<Value> = rows.iter().map(value).collect();
        let mut text = table(&rows);
        if let Some(paused) = Funding::read(&at, twin).await?.paused().filter(|_| !rows.is_empty()) {
            text.push_str(&format!("\n{paused}"));
        }
        Ok(Answer::new(text, json!({ "contracts": values })))
    }
}

/// The width of the column that says what a contract is.
const ON_COLUMNS: usize = 24;

struct Row {
    contract: TwinContract,
    /// The application and the part of it that it is.
    part: Option<(String, String)>,
    pending: Option<Pending>,
    drain: Option<Closing>,
}

/// A table, and a line below it for each contract that awaits its node or whose node drains.
fn table(contracts: &[Row]) -> String {
    if contracts.is_empty() {
        return "nothing runs".into();
    }
    let row = |contract: &str, on: &str, state: &str, rate: &str, charged: &str| {
        format!("{contract:>8}  {on:<ON_COLUMNS$}  {state:<12}  {rate:>12}  {charged:>14}")
    };
    let mut rows = vec![row("CONTRACT", "ON", "STATE", "USD/HOUR", "TFT SO FAR")];
    rows.extend(contracts.iter().map(|Row { contract, part, .. }| {
        let part = part.as_ref().map_or_else(String::new, |(name, part)| format!(": {name}/{part}"));
        let on = match &contract.target {
            Target::Node { node, .. } => shortened(&format!("node {node}{part}")),
            Target::Rent { node } => format!("the whole node {node}"),
            Target::Name { name } => shortened(&format!("name {}", String::from_utf8_lossy(name))),
        };
        let (state, tft, _) = status_columns(&contract.status);
        let rate = format_usd(contract.rate.saturating_add(contract.extra).into());
        row(&contract.contract.to_string(), &on, state, &rate, &format_tft(tft))
    }));
    for Row { contract: TwinContract { contract, .. }, pending, drain, .. } in contracts {
        rows.extend(pending.as_ref().map(|pending| format!("contract {contract}: {}", pending.text())));
        rows.extend(drain.as_ref().map(|drain| format!("contract {contract} closes {}", drain.text())));
    }
    rows.join("\n")
}

/// What fits in its column. Names are ASCII.
fn shortened(on: &str) -> String {
    if on.len() <= ON_COLUMNS { on.into() } else { format!("{:.*}...", ON_COLUMNS - 3, on) }
}

fn value(Row { contract, part, pending, drain }: &Row) -> Value {
    let (state, tft, usd) = status_columns(&contract.status);
    let mut value = json!({
        "contract": contract.contract,
        "state": state,
        "rate_usd_1e10": contract.rate.to_string(),
        "extra_fee_usd_1e10": contract.extra.to_string(),
        "charged_tft_1e7": tft.to_string(),
        "charged_usd_1e10": usd.to_string(),
        "application": part.as_ref().map(|(name, _)| name),
        "part": part.as_ref().map(|(_, part)| part),
        "pending": pending.as_ref().map(Pending::value),
        "closes": drain.iter().map(Closing::value).collect::<Vec<_>>(),
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
    use tfgrid_client::primitives::{Resources, views::ContractStatus};

    #[test]
    fn contracts_are_a_table_with_exact_rates() {
        let contract = TwinContract {
            contract: 7,
            target: Target::Rent { node: 3 },
            status: ContractStatus::Paused { tft: 1_234_567, usd: 10 },
            rate: 103_750_000,
            extra: 1_000_000,
        };
        let row = Row { contract, part: None, pending: None, drain: None };
        let text = table(std::slice::from_ref(&row));
        let words: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words, ["7", "the", "whole", "node", "3", "paused", "0.010475", "0.1234567"]);
        let value = value(&row);
        assert_eq!((&value["kind"], &value["rate_usd_1e10"]), (&json!("rent"), &json!("103750000")));
        assert_eq!(table(&[]), "nothing runs");
    }

    #[test]
    fn a_part_is_told_with_its_application() {
        let resources = Resources::ZERO;
        let contract = TwinContract {
            contract: 7,
            target: Target::Node { node: 3, resources, public_ips: 0 },
            status: ContractStatus::Created,
            rate: 1,
            extra: 0,
        };
        let part = Some(("shop".into(), "web".into()));
        let row = Row { contract, part, pending: None, drain: None };
        let text = table(std::slice::from_ref(&row));
        assert!(text.contains(" node 3: shop/web  "), "{text}");
        assert_eq!((&value(&row)["application"], &value(&row)["part"]), (&json!("shop"), &json!("web")));
    }

    #[test]
    fn a_drain_is_told_below_the_table() {
        let contract = TwinContract {
            contract: 7,
            target: Target::Rent { node: 3 },
            status: ContractStatus::Created,
            rate: 1,
            extra: 0,
        };
        let drain = Some(Closing::sample("its farmer drains node 3: a new disk"));
        let row = Row { contract, part: None, pending: None, drain };
        let text = table(std::slice::from_ref(&row));
        let line =
            "contract 7 closes 2023-11-14 22:13:20 UTC (in 60 s): its farmer drains node 3: a new disk";
        assert_eq!(text.lines().last(), Some(line));
        assert_eq!(value(&row)["closes"][0]["at"], 1_700_000_000);
    }

    #[test]
    fn the_longest_name_fits_a_terminal() {
        let contract = TwinContract {
            contract: 7,
            target: Target::Name { name: vec![b'a'; 63] },
            status: ContractStatus::NodeOffline { tft: u128::from(u32::MAX), usd: 10 },
            rate: 1,
            extra: 0,
        };
        let text = table(&[Row { contract, part: None, pending: None, drain: None }]);
        assert!(text.contains(" name aaaaaaaaaaaaaaaa...  node offline"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
