// SPDX-License-Identifier: Apache-2.0

use crate::{Process, Run, wait_for};
use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    fs::{self, File},
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

const START_LIMIT: Duration = Duration::from_secs(10);
/// The router's interface on this machine.
const INTERFACE: &str = "tfgrid-router";
/// First line of tcpdump once it captures.
const CAPTURES: &str = "listening on";
/// A busy processor loses packets of a capture; what a capture is searched for, is sent again and again.
const MOST_LOST: u64 = 100;

/// Calls `act` in the network of a process; sockets and processes that it makes stay there.
pub fn in_network_of<T: Send>(pid: u32, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let network = network_of(pid);
    let file = File::open(&network).with_context(|| format!("can't open {}", network.display()))?;
    let entered = || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("can't enter {}", network.display()))?;
        act()
    };
    thread::scope(|scope| scope.spawn(entered).join()).expect("a failure is an error")
}

fn network_of(pid: u32) -> PathBuf {
    format!("/proc/{pid}/ns/net").into()
}

/// A network namespace with a process that keeps it.
pub(crate) fn new_network(run: &Run, name: &str) -> Result<Process> {
    let process = Process::start(run, name, Command::new("unshare").args(["--net", "sleep", "infinity"]))?;
    let own = fs::read_link(network_of(std::process::id()))?;
    wait_for("a network namespace", START_LIMIT, || {
        Ok(fs::read_link(network_of(process.id())).is_ok_and(|made| made != own).then_some(()))
    })?;
    Ok(process)
}

/// Starts to capture what passes the interfaces of the calling thread's network, or this one; returns once it does.
pub(crate) fn capture(run: &Run, interface: &str, to: &Path) -> Result<Process> {
    let mut tcpdump = Command::new("tcpdump");
    tcpdump
        .args(["-i", interface, "--immediate-mode", "-s", "0", "-B", "65536", "-U", "-Z", "root", "-w"])
        .arg(to);
    let mut capture = Process::start(run, "tcpdump", &mut tcpdump)?;
    wait_for("tcpdump to capture", START_LIMIT, || {
        capture.ensure_running()?;
        Ok(capture.log().contains(CAPTURES).then_some(()))
    })?;
    Ok(capture)
}

/// Ends a capture; returns what was captured: all packets but at most one of [`MOST_LOST`].
pub(crate) fn captured(capture: Process, from: &Path) -> Result<Vec<u8>> {
    let log = capture.log_file().to_owned();
    capture.stop()?;
    let log = fs::read_to_string(log)?;
    let count = |what: &str| {
        let line = log.lines().find_map(|line| line.strip_suffix(what));
        line.and_then(|count| count.trim().parse::<u64>().ok())
            .with_context(|| format!("tcpdump tells no{what}: {log}"))
    };
    let (received, lost) = (count(" packets received by filter")?, count(" packets dropped by kernel")?);
    ensure!(received > 0 && lost * MOST_LOST <= received, "tcpdump lost packets: {log}");
    fs::read(from).with_context(|| format!("can't read {}", from.display()))
}

/// Passes on each connection that a listener takes to this server, from this machine's network.
pub(crate) fn pass_on(runtime: &Runtime, listener: TcpListener, server: SocketAddr) {
    runtime.spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
}

/// A router between this machine, where the node is, a laptop and the internet, each in a network namespace of its own.
/// It hides what is behind it from the laptop and from the internet, as routers of homes do.
pub struct Nat {
    router: Process,
    laptop: Process,
    internet: Process,
    capture: Option<Process>,
    /// What tcpdump captures.
    pcap: PathBuf,
    /// Carries connections to the chain, which listens on loopback.
    runtime: Runtime,
}

impl Nat {
    /// The node's address.
    pub const NODE: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 1);
    /// Address of a server on the internet.
    pub const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 3, 1);

    /// Starts the networks, and captures all that passes the router.
    pub fn start(run: &Run) -> Result<Self> {
        let network = |name| new_network(run, name);
        let nat = Self {
            router: network("router")?,
            laptop: network("laptop")?,
            internet: network("internet")?,
            capture: None,
            pcap: run.folder().join("router.pcap"),
            runtime: Builder::new_multi_thread().worker_threads(1).enable_all().build()?,
        };
        nat.connect()?;
        nat.captured(run)
    }

    fn connect(&self) -> Result<()> {
        let router = self.router.id();
        let link = format!("link add {INTERFACE} type veth peer name node netns {router}");
        ip(&format!(
            "{link}
            address add {}/24 dev {INTERFACE}
            link set {INTERFACE} up",
            Self::NODE
        ))?;
        for (name, end, address) in
            [("laptop", &self.laptop, "198.18.2.1"), ("internet", &self.internet, "198.18.3.1")]
        {
            in_network_of(end.id(), || {
                ip(&format!(
                    "link set lo up
                    link add router type veth peer name {name} netns {router}
                    address add {address}/24 dev router
                    link set router up"
                ))
            })?;
        }
        in_network_of(router, || {
            ip("address add 198.18.1.254/24 dev node
                address add 198.18.2.254/24 dev laptop
                address add 198.18.3.254/24 dev internet
                link set node up
                link set laptop up
                link set internet up")?;
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("can't make a router")
        })?;
        in_network_of(self.laptop.id(), || ip("route add default via 198.18.2.254"))?;
        ip(&format!("route add 198.18.3.0/24 via 198.18.1.254 dev {INTERFACE}"))
    }

    fn captured(mut self, run: &Run) -> Result<Self> {
        self.capture = Some(in_network_of(self.router.id(), || capture(run, "any", &self.pcap))?);
        Ok(self)
    }

    /// Lets the laptop open connections to these TCP ports of the node's network, and these UDP ports; the internet can
    /// be reached from both.
    pub fn lets_in(&self, tcp: u16, udp: Option<u16>) -> Result<()> {
        let udp = udp
            .map(|port| format!("iifname laptop oifname node udp dport {port} accept"))
            .unwrap_or_default();
        let rules = format!(
            "flush ruleset
            table ip router {{
                chain forward {{
                    type filter hook forward priority 0; policy drop;
                    ct state established,related accept
                    oifname internet accept
                    iifname laptop oifname node tcp dport {tcp} accept
                    {udp}
                }}
                chain hide {{
                    type nat hook postrouting priority 100;
                    oifname {{ node, internet }} masquerade
                }}
            }}"
        );
        in_network_of(self.router.id(), || fed("nft", &["-f", "-"], &rules))
    }

    /// Calls `act` on the laptop.
    pub fn on_laptop<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_network_of(self.laptop.id(), act)
    }

    /// Calls `act` on the internet.
    pub fn on_internet<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_network_of(self.internet.id(), act)
    }

    /// A port of the node's network at which a TCP server on this machine's loopback is reached.
    pub fn publishes(&self, server: SocketAddr) -> Result<SocketAddr> {
        let listener = self.runtime.block_on(TcpListener::bind((Self::NODE, 0)))?;
        let address = listener.local_addr()?;
        pass_on(&self.runtime, listener, server);
        Ok(address)
    }

    /// Ends the capture; returns all that has passed the router.
    pub fn passed(&mut self) -> Result<Vec<u8>> {
        captured(self.capture.take().context("nothing is captured any more")?, &self.pcap)
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        // The other ends go with the processes of their networks, and nothing is left to be done on failure.
        let _ = ip(&format!("link delete {INTERFACE}"));
    }
}

/// Carries out commands of `ip`, one a line.
pub(crate) fn ip(commands: &str) -> Result<()> {
    fed("ip", &["-batch", "-"], commands)
}

/// Runs a program that reads its orders.
pub(crate) fn fed(program: &str, arguments: &[&str], orders: &str) -> Result<()> {
    let mut command = Command::new(program);
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("can't run `{program}`: run `make setup`"))?;
    child.stdin.take().with_context(|| format!("`{program}` reads nothing"))?.write_all(orders.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "`{program}`: {}: {orders}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
