// SPDX-License-Identifier: Apache-2.0

//! Two bots of one owner, and a node that dies for good.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use subxt::utils::MultiAddress;
use tfgrid_client::{
    AccountId32, GridClient, Keypair,
    api::{
        self,
        runtime_types::{
            bounded_collections::bounded_vec::BoundedVec,
            pallet_balances::pallet::Call as Balances,
            pallet_grid_billing::{pallet::Call as Billing, types::Limits},
            pallet_grid_contracts::pallet::Call as Contracts,
            tfgrid_primitives::body::Body,
            tfgrid_runtime::RuntimeCall,
        },
    },
    parse_suri,
    primitives::{Resources, units::TFT},
};
use tfgrid_tests::{
    GREETING, Inside, MIB, OtherNode, Person, Process, Steps, ThreeNodes, on_a_run, page_deployment,
    site_network, text, units, wait_for,
};
use tokio::runtime::Runtime;

/// Those of the vectors: secret and public half of the bots' age key.
const IDENTITY: &str = "AGE-SECRET-KEY-1YQSJYGEYY5NZW2PF9G4JCTFW9UCRZV3NXS6NVDEC8YARK0PA8CLSWXGG7Q";
const RECIPIENT: &str = "age1xkq8943ktzqdrth2x2ddlyfp8qu9rmfp528rka0fvhgd9ngkvf2qu2snyf";
const BOTS: [(&str, &str); 2] = [("//Dave", "heal-dave"), ("//Eve", "heal-eve")];
/// How long a node may be offline, beside the time in which the chain notices it.
const OFFLINE: &str = "5s";
/// Limit for the chain to call a node offline, a bot to look, and another node to start the machine.
const MOVED_WITHIN: Duration = Duration::from_secs(180);
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(60);
const PAGE_WITHIN: Duration = Duration::from_secs(90);
/// Limit for a node that is back to remove what it has no contract for.
const REMOVED_WITHIN: Duration = Duration::from_secs(90);

/// Two bots of the grid's user, at work.
struct Bots {
    states: Vec<PathBuf>,
    processes: Vec<Process>,
    mandate: String,
    identity: String,
    /// What they had written down when they were looked at last.
    steps: Vec<String>,
    kills: u32,
}

impl Bots {
    /// Lets them in, before what they are to open is sealed.
    fn are_let_in(grid: &ThreeNodes<'_>) -> Result<()> {
        for (key, _) in BOTS {
            let bot = bot(grid, key);
            let account = grid.asks(&bot, &["twin", "create"])?["account"].clone();
            grid.asks(&bot, &["twin", "seal-key", RECIPIENT])?;
            grid.asks(&grid.user, &["bot", "add", text(&account)?, "--rate", "1"])?;
            grid.asks(&grid.user, &["device", "add", &hex::encode(bot.device_key()?.public())])?;
        }
        Ok(())
    }

    /// Starts both with this mandate, beside the fields that each has.
    fn start(grid: &ThreeNodes<'_>, mandate: &Value) -> Result<Self> {
        let mut all = json!({ "offline": OFFLINE, "max_usd_per_hour": 1, "placement": { "spread": true } });
        all["twin"] = grid.asks(&grid.user, &["twin", "show"])?["twin"].clone();
        for (field, value) in mandate.as_object().context("a mandate has fields")? {
            all[field] = value.clone();
        }
        let mandate = grid.file("mandate", &all)?;
        let identity = private_file(&grid.run.folder().join("bots.age"), IDENTITY)?;
        let states: Vec<_> = BOTS.iter().map(|(_, name)| grid.run.folder().join(name)).collect();
        let (processes, steps) = (Vec::new(), vec![String::new(); BOTS.len()]);
        let mut bots = Self { states, processes, mandate, identity, steps, kills: 0 };
        for index in 0..BOTS.len() {
            let process = bots.process(grid, index)?;
            bots.processes.push(process);
        }
        Ok(bots)
    }

    /// Starts one of them.
    fn process(&self, grid: &ThreeNodes<'_>, index: usize) -> Result<Process> {
        let (key, name) = BOTS[index];
        let mut command = bot(grid, key).command()?;
        command.args(["heal", "--mandate", &self.mandate, "--identity", &self.identity, "--state"]);
        command.arg(&self.states[index]);
        grid.on_laptop(|| Process::start(grid.run, name, &mut command))
    }

    /// Kills each bot that has written down a step since the last look, and starts it again. The second bot is spared
    /// before it sends its transaction: if both were killed then, nothing would be moved for the next 256 blocks.
    fn are_killed_after_steps(&mut self, grid: &ThreeNodes<'_>) -> Result<()> {
        for index in 0..BOTS.len() {
            let mut steps = steps_of(&self.states[index])?;
            if index > 0 {
                steps = steps.replace("\"intended\"", "");
            }
            if steps != self.steps[index] {
                self.processes.remove(index).kill()?;
                let process = self.process(grid, index)?;
                self.processes.insert(index, process);
                self.steps[index] = steps;
                self.kills += 1;
            }
        }
        Ok(())
    }

    /// The moves that they have carried out.
    fn moves(&self, grid: &ThreeNodes<'_>) -> Result<Vec<Value>> {
        let mut moves = Vec::new();
        // One that has just been started hasn't made its folder yet.
        for state in self.states.iter().filter(|state| state.join("lock").exists()) {
            let status =
                grid.asks(&grid.user, &["heal", "status", "--state", &state.display().to_string()])?;
            let its = status["moves"].as_array().context("a status has moves")?;
            moves.extend(its.iter().filter(|it| it["step"] == "done").cloned());
        }
        Ok(moves)
    }

    fn ensure_running(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::ensure_running)
    }
}

/// How far the moves in a bot's folder are.
fn steps_of(state: &Path) -> Result<String> {
    let mut steps = String::new();
    for file in fs::read_dir(state.join("moves")).into_iter().flatten() {
        let file = file?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            // One that doesn't come about is struck out.
            let Ok(text) = fs::read(file) else { continue };
            let it: Value = serde_json::from_slice(&text)?;
            steps += &it["step"].to_string();
        }
    }
    Ok(steps)
}

fn bot(grid: &ThreeNodes<'_>, key: &str) -> Person {
    Person::new(key, &grid.chain.url(), grid.run.folder())
}

/// A file that its user alone reads; its path.
fn private_file(file: &Path, content: &str) -> Result<String> {
    let mut created = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    writeln!(created, "{content}")?;
    Ok(file.display().to_string())
}

/// A part with a web server of this name, whose disk gets a mark when it is new, in the network `site`.
fn part(grid: &ThreeNodes<'_>, name: &str, range: u8) -> Result<Value> {
    let mut part = page_deployment(&grid.image, 1);
    part["workloads"][1]["name"] = name.into();
    part["workloads"][1]["data"]["interfaces"] = json!([{ "network": "site" }]);
    part["workloads"].as_array_mut().context("there are no workloads")?.push(site_network(range));
    Ok(json!({ "workloads": part["workloads"] }))
}

/// An open contract of a part of the user's application; `None` while there is none that runs.
fn runs(grid: &ThreeNodes<'_>, part: &str) -> Result<Option<Value>> {
    let listed = grid.asks(&grid.user, &["ps"])?;
    let listed = listed["contracts"].as_array().context("there is no list")?;
    let its: Vec<_> = listed.iter().filter(|contract| contract["part"] == part).collect();
    ensure!(its.len() <= 1, "{part} runs twice: {its:?}");
    Ok(its.into_iter().find(|contract| contract["state"] == "deployed").cloned())
}

/// Position of the node of a contract.
fn host_of(grid: &ThreeNodes<'_>, contract: &Value) -> Result<usize> {
    let is_its = |node: &OtherNode| contract["node"] == node.id;
    grid.nodes.iter().position(is_its).with_context(|| format!("no host has the node of {contract}"))
}

/// The page of `db` as the machine of `web` finds it by name, and the mark of its disk.
fn mark_of_db(web: &Inside, within: Duration) -> Result<String> {
    let mut last = String::new();
    let page = wait_for("the page of the database by its name", within, || {
        let page = web.page("db");
        last = format!("{page:?}");
        Ok(page.ok().filter(|page| page.lines().count() >= 3))
    });
    let page = page.with_context(|| format!("the last answer: {last}"))?;
    ensure!(page.starts_with(GREETING), "its secrets weren't opened: {page}");
    Ok(page.lines().nth(2).context("there is no mark")?.to_owned())
}

/// Kills the agent, and all machines of its node.
fn dies(node: &mut OtherNode) -> Result<()> {
    let engine = node.agent.engine()?;
    node.agent.kill()?;
    for container in engine.docker(&["ps", "--quiet"])?.lines() {
        engine.docker(&["kill", container])?;
    }
    Ok(())
}

/// The node comes back, and removes what ran there.
fn comes_back(grid: &mut ThreeNodes<'_>, host: usize) -> Result<()> {
    let run = grid.run;
    let node = &mut grid.nodes[host];
    grid.world.hosts[host].on(|| node.agent.resume(run))?;
    let engine = grid.nodes[host].agent.engine()?;
    wait_for("the node to remove what has been moved", REMOVED_WITHIN, || {
        let left = engine.docker(&["ps", "--all", "--quiet", "--filter", "label=zos.workload=db"])?;
        Ok(left.is_empty().then_some(()))
    })
}

/// An application of two parts; the node of `db` dies, and comes back after `db` runs elsewhere. `meanwhile` is
/// repeated until then. Returns the marks of the disk before and after.
fn a_node_dies(
    grid: &mut ThreeNodes<'_>,
    mandate: &Value,
    prepare: fn(&ThreeNodes<'_>, &Value) -> Result<()>,
    meanwhile: fn(&mut Bots, &ThreeNodes<'_>) -> Result<()>,
) -> Result<(String, String, Bots)> {
    Bots::are_let_in(grid)?;
    let parts = json!({ "db": part(grid, "db", 1)?, "web": part(grid, "web", 2)? });
    let shop =
        grid.file("shop", &json!({ "version": 1, "name": "shop", "spread": "node", "parts": parts }))?;
    grid.asks(&grid.user, &["deploy", "-f", &shop])?;
    let (db, web) = (runs(grid, "db")?, runs(grid, "web")?);
    let (db, web) = db.zip(web).context("the application doesn't run")?;
    let web = Inside::machine(&grid.nodes[host_of(grid, &web)?].agent, "web")?;
    let before = mark_of_db(&web, PAGE_WITHIN)?;
    let mut bots = Bots::start(grid, mandate)?;
    prepare(grid, &db)?;

    let dead = host_of(grid, &db)?;
    dies(&mut grid.nodes[dead])?;
    let moved = wait_for("the database to run on another node", MOVED_WITHIN, || {
        bots.ensure_running()?;
        meanwhile(&mut bots, grid)?;
        Ok(runs(grid, "db")?.filter(|now| now["contract"] != db["contract"]))
    })?;
    ensure!(moved["node"] != db["node"], "it is on the dead node again");
    wait_for("a bot to write down that it runs", PAGE_WITHIN, || {
        meanwhile(&mut bots, grid)?;
        Ok((bots.moves(grid)?.len() == 1).then_some(()))
    })?;
    let after = mark_of_db(&web, PAGE_WITHIN)?;

    let old = db["contract"].to_string();
    let closed = grid.asks(&grid.user, &["show", &old])?;
    ensure!(closed["state"] == "closed" && closed["reason"] == "Cancelled", "{closed}");
    comes_back(grid, dead)?;
    let now = runs(grid, "db")?.context("the database doesn't run any more")?;
    ensure!(now["contract"] == moved["contract"], "it was moved back");
    let paid = grid.asks(&grid.user, &["show", &old])?;
    ensure!(paid["charged_tft_1e7"] == closed["charged_tft_1e7"], "it was paid twice: {paid}");
    bots.ensure_running()?;
    ensure!(bots.moves(grid)?.len() == 1, "both bots have moved it");
    Ok((before, after, bots))
}

/// What a stolen key of a bot can't do for its owner.
fn a_stolen_key_is_worth_little(grid: &ThreeNodes<'_>) -> Result<()> {
    let account = grid.asks(&grid.user, &["twin", "show"])?["account"].clone();
    let owner: AccountId32 = text(&account)?.parse().ok().context("the account isn't one")?;
    // What runs costs more already.
    grid.asks(&grid.user, &["limits", "--rate", "0.0001"])?;
    let (before, limits) = (grid.asks(&grid.user, &["balance"])?, grid.asks(&grid.user, &["limits"])?);
    let contracts = grid.asks(&grid.user, &["ps"])?;
    let db = runs(grid, "db")?.context("the database doesn't run")?;
    let node = u32::try_from(db["node"].as_u64().context("it has no node")?)?;
    let thief = parse_suri(BOTS[0].0)?;
    let to = MultiAddress::Id(thief.account());
    let body = Body::Plain(page_deployment(&grid.image, 1).to_string().into_bytes());
    let little = Resources { cru: 1, mru: 64 * MIB, sru: 128 * MIB, ..Resources::ZERO };
    let calls = [
        RuntimeCall::Balances(Balances::transfer_allow_death { dest: to, value: TFT }),
        RuntimeCall::Billing(Billing::withdraw { amount: TFT }),
        RuntimeCall::Billing(Billing::set_limits {
            limits: Limits { max_usd_rate: u64::MAX, max_extra_fee: 0, refill_per_30_days: 0 },
        }),
        RuntimeCall::Contracts(Contracts::create_node_contract {
            node,
            resources: little.into(),
            body,
            public_ips: 0,
            networks: BoundedVec(Vec::new()),
            traffic_gb: 0,
            max_usd_rate: u64::MAX,
        }),
    ];
    let url = grid.chain.url();
    Runtime::new()?.block_on(async {
        let chain = GridClient::connect(&url).await?;
        for call in calls {
            let call = api::transactions().proxy().proxy(MultiAddress::Id(owner), None, call);
            is_refused(&chain, &call, &thief).await?;
        }
        anyhow::Ok(())
    })?;
    ensure!(grid.asks(&grid.user, &["limits"])? == limits, "the limits have changed");
    let after = grid.asks(&grid.user, &["balance"])?;
    ensure!(
        units(&after["free_tft_1e7"])? >= units(&before["free_tft_1e7"])?,
        "{before} before, {after} after"
    );
    let count = |listed: &Value| listed["contracts"].as_array().map(Vec::len);
    ensure!(count(&grid.asks(&grid.user, &["ps"])?) == count(&contracts), "something was created");
    Ok(())
}

/// A bot's keys open what is sealed to it, and nothing that is sealed after its owner has removed it.
fn a_stolen_key_opens_what_is_its_own(grid: &ThreeNodes<'_>) -> Result<()> {
    grid.asks(&grid.user, &["limits", "--rate", "1"])?;
    let identity = grid.run.folder().join("bots.age").display().to_string();
    let thief = bot(grid, BOTS[0].0);
    let body_of = |contract: &Value| {
        let shown = grid.asks(&thief, &["show", &contract.to_string(), "--identity", &identity])?;
        Ok::<_, anyhow::Error>(text(&shown["body"])?.to_owned())
    };
    let db = runs(grid, "db")?.context("the database doesn't run")?;
    ensure!(body_of(&db["contract"])?.contains(GREETING), "a bot can't read what it is to move");
    for (key, _) in BOTS {
        let account = parse_suri(key)?.account().to_string();
        let removed = grid.asks(&grid.user, &["bot", "remove", &account])?;
        ensure!(text(&removed["note"])?.contains("may know for good"), "{removed}");
    }
    let later = page_deployment(&grid.image, 1);
    let later = wait_for("the old node to take contracts again", PAGE_WITHIN, || {
        Ok(grid.deploys(&grid.user, 0, "later", &later, &["--no-wait"]).ok())
    })?;
    let body = body_of(&later["contract"])?;
    ensure!(!body.contains(GREETING), "a removed bot reads what was sealed since: {body}");
    Ok(())
}

/// Submits a call by proxy, which succeeds; what it calls doesn't.
async fn is_refused(
    chain: &GridClient,
    call: &impl subxt::transactions::Payload,
    thief: &Keypair,
) -> Result<()> {
    let included = chain.submit("a stolen call", call, thief).await?;
    let executed = included.events.find_first::<api::proxy::events::ProxyExecuted>();
    match executed.context("there is no event of the proxy")??.result {
        Ok(()) => bail!("a stolen key may do it"),
        Err(_) => Ok(()),
    }
}

/// Waits until there is a snapshot of the database.
fn until_snapshot(grid: &ThreeNodes<'_>, db: &Value) -> Result<()> {
    let folder = grid.run.folder().join("backups").join(db["contract"].to_string()).join("data");
    wait_for("a snapshot of the database", SNAPSHOT_WITHIN, || {
        let whole = fs::read_dir(&folder).into_iter().flatten().flatten();
        Ok(whole.into_iter().any(|taken| taken.path().join("manifest").exists()).then_some(()))
    })
}

#[test]
fn a_dead_nodes_contract_runs_elsewhere_and_once() -> Result<()> {
    on_a_run("heal", |run| {
        let steps = Steps::silent();
        let mut grid = ThreeNodes::start(&run, &steps)?;
        let mandate = json!({ "without_data": true });
        let (before, after, _) = a_node_dies(&mut grid, &mandate, |_, _| Ok(()), |_, _| Ok(()))?;
        ensure!(before != after, "the disk is that of the dead node");
        a_stolen_key_is_worth_little(&grid).context("a stolen key")?;
        a_stolen_key_opens_what_is_its_own(&grid).context("a stolen age key")
    })
}

#[test]
fn a_database_has_the_rows_of_its_last_snapshot() -> Result<()> {
    on_a_run("heal-data", |run| {
        let steps = Steps::silent();
        let mut grid = ThreeNodes::start(&run, &steps)?;
        let place = run.folder().join("backups");
        fs::create_dir_all(&place)?;
        let command = json!({ "part": "shop/db", "machine": "db", "before": "echo noted > /data/noted" });
        let snapshots = json!({ "snapshots": {
            "place": place.display().to_string(), "every": "10s", "keep": { "last": 3 }, "commands": [command],
        }});
        let (before, after, bots) =
            a_node_dies(&mut grid, &snapshots, until_snapshot, Bots::are_killed_after_steps)?;
        ensure!(before == after, "the mark was {before}, and is {after}");
        ensure!(bots.kills > 0, "no bot was killed");
        let (db, noted) =
            (runs(&grid, "db")?.context("the database doesn't run")?, run.folder().join("noted"));
        let [contract, file] = [db["contract"].to_string(), noted.display().to_string()];
        grid.asks(&grid.user, &["cp", &contract, "db:/data/noted", &file])?;
        ensure!(fs::read_to_string(noted)? == "noted\n", "the command ran before no snapshot");
        Ok(())
    })
}
