// SPDX-License-Identifier: Apache-2.0
//! `threebot tx`

use crate::{
    cli::Global,
    describe::{Description, call_value},
    output::{Answer, row},
    session::Session,
    time::exact_moment,
};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tfgrid_client::{
    H256, Transaction,
    transactions::{Known, Searched},
    units::format_tft,
};

/// Find out what became of a transaction
#[derive(Args)]
#[command(after_help = "\
A transaction is in a block within two minutes, or never. Blocks are kept longer than what became of their
transactions: of old ones only the block is told.")]
pub struct Tx {
    /// Its hash: 0x and 64 hex digits
    #[arg(value_parser = parse_hash)]
    hash: H256,
    /// How many finalized blocks are searched, from the newest back; a day has 28800
    #[arg(long, default_value_t = 28_800, value_parser = clap::value_parser!(u64).range(1..))]
    blocks: u64,
}

impl Tx {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::anonymous(global).await?;
        let Searched { found, newest, oldest } = session.grid.transaction(self.hash, self.blocks).await?;
        match found.first() {
            Some(transaction) => Ok(Answer::new(text(transaction), value(transaction))),
            None => bail!("{}", not_found(self.hash, oldest, newest)),
        }
    }
}

pub fn parse_hash(text: &str) -> Result<H256, String> {
    let bytes = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
    let hash: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
    hash.map(H256).ok_or_else(|| format!("{text:?} isn't a hash: 0x and 64 hex digits"))
}

fn not_found(hash: H256, oldest: u64, newest: u64) -> String {
    format!(
        "transaction {hash:?} isn't in the finalized blocks {oldest} to {newest}: if it was sent within the last two \
         minutes, look again; otherwise it is in none, or in an older one (--blocks)"
    )
}

fn text(transaction: &Transaction) -> String {
    let Transaction { hash, block, block_hash, known } = transaction;
    let mut rows = vec![row("hash", &format!("{hash:?}")), row("block", &format!("{block} {block_hash:?}"))];
    let Some(Known { at_ms, call, decoded, signer, fee, outcome, events }) = known else {
        rows.push(row("outcome", "the node no longer knows: it keeps the states of the last blocks only"));
        return rows.join("\n");
    };
    let by = signer.map_or_else(String::new, |signer| format!(" by {signer}"));
    rows.extend([row("at", &exact_moment(at_ms / 1_000)), row("call", &format!("{call}{by}"))]);
    rows.extend(decoded.as_ref().map(|call| row("which is", &Description::of(call).lines.join("\n"))));
    rows.extend([
        row("outcome", &outcome_text(outcome)),
        row("fee", &format!("{} TFT", format_tft(*fee))),
        row("events", &events.join(" ")),
    ]);
    rows.join("\n")
}

/// The error of a failed call, or that it is done.
pub fn outcome_text(outcome: &Result<(), tfgrid_client::Error>) -> String {
    match outcome {
        Ok(()) => "done".into(),
        Err(tfgrid_client::Error::Failed { pallet, name, docs, .. }) => {
            format!("failed: {pallet}.{name}: {docs}")
        }
        Err(error) => error.to_string(),
    }
}

pub fn value(transaction: &Transaction) -> Value {
    let Transaction { hash, block, block_hash, known } = transaction;
    let failure =
        known.as_ref().filter(|known| known.outcome.is_err()).map(|known| outcome_text(&known.outcome));
    json!({
        "hash": format!("{hash:?}"),
        "block": block,
        "block_hash": format!("{block_hash:?}"),
        "at": known.as_ref().map(|known| known.at_ms / 1_000),
        "call": known.as_ref().map(|known| &known.call),
        "decoded": known.as_ref().and_then(|known| known.decoded.as_ref()).map(call_value),
        "description": known.as_ref().and_then(|known| known.decoded.as_ref()).map(|call| Description::of(call).lines),
        "signer": known.as_ref().and_then(|known| known.signer).map(|signer| signer.to_string()),
        "done": known.as_ref().map(|known| known.outcome.is_ok()),
        "failure": failure,
        "fee_tft_1e7": known.as_ref().map(|known| known.fee.to_string()),
        "events": known.as_ref().map(|known| &known.events),
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tfgrid_client::{AccountId32, Call, call::Argument};

    pub fn transaction(outcome: Result<(), tfgrid_client::Error>) -> Transaction {
        let known = Known {
            at_ms: 1_700_000_000_000,
            call: "Billing.deposit".into(),
            decoded: Some(deposit()),
            signer: Some(AccountId32([7; 32])),
            fee: 12_345,
            outcome,
            events: vec!["Billing.Deposited".into(), "System.ExtrinsicSuccess".into()],
        };
        Transaction { hash: H256([1; 32]), block: 7, block_hash: H256([2; 32]), known: Some(known) }
    }

    fn deposit() -> Call {
        let arguments = [("twin", 3), ("amount", 125_000_000)];
        let arguments = arguments.map(|(name, value)| (name.into(), Argument::Number(value)));
        Call { pallet: "Billing".into(), name: "deposit".into(), arguments: arguments.into() }
    }

    pub fn failed() -> tfgrid_client::Error {
        tfgrid_client::Error::Failed {
            what: "Billing.deposit".into(),
            pallet: "Billing".into(),
            name: "NoTwin".into(),
            docs: "No twin has this id.".into(),
        }
    }

    #[test]
    fn a_transaction_is_told_with_its_outcome() {
        let done = transaction(Ok(()));
        assert!(text(&done).contains("outcome   done\nfee       0.0012345 TFT"), "{}", text(&done));
        assert_eq!((&value(&done)["done"], &value(&done)["failure"]), (&json!(true), &Value::Null));
        assert!(text(&done).contains("which is  pay 12.5 TFT into the credit of twin 3"), "{}", text(&done));
        assert_eq!(value(&done)["decoded"]["arguments"]["amount"], "125000000");
        let failed = transaction(Err(failed()));
        assert!(text(&failed).contains("failed: Billing.NoTwin: No twin has this id."), "{}", text(&failed));
        assert_eq!(value(&failed)["failure"], "failed: Billing.NoTwin: No twin has this id.");
        let old = Transaction { known: None, ..done };
        assert!(text(&old).contains("the node no longer knows"));
        assert_eq!(value(&old)["done"], Value::Null);
    }

    #[test]
    fn a_hash_is_read_and_a_missing_one_told_with_the_blocks() {
        let text = format!("0x{}", "ab".repeat(32));
        assert_eq!(parse_hash(&text), Ok(H256([0xab; 32])));
        for wrong in ["", "0x", &text[2..], &text[..64]] {
            assert!(parse_hash(wrong).is_err(), "{wrong}");
        }
        assert!(
            not_found(H256([0xab; 32]), 3, 9)
                .contains(&format!("{text} isn't in the finalized blocks 3 to 9"))
        );
    }
}
