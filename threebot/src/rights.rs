// SPDX-License-Identifier: Apache-2.0
//! What a bot may do with its owner's contracts and credit, in sentences, as the chain enforces it.

use crate::output::indented;
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tfgrid_client::{
    GridAt,
    api::runtime_types::pallet_grid_billing::types::Limits,
    estimate::{MONTH_HOURS, tft_for},
    primitives::{Balance, TftPrice, UsdRate},
    units::{format_price, format_tft, format_usd},
};

/// What the runtime's filter admits and refuses: its tests hold this file against it.
const FILTER: &str = include_str!("../../docs/vectors/bot.json");
/// What ends early within an hour costs a fifth more than the limit of the rate at most: `T-070`.
const EARLY_TENTHS: u128 = 12;

#[derive(Deserialize)]
struct Filter {
    never: Vec<Never>,
}

#[derive(Deserialize)]
struct Never {
    text: String,
}

/// A bot's rights.
#[derive(Debug, PartialEq, Eq)]
pub struct Rights {
    can: Vec<String>,
    never: Vec<String>,
}

/// What the chain asks of contracts.
struct Terms {
    price: TftPrice,
    max_contracts: u32,
    /// Of a contract, and of each byte of its deployment, in 1e-7 TFT.
    deposits: (Balance, Balance),
}

impl Rights {
    /// Under these limits, at present prices.
    pub async fn read(at: &GridAt, limits: &Limits) -> Result<Self> {
        let terms = Terms {
            price: at.grid_info().await?.tft_price,
            max_contracts: at.max_contracts_of_twin()?,
            deposits: (at.contract_deposit(0)?, at.body_deposit(1)?),
        };
        let filter: Filter = serde_json::from_str(FILTER).context("the list of a bot's rights is damaged")?;
        let never = filter.never.into_iter().map(|never| never.text);
        Ok(Self::under(limits, &terms, never.collect()))
    }

    fn under(limits: &Limits, terms: &Terms, mut never: Vec<String>) -> Self {
        let mut can = vec!["start, change and end contracts on your credit, as far as it goes".to_owned()];
        if limits.max_usd_rate == UsdRate::MAX {
            can.push("spend all credit: no limit binds what contracts cost".into());
        } else {
            can.push(format!(
                "let contracts run that cost {}, yours included",
                at_most(limits.max_usd_rate.into(), terms.price)
            ));
            can.push(format!(
                "spend besides, by ending contracts early, at most {} USD an hour",
                format_usd(u128::from(limits.max_usd_rate) * EARLY_TENTHS / 10)
            ));
        }
        match limits.max_extra_fee {
            0 => never.push("pay a farmer's extra fee".into()),
            fee => can.push(format!("pay extra fees to farmers of {}", at_most(fee.into(), terms.price))),
        }
        match limits.refill_per_30_days {
            0 => never.push("let refills take TFT of your account".into()),
            most => can.push(format!(
                "use up credit, so that refills, if you have set them, take at most {} TFT of your account in 30 days",
                format_tft(most)
            )),
        }
        let (contract, byte) = terms.deposits;
        can.push(format!(
            "have at most {} contracts, yours included, each of which holds {} TFT of your account, and {} TFT for \
             each byte of its deployment, until it ends; names hold more",
            terms.max_contracts,
            format_tft(contract),
            format_tft(byte)
        ));
        can.push("end every contract of yours: what its disks hold is lost then".into());
        can.push(
            "run something else in the place of what runs: it reads and changes what the disks hold, and reads secrets \
             of a deployment whose rest isn't sealed"
                .into(),
        );
        can.push(
            "read what you seal from now on, deployments, secrets and snapshots, if its twin has a key for that: to \
             move a deployment, it seals it for another node"
                .into(),
        );
        Self { can, never }
    }

    pub fn text(&self) -> String {
        let lines = |title: &str, rights: &[String]| {
            let rights = rights.iter().map(|right| format!("\n  - {}", indented(right, 4).trim_start()));
            format!("{title}{}", rights.collect::<String>())
        };
        let (can, never) = (lines("a bot of yours can", &self.can), lines("it can never", &self.never));
        format!("{can}\n{never}")
    }

    pub fn value(&self) -> Value {
        json!({ "can": self.can, "never": self.never })
    }
}

/// A rate with what it makes in a month.
fn at_most(rate: u128, price: TftPrice) -> String {
    let month = rate.saturating_mul(MONTH_HOURS.into());
    let tft = tft_for(rate, MONTH_HOURS, price).unwrap_or(Balance::MAX);
    format!(
        "at most {} USD an hour, which is {} USD a month of 720 h, or {} TFT at {} USD per TFT",
        format_usd(rate),
        format_usd(month),
        format_tft(tft),
        format_price(price)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::units::{TFT, USD};

    fn rights(max_usd_rate: UsdRate, max_extra_fee: UsdRate, refill_per_30_days: Balance) -> String {
        let terms = Terms { price: USD / 20, max_contracts: 1_000, deposits: (TFT / 2, TFT / 1_000) };
        let limits = Limits { max_usd_rate, max_extra_fee, refill_per_30_days };
        let text = Rights::under(&limits, &terms, vec!["buy traffic".into()]).text();
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        text.replace("\n    ", " ")
    }

    #[test]
    fn limits_are_told_with_numbers() {
        let text = rights(1_000_000_000, 0, 0);
        let month =
            "at most 0.1 USD an hour, which is 72 USD a month of 720 h, or 1440 TFT at 0.05 USD per TFT";
        assert!(text.contains(&format!("contracts run that cost {month}, yours included")), "{text}");
        assert!(text.contains("by ending contracts early, at most 0.12 USD an hour"), "{text}");
        assert!(text.contains("at most 1000 contracts") && text.contains("holds 0.5 TFT"), "{text}");
        assert!(text.contains("reads and changes what the disks hold"), "{text}");
        assert!(
            text.contains("read what you seal from now on, deployments, secrets and snapshots"),
            "{text}"
        );
        let (_, never) = text.split_once("it can never").unwrap();
        let expected =
            "\n  - buy traffic\n  - pay a farmer's extra fee\n  - let refills take TFT of your account";
        assert_eq!(never, expected);
    }

    #[test]
    fn a_right_without_limit_is_said_so() {
        let text = rights(UsdRate::MAX, 5_000_000_000, 7 * TFT);
        assert!(text.contains("spend all credit: no limit binds"), "{text}");
        assert!(text.contains("extra fees to farmers of at most 0.5 USD an hour"), "{text}");
        assert!(text.contains("take at most 7 TFT of your account in 30 days"), "{text}");
        assert!(text.ends_with("it can never\n  - buy traffic"), "{text}");
    }

    #[test]
    fn the_list_of_what_no_bot_does_is_read() {
        let filter: Filter = serde_json::from_str(FILTER).unwrap();
        assert!(filter.never.iter().any(|never| never.text == "buy traffic"));
    }
}
