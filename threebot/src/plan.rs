// SPDX-License-Identifier: Apache-2.0
//! Plans: what something will cost, shown before it is done.

use crate::{
    foreseen::{Foreseen, Purse},
    time::stretch,
};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use tfgrid_client::{
    GridAt,
    api::runtime_types::pallet_grid_billing::types::Limits,
    estimate::{MONTH_HOURS, seconds_for, tft_for},
    primitives::{
        Balance, RateSums, Rates, TftPrice, TwinId,
        units::{HOUR_MS, MINUTE_MS},
    },
    units::{format_price, format_tft, format_usd},
};

/// The cost of going ahead, and its effect on a twin's credit.
pub struct Plan {
    what: String,
    /// The rates at list price.
    rates: Rates,
    /// The rates of all contracts of the twin if it goes ahead, those that aren't deployed yet included.
    after: RateSums,
    /// The owner's limits of these.
    limits: Limits,
    /// Whether it adds to the rates: only then does the chain check them.
    is_dearer: bool,
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
    pub async fn for_new(at: &GridAt, twin: TwinId, what: impl Into<String>, rates: Rates) -> Result<Self> {
        Ok(Self { is_new: true, ..Self::for_change(at, twin, what, Rates::ZERO, rates).await? })
    }

    /// For a contract that counts with the rates `before` and will have `rates`.
    pub async fn for_change(
        at: &GridAt,
        twin: TwinId,
        what: impl Into<String>,
        before: Rates,
        rates: Rates,
    ) -> Result<Self> {
        let mut after = at.payer_rates(twin).await?;
        after.remove(before);
        after.add(rates);
        Ok(Self {
            what: what.into(),
            rates,
            after,
            limits: at.owner_limits(twin).await?,
            is_dearer: rates.usd > before.usd || rates.extra > before.extra,
            credit: at.payer(twin).await?.credit,
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

    /// Adds a deposit from an account.
    ///
    /// # Errors
    /// If the account has less.
    pub fn holding(self, held: Balance, purse: &Purse) -> Result<Self> {
        let what = format!(
            "this holds {} TFT of your account as a deposit (credit doesn't count: `threebot withdraw` takes it \
             back)",
            format_tft(held)
        );
        purse.ensure_has(held, &what)?;
        Ok(Self { held, ..self })
    }

    /// Fails if the owner's limits or the credit don't admit it.
    pub fn ensure_affordable(&self) -> Result<()> {
        let limits = [
            (self.after.usd, self.limits.max_usd_rate, "Billing.RateAboveLimit", "contracts", "--rate"),
            (
                self.after.extra,
                self.limits.max_extra_fee,
                "Billing.ExtraFeeAboveLimit",
                "extra fees",
                "--extra-fee",
            ),
        ];
        for (rate, limit, code, what, option) in limits {
            if self.is_dearer && rate > limit.into() {
                let (rate, limit) = (format_usd(rate), format_usd(limit.into()));
                bail!(Foreseen::new(
                    code,
                    format!(
                        "all your {what} would cost {rate} USD per hour, and your limit is {limit}: allow it with \
                         `threebot limits {option} {rate}`"
                    )
                ));
            }
        }
        if (self.is_dearer || self.at_once() > 0) && self.missing() > 0 {
            bail!(Foreseen::new(
                "Billing.CreditTooLow",
                format!(
                    "your credit must pay for {} of all that you run: `threebot deposit {}` first",
                    stretch(self.min_runway_ms / 1_000),
                    format_tft(self.missing())
                )
            ));
        }
        Ok(())
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
        tft_for(self.usd(1), hours, self.price).unwrap_or(Balance::MAX)
    }

    fn usd(&self, hours: u64) -> u128 {
        u128::from(self.rates.usd).saturating_add(self.rates.extra.into()).saturating_mul(hours.into())
    }

    /// The least that a new contract costs, however early it is cancelled.
    fn at_least(&self) -> Balance {
        let share = self.tft(1).saturating_mul(self.min_charge_ms.into()) / Balance::from(HOUR_MS);
        if self.is_new { share } else { 0 }
    }

    /// The seconds for which the credit lasts, at list price; `None` where nothing is charged.
    fn lasts(&self) -> Option<u64> {
        seconds_for(self.credit.saturating_sub(self.at_once()), self.after.total(), self.price)
    }

    /// The deposit that is missing for the minimum runway of all contracts.
    fn missing(&self) -> Balance {
        let hour = tft_for(self.after.total(), 1, self.price).unwrap_or(Balance::MAX);
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
            Some(seconds) => format!("then lasts {} at list price", stretch(seconds)),
            None => "isn't touched".into(),
        };
        lines.push(format!("  your credit of {} TFT {lasts}", format_tft(self.credit)));
        lines.extend(self.notes.iter().map(|note| format!("  {note}")));
        lines.join("\n")
    }

    pub fn value(&self) -> Value {
        json!({
            "rate_usd_1e10": self.usd(1).to_string(),
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
            "credit_lasts_hours": self.lasts().map(|seconds| seconds / (HOUR_MS / 1_000)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::{
        UsdRate,
        units::{TFT, USD},
    };

    fn plan(rate: UsdRate, all: u128) -> Plan {
        Plan {
            what: "deploy on node 1".into(),
            rates: Rates { usd: rate, extra: 0 },
            after: RateSums { usd: all, extra: 0 },
            limits: Limits { max_usd_rate: 10_000_000_000, max_extra_fee: 0, refill_per_30_days: 0 },
            is_dearer: true,
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
        let plan = Plan { held: 4_490_000, ..plan(103_750_000, 103_750_000) }.with_note("a note");
        let text = plan.text();
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
        assert!(plan.ensure_affordable().is_ok());
    }

    #[test]
    fn a_plan_in_json_has_exact_numbers() {
        let value = plan(103_750_000, 207_500_000).value();
        assert_eq!(value["hour"], json!({ "usd_1e10": "103750000", "tft_1e7": "2075000" }));
        assert_eq!((&value["month"]["hours"], &value["credit_lasts_hours"]), (&json!(720), &json!(24)));
        assert_eq!((&value["rate_usd_1e10"], &value["missing_tft_1e7"]), (&json!("103750000"), &json!("0")));
    }

    #[test]
    fn a_runway_below_a_day_has_minutes() {
        let lasts = |credit| Plan { credit, ..plan(103_750_000, 103_750_000) }.text();
        assert!(lasts(46 * TFT / 10).contains("then lasts 22 h 10 min at list price"));
        assert!(lasts(173 * TFT / 1_000).contains("then lasts 50 min at list price"));
    }

    fn refusal(plan: &Plan) -> (&'static str, String) {
        let error = plan.ensure_affordable().unwrap_err();
        (error.downcast_ref::<Foreseen>().unwrap().code, error.to_string())
    }

    #[test]
    fn missing_credit_is_refused_with_the_deposit() {
        let dear = Plan { credit: TFT, ..plan(10_000_000_000, 10_000_000_000) };
        let text = "your credit must pay for 1 h 0 min of all that you run: `threebot deposit 19` first";
        assert_eq!(refusal(&dear), ("Billing.CreditTooLow", text.into()));
        assert!(Plan { is_dearer: false, ..dear }.ensure_affordable().is_ok());
    }

    #[test]
    fn a_rate_above_the_limit_is_refused_with_the_way() {
        let text = "all your contracts would cost 1.2 USD per hour, and your limit is 1: allow it with `threebot \
                    limits --rate 1.2`";
        assert_eq!(refusal(&plan(3_000_000_000, 12_000_000_000)), ("Billing.RateAboveLimit", text.into()));
        let after = RateSums { usd: 1, extra: 5_000_000_000 };
        let (code, text) = refusal(&Plan { after, ..plan(1, 1) });
        assert_eq!(code, "Billing.ExtraFeeAboveLimit");
        assert!(text.ends_with("`threebot limits --extra-fee 0.5`"), "{text}");
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
