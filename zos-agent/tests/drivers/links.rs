// SPDX-License-Identifier: Apache-2.0
//! Tunnels between the parts that a private network has on two nodes, which are both on this machine.

use super::{networks::Node, *};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, UdpSocket},
};
use zos_agent::drivers::{
    NetworkId,
    network::{Elsewhere, Tunnel, TunnelSpec, Tunnels, key_text, public_key},
};

/// Where nobody takes packets.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

fn site() -> NetworkId {
    NetworkId { twin: 5, name: "site".into() }
}

/// The end of a tunnel on a node. What the node has of networks is removed on drop.
struct End {
    networks: Arc<PrivateNetworks>,
    tunnels: Tunnels,
    node_key: [u8; 32],
    secret: [u8; 32],
    range: &'static str,
    _log: TempDir,
}

impl End {
    fn new(node_key: [u8; 32], networks: Arc<PrivateNetworks>, range: &'static str) -> Self {
        let log = tempfile::tempdir().unwrap();
        let tunnels = Tunnels::new(&node_key, log.path().join("wireguard.log"));
        Self { networks, tunnels, node_key, secret: rand::random(), range, _log: log }
    }

    fn networks_of(node_key: &[u8; 32]) -> PrivateNetworks {
        PrivateNetworks::new(node_key, Vec::new(), AGENT.into())
    }

    /// Makes its tunnel to another end, or to none.
    async fn ensure(&self, other: Option<&Self>) -> Tunnel {
        let ranges = |end: &Self| BTreeSet::from([end.range.parse().unwrap()]);
        let peers = other.map(|end| (public_key(&end.secret), (ranges(end), Some(NOWHERE))));
        let spec = TunnelSpec {
            secret: self.secret,
            port: None,
            peers: peers.into_iter().collect(),
            sources: BTreeMap::new(),
        };
        let begun = Instant::now();
        loop {
            match self.tunnels.ensure(&site(), &spec).await {
                Ok(tunnel) => return tunnel,
                Err(why) => assert!(begun.elapsed() < LIMIT, "{why:#}"),
            }
            sleep(LIMIT / 300).await;
        }
    }

    /// Links it with another one, both ways.
    async fn link(&self, other: &Self) {
        let (here, there) = (self.ensure(Some(other)).await, other.ensure(Some(self)).await);
        for (end, to, port) in [(self, other, there.port), (other, self, here.port)] {
            let address = ([127, 0, 0, 1], port).into();
            end.tunnels.set_endpoint(&site(), &public_key(&to.secret), address).await.unwrap();
        }
    }

    fn namespace(&self) -> String {
        format!("zos-{}-5-site", hex::encode(&self.node_key[..4]))
    }

    /// Its interface in the network's namespace.
    fn interface(&self) -> Option<String> {
        let links = stdout(Command::new("ip").args(["-n", &self.namespace(), "-br", "link"]));
        links.split_whitespace().find(|word| word.starts_with("zw-")).map(ToOwned::to_owned)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // Nothing starts `wireguard-go` again.
        self.tunnels = Tunnels::new(&self.node_key, PathBuf::new());
        let node_key = self.node_key;
        let purge = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(Self::networks_of(&node_key).purge())
        };
        // A runtime can't be started within another.
        let purged = std::thread::spawn(purge).join();
        let _ = fs::remove_dir(format!("/run/zos/{}", hex::encode(&self.node_key[..4])));
        if !std::thread::panicking() {
            purged.unwrap().unwrap();
        }
    }
}

/// A node, and another one that has its machines on the same engine.
async fn two_nodes() -> (Node, End, End) {
    let node = Node::new().await;
    let near = End::new(node.host.node_key, node.networks.clone(), "10.20.1.0/24");
    let far_key: [u8; 32] = rand::random();
    let far = End::new(far_key, Arc::new(End::networks_of(&far_key)), "10.20.2.0/24");
    (node, near, far)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node: run by `make test`"]
async fn machines_on_two_nodes_reach_each_other_in_a_tunnel() {
    let (mut node, near, far) = two_nodes().await;
    let here = node.network(5, near.range).await;
    let web = node.machine("web", &[(&here, 2)], true).await;
    let stranger = node.machine("other", &[(&node.network(6, near.range).await, 2)], true).await;
    node.networks = far.networks.clone();
    let there = node.network(5, far.range).await;
    let db = node.machine("db", &[(&there, 9)], false).await;
    near.link(&far).await;
    node.until_page(&web, "10.20.2.9", "db");
    node.until_page(&db, "10.20.1.2", "web");
    assert!(node.page(&stranger, "10.20.2.9").is_err(), "another twin's machine is reached");
    // As a gateway does.
    let ask = "busybox timeout 2 busybox wget -q -O - http://10.20.2.9/hostname";
    let ask = format!("nsenter --net=/run/netns/{} {ask}", near.namespace());
    wait_until("the machine from the network itself", || words(&ask).output().unwrap().status.success());

    let names = [("db".to_owned(), BTreeSet::from(["10.20.2.9".parse().unwrap()]))].into();
    let found = Elsewhere { names, ..Default::default() };
    near.networks.set_elsewhere([(site(), found)].into()).await.unwrap();
    node.until_page(&web, "db.site.internal", "db");
    near.networks.set_elsewhere(BTreeMap::new()).await.unwrap();
    wait_until("a name that is gone", || node.page(&web, "db.site.internal").is_err());

    // What somebody removes comes back, whatever carries the packets.
    let interface = near.interface().unwrap();
    assert!(
        words(&format!("ip -n {} link delete {interface}", near.namespace())).status().unwrap().success()
    );
    near.link(&far).await;
    node.until_page(&web, "10.20.2.9", "db");
    // There is none where the kernel has WireGuard.
    let found =
        Command::new("pgrep").args(["--full", &format!("wireguard-go -f {interface}$")]).output().unwrap();
    for pid in String::from_utf8(found.stdout).unwrap().split_whitespace() {
        assert!(words(&format!("kill -9 {pid}")).status().unwrap().success());
    }
    near.link(&far).await;
    node.until_page(&web, "10.20.2.9", "db");

    // A node that has left is let go.
    near.ensure(None).await;
    assert!(node.page(&web, "10.20.2.9").is_err(), "a node that has left is reached");
    for end in [&near, &far] {
        end.tunnels.remove(&site()).await.unwrap();
        assert_eq!(end.interface(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node: run by `make test`"]
async fn a_machine_elsewhere_is_no_way_to_the_internet() {
    let (mut node, near, far) = two_nodes().await;
    let internet = Internet::with_servers(&[80]);
    let here = node.network(5, near.range).await;
    let web = node.machine("web", &[(&here, 2)], true).await;
    node.networks = far.networks.clone();
    let there = node.network(5, far.range).await;
    let db = node.machine("db", &[(&there, 9)], true).await;
    near.link(&far).await;
    node.until_page(&db, "10.20.1.2", "web");
    wait_until("the internet to be reached", || reaches(&node, &web, Internet::ADDRESS));
    // A node that sends all of its packets to the other one.
    let (namespace, interface) = (far.namespace(), far.interface().unwrap());
    let peer = key_text(&public_key(&near.secret));
    for line in [
        format!("nsenter --net=/run/netns/{namespace} wg set {interface} peer {peer} allowed-ips 0.0.0.0/0"),
        format!("ip -n {namespace} route replace default dev {interface}"),
    ] {
        assert!(words(&line).status().unwrap().success(), "{line}");
    }
    node.until_page(&db, "10.20.1.2", "web");
    assert!(!reaches(&node, &db, Internet::ADDRESS), "the other node lets its packets out");
    drop(internet);
}

/// The network namespace of a laptop with WireGuard, which ends on drop.
struct Laptop {
    holder: Child,
    others: Vec<Child>,
}

impl Laptop {
    const ADDRESS: &str = "10.20.1.77";
    const INTERFACE: &str = "zt-laptop";

    /// Joins a node at this port with this key.
    fn join(secret: &[u8; 32], node: &[u8; 32], port: u16) -> Self {
        let holder = words("unshare --net sleep 1000").spawn().unwrap();
        let daemon = words(&format!("wireguard-go -f {}", Self::INTERFACE)).spawn().unwrap();
        let mut laptop = Self { holder, others: vec![daemon] };
        let pid = laptop.holder.id();
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        wait_until("the namespace", || namespace(&pid.to_string()) != namespace("self"));
        let interface = Self::INTERFACE;
        wait_until("the interface", || {
            words(&format!("ip link show {interface}")).output().unwrap().status.success()
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = format!(
            "[Interface]\nPrivateKey = {}\n[Peer]\nPublicKey = {}\nEndpoint = 127.0.0.1:{port}\n\
             AllowedIPs = 0.0.0.0/0\nPersistentKeepalive = 25\n",
            key_text(secret),
            key_text(node)
        );
        fs::write(file.path(), config).unwrap();
        for line in [
            format!("ip link set {interface} netns {pid}"),
            laptop.inside(&format!("wg setconf {interface} {}", file.path().display())),
            laptop.inside(&format!("ip addr add {}/32 dev {interface}", Self::ADDRESS)),
            laptop.inside(&format!("ip link set {interface} up")),
            laptop.inside(&format!("ip route add default dev {interface}")),
        ] {
            assert!(words(&line).status().unwrap().success(), "{line}");
        }
        let server = laptop.inside("busybox httpd -f -p 80");
        laptop.others.push(words(&server).spawn().unwrap());
        laptop
    }

    fn inside(&self, line: &str) -> String {
        format!("nsenter --target {} --net {line}", self.holder.id())
    }

    /// Output of a command there.
    fn run(&self, line: &str) -> Option<String> {
        let output = words(&self.inside(line)).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        for process in self.others.iter_mut().chain([&mut self.holder]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node: run by `make test`"]
async fn a_peer_reaches_machines_and_not_the_internet() {
    let (node, near, _far) = two_nodes().await;
    let _internet = Internet::with_servers(&[80]);
    let here = node.network(5, near.range).await;
    let web = node.machine("web", &[(&here, 2)], true).await;
    let secret: [u8; 32] = rand::random();
    let ip: std::net::Ipv4Addr = Laptop::ADDRESS.parse().unwrap();
    let router = here.gateway;
    let range = ipnet::Ipv4Net::from(ip);
    let spec = TunnelSpec {
        secret: near.secret,
        port: None,
        peers: [(public_key(&secret), (BTreeSet::from([range]), None))].into(),
        sources: [(range, router)].into(),
    };
    let tunnel = near.tunnels.ensure(&site(), &spec).await.unwrap();
    assert_eq!(near.tunnels.ensure(&site(), &spec).await.unwrap().peers.len(), 1);
    let names = [("laptop".to_owned(), BTreeSet::from([ip]))].into();
    let found = Elsewhere { names, peers: [ip].into() };
    near.networks.set_elsewhere([(site(), found)].into()).await.unwrap();

    let laptop = Laptop::join(&secret, &public_key(&near.secret), tunnel.port);
    wait_until("the machine's page", || {
        laptop
            .run("busybox timeout 2 busybox wget -q -O - http://10.20.1.2/hostname")
            .is_some_and(|page| page.trim() == "web")
    });
    let ask = format!("busybox nslookup -type=a web.site.internal {router}");
    wait_until("the machine's name", || laptop.run(&ask).is_some_and(|answer| answer.contains("10.20.1.2")));
    wait_until("the laptop by name", || {
        let answer = node.host.exec(&web, "nslookup -type=a laptop.site.internal");
        answer.is_ok_and(|answer| answer.contains(Laptop::ADDRESS))
    });
    wait_until("the laptop", || reaches(&node, &web, Laptop::ADDRESS));
    wait_until("the internet by the machine", || reaches(&node, &web, Internet::ADDRESS));
    let page = format!("busybox timeout 2 busybox wget -q -O - http://{}/", Internet::ADDRESS);
    assert_eq!(laptop.run(&page), None, "the internet is reached");
}

fn reaches(node: &Node, from: &MachineSpec, to: &str) -> bool {
    node.host.exec(from, &format!("nc -w 2 {to} 80 </dev/null")).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node: run by `make test`"]
async fn a_tunnel_whose_port_is_taken_has_another() {
    let (node, near, _far) = two_nodes().await;
    node.network(5, near.range).await;
    let first = near.ensure(None).await;
    near.tunnels.remove(&site()).await.unwrap();
    let _taken = UdpSocket::bind(("0.0.0.0", first.port)).unwrap();
    let second = near.ensure(None).await;
    assert_ne!(second.port, first.port);
    assert_eq!(near.ensure(None).await, second, "a tunnel that is as wanted is changed");
}
