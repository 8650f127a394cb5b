// SPDX-License-Identifier: Apache-2.0
//! `threebot balance`

use crate::{
    account::parse_account,
    cli::Global,
    output::{Answer, row},
    session::Session,
};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use tfgrid_client::{
    AccountId32,
    grid_at::AccountBalance,
    primitives::{Balance as Tft, TwinId},
    units::format_tft,
};

/// Show what an account has: free, on hold for deposits, and its twin's credit
#[derive(Args)]
pub struct Balance {
    /// The account, SS58 [default: yours]
    #[arg(value_parser = parse_account)]
    account: Option<AccountId32>,
}

impl Balance {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let (session, account) = Session::about(global, self.account).await?;
        let at = session.grid.finalized().await?;
        let twin = match at.twin_of(&account).await? {
            Some(twin) => Some((twin, at.payer(twin).await?.credit)),
            None => None,
        };
        let owned = Owned {
            account,
            balance: at.balance(&account).await?,
            must_stay: at.existential_deposit()?,
            twin,
        };
        Ok(Answer::new(owned.text(), owned.value()))
    }
}

struct Owned {
    account: AccountId32,
    balance: AccountBalance,
    must_stay: Tft,
    /// The account's twin and its credit.
    twin: Option<(TwinId, Tft)>,
}

impl Owned {
    fn text(&self) -> String {
        let must_stay = match self.balance.free {
            0 => String::new(),
            _ => format!(", of which {} TFT must stay", format_tft(self.must_stay)),
        };
        let mut rows = vec![
            row("account", &self.account.to_string()),
            row("free", &format!("{} TFT{must_stay}", format_tft(self.balance.free))),
            row("held", &format!("{} TFT for deposits", format_tft(self.balance.held))),
        ];
        rows.push(match self.twin {
            Some((twin, credit)) => row("credit", &format!("{} TFT of twin {twin}", format_tft(credit))),
            None => row("credit", "none: the account has no twin"),
        });
        rows.join("\n")
    }

    fn value(&self) -> Value {
        json!({
            "account": self.account.to_string(),
            "free_tft_1e7": self.balance.free.to_string(),
            "held_tft_1e7": self.balance.held.to_string(),
            "must_stay_tft_1e7": self.must_stay.to_string(),
            "twin": self.twin.map(|(twin, _)| twin),
            "credit_tft_1e7": self.twin.map(|(_, credit)| credit.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::units::TFT;

    #[test]
    fn a_balance_has_free_held_and_credit() {
        let owned = Owned {
            account: AccountId32([7; 32]),
            balance: AccountBalance { free: 12 * TFT, held: TFT },
            must_stay: TFT / 100,
            twin: Some((4, 3 * TFT)),
        };
        for part in ["12 TFT, of which 0.01 TFT must stay", "1 TFT for deposits", "3 TFT of twin 4"] {
            assert!(owned.text().contains(part), "{}", owned.text());
        }
        assert_eq!(owned.value()["credit_tft_1e7"], "30000000");
        let nobody = Owned { balance: AccountBalance { free: 0, held: 0 }, twin: None, ..owned };
        assert!(nobody.text().contains("free      0 TFT\n") && nobody.text().contains("has no twin"));
        assert_eq!(nobody.value()["twin"], Value::Null);
    }
}
