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

use crate::{backoff::Backoff, links::LINKS_ALPN};
use anyhow::{Context, Result};
use clap::Args;
use iroh::{
    Endpoint, RelayUrl, SecretKey, Watcher,
    endpoint::{BindOpts, Connection, Incoming, presets},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tfgrid_client::peer::{NodeAddress, PeerAddresses, protocol::ALPN, transport};
use tokio::time::{sleep, timeout};
use tracing::warn;

/// Streams that a connection may have open.
const MAX_STREAMS: u32 = 256;
/// Bytes of a connection that wait in each direction.
const WINDOW_BYTES: u32 = 4 << 20;
/// Delays before an endpoint that has ended is opened again.
const REOPEN: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(30) };
/// Limit for what is left of it to end.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);
/// Limit for another node to be reached.
const DIAL_WITHIN: Duration = Duration::from_secs(15);

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

/// A bound peer endpoint. Clones are the same.
#[derive(Clone)]
pub struct PeerEndpoint(Arc<Opened>);

struct Opened {
    endpoint: RwLock<Endpoint>,
    args: PeerArgs,
    secret: SecretKey,
}

impl PeerEndpoint {
    /// Binds the address.
    ///
    /// # Errors
    /// If it can't be bound.
    pub async fn bind(args: PeerArgs, secret: &[u8; 32]) -> Result<Self> {
        let secret = SecretKey::from_bytes(secret);
        let endpoint = RwLock::new(open(&args, &secret).await?);
        Ok(Self(Arc::new(Opened { endpoint, args, secret })))
    }

    fn current(&self) -> Endpoint {
        self.0.endpoint.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next connection that comes in. An endpoint that has ended, as one does whose sockets can't be bound again
    /// after a change of the machine's network, is opened anew.
    pub(crate) async fn accept(&self) -> Incoming {
        let mut failures = 0;
        loop {
            let ended = self.current();
            if let Some(incoming) = ended.accept().await {
                return incoming;
            }
            failures += 1;
            let delay = REOPEN.delay(failures);
            warn!(retry_in = ?delay, "the peer endpoint has ended");
            sleep(delay).await;
            // What of it is left keeps its address.
            let _ = timeout(CLOSE_WITHIN, ended.close()).await;
            match open(&self.0.args, &self.0.secret).await {
                Ok(endpoint) => {
                    *self.0.endpoint.write().unwrap_or_else(PoisonError::into_inner) = endpoint;
                }
                Err(why) => warn!("the peer endpoint isn't open: {why:#}"),
            }
        }
    }

    /// Dials another node with this protocol.
    ///
    /// # Errors
    /// If it isn't reached.
    pub(crate) async fn dial(&self, node: &NodeAddress, alpn: &[u8]) -> Result<Connection> {
        let (endpoint, to) = (self.current(), node.endpoint().context("the node's peer key isn't one")?);
        let dialled = timeout(DIAL_WITHIN, endpoint.connect(to, alpn)).await;
        let at = || format!("can't reach the node at {}", node.addresses);
        dialled.with_context(at)?.with_context(at)
    }

    /// Where it can be dialled, for the chain. Bridges of tenants are left out.
    pub fn addresses(&self) -> PeerAddresses {
        let (endpoint, args) = (self.current(), &self.0.args);
        let bound = endpoint.bound_sockets();
        let direct = if args.peer.ip().is_unspecified() {
            let found = endpoint.watch_addr().get().ip_addrs().copied().collect::<Vec<_>>();
            found.into_iter().filter(|address| is_dialled(address.ip())).collect()
        } else {
            bound.into_iter().chain(args.peer_external.iter().copied()).collect()
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

    #[tokio::test]
    async fn an_endpoint_that_has_ended_is_opened_again() {
        const LIMIT: Duration = Duration::from_secs(20);
        let args =
            PeerArgs { peer: "127.0.0.1:0".parse().unwrap(), peer_external: vec![], peer_relay: vec![] };
        let endpoint = PeerEndpoint::bind(args.clone(), &[7; 32]).await.unwrap();
        let key = *endpoint.current().id().as_bytes();
        let accepting = endpoint.clone();
        let accepted = tokio::spawn(async move { accepting.accept().await.accept().unwrap().await });
        endpoint.current().close().await;
        let opened = async {
            while endpoint.current().is_closed() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, opened).await.unwrap();
        let caller = PeerEndpoint::bind(args, &[8; 32]).await.unwrap();
        let node = NodeAddress { key, addresses: endpoint.addresses() };
        let (dialled, accepted) = tokio::join!(caller.dial(&node, ALPN), timeout(LIMIT, accepted));
        assert_eq!(*dialled.unwrap().remote_id().as_bytes(), key);
        assert!(accepted.unwrap().unwrap().is_ok());
    }
}
