// SPDX-License-Identifier: Apache-2.0
//! Firewall rules that keep tenants from the host and from the farmer's network. The container engine by
//! itself lets containers reach every service on the host's addresses.

use super::{
    DriverError, FirewallDriver,
    gateway::{Gateway, HTTP, HTTPS},
    name_servers::PORT,
    registries::Registries,
    tools::{Tool, run, run_with_input},
};
use anyhow::{Context, Result};
use async_trait::async_trait;
use ipnet::Ipv4Net;
use std::{
    fs, mem,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tfgrid_primitives::net::{GLOBAL_UNICAST_IPV6, NOT_PUBLIC_IPV4, NOT_PUBLIC_IPV6};
use tokio::sync::Mutex;
use tracing::{info, warn};

/// Prefix of the names of tenants' bridges.
pub const BRIDGE_PREFIX: &str = "zb";

/// Addresses of private networks on the host, which no tenant's network can have: link-local ones.
pub(crate) const LINKS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 128, 0), 17);
/// The host's address for all of them.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

pub(crate) const NFT: Tool = Tool { program: "nft", package: "nftables" };
const TABLE: &str = "table inet zos";
/// That of packets of tenants to elsewhere.
const CHAIN: &str = "inet zos forward";
/// The first two lines make it replace existing rules in one transaction. [`rules`] fills in the networks.
const RULES: &str = r#"
table inet zos
delete table inet zos
table inet zos {
    chain input {
        type filter hook input priority -10; policy accept;
        iifname "zb*" ct state established,related accept
        iifname "zb*" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        # A machine may ping its gateway, and is told of no other address of this host.
        iifname "zb*" icmp type echo-request fib daddr . iif type local accept
        iifname "zb*" icmpv6 type echo-request fib daddr . iif type local accept
        SITES
        NAME_SERVERS
        iifname "zb*" drop
    }
    chain forward {
        type filter hook forward priority -10; policy accept;
        iifname "zb*" fib saddr . iif oif missing drop
        # A private network reaches neither another one nor machines that are in none.
        iifname "zb-*" oifname "zb*" drop
        iifname "zb*" oifname "zb-*" drop
        # The engine isolates bridges from each other; traffic within one bridge is its tenant's own.
        iifname "zb*" oifname "zb*" accept
        iifname "zb*" ct state established,related accept
        NAME_SERVERS
        iifname "zb*" ip daddr { NOT_PUBLIC_V4 } counter drop
        iifname "zb*" ip6 daddr != PUBLIC_V6 drop
        iifname "zb*" ip6 daddr { NOT_PUBLIC_V6 } drop
        MAIL
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr LINKS oifname != "zb*" masquerade
    }
    FETCHES
}
"#;
/// Mail servers trust no address from which one tenant has sent spam: the farmer's others suffer for it.
const NO_MAIL: &str = r#"iifname "zb*" tcp dport 25 reject with tcp reset"#;

/// The rules, with the networks that aren't on the internet. Tenants reach sites at the addresses of this node's
/// gateway.
fn rules(allow_smtp: bool, name_servers: &[IpAddr], gateway: &[IpAddr], fetches: &str) -> String {
    let family = |ip: &IpAddr| if ip.is_ipv4() { "ip" } else { "ip6" };
    let asks = name_servers.iter().map(|server| {
        let family = family(server);
        format!(r#"iifname "zb*" {family} daddr {server} meta l4proto {{ tcp, udp }} th dport {PORT} accept"#)
    });
    let visits = gateway.iter().map(|ip| {
        format!(r#"iifname "zb*" {} daddr {ip} tcp dport {{ {HTTP}, {HTTPS} }} accept"#, family(ip))
    });
    RULES
        .replace("SITES", &visits.collect::<Vec<_>>().join("\n        "))
        .replace("NAME_SERVERS", &asks.collect::<Vec<_>>().join("\n        "))
        .replace("FETCHES", fetches)
        .replace("LINKS", &LINKS.to_string())
        .replace("NOT_PUBLIC_V4", &NOT_PUBLIC_IPV4.map(|network| network.to_string()).join(", "))
        .replace("NOT_PUBLIC_V6", &NOT_PUBLIC_IPV6.map(|network| network.to_string()).join(", "))
        .replace("PUBLIC_V6", &GLOBAL_UNICAST_IPV6.to_string())
        .replace("MAIL", if allow_smtp { "" } else { NO_MAIL })
}

/// Keeps the rules in place, also where something else on this machine removes them.
pub struct Firewall {
    allow_smtp: bool,
    registries: Registries,
    name_servers: Vec<IpAddr>,
    gateway: Option<Arc<Gateway>>,
    /// Addresses of the gateway in the rules, once those of an earlier start are replaced.
    installed: Mutex<Option<Vec<IpAddr>>>,
    /// The agent's own registry, while it has one.
    own_registry: Mutex<Option<SocketAddr>>,
}

impl Firewall {
    /// Sets nothing yet. With `allow_smtp` tenants can reach mail servers; the node's engine reaches `registries`, and
    /// tenants these name servers, wherever they are.
    pub fn new(allow_smtp: bool, registries: Registries, name_servers: Vec<IpAddr>) -> Self {
        let (installed, own_registry) = Default::default();
        Self { allow_smtp, registries, name_servers, gateway: None, installed, own_registry }
    }

    /// Tenants reach the sites of this gateway.
    #[must_use]
    pub fn with_gateway(self, gateway: Arc<Gateway>) -> Self {
        Self { gateway: Some(gateway), ..self }
    }

    async fn install(&self, gateway: &[IpAddr]) -> Result<()> {
        let own_registry = *self.own_registry.lock().await;
        let fetches = self.registries.rules(own_registry).await;
        let rules = rules(self.allow_smtp, &self.name_servers, gateway, &fetches);
        run_with_input(&NFT, &["-f", "-"], &rules)
            .await
            .context("can't install the firewall rules that keep tenants from this host")?;
        info!("firewall rules keep tenants from this host and its network");
        Ok(())
    }
}

#[async_trait]
impl FirewallDriver for Firewall {
    async fn ensure(&self) -> Result<(), DriverError> {
        let gateway = self.gateway.as_ref().map(|gateway| gateway.addresses()).unwrap_or_default();
        let mut installed = self.installed.lock().await;
        if installed.as_ref() != Some(&gateway) {
            self.install(&gateway).await?;
            *installed = Some(gateway);
        } else if !is_installed().await {
            warn!(
                "something has removed the firewall rules that keep tenants from this host: setting them again"
            );
            self.install(&gateway).await?;
        }
        Ok(())
    }

    async fn let_engine_reach(&self, registry: Option<SocketAddr>) -> Result<(), DriverError> {
        if mem::replace(&mut *self.own_registry.lock().await, registry) == registry {
            return Ok(());
        }
        *self.installed.lock().await = None;
        self.ensure().await
    }

    async fn refused(&self) -> Result<u64, DriverError> {
        let words: Vec<&str> = ["list", "chain"].into_iter().chain(CHAIN.split(' ')).collect();
        let rules = run(&NFT, &words).await?;
        let count = rules.split_once("counter packets ").and_then(|(_, rest)| rest.split(' ').next());
        let count = count.and_then(|count| count.parse().ok());
        count.ok_or_else(|| DriverError::transient("the firewall counts no packets that it has refused"))
    }
}

/// Whether the agent's rules are in the kernel.
pub(crate) async fn is_installed() -> bool {
    let words: Vec<&str> = ["list"].into_iter().chain(TABLE.split(' ')).collect();
    run(&NFT, &words).await.is_ok_and(|rules| is_whole(&rules))
}

/// Whether what `nft` lists has the chains for tenants, and rules in each of its chains: one that was flushed has none.
fn is_whole(listed: &str) -> bool {
    let chains: Vec<&str> = listed.split("chain ").skip(1).collect();
    let is_rule = |line: &str| !line.is_empty() && line != "}" && !line.starts_with("type ");
    ["input", "forward", "postrouting"].iter().all(|name| chains.iter().any(|chain| chain.starts_with(name)))
        && chains.iter().all(|chain| chain.lines().skip(1).map(str::trim).any(is_rule))
}

/// Removes the rules, unless another agent on this machine has tenants.
pub async fn remove() {
    let tenants_left = fs::read_dir("/sys/class/net").is_ok_and(|interfaces| {
        interfaces.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(BRIDGE_PREFIX))
    });
    if tenants_left {
        return;
    }
    if let Err(error) = run_with_input(&NFT, &["-f", "-"], &format!("{TABLE}\ndelete {TABLE}\n")).await {
        warn!("can't remove the firewall rules: {error:#}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_takes_pings_and_neighbour_discovery_of_icmp() {
        let rules = rules(false, &[], &[], "");
        let (input, _) = rules.split_once("chain forward").unwrap();
        let accepted: Vec<_> = input.lines().map(str::trim).filter(|rule| rule.contains("icmp")).collect();
        assert_eq!(
            accepted,
            [
                r#"iifname "zb*" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"#,
                r#"iifname "zb*" icmp type echo-request fib daddr . iif type local accept"#,
                r#"iifname "zb*" icmpv6 type echo-request fib daddr . iif type local accept"#,
            ]
        );
    }

    #[test]
    fn tenants_reach_sites_at_addresses_of_the_gateway_alone() {
        let gateway = ["185.69.166.10".parse().unwrap(), "2a10::1".parse().unwrap()];
        let rules = rules(false, &[], &gateway, "");
        let (input, rest) = rules.split_once("chain forward").unwrap();
        let opened: Vec<_> = input.lines().map(str::trim).filter(|rule| rule.contains("dport")).collect();
        assert_eq!(
            opened,
            [
                r#"iifname "zb*" ip daddr 185.69.166.10 tcp dport { 80, 443 } accept"#,
                r#"iifname "zb*" ip6 daddr 2a10::1 tcp dport { 80, 443 } accept"#,
            ]
        );
        assert!(!rest.contains("443"), "{rest}");
    }
}
