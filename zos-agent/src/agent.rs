// SPDX-License-Identifier: Apache-2.0
//! The agent as a whole: starts its parts and connects them.

use crate::{
    backoff::Backoff,
    chain::{Chain, Follower, Outbox, OutboxInputs, Reports, client::RpcChain, endpoints::Endpoints},
    config::{PurgeArgs, RunArgs},
    details::{self, Inspector},
    drivers::{
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
    engine::{Engine, Memory, Outputs, Timing, reconcile::Drivers},
    former::Former,
    gpus::Gpus,
    host::{self, CapacityOverride},
    identity::Identity,
    join::Joining,
    links::Links,
    logs::{Connector, LogTroubles, Shipper, ShipperInputs},
    metrics::{self, Metrics},
    peer::{EventLog, Keeper, PeerEndpoint, Recorder, Server, Sources, Streams},
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
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_client::deployment::DiskKind;
use tfgrid_primitives::{Features, Resources};
use tokio::{
    sync::{mpsc, watch},
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

/// Runs the node. It may be killed at any instant: workloads keep running.
///
/// # Errors
/// If something is wrong that doesn't pass by waiting.
pub async fn run(args: RunArgs) -> Result<()> {
    let place = &args.place;
    let data = &place.data;
    let ticket = ticket::find(args.grid.ticket_file.as_deref())?;
    let _lock = DataLock::take(data)?;
    host::raise_open_files()?;
    requirements::ensure_met(&requirements::check_system(place).await)?;
    let store = Store::open(data.join("state"))?;
    let identity = Identity::load_or_create(data)?;
    info!(key = hex::encode(identity.node_key().public()), data = %data.display(), "this node");

    let registry = Registry::new();
    let metrics = Metrics::new(&registry).context("can't set up metrics")?;
    let mut tasks = JoinSet::new();
    tasks.spawn(metrics::serve(args.metrics, registry));

    let node_key = identity.node_key().public();
    Former::remember(&store).await?;
    let pools = Pools::open(place, &store, &node_key).await?;
    pools.clear_snapshots().await;
    let pool = pools.ssd.clone();
    let hard_disks = details::hard_disks(Path::new("/"), pool.devices());
    if !hard_disks.is_empty() {
        warn!("the storage pool counts as SSD and is on hard disks: {}", hard_disks.join(", "));
    }
    let capacity = CapacityOverride::of_start(&store, args.capacity)?;
    if !args.unsafe_capacity {
        host::ensure_real(&capacity)?;
    }
    // Without its pool on hard disks, what a node offers isn't known.
    if !matches!(pools.hdd, Some(Err(_))) {
        host::capacity(pools.offered()?, &capacity)?;
    }
    capacity.remember(&store)?;
    let dns = name_servers::choose(&args.dns, Path::new("/")).await;
    let program = program()?;
    let mut choice = place.engine_choice().unwrap_or_else(|| {
        let own = OwnEngine::new(data, &pool, &node_key, args.registries.mirrors.clone(), program.clone());
        let choice = EngineChoice { socket: own.socket(), any: false, private_registries: false };
        spawn(&mut tasks, own.run());
        choice
    });
    choice.private_registries |= args.registries.allow_private;
    let gpus = Gpus::open(Path::new("/"), capacity.apply(Resources::ZERO).gpu)?;
    let machines = DockerMachines::new(choice, pool.clone(), &node_key, &dns).with_gpus(gpus);
    let machines = Arc::new(machines);
    let networks = Arc::new(PrivateNetworks::new(&node_key, dns.clone(), program));
    let interface = args.public_interface;
    let is_public = interface.is_some();
    let gateway = Arc::new(Gateway::new(data, &node_key, args.gateway, &dns)?);
    let addresses = PublicAddresses::new(&node_key, store.clone(), interface, dns.clone(), args.allow_smtp)?;
    let addresses = Arc::new(addresses.with_gateway(gateway.clone()));
    addresses.ensure_ready().await?;
    let volumes = PoolVolumes::new(pools.clone());
    let drivers = Drivers {
        machines: machines.clone(),
        networks: networks.clone(),
        volumes: Arc::new(volumes.clone()),
        addresses: addresses.clone(),
        gateways: gateway.clone(),
        firewall: Arc::new(
            Firewall::new(args.allow_smtp, args.registries.clone(), dns).with_gateway(gateway.clone()),
        ),
    };
    let has_hard_disks = matches!(pools.hdd, Some(Ok(_)));
    let self_test = SelfTest {
        machines: &machines,
        volumes: &*drivers.volumes,
        firewall: &*drivers.firewall,
        has_hard_disks,
    };
    tokio::select! {
        () = self_test.until_passed(&store, &metrics) => {}
        ended = tasks.join_next() => return ended_early(ended),
    }

    let peer = PeerEndpoint::bind(args.peer, &identity.peer_secret()).await?;
    let endpoints = Endpoints::new(args.grid.chain);
    let joining = Joining {
        endpoints: &endpoints,
        identity: &identity,
        ticket,
        capacity,
        data,
        pools: &pools,
        machines: &machines,
        store: &store,
    };
    let joined = tokio::select! {
        joined = joining.join() => joined?,
        ended = tasks.join_next() => return ended_early(ended),
    };
    let node = joined.node;
    let chain: Arc<dyn Chain> = Arc::new(RpcChain::new(endpoints, joined, identity.node_key().clone()));

    let (snapshots, snapshots_rx) = watch::channel(None);
    let (reports, reports_rx) = watch::channel(Reports::new());
    let (engine_up, engine_up_rx) = watch::channel(false);
    let (observed, observed_rx) = watch::channel(Arc::default());
    let (standings, standings_rx) = watch::channel(Arc::default());
    let (known, known_rx) = watch::channel(Arc::default());
    let (log, log_rx) = watch::channel(EventLog::default());
    let (troubles, troubles_rx) = watch::channel(LogTroubles::new());
    let (done, done_rx) = mpsc::channel(DONE_KEPT);
    let (connections, connections_rx) = mpsc::channel(CONNECTIONS_KEPT);
    let (usage, usage_rx) = watch::channel(Vec::new());
    let (details, details_rx) = watch::channel(None);
    let (falls_asleep, falls_asleep_rx) = watch::channel(false);

    let follower = Follower::new(
        chain.clone(),
        identity.seal_key().clone(),
        store.clone(),
        metrics.clone(),
        snapshots,
        FOLLOW_AGAIN,
    )?;
    let inputs = OutboxInputs {
        reports: reports_rx,
        engine_up: engine_up_rx,
        falls_asleep: falls_asleep_rx,
        details: details_rx,
        usage: usage_rx,
        snapshots: snapshots_rx.clone(),
    };
    let outbox = Outbox::new(chain.clone(), node, store.clone(), inputs, metrics.clone())?;
    let inputs = MeterInputs {
        chain: chain.clone(),
        counters: vec![addresses, gateway.clone(), networks.clone()],
        observed: observed_rx.clone(),
        snapshots: snapshots_rx.clone(),
        metrics: metrics.clone(),
    };
    let meter = Meter::load(machines.clone(), inputs, usage, done.clone(), store.clone())?;
    let inputs = ShipperInputs {
        snapshots: snapshots_rx.clone(),
        standings: standings_rx.clone(),
        observed: observed_rx.clone(),
        done: done.clone(),
    };
    let connector = Connector::new(args.logs)?;
    let shipper = Shipper::load(machines.clone(), connector, inputs, troubles, store.clone())?;
    let tunnels = Tunnels::new(&node_key, data.join("wireguard.log"));
    let links = Links::load(
        chain.clone(),
        networks.clone(),
        tunnels,
        peer.clone(),
        identity.peer_key(),
        snapshots_rx.clone(),
        store.clone(),
    )?;
    let memory = Memory::load(store.clone(), identity.seal_key())?;
    let sources = Sources {
        known: known_rx,
        snapshots: snapshots_rx.clone(),
        observed: observed_rx.clone(),
        standings: standings_rx.clone(),
        tunnels: links.ends(),
        log: log_rx,
        holds: memory.holds().clone(),
        done: done.clone(),
    };
    let keeper = Keeper::new(chain.clone(), snapshots_rx.clone(), known);
    let recorder = Recorder::load(observed_rx.clone(), standings_rx, troubles_rx, done_rx, log, store)?;
    let server = Server::new(&peer, Streams::new(machines.clone(), volumes), sources).with_links(connections);
    let optional = [
        (args.power.sleep_command.is_some(), Features::POWER),
        (is_public, Features::PUBLIC_IPS),
        (HAPROXY.is_installed(), Features::GATEWAYS),
    ];
    let optional = optional.into_iter().filter(|(is_served, _)| *is_served);
    let features = optional.fold(Features::default(), |all, (_, feature)| all.and(feature));
    let inspector =
        Inspector::new(chain.clone(), snapshots_rx.clone(), details, pools, capacity, features, peer);
    let updater = Updater::of(Path::new("/"), args.update, snapshots_rx.clone(), observed_rx.clone())?;
    let power = Power::new(chain.clone(), snapshots_rx.clone(), observed_rx, falls_asleep, args.power);
    let engine = Engine::new(
        chain,
        drivers,
        snapshots_rx,
        Outputs { reports, engine_up, observed, standings, done },
        memory,
        Timing::default(),
        metrics,
    );

    let log = data.clone();
    spawn(&mut tasks, async move { machines.listen().await });
    spawn(&mut tasks, async move { networks.run(&log).await });
    spawn(&mut tasks, async move { gateway.run().await });
    spawn(&mut tasks, follower.run());
    spawn(&mut tasks, outbox.run());
    spawn(&mut tasks, meter.run());
    spawn(&mut tasks, inspector.run());
    spawn(&mut tasks, power.run());
    if let Some(updater) = updater {
        tasks.spawn(updater.run());
    }
    spawn(&mut tasks, keeper.run());
    spawn(&mut tasks, recorder.run());
    spawn(&mut tasks, shipper.run());
    spawn(&mut tasks, server.run());
    spawn(&mut tasks, links.run(connections_rx));
    spawn(&mut tasks, engine.run());
    ended_early(tasks.join_next().await)
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
    let machines = DockerMachines::new(choice, pool.clone(), &node_key, &[]);
    let removed = purge_workloads(&machines).await;
    if let Some(keeping) = keeping {
        keeping.abort();
        own.stop().await?;
    }
    Gateway::purge(data, &node_key).await?;
    let private_networks = PrivateNetworks::new(&node_key, Vec::new(), program()?).purge().await?;
    let addresses = PublicAddresses::new(&node_key, store.clone(), None, Vec::new(), false)?.purge().await?;
    firewall::remove().await;
    let (containers, networks) = removed?;
    own.end_shims()?;
    pools.remove(data).await?;
    Former::restore(&store).await?;
    info!(
        "removed {containers} containers, {networks} networks, {private_networks} private networks, {addresses} public addresses and the storage pools"
    );
    Ok(())
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
