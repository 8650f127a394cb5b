// SPDX-License-Identifier: Apache-2.0

//! Measures `threebot heal` for an owner with many contracts.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    env, fs,
    thread::sleep,
    time::{Duration, Instant},
};
use tfgrid_tests::{
    Chain, Person, Process, Run, Seeded, asks_for_help, free_port, on_a_run_beside_others, text, wait_for,
};

const HELP: &str = "\
Measures threebot heal for an owner with 5,000 contracts, at rest and when a
node with 100 of them falls silent.

Usage: bench-heal [MINUTES]

  MINUTES  how long it is at rest, 5 if they aren't given";

/// Nodes with contracts that stay, and how many each has.
const RENTED: usize = 100;
const EACH: usize = 49;
/// Contracts of the node that falls silent.
const LOST: usize = 100;
/// Nodes that are seeded. Later ones are copies of them in turn: each seventh is a copy of the first.
const FIRST: usize = 7;
const KNOWN_WITHIN: Duration = Duration::from_secs(1_200);
const SILENT_WITHIN: Duration = Duration::from_secs(300);
const MOVED_WITHIN: Duration = Duration::from_secs(600);
/// Time for which a node must be offline, by the mandate, before its contracts are moved.
const OFFLINE: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    if asks_for_help(HELP) {
        return Ok(());
    }
    let minutes: u64 = match &env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => 5,
        [minutes] => minutes.parse().context(HELP)?,
        _ => bail!(HELP),
    };
    on_a_run_beside_others("bench-heal", |run| {
        let chain = Chain::start(&run, free_port()?, None)?;
        let nodes = u32::try_from(FIRST * (RENTED + 2))?;
        let seeded = Seeded::start(&chain, nodes, 0)?;
        let node = seeded.ids["nodes"][0].as_u64().context("there is no first node")?;
        let copies: Vec<u64> = (2..RENTED + 2).map(|number| (FIRST * number) as u64).collect();
        seeded.rent(&chain, EACH, &copies)?;
        seeded.rent(&chain, LOST, &[node])?;
        let user = Person::new("//Bob", &chain.url(), run.folder());
        let lost = until_answered(&user, node)?;
        let bot = Bot::start(&run, &chain, &user, &seeded)?;
        bot.until_known()?;
        println!("| what | measured | aim |\n|---|---|---|");
        bot.rests(Duration::from_secs(60 * minutes))?;
        drop(seeded);
        bot.moves(&user, lost)
    })
}

/// Waits until the node has answered for all of its contracts; returns one of them.
fn until_answered(user: &Person, node: u64) -> Result<u64> {
    wait_for("the node to answer for its contracts", KNOWN_WITHIN, || {
        let listed = user.threebot(&["ps"])?;
        let listed = listed["contracts"].as_array().context("there is no list")?;
        let runs = |contract: &&Value| contract["node"] == node && contract["state"] == "deployed";
        let mut running = listed.iter().filter(runs).filter_map(|contract| contract["contract"].as_u64());
        let last = running.next_back();
        Ok(last.filter(|_| running.count() + 1 >= LOST))
    })
}

/// The owner's bot, at work.
struct Bot {
    process: Process,
    person: Person,
    state: String,
}

impl Bot {
    fn start(run: &Run, chain: &Chain, user: &Person, seeded: &Seeded) -> Result<Self> {
        let person = Person::new("//Eve", &chain.url(), run.folder());
        let account = person.threebot(&["twin", "create"])?["account"].clone();
        user.threebot(&["bot", "add", text(&account)?, "--rate", "1000"])?;
        let others = seeded.ids["contracts"].as_object().context("there are no contracts")?;
        let mandate = json!({
            "twin": seeded.ids["twins"]["tenant"],
            "offline": format!("{}s", OFFLINE.as_secs()),
            "max_usd_per_hour": 1_000,
            "without_data": true,
            "exclude": { "contracts": others.values().collect::<Vec<_>>() },
        });
        let file = run.folder().join("mandate.json");
        fs::write(&file, mandate.to_string())?;
        let state = run.folder().join("heal").display().to_string();
        let mut command = person.command()?;
        command.args(["heal", "--state", &state, "--mandate"]).arg(&file);
        Ok(Self { process: Process::start(run, "heal", &mut command)?, person, state })
    }

    fn status(&self) -> Result<Value> {
        self.person.threebot(&["heal", "status", "--state", &self.state])
    }

    /// Waits until it has a copy of each contract.
    fn until_known(&self) -> Result<()> {
        let all = (RENTED * EACH + LOST) as u64;
        wait_for("the bot to know all contracts", KNOWN_WITHIN, || {
            Ok(self.status()?["copies"].as_u64().filter(|copies| *copies >= all))
        })?;
        Ok(())
    }

    /// Measures it while nothing happens.
    fn rests(&self, lasts: Duration) -> Result<()> {
        let (begun, before) = (Instant::now(), self.process.cpu_seconds()?);
        sleep(lasts);
        let share = 100.0 * (self.process.cpu_seconds()? - before) / begun.elapsed().as_secs_f64();
        println!(
            "| processor at rest with {} contracts | {share:.2} % of a core | < 1 % |",
            RENTED * EACH + LOST
        );
        println!("| most memory until then | {} MiB | ≤ 100 MiB |", self.process.memory_mib("VmHWM")?);
        Ok(())
    }

    /// Measures how long it takes to move what a node had that has fallen silent.
    fn moves(&self, user: &Person, lost: u64) -> Result<()> {
        let lost = lost.to_string();
        wait_for("the chain to call the node offline", SILENT_WITHIN, || {
            Ok((user.threebot(&["show", &lost])?["state"] != "deployed").then_some(()))
        })?;
        let begun = Instant::now();
        let moved = || {
            let status = self.status()?;
            let moves = status["moves"].as_array().context("a status has moves")?;
            Ok((moves.iter().filter(|it| !it["new"].is_null()).count() >= LOST).then_some(()))
        };
        wait_for("the bot to move its contracts", MOVED_WITHIN, moved)?;
        let seconds = begun.elapsed().saturating_sub(OFFLINE).as_secs_f64();
        println!(
            "| {LOST} contracts of a silent node moved, after the mandate's wait | {seconds:.0} s | 60 s |"
        );
        println!("| most memory | {} MiB | |", self.process.memory_mib("VmHWM")?);
        Ok(())
    }
}
