// SPDX-License-Identifier: Apache-2.0
//! Public addresses of machines, in network namespaces: a node, a router beside it, and a client behind that.

use super::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv6Addr, Shutdown, SocketAddr},
    thread,
};
use tfgrid_client::public_ip::PublicAddress;
use zos_agent::drivers::{AddressDriver, AddressSpec, Process, TrafficCounter, address::PublicInterface};

const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
const CLIENT: &str = "12.1.1.2";
const CLIENT_V6: &str = "2a11::2";
const PORT: u16 = 80;
const BYTES: usize = 4_000_000;
/// What takes some seconds at 1 Mbit/s.
const SLOW_BYTES: usize = 600_000;

/// A network namespace. It ends with its process.
pub(super) struct Space(Child);

impl Space {
    pub(super) fn new() -> Self {
        let space = Self(Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap());
        let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
        wait_until("the namespace", || fs::read_link(space.path()).is_ok_and(|path| path != own));
        space.run("ip link set lo up");
        space
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    pub(super) fn command(&self, line: &str) -> Command {
        words(&format!("nsenter --net={} {line}", self.path()))
    }

    pub(super) fn run(&self, line: &str) {
        assert!(self.command(line).status().unwrap().success(), "{line}");
    }

    /// Does this in the namespace.
    pub(super) fn within<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        let path = self.path();
        let inside = move || {
            enter(&fs::File::open(path).unwrap());
            act()
        };
        thread::spawn(inside).join().unwrap()
    }

    /// Answers connections at this port with the caller's address, a line break and so many bytes.
    fn serve(&self, port: u16, bytes: usize) {
        let listener = self.within(move || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let from = stream.peer_addr().unwrap().ip().to_canonical();
                let answer = [format!("{from}\n").into_bytes(), vec![b'x'; bytes]].concat();
                // A caller may go.
                let _ = stream.write_all(&answer).and_then(|()| stream.shutdown(Shutdown::Write));
            }
        });
    }

    /// Who the server at this address says that calls, and how many bytes follow.
    fn fetch(&self, to: &str, port: u16) -> std::io::Result<(String, usize)> {
        let to = SocketAddr::new(to.parse().unwrap(), port);
        self.within(move || {
            let mut stream = TcpStream::connect_timeout(&to, CONNECTED_WITHIN)?;
            stream.set_read_timeout(Some(LIMIT))?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            let line = answer.iter().position(|byte| *byte == b'\n').unwrap();
            Ok((String::from_utf8_lossy(&answer[..line]).into_owned(), answer.len() - line - 1))
        })
    }

    fn pings(&self, words: &str) -> bool {
        let mut ping = self.command(&format!("busybox ping -q -c 1 -W 2 {words}"));
        ping.stdout(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The node, in whose namespace this thread is from now on.
struct World {
    addresses: PublicAddresses,
    node: Space,
    router: Space,
    client: Space,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let (node, router, client) = (Space::new(), Space::new(), Space::new());
        let [to_router, to_client] = [&router, &client].map(|space| space.0.id());
        node.run(&format!("ip link add up0 type veth peer name r0 netns {to_router}"));
        router.run(&format!("ip link add c0 type veth peer name eth0 netns {to_client}"));
        for (space, dev, v4, v6) in [
            (&node, "up0", "11.1.1.1/24", "2a10::1/64"),
            (&router, "r0", "11.1.1.254/24", "2a10::fe/64"),
            (&router, "c0", "12.1.1.1/24", "2a11::1/64"),
            (&client, "eth0", "12.1.1.2/24", "2a11::2/64"),
        ] {
            space.run(&format!("ip addr add {v4} dev {dev}"));
            space.run(&format!("ip -6 addr add {v6} dev {dev} nodad"));
            space.run(&format!("ip link set {dev} up"));
        }
        for (space, v4, v6) in [(&node, "11.1.1.254", "2a10::fe"), (&client, "12.1.1.1", "2a11::1")] {
            space.run(&format!("ip route add default via {v4}"));
            space.run(&format!("ip -6 route add default via {v6}"));
        }
        router.within(|| {
            for place in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                fs::write(format!("/proc/sys/net/{place}"), "1").unwrap();
            }
        });
        enter(&fs::File::open(node.path()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let addresses = addresses(&folder);
        Self { addresses, node, router, client, folder }
    }

    /// A machine with these addresses, whose server has this port open.
    async fn machine(&self, contract: ContractId, ips: &[&str]) -> Machine {
        let machine = Machine { id: id(contract, "web"), space: Space::new() };
        machine.space.serve(PORT, BYTES);
        machine.space.serve(PORT + 1, 0);
        let machines = BTreeMap::from([("web".into(), spec(ips, &["80/tcp"]))]);
        self.addresses.set(contract, &machines).await.unwrap();
        self.addresses.attach(&machine.id, &machine.process()).await.unwrap();
        machine
    }

    /// What the kernel has of public addresses.
    fn traces(&self) -> Vec<String> {
        let commands = [
            "ip -4 route show type blackhole",
            "ip -6 route show type blackhole",
            "ip neigh show proxy",
            "ip -4 rule show pref 3001",
            "ip -o link show type veth",
            "nft list tables",
        ];
        let lines = commands.map(|line| stdout(&mut self.node.command(line)));
        let lines = lines.iter().flat_map(|text| text.lines().map(ToOwned::to_owned));
        lines.filter(|line| !line.contains("up0@")).collect()
    }

    /// Bytes that the router has counted.
    fn counted(&self, counter: &str) -> u64 {
        let text = stdout(&mut self.router.command(&format!("nft list counter inet test {counter}")));
        let bytes = text.split("bytes ").nth(1).unwrap();
        bytes.split_whitespace().next().unwrap().parse().unwrap()
    }
}

struct Machine {
    id: WorkloadId,
    space: Space,
}

impl Machine {
    fn process(&self) -> Process {
        Process { pid: self.space.0.id().into(), instance: "run-1".into() }
    }
}

fn addresses(folder: &TempDir) -> PublicAddresses {
    let store = Store::open(folder.path()).unwrap();
    PublicAddresses::new(&[0xab; 32], store, Some(PublicInterface::Default), Vec::new(), false).unwrap()
}

fn spec(ips: &[&str], ports: &[&str]) -> AddressSpec {
    let gateway = |ip: IpAddr| if ip.is_ipv4() { "11.1.1.254" } else { "2a10::fe" };
    let address = |ip: &&str| {
        let ip = ip.parse().unwrap();
        PublicAddress { ip, gateway: gateway(ip).parse().unwrap() }
    };
    AddressSpec {
        addresses: ips.iter().map(address).collect(),
        ports: ports.iter().map(|ports| ports.parse().unwrap()).collect(),
    }
}

#[tokio::test]
#[ignore = "needs root: run by `make test`"]
async fn a_port_is_open_to_the_network_that_it_names() {
    let world = World::new();
    let web = world.machine(7, &["11.1.1.9", "2a10::9"]).await;
    for (networks, v4, v6) in [
        (["12.1.1.0/24", "2a11::/64"], true, true),
        (["12.1.2.0/24", "2a11::2"], false, true),
        (["12.1.1.2", "2a12::/32"], true, false),
    ] {
        let ports = networks.map(|network| format!("80/tcp from {network}"));
        let machines = BTreeMap::from([(
            "web".into(),
            spec(&["11.1.1.9", "2a10::9"], &ports.each_ref().map(String::as_str)),
        )]);
        world.addresses.set(web.id.contract, &machines).await.unwrap();
        let is_reached = |ip| (0..3).any(|_| world.client.fetch(ip, PORT).is_ok());
        assert_eq!(is_reached("11.1.1.9"), v4, "{networks:?}");
        assert_eq!(is_reached("2a10::9"), v6, "{networks:?}");
    }
}

#[tokio::test]
#[ignore = "needs root: run by `make test`"]
async fn a_machine_is_reached_at_open_ports_and_seen_as_itself() {
    let world = World::new();
    let web = world.machine(7, &["11.1.1.9", "2a10::9"]).await;
    let db = world.machine(8, &["11.1.1.10", "2a10::a"]).await;
    world.client.serve(PORT, 0);
    for (ip, other, client) in [("11.1.1.9", "11.1.1.10", CLIENT), ("2a10::9", "2a10::a", CLIENT_V6)] {
        let answer = world.client.fetch(ip, PORT).unwrap();
        assert_eq!(answer, (client.to_owned(), BYTES));
        assert!(world.client.fetch(ip, PORT + 1).is_err(), "{ip} is open");
        assert!(world.client.pings(ip), "{ip}");
        assert_eq!(web.space.fetch(client, PORT).unwrap().0, ip);
        // The node, and another machine on it.
        assert_eq!(db.space.fetch(ip, PORT).unwrap().0, other);
        assert!(db.space.fetch(ip, PORT + 1).is_err(), "{ip} is open to its neighbour");
        assert_eq!(world.node.fetch(ip, PORT).unwrap().1, BYTES);
        assert!(world.node.fetch(ip, PORT + 1).is_err(), "{ip} is open to the node's programs");
    }
    let service = world.node.within(|| TcpListener::bind(("0.0.0.0", 9_000)).unwrap());
    assert!(web.space.fetch("11.1.1.1", 9_000).is_err(), "the node's own services are reached");
    drop(service);
}

#[tokio::test]
#[ignore = "needs root: run by `make test`"]
async fn nobody_takes_the_address_of_another_machine() {
    let world = World::new();
    let web = world.machine(7, &["11.1.1.9", "2a10::9"]).await;
    let db = world.machine(8, &["11.1.1.10", "2a10::a"]).await;
    for client in [CLIENT, CLIENT_V6] {
        wait_until("the client", || web.space.pings(client));
    }
    web.space.run("ip addr add 11.1.1.10/32 dev pub0");
    web.space.run("ip -6 addr add 2a10::a/128 dev pub0 nodad");
    // It tells everyone that the address is its own.
    web.space.run("busybox arping -q -U -c 2 -I pub0 11.1.1.10");
    world.client.serve(PORT, 0);
    for (ip, client) in [("11.1.1.10", CLIENT), ("2a10::a", CLIENT_V6)] {
        assert!(!web.space.pings(&format!("-I {ip} {client}")), "it sends as {ip}");
        assert_eq!(db.space.fetch(client, PORT).unwrap().0, ip);
    }
    // Nor does who has no address at all.
    world.client.run("ip addr add 11.1.1.10/32 dev lo");
    assert!(
        !world.client.pings("-I 11.1.1.10 11.1.1.9"),
        "the router's side sends as a machine of this node"
    );
}

#[tokio::test]
#[ignore = "needs root: run by `make test`"]
async fn traffic_is_counted_as_a_router_counts_it() {
    let world = World::new();
    let web = world.machine(7, &["11.1.1.9"]).await;
    world.client.serve(PORT, BYTES);
    let rules = "table inet test {\ncounter to {\n}\ncounter from {\n}\nchain forward {\n\
                 type filter hook forward priority 0;\nip daddr 11.1.1.9 counter name to\n\
                 ip saddr 11.1.1.9 counter name from\n}\n}\n";
    let mut nft = world.router.command("nft -f -").stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success());
    world.client.fetch("11.1.1.9", PORT).unwrap();
    web.space.fetch(CLIENT, PORT).unwrap();
    let counted = world.addresses.counted().await.unwrap()[&7];
    for (ours, theirs) in
        [(counted.received_bytes, world.counted("to")), (counted.sent_bytes, world.counted("from"))]
    {
        assert!(theirs > BYTES as u64 && ours.abs_diff(theirs) * 100 <= theirs, "{ours}, {theirs}");
    }

    // Other machines' changes reset nothing, and closed ports cost nothing.
    world.machine(8, &["11.1.1.10"]).await;
    let before = world.addresses.counted().await.unwrap()[&7];
    assert!(before.received_bytes >= counted.received_bytes && before.sent_bytes >= counted.sent_bytes);
    world.client.fetch("11.1.1.9", PORT + 1).unwrap_err();
    assert_eq!(world.addresses.counted().await.unwrap()[&7], before);
}

#[tokio::test]
#[ignore = "needs root: run by `make test`"]
async fn a_machine_without_traffic_has_a_megabit_both_ways() {
    let world = World::new();
    let web = world.machine(7, &["11.1.1.9"]).await;
    web.space.serve(PORT + 2, SLOW_BYTES);
    let machines = BTreeMap::from([("web".into(), spec(&["11.1.1.9"], &["82/tcp"]))]);
    world.addresses.set(7, &machines).await.unwrap();
    world.client.serve(PORT, SLOW_BYTES);
    world.addresses.slow_down(&BTreeSet::from([7])).await.unwrap();
    // Its next run is slow, too.
    world.addresses.attach(&web.id, &web.process()).await.unwrap();
    let mbit = |begun: Instant, (_, bytes): (String, usize)| {
        assert_eq!(bytes, SLOW_BYTES);
        bytes as f64 * 8.0 / 1e6 / begun.elapsed().as_secs_f64()
    };
    for measured in [
        {
            let begun = Instant::now();
            mbit(begun, world.client.fetch("11.1.1.9", PORT + 2).unwrap())
        },
        {
            let begun = Instant::now();
            mbit(begun, web.space.fetch(CLIENT, PORT).unwrap())
        },
    ] {
        assert!((0.8..=1.2).contains(&measured), "{measured} Mbit/s");
    }
    world.addresses.slow_down(&BTreeSet::new()).await.unwrap();
    let begun = Instant::now();
    assert!(mbit(begun, world.client.fetch("11.1.1.9", PORT + 2).unwrap()) > 10.0);
}

#[tokio::test]
#[ignore = "needs root: run by `make test`"]
async fn what_somebody_removes_of_an_address_comes_back() {
    let world = World::new();
    let web = world.machine(7, &["11.1.1.9", "2a10::9"]).await;
    let whole = world.traces();
    for breaking in [
        "nft flush ruleset",
        "ip route delete blackhole 11.1.1.9 metric 4096",
        "ip neigh delete proxy 11.1.1.9 dev up0",
        "ip -6 neigh delete proxy 2a10::9 dev up0",
    ] {
        world.node.run(breaking);
        assert_ne!(world.traces(), whole, "{breaking}");
        world.addresses.observe().await.unwrap();
        assert_eq!(world.traces(), whole, "{breaking}");
    }
    world.node.run("ip link set up0 down");
    world.node.run("ip link set up0 up");
    world.node.run("ip route add default via 11.1.1.254");
    world.addresses.observe().await.unwrap();
    assert_eq!(world.client.fetch("11.1.1.9", PORT).unwrap().0, CLIENT);

    // An agent that was killed meanwhile finds the machine connected.
    let agent = addresses(&world.folder);
    let observed = agent.observe().await.unwrap();
    assert_eq!(observed.machines[&web.id].ips().len(), 2);
    assert_eq!((observed.links.len(), &*observed.links[0].instance), (1, "run-1"));
}

#[tokio::test]
#[ignore = "needs root: run by `make test`"]
async fn an_address_moves_and_a_purge_leaves_nothing() {
    let world = World::new();
    let before = world.traces();
    let web = world.machine(7, &["11.1.1.9", "2a10::9"]).await;
    // Another address, then none: the first one is dropped at once.
    let machines = BTreeMap::from([("web".into(), spec(&["11.1.1.10"], &["80/tcp"]))]);
    world.addresses.set(7, &machines).await.unwrap();
    assert!(world.addresses.observe().await.unwrap().links.is_empty());
    assert!(world.client.fetch("11.1.1.9", PORT).is_err());
    world.addresses.attach(&web.id, &web.process()).await.unwrap();
    assert_eq!(world.client.fetch("11.1.1.10", PORT).unwrap().0, CLIENT);
    world.addresses.set(7, &BTreeMap::new()).await.unwrap();
    assert_eq!(world.traces(), before);
    assert!(world.client.fetch("11.1.1.10", PORT).is_err());

    let web = world.machine(7, &["11.1.1.9", "2a10::9"]).await;
    assert_eq!(addresses(&world.folder).purge().await.unwrap(), 2);
    assert_eq!(world.traces(), before);
    drop(web);
}

#[tokio::test]
#[ignore = "needs root: run by `make test`"]
async fn a_public_interface_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let interface = Some(PublicInterface::Named("zt-none".into()));
    let agent = PublicAddresses::new(&[0xab; 32], store, interface, Vec::new(), false).unwrap();
    let error = format!("{:#}", agent.ensure_ready().await.unwrap_err());
    assert!(error.starts_with("can't serve public addresses by the interface zt-none: "), "{error}");
}

#[tokio::test]
#[ignore = "needs root: run by `make test`"]
async fn a_public_interface_of_its_own_has_its_own_gateway() {
    let world = World::new();
    // The default route leads elsewhere.
    world.node.run("ip link add lan0 type veth peer name lan1");
    world.node.run("ip addr add 192.168.7.2/24 dev lan0");
    world.node.run("ip link set lan0 up");
    world.node.run("ip link set lan1 up");
    world.node.run("ip route replace default via 192.168.7.1 dev lan0");
    let store = Store::open(world.folder.path()).unwrap();
    let interface = Some(PublicInterface::Named("up0".into()));
    let agent = PublicAddresses::new(&[0xab; 32], store, interface, Vec::new(), false).unwrap();
    let world = World { addresses: agent, ..world };
    let web = world.machine(7, &["11.1.1.9"]).await;
    assert_eq!(world.client.fetch("11.1.1.9", PORT).unwrap().0, CLIENT);
    world.client.serve(PORT, 0);
    assert_eq!(web.space.fetch(CLIENT, PORT).unwrap().0, "11.1.1.9");
    world.addresses.purge().await.unwrap();
    assert!(!stdout(&mut world.node.command("ip rule show")).contains("11.1.1.9"));
}
