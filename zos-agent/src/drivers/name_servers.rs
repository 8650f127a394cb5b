// SPDX-License-Identifier: Apache-2.0
//! Name servers that machines ask: by default those of the farm, which the host asks, too.

use anyhow::{Context, Result};
use futures::future::join_all;
use hickory_server::proto::{
    op::{Message, Query},
    rr::{Name, RecordType},
};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};
use tokio::{net::UdpSocket, time::timeout};
use tracing::warn;

/// The port of name servers.
pub const PORT: u16 = 53;
const RESOLV_CONF: &str = "etc/resolv.conf";
/// Name servers of a host whose own one, of systemd, listens on loopback.
const BEHIND_SYSTEMD: &str = "run/systemd/resolve/resolv.conf";
/// Cloudflare's and Quad9's, where the farm has none that machines can reach.
const PUBLIC: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)), IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9))];
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const TRIES: u32 = 2;
const MAX_MESSAGE_BYTES: usize = u16::MAX as usize;

/// Name servers for machines: the farmer's if some are `given`, else those of the host, whose root folder is `root`.
/// One that doesn't answer is left out, unless none does, as before the uplink is there.
pub async fn choose(given: &[IpAddr], root: &Path) -> Vec<IpAddr> {
    let mut servers = if given.is_empty() { of_host(root) } else { given.to_vec() };
    if servers.is_empty() {
        servers = PUBLIC.to_vec();
        warn!(
            "this host has no name server that machines can reach: they ask {PUBLIC:?}; --dns names others"
        );
    }
    let servers = servers.into_iter().map(|server| SocketAddr::new(server, PORT)).collect();
    answering(servers).await.into_iter().map(|server| server.ip()).collect()
}

async fn answering(servers: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let answers = join_all(servers.iter().map(|server| test(*server))).await;
    let is_any = answers.iter().any(Result::is_ok);
    let mut chosen = Vec::new();
    for (server, answer) in servers.into_iter().zip(answers) {
        match answer {
            Err(why) if is_any => warn!(%server, "machines don't ask this name server: {why:#}"),
            Err(why) => {
                warn!(%server, "machines may find no name: {why:#}");
                chosen.push(server);
            }
            Ok(()) => chosen.push(server),
        }
    }
    chosen
}

/// Name servers of the host that can be reached from elsewhere on it.
pub fn of_host(root: &Path) -> Vec<IpAddr> {
    let read = |file| {
        let mut servers = listed(&fs::read_to_string(root.join(file)).unwrap_or_default());
        servers.retain(|server| match server {
            IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_unspecified(),
            IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unspecified() && !ip.is_unicast_link_local(),
        });
        servers
    };
    let servers = read(RESOLV_CONF);
    if servers.is_empty() { read(BEHIND_SYSTEMD) } else { servers }
}

/// Name servers in the text of a `resolv.conf`.
pub fn listed(resolv_conf: &str) -> Vec<IpAddr> {
    let words = resolv_conf.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let address = |words: Vec<&str>| match words[..] {
        ["nameserver", address, ..] => address.split('%').next()?.parse().ok(),
        _ => None,
    };
    words.filter_map(address).collect()
}

/// Asks for the root's name servers, which each resolver of the internet knows.
///
/// # Errors
/// If it doesn't answer.
pub async fn test(server: SocketAddr) -> Result<()> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(Name::root(), RecordType::NS));
    let question = question.to_vec().context("can't make a question")?;
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        outcome = ask(server, &question).await.map(drop);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Sends a question in a datagram and returns the bytes of the answer.
///
/// # Errors
/// If none comes, within two seconds.
pub async fn ask(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await.with_context(|| format!("can't ask {server}"))?;
    let mut bytes = vec![0; MAX_MESSAGE_BYTES];
    let received = timeout(ANSWER_WITHIN, socket.recv(&mut bytes)).await;
    let length = received.with_context(|| format!("no answer of {server} within {ANSWER_WITHIN:?}"))??;
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::details::tests::system;

    /// A name server that answers each question with the question.
    async fn name_server() -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut bytes = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
                socket.send_to(&bytes[..length], from).await.unwrap();
            }
        });
        address
    }

    #[test]
    fn name_servers_are_the_hosts_own() {
        let host = system(&[(RESOLV_CONF, b"nameserver 192.168.1.1\nsearch lan\nnameserver fe80::1%eth0\n")]);
        assert_eq!(of_host(host.path()), [IpAddr::from([192, 168, 1, 1])]);
    }

    #[test]
    fn behind_a_cache_of_systemd_are_the_farms() {
        let cache = (RESOLV_CONF, b"nameserver 127.0.0.53\n" as &[u8]);
        let farms = (BEHIND_SYSTEMD, b"nameserver 10.0.0.1\n" as &[u8]);
        assert_eq!(of_host(system(&[cache, farms]).path()), [IpAddr::from([10, 0, 0, 1])]);
        assert!(of_host(system(&[cache]).path()).is_empty());
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_left_out() {
        let up = name_server().await;
        // Nobody can listen there.
        let down = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        assert_eq!(answering(vec![down, up]).await, [up]);
        assert_eq!(answering(vec![down]).await, [down], "the only one stays");
    }
}
