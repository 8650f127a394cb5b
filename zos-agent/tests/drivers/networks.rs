// SPDX-License-Identifier: Apache-2.0
//! Private networks of two twins, with the same addresses, on one node.

use super::*;
use std::{collections::BTreeMap, net::Ipv4Addr, sync::mpsc};
use zos_agent::drivers::{
    Attachment, InterfaceSpec, NetworkDriver, NetworkId, NetworkSpec, TrafficCounter,
    network::PrivateNetworks,
};

/// A change of names is known in every machine within so long.
const NAMES_WITHIN: Duration = Duration::from_secs(5);

/// A node with private networks. Everything of them is removed on drop.
pub struct Node {
    pub networks: Arc<PrivateNetworks>,
    resolver: JoinHandle<()>,
    image: String,
    _registry: Registry,
    _firewall: Firewall,
    pub host: Host,
}

impl Node {
    pub async fn new() -> Self {
        let host = Host::new().await;
        let registry = Registry::start(&host);
        let _firewall = Firewall::install().await;
        let networks = Arc::new(private_networks(&host));
        let running = networks.clone();
        let log = registry.folder.path().to_path_buf();
        let resolver = tokio::spawn(async move { running.run(&log).await });
        Self { networks, resolver, image: registry.image.clone(), _registry: registry, _firewall, host }
    }

    /// A contract's part of the network `site` of a twin.
    pub async fn network(&self, twin: u32, range: &str) -> NetworkSpec {
        let spec = network(contract(), twin, "site", range);
        self.networks.ensure(&spec).await.unwrap();
        spec
    }

    /// A machine that serves pages, with this address in each of the networks.
    pub async fn machine(&self, name: &str, networks: &[(&NetworkSpec, u8)], internet: bool) -> MachineSpec {
        let mut spec =
            machine(networks[0].0.contract, &self.image, &["/bin/httpd", "-f", "-p", "80", "-h", "/etc"]);
        spec.id.name = name.into();
        spec.container.mounts.clear();
        let interface = |(network, last): &(&NetworkSpec, u8)| {
            let [a, b, c, _] = network.gateway.octets();
            InterfaceSpec {
                network: network.id.clone(),
                subnet: ipnet::Ipv4Net::new(network.gateway, 16).unwrap().trunc(),
                range: network.range,
                gateway: network.gateway,
                ip: Ipv4Addr::new(a, b, c, *last),
            }
        };
        let interfaces: Vec<_> = networks.iter().map(interface).collect();
        spec.attachment = Attachment { interfaces, internet };
        self.host.machines.fetch_image(&spec, fetched(ROOM)).await.unwrap();
        self.host.machines.create(&spec, &[]).await.unwrap();
        self.start(&spec).await;
        spec
    }

    async fn start(&self, spec: &MachineSpec) {
        self.host.machines.start(&spec.id).await.unwrap();
        let process = self.host.machines.process(&spec.id).await.unwrap().unwrap();
        self.networks.attach(spec, &process).await.unwrap();
        self.networks.observe().await.unwrap();
    }

    /// The page of a machine with its host name, as another sees it. The image's `wget` can't resolve names.
    pub fn page(&self, from: &MachineSpec, host: &str) -> Result<String, String> {
        let ip = match host.parse::<Ipv4Addr>() {
            Ok(_) => host.to_owned(),
            Err(_) => {
                // It fails where one of several search domains has no such name.
                let answer = self.host.exec(from, &format!("nslookup -type=a {host}"));
                let answer = answer.unwrap_or_else(|answer| answer);
                let address = answer.lines().filter_map(|line| line.strip_prefix("Address: ")).next_back();
                address.ok_or_else(|| answer.clone())?.to_owned()
            }
        };
        let ask = format!("printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {ip} 80");
        let page = self.host.exec(from, &ask)?;
        page.lines().next_back().map(str::to_owned).ok_or(page)
    }

    pub fn until_page(&self, from: &MachineSpec, url: &str, page: &str) {
        let begun = Instant::now();
        loop {
            match self.page(from, url) {
                Ok(found) if found == page => return,
                other => assert!(begun.elapsed() < LIMIT, "{url}: {other:?}"),
            }
        }
    }

    fn reaches(&self, from: &MachineSpec, to: &str, port: u16) -> bool {
        self.host.exec(from, &format!("nc -w 2 {to} {port} </dev/null")).is_ok()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.resolver.abort();
        let networks = private_networks(&self.host);
        let purge = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(networks.purge())
        };
        // A runtime can't be started within another.
        let purged = std::thread::spawn(purge).join();
        let _ = fs::remove_dir(format!("/run/zos/{}", hex::encode(&self.host.node_key[..4])));
        if !std::thread::panicking() {
            purged.unwrap().unwrap();
            assert_eq!(namespaces(&self.host), [""; 0]);
        }
    }
}

fn private_networks(host: &Host) -> PrivateNetworks {
    let name_servers = vec![Internet::ADDRESS.parse().unwrap()];
    PrivateNetworks::new(&host.node_key, name_servers, env!("CARGO_BIN_EXE_zos-agent").into())
}

pub fn network(contract: ContractId, twin: u32, name: &str, range: &str) -> NetworkSpec {
    let range: ipnet::Ipv4Net = range.parse().unwrap();
    NetworkSpec {
        id: NetworkId { twin, name: name.into() },
        contract,
        pointer: "/workloads/0".into(),
        range,
        gateway: range.hosts().next().unwrap(),
        subnet: range,
        peers: BTreeMap::new(),
    }
}

/// Names of the node's network namespaces.
fn namespaces(host: &Host) -> Vec<String> {
    let prefix = format!("zos-{}-", hex::encode(&host.node_key[..4]));
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(&prefix))
        .collect()
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn machines_of_a_network_find_each_other_by_name() {
    let node = Node::new().await;
    let (front, back) = (node.network(5, "10.20.1.0/24").await, node.network(5, "10.20.2.0/24").await);
    let web = node.machine("web", &[(&front, 2)], true).await;
    let db = node.machine("db", &[(&back, 9)], false).await;
    node.until_page(&web, "db", "db");
    node.until_page(&web, "db.site.internal", "db");
    node.until_page(&web, "10.20.2.9", "db");
    node.until_page(&db, "web", "web");
    node.until_page(&db, "db.site.internal", "db");
    assert!(node.page(&web, "other.site.internal").is_err());

    // A machine that stops has no name.
    node.host.machines.stop(&db.id).await.unwrap();
    node.networks.observe().await.unwrap();
    let begun = Instant::now();
    while node.host.exec(&web, "nslookup db.site.internal").is_ok() {
        assert!(begun.elapsed() < NAMES_WITHIN);
    }
    node.start(&db).await;
    node.until_page(&web, "db", "db");
}

/// The host's routes to private networks.
fn routes_to_links() -> Vec<String> {
    let routes = stdout(Command::new("ip").args(["-4", "route", "show"]));
    routes.lines().filter(|line| line.contains("dev zb-")).map(ToOwned::to_owned).collect()
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn networks_of_two_twins_with_the_same_addresses_never_meet() {
    let before = routes_to_links();
    let node = Node::new().await;
    let service = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = service.local_addr().unwrap().port();
    let (one, two) = (node.network(5, "10.20.1.0/24").await, node.network(6, "10.20.1.0/24").await);
    let web = node.machine("web", &[(&one, 2)], true).await;
    let db = node.machine("db", &[(&one, 3)], true).await;
    let other = node.machine("other", &[(&two, 2)], true).await;
    node.until_page(&db, "10.20.1.2", "web");
    node.until_page(&other, "10.20.1.2", "other");
    node.until_page(&other, "other", "other");
    assert!(node.page(&other, "10.20.1.3").is_err(), "another twin's machine is reached");
    assert!(node.page(&other, "db.site.internal").is_err(), "another twin's name is known");

    // Nor do they by their links to the host, nor machines that are in no network.
    let alone = node.host.started(&node.image, &["/bin/httpd", "-f", "-p", "80", "-h", "/etc"]).await;
    let MachineState::Running { ip: Some(alone_ip), .. } = node.host.until(&alone.id, is_running).await
    else {
        panic!()
    };
    assert!(get(alone_ip, "hostname").starts_with("web"), "the test's own server fails");
    let mut routes = routes_to_links();
    routes.retain(|route| !before.contains(route));
    assert_eq!(routes.len(), 2, "{routes:?}");
    let links = routes.iter().map(|route| route.split(' ').next().unwrap());
    for to in links.chain([&*alone_ip.to_string()]) {
        for from in [&web, &other] {
            assert!(!node.reaches(from, to, 80), "{to} is reached");
        }
        assert!(
            to == alone_ip.to_string() || !node.reaches(&alone, to, 80),
            "a network is reached from outside"
        );
    }
    assert!(!node.reaches(&web, "169.254.1.1", port), "the host is reached");
    assert!(!node.reaches(&web, "10.20.1.1", port), "the host is reached");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn only_machines_with_internet_reach_it() {
    let node = Node::new().await;
    let internet = Internet::with_servers(&[80]);
    let _name_server = name_server(internet.processes[0].id());
    let site = node.network(5, "10.20.1.0/24").await;
    let web = node.machine("web", &[(&site, 2)], true).await;
    let db = node.machine("db", &[(&site, 3)], false).await;
    wait_until("the internet to be reached", || node.reaches(&web, Internet::ADDRESS, 80));
    assert!(!node.reaches(&db, Internet::ADDRESS, 80));
    node.until_page(&db, "web", "web");

    wait_until("a name of the internet", || {
        node.host.exec(&web, "nslookup example.org").is_ok_and(|answer| answer.contains(Internet::ADDRESS))
    });
    assert!(
        !node.host.exec(&db, "nslookup example.org").unwrap_or_else(|text| text).contains(Internet::ADDRESS)
    );
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_network_has_64_connections_with_its_name_server() {
    let node = Node::new().await;
    let site = node.network(5, "10.20.1.0/24").await;
    let web = node.machine("web", &[(&site, 2)], true).await;
    let other = node.machine("web", &[(&node.network(6, "10.20.1.0/24").await, 2)], true).await;
    for machine in [&web, &other] {
        node.until_page(machine, "web", "web");
    }
    let pid = node.host.machines.process(&web.id).await.unwrap().unwrap().pid;
    let connections = move || {
        enter(&fs::File::open(format!("/proc/{pid}/ns/net")).unwrap());
        let connect = |_| TcpStream::connect((Ipv4Addr::new(10, 20, 1, 1), 53));
        (0..65).map(connect).collect::<Vec<_>>()
    };
    let connections = std::thread::spawn(connections).join().unwrap();
    assert!(connections[..64].iter().all(Result::is_ok), "{connections:?}");
    assert!(connections[64].is_err());
    assert!(node.reaches(&other, "10.20.1.1", 53), "another network's connections count");
    node.until_page(&web, "web", "web");
}

/// A name server on the internet, which is where this process is, that answers every question with its address, until
/// what is returned is dropped.
fn name_server(process: u32) -> mpsc::Sender<()> {
    const POLL: Duration = Duration::from_millis(100);
    let address: Ipv4Addr = Internet::ADDRESS.parse().unwrap();
    let (running, stopped) = mpsc::channel();
    std::thread::spawn(move || {
        enter(&fs::File::open(format!("/proc/{process}/ns/net")).unwrap());
        let socket = std::net::UdpSocket::bind((address, 53)).unwrap();
        socket.set_read_timeout(Some(POLL)).unwrap();
        let mut question = [0; 512];
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
            let name = question[12..length].iter().position(|byte| *byte == 0).unwrap();
            let question = &question[..12 + name + 5];
            let head = [&question[..2], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], &question[12..]].concat();
            let record = [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4][..], &address.octets()].concat();
            socket.send_to(&[head, record].concat(), from).unwrap();
        }
    });
    running
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn what_somebody_removes_of_a_network_comes_back() {
    let node = Node::new().await;
    let site = node.network(5, "10.20.1.0/24").await;
    let web = node.machine("web", &[(&site, 2)], true).await;
    let db = node.machine("db", &[(&site, 3)], true).await;
    node.until_page(&db, "web", "web");
    let namespace = namespaces(&node.host).pop().unwrap();
    let link = {
        let routes = stdout(Command::new("ip").args(["-4", "route", "show"]));
        routes.split(' ').find(|word| word.starts_with("zb-")).unwrap().to_owned()
    };
    for breaking in [
        format!("nsenter --net=/run/netns/{namespace} nft flush ruleset"),
        format!("ip link delete {link}"),
        format!("ip netns delete {namespace}"),
    ] {
        assert!(words(&breaking).status().unwrap().success(), "{breaking}");
        let observed = node.networks.observe().await.unwrap();
        let is_whole = observed.networks.iter().any(|network| network.range == Some(site.range));
        assert!(!is_whole, "{breaking} isn't noticed");
        node.networks.ensure(&site).await.unwrap();
        for machine in [&web, &db] {
            let process = node.host.machines.process(&machine.id).await.unwrap().unwrap();
            let is_connected = |port: &zos_agent::drivers::ObservedPort| {
                port.machine == machine.id && port.instance == process.instance
            };
            if !node.networks.observe().await.unwrap().ports.iter().any(is_connected) {
                // The kernel removes the links of a namespace some time after its name.
                let attach = async {
                    while node.networks.attach(machine, &process).await.is_err() {
                        sleep(Duration::from_millis(100)).await;
                    }
                };
                timeout(LIMIT, attach).await.unwrap();
            }
        }
        let observed = node.networks.observe().await.unwrap();
        assert_eq!(observed.networks[0].range, Some(site.range), "{breaking}");
        node.until_page(&db, "web", "web");
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_download_in_a_network_counts_as_its_interface_has_it() {
    const BYTES: u64 = 8_000_000;
    const ETHERNET_HEAD: u64 = 14;
    let node = Node::new().await;
    let site = node.network(5, "10.20.1.0/24").await;
    let other = node.network(5, "10.20.2.0/24").await;
    let web = node.machine("web", &[(&site, 2)], true).await;
    let db = node.machine("db", &[(&other, 2)], true).await;
    node.until_page(&db, "web", "web");
    node.host.exec(&web, &format!("head -c {BYTES} /dev/zero >/etc/zeros")).unwrap();
    let received = || {
        let shown = node.host.exec(&db, "cat /proc/net/dev").unwrap();
        let eth0 = shown.lines().find_map(|line| line.trim().strip_prefix("eth0:")).unwrap();
        let mut numbers = eth0.split_whitespace().map(|number| number.parse::<u64>().unwrap());
        let (bytes, packets) = (numbers.next().unwrap(), numbers.next().unwrap());
        bytes - ETHERNET_HEAD * packets
    };
    let (before, seen_before) = (node.networks.counted().await.unwrap(), received());
    let ask = r"printf 'GET /zeros HTTP/1.0\r\n\r\n' | nc -w 9 10.20.1.2 80 | wc -c";
    let got: u64 = node.host.exec(&db, ask).unwrap().trim().parse().unwrap();
    assert!(got > BYTES, "{got}");
    let (after, seen) = (node.networks.counted().await.unwrap(), received() - seen_before);
    let counted = after[&other.contract].received_bytes - before[&other.contract].received_bytes;
    assert!(seen > BYTES && counted.abs_diff(seen) * 100 <= seen, "{counted} counted, {seen} seen");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn what_contracts_have_from_each_other_is_counted() {
    let node = Node::new().await;
    let site = node.network(5, "10.20.1.0/24").await;
    let other = node.network(5, "10.20.2.0/24").await;
    let _web = node.machine("web", &[(&site, 2)], true).await;
    let db = node.machine("db", &[(&other, 2)], true).await;
    let neighbour = node.machine("neighbour", &[(&site, 3)], true).await;
    node.until_page(&db, "web", "web");
    node.until_page(&neighbour, "web", "web");
    let before = node.networks.counted().await.unwrap();
    let (there, here) = (before[&site.contract], before[&other.contract]);
    assert_eq!((there.received_bytes, there.sent_bytes), (here.sent_bytes, here.received_bytes));
    assert!(there.sent_bytes > 100, "{before:?}");
    node.until_page(&neighbour, "web", "web");
    node.networks.ensure(&site).await.unwrap();
    assert_eq!(node.networks.counted().await.unwrap(), before, "a neighbour's page counts");
    node.until_page(&db, "web", "web");
    assert!(node.networks.counted().await.unwrap()[&site.contract].sent_bytes > there.sent_bytes);
    node.networks.remove(other.contract, &other.id).await.unwrap();
    assert_eq!(node.networks.counted().await.unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_range_of_another_contract_is_refused() {
    let node = Node::new().await;
    let site = node.network(5, "10.20.1.0/24").await;
    let refused = node.networks.ensure(&network(contract(), 5, "site", "10.20.0.0/23")).await.unwrap_err();
    assert!(matches!(refused, DriverError::Invalid { code: FailureCode::BodyInvalid, .. }), "{refused}");
    let other = node.network(5, "10.20.2.0/24").await;
    for spec in [&site, &other, &other] {
        node.networks.remove(spec.contract, &spec.id).await.unwrap();
    }
    assert_eq!(namespaces(&node.host), [""; 0]);
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn health_of_machines_in_private_networks_is_checked() {
    let node = Node::new().await;
    let site = node.network(5, "10.20.1.0/24").await;
    let mut web = node.machine("web", &[(&site, 2)], true).await;
    web.container.health = Some(Health { check: Check::Tcp { port: 80 }, start_seconds: 30 });
    web.hash = "two".into();
    node.host.machines.fetch_image(&web, fetched(ROOM)).await.unwrap();
    node.host.machines.create(&web, &[]).await.unwrap();
    node.start(&web).await;
    let healthy =
        |state: &MachineState| matches!(state, MachineState::Running { condition: Condition::Healthy, .. });
    match node.host.until(&web.id, healthy).await {
        MachineState::Running { ip: Some(ip), .. } => assert_eq!(ip, IpAddr::from([10, 20, 1, 2])),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_machine_in_two_networks_reaches_both() {
    let node = Node::new().await;
    let front = node.network(5, "10.20.1.0/24").await;
    let back = network(front.contract, 5, "back", "10.30.1.0/24");
    node.networks.ensure(&back).await.unwrap();
    let web = node.machine("web", &[(&front, 2)], true).await;
    let store = node.machine("store", &[(&back, 3)], false).await;
    let app = node.machine("app", &[(&front, 5), (&back, 5)], true).await;
    node.until_page(&app, "web", "web");
    node.until_page(&app, "store.back.internal", "store");
    node.until_page(&store, "app", "app");
    assert!(node.page(&web, "10.30.1.3").is_err());
    assert!(node.page(&web, "store.back.internal").is_err());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node: run by `make test`"]
async fn names_outlive_the_agent_and_a_killed_resolver() {
    let mut node = Node::new().await;
    let site = node.network(5, "10.20.1.0/24").await;
    let web = node.machine("web", &[(&site, 2)], true).await;
    node.until_page(&web, "web", "web");
    node.resolver.abort();
    assert!((&mut node.resolver).await.unwrap_err().is_cancelled());
    node.until_page(&web, "web", "web");

    let folder = format!("/{}/network", hex::encode(&node.host.node_key[..4]));
    let pid = stdout(Command::new("pgrep").args(["--full", &folder]));
    assert!(words(&format!("kill -9 {}", pid.trim())).status().unwrap().success());
    let agent = Arc::new(private_networks(&node.host));
    agent.observe().await.unwrap();
    let log = node._registry.folder.path().to_path_buf();
    node.resolver = tokio::spawn(async move { agent.run(&log).await });
    node.until_page(&web, "web", "web");
}
