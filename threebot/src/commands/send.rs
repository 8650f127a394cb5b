// SPDX-License-Identifier: Apache-2.0
//! `threebot send`

use crate::{
    account,
    cli::Global,
    consent::Consent,
    foreseen::{Foreseen, Purse},
    output::Answer,
    session::Session,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use subxt::utils::MultiAddress;
use tfgrid_client::{
    AccountId32, GridAt, api,
    primitives::{Balance, TwinId},
    units::{format_tft, parse_amount},
};

/// Send TFT to an account; what is sent can't be taken back
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot send 5FHneW… 12.5    to an account
  threebot send 7 12.5          to the account of twin 7

`threebot deposit --twin` pays into somebody's credit instead.")]
pub struct SendTft {
    /// The account, SS58, or the id of its twin
    #[arg(value_parser = parse_receiver)]
    to: Receiver,
    /// In TFT, such as 12.5
    #[arg(value_parser = parse_amount)]
    amount: Balance,
    #[command(flatten)]
    consent: Consent,
}

/// Who gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Receiver {
    Account(AccountId32),
    Twin(TwinId),
}

fn parse_receiver(text: &str) -> Result<Receiver, String> {
    if let Ok(twin) = text.parse() {
        return Ok(Receiver::Twin(twin));
    }
    let account = text.parse().map(Receiver::Account);
    account.map_err(|_| format!("{text:?} is neither an account, {}, nor the id of a twin", account::EXAMPLE))
}

impl Receiver {
    async fn account(&self, at: &GridAt) -> Result<AccountId32> {
        match self {
            Self::Account(account) => Ok(*account),
            Self::Twin(twin) => {
                at.twin_account(*twin).await?.with_context(|| format!("no twin has the id {twin}"))
            }
        }
    }
}

impl SendTft {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let (to, amount) = (self.to.account(&at).await?, format_tft(self.amount));
        ensure_lives(to, at.free_balance(&to).await?, self.amount, at.existential_deposit()?)?;
        let call = api::transactions().balances().transfer_keep_alive(MultiAddress::Id(to), self.amount);
        let fee = session.fee("send", &call).await?;
        let what = format!("you want to send {amount} TFT, for a fee of {} TFT", format_tft(fee));
        let purse = Purse::read(&at, session.account()?).await?;
        purse.ensure_has(self.amount.saturating_add(fee), &what)?;
        let plan = format!("send {amount} TFT to {to}, for a fee of {} TFT at most", format_tft(fee));
        self.consent.ask(&session, &plan)?;
        session.submit("send", &call).await?;
        let free = session.grid.finalized().await?.free_balance(&session.account()?).await?;
        let text = format!("sent {amount} TFT to {to}; you have {} TFT free", format_tft(free));
        let value = json!({
            "to": to.to_string(),
            "amount_tft_1e7": self.amount.to_string(),
            "free_tft_1e7": free.to_string(),
        });
        Ok(Answer::new(text, value))
    }
}

/// Fails if the receiver's account would have less than an account must have.
fn ensure_lives(to: AccountId32, free: Balance, amount: Balance, least: Balance) -> Result<()> {
    if free.saturating_add(amount) >= least {
        return Ok(());
    }
    let text = format!(
        "{} TFT is too little: the account {to} has {} TFT, and an account has {} TFT at least",
        format_tft(amount),
        format_tft(free),
        format_tft(least)
    );
    bail!(Foreseen::new("Token.BelowMinimum", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::units::TFT;

    #[test]
    fn a_receiver_is_an_account_or_a_twin() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        assert_eq!(parse_receiver(alice), Ok(Receiver::Account(alice.parse().unwrap())));
        assert_eq!(parse_receiver("7"), Ok(Receiver::Twin(7)));
        for wrong in ["", "alice", "-1", &alice[1..], &alice.replace('Y', "Z")] {
            assert!(parse_receiver(wrong).unwrap_err().contains("is neither an account"), "{wrong}");
        }
    }

    #[test]
    fn too_little_for_a_new_account_is_refused() {
        let to = AccountId32([7; 32]);
        assert!(ensure_lives(to, 0, TFT / 100, TFT / 100).is_ok());
        assert!(ensure_lives(to, TFT, 1, TFT / 100).is_ok());
        let error = ensure_lives(to, 0, 1, TFT / 100).unwrap_err();
        assert_eq!(error.downcast_ref::<Foreseen>().unwrap().code, "Token.BelowMinimum");
        assert!(error.to_string().starts_with("0.0000001 TFT is too little"), "{error}");
    }
}
