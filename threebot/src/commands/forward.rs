// SPDX-License-Identifier: Apache-2.0
//! `threebot forward`

use crate::{
    cli::Global,
    output::{Answer, note, warn},
    peer::{Connected, Target},
};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use std::{
    collections::HashMap,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};
use tfgrid_client::{
    Error as ChainError,
    peer::{
        NodePeer, PeerError,
        frame::{Frame, MAX_DATAGRAM_BYTES},
        protocol::{Ask, Forward as Wanted, Protocol},
    },
    primitives::ContractId,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::mpsc,
    task::JoinSet,
    time::sleep,
};

/// Programs that send datagrams at the same time.
const MAX_PROGRAMS: usize = 100;
/// Datagrams of one program that wait to be sent.
const DATAGRAMS: usize = 64;
/// From one try to connect, or to accept, to the next.
const AGAIN: Duration = Duration::from_secs(2);

/// Reach ports of machines as ports of this computer
#[derive(Args)]
#[command(after_help = "\
What goes over it is encrypted from end to end, and needs no public address. It lasts until Ctrl-C.

Examples:
  threebot forward 7 8080:web:80           http://127.0.0.1:8080 is its port 80
  threebot forward 7 0:web:80 53:db:53     any free port, and another one
  threebot forward 7 5353:dns:53/udp")]
pub struct Forward {
    #[command(flatten)]
    target: Target,
    /// Port of this computer (0 for any), machine, its port; `/udp` after it for UDP
    #[arg(required = true, value_name = "LOCAL:WORKLOAD:PORT")]
    ports: Vec<Ports>,
}

/// A port of this computer and one of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ports {
    local: u16,
    remote: Wanted,
}

impl FromStr for Ports {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write it as LOCAL:WORKLOAD:PORT, such as 8080:web:80, with /udp after it for UDP";
        let (text, protocol) = match text.strip_suffix("/udp") {
            Some(text) => (text, Protocol::Udp),
            None => (text.strip_suffix("/tcp").unwrap_or(text), Protocol::Tcp),
        };
        let mut parts = text.split(':');
        let (Some(local), Some(workload), Some(port), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(FORM);
        };
        let number = |port: &str| port.parse().map_err(|_| "a port is a number from 0 to 65535");
        let (local, port) = (number(local)?, number(port)?);
        Ok(Self { local, remote: Wanted { workload: workload.into(), protocol, port } })
    }
}

/// A port of this computer that is open.
#[derive(Clone)]
enum Open {
    Tcp(Arc<TcpListener>, Wanted),
    Udp(Arc<UdpSocket>, Wanted),
}

impl Forward {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let mut open = Vec::new();
        for ports in &self.ports {
            open.push(Open::bind(ports).await?);
        }
        let mut connected = self.target.connect(global).await?;
        self.ensure_machines(&connected)?;
        tell(&open, global.json)?;
        loop {
            let Connected { peer, contract, .. } = connected;
            let peer = Arc::new(peer);
            let mut serving = JoinSet::new();
            for open in &open {
                serving.spawn(open.clone().serve(peer.clone(), contract, global.json));
            }
            peer.closed().await;
            serving.shutdown().await;
            note("the connection to the node has ended: connecting again", global.json);
            connected = self.connect_again(global).await?;
        }
    }

    fn ensure_machines(&self, connected: &Connected) -> Result<()> {
        for Ports { remote, .. } in &self.ports {
            if !connected.status.machines.contains_key(&remote.workload) {
                let names: Vec<_> = connected.status.machines.keys().map(String::as_str).collect();
                bail!(
                    "contract {} has no machine {}; it has: {}",
                    connected.contract,
                    remote.workload,
                    names.join(", ")
                );
            }
        }
        Ok(())
    }

    /// Connects as soon as the node can be reached.
    async fn connect_again(&self, global: &Global) -> Result<Connected> {
        loop {
            match self.target.connect(global).await {
                Err(error) if is_unreachable(&error) => sleep(AGAIN).await,
                connected => return connected,
            }
        }
    }
}

/// Whether node or chain may be back later.
fn is_unreachable(error: &anyhow::Error) -> bool {
    let is_chain =
        matches!(error.downcast_ref(), Some(ChainError::Connect { .. } | ChainError::TimedOut { .. }));
    is_chain
        || matches!(
            error.downcast_ref(),
            Some(
                PeerError::Connect { .. }
                    | PeerError::NotReached { .. }
                    | PeerError::Broken(_)
                    | PeerError::NoAnswer
                    | PeerError::Ended
            )
        )
}

/// Says where the ports are.
fn tell(open: &[Open], json: bool) -> Result<()> {
    for open in open {
        let (local, to) = (open.local()?, open.remote());
        let line = if json {
            json!({ "local": local.to_string(), "workload": to.workload, "port": to.port }).to_string()
        } else {
            format!("{local} is port {} of {}", to.port, to.workload)
        };
        writeln!(io::stdout(), "{line}").context("can't print the ports")?;
    }
    Ok(())
}

impl Open {
    async fn bind(Ports { local, remote }: &Ports) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *local));
        let opened = match remote.protocol {
            Protocol::Tcp => {
                TcpListener::bind(address).await.map(|listener| Self::Tcp(listener.into(), remote.clone()))
            }
            Protocol::Udp => {
                UdpSocket::bind(address).await.map(|socket| Self::Udp(socket.into(), remote.clone()))
            }
        };
        opened.with_context(|| format!("can't open {address}: take another port, or 0 for any that is free"))
    }

    fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener, _) => listener.local_addr(),
            Self::Udp(socket, _) => socket.local_addr(),
        }
    }

    fn remote(&self) -> &Wanted {
        match self {
            Self::Tcp(_, to) | Self::Udp(_, to) => to,
        }
    }

    async fn serve(self, peer: Arc<NodePeer>, contract: ContractId, json: bool) {
        match self {
            Self::Tcp(listener, to) => serve_tcp(&listener, &peer, contract, &to, json).await,
            Self::Udp(socket, to) => serve_udp(&socket, &peer, contract, &to, json).await,
        }
    }
}

async fn serve_tcp(
    listener: &TcpListener,
    peer: &Arc<NodePeer>,
    contract: ContractId,
    to: &Wanted,
    json: bool,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            sleep(AGAIN).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let (peer, to) = (peer.clone(), to.clone());
        connections.spawn(async move {
            if let Err(error) = peer.forward(contract, to, &mut stream).await {
                // The program must not take it for the machine's end.
                drop(stream.set_zero_linger());
                told(&error, json);
            }
        });
    }
}

/// Each program that sends datagrams has a stream of its own.
async fn serve_udp(
    socket: &Arc<UdpSocket>,
    peer: &Arc<NodePeer>,
    contract: ContractId,
    to: &Wanted,
    json: bool,
) {
    let mut programs: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut streams = JoinSet::new();
    let mut bytes = vec![0; MAX_DATAGRAM_BYTES];
    loop {
        let Ok((count, from)) = socket.recv_from(&mut bytes).await else { continue };
        while streams.try_join_next().is_some() {}
        programs.retain(|_, sender| !sender.is_closed());
        if programs.len() >= MAX_PROGRAMS {
            // Each gets another stream with its next datagram.
            programs.clear();
        }
        let sender = programs.entry(from).or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(DATAGRAMS);
            let (socket, peer, to) = (socket.clone(), peer.clone(), to.clone());
            streams.spawn(async move {
                if let Err(error) = pass_datagrams(&socket, from, receiver, &peer, contract, to).await {
                    told(&error, json);
                }
            });
            sender
        });
        // As in any network, it may be lost.
        let _ = sender.try_send(bytes[..count].to_vec());
    }
}

/// Passes datagrams of one program in both directions until the node ends it.
async fn pass_datagrams(
    socket: &UdpSocket,
    program: SocketAddr,
    mut datagrams: mpsc::Receiver<Vec<u8>>,
    peer: &NodePeer,
    contract: ContractId,
    to: Wanted,
) -> Result<(), PeerError> {
    let mut call = peer.ask(contract, Ask::Forward(to)).await?;
    call.ready().await?;
    let (mut input, mut output) = call.split();
    // Two loops: a frame that is half read must not be left.
    let outgoing = async {
        while let Some(datagram) = datagrams.recv().await {
            input.data(&datagram).await?;
        }
        Ok(())
    };
    let incoming = async {
        while let Some(Frame::Data(datagram)) = output.next().await? {
            // As in any network, it may be lost.
            drop(socket.send_to(&datagram, program).await);
        }
        Ok(())
    };
    tokio::select! {
        sent = outgoing => sent,
        received = incoming => received,
    }
}

/// Says what a connection failed on. Programs close connections as they like.
fn told(error: &PeerError, json: bool) {
    if matches!(error, PeerError::Failed(_) | PeerError::Idle) {
        warn(&error.to_string(), json);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_with_the_machine_between_them() {
        let ports = |local, workload: &str, port, protocol| Ports {
            local,
            remote: Wanted { workload: workload.into(), port, protocol },
        };
        assert_eq!("8080:web:80".parse(), Ok(ports(8080, "web", 80, Protocol::Tcp)));
        assert_eq!("0:dns:53/udp".parse(), Ok(ports(0, "dns", 53, Protocol::Udp)));
        for text in ["", "80", "80:web", "80:web:80:1", "x:web:80", "80:web:65536", "80:web:80/sctp"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }
}
