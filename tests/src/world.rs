// SPDX-License-Identifier: Apache-2.0

use crate::{
    Process, Run,
    nat::{capture, captured, fed, in_network_of, ip, new_network, pass_on},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
};
use tokio::runtime::{Builder, Runtime};

/// The uplink of a host.
const UPLINK: &str = "eth0";
/// Third byte of the first host's network. Its addresses are those of the internet, which private ones aren't.
const FIRST_NETWORK: u8 = 161;
/// The router's table of counters.
const COUNTED: &str = "counted";

/// Hosts on the internet: network namespaces, each with a cable to one that routes between them.
pub struct World {
    internet: Process,
    pub hosts: Vec<Host>,
    capture: Option<Process>,
    /// What tcpdump captures.
    pcap: PathBuf,
    /// Carries connections to servers on this machine's loopback.
    runtime: Runtime,
}

/// A computer with an address and a network of its own.
pub struct Host {
    network: Process,
    pub ip: Ipv4Addr,
    /// The router in its network.
    pub router: Ipv4Addr,
}

impl World {
    /// Address of servers on the internet.
    pub const SERVER: Ipv4Addr = Ipv4Addr::new(185, 69, 160, 53);

    /// Makes the networks of hosts with these names.
    pub fn start(run: &Run, names: &[&str]) -> Result<Self> {
        let internet = new_network(run, "internet")?;
        in_network_of(internet.id(), || {
            ip(&format!(
                "link set lo up
                address add {}/32 dev lo",
                Self::SERVER
            ))?;
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("can't make a router")
        })?;
        let hosts = names.iter().zip(FIRST_NETWORK..);
        let hosts: Result<Vec<_>> =
            hosts.map(|(name, network)| Host::start(run, name, network, &internet)).collect();
        let pcap = run.folder().join("internet.pcap");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { internet, hosts: hosts?, capture: None, pcap, runtime })
    }

    /// Lets programs on each host reach a TCP server on this machine's loopback at the same address.
    pub fn reaches(&self, server: SocketAddr) -> Result<()> {
        let _entered = self.runtime.enter();
        for host in &self.hosts {
            let listener = host.on(|| TcpListener::bind(server).context("can't listen on another host"))?;
            listener.set_nonblocking(true)?;
            pass_on(&self.runtime, tokio::net::TcpListener::from_std(listener)?, server);
        }
        Ok(())
    }

    /// Calls `act` on the router, where servers of the internet are.
    pub fn on_internet<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_network_of(self.internet.id(), act)
    }

    /// Captures all that passes the router from now on.
    pub fn captures(&mut self, run: &Run) -> Result<()> {
        self.capture = Some(self.on_internet(|| capture(run, "any", &self.pcap))?);
        Ok(())
    }

    /// Ends the capture; returns all that has passed the router.
    pub fn passed(&mut self) -> Result<Vec<u8>> {
        captured(self.capture.take().context("nothing is captured")?, &self.pcap)
    }

    /// Counts the bytes that pass the router from or to this address from now on.
    pub fn counts(&self, address: Ipv4Addr) -> Result<()> {
        let rules = format!(
            "table inet {COUNTED} {{
                counter passed {{ }}
                chain forward {{
                    type filter hook forward priority 0;
                    ip saddr {address} counter name passed
                    ip daddr {address} counter name passed
                }}
            }}
            "
        );
        self.on_internet(|| fed("nft", &["-f", "-"], &rules))
    }

    /// Bytes that were counted so far.
    pub fn counted(&self) -> Result<u64> {
        let listed = self.on_internet(|| {
            Ok(Command::new("nft").args(["-j", "list", "counter", "inet", COUNTED, "passed"]).output()?)
        })?;
        ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let listed: Value = serde_json::from_slice(&listed.stdout)?;
        let counters = listed["nftables"].as_array().context("nft lists nothing")?;
        let bytes = counters.iter().find_map(|object| object["counter"]["bytes"].as_u64());
        bytes.context("nft lists no counter")
    }

    /// Cuts the cable of the host with this name, or mends it.
    pub fn cuts(&self, host: &str, is_cut: bool) -> Result<()> {
        let state = if is_cut { "down" } else { "up" };
        self.on_internet(|| ip(&format!("link set {host} {state}")))
    }
}

impl Host {
    fn start(run: &Run, name: &str, network: u8, internet: &Process) -> Result<Self> {
        let [address, router] = [10, 1].map(|last| Ipv4Addr::new(185, 69, network, last));
        let host = Self { network: new_network(run, name)?, ip: address, router };
        let internet = internet.id();
        host.on(|| {
            ip(&format!(
                "link set lo up
                link add {UPLINK} type veth peer name {name} netns {internet}
                address add {address}/24 dev {UPLINK}
                link set {UPLINK} up
                route add default via {router}"
            ))
        })?;
        in_network_of(internet, || {
            ip(&format!(
                "address add {router}/24 dev {name}
                link set {name} up"
            ))
        })?;
        Ok(host)
    }

    /// A process in its network.
    pub fn pid(&self) -> u32 {
        self.network.id()
    }

    /// Calls `act` on the host; sockets and processes that it makes stay there.
    pub fn on<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_network_of(self.network.id(), act)
    }
}
