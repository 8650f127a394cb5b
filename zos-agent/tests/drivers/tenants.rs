// SPDX-License-Identifier: Apache-2.0
//! What tenants reach.

use super::*;
use std::{net::UdpSocket, thread};

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn tenants_reach_neither_the_host_nor_each_other() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let _firewall = Firewall::install().await;
    let service = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = service.local_addr().unwrap().port();

    let (mut ids, mut ips) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let web = host.started(&registry.image, &["/bin/httpd", "-f", "-p", "80", "-h", "/bin"]).await;
        let MachineState::Running { ip: Some(ip), .. } = host.until(&web.id, is_running).await else {
            panic!()
        };
        assert!(get(ip, "busybox").len() > 1000, "the host reaches tenants");
        ids.push(web.id);
        ips.push(ip);
    }
    let gateway = host.docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}",
        &host.name(&ids[0]),
    ]);
    let reaches = |ip: &str, port| host.reaches(&ids[0], ip, port);
    assert!(reaches(&ips[0].to_string(), 80), "the test's own tool fails");
    assert!(!reaches(&gateway, port), "the host is reached");
    assert!(!reaches(&ips[1].to_string(), 80), "another tenant is reached");
}

/// A network namespace with an uplink of this MTU, in which this thread and its children are until it is dropped.
struct Elsewhere {
    before: fs::File,
    holder: Child,
}

impl Elsewhere {
    fn with_uplink(mtu: u32) -> Self {
        let before = fs::File::open("/proc/thread-self/ns/net").unwrap();
        let holder = Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap();
        let namespace = format!("/proc/{}/ns/net", holder.id());
        let elsewhere = Self { before, holder };
        wait_until("the namespace", || {
            fs::read_link(&namespace).unwrap() != fs::read_link("/proc/thread-self/ns/net").unwrap()
        });
        enter(&fs::File::open(&namespace).unwrap());
        for command in [
            &format!("ip link add up0 mtu {mtu} type veth peer name up1"),
            "ip addr add 192.0.2.1/24 dev up0",
            "ip link set up0 up",
            "ip route add default via 192.0.2.2",
        ] {
            assert!(words(command).status().unwrap().success(), "{command}");
        }
        elsewhere
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        enter(&self.before);
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn tenants_send_mail_only_where_the_farmer_lets_them() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let _firewall = Firewall::install().await;
    let _internet = Internet::with_servers(&[25, 80]);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let reaches = |port| host.reaches(&web.id, Internet::ADDRESS, port);
    wait_until("the web server to be reached", || reaches(80));
    assert!(!reaches(25));
    AgentFirewall::new(true, any_registry(), Vec::new()).ensure().await.unwrap();
    wait_until("the mail server to be reached", || reaches(25));
}

/// A socket at this address in the network namespace of a process.
fn socket_of(pid: &str, address: String) -> UdpSocket {
    let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    let bind = move || {
        enter(&namespace);
        UdpSocket::bind(address).unwrap()
    };
    thread::spawn(bind).join().unwrap()
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn tenants_forge_no_source_address() {
    const FORGED: &str = "198.51.100.9";
    const PORT: u16 = 5000;
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let internet = Internet::with_servers(&[]);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let pid = host.docker(&["inspect", "--format", "{{.State.Pid}}", &host.name(&web.id)]);
    // As a program would that has broken out of its machine's rights.
    stdout(&mut words(&format!("nsenter --net=/proc/{pid}/ns/net ip address add {FORGED}/32 dev eth0")));
    let far = internet.processes[0].id().to_string();
    let receiver = socket_of(&far, format!("{}:{PORT}", Internet::ADDRESS));
    receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let [own, forged] = ["0.0.0.0", FORGED].map(|from| socket_of(&pid, format!("{from}:0")));
    let arrives = |from: &UdpSocket| {
        while receiver.recv(&mut [0]).is_ok() {}
        from.send_to(b"x", (Internet::ADDRESS, PORT)).unwrap();
        receiver.recv(&mut [0]).is_ok()
    };
    wait_until("a forged packet without a firewall", || arrives(&forged));
    let _firewall = Firewall::install().await;
    wait_until("a packet of its own", || arrives(&own));
    assert!(!arrives(&forged));
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn machines_ask_the_farms_name_servers_for_names_only() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let _firewall = Firewall::install().await;
    let _farm = Internet::with_servers(&[53, 80]);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let reaches = |address: &str, port| host.reaches(&web.id, address, port);
    wait_until("the internet to be reached", || reaches(Internet::ADDRESS, 53));
    assert!(!reaches(Internet::PRIVATE, 53));
    let name_server = Internet::PRIVATE.parse().unwrap();
    AgentFirewall::new(false, any_registry(), vec![name_server]).ensure().await.unwrap();
    wait_until("the name server to be reached", || reaches(Internet::PRIVATE, 53));
    assert!(!reaches(Internet::PRIVATE, 80));
}

#[tokio::test]
#[ignore = "needs root: run by `make test`"]
async fn rules_for_tenants_come_back_when_somebody_flushes_them() {
    let _elsewhere = Elsewhere::with_uplink(1_500);
    let firewall = AgentFirewall::new(false, Registries::default(), Vec::new());
    firewall.ensure().await.unwrap();
    let listed = || stdout(Command::new("nft").args(["list", "table", "inet", "zos"]));
    let whole = listed();
    let chains = ["input", "forward", "postrouting", "output", "fetch", "refuse"];
    let flushes = chains.map(|chain| format!("nft flush chain inet zos {chain}"));
    for breaking in flushes.into_iter().chain(["nft flush ruleset".into()]) {
        assert!(words(&breaking).status().unwrap().success(), "{breaking}");
        firewall.ensure().await.unwrap();
        assert_eq!(listed(), whole, "{breaking}");
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn networks_take_packets_as_large_as_the_uplink() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    for mtu in [1_400, 9_000] {
        let web = host.prepared(&registry.image, &["/bin/httpd", "-f", "-p", "80", "-h", "/bin"]).await;
        {
            let _elsewhere = Elsewhere::with_uplink(mtu);
            host.machines.create(&web, &[]).await.unwrap();
        }
        host.machines.start(&web.id).await.unwrap();
        assert_eq!(host.exec(&web, "cat /sys/class/net/eth0/mtu").unwrap(), mtu.to_string());
        let MachineState::Running { ip: Some(ip), .. } = host.until(&web.id, is_running).await else {
            panic!()
        };
        assert!(get(ip, "busybox").len() > 1 << 20);
    }
}
