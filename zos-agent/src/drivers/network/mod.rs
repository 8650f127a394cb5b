// SPDX-License-Identifier: Apache-2.0
//! Private networks: a network namespace for each network of a twin, so that two networks may have the same addresses.
//!
//! In the namespace, each contract has a bridge with its range, to which the agent connects the contract's machines at
//! each start. A link to the host, with an address that no tenant can have, leads to the internet. What exists is read
//! from the kernel: the names of namespaces and bridges, and the aliases of ports.

mod namespace;
mod netlink;
mod resolver;
mod table;
mod wireguard;

pub(crate) use namespace::{NSENTER, batch, path, within};
pub use namespace::{bind_udp, connect};
pub use resolver::{ResolveArgs, resolve};
pub use table::{Elsewhere, Names};
pub use wireguard::{
    KEEPALIVE, Tunnel, TunnelPeer, TunnelSpec, Tunnels, WG, WIREGUARD_GO, WireGuardKey, key_from_text,
    key_text, public_key,
};

use super::{
    Counted, DriverError, MachineSpec, NetworkDriver, NetworkId, NetworkSpec, ObservedNetwork,
    ObservedNetworks, ObservedPort, PRIVATE, Process, TrafficCounter, WorkloadId, counters,
    daemon::Daemon,
    machine::names::{base36, bridge, bridge_contract},
    pool::run_folder,
    uplink,
};
use crate::store::Store;
use anyhow::{Context, Result};
use async_trait::async_trait;
use futures::{FutureExt, StreamExt, TryStreamExt, future, stream};
use ipnet::Ipv4Net;
use namespace::{Content, HostSide, LINK_PREFIX, Link, Namespace, Rules};
use sp_core::{Blake2Hasher, Hasher};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::{self, Arc, PoisonError},
};
use table::{NamedMachine, NamedNetwork, Table};
use tfgrid_primitives::{ContractId, FailureCode, PublicKey};
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

/// Bytes that a packet grows by when it goes to another node: WireGuard over IPv6.
const LINK_OVERHEAD: u32 = 80;
/// Limit of namespaces that are read at the same time.
const MAX_READS: usize = 8;
/// Prefix of the names of machines' ports.
const PORT_PREFIX: &str = "zp";

/// Size of the largest packets of private networks.
///
/// # Errors
/// If `ip` fails.
pub async fn mtu() -> Result<u32> {
    Ok(uplink::mtu().await?.saturating_sub(LINK_OVERHEAD))
}

/// Name of the namespace of a twin's network on the node with this key.
pub(crate) fn namespace_name(node: &PublicKey, id: &NetworkId) -> String {
    format!("{}{}-{}", namespace_prefix(node), id.twin, id.name)
}

fn namespace_prefix(node: &PublicKey) -> String {
    format!("zos-{}-", hex::encode(&node[..4]))
}

/// Names of machines of each network.
pub type NetworkNames = BTreeMap<NetworkId, Names>;

/// The private networks of a node.
pub struct PrivateNetworks {
    node: PublicKey,
    resolver: Daemon,
    /// Folder of the names, for the resolver.
    names: PathBuf,
    name_servers: Vec<IpAddr>,
    /// The names that were written last. Held while something is changed.
    written: Mutex<Option<Table>>,
    /// Whether there is a network, for which the resolver runs.
    is_used: watch::Sender<bool>,
    /// The networks that exist, with the names of their machines here.
    here: watch::Sender<Arc<NetworkNames>>,
    /// Machines on other nodes and peers; those that are written already before somebody has told them.
    elsewhere: Mutex<Option<BTreeMap<NetworkId, Elsewhere>>>,
    /// Namespaces with the rules that were last found whole.
    whole: sync::Mutex<BTreeMap<String, Rules>>,
}

impl PrivateNetworks {
    /// Networks of the node with this key, whose machines with internet ask these name servers. `program` is the
    /// agent's.
    pub fn new(node: &PublicKey, name_servers: Vec<IpAddr>, program: PathBuf) -> Self {
        let names = run_folder(node).join("network");
        let resolver = Daemon {
            program: program.to_string_lossy().into_owned(),
            arguments: vec!["resolve".into(), "--names".into(), names.to_string_lossy().into_owned()],
            config: None,
            group: 0,
        };
        let is_used = watch::Sender::new(false);
        let (written, here, elsewhere, whole) = Default::default();
        Self { node: *node, resolver, names, name_servers, written, is_used, here, elsewhere, whole }
    }

    /// The networks that exist, with the names of their machines on this node, as they are observed.
    pub fn here(&self) -> watch::Receiver<Arc<NetworkNames>> {
        self.here.subscribe()
    }

    /// From now on, machines find these elsewhere.
    ///
    /// # Errors
    /// If the names can't be written.
    pub async fn set_elsewhere(&self, found: BTreeMap<NetworkId, Elsewhere>) -> Result<()> {
        let mut written = self.written.lock().await;
        if let Some(table) = &*written {
            let mut table = table.clone();
            let told = found.iter().map(|(id, found)| (namespace_name(&self.node, id), found));
            let told: BTreeMap<_, _> = told.collect();
            for network in &mut table.networks {
                network.elsewhere = told.get(&network.namespace).copied().cloned().unwrap_or_default();
            }
            self.write(&mut written, table)?;
        }
        *self.elsewhere.lock().await = Some(found);
        Ok(())
    }

    fn write(&self, written: &mut Option<Table>, table: Table) -> Result<()> {
        if written.as_ref() != Some(&table) {
            Store::open(&self.names)?.write(table::FILE, &table)?;
            *written = Some(table);
        }
        Ok(())
    }

    /// Keeps the resolver running from the first network on, for ever. Its log goes to the node's data folder.
    pub async fn run(&self, data: &Path) {
        // The sender lives as long as this.
        let _ = self.is_used.subscribe().wait_for(|used| *used).await;
        self.resolver.keep(&data.join("resolver.log"), || future::ready(Ok(()))).await;
    }

    /// Removes all of the node's networks, and ends the resolver; returns the number of networks.
    ///
    /// # Errors
    /// If something can't be removed.
    pub async fn purge(&self) -> Result<usize> {
        let _written = self.written.lock().await;
        self.resolver.stop().await?;
        let networks = self.namespaces()?;
        let tunnels = Tunnels::new(&self.node, PathBuf::new());
        for (id, namespace) in &networks {
            tunnels.remove(id).await?;
            namespace.remove(&self.link(id)).await?;
        }
        if self.names.exists() {
            fs::remove_dir_all(&self.names)
                .with_context(|| format!("can't remove {}", self.names.display()))?;
        }
        Ok(networks.len())
    }

    fn namespace(&self, id: &NetworkId) -> Namespace {
        Namespace::new(namespace_name(&self.node, id))
    }

    /// Name of the link to a namespace on the host, unique there.
    fn link(&self, id: &NetworkId) -> String {
        format!("{LINK_PREFIX}{}", base36(short_hash(&namespace_name(&self.node, id)) >> 8))
    }

    fn namespaces(&self) -> Result<Vec<(NetworkId, Namespace)>> {
        let prefix = namespace_prefix(&self.node);
        let parse = |name: String| {
            let (twin, network) = name.strip_prefix(&prefix)?.split_once('-')?;
            let id = NetworkId { twin: twin.parse().ok()?, name: network.to_owned() };
            Some((id, Namespace::new(name)))
        };
        let all = namespace::names()?.into_iter().filter_map(parse);
        Ok(all.filter(|(_, namespace)| namespace.exists()).collect())
    }

    async fn read(&self, id: NetworkId, namespace: Namespace, host: &HostSide) -> Result<Part> {
        let Content { links, aliases, rules } = namespace.content().await?;
        let is_whole = host.has(&self.link(&id)) && self.has_rules(&namespace, rules).await;
        let networks = links.iter().filter_map(|link| {
            let contract = bridge_contract(&link.name)?;
            let range = link.network.filter(|_| is_whole).map(|range| range.trunc());
            Some(ObservedNetwork { id: id.clone(), contract, range })
        });
        let ports = aliases.iter().filter_map(|alias| Port::parse(alias)).collect();
        Ok(Part { networks: networks.collect(), ports, namespace: namespace.name().to_owned(), id })
    }

    /// Whether the rules of a namespace are in place. They are read once in each generation.
    async fn has_rules(&self, namespace: &Namespace, rules: Rules) -> bool {
        let whole = || self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if whole().get(namespace.name()) == Some(&rules) {
            return true;
        }
        let is_whole = namespace.has_rules().await;
        if is_whole {
            whole().insert(namespace.name().to_owned(), rules);
        }
        is_whole
    }

    /// What machines of these networks find by name.
    async fn table(&self, parts: &[Part]) -> Result<Table> {
        let told = self.elsewhere.lock().await;
        let before = match &*told {
            Some(_) => None,
            None if self.names.exists() => {
                let read = Store::open(&self.names)?.read::<Table>(table::FILE);
                read.unwrap_or_else(|why| {
                    warn!("names of machines on other nodes are forgotten: {why:#}");
                    None
                })
            }
            None => None,
        };
        let elsewhere = |part: &Part| match (&*told, &before) {
            (Some(told), _) => told.get(&part.id).cloned(),
            (None, Some(before)) => {
                let found = before.networks.iter().find(|network| network.namespace == part.namespace);
                found.map(|network| network.elsewhere.clone())
            }
            (None, None) => None,
        };
        let machine = |port: &Port| NamedMachine {
            contract: port.machine.contract,
            name: port.machine.name.clone(),
            ip: port.ip,
            internet: port.internet,
        };
        let network = |part: &Part| NamedNetwork {
            namespace: part.namespace.clone(),
            name: part.id.name.clone(),
            machines: part.ports.iter().map(machine).collect(),
            elsewhere: elsewhere(part).unwrap_or_default(),
        };
        Ok(Table { name_servers: self.name_servers.clone(), networks: parts.iter().map(network).collect() })
    }

    /// Refuses a range of which another contract has addresses.
    fn refuse_taken(spec: &NetworkSpec, links: &[Link]) -> Result<(), DriverError> {
        let overlaps = |range: Ipv4Net| range.contains(&spec.range) || spec.range.contains(&range);
        let taken = links.iter().find_map(|link| {
            let contract = bridge_contract(&link.name).filter(|contract| *contract != spec.contract)?;
            link.network.filter(|range| overlaps(range.trunc())).map(|range| (contract, range.trunc()))
        });
        match taken {
            None => Ok(()),
            Some((contract, range)) => Err(DriverError::Invalid {
                code: FailureCode::BodyInvalid,
                field: "/data/range",
                message: format!("contract {contract} has the range {range} of this network already"),
            }),
        }
    }

    async fn connect(
        &self,
        spec: &MachineSpec,
        process: &Process,
        index: usize,
        mtu: u32,
    ) -> Result<(), DriverError> {
        let interface = &spec.attachment.interfaces[index];
        let namespace = self.namespace(&interface.network);
        let name = port_name(&spec.id, &interface.network);
        let port = Port {
            machine: spec.id.clone(),
            ip: interface.ip,
            internet: spec.attachment.internet,
            instance: process.instance.clone(),
        };
        // That of an earlier run, or of an interrupted try.
        namespace.delete_link(&name).await?;
        let (mtu, pid, inside) = (mtu.to_string(), process.pid.to_string(), format!("eth{index}"));
        let pair = ["link", "add", &name, "mtu", &mtu, "type", "veth"];
        namespace.ip(&[&pair[..], &["peer", "name", &inside, "mtu", &mtu, "netns", &pid]].concat()).await?;
        let gateway = interface.gateway;
        let mut inner = vec![
            format!("addr add {}/{} dev {inside}", interface.ip, interface.range.prefix_len()),
            format!("link set dev {inside} up"),
        ];
        if interface.subnet != interface.range {
            inner.push(format!("route add {} via {gateway} dev {inside}", interface.subnet));
        }
        // A machine without a route to the internet can't make one: it lacks the right.
        if index == 0 && spec.attachment.internet {
            inner.push(format!("route add default via {gateway} dev {inside}"));
        }
        namespace::batch(&format!("/proc/{pid}/ns/net"), &inner).await?;
        let bridge = bridge(spec.id.contract);
        namespace
            .batch(&[format!("link set dev {name} master {bridge}"), format!("link set dev {name} up")])
            .await?;
        // Last: by its alias the port is known to be complete.
        namespace.ip(&["link", "set", "dev", &name, "alias", &port.to_string()]).await?;
        Ok(())
    }
}

/// What is in one namespace.
struct Part {
    id: NetworkId,
    namespace: String,
    networks: Vec<ObservedNetwork>,
    ports: Vec<Port>,
}

impl Part {
    fn names(&self) -> Names {
        let mut names = Names::new();
        for port in &self.ports {
            names.entry(port.machine.name.clone()).or_default().insert(port.ip);
        }
        names
    }
}

/// A machine's end of a network. As text it is the alias of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Port {
    machine: WorkloadId,
    ip: Ipv4Addr,
    internet: bool,
    instance: String,
}

impl Port {
    fn parse(alias: &str) -> Option<Self> {
        let mut words = alias.split(' ');
        let mut word = || words.next();
        Some(Self {
            machine: WorkloadId { contract: word()?.parse().ok()?, name: word()?.to_owned() },
            ip: word()?.parse().ok()?,
            internet: word()? == "internet",
            instance: word()?.to_owned(),
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, ip, internet, instance } = self;
        let internet = if *internet { "internet" } else { "private" };
        write!(f, "{} {} {ip} {internet} {instance}", machine.contract, machine.name)
    }
}

pub(crate) fn short_hash(text: &str) -> u64 {
    u64::from_be_bytes(Blake2Hasher::hash(text.as_bytes()).0.first_chunk().copied().unwrap_or_default())
}

fn port_name(machine: &WorkloadId, network: &NetworkId) -> String {
    format!("{PORT_PREFIX}{}", base36(short_hash(&format!("{machine} {}", network.name))))
}

#[async_trait]
impl NetworkDriver for PrivateNetworks {
    async fn observe(&self) -> Result<ObservedNetworks, DriverError> {
        let mut written = self.written.lock().await;
        let namespaces = self.namespaces()?;
        if namespaces.is_empty() && !*self.is_used.borrow() {
            return Ok(ObservedNetworks::default());
        }
        let host = &HostSide::read().await?;
        let reads: Vec<_> =
            namespaces.into_iter().map(|(id, namespace)| self.read(id, namespace, host).boxed()).collect();
        let parts: Vec<Part> = stream::iter(reads).buffered(MAX_READS).try_collect().await?;
        let is_there = |name: &String| parts.iter().any(|part| part.namespace == *name);
        self.whole.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| is_there(name));
        let table = self.table(&parts).await?;
        self.write(&mut written, table)?;
        let here: NetworkNames = parts.iter().map(|part| (part.id.clone(), part.names())).collect();
        self.here.send_if_modified(|known| {
            let is_new = **known != here;
            if is_new {
                *known = Arc::new(here);
            }
            is_new
        });
        self.is_used.send_replace(true);
        let mut observed = ObservedNetworks::default();
        for part in parts {
            observed.networks.extend(part.networks);
            observed.ports.extend(part.ports.into_iter().map(|port| ObservedPort {
                machine: port.machine,
                network: part.id.clone(),
                instance: port.instance,
            }));
        }
        Ok(observed)
    }

    async fn ensure(&self, spec: &NetworkSpec) -> Result<(), DriverError> {
        let _written = self.written.lock().await;
        let mtu = mtu().await?;
        let namespace = self.namespace(&spec.id);
        let (host, link) = (HostSide::read().await?, self.link(&spec.id));
        namespace.ensure(&host, &link, mtu).await?;
        let links = namespace.links().await?;
        Self::refuse_taken(spec, &links)?;
        let name = bridge(spec.contract);
        let found = links.iter().find(|link| link.name == name);
        let gateway = Ipv4Net::new(spec.gateway, spec.range.prefix_len()).ok();
        if found.is_none_or(|found| found.network != gateway || !found.is_up) {
            if found.is_some() {
                namespace.delete_link(&name).await?;
            }
            let prefix = spec.range.prefix_len();
            let lines = [
                format!("link add {name} mtu {mtu} type bridge"),
                format!("addr add {}/{prefix} dev {name}", spec.gateway),
                format!("link set dev {name} up"),
            ];
            namespace.batch(&lines).await?;
            info!(contract = spec.contract, network = spec.id.name, range = %spec.range, "private network");
        }
        let others = links.iter().filter_map(|link| bridge_contract(&link.name));
        namespace.count(&others.chain([spec.contract]).collect()).await?;
        self.is_used.send_replace(true);
        Ok(())
    }

    async fn attach(&self, spec: &MachineSpec, process: &Process) -> Result<(), DriverError> {
        let _written = self.written.lock().await;
        let mtu = mtu().await?;
        for index in 0..spec.attachment.interfaces.len() {
            self.connect(spec, process, index, mtu).await?;
        }
        Ok(())
    }

    async fn remove(&self, contract: ContractId, id: &NetworkId) -> Result<(), DriverError> {
        let _written = self.written.lock().await;
        let namespace = self.namespace(id);
        if !namespace.exists() {
            return Ok(());
        }
        let name = bridge(contract);
        let links = namespace.links().await?;
        let contracts = links.iter().filter_map(|link| bridge_contract(&link.name));
        let others: BTreeSet<_> = contracts.filter(|other| *other != contract).collect();
        if !others.is_empty() {
            namespace.delete_link(&name).await?;
            return Ok(namespace.count(&others).await?);
        }
        Ok(namespace.remove(&self.link(id)).await?)
    }
}

#[async_trait]
impl TrafficCounter for PrivateNetworks {
    fn class(&self) -> &'static str {
        PRIVATE
    }

    async fn counted(&self) -> Result<BTreeMap<ContractId, Counted>, DriverError> {
        let read = |(_, namespace): (NetworkId, Namespace)| async move {
            let counters = namespace.counters().await;
            // It may be gone by now.
            if namespace.exists() { counters } else { Ok(BTreeMap::new()) }
        };
        let reads: Vec<_> = self.namespaces()?.into_iter().map(|found| read(found).boxed()).collect();
        let read: Vec<_> = stream::iter(reads).buffered(MAX_READS).try_collect().await?;
        let mut contracts = BTreeMap::new();
        read.iter().for_each(|counters| counters::add(&mut contracts, counters));
        Ok(contracts)
    }

    async fn slow_down(&self, _: &BTreeSet<ContractId>) -> Result<(), DriverError> {
        Ok(())
    }
}
