// SPDX-License-Identifier: Apache-2.0

//! An owner with a laptop behind a router, and a node on the other side of it.

use crate::peer::{
    COPIED, LIMIT, TYPED, ensure_watched, files_are_copied, programs_run, restart, shown, until_state,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::Stdio,
    thread,
    time::Duration,
};
use tfgrid_tests::{
    Forwarded, Grid, Nat, Person, Relay, free_port, in_network_of, page_deployment, wait_for,
};

/// What goes through the machine's environment, output and page, through what it writes later, and through datagrams.
const GREETED: &str = "greeted-93ad5e10";
const LOGGED: &str = "logged-d07b44f2";
const DATAGRAM: &str = "datagram-1e96c3b8";
/// What the chain says to its clients in clear.
const IN_CLEAR: &str = "jsonrpc";
const UDP_PORT: u16 = 5353;
/// Limit for an address to be on the chain: a node reports its details once in an interval of heartbeats.
const REPORTED_WITHIN: Duration = Duration::from_secs(100);

pub fn owners_behind_routers_reach_their_machines(grid: &mut Grid) -> Result<()> {
    let mut nat = Nat::start(grid.run())?;
    let chain = nat.publishes(grid.chain.rpc())?;
    let laptop = grid.user.at(&format!("ws://{chain}"));
    let endpoint = SocketAddr::from((Nat::NODE, free_port()?));

    nat.lets_in(chain.port(), Some(endpoint.port()))?;
    move_endpoint(grid, endpoint, None)?;
    let contract = nat.on_laptop(|| deploy(&laptop, grid))?;
    ensure_all_works(grid, &nat, &laptop, &contract).context("on a plain network")?;

    nat.lets_in(chain.port(), None)?;
    let relay = nat.on_internet(|| Relay::start(Nat::SERVER))?;
    move_endpoint(grid, endpoint, Some(&relay.url()))?;
    ensure_all_works(grid, &nat, &laptop, &contract).context("over a relay")?;
    nat.on_laptop(|| laptop.threebot(&["cancel", &contract]))?;

    let passed = nat.passed()?;
    ensure!(holds(&passed, IN_CLEAR.as_bytes()), "what goes in clear wasn't captured");
    for secret in [GREETED, LOGGED, DATAGRAM, TYPED, COPIED] {
        let is_there = holds(&passed, secret.as_bytes()) || holds(&passed, hex::encode(secret).as_bytes());
        ensure!(!is_there, "{secret} passed the router in clear");
    }
    let (loopback, relay) = (SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)), grid.relay.url());
    move_endpoint(grid, loopback, Some(&relay))
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Starts the agent again with this endpoint; returns once the chain has its address.
fn move_endpoint(grid: &mut Grid, endpoint: SocketAddr, relay: Option<&str>) -> Result<()> {
    grid.agent.kill()?;
    grid.agent.is_dialled_at(endpoint, relay);
    grid.resume_agent()?;
    wait_for("the chain to have the node's address", REPORTED_WITHIN, || {
        // Its end closes the connection: the chain takes only so many.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let addresses = runtime.block_on(grid.peer_address())?.addresses;
        let has_relay =
            addresses.relays.iter().map(ToString::to_string).eq(relay.map(|url| format!("{url}/")));
        Ok((addresses.direct == [endpoint] && has_relay).then_some(()))
    })
}

/// Deploys the web server with a sealed greeting; returns the contract's id.
fn deploy(laptop: &Person, grid: &Grid) -> Result<String> {
    let mut deployment = page_deployment(&grid.image, 1);
    deployment["workloads"][1]["data"]["env"]["GREETING"] = GREETED.into();
    let file = grid.run().folder().join("behind-nat.json");
    fs::write(&file, deployment.to_string())?;
    let file = file.display().to_string();
    let deployed = laptop.threebot(&["deploy", "-f", &file, "--node", &grid.node.to_string()])?;
    Ok(deployed["contract"].to_string())
}

/// Does from the laptop whatever an owner can do.
fn ensure_all_works(grid: &Grid, nat: &Nat, laptop: &Person, contract: &str) -> Result<()> {
    let machine = grid.engine.docker(&["ps", "--quiet", "--filter", "label=zos.workload=web"])?;
    let pid = grid.engine.docker(&["inspect", "--format", "{{.State.Pid}}", &machine])?.parse()?;
    let echo = in_network_of(pid, || Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, UDP_PORT))?))?;
    let folder = grid.run().folder();
    nat.on_laptop(|| {
        until_state(laptop, contract, "running")?;
        ensure_watched(laptop, contract)?;
        follow_output(laptop, contract)?;
        programs_run(laptop, contract)?;
        files_are_copied(laptop, contract, folder)?;
        let page = Forwarded::open(laptop, contract, "0:web:80")?.page()?;
        ensure!(page.starts_with(GREETED), "the page is {page:?}");
        datagrams_pass(laptop, contract, &echo)?;
        restart(laptop, contract)?;
        laptop.threebot(&["stop", contract])?;
        until_state(laptop, contract, "stopped by its owner")?;
        laptop.threebot(&["start", contract])?;
        until_state(laptop, contract, "running")
    })
}

/// Follows the machine's output, to which a program adds a line meanwhile.
fn follow_output(laptop: &Person, contract: &str) -> Result<()> {
    let output = shown(laptop, &["logs", contract])?;
    ensure!(output.contains(&format!("serving {GREETED}\n")), "{output:?}");
    let mut command = laptop.command()?;
    let following = command.args(["logs", contract, "-f", "--tail", "1"]).stdout(Stdio::piped());
    let mut following = following.spawn().context("can't run threebot")?;
    let mut followed = || -> Result<()> {
        let lines = BufReader::new(following.stdout.take().context("threebot has no stdout")?);
        let mut lines = lines.lines();
        lines.next().context("there is no output")??;
        shown(laptop, &["exec", contract, "web", "--", "sh", "-c", &format!("echo {LOGGED} >/proc/1/fd/1")])?;
        let line = lines.next().context("the output ends")??;
        ensure!(line == LOGGED, "{line:?}");
        Ok(())
    };
    let outcome = followed();
    following.kill()?;
    following.wait()?;
    outcome
}

/// Sends a datagram to the machine, and gets it back.
fn datagrams_pass(laptop: &Person, contract: &str, echo: &UdpSocket) -> Result<()> {
    let forwarded = Forwarded::open(laptop, contract, &format!("0:web:{UDP_PORT}/udp"))?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(forwarded.local)?;
    for socket in [&socket, echo] {
        socket.set_read_timeout(Some(LIMIT))?;
    }
    thread::scope(|scope| {
        let echoing = scope.spawn(|| -> Result<()> {
            let mut bytes = [0; 64];
            let (count, from) = echo.recv_from(&mut bytes)?;
            echo.send_to(&bytes[..count], from)?;
            Ok(())
        });
        socket.send(DATAGRAM.as_bytes())?;
        let mut bytes = [0; 64];
        let count = socket.recv(&mut bytes).context("no datagram comes back")?;
        ensure!(&bytes[..count] == DATAGRAM.as_bytes(), "another datagram comes back");
        echoing.join().expect("a failure is an error")
    })
}
