// SPDX-License-Identifier: Apache-2.0
//! `threebot bot`

use super::limits::{self, NewLimits};
use crate::{
    account::parse_account,
    cli::Global,
    consent::{Consent, unasked},
    foreseen::Foreseen,
    output::Answer,
    rights::Rights,
    session::Session,
};
use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use subxt::utils::MultiAddress;
use tfgrid_client::{
    AccountId32,
    api::{
        self,
        runtime_types::{
            pallet_grid_billing::pallet::Call as Billing,
            pallet_proxy::pallet::Call as Proxy,
            tfgrid_runtime::{RuntimeCall, configs::proxies::ProxyType},
        },
    },
};

/// Advice after the removal of a bot.
const KNOWN: &str = "\
the bot may know for good what it could read: change secrets and passwords that were sealed to it, seal what runs anew \
with `threebot update`, and remove its device with `threebot device remove`";

#[derive(Subcommand)]
pub enum Bot {
    /// Let an account manage your contracts within your limits; it moves no money (holds a deposit)
    ///
    /// Limits bind you and all your bots together. Those that are given replace yours from the same block on, also when
    /// the bot is removed.
    #[command(after_help = "\
Example:
  threebot bot add 5FHneW… --rate 0.1    0.1 USD per hour for all contracts")]
    Add {
        /// The bot's account, SS58
        #[arg(value_parser = parse_account)]
        account: AccountId32,
        #[command(flatten)]
        limits: NewLimits,
        #[command(flatten)]
        consent: Consent,
    },
    /// Let an account manage your contracts no more; the contracts go on
    ///
    /// The bot may know for good what it could read: change secrets that were sealed to it.
    #[command(arg = unasked())]
    Remove {
        /// The bot's account, SS58
        #[arg(value_parser = parse_account)]
        account: AccountId32,
    },
    /// List the accounts that manage your contracts, and what they can do and never can
    #[command(visible_alias = "show")]
    List,
}

impl Bot {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        let at = session.grid.finalized().await?;
        let twin = session.twin(&at).await?;
        let bots = at.bots_of(session.account()?).await?;
        let mut before = None;
        let (added, note) = match self {
            Self::Add { account, .. } if bots.contains(&account) => {
                let text =
                    format!("{account} manages your contracts already; `threebot limits` changes limits");
                bail!(Foreseen::new("Proxy.Duplicate", text));
            }
            Self::Remove { account } if !bots.contains(&account) => {
                let text =
                    format!("{account} doesn't manage your contracts; `threebot bot list` lists who does");
                bail!(Foreseen::new("Proxy.NotFound", text));
            }
            Self::Add { account, limits, consent } => {
                let own = at.owner_limits(twin).await?;
                let limits = limits.over(&own);
                let rights = Rights::read(&at, limits.as_ref().unwrap_or(&own)).await?;
                let change = limits.as_ref().and_then(|limits| limits::change(&own, limits));
                let told = change.as_ref().map_or_else(String::new, |change| format!("\n{change}"));
                consent.ask(
                    &session,
                    &format!("let {account} manage your contracts\n{}{told}", rights.text()),
                )?;
                let mut calls = vec![RuntimeCall::Proxy(add(account))];
                calls.extend(limits.map(|limits| RuntimeCall::Billing(Billing::set_limits { limits })));
                session.submit("bot add", &api::transactions().utility().batch_all(calls)).await?;
                before = Some(limits::value(&own));
                (Some(format!("{account} manages your contracts from now on{told}")), change)
            }
            Self::Remove { account } => {
                let (delegate, deploy) = (MultiAddress::Id(account), ProxyType::Deploy);
                let remove = api::transactions().proxy().remove_proxy(delegate, deploy, 0);
                session.submit("bot remove", &remove).await?;
                (None, Some(KNOWN.to_owned()))
            }
            Self::List => (None, None),
        };
        let at = session.grid.finalized().await?;
        let (bots, limits) = (at.bots_of(session.account()?).await?, at.owner_limits(twin).await?);
        let rights = Rights::read(&at, &limits).await?;
        let mut answer = value(&bots, limits::value(&limits));
        answer["rights"] = rights.value();
        answer["limits_before"] = json!(before);
        answer["note"] = json!(note);
        let list = text(&bots, &limits::text(&limits), &rights.text());
        let told = match (added, note) {
            // The question has told what the bot can do.
            (Some(added), _) => added,
            (None, Some(note)) => format!("{note}\n{list}"),
            (None, None) => list,
        };
        Ok(Answer::new(told, answer))
    }
}

fn add(account: AccountId32) -> Proxy {
    Proxy::add_proxy { delegate: MultiAddress::Id(account), proxy_type: ProxyType::Deploy, delay: 0 }
}

fn text(bots: &[AccountId32], limits: &str, rights: &str) -> String {
    if bots.is_empty() {
        return format!("nobody else manages your contracts\n{limits}");
    }
    let bots: Vec<String> = bots.iter().map(ToString::to_string).collect();
    format!("{}\n{limits}\n{rights}", bots.join("\n"))
}

fn value(bots: &[AccountId32], limits: Value) -> Value {
    json!({ "bots": bots.iter().map(ToString::to_string).collect::<Vec<_>>(), "limits": limits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    #[test]
    fn a_bot_is_added_with_its_limits() {
        let line = ["threebot", "bot", "add", ALICE, "--rate", "0.1"];
        let Command::Bot(Bot::Add { account, limits, .. }) = Cli::try_parse_from(line).unwrap().command
        else {
            panic!("another command")
        };
        assert_eq!(account.to_string(), ALICE);
        let before = api::runtime_types::pallet_grid_billing::types::Limits {
            max_usd_rate: 1,
            max_extra_fee: 2,
            refill_per_30_days: 3,
        };
        let after = limits.over(&before).unwrap();
        assert_eq!(
            (after.max_usd_rate, after.max_extra_fee, after.refill_per_30_days),
            (1_000_000_000, 2, 3)
        );
        assert!(Cli::try_parse_from(["threebot", "bot", "add", "nobody"]).is_err());
    }

    #[test]
    fn bots_are_listed_with_the_limits_that_bind_them() {
        let alice: AccountId32 = ALICE.parse().unwrap();
        assert_eq!(text(&[], "no limit", "it can"), "nobody else manages your contracts\nno limit");
        let one = text(std::slice::from_ref(&alice), "no limit", "it can");
        assert_eq!(one, format!("{ALICE}\nno limit\nit can"));
        assert_eq!(value(&[alice], json!({}))["bots"], json!([ALICE]));
    }
}
