// SPDX-License-Identifier: Apache-2.0
//! The node's peer endpoint: the owner of a contract, known by a peer key of the twin, sees its workloads, enters and
//! reaches them (`docs/FORMATS.md` §8); the twin that owns the node's farm sees the node itself. Nobody else gets an
//! answer, and nothing else listens for management.

mod access;
mod copies;
mod events;
mod idle;
mod own;
mod places;
mod serve;
mod snapshots;
mod streams;

pub use access::{Keeper, Known};
pub use events::{EventLog, Recorder};
pub use own::Own;
pub use serve::{Server, Sources};
pub use streams::Streams;

use crate::{clock::unix_ms, links::LINKS_ALPN, store::Store};
use anyhow::{Context, Error, Result};
use clap::Args;
use iroh::{
    Endpoint, RelayUrl, SecretKey, Watcher,
    endpoint::{BindOpts, Connection, Incoming, presets},
};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tfgrid_client::peer::{LastingEndpoint, NodeAddress, Opened, PeerAddresses, protocol::ALPN, transport};
use tokio::time::timeout;
use tracing::{error, info, warn};

/// Streams that a connection may have open.
const MAX_STREAMS: u32 = 256;
/// Bytes of a connection that wait in each direction.
const WINDOW_BYTES: u32 = 4 << 20;
/// Limit for another node to be reached.
const DIAL_WITHIN: Duration = Duration::from_secs(15);
/// Name of the file with the endpoint's condition.
const CONDITION: &str = "peer-endpoint";

/// Settings of the peer endpoint.
#[derive(Clone, Debug, Args)]
pub struct PeerArgs {
    /// UDP address of the peer endpoint, where owners of contracts reach their workloads' output, shells and ports
    ///
    /// Port 0 takes any that is free. The node reports to the chain where it can be dialled: this address if it is one
    /// of the machine, otherwise all public and private addresses of the machine.
    #[arg(long, env = "ZOS_PEER", value_name = "ADDRESS", default_value = "0.0.0.0:9617")]
    pub peer: SocketAddr,
    /// Addresses with ports, of a router in front of this machine, at which the peer endpoint can be dialled, too
    #[arg(long, env = "ZOS_PEER_EXTERNAL", value_name = "ADDRESSES", value_delimiter = ',')]
    pub peer_external: Vec<SocketAddr>,
    /// Relays over which the peer endpoint can be dialled where no packet comes in. They see who talks to whom, and
    /// nothing of what is said
    #[arg(long, env = "ZOS_PEER_RELAY", value_name = "URLS", value_delimiter = ',')]
    pub peer_relay: Vec<RelayUrl>,
}

/// A peer endpoint, which is opened again where it ends. Clones are the same.
#[derive(Clone)]
pub struct PeerEndpoint {
    endpoint: LastingEndpoint,
    args: Arc<PeerArgs>,
    /// Where it could be dialled last.
    addresses: Arc<Mutex<PeerAddresses>>,
}

/// How the peer endpoint fares, as the agent tells those who can't ask it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointCondition {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// The addresses at which it listens, or why it isn't open.
    pub sockets: Result<Vec<SocketAddr>, String>,
}

impl EndpointCondition {
    /// The last one on this node, `None` where no endpoint was opened yet.
    ///
    /// # Errors
    /// If its file is damaged.
    pub fn last(store: &Store) -> Result<Option<Self>> {
        store.read(CONDITION)
    }

    fn of(now: &Result<Opened, String>) -> Self {
        Self { since_ms: unix_ms(), sockets: now.as_ref().map(Opened::sockets).map_err(Clone::clone) }
    }
}

impl PeerEndpoint {
    /// Binds the address.
    ///
    /// # Errors
    /// If it can't be bound.
    pub async fn bind(args: PeerArgs, secret: &[u8; 32]) -> Result<Self> {
        let (args, secret) = (Arc::new(args), SecretKey::from_bytes(secret));
        let opens = args.clone();
        let open = move || {
            let (args, secret) = (opens.clone(), secret.clone());
            async move { open(&args, &secret).await.map_err(|why| format!("{why:#}")) }
        };
        let endpoint = LastingEndpoint::open(open).await.map_err(Error::msg)?;
        Ok(Self { endpoint, args, addresses: Arc::default() })
    }

    /// The next connection that comes in.
    pub(crate) async fn accept(&self) -> Incoming {
        self.endpoint.accept().await
    }

    /// Keeps the endpoint's condition in this store, and logs its changes, for ever.
    pub async fn watch(self, store: Store) {
        let mut changes = self.endpoint.changes();
        let mut was_open = true;
        loop {
            let condition = EndpointCondition::of(&changes.borrow_and_update());
            match &condition.sockets {
                Ok(sockets) if !was_open => info!(?sockets, "the peer endpoint is open again"),
                Ok(_) => {}
                Err(why) => warn!("the peer endpoint isn't open, which is tried again: {why}"),
            }
            was_open = condition.sockets.is_ok();
            if let Err(why) = store.write(CONDITION, &condition) {
                error!("{why:#}");
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Dials another node with this protocol.
    ///
    /// # Errors
    /// If it isn't reached.
    pub(crate) async fn dial(&self, node: &NodeAddress, alpn: &[u8]) -> Result<Connection> {
        let to = node.endpoint().context("the node's peer key isn't one")?;
        let endpoint = self.endpoint.current().map_err(Error::msg).context("the peer endpoint isn't open")?;
        let dialled = timeout(DIAL_WITHIN, endpoint.connect(to, alpn)).await;
        let at = || format!("can't reach the node at {}", node.addresses);
        dialled.with_context(at)?.with_context(at)
    }

    /// Where it can be dialled, for the chain. Bridges of tenants are left out. While it isn't open, this is where it
    /// was.
    pub fn addresses(&self) -> PeerAddresses {
        let mut last = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(endpoint) = self.endpoint.current() {
            *last = self.addresses_of(&endpoint);
        }
        last.clone()
    }

    fn addresses_of(&self, endpoint: &Endpoint) -> PeerAddresses {
        let args = &self.args;
        let direct = if args.peer.ip().is_unspecified() {
            let found = endpoint.watch_addr().get().ip_addrs().copied().collect::<Vec<_>>();
            found.into_iter().filter(|address| is_dialled(address.ip())).collect()
        } else {
            endpoint.bound_sockets().into_iter().chain(args.peer_external.iter().copied()).collect()
        };
        PeerAddresses { relays: args.peer_relay.clone(), direct }
    }
}

async fn open(args: &PeerArgs, secret: &SecretKey) -> Result<Endpoint> {
    let relays = PeerAddresses { relays: args.peer_relay.clone(), direct: Vec::new() };
    let builder = Endpoint::builder(presets::Minimal)
        .secret_key(secret.clone())
        .alpns(vec![ALPN.to_vec(), LINKS_ALPN.to_vec()])
        .relay_mode(relays.relay_mode())
        .transport_config(transport(MAX_STREAMS, WINDOW_BYTES))
        .clear_ip_transports()
        .bind_addr(args.peer)?;
    let builder = if args.peer.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
        let ipv6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, args.peer.port()));
        builder.bind_addr_with_opts(ipv6, BindOpts::default().set_is_required(false))?
    } else {
        builder
    };
    args.peer_external
        .iter()
        .fold(builder, |builder, address| builder.external_addr(*address))
        .bind()
        .await
        .with_context(|| {
            format!("can't open the peer endpoint at {}: name another address with --peer", args.peer)
        })
}

/// Whether somebody elsewhere may dial this address of the machine.
fn is_dialled(ip: IpAddr) -> bool {
    let is_tenants = match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.octets()[..2] == [172, 30],
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    };
    !is_tenants
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn endpoint(secret: u8) -> PeerEndpoint {
        let args =
            PeerArgs { peer: "127.0.0.1:0".parse().unwrap(), peer_external: vec![], peer_relay: vec![] };
        PeerEndpoint::bind(args, &[secret; 32]).await.unwrap()
    }

    #[tokio::test]
    async fn an_endpoint_that_has_ended_is_opened_again() {
        let endpoint = endpoint(7).await;
        let mut changes = endpoint.endpoint.changes();
        let (key, addresses) = (*endpoint.endpoint.current().unwrap().id().as_bytes(), endpoint.addresses());
        let accepting = endpoint.clone();
        let accepted = tokio::spawn(async move { accepting.accept().await.accept().unwrap().await });
        endpoint.endpoint.current().unwrap().close().await;
        drop(timeout(LIMIT, changes.wait_for(Result::is_err)).await.unwrap().unwrap());
        assert_eq!(endpoint.addresses(), addresses, "the chain is told nothing else meanwhile");
        drop(timeout(LIMIT, changes.wait_for(Result::is_ok)).await.unwrap().unwrap());

        let caller = self::endpoint(8).await;
        let node = NodeAddress { key, addresses: endpoint.addresses() };
        let (dialled, accepted) = tokio::join!(caller.dial(&node, ALPN), timeout(LIMIT, accepted));
        assert_eq!(*dialled.unwrap().remote_id().as_bytes(), key);
        assert!(accepted.unwrap().unwrap().is_ok());
    }

    #[tokio::test]
    async fn the_condition_of_an_endpoint_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(EndpointCondition::last(&store).unwrap(), None);
        let endpoint = endpoint(7).await;
        let sockets = endpoint.endpoint.current().unwrap().bound_sockets();
        let watching = tokio::spawn(endpoint.clone().watch(store.clone()));
        let until = |is_it: fn(&EndpointCondition) -> bool| {
            let store = store.clone();
            timeout(LIMIT, async move {
                loop {
                    match EndpointCondition::last(&store).unwrap().filter(is_it) {
                        Some(condition) => break condition,
                        None => sleep(Duration::from_millis(10)).await,
                    }
                }
            })
        };
        let open = until(|condition| condition.sockets.is_ok()).await.unwrap();
        assert_eq!(open.sockets, Ok(sockets));
        let accepting = endpoint.clone();
        let accepting = tokio::spawn(async move { accepting.accept().await });
        endpoint.endpoint.current().unwrap().close().await;
        let closed = until(|condition| condition.sockets.is_err()).await.unwrap();
        assert_eq!(closed.sockets, Err("it has ended".into()));
        until(|condition| condition.sockets.is_ok()).await.unwrap();
        watching.abort();
        accepting.abort();
    }
}
