// SPDX-License-Identifier: Apache-2.0
//! Links between the parts that private networks have on different nodes. The chain says which nodes have parts of a
//! network; their agents tell each other keys, ports and names (`docs/FORMATS.md` §9); WireGuard carries the packets,
//! directly or over the connection of the agents.

mod book;
mod joined;
mod members;
mod node_link;
mod protocol;
mod relay;
mod way;

pub use protocol::LINKS_ALPN;

use crate::{
    chain::{Chain, Snapshot},
    drivers::{
        NetworkId,
        network::{NetworkNames, PrivateNetworks, TunnelSpec, Tunnels, WireGuardKey, key_text, public_key},
    },
    peer::PeerEndpoint,
    store::Store,
};
use anyhow::{Context, Result};
use book::Book;
use iroh::endpoint::Connection;
use joined::Peers;
use members::{MemberReader, Members};
use node_link::{NodeLink, NodeLinks, Parts, admit};
use protocol::{Part, PartError, limited};
use rand::RngCore;
use relay::{Relay, tag};
use sp_core::{Blake2Hasher, Hasher};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tfgrid_primitives::{PublicKey, TwinId};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::{debug, info, warn};
use way::Way;

/// File with the secret from which those of tunnels follow.
const SECRET_FILE: &str = "wireguard.json";
/// File with the ports of tunnels, which peers of the owners' know.
const PORTS_FILE: &str = "wireguard-ports.json";
/// From one look at tunnels that may find a better way to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same of tunnels whose packets go directly.
const LOOK_AT_DIRECT_EVERY: Duration = Duration::from_secs(4);
/// How often everything of a tunnel is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// Least time from one read of members to the next, and limit for one.
const READ_EVERY: Duration = Duration::from_secs(2);
const READ_WITHIN: Duration = Duration::from_secs(30);
/// Least time from one write of what others say to the next.
const WRITE_EVERY: Duration = Duration::from_millis(500);
/// Least time from one line of the log about a node's refused parts to the next.
const TELL_EVERY: Duration = Duration::from_secs(600);
/// What other nodes have said that waits to be looked at.
const HEARD_KEPT: usize = 64;
/// Direct addresses of another node that are tried.
const MAX_ADDRESSES: usize = 6;

/// Public key and UDP port of the tunnel of each network that has one.
pub type TunnelEnds = BTreeMap<NetworkId, (WireGuardKey, u16)>;

/// Keeps the links of this node.
pub struct Links {
    networks: Arc<PrivateNetworks>,
    here: watch::Receiver<Arc<NetworkNames>>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    endpoint: PeerEndpoint,
    own: PublicKey,
    secret: [u8; 32],
    reader: MemberReader,
    members: Members,
    peers: Peers,
    /// Whether there is a head of which the members aren't read, and when they were read last.
    is_behind: bool,
    read_at: Option<Instant>,
    tunnels: Tunnels,
    ports: BTreeMap<NetworkId, u16>,
    ends: watch::Sender<Arc<TunnelEnds>>,
    store: Store,
    tended: BTreeMap<NetworkId, Tended>,
    nodes: NodeLinks,
    /// The same, for those who connect.
    linked: watch::Sender<Arc<NodeLinks>>,
    heard: mpsc::Receiver<(PublicKey, Part)>,
    heard_tx: mpsc::Sender<(PublicKey, Part)>,
    book: Book,
    /// Whether names or members have changed since they were written last.
    is_unwritten: bool,
    written_at: Option<Instant>,
    /// When it was told last that a node's part is refused.
    refused: BTreeMap<(PublicKey, NetworkId), Instant>,
}

/// What is known of a tunnel.
#[derive(Default)]
struct Tended {
    /// When it is to be looked at; at once if it isn't said.
    next: Option<Instant>,
    /// When all of it was looked at; `None` if it is to be.
    checked: Option<Instant>,
    /// Its UDP port; `None` before it exists.
    port: Option<u16>,
    /// Whether it was removed.
    is_removed: bool,
    /// Ways to the other nodes.
    ways: BTreeMap<PublicKey, (Way, Arc<Relay>)>,
    trouble: Option<String>,
}

impl Tended {
    /// All of it is looked at soon.
    fn hurry(&mut self, now: Instant) {
        self.checked = None;
        self.next = self.next.map(|next| next.min(now + LOOK_EVERY));
    }
}

/// Another node of a network, as its tunnel is to have it.
struct Other {
    node: PublicKey,
    key: WireGuardKey,
    ranges: BTreeSet<ipnet::Ipv4Net>,
    port: u16,
}

impl Links {
    /// Links of the node with the peer key `own`.
    ///
    /// # Errors
    /// If a file of its can't be read or written.
    pub fn load(
        chain: Arc<dyn Chain>,
        networks: Arc<PrivateNetworks>,
        tunnels: Tunnels,
        endpoint: PeerEndpoint,
        own: PublicKey,
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        store: Store,
    ) -> Result<Self> {
        let secret = match store.read(SECRET_FILE)? {
            Some(secret) => secret,
            None => {
                let mut secret = [0; 32];
                rand::rng().fill_bytes(&mut secret);
                store.write(SECRET_FILE, &secret)?;
                secret
            }
        };
        let ports: Vec<(TwinId, String, u16)> = store.read(PORTS_FILE)?.unwrap_or_default();
        let ports = ports.into_iter().map(|(twin, name, port)| (NetworkId { twin, name }, port));
        let (heard_tx, heard) = mpsc::channel(HEARD_KEPT);
        Ok(Self {
            here: networks.here(),
            networks,
            snapshots,
            endpoint,
            own,
            secret,
            reader: MemberReader::new(chain, own),
            members: Members::new(),
            peers: Peers::new(),
            is_behind: false,
            read_at: None,
            tunnels,
            ports: ports.collect(),
            ends: watch::Sender::default(),
            store: store.clone(),
            tended: BTreeMap::new(),
            nodes: NodeLinks::new(),
            linked: watch::Sender::default(),
            heard,
            heard_tx,
            book: Book::load(store)?,
            is_unwritten: false,
            written_at: None,
            refused: BTreeMap::new(),
        })
    }

    /// The tunnels at each moment.
    pub fn ends(&self) -> watch::Receiver<Arc<TunnelEnds>> {
        self.ends.subscribe()
    }

    /// Keeps the links, for ever. Others connect through `incoming`.
    pub async fn run(mut self, incoming: mpsc::Receiver<Connection>) {
        let mut admitting = JoinSet::new();
        admitting.spawn(admit(incoming, self.linked.subscribe()));
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = self.snapshots.changed() => match changed {
                    Ok(()) => self.is_behind = true,
                    Err(_) => return,
                },
                changed = self.here.changed() => if changed.is_err() {
                    return;
                },
                Some((from, part)) = self.heard.recv() => self.hear(&from, part),
                _ = looks.tick() => {}
            }
            self.read_members().await;
            self.look_at_all().await;
            self.keep_ports();
            self.tell_all();
            self.write().await;
        }
    }

    /// Secret key of this node for a network.
    fn secret_of(&self, id: &NetworkId) -> [u8; 32] {
        Blake2Hasher::hash(&[&self.secret[..], &id.twin.to_le_bytes(), id.name.as_bytes()].concat()).0
    }

    async fn read_members(&mut self) {
        if !self.is_behind || self.read_at.is_some_and(|at| at.elapsed() < READ_EVERY) {
            return;
        }
        let Some(snapshot) = self.snapshots.borrow_and_update().clone() else { return };
        (self.is_behind, self.read_at) = (false, Some(Instant::now()));
        self.set_peers(joined::peers(&snapshot));
        let Ok(members) = timeout(READ_WITHIN, self.reader.read(&snapshot, &self.members)).await else {
            warn!("can't read who is in private networks: the chain doesn't answer within {READ_WITHIN:?}");
            return;
        };
        if members == self.members {
            return;
        }
        for (id, tended) in &mut self.tended {
            if members.get(id) != self.members.get(id) {
                (tended.next, tended.checked) = (None, None);
            }
        }
        self.members = members;
        let here = self.here.borrow().clone();
        self.book.keep(&self.members, |id| here.contains_key(id));
        self.refused
            .retain(|(node, id), _| self.members.get(id).is_some_and(|nodes| nodes.contains_key(node)));
        self.is_unwritten = true;
        self.keep_nodes();
    }

    fn set_peers(&mut self, peers: Peers) {
        for (id, tended) in &mut self.tended {
            if peers.get(id) != self.peers.get(id) {
                (tended.next, tended.checked) = (None, None);
            }
        }
        self.is_unwritten |= peers != self.peers;
        self.peers = peers;
    }

    fn peers_of(&self, id: &NetworkId) -> &[joined::Joined] {
        self.peers.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Keeps the ports of tunnels for their next start, and says which tunnels there are.
    fn keep_ports(&mut self) {
        let end = |(id, tended): (&NetworkId, &Tended)| {
            Some((id.clone(), (public_key(&self.secret_of(id)), tended.port?)))
        };
        let ends: TunnelEnds = self.tended.iter().filter_map(end).collect();
        if **self.ends.borrow() == ends {
            return;
        }
        let mut ports = self.ports.clone();
        ports.retain(|id, _| self.members.contains_key(id));
        ports.extend(ends.iter().map(|(id, (_, port))| (id.clone(), *port)));
        let rows: Vec<_> = ports.iter().map(|(id, port)| (id.twin, &id.name, *port)).collect();
        if let Err(why) = self.store.write(PORTS_FILE, &rows) {
            warn!("can't write the ports of tunnels: {why:#}");
        }
        self.ports = ports;
        self.ends.send_replace(Arc::new(ends));
    }

    /// Connects with all nodes that are members, and with no others.
    fn keep_nodes(&mut self) {
        let wanted: BTreeMap<_, _> = self.members.values().flatten().collect();
        self.nodes.retain(|key, _| wanted.contains_key(key));
        for (key, member) in wanted {
            match self.nodes.get(key) {
                Some(node) => node.set_address(&member.address),
                None => {
                    let (endpoint, heard) = (self.endpoint.clone(), self.heard_tx.clone());
                    let node = NodeLink::start(endpoint, self.own, member.address.clone(), heard);
                    self.nodes.insert(*key, Arc::new(node));
                }
            }
        }
        self.linked.send_replace(Arc::new(self.nodes.clone()));
    }

    /// Takes what another node says.
    fn hear(&mut self, from: &PublicKey, part: Part) {
        let id = part.id();
        let own = public_key(&self.secret_of(&id));
        let node = hex::encode(from);
        match self.book.take(from, part, &self.members, &own) {
            Ok(is_new) => {
                if is_new {
                    self.is_unwritten = true;
                    // Whoever says something else a hundred times a second has it looked at no sooner for that.
                    if let Some(tended) = self.tended.get_mut(&id) {
                        tended.hurry(Instant::now());
                    }
                }
            }
            // It may know a newer head.
            Err(PartError::NoMember) => debug!(node, twin = id.twin, network = id.name, "a stranger's part"),
            Err(why) => {
                if is_told(&mut self.refused, (*from, id.clone()), Instant::now()) {
                    warn!(node, twin = id.twin, network = id.name, %why, "another node's part is refused");
                }
            }
        }
    }

    async fn look_at_all(&mut self) {
        let here = self.here.borrow_and_update().clone();
        let gone: Vec<_> = self.tended.keys().filter(|id| !here.contains_key(id)).cloned().collect();
        for id in gone {
            match self.remove(&id).await {
                Ok(()) => drop(self.tended.remove(&id)),
                Err(why) => {
                    let why = format!("{why:#}");
                    warn!(twin = id.twin, network = id.name, why, "can't remove its tunnel");
                }
            }
        }
        for id in here.keys() {
            let mut tended = self.tended.remove(id).unwrap_or_default();
            let now = Instant::now();
            if tended.next.is_none_or(|next| next <= now) {
                let looked = self.look_at(id, &mut tended, now).await;
                let trouble = looked.err().map(|why| format!("{why:#}"));
                if let Some(why) = trouble.as_ref().filter(|_| trouble != tended.trouble) {
                    warn!(
                        twin = id.twin,
                        network = id.name,
                        why,
                        "can't link it with other nodes, trying again"
                    );
                }
                if trouble.is_some() {
                    tended.checked = None;
                }
                tended.trouble = trouble;
                let is_direct =
                    !tended.ways.is_empty() && tended.ways.values().all(|(way, _)| way.is_direct());
                tended.next = Some(now + if is_direct { LOOK_AT_DIRECT_EVERY } else { LOOK_EVERY });
            }
            self.tended.insert(id.clone(), tended);
        }
    }

    /// Makes a network's tunnel what it is to be.
    async fn look_at(&self, id: &NetworkId, tended: &mut Tended, now: Instant) -> Result<()> {
        // Before it is known who is in the network, everything stays as it is.
        let Some(members) = self.members.get(id) else { return Ok(()) };
        if members.is_empty() && self.peers_of(id).is_empty() {
            self.let_go(id, tended, &[]);
            if !tended.is_removed {
                self.tunnels.remove(id).await?;
                (tended.is_removed, tended.port, tended.checked) = (true, None, None);
            }
            return Ok(());
        }
        let others = self.others(id);
        self.let_go(id, tended, &others);
        let is_new = |other: &&Other| !tended.ways.contains_key(&other.node);
        for other in others.iter().filter(is_new).collect::<Vec<_>>() {
            let link = self.nodes.get(&other.node).context("a member has no link")?;
            let relay = Arc::new(Relay::open(id, link.connection()).await?);
            link.carry(tag(id), Some(relay.clone()));
            tended.ways.insert(other.node, (Way::new(now), relay));
        }
        let begin = |other: &Other| tended.ways.get(&other.node).map(|(_, relay)| relay.address());
        let node = |other: &Other| Some((other.key, (other.ranges.clone(), Some(begin(other)?))));
        let secret = self.secret_of(id);
        let peers = joined::ranges(self.peers_of(id), &public_key(&secret));
        let peers = peers.into_iter().map(|(key, ranges)| (key, (ranges, None)));
        let spec = TunnelSpec {
            secret,
            port: self.ports.get(id).copied(),
            peers: others.iter().filter_map(node).chain(peers).collect(),
            sources: joined::sources(self.peers_of(id)),
        };
        let is_checked = tended.checked.is_some_and(|at| now - at < CHECK_EVERY);
        let found = if is_checked { self.tunnels.read(id).await.ok() } else { None };
        let tunnel = match found {
            Some(tunnel) => tunnel,
            None => {
                let tunnel = self.tunnels.ensure(id, &spec).await?;
                tended.checked = Some(now);
                tunnel
            }
        };
        (tended.is_removed, tended.port) = (false, Some(tunnel.port));
        for other in &others {
            let Some((way, relay)) = tended.ways.get_mut(&other.node) else { continue };
            relay.set_tunnel(tunnel.port);
            let Some(seen) = tunnel.peers.get(&other.key) else { continue };
            let was_direct = way.is_direct();
            let to = way.next(seen, relay.address(), &self.direct(other), now);
            if way.is_direct() != was_direct {
                let node = hex::encode(other.node);
                let directly = way.is_direct();
                info!(twin = id.twin, network = id.name, node, directly, "packets go another way to a node");
            }
            if let Some(to) = to {
                self.tunnels.set_endpoint(id, &other.key, to).await?;
            }
        }
        Ok(())
    }

    /// The other nodes of a network that have said what they are. None of them takes a peer's key.
    fn others(&self, id: &NetworkId) -> Vec<Other> {
        let nodes = self.book.nodes(id, &self.members);
        let other = |(member, key, part): (&members::MemberNode, WireGuardKey, &Part)| Other {
            node: member.address.key,
            key,
            ranges: member.ranges.clone(),
            port: part.port,
        };
        let is_peers = |other: &Other| self.peers_of(id).iter().any(|joined| joined.has_key(&other.key));
        nodes.map(other).filter(|other| !is_peers(other)).collect()
    }

    /// Addresses at which another node's tunnel may be reached directly.
    fn direct(&self, other: &Other) -> Vec<SocketAddr> {
        let addresses = self.nodes.get(&other.node).map(|link| link.addresses()).unwrap_or_default();
        addresses.into_iter().take(MAX_ADDRESSES).map(|ip| SocketAddr::new(ip, other.port)).collect()
    }

    /// Drops the ways to nodes that aren't among these.
    fn let_go(&self, id: &NetworkId, tended: &mut Tended, others: &[Other]) {
        tended.ways.retain(|node, _| {
            let stays = self.nodes.contains_key(node) && others.iter().any(|other| other.node == *node);
            if let Some(link) = self.nodes.get(node).filter(|_| !stays) {
                link.carry(tag(id), None);
            }
            stays
        });
    }

    async fn remove(&mut self, id: &NetworkId) -> Result<()> {
        if let Some(mut tended) = self.tended.remove(id) {
            self.let_go(id, &mut tended, &[]);
            self.tended.insert(id.clone(), tended);
        }
        self.tunnels.remove(id).await
    }

    /// Tells each node of the networks that both have.
    fn tell_all(&self) {
        let here = self.here.borrow().clone();
        let mut parts: BTreeMap<&PublicKey, Parts> = BTreeMap::new();
        for (id, nodes) in &self.members {
            let port = self.tended.get(id).and_then(|tended| tended.port);
            let (Some(machines), Some(port)) = (here.get(id), port) else { continue };
            let mut names = machines.clone();
            joined::add_names(self.peers_of(id), &mut names);
            let part = Part {
                twin: id.twin,
                network: id.name.clone(),
                key: key_text(&public_key(&self.secret_of(id))),
                port,
                machines: limited(&names),
            };
            for node in nodes.keys() {
                parts.entry(node).or_default().insert(id.clone(), part.clone());
            }
        }
        for (key, node) in &self.nodes {
            node.tell(parts.remove(key).unwrap_or_default());
        }
    }

    /// Writes what other nodes have said, and lets machines find theirs.
    async fn write(&mut self) {
        if !self.is_unwritten || self.written_at.is_some_and(|at| at.elapsed() < WRITE_EVERY) {
            return;
        }
        self.written_at = Some(Instant::now());
        let found = joined::elsewhere(self.book.names(&self.members), &self.peers);
        let names = self.networks.set_elsewhere(found).await;
        match names.and_then(|()| self.book.write()) {
            Ok(()) => self.is_unwritten = false,
            Err(why) => warn!("can't write what other nodes say: {why:#}"),
        }
    }
}

/// Whether the log tells of a refused part now: a node that lies without end doesn't fill it.
fn is_told(
    told: &mut BTreeMap<(PublicKey, NetworkId), Instant>,
    of: (PublicKey, NetworkId),
    now: Instant,
) -> bool {
    let is_due = told.get(&of).is_none_or(|at| now.duration_since(*at) >= TELL_EVERY);
    if is_due {
        told.insert(of, now);
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_lies_without_end_fills_no_log() {
        let (mut told, begun) = (BTreeMap::new(), Instant::now());
        let mut is_told = |node, after| {
            let of = ([node; 32], NetworkId { twin: 1, name: "net".into() });
            super::is_told(&mut told, of, begun + after)
        };
        assert!(is_told(1, Duration::ZERO) && is_told(2, Duration::ZERO));
        assert!(!is_told(1, TELL_EVERY / 2));
        assert!(is_told(1, TELL_EVERY) && !is_told(1, TELL_EVERY + TELL_EVERY / 2));
    }

    #[test]
    fn news_of_a_node_hasten_the_next_look_and_add_none() {
        let now = Instant::now();
        let looked = |next| Tended { next, checked: Some(now), ..Tended::default() };
        for (next, expected) in [
            (None, None),
            (Some(now + LOOK_AT_DIRECT_EVERY), Some(now + LOOK_EVERY)),
            (Some(now + LOOK_EVERY / 2), Some(now + LOOK_EVERY / 2)),
        ] {
            let mut tended = looked(next);
            tended.hurry(now);
            assert_eq!((tended.next, tended.checked), (expected, None));
        }
    }
}
