// SPDX-License-Identifier: Apache-2.0
//! The node of a contract, asked directly.

use crate::{
    cli::Global,
    commands::deploy::Waiting,
    contract,
    device::DeviceFile,
    heard::Heard,
    output::{Answer, Usage, note},
    session::Session,
    time::stretch,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    pin::Pin,
    slice, thread,
    time::{Duration, Instant},
};
use tfgrid_client::{
    GridAt,
    api::runtime_types::pallet_grid_contracts::types::ContractKind,
    causes::shortened,
    peer::{
        Device, NodeAddress, NodePeer, PeerError,
        protocol::{Ask, FailedCode, MachineStatus, NodeStatus, Status},
    },
    primitives::{ContractId, NodeId, PublicKey},
    units::parse_id,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

/// A node reads its tenants' keys at least this often.
const KNOWN_WITHIN: Duration = Duration::from_secs(45);
/// From one try to the next.
const TRY_EVERY: Duration = Duration::from_millis(300);

/// The contract that a command is about, and the key with which its node is asked.
#[derive(Args)]
pub struct Target {
    /// The contract's id
    #[arg(value_parser = parse_id::<ContractId>)]
    pub contract: ContractId,
    #[command(flatten)]
    device: DeviceFile,
}

/// A node of the caller's farm, and the key with which it is asked.
#[derive(Args)]
pub struct OwnNode {
    /// The node's id
    #[arg(value_parser = parse_id::<NodeId>)]
    node: NodeId,
    #[command(flatten)]
    device: DeviceFile,
}

impl OwnNode {
    /// Connects to the node, which says how it fares. It may need some seconds to learn of a new device.
    pub async fn connect(&self, global: &Global) -> Result<(NodePeer, NodeStatus)> {
        let device = self.device.read()?;
        let at = Session::anonymous(global).await?.grid.finalized().await?;
        let node = self.node;
        let unknown = || format!("no node has the id {node}");
        let farm = at.farm_of_node(node).await?.with_context(unknown)?;
        let farmer = at.farmer(farm).await?.context("the chain has no farmer for the node's farm")?;
        let twin = at.twin(farmer).await?.context("the chain has no twin for the node's farmer")?;
        if !twin.peer_keys.0.contains(&device.public()) {
            bail!(
                "this device isn't one of twin {farmer}, which owns farm {farm} and its node {node}: add it with \
                 `threebot device add` and the farmer's key"
            );
        }
        let address = at.peer(node).await?.with_context(unknown)?;
        connect(&device, node, &address, Some(global.json), |peer| Box::pin(peer.node_status())).await
    }
}

/// The key of this computer, for a command that asks no node.
#[derive(Args)]
pub struct OwnDevice {
    #[command(flatten)]
    device: DeviceFile,
}

impl OwnDevice {
    /// Its public half, `None` if there is none.
    pub fn public(&self) -> Option<PublicKey> {
        self.device.read().ok().map(|device| device.public())
    }
}

/// A connection to the node of a contract.
pub struct Connected {
    pub peer: NodePeer,
    pub status: Status,
    pub contract: ContractId,
}

impl Target {
    pub fn new(contract: ContractId, device: DeviceFile) -> Self {
        Self { contract, device }
    }

    /// The key with which the node is asked.
    pub fn device(&self) -> Result<Device> {
        self.device.read()
    }

    /// Connects to the contract's node, which may need some seconds to learn of a new contract or device.
    pub async fn connect(&self, global: &Global) -> Result<Connected> {
        let device = self.device.read()?;
        let session = Session::anonymous(global).await?;
        let at = session.grid.finalized().await?;
        connected(&at, self.contract, &device, global.json).await
    }
}

/// A connection to the node of a contract whose owner has this device.
pub async fn connected(at: &GridAt, contract: ContractId, device: &Device, json: bool) -> Result<Connected> {
    let (node, address) = address(at, contract, device).await?;
    connect_for(contract, device, node, &address, json).await
}

async fn connect_for(
    contract: ContractId,
    device: &Device,
    node: NodeId,
    address: &NodeAddress,
    json: bool,
) -> Result<Connected> {
    let (peer, status) =
        connect(device, node, address, Some(json), move |peer| Box::pin(peer.status(contract))).await?;
    Ok(Connected { peer, status, contract })
}

/// The node of a contract whose owner has this device.
async fn address(at: &GridAt, contract: ContractId, device: &Device) -> Result<(NodeId, NodeAddress)> {
    let Some(record) = at.contract(contract).await? else {
        return Err(contract::not_open(at, contract).await?);
    };
    let ContractKind::Node(deployment) = record.kind else {
        bail!("contract {contract} has no workloads: it isn't one for a deployment");
    };
    let twin = at.twin(record.twin).await?.context("the chain has no twin for the contract's owner")?;
    if !twin.peer_keys.0.contains(&device.public()) {
        bail!(
            "this device isn't one of twin {}, which owns contract {contract}: add it with `threebot device add` and \
             the owner's key",
            record.twin
        );
    }
    let node = deployment.node;
    let address = at.peer(node).await?.with_context(|| format!("no node has the id {node}"))?;
    Ok((node, address))
}

/// How a contract's workloads fare once the node says that all of them work; `None` if this device can't ask it. What
/// the node tells meanwhile is `heard`, which says goodbye to it.
pub async fn ready(
    session: &Session,
    device: &DeviceFile,
    node: NodeId,
    contract: ContractId,
    heard: &Heard,
) -> Result<Option<Status>> {
    let at = session.grid.finalized().await?;
    let (Ok(device), Some(address)) = (device.read(), at.peer(node).await?) else { return Ok(None) };
    let twin = session.twin(&at).await?;
    if !heard.may_ask(&at, twin, &device).await? {
        return Ok(None);
    }
    let Connected { peer, status, .. } = connect_for(contract, &device, node, &address, session.json).await?;
    // A task of its own: however much the node says, the wait for it ends in time.
    let (peer, mut following) = (heard.keep(peer), JoinSet::new());
    following.spawn(heard.clone().follow(peer.clone(), (contract, None)));
    Ok(Some(until_ready(&peer, contract, status, session.json).await?))
}

async fn until_ready(
    peer: &NodePeer,
    contract: ContractId,
    mut status: Status,
    json: bool,
) -> Result<Status, PeerError> {
    let mut told = Told::default();
    while !status.ready {
        told.tell(&status, json);
        sleep(TRY_EVERY).await;
        status = peer.status(contract).await?;
    }
    Ok(status)
}

/// An answer that is yet to come.
type Answered<'a, T> = Pin<Box<dyn Future<Output = Result<T, PeerError>> + Send + 'a>>;

/// Dials until the node knows the device and answers what it is asked `first`. `json` is whether notes of the wait are
/// JSON, `None` for none.
pub async fn connect<T>(
    device: &Device,
    node: NodeId,
    address: &NodeAddress,
    json: Option<bool>,
    first: impl for<'a> Fn(&'a NodePeer) -> Answered<'a, T>,
) -> Result<(NodePeer, T)> {
    let begun = Instant::now();
    let mut is_told = false;
    loop {
        let error = match NodePeer::connect(device, address).await {
            Ok(peer) => {
                let answer = first(&peer).await;
                match answer {
                    Ok(answer) => return Ok((peer, answer)),
                    Err(error) => {
                        peer.close().await;
                        error
                    }
                }
            }
            Err(error) => error,
        };
        if !is_early(&error) || begun.elapsed() > KNOWN_WITHIN {
            return Err(error).with_context(|| format!("node {node}"));
        }
        if let Some(json) = json.filter(|_| !is_told && begun.elapsed() > 10 * TRY_EVERY) {
            note(&format!("node {node} doesn't know this device, or the contract, yet: waiting"), json);
            is_told = true;
        }
        sleep(TRY_EVERY).await;
    }
}

/// Whether the node may only be some seconds behind.
fn is_early(error: &PeerError) -> bool {
    match error {
        PeerError::Unknown => true,
        PeerError::Failed(failed) => failed.code == FailedCode::NotFound,
        _ => false,
    }
}

/// Bytes that are shown of what a node says of a try.
const TOLD_BYTES: u32 = 512;
/// The most that a node is heard about tries that failed.
const MAX_TOLD: usize = 100;

/// What was told of tries that failed.
#[derive(Default)]
struct Told(BTreeSet<String>);

impl Told {
    fn tell(&mut self, status: &Status, json: bool) {
        let trouble = status.trouble.as_ref().map(|trouble| shortened(trouble, TOLD_BYTES));
        if let Some(trouble) = trouble.filter(|trouble| self.is_new(trouble)) {
            note(&format!("last try: {trouble}"), json);
        }
    }

    /// Whether nothing with these words was told: times and counts in it differ from one try to the next.
    fn is_new(&mut self, trouble: &str) -> bool {
        let words = trouble.replace(|c: char| c.is_ascii_digit(), "");
        // The last try's rejection says how many there were.
        self.0.len() < MAX_TOLD && self.0.insert(words.replace(":  times: ", ": "))
    }
}

/// Waits until these machines of a contract run, and are healthy where that is checked; a job may have finished since
/// it was as `before`, too.
async fn machines_run(
    peer: &NodePeer,
    contract: ContractId,
    machines: &[String],
    before: &BTreeMap<String, MachineStatus>,
    json: bool,
) -> Result<Status, PeerError> {
    let mut told = Told::default();
    loop {
        let status = peer.status(contract).await?;
        let is_done = |name: &String| {
            let machine = status.machines.get(name);
            machine.is_some_and(|machine| runs(machine) || has_finished(machine, before.get(name)))
        };
        if machines.iter().all(is_done) {
            return Ok(status);
        }
        told.tell(&status, json);
        sleep(TRY_EVERY).await;
    }
}

/// Whether a machine runs, and is healthy where that is checked.
fn runs(machine: &MachineStatus) -> bool {
    machine.state == "running" && machine.health.as_ref().is_none_or(|health| health == "healthy")
}

/// Whether a job that isn't started again has run since it was as `before`.
fn has_finished(machine: &MachineStatus, before: Option<&MachineStatus>) -> bool {
    machine.finished.is_some() && machine.run.as_ref() != before.and_then(|before| before.run.as_ref())
}

/// How a job has failed that isn't started again.
fn failure(machine: &MachineStatus) -> Option<&str> {
    machine.ended.as_deref().filter(|_| machine.finished.is_some_and(|code| code != 0))
}

/// A machine that a command tells something.
#[derive(Args)]
pub struct OneMachine {
    #[command(flatten)]
    target: Target,
    /// The machine; needed if there are several
    workload: Option<String>,
}

impl OneMachine {
    /// Asks for what is done at once; `done` says what happens.
    pub async fn tell(self, global: &Global, ask: impl FnOnce(String) -> Ask, done: &str) -> Result<Answer> {
        let connected = self.target.connect(global).await?;
        let (contract, workload) = (connected.contract, connected.machine(self.workload)?);
        let answered = connected.peer.answer(contract, ask(workload.clone())).await;
        connected.done(answered).await?;
        let text = format!("{workload} of contract {contract} {done}");
        Ok(Answer::new(text, json!({ "contract": contract, "workload": workload })))
    }

    /// Starts it, and waits until it runs.
    pub async fn start(self, global: &Global, waiting: &Waiting) -> Result<Answer> {
        let connected = self.target.connect(global).await?;
        let (contract, workload) = (connected.contract, connected.machine(self.workload)?);
        let started = async {
            connected.peer.answer(contract, Ask::Start { workload: workload.clone() }).await?;
            connected.until_it_runs(slice::from_ref(&workload), waiting, global.json).await
        };
        let started = started.await;
        connected.done(Ok(())).await?;
        let machine = started?.and_then(|status| status.machines.get(&workload).cloned());
        let done = match &machine {
            None => "starts".into(),
            Some(MachineStatus { ended: Some(how), .. }) => format!("has run and ended: {how}"),
            Some(_) => "runs".into(),
        };
        let text = format!("{workload} of contract {contract} {done}");
        let state = machine.map(|machine| machine.state);
        Ok(Answer::new(text, json!({ "contract": contract, "workload": workload, "state": state })))
    }
}

impl Connected {
    /// The machine with this name; the only one if there is no name.
    pub fn machine(&self, name: Option<String>) -> Result<String> {
        let names: Vec<_> = self.status.machines.keys().map(String::as_str).collect();
        match (name, &names[..]) {
            (Some(name), _) => Ok(name),
            (None, [only]) => Ok((*only).to_owned()),
            (None, []) => bail!("contract {} has no machine: `threebot status {0}` says why", self.contract),
            (None, names) => {
                let names = names.join(", ");
                bail!(Usage::new(format!(
                    "contract {} has several machines: name one of {names}",
                    self.contract
                )))
            }
        }
    }

    /// Waits until these machines run that were told to since the connection was made, unless nobody wants to; answers
    /// with how they fare then.
    pub async fn until_it_runs(
        &self,
        machines: &[String],
        waiting: &Waiting,
        json: bool,
    ) -> Result<Option<Status>> {
        if waiting.no_wait || machines.is_empty() {
            return Ok(None);
        }
        let (contract, names) = (self.contract, machines.join(", "));
        note(&format!("waiting until {names} of contract {contract} runs"), json);
        let running = machines_run(&self.peer, contract, machines, &self.status.machines, json);
        let Ok(status) = timeout(waiting.timeout, running).await else {
            bail!(
                "after {}: {names} of contract {contract} doesn't run yet; `threebot status {contract}` asks the node \
                 why",
                stretch(waiting.timeout.as_secs())
            );
        };
        let status = status?;
        let failed = machines.iter().find_map(|name| Some((name, failure(status.machines.get(name)?)?)));
        if let Some((name, how)) = failed {
            bail!("{name} of contract {contract} has run and failed: {how}");
        }
        Ok(Some(status))
    }

    /// What the call returns, after the node has been told goodbye.
    pub async fn done<T>(self, result: Result<T, PeerError>) -> Result<T> {
        self.peer.close().await;
        Ok(result?)
    }
}

/// What comes in on the standard input, from a thread of its own: a read of it can't be cancelled.
pub fn standard_input() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(8);
    thread::spawn(move || {
        let mut bytes = vec![0; 32 * 1024];
        while let Ok(count @ 1..) = std::io::stdin().lock().read(&mut bytes) {
            if sender.blocking_send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_that_fails_as_another_one_is_told_once() {
        let mut told = Told::default();
        for (trouble, is_new) in [
            ("WorkloadExited, at /workloads/0: exit code 1: 12:00:01 no key", true),
            ("WorkloadExited, at /workloads/0: exit code 1: 12:00:04 no key", false),
            ("WorkloadExited, at /workloads/0: unhealthy: no answer", true),
            ("WorkloadExited, at /workloads/0: exit code 1: 12:00:09 no key", false),
            ("WorkloadExited, at /workloads/0: 5 times: exit code 1: 12:00:17 no key", false),
        ] {
            assert_eq!(told.is_new(trouble), is_new, "{trouble}");
        }
    }

    #[test]
    fn a_node_that_says_ever_new_things_is_silenced() {
        let mut told = Told::default();
        let is_new = |number: usize| told.is_new(&"x".repeat(number));
        assert_eq!((0..3 * MAX_TOLD).map(is_new).filter(|is_new| *is_new).count(), MAX_TOLD);
    }

    #[test]
    fn the_end_of_an_earlier_run_is_not_that_of_this_one() {
        let job = |run: &str, finished| MachineStatus {
            state: "stopped".into(),
            ended: Some("exit code 3".into()),
            finished,
            run: Some(run.into()),
            ..Default::default()
        };
        let before = job("one", Some(0));
        assert!(!has_finished(&before, Some(&before)));
        assert!(has_finished(&job("two", Some(0)), Some(&before)) && has_finished(&before, None));
        // It is started again.
        assert!(!has_finished(&job("two", None), Some(&before)));
        assert_eq!(
            [Some(0), Some(3), None].map(|code| failure(&job("two", code)).is_some()),
            [false, true, false]
        );
    }

    #[test]
    fn a_machine_whose_check_fails_does_not_run_yet() {
        let machine = |state: &str, health: Option<&str>| MachineStatus {
            state: state.into(),
            health: health.map(Into::into),
            ..Default::default()
        };
        assert!(runs(&machine("running", None)) && runs(&machine("running", Some("healthy"))));
        for (state, health) in [
            ("running", Some("starting")),
            ("running", Some("unhealthy: no answer")),
            ("stopped", None),
            (MachineStatus::STOPPING, None),
            (MachineStatus::HELD, None),
        ] {
            assert!(!runs(&machine(state, health)), "{state} {health:?}");
        }
    }
}
