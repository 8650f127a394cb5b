// SPDX-License-Identifier: Apache-2.0
//! `threebot funds`

use super::{deposit::missing, limits};
use crate::{
    cli::Global,
    output::Answer,
    session::Session,
    time::{exact_moment, moment, stretch},
};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tfgrid_client::{
    GridAt,
    estimate::{MONTH_HOURS, tft_for},
    grid_at::PayerSettings,
    primitives::{Balance, TftPrice, TwinId, UnixSeconds, views::PayerInfo},
    units::{format_price, format_tft, format_usd, parse_id},
};

/// The price factor without a discount.
const FULL_PRICE: u16 = 1_000;

/// Show a twin's credit: its rate, how long it lasts, refills and limits
#[derive(Args)]
pub struct Funds {
    /// The twin whose credit it is [default: yours]
    #[arg(long, value_parser = parse_id::<TwinId>)]
    twin: Option<TwinId>,
}

impl Funds {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = match self.twin {
            Some(_) => Session::anonymous(global).await?,
            None => Session::open(global).await?,
        };
        let at = session.grid.finalized().await?;
        let twin = session.twin_or_own(&at, self.twin).await?;
        let funding = Funding::read(&at, twin).await?;
        Ok(Answer::new(funding.text(), funding.value()))
    }
}

/// A twin's credit at one block.
pub struct Funding {
    twin: TwinId,
    pub payer: PayerInfo,
    settings: PayerSettings,
    price: TftPrice,
    /// The time at which the credit is used up; `None` where nothing is charged.
    until: Option<UnixSeconds>,
    now: UnixSeconds,
    /// Seconds of the grace period that are left, once the credit is used up.
    grace: Option<u64>,
}

impl Funding {
    pub async fn read(at: &GridAt, twin: TwinId) -> Result<Self> {
        if at.twin_account(twin).await?.is_none() {
            bail!("no twin has the id {twin}");
        }
        let info = at.grid_info().await?;
        let settings = at.payer_settings(twin).await?;
        let left = |until: u64| until.saturating_sub(info.grid_now) / 1_000;
        Ok(Self {
            twin,
            payer: at.payer(twin).await?,
            price: info.tft_price,
            until: at.funded_until(twin).await?,
            now: at.timestamp_ms().await? / 1_000,
            grace: settings.grace.as_ref().map(|grace| left(grace.until)),
            settings,
        })
    }

    pub fn text(&self) -> String {
        let month = tft_for(self.payer.rate, MONTH_HOURS, self.price).unwrap_or(Balance::MAX);
        let discount = FULL_PRICE.saturating_sub(self.settings.price_factor);
        let mut lines = vec![
            format!("twin      {}", self.twin),
            format!(
                "credit    {} TFT, at {} USD per TFT",
                format_tft(self.payer.credit),
                format_price(self.price)
            ),
            format!(
                "costs     {} USD per hour, {} TFT in 720 h, at list price",
                format_usd(self.payer.rate),
                format_tft(month)
            ),
            format!(
                "pending   {} USD per hour more; {} TFT can't be withdrawn",
                format_usd(self.payer.committed),
                format_tft(self.payer.must_keep)
            ),
            format!("discount  {}.{} %", discount / 10, discount % 10),
            format!("lasts     {}", self.lasts()),
        ];
        lines.extend(self.paused().map(|paused| format!("grace     {paused}")));
        lines.push(format!("refill    {}", self.refill_text()));
        lines
            .push(format!("limits    {}", limits::text(&self.settings.limits).replace('\n', "\n          ")));
        lines.join("\n")
    }

    /// What a payer in grace must do, and by when.
    pub fn paused(&self) -> Option<String> {
        let (seconds, closes_at) = (self.grace?, self.closes_at()?);
        Some(format!(
            "contracts are paused: deposit at least {} TFT by {} (in {}), or they close",
            format_tft(missing(&self.payer)),
            exact_moment(closes_at),
            stretch(seconds)
        ))
    }

    /// The end of the grace period.
    pub fn closes_at(&self) -> Option<UnixSeconds> {
        self.grace.map(|seconds| self.now.saturating_add(seconds))
    }

    fn lasts(&self) -> String {
        match self.until {
            None => "nothing is being charged".into(),
            Some(until) if until <= self.now => "used up".into(),
            Some(until) => format!("until {} ({})", moment(until), stretch(until - self.now)),
        }
    }

    pub fn refill_text(&self) -> String {
        match &self.settings.refill {
            None => "off".into(),
            Some(refill) => format!(
                "{} h at a time; {} TFT of {} in these 30 days",
                refill.hours,
                format_tft(self.settings.refilled),
                format_tft(self.settings.limits.refill_per_30_days)
            ),
        }
    }

    /// Whether refills are on, but may take nothing.
    pub fn refill_is_blocked(&self) -> bool {
        self.settings.refill.is_some() && self.settings.limits.refill_per_30_days == 0
    }

    pub fn refill_value(&self) -> Value {
        json!({
            "hours": self.settings.refill.as_ref().map(|refill| refill.hours),
            "taken_tft_1e7": self.settings.refilled.to_string(),
            "limit_tft_1e7": self.settings.limits.refill_per_30_days.to_string(),
        })
    }

    fn value(&self) -> Value {
        json!({
            "twin": self.twin,
            "credit_tft_1e7": self.payer.credit.to_string(),
            "rate_usd_1e10": self.payer.rate.to_string(),
            "committed_usd_1e10": self.payer.committed.to_string(),
            "must_keep_tft_1e7": self.payer.must_keep.to_string(),
            "missing_tft_1e7": missing(&self.payer).to_string(),
            "price_usd_1e7": self.price.to_string(),
            "price_factor_permille": self.settings.price_factor,
            "funded_until": self.until,
            "exhausted": self.payer.exhausted,
            "grace_seconds": self.grace,
            "closes_at": self.closes_at(),
            "refill": self.refill_value(),
            "limits": limits::value(&self.settings.limits),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::api::runtime_types::pallet_grid_billing::types::{AutoRefill, Limits};

    fn funding() -> Funding {
        Funding {
            twin: 7,
            payer: PayerInfo {
                credit: 125_000_000,
                rate: 103_750_000,
                committed: 51_875_000,
                must_keep: 3_112_500,
                exhausted: false,
                funded_ms: None,
            },
            settings: PayerSettings {
                price_factor: 800,
                grace: None,
                refill: None,
                refilled: 0,
                limits: Limits { max_usd_rate: u64::MAX, max_extra_fee: 0, refill_per_30_days: 0 },
            },
            price: 500_000,
            until: Some(1_700_000_000),
            now: 1_700_000_000 - 90_000,
            grace: None,
        }
    }

    #[test]
    fn funds_show_credit_runway_and_discount() {
        let text = funding().text();
        for part in [
            "credit    12.5 TFT, at 0.05 USD per TFT",
            "costs     0.010375 USD per hour, 149.4 TFT in 720 h",
            "pending   0.0051875 USD per hour more; 0.31125 TFT can't be withdrawn",
            "discount  20.0 %",
            "lasts     until 2023-11-14 22:13 UTC (1 d 1 h)",
            "refill    off",
            "limits    no limit of what all contracts cost",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("grace"));
        let idle = Funding { until: None, ..funding() };
        assert!(idle.text().contains("lasts     nothing is being charged"));
    }

    #[test]
    fn used_up_credit_shows_the_missing_deposit_and_the_deadline() {
        let payer = PayerInfo { credit: 0, exhausted: true, ..funding().payer };
        let funding = Funding { grace: Some(51), until: Some(1), now: 1_700_000_000, payer, ..funding() };
        let grace = "grace     contracts are paused: deposit at least 0.31125 TFT by 2023-11-14 22:14:11 UTC (in 51 s)";
        assert!(funding.text().contains(grace), "{}", funding.text());
        assert!(funding.text().contains("lasts     used up"));
        let value = funding.value();
        assert_eq!(
            (&value["missing_tft_1e7"], &value["closes_at"]),
            (&json!("3112500"), &json!(1_700_000_051))
        );
    }

    #[test]
    fn a_refill_shows_what_it_took_and_may_take() {
        let limits =
            Limits { max_usd_rate: 10_000_000_000, max_extra_fee: 1, refill_per_30_days: 100_000_000 };
        let refill = Some(AutoRefill { hours: 72 });
        let settings = PayerSettings { refill, refilled: 5_000_000, limits, ..funding().settings };
        let funding = Funding { settings, ..funding() };
        assert_eq!(funding.refill_text(), "72 h at a time; 0.5 TFT of 10 in these 30 days");
        assert!(funding.text().contains("at most 1 USD per hour for all contracts"));
        assert_eq!(funding.value()["refill"]["limit_tft_1e7"], "100000000");
        assert!(!funding.refill_is_blocked());
    }
}
