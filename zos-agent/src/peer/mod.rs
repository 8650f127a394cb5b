// SPDX-License-Identifier: Apache-2.0
//! The node's peer endpoint: the owner of a contract, known by a peer key of the twin, sees its workloads, enters and
//! reaches them (`docs/FORMATS.md` §8). Nobody else gets an answer, and nothing else listens for management.

mod access;
mod events;
mod idle;
mod places;
mod rate;
mod serve;
mod streams;

pub use access::{Keeper, Known};
pub use events::{EventLog, Recorder};
pub use serve::{Server, Sources};
pub use streams::Streams;

use anyhow::{Context, Result};
use clap::Args;
use iroh::{
    Endpoint, RelayUrl, SecretKey, Watcher,
    endpoint::{BindOpts, QuicTransportConfig, presets},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tfgrid_client::peer::{PeerAddresses, protocol::ALPN};

/// Streams that a connection may have open.
const MAX_STREAMS: u32 = 256;
/// Bytes of a connection that wait in each direction, whatever its streams do: what one caller takes of the node's
/// memory.
const WINDOW_BYTES: u32 = 4 << 20;
/// A caller that isn't heard for so long is gone.
const IDLE: Duration = Duration::from_secs(30);

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

/// A bound peer endpoint.
#[derive(Clone, Debug)]
pub struct PeerEndpoint {
    endpoint: Endpoint,
    args: PeerArgs,
}

impl PeerEndpoint {
    /// Binds the address.
    ///
    /// # Errors
    /// If it can't be bound.
    pub async fn bind(args: PeerArgs, secret: &[u8; 32]) -> Result<Self> {
        let relays = PeerAddresses { relays: args.peer_relay.clone(), direct: Vec::new() };
        let transport = QuicTransportConfig::builder()
            .max_concurrent_bidi_streams(MAX_STREAMS.into())
            .max_concurrent_uni_streams(0u32.into())
            .receive_window(WINDOW_BYTES.into())
            .send_window(WINDOW_BYTES.into())
            .max_idle_timeout(Some(IDLE.try_into().context("a timeout of QUIC")?))
            .build();
        let builder = Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(secret))
            .alpns(vec![ALPN.to_vec()])
            .relay_mode(relays.relay_mode())
            .transport_config(transport)
            .clear_ip_transports()
            .bind_addr(args.peer)?;
        let builder = if args.peer.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
            let ipv6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, args.peer.port()));
            builder.bind_addr_with_opts(ipv6, BindOpts::default().set_is_required(false))?
        } else {
            builder
        };
        let endpoint = args
            .peer_external
            .iter()
            .fold(builder, |builder, address| builder.external_addr(*address))
            .bind()
            .await
            .with_context(|| {
                format!("can't open the peer endpoint at {}: name another address with --peer", args.peer)
            })?;
        Ok(Self { endpoint, args })
    }

    /// Where it can be dialled, for the chain. Bridges of tenants are left out.
    pub fn addresses(&self) -> PeerAddresses {
        let bound = self.endpoint.bound_sockets();
        let direct = if self.args.peer.ip().is_unspecified() {
            let found = self.endpoint.watch_addr().get().ip_addrs().copied().collect::<Vec<_>>();
            found.into_iter().filter(|address| is_dialled(address.ip())).collect()
        } else {
            bound.into_iter().chain(self.args.peer_external.iter().copied()).collect()
        };
        PeerAddresses { relays: self.args.peer_relay.clone(), direct }
    }
}

/// Whether somebody elsewhere may dial this address of the machine.
fn is_dialled(ip: IpAddr) -> bool {
    let is_tenants = match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.octets()[..2] == [172, 30],
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    };
    !is_tenants
}
