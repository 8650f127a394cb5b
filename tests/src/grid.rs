// SPDX-License-Identifier: Apache-2.0

use crate::{
    Agent, Chain, Engine, Footprint, Machine, Person, Registry, Relay, Run, Site, Steps, free_port,
    remember_firewall, text, wait_for,
};
use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use std::{
    net::Ipv4Addr,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    thread,
    time::Duration,
};
use tfgrid_client::{GridClient, peer::NodeAddress};

const GONE_LIMIT: Duration = Duration::from_secs(60);
const ONLINE_LIMIT: Duration = Duration::from_secs(120);

/// Deposit of a grid's user, in 1e-7 TFT.
pub const DEPOSIT: u128 = 100 * 10_000_000;

/// Settings of a grid.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Port of the chain's RPC; a free one if `None`.
    pub port: Option<u16>,
    /// The node's option `--sealing`; slots of 3 s if `None`.
    pub sealing: Option<&'a str>,
    /// What the node offers, as the agent's option `--capacity`; a small machine if `None`.
    pub capacity: Option<&'a str>,
    /// On this machine, which other programs change meanwhile: only items with names of a grid count as left behind.
    /// Tests have machines of their own, and check everything.
    pub ignores_others: bool,
}

/// A grid of one node, with its farmer and a user who has credit.
pub struct Grid {
    run: Run,
    pub agent: Agent,
    pub relay: Relay,
    pub registry: Registry,
    pub engine: Engine,
    pub chain: Chain,
    pub farmer: Person,
    pub user: Person,
    /// The name of a web server's image in the registry.
    pub image: String,
    /// Id of the agent's node.
    pub node: u64,
    ignores_others: bool,
}

impl Grid {
    /// Starts everything and waits until the node has joined.
    pub fn start(run: Run, options: Options<'_>, steps: &Steps) -> Result<Self> {
        remember_firewall(&run)?;
        let (registry, image) =
            steps.take("start an image registry and push an image", || Registry::start_with_image(&run))?;
        steps.note(&image);

        let port = options.port.map_or_else(free_port, Ok)?;
        let chain = steps.take("start a chain", || Chain::start(&run, port, options.sealing))?;
        steps.note(chain.url());

        let farmer = Person::new("//Alice", &chain.url(), run.folder());
        let user = Person::new("//Bob", &chain.url(), run.folder());
        let ticket = steps.take("//Alice opens a farm and a boot ticket, //Bob deposits 100 TFT", || {
            thread::scope(|scope| {
                let joining = scope.spawn(|| user.joins_with_credit());
                let ticket = farmer.opens_a_farm(1);
                joining.join().expect("a command's failure is an error")?;
                ticket
            })
        })?;

        let relay = Relay::start(Ipv4Addr::LOCALHOST)?;
        let (agent, engine, node) = steps.take(
            "boot an agent with the ticket: it makes its storage pool and starts its engine",
            || {
                let agent = Agent::start(&run, &chain.url(), &ticket, options.capacity, &relay)?;
                let node = farmer.waits_for_node()?;
                agent.follows_its_chain()?;
                let engine = agent.engine()?;
                Ok((agent, engine, node))
            },
        )?;
        steps.note(format_args!("node {node} is online"));
        let ignores_others = options.ignores_others;
        Ok(Self { run, agent, relay, registry, engine, chain, farmer, user, image, node, ignores_others })
    }

    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Starts the agent again after it was killed.
    pub fn resume_agent(&mut self) -> Result<()> {
        self.agent.resume(&self.run)
    }

    /// Where the node's peer endpoint is dialled, as the chain has it.
    pub async fn peer_address(&self) -> Result<NodeAddress> {
        let at = GridClient::connect(&self.chain.url()).await?.finalized().await?;
        at.peer(u32::try_from(self.node)?).await?.context("the chain has no node")
    }

    /// Free capacity of the node.
    pub fn free_capacity(&self) -> Result<Value> {
        let found = self.farmer.threebot(&["node", "find"])?;
        Ok(found["nodes"][0]["free"].clone())
    }

    /// Items of this node on the machine.
    pub fn footprint(&self) -> Result<Footprint> {
        let found = Footprint::of_node(&self.engine, self.agent.data())?;
        Ok(if self.ignores_others { found.own() } else { found })
    }

    /// Waits until the machine has no item that isn't in `before`.
    pub fn until_clean(&self, before: &Footprint) -> Result<()> {
        let mut left = Vec::new();
        let waited = wait_for("the node to remove everything of the contract", GONE_LIMIT, || {
            left = self.footprint()?.beyond(before);
            Ok(left.is_empty().then_some(()))
        });
        waited.with_context(|| format!("left: {}", left.join(", ")))
    }

    /// The user deploys the scripts' web server.
    pub fn deploys_a_site(&self) -> Result<Site> {
        self.user.deploys_a_site(self.node, &self.image)
    }

    /// The user cancels a contract; returns once its node has removed everything of it.
    pub fn cancels(&self, contract: &str, before: &Footprint) -> Result<()> {
        self.user.threebot(&["cancel", contract])?;
        self.until_clean(before)
    }
}

impl Person {
    /// Creates a twin and a farm, and opens a ticket for so many nodes.
    pub fn opens_a_farm(&self, nodes: u32) -> Result<String> {
        self.threebot(&["twin", "create"])?;
        let created = self.threebot(&["farm", "create", "the-farm"])?;
        let farm = created["farm"].to_string();
        let opened = self.threebot(&["farm", "ticket", "--farm", &farm, "--nodes", &nodes.to_string()])?;
        Ok(text(&opened["ticket"])?.into())
    }

    /// Creates a twin and deposits [`DEPOSIT`].
    pub fn joins_with_credit(&self) -> Result<()> {
        self.threebot(&["twin", "create"])?;
        self.deposits()
    }

    /// Deposits [`DEPOSIT`].
    pub fn deposits(&self) -> Result<()> {
        self.threebot(&["deposit", &(DEPOSIT / 10_000_000).to_string()])?;
        Ok(())
    }

    /// Waits until this node is online and says what it serves.
    pub fn waits_until_served_by(&self, node: u64) -> Result<()> {
        wait_for(&format!("node {node} to be online and to say what it serves"), ONLINE_LIMIT, || {
            let listed = self.threebot(&["nodes"])?;
            let serves = |listed: &Value| {
                listed["node"] == node && listed["serves"].as_array().is_some_and(|served| !served.is_empty())
            };
            Ok(listed["nodes"].as_array().is_some_and(|nodes| nodes.iter().any(serves)).then_some(()))
        })
    }

    /// Waits until a node is online; returns its id.
    pub fn waits_for_node(&self) -> Result<u64> {
        wait_for("a node to be online and to say what it serves", ONLINE_LIMIT, || {
            let node = &self.threebot(&["node", "find"])?["nodes"][0];
            let serves = node["serves"].as_array().is_some_and(|served| !served.is_empty());
            Ok(node["node"].as_u64().filter(|_| serves))
        })
    }
}

impl Machine {
    /// Runs `scenario` in a new run, and fails if anything is left on the machine however it ends. On failure
    /// the logs stay, and the error names their folder.
    pub fn run<T>(&self, name: &str, scenario: impl FnOnce(Run) -> Result<T>) -> Result<T> {
        self.run_checked(name, |footprint| footprint, scenario)
    }

    /// As [`Self::run`], but only items that `checked` lets through count as left behind.
    fn run_checked<T>(
        &self,
        name: &str,
        checked: fn(Footprint) -> Footprint,
        scenario: impl FnOnce(Run) -> Result<T>,
    ) -> Result<T> {
        let footprint = || Footprint::of_machine().map(checked);
        let mut logs = PathBuf::new();
        let before = footprint()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let run = Run::begin(self, name)?;
            logs = run.logs().into();
            scenario(run)
        }));
        let clean = footprint().and_then(|now| now.ensure_within(&before));
        let outcome = match (outcome, clean) {
            (Ok(Ok(value)), clean) => clean.map(|()| value),
            (Ok(Err(error)), Ok(())) => Err(error),
            (Ok(Err(error)), Err(left)) => Err(error.context(left)),
            (Err(panic), clean) => {
                eprintln!("logs: {}; {clean:?}", logs.display());
                resume_unwind(panic)
            }
        };
        if outcome.is_ok() {
            let _ = std::fs::remove_dir_all(&logs);
        }
        outcome.map_err(|error| anyhow!("{error:#}\nlogs: {}", logs.display()))
    }
}

/// [`Machine::run`] on a machine of this program's own.
pub fn on_a_run<T>(name: &str, scenario: impl FnOnce(Run) -> Result<T>) -> Result<T> {
    Machine::own()?.run(name, scenario)
}

/// [`Machine::run`] on this machine, which other programs change meanwhile: only items with names of a grid count as
/// left behind.
pub fn on_a_run_beside_others<T>(name: &str, scenario: impl FnOnce(Run) -> Result<T>) -> Result<T> {
    Machine::lock()?.run_checked(name, Footprint::own, scenario)
}

/// [`on_a_run`] with a grid on it.
pub fn on_a_grid<T>(
    name: &str,
    options: Options<'_>,
    steps: &Steps,
    scenario: impl FnOnce(&mut Grid) -> Result<T>,
) -> Result<T> {
    let machine = if options.ignores_others { Machine::lock() } else { Machine::own() }?;
    let checked: fn(Footprint) -> Footprint =
        if options.ignores_others { Footprint::own } else { |footprint| footprint };
    machine.run_checked(name, checked, |run| scenario(&mut Grid::start(run, options, steps)?))
}
