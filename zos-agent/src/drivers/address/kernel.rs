// SPDX-License-Identifier: Apache-2.0
//! Routes, neighbour entries and policy rules of public addresses on this host.

use crate::drivers::{
    tools::{run, run_with_input},
    uplink::{IP, read_ip},
};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{collections::BTreeSet, fs, net::IpAddr, path::Path};
use tfgrid_client::public_ip::PublicAddress;

const FAMILIES: [&str; 2] = ["-4", "-6"];
/// Metric of routes that drop packets to machines without a link: links count before.
const UNLINKED: u32 = 4_096;
/// Priorities of the policy rules of an address that doesn't leave by the default route: near destinations first.
const NEAR: u32 = 3_000;
const FAR: u32 = 3_001;
/// Number of the first routing table of such addresses.
const TABLES: u32 = 0x7a00_0000;

/// What the kernel has.
pub struct Kernel {
    /// Addresses to which packets are dropped where there is no link.
    dropped: BTreeSet<IpAddr>,
    /// Addresses for which this host answers, with the interfaces on which it does.
    answered: BTreeSet<(IpAddr, String)>,
    /// Policy rules by priority and address.
    rules: BTreeSet<(u32, IpAddr)>,
}

#[derive(Deserialize)]
struct Route {
    dst: String,
    #[serde(default)]
    metric: u32,
}

#[derive(Deserialize)]
struct Neighbour {
    dst: IpAddr,
    dev: String,
}

#[derive(Deserialize)]
struct Rule {
    priority: u32,
    src: String,
}

impl Kernel {
    /// # Errors
    /// If `ip` fails.
    pub async fn read() -> Result<Self> {
        let neighbours: Vec<Neighbour> = read_ip(&IP, &[], &["neigh", "show", "proxy"]).await?;
        let answered = neighbours.into_iter().map(|neighbour| (neighbour.dst, neighbour.dev)).collect();
        let mut kernel = Self { dropped: BTreeSet::new(), answered, rules: BTreeSet::new() };
        for family in FAMILIES {
            let routes: Vec<Route> =
                read_ip(&IP, &[], &[family, "route", "show", "type", "blackhole"]).await?;
            let routes = routes.into_iter().filter(|route| route.metric == UNLINKED);
            kernel.dropped.extend(routes.filter_map(|route| route.dst.parse::<IpAddr>().ok()));
            let rules: Vec<Rule> = read_ip(&IP, &[], &[family, "rule", "show"]).await?;
            let rules =
                rules.into_iter().filter_map(|rule| Some((rule.priority, rule.src.parse::<IpAddr>().ok()?)));
            kernel.rules.extend(rules);
        }
        Ok(kernel)
    }

    /// Adds what is missing of these addresses on the public interface `uplink`. With `by_gateway`, their packets leave
    /// by it rather than by the default route.
    ///
    /// # Errors
    /// If this host can't do that.
    pub async fn add(&self, addresses: &[PublicAddress], uplink: &str, by_gateway: bool) -> Result<()> {
        if addresses.iter().any(|address| address.ip.is_ipv6()) {
            forward_ipv6(uplink)?;
        }
        let mut lines = Lines::default();
        for PublicAddress { ip, gateway } in addresses {
            if !self.dropped.contains(ip) {
                lines.add(ip, format!("route replace blackhole {ip} metric {UNLINKED}"));
            }
            if !self.answered.contains(&(*ip, uplink.to_owned())) {
                lines.add(ip, format!("neigh replace proxy {ip} dev {uplink}"));
            }
            if !by_gateway {
                continue;
            }
            let table = table(*ip);
            lines.add(ip, format!("route replace default via {gateway} dev {uplink} onlink table {table}"));
            if !self.rules.contains(&(NEAR, *ip)) {
                let main = "lookup main suppress_prefixlength 0";
                lines.add(ip, format!("rule add pref {NEAR} from {ip} {main}"));
            }
            if !self.rules.contains(&(FAR, *ip)) {
                lines.add(ip, format!("rule add pref {FAR} from {ip} lookup {table}"));
            }
        }
        lines.run().await?;
        let wanted: BTreeSet<IpAddr> = addresses.iter().map(|address| address.ip).collect();
        // The farmer may have named another interface since.
        let mut stale = Lines::default();
        for (ip, dev) in self.answered.iter().filter(|(ip, dev)| wanted.contains(ip) && dev != uplink) {
            stale.add(ip, format!("neigh delete proxy {ip} dev {dev}"));
        }
        stale.run().await?;
        if by_gateway { Ok(()) } else { self.remove_rules(&wanted).await }
    }

    /// Removes everything of these addresses.
    ///
    /// # Errors
    /// If `ip` fails.
    pub async fn remove(&self, ips: &BTreeSet<IpAddr>) -> Result<()> {
        let mut lines = Lines::default();
        for ip in self.dropped.intersection(ips) {
            lines.add(ip, format!("route delete blackhole {ip} metric {UNLINKED}"));
        }
        for (ip, dev) in self.answered.iter().filter(|(ip, _)| ips.contains(ip)) {
            lines.add(ip, format!("neigh delete proxy {ip} dev {dev}"));
        }
        lines.run().await?;
        self.remove_rules(ips).await
    }

    async fn remove_rules(&self, ips: &BTreeSet<IpAddr>) -> Result<()> {
        let mut lines = Lines::default();
        for (pref, ip) in &self.rules {
            if ![NEAR, FAR].contains(pref) || !ips.contains(ip) {
                continue;
            }
            lines.add(ip, format!("rule delete pref {pref} from {ip}"));
            if *pref == FAR {
                // It may be empty, which is none.
                let table = table(*ip).to_string();
                let _ = run(&IP, &[family(ip), "route", "flush", "table", &table]).await;
            }
        }
        lines.run().await
    }
}

/// Number of the routing table of an address.
fn table(ip: IpAddr) -> u32 {
    let [.., a, b, c] = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    TABLES | u32::from_be_bytes([0, a, b, c])
}

fn family(ip: &IpAddr) -> &'static str {
    FAMILIES[usize::from(ip.is_ipv6())]
}

/// Lines of `ip`, for each version of IP.
#[derive(Default)]
struct Lines([Vec<String>; 2]);

impl Lines {
    fn add(&mut self, ip: &IpAddr, line: String) {
        self.0[usize::from(ip.is_ipv6())].push(line);
    }

    async fn run(self) -> Result<()> {
        for (family, lines) in FAMILIES.into_iter().zip(self.0) {
            if !lines.is_empty() {
                run_with_input(&IP, &[family, "-batch", "-"], &lines.join("\n"))
                    .await
                    .with_context(|| format!("in `{}`", lines.join("; ")))?;
            }
        }
        Ok(())
    }
}

/// Lets this host forward IPv6 and answer for machines' addresses. It goes on to learn its own default route.
fn forward_ipv6(uplink: &str) -> Result<()> {
    let folder = Path::new("/proc/sys/net/ipv6/conf");
    let learns = folder.join(uplink).join("accept_ra");
    if fs::read_to_string(&learns).is_ok_and(|value| value.trim() == "1") {
        fs::write(&learns, "2").with_context(|| format!("can't write {}", learns.display()))?;
    }
    for place in [folder.join("all/forwarding"), folder.join(uplink).join("proxy_ndp")] {
        fs::write(&place, "1").with_context(|| {
            format!("can't write {}: IPv6 is needed for public addresses", place.display())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_routing_table_of_its_own() {
        let table = |ip: &str| table(ip.parse().unwrap());
        assert_eq!(table("11.1.2.3"), 0x7a01_0203);
        assert_eq!(table("2a10::4:506"), 0x7a04_0506);
    }
}
