// SPDX-License-Identifier: Apache-2.0
//! Plans: what something will cost, shown before it is done.

use crate::time::stretch;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tfgrid_client::{
    GridAt,
    estimate::{MONTH_HOURS, hours_for, tft_for},
    primitives::{
        Balance, TftPrice, TwinId, UsdRate,
        units::{HOUR_MS, MINUTE_MS},
        views::PayerInfo,
    },
    units::{format_price, format_tft, format_usd},
};

/// The cost of going ahead, and its effect on a twin's credit.
pub struct Plan {
    what: String,
    /// The rate at list price, in 1e-10 USD per hour.
    rate: UsdRate,
    /// The rate of all contracts of the twin if it goes ahead, those that aren't deployed yet included.
    rate_after: u128,
    credit: Balance,
    price: TftPrice,
    /// The time that a new contract pays for at least, in milliseconds.
    min_charge_ms: u64,
    /// The time for which the credit must pay, in milliseconds.
    min_runway_ms: u64,
    is_new: bool,
    /// GB of traffic that are bought, and their cost.
    traffic: Option<(u32, Balance)>,
    /// The deposit that the account holds.
    held: Balance,
    notes: Vec<String>,
}

impl Plan {
    /// For a new contract.
    pub async fn for_new(at: &GridAt, twin: TwinId, what: impl Into<String>, rate: UsdRate) -> Result<Self> {
        Ok(Self { is_new: true, ..Self::for_change(at, twin, what, 0, rate).await? })
    }

    /// For a contract that has the rate `before` and will have `rate`.
    pub async fn for_change(
        at: &GridAt,
        twin: TwinId,
        what: impl Into<String>,
        before: UsdRate,
        rate: UsdRate,
    ) -> Result<Self> {
        let PayerInfo { credit, rate: charged, committed, .. } = at.payer(twin).await?;
        let all = charged.saturating_add(committed);
        Ok(Self {
            what: what.into(),
            rate,
            rate_after: all.saturating_sub(before.into()).saturating_add(rate.into()),
            credit,
            price: at.grid_info().await?.tft_price,
            min_charge_ms: at.min_charge_ms()?,
            min_runway_ms: at.min_runway_ms()?,
            is_new: false,
            traffic: None,
            held: 0,
            notes: Vec::new(),
        })
    }

    /// Adds traffic, which is paid in advance.
    pub fn with_traffic(self, gb: u32, cost: Balance) -> Self {
        Self { traffic: Some((gb, cost)).filter(|_| gb > 0), ..self }
    }

    /// Adds a deposit from an account with this free balance.
    ///
    /// # Errors
    /// If the account has less.
    pub fn holding(self, held: Balance, free: Balance) -> Result<Self> {
        ensure!(
            held <= free,
            "this holds {} TFT of your account as a deposit, and the account has {} TFT; credit doesn't count: \
             `threebot withdraw` takes it back to the account",
            format_tft(held),
            format_tft(free)
        );
        Ok(Self { held, ..self })
    }

    /// Adds a line for people.
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
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

    /// The least that a new contract costs, however early it is cancelled.
    fn at_least(&self) -> Balance {
        let share = self.tft(1).saturating_mul(self.min_charge_ms.into()) / Balance::from(HOUR_MS);
        if self.is_new { share } else { 0 }
    }

    /// The hours for which the credit lasts, at list price; `None` where nothing is charged.
    fn lasts(&self) -> Option<u64> {
        hours_for(self.credit.saturating_sub(self.at_once()), self.rate_after, self.price)
    }

    /// The deposit that is missing for the minimum runway of all contracts.
    fn missing(&self) -> Balance {
        let hour = tft_for(self.rate_after, 1, self.price).unwrap_or(Balance::MAX);
        let runway = hour.saturating_mul(self.min_runway_ms.into()).div_ceil(Balance::from(HOUR_MS));
        runway.saturating_add(self.at_once()).saturating_sub(self.credit)
    }

    pub fn text(&self) -> String {
        let mut lines = vec![self.what.clone()];
        lines.extend(self.traffic.map(|(gb, cost)| {
            format!(
                "  at once    {} TFT for {gb} GB of traffic; unused traffic is refunded",
                format_tft(cost)
            )
        }));
        lines.push(format!("  per hour   {} USD, {} TFT", format_usd(self.usd(1)), format_tft(self.tft(1))));
        lines.push(format!(
            "  per month  {} USD, {} TFT (720 h, at {} USD per TFT)",
            format_usd(self.usd(MONTH_HOURS)),
            format_tft(self.tft(MONTH_HOURS)),
            format_price(self.price)
        ));
        if self.at_least() > 0 {
            let minutes = self.min_charge_ms / MINUTE_MS;
            lines.push(format!(
                "  at least   {} TFT: {minutes} minutes are always paid",
                format_tft(self.at_least())
            ));
        }
        if self.held > 0 {
            lines
                .push(format!("  on hold    {} TFT of your account, until it closes", format_tft(self.held)));
        }
        let lasts = match self.lasts() {
            Some(hours) => format!("then lasts {} at list price", stretch(hours.saturating_mul(3_600))),
            None => "isn't touched".into(),
        };
        lines.push(format!("  your credit of {} TFT {lasts}", format_tft(self.credit)));
        if self.missing() > 0 {
            lines.push(format!(
                "  it must pay for {} of all that you run: `threebot deposit {}` first",
                stretch(self.min_runway_ms / 1_000),
                format_tft(self.missing())
            ));
        }
        lines.extend(self.notes.iter().map(|note| format!("  {note}")));
        lines.join("\n")
    }

    pub fn value(&self) -> Value {
        json!({
            "rate_usd_1e10": self.rate.to_string(),
            "hour": { "usd_1e10": self.usd(1).to_string(), "tft_1e7": self.tft(1).to_string() },
            "month": {
                "hours": MONTH_HOURS,
                "usd_1e10": self.usd(MONTH_HOURS).to_string(),
                "tft_1e7": self.tft(MONTH_HOURS).to_string(),
            },
            "at_once_tft_1e7": self.at_once().to_string(),
            "at_least_tft_1e7": self.at_least().to_string(),
            "held_tft_1e7": self.held.to_string(),
            "price_usd_1e7": self.price.to_string(),
            "credit_tft_1e7": self.credit.to_string(),
            "missing_tft_1e7": self.missing().to_string(),
            "credit_lasts_hours": self.lasts(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::units::{TFT, USD};

    fn plan(rate: UsdRate, rate_after: u128) -> Plan {
        Plan {
            what: "deploy on node 1".into(),
            rate,
            rate_after,
            credit: 10 * TFT,
            price: USD / 20,
            min_charge_ms: 10 * MINUTE_MS,
            min_runway_ms: HOUR_MS,
            is_new: true,
            traffic: None,
            held: 0,
            notes: Vec::new(),
        }
    }

    #[test]
    fn traffic_is_paid_at_once_and_shortens_the_runway() {
        let plan = plan(103_750_000, 103_750_000).with_traffic(10, 5 * TFT);
        let text = plan.text();
        assert!(text.contains("at once    5 TFT for 10 GB of traffic"), "{text}");
        assert!(text.contains("then lasts 1 d 0 h"), "{text}");
        assert_eq!(plan.value()["at_once_tft_1e7"], "50000000");
        assert!(!plan.with_traffic(0, 0).text().contains("at once"));
    }

    #[test]
    fn a_plan_shows_costs_deposit_and_runway() {
        let text = plan(103_750_000, 103_750_000).holding(4_490_000, TFT).unwrap().with_note("a note").text();
        for part in [
            "per hour   0.010375 USD, 0.2075 TFT",
            "per month  7.47 USD, 149.4 TFT (720 h, at 0.05 USD per TFT)",
            "at least   0.0345833 TFT: 10 minutes are always paid",
            "on hold    0.449 TFT of your account, until it closes",
            "your credit of 10 TFT then lasts 2 d 0 h at list price",
            "\n  a note",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("must pay"), "{text}");
    }

    #[test]
    fn a_plan_in_json_has_exact_numbers() {
        let value = plan(103_750_000, 207_500_000).value();
        assert_eq!(value["hour"], json!({ "usd_1e10": "103750000", "tft_1e7": "2075000" }));
        assert_eq!((&value["month"]["hours"], &value["credit_lasts_hours"]), (&json!(720), &json!(24)));
        assert_eq!((&value["rate_usd_1e10"], &value["missing_tft_1e7"]), (&json!("103750000"), &json!("0")));
    }

    #[test]
    fn missing_credit_and_balance_are_told_in_tft() {
        let dear = Plan { credit: TFT, ..plan(10_000_000_000, 10_000_000_000) };
        assert!(
            dear.text().contains("must pay for 1 h 0 min of all that you run: `threebot deposit 19` first")
        );
        let error = dear.holding(4_490_000, 470_000).err().unwrap().to_string();
        assert!(error.contains("holds 0.449 TFT") && error.contains("the account has 0.047 TFT"), "{error}");
    }

    #[test]
    fn a_change_has_no_minimum() {
        let plan = Plan { is_new: false, ..plan(103_750_000, 103_750_000) };
        assert!(!plan.text().contains("at least"));
    }

    #[test]
    fn a_free_contract_does_not_touch_the_credit() {
        assert!(plan(0, 0).text().contains("your credit of 10 TFT isn't touched"));
    }
}
