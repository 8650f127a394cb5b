// SPDX-License-Identifier: Apache-2.0
//! A twin's credit, what happens when it ends, and what others may do with it.

use crate::{
    cli::{Limits, Refill},
    output::Answer,
    session::Session,
    time::{moment, stretch},
};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use tfgrid_client::{
    At,
    api::{self, runtime_types::pallet_billing::types},
    estimate::{MONTH_HOURS, tft_for},
    primitives::{Balance, TftPrice, TwinId, UnixSeconds, UsdRate, views::PayerInfo},
    units::{format_price, format_tft, format_usd},
};

/// The whole list price, in thousandths.
const FULL_PRICE: u16 = 1_000;

pub async fn show(session: &Session, twin: Option<TwinId>) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = match twin {
        Some(twin) => twin,
        None => session.twin(&at).await?,
    };
    let funds = Funds::read(&at, twin).await?;
    Ok(Answer::new(funds.text(), funds.value()))
}

pub async fn refill(session: &Session, command: Refill) -> Result<Answer> {
    let wish = match command {
        Refill::On { hours } => Some(types::AutoRefill { hours }),
        Refill::Off => None,
    };
    let call = api::transactions().billing().set_auto_refill(wish);
    session.submit("refill", &call).await?;
    let at = session.grid.finalized().await?;
    let funds = Funds::read(&at, session.twin(&at).await?).await?;
    let mut text = funds.refill_text();
    if funds.refill_hours.is_some() && funds.limits.refill_per_30_days == 0 {
        text.push_str("\nnothing may be taken yet: allow it with `threebot limits --refill TFT`");
    }
    Ok(Answer::new(text, funds.refill_value()))
}

pub async fn limits(session: &Session, args: Limits) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let before = at.owner_limits(twin).await?;
    let limits = types::Limits {
        max_usd_rate: args.rate.unwrap_or(before.max_usd_rate),
        max_extra_fee: args.extra_fee.unwrap_or(before.max_extra_fee),
        refill_per_30_days: args.refill.unwrap_or(before.refill_per_30_days),
    };
    if args.rate.is_some() || args.extra_fee.is_some() || args.refill.is_some() {
        let call = api::transactions().billing().set_limits(types::Limits { ..limits });
        session.submit("limits", &call).await?;
    }
    Ok(Answer::new(limits_text(&limits), limits_value(&limits)))
}

/// All that people want to know of a twin's credit.
struct Funds {
    twin: TwinId,
    payer: PayerInfo,
    price: TftPrice,
    /// What is left of the list price, in thousandths.
    permille: u16,
    until: Option<UnixSeconds>,
    now: UnixSeconds,
    /// Seconds until contracts close, where the credit has ended.
    grace: Option<u64>,
    refill_hours: Option<u32>,
    /// What refills have taken in the last 30 days.
    refilled: Balance,
    limits: types::Limits,
}

impl Funds {
    async fn read(at: &At, twin: TwinId) -> Result<Self> {
        if at.twin_account(twin).await?.is_none() {
            bail!("no twin has the id {twin}");
        }
        let info = at.grid_info().await?;
        let terms = at.terms(twin).await?;
        let grace = terms.grace.map(|grace| grace.until.saturating_sub(info.grid_now) / 1_000);
        Ok(Self {
            twin,
            payer: at.payer(twin).await?,
            price: info.tft_price,
            permille: terms.permille,
            until: at.funded_until(twin).await?,
            now: at.timestamp_ms().await? / 1_000,
            grace,
            refill_hours: terms.refill.map(|wish| wish.hours),
            refilled: terms.refilled,
            limits: terms.limits,
        })
    }

    fn text(&self) -> String {
        let month = tft_for(self.payer.rate, MONTH_HOURS, self.price).unwrap_or(Balance::MAX);
        let discount = FULL_PRICE.saturating_sub(self.permille);
        let mut lines = vec![
            format!("twin      {}", self.twin),
            format!(
                "credit    {} TFT, at {} USD per TFT",
                format_tft(self.payer.credit),
                format_price(self.price)
            ),
            format!(
                "costs     {} USD per hour, {} TFT per month (720 h) at list price",
                format_usd(self.payer.rate),
                format_tft(month)
            ),
            format!(
                "promised  {} USD per hour beside that; {} TFT must stay of the credit",
                format_usd(self.payer.promised),
                format_tft(self.payer.must_keep)
            ),
            format!("discount  {}.{} %", discount / 10, discount % 10),
            format!("lasts     {}", self.lasts()),
        ];
        if let Some(seconds) = self.grace {
            lines.push(format!(
                "grace     the credit is used up: contracts are paused, and close in {}; `threebot deposit` \
                 lets them go on",
                stretch(seconds)
            ));
        }
        lines.push(format!("refill    {}", self.refill_text()));
        lines.push(format!("limits    {}", limits_text(&self.limits).replace('\n', "\n          ")));
        lines.join("\n")
    }

    fn lasts(&self) -> String {
        match self.until {
            None => "for ever: nothing is charged".into(),
            Some(until) if until <= self.now => "no more".into(),
            Some(until) => format!("until {} ({})", moment(until), stretch(until - self.now)),
        }
    }

    fn refill_text(&self) -> String {
        match self.refill_hours {
            None => "off".into(),
            Some(hours) => format!(
                "{hours} h at a time; {} TFT of {} in these 30 days",
                format_tft(self.refilled),
                format_tft(self.limits.refill_per_30_days)
            ),
        }
    }

    fn refill_value(&self) -> Value {
        json!({
            "hours": self.refill_hours,
            "taken_units": self.refilled.to_string(),
            "limit_units": self.limits.refill_per_30_days.to_string(),
        })
    }

    fn value(&self) -> Value {
        json!({
            "twin": self.twin,
            "credit_units": self.payer.credit.to_string(),
            "rate": self.payer.rate.to_string(),
            "promised": self.payer.promised.to_string(),
            "must_keep_units": self.payer.must_keep.to_string(),
            "tft_price": self.price,
            "price_permille": self.permille,
            "funded_until": self.until,
            "exhausted": self.payer.exhausted,
            "grace_seconds": self.grace,
            "refill": self.refill_value(),
            "limits": limits_value(&self.limits),
        })
    }
}

fn limits_text(limits: &types::Limits) -> String {
    let rate = match limits.max_usd_rate {
        UsdRate::MAX => "any rate".into(),
        rate => format!("at most {} USD per hour in all", format_usd(rate.into())),
    };
    format!(
        "{rate}\nat most {} USD per hour of extra fees\nat most {} TFT of refills in 30 days",
        format_usd(limits.max_extra_fee.into()),
        format_tft(limits.refill_per_30_days)
    )
}

fn limits_value(limits: &types::Limits) -> Value {
    json!({
        "max_usd_rate": limits.max_usd_rate,
        "max_extra_fee": limits.max_extra_fee,
        "refill_per_30_days_units": limits.refill_per_30_days.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn funds() -> Funds {
        Funds {
            twin: 7,
            payer: PayerInfo {
                credit: 125_000_000,
                rate: 103_750_000,
                promised: 51_875_000,
                must_keep: 3_112_500,
                exhausted: false,
                funded_ms: None,
            },
            price: 500_000,
            permille: 800,
            until: Some(1_700_000_000),
            now: 1_700_000_000 - 90_000,
            grace: None,
            refill_hours: None,
            refilled: 0,
            limits: types::Limits { max_usd_rate: u64::MAX, max_extra_fee: 0, refill_per_30_days: 0 },
        }
    }

    #[test]
    fn funds_say_how_much_how_long_and_at_what_discount() {
        let text = funds().text();
        for part in [
            "credit    12.5 TFT, at 0.05 USD per TFT",
            "costs     0.010375 USD per hour, 149.4 TFT per month",
            "promised  0.0051875 USD per hour beside that; 0.31125 TFT must stay of the credit",
            "discount  20.0 %",
            "lasts     until 2023-11-14 22:13 UTC (1 d 1 h)",
            "refill    off",
            "limits    any rate",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("grace"));
    }

    #[test]
    fn who_has_run_out_is_told_what_helps() {
        let text = Funds { grace: Some(7_200), until: Some(1), ..funds() }.text();
        assert!(text.contains("close in 2 h 0 min") && text.contains("threebot deposit"), "{text}");
        assert!(text.contains("lasts     no more"));
    }

    #[test]
    fn a_refill_says_what_it_took_and_may_take() {
        let limits =
            types::Limits { max_usd_rate: 10_000_000_000, max_extra_fee: 1, refill_per_30_days: 100_000_000 };
        let funds = Funds { refill_hours: Some(72), refilled: 5_000_000, limits, ..funds() };
        assert_eq!(funds.refill_text(), "72 h at a time; 0.5 TFT of 10 in these 30 days");
        assert!(funds.text().contains("at most 1 USD per hour in all"));
        assert_eq!(funds.value()["refill"]["limit_units"], "100000000");
    }
}
