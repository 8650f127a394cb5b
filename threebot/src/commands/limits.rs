// SPDX-License-Identifier: Apache-2.0
//! `threebot limits`

use crate::{cli::Global, consent::unasked, output::Answer, session::Session};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use tfgrid_client::{
    api::{self, runtime_types::pallet_grid_billing::types},
    primitives::{Balance, UsdRate},
    units::{format_tft, format_usd, parse_rate, parse_tft},
};

/// Show or set spending limits: they bind you and whoever acts for you (1 USD per hour before you set one)
#[derive(Args)]
#[command(arg = unasked(), after_help = "\
Examples:
  threebot limits                            show them
  threebot limits --rate 0.05 --refill 100   0.05 USD per hour, 100 TFT a month
  threebot limits --rate none                no limit of the rate")]
pub struct Limits {
    #[command(flatten)]
    new: NewLimits,
}

/// Limits that replace those in force.
#[derive(Args)]
pub struct NewLimits {
    /// The most that all your contracts may cost together, in USD per hour at list price; none for no limit
    #[arg(long, value_name = "USD", value_parser = parse_rate_or_none)]
    rate: Option<UsdRate>,
    /// The most that farmers' extra fees may be together, in USD per hour
    #[arg(long, value_name = "USD", value_parser = parse_rate)]
    extra_fee: Option<UsdRate>,
    /// The most that refills may take from your account in 30 days, in TFT
    #[arg(long, value_name = "TFT", value_parser = parse_tft)]
    refill: Option<Balance>,
}

impl NewLimits {
    /// All limits, those in force where no other is given; `None` where none is.
    pub fn over(&self, before: &types::Limits) -> Option<types::Limits> {
        let given = self.rate.is_some() || self.extra_fee.is_some() || self.refill.is_some();
        given.then(|| types::Limits {
            max_usd_rate: self.rate.unwrap_or(before.max_usd_rate),
            max_extra_fee: self.extra_fee.unwrap_or(before.max_extra_fee),
            refill_per_30_days: self.refill.unwrap_or(before.refill_per_30_days),
        })
    }
}

impl Limits {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let before = at.owner_limits(twin).await?;
        let new = self.new.over(&before);
        let limits = new.as_ref().unwrap_or(&before);
        let sums = at.payer_rates(twin).await?;
        let mut text = text(limits);
        if sums.usd > limits.max_usd_rate.into() || sums.extra > limits.max_extra_fee.into() {
            text.push_str("\nwhat runs costs more than this and goes on; nothing can be added to it");
        }
        let answer = Answer::new(text, value(limits));
        if let Some(limits) = new {
            session.submit("limits", &api::transactions().billing().set_limits(limits)).await?;
        }
        Ok(answer)
    }
}

/// That these limits replace the owner's own, and how to take that back; `None` where nothing changes.
pub fn change(before: &types::Limits, after: &types::Limits) -> Option<String> {
    let rate = match before.max_usd_rate {
        UsdRate::MAX => "none".into(),
        rate => format_usd(rate.into()),
    };
    let fee = format_usd(before.max_extra_fee.into());
    let refill = format_tft(before.refill_per_30_days);
    let options = [
        (before.max_usd_rate != after.max_usd_rate).then(|| format!(" --rate {rate}")),
        (before.max_extra_fee != after.max_extra_fee).then(|| format!(" --extra-fee {fee}")),
        (before.refill_per_30_days != after.refill_per_30_days).then(|| format!(" --refill {refill}")),
    ];
    let options: String = options.into_iter().flatten().collect();
    let told = "this replaces your own limits, also once the bot is removed; to put them back:";
    (!options.is_empty()).then(|| format!("{told}\n  threebot limits{options}"))
}

/// The chain has no limit on the rate where it is the largest number.
fn parse_rate_or_none(text: &str) -> Result<UsdRate, String> {
    match text {
        "none" => Ok(UsdRate::MAX),
        rate => parse_rate(rate).map_err(|error| format!("{error}; or none for no limit")),
    }
}

pub fn text(limits: &types::Limits) -> String {
    let rate = match limits.max_usd_rate {
        UsdRate::MAX => "no limit of what all contracts cost".into(),
        rate => format!("at most {} USD per hour for all contracts", format_usd(rate.into())),
    };
    format!(
        "{rate}\nat most {} USD per hour of extra fees\nat most {} TFT of refills in 30 days",
        format_usd(limits.max_extra_fee.into()),
        format_tft(limits.refill_per_30_days)
    )
}

/// `null` is no limit.
pub fn value(limits: &types::Limits) -> Value {
    json!({
        "rate_usd_1e10": Some(limits.max_usd_rate).filter(|rate| *rate < UsdRate::MAX).map(|rate| rate.to_string()),
        "extra_fee_usd_1e10": limits.max_extra_fee.to_string(),
        "refill_tft_1e7": limits.refill_per_30_days.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_of_the_rate_is_none() {
        assert_eq!(
            (parse_rate_or_none("none"), parse_rate_or_none("0.5")),
            (Ok(UsdRate::MAX), Ok(5_000_000_000))
        );
        assert!(parse_rate_or_none("abc").unwrap_err().ends_with("; or none for no limit"));
        let limits = |rate| types::Limits { max_usd_rate: rate, max_extra_fee: 1, refill_per_30_days: 2 };
        assert_eq!(value(&limits(UsdRate::MAX))["rate_usd_1e10"], Value::Null);
        assert_eq!(value(&limits(7))["rate_usd_1e10"], "7");
        assert!(text(&limits(UsdRate::MAX)).starts_with("no limit of what all contracts cost\n"));
    }

    #[test]
    fn limits_that_change_are_told_with_how_to_put_them_back() {
        let limits = |rate, fee, refill| types::Limits {
            max_usd_rate: rate,
            max_extra_fee: fee,
            refill_per_30_days: refill,
        };
        let before = limits(10_000_000_000, 0, 10_000_000);
        let told = |after| change(&before, &after);
        let rate = told(limits(1_000_000_000, 0, 10_000_000)).unwrap();
        assert!(rate.ends_with("back:\n  threebot limits --rate 1"), "{rate}");
        let others = told(limits(10_000_000_000, 5, 0)).unwrap();
        assert!(others.ends_with("\n  threebot limits --extra-fee 0 --refill 1"), "{others}");
        assert_eq!(told(limits(10_000_000_000, 0, 10_000_000)), None);
        let none = change(&limits(UsdRate::MAX, 0, 0), &limits(1, 0, 0)).unwrap();
        assert!(none.ends_with("\n  threebot limits --rate none"), "{none}");
    }
}
