// SPDX-License-Identifier: Apache-2.0
//! `threebot deposit`

use super::funds::Funding;
use crate::{
    cli::Global,
    consent::Consent,
    foreseen::{Foreseen, Purse},
    output::Answer,
    session::Session,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tfgrid_client::{
    api,
    primitives::{Balance, TwinId, UnixSeconds, views::PayerInfo},
    units::{format_tft, parse_amount, parse_id},
};

/// Pay TFT into a twin's credit: your own, or anybody's
///
/// What you pay into the credit of somebody else's twin can't be taken back: you are asked before.
#[derive(Args)]
pub struct Deposit {
    /// In TFT, such as 12.5
    #[arg(value_parser = parse_amount)]
    amount: Balance,
    /// The twin whose credit it is [default: yours]
    #[arg(long, value_parser = parse_id::<TwinId>)]
    twin: Option<TwinId>,
    #[command(flatten)]
    consent: Consent,
}

impl Deposit {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let twin = session.twin_or_own(&at, self.twin).await?;
        let owner = at.twin_account(twin).await?.with_context(|| format!("no twin has the id {twin}"))?;
        let least = at.existential_deposit()?;
        if self.amount < least {
            let text = format!(
                "{} TFT is too little: deposit at least {} TFT",
                format_tft(self.amount),
                format_tft(least)
            );
            bail!(Foreseen::new("Billing.DepositTooSmall", text));
        }
        let (account, amount) = (session.account()?, format_tft(self.amount));
        let purse = Purse::read(&at, account).await?.keeping(at.fee_reserve()?);
        purse.ensure_has(self.amount, &format!("you want to deposit {amount} TFT"))?;
        if owner != account {
            let plan = format!("deposit {amount} TFT for twin {twin} of {owner}: you can't take it back");
            self.consent.ask(&session, &plan)?;
        }
        session.submit("deposit", &api::transactions().billing().deposit(twin, self.amount)).await?;
        let funding = Funding::read(&session.grid.finalized().await?, twin).await?;
        let text = text(twin, self.amount, &funding.payer, funding.paused().as_deref());
        Ok(Answer::new(text, value(twin, self.amount, &funding.payer, funding.closes_at())))
    }
}

/// `paused` says what a payer in grace must do.
fn text(twin: TwinId, amount: Balance, payer: &PayerInfo, paused: Option<&str>) -> String {
    let credit = format_tft(payer.credit);
    let mut text = format!("deposited {} TFT; twin {twin} has {credit} TFT of credit", format_tft(amount));
    if let Some(paused) = paused.filter(|_| missing(payer) > 0) {
        text.push_str(&format!("\nthis wasn't enough, {paused}"));
    }
    text
}

fn value(twin: TwinId, amount: Balance, payer: &PayerInfo, closes_at: Option<UnixSeconds>) -> Value {
    json!({
        "twin": twin,
        "amount_tft_1e7": amount.to_string(),
        "credit_tft_1e7": payer.credit.to_string(),
        "missing_tft_1e7": missing(payer).to_string(),
        "closes_at": closes_at,
    })
}

/// The deposit that lets paused contracts go on.
pub fn missing(payer: &PayerInfo) -> Balance {
    if payer.exhausted { payer.must_keep.saturating_sub(payer.credit) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::units::TFT;

    #[test]
    fn a_deposit_that_is_too_small_says_how_much_is_missing() {
        let payer = PayerInfo {
            credit: TFT / 2,
            rate: 0,
            committed: 0,
            must_keep: 251 * TFT / 100,
            exhausted: true,
            funded_ms: None,
        };
        let said = text(5, TFT / 2, &payer, Some("contracts are paused"));
        assert!(said.ends_with("\nthis wasn't enough, contracts are paused"), "{said}");
        let value = value(5, TFT / 2, &payer, Some(1_700_000_000));
        assert_eq!(
            (&value["missing_tft_1e7"], &value["closes_at"]),
            (&json!("20100000"), &json!(1_700_000_000))
        );
        let enough = PayerInfo { exhausted: false, ..payer };
        let said = text(5, TFT / 2, &enough, None);
        assert_eq!(said, "deposited 0.5 TFT; twin 5 has 0.5 TFT of credit");
    }
}
