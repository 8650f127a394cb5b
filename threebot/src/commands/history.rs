// SPDX-License-Identifier: Apache-2.0
//! `threebot history`

use super::tx::{outcome_text, value};
use crate::{
    account::parse_account,
    cli::Global,
    describe::Description,
    many::answers,
    output::{Answer, indented},
    session::Session,
    time::exact_moment,
};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_client::{
    AccountId32, GridAt, Transaction, primitives::TwinId, transactions::Searched, units::format_tft,
};

/// List what an account did lately: its transactions, with fees and outcomes
#[derive(Args)]
#[command(after_help = "\
The list goes back as far as the chain's node keeps states: about 256 blocks,
which are 13 minutes, unless it keeps all of them. What contracts were charged
is in `threebot bill` for 13 months.")]
pub struct History {
    /// The account, SS58 [default: yours]
    #[arg(long, value_parser = parse_account)]
    account: Option<AccountId32>,
    /// How many finalized blocks are searched, from the newest back
    #[arg(long, default_value_t = 1_200, value_parser = clap::value_parser!(u64).range(1..))]
    blocks: u64,
}

impl History {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let (session, account) = Session::about(global, self.account).await?;
        let searched = session.grid.history(account, self.blocks).await?;
        // JSON has accounts alone.
        let twins = if global.json {
            Twins::default()
        } else {
            let at = session.grid.finalized().await?;
            Twins::read(&at, searched.found.iter().filter_map(summary)).await?
        };
        Ok(Answer::new(text(&account, &searched, &twins), history_value(&account, &searched)))
    }
}

/// The twins of the accounts in some texts.
#[derive(Default)]
struct Twins(BTreeMap<String, TwinId>);

impl Twins {
    async fn read(at: &GridAt, texts: impl Iterator<Item = String>) -> Result<Self> {
        let accounts: BTreeSet<_> = texts.flat_map(|text| accounts_in(&text)).collect();
        let asked = accounts.into_iter().map(|account| {
            let at = at.clone();
            async move { anyhow::Ok((account, at.twin_of(&account).await?)) }
        });
        let known = answers(asked).await?.into_iter();
        Ok(Self(known.filter_map(|(account, twin)| Some((account.to_string(), twin?))).collect()))
    }

    /// The same text with the twin behind each account.
    fn told(&self, text: String) -> String {
        self.0
            .iter()
            .fold(text, |text, (account, twin)| text.replace(account, &format!("{account} (twin {twin})")))
    }
}

fn accounts_in(text: &str) -> Vec<AccountId32> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter_map(|word| word.parse().ok()).collect()
}

/// What a transaction was to do, in words.
fn summary(transaction: &Transaction) -> Option<String> {
    transaction.known.as_ref()?.decoded.as_ref().map(|call| Description::of(call).summary())
}

fn text(
    account: &AccountId32,
    Searched { found, newest, oldest }: &Searched<Transaction>,
    twins: &Twins,
) -> String {
    let mut lines: Vec<String> = found.iter().map(|transaction| line(transaction, twins)).collect();
    if found.is_empty() {
        lines.push(format!("no transactions of {account}"));
    }
    let ended = if *oldest == 0 { "" } else { "; the node keeps no more, or --blocks ended it" };
    lines.push(format!("searched: finalized blocks {oldest} to {newest}{ended}"));
    lines.join("\n")
}

fn line(transaction: &Transaction, twins: &Twins) -> String {
    let Transaction { hash, block, known, .. } = transaction;
    let Some(known) = known else { return format!("block {block}  {hash:?}") };
    let what = summary(transaction).map(|text| indented(&twins.told(text), 2) + "\n");
    format!(
        "{}  {}: {}; fee {} TFT\n{}  {hash:?}",
        exact_moment(known.at_ms / 1_000),
        known.call,
        outcome_text(&known.outcome),
        format_tft(known.fee),
        what.unwrap_or_default()
    )
}

fn history_value(account: &AccountId32, Searched { found, newest, oldest }: &Searched<Transaction>) -> Value {
    json!({
        "account": account.to_string(),
        "transactions": found.iter().map(value).collect::<Vec<_>>(),
        "oldest_block": oldest,
        "newest_block": newest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::tx::tests::{failed, transaction};

    #[test]
    fn a_history_says_how_far_back_it_goes() {
        let account = AccountId32([7; 32]);
        let found = vec![transaction(Err(failed())), transaction(Ok(()))];
        let searched = Searched { found, newest: 300, oldest: 45 };
        let text = text(&account, &searched, &Twins::default());
        let first =
            "2023-11-14 22:13:20 UTC  Billing.deposit: failed: Billing.NoTwin: No twin has this id.; fee";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("Billing.deposit: done; fee 0.0012345 TFT"), "{text}");
        assert!(text.contains("searched: finalized blocks 45 to 300"), "{text}");
        let value = history_value(&account, &searched);
        assert_eq!(
            (value["transactions"].as_array().unwrap().len(), &value["oldest_block"]),
            (2, &json!(45))
        );
    }

    #[test]
    fn an_account_in_a_call_is_told_with_its_twin() {
        let [known, stranger] = [AccountId32([7; 32]), AccountId32([8; 32])];
        let sent = format!("send 5 TFT to {known}, though {stranger} asked");
        assert_eq!(accounts_in(&sent), [known, stranger]);
        let twins = Twins([(known.to_string(), 3)].into());
        assert_eq!(twins.told(sent), format!("send 5 TFT to {known} (twin 3), though {stranger} asked"));
    }

    #[test]
    fn no_transactions_are_told() {
        let searched = Searched { found: Vec::new(), newest: 3, oldest: 0 };
        let text = super::text(&AccountId32([7; 32]), &searched, &Twins::default());
        assert!(text.starts_with("no transactions of 5") && text.ends_with("blocks 0 to 3"), "{text}");
    }
}
