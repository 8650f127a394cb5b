// SPDX-License-Identifier: Apache-2.0
//! The agent as a whole: starts its parts and connects them.

use crate::{
    backoff::Backoff,
    chain::{
        Chain, Follower, Outbox, OutboxInputs, Reports, Snapshot, client::RpcChain, endpoints::Endpoints,
    },
    config::{PurgeArgs, RunArgs},
    details::{self, Inspector},
    drivers::{
        WorkloadId,
        address::PublicAddresses,
        dockerd::OwnEngine,
        firewall::{self, Firewall},
        gateway::{Gateway, HAPROXY},
        machine::{DockerMachines, EngineChoice},
        name_servers,
        network::{PrivateNetworks, Tunnels},
        pool::{PoolPlace, Pools},
        volume::PoolVolumes,
    },
    engine::{Engine, Holds, Memory, Outputs, Standings, Timing, observed::Observed, reconcile::Drivers},
    former::Former,
    gpus::Gpus,
    host::{self, CapacityOverride},
    identity::Identity,
    join::{Belonging, Joining},
    links::Links,
    logs::{Connector, LogTroubles, Shipper, ShipperInputs},
    metrics::{self, Metrics},
    own_log::OwnLog,
    peer::{EventLog, Keeper, Own, PeerEndpoint, Recorder, Server, Sources, Streams},
    power::Power,
    requirements,
    self_test::SelfTest,
    store::{DataLock, Store},
    ticket,
    update::Updater,
    usage::{Meter, MeterInputs},
};
use anyhow::{Context, Result, bail, ensure};
use futures::FutureExt;
use prometheus::Registry;
use std::{
    env,
    future::pending,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_client::{MachineKey, deployment::DiskKind};
use tfgrid_primitives::{Features, NodeId, PublicKey, Resources};
use tokio::{
    sync::{Notify, OnceCell, mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tracing::{info, warn};

/// Limit for the node's own engine to start for a purge.
const ENGINE_STARTS_WITHIN: Duration = Duration::from_secs(30);
/// What was done that waits to be told.
const DONE_KEPT: usize = 1_000;
/// Connections of other nodes that wait to be looked at.
const CONNECTIONS_KEPT: usize = 64;
/// Delays before the chain is followed again.
const FOLLOW_AGAIN: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };

/// Runs the node, whose farmer may read this log. It may be killed at any instant: workloads keep running.
///
/// # Errors
/// If something is wrong that doesn't pass by waiting.
pub async fn run(args: RunArgs, own_log: watch::Receiver<OwnLog>) -> Result<()> {
    let begun = Instant::now();
    let data = args.place.data.clone();
    let _lock = DataLock::take(&data)?;
    host::raise_open_files()?;
    requirements::ensure_met(&requirements::check_system(&args.place).await)?;
    let store = Store::open(data.join("state"))?;
    let ticket = find_ticket(&args, &store)?;
    let identity = Identity::load_or_create(&data)?;
    let key = identity.node_key().public();
    info!(key = hex::encode(key), data = %data.display(), "this node");

    let registry = Registry::new();
    let metrics = Metrics::new(&registry).context("can't set up metrics")?;
    let mut tasks = JoinSet::new();
    tasks.spawn(metrics::serve(args.metrics, registry));
    spawn(&mut tasks, tfgrid_memory::give_back());
    let machine = OnMachine::open(&args, &key, &store, &mut tasks).await?;
    let own = |node| {
        let (place, store, log) = (args.place.clone(), store.clone(), own_log.clone());
        Arc::new(Own { node, key, place, store, begun, log })
    };
    let (self_test, failed, peer) = (machine.self_test(), Notify::new(), OnceCell::new());
    let untested = Untested {
        args: &args,
        identity: &identity,
        store: &store,
        metrics: &metrics,
        machine: &machine,
        peer: &peer,
    };
    tokio::select! {
        () = self_test.until_passed(&store, &metrics, &failed) => {}
        () = untested.answer_farmer(&failed, &own) => {}
        ended = tasks.join_next() => return ended_early(ended),
    }

    let peer = untested.endpoint().await?;
    let endpoints = Endpoints::new(args.grid.chain.clone());
    let joining = Joining {
        endpoints: &endpoints,
        identity: &identity,
        ticket,
        capacity: machine.capacity,
        data: &data,
        pools: &machine.pools,
        machines: &machine.machines,
        store: &store,
    };
    let joined = tokio::select! {
        joined = joining.join() => joined?,
        ended = tasks.join_next() => return ended_early(ended),
    };
    let own = own(joined.node);
    let chain = Arc::new(RpcChain::new(endpoints, joined, identity.node_key().clone()));
    OnGrid { args, identity, store, metrics, machine, peer, chain, own }.start(&mut tasks)?;
    ended_early(tasks.join_next().await)
}

/// The boot ticket; warns where the file that is named isn't there and the node has yet to join.
fn find_ticket(args: &RunArgs, store: &Store) -> Result<Option<MachineKey>> {
    let file = args.grid.ticket_file.as_deref();
    let ticket = ticket::find(file)?;
    if let (None, Some(file)) = (&ticket, file)
        && Belonging::joined(store)?.is_none()
    {
        warn!(file = %file.display(), "there is no ticket");
    }
    Ok(ticket)
}

/// A node that hasn't passed its self-test.
struct Untested<'a> {
    args: &'a RunArgs,
    identity: &'a Identity,
    store: &'a Store,
    metrics: &'a Metrics,
    machine: &'a OnMachine,
    peer: &'a OnceCell<PeerEndpoint>,
}

impl Untested<'_> {
    /// Once a self-test has `failed`, answers the farmer about the node, if it has joined, for ever. Nobody else is
    /// answered.
    async fn answer_farmer(&self, failed: &Notify, own: impl FnOnce(NodeId) -> Arc<Own>) {
        failed.notified().await;
        if let Err(why) = self.answer(own).await {
            warn!("the farmer isn't answered before the self-test has passed: {why:#}");
        }
        pending().await
    }

    async fn answer(&self, own: impl FnOnce(NodeId) -> Arc<Own>) -> Result<()> {
        let Some(joined) = Belonging::joined(self.store)? else { return Ok(()) };
        let Self { args, identity, store, metrics, machine, .. } = *self;
        let peer = self.endpoint().await?;
        let (snapshots, snapshots_rx) = watch::channel(None);
        let (known, known_rx) = watch::channel(Arc::default());
        let sources = Sources {
            known: known_rx,
            snapshots: snapshots_rx.clone(),
            observed: watch::channel(Arc::default()).1,
            standings: watch::channel(Arc::default()).1,
            tunnels: watch::channel(Arc::default()).1,
            log: watch::channel(EventLog::default()).1,
            holds: Holds::load(store.clone())?,
            own: own(joined.node),
            done: mpsc::channel(1).0,
        };
        let streams = Streams::new(machine.machines.clone(), machine.volumes.clone(), program()?);
        let server = Server::new(&peer, streams, sources).untested();
        let endpoints = Endpoints::new(args.grid.chain.clone());
        let chain: Arc<dyn Chain> = Arc::new(RpcChain::new(endpoints, joined, identity.node_key().clone()));
        let (key, metrics) = (identity.seal_key().clone(), metrics.clone());
        let follower = Follower::new(chain.clone(), key, store.clone(), metrics, snapshots, FOLLOW_AGAIN)?;
        let keeper = Keeper::new(chain, snapshots_rx, known);
        tokio::join!(follower.run(), keeper.run(), server.run());
        Ok(())
    }

    /// The peer endpoint, which is opened when it is needed.
    async fn endpoint(&self) -> Result<PeerEndpoint> {
        let secret = self.identity.peer_secret();
        let open = || PeerEndpoint::bind(self.args.peer.clone(), &secret);
        Ok(self.peer.get_or_try_init(open).await?.clone())
    }
}

/// Storage, machines, networks and gateway of the node.
struct OnMachine {
    pools: Pools,
    capacity: CapacityOverride,
    volumes: PoolVolumes,
    machines: Arc<DockerMachines>,
    networks: Arc<PrivateNetworks>,
    addresses: Arc<PublicAddresses>,
    gateway: Arc<Gateway>,
    drivers: Drivers,
}

impl OnMachine {
    /// Opens the storage pools, and starts the node's own engine as one of the tasks.
    async fn open(
        args: &RunArgs,
        key: &PublicKey,
        store: &Store,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<Self> {
        let data = &args.place.data;
        let (pools, capacity) = open_pools(args, key, store).await?;
        let pool = pools.ssd.clone();
        let dns = name_servers::choose(&args.dns, Path::new("/")).await;
        let program = program()?;
        let mut choice = args.place.engine_choice().unwrap_or_else(|| {
            let own = OwnEngine::new(data, &pool, key, args.registries.mirrors.clone(), program.clone());
            let choice = EngineChoice { socket: own.socket(), any: false, private_registries: false };
            spawn(tasks, own.run());
            choice
        });
        choice.private_registries |= args.registries.allow_private;
        let gpus = Gpus::open(Path::new("/"), capacity.apply(Resources::ZERO).gpu)?;
        let machines = Arc::new(DockerMachines::new(choice, pool, key, &dns).with_gpus(gpus));
        let networks = Arc::new(PrivateNetworks::new(key, dns.clone(), program));
        let gateway = Arc::new(Gateway::new(data, key, args.gateway.clone(), &dns)?);
        let interface = args.public_interface.clone();
        let addresses = PublicAddresses::new(key, store.clone(), interface, dns.clone(), args.allow_smtp)?;
        let addresses = Arc::new(addresses.with_gateway(gateway.clone()));
        addresses.ensure_ready().await?;
        let volumes = PoolVolumes::new(pools.clone());
        let firewall = Firewall::new(args.allow_smtp, args.registries.clone(), dns);
        let drivers = Drivers {
            machines: machines.clone(),
            networks: networks.clone(),
            volumes: Arc::new(volumes.clone()),
            addresses: addresses.clone(),
            gateways: gateway.clone(),
            firewall: Arc::new(firewall.with_gateway(gateway.clone())),
        };
        Ok(Self { pools, capacity, volumes, machines, networks, addresses, gateway, drivers })
    }

    fn self_test(&self) -> SelfTest<'_> {
        SelfTest {
            machines: &self.machines,
            volumes: &*self.drivers.volumes,
            firewall: &*self.drivers.firewall,
            has_hard_disks: matches!(self.pools.hdd, Some(Ok(_))),
        }
    }
}

/// The storage pools, and what the farmer offers of the machine.
async fn open_pools(args: &RunArgs, key: &PublicKey, store: &Store) -> Result<(Pools, CapacityOverride)> {
    Former::remember(store).await?;
    let pools = Pools::open(&args.place, store, key).await?;
    pools.clear_snapshots().await;
    let hard_disks = details::hard_disks(Path::new("/"), pools.ssd.devices());
    if !hard_disks.is_empty() {
        warn!("the storage pool counts as SSD and is on hard disks: {}", hard_disks.join(", "));
    }
    let capacity = CapacityOverride::of_start(store, args.capacity)?;
    if !args.unsafe_capacity {
        host::ensure_real(&capacity)?;
    }
    // Without its pool on hard disks, what a node offers isn't known.
    if !matches!(pools.hdd, Some(Err(_))) {
        host::capacity(pools.offered()?, &capacity)?;
    }
    capacity.remember(store)?;
    Ok((pools, capacity))
}

/// A node that has joined, before its parts run.
struct OnGrid {
    args: RunArgs,
    identity: Identity,
    store: Store,
    metrics: Metrics,
    machine: OnMachine,
    peer: PeerEndpoint,
    chain: Arc<dyn Chain>,
    own: Arc<Own>,
}

/// State of chain and engine that the other parts follow, and the channel for what they do to workloads.
struct News {
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    observed: watch::Receiver<Arc<Observed>>,
    standings: watch::Receiver<Arc<Standings>>,
    done: mpsc::Sender<(WorkloadId, String)>,
}

impl OnGrid {
    /// Connects all parts and starts them.
    fn start(self, tasks: &mut JoinSet<Result<()>>) -> Result<()> {
        let (snapshots, snapshots_rx) = watch::channel(None);
        let (reports, reports_rx) = watch::channel(Reports::new());
        let (engine_up, engine_up_rx) = watch::channel(false);
        let (observed, observed_rx) = watch::channel(Arc::default());
        let (standings, standings_rx) = watch::channel(Arc::default());
        let (done, done_rx) = mpsc::channel(DONE_KEPT);
        let news = News {
            snapshots: snapshots_rx,
            observed: observed_rx,
            standings: standings_rx,
            done: done.clone(),
        };
        let memory = Memory::load(self.store.clone(), self.identity.seal_key())?;
        self.start_reports(&news, snapshots, reports_rx, engine_up_rx, tasks)?;
        self.start_answers(&news, memory.holds().clone(), done_rx, tasks)?;

        let Self { args, metrics, machine, chain, .. } = self;
        let OnMachine { machines, networks, gateway, drivers, .. } = machine;
        let outputs = Outputs { reports, engine_up, observed, standings, done };
        let engine = Engine::new(chain, drivers, news.snapshots, outputs, memory, Timing::default(), metrics);
        spawn(tasks, async move { machines.listen().await });
        spawn(tasks, async move { networks.run(&args.place.data).await });
        spawn(tasks, async move { gateway.run().await });
        spawn(tasks, engine.run());
        Ok(())
    }

    /// Starts the parts that follow the chain, and those that report to it.
    fn start_reports(
        &self,
        news: &News,
        snapshots: watch::Sender<Option<Arc<Snapshot>>>,
        reports: watch::Receiver<Reports>,
        engine_up: watch::Receiver<bool>,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let (usage, usage_rx) = watch::channel(Vec::new());
        let (details, details_rx) = watch::channel(None);
        let (falls_asleep, falls_asleep_rx) = watch::channel(false);
        let Self { args, identity, store, metrics, machine, chain, .. } = self;
        let key = identity.seal_key().clone();
        let follower =
            Follower::new(chain.clone(), key, store.clone(), metrics.clone(), snapshots, FOLLOW_AGAIN)?;
        let inputs = OutboxInputs {
            reports,
            engine_up,
            falls_asleep: falls_asleep_rx,
            details: details_rx,
            usage: usage_rx,
            snapshots: news.snapshots.clone(),
        };
        let outbox = Outbox::new(chain.clone(), self.own.node, store.clone(), inputs, metrics.clone())?;
        let inputs = MeterInputs {
            chain: chain.clone(),
            counters: vec![machine.addresses.clone(), machine.gateway.clone(), machine.networks.clone()],
            observed: news.observed.clone(),
            snapshots: news.snapshots.clone(),
            metrics: metrics.clone(),
        };
        let meter = Meter::load(machine.machines.clone(), inputs, usage, news.done.clone(), store.clone())?;
        let inspector = Inspector::new(
            chain.clone(),
            news.snapshots.clone(),
            details,
            machine.pools.clone(),
            machine.capacity,
            features(args),
            self.peer.clone(),
        );
        let (snapshots, observed) = (news.snapshots.clone(), news.observed.clone());
        let updater = Updater::of(Path::new("/"), args.update.clone(), snapshots.clone(), observed.clone())?;
        let power = Power::new(chain.clone(), snapshots, observed, falls_asleep, args.power.clone());
        spawn(tasks, follower.run());
        spawn(tasks, outbox.run());
        spawn(tasks, meter.run());
        spawn(tasks, inspector.run());
        spawn(tasks, power.run());
        if let Some(updater) = updater {
            tasks.spawn(updater.run());
        }
        Ok(())
    }

    /// Starts the parts that answer owners, the farmer and other nodes, and the one that sends output.
    fn start_answers(
        &self,
        news: &News,
        holds: Holds,
        done: mpsc::Receiver<(WorkloadId, String)>,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let (known, known_rx) = watch::channel(Arc::default());
        let (log, log_rx) = watch::channel(EventLog::default());
        let (troubles, troubles_rx) = watch::channel(LogTroubles::new());
        let (connections, connections_rx) = mpsc::channel(CONNECTIONS_KEPT);
        let Self { args, identity, store, machine, peer, chain, .. } = self;
        let News { snapshots, observed, standings, .. } = news;
        let inputs = ShipperInputs {
            snapshots: snapshots.clone(),
            standings: standings.clone(),
            observed: observed.clone(),
            done: news.done.clone(),
        };
        let machines = machine.machines.clone();
        let connector = Connector::new(args.logs)?;
        let shipper = Shipper::load(machines.clone(), connector, inputs, troubles, store.clone())?;
        let links = Links::load(
            chain.clone(),
            machine.networks.clone(),
            Tunnels::new(&self.own.key, args.place.data.join("wireguard.log")),
            peer.clone(),
            identity.peer_key(),
            snapshots.clone(),
            store.clone(),
        )?;
        let sources = Sources {
            known: known_rx,
            snapshots: snapshots.clone(),
            observed: observed.clone(),
            standings: standings.clone(),
            tunnels: links.ends(),
            log: log_rx,
            holds,
            own: self.own.clone(),
            done: news.done.clone(),
        };
        let keeper = Keeper::new(chain.clone(), snapshots.clone(), known);
        let (observed, standings) = (observed.clone(), standings.clone());
        let recorder = Recorder::load(observed, standings, troubles_rx, done, log, store.clone())?;
        let streams = Streams::new(machines, machine.volumes.clone(), program()?);
        let server = Server::new(peer, streams, sources).with_links(connections);
        spawn(tasks, keeper.run());
        spawn(tasks, recorder.run());
        spawn(tasks, shipper.run());
        spawn(tasks, server.run());
        spawn(tasks, peer.clone().watch(store.clone()));
        spawn(tasks, links.run(connections_rx));
        Ok(())
    }
}

/// Features of this node that not every node has.
fn features(args: &RunArgs) -> Features {
    let optional = [
        (args.power.sleep_command.is_some(), Features::POWER),
        (args.public_interface.is_some(), Features::PUBLIC_IPS),
        (HAPROXY.is_installed(), Features::GATEWAYS),
    ];
    let optional = optional.into_iter().filter(|(is_served, _)| *is_served);
    optional.fold(Features::default(), |all, (_, feature)| all.and(feature))
}

fn spawn(tasks: &mut JoinSet<Result<()>>, part: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(part.map(Ok));
}

fn program() -> Result<PathBuf> {
    env::current_exe().context("can't find the path of this program")
}

/// The error with which the agent ends because one of its parts has: an agent without it must not go on.
fn ended_early(ended: Option<Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    match ended {
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => Err(error).context("a part of the agent panicked"),
        Some(Ok(Ok(()))) | None => bail!("a part of the agent ended unexpectedly"),
    }
}

/// Removes everything of this node from the machine, except its keys.
///
/// # Errors
/// If something can't be removed. It can be tried again.
pub async fn purge(args: PurgeArgs) -> Result<()> {
    let data = &args.place.data;
    ensure!(
        args.yes,
        "this deletes all workloads and volumes of the node in {} for good: confirm with --yes",
        data.display()
    );
    ensure!(data.is_dir(), "{} isn't a node's data folder: name it with --data", data.display());
    let _lock = DataLock::take(data)?;
    let Some(identity) = Identity::load(data)? else {
        bail!("{} has no identity.json: no node was ever started with this folder", data.display());
    };
    let node_key = identity.node_key().public();
    let store = Store::open(data.join("state"))?;
    if !PoolPlace::is_remembered(data, DiskKind::Ssd) {
        info!("nothing to remove: this node has never opened a storage pool");
        return Ok(());
    }
    Former::remember(&store).await?;
    let pools = Pools::open(&args.place, &store, &node_key).await?;
    let pool = &pools.ssd;
    let own = OwnEngine::new(data, pool, &node_key, Vec::new(), program()?);
    let (choice, keeping) = match args.place.engine_choice() {
        Some(choice) => (choice, None),
        None => {
            let choice = EngineChoice { socket: own.socket(), any: true, private_registries: false };
            (choice, Some(tokio::spawn(own.clone().run())))
        }
    };
    let purge =
        async || purge_workloads(&DockerMachines::new(choice.clone(), pool.clone(), &node_key, &[])).await;
    let removed = match keeping {
        Some(_) => twice(purge, async || own.stop().await).await,
        None => purge().await,
    };
    let removed = match removed {
        Ok(removed) => own.end_shims().await.map(|()| removed),
        failed => failed,
    };
    if let Some(keeping) = keeping {
        keeping.abort();
        own.stop().await?;
    }
    Gateway::purge(data, &node_key).await?;
    let private_networks = PrivateNetworks::new(&node_key, Vec::new(), program()?).purge().await?;
    let addresses = PublicAddresses::new(&node_key, store.clone(), None, Vec::new(), false)?.purge().await?;
    firewall::remove().await;
    let (containers, networks) = removed?;
    pools.remove(data).await?;
    Former::restore(&store).await?;
    info!(
        "removed {containers} containers, {networks} networks, {private_networks} private networks, \
         {addresses} public addresses and the storage pools"
    );
    Ok(())
}

/// What `purge` returns; if it fails, what it returns after a restart of the engine. An engine that has missed how a
/// machine ended keeps the machine's network until its own end.
async fn twice<T>(
    purge: impl AsyncFn() -> Result<T>,
    restart: impl AsyncFnOnce() -> Result<()>,
) -> Result<T> {
    let why = match purge().await {
        Err(why) => why,
        purged => return purged,
    };
    warn!("starting the engine again: {why:#}");
    restart().await?;
    purge().await
}

/// Removes all workloads as soon as the engine answers.
async fn purge_workloads(machines: &DockerMachines) -> Result<(usize, usize)> {
    let begun = Instant::now();
    while let Err(error) = machines.ready().await {
        ensure!(
            begun.elapsed() < ENGINE_STARTS_WITHIN,
            "nothing is removed: {:#}",
            anyhow::Error::from(error)
        );
        sleep(ENGINE_STARTS_WITHIN / 100).await;
    }
    Ok(machines.purge().await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// What a purge says of which so many tries fail, and the numbers of tries and of the engine's restarts.
    async fn purged(failing: u32) -> (Result<u32, String>, u32, u32) {
        let (tries, restarts) = (Cell::new(0), Cell::new(0));
        let purge = async || {
            tries.set(tries.get() + 1);
            ensure!(tries.get() > failing, "try {}: network has active endpoints", tries.get());
            Ok(tries.get())
        };
        let restart = async || {
            ensure!(tries.get() == 1, "a restart before the first try");
            restarts.set(restarts.get() + 1);
            Ok(())
        };
        let result = twice(purge, restart).await.map_err(|error| error.to_string());
        (result, tries.get(), restarts.get())
    }

    #[tokio::test]
    async fn a_purge_that_fails_is_tried_again_by_a_new_engine() {
        assert_eq!(purged(0).await, (Ok(1), 1, 0));
        assert_eq!(purged(1).await, (Ok(2), 2, 1));
        assert_eq!(purged(2).await, (Err("try 2: network has active endpoints".into()), 2, 1));
    }
}
