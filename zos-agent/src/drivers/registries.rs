// SPDX-License-Identifier: Apache-2.0
//! Which registries a node fetches images from: by default none with private addresses, which the node reaches and its
//! tenants must not.

use super::{dockerd::GROUP, name_servers};
use clap::Args;
use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{net::lookup_host, time::timeout};
use tracing::warn;

/// Limit for the address of a mirror: nothing starts before the firewall is there.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Rules for the node's engine, which asks name servers and mirrors wherever they are. They hold after redirects and
/// for any answer of a name server. The firewall fills in the networks.
const RULES: &str = r#"
    chain output {
        type filter hook output priority -10; policy accept;
        meta skgid GROUP jump fetch
    }
    chain fetch {
        udp dport 53 return
        EXCEPTIONS
        ip daddr { NOT_PUBLIC_V4 } jump refuse
        ip6 daddr != PUBLIC_V6 jump refuse
        ip6 daddr { NOT_PUBLIC_V6 } jump refuse
    }
    chain refuse {
        meta l4proto tcp reject with tcp reset
        reject
    }
"#;

/// Registries of a node.
#[derive(Args, Clone, Debug, Default)]
pub struct Registries {
    /// Try these registries first for images of Docker Hub (docker.io); Docker has mirrors for no other registry
    ///
    /// Give it several times, or several URLs with commas between them. A mirror may have a private address, and each
    /// tenant can have all images that it gives without credentials. One of Docker Hub's private images that is named
    /// by its digest is fetched only if the first mirror that answers has it. Only for an engine of the node's own.
    #[arg(
        long = "registry-mirror",
        env = "ZOS_REGISTRY_MIRROR",
        value_name = "URL",
        value_delimiter = ',',
        value_parser = mirror,
        conflicts_with = "engine"
    )]
    pub mirrors: Vec<String>,
    /// Fetch tenants' images from private, loopback and link-local addresses, too
    ///
    /// Whoever deploys can then make this machine send requests into the farm's own network. With --engine only
    /// addresses in the image's name are refused, not what a registry's name or redirect leads to: let that engine's
    /// host refuse those. Behind an HTTP proxy, the proxy decides, and a private one needs this option.
    #[arg(long = "allow-private-registries", env = "ZOS_ALLOW_PRIVATE_REGISTRIES")]
    pub allow_private: bool,
}

impl Registries {
    /// Chains of the firewall's table that hold the node's engine to public addresses, and to the agent's own registry.
    pub async fn rules(&self, own_registry: Option<SocketAddr>) -> String {
        if self.allow_private {
            return String::new();
        }
        let mut mirrors: Vec<SocketAddr> = own_registry.into_iter().collect();
        for url in &self.mirrors {
            let found = timeout(LOOKUP_TIMEOUT, lookup_host(authority(url))).await;
            match found.map_err(io::Error::from).and_then(|found| found) {
                Ok(found) => mirrors.extend(found),
                Err(error) => warn!("can't find the registry mirror {url}, which is of no use now: {error}"),
            }
        }
        rules(&name_servers::listed(&fs::read_to_string(RESOLV_CONF).unwrap_or_default()), &mirrors)
    }
}

fn rules(name_servers: &[IpAddr], mirrors: &[SocketAddr]) -> String {
    let name_servers = name_servers.iter().map(|address| SocketAddr::from((*address, name_servers::PORT)));
    let exceptions = name_servers.chain(mirrors.iter().copied()).map(|to| {
        let family = if to.is_ipv4() { "ip" } else { "ip6" };
        format!("{family} daddr {} tcp dport {} return\n        ", to.ip(), to.port())
    });
    RULES
        .replace("GROUP", &GROUP.to_string())
        .replace("EXCEPTIONS", exceptions.collect::<String>().trim_end())
}

/// Host and port of a mirror's URL.
fn authority(url: &str) -> String {
    let (scheme, host) = url.split_once("://").unwrap_or(("https", url));
    let host = host.trim_end_matches('/');
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (has_port, scheme) {
        (true, _) => host.to_owned(),
        (false, "http") => format!("{host}:80"),
        (false, _) => format!("{host}:443"),
    }
}

/// Accepts what Docker takes as a mirror.
fn mirror(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host.map(|host| host.trim_end_matches('/')) {
        Some(host) if !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']) => Ok(text.to_owned()),
        _ => Err("write it as https://HOST or http://HOST:PORT, without path and user".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_and_name_servers_are_exceptions() {
        let servers = name_servers::listed(
            "search lan\nnameserver 10.0.0.2\nnameserver fe80::1%eth0 # router\nnameserver x\n",
        );
        assert_eq!(servers, ["10.0.0.2".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        let text = rules(&servers, &["192.168.1.5:5000".parse().unwrap()]);
        for line in [
            "ip daddr 10.0.0.2 tcp dport 53 return",
            "ip6 daddr fe80::1 tcp dport 53 return",
            "ip daddr 192.168.1.5 tcp dport 5000 return",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[tokio::test]
    async fn a_farmer_who_allows_all_gets_no_rules() {
        assert_eq!(Registries { allow_private: true, ..Default::default() }.rules(None).await, "");
    }

    #[test]
    fn the_port_of_a_mirror_comes_from_its_scheme() {
        for (url, expected) in [
            ("https://mirror.example", "mirror.example:443"),
            ("http://mirror.example/", "mirror.example:80"),
            ("http://10.0.0.5:5000", "10.0.0.5:5000"),
            ("http://[fd00::1]", "[fd00::1]:80"),
            ("https://[fd00::1]:5000", "[fd00::1]:5000"),
        ] {
            assert_eq!(authority(&mirror(url).unwrap()), expected);
        }
        for wrong in ["mirror.example", "ftp://mirror.example", "https://", "https://a/b", "http://u@a"] {
            assert!(mirror(wrong).is_err(), "{wrong}");
        }
    }
}
