// SPDX-License-Identifier: Apache-2.0

use crate::{
    Process, Run,
    nat::{capture, captured, fed, in_network_of, ip, new_network, pass_on},
};
use anyhow::{Context, Result};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
};
use tokio::runtime::{Builder, Runtime};

/// The cable's end on this machine.
const INTERFACE: &str = "tfgrid-cable";

/// The network of another machine: a network namespace with a cable to this one.
pub struct OtherMachine {
    network: Process,
    capture: Option<Process>,
    pcap: PathBuf,
    /// Carries connections to servers on this machine's loopback.
    runtime: Runtime,
}

impl OtherMachine {
    /// This machine's address on the cable.
    pub const HERE: Ipv4Addr = Ipv4Addr::new(198, 18, 9, 1);
    /// The other machine's.
    pub const THERE: Ipv4Addr = Ipv4Addr::new(198, 18, 9, 2);

    /// Makes the network, and captures all that passes the cable.
    pub fn start(run: &Run) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let network = new_network(run, "other-machine")?;
        let pcap = run.folder().join("cable.pcap");
        let mut machine = Self { network, capture: None, pcap, runtime };
        let (here, there, pid) = (Self::HERE, Self::THERE, machine.network.id());
        ip(&format!(
            "link add {INTERFACE} type veth peer name cable netns {pid}
            address add {here}/24 dev {INTERFACE}
            link set {INTERFACE} up"
        ))?;
        machine.on(|| {
            ip(&format!(
                "link set lo up
                address add {there}/24 dev cable
                link set cable up
                route add default via {here}"
            ))
        })?;
        machine.capture = Some(capture(run, INTERFACE, &machine.pcap)?);
        Ok(machine)
    }

    /// Calls `act` on the other machine.
    pub fn on<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_network_of(self.network.id(), act)
    }

    /// Gives the other machine this address on the cable, in place of its own.
    pub fn moves_to(&self, address: Ipv4Addr) -> Result<()> {
        let here = Self::HERE;
        self.on(|| {
            ip(&format!(
                "address flush dev cable scope global
                address add {address}/24 dev cable
                route add default via {here}"
            ))
        })
    }

    /// Lets programs there reach a TCP server on this machine's loopback at the same address.
    pub fn reaches(&self, server: SocketAddr) -> Result<()> {
        let listener = self.on(|| TcpListener::bind(server).context("can't listen on another machine"))?;
        listener.set_nonblocking(true)?;
        let _entered = self.runtime.enter();
        pass_on(&self.runtime, tokio::net::TcpListener::from_std(listener)?, server);
        Ok(())
    }

    /// Drops all UDP packets on the cable but those from and to this port there.
    pub fn drops_udp_beside(&self, port: u16) -> Result<()> {
        let rules = format!(
            "table inet cut {{
                chain input {{
                    type filter hook input priority -50;
                    iifname cable udp dport != {port} drop
                }}
                chain output {{
                    type filter hook output priority -50;
                    oifname cable udp sport != {port} drop
                }}
            }}
            "
        );
        self.on(|| fed("nft", &["-f", "-"], &rules))
    }

    /// Ends the capture; returns all that has passed the cable.
    pub fn passed(&mut self) -> Result<Vec<u8>> {
        captured(self.capture.take().context("nothing is captured any more")?, &self.pcap)
    }
}

impl Drop for OtherMachine {
    fn drop(&mut self) {
        // The other end goes with the process of its network, and nothing is left to be done on failure.
        let _ = ip(&format!("link delete {INTERFACE}"));
    }
}
