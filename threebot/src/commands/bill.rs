// SPDX-License-Identifier: Apache-2.0
//! `threebot bill`

use crate::{cli::Global, contract, output::Answer, session::Session, time};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use tfgrid_client::{
    bill::{self, Line, When},
    primitives::ContractId,
    units::{format_tft, format_usd, parse_id},
};

/// Show what a contract was charged, by month
#[derive(Args)]
pub struct Bill {
    /// The contract's id, open or closed lately
    #[arg(value_parser = parse_id::<ContractId>)]
    contract: ContractId,
}

impl Bill {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::anonymous(global).await?;
        let bill = session.grid.finalized().await?.bill(self.contract).await?;
        let bill = bill.ok_or_else(|| contract::unknown(self.contract))?;
        Ok(Answer::new(text(&bill), value(&bill)))
    }
}

fn text(bill: &bill::Bill) -> String {
    let row = |first: &str, usd: &str, tft: &str| format!("{first:<24}  {usd:>18}  {tft:>18}");
    let amounts = |first: &str, usd, tft| row(first, &format_usd(usd), &format_tft(tft));
    let mut rows = vec![row("MONTH OF 720 h FROM", "USD", "TFT")];
    for Line { when, amount } in &bill.lines {
        let first = match when {
            When::Earlier => "earlier".into(),
            When::MonthOf(start) => time::moment(*start),
        };
        rows.push(amounts(&first, amount.usd, amount.tft));
    }
    rows.push(amounts("total", bill.total.usd, bill.total.tft));
    rows.join("\n")
}

fn value(bill: &bill::Bill) -> Value {
    let lines: Vec<Value> = bill
        .lines
        .iter()
        .map(|Line { when, amount }| {
            json!({
                "from": match when {
                    When::Earlier => Value::Null,
                    When::MonthOf(start) => json!(start),
                },
                "usd_1e10": amount.usd.to_string(),
                "tft_1e7": amount.tft.to_string(),
            })
        })
        .collect();
    json!({
        "contract": bill.contract,
        "lines": lines,
        "total_usd_1e10": bill.total.usd.to_string(),
        "total_tft_1e7": bill.total.tft.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::bill::Total;

    #[test]
    fn a_bill_is_a_table_with_a_total() {
        let line = |when, usd, tft| Line { when, amount: Total { usd, tft } };
        let bill = bill::Bill {
            contract: 7,
            lines: vec![
                line(When::Earlier, 10_000_000_000, 200_000_000),
                line(When::MonthOf(1_700_352_000), 5_000_000_000, 100_000_001),
            ],
            total: Total { usd: 15_000_000_000, tft: 300_000_001 },
        };
        let text = text(&bill);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["earlier", "1", "20"]);
        assert_eq!(words[2], ["2023-11-19", "00:00", "UTC", "0.5", "10.0000001"]);
        assert_eq!(words[3], ["total", "1.5", "30.0000001"]);
        assert_eq!(value(&bill)["lines"][1]["tft_1e7"], "100000001");
        assert_eq!(value(&bill)["lines"][0]["from"], Value::Null);
    }
}
