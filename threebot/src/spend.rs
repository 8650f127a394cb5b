// SPDX-License-Identifier: Apache-2.0
//! What something will cost, shown before it is done.

use crate::{cli::Consent, session::Session, time::stretch};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{self, BufRead, IsTerminal, Write};
use tfgrid_client::{
    At,
    estimate::{MONTH_HOURS, hours_for, tft_for},
    primitives::{Balance, TftPrice, TwinId, UsdRate},
    units::{format_price, format_tft, format_usd},
};

/// What a twin's credit will pay if it goes ahead.
pub struct Spend {
    what: String,
    /// What it costs per hour at list price, in 1e-10 USD.
    rate: UsdRate,
    /// What all that the twin runs costs then.
    rate_after: u128,
    credit: Balance,
    price: TftPrice,
    /// What is bought at once, in GB of traffic, and what it costs.
    traffic: Option<(u32, Balance)>,
}

impl Spend {
    /// Of `rate`, instead of `before` where something runs already.
    pub async fn look(
        at: &At,
        twin: TwinId,
        what: impl Into<String>,
        rate: UsdRate,
        before: UsdRate,
    ) -> Result<Self> {
        let payer = at.payer(twin).await?;
        let price = at.grid_info().await?.tft_price;
        let rate_after = payer.rate.saturating_sub(before.into()).saturating_add(rate.into());
        Ok(Self { what: what.into(), rate, rate_after, credit: payer.credit, price, traffic: None })
    }

    /// With `gb` of traffic, which is paid at once.
    pub fn with_traffic(self, gb: u32, cost: Balance) -> Self {
        Self { traffic: Some((gb, cost)).filter(|_| gb > 0), ..self }
    }

    fn at_once(&self) -> Balance {
        self.traffic.map_or(0, |(_, cost)| cost)
    }

    fn tft(&self, hours: u64) -> Balance {
        tft_for(self.rate.into(), hours, self.price).unwrap_or(Balance::MAX)
    }

    fn usd(&self, hours: u64) -> u128 {
        u128::from(self.rate).saturating_mul(hours.into())
    }

    /// For how many hours the credit lasts then, at list price.
    fn lasts(&self) -> Option<u64> {
        hours_for(self.credit.saturating_sub(self.at_once()), self.rate_after, self.price)
    }

    pub fn text(&self) -> String {
        let lasts = match self.lasts() {
            Some(hours) => format!("then lasts {} at list price", stretch(hours.saturating_mul(3_600))),
            None => "isn't touched".into(),
        };
        let at_once = match self.traffic {
            Some((gb, cost)) => {
                format!("  at once    {} TFT for {gb} GB of traffic; the rest comes back\n", format_tft(cost))
            }
            None => String::new(),
        };
        format!(
            "{}\n{at_once}  per hour   {} USD, {} TFT\n  per month  {} USD, {} TFT (720 h, at {} USD per TFT)\n  \
             your credit of {} TFT {lasts}",
            self.what,
            format_usd(self.usd(1)),
            format_tft(self.tft(1)),
            format_usd(self.usd(MONTH_HOURS)),
            format_tft(self.tft(MONTH_HOURS)),
            format_price(self.price),
            format_tft(self.credit),
        )
    }

    pub fn value(&self) -> Value {
        json!({
            "rate": self.rate,
            "hour": { "usd_units": self.usd(1).to_string(), "tft_units": self.tft(1).to_string() },
            "month": {
                "hours": MONTH_HOURS,
                "usd_units": self.usd(MONTH_HOURS).to_string(),
                "tft_units": self.tft(MONTH_HOURS).to_string(),
            },
            "at_once_tft_units": self.at_once().to_string(),
            "tft_price": self.price,
            "credit_units": self.credit.to_string(),
            "credit_lasts_hours": self.lasts(),
        })
    }

    /// Shows it, and asks whom can be asked.
    pub fn agree(&self, session: &Session, consent: &Consent) -> Result<()> {
        if session.json {
            return Ok(());
        }
        let mut stderr = io::stderr();
        writeln!(stderr, "{}", self.text()).context("can't show what it costs")?;
        let asked = !consent.yes && io::stdin().is_terminal() && stderr.is_terminal();
        if !asked {
            return Ok(());
        }
        write!(stderr, "Go ahead? [y/N] ").context("can't ask")?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).context("can't read the answer")?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => bail!("nothing was done"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::units::{TFT, USD};

    fn spend(rate: UsdRate, rate_after: u128) -> Spend {
        Spend {
            what: "deploy on node 1".into(),
            rate,
            rate_after,
            credit: 10 * TFT,
            price: USD / 20,
            traffic: None,
        }
    }

    #[test]
    fn traffic_is_paid_at_once_and_shortens_what_the_credit_lasts() {
        let spend = spend(103_750_000, 103_750_000).with_traffic(10, 5 * TFT);
        let text = spend.text();
        assert!(text.contains("at once    5 TFT for 10 GB of traffic"), "{text}");
        assert!(text.contains("then lasts 1 d 0 h"), "{text}");
        assert_eq!(spend.value()["at_once_tft_units"], "50000000");
        assert!(!spend.with_traffic(0, 0).text().contains("at once"));
    }

    #[test]
    fn a_plan_says_what_an_hour_and_a_month_cost_and_how_long_the_credit_lasts() {
        let text = spend(103_750_000, 103_750_000).text();
        for part in [
            "per hour   0.010375 USD, 0.2075 TFT",
            "per month  7.47 USD, 149.4 TFT (720 h, at 0.05 USD per TFT)",
            "your credit of 10 TFT then lasts 2 d 0 h at list price",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_plan_in_json_has_exact_numbers() {
        let value = spend(103_750_000, 207_500_000).value();
        assert_eq!(value["hour"], json!({ "usd_units": "103750000", "tft_units": "2075000" }));
        assert_eq!((&value["month"]["hours"], &value["credit_lasts_hours"]), (&json!(720), &json!(24)));
    }

    #[test]
    fn what_costs_nothing_does_not_touch_the_credit() {
        assert!(spend(0, 0).text().contains("your credit of 10 TFT isn't touched"));
    }
}
