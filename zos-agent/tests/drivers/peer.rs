// SPDX-License-Identifier: Apache-2.0
//! The peer endpoint: owners with a machine, strangers, and callers that mean harm.

use super::*;
use futures::future::join_all;
use iroh::{
    Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey,
    endpoint::{Connection, ConnectionError, RecvStream, presets},
};
use proptest::{collection::vec, prelude::*, strategy::ValueTree, test_runner::TestRunner};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    io::ErrorKind,
    iter::repeat_with,
    net::{Ipv4Addr, UdpSocket},
};
use tfgrid_client::peer::{
    Device, NodeAddress, NodePeer, PeerError, TOO_MANY, UNKNOWN_CALLER,
    frame::Frame,
    protocol::{
        ALPN, Ask, Control, Exec, FailedCode, Forward, LogLine, Logs, Message, NodeAsk, NodeLogs, Protocol,
        Request, TerminalSize,
    },
};
use tracing::{Dispatch, dispatcher, info};
use tracing_subscriber::prelude::*;
use zos_agent::{
    config::Place,
    engine::{Holds, observed::ObservedContract},
    own_log,
    peer::{EventLog, Known, Own, PeerArgs, PeerEndpoint, Server, Sources, Streams},
};

pub const OWNER: u32 = 1;
const NEIGHBOUR: u32 = 2;
const NEIGHBOURS_CONTRACT: ContractId = 2;
const FARMER: u32 = 3;
const NODE: u32 = 4;
/// A stream without a request ends within this time.
const HALF_OPEN: Duration = Duration::from_secs(20);

/// A peer endpoint with a machine of the owner, and a contract of a neighbour.
pub struct Desk {
    pub host: Host,
    pub machine: MachineSpec,
    pub owner: Device,
    pub neighbour: Device,
    address: NodeAddress,
    pub known: watch::Sender<Arc<Known>>,
    server: JoinHandle<()>,
    /// Nothing happens, and the agent doesn't stop.
    _log: watch::Sender<EventLog>,
    own_log: Dispatch,
    _folder: TempDir,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub fn known(owner: &[&Device], neighbour: &Device, contracts: &[(ContractId, u32)]) -> Arc<Known> {
    let keys = owner.iter().map(|device| device.public()).collect();
    let twins = BTreeMap::from([(OWNER, keys), (NEIGHBOUR, vec![neighbour.public()])]);
    Arc::new(Known::new(twins, contracts.iter().copied().collect()))
}

impl Desk {
    pub async fn open() -> Self {
        Self::running(&["/bin/sleep", "1000"]).await
    }

    async fn running(program: &[&str]) -> Self {
        let host = Host::new().await;
        let registry = Registry::start(&host);
        Self::of(host, &registry.image, program).await
    }

    /// One with a machine of this image.
    pub async fn of(host: Host, image: &str, program: &[&str]) -> Self {
        Self::serving(host, image, program, |server| server).await
    }

    /// The same, with its server changed.
    async fn serving(
        host: Host,
        image: &str,
        program: &[&str],
        change: impl FnOnce(Server) -> Server,
    ) -> Self {
        let machine = host.started(image, program).await;
        host.until(&machine.id, is_running).await;
        let observed = host.machines.machine(&machine.id).await.unwrap().unwrap();
        let machines = BTreeMap::from([(machine.id.name.clone(), observed)]);
        let there = ObservedContract { machines, ..Default::default() };
        let (owner, neighbour) = (Device::generate(), Device::generate());
        let contracts = [(machine.id.contract, OWNER), (NEIGHBOURS_CONTRACT, NEIGHBOUR)];
        let known = watch::Sender::new(known(&[&owner], &neighbour, &contracts));
        let log = watch::Sender::new(EventLog::default());
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (own_log, lines) = own_log::keep::<tracing_subscriber::Registry>();
        let own_log = Dispatch::new(tracing_subscriber::registry().with(own_log));
        let own = Own {
            node: NODE,
            key: host.node_key,
            place: Place {
                data: folder.path().into(),
                pool: None,
                hdd_pool: None,
                engine: Some(host.socket.clone()),
                unsafe_engine: true,
            },
            store: store.clone(),
            begun: Instant::now(),
            log: lines,
        };
        let sources = Sources {
            known: known.subscribe(),
            snapshots: watch::channel(None).1,
            observed: watch::channel(Arc::new(BTreeMap::from([(machine.id.contract, there)]))).1,
            standings: watch::channel(Arc::default()).1,
            tunnels: watch::channel(Arc::default()).1,
            log: log.subscribe(),
            holds: Holds::load(store).unwrap(),
            own: Arc::new(own),
            done: mpsc::channel(1).0,
        };
        let secret = Device::generate();
        let args = PeerArgs {
            peer: "127.0.0.1:0".parse().unwrap(),
            peer_external: Vec::new(),
            peer_relay: Vec::new(),
        };
        let endpoint = PeerEndpoint::bind(args, &secret.seed()).await.unwrap();
        let address = NodeAddress { key: secret.public(), addresses: endpoint.addresses() };
        let server = Server::new(
            &endpoint,
            Streams::new(host.machines.clone(), host.volumes.clone(), AGENT.into()),
            sources,
        );
        let server = tokio::spawn(change(server).run());
        Self { host, machine, owner, neighbour, address, known, server, _log: log, own_log, _folder: folder }
    }

    /// Writes a line to the agent's log.
    fn logs(&self, contract: ContractId) {
        dispatcher::with_default(&self.own_log, || {
            info!(target: "zos_agent", contract, machine = "secret", "a line");
        });
    }

    pub async fn caller(&self, device: &Device) -> NodePeer {
        NodePeer::connect(device, &self.address).await.unwrap()
    }

    /// A caller that may say what it likes.
    async fn raw(&self, device: &Device, alpn: &[u8]) -> Option<(Endpoint, Connection)> {
        let builder = Endpoint::builder(presets::Minimal).secret_key(SecretKey::from_bytes(&device.seed()));
        let endpoint = builder.relay_mode(RelayMode::Disabled).bind().await.unwrap();
        let id = EndpointId::from_bytes(&self.address.key).unwrap();
        let to = EndpointAddr::new(id).with_ip_addr(self.address.addresses.direct[0]);
        let connection = endpoint.connect(to, alpn).await.ok()?;
        Some((endpoint, connection))
    }

    pub async fn close(self) {
        self.host.destroy(self.machine.id.contract).await;
    }
}

/// The code with which the node closes a connection.
async fn closing_code(connection: &Connection) -> u32 {
    match timeout(LIMIT, connection.closed()).await.unwrap() {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner() as u32,
        other => panic!("{other}"),
    }
}

/// The code of the failure that is the whole answer.
async fn failure(receive: &mut RecvStream) -> FailedCode {
    let answer = timeout(LIMIT, Frame::<Message>::read(receive)).await.unwrap().unwrap();
    let Some(Frame::Message(Message::Failed(failed))) = answer else { panic!("{answer:?}") };
    assert_eq!(Frame::<Message>::read(receive).await.unwrap(), None);
    failed.code
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn strangers_and_neighbours_get_nothing() {
    let desk = Desk::open().await;
    let own = desk.machine.id.contract;
    let (_endpoint, stranger) = desk.raw(&Device::generate(), ALPN).await.unwrap();
    assert_eq!(closing_code(&stranger).await, UNKNOWN_CALLER);
    let stranger = desk.caller(&Device::generate()).await;
    for contract in [own, NEIGHBOURS_CONTRACT, 999] {
        assert!(matches!(stranger.stats(contract).await, Err(PeerError::Unknown)));
    }
    let neighbour = desk.caller(&desk.neighbour).await;
    let mut answers = Vec::new();
    for contract in [own, 999] {
        match neighbour.stats(contract).await {
            Err(PeerError::Failed(failed)) => {
                assert_eq!(failed.code, FailedCode::NotFound);
                answers.push(failed.message.replace(&contract.to_string(), "N"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answers[0], answers[1], "a contract of another looks like none");
    assert!(desk.caller(&desk.owner).await.stats(own).await.unwrap().contains_key(&desk.machine.id.name));
    desk.close().await;
}

fn is_not_found<T: std::fmt::Debug>(answer: &Result<T, PeerError>) -> bool {
    matches!(answer, Err(PeerError::Failed(failed)) if failed.code == FailedCode::NotFound)
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn only_the_farmer_sees_the_node_and_no_contract() {
    let desk = Desk::open().await;
    let (contract, farmer) = (desk.machine.id.contract, Device::generate());
    let known = |farmers: Vec<[u8; 32]>| {
        let twins = BTreeMap::from([(OWNER, vec![desk.owner.public()]), (FARMER, farmers)]);
        Arc::new(Known::new(twins, [(contract, OWNER)].into()).with_farmer(Some(FARMER)))
    };
    desk.known.send_replace(known(vec![farmer.public()]));
    let (caller, owner) = (desk.caller(&farmer).await, desk.caller(&desk.owner).await);
    let status = caller.node_status().await.unwrap();
    let names: Vec<_> = status.findings.iter().map(|finding| &*finding.name).collect();
    for name in ["agent", "container engine", "firewall", "self-test", "peer endpoint", "chain", "contracts"]
    {
        assert!(status.node == NODE && names.contains(&name), "{names:?}");
    }
    for answer in [owner.node_status().await.map(drop), caller.stats(contract).await.map(drop)] {
        assert!(is_not_found(&answer), "{answer:?}");
    }
    let logs = NodeLogs { follow: true, ..Default::default() };
    let refused = owner.node_logs(logs.clone()).await.unwrap().next().await.map(drop);
    assert!(is_not_found(&refused), "{refused:?}");

    desk.logs(1);
    let mut lines = caller.node_logs(logs).await.unwrap();
    for number in [1, 2] {
        let line = timeout(LIMIT, lines.next()).await.unwrap().unwrap();
        let Some(Frame::Message(Message::Line(LogLine { text, .. }))) = line else { panic!("{line:?}") };
        assert_eq!(text, format!("a line contract={number}"));
        desk.logs(number + 1);
    }
    desk.known.send_replace(known(Vec::new()));
    loop {
        match timeout(LIMIT, lines.next()).await.unwrap() {
            // What was written before.
            Ok(Some(_)) => {}
            Err(PeerError::Unknown | PeerError::Failed(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    drop(lines);
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn before_its_self_test_a_node_answers_its_farmer_alone() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let desk = Desk::serving(host, &registry.image, &["/bin/sleep", "1000"], Server::untested).await;
    let (contract, farmer) = (desk.machine.id.contract, Device::generate());
    let twins = BTreeMap::from([(OWNER, vec![desk.owner.public()]), (FARMER, vec![farmer.public()])]);
    let known = Known::new(twins, [(contract, OWNER)].into()).with_farmer(Some(FARMER));
    desk.known.send_replace(Arc::new(known));
    let status = desk.caller(&farmer).await.node_status().await.unwrap();
    let contracts = status.findings.iter().find(|finding| finding.name == "contracts").unwrap();
    assert!(contracts.text.starts_with("none is looked at"), "{}", contracts.text);
    match desk.caller(&desk.owner).await.stats(contract).await {
        Err(PeerError::Failed(failed)) => {
            assert!(failed.code == FailedCode::Failed && failed.message.contains("self-test"), "{failed:?}");
        }
        other => panic!("{other:?}"),
    }
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_node_answers_16_requests_about_itself_at_a_time() {
    let desk = Desk::open().await;
    let twins = BTreeMap::from([(FARMER, vec![desk.owner.public()])]);
    desk.known.send_replace(Arc::new(Known::new(twins, BTreeMap::new()).with_farmer(Some(FARMER))));
    let caller = desk.caller(&desk.owner).await;
    desk.logs(1);
    let logs = NodeLogs { follow: true, ..Default::default() };
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut lines = caller.node_logs(logs.clone()).await.unwrap();
        assert!(timeout(LIMIT, lines.next()).await.unwrap().unwrap().is_some());
        open.push(lines);
    }
    let Err(PeerError::Failed(failed)) = caller.node_status().await else { panic!("it is answered") };
    assert_eq!(failed.code, FailedCode::TooMany);
    drop(open);
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_request_names_a_contract_unless_it_is_about_the_node() {
    let desk = Desk::open().await;
    let twins = BTreeMap::from([(OWNER, vec![desk.owner.public()])]);
    let known = Known::new(twins, [(desk.machine.id.contract, OWNER)].into()).with_farmer(Some(OWNER));
    desk.known.send_replace(Arc::new(known));
    let (_endpoint, connection) = desk.raw(&desk.owner, ALPN).await.unwrap();
    let contract = Some(desk.machine.id.contract);
    for (contract, ask) in [(None, Ask::Status {}), (contract, Ask::Node(NodeAsk::Status {}))] {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        Frame::Message(Request { contract, ask }).write(&mut send).await.unwrap();
        assert_eq!(failure(&mut receive).await, FailedCode::BadRequest);
    }
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn garbage_and_half_open_streams_take_nothing() {
    let desk = Desk::open().await;
    assert!(desk.raw(&desk.owner, b"h3").await.is_none(), "another protocol is spoken");
    let (_endpoint, connection) = desk.raw(&desk.owner, ALPN).await.unwrap();
    let mut half_open = Vec::new();
    for _ in 0..100 {
        let (mut send, receive) = connection.open_bi().await.unwrap();
        send.write_all(&[0]).await.unwrap();
        half_open.push((send, receive));
    }
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 2, 0, b'{', b'}'], &[0xff; 64], &[0, 0, 0, 0, 1]]
    {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(garbage).await.unwrap();
        assert_eq!(failure(&mut receive).await, FailedCode::BadRequest, "{garbage:?}");
    }
    for (_send, mut receive) in half_open {
        let answer = timeout(HALF_OPEN, Frame::<Message>::read(&mut receive)).await.unwrap();
        assert!(!matches!(answer, Ok(Some(_))), "{answer:?}");
    }
    assert!(desk.caller(&desk.owner).await.stats(desk.machine.id.contract).await.is_ok());
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn one_device_has_four_connections_and_others_get_in() {
    let desk = Desk::open().await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let peer = desk.caller(&desk.owner).await;
        peer.stats(desk.machine.id.contract).await.unwrap();
        open.push(peer);
    }
    let (_endpoint, fifth) = desk.raw(&desk.owner, ALPN).await.unwrap();
    assert_eq!(closing_code(&fifth).await, TOO_MANY);
    assert!(desk.caller(&desk.neighbour).await.stats(NEIGHBOURS_CONTRACT).await.is_ok());
    for peer in open {
        peer.close().await;
    }
    let begun = Instant::now();
    while desk.caller(&desk.owner).await.stats(desk.machine.id.contract).await.is_err() {
        assert!(begun.elapsed() < LIMIT, "a place stays taken");
    }
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn streams_end_with_the_contract_and_with_the_key() {
    let desk = Desk::open().await;
    let contract = desk.machine.id.contract;
    let second = Device::generate();
    let both = |contracts: &[_]| known(&[&desk.owner, &second], &desk.neighbour, contracts);
    let contracts = [(contract, OWNER), (contract + 1, OWNER), (NEIGHBOURS_CONTRACT, NEIGHBOUR)];
    desk.known.send_replace(both(&contracts));
    let (first, second) = (desk.caller(&desk.owner).await, desk.caller(&second).await);
    let mut streams = Vec::new();
    for peer in [&first, &second] {
        streams.push(peer.ask(contract, Ask::Events { follow: true }).await.unwrap());
        peer.stats(contract).await.unwrap();
    }
    let removed = known(&[&desk.owner], &desk.neighbour, &contracts);
    desk.known.send_replace(removed);
    let ended = timeout(LIMIT, streams[1].next()).await.unwrap();
    assert!(matches!(&ended, Err(PeerError::Unknown | PeerError::Failed(_))), "{ended:?}");

    desk.known.send_replace(known(&[&desk.owner], &desk.neighbour, &contracts[1..]));
    match timeout(LIMIT, streams[0].next()).await.unwrap() {
        Err(PeerError::Failed(failed)) => assert_eq!(failed.code, FailedCode::Closed),
        other => panic!("{other:?}"),
    }
    drop(streams);
    desk.close().await;
}

fn exec(desk: &Desk, script: &str, terminal: Option<TerminalSize>) -> Ask {
    let command = ["/bin/sh", "-c", script].map(Into::into).to_vec();
    Ask::Exec(Exec { workload: desk.machine.id.name.clone(), command, terminal })
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_program_ends_with_its_caller() {
    let desk = Desk::open().await;
    let name = desk.host.name(&desk.machine.id);
    let runs = || desk.host.docker(&["top", &name]).contains("sleep 777");
    for terminal in [None, Some(TerminalSize { rows: 24, columns: 80 })] {
        let caller = desk.caller(&desk.owner).await;
        let ask = exec(&desk, "trap '' HUP; sleep 777", terminal);
        let mut call = caller.ask(desk.machine.id.contract, ask).await.unwrap();
        call.ready().await.unwrap();
        wait_until("the program", runs);
        drop(call);
        caller.close().await;
        let begun = Instant::now();
        while runs() {
            assert!(begun.elapsed() < LIMIT, "a program stays without its caller");
            sleep(Duration::from_millis(100)).await;
        }
    }
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_program_gets_signals_after_the_end_of_its_input() {
    let desk = Desk::open().await;
    let caller = desk.caller(&desk.owner).await;
    let ask = exec(&desk, "trap 'exit 5' TERM; cat; while true; do sleep 0.1; done", None);
    let mut call = caller.ask(desk.machine.id.contract, ask).await.unwrap();
    call.ready().await.unwrap();
    let (mut input, mut output) = call.split();
    input.data(b"all").await.unwrap();
    input.control(Control::EndInput {}).await.unwrap();
    assert_eq!(timeout(LIMIT, output.next()).await.unwrap().unwrap(), Some(Frame::Data(b"all".to_vec())));
    input.control(Control::Signal(Signal::TERM.as_raw())).await.unwrap();
    let ended = timeout(LIMIT, output.next()).await.unwrap().unwrap();
    assert_eq!(ended, Some(Frame::Message(Message::Exit { code: 5 })));
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn signals_pass_input_that_a_program_does_not_read() {
    let desk = Desk::open().await;
    let caller = desk.caller(&desk.owner).await;
    let ask = exec(&desk, "trap 'exit 7' INT; echo up; while true; do sleep 0.1; done", None);
    let mut call = caller.ask(desk.machine.id.contract, ask).await.unwrap();
    call.ready().await.unwrap();
    let (mut input, mut output) = call.split();
    assert_eq!(timeout(LIMIT, output.next()).await.unwrap().unwrap(), Some(Frame::Data(b"up\n".to_vec())));
    for _ in 0..24 {
        input.data(&[b'x'; 1 << 16]).await.unwrap();
    }
    input.control(Control::Signal(Signal::INT.as_raw())).await.unwrap();
    let ended = timeout(LIMIT, output.next()).await.unwrap().unwrap();
    assert_eq!(ended, Some(Frame::Message(Message::Exit { code: 7 })));
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn programs_of_a_contract_start_at_a_limited_rate() {
    let desk = Desk::open().await;
    let caller = desk.caller(&desk.owner).await;
    let mut calls = Vec::new();
    for _ in 0..100 {
        calls.push(caller.ask(desk.machine.id.contract, exec(&desk, "exit", None)).await.unwrap());
    }
    let (mut started, mut refused) = (0, 0);
    for call in &mut calls {
        match call.ready().await {
            Ok(()) => started += 1,
            Err(PeerError::Failed(failed)) => {
                assert_eq!(failed.code, FailedCode::TooMany);
                assert!(failed.message.contains("20 programs"), "{failed}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(started >= 20 && refused > 0, "{started} were started, {refused} refused");
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_terminal_shows_any_bytes() {
    let desk = Desk::open().await;
    let caller = desk.caller(&desk.owner).await;
    // To bollard, this is the header of a frame of 4 GiB.
    let script = r"printf '\001\000\000\000\377\377\377\377shown'; exit 9";
    let ask = exec(&desk, script, Some(TerminalSize { rows: 24, columns: 80 }));
    let mut call = caller.ask(desk.machine.id.contract, ask).await.unwrap();
    call.ready().await.unwrap();
    let mut shown = Vec::new();
    let code = loop {
        match timeout(LIMIT, call.next()).await.unwrap().unwrap() {
            Some(Frame::Data(bytes)) => shown.extend(bytes),
            Some(Frame::Message(Message::Exit { code })) => break code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((&shown[..], code), (&b"\x01\0\0\0\xff\xff\xff\xffshown"[..], 9));
    desk.close().await;
}

/// A socket in the network of the machine.
fn in_machine<T: Send + 'static>(desk: &Desk, open: impl FnOnce() -> T + Send + 'static) -> T {
    let pid = desk.host.docker(&["inspect", "--format", "{{.State.Pid}}", &desk.host.name(&desk.machine.id)]);
    let namespace = fs::File::open(format!("/proc/{}/ns/net", pid.trim())).unwrap();
    let opening = move || {
        enter(&namespace);
        open()
    };
    std::thread::spawn(opening).join().unwrap()
}

/// Listens in the machine, and sends each datagram back while the test lasts.
fn echo_datagrams(desk: &Desk, port: u16) {
    let socket = in_machine(desk, move || UdpSocket::bind(("0.0.0.0", port)).unwrap());
    std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((count, from)) = socket.recv_from(&mut bytes) {
            socket.send_to(&bytes[..count], from).unwrap();
        }
    });
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn datagrams_are_forwarded_both_ways() {
    let desk = Desk::open().await;
    let caller = desk.caller(&desk.owner).await;
    let contract = desk.machine.id.contract;
    echo_datagrams(&desk, 53);
    let to = Forward { workload: desk.machine.id.name.clone(), protocol: Protocol::Udp, port: 53 };
    let mut call = caller.ask(contract, Ask::Forward(to)).await.unwrap();
    call.ready().await.unwrap();
    let (mut input, mut output) = call.split();
    for datagram in [&b"ping"[..], b"", &[7; 1400]] {
        input.data(datagram).await.unwrap();
        let answer = timeout(LIMIT, output.next()).await.unwrap().unwrap();
        assert_eq!(answer, Some(Frame::Data(datagram.to_vec())));
    }
    desk.close().await;
}

/// Connects a program of this computer with a port of the machine; returns both ends, and the forwarding.
async fn forwarded(
    desk: &Desk,
    caller: Arc<NodePeer>,
    port: u16,
) -> (TcpStream, TcpStream, JoinHandle<Result<(), PeerError>>) {
    let listener = in_machine(desk, move || TcpListener::bind(("0.0.0.0", port)).unwrap());
    let here = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let program = TcpStream::connect(here.local_addr().unwrap()).unwrap();
    let local = here.accept().unwrap().0;
    local.set_nonblocking(true).unwrap();
    let mut local = tokio::net::TcpStream::from_std(local).unwrap();
    let contract = desk.machine.id.contract;
    let to = Forward { workload: desk.machine.id.name.clone(), protocol: Protocol::Tcp, port };
    let forwarding = tokio::spawn(async move { caller.forward(contract, to, &mut local).await });
    let server = tokio::task::spawn_blocking(move || listener.accept().unwrap().0);
    let server = timeout(LIMIT, server).await.unwrap().unwrap();
    for end in [&program, &server] {
        end.set_read_timeout(Some(LIMIT)).unwrap();
    }
    (program, server, forwarding)
}

/// Closes a connection as broken.
fn break_off(stream: TcpStream) {
    stream.set_nonblocking(true).unwrap();
    tokio::net::TcpStream::from_std(stream).unwrap().set_zero_linger().unwrap();
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_broken_connection_is_broken_at_the_other_end() {
    let desk = Desk::open().await;
    let caller = Arc::new(desk.caller(&desk.owner).await);
    let (mut program, mut server, forwarding) = forwarded(&desk, caller.clone(), 80).await;
    let (mut asked, mut answered) = ([0; 3], [0; 6]);
    program.write_all(b"ask").unwrap();
    program.shutdown(std::net::Shutdown::Write).unwrap();
    let server = tokio::task::spawn_blocking(move || {
        server.read_exact(&mut asked).unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 0, "an end is an end");
        server.write_all(b"answer").unwrap();
    });
    server.await.unwrap();
    let program = tokio::task::spawn_blocking(move || program.read_exact(&mut answered).map(|()| answered));
    assert_eq!(&program.await.unwrap().unwrap(), b"answer");
    forwarding.await.unwrap().unwrap();

    let (program, mut server, forwarding) = forwarded(&desk, caller.clone(), 81).await;
    break_off(program);
    let read = tokio::task::spawn_blocking(move || server.read(&mut [0])).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(forwarding.await.unwrap().is_err());

    let (mut program, mut server, forwarding) = forwarded(&desk, caller, 82).await;
    // Else it breaks before the node has taken it.
    program.write_all(b"x").unwrap();
    let server = tokio::task::spawn_blocking(move || server.read_exact(&mut [0]).map(|()| server));
    break_off(server.await.unwrap().unwrap());
    let ended = timeout(LIMIT, forwarding).await.unwrap().unwrap();
    assert!(matches!(ended, Err(PeerError::Stream(_))), "{ended:?}");
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn answers_about_one_contract_are_limited() {
    let desk = Desk::open().await;
    let contract = desk.machine.id.contract;
    let peers = [desk.caller(&desk.owner).await, desk.caller(&desk.owner).await];
    let mut calls = Vec::new();
    for peer in &peers {
        for _ in 0..256 {
            calls.push(peer.ask(contract, Ask::Events { follow: true }).await.unwrap());
        }
    }
    let another = desk.caller(&desk.owner).await;
    let begun = Instant::now();
    let refused = loop {
        match another.stats(contract).await {
            Ok(_) => assert!(begun.elapsed() < LIMIT, "there is no limit"),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(&refused, PeerError::Failed(failed) if failed.code == FailedCode::TooMany), "{refused}");
    assert!(desk.caller(&desk.neighbour).await.stats(NEIGHBOURS_CONTRACT).await.is_ok());
    drop(calls);
    let begun = Instant::now();
    while another.stats(contract).await.is_err() {
        assert!(begun.elapsed() < LIMIT, "a place stays taken");
    }
    desk.close().await;
}

/// A request that has an end, about the machine or one that isn't there.
fn request(desk: &Desk) -> impl Strategy<Value = Request> + use<> {
    let own = desk.machine.id.clone();
    let workload = prop_oneof![Just(own.name.clone()), ".{0,20}"];
    let contract = prop_oneof![Just(own.contract), any::<ContractId>()];
    let size = (any::<u16>(), any::<u16>()).prop_map(|(rows, columns)| TerminalSize { rows, columns });
    let command = prop_oneof![Just(vec!["/bin/busybox".to_owned(), "true".into()]), vec(".{0,20}", 0..3)];
    let path = prop_oneof![Just("/etc".to_owned()), Just("/nothing".to_owned()), ".{0,20}"];
    let numbers = (proptest::option::of(any::<u32>()), proptest::option::of(any::<u32>()));
    let ask = prop_oneof![
        Just(Ask::Status {}),
        Just(Ask::Stats {}),
        Just(Ask::Events { follow: false }),
        "[a-z]{1,20}".prop_map(|workload| Ask::Restart { workload }),
        workload.clone().prop_map(|workload| Ask::Start { workload }),
        (workload.clone(), numbers, any::<bool>()).prop_map(|(workload, (tail, since), timestamps)| {
            Ask::Logs(Logs { workload, follow: false, tail, since, timestamps })
        }),
        (workload.clone(), command, proptest::option::of(size))
            .prop_map(|(workload, command, terminal)| Ask::Exec(Exec { workload, command, terminal })),
        (workload.clone(), path, any::<bool>()).prop_map(|(workload, path, goes_in)| {
            if goes_in { Ask::CopyIn { workload, path } } else { Ask::CopyOut { workload, path } }
        }),
        (workload, any::<bool>(), any::<u16>()).prop_map(|(workload, is_udp, port)| {
            let protocol = if is_udp { Protocol::Udp } else { Protocol::Tcp };
            Ask::Forward(Forward { workload, protocol, port })
        }),
    ];
    (contract, ask).prop_map(|(contract, ask)| Request { contract: Some(contract), ask })
}

/// All that a caller sends on a stream: any bytes, or a request and any bytes after it.
fn sent(desk: &Desk) -> impl Strategy<Value = Vec<u8>> + use<> {
    let frame = |kind: u8, text: Vec<u8>| [&(text.len() as u32).to_be_bytes()[..], &[kind], &text].concat();
    let frames = (0u8..4, vec(any::<u8>(), 0..40)).prop_map(move |(kind, text)| frame(kind, text));
    let after = prop_oneof![vec(any::<u8>(), 0..40), vec(frames, 0..4).prop_map(|frames| frames.concat())];
    let request = request(desk).prop_map(move |request| frame(0, serde_json::to_vec(&request).unwrap()));
    prop_oneof![
        1 => vec(any::<u8>(), 1..200),
        4 => (request, after).prop_map(|(request, after)| [request, after].concat()),
    ]
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn any_bytes_get_an_answer_or_an_error() {
    let desk = Desk::open().await;
    let (_endpoint, connection) = desk.raw(&desk.owner, ALPN).await.unwrap();
    let mut runner = TestRunner::default();
    let before = memory_mib();
    for _ in 0..runner.config().cases {
        let bytes = sent(&desk).new_tree(&mut runner).unwrap().current();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        // The node may have broken off already.
        drop(send.write_all(&bytes).await);
        drop(send.finish());
        let answer = timeout(LIMIT, receive.read_to_end(1 << 20)).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {bytes:?}"));
        assert!(!answer.is_ok_and(|bytes| bytes.is_empty()), "nothing is said to {bytes:?}");
    }
    assert!(memory_mib() < before + 64, "the node had {before} MiB, then {} MiB", memory_mib());
    assert!(desk.caller(&desk.owner).await.stats(desk.machine.id.contract).await.is_ok());
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_reader_that_takes_nothing_costs_no_memory() {
    let desk = Desk::running(&["/bin/sh", "-c", "while true; do echo 0123456789abcdef; done"]).await;
    let (contract, name) = (desk.machine.id.contract, desk.machine.id.name.clone());
    let caller = desk.caller(&desk.owner).await;
    let logs = Logs { workload: name.clone(), follow: true, tail: Some(1), since: None, timestamps: false };
    let mut unread = caller.ask(contract, Ask::Logs(logs)).await.unwrap();
    let before = memory_mib();
    let (begun, mut used_ms) = (Instant::now(), Vec::new());
    // Another stream of the same connection goes on meanwhile.
    while used_ms.last().is_none_or(|last| *last < used_ms[0] + 5_000) {
        used_ms.push(caller.stats(contract).await.unwrap()[&name].cpu_ms);
        assert!(memory_mib() < before + 32, "the node had {before} MiB, then {} MiB", memory_mib());
        assert!(begun.elapsed() < 4 * LIMIT, "the machine prints nothing: {used_ms:?}");
    }
    let line = timeout(LIMIT, unread.next()).await.unwrap().unwrap();
    assert_eq!(line, Some(Frame::Data(b"0123456789abcdef\n".to_vec())));
    drop(unread);
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn callers_beyond_the_places_wait_for_their_turn() {
    let desk = Desk::open().await;
    let strangers: Vec<_> = repeat_with(Device::generate).take(40).collect();
    let answers = strangers.iter().map(|stranger| async {
        NodePeer::connect(stranger, &desk.address).await?.stats(NEIGHBOURS_CONTRACT).await
    });
    for answer in join_all(answers).await {
        assert!(matches!(answer, Err(PeerError::Unknown)), "a stranger gets {answer:?}");
    }
    desk.close().await;
}

/// Memory of this process, in which the node's server is, too.
fn memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
