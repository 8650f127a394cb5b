// SPDX-License-Identifier: Apache-2.0
//! The connection with another node that has parts of this node's networks: made by either, and made again whenever it
//! ends. Over it, both say what their parts are, and tunnels send packets where no direct way is found.

use super::{
    protocol::{LINKS_ALPN, Part},
    relay::{Relay, Tag, tag_of},
};
use crate::{backoff::Backoff, drivers::NetworkId, peer::PeerEndpoint};
use anyhow::{Result, bail};
use iroh::{
    TransportAddr,
    endpoint::{Connection, Side},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tfgrid_client::{
    deployment::is_workload_name,
    peer::{NodeAddress, TOO_MANY, UNKNOWN_CALLER, frame::Frame},
};
use tfgrid_primitives::PublicKey;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info};

/// Delays before the other node is dialled again.
const DIAL_AGAIN: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };
/// The node with the higher key leaves so much time to the other one to dial.
const DIALS_SECOND_AFTER: Duration = Duration::from_secs(3);
/// Age of a connection after which earlier failures are forgotten.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// The other node dials only without a connection: one of this age is lost there.
const LOST_FROM: Duration = Duration::from_secs(5);
/// A reader that takes nothing for so long is left.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// Networks that a node may say something of on one connection.
const MAX_NETWORKS: usize = 4_096;
/// Least time from one part that a node says to the next: what one node takes of this one's time.
const PART_EVERY: Duration = Duration::from_millis(10);
/// Connections that wait to be looked at.
const INCOMING_KEPT: usize = 4;

/// Links with other nodes, by their peer keys.
pub type NodeLinks = BTreeMap<PublicKey, Arc<NodeLink>>;

/// Takes connections that other nodes make if those are linked, for ever. It waits for nothing else: strangers fill no
/// queue.
pub async fn admit(mut incoming: mpsc::Receiver<Connection>, links: watch::Receiver<Arc<NodeLinks>>) {
    while let Some(connection) = incoming.recv().await {
        let link = links.borrow().get(connection.remote_id().as_bytes()).cloned();
        match link {
            Some(link) => link.take(connection),
            None => connection.close(UNKNOWN_CALLER.into(), b""),
        }
    }
}

/// What a node says of its networks.
pub type Parts = BTreeMap<NetworkId, Part>;
/// What stands for the other node, by networks.
type Relays = Arc<RwLock<BTreeMap<Tag, Arc<Relay>>>>;

/// The connection with another node, until it is dropped.
pub struct NodeLink {
    address: watch::Sender<NodeAddress>,
    parts: watch::Sender<Arc<Parts>>,
    incoming: mpsc::Sender<Connection>,
    connection: watch::Receiver<Option<Connection>>,
    relays: Relays,
    _running: JoinSet<()>,
}

impl NodeLink {
    /// Connects this node, with the peer key `own`, with another one, and sends to `heard` what that says.
    pub fn start(
        endpoint: PeerEndpoint,
        own: PublicKey,
        address: NodeAddress,
        heard: mpsc::Sender<(PublicKey, Part)>,
    ) -> Self {
        let key = address.key;
        let (address, address_rx) = watch::channel(address);
        let (parts, parts_rx) = watch::channel(Arc::default());
        let (incoming, incoming_rx) = mpsc::channel(INCOMING_KEPT);
        let (connection, connection_rx) = watch::channel(None);
        let relays = Relays::default();
        let running = Running {
            endpoint,
            own,
            key,
            address: address_rx,
            parts: parts_rx,
            incoming: incoming_rx,
            connection,
            relays: relays.clone(),
            heard,
        };
        let mut task = JoinSet::new();
        task.spawn(running.run());
        Self { address, parts, incoming, connection: connection_rx, relays, _running: task }
    }

    /// The other node is dialled there from now on.
    pub fn set_address(&self, now: &NodeAddress) {
        self.address.send_if_modified(|address| {
            let is_new = address != now;
            if is_new {
                address.clone_from(now);
            }
            is_new
        });
    }

    /// What the other node is to know.
    pub fn tell(&self, now: Parts) {
        self.parts.send_if_modified(|parts| {
            let is_new = **parts != now;
            if is_new {
                *parts = Arc::new(now);
            }
            is_new
        });
    }

    /// Takes a connection that the other node has made.
    pub fn take(&self, connection: Connection) {
        if let Err(refused) = self.incoming.try_send(connection) {
            refused.into_inner().close(TOO_MANY.into(), b"");
        }
    }

    /// The connection that there is at each moment.
    pub fn connection(&self) -> watch::Receiver<Option<Connection>> {
        self.connection.clone()
    }

    /// Packets of this network are for this relay, or from now on for none.
    pub fn carry(&self, tag: Tag, relay: Option<Arc<Relay>>) {
        let mut relays = self.relays.write().unwrap_or_else(PoisonError::into_inner);
        match relay {
            Some(relay) => drop(relays.insert(tag, relay)),
            None => drop(relays.remove(&tag)),
        }
    }

    /// Addresses at which the other node may be reached, those first from which it is heard.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let heard: Vec<IpAddr> = self.connection.borrow().iter().flat_map(remote_ips).collect();
        let reported: Vec<SocketAddr> = self.address.borrow().addresses.direct.clone();
        candidates(heard, reported.iter().map(SocketAddr::ip))
    }
}

/// Each address once. A node may report what isn't its own.
fn candidates(heard: Vec<IpAddr>, reported: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let is_elsewhere = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast();
    let reported = reported.map(|ip| ip.to_canonical()).filter(is_elsewhere);
    let mut addresses = Vec::new();
    for ip in heard.into_iter().map(|ip| ip.to_canonical()).chain(reported) {
        if !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    addresses
}

fn remote_ips(connection: &Connection) -> Vec<IpAddr> {
    let paths = connection.paths();
    let mut ips: Vec<(bool, IpAddr)> = Vec::new();
    for path in paths.iter() {
        if let TransportAddr::Ip(address) = path.remote_addr() {
            ips.push((!path.is_selected(), address.ip()));
        }
    }
    ips.sort();
    ips.into_iter().map(|(_, ip)| ip).collect()
}

struct Running {
    endpoint: PeerEndpoint,
    own: PublicKey,
    key: PublicKey,
    address: watch::Receiver<NodeAddress>,
    parts: watch::Receiver<Arc<Parts>>,
    incoming: mpsc::Receiver<Connection>,
    connection: watch::Sender<Option<Connection>>,
    relays: Relays,
    heard: mpsc::Sender<(PublicKey, Part)>,
}

impl Running {
    async fn run(mut self) {
        let mut failures = 0u32;
        loop {
            let delay = match failures {
                0 if self.own > self.key => DIALS_SECOND_AFTER,
                failures => DIAL_AGAIN.delay(failures),
            };
            let connection = tokio::select! {
                incoming = self.incoming.recv() => match incoming {
                    Some(connection) => connection,
                    None => return,
                },
                dialled = dial(&self.endpoint, &self.address, delay) => match dialled {
                    Ok(connection) => connection,
                    Err(why) => {
                        failures = failures.saturating_add(1);
                        debug!(node = hex::encode(self.key), "can't connect with another node: {why:#}");
                        continue;
                    }
                },
            };
            let begun = Instant::now();
            self.serve(connection).await;
            failures = if begun.elapsed() > STABLE_AFTER { 0 } else { failures.saturating_add(1) };
        }
    }

    /// Goes on with this connection, or a better one, until it ends.
    async fn serve(&mut self, mut connection: Connection) {
        info!(node = hex::encode(self.key), "connected with another node of a private network");
        loop {
            self.connection.send_replace(Some(connection.clone()));
            let talk = Talk {
                connection: connection.clone(),
                from: self.key,
                parts: self.parts.clone(),
                relays: self.relays.clone(),
                heard: self.heard.clone(),
            };
            let (begun, is_theirs) = (Instant::now(), connection.side() == Side::Server);
            let mut talking = pin!(talk.run());
            let better = loop {
                tokio::select! {
                    why = &mut talking => {
                        debug!(node = hex::encode(self.key), "the connection with another node ends: {why:#}");
                        break None;
                    }
                    incoming = self.incoming.recv() => {
                        let Some(other) = incoming else { break None };
                        // Of two, both nodes keep the one that the node with the lower key has made.
                        if self.key < self.own || is_theirs || begun.elapsed() > LOST_FROM {
                            break Some(other);
                        }
                        other.close(TOO_MANY.into(), b"");
                    }
                }
            };
            connection.close(0u32.into(), b"");
            match better {
                Some(other) => connection = other,
                None => break,
            }
        }
        self.connection.send_replace(None);
    }
}

/// Dials the other node after this delay.
async fn dial(
    endpoint: &PeerEndpoint,
    address: &watch::Receiver<NodeAddress>,
    delay: Duration,
) -> Result<Connection> {
    sleep(delay).await;
    let address = address.borrow().clone();
    endpoint.dial(&address, LINKS_ALPN).await
}

/// What goes over one connection.
struct Talk {
    connection: Connection,
    from: PublicKey,
    parts: watch::Receiver<Arc<Parts>>,
    relays: Relays,
    heard: mpsc::Sender<(PublicKey, Part)>,
}

impl Talk {
    /// Resolves with why it ends.
    async fn run(self) -> anyhow::Error {
        let (again, asked) = mpsc::channel(MAX_NETWORKS);
        let ended = tokio::select! {
            ended = self.say(asked) => ended,
            ended = self.hear(again) => ended,
            ended = self.carry() => ended,
        };
        match ended {
            Ok(()) => anyhow::anyhow!("the other node has ended it"),
            Err(why) => why,
        }
    }

    /// Says what has changed of this node's parts, and again what is `asked` for.
    async fn say(&self, mut asked: mpsc::Receiver<NetworkId>) -> Result<()> {
        let mut parts = self.parts.clone();
        let (mut stream, _unused) = self.connection.open_bi().await?;
        let mut said = Parts::new();
        loop {
            let now = parts.borrow_and_update().clone();
            said.retain(|id, _| now.contains_key(id));
            for (id, part) in now.iter() {
                if said.get(id) != Some(part) {
                    timeout(TAKEN_WITHIN, Frame::Message(part.clone()).write(&mut stream)).await??;
                    said.insert(id.clone(), part.clone());
                }
            }
            tokio::select! {
                changed = parts.changed() => changed?,
                Some(id) = asked.recv() => drop(said.remove(&id)),
            }
        }
    }

    /// Hears what the other node says. Its first word of a network means that it knows who is in it: what was said
    /// before that it may have refused, so it is told `again`.
    async fn hear(&self, again: mpsc::Sender<NetworkId>) -> Result<()> {
        let (_unused, mut stream) = self.connection.accept_bi().await?;
        let mut known = Known::default();
        while let Some(frame) = Frame::<Part>::read(&mut stream).await? {
            let Frame::Message(part) = frame else { bail!("it sends something else than its parts") };
            if known.note(&part)? {
                again.send(part.id()).await?;
            }
            self.heard.send((self.from, part)).await?;
            sleep(PART_EVERY).await;
        }
        Ok(())
    }

    /// Gives tunnels their packets.
    async fn carry(&self) -> Result<()> {
        loop {
            let datagram = self.connection.read_datagram().await?;
            let relay = tag_of(&datagram).and_then(|tag| {
                let relays = self.relays.read().unwrap_or_else(PoisonError::into_inner);
                relays.get(&tag).cloned()
            });
            if let Some(relay) = relay {
                relay.deliver(&datagram);
            }
        }
    }
}

/// Networks of which something was said on one connection.
#[derive(Default)]
struct Known(BTreeSet<NetworkId>);

impl Known {
    /// Whether this part is the first of its network.
    fn note(&mut self, part: &Part) -> Result<bool> {
        // A frame has room for names of which a few thousand fill the memory.
        if !is_workload_name(&part.network) {
            bail!("it has a part of a network whose name is none");
        }
        let is_first = self.0.insert(part.id());
        if self.0.len() > MAX_NETWORKS {
            bail!("it has parts of more than {MAX_NETWORKS} networks");
        }
        Ok(is_first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        links::{protocol::tests::part, relay::tag},
        peer::PeerArgs,
    };
    use iroh::endpoint::ConnectionError;
    use std::net::Ipv4Addr;
    use tfgrid_client::peer::Device;
    use tokio::net::UdpSocket;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A node that is linked with another one.
    struct End {
        link: Arc<NodeLink>,
        heard: mpsc::Receiver<(PublicKey, Part)>,
        other: PublicKey,
        _accepting: JoinSet<()>,
    }

    impl End {
        fn start(endpoint: PeerEndpoint, own: &NodeAddress, other: &NodeAddress) -> Self {
            let (heard_tx, heard) = mpsc::channel(8);
            let link = Arc::new(NodeLink::start(endpoint.clone(), own.key, other.clone(), heard_tx));
            let taking = link.clone();
            let mut accepting = JoinSet::new();
            accepting.spawn(async move {
                loop {
                    let Ok(handshake) = endpoint.accept().await.accept() else { continue };
                    if let Ok(connection) = handshake.await {
                        taking.take(connection);
                    }
                }
            });
            Self { link, heard, other: other.key, _accepting: accepting }
        }

        fn tell(&self, part: &Part) {
            self.link.tell([(part.id(), part.clone())].into());
        }

        async fn hears(&mut self, part: &Part) {
            let heard = timeout(LIMIT, self.heard.recv()).await.unwrap().unwrap();
            assert_eq!(heard, (self.other, part.clone()));
        }
    }

    async fn endpoint(secret: u8) -> (PeerEndpoint, NodeAddress) {
        let peer = (Ipv4Addr::LOCALHOST, 0).into();
        let args = PeerArgs { peer, peer_external: Vec::new(), peer_relay: Vec::new() };
        let endpoint = PeerEndpoint::bind(args, &[secret; 32]).await.unwrap();
        let key = Device::from_seed(&[secret; 32]).public();
        let address = NodeAddress { key, addresses: endpoint.addresses() };
        (endpoint, address)
    }

    async fn linked() -> (End, End) {
        let ((one, at_one), (two, at_two)) = (endpoint(1).await, endpoint(2).await);
        (End::start(one, &at_one, &at_two), End::start(two, &at_two, &at_one))
    }

    #[tokio::test]
    async fn nodes_hear_each_others_parts_and_their_changes() {
        let (mut one, mut two) = linked().await;
        let parts = [part(11, "web", "10.20.1.7"), part(11, "db", "10.20.1.8"), part(12, "far", "10.20.2.7")];
        for part in &parts[..2] {
            one.tell(part);
            two.hears(part).await;
        }
        two.tell(&parts[2]);
        one.hears(&parts[2]).await;
        // Before, it may have been refused.
        two.hears(&parts[1]).await;
    }

    #[test]
    fn names_of_networks_on_a_connection_are_few_and_short() {
        let mut known = Known::default();
        let of = |network: String| Part { network, ..part(11, "web", "10.20.1.7") };
        assert!(known.note(&of("site".into())).unwrap() && !known.note(&of("site".into())).unwrap());
        for name in ["x".repeat(60_000), "a/b".into(), String::new()] {
            assert!(known.note(&of(name)).is_err());
        }
        assert_eq!(known.0.len(), 1);
        assert!((1..MAX_NETWORKS).all(|n| known.note(&of(format!("n{n}"))).unwrap()));
        assert!(known.note(&of("one-more".into())).is_err());
    }

    #[test]
    fn no_address_of_this_machine_is_tried_for_another_node() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let reported = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "224.0.0.1", "ff02::1"];
        let reported = reported.into_iter().chain(["192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1"]).map(ip);
        let found = candidates(vec![ip("::ffff:192.0.2.1")], reported);
        assert_eq!(found, ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(ip));
    }

    #[tokio::test]
    async fn only_a_linked_nodes_connection_is_taken() {
        let ((here, at_here), (member, at_member)) = (endpoint(1).await, endpoint(2).await);
        let (stranger, _) = endpoint(3).await;
        let (heard, _heard) = mpsc::channel(8);
        let link = Arc::new(NodeLink::start(here.clone(), at_here.key, at_member.clone(), heard));
        let mut connected = link.connection();
        let (accepted, incoming) = mpsc::channel(1);
        let (_links, links) = watch::channel(Arc::new(BTreeMap::from([(at_member.key, link)])));
        let mut tasks = JoinSet::new();
        tasks.spawn(admit(incoming, links));
        tasks.spawn(async move {
            loop {
                let Ok(handshake) = here.accept().await.accept() else { continue };
                if let Ok(connection) = handshake.await {
                    let _ = accepted.send(connection).await;
                }
            }
        });
        let refused = stranger.dial(&at_here, LINKS_ALPN).await.unwrap();
        match timeout(LIMIT, refused.closed()).await.unwrap() {
            ConnectionError::ApplicationClosed(close) => {
                assert_eq!(close.error_code.into_inner(), u64::from(UNKNOWN_CALLER));
            }
            other => panic!("it is refused as {other}"),
        }
        let _taken = member.dial(&at_here, LINKS_ALPN).await.unwrap();
        assert!(timeout(LIMIT, connected.wait_for(Option::is_some)).await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn packets_that_no_datagram_takes_reach_the_other_tunnel() {
        let (one, two) = linked().await;
        let (id, packet) = (part(11, "web", "10.20.1.7").id(), [7; 1_400]);
        let mut tunnels = Vec::new();
        for end in [&one, &two] {
            let tunnel = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let relay = Arc::new(Relay::open(&id, end.link.connection()).await.unwrap());
            relay.set_tunnel(tunnel.local_addr().unwrap().port());
            end.link.carry(tag(&id), Some(relay.clone()));
            let mut connection = end.link.connection();
            assert!(timeout(LIMIT, connection.wait_for(Option::is_some)).await.unwrap().is_ok());
            tunnels.push((tunnel, relay));
        }
        let [(here, near), (there, far)] = &tunnels[..] else { panic!("two tunnels") };
        let arrives = async {
            let mut bytes = [0; 2_000];
            loop {
                // Each may be lost.
                here.send_to(&packet, near.address()).await.unwrap();
                if let Ok(received) = timeout(LIMIT / 20, there.recv_from(&mut bytes)).await {
                    let (length, from) = received.unwrap();
                    return (bytes[..length].to_vec(), from);
                }
            }
        };
        let (received, from) = timeout(LIMIT, arrives).await.unwrap();
        assert_eq!((&received[..], from), (&packet[..], far.address()));
    }
}
