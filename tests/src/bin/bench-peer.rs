// SPDX-License-Identifier: Apache-2.0

//! Measures a node's peer endpoint on a grid of its own, beside a plain iroh stream.

use anyhow::{Context, Result, bail, ensure};
use iroh::{
    Endpoint, EndpointAddr, RelayMode,
    endpoint::{Connection, presets},
};
use serde_json::json;
use std::{
    env, fs,
    net::Ipv4Addr,
    thread::sleep,
    time::{Duration, Instant},
};
use tfgrid_client::{
    peer::{
        Call, NodePeer,
        frame::Frame,
        protocol::{Ask, Exec, Forward, Logs, Protocol, TerminalSize},
    },
    primitives::ContractId,
};
use tfgrid_tests::{Forwarded, Grid, MIB, Options, Steps, asks_for_help, on_a_grid, page_deployment};
use tokio::{
    io::{AsyncReadExt, copy, sink},
    net::{TcpListener, TcpStream},
    runtime::Builder,
    time::timeout,
};

const HELP: &str = "\
Measures a node's peer endpoint on a grid of its own, beside a plain iroh stream.

Usage: bench-peer [MIB]

  MIB  how much is transferred at a time, 256 if it isn't given";

/// Transfers in turn, of each kind.
const TRANSFERS: usize = 5;
/// Times that output is asked for.
const READS: usize = 21;
const KEYSTROKES: usize = 100;
/// Web servers that are deployed one after another.
const PAGES: usize = 11;
/// Bytes that the plain stream is given at a time, as `forward` is.
const PIECE_BYTES: usize = 64 * 1024;
/// As many as a node gives to one device, and nearly as many streams as it gives to a connection.
const CONNECTIONS: usize = 4;
const FOLLOWERS_OF_CONNECTION: usize = 250;
/// Time between blocks of the development chain.
const SLOT: Duration = Duration::from_secs(3);
const PORT: u16 = 9000;
const ALPN: &[u8] = b"tfgrid/bench/1";
const LIMIT: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    if asks_for_help(HELP) {
        return Ok(());
    }
    let mib = match &env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => 256,
        [mib] => mib.parse().context(HELP)?,
        _ => bail!(HELP),
    };
    let options = Options { ignores_others: true, ..Options::default() };
    on_a_grid("bench-peer", options, &Steps::silent(), |grid| {
        pages(grid)?;
        // Followers of one contract are limited.
        let contracts = [deploy(grid, mib)?, deploy(grid, mib)?];
        let bytes = mib * MIB;
        let server = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let plain = server.block_on(plain_endpoint())?;
        let address = EndpointAddr::new(plain.id()).with_ip_addr(plain.bound_sockets()[0]);
        server.spawn(serve(plain, bytes));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let bench =
                Bench { contracts, bytes, peer: connect(grid).await?, plain: Plain::connect(address).await? };
            bench.throughput().await?;
            bench.first_bytes().await?;
            bench.keystrokes().await?;
            bench.peer.close().await;
            followers(grid, contracts, "events", || Ask::Events { follow: true }).await?;
            followers(grid, contracts, "logs", || Ask::Logs(logs(true))).await
        })
    })
}

/// From the start of `threebot deploy` to a page that `threebot forward` has brought, as a user would do it.
fn pages(grid: &Grid) -> Result<()> {
    let (user, node) = (&grid.user, grid.node.to_string());
    let file = grid.run().folder().join("page.json");
    fs::write(&file, page_deployment(&grid.image, 1).to_string())?;
    let file = file.display().to_string();
    let (mut deployed, mut fetched) = (Vec::new(), Vec::new());
    for index in 0..PAGES {
        // What came before ends with a block. Users come at any time of a slot.
        sleep(SLOT * index as u32 / PAGES as u32);
        let begun = Instant::now();
        let contract = user.threebot(&["deploy", "-f", &file, "--node", &node])?["contract"].to_string();
        deployed.push(milliseconds(begun));
        let page = Forwarded::open(user, &contract, "0:web:80")?.page()?;
        fetched.push(milliseconds(begun));
        ensure!(!page.is_empty(), "the page is empty");
        user.threebot(&["cancel", &contract, "--yes"])?;
    }
    println!(
        "deploy, {PAGES} times: p50 {:.1} s to the end of the command, {:.1} s to a page through forward",
        median(deployed) / 1_000.0,
        median(fetched) / 1_000.0
    );
    Ok(())
}

/// Deploys a machine that writes a line, and sends so much to each that connects.
fn deploy(grid: &Grid, mib: u64) -> Result<ContractId> {
    let send =
        format!("echo begun; exec busybox nc -ll -p {PORT} -e busybox dd if=/dev/zero bs=1M count={mib}");
    let machine = json!({
        "image": grid.image, "cpu": 2, "memory": 64 * MIB, "rootfs": 64 * MIB,
        "entrypoint": ["/bin/sh", "-c", send], "stop_seconds": 0,
    });
    let body = json!({ "version": 1, "workloads": [{ "name": "m", "type": "zmachine", "data": machine }] });
    let file = grid.run().folder().join("bench.json");
    fs::write(&file, body.to_string())?;
    let file = file.display().to_string();
    let deployed = grid.user.threebot(&["deploy", "-f", &file, "--node", &grid.node.to_string()])?;
    deployed["contract"].as_u64().context("threebot gave no contract")
}

fn logs(follow: bool) -> Logs {
    Logs { workload: "m".into(), follow, tail: Some(1), since: None, timestamps: false }
}

struct Bench {
    contracts: [ContractId; 2],
    bytes: u64,
    peer: NodePeer,
    plain: Plain,
}

impl Bench {
    /// What a local program gets from a machine's port, beside what it would get over a plain stream.
    async fn throughput(&self) -> Result<()> {
        let (mut forwarded, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..TRANSFERS {
            plain.push(self.rate(self.plain.transfer()).await?);
            forwarded.push(self.rate(self.forward()).await?);
        }
        let (forwarded, plain) = (median(forwarded), median(plain));
        println!(
            "{} MiB: forward {forwarded:.0} MiB/s, plain stream {plain:.0} MiB/s: {:.0} %",
            self.bytes / MIB,
            100.0 * forwarded / plain
        );
        Ok(())
    }

    /// MiB a second.
    async fn rate(&self, transfer: impl Future<Output = Result<u64>>) -> Result<f64> {
        let begun = Instant::now();
        let bytes = timeout(LIMIT, transfer).await.context("the transfer takes too long")??;
        ensure!(bytes == self.bytes, "{bytes} bytes came of {}", self.bytes);
        Ok((bytes / MIB) as f64 / begun.elapsed().as_secs_f64())
    }

    async fn forward(&self) -> Result<u64> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let program = TcpStream::connect(listener.local_addr()?);
        let (program, accepted) = tokio::try_join!(program, listener.accept())?;
        let to = Forward { workload: "m".into(), protocol: Protocol::Tcp, port: PORT };
        let forwarding = async { Ok(self.peer.forward(self.contracts[0], to, accepted.0).await?) };
        let (_, bytes) = tokio::try_join!(forwarding, received(program))?;
        Ok(bytes)
    }

    async fn first_bytes(&self) -> Result<()> {
        let mut waits = Vec::new();
        for _ in 0..READS {
            let begun = Instant::now();
            let mut call = self.peer.ask(self.contracts[0], Ask::Logs(logs(false))).await?;
            let first = call.next().await?;
            ensure!(matches!(first, Some(Frame::Data(_) | Frame::Errors(_))), "the output is {first:?}");
            waits.push(milliseconds(begun));
        }
        let most = waits.iter().copied().fold(0.0, f64::max);
        println!("first byte of logs, {READS} times: p50 {:.1} ms, most {most:.1} ms", median(waits));
        Ok(())
    }

    /// From a key to its echo on the terminal, beside a byte's way there and back on a plain stream.
    async fn keystrokes(&self) -> Result<()> {
        let terminal = Some(TerminalSize { rows: 24, columns: 80 });
        let exec = Exec { workload: "m".into(), command: vec!["cat".into()], terminal };
        let mut call = self.peer.ask(self.contracts[0], Ask::Exec(exec)).await?;
        call.ready().await?;
        let (mut input, mut output) = call.split();
        let mut waits = Vec::new();
        for _ in 0..KEYSTROKES {
            let begun = Instant::now();
            input.data(b"x").await?;
            let shown = output.next().await?;
            ensure!(shown == Some(Frame::Data(b"x".to_vec())), "the terminal shows {shown:?}");
            waits.push(milliseconds(begun));
        }
        let round_trips = self.plain.round_trips().await?;
        let most = waits.iter().copied().fold(0.0, f64::max);
        println!(
            "keystroke to echo, {KEYSTROKES} times: p50 {:.1} ms, most {most:.1} ms; round trip p50 {:.1} ms",
            median(waits),
            median(round_trips)
        );
        Ok(())
    }
}

/// What followers to whom nothing is sent cost in memory.
async fn followers(grid: &Grid, contracts: [ContractId; 2], name: &str, ask: impl Fn() -> Ask) -> Result<()> {
    let before = grid.agent.memory_mib()?;
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        peers.push(connect(grid).await?);
    }
    let mut calls: Vec<Call<'_>> = Vec::new();
    for peer in &peers {
        for index in 0..FOLLOWERS_OF_CONNECTION {
            let mut call = peer.ask(contracts[index % 2], ask()).await?;
            let first = timeout(LIMIT, call.next()).await.context("a follower gets nothing")??;
            ensure!(first.is_some(), "a follower's stream ends");
            calls.push(call);
        }
    }
    let after = grid.agent.memory_mib()?;
    println!("{} idle followers of {name}: the agent has {before} MiB, then {after} MiB", calls.len());
    drop(calls);
    for peer in peers {
        peer.close().await;
    }
    Ok(())
}

async fn connect(grid: &Grid) -> Result<NodePeer> {
    Ok(NodePeer::connect(&grid.user.device_key()?, &grid.peer_address().await?).await?)
}

/// Bytes until the end.
async fn received(mut stream: TcpStream) -> Result<u64> {
    Ok(copy(&mut stream, &mut sink()).await?)
}

/// A connection to a plain endpoint on loopback, which [`serve`]s.
struct Plain {
    _endpoint: Endpoint,
    connection: Connection,
}

impl Plain {
    async fn connect(address: EndpointAddr) -> Result<Self> {
        let endpoint = plain_endpoint().await?;
        let connection = endpoint.connect(address, ALPN).await?;
        Ok(Self { _endpoint: endpoint, connection })
    }

    async fn transfer(&self) -> Result<u64> {
        let (mut send, mut receive) = self.connection.open_bi().await?;
        send.write_all(&[0]).await?;
        Ok(copy(&mut receive, &mut sink()).await?)
    }

    /// Milliseconds of a byte's way there and back.
    async fn round_trips(&self) -> Result<Vec<f64>> {
        let (mut send, mut receive) = self.connection.open_bi().await?;
        let mut waits = Vec::new();
        for _ in 0..KEYSTROKES {
            let begun = Instant::now();
            send.write_all(&[1]).await?;
            receive.read_u8().await?;
            waits.push(milliseconds(begun));
        }
        Ok(waits)
    }
}

async fn plain_endpoint() -> Result<Endpoint> {
    let builder =
        Endpoint::builder(presets::Minimal).alpns(vec![ALPN.to_vec()]).relay_mode(RelayMode::Disabled);
    Ok(builder.clear_ip_transports().bind_addr((Ipv4Addr::LOCALHOST, 0))?.bind().await?)
}

/// Sends so many bytes on each stream that begins with a 0, and sends back what comes on others.
async fn serve(endpoint: Endpoint, bytes: u64) -> Result<()> {
    let incoming = endpoint.accept().await.context("the endpoint is closed")?;
    let connection = incoming.accept()?.await?;
    let piece = vec![0; PIECE_BYTES];
    loop {
        let (mut send, mut receive) = connection.accept_bi().await?;
        let first = receive.read_u8().await?;
        if first == 0 {
            for _ in 0..bytes / PIECE_BYTES as u64 {
                send.write_all(&piece).await?;
            }
        } else {
            send.write_all(&[first]).await?;
            copy(&mut receive, &mut send).await?;
        }
        send.finish()?;
    }
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1_000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
