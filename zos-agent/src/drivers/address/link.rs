// SPDX-License-Identifier: Apache-2.0
//! Links of machines to their public addresses.

use crate::drivers::{
    AddressSpec, Process, WorkloadId,
    firewall::ROUTER,
    network::{NSENTER, batch, within},
    tools::{Tool, run, run_with_input},
    uplink::{IP, read_ip},
};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{
    fmt, fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};
use tfgrid_primitives::net::is_public;
use tokio::task::spawn_blocking;

pub(crate) const TC: Tool = Tool { program: "tc", package: "iproute2" };
/// Prefix of the names of links on the host.
pub const PREFIX: &str = "za";
/// Name of a link in its machine.
const INSIDE: &str = "pub0";
/// The host's IPv6 address for all machines.
const ROUTER_V6: &str = "fe80::1";
/// Halves of all IPv4 addresses: they count before the default route by which a machine reaches the internet otherwise,
/// and leave it in its place.
const HALVES: [&str; 2] = ["0.0.0.0/1", "128.0.0.0/1"];
/// Speed of a machine whose contract has used up its traffic.
static SLOW: [&str; 7] = ["tbf", "rate", "1mbit", "burst", "32k", "latency", "100ms"];

/// A link to a run of a machine. As text it is the alias of the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub machine: WorkloadId,
    pub instance: String,
    /// The run's process.
    pub pid: i64,
    pub ips: Vec<IpAddr>,
}

impl Link {
    fn parse(alias: &str) -> Option<Self> {
        let mut words = alias.split(' ');
        let machine = WorkloadId { contract: words.next()?.parse().ok()?, name: words.next()?.to_owned() };
        let (instance, pid) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let ips = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        Some(Self { machine, instance, pid, ips })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, instance, pid, ips } = self;
        write!(f, "{} {} {instance} {pid}", machine.contract, machine.name)?;
        ips.iter().try_for_each(|ip| write!(f, " {ip}"))
    }
}

#[derive(Deserialize)]
struct Named {
    ifname: String,
    ifalias: Option<String>,
}

/// All complete links of this host, by their names.
///
/// # Errors
/// If `ip` fails.
pub async fn all() -> Result<Vec<(String, Link)>> {
    let links: Vec<Named> = read_ip(&IP, &[], &["link", "show"]).await?;
    let named = |Named { ifname, ifalias }: Named| {
        let link = Link::parse(&ifalias.filter(|_| ifname.starts_with(PREFIX))?)?;
        Some((ifname, link))
    };
    Ok(links.into_iter().filter_map(named).collect())
}

/// Removes the link, if there is one of this name.
///
/// # Errors
/// If `ip` fails.
pub async fn delete(name: &str) -> Result<()> {
    if Path::new("/proc/sys/net/ipv4/conf").join(name).exists() {
        run(&IP, &["link", "delete", name]).await?;
    }
    Ok(())
}

#[derive(Deserialize)]
struct Route {
    gateway: Option<Ipv4Addr>,
    dev: Option<String>,
}

/// Connects a run of a machine with its addresses, for packets of at most `mtu` bytes. It asks those of the name
/// servers that aren't public by its other way to the internet.
///
/// # Errors
/// If a tool fails. What was begun has no alias.
pub async fn connect(
    name: &str,
    machine: &WorkloadId,
    process: &Process,
    spec: &AddressSpec,
    name_servers: &[IpAddr],
    mtu: u32,
) -> Result<()> {
    // That of an earlier run, or of an interrupted try.
    delete(name).await?;
    let (mtu, pid) = (mtu.to_string(), process.pid.to_string());
    let (namespace, enter) = (namespace(process.pid), format!("--net={}", namespace(process.pid)));
    let pair = ["link", "add", name, "mtu", &mtu, "type", "veth"];
    run(&IP, &[&pair[..], &["peer", "name", INSIDE, "mtu", &mtu, "netns", &pid]].concat()).await?;
    let mut inner = vec![format!("link set dev {INSIDE} up")];
    let mut outer = vec![format!("link set dev {name} up")];
    for ip in spec.ips() {
        if ip.is_ipv4() {
            let via = format!("via {ROUTER} dev {INSIDE} src {ip}");
            inner.insert(0, format!("addr add {ip}/32 dev {INSIDE}"));
            inner.push(format!("route add {ROUTER} dev {INSIDE} src {ip}"));
            inner.extend(HALVES.map(|half| format!("route add {half} {via}")));
            outer.insert(0, format!("addr add {ROUTER}/32 dev {name}"));
            outer.push(format!("route add {ip}/32 dev {name}"));
        } else {
            let on = format!("/proc/sys/net/ipv6/conf/{INSIDE}/disable_ipv6");
            let inside = PathBuf::from(&namespace);
            spawn_blocking(move || within(&inside, move || fs::write(on, "0")))
                .await?
                .with_context(|| format!("can't switch IPv6 on in {machine}"))?;
            let here = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
            fs::write(&here, "0").with_context(|| format!("can't write {here}"))?;
            inner.push(format!("addr add {ip}/128 dev {INSIDE} nodad"));
            inner.push(format!("route add ::/0 via {ROUTER_V6} dev {INSIDE} src {ip}"));
            outer.push(format!("addr add {ROUTER_V6}/64 dev {name} nodad"));
            outer.push(format!("route add {ip}/128 dev {name}"));
        }
    }
    let show = ["-4", "route", "show", "default"];
    let other: Vec<Route> = read_ip(&NSENTER, &[&enter, IP.program], &show).await?;
    if let Some(Route { gateway: Some(gateway), dev: Some(dev) }) = other.first() {
        let private = name_servers.iter().filter(|server| server.is_ipv4() && !is_public(**server));
        inner.extend(private.map(|server| format!("route replace {server}/32 via {gateway} dev {dev}")));
    }
    run_with_input(&IP, &["-batch", "-"], &outer.join("\n")).await?;
    batch(&namespace, &inner).await?;
    let link = Link {
        machine: machine.clone(),
        instance: process.instance.clone(),
        pid: process.pid,
        ips: spec.ips(),
    };
    // Last: by its alias the link is known to be complete.
    run(&IP, &["link", "set", "dev", name, "alias", &link.to_string()]).await?;
    Ok(())
}

fn namespace(pid: i64) -> String {
    format!("/proc/{pid}/ns/net")
}

#[derive(Deserialize)]
struct Queue {
    kind: String,
}

/// Slows the link down in both directions, or gives it its speed back.
///
/// # Errors
/// If a tool fails.
pub async fn shape(name: &str, link: &Link, slow: bool) -> Result<()> {
    let enter = format!("--net={}", namespace(link.pid));
    shape_end(&TC, &[], name, slow).await?;
    shape_end(&NSENTER, &[&enter, TC.program], INSIDE, slow).await
}

async fn shape_end(tool: &Tool, before: &[&str], name: &str, slow: bool) -> Result<()> {
    let queues: Vec<Queue> = read_ip(tool, before, &["qdisc", "show", "dev", name]).await?;
    let is_slow = queues.iter().any(|queue| queue.kind == SLOW[0]);
    let change = if slow { ["qdisc", "replace"] } else { ["qdisc", "delete"] };
    let rate = if slow { &SLOW[..] } else { &[] };
    if is_slow != slow {
        run(tool, &[before, &change, &["dev", name, "root"], rate].concat()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_from_its_alias() {
        let link = Link {
            machine: WorkloadId { contract: 7, name: "web".into() },
            instance: "c1@now".into(),
            pid: 42,
            ips: vec!["11.1.1.9".parse().unwrap(), "2a10::9".parse().unwrap()],
        };
        assert_eq!(link.to_string(), "7 web c1@now 42 11.1.1.9 2a10::9");
        assert_eq!(Link::parse(&link.to_string()), Some(link));
        for alias in ["", "7 web", "7 web c1@now pid", "7 web c1@now 42 here", "x web c1@now 42"] {
            assert_eq!(Link::parse(alias), None, "{alias}");
        }
    }
}
