// SPDX-License-Identifier: Apache-2.0
//! Web gateways: HAProxy publishes sites of contracts, and this translates.
//!
//! What is to be published is kept on disk, so that it goes on without the chain and the engine. From it, what the
//! chain grants, what name servers say and the certificates follows what the proxy serves; the difference to what it
//! does serve is told to it through its socket, again and again. Only pools of backends and addresses of its own take a
//! reload, which drops no request either.

mod acme;
mod certificates;
mod config;
mod domains;
mod layout;
mod orders;
mod runtime;
mod standing;

pub use acme::AcmeArgs;
pub(crate) use config::{HTTP, HTTPS};

use super::{
    Counted, DriverError, GatewayDriver, GatewayGrants, GatewayHost, GatewaySpec, ObservedGateway,
    TrafficCounter, WorkloadId,
    daemon::Daemon,
    network::{namespace_name, path as namespace_path},
    pool::run_folder,
    tools::{Tool, run},
};
use crate::{clock::unix_ms, logs::is_own, store::Store};
use acme::{Authority, Challenges};
use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use certificates::Certificates;
use clap::Args;
use config::{COUNTING, Files, Structure};
use domains::{Domains, look_up, wanted};
use futures::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream::FuturesUnordered,
};
use layout::{Layout, Pool};
use orders::Orders;
use runtime::{Entries, Reloads, Serving, Socket, closing, commands};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use standing::{Holders, Standing, holders, host, standings};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tfgrid_client::deployment::SiteLimits;
use tfgrid_primitives::{ContractId, FailureCode, PublicKey, TwinId};
use tokio::{
    sync::{Mutex, Notify, watch},
    time::{interval, sleep, timeout},
};
use tracing::{info, warn};

pub(crate) const HAPROXY: Tool = Tool { program: "haproxy", package: "haproxy" };
/// File with the sites.
const FILE: &str = "sites.json";
/// File with what name servers have said.
const DOMAINS: &str = "domains.json";
/// File with the traffic.
const TRAFFIC: &str = "traffic.json";
/// Host of the certificate that visitors of unknown names get. No site has a host without a dot.
const DEFAULT_HOST: &str = "default";
/// How often the proxy is compared with what it is to serve, and names are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Limit for the proxy to start, or to go on with another structure.
const UP_WITHIN: Duration = Duration::from_secs(5);
/// How often the differences are told before the proxy counts as one that doesn't take them.
const TELLS: u32 = 3;
/// Bytes that the sites of a contract without traffic have in a minute, in each direction, before new requests are
/// refused: those of 1 Mbit/s.
const SLOW_BYTES: usize = 7_500_000;
/// The most contracts whose traffic is kept. Those that are gone count, and the oldest goes first.
const MAX_COUNTED: usize = 4_000;
/// Certificates that an authority signs at the same time.
const MAX_ORDERS: usize = 8;

/// Where a gateway listens, and whom it asks.
#[derive(Args, Clone, Debug, Default)]
pub struct GatewayArgs {
    /// Addresses at which published sites are served (ports 80 and 443), instead of the node's public ones
    ///
    /// For a machine behind a router that forwards both ports, and for development.
    #[arg(long, env = "ZOS_GATEWAY_BIND", value_name = "IPS", value_delimiter = ',')]
    pub gateway_bind: Vec<IpAddr>,
    /// Name servers that say whether a domain leads to this node, instead of those of --dns
    #[arg(long, env = "ZOS_GATEWAY_DNS", value_name = "IPS", value_delimiter = ',')]
    pub gateway_dns: Vec<IpAddr>,
    /// Who signs certificates.
    #[command(flatten)]
    pub acme: AcmeArgs,
}

/// The gateway of a node.
pub struct Gateway {
    node: PublicKey,
    files: Files,
    log: PathBuf,
    daemon: Daemon,
    bind: Vec<IpAddr>,
    name_servers: Vec<IpAddr>,
    authority: Option<Authority>,
    store: Store,
    /// Of what doesn't outlive the host's start, when counters begin at zero.
    counters: Store,
    grants: watch::Sender<GatewayGrants>,
    /// Held while something is changed.
    state: Mutex<State>,
    /// Wakes what asks authorities and name servers.
    woken: Notify,
    looked: Notify,
    /// Whether there is a site, for which the proxy runs.
    is_used: watch::Sender<bool>,
}

struct State {
    sites: BTreeMap<WorkloadId, GatewaySpec>,
    published: Holders,
    layout: Layout,
    certificates: Certificates,
    orders: Orders,
    domains: Domains,
    challenges: Entries,
    /// Files of the certificates that the proxy was given, by their hosts: inode, and when it was written.
    given: BTreeMap<String, (u64, i64, i64)>,
    /// The structure that the proxy runs with, once that is known.
    structure: Option<Structure>,
    reloads: Reloads,
    /// Hosts without a certificate of their own in the proxy, and why.
    failing: BTreeMap<String, String>,
    traffic: Traffic,
    /// Contracts whose sites are slow.
    slow: BTreeMap<ContractId, Slow>,
    /// Why the proxy doesn't serve what it is to.
    trouble: Option<String>,
}

/// Content of the file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    sites: Vec<GatewaySpec>,
    published: Holders,
    sizes: Vec<(Pool, usize)>,
    places: Vec<(WorkloadId, Pool, usize)>,
    grants: GatewayGrants,
}

/// Traffic of contracts since the host's start, whatever processes the proxy has had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Traffic {
    totals: BTreeMap<ContractId, Counted>,
    /// Counters of backends when they were last read.
    last: BTreeMap<String, (u64, u64)>,
}

impl Traffic {
    /// Adds what counters of backends have grown by. A new process counts from zero.
    fn note(&mut self, contracts: &BTreeMap<String, ContractId>, now: BTreeMap<String, (u64, u64)>) {
        for (backend, (received, sent)) in &now {
            let Some(contract) = contracts.get(backend) else { continue };
            let last = self.last.get(backend).copied().unwrap_or_default();
            let (received_before, sent_before) =
                if *received < last.0 || *sent < last.1 { (0, 0) } else { last };
            let total = self.totals.entry(*contract).or_default();
            total.received_bytes = total.received_bytes.saturating_add(received - received_before);
            total.sent_bytes = total.sent_bytes.saturating_add(sent - sent_before);
        }
        self.last = now;
        while self.totals.len() > MAX_COUNTED {
            self.totals.pop_first();
        }
    }
}

/// What sites of a slow contract have had beyond their bytes in a minute.
#[derive(Clone, Copy, Debug)]
struct Slow {
    noted_at: Instant,
    total: Counted,
    beyond: Counted,
}

impl Slow {
    fn new(total: Counted, now: Instant) -> Self {
        Self { noted_at: now, total, beyond: Counted::default() }
    }

    /// Whether connections are to be closed, now that the contract's traffic is this.
    fn is_over(&mut self, total: Counted, now: Instant) -> bool {
        let elapsed_ms = now.saturating_duration_since(self.noted_at).as_millis();
        let granted = u64::try_from(SLOW_BYTES as u128 * elapsed_ms / 60_000).unwrap_or(u64::MAX);
        let beyond = |beyond: u64, before: u64, total: u64| {
            beyond.saturating_sub(granted).saturating_add(total.saturating_sub(before))
        };
        let (before, last) = (self.beyond, self.total);
        self.beyond = Counted {
            received_bytes: beyond(before.received_bytes, last.received_bytes, total.received_bytes),
            sent_bytes: beyond(before.sent_bytes, last.sent_bytes, total.sent_bytes),
        };
        (self.noted_at, self.total) = (now, total);
        self.beyond.received_bytes.max(self.beyond.sent_bytes) > SLOW_BYTES as u64
    }
}

impl Gateway {
    /// The gateway of the node with this key, which keeps its files in the node's data folder. Without name servers in
    /// `args`, it asks these.
    ///
    /// # Errors
    /// If what is kept is damaged, or the certificate of an authority can't be read.
    pub fn new(data: &Path, node: &PublicKey, args: GatewayArgs, name_servers: &[IpAddr]) -> Result<Self> {
        let (run, folder) = (run_folder(node).join("gateway"), data.join("gateway"));
        let (store, counters) = (Store::open(&folder)?, Store::open(&run)?);
        let Kept { sites, published, sizes, places, grants } = store.read(FILE)?.unwrap_or_default();
        let files = Files::new(run, folder.clone());
        let config = files.config().to_string_lossy().into_owned();
        let daemon = Daemon {
            program: HAPROXY.program.into(),
            arguments: ["-W", "-db", "-f", &config].map(str::to_owned).into(),
            config: None,
            group: 0,
        };
        let state = State {
            published,
            layout: Layout {
                sizes: sizes.into_iter().collect(),
                places: places.into_iter().map(|(id, pool, index)| (id, (pool, index))).collect(),
                left: BTreeMap::new(),
            },
            certificates: Certificates::open(files.clone(), &folder)?,
            orders: Orders::open(store.clone())?,
            domains: store.read(DOMAINS)?.unwrap_or_default(),
            challenges: Entries::new(),
            given: BTreeMap::new(),
            structure: None,
            reloads: Reloads::default(),
            failing: BTreeMap::new(),
            traffic: counters.read(TRAFFIC)?.unwrap_or_default(),
            slow: BTreeMap::new(),
            trouble: None,
            sites: sites.into_iter().map(|spec| (spec.id.clone(), spec)).collect(),
        };
        let is_used = watch::Sender::new(!state.sites.is_empty());
        let given = args.gateway_dns;
        Ok(Self {
            node: *node,
            files,
            log: data.join("gateway.log"),
            daemon,
            bind: args.gateway_bind,
            name_servers: if given.is_empty() { name_servers.to_vec() } else { given },
            authority: Authority::new(&args.acme, store.clone())?,
            store,
            counters,
            grants: watch::Sender::new(grants),
            state: Mutex::new(state),
            woken: Notify::new(),
            looked: Notify::new(),
            is_used,
        })
    }

    /// Keeps the proxy running from the first site on, and what it serves as it is to be, for ever.
    pub async fn run(&self) {
        // The sender lives as long as this.
        let _ = self.is_used.subscribe().wait_for(|used| *used).await;
        future::join4(
            self.daemon.keep(&self.log, || self.prepare()),
            self.watch(),
            self.look_up_domains(),
            self.renew(),
        )
        .await;
    }

    /// Ends the proxy and removes all of it, certificates included.
    ///
    /// # Errors
    /// If something can't be removed.
    pub async fn purge(data: &Path, node: &PublicKey) -> Result<()> {
        let gateway = Self::new(data, node, GatewayArgs::default(), &[])?;
        gateway.daemon.stop().await?;
        for folder in [gateway.files.folder().to_owned(), data.join("gateway")] {
            if folder.exists() {
                fs::remove_dir_all(&folder).with_context(|| format!("can't remove {}", folder.display()))?;
            }
        }
        Ok(())
    }

    /// What a start needs: the configuration, which the first look writes.
    async fn prepare(&self) -> Result<()> {
        let (config, begun) = (self.files.config(), Instant::now());
        while !config.exists() {
            ensure!(begun.elapsed() < UP_WITHIN, "{} isn't written yet", config.display());
            sleep(UP_WITHIN / 200).await;
        }
        Ok(())
    }

    /// Compares at intervals, and at once when the chain says something else.
    async fn watch(&self) {
        let mut grants = self.grants.subscribe();
        loop {
            let mut state = self.state.lock().await;
            self.apply_noting(&mut state).await;
            self.count(&mut state).await;
            drop(state);
            if let Ok(Ok(())) = timeout(LOOK_EVERY, grants.changed()).await
                && let Err(why) = self.keep(&*self.state.lock().await)
            {
                warn!("can't keep what the chain says of this gateway: {why:#}");
            }
        }
    }

    async fn count(&self, state: &mut State) {
        let Ok(now) = Socket::new(&self.files.socket()).traffic().await else { return };
        let contracts = state.layout.places.iter();
        let contracts = contracts.map(|(id, (pool, index))| (pool.backend(*index), id.contract)).collect();
        let before = state.traffic.clone();
        state.traffic.note(&contracts, now);
        if state.traffic != before
            && let Err(why) = self.counters.write(TRAFFIC, &state.traffic)
        {
            warn!("can't keep the traffic of published sites: {why:#}");
        }
        self.close_over(state).await;
    }

    /// Closes connections of slow contracts that have had too much: rules of the configuration see new requests alone.
    async fn close_over(&self, state: &mut State) {
        let now = Instant::now();
        let mut over = BTreeSet::new();
        for (contract, slow) in &mut state.slow {
            let total = state.traffic.totals.get(contract).copied().unwrap_or_default();
            if slow.is_over(total, now) {
                over.insert(*contract);
            }
        }
        let places = state.layout.places.iter().filter(|(id, _)| over.contains(&id.contract));
        let backends = places.map(|(_, (pool, index))| pool.backend(*index));
        let told = Socket::new(&self.files.socket()).tell(&closing(backends)).await;
        if let Err(why) = told {
            warn!(why = format!("{why:#}"), "can't close connections of sites without traffic");
        }
    }

    /// Gives all sites their places, and keeps both.
    fn rearrange(&self, state: &mut State) -> Result<()> {
        state.layout.arrange(state.sites.values(), Instant::now());
        self.keep(state)
    }

    fn keep(&self, state: &State) -> Result<()> {
        let kept = Kept {
            sites: state.sites.values().cloned().collect(),
            published: state.published.clone(),
            sizes: state.layout.sizes.iter().map(|(pool, size)| (pool.clone(), *size)).collect(),
            places: state
                .layout
                .places
                .iter()
                .map(|(id, (pool, index))| (id.clone(), pool.clone(), *index))
                .collect(),
            grants: self.grants.borrow().clone(),
        };
        self.store.write(FILE, &kept)
    }

    /// Asks name servers for domains that are to be published, for ever.
    async fn look_up_domains(&self) {
        loop {
            let due = {
                let mut state = self.state.lock().await;
                let wanted = wanted(state.sites.values());
                state.domains.keep(&wanted);
                state.domains.due(&wanted, unix_ms())
            };
            let found = due.keys().map(|domain| look_up(&self.name_servers, domain));
            let found = future::join_all(found).await;
            let here = self.grants.borrow().addresses.clone();
            let mut state = self.state.lock().await;
            let mut is_new = false;
            for ((domain, twins), found) in due.iter().zip(found) {
                is_new |= state.domains.note(domain, twins, &here, found);
            }
            if !due.is_empty()
                && let Err(why) = self.store.write(DOMAINS, &state.domains)
            {
                warn!("can't keep what name servers say of domains: {why:#}");
            }
            if is_new {
                self.apply_noting(&mut state).await;
                self.woken.notify_one();
            }
            drop(state);
            // Of a twin with many, the next ones are due at once.
            if due.is_empty() {
                let _ = timeout(LOOK_EVERY, self.looked.notified()).await;
            }
        }
    }

    /// Has certificates signed, for ever.
    async fn renew(&self) {
        let Some(authority) = &self.authority else { return };
        let mut orders: FuturesUnordered<BoxFuture<'_, String>> = FuturesUnordered::new();
        let mut busy: BTreeSet<String> = BTreeSet::new();
        let mut looks = interval(LOOK_EVERY);
        loop {
            // Orders go on while others are looked for: they may hold what that waits for.
            tokio::select! {
                Some(host) = orders.next() => {
                    busy.remove(&host);
                }
                due = async {
                    tokio::select! {
                        _ = looks.tick() => {}
                        () = self.woken.notified() => {}
                    }
                    self.due().await
                } => for (twin, host) in due {
                    if orders.len() < MAX_ORDERS && busy.insert(host.clone()) {
                        orders.push(self.renew_one(authority, twin, host).boxed());
                    }
                },
            }
        }
    }

    /// Hosts for which an authority is to be asked, with the twins that have them.
    async fn due(&self) -> Vec<(TwinId, String)> {
        let (state, now_ms) = (self.state.lock().await, unix_ms());
        let hosts = self.terminated(&state);
        let due = state.certificates.due(hosts.iter().map(String::as_str)).into_iter();
        let twin = |host: &str| Some(state.sites.get(state.published.get(host)?)?.twin);
        due.filter_map(|host| Some((twin(&host)?, host)))
            .filter(|(twin, host)| state.orders.refusal(*twin, host, now_ms).is_none())
            .collect()
    }

    async fn renew_one(&self, authority: &Authority, twin: TwinId, host: String) -> String {
        let taken = self.state.lock().await.orders.take(twin, &host, unix_ms());
        match taken {
            Ok(true) => {}
            Ok(false) => return host,
            Err(why) => {
                warn!(host, why = format!("{why:#}"), "no certificate, because its order can't be counted");
                return host;
            }
        }
        let signed = async { acme::sign(authority.account().await?, &host, self).await }.await;
        let mut state = self.state.lock().await;
        let noted = match signed {
            Ok(signed) => {
                info!(host, "an authority has signed its certificate");
                state.certificates.take(&host, &signed.chain, &signed.key)
            }
            Err(error) => {
                let (why, too_many) = (format!("{error:#}"), acme::is_too_many(&error));
                warn!(host, why, "no certificate");
                let paused =
                    if acme::is_too_many_of_all(&error) { state.orders.pause(unix_ms()) } else { Ok(()) };
                state.certificates.refused(&host, why, too_many).and(paused)
            }
        };
        if let Err(why) = noted {
            warn!(host, why = format!("{why:#}"), "can't keep its certificate");
        }
        self.apply_noting(&mut state).await;
        host
    }

    fn standings<'a>(&self, state: &'a State) -> BTreeMap<&'a WorkloadId, Standing> {
        standings(&state.sites, &self.grants.borrow(), &state.domains, &state.published)
    }

    /// Hosts that are published and need a certificate here.
    fn terminated(&self, state: &State) -> Vec<String> {
        let standings = self.standings(state).into_iter();
        let is_terminated =
            |id: &WorkloadId| state.sites.get(id).is_some_and(|spec| !spec.site.tls_passthrough);
        standings.filter(|(id, _)| is_terminated(id)).filter_map(|(_, standing)| standing.ok()).collect()
    }

    /// Addresses at which it serves sites; none before the first site.
    pub fn addresses(&self) -> Vec<IpAddr> {
        if *self.is_used.borrow() { self.bind() } else { Vec::new() }
    }

    fn bind(&self) -> Vec<IpAddr> {
        if self.bind.is_empty() { self.grants.borrow().addresses.clone() } else { self.bind.clone() }
    }

    /// Namespace of a pool's network with what identifies it, `None` if there is none now.
    fn namespace(&self, pool: &Pool) -> Option<(String, u64)> {
        let name = namespace_name(&self.node, pool.network.as_ref()?);
        let id = fs::metadata(namespace_path(&name)).ok()?.ino();
        Some((name, id))
    }

    fn structure(&self, layout: &Layout) -> Structure {
        let pools = layout.sizes.iter().filter_map(|(pool, size)| {
            let namespace = self.namespace(pool);
            (pool.network.is_none() || namespace.is_some()).then(|| (pool.clone(), (*size, namespace)))
        });
        Structure {
            bind: self.bind(),
            behind: format!("zos-{}-gateway", hex::encode(&self.node[..4])),
            default: DEFAULT_HOST.into(),
            pools: pools.collect(),
        }
    }

    /// What the proxy is to serve with this structure.
    fn serving(&self, state: &State, structure: &Structure) -> Serving {
        let (mut servers, mut hosts, mut passthrough) = (BTreeMap::new(), Entries::new(), Entries::new());
        let mut siblings: BTreeMap<ContractId, usize> = BTreeMap::new();
        state.sites.keys().for_each(|id| *siblings.entry(id.contract).or_default() += 1);
        for (id, standing) in self.standings(state) {
            let (Ok(host), Some(spec), Some((pool, index))) =
                (standing, state.sites.get(id), state.layout.places.get(id))
            else {
                continue;
            };
            if !structure.has(pool, *index) {
                continue;
            }
            let backend = pool.backend(*index);
            let addresses: Vec<SocketAddr> =
                spec.site.backends.iter().map(|backend| backend.address).collect();
            let map = if spec.site.tls_passthrough { &mut passthrough } else { &mut hosts };
            let slow = siblings.get(&id.contract).filter(|_| state.slow.contains_key(&id.contract));
            let share = slow.map(|siblings| SLOW_BYTES / siblings);
            map.insert(host, route(&backend, &spec.site.limits, share));
            servers.insert(backend, addresses);
        }
        let files = &self.files;
        let maps = [
            (files.hosts(), hosts),
            (files.passthrough(), passthrough),
            (files.challenges(), state.challenges.clone()),
        ];
        Serving { servers, maps: maps.into() }
    }

    /// Makes the proxy serve what it is to. What goes wrong is told with the sites.
    async fn apply_noting(&self, state: &mut State) {
        let applied = self.apply(state).await;
        let trouble = applied.err().map(|why| format!("{why:#}"));
        if let Some(why) = trouble.as_ref().filter(|_| trouble != state.trouble) {
            warn!(why, "the web gateway doesn't serve as it is to");
        }
        state.trouble = trouble;
    }

    /// Remembers who has which host.
    fn note_holders(&self, state: &mut State) -> Result<()> {
        let now = holders(&state.sites, &self.standings(state), state.published.clone());
        if now != state.published {
            state.published = now;
            self.keep(state)?;
        }
        Ok(())
    }

    async fn apply(&self, state: &mut State) -> Result<()> {
        self.note_holders(state)?;
        let next = self.structure(&state.layout);
        let hosts = self.terminated(state);
        let mut failing = state.certificates.ensure(hosts.iter().map(String::as_str).chain([DEFAULT_HOST]));
        if let Some(why) = failing.remove(DEFAULT_HOST) {
            bail!("for visitors of unknown names: {why}");
        }
        self.write(&next, &self.serving(state, &next), &hosts)?;
        let path = self.files.socket();
        let socket = Socket::new(&path);
        let hash = next.hash(&self.files);
        if self.running(&socket).await? == hash {
            state.structure = Some(next);
        } else if state.reloads.take(Instant::now(), self.old_proxies()) || state.structure.is_none() {
            // The new process counts from zero.
            self.count(state).await;
            self.reload(&socket, &hash).await?;
            state.structure = Some(next);
        }
        // The one that it has until then takes all other changes.
        let Some(structure) = &state.structure else { return Ok(()) };
        let wanted = self.serving(state, structure);
        self.give_certificates(state, &socket, &hosts, &mut failing).await?;
        note_failing(state, failing);
        let mut left = commands(&socket.serving(&self.files).await?, &wanted);
        for _ in 0..TELLS {
            if left.is_empty() {
                break;
            }
            socket.tell(&left).await?;
            left = commands(&socket.serving(&self.files).await?, &wanted);
        }
        if let Some(first) = left.first() {
            let answer = socket.ask(first).await?;
            bail!("the proxy doesn't take `{first}`: {}", answer.trim());
        }
        self.drop_certificates(state, &socket, &hosts).await
    }

    /// The hash of the structure with which the proxy runs, once it does.
    async fn running(&self, socket: &Socket<'_>) -> Result<String> {
        let begun = Instant::now();
        loop {
            match socket.structure().await {
                Err(error) if begun.elapsed() > UP_WITHIN => {
                    return Err(error.context(format!("it doesn't run; {} says why", self.log.display())));
                }
                Err(_) => sleep(UP_WITHIN / 100).await,
                found => return found,
            }
        }
    }

    /// Number of processes of earlier reloads that have connections left, without the master and the one that serves.
    fn old_proxies(&self) -> usize {
        self.daemon.count().saturating_sub(2)
    }

    /// Lets a new process take over. It takes the sockets of the old one, which ends with its last connection.
    async fn reload(&self, socket: &Socket<'_>, hash: &str) -> Result<()> {
        let config = self.files.config();
        run(&HAPROXY, &["-c", "-q", "-f", &config.to_string_lossy()]).await?;
        self.daemon.signal(Signal::USR2)?;
        info!("the web gateway's proxy goes on with another structure");
        let begun = Instant::now();
        // Between two processes, it may not answer.
        while socket.structure().await.ok().as_deref() != Some(hash) {
            ensure!(
                begun.elapsed() < UP_WITHIN,
                "the proxy doesn't take its new configuration; {} says why",
                self.log.display()
            );
            sleep(UP_WITHIN / 100).await;
        }
        Ok(())
    }

    /// Writes all files with which a new process starts.
    fn write(&self, structure: &Structure, wanted: &Serving, hosts: &[String]) -> Result<()> {
        let files = &self.files;
        for folder in [files.folder().to_owned(), files.empty()] {
            fs::create_dir_all(&folder).with_context(|| format!("can't create {}", folder.display()))?;
        }
        let list: String = hosts
            .iter()
            .map(|host| (files.certificate(host), host))
            .filter(|(file, _)| file.exists())
            .map(|(file, host)| format!("{} {host}\n", file.display()))
            .collect();
        replace(&files.list(), &list)?;
        replace(&files.counting(), COUNTING)?;
        for (file, entries) in &wanted.maps {
            let text: String = entries.iter().map(|(key, value)| format!("{key} {value}\n")).collect();
            replace(file, &text)?;
        }
        replace(&files.config(), &structure.config(files, &wanted.servers))
    }

    async fn give_certificates(
        &self,
        state: &mut State,
        socket: &Socket<'_>,
        hosts: &[String],
        failing: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        let there = socket.certificates().await?;
        for host in hosts.iter().map(String::as_str).chain([DEFAULT_HOST]) {
            if failing.contains_key(host) {
                continue;
            }
            if let Err(why) = self.give_certificate(state, socket, host, &there).await {
                failing.insert(host.to_owned(), format!("{why:#}"));
                // A proxy that doesn't answer would keep each host waiting.
                socket.structure().await?;
            }
        }
        Ok(())
    }

    async fn give_certificate(
        &self,
        state: &mut State,
        socket: &Socket<'_>,
        host: &str,
        there: &BTreeSet<PathBuf>,
    ) -> Result<()> {
        let file = self.files.certificate(host);
        let unread = || format!("can't read {}", file.display());
        let is_new = !there.contains(&file);
        let found = fs::metadata(&file).with_context(unread)?;
        // A certificate that changes gets a new file.
        let found = (found.ino(), found.mtime(), found.mtime_nsec());
        if is_new || state.given.get(host) != Some(&found) {
            let pem = fs::read_to_string(&file).with_context(unread)?;
            socket.set_certificate(&self.files, host, &pem, is_new).await?;
            state.given.insert(host.to_owned(), found);
        }
        Ok(())
    }

    async fn drop_certificates(
        &self,
        state: &mut State,
        socket: &Socket<'_>,
        hosts: &[String],
    ) -> Result<()> {
        let hosts: BTreeSet<&str> = hosts.iter().map(String::as_str).chain([DEFAULT_HOST]).collect();
        let wanted = hosts.iter().map(|host| self.files.certificate(host)).collect();
        for file in socket.certificates().await?.difference(&wanted) {
            socket.drop_certificate(&self.files, file).await?;
        }
        // Those of sites that aren't published for now are kept.
        let known: BTreeSet<String> =
            state.sites.values().filter_map(|spec| host(spec, &self.grants.borrow()).ok()).collect();
        state.given.retain(|host, _| hosts.contains(host.as_str()));
        state.certificates.keep(|host| host == DEFAULT_HOST || known.contains(host))
    }

    /// What is to be told of a site that is published.
    fn shortcoming(&self, state: &State, spec: &GatewaySpec, host: &str) -> Option<String> {
        if let Some(trouble) = &state.trouble {
            return Some(trouble.clone());
        }
        let pool = Pool::of(spec);
        if pool.network.is_some() && self.namespace(&pool).is_none() {
            return Some("its private network isn't there".into());
        }
        let place = state.layout.places.get(&spec.id);
        let is_out = |structure: &Structure| place.is_none_or(|(pool, index)| !structure.has(pool, *index));
        if state.structure.as_ref().is_some_and(is_out) {
            return Some("many sites have changed: it is published within a minute".into());
        }
        if spec.site.tls_passthrough {
            return None;
        }
        if let Some(why) = state.failing.get(host) {
            return Some(why.clone());
        }
        let certificate = state.certificates.get(host).filter(|certificate| !certificate.is_trusted)?;
        match (&self.authority, &certificate.trouble) {
            (None, _) => Some("its certificate is the node's own: browsers don't trust it".into()),
            (Some(_), Some(trouble)) => Some(trouble.clone()),
            (Some(_), None) => state.orders.refusal(spec.twin, host, unix_ms()),
        }
    }
}

/// Remembers which hosts have no certificate of their own.
fn note_failing(state: &mut State, failing: BTreeMap<String, String>) {
    for (host, why) in failing.iter().filter(|(host, why)| state.failing.get(*host) != Some(*why)) {
        warn!(host, why, "a name isn't published as it is to be");
    }
    state.failing = failing;
}

/// An address of this node among the public backends of a site. Its public ones may be those of a router before it.
fn own_backend(spec: &GatewaySpec, here: &[IpAddr]) -> Option<IpAddr> {
    let public = spec.site.backends.iter().filter(|_| spec.site.network.is_none());
    let is_here = |ip: &IpAddr| is_own(*ip) || here.contains(&ip.to_canonical());
    public.map(|backend| backend.address.ip()).find(is_here)
}

/// Replaces a file if its content differs.
fn replace(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|is| is == text) {
        return Ok(());
    }
    let new = path.with_extension("new");
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("can't write {}", path.display()))
}

/// Value of a map: the backend and the limits, which the rules of the configuration take apart.
fn route(backend: &str, limits: &SiteLimits, bytes_per_minute: Option<usize>) -> String {
    let SiteLimits { request_bytes, requests_per_second, connections, answer_seconds } = limits;
    let answer_ms = answer_seconds * 1_000;
    // The counters behind it have 32 bits.
    let bytes_per_minute = bytes_per_minute.unwrap_or(u32::MAX as usize);
    format!("{backend}:{requests_per_second}:{request_bytes}:{connections}:{answer_ms}:{bytes_per_minute}")
}

#[async_trait]
impl Challenges for Gateway {
    async fn set(&self, path: &str, content: Option<&str>) -> Result<()> {
        let mut state = self.state.lock().await;
        match content {
            Some(content) => drop(state.challenges.insert(path.to_owned(), content.to_owned())),
            None => drop(state.challenges.remove(path)),
        }
        self.apply(&mut state).await
    }
}

#[async_trait]
impl GatewayDriver for Gateway {
    fn grant(&self, grants: &GatewayGrants) {
        self.grants.send_if_modified(|present| {
            let is_new = present != grants;
            present.clone_from(grants);
            is_new
        });
    }

    async fn observe(&self) -> Result<Vec<ObservedGateway>, DriverError> {
        let state = self.state.lock().await;
        let observed = self.standings(&state).into_iter().filter_map(|(id, standing)| {
            let spec = state.sites.get(id)?.clone();
            let (url, trouble) = match standing {
                Ok(host) => (Some(format!("https://{host}")), self.shortcoming(&state, &spec, &host)),
                Err(why) => (None, Some(why)),
            };
            Some(ObservedGateway { spec, url, trouble })
        });
        Ok(observed.collect())
    }

    async fn ensure(&self, spec: &GatewaySpec) -> Result<(), DriverError> {
        let invalid =
            |field, message| DriverError::Invalid { code: FailureCode::BodyInvalid, field, message };
        let field = match spec.host {
            GatewayHost::Name(_) => "/data/name",
            GatewayHost::Domain(_) => "/data/fqdn",
        };
        host(spec, &self.grants.borrow()).map_err(|why| invalid(field, why))?;
        if let Some(ip) = own_backend(spec, &self.grants.borrow().addresses) {
            return Err(invalid("/data/backends", format!("{ip} is an address of this node")));
        }
        if !HAPROXY.is_installed() {
            return Err(DriverError::transient("haproxy is missing: install the package haproxy"));
        }
        let mut state = self.state.lock().await;
        state.sites.insert(spec.id.clone(), spec.clone());
        self.rearrange(&mut state)?;
        self.is_used.send_replace(true);
        let applied = self.apply(&mut state).await;
        drop(state);
        self.woken.notify_one();
        self.looked.notify_one();
        applied.with_context(|| format!("can't publish {}", spec.id.name))?;
        info!(contract = spec.id.contract, site = spec.id.name, "publishing a site");
        Ok(())
    }

    async fn remove(&self, id: &WorkloadId) -> Result<(), DriverError> {
        let mut state = self.state.lock().await;
        if state.sites.remove(id).is_none() {
            return Ok(());
        }
        self.count(&mut state).await;
        self.rearrange(&mut state)?;
        Ok(self.apply(&mut state).await?)
    }
}

#[async_trait]
impl TrafficCounter for Gateway {
    fn class(&self) -> &'static str {
        "gateway"
    }

    async fn counted(&self) -> Result<BTreeMap<ContractId, Counted>, DriverError> {
        let mut state = self.state.lock().await;
        self.count(&mut state).await;
        Ok(state.traffic.totals.clone())
    }

    async fn slow_down(&self, contracts: &BTreeSet<ContractId>) -> Result<(), DriverError> {
        let mut state = self.state.lock().await;
        let with_sites: BTreeSet<ContractId> = state.sites.keys().map(|id| id.contract).collect();
        let slow = contracts & &with_sites;
        if slow.iter().eq(state.slow.keys()) {
            return Ok(());
        }
        let now = Instant::now();
        let noted = |contract: ContractId| {
            let total = state.traffic.totals.get(&contract).copied().unwrap_or_default();
            (contract, state.slow.get(&contract).copied().unwrap_or_else(|| Slow::new(total, now)))
        };
        let slow = slow.into_iter().map(noted).collect();
        state.slow = slow;
        Ok(self.apply(&mut state).await?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tfgrid_client::deployment::Site;

    /// A site of twin 5 under a name, with a public backend.
    pub fn site(contract: ContractId, name: &str) -> GatewaySpec {
        GatewaySpec {
            id: WorkloadId { contract, name: name.into() },
            twin: 5,
            pointer: "/workloads/0".into(),
            host: GatewayHost::Name(name.into()),
            site: Site {
                network: None,
                backends: vec!["http://185.69.166.20:8080".parse().unwrap()],
                tls_passthrough: false,
                proxy_protocol: false,
                limits: SiteLimits::default(),
            },
        }
    }

    #[test]
    fn sites_and_their_places_are_kept() {
        let shop = site(1, "shop");
        let pool = Pool::of(&shop);
        let kept = Kept {
            sites: vec![shop.clone()],
            published: [("shop.gw1.example.org".to_owned(), shop.id.clone())].into(),
            sizes: vec![(pool.clone(), 16)],
            places: vec![(shop.id.clone(), pool.clone(), 3)],
            grants: GatewayGrants { holders: [("shop".to_owned(), 5)].into(), ..Default::default() },
        };
        let read: Kept = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
        assert_eq!((read.sites, read.sizes), (vec![shop.clone()], vec![(pool.clone(), 16)]));
        assert_eq!(read.published, kept.published);
        assert_eq!(read.places, [(shop.id, pool, 3)]);
        assert_eq!(read.grants, kept.grants);
    }

    #[test]
    fn traffic_survives_processes_of_the_proxy() {
        let contracts = [("http.0".to_owned(), 1), ("http.1".to_owned(), 1)].into();
        let read = |first, second| [("http.0".to_owned(), first), ("http.1".to_owned(), second)].into();
        let mut traffic = Traffic::default();
        traffic.note(&contracts, read((10, 100), (1, 2)));
        traffic.note(&contracts, read((15, 150), (1, 2)));
        // Another process.
        traffic.note(&contracts, read((3, 30), (0, 0)));
        let text = serde_json::to_string(&traffic).unwrap();
        traffic = serde_json::from_str(&text).unwrap();
        traffic.note(&contracts, read((4, 40), (0, 0)));
        let expected = Counted { received_bytes: 20, sent_bytes: 192 };
        assert_eq!(traffic.totals, [(1, expected)].into());
    }

    #[test]
    fn public_addresses_of_the_node_are_no_backends() {
        let here: [IpAddr; 1] = [[185, 69, 166, 10].into()];
        let mut shop = site(1, "shop");
        assert_eq!(own_backend(&shop, &here), None);
        for own in ["185.69.166.10:80", "[::ffff:185.69.166.10]:80", "127.0.0.1:80"] {
            shop.site.backends[0].address = own.parse().unwrap();
            assert_eq!(own_backend(&shop, &here), Some(shop.site.backends[0].address.ip()));
        }
        shop.site.network = Some("backend".into());
        assert_eq!(own_backend(&shop, &here), None);
    }

    #[test]
    fn a_route_has_the_limits_of_its_site() {
        let route = |share| route("http.0", &SiteLimits::default(), share);
        assert_eq!(route(None), "http.0:1000:104857600:1000:60000:4294967295");
        assert_eq!(route(Some(SLOW_BYTES / 2)), "http.0:1000:104857600:1000:60000:3750000");
    }

    #[test]
    fn a_slow_contract_is_over_until_its_bytes_are_granted() {
        let (begun, most) = (Instant::now(), SLOW_BYTES as u64);
        let sent = |sent_bytes| Counted { received_bytes: 1, sent_bytes };
        let after = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        let mut slow = Slow::new(sent(1_000), begun);
        assert!(!slow.is_over(sent(1_000 + most), begun));
        assert!(slow.is_over(sent(1_001 + most), begun));
        assert!(!slow.is_over(sent(1_001 + most), after(1)));
        // One large answer is no more than many small ones.
        assert!(slow.is_over(sent(1_001 + most * 4), after(1)));
        assert!(slow.is_over(sent(1_001 + most * 4), after(2)));
        assert!(!slow.is_over(sent(1_001 + most * 4), after(4)));
        // What it didn't use isn't saved.
        assert!(slow.is_over(sent(1_002 + most * 5), after(600)));
    }

    #[test]
    fn traffic_of_the_oldest_contracts_is_dropped_first() {
        let contracts = (0..=MAX_COUNTED as u64).map(|id| (format!("http.{id}"), id)).collect();
        let read = (0..=MAX_COUNTED).map(|id| (format!("http.{id}"), (1, 1))).collect();
        let mut traffic = Traffic::default();
        traffic.note(&contracts, read);
        assert_eq!((traffic.totals.len(), traffic.totals.contains_key(&0)), (MAX_COUNTED, false));
    }
}
