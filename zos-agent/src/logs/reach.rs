// SPDX-License-Identifier: Apache-2.0
//! Which addresses output may go to: those that the machine itself could reach.

use anyhow::{Context, Result, ensure};
use clap::Args;
use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};
use tfgrid_primitives::net::is_public;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// Limit for a name to be found.
const LOOKUP_WITHIN: Duration = Duration::from_secs(10);
/// Limit for an address to take a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Port of mail servers.
const SMTP: u16 = 25;

/// What the farmer allows beyond the internet.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct LogReach {
    /// Send tenants' output to private, loopback and link-local addresses, too
    ///
    /// Whoever deploys can then make this machine connect to any TLS service of the farm's own network.
    #[arg(id = "allow-private-logs", long, env = "ZOS_ALLOW_PRIVATE_LOGS")]
    pub allow_private: bool,
}

impl LogReach {
    /// Connects with the first address of a host that is allowed and answers.
    pub(super) async fn connect(self, host: &str, port: u16) -> Result<TcpStream> {
        ensure!(port != SMTP, "port {SMTP} is for mail");
        let found = timeout(LOOKUP_WITHIN, lookup_host((host, port))).await;
        let found = found.context("no name server answers in time")?.context("its name isn't found")?;
        let allowed: Vec<SocketAddr> = found.filter(|address| self.allows(address.ip())).collect();
        ensure!(!allowed.is_empty(), "it has no public address");
        let mut failed = None;
        for address in allowed {
            match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failed = Some(error),
                Err(_) => {}
            }
        }
        match failed {
            Some(error) => Err(error).context("it takes no connection"),
            None => Err(anyhow::anyhow!("it doesn't answer in time")),
        }
    }

    fn allows(self, address: IpAddr) -> bool {
        self.allow_private || (is_public(address.to_canonical()) && !is_own(address))
    }
}

/// Whether it is an address of this host, whose services no tenant reaches.
pub(crate) fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn private_addresses_are_refused_unless_allowed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let closed = LogReach::default();
        for host in ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"] {
            let error = closed.connect(host, port).await.unwrap_err().to_string();
            assert_eq!(error, "it has no public address", "{host}");
        }
        LogReach { allow_private: true }.connect("127.0.0.1", port).await.unwrap();
        assert!(is_own(Ipv4Addr::LOCALHOST.into()) && !is_own(Ipv4Addr::new(1, 1, 1, 1).into()));
    }

    #[tokio::test]
    async fn mail_servers_get_no_output() {
        let all = LogReach { allow_private: true };
        assert!(all.connect("127.0.0.1", SMTP).await.unwrap_err().to_string().contains("mail"));
    }
}
