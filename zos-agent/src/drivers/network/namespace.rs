// SPDX-License-Identifier: Apache-2.0
//! Network namespaces, their links to the host and their rules.

use super::netlink;
use crate::drivers::{
    counters::{self, IN, OUT, counter},
    firewall::{LINKS, NFT, ROUTER},
    forwarding::Forwarding,
    machine::names::bridge,
    tools::{Tool, run, run_with_input},
    uplink::{IP, read_ip},
};
use anyhow::{Context, Result, ensure};
use ipnet::Ipv4Net;
use rustix::{
    fs::{FsWord, statfs},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    thread,
};
use tfgrid_primitives::{ContractId, net::NOT_PUBLIC_IPV4};
use tokio::{
    net::{TcpSocket, TcpStream, UdpSocket},
    task,
};

pub(crate) const NSENTER: Tool = Tool { program: "nsenter", package: "util-linux" };
/// Where `ip netns` has the files of namespaces.
const FOLDER: &str = "/run/netns";
/// File system of namespaces.
const NSFS_MAGIC: FsWord = 0x6e73_6673;
/// Prefix of the names of links to namespaces on the host. No bridge of a contract has a name with a hyphen.
pub(crate) const LINK_PREFIX: &str = "zb-";
/// Name of the link to the host in a namespace.
const UPLINK: &str = "uplink";
/// Settings of the kernel. Peers have addresses of a bridge's range without being there: the router answers for them.
const SWITCHED_ON: [&str; 2] = ["ipv4/ip_forward", "ipv4/conf/all/proxy_arp"];
/// Where a module of the kernel is loaded with which the rules see frames, a machine's packets would pass them twice.
const SWITCHED_OFF: [&str; 3] =
    ["bridge/bridge-nf-call-arptables", "bridge/bridge-nf-call-ip6tables", "bridge/bridge-nf-call-iptables"];

/// The first two lines make it replace existing rules in one transaction. What comes from the host was asked for. The
/// host's own rules keep machines from the farm's network. The name server is that of all networks: each has so many
/// connections with it.
const RULES: &str = r#"
table inet zos
delete table inet zos
table inet zos {
    chain input {
        type filter hook input priority filter; policy drop;
        iifname "lo" accept
        ct state established,related accept
        iifname { "zb*", "zw*" } icmp type echo-request accept
        iifname { "zb*", "zw*" } tcp dport 53 ct state new ct count over 64 reject with tcp reset
        iifname { "zb*", "zw*" } meta l4proto { tcp, udp } th dport 53 accept
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        meta nfproto ipv6 drop
        # A path on which nobody says that a packet is too large must not stall.
        tcp flags syn tcp option maxseg size set rt mtu
        iifname "zb*" fib saddr . iif oif missing drop
        # Machines on other nodes and peers of the owner's reach those here and each other, and nothing else. Whose
        # addresses they have, WireGuard knows.
        iifname "zw*" oifname "zw*" accept
        iifname "zw*" oifname "zb*" accept
        iifname "zb*" oifname "zw*" accept
        oifname "uplink" ip daddr { NOT_PUBLIC } reject
        iifname "zb*" oifname { "zb*", "uplink" } accept
        iifname "uplink" ct state established,related accept
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "uplink" masquerade
    }
}
"#;

/// Table of what contracts have from each other, from other nodes and from peers. What passes the host is of other
/// classes, and within a bridge nothing is counted.
const COUNTS: &str = "zos-traffic";

/// A network namespace with a name.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

/// A link of a namespace or of the host.
#[derive(Clone, Debug)]
pub struct Link {
    pub name: String,
    pub is_up: bool,
    /// Its first IPv4 address with its prefix.
    pub network: Option<Ipv4Net>,
}

/// What is in a namespace.
pub struct Content {
    pub links: Vec<Link>,
    /// Aliases of links.
    pub aliases: Vec<String>,
    /// The rules that there are: others are of another namespace or of another generation.
    pub rules: Rules,
}

/// Inode of a namespace, and the generation of its rules.
pub type Rules = (u64, u32);

#[derive(Deserialize)]
struct Route {
    dst: String,
    dev: Option<String>,
}

/// Links to namespaces, as the host has them.
pub struct HostSide {
    links: BTreeSet<String>,
    /// Addresses that are routed to links.
    routes: BTreeMap<Ipv4Addr, String>,
    is_forwarding: bool,
}

impl HostSide {
    /// # Errors
    /// If `ip` fails.
    pub async fn read() -> Result<Self> {
        let (links, _) = netlink::links().context("can't read the links of this host")?;
        let links = links.into_iter().filter(|link| link.is_up && link.network.is_some());
        let routes: Vec<Route> = read_ip(&IP, &[], &["route", "show"]).await?;
        let to_link = |route: Route| Some((route.dst.parse().ok()?, route.dev?));
        Ok(Self {
            links: links.map(|link| link.name).filter(|name| name.starts_with(LINK_PREFIX)).collect(),
            routes: routes.into_iter().filter_map(to_link).collect(),
            is_forwarding: FORWARDING.is_allowed().await,
        })
    }

    /// Whether this link is complete.
    pub fn has(&self, link: &str) -> bool {
        self.is_forwarding && self.links.contains(link) && self.routes.values().any(|dev| dev == link)
    }

    /// An address that no link has. The name of the link is where to look first.
    fn free_address(&self, link: &str) -> Result<Ipv4Addr> {
        let start = super::short_hash(link) as usize % LINKS.hosts().count();
        let mut from_start = LINKS.hosts().skip(start).chain(LINKS.hosts().take(start));
        from_start
            .find(|address| !self.routes.contains_key(address))
            .context("no address for a link to a private network is left")
    }
}

/// Packets from links, and the answers to them.
const FORWARDING: Forwarding = Forwarding([
    &["-i", "zb-+", "-j", "ACCEPT"],
    &["-o", "zb-+", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
]);

/// Names of all namespaces that have one.
///
/// # Errors
/// If their folder can't be read.
pub fn names() -> Result<Vec<String>> {
    let entries = match fs::read_dir(FOLDER) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("can't list {FOLDER}"))?,
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Path of the file of a namespace.
pub fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// Makes something, such as a socket, in the network namespace of this file.
///
/// # Errors
/// If the namespace can't be entered, or as `make`.
pub fn within<T: Send + 'static>(
    namespace: &Path,
    make: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let file = File::open(namespace)?;
    // The thread ends with it: no other work gets into the namespace.
    let made = thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        make()
    });
    made.join().unwrap_or_else(|_| Err(io::Error::other("a thread in a network namespace panicked")))
}

/// Connects in this namespace, with `None` in the host's own.
///
/// # Errors
/// As [`within`], or if nothing takes the connection.
pub async fn connect(namespace: Option<PathBuf>, to: SocketAddr) -> io::Result<TcpStream> {
    let make = move || if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = match namespace {
        Some(namespace) => within(&namespace, make)?,
        None => make()?,
    };
    socket.connect(to).await
}

/// A socket for datagrams to this address in this namespace, with `None` in the host's own.
///
/// # Errors
/// As [`within`], or if there is no way to the address.
pub fn bind_udp(namespace: Option<PathBuf>, to: SocketAddr) -> io::Result<UdpSocket> {
    let make = move || {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = std::net::UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let socket = match namespace {
        Some(namespace) => within(&namespace, make)?,
        None => make()?,
    };
    UdpSocket::from_std(socket)
}

/// Carries out lines of `ip` in the network namespace of this file.
///
/// # Errors
/// If one fails. Those before it are done.
pub async fn batch(namespace: &str, lines: &[String]) -> Result<()> {
    let enter = format!("--net={namespace}");
    run_with_input(&NSENTER, &[&enter, IP.program, "-batch", "-"], &lines.join("\n"))
        .await
        .with_context(|| format!("in `{}`", lines.join("; ")))?;
    Ok(())
}

impl Namespace {
    pub fn new(name: String) -> Self {
        Self { name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its file is one of a namespace. That of one which was unmounted is none.
    pub fn exists(&self) -> bool {
        statfs(path(&self.name)).is_ok_and(|system| system.f_type == NSFS_MAGIC)
    }

    fn enter(&self) -> String {
        format!("--net={}", path(&self.name).display())
    }

    /// # Errors
    /// As [`batch`].
    pub async fn batch(&self, lines: &[String]) -> Result<()> {
        batch(&path(&self.name).to_string_lossy(), lines).await
    }

    /// Runs `ip` in it.
    ///
    /// # Errors
    /// If that fails.
    pub async fn ip(&self, args: &[&str]) -> Result<()> {
        run(&NSENTER, &[&[&self.enter(), IP.program], args].concat()).await.map(drop)
    }

    /// Runs a program in it with this input; returns its output.
    ///
    /// # Errors
    /// If that fails.
    pub async fn run(&self, args: &[&str], input: &str) -> Result<String> {
        run_with_input(&NSENTER, &[&[&*self.enter()], args].concat(), input).await
    }

    /// Networks that are routed to a link.
    ///
    /// # Errors
    /// If `ip` fails.
    pub async fn routes(&self, link: &str) -> Result<BTreeSet<Ipv4Net>> {
        let show = ["-4", "route", "show", "dev", link];
        let routes: Vec<Route> = read_ip(&NSENTER, &[&self.enter(), IP.program], &show).await?;
        // `ip` shows a single address without its prefix.
        let parse = |dst: &str| -> Option<Ipv4Net> {
            dst.parse().ok().or_else(|| Some(dst.parse::<Ipv4Addr>().ok()?.into()))
        };
        Ok(routes.into_iter().filter_map(|route| parse(&route.dst)).collect())
    }

    /// # Errors
    /// If it can't be entered.
    pub async fn links(&self) -> Result<Vec<Link>> {
        Ok(self.ask(netlink::links).await?.0)
    }

    /// What is in it.
    ///
    /// # Errors
    /// If it can't be entered.
    pub async fn content(&self) -> Result<Content> {
        let inode = fs::metadata(path(&self.name)).map(|file| file.ino());
        let inode = inode.with_context(|| format!("there is no network namespace {}", self.name))?;
        let ((links, aliases), generation) =
            self.ask(|| Ok((netlink::links()?, netlink::generation()?))).await?;
        Ok(Content { links, aliases, rules: (inode, generation) })
    }

    /// Asks the kernel in it.
    async fn ask<T: Send + 'static>(&self, ask: fn() -> io::Result<T>) -> Result<T> {
        let path = path(&self.name);
        let asked = task::spawn_blocking(move || within(&path, ask)).await?;
        asked.with_context(|| format!("can't look into the network namespace {}", self.name))
    }

    /// Removes a link, if there is one of this name.
    ///
    /// # Errors
    /// If `ip` fails.
    pub async fn delete_link(&self, name: &str) -> Result<()> {
        if self.links().await?.iter().any(|link| link.name == name) {
            self.ip(&["link", "delete", name]).await?;
        }
        Ok(())
    }

    /// Whether the rules are in place.
    pub async fn has_rules(&self) -> bool {
        let listed = run(&NSENTER, &[&self.enter(), NFT.program, "list", "ruleset"]).await;
        listed.is_ok_and(|rules| {
            [
                "table inet zos-traffic {",
                r#"iifname "uplink" ct state established,related accept"#,
                "masquerade",
                "ct count over 64",
                "tcp option maxseg size set rt mtu",
                r#"iifname "zw*" oifname "zb*" accept"#,
                r#"iifname "zw*" oifname "zw*" accept"#,
            ]
            .iter()
            .all(|rule| rules.contains(rule))
        })
    }

    /// Makes what is missing of it, with `link` to the host, for packets of at most `mtu` bytes.
    ///
    /// # Errors
    /// If a tool fails.
    pub async fn ensure(&self, host: &HostSide, link: &str, mtu: u32) -> Result<()> {
        if !self.exists() {
            if path(&self.name).exists() {
                run(&IP, &["netns", "delete", &self.name]).await?;
            }
            run(&IP, &["netns", "add", &self.name]).await?;
        }
        self.set_rules().await?;
        FORWARDING.allow().await?;
        let has_uplink = self.links().await?.iter().any(|link| link.name == UPLINK && link.is_up);
        if has_uplink && host.links.contains(link) && host.routes.values().any(|dev| dev == link) {
            return Ok(());
        }
        self.link_to_host(host, link, mtu).await
    }

    async fn set_rules(&self) -> Result<()> {
        let not_public = NOT_PUBLIC_IPV4.map(|network| network.to_string()).join(", ");
        let rules = RULES.replace("NOT_PUBLIC", &not_public);
        run_with_input(&NSENTER, &[&self.enter(), NFT.program, "-f", "-"], &rules)
            .await
            .context("can't set the rules of a private network")?;
        self.ask(switch).await.context("can't set up a private network")
    }

    /// Counts from now on what these contracts have of its traffic.
    ///
    /// # Errors
    /// If `nft` fails.
    pub async fn count(&self, contracts: &BTreeSet<ContractId>) -> Result<()> {
        let there = self.counters().await?;
        let script = counters::script(COUNTS, &counting(contracts), contracts, there.keys());
        self.run(&[NFT.program, "-f", "-"], &script)
            .await
            .context("can't count the traffic of a private network")?;
        Ok(())
    }

    /// Its counters.
    ///
    /// # Errors
    /// If it can't be entered.
    pub async fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let all = self.ask(netlink::counters).await?;
        let its = all.into_iter().filter(|counter| counter.table == COUNTS);
        Ok(its.map(|counter| (counter.name, counter.bytes)).collect())
    }

    async fn link_to_host(&self, host: &HostSide, link: &str, mtu: u32) -> Result<()> {
        delete_on_host(link).await?;
        self.delete_link(UPLINK).await?;
        let (address, name) = (host.free_address(link)?, &self.name);
        let outer = [
            format!("link add {link} mtu {mtu} type veth peer name {UPLINK} mtu {mtu} netns {name}"),
            format!("addr add {ROUTER}/32 dev {link}"),
            format!("link set dev {link} up"),
            format!("route add {address}/32 dev {link}"),
        ];
        let inner = [
            "link set dev lo up".into(),
            format!("addr add {address}/32 dev {UPLINK}"),
            format!("link set dev {UPLINK} up"),
            format!("route add {ROUTER}/32 dev {UPLINK}"),
            format!("route add default via {ROUTER} dev {UPLINK} src {address}"),
        ];
        run_with_input(&IP, &["-batch", "-"], &outer.join("\n")).await?;
        self.batch(&inner).await
    }

    /// Removes it with its link to the host.
    ///
    /// # Errors
    /// If `ip` fails.
    pub async fn remove(&self, link: &str) -> Result<()> {
        delete_on_host(link).await?;
        run(&IP, &["netns", "delete", &self.name]).await?;
        ensure!(!self.exists(), "the network namespace {} is still there", self.name);
        if HostSide::read().await?.links.is_empty() {
            FORWARDING.forbid().await;
        }
        Ok(())
    }
}

/// Makes the settings in this thread's network namespace. No shell does it: the boot image has none.
fn switch() -> io::Result<()> {
    let file = |name: &str| Path::new("/proc/sys/net").join(name);
    for name in SWITCHED_ON {
        fs::write(file(name), "1")?;
    }
    for file in SWITCHED_OFF.map(file).iter().filter(|file| file.exists()) {
        fs::write(file, "0")?;
    }
    Ok(())
}

/// The rules that count for these contracts.
fn counting(contracts: &BTreeSet<ContractId>) -> String {
    let rules = contracts.iter().map(|contract| {
        let name = bridge(*contract);
        let of = |direction| counter(*contract, direction);
        // What most packets don't match comes first. All but the link to the host is private.
        format!(
            "oifname {name:?} iifname != {name:?} iifname != {UPLINK:?} counter name {:?}\n\
             iifname {name:?} oifname != {name:?} oifname != {UPLINK:?} counter name {:?}\n",
            of(IN),
            of(OUT)
        )
    });
    let (head, rules) = ("type filter hook forward priority 10; policy accept;", rules.collect::<String>());
    format!("table inet {COUNTS} {{\nchain count {{\n{head}\n{rules}}}\n}}\n")
}

/// Whether the host has a link of this name. `/sys` may be that of another network namespace.
pub async fn is_on_host(link: &str) -> bool {
    run(&IP, &["link", "show", "dev", link]).await.is_ok()
}

/// Removes the host's link of this name, if there is one.
///
/// # Errors
/// If `ip` fails.
pub async fn delete_on_host(link: &str) -> Result<()> {
    if is_on_host(link).await {
        run(&IP, &["link", "delete", link]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_with_the_name_server_are_counted_first() {
        let place = |rule: &str| RULES.find(rule).unwrap();
        let limit = "tcp dport 53 ct state new ct count over 64 reject";
        assert!(place("ct state established,related accept") < place(limit));
        assert!(place(limit) < place("th dport 53 accept"));
    }
}
