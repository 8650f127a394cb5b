// SPDX-License-Identifier: Apache-2.0

//! Measures how much a validator and a follower take in, on a development chain of their own.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use subxt::{
    OnlineClient,
    config::{DefaultExtrinsicParamsBuilder, RpcConfigFor},
    rpcs::{LegacyRpcMethods, RpcClient},
    transactions::Payload,
    utils::{MultiAddress, Static},
};
use tfgrid_client::{
    Config, GridAt, GridClient, Keypair, MachineKey,
    api::{
        self,
        runtime_types::{
            bounded_collections::bounded_vec::BoundedVec, pallet_grid_contracts::types::CancelReason,
            tfgrid_primitives::body::Body,
        },
    },
    parse_suri,
    primitives::{
        ContractId, Isolation, NodeId, Registration, ReportKind, Resources, TwinId, report::HeartbeatPayload,
        units::TFT,
    },
};
use tfgrid_tests::{Process, Run, asks_for_help, binary, free_port, get, on_a_run_beside_others, wait_for};
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{sleep, timeout},
};

const HELP: &str = "\
Measures how much a validator and a follower take in, on a development chain of their own with slots of 3 s:
registrations and heartbeats of nodes, contracts with a body of 1 KiB, their cancellations, and transfers.

Usage: bench-node [TRANSFERS [CONTRACTS]]

  TRANSFERS  60000 if it isn't given
  CONTRACTS  6000 if it isn't given";

/// Each sends its share.
const ACCOUNTS: usize = 50;
/// Each with a ticket of its own: the pool holds few registrations of one.
const NODES: usize = 512;
const BODY_BYTES: usize = 1024;
/// Requests at a time.
const SENDERS: usize = 16;
/// For deposits of twin and contracts, credit and fees.
const FUNDS: u128 = 2_000 * TFT;
const CREDIT: u128 = 100 * TFT;
/// What each transfer sends.
const SENT: u128 = TFT / 1_000;
const SLOT: Duration = Duration::from_secs(3);
/// Computation that a block may declare, in picoseconds.
const BLOCK_TIME: f64 = 1e12;
/// Longer than a development chain's: each node is heard once, and stays online while contracts are created on it.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(180);
const TICKET_SECONDS: u64 = 1_800;
const START_LIMIT: Duration = Duration::from_secs(120);
/// Longest time without a transaction in a block.
const STUCK_AFTER: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The validator's, and the name that others know it by.
const NODE_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";
const PEER_ID: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

/// Transactions of one sender, in their order.
type Queue = Vec<Vec<u8>>;

fn main() -> Result<()> {
    if asks_for_help(HELP) {
        return Ok(());
    }
    let counts: Vec<usize> =
        std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>().context(HELP)?;
    let (transfers, contracts) = match counts[..] {
        [] => (60_000, 6_000),
        [transfers] => (transfers, 6_000),
        [transfers, contracts] => (transfers, contracts),
        _ => bail!(HELP),
    };
    on_a_run_beside_others("bench-node", |run| {
        let validator = Node::validator(&run)?;
        let follower = Node::follower(&run, &validator)?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let bench = Bench::connect(validator, follower).await?;
            bench.at_rest()?;
            let nodes = bench.register().await?;
            bench.heartbeats(&nodes).await?;
            let ids: Vec<NodeId> = nodes.into_iter().map(|(id, _)| id).collect();
            let people = bench.people().await?;
            bench.contracts(&people, &ids, contracts / ACCOUNTS).await?;
            bench.transfers(&people, transfers / ACCOUNTS).await
        })
    })
}

/// A process of `tfgrid-node`.
struct Node {
    process: Process,
    rpc: SocketAddr,
    metrics: SocketAddr,
    p2p: u16,
}

impl Node {
    fn validator(run: &Run) -> Result<Self> {
        let spec = run.folder().join("spec.json");
        fs::write(&spec, spec_with_rare_heartbeats()?.to_string())?;
        let own = ["--alice", "--force-authoring", "--node-key", NODE_KEY, "--pool-limit", "200000"];
        Self::start(run, "validator", &[&own[..], &["--pool-kbytes", "400000"]].concat())
    }

    fn follower(run: &Run, of: &Self) -> Result<Self> {
        let boot_node = format!("/ip4/127.0.0.1/tcp/{}/p2p/{PEER_ID}", of.p2p);
        Self::start(run, "follower", &["--bootnodes", &boot_node])
    }

    fn start(run: &Run, name: &str, own: &[&str]) -> Result<Self> {
        let [rpc, metrics, p2p] = [free_port()?, free_port()?, free_port()?];
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new(binary("tfgrid-node")?);
        command
            .arg("--chain")
            .arg(run.folder().join("spec.json"))
            .arg("--base-path")
            .arg(run.subfolder(name)?)
            .args([format!("--rpc-port={rpc}"), format!("--prometheus-port={metrics}")])
            .args([format!("--listen-addr=/ip4/127.0.0.1/tcp/{p2p}")])
            .args(["--no-telemetry", "--no-mdns", "--rpc-methods=unsafe"])
            .args(own);
        let process = Process::start(run, name, &mut command)?;
        let mut node = Self { process, rpc: at(rpc), metrics: at(metrics), p2p };
        wait_for("a node's first block", START_LIMIT, || {
            node.process.ensure_running()?;
            let best = node.metric("substrate_block_height{", "status=\"best\"");
            Ok(best.is_ok_and(|best| best > 0.0).then_some(()))
        })?;
        Ok(node)
    }

    /// The value of the first metric that begins so and has this label.
    fn metric(&self, begin: &str, label: &str) -> Result<f64> {
        let page = get(self.metrics, "/metrics")?;
        let line = page.lines().find(|line| line.starts_with(begin) && line.contains(label));
        let value =
            line.and_then(|line| line.split(' ').next_back()).context("the node has no such metric")?;
        value.parse().with_context(|| format!("{value:?} is no number"))
    }

    /// Sum and count of a histogram so far.
    fn histogram(&self, name: &str) -> Result<[f64; 2]> {
        Ok([self.metric(&format!("{name}_sum"), "")?, self.metric(&format!("{name}_count"), "")?])
    }

    fn resident_mib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
        Ok(kib.parse::<u64>()? / 1024)
    }
}

/// The development chain's, except that a node that was heard once stays online.
fn spec_with_rare_heartbeats() -> Result<Value> {
    let output =
        Command::new(binary("tfgrid-node")?).args(["export-chain-spec", "--chain", "dev"]).output()?;
    ensure!(output.status.success(), "export-chain-spec: {}", String::from_utf8_lossy(&output.stderr));
    let mut spec: Value = serde_json::from_slice(&output.stdout)?;
    let interval = spec.pointer_mut("/genesis/runtimeGenesis/patch/initialIntervals/heartbeatMs");
    *interval.context("the spec has no interval of heartbeats")? =
        (HEARTBEAT_INTERVAL.as_secs() * 1_000).into();
    Ok(spec)
}

struct Bench {
    grid: GridClient,
    api: OnlineClient<Config>,
    rpc: LegacyRpcMethods<RpcConfigFor<Config>>,
    validator: Node,
    follower: Node,
}

impl Bench {
    async fn connect(validator: Node, follower: Node) -> Result<Self> {
        let url = format!("ws://{}", validator.rpc);
        let client = RpcClient::from_insecure_url(&url).await?;
        let api = OnlineClient::from_rpc_client(client.clone()).await?;
        let (grid, rpc) = (GridClient::connect(&url).await?, LegacyRpcMethods::new(client));
        Ok(Self { grid, api, rpc, validator, follower })
    }

    fn at_rest(&self) -> Result<()> {
        println!(
            "at rest: validator {} MiB, follower {} MiB",
            self.validator.resident_mib()?,
            self.follower.resident_mib()?
        );
        Ok(())
    }

    /// Nodes that join with tickets of one farm.
    async fn register(&self) -> Result<Vec<(NodeId, MachineKey)>> {
        let alice = parse_suri("//Alice")?;
        self.grid
            .submit("twin", &api::transactions().twins().create(BoundedVec(vec![]), None), &alice)
            .await?;
        let call = api::transactions().farms().create(BoundedVec(b"bench".to_vec()));
        let created = self.grid.submit("farm", &call, &alice).await?;
        let created = created.events.find_first::<api::farms::events::FarmCreated>();
        let farm = created.context("the call left no event")??.farm;

        let keys: Vec<_> = (0..NODES).map(|n| (machine_key(1, n), machine_key(2, n))).collect();
        let (at, genesis) = (self.grid.finalized().await?, self.grid.genesis());
        let expires = unix_seconds()? + TICKET_SECONDS;
        let mut nonce = self.next_nonce(&alice).await?;
        let mut opening = Queue::new();
        for (ticket, _) in &keys {
            let proof = ticket.sign_opening(genesis, farm).0;
            let call = api::transactions().farms().open_ticket(farm, ticket.public(), 1, expires, proof);
            opening.push(signed(&at, &call, &alice, nonce)?);
            nonce += 1;
        }
        self.include(vec![opening]).await?;

        let mut joining = Vec::new();
        for (ticket, key) in &keys {
            let registration = Registration {
                ticket: ticket.public(),
                node_key: key.public(),
                peer_key: key.public(),
                encryption_key: key.public(),
                resources: Resources { cru: 64, mru: 1 << 38, sru: 1 << 42, hru: 0, gpu: 0 },
                isolation: Isolation::Container,
                valid_until: expires,
            };
            let by = |key: &MachineKey| key.sign_registration(genesis, &registration).0;
            let call = api::transactions().nodes().register(Static(registration), by(ticket), by(key));
            joining.push(vec![bare(&at, &call)?]);
        }
        self.measure("registrations", joining).await?;

        let at = self.grid.finalized().await?;
        let mut nodes = Vec::new();
        for (_, key) in keys {
            let node = at.node_by_key(&key.public()).await?.context("a node has not joined")?;
            nodes.push((node, key));
        }
        Ok(nodes)
    }

    async fn heartbeats(&self, nodes: &[(NodeId, MachineKey)]) -> Result<()> {
        // The chain takes a node's next report half an interval after its registration, by the time of blocks.
        sleep(HEARTBEAT_INTERVAL / 2 + 2 * SLOT).await;
        let at = self.grid.finalized().await?;
        let (genesis, sequence) = (self.grid.genesis(), unix_seconds()? * 1_000);
        let mut queues = Vec::new();
        for (node, key) in nodes {
            let payload = HeartbeatPayload { boot_nonce: 1 };
            let signature = key.sign_report(genesis, *node, ReportKind::Heartbeat, sequence, &payload).0;
            let call = api::transactions().nodes().heartbeat(*node, sequence, Static(payload), signature);
            queues.push(vec![bare(&at, &call)?]);
        }
        self.measure("heartbeats", queues).await
    }

    /// Accounts with TFT, a twin and credit.
    async fn people(&self) -> Result<Vec<Keypair>> {
        let alice = parse_suri("//Alice")?;
        let people: Vec<_> =
            (0..ACCOUNTS).map(|n| parse_suri(&format!("//bench//{n}"))).collect::<Result<_, _>>()?;
        let at = self.grid.finalized().await?;
        let first = self.next_nonce(&alice).await?;
        let mut funding = Queue::new();
        for (n, person) in people.iter().enumerate() {
            let call =
                api::transactions().balances().transfer_keep_alive(MultiAddress::Id(person.account()), FUNDS);
            funding.push(signed(&at, &call, &alice, first + n as u64)?);
        }
        self.include(vec![funding]).await?;

        let mut joining = Vec::new();
        for person in &people {
            let call = api::transactions().twins().create(BoundedVec(vec![]), None);
            joining.push(vec![signed(&at, &call, person, 0)?]);
        }
        self.include(joining).await?;

        let at = self.grid.finalized().await?;
        let mut paying = Vec::new();
        for person in &people {
            let twin = at.twin_of(&person.account()).await?.context("an account has no twin")?;
            let call = api::transactions().billing().deposit(twin, CREDIT);
            paying.push(vec![signed(&at, &call, person, 1)?]);
        }
        self.include(paying).await?;
        Ok(people)
    }

    /// Contracts of each account, spread over the nodes, and then their cancellations.
    async fn contracts(&self, people: &[Keypair], nodes: &[NodeId], each: usize) -> Result<()> {
        let at = self.grid.finalized().await?;
        let least = Resources { cru: 0, mru: 0, sru: 1, hru: 0, gpu: 0 };
        let mut queues = Vec::new();
        for (p, person) in people.iter().enumerate() {
            let first = self.next_nonce(person).await?;
            let mut queue = Queue::new();
            for n in 0..each {
                let node = nodes[(p * each + n) % nodes.len()];
                let call = api::transactions().contracts().create_node_contract(
                    node,
                    least.into(),
                    Body::Plain(vec![b' '; BODY_BYTES]),
                    0,
                    BoundedVec(vec![]),
                    0,
                    u64::MAX,
                );
                queue.push(signed(&at, &call, person, first + n as u64)?);
            }
            queues.push(queue);
        }
        self.measure("contracts with 1 KiB", queues).await?;

        let at = self.grid.finalized().await?;
        let mut created: Vec<(ContractId, TwinId)> = Vec::new();
        for node in nodes {
            let contracts = at.contracts_of_node(*node).await?;
            created.extend(contracts.iter().map(|contract| (contract.contract, contract.twin)));
        }
        ensure!(created.len() == people.len() * each, "there are {} contracts", created.len());
        let mut queues = Vec::new();
        for person in people {
            let twin = at.twin_of(&person.account()).await?.context("an account has no twin")?;
            let first = self.next_nonce(person).await?;
            let mut queue = Queue::new();
            for (contract, _) in created.iter().filter(|(_, owner)| *owner == twin) {
                let call = api::transactions().contracts().cancel(*contract, CancelReason::Cancelled);
                queue.push(signed(&at, &call, person, first + queue.len() as u64)?);
            }
            queues.push(queue);
        }
        self.measure("cancellations", queues).await?;

        let at = self.grid.finalized().await?;
        for node in nodes {
            ensure!(at.contracts_of_node(*node).await?.is_empty(), "node {node} still has contracts");
        }
        Ok(())
    }

    async fn transfers(&self, people: &[Keypair], each: usize) -> Result<()> {
        let receiver = parse_suri("//bench//receiver")?.account();
        let call = api::transactions().balances().transfer_keep_alive(MultiAddress::Id(receiver), SENT);
        let at = self.grid.finalized().await?;
        let mut queues = Vec::new();
        for person in people {
            let first = self.next_nonce(person).await?;
            let mut queue = Queue::new();
            for n in 0..each {
                queue.push(signed(&at, &call, person, first + n as u64)?);
            }
            queues.push(queue);
        }
        self.measure("transfers", queues).await?;
        let received = self.grid.finalized().await?.balance(&receiver).await?.free;
        ensure!(received == SENT * (people.len() * each) as u128, "{received} of the transfers arrived");
        Ok(())
    }

    async fn next_nonce(&self, key: &Keypair) -> Result<u64> {
        Ok(self.rpc.system_account_next_index(&key.account()).await?)
    }

    /// Submits transactions and waits until blocks hold them all.
    async fn include(&self, queues: Vec<Queue>) -> Result<Vec<Seen>> {
        let count: usize = queues.iter().map(Vec::len).sum();
        let mut next = self.best().await? + 1;
        let mut shares = vec![Vec::new(); SENDERS];
        for (n, queue) in queues.into_iter().enumerate() {
            shares[n % SENDERS].push(queue);
        }
        let mut senders = JoinSet::new();
        for share in shares {
            senders.spawn(send(self.rpc.clone(), share));
        }
        let (mut seen, mut included, mut last) = (Vec::new(), 0, Instant::now());
        while included < count {
            while let Some(sent) = senders.try_join_next() {
                sent??;
            }
            if next > self.best().await? {
                ensure!(last.elapsed() < STUCK_AFTER, "only {included} of {count} are in blocks");
                sleep(BETWEEN_LOOKS).await;
                continue;
            }
            let block = self.look(next).await?;
            next += 1;
            if block.count > 0 {
                last = Instant::now();
                included += block.count;
                seen.push(block);
            }
        }
        // What follows reads finalized state, one block behind at most.
        let target = next - 1;
        timeout(STUCK_AFTER, async {
            while self.grid.finalized().await?.number() < target {
                sleep(BETWEEN_LOOKS).await;
            }
            anyhow::Ok(())
        })
        .await
        .context("the last block isn't final")??;
        Ok(seen)
    }

    async fn best(&self) -> Result<u64> {
        let header = timeout(ANSWER_LIMIT, self.rpc.chain_get_header(None)).await??;
        Ok(header.context("the chain has no best block")?.number)
    }

    async fn look(&self, number: u64) -> Result<Seen> {
        let hash = self.rpc.chain_get_block_hash(Some(number.into())).await?;
        let block = self.rpc.chain_get_block(hash).await?.context("a block is gone")?.block;
        let at = self.api.at_block(number).await?;
        let weight = at.storage().entry(api::storage().system().block_weight())?.try_fetch(()).await?;
        let weight = weight.context("a block has no weight")?.decode()?;
        let declared = weight.normal.ref_time + weight.operational.ref_time + weight.mandatory.ref_time;
        // The first one is the timestamp.
        let count = block.extrinsics.len().saturating_sub(1);
        Ok(Seen { number, count, fill: declared as f64 / BLOCK_TIME })
    }

    /// Includes the transactions, and says how fast that was.
    async fn measure(&self, what: &str, queues: Vec<Queue>) -> Result<()> {
        let histograms = || {
            anyhow::Ok([
                self.validator.histogram("substrate_proposer_block_constructed")?,
                self.follower.histogram("substrate_block_verification_and_import_time")?,
            ])
        };
        let before = histograms()?;
        let blocks = self.include(queues).await?;
        let after = histograms()?;
        let mean = |n: usize| 1_000.0 * (after[n][0] - before[n][0]) / (after[n][1] - before[n][1]).max(1.0);
        let fullest = blocks.iter().max_by_key(|block| block.count).context("no block")?;
        // The first and the last one have less than there was room for.
        let whole = if blocks.len() > 2 { &blocks[1..blocks.len() - 1] } else { &blocks[..] };
        let count: usize = whole.iter().map(|block| block.count).sum();
        let slots = whole[whole.len() - 1].number - whole[0].number + 1;
        println!(
            "{what}: {:.0} per second in {} blocks; fullest block {} with {:.0} % of its time declared; authored in \
             {:.0} ms, imported in {:.0} ms on average; validator {} MiB, follower {} MiB",
            count as f64 / (slots as f64 * SLOT.as_secs_f64()),
            blocks.len(),
            fullest.count,
            100.0 * fullest.fill,
            mean(0),
            mean(1),
            self.validator.resident_mib()?,
            self.follower.resident_mib()?
        );
        Ok(())
    }
}

/// Signed for this block's runtime, and valid for ever.
fn signed(at: &GridAt, call: &impl Payload, key: &Keypair, nonce: u64) -> Result<Vec<u8>> {
    let params = DefaultExtrinsicParamsBuilder::new().nonce(nonce).build();
    let mut signable = at.raw().transactions().create_signable_offline(call, params)?;
    Ok(signable.sign(key)?.into_encoded())
}

/// A call that carries its own signatures.
fn bare(at: &GridAt, call: &impl Payload) -> Result<Vec<u8>> {
    Ok(at.raw().transactions().create_v5_unsigned(call)?.into_encoded())
}

/// A block with transactions.
struct Seen {
    number: u64,
    count: usize,
    /// Part of its time that is declared.
    fill: f64,
}

/// Submits the queues in turn, one after another.
async fn send(rpc: LegacyRpcMethods<RpcConfigFor<Config>>, queues: Vec<Queue>) -> Result<()> {
    let longest = queues.iter().map(Vec::len).max().unwrap_or(0);
    for n in 0..longest {
        for transaction in queues.iter().filter_map(|queue| queue.get(n)) {
            timeout(ANSWER_LIMIT, rpc.author_submit_extrinsic(transaction)).await??;
        }
    }
    Ok(())
}

fn machine_key(kind: u8, n: usize) -> MachineKey {
    let mut seed = [kind; 32];
    seed[..8].copy_from_slice(&(n as u64).to_le_bytes());
    MachineKey::from_seed(&seed)
}

fn unix_seconds() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}
