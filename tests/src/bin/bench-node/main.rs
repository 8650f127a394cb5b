// SPDX-License-Identifier: Apache-2.0

//! Measures how much a validator and a follower take in, on a development chain of their own.

mod blocks;
mod times;

use crate::{
    blocks::{Block, summary},
    times::{Imports, METRICS, authored, metric},
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use subxt::{
    OnlineClient, OnlineClientAtBlock,
    config::{DefaultExtrinsicParamsBuilder, RpcConfigFor},
    rpcs::{LegacyRpcMethods, RpcClient},
    transactions::Payload,
    utils::{AccountId32, MultiAddress, Static},
};
use tfgrid_client::{
    Config, GridClient, Keypair, MachineKey,
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
Measures how much a validator and a follower take in, on a development chain of
their own with slots of 3 s: registrations and heartbeats of nodes, contracts
with a body of 1 KiB, their cancellations, and transfers, each to an account
that is new. Of each kind, the first and the last block don't count: they have
less than there was room for.

Usage: bench-node [--beside PATH] [TRANSFERS [CONTRACTS [NODES]]]

  TRANSFERS      16000 if it isn't given
  CONTRACTS      9000 if it isn't given
  NODES          4096 if it isn't given; each registers and is heard once
  --beside PATH  the same transfers on the development chain of another node
                 afterwards: the SDK's stock template, which has the same
                 options, RPC and metrics";

const AIMS: &str = "\
aims: 1,000 transfers and 300 contracts per second, full blocks imported in
1,000 ms, 110 MiB at rest";

/// Transfers, contracts and nodes if the command line doesn't say: more than fill four blocks. Of registrations and
/// heartbeats, one holds 60 %, which is some 290 and 770.
const COUNTS: [usize; 3] = [16_000, 9_000, 4_096];
/// Each sends its share.
const ACCOUNTS: usize = 50;
/// The nodes that have contracts, if there are so many.
const HOSTS: usize = 512;
const BODY_BYTES: usize = 1024;
/// Requests at a time.
const SENDERS: usize = 16;
/// For deposits of twin and contracts, credit and fees.
const FUNDS: u128 = 2_000 * TFT;
const CREDIT: u128 = 100 * TFT;
/// The same on the development chain of another node, where fees may be larger.
const FUNDS_BESIDE: u128 = 1 << 50;
const PICOSECONDS: f64 = 1e12;
/// Blocks after which a node is at rest.
const BLOCKS_AT_REST: u64 = 10;
/// Longer than a development chain's: each node is heard once, and stays online while contracts are created on it.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(180);
const TICKET_SECONDS: u64 = 1_800;
const START_LIMIT: Duration = Duration::from_secs(120);
/// Longest time without a transaction in a block.
const STUCK_AFTER: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// As the package's unit has them.
const ALLOCATOR: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", "2"), ("MALLOC_TRIM_THRESHOLD_", "131072")];
/// The validator's, and the name that others know it by.
const NODE_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";
const PEER_ID: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

/// Transactions of one sender, in their order.
type Queue = Vec<Vec<u8>>;

fn main() -> Result<()> {
    if asks_for_help(HELP) {
        return Ok(());
    }
    let Asked { beside, transfers, contracts, nodes } = Asked::read(std::env::args().skip(1))?;
    println!("{AIMS}");
    on_a_run_beside_others("bench-node", |run| {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let spec = run.folder().join("spec.json");
        fs::write(&spec, spec_with_rare_heartbeats()?.to_string())?;
        let (program, spec) = (binary("tfgrid-node")?, spec.display().to_string());
        let chain = runtime.block_on(async {
            let bench = Bench::new(Chain::start(&run, "", &program, &spec).await?).await?;
            bench.chain.at_rest().await?;
            let nodes = bench.register(nodes).await?;
            bench.heartbeats(&nodes).await?;
            let hosts: Vec<NodeId> = nodes.into_iter().map(|(id, _)| id).take(HOSTS).collect();
            let people = bench.people().await?;
            bench.contracts(&people, &hosts, contracts / ACCOUNTS).await?;
            bench.chain.transfers(&people, transfers / ACCOUNTS).await?;
            anyhow::Ok(bench.chain)
        })?;
        chain.stop()?;
        let Some(program) = beside else { return Ok(()) };
        println!("{}", program.display());
        let chain = runtime.block_on(async {
            let chain = Chain::start(&run, "other-", &program, "dev").await?;
            chain.at_rest().await?;
            let people = chain.funded(FUNDS_BESIDE).await?;
            chain.transfers(&people, transfers / ACCOUNTS).await?;
            anyhow::Ok(chain)
        })?;
        chain.stop()
    })
}

/// What the command line asks for.
struct Asked {
    beside: Option<PathBuf>,
    transfers: usize,
    contracts: usize,
    nodes: usize,
}

impl Asked {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let (mut beside, mut counts) = (None, Vec::<usize>::new());
        while let Some(word) = words.next() {
            if word == "--beside" {
                beside = Some(words.next().context("--beside names no program")?.into());
            } else {
                counts.push(word.parse().with_context(|| format!("{word:?} is no number\n\n{HELP}"))?);
            }
        }
        counts.extend(COUNTS.into_iter().skip(counts.len()));
        let [transfers, contracts, nodes] = counts[..] else { bail!(HELP) };
        ensure!(
            transfers.min(contracts) >= ACCOUNTS,
            "each of {ACCOUNTS} accounts needs one of both at least"
        );
        ensure!(nodes > 0, "contracts need a node");
        Ok(Self { beside, transfers, contracts, nodes })
    }
}

/// A process of a node.
struct Node {
    process: Process,
    rpc: SocketAddr,
    metrics: SocketAddr,
    p2p: u16,
}

impl Node {
    fn start(run: &Run, name: &str, program: &Path, spec: &str, own: &[&str]) -> Result<Self> {
        let [rpc, metrics, p2p] = [free_port()?, free_port()?, free_port()?];
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new(program);
        command
            .envs(ALLOCATOR)
            .args(["--chain", spec])
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
            Ok(node.best().is_ok_and(|best| best > 0.0).then_some(()))
        })?;
        Ok(node)
    }

    async fn client(&self) -> Result<RpcClient> {
        Ok(RpcClient::from_insecure_url(format!("ws://{}", self.rpc)).await?)
    }

    fn best(&self) -> Result<f64> {
        metric(&get(self.metrics, METRICS)?, "substrate_block_height{", "status=\"best\"")
    }

    /// What it has in memory now, and the most that it had.
    fn memory(&self) -> Result<String> {
        let (now, most) = (self.process.memory_mib("VmRSS")?, self.process.memory_mib("VmHWM")?);
        Ok(format!("{now} MiB (most {most} MiB)"))
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

/// A development chain with a validator and a follower.
struct Chain {
    api: OnlineClient<Config>,
    rpc: LegacyRpcMethods<RpcConfigFor<Config>>,
    follower_rpc: LegacyRpcMethods<RpcConfigFor<Config>>,
    validator: Node,
    follower: Node,
    /// The follower's.
    imports: Imports,
    slot: Duration,
    /// Computation that a block may declare, in picoseconds.
    limit: f64,
}

/// The grid's chain, on which nodes join and people have contracts.
struct Bench {
    grid: GridClient,
    chain: Chain,
}

impl Bench {
    async fn new(chain: Chain) -> Result<Self> {
        let grid = GridClient::connect(&format!("ws://{}", chain.validator.rpc)).await?;
        Ok(Self { grid, chain })
    }

    /// Nodes that join with tickets of one farm, one each: the pool holds few registrations of a ticket.
    async fn register(&self, count: usize) -> Result<Vec<(NodeId, MachineKey)>> {
        let alice = parse_suri("//Alice")?;
        self.grid
            .submit("twin", &api::transactions().twins().create(BoundedVec(vec![]), None), &alice)
            .await?;
        let call = api::transactions().farms().create(BoundedVec(b"bench".to_vec()));
        let created = self.grid.submit("farm", &call, &alice).await?;
        let created = created.events.find_first::<api::farms::events::FarmCreated>();
        let farm = created.context("the call left no event")??.farm;

        let keys: Vec<_> = (0..count).map(|n| (machine_key(1, n), machine_key(2, n))).collect();
        let (at, genesis) = (self.grid.finalized().await?, self.grid.genesis());
        let expires = unix_seconds()? + TICKET_SECONDS;
        let mut nonce = self.chain.next_nonce(&alice).await?;
        let mut opening = Queue::new();
        for (ticket, _) in &keys {
            let proof = ticket.sign_opening(genesis, farm).0;
            let call = api::transactions().farms().open_ticket(farm, ticket.public(), 1, expires, proof);
            opening.push(signed(at.raw(), &call, &alice, nonce)?);
            nonce += 1;
        }
        self.chain.include(vec![opening]).await?;

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
            joining.push(vec![bare(at.raw(), &call)?]);
        }
        self.chain.measure("registrations", joining).await?;

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
        sleep(HEARTBEAT_INTERVAL / 2 + 2 * self.chain.slot).await;
        let at = self.grid.finalized().await?;
        let (genesis, sequence) = (self.grid.genesis(), unix_seconds()? * 1_000);
        let mut queues = Vec::new();
        for (node, key) in nodes {
            let payload = HeartbeatPayload { boot_nonce: 1 };
            let signature = key.sign_report(genesis, *node, ReportKind::Heartbeat, sequence, &payload).0;
            let call = api::transactions().nodes().heartbeat(*node, sequence, Static(payload), signature);
            queues.push(vec![bare(at.raw(), &call)?]);
        }
        self.chain.measure("heartbeats", queues).await
    }

    /// Accounts with TFT, a twin and credit.
    async fn people(&self) -> Result<Vec<Keypair>> {
        let people = self.chain.funded(FUNDS).await?;
        let at = self.grid.finalized().await?;
        let mut joining = Vec::new();
        for person in &people {
            let call = api::transactions().twins().create(BoundedVec(vec![]), None);
            joining.push(vec![signed(at.raw(), &call, person, 0)?]);
        }
        self.chain.include(joining).await?;

        let at = self.grid.finalized().await?;
        let mut paying = Vec::new();
        for person in &people {
            let twin = at.twin_of(&person.account()).await?.context("an account has no twin")?;
            let call = api::transactions().billing().deposit(twin, CREDIT);
            paying.push(vec![signed(at.raw(), &call, person, 1)?]);
        }
        self.chain.include(paying).await?;
        Ok(people)
    }

    /// Contracts of each account, spread over the nodes, and then their cancellations.
    async fn contracts(&self, people: &[Keypair], nodes: &[NodeId], each: usize) -> Result<()> {
        let at = self.grid.finalized().await?;
        let least = Resources { cru: 0, mru: 0, sru: 1, hru: 0, gpu: 0 };
        let mut queues = Vec::new();
        for (p, person) in people.iter().enumerate() {
            let first = self.chain.next_nonce(person).await?;
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
                queue.push(signed(at.raw(), &call, person, first + n as u64)?);
            }
            queues.push(queue);
        }
        self.chain.measure("contracts with 1 KiB", queues).await?;

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
            let first = self.chain.next_nonce(person).await?;
            let mut queue = Queue::new();
            for (contract, _) in created.iter().filter(|(_, owner)| *owner == twin) {
                let call = api::transactions().contracts().cancel(*contract, CancelReason::Cancelled);
                queue.push(signed(at.raw(), &call, person, first + queue.len() as u64)?);
            }
            queues.push(queue);
        }
        self.chain.measure("cancellations", queues).await?;

        let at = self.grid.finalized().await?;
        for node in nodes {
            ensure!(at.contracts_of_node(*node).await?.is_empty(), "node {node} still has contracts");
        }
        Ok(())
    }
}

impl Chain {
    async fn start(run: &Run, name: &str, program: &Path, spec: &str) -> Result<Self> {
        let own = ["--alice", "--force-authoring", "--node-key", NODE_KEY, "--pool-limit", "200000"];
        let own = [&own[..], &["--pool-kbytes", "400000"]].concat();
        let validator = Node::start(run, &format!("{name}validator"), program, spec, &own)?;
        let boot_node = format!("/ip4/127.0.0.1/tcp/{}/p2p/{PEER_ID}", validator.p2p);
        let own = ["--bootnodes", &boot_node];
        let follower = Node::start(run, &format!("{name}follower"), program, spec, &own)?;
        let client = validator.client().await?;
        let api = OnlineClient::from_rpc_client(client.clone()).await?;
        let (rpc, follower_rpc) =
            (LegacyRpcMethods::new(client), LegacyRpcMethods::new(follower.client().await?));
        let slot = rpc.state_call("AuraApi_slot_duration", None, None).await?;
        let slot: [u8; 8] =
            slot.try_into().map_err(|slot: Vec<u8>| anyhow!("{slot:?} is no duration of slots"))?;
        let at = api.at_current_block().await?;
        let weights = at.constants().entry(api::constants().system().block_weights().unvalidated())?;
        Ok(Self {
            api,
            rpc,
            follower_rpc,
            imports: Imports::of(follower.metrics),
            validator,
            follower,
            slot: Duration::from_millis(u64::from_le_bytes(slot)),
            limit: weights.max_block.ref_time as f64,
        })
    }

    fn stop(self) -> Result<()> {
        self.follower.process.stop()?;
        self.validator.process.stop()
    }

    /// Says what the nodes take before anybody uses them.
    async fn at_rest(&self) -> Result<()> {
        let limit = START_LIMIT + self.slot * BLOCKS_AT_REST as u32;
        let rested = async {
            while best(&self.follower_rpc).await? < BLOCKS_AT_REST {
                sleep(BETWEEN_LOOKS).await;
            }
            anyhow::Ok(())
        };
        timeout(limit, rested).await.context("the follower has no blocks")??;
        println!(
            "slots of {} s, of which a block may declare {} s",
            self.slot.as_secs_f64(),
            self.limit / PICOSECONDS
        );
        println!("at rest: {}", self.memory()?);
        Ok(())
    }

    fn memory(&self) -> Result<String> {
        Ok(format!("validator {}, follower {}", self.validator.memory()?, self.follower.memory()?))
    }

    /// Accounts that have this.
    async fn funded(&self, funds: u128) -> Result<Vec<Keypair>> {
        let alice = parse_suri("//Alice")?;
        let people: Vec<_> =
            (0..ACCOUNTS).map(|n| parse_suri(&format!("//bench//{n}"))).collect::<Result<_, _>>()?;
        let at = self.api.at_current_block().await?;
        let first = self.next_nonce(&alice).await?;
        let mut funding = Queue::new();
        for (n, person) in people.iter().enumerate() {
            funding.push(signed(&at, &transfer(person.account(), funds), &alice, first + n as u64)?);
        }
        self.include(vec![funding]).await?;
        Ok(people)
    }

    /// Transfers of each account, each to another one, which is new: they send the least that an account keeps.
    async fn transfers(&self, people: &[Keypair], each: usize) -> Result<()> {
        let receiver = |p: usize, n: usize| AccountId32(numbered(3, p * each + n));
        let at = self.api.at_current_block().await?;
        let sent = at.constants().entry(api::constants().balances().existential_deposit().unvalidated())?;
        let mut queues = Vec::new();
        for (p, person) in people.iter().enumerate() {
            let first = self.next_nonce(person).await?;
            let mut queue = Queue::new();
            for n in 0..each {
                queue.push(signed(&at, &transfer(receiver(p, n), sent), person, first + n as u64)?);
            }
            queues.push(queue);
        }
        self.measure("transfers", queues).await?;
        let at = self.api.at_current_block().await?;
        let accounts = at.storage().entry(api::storage().system().account().unvalidated())?;
        for p in 0..people.len() {
            let record = accounts.try_fetch((receiver(p, each - 1),)).await?;
            let record = record.with_context(|| format!("the last transfer of account {p} failed"))?;
            ensure!(record.decode()?.data.free == sent, "account {p} has sent something else");
        }
        Ok(())
    }

    async fn next_nonce(&self, key: &Keypair) -> Result<u64> {
        Ok(self.rpc.system_account_next_index(&key.account()).await?)
    }

    /// Submits transactions and waits until blocks hold them all.
    async fn include(&self, queues: Vec<Queue>) -> Result<Vec<Block>> {
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
        let (mut blocks, mut included, mut last) = (Vec::new(), 0, Instant::now());
        while included < count {
            while let Some(sent) = senders.try_join_next() {
                sent??;
            }
            if next > self.best().await? {
                ensure!(last.elapsed() < STUCK_AFTER, "only {included} of {count} are in blocks");
                sleep(BETWEEN_LOOKS).await;
                continue;
            }
            let block = timeout(STUCK_AFTER, self.look(next)).await.context("no answer on a block")??;
            next += 1;
            if block.transactions > 0 {
                last = Instant::now();
                included += block.transactions;
                blocks.push(block);
            }
        }
        // What follows reads finalized state, one block behind at most.
        let target = next - 1;
        timeout(STUCK_AFTER, async {
            while self.api.at_current_block().await?.block_number() < target {
                sleep(BETWEEN_LOOKS).await;
            }
            anyhow::Ok(())
        })
        .await
        .context("the last block isn't final")??;
        self.count_imports(target).await?;
        let authored = authored(&self.validator.process.log());
        for block in &mut blocks {
            block.authored = authored.get(&block.number).copied();
            block.imported = self.imports.took(block.number);
        }
        Ok(blocks)
    }

    async fn best(&self) -> Result<u64> {
        best(&self.rpc).await
    }

    /// Waits until the follower has counted its imports up to this block. It has imported each block once, so their
    /// place in the count is their number.
    async fn count_imports(&self, number: u64) -> Result<()> {
        let counted = async {
            loop {
                let best = best(&self.follower_rpc).await?;
                if best >= number && self.imports.count() == best {
                    return anyhow::Ok(());
                }
                sleep(BETWEEN_LOOKS).await;
            }
        };
        let limited = timeout(STUCK_AFTER, counted).await;
        limited.with_context(|| {
            format!(
                "the follower has counted {} imports, not one of each block to {number}",
                self.imports.count()
            )
        })?
    }

    async fn look(&self, number: u64) -> Result<Block> {
        let hash = self.rpc.chain_get_block_hash(Some(number.into())).await?;
        let block = self.rpc.chain_get_block(hash).await?.context("a block is gone")?.block;
        let at = self.api.at_block(number).await?;
        let weight = api::storage().system().block_weight().unvalidated();
        let weight = at.storage().entry(weight)?.try_fetch(()).await?;
        let weight = weight.context("a block has no weight")?.decode()?;
        let declared = weight.normal.ref_time + weight.operational.ref_time + weight.mandatory.ref_time;
        // The first one is the timestamp.
        let transactions = block.extrinsics.len().saturating_sub(1);
        let fill = declared as f64 / self.limit;
        Ok(Block { number, transactions, fill, authored: None, imported: None })
    }

    /// Includes the transactions, and says how fast that was.
    async fn measure(&self, what: &str, queues: Vec<Queue>) -> Result<()> {
        let blocks = self.include(queues).await?;
        for block in &blocks {
            println!("  {block}");
        }
        println!("{what}: {}; {}", summary(&blocks, self.slot), self.memory()?);
        Ok(())
    }
}

async fn best(rpc: &LegacyRpcMethods<RpcConfigFor<Config>>) -> Result<u64> {
    let header = timeout(ANSWER_LIMIT, rpc.chain_get_header(None)).await??;
    Ok(header.context("the chain has no best block")?.number)
}

/// The SDK's call, which other chains have with another number.
fn transfer(to: AccountId32, amount: u128) -> impl Payload {
    api::transactions().balances().transfer_keep_alive(MultiAddress::Id(to), amount).unvalidated()
}

/// Signed for this block's runtime, and valid for ever.
fn signed(
    at: &OnlineClientAtBlock<Config>,
    call: &impl Payload,
    key: &Keypair,
    nonce: u64,
) -> Result<Vec<u8>> {
    let params = DefaultExtrinsicParamsBuilder::new().nonce(nonce).build();
    let mut signable = at.transactions().create_signable_offline(call, params)?;
    Ok(signable.sign(key)?.into_encoded())
}

/// A call that carries its own signatures.
fn bare(at: &OnlineClientAtBlock<Config>, call: &impl Payload) -> Result<Vec<u8>> {
    Ok(at.transactions().create_v5_unsigned(call)?.into_encoded())
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
    MachineKey::from_seed(&numbered(kind, n))
}

/// Other bytes for each number of each kind.
fn numbered(kind: u8, n: usize) -> [u8; 32] {
    let mut bytes = [kind; 32];
    bytes[..8].copy_from_slice(&(n as u64).to_le_bytes());
    bytes
}

fn unix_seconds() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Asked> {
        Asked::read(line.split_whitespace().map(String::from))
    }

    #[test]
    fn counts_have_defaults() {
        let Asked { beside, transfers, contracts, nodes } = asked("").unwrap();
        assert_eq!((beside, transfers, contracts, nodes), (None, 16_000, 9_000, 4_096));
        let Asked { beside, transfers, contracts, nodes } = asked("100 --beside other 200 3").unwrap();
        assert_eq!((beside, transfers, contracts, nodes), (Some("other".into()), 100, 200, 3));
    }

    #[test]
    fn words_that_say_no_counts_are_refused() {
        let error = |line| asked(line).err().unwrap().to_string();
        assert!(error("many").starts_with("\"many\" is no number"));
        assert!(error("100 100 1 1").contains("Usage: bench-node"));
        assert_eq!(error("100 49"), "each of 50 accounts needs one of both at least");
        assert_eq!(error("100 100 0"), "contracts need a node");
        assert_eq!(error("100 --beside"), "--beside names no program");
    }
}
