// SPDX-License-Identifier: Apache-2.0

//! Measures private networks and the web gateway on a grid of three nodes, each in a network of its own.

use anyhow::{Context, Result, bail, ensure};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Map, Value, json};
use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tfgrid_tests::{
    Inside, MIB, Process, Steps, ThreeNodes, asks_for_help, in_network_of, on_a_run_beside_others,
    site_network, small_volume, wait_for,
};

const HELP: &str = "\
Measures private networks and the web gateway on a grid of three nodes.

Prints a table for docs/BENCHMARKS.md: two machines on two nodes beside a plain
cable and bare WireGuard; when the name of a machine is known on another node;
sites that come and go; and requests through the gateway beside nginx, for which
it needs nginx and wrk: `make bench-network` has them.

Usage: bench-network [--names N] [--networks N]

  --names N      how long a change takes with N more names on the gateway
  --networks N   the same with N more private networks on its node";

const DOMAIN: &str = "gw1.example.org";
const MACHINES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 20, 1, 5), Ipv4Addr::new(10, 20, 2, 5)];
const BARE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 99, 0, 1), Ipv4Addr::new(10, 99, 0, 2)];
const PORT: u16 = 9000;
const WIREGUARD_PORT: u16 = 51_999;
/// What one transfer sends, and how often it is repeated.
const TRANSFER_BYTES: usize = 256 << 20;
const TRANSFERS: usize = 5;
const PIECE_BYTES: usize = 64 * 1024;
const ROUND_TRIPS: usize = 500;
/// Machines that start, and names that are published, one after another.
const NAMES: u8 = 5;
/// Contracts with so many sites each, which come and go.
const CONTRACTS: u8 = 4;
const SITES: usize = 25;
const LIMIT: Duration = Duration::from_secs(60);
/// Private networks of a contract.
const NETWORKS: usize = 4;
/// Limit for many names or networks to be there.
const CROWDED_WITHIN: Duration = Duration::from_secs(900);
/// Changes among them.
const CHANGES: usize = 5;
/// A server that both proxies send requests to, and nginx.
const BACKEND_PORT: u16 = 8081;
const NGINX_PORT: u16 = 8443;
/// Rounds of requests through each proxy.
const ROUNDS: usize = 3;

/// What is on the gateway's node beside what is measured.
struct Crowd {
    names: usize,
    networks: usize,
}

fn main() -> Result<()> {
    if asks_for_help(HELP) {
        return Ok(());
    }
    let crowd = Crowd::asked_for()?;
    for program in ["nginx", "wrk"] {
        let is_there = shell(&format!("command -v {program}")).is_ok();
        ensure!(is_there, "{program} is missing: `make bench-network` has it");
    }
    on_a_run_beside_others("bench-network", |run| {
        let steps = Steps::silent();
        let grid = ThreeNodes::start(&run, &steps)?;
        grid.makes_a_gateway(DOMAIN)?;
        println!("| | |\n|---|---|");
        private_network(&grid)?;
        names_of_machines(&grid)?;
        names(&grid)?;
        others_come_and_go(&grid)?;
        beside_nginx(&grid)?;
        in_a_crowd(&grid, &crowd)
    })
}

impl Crowd {
    fn asked_for() -> Result<Self> {
        let mut crowd = Self { names: 0, networks: 0 };
        let mut args = env::args().skip(1);
        while let Some(option) = args.next() {
            let count = args.next().and_then(|count| count.parse().ok());
            match (option.as_str(), count) {
                ("--names", Some(count)) => crowd.names = count,
                ("--networks", Some(count)) => crowd.networks = count,
                _ => bail!("{option:?} isn't understood: see bench-network --help"),
            }
        }
        Ok(crowd)
    }
}

fn deployment(part: u8, workloads: &[Value]) -> Value {
    let workloads = [&[site_network(part)][..], workloads].concat();
    json!({ "version": 1, "workloads": workloads })
}

fn machine(grid: &ThreeNodes<'_>, name: &str, ip: Ipv4Addr) -> Value {
    json!({ "name": name, "type": "zmachine", "data": {
        "image": grid.image, "cpu": 1, "memory": 64 * MIB, "rootfs": 64 * MIB, "stop_seconds": 0,
        "interfaces": [{ "network": "site", "ip": ip }],
        "entrypoint": ["/bin/sh", "-c", "echo hello >/index.html; exec httpd -f -p 80 -h /"],
    } })
}

fn private_network(grid: &ThreeNodes<'_>) -> Result<()> {
    for (host, part) in [1, 2].into_iter().enumerate() {
        let machine = machine(grid, "m", MACHINES[host]);
        grid.deploys(&grid.user, host, "machine", &deployment(part, &[machine]), &[])?;
    }
    let [one, two] =
        [Inside::machine(&grid.nodes[0].agent, "m")?, Inside::machine(&grid.nodes[1].agent, "m")?];
    wait_for("the machines to be linked", LIMIT, || {
        Ok(one.page_at(&MACHINES[1].to_string()).is_ok().then_some(()))
    })?;
    let bare = bare_wireguard(grid)?;
    let [from, to] = [&grid.world.hosts[0], &grid.world.hosts[1]];
    let ways = [
        Way::open("plain cable", from.pid(), to.pid(), to.ip)?,
        Way::open("bare WireGuard", from.pid(), to.pid(), BARE[1])?,
        Way::open("private network", one.pid()?, two.pid()?, MACHINES[1])?,
    ];
    let [plain, wireguard, private] = measure(ways)?;
    for Measured { what, mib, micros } in [&plain, &wireguard, &private] {
        println!("| {what} | {mib:.0} MiB/s, round trip p50 {micros:.0} µs |");
    }
    println!(
        "| private network of bare WireGuard, of the plain cable | {:.0} %, {:.0} % |",
        100.0 * private.mib / wireguard.mib,
        100.0 * private.mib / plain.mib
    );
    bare.into_iter().try_for_each(Process::stop)
}

/// A tunnel of `wireguard-go` between the first two hosts.
fn bare_wireguard(grid: &ThreeNodes<'_>) -> Result<Vec<Process>> {
    let devices = ["tfgridwg0", "tfgridwg1"];
    let key = |device: &str| grid.run.folder().join(format!("{device}.key")).display().to_string();
    let mut public = Vec::new();
    for device in devices {
        public.push(shell(&format!("umask 077; wg genkey | tee {} | wg pubkey", key(device)))?);
    }
    let mut processes = Vec::new();
    for (index, device) in devices.into_iter().enumerate() {
        let (host, other) = (&grid.world.hosts[index], 1 - index);
        let [own, peer] = [BARE[index], BARE[other]];
        let (endpoint, peer_key, key) = (grid.world.hosts[other].ip, &public[other], key(device));
        let process = host.on(|| {
            let process =
                Process::start(grid.run, device, Command::new("wireguard-go").args(["-f", device]))?;
            let exists = format!("ip link show dev {device}");
            wait_for("wireguard-go to make its interface", LIMIT, || Ok(shell(&exists).ok()))?;
            shell(&format!(
                "wg set {device} private-key {key} listen-port {WIREGUARD_PORT} peer {peer_key} \
                 endpoint {endpoint}:{WIREGUARD_PORT} allowed-ips {peer}/32
                 ip address add {own}/24 dev {device}
                 ip link set {device} mtu 1420 up"
            ))?;
            Ok(process)
        })?;
        processes.push(process);
    }
    Ok(processes)
}

fn shell(script: &str) -> Result<String> {
    let output = Command::new("sh").args(["-ec", script]).output()?;
    ensure!(output.status.success(), "`{script}`: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Medians.
struct Measured {
    what: &'static str,
    /// MiB a second.
    mib: f64,
    /// Of a round trip of one byte.
    micros: f64,
}

/// A TCP connection from one process's network to an address in another's.
struct Way {
    what: &'static str,
    stream: TcpStream,
    serving: JoinHandle<Result<()>>,
    mib: Vec<f64>,
    micros: Vec<f64>,
}

impl Way {
    fn open(what: &'static str, from: u32, to: u32, ip: Ipv4Addr) -> Result<Self> {
        let address = SocketAddr::from((ip, PORT));
        let over = || format!("over the {what}");
        let listener = in_network_of(to, || Ok(TcpListener::bind(address)?)).with_context(over)?;
        let serving = thread::spawn(move || serve(&listener));
        let stream = in_network_of(from, || Ok(TcpStream::connect_timeout(&address, LIMIT)?));
        let stream = stream.with_context(over)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { what, stream, serving, mib: Vec::new(), micros: Vec::new() })
    }

    fn round_trips(&mut self) -> Result<()> {
        let mut byte = [0];
        for _ in 0..ROUND_TRIPS {
            let begun = Instant::now();
            self.stream.write_all(&[1])?;
            self.stream.read_exact(&mut byte)?;
            self.micros.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        Ok(())
    }

    fn transfer(&mut self) -> Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        let begun = Instant::now();
        self.stream.write_all(&[0])?;
        for _ in 0..TRANSFER_BYTES / PIECE_BYTES {
            self.stream.read_exact(&mut piece)?;
        }
        self.mib.push((TRANSFER_BYTES >> 20) as f64 / begun.elapsed().as_secs_f64());
        Ok(())
    }

    fn end(self) -> Result<Measured> {
        drop(self.stream);
        self.serving.join().expect("a failure is an error")?;
        Ok(Measured { what: self.what, mib: median(self.mib), micros: median(self.micros) })
    }
}

/// Measures ways in turn: what else the machine does meanwhile slows all of them.
fn measure(mut ways: [Way; 3]) -> Result<[Measured; 3]> {
    for way in &mut ways {
        way.round_trips()?;
    }
    for _ in 0..TRANSFERS {
        for way in &mut ways {
            way.transfer()?;
        }
    }
    let [first, second, third] = ways.map(Way::end);
    Ok([first?, second?, third?])
}

/// Sends a byte back, or so much for a zero, to one client until it goes.
fn serve(listener: &TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let (mut byte, piece) = ([0], vec![0; PIECE_BYTES]);
    while stream.read(&mut byte)? == 1 {
        if byte[0] == 0 {
            for _ in 0..TRANSFER_BYTES / PIECE_BYTES {
                stream.write_all(&piece)?;
            }
        } else {
            stream.write_all(&byte)?;
        }
    }
    Ok(())
}

/// From a machine that runs, which its node reports next, to its name in a machine on another node.
fn names_of_machines(grid: &ThreeNodes<'_>) -> Result<()> {
    let asking = Inside::machine(&grid.nodes[0].agent, "m")?;
    let mut seconds = Vec::new();
    for part in (30..).take(NAMES.into()) {
        let name = format!("m{part}");
        let machine = machine(grid, &name, Ipv4Addr::new(10, 20, part, 5));
        grid.deploys(&grid.user, 1, &name, &deployment(part, &[machine]), &["--no-wait"])?;
        let runs = || Ok(Inside::machine(&grid.nodes[1].agent, &name).ok());
        wait_for("a machine to run", LIMIT, runs)?;
        let begun = Instant::now();
        wait_for("the name of a machine on another node", LIMIT, || Ok(asking.address_of(&name).ok()))?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    let most = seconds.iter().copied().fold(0.0, f64::max);
    println!(
        "| name of a machine on another node, {NAMES} times | p50 {:.1} s, max {most:.1} s |",
        median(seconds)
    );
    Ok(())
}

/// From a finalized contract to a page over HTTPS.
fn names(grid: &ThreeNodes<'_>) -> Result<()> {
    let mut seconds = Vec::new();
    for index in 0..NAMES {
        let name = format!("name-{index}");
        grid.asks(&grid.user, &["name", "reserve", &name])?;
        let site = json!({ "name": name, "type": "gateway-name-proxy", "data": {
            "name": name, "network": "site", "backends": [format!("http://{}:80", MACHINES[0])] } });
        let workloads = [site, small_volume()];
        grid.deploys(&grid.user, 2, &name, &deployment(10 + index, &workloads), &["--no-wait"])?;
        let begun = Instant::now();
        until_page(grid, &format!("https://{name}.{DOMAIN}/"))?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    println!("| finalized contract to a page over HTTPS, {NAMES} times | p50 {:.1} s |", median(seconds));
    Ok(())
}

fn until_page(grid: &ThreeNodes<'_>, url: &str) -> Result<()> {
    grid.on_laptop(|| wait_for(url, LIMIT, || Ok(grid.authority.page(url).is_ok().then_some(()))))
}

/// Waits until a site has a page, whoever has signed its certificate: the authority signs few for one owner.
fn until_published(grid: &ThreeNodes<'_>, host: &str, within: Duration) -> Result<()> {
    let ip = grid.world.hosts[2].ip;
    let ask = format!("curl -skf -m 5 -o /dev/null --resolve {host}:443:{ip} https://{host}/");
    grid.on_laptop(|| wait_for(host, within, || Ok(shell(&ask).ok())))?;
    Ok(())
}

/// Asks for a page while sites of other contracts come and go.
fn others_come_and_go(grid: &ThreeNodes<'_>) -> Result<()> {
    let url = format!("https://name-0.{DOMAIN}/");
    let is_done = AtomicBool::new(false);
    let (changed, (asked, failed)) = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            grid.on_laptop(|| {
                let (mut asked, mut failed) = (0, 0);
                while !is_done.load(Ordering::Relaxed) {
                    asked += 1;
                    if let Err(error) = grid.authority.page(&url) {
                        eprintln!("request {asked}: {error:#}");
                        failed += 1;
                    }
                }
                Ok((asked, failed))
            })
        });
        let changed = (0..CONTRACTS).try_for_each(|index| sites_come_and_go(grid, index));
        is_done.store(true, Ordering::Relaxed);
        let asked: Result<(usize, usize)> = asking.join().expect("a failure is an error");
        asked.map(|asked| (changed, asked))
    })?;
    changed?;
    println!("| {} names come and go | {failed} of {asked} requests fail |", usize::from(CONTRACTS) * SITES);
    Ok(())
}

fn sites_come_and_go(grid: &ThreeNodes<'_>, index: u8) -> Result<()> {
    let site = |site: usize| {
        json!({ "name": format!("s{site}"), "type": "gateway-fqdn-proxy", "data": {
            "fqdn": format!("s{site}.c{index}.example.net"), "network": "site",
            "backends": [format!("http://{}:80", MACHINES[0])] } })
    };
    let sites: Vec<Value> = (0..SITES).map(site).chain([small_volume()]).collect();
    let deployed = grid.deploys(&grid.user, 2, "sites", &deployment(20 + index, &sites), &["--no-wait"])?;
    until_published(grid, &format!("s{}.c{index}.example.net", SITES - 1), LIMIT)?;
    grid.asks(&grid.user, &["cancel", &deployed["contract"].to_string()])?;
    Ok(())
}

/// A server on the first host, for both proxies. It ends with this program.
fn backend(grid: &ThreeNodes<'_>) -> Result<SocketAddr> {
    let host = &grid.world.hosts[0];
    let address = SocketAddr::from((host.ip, BACKEND_PORT));
    let listener = host.on(|| Ok(TcpListener::bind(address)?))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    Ok(address)
}

/// Answers the requests of a connection, which have no bodies.
fn answer(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            answers.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")?;
        }
    }
    Ok(())
}

/// Requests through the gateway and through nginx to one server, in turn.
fn beside_nginx(grid: &ThreeNodes<'_>) -> Result<()> {
    let backend = backend(grid)?;
    grid.asks(&grid.user, &["name", "reserve", "bench"])?;
    let site = json!({ "name": "bench", "type": "gateway-name-proxy", "data": {
        "name": "bench", "backends": [format!("http://{backend}")],
        "limits": { "requests_per_second": 100_000 } } });
    let body = json!({ "version": 1, "workloads": [site, small_volume()] });
    grid.deploys(&grid.user, 2, "bench", &body, &["--traffic-gb", "2"])?;
    until_published(grid, &format!("bench.{DOMAIN}"), LIMIT)?;
    let nginx = nginx(grid, backend)?;
    let (mut through_gateway, mut through_nginx) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        through_gateway.push(requests_per_second(grid, 443)?);
        through_nginx.push(requests_per_second(grid, NGINX_PORT)?);
    }
    let (gateway, plain) = (median(through_gateway), median(through_nginx));
    println!(
        "| requests a second over TLS, gateway and nginx | {gateway:.0}, {plain:.0}: {:.0} % |",
        100.0 * gateway / plain
    );
    nginx.stop()
}

/// An nginx on the gateway's host that passes requests on to this server.
fn nginx(grid: &ThreeNodes<'_>, backend: SocketAddr) -> Result<Process> {
    let host = &grid.world.hosts[2];
    let address = SocketAddr::from((host.ip, NGINX_PORT));
    let folder = grid.run.subfolder("nginx")?;
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([format!("bench.{DOMAIN}")])?;
    let (certificate, key, config) =
        (folder.join("own.pem"), folder.join("own.key"), folder.join("nginx.conf"));
    fs::write(&certificate, cert.pem())?;
    fs::write(&key, signing_key.serialize_pem())?;
    let text = format!(
        "daemon off; user root; worker_processes auto; pid {folder}/pid; error_log stderr;
        events {{ worker_connections 4096; }}
        http {{
            access_log off;
            client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
            uwsgi_temp_path {folder}; scgi_temp_path {folder};
            upstream backend {{ server {backend}; keepalive 64; }}
            server {{
                listen {address} ssl;
                ssl_certificate {certificate};
                ssl_certificate_key {key};
                location / {{
                    proxy_pass http://backend;
                    proxy_http_version 1.1;
                    proxy_set_header Connection \"\";
                }}
            }}
        }}",
        folder = folder.display(),
        certificate = certificate.display(),
        key = key.display(),
    );
    fs::write(&config, text)?;
    let start =
        || Process::start(grid.run, "nginx", Command::new("nginx").args(["-e", "stderr", "-c"]).arg(&config));
    let process = host.on(start)?;
    grid.on_laptop(|| {
        wait_for("nginx", LIMIT, || Ok(TcpStream::connect_timeout(&address, LIMIT).ok()))?;
        Ok(())
    })?;
    Ok(process)
}

/// Over connections that are kept, at a port of the gateway's host.
fn requests_per_second(grid: &ThreeNodes<'_>, port: u16) -> Result<f64> {
    let ip = grid.world.hosts[2].ip;
    let load = format!("wrk -t 2 -c 32 -d 5s -H 'Host: bench.{DOMAIN}' https://{ip}:{port}/");
    let told = grid.on_laptop(|| shell(&load))?;
    ensure!(!told.contains("Non-2xx"), "requests are refused: {told}");
    let rate = told.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    Ok(rate.with_context(|| format!("`{load}` tells no rate: {told}"))?.trim().parse()?)
}

/// How long a change takes with many names and networks on the gateway's node.
fn in_a_crowd(grid: &ThreeNodes<'_>, Crowd { names, networks }: &Crowd) -> Result<()> {
    if names + networks == 0 {
        return Ok(());
    }
    let part = |workloads: Vec<Value>| json!({ "node": grid.nodes[2].id, "workloads": workloads });
    let mut parts = Map::new();
    for first in (0..*names).step_by(SITES) {
        let sites = (first..(first + SITES).min(*names)).map(|index| public_site(grid, &format!("s{index}")));
        parts.insert(format!("names-{first}"), part(sites.chain([small_volume()]).collect()));
    }
    let network = |index: usize| {
        let subnet = format!("10.{}.0.0/16", 100 + index % NETWORKS);
        json!({ "name": format!("n{index}"), "type": "network", "data": { "subnet": subnet } })
    };
    for first in (0..*networks).step_by(NETWORKS) {
        let its = (first..(first + NETWORKS).min(*networks)).map(network);
        parts.insert(format!("networks-{first}"), part(its.chain([small_volume()]).collect()));
    }
    let application = json!({ "version": 1, "name": "crowd", "parts": parts });
    let file = grid.file("crowd", &application)?;
    grid.asks(&grid.user, &["deploy", "-f", &file])?;
    if let Some(last) = names.checked_sub(1) {
        until_published(grid, &format!("s{last}.crowd.example.net"), CROWDED_WITHIN)?;
    }
    let mut seconds = Vec::new();
    for change in 0..CHANGES {
        let name = format!("late-{change}");
        let body = json!({ "version": 1, "workloads": [public_site(grid, &name), small_volume()] });
        grid.deploys(&grid.user, 2, &name, &body, &["--no-wait"])?;
        let begun = Instant::now();
        until_published(grid, &format!("{name}.crowd.example.net"), LIMIT)?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    println!(
        "| finalized contract to a page among {names} names and {networks} networks, {CHANGES} times | p50 {:.1} s |",
        median(seconds)
    );
    Ok(())
}

/// A site of a domain, whose backend is no machine of the grid's.
fn public_site(grid: &ThreeNodes<'_>, name: &str) -> Value {
    let backend = format!("http://{}:{BACKEND_PORT}", grid.world.hosts[0].ip);
    json!({ "name": name, "type": "gateway-fqdn-proxy", "data": {
        "fqdn": format!("{name}.crowd.example.net"), "backends": [backend] } })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
