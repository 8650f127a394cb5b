// SPDX-License-Identifier: Apache-2.0

use crate::{Engine, LogReceiver, Process, Relay, Run, binary, free_port, wait_for};
use anyhow::{Context, Result};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const START_LIMIT: Duration = Duration::from_secs(30);
const FOLLOW_LIMIT: Duration = Duration::from_secs(30);
const JOIN_LIMIT: Duration = Duration::from_secs(120);
/// What stands in the log before the id of a node that has joined.
const JOINED: &str = "joined the farm node=";
const CAPACITY: &str = "cru=8,mru=4GiB,sru=20GiB";
/// Sparse files.
const POOL: &str = "24GiB";
const HDD_POOL: &str = "2GiB";

/// Address at which it publishes sites.
pub const GATEWAY: &str = "127.0.0.81";

/// A node agent with a data folder of its own.
pub struct Agent {
    /// Name of its data folder and of its log.
    name: &'static str,
    data: PathBuf,
    metrics: SocketAddr,
    arguments: Vec<String>,
    /// Arguments about the peer endpoint.
    peer: Vec<String>,
    process: Option<Process>,
}

impl Agent {
    /// Starts an agent that joins with this ticket, with an engine of its own, and can be dialled over the relay, too.
    /// The chain needn't run yet.
    pub fn start(
        run: &Run,
        chain: &str,
        ticket: &str,
        capacity: Option<&str>,
        relay: &Relay,
    ) -> Result<Self> {
        let capacity = capacity.unwrap_or(CAPACITY);
        let dialled = (loopback()?, Some(&*relay.url()));
        Self::start_with(run, "agent", chain, ticket, capacity, dialled, &["--hdd-pool", HDD_POOL])
    }

    /// Starts another agent in the network of the calling thread, with an engine of its own, where it can be dialled at
    /// this address. Its `name` is one of those that `scripts/clean-run.sh` knows.
    pub fn start_other(
        run: &Run,
        name: &'static str,
        chain: &str,
        ticket: &str,
        address: SocketAddr,
        more: &[&str],
    ) -> Result<Self> {
        Self::start_with(run, name, chain, ticket, CAPACITY, (address, None), more)
    }

    /// The same on another engine, which needn't run yet.
    pub fn start_on(run: &Run, chain: &str, engine: &str, ticket: &str) -> Result<Self> {
        fs::write(run.folder().join("agent-engine"), engine)?;
        let more = ["--engine", engine, "--unsafe-engine"];
        Self::start_with(run, "agent", chain, ticket, CAPACITY, (loopback()?, None), &more)
    }

    fn start_with(
        run: &Run,
        name: &'static str,
        chain: &str,
        ticket: &str,
        capacity: &str,
        (address, relay): (SocketAddr, Option<&str>),
        more: &[&str],
    ) -> Result<Self> {
        let data = run.subfolder(name)?;
        let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let ticket_file = run.folder().join(format!("{name}-ticket"));
        fs::write(&ticket_file, ticket)?;
        let arguments = [
            ("--chain", chain.into()),
            ("--data", data.display().to_string()),
            ("--pool", POOL.into()),
            ("--ticket-file", ticket_file.display().to_string()),
            ("--capacity", capacity.into()),
            ("--metrics", metrics.to_string()),
            ("--gateway-bind", GATEWAY.into()),
        ];
        let arguments = arguments.into_iter().flat_map(|(name, value)| [name.into(), value]);
        let more =
            more.iter().chain(&["--unsafe-capacity", "--allow-private-registries", "--allow-private-logs"]);
        let arguments = arguments.chain(more.map(ToString::to_string));
        let mut agent =
            Self { name, data, metrics, arguments: arguments.collect(), peer: Vec::new(), process: None };
        agent.is_dialled_at(address, relay);
        agent.resume(run)?;
        Ok(agent)
    }

    /// Its next starts have the peer endpoint at this address, and over this relay.
    pub fn is_dialled_at(&mut self, address: SocketAddr, relay: Option<&str>) {
        let relay = relay.map(|url| ["--peer-relay".into(), url.into()]);
        self.peer = vec!["--peer".into(), address.to_string()];
        self.peer.extend(relay.into_iter().flatten());
    }

    /// Its next starts have these options, too.
    pub fn gets_options(&mut self, options: &[&str]) {
        self.arguments.extend(options.iter().map(ToString::to_string));
    }

    /// Starts the agent again after [`Self::kill`].
    pub fn resume(&mut self, run: &Run) -> Result<()> {
        let program = binary("zos-agent")?;
        run.note_agent(&program)?;
        let mut command = Command::new(&program);
        command.args(&self.arguments).args(&self.peer).env("SSL_CERT_FILE", LogReceiver::certificate(run)?);
        let process = Process::start(run, self.name, &mut command)?;
        let process = self.process.insert(process);
        wait_for("the agent's metrics", START_LIMIT, || {
            process.ensure_running()?;
            Ok(crate::get(self.metrics, "/metrics").ok())
        })?;
        Ok(())
    }

    /// The node's own engine.
    pub fn engine(&self) -> Result<Engine> {
        Ok(Engine::at(format!("unix://{}/docker.sock", self.run_folder()?.display())))
    }

    /// The folder of its mount points and sockets.
    pub fn run_folder(&self) -> Result<PathBuf> {
        Ok(Path::new("/run/zos").join(self.short_key()?))
    }

    /// What names of its node begin with.
    pub fn short_key(&self) -> Result<String> {
        let log = self.log();
        let key = log.split_once("key=\"").and_then(|(_, after)| after.get(..8));
        Ok(key.context("the agent's log doesn't say its node's key")?.to_owned())
    }

    /// Waits until its node has joined a farm; returns the node's id.
    pub fn joins(&self) -> Result<u64> {
        wait_for("the agent to join a farm", JOIN_LIMIT, || {
            let log = self.log();
            let joined = log.lines().find_map(|line| line.split_once(JOINED));
            Ok(joined.and_then(|(_, node)| node.trim().parse().ok()))
        })
    }

    /// Waits until the agent follows its chain. All its files exist then.
    pub fn follows_its_chain(&self) -> Result<()> {
        wait_for("the agent to follow its chain", FOLLOW_LIMIT, || {
            let metrics = crate::get(self.metrics, "/metrics")?;
            Ok(metrics.lines().any(|line| line == "zos_chain_up 1").then_some(()))
        })
    }

    /// Kills the agent as a crash would. Its workloads keep running.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the agent doesn't run")?.kill()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ensure_running().is_ok())
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Memory that it has, in MiB.
    pub fn memory_mib(&self) -> Result<u64> {
        self.process.as_ref().context("the agent doesn't run")?.memory_mib("VmRSS")
    }

    /// The log of all its starts.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    pub fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    pub fn data(&self) -> &Path {
        &self.data
    }
}

fn loopback() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port()?).into())
}
