// SPDX-License-Identifier: Apache-2.0
//! `threebot heal`

use crate::{
    cli::Global,
    consent::unasked,
    device::DeviceFile,
    heal::{
        Chain, Healer, Hold, Journal, Mandate, Message, Metrics, Move, Order, Step, Teller, Volumes,
        mandate_schema, serve,
    },
    output::{Answer, Usage, counted, message},
    sealing::Identity,
    session::read_key,
    time::{moment, now},
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use prometheus::Registry;
use serde_json::{Value, json};
use std::{collections::BTreeSet, future::pending, net::SocketAddr, path::PathBuf, time::Duration};
use tfgrid_client::units::format_usd;
use tokio::time::sleep;

/// Pause after a failure of the chain.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The most failures of the chain that are told until a round succeeds.
const MAX_TOLD: usize = 20;
/// How many messages `heal status` shows.
const SHOWN: usize = 20;

/// Move what a dead node took to another node, as your owner's bot
///
/// Runs until it is stopped. What it may do is in its owner's mandate (docs/BOT.md), and within the owner's limits.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg = unasked(),
    after_help = "\
Examples:
  threebot heal --mandate heal.yaml --state bot --dry-run   what it would do
  threebot heal --mandate heal.yaml --state bot             do it, from now on
  threebot heal status --state bot                         what it did, and why

The owner lets the bot in first: `threebot bot add ADDRESS --rate 0.5`."
)]
pub struct Heal {
    #[command(subcommand)]
    command: Option<HealCommand>,
    /// The mandate: YAML or JSON
    #[arg(long, value_name = "FILE", required = true)]
    mandate: Option<PathBuf>,
    /// Folder of the bot's journal
    #[arg(long, value_name = "DIR", env = "STATE_DIRECTORY", required = true)]
    state: Option<PathBuf>,
    /// Say what would be moved now, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Another RPC address, tried where the one of --chain doesn't answer; may be repeated
    #[arg(long = "or-chain", value_name = "URL")]
    or_chains: Vec<String>,
    /// Address on which Prometheus reads metrics, such as 127.0.0.1:9618
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    device: DeviceFile,
}

#[derive(Subcommand)]
enum HealCommand {
    /// Show what a bot moves, and what it did lately and why
    Status {
        /// Folder of the bot's journal
        #[arg(long, value_name = "DIR", env = "STATE_DIRECTORY")]
        state: PathBuf,
    },
    /// Print the JSON Schema of mandates
    Schema,
}

impl Heal {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        match self.command {
            Some(HealCommand::Status { state }) => status(&Journal::look(&state)?),
            Some(HealCommand::Schema) => {
                let schema = mandate_schema();
                let text = serde_json::to_string_pretty(&schema).context("can't print the schema")?;
                Ok(Answer::new(text, json!(schema)))
            }
            None => self.heal(global).await,
        }
    }

    async fn heal(self, global: &Global) -> Result<Answer> {
        let mandate = Mandate::read(&self.mandate.context("there is no --mandate")?)?;
        let state = self.state.context("there is no --state")?;
        let stored = read_key(global)?;
        let is_public = !global.allow_development_key && stored.is_development_key()?;
        let urls: Vec<String> = [global.chain.clone()].into_iter().chain(self.or_chains).collect();
        let (key, seal_key) = ((stored.pair().clone(), is_public), self.identity.read()?);
        let snapshots = match &mandate.snapshots {
            Some(schedule) => {
                let lacking = || Usage::new("snapshots are opened with the bot's key: give --identity");
                let identity = seal_key.clone().ok_or_else(lacking)?;
                let device = self.device.read()?;
                let (urls, folder) = (urls.clone(), state.clone());
                Some(Volumes::new(schedule, urls, folder, mandate.twin, device, identity, global.json)?)
            }
            None => None,
        };
        let mut chain = Chain::new(urls, key, seal_key, &mandate)?;
        let registry = Registry::new();
        let metrics = Metrics::new(&registry)?;
        if self.dry_run {
            let scratch = tempfile::tempdir().context("can't create a temporary folder")?;
            let journal = Journal::copied(&state, scratch.path())?;
            let mut healer =
                Healer::new(mandate, journal, Teller::new(None, global.json), metrics, snapshots);
            chain.connect(&healer.journal).await?;
            let (orders, holds) = healer.plan(&mut chain).await?;
            return Ok(planned(&orders, &holds));
        }
        let journal = Journal::open(&state)?;
        let teller = Teller::new(mandate.webhook.clone(), global.json);
        let healer = Healer::new(mandate, journal, teller, metrics.clone(), snapshots);
        let serving = async {
            match self.metrics {
                Some(address) => serve(address, registry).await,
                None => pending().await,
            }
        };
        let ended = tokio::select! {
            ended = serving => ended,
            ended = keep_healing(healer, chain, metrics) => ended,
        };
        ended?;
        Ok(Answer::new("", Value::Null))
    }
}

/// Heals for ever.
///
/// # Errors
/// If the journal can't be written: nothing is done without it.
async fn keep_healing(mut healer: Healer<Volumes>, mut chain: Chain, metrics: Metrics) -> Result<()> {
    // Since the last round: endpoints that fail in turn are told once each.
    let mut told = BTreeSet::new();
    loop {
        let round = async {
            chain.wake(&healer.journal).await?;
            healer.round(&mut chain).await
        };
        let Err(error) = round.await else {
            told.clear();
            continue;
        };
        chain.disconnect();
        metrics.chain_up.set(0);
        if told.len() < MAX_TOLD && told.insert(message(&error)) {
            healer.trouble(now(), &error)?;
        }
        sleep(AGAIN_AFTER).await;
    }
}

/// What would be done now.
fn planned(orders: &[Order], holds: &[Hold]) -> Answer {
    let order_text = |order: &Order| {
        let Order { wanted, to, rate, .. } = order;
        let rate = format_usd((*rate).into());
        format!("{}: contract {} would move to node {to}, {rate} USD per hour", wanted.why, wanted.contract)
    };
    let mut lines: Vec<String> = orders.iter().map(order_text).collect();
    lines.extend(holds.iter().map(|hold| format!("contract {}: {}", hold.contract, hold.text)));
    if lines.is_empty() {
        lines.push("nothing is to be moved".into());
    }
    let order_value = |order: &Order| {
        json!({
            "contract": order.wanted.contract,
            "why": order.wanted.why,
            "from": order.from,
            "to": order.to,
            "rate_usd_1e10": order.rate.to_string(),
        })
    };
    let moves: Vec<Value> = orders.iter().map(order_value).collect();
    Answer::new(lines.join("\n"), json!({ "moves": moves, "held": holds }))
}

/// What a bot did, as its journal says.
fn status(journal: &Journal) -> Result<Answer> {
    let moves: Vec<&Move> = journal.memory.moves.values().collect();
    let messages = journal.messages(SHOWN)?;
    let mut lines = vec![format!("copies of {}", counted(journal.memory.copies.len() as u64, "contract"))];
    lines.extend(moves.iter().filter(|it| !it.is_over()).map(|it| {
        format!("contract {} is moving from node {} to node {}: {}", it.old, it.from, it.to, it.why)
    }));
    lines.extend(messages.iter().map(message_text));
    let values: Vec<Value> = moves.iter().map(|it| move_value(it)).collect();
    let value = json!({ "copies": journal.memory.copies.len(), "moves": values, "messages": messages });
    Ok(Answer::new(lines.join("\n"), value))
}

fn message_text(message: &Message) -> String {
    format!("{}  {:7}  {}", moment(message.at), message.kind, message.text)
}

fn move_value(it: &Move) -> Value {
    let step = match it.step {
        Step::Intended => "intended",
        Step::Created { .. } => "created",
        Step::Done { .. } => "done",
        Step::Failed { .. } => "failed",
    };
    json!({
        "old": it.old,
        "new": it.new_contract(),
        "from": it.from,
        "to": it.to,
        "why": it.why,
        "rate_usd_1e10": it.rate.to_string(),
        "at": it.at,
        "step": step,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{Cli, Command},
        heal::{Release, Wanted},
    };
    use clap::Parser;
    use tfgrid_client::primitives::{Body, Resources};

    fn parse(line: &str) -> Result<Heal, clap::Error> {
        let Command::Heal(heal) = Cli::try_parse_from(line.split(' '))?.command else {
            panic!("another command")
        };
        Ok(heal)
    }

    #[test]
    fn a_bot_needs_a_mandate_and_a_folder() {
        let heal = parse("threebot heal --mandate a --state b --or-chain ws://c --or-chain ws://d").unwrap();
        assert!(heal.command.is_none() && heal.or_chains.len() == 2 && !heal.dry_run);
        assert!(parse("threebot heal").is_err());
        let status = parse("threebot heal status --state b").unwrap();
        assert!(matches!(status.command, Some(HealCommand::Status { .. })));
        assert!(parse("threebot heal schema").is_ok());
    }

    #[test]
    fn a_plan_says_what_is_moved_and_what_is_not() {
        let wanted = Wanted {
            contract: 7,
            release: Release::Cancel,
            why: "node 3 has been offline for 32 min".into(),
        };
        let order = Order {
            wanted,
            from: 3,
            to: 5,
            body: Body::Plain(Vec::new()),
            networks: Vec::new(),
            resources: Resources::ZERO,
            public_ips: 0,
            rate: 103_750_000,
            name_rate: 0,
        };
        let hold = Hold { contract: 8, key: "data", text: "it has volumes".into() };
        let answer = planned(&[order], &[hold]);
        let text = "node 3 has been offline for 32 min: contract 7 would move to node 5, 0.010375 USD per \
                    hour\ncontract 8: it has volumes";
        assert_eq!(answer.text, text);
        assert_eq!(
            (&answer.value["moves"][0]["to"], &answer.value["held"][0]["contract"]),
            (&json!(5), &json!(8))
        );
        assert_eq!(planned(&[], &[]).text, "nothing is to be moved");
    }

    #[test]
    fn a_status_is_that_of_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        let it = Move {
            old: 7,
            from: 3,
            to: 5,
            why: "node 3 drains".into(),
            rate: 1,
            body_hash: String::new(),
            is_alone: false,
            newest: 9,
            block: 1,
            at: 0,
            step: Step::Created { new: 12 },
        };
        journal.note(it).unwrap();
        let told = Message { at: 0, kind: "moving".into(), contract: Some(7), text: "it moves".into() };
        journal.log(&told).unwrap();
        let answer = status(&Journal::look(folder.path()).unwrap()).unwrap();
        let lines: Vec<&str> = answer.text.lines().collect();
        assert_eq!(lines[1], "contract 7 is moving from node 3 to node 5: node 3 drains");
        assert_eq!(lines[2], "1970-01-01 00:00 UTC  moving   it moves");
        assert_eq!(
            (&answer.value["moves"][0]["new"], &answer.value["moves"][0]["step"]),
            (&json!(12), &json!("created"))
        );
    }
}
