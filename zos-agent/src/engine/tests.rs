// SPDX-License-Identifier: Apache-2.0
//! The engine with follower, outbox and meter, on a chain and a host in memory.

use super::*;
use crate::{
    chain::{Body, ContractState, Follower, Outbox, OutboxInputs, Report, Topic, fake::FakeChain},
    drivers::{
        Condition, MachineUsage,
        fake::{FakeHost, Image},
        pool::PoolFault,
    },
    store::Store,
    usage::{Meter, MeterInputs},
};
use prometheus::Registry;
use std::path::Path;
use tempfile::TempDir;
use tfgrid_client::deployment::DiskKind;
use tfgrid_primitives::{FailureCode, UsageTotals, report::DetailsPayload};
use tokio::task::JoinSet;

mod gateways;
mod jobs;
mod kills;
mod networks;
mod offline;
mod public;
mod releases;
mod sealed;
mod tries;
mod updates;

const LIMIT: Duration = Duration::from_secs(20);

/// A node with an agent that can be killed and started.
struct Node {
    chain: FakeChain,
    host: FakeHost,
    data: TempDir,
    timing: Timing,
    agent: Option<Agent>,
}

struct Agent {
    tasks: JoinSet<()>,
    /// Reports of its engine.
    reports: watch::Receiver<Reports>,
    /// What was done to machines.
    events: mpsc::Receiver<(WorkloadId, String)>,
    /// What owners have stopped.
    holds: Holds,
    /// Keep the outbox listening.
    _details: watch::Sender<Option<DetailsPayload>>,
    _falls_asleep: watch::Sender<bool>,
}

impl Node {
    fn new() -> Self {
        Self {
            chain: FakeChain::new(),
            host: FakeHost::new(),
            data: tempfile::tempdir().unwrap(),
            timing: Timing {
                observe_every: Duration::from_millis(100),
                ready_after: Duration::from_millis(10),
                stable_after: Duration::from_millis(50),
                backoff: Backoff { first: Duration::from_millis(2), most: Duration::from_millis(10) },
                ..Timing::default()
            },
            agent: None,
        }
    }

    /// A node whose agent runs.
    fn running() -> Self {
        let mut node = Self::new();
        node.start();
        node
    }

    fn start(&mut self) {
        self.agent = Some(agent(&self.chain, &self.host, self.data.path(), self.timing.clone()));
    }

    /// As `kill -9` does.
    async fn kill(&mut self) {
        self.agent.take().unwrap().tasks.shutdown().await;
    }

    /// Waits until the condition holds. Checks it whenever the chain or the host changes.
    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let (mut changes, mut blocks) = (self.host.changes(), self.chain.blocks());
        let mut points = self.host.points.changes();
        let holds = async {
            while !condition(self) {
                tokio::select! {
                    changed = changes.changed() => changed.unwrap(),
                    changed = blocks.changed() => changed.unwrap(),
                    changed = points.changed() => changed.unwrap(),
                }
            }
        };
        if timeout(LIMIT, holds).await.is_err() {
            panic!("timed out waiting until {what}; changes: {:#?}", self.host.log());
        }
    }

    async fn until_deployed(&self, contract: ContractId) {
        self.until(&format!("contract {contract} is deployed"), |node| {
            node.chain.contract_state(contract) == Some(ContractState::Deployed)
        })
        .await;
    }

    async fn until_deployed_in_version(&self, contract: ContractId, version: u32) {
        self.until(&format!("version {version} of contract {contract} is deployed"), |node| {
            node.chain.active(contract) == Some(version)
                && node.chain.contract_state(contract) == Some(ContractState::Deployed)
        })
        .await;
    }

    /// Waits until the agent has acted on the present state of the chain: another contract was deployed,
    /// closed and removed.
    async fn until_another_came_and_went(&self) {
        const OTHER: ContractId = 99;
        let gone_before = self.times("remove network 99");
        self.chain.deploy(OTHER, &machine("other", "localhost/other:1"));
        self.until_deployed(OTHER).await;
        self.chain.close(OTHER);
        self.until("the other is gone", |node| node.times("remove network 99") > gone_before).await;
    }

    /// The version of which progress is to be reported.
    fn reported_progress(&self, contract: ContractId) -> Option<u32> {
        match self.agent.as_ref()?.reports.borrow().get(&Topic::Progress(contract))? {
            Report::Progress { version, .. } => Some(*version),
            other => panic!("progress expected: {other:?}"),
        }
    }

    fn did(&self, what: &str) -> bool {
        self.times(what) > 0
    }

    fn times(&self, what: &str) -> usize {
        self.host.log().iter().filter(|line| *line == what).count()
    }

    fn failure(&self) -> Option<(FailureCode, String)> {
        match self.chain.reports("failed").pop()? {
            Report::Failed { failure, .. } => {
                Some((failure.code, String::from_utf8(failure.path.into_inner()).unwrap()))
            }
            _ => None,
        }
    }

    fn failure_text(&self) -> String {
        match self.chain.reports("failed").pop() {
            Some(Report::Failed { failure, .. }) => String::from_utf8(failure.text.into_inner()).unwrap(),
            other => panic!("failure expected: {other:?}"),
        }
    }

    async fn until_failed(&self) -> (FailureCode, String) {
        self.until("a failure is reported", |node| node.failure().is_some()).await;
        self.failure().unwrap()
    }
}

fn agent(chain: &FakeChain, host: &FakeHost, data: &Path, timing: Timing) -> Agent {
    let chain: Arc<dyn Chain> = Arc::new(chain.clone());
    let host = Arc::new(host.clone());
    let drivers = Drivers {
        machines: host.clone(),
        volumes: host.clone(),
        networks: host.clone(),
        addresses: host.clone(),
        gateways: host.clone(),
        firewall: host.clone(),
    };
    let store = Store::open(data).unwrap();
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let (snapshots, snapshots_rx) = watch::channel(None);
    let (reports, reports_rx) = watch::channel(Reports::new());
    let (engine_up, engine_up_rx) = watch::channel(false);
    let (observed, observed_rx) = watch::channel(Arc::default());
    let (usage, usage_rx) = watch::channel(Vec::new());
    let (_details, details) = watch::channel(None);
    let (_falls_asleep, falls_asleep) = watch::channel(false);

    let (key, backoff) = (seal_key(), timing.backoff);
    let follower =
        Follower::new(chain.clone(), key.clone(), store.clone(), metrics.clone(), snapshots, backoff)
            .unwrap();
    let inputs = OutboxInputs {
        reports: reports_rx.clone(),
        engine_up: engine_up_rx,
        falls_asleep,
        details,
        usage: usage_rx,
        snapshots: snapshots_rx.clone(),
    };
    let outbox = Outbox::new(chain.clone(), 1, store.clone(), inputs, metrics.clone()).unwrap();
    let (standings, (done, events)) = (watch::channel(Arc::default()).0, mpsc::channel(100));
    let inputs = MeterInputs {
        chain: chain.clone(),
        counters: vec![host.clone()],
        observed: observed_rx,
        snapshots: snapshots_rx.clone(),
        metrics: metrics.clone(),
    };
    let meter = Meter::load(host.clone(), inputs, usage, done.clone(), store.clone()).unwrap();
    let memory = Memory::load(store, &key).unwrap();
    let holds = memory.holds().clone();
    let outputs = Outputs { reports, engine_up, observed, standings, done };
    let engine = Engine::new(chain, drivers, snapshots_rx, outputs, memory, timing, metrics);

    let mut tasks = JoinSet::new();
    tasks.spawn(follower.run());
    tasks.spawn(outbox.run());
    tasks.spawn(meter.run());
    tasks.spawn(engine.run());
    Agent { tasks, reports: reports_rx, events, holds, _details, _falls_asleep }
}

/// The node's key for sealed bodies.
fn seal_key() -> SealKey {
    SealKey::new(&[7; 32]).unwrap()
}

fn machine(name: &str, image: &str) -> String {
    machines(&[(name, image)])
}

/// A deployment of machines with these names and images.
fn machines(machines: &[(&str, &str)]) -> String {
    let workload = |(name, image): &(&str, &str)| {
        format!(
            r#"{{"name":"{name}","type":"zmachine","data":{{"image":"{image}","cpu":1,"memory":16777216}}}}"#
        )
    };
    let workloads: Vec<String> = machines.iter().map(workload).collect();
    format!(r#"{{"version":1,"workloads":[{}]}}"#, workloads.join(","))
}

fn web_with_data(mib: u64, greeting: &str) -> String {
    format!(
        r#"{{"version":1,"workloads":[
            {{"name":"data","type":"zmount","data":{{"size":{}}}}},
            {{"name":"web","type":"zmachine","data":{{"image":"localhost/web:1","cpu":1,"memory":16777216,
                "env":{{"GREETING":"{greeting}"}},"mounts":[{{"name":"data","path":"/data"}}]}}}}]}}"#,
        mib << 20
    )
}

#[tokio::test]
async fn a_contract_is_deployed_and_its_result_reported() {
    let node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    assert_eq!(node.host.log(), ["pull localhost/web:1", "ensure 1-data", "create 1-web", "start 1-web"]);
    match &node.chain.reports("deployed")[..] {
        [Report::Deployed { contract: 1, version: 1, body_hash, result }] => {
            assert_ne!(*body_hash, [0; 32]);
            assert_eq!(String::from_utf8_lossy(result), r#"{"web":{"ip":"172.30.1.2"}}"#);
        }
        other => panic!("one report expected: {other:?}"),
    }
}

#[tokio::test]
async fn a_deployment_may_consist_of_volumes_alone() {
    let node = Node::running();
    let body = r#"{"version":1,"workloads":[{"name":"data","type":"zmount","data":{"size":16777216}}]}"#;
    node.chain.deploy(1, body);
    node.until_deployed(1).await;
    assert!(node.host.volume(1, "data").is_some());
}

#[tokio::test]
async fn a_bad_body_is_reported_with_code_and_path() {
    let too_much = machine("web", "localhost/web:1").replace(r#""cpu":1"#, r#""cpu":5"#);
    let no_registry = machine("web", "web");
    for (body, code, path) in [
        (Body::Plain(b"{".to_vec()), FailureCode::BodyNotJson, ""),
        (Body::Plain(no_registry.into_bytes()), FailureCode::BodyInvalid, "/workloads/0/data/image"),
        (Body::Plain(too_much.into_bytes()), FailureCode::OverReserved, "/workloads"),
    ] {
        let node = Node::running();
        node.chain.deploy_with(1, body);
        assert_eq!(node.until_failed().await, (code, path.to_string()));
        assert_eq!(node.host.log(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_reported_at_once() {
    use FailureCode::*;
    for code in [ImageNotFound, ImageDenied, ImageTooLarge, NodeFull] {
        let node = Node::running();
        node.host.image("localhost/web:1", Image::Refused(code));
        node.chain.deploy(1, &web_with_data(16, "hello"));
        assert_eq!(node.until_failed().await, (code, "/workloads/1/data/image".to_string()));
        assert_eq!(node.failure_text(), "says the registry");
        assert_eq!((node.times("pull localhost/web:1"), node.times("start 1-web")), (1, 0));
    }
}

#[tokio::test]
async fn a_transient_failure_is_retried_until_it_passes() {
    let node = Node::running();
    node.host.image("localhost/web:1", Image::Flaky(4));
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    assert_eq!(node.times("pull localhost/web:1"), 5);
    assert_eq!(node.failure(), None);
}

#[tokio::test]
async fn a_machine_that_never_gets_ready_is_given_up() {
    let node = Node::running();
    node.host.crash("web", true);
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    let expected = (FailureCode::WorkloadExited, "/workloads/0".to_string());
    assert_eq!(node.until_failed().await, expected);
    assert_eq!(node.failure_text(), "5 times: exit code 1: [31mno configuration");
    assert_eq!(node.times("start 1-web"), 5);
    node.until("it is removed", |node| node.host.is_empty()).await;
}

#[tokio::test]
async fn a_machine_that_was_ready_is_restarted_for_ever() {
    let node = Node::running();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    node.host.crash("web", true);
    node.host.exit(1, "web");
    node.until("it was started often", |node| node.times("start 1-web") >= 10).await;
    node.host.crash("web", false);
    node.until("it runs", |node| node.host.is_running(1, "web")).await;
    assert_eq!(node.failure(), None);
    assert_eq!(node.times("pull localhost/web:1"), 1);
}

#[tokio::test]
async fn a_killed_agent_adopts_its_running_workloads() {
    let mut node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    let instance = node.host.instance(1, "web");
    node.kill().await;
    assert!(node.host.is_running(1, "web"));

    node.start();
    node.until_another_came_and_went().await;
    assert_eq!(node.host.instance(1, "web"), instance);
    assert_eq!((node.times("start 1-web"), node.times("ensure 1-data")), (1, 1));
}

#[tokio::test]
async fn a_deployment_continues_after_the_agent_was_killed() {
    let mut node = Node::running();
    node.host.image("localhost/web:1", Image::Stuck);
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until("the image is being pulled", |node| node.did("pull localhost/web:1")).await;
    node.kill().await;
    node.host.image("localhost/web:1", Image::Flaky(0));
    node.start();
    node.until_deployed(1).await;
}

#[tokio::test]
async fn machines_stopped_by_a_reboot_are_started_again() {
    let mut node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.kill().await;
    node.host.reboot();
    node.start();
    node.until("it runs again", |node| node.host.is_running(1, "web")).await;
    assert!(node.host.volume(1, "data").is_some());
}

#[tokio::test]
async fn a_closed_contract_leaves_nothing_behind() {
    let node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.chain.close(1);
    node.until("nothing is left", |node| node.host.is_empty()).await;
    let log = node.host.log();
    assert_eq!(log[log.len() - 3..], ["remove 1-web", "delete 1-data", "remove network 1"]);
}

#[tokio::test]
async fn a_contract_closed_while_the_agent_was_off_is_removed() {
    let mut node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.kill().await;
    node.chain.close(1);
    node.start();
    node.until("nothing is left", |node| node.host.is_empty()).await;
}

#[tokio::test]
async fn a_contract_that_vanishes_without_a_record_keeps_running() {
    let node = Node::running();
    let body = web_with_data(16, "hello");
    node.chain.deploy(1, &body);
    node.until_deployed(1).await;
    node.chain.lose(1);
    node.until_another_came_and_went().await;
    assert!(node.host.is_running(1, "web"));
    assert!(!node.did("remove 1-web") && !node.did("stop 1-web") && !node.did("delete 1-data"));

    node.chain.deploy(1, &body);
    node.until_deployed(1).await;
    assert_eq!(node.times("start 1-web"), 1);
}

#[tokio::test]
async fn the_end_of_a_quarantine_stops_machines_but_keeps_data() {
    let mut node = Node::new();
    node.timing.quarantine = Duration::ZERO;
    node.start();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.chain.lose(1);
    node.until("it stops", |node| !node.host.is_running(1, "web")).await;
    node.until_another_came_and_went().await;
    assert!(node.host.volume(1, "data").is_some() && !node.did("remove 1-web"));
}

#[tokio::test]
async fn a_stale_head_proves_no_end() {
    let node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.chain.age_by(301_000);
    node.chain.close(1);
    node.chain.deploy(2, &machine("other", "localhost/other:1"));
    node.until_deployed(2).await;
    assert!(node.host.is_running(1, "web") && !node.did("delete 1-data"));

    node.chain.age_by(0);
    node.chain.advance();
    node.until("contract 1 is removed", |node| node.did("remove network 1")).await;
}

#[tokio::test]
async fn a_head_seen_before_the_start_proves_no_end() {
    let mut node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.kill().await;
    let head = *node.chain.blocks().borrow();
    let seen = serde_json::json!({ "number": head.number, "hash": head.hash });
    Store::open(node.data.path()).unwrap().write("head.json", &seen).unwrap();

    node.chain.refuse_reports(true);
    node.chain.claim_closed(1);
    node.start();
    node.until("the agent has observed twice", |node| node.host.observations_after("start 1-web") >= 2).await;
    assert!(!node.did("delete 1-data") && !node.did("remove 1-web"));

    node.chain.advance();
    node.until("a new head proves it", |node| node.did("remove network 1")).await;
}

#[tokio::test]
async fn a_paused_contract_stops_and_resumes_with_its_data() {
    let node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    for round in 1..=6 {
        node.chain.pause(1, true);
        node.until("it stops", |node| node.times("stop 1-web") == round).await;
        assert!(node.host.volume(1, "data").is_some());
        node.chain.pause(1, false);
        node.until("it runs again", |node| node.times("start 1-web") == round + 1).await;
    }
    assert!(!node.did("remove 1-web") && !node.did("delete 1-data"));
    assert_eq!(node.failure(), None);
}

#[tokio::test]
async fn a_slow_pull_delays_no_other_contract() {
    let node = Node::running();
    node.host.image("localhost/huge:1", Image::Stuck);
    node.chain.deploy(1, &machine("web", "localhost/huge:1"));
    node.until("the pull began", |node| node.did("pull localhost/huge:1")).await;
    for contract in 2..6 {
        node.chain.deploy(contract, &machine("web", "localhost/web:1"));
    }
    for contract in 2..6 {
        node.until_deployed(contract).await;
    }
    node.chain.close(1);
    node.until("the pull is given up", |node| node.did("cancel localhost/huge:1")).await;
    assert!(!node.did("start 1-web"));
}

#[tokio::test]
async fn machines_that_stop_slowly_delay_no_other_contract() {
    let mut node = Node::new();
    node.timing.hold_starts = Duration::from_millis(100);
    node.start();
    let slow = 1..=9;
    for contract in slow.clone() {
        node.chain.deploy(contract, &machine("slow", "localhost/web:1"));
        node.until_deployed(contract).await;
    }
    node.host.never_stop("slow", true);
    slow.clone().for_each(|contract| node.chain.pause(contract, true));
    node.until("all are stopping", |node| slow.clone().all(|c| node.did(&format!("stopping {c}-slow"))))
        .await;
    node.chain.deploy(10, &machine("web", "localhost/web:1"));
    node.until_deployed(10).await;
}

#[tokio::test]
async fn what_cannot_be_read_hides_no_other_and_stays() {
    let node = Node::running();
    for (contract, name) in [(1, "web"), (2, "closed")] {
        node.chain.deploy(contract, &machine(name, "localhost/web:1"));
        node.until_deployed(contract).await;
        node.host.hide(name, true);
    }
    let reports = node.chain.reports("deployed").len();
    node.chain.close(2);
    node.until_another_came_and_went().await;
    for (contract, name) in [(1, "web"), (2, "closed")] {
        assert!(node.host.is_running(contract, name));
        assert_eq!(node.times(&format!("start {contract}-{name}")), 1);
    }
    // The other contract has one.
    assert_eq!(node.chain.reports("deployed").len(), reports + 1);
    assert!(!node.did("remove network 2") && node.chain.reports("released").is_empty());

    node.host.hide("closed", false);
    node.until("it is removed", |node| node.did("remove network 2")).await;
}

#[tokio::test]
async fn closed_contracts_are_removed_before_others_start() {
    let mut node = Node::running();
    node.chain.deploy(5, &machine("old", "localhost/web:1"));
    node.until_deployed(5).await;
    node.kill().await;
    node.chain.deploy(1, &machine("new", "localhost/web:1"));
    node.chain.close(5);
    node.start();
    node.until_deployed(1).await;
    let log = node.host.log();
    let place = |what: &str| log.iter().position(|line| line == what).unwrap();
    assert!(place("remove network 5") < place("start 1-new"), "{log:?}");
}

#[tokio::test]
async fn without_an_engine_there_is_no_heartbeat_and_no_change() {
    let mut node = Node::new();
    node.chain.limits.heartbeat_ms = 50;
    node.start();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.until("heartbeats are sent", |node| node.chain.reports("heartbeat").len() > 2).await;

    node.host.stop_engine(true);
    node.chain.close(1);
    let observations = node.host.observations();
    node.until("the agent notices", |node| node.host.observations() >= observations + 3).await;
    let heartbeats = node.chain.reports("heartbeat").len();
    let observations = node.host.observations();
    node.until("the agent looks again", |node| node.host.observations() >= observations + 3).await;
    assert_eq!(node.chain.reports("heartbeat").len(), heartbeats);
    assert!(!node.did("remove 1-web"));

    node.host.stop_engine(false);
    node.until("the contract is removed", |node| node.host.is_empty()).await;
    node.until("heartbeats go on", |node| node.chain.reports("heartbeat").len() > heartbeats).await;
}

#[tokio::test]
async fn without_a_firewall_nothing_starts_and_no_heartbeat() {
    let mut node = Node::new();
    node.chain.limits.heartbeat_ms = 50;
    node.host.break_firewall(true);
    node.start();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    let observations = node.host.observations();
    node.until("the agent looks again", |node| node.host.observations() >= observations + 4).await;
    assert_eq!(node.host.log(), Vec::<String>::new());
    assert_eq!(node.chain.reports("heartbeat"), []);

    node.host.break_firewall(false);
    node.until_deployed(1).await;
    node.until("heartbeats are sent", |node| !node.chain.reports("heartbeat").is_empty()).await;
}

#[tokio::test]
async fn without_hard_disks_others_run_and_no_heartbeat() {
    let mut node = Node::new();
    node.chain.limits.heartbeat_ms = 50;
    node.host.fault(&[(DiskKind::Hdd, PoolFault::Gone)]);
    node.start();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    assert_eq!(node.chain.reports("heartbeat"), []);

    node.host
        .fault(&[(DiskKind::Hdd, PoolFault::Full), (DiskKind::Ssd, PoolFault::Degraded("disk 2".into()))]);
    node.until("heartbeats are sent", |node| !node.chain.reports("heartbeat").is_empty()).await;
}

#[tokio::test]
async fn each_start_has_a_boot_nonce_and_higher_sequences() {
    let mut node = Node::running();
    node.until("a heartbeat", |node| node.chain.reports("heartbeat").len() == 1).await;
    node.kill().await;
    node.start();
    node.until("another heartbeat", |node| node.chain.reports("heartbeat").len() == 2).await;
    let heartbeats = node.chain.reports("heartbeat");
    assert_ne!(heartbeats[0], heartbeats[1]);
    let sequences = node.chain.sequences();
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "{sequences:?}");
}

#[tokio::test]
async fn a_refused_report_is_sent_again() {
    let node = Node::running();
    node.chain.refuse_reports(true);
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until("it runs", |node| node.host.is_running(1, "web")).await;
    node.chain.refuse_reports(false);
    node.until_deployed(1).await;
}

#[tokio::test]
async fn usage_of_deployed_contracts_is_reported() {
    let mut node = Node::new();
    node.chain.limits.usage_ms = 1_000;
    node.start();
    let used = MachineUsage { cpu_ms: 5, memory_bytes: 6, received_bytes: 7, sent_bytes: 8 };
    node.host.use_up(1, "web", used);
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until("its use is reported", |node| {
        // Traffic without a public address costs nothing.
        let totals = UsageTotals { cpu_ms: 5, memory_bytes: 6, disk_bytes: 4096, ..Default::default() };
        node.chain.reports("usage").iter().any(|report| match report {
            Report::Usage(items) => items.iter().any(|item| item.contract == 1 && item.totals == totals),
            _ => false,
        })
    })
    .await;
}
