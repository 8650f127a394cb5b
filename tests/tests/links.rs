// SPDX-License-Identifier: Apache-2.0

//! A private network on two nodes, on two machines.

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    thread,
    time::Duration,
};
use tfgrid_client::wireguard::{key_from_text, key_text, public_key};
use tfgrid_tests::{
    Forwarded, Grid, Inside, Joined, Options, OtherMachine, OtherNode, Person, Steps, free_port,
    in_network_of, kill_wireguard, on_a_grid, page_deployment, text, wait_for,
};

/// What only the page of the machine on the second node says, and what goes over the cable in clear.
const SECRET: &str = "page-7c51e0aa";
const IN_CLEAR: &str = "clear-20bb94f3";
/// Where the second node is found after it has moved, at first while its agent runs.
const MOVED_LIVE: Ipv4Addr = Ipv4Addr::new(198, 18, 9, 4);
const MOVED: Ipv4Addr = Ipv4Addr::new(198, 18, 9, 3);
/// What passes at once, and the datagram, which is longer than a packet of the network may be.
const STREAM_BYTES: usize = 64 << 10;
const DATAGRAM_BYTES: usize = 1_400;
const PORT: u16 = 9_000;
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Limit for the first packets, and for another way to be found.
const LINKED_WITHIN: Duration = Duration::from_secs(60);
/// A name is known on the other node within so long of its node's report.
const NAMES_WITHIN: Duration = Duration::from_secs(30);
/// Limit for what was killed to be back.
const HEALED_WITHIN: Duration = Duration::from_secs(90);

/// The second node.
struct Second {
    machine: OtherMachine,
    node: OtherNode,
}

impl Second {
    fn start(grid: &Grid) -> Result<Self> {
        let machine = OtherMachine::start(grid.run())?;
        machine.reaches(grid.chain.rpc())?;
        machine.reaches(grid.registry.address())?;
        let opened = grid.farmer.threebot(&["farm", "ticket", "--farm", "1", "--nodes", "1"])?;
        let (chain, ticket) = (grid.chain.url(), text(&opened["ticket"])?);
        // At all addresses that its machine has by then.
        let ip = Ipv4Addr::UNSPECIFIED.into();
        let node = machine.on(|| OtherNode::start(grid.run(), "agent-2", (&chain, ticket), ip, &[]))?;
        grid.farmer.waits_until_served_by(node.id)?;
        Ok(Self { machine, node })
    }

    /// It gets another address while its agent doesn't run.
    fn moves(&mut self, grid: &Grid) -> Result<()> {
        self.node.agent.kill()?;
        self.machine.moves_to(MOVED)?;
        self.node.agent.is_dialled_at((MOVED, self.node.peer.port()).into(), None);
        self.resume(grid)
    }

    fn resume(&mut self, grid: &Grid) -> Result<()> {
        let Self { machine, node } = self;
        machine.on(|| node.agent.resume(grid.run()))
    }
}

/// A web server with this name in the network `site`, whose page says `greeting`.
fn deploy(owner: &Person, grid: &Grid, node: u64, name: &str, range: &str, greeting: &str) -> Result<String> {
    let mut deployment = page_deployment(&grid.image, 1);
    deployment["workloads"][1]["name"] = name.into();
    let machine = &mut deployment["workloads"][1]["data"];
    machine["interfaces"] = json!([{ "network": "site" }]);
    machine["env"]["GREETING"] = greeting.into();
    let network =
        json!({ "name": "site", "type": "network", "data": { "subnet": "10.20.0.0/16", "range": range } });
    deployment["workloads"].as_array_mut().context("there are no workloads")?.push(network);
    let file = grid.run().folder().join(format!("{name}.json"));
    fs::write(&file, deployment.to_string())?;
    let file = file.display().to_string();
    let deployed = owner.threebot(&["deploy", "-f", &file, "--node", &node.to_string()])?;
    Ok(deployed["contract"].to_string())
}

/// Waits for the page of the second node's machine.
fn until_page(from: &Inside, of: &str, begins: &str, within: Duration) -> Result<()> {
    let mut last = String::new();
    let reached = wait_for("the page of the machine on the other node", within, || {
        let page = from.page(of);
        last = format!("{page:?}");
        Ok(page.is_ok_and(|page| page.starts_with(begins)).then_some(()))
    });
    reached.with_context(|| format!("the last answer: {last}"))
}

/// Sends much at once, and a long datagram, from one machine to the one with this name.
fn large_packets_pass(from: &Inside, to: &Inside, name: &str) -> Result<()> {
    let address = SocketAddr::new(from.address_of(name)?.parse()?, PORT);
    let (listener, receiver) =
        in_network_of(to.pid()?, || Ok((TcpListener::bind(address)?, UdpSocket::bind(address)?)))?;
    let (mut stream, sender) = in_network_of(from.pid()?, || {
        let sender = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        sender.connect(address)?;
        Ok((TcpStream::connect_timeout(&address, LINKED_WITHIN)?, sender))
    })?;
    let (mut taken, _) = listener.accept()?;
    stream.set_write_timeout(Some(LINKED_WITHIN))?;
    taken.set_read_timeout(Some(LINKED_WITHIN))?;
    let sent: Vec<u8> = (0..=u8::MAX).cycle().take(STREAM_BYTES).collect();
    let mut received = vec![0; STREAM_BYTES];
    thread::scope(|scope| {
        let sending = scope.spawn(|| stream.write_all(&sent));
        taken.read_exact(&mut received).context("the stream stalls")?;
        sending.join().expect("a failure is an error")?;
        anyhow::Ok(())
    })?;
    ensure!(received == sent, "the stream has changed");
    receiver.set_read_timeout(Some(ANSWER_WITHIN))?;
    // One may be lost, as in any network.
    wait_for("a long datagram", LINKED_WITHIN, || {
        sender.send(&sent[..DATAGRAM_BYTES])?;
        let is_whole = receiver.recv(&mut received).is_ok_and(|length| length == DATAGRAM_BYTES);
        Ok(is_whole.then_some(()))
    })?;
    ensure!(received[..DATAGRAM_BYTES] == sent[..DATAGRAM_BYTES], "the datagram has changed");
    Ok(())
}

#[test]
fn machines_on_two_nodes_are_in_one_network() -> Result<()> {
    on_a_grid("links", Options::default(), &Steps::silent(), |grid| {
        let mut second = Second::start(grid)?;
        grid.agent.kill()?;
        grid.agent.is_dialled_at((OtherMachine::HERE, free_port()?).into(), None);
        grid.resume_agent()?;
        grid.farmer.deposits()?;

        deploy(&grid.user, grid, grid.node, "web", "10.20.1.0/24", "web")?;
        let of_db = deploy(&grid.user, grid, second.node.id, "db", "10.20.2.0/24", SECRET)?;
        let clash = deploy(&grid.user, grid, second.node.id, "clash", "10.20.1.128/25", "clash");
        let clash = format!("{:#}", clash.err().context("addresses of another contract were given")?);
        ensure!(clash.contains("10.20.1.0/24"), "{clash}");
        let web = Inside::machine(&grid.agent, "web")?;
        until_page(&web, "db", SECRET, LINKED_WITHIN)?;
        let db = Inside::machine(&second.node.agent, "db")?;
        until_page(&db, "web", "web", LINKED_WITHIN).context("the first node")?;
        large_packets_pass(&web, &db, "db").context("directly")?;
        large_packets_pass(&db, &web, "web").context("directly, back")?;
        strangers_reach_nothing(grid, &web.address_of("db")?)?;
        nothing_is_sent_in_clear(&mut second, &web).context("what passes the cable")?;

        let started = deploy(&grid.user, grid, second.node.id, "late", "10.20.3.0/24", "late")?;
        wait_for("the name of a machine that was started", NAMES_WITHIN, || Ok(web.page("late").ok()))?;
        grid.user.threebot(&["cancel", &started])?;
        wait_for("the name of a machine that is gone", LINKED_WITHIN, || {
            Ok(web.page("late").is_err().then_some(()))
        })?;

        a_peer_joins(grid, &second, &web).context("a peer of the owner's")?;

        second.machine.moves_to(MOVED_LIVE)?;
        until_page(&web, "db", SECRET, HEALED_WITHIN)
            .context("with another address of the second node while its agent runs")?;
        wait_for("the owner to reach the second node at another address", HEALED_WITHIN, || {
            let page = Forwarded::open(&grid.user, &of_db, "0:db:80").and_then(|port| port.page());
            Ok(page.is_ok_and(|page| page.starts_with(SECRET)).then_some(()))
        })?;
        second.moves(grid)?;
        until_page(&web, "db", SECRET, HEALED_WITHIN).context("with another address of the second node")?;

        second.machine.drops_udp_beside(second.node.peer.port())?;
        until_page(&web, "db", SECRET, LINKED_WITHIN).context("with WireGuard's packets dropped")?;
        until_page(&db, "web", "web", LINKED_WITHIN).context("with WireGuard's packets dropped, back")?;
        large_packets_pass(&web, &db, "db").context("with WireGuard's packets dropped")?;
        large_packets_pass(&db, &web, "web").context("with WireGuard's packets dropped, back")?;

        for agent in [&grid.agent, &second.node.agent] {
            kill_wireguard(agent)?;
        }
        until_page(&web, "db", SECRET, HEALED_WITHIN).context("with WireGuard killed")?;
        second.node.agent.kill()?;
        second.resume(grid)?;
        grid.agent.kill()?;
        grid.resume_agent()?;
        until_page(&web, "db", SECRET, HEALED_WITHIN).context("with both agents killed")
    })
}

/// A computer on the second node's machine joins the network over the first node by what `threebot net join` writes.
fn a_peer_joins(grid: &Grid, second: &Second, web: &Inside) -> Result<()> {
    let path = |name: &str| grid.run().folder().join(name).display().to_string();
    let (key, config) = (path("wireguard.key"), path("site.conf"));
    let join = ["net", "join", "site", "--private-key", &key, "--new-key", "--out", &config];
    ensure!(grid.user.threebot(&join).is_err(), "a peer that no contract has is let in");
    let secret = key_from_text(fs::read_to_string(&key)?.trim()).context("no key was made")?;
    let peer = json!([{ "name": "laptop", "public_key": key_text(&public_key(&secret)) }]);
    let network = json!({ "subnet": "10.20.0.0/16", "range": "10.20.4.0/24", "peers": peer });
    let data = json!({ "name": "data", "type": "volume", "data": { "size": 16 << 20 } });
    let deployment =
        json!({ "version": 1, "workloads": [{ "name": "site", "type": "network", "data": network }, data] });
    let file = path("joined.json");
    fs::write(&file, deployment.to_string())?;
    let node = grid.node.to_string();
    let deployed = grid.user.threebot(&["deploy", "-f", &file, "--node", &node])?;
    let joined = grid.user.threebot(&join)?;
    ensure!(joined["contract"] == deployed["contract"], "another contract: {joined}");
    let ip = text(&joined["ip"])?;
    second.machine.on(|| {
        let laptop = Joined::start(grid.run(), Path::new(&config), ip)?;
        ensure!(laptop.page("web")?.starts_with("web"), "another page");
        wait_for("the laptop's name", LINKED_WITHIN, || {
            Ok(web.address_of("laptop").is_ok_and(|found| found == ip).then_some(()))
        })
    })
}

/// A machine of another twin, in a network of the same name and subnet, on the first node, doesn't reach `db`.
fn strangers_reach_nothing(grid: &Grid, db: &str) -> Result<()> {
    deploy(&grid.farmer, grid, grid.node, "stranger", "10.20.1.0/24", "stranger")?;
    let stranger = Inside::machine(&grid.agent, "stranger")?;
    if let Ok(page) = stranger.page_at(db) {
        bail!("{db} is reached: {page}");
    }
    for name in ["db", "web"] {
        ensure!(stranger.page(name).is_err(), "{name} is known");
    }
    ensure!(stranger.page("stranger")?.starts_with("stranger"), "it reaches nothing at all");
    Ok(())
}

fn nothing_is_sent_in_clear(second: &mut Second, web: &Inside) -> Result<()> {
    let socket = UdpSocket::bind((OtherMachine::HERE, 0))?;
    socket.send_to(IN_CLEAR.as_bytes(), (OtherMachine::THERE, 9))?;
    for _ in 0..20 {
        ensure!(web.page("db")?.starts_with(SECRET), "another page");
    }
    let passed = second.machine.passed()?;
    let holds = |wanted: &str| passed.windows(wanted.len()).any(|window| window == wanted.as_bytes());
    ensure!(holds(IN_CLEAR), "what goes in clear wasn't captured");
    ensure!(!holds(SECRET), "the page passed in clear");
    Ok(())
}
