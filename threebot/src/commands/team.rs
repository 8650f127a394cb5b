// SPDX-License-Identifier: Apache-2.0
//! `threebot team`

use crate::{
    account::parse_account,
    keyring::{Keyring, parse_key_name},
    output::{Answer, Usage},
};
use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};
use tfgrid_client::{AccountId32, Team as Signatories};

#[derive(Subcommand)]
pub enum Team {
    /// Name accounts of which some must sign together: yours on two devices, or yours and your colleagues'
    ///
    /// The same accounts and number give the same account on every computer and in every wallet, which calls it a
    /// multisig. Nothing is sent: the account is there once it is paid to.
    #[command(after_help = "\
Examples:
  threebot team new me 5GrwvaEF… 5FHneW46… --threshold 2    laptop and phone
  threebot team new shop 5Grwva… 5FHneW… 5FLSig… --threshold 2
  threebot --team shop twin create                          propose a call
  threebot approve list                                     see and sign it")]
    New {
        /// Its name: letters, digits, - and _
        #[arg(value_parser = parse_key_name)]
        name: String,
        /// Accounts of the signatories, SS58
        #[arg(required = true, num_args = 2.., value_name = "ACCOUNT", value_parser = parse_account)]
        accounts: Vec<AccountId32>,
        /// How many of them must sign
        #[arg(long, value_name = "N")]
        threshold: u16,
    },
    /// List your teams, with their accounts
    List,
    /// Forget a team on this computer; its account stays what it is
    Remove {
        /// Its name
        #[arg(value_parser = parse_key_name)]
        name: String,
    },
}

impl Team {
    pub fn run(self) -> Result<Answer> {
        let keys = Keyring::of_user()?;
        match self {
            Self::New { name, accounts, threshold } => {
                let team =
                    Signatories::new(accounts, threshold).map_err(|error| Usage::new(error.to_string()))?;
                keys.add_team(&name, &team)?;
                Ok(Answer::new(text(&name, &team), value(&name, &team)))
            }
            Self::List => {
                let teams = keys.teams()?;
                let lines: Vec<String> = teams.iter().map(|(name, team)| text(name, team)).collect();
                let values: Vec<Value> = teams.iter().map(|(name, team)| value(name, team)).collect();
                let none = "no teams: `threebot team new NAME ACCOUNT… --threshold N` makes one";
                let text = if lines.is_empty() { none.into() } else { lines.join("\n") };
                Ok(Answer::new(text, json!({ "teams": values })))
            }
            Self::Remove { name } => {
                keys.remove_team(&name)?;
                Ok(Answer::new(format!("the team {name} is removed"), json!({ "name": name })))
            }
        }
    }
}

fn text(name: &str, team: &Signatories) -> String {
    let signatories = team.signatories().iter().map(|account| format!("\n  {account}")).collect::<String>();
    let (account, size) = (team.account(), team.signatories().len());
    format!("team {name}: {account}\n{} of these {size} must sign:{signatories}", team.threshold())
}

fn value(name: &str, team: &Signatories) -> Value {
    let signatories: Vec<String> = team.signatories().iter().map(ToString::to_string).collect();
    json!({
        "name": name,
        "account": team.account().to_string(),
        "threshold": team.threshold(),
        "signatories": signatories,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn a_team_is_told_with_its_account_and_signatories() {
        let account = |n| AccountId32([n; 32]);
        let team = Signatories::new(vec![account(2), account(1)], 2).unwrap();
        let said = text("me", &team);
        assert!(said.contains("\n2 of these 2 must sign:\n  "), "{said}");
        assert_eq!(
            value("me", &team)["signatories"],
            json!([account(1).to_string(), account(2).to_string()])
        );
    }

    #[test]
    fn a_team_needs_a_number_and_two_accounts() {
        let alice = AccountId32([1; 32]).to_string();
        let parsed =
            |line: &[&str]| Cli::try_parse_from([&["threebot", "team", "new", "me"][..], line].concat());
        let cli = parsed(&[&alice, &alice, "--threshold", "2"]).unwrap();
        let Command::Team(Team::New { accounts, threshold, .. }) = cli.command else {
            panic!("another command")
        };
        assert_eq!((accounts.len(), threshold), (2, 2));
        let alice = alice.as_str();
        for wrong in [&[alice, alice][..], &[alice, "--threshold", "2"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
