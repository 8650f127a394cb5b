// SPDX-License-Identifier: Apache-2.0
//! `threebot withdraw`

use crate::{
    cli::Global,
    consent::unasked,
    foreseen::{Foreseen, Purse},
    output::Answer,
    session::Session,
};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use tfgrid_client::{
    GridAt, api,
    primitives::{Balance, TwinId, clock::stretch, views::PayerInfo},
    units::{format_tft, parse_amount},
};

/// The credit may be spent on for so long until the call is in a block, in milliseconds.
const SLACK_MS: u64 = 60_000;

/// Take credit back to your account
#[derive(Args)]
#[command(arg = unasked())]
pub struct Withdraw {
    /// In TFT, such as 12.5; if omitted, everything that can be withdrawn
    #[arg(value_parser = parse_amount)]
    amount: Option<Balance>,
}

impl Withdraw {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let purse = Purse::read(&at, session.account()?).await?;
        let mut most = withdrawable(&at, twin).await?;
        if !purse.has(at.fee_reserve()?) {
            // The fee may come out of the credit.
            most = most.saturating_sub(at.fee_reserve()?);
        }
        let amount = self.amount.unwrap_or(most);
        if amount == 0 || amount > most {
            let text = format!(
                "not enough credit: at most {} TFT of {} can be withdrawn now; the rest must pay for the next hour, \
                 and for the minute until this is in a block",
                format_tft(most),
                format_tft(at.payer(twin).await?.credit)
            );
            bail!(Foreseen::new("Billing.NotEnoughCredit", text));
        }
        session.submit("withdraw", &api::transactions().billing().withdraw(amount)).await?;
        let credit = session.grid.finalized().await?.payer(twin).await?.credit;
        let text = format!(
            "withdrew {} TFT; twin {twin} has {} TFT of credit",
            format_tft(amount),
            format_tft(credit)
        );
        let value = json!({
            "twin": twin,
            "amount_tft_1e7": amount.to_string(),
            "credit_tft_1e7": credit.to_string(),
        });
        Ok(Answer::new(text, value))
    }
}

async fn withdrawable(at: &GridAt, twin: TwinId) -> Result<Balance> {
    let PayerInfo { credit, rate, committed, exhausted, .. } = at.payer(twin).await?;
    if exhausted && committed == 0 {
        // Nothing runs on it.
        return Ok(credit);
    }
    let price = at.grid_info().await?.tft_price;
    let runway = stretch(at.min_runway_ms()?.saturating_add(SLACK_MS), price);
    // At list price: a shorter runway has a higher price factor.
    let must_stay = runway.cost_of(rate.saturating_add(committed));
    Ok(credit.saturating_sub(must_stay.ceil()))
}
