// SPDX-License-Identifier: Apache-2.0

use anyhow::{Context, Result};
use iroh_relay::server::{RelayConfig, Server, ServerConfig};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::runtime::{Builder, Runtime};

/// A relay of peer endpoints, without TLS.
pub struct Relay {
    address: SocketAddr,
    _server: Server,
    _runtime: Runtime,
}

impl Relay {
    /// Starts a relay at this address of the calling thread's network.
    pub fn start(ip: Ipv4Addr) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut config = ServerConfig::default();
        config.relay = Some(RelayConfig::new((ip, 0)));
        let server = runtime.block_on(Server::spawn(config)).context("can't start a relay")?;
        let address = server.http_addr().context("the relay has no address")?;
        Ok(Self { address, _server: server, _runtime: runtime })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
