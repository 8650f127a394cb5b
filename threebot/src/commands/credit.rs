// SPDX-License-Identifier: Apache-2.0

use crate::{output::Answer, session::Session};
use anyhow::{Result, bail};
use serde_json::json;
use tfgrid_client::{
    api,
    primitives::{Balance, TwinId, clock::stretch, fixed, units::HOUR_MS},
    units::format_tft,
};

pub async fn deposit(session: &Session, amount: Balance, twin: Option<TwinId>) -> Result<Answer> {
    let twin = match twin {
        Some(twin) => twin,
        None => session.twin(&session.grid.finalized().await?).await?,
    };
    let call = api::transactions().billing().deposit(twin, amount);
    session.submit("deposit", &call).await?;
    answer(session, "deposited", amount, twin).await
}

pub async fn withdraw(session: &Session, amount: Option<Balance>) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    let amount = match amount {
        Some(amount) => amount,
        None => {
            // What runs or is promised keeps an hour, at list price, for less credit earns no discount; and what it
            // costs until this is in a block.
            let payer = at.payer(twin).await?;
            let price = at.grid_info().await?.tft_price;
            let rate = payer.rate.saturating_add(payer.promised);
            let must_stay = fixed::mul_div(stretch(HOUR_MS + SLACK_MS, price), rate, 1);
            payer.credit.saturating_sub(fixed::ceil(must_stay))
        }
    };
    if amount == 0 {
        bail!("nothing can be withdrawn: what runs or is promised keeps an hour of credit");
    }
    let call = api::transactions().billing().withdraw(amount);
    session.submit("withdraw", &call).await?;
    answer(session, "withdrew", amount, twin).await
}

/// A block or two may pass between reading the credit and withdrawing it.
const SLACK_MS: u64 = 60_000;

async fn answer(session: &Session, verb: &str, amount: Balance, twin: TwinId) -> Result<Answer> {
    let credit = session.grid.finalized().await?.payer(twin).await?.credit;
    let text =
        format!("{verb} {} TFT; twin {twin} has {} TFT of credit", format_tft(amount), format_tft(credit));
    let value =
        json!({ "twin": twin, "amount_units": amount.to_string(), "credit_units": credit.to_string() });
    Ok(Answer::new(text, value))
}
