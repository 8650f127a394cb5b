// SPDX-License-Identifier: Apache-2.0
//! Tunnels to other nodes: a WireGuard interface in the namespace of each network that has parts there. It is made on
//! the host and moved, so that its own packets go over the host's network. Where the kernel has no WireGuard,
//! `wireguard-go` does it, a process that outlives the agent.

use super::{
    namespace::{Namespace, delete_on_host, is_on_host},
    namespace_name, short_hash,
};
use crate::drivers::{
    NetworkId,
    daemon::Daemon,
    machine::names::{base36, bridge_contract},
    tools::{Tool, run},
    uplink::IP,
};
use anyhow::{Context, Result};
use ipnet::Ipv4Net;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    future,
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    path::PathBuf,
    time::Duration,
};
pub use tfgrid_client::wireguard::{WireGuardKey, key_from_text, key_text, public_key};
use tfgrid_primitives::PublicKey;
use tokio::{
    sync::{Mutex, OnceCell},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::info;

/// Sets and shows WireGuard interfaces.
pub const WG: Tool = Tool { program: "wg", package: "wireguard-tools" };
/// WireGuard for kernels without it.
pub const WIREGUARD_GO: Tool = Tool { program: "wireguard-go", package: "wireguard-go" };
/// Time within which a peer that is reached sends something.
pub const KEEPALIVE: Duration = Duration::from_secs(5);
/// Prefix of the names of tunnels' interfaces, which the rules of namespaces go by.
const INTERFACE_PREFIX: &str = "zw-";
/// UDP ports of tunnels, of which each prefers one. They are below those that Linux gives to anybody.
const PORTS: Range<u16> = 20_480..28_672;
/// Ports that are tried where others have the first ones.
const PORT_TRIES: u16 = 32;
/// Limit for `wireguard-go` to make its interface.
const MADE_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a tunnel is to be.
pub struct TunnelSpec {
    /// Its secret key.
    pub secret: [u8; 32],
    /// The port that it had before, if it is known.
    pub port: Option<u16>,
    /// The other nodes: their ranges, and the address at which those begin that have none yet. A peer of the owner's
    /// has none: it begins itself.
    pub peers: BTreeMap<WireGuardKey, (BTreeSet<Ipv4Net>, Option<SocketAddr>)>,
    /// Where the node itself answers ranges from that may ask it.
    pub sources: BTreeMap<Ipv4Net, Ipv4Addr>,
}

/// What a tunnel is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tunnel {
    /// UDP port on the host.
    pub port: u16,
    /// Its public key.
    key: Option<WireGuardKey>,
    /// The other nodes.
    pub peers: BTreeMap<WireGuardKey, TunnelPeer>,
}

/// Another node or a peer of the owner's, as a tunnel knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelPeer {
    /// Where packets for it go.
    pub endpoint: Option<SocketAddr>,
    /// Bytes that have come from it.
    pub received: u64,
    ranges: BTreeSet<Ipv4Net>,
    keepalive: bool,
}

impl TunnelSpec {
    fn is_met_by(&self, tunnel: &Tunnel) -> bool {
        let is_met = |key: &WireGuardKey, there: &TunnelPeer| {
            self.peers.get(key).is_some_and(|(ranges, begin)| match begin {
                Some(_) => *ranges == there.ranges && there.keepalive && there.endpoint.is_some(),
                None => *ranges == there.ranges && !there.keepalive,
            })
        };
        tunnel.key == Some(public_key(&self.secret))
            && PORTS.contains(&tunnel.port)
            && tunnel.peers.len() == self.peers.len()
            && tunnel.peers.iter().all(|(key, there)| is_met(key, there))
    }

    /// For `wg syncconf`. Peers that have an endpoint keep it.
    fn config(&self, port: u16, now: &Tunnel) -> String {
        let secret = key_text(&self.secret);
        let mut text = format!("[Interface]\nPrivateKey = {secret}\nListenPort = {port}\n");
        for (key, (ranges, begin)) in &self.peers {
            let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
            // Writing to a string can't fail.
            let _ = write!(
                text,
                "[Peer]\nPublicKey = {}\nAllowedIPs = {}\nPersistentKeepalive = {}\n",
                key_text(key),
                ranges.join(", "),
                begin.map_or(0, |_| KEEPALIVE.as_secs())
            );
            let has_endpoint = now.peers.get(key).is_some_and(|peer| peer.endpoint.is_some());
            if let Some(begin) = begin.filter(|_| !has_endpoint) {
                let _ = writeln!(text, "Endpoint = {begin}");
            }
        }
        text
    }
}

impl Tunnel {
    /// Reads what `wg show … dump` says.
    fn parse(dump: &str) -> Option<Self> {
        let mut lines = dump.lines();
        let mut own = lines.next()?.split('\t');
        let (key, port) = (key_from_text(own.nth(1)?), own.next()?.parse().ok()?);
        let peer = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [key, _, endpoint, ranges, _, received, _, keepalive] = fields[..] else { return None };
            let peer = TunnelPeer {
                endpoint: endpoint.parse().ok(),
                received: received.parse().ok()?,
                ranges: ranges.split(',').filter_map(|range| range.parse().ok()).collect(),
                keepalive: keepalive == KEEPALIVE.as_secs().to_string(),
            };
            Some((key_from_text(key)?, peer))
        };
        Some(Self { port, key, peers: lines.map(peer).collect::<Option<_>>()? })
    }
}

/// The tunnels of a node.
pub struct Tunnels {
    node: PublicKey,
    /// Log of `wireguard-go`.
    log: PathBuf,
    in_kernel: OnceCell<bool>,
    /// What keeps `wireguard-go` running, by the names of interfaces.
    kept: Mutex<BTreeMap<String, JoinSet<()>>>,
}

impl Tunnels {
    /// Tunnels of the node with this key, with a log of `wireguard-go`.
    pub fn new(node: &PublicKey, log: PathBuf) -> Self {
        Self { node: *node, log, in_kernel: OnceCell::new(), kept: Mutex::default() }
    }

    /// Name of the tunnel's interface, unique on this machine: so are the sockets of `wireguard-go`.
    fn interface(&self, id: &NetworkId) -> String {
        let hash = short_hash(&namespace_name(&self.node, id));
        format!("{INTERFACE_PREFIX}{}", base36(hash >> 8))
    }

    fn namespace(&self, id: &NetworkId) -> Namespace {
        Namespace::new(namespace_name(&self.node, id))
    }

    /// Makes what is missing of a network's tunnel, whose namespace must exist; returns what it is then.
    ///
    /// # Errors
    /// If a tool fails, or no port is free.
    pub async fn ensure(&self, id: &NetworkId, spec: &TunnelSpec) -> Result<Tunnel> {
        let (namespace, name) = (self.namespace(id), self.interface(id));
        self.make(&namespace, &name).await?;
        let wanted: BTreeSet<Ipv4Net> = spec.peers.values().flat_map(|(ranges, _)| ranges).copied().collect();
        let routes = namespace.routes(&name).await?;
        let extra = routes.difference(&wanted).map(|range| format!("route delete {range} dev {name}"));
        // What the host sends there, such as a gateway's requests, is answered at an address of the node's own ranges.
        let links = namespace.links().await?;
        let mut bridges = links.iter().filter(|link| bridge_contract(&link.name).is_some());
        let router = bridges.find_map(|link| Some(link.network?.addr()));
        let missing = wanted.difference(&routes).filter_map(|range| {
            let source = spec.sources.get(range).copied().or(router)?;
            Some(format!("route replace {range} dev {name} src {source}"))
        });
        let changes: Vec<_> = extra.chain(missing).collect();
        if !changes.is_empty() {
            namespace.batch(&changes).await?;
        }
        let tunnel = self.read(id).await?;
        if spec.is_met_by(&tunnel) {
            return Ok(tunnel);
        }
        configure(&namespace, &name, spec, &tunnel).await?;
        self.read(id).await
    }

    /// What a network's tunnel is.
    ///
    /// # Errors
    /// If it doesn't exist.
    pub async fn read(&self, id: &NetworkId) -> Result<Tunnel> {
        let name = self.interface(id);
        let dump = self.namespace(id).run(&[WG.program, "show", &name, "dump"], "").await?;
        Tunnel::parse(&dump).with_context(|| format!("can't understand `wg show {name} dump`"))
    }

    /// Sends packets for a peer to this address from now on, until it is heard from another one; the first at once.
    ///
    /// # Errors
    /// If `wg` fails.
    pub async fn set_endpoint(&self, id: &NetworkId, peer: &WireGuardKey, to: SocketAddr) -> Result<()> {
        let (namespace, name, key) = (self.namespace(id), self.interface(id), key_text(peer));
        let (to, seconds) = (to.to_string(), KEEPALIVE.as_secs().to_string());
        // Where the interval is set anew, a packet goes out.
        for more in [&["persistent-keepalive", "0"][..], &["endpoint", &to, "persistent-keepalive", &seconds]]
        {
            let set = [WG.program, "set", &name, "peer", &key];
            namespace.run(&[&set[..], more].concat(), "").await?;
        }
        Ok(())
    }

    /// Removes a network's tunnel, if there is one.
    ///
    /// # Errors
    /// If a tool fails.
    pub async fn remove(&self, id: &NetworkId) -> Result<()> {
        let (namespace, name) = (self.namespace(id), self.interface(id));
        drop(self.kept.lock().await.remove(&name));
        daemon(&name).stop().await?;
        if namespace.exists() {
            namespace.delete_link(&name).await?;
        }
        delete_on_host(&name).await
    }

    async fn make(&self, namespace: &Namespace, name: &str) -> Result<()> {
        let in_kernel = *self.in_kernel.get_or_init(|| self.ask_kernel()).await;
        if !in_kernel {
            self.keep(name).await;
        }
        let links = namespace.links().await?;
        let found = links.iter().find(|link| link.name == name);
        if found.is_some_and(|link| link.is_up) {
            return Ok(());
        }
        if found.is_none() {
            if in_kernel && !is_on_host(name).await {
                run(&IP, &["link", "add", name, "type", "wireguard"]).await?;
            }
            let is_made = async {
                while !is_on_host(name).await {
                    sleep(LOOK_EVERY).await;
                }
            };
            timeout(MADE_WITHIN, is_made).await.with_context(|| {
                format!(
                    "wireguard-go makes no interface {name}: see {}, and install the package {}",
                    self.log.display(),
                    WIREGUARD_GO.package
                )
            })?;
            run(&IP, &["link", "set", "dev", name, "netns", namespace.name()]).await?;
            info!(namespace = namespace.name(), name, in_kernel, "tunnel to other nodes");
        }
        let mtu = super::mtu().await?.to_string();
        namespace.ip(&["link", "set", "dev", name, "mtu", &mtu, "up"]).await
    }

    /// Whether the kernel has WireGuard.
    async fn ask_kernel(&self) -> bool {
        let probe = format!("zw{}", hex::encode(&self.node[..4]));
        // An interrupted try may have left it.
        let is_free = delete_on_host(&probe).await.is_ok();
        let is_made = is_free && run(&IP, &["link", "add", &probe, "type", "wireguard"]).await.is_ok();
        is_made && delete_on_host(&probe).await.is_ok()
    }

    async fn keep(&self, name: &str) {
        self.kept.lock().await.entry(name.to_owned()).or_insert_with(|| {
            let (daemon, log) = (daemon(name), self.log.clone());
            let mut keeper = JoinSet::new();
            keeper.spawn(async move { daemon.keep(&log, || future::ready(Ok(()))).await });
            keeper
        });
    }
}

/// `wireguard-go` with an interface of this name.
fn daemon(name: &str) -> Daemon {
    let arguments = vec!["-f".into(), name.to_owned()];
    Daemon { program: WIREGUARD_GO.program.into(), arguments, config: None, group: 0 }
}

async fn configure(namespace: &Namespace, name: &str, spec: &TunnelSpec, now: &Tunnel) -> Result<()> {
    let preferred = PORTS.start + (short_hash(name) % PORTS.len() as u64) as u16;
    let others =
        (0..PORT_TRIES).map(|more| PORTS.start + (preferred - PORTS.start + more) % PORTS.len() as u16);
    let present = [Some(now.port), spec.port].into_iter().flatten().find(|port| PORTS.contains(port));
    let mut outcome = Ok(());
    for port in present.into_iter().chain(others) {
        let sync = [WG.program, "syncconf", name, "/dev/stdin"];
        outcome = namespace.run(&sync, &spec.config(port, now)).await.map(drop);
        let is_taken = outcome.as_ref().is_err_and(|why| format!("{why:#}").contains("in use"));
        if !is_taken {
            break;
        }
    }
    outcome.with_context(|| format!("can't set up the tunnel {name} to other nodes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "WIIkQwDyoaH+/cgdl3Neqhi6+OIbc6ZPfXU9HrsGfGM=\tKCnqvCOaZbfQ/kUARBbybHKzDdYvBZgFKJoNF4CxwAA=\t21000\toff
aysIZYAWkkXc4pxATrWHWBad+nLeOCe+5tcj1635Nz4=\t(none)\t(none)\t10.2.0.0/24,10.3.0.0/24\t0\t0\t0\t5
IGad4PLfLSTBoI+H+BoTa7MTvjaiIV4OZKCCpAJrymM=\t(none)\t[2001:db8::1]:7777\t10.4.0.0/24\t1795831163\t380\t436\toff
";

    fn spec(tunnel: &Tunnel) -> TunnelSpec {
        let begin = SocketAddr::from(([127, 0, 0, 1], 9));
        let peers = tunnel.peers.iter().map(|(key, peer)| (*key, (peer.ranges.clone(), Some(begin))));
        let secret = key_from_text("WIIkQwDyoaH+/cgdl3Neqhi6+OIbc6ZPfXU9HrsGfGM=").unwrap();
        TunnelSpec { secret, port: None, peers: peers.collect(), sources: BTreeMap::new() }
    }

    #[test]
    fn a_tunnel_is_what_wg_shows() {
        let tunnel = Tunnel::parse(DUMP).unwrap();
        assert_eq!((tunnel.port, tunnel.peers.len()), (21_000, 2));
        let [first, second] =
            ["aysIZYAWkkXc4pxATrWHWBad+nLeOCe+5tcj1635Nz4=", "IGad4PLfLSTBoI+H+BoTa7MTvjaiIV4OZKCCpAJrymM="]
                .map(|key| &tunnel.peers[&key_from_text(key).unwrap()]);
        assert_eq!((first.endpoint, first.received, first.ranges.len()), (None, 0, 2));
        assert_eq!((second.endpoint, second.received), (Some("[2001:db8::1]:7777".parse().unwrap()), 380));
        assert_eq!(Tunnel::parse("").or(Tunnel::parse("x\ty\tz\toff")), None);
    }

    #[test]
    fn a_tunnel_that_is_as_wanted_is_left_alone() {
        let mut tunnel = Tunnel::parse(DUMP).unwrap();
        assert!(!spec(&tunnel).is_met_by(&tunnel), "a peer has no endpoint");
        for peer in tunnel.peers.values_mut() {
            (peer.endpoint, peer.keepalive) = (Some(([192, 0, 2, 1], 7).into()), true);
        }
        assert!(spec(&tunnel).is_met_by(&tunnel));
        for change in [
            |spec: &mut TunnelSpec| spec.secret = [1; 32],
            |spec: &mut TunnelSpec| drop(spec.peers.pop_first()),
            |spec: &mut TunnelSpec| spec.peers.values_mut().for_each(|(ranges, _)| ranges.clear()),
        ] {
            let mut other = spec(&tunnel);
            change(&mut other);
            assert!(!other.is_met_by(&tunnel));
        }
    }

    #[test]
    fn a_peer_of_the_owner_begins_itself() {
        let mut tunnel = Tunnel::parse(DUMP).unwrap();
        let mut spec = spec(&tunnel);
        spec.peers.values_mut().for_each(|(_, begin)| *begin = None);
        assert!(!spec.is_met_by(&tunnel), "a peer of the owner's is kept awake");
        let config = spec.config(21_000, &tunnel);
        assert!(!config.contains("Endpoint"), "{config}");
        assert_eq!(config.matches("PersistentKeepalive = 0").count(), 2, "{config}");
        tunnel.peers.values_mut().for_each(|peer| peer.keepalive = false);
        assert!(spec.is_met_by(&tunnel));
    }

    #[test]
    fn only_a_peer_without_an_endpoint_gets_one() {
        let tunnel = Tunnel::parse(DUMP).unwrap();
        let config = spec(&tunnel).config(21_000, &tunnel);
        assert_eq!(config.matches("Endpoint = 127.0.0.1:9").count(), 1, "{config}");
        assert_eq!(config.matches("PersistentKeepalive = 5").count(), 2, "{config}");
        assert!(
            config.contains("ListenPort = 21000") && config.contains("AllowedIPs = 10.2.0.0/24, 10.3.0.0/24")
        );
    }
}
