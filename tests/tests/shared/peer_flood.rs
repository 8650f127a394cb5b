// SPDX-License-Identifier: Apache-2.0

//! Callers that want nothing but to take something from a node.

use crate::peer::{LIMIT, with_site};
use anyhow::{Context, Result, ensure};
use iroh::{
    Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey,
    endpoint::{RecvStream, SendStream, presets},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use tfgrid_client::{
    peer::{
        Device, NodeAddress, NodePeer, PeerError,
        frame::MAX_FRAME_BYTES,
        protocol::{ALPN, FailedCode},
    },
    primitives::ContractId,
};
use tfgrid_tests::{Grid, Person};
use tokio::{
    net::UdpSocket,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long everybody floods the node.
const FLOOD: Duration = Duration::from_secs(10);
/// What the owner waits for an answer at most; the floods use up the machine's processors, too.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two questions of the owner.
const ASKED_EVERY: Duration = Duration::from_millis(200);
const STRANGERS: usize = 16;
/// Connections and streams that a node gives to a device.
const CONNECTIONS: usize = 4;
const STREAMS: usize = 256;
/// What all of them take of the agent's memory: of the streams, a frame each.
const MOST_MIB: u64 = 128;

pub fn floods_take_nothing_from_an_owner(grid: &mut Grid) -> Result<()> {
    let other = Person::new("//Dave//stash", &grid.chain.url(), grid.run().folder());
    other.joins_with_credit()?;
    with_site(grid, |grid, site| {
        let contract = site.contract.parse()?;
        let others = other.deploys_a_site(grid.node, &grid.image)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let flooded = runtime.block_on(flood(grid, contract, &other.device_key()?, others.contract.parse()?));
        drop(runtime);
        other.threebot(&["cancel", &others.contract, "--yes"])?;
        flooded
    })
}

/// Asks for the owner while strangers and another owner do what they can.
async fn flood(grid: &Grid, contract: ContractId, other: &Device, others: ContractId) -> Result<()> {
    let node = grid.peer_address().await?;
    let owner = NodePeer::connect(&grid.user.device_key()?, &node).await?;
    owner.status(contract).await?;
    let neighbour = NodePeer::connect(other, &node).await?;
    neighbour.status(others).await?;
    let refused = neighbour.status(contract).await;
    let is_not_found =
        matches!(&refused, Err(PeerError::Failed(failed)) if failed.code == FailedCode::NotFound);
    ensure!(is_not_found, "another owner gets {refused:?}");
    neighbour.close().await;

    let before = grid.agent.memory_mib()?;
    let mut most = before;
    let mut floods = JoinSet::new();
    floods.spawn(send_garbage(node.addresses.direct[0]));
    for _ in 0..STRANGERS {
        floods.spawn(come_as_strangers(node.clone()));
    }
    for _ in 0..CONNECTIONS {
        floods.spawn(leave_half_open(node.clone(), other.clone()));
    }
    let begun = Instant::now();
    while begun.elapsed() < FLOOD {
        let answer = timeout(ANSWER, owner.status(contract)).await.context("the owner gets no answer")??;
        ensure!(answer.ready, "the owner's machine is {answer:?}");
        most = most.max(grid.agent.memory_mib()?);
        if let Some(ended) = floods.try_join_next() {
            ended??;
        }
        sleep(ASKED_EVERY).await;
    }
    floods.shutdown().await;
    ensure!(most <= before + MOST_MIB, "the agent had {before} MiB, then {most} MiB");
    owner.close().await;
    let again = timeout(LIMIT, NodePeer::connect(&grid.user.device_key()?, &node)).await??;
    again.status(contract).await?;
    again.close().await;
    Ok(())
}

/// Sends what isn't QUIC, and what looks like its first packets.
async fn send_garbage(to: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let mut datagram = [0; 1200];
    for count in 0u64.. {
        datagram[8..16].copy_from_slice(&count.to_be_bytes());
        for begin in
            [&b"GET / HTTP/1.1\r\n"[..], &[0xc3, 0, 0, 0, 1, 8], &[0xc3, 0xba, 0xba, 0xba, 0xba, 8], &[0x40]]
        {
            datagram[..8].fill(0xff);
            datagram[..begin.len().min(8)].copy_from_slice(&begin[..begin.len().min(8)]);
            // The socket's buffer may be full.
            drop(socket.send_to(&datagram, to).await);
        }
    }
    Ok(())
}

/// Comes with one unknown key after another.
async fn come_as_strangers(node: NodeAddress) -> Result<()> {
    loop {
        // Many are refused before the node knows their key.
        let Ok(stranger) = NodePeer::connect(&Device::generate(), &node).await else { continue };
        let answer = stranger.status(1).await;
        ensure!(
            matches!(answer, Err(PeerError::Unknown | PeerError::Broken(_))),
            "a stranger gets {answer:?}"
        );
        stranger.close().await;
    }
}

/// Opens as many streams as there may be, sends all of a frame but its last byte on each, and comes again once they
/// have ended.
async fn leave_half_open(node: NodeAddress, device: Device) -> Result<()> {
    let builder = Endpoint::builder(presets::Minimal).secret_key(SecretKey::from_bytes(&device.seed()));
    let endpoint = builder.relay_mode(RelayMode::Disabled).bind().await?;
    let to = EndpointAddr::new(EndpointId::from_bytes(&node.key)?).with_ip_addr(node.addresses.direct[0]);
    let mut frame = vec![b' '; MAX_FRAME_BYTES + 4];
    frame[..5].copy_from_slice(&[0, 1, 0, 0, 0]);
    loop {
        // A place may still be taken by the last one.
        let Ok(connection) = endpoint.connect(to.clone(), ALPN).await else { continue };
        let mut open: Vec<(SendStream, RecvStream)> = Vec::new();
        while open.len() < STREAMS {
            let Ok((mut send, receive)) = connection.open_bi().await else { break };
            if send.write_all(&frame).await.is_err() {
                break;
            }
            open.push((send, receive));
        }
        for (_, receive) in &mut open {
            let answer = receive.read_to_end(MAX_FRAME_BYTES).await;
            ensure!(!answer.is_ok_and(|bytes| !bytes.is_empty()), "a half-open stream gets an answer");
        }
    }
}
