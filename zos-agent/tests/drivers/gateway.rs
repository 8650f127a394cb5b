// SPDX-License-Identifier: Apache-2.0
//! Sites behind a real proxy. They need no container engine: backends are in namespaces of private networks.

use super::*;
use sp_core::{Blake2Hasher, Hasher};
use std::{
    collections::BTreeSet,
    net::Shutdown,
    sync::atomic::{AtomicUsize, Ordering},
};
use tfgrid_client::deployment::Site;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use zos_agent::drivers::{
    GatewayDriver, GatewayGrants, GatewayHost, GatewaySpec, NetworkDriver, TrafficCounter,
};

/// A gateway of its own key at an address of loopback, with the network `site` of twin 5. All of it is removed on drop.
struct Node {
    key: [u8; 32],
    ip: IpAddr,
    gateway: Arc<Gateway>,
    running: JoinHandle<()>,
    backends: Vec<Child>,
    data: TempDir,
}

impl Node {
    async fn new() -> Self {
        let key = MachineKey::generate().0.public();
        let data = tempfile::tempdir().unwrap();
        let ip = IpAddr::from([127, 77, key[0], key[1].clamp(1, 254)]);
        let networks = PrivateNetworks::new(&key, Vec::new(), env!("CARGO_BIN_EXE_zos-agent").into());
        networks.ensure(&networks::network(contract(), 5, "site", "10.99.0.0/24")).await.unwrap();
        let (gateway, running) = start(data.path(), &key, ip);
        gateway.grant(&grants(&["shop", "blog"]));
        Self { key, ip, gateway, running, backends: Vec::new(), data }
    }

    /// The same gateway, with certificates of this authority.
    fn with_authority(&mut self, directory: &str, root: PathBuf) {
        self.running.abort();
        let acme =
            AcmeArgs { acme_directory: Some(directory.to_owned()), acme_root: Some(root), acme_email: None };
        let args = GatewayArgs { gateway_bind: vec![self.ip], acme, ..Default::default() };
        (self.gateway, self.running) = run(Gateway::new(self.data.path(), &self.key, args, &[]).unwrap());
        self.gateway.grant(&grants(&["shop", "blog"]));
    }

    fn namespace(&self) -> String {
        format!("zos-{}-5-site", hex::encode(&self.key[..4]))
    }

    /// A server in the network at one of its addresses, which answers with this text.
    fn serve(&mut self, last: u8, text: &str) -> String {
        let ip = format!("10.99.0.{last}");
        let namespace = self.namespace();
        succeeds("ip", &["-n", &namespace, "addr", "add", &format!("{ip}/32"), "dev", "lo"]);
        let folder = self.data.path().join(&ip);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("index.html"), text).unwrap();
        let server = Command::new("ip")
            .args(["netns", "exec", &namespace, "busybox", "httpd", "-f", "-p", &format!("{ip}:80"), "-h"])
            .arg(&folder)
            .spawn()
            .unwrap();
        self.backends.push(server);
        format!("http://{ip}:80")
    }

    /// The same, whose answer is the head of the request. It ends with the test.
    fn echo(&self, last: u8) -> String {
        let at = self.listen(last, |mut stream| {
            let answer = format!("HTTP/1.0 200 OK\r\n\r\n{}", head(&mut stream));
            // A visitor may be gone.
            let _ = stream.write_all(answer.as_bytes());
        });
        format!("http://{at}")
    }

    /// A server in the network that does this with each connection, in a thread of its own. It ends with the test.
    fn listen(&self, last: u8, serve: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
        let ip = format!("10.99.0.{last}");
        succeeds("ip", &["-n", &self.namespace(), "addr", "add", &format!("{ip}/32"), "dev", "lo"]);
        let namespace = fs::File::open(format!("/run/netns/{}", self.namespace())).unwrap();
        let at = format!("{ip}:80");
        let bound = at.clone();
        let (listens, listening) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let listener = TcpListener::bind(bound).unwrap();
            listens.send(()).unwrap();
            for stream in listener.incoming().flatten() {
                let serve = serve.clone();
                std::thread::spawn(move || serve(stream));
            }
        });
        listening.recv().unwrap();
        at
    }

    /// A proxy in the network that listens with these options and answers all requests with this text.
    fn answer(&mut self, last: u8, options: &str, text: &str) -> String {
        let (ip, namespace) = (format!("10.99.0.{last}"), self.namespace());
        succeeds("ip", &["-n", &namespace, "addr", "add", &format!("{ip}/32"), "dev", "lo"]);
        let config = self.data.path().join(format!("{ip}.cfg"));
        let content = format!(
            r#"
defaults
    mode http
    timeout connect 9s
    timeout client 9s
    timeout server 9s
frontend web
    bind {ip}:80 {options}
    http-request return status 200 content-type text/plain lf-string "{text}"
"#
        );
        fs::write(&config, content).unwrap();
        let server = Command::new("ip")
            .args(["netns", "exec", &namespace, "haproxy", "-db", "-f"])
            .arg(&config)
            .spawn()
            .unwrap();
        self.backends.push(server);
        format!("{ip}:80")
    }

    fn spec(&self, contract: ContractId, name: &str, backends: &[&str]) -> GatewaySpec {
        let backends = backends.iter().map(|backend| backend.parse().unwrap()).collect();
        GatewaySpec {
            id: WorkloadId { contract, name: name.into() },
            twin: 5,
            pointer: "/workloads/0".into(),
            host: GatewayHost::Name(name.into()),
            site: Site {
                network: Some("site".into()),
                backends,
                tls_passthrough: false,
                proxy_protocol: false,
                limits: Default::default(),
            },
        }
    }

    /// Asks for a path of a site.
    fn ask(&self, host: &str, path: &str) -> Command {
        let at = format!("{host}.gw1.example.org:443:{}", self.ip);
        let authority = self.data.path().join("gateway/authority.crt");
        let mut curl = Command::new("curl");
        curl.args(["-s", "--cacert", &authority.to_string_lossy(), "--resolve", &at])
            .arg(format!("https://{host}.gw1.example.org{path}"));
        curl
    }

    /// Status and body of a page of a site, with the version of HTTP.
    fn get(&self, host: &str, more: &[&str]) -> String {
        let told = ["-m", "5", "-w", " %{http_code} %{http_version}"];
        let output = self.ask(host, "/").args(told).args(more).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn until_answer(&self, host: &str, answer: &str) {
        let begun = Instant::now();
        loop {
            match self.get(host, &[]) {
                found if found == answer => return,
                other => assert!(begun.elapsed() < LIMIT, "{host}: {other:?}"),
            }
        }
    }

    /// This column of the proxy's statistics of a server, or of a whole `BACKEND`; empty where there is none.
    fn statistic(&self, backend: &str, server: &str, column: usize) -> String {
        let socket = format!("/run/zos/{}/gateway/admin.sock", hex::encode(&self.key[..4]));
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(b"show stat\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let found = answer.lines().find_map(|line| line.strip_prefix(&format!("{backend},{server},")));
        found.and_then(|columns| columns.split(',').nth(column)).unwrap_or_default().to_owned()
    }

    /// Processes of the proxy.
    fn proxies(&self) -> Vec<i32> {
        let config = format!("/run/zos/{}/gateway/haproxy.cfg", hex::encode(&self.key[..4]));
        let found = Command::new("pgrep").args(["-f", &format!("haproxy.*{config}")]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).lines().filter_map(|pid| pid.parse().ok()).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.running.abort();
        for backend in &mut self.backends {
            let _ = backend.kill();
            let _ = backend.wait();
        }
        let (key, data) = (self.key, self.data.path().to_owned());
        let networks = PrivateNetworks::new(&key, Vec::new(), env!("CARGO_BIN_EXE_zos-agent").into());
        let purge = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                Gateway::purge(&data, &key).await?;
                networks.purge().await
            })
        };
        // A runtime can't be started within another.
        let purged = std::thread::spawn(purge).join();
        let _ = fs::remove_dir(format!("/run/zos/{}", hex::encode(&self.key[..4])));
        if !std::thread::panicking() {
            purged.unwrap().unwrap();
            assert!(self.proxies().is_empty() && !self.data.path().join("gateway").exists());
        }
    }
}

/// Drops all that comes into the network of a namespace, until it is dropped.
struct Silence(String);

impl Silence {
    fn begin(namespace: String) -> Self {
        let rules = "add table inet silence; \
                     add chain inet silence in { type filter hook input priority 0; policy drop; }";
        succeeds("ip", &["netns", "exec", &namespace, "nft", rules]);
        Self(namespace)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ =
            Command::new("ip").args(["netns", "exec", &self.0, "nft", "delete table inet silence"]).status();
    }
}

/// The head of a request; empty where a health check sends nothing.
fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Hands a connection on to a gateway, and counts it; not one in which nothing comes, as in a health check.
fn hand_on(mut from: TcpStream, to: IpAddr, count: &AtomicUsize) -> std::io::Result<()> {
    let mut first = [0; 4_096];
    let length = from.read(&mut first)?;
    if length == 0 {
        return Ok(());
    }
    count.fetch_add(1, Ordering::Relaxed);
    let mut onward = TcpStream::connect((to, 443))?;
    onward.write_all(&first[..length])?;
    let (mut answers, mut back) = (onward.try_clone()?, from.try_clone()?);
    std::thread::spawn(move || {
        // Whichever way ends first ends the other one.
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    std::io::copy(&mut from, &mut onward)?;
    onward.shutdown(Shutdown::Both)
}

/// Frame types of HTTP/2 (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
/// Flags of frames: end of a stream, which is also the acknowledgement of settings, and end of headers.
const END: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length[..], &[kind, flags], &stream, payload].concat()
}

/// Speaks HTTP/2, and answers each request with `hello` and a trailer, as gRPC does, until the connection ends.
fn answer_with_trailer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    stream.write_all(&frame(SETTINGS, 0, [0; 4], &[]))?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload)?;
        match (kind, flags & END) {
            (SETTINGS, 0) => stream.write_all(&frame(SETTINGS, END, id, &[]))?,
            (HEADERS | DATA, END) => {
                // Index 8 is the status 200; the others are literals.
                let answer = [
                    frame(HEADERS, END_HEADERS, id, b"\x88\x00\x0ccontent-type\x10application/grpc"),
                    frame(DATA, 0, id, b"hello"),
                    frame(HEADERS, END | END_HEADERS, id, b"\x00\x0bgrpc-status\x010"),
                ];
                stream.write_all(&answer.concat())?;
            }
            _ => {}
        }
    }
}

fn start(data: &Path, key: &[u8; 32], ip: IpAddr) -> (Arc<Gateway>, JoinHandle<()>) {
    let args = GatewayArgs { gateway_bind: vec![ip], ..Default::default() };
    run(Gateway::new(data, key, args, &[]).unwrap())
}

fn run(gateway: Gateway) -> (Arc<Gateway>, JoinHandle<()>) {
    let gateway = Arc::new(gateway);
    let running = gateway.clone();
    (gateway, tokio::spawn(async move { running.run().await }))
}

/// A certificate authority with a name server, for which all names lead to one address. Both end on drop.
struct Authority {
    processes: [Child; 2],
    directory: String,
    root: PathBuf,
}

impl Authority {
    fn start(folder: &Path, ip: IpAddr) -> Self {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (root, key) = (folder.join("pebble.crt"), folder.join("pebble.key"));
        fs::write(&root, own.cert.pem()).unwrap();
        fs::write(&key, own.signing_key.serialize_pem()).unwrap();
        let (port, names) = (free_port(), free_port());
        let config = folder.join("pebble.json");
        let content = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{}", free_port()),
            "certificate": root, "privateKey": key, "httpPort": 80, "tlsPort": 443,
        } });
        fs::write(&config, content.to_string()).unwrap();
        let names_at = format!("127.0.0.1:{names}");
        let name_server = Command::new("pebble-challtestsrv")
            .args(["-defaultIPv4", &ip.to_string(), "-defaultIPv6", "", "-dns01", &names_at])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-management", &format!("127.0.0.1:{}", free_port())])
            .spawn()
            .unwrap();
        let authority = Command::new("pebble")
            .args(["-config", &config.to_string_lossy(), "-dnsserver", &names_at])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < LIMIT, "pebble doesn't start");
        }
        let directory = format!("https://localhost:{port}/dir");
        Self { processes: [authority, name_server], directory, root }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn grants(names: &[&str]) -> GatewayGrants {
    GatewayGrants {
        domain: Some("gw1.example.org".into()),
        addresses: vec![[185, 69, 166, 10].into()],
        holders: names.iter().map(|name| ((*name).to_owned(), 5)).collect(),
    }
}

fn succeeds(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn a_name_is_published_from_a_private_network() {
    let mut node = Node::new().await;
    let backend = node.serve(5, "hello");
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    node.until_answer("shop", "hello 200 2");
    assert_eq!(node.get("shop", &["--http1.1"]), "hello 200 1.1");
    // Nobody has this name: its certificate isn't for it.
    assert!(node.get("blog", &["-k"]).ends_with(" 404 2"));
    let observed = node.gateway.observe().await.unwrap();
    assert_eq!(observed[0].url.as_deref(), Some("https://shop.gw1.example.org"));
    assert!(observed[0].trouble.as_deref().unwrap().contains("the node's own"));
    let traffic = node.gateway.counted().await.unwrap();
    assert!(traffic[&1].sent_bytes > 10, "{traffic:?}");
    // The name is given up.
    node.gateway.grant(&grants(&["blog"]));
    let begun = Instant::now();
    while !node.get("shop", &["-k"]).ends_with(" 404 2") {
        assert!(begun.elapsed() < LIMIT);
    }
    let told = node.gateway.observe().await.unwrap()[0].trouble.clone().unwrap();
    assert!(told.contains("isn't yours"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn a_site_without_a_backend_has_a_page_that_says_so() {
    let mut node = Node::new().await;
    let backend = node.serve(5, "hello");
    node.gateway.ensure(&node.spec(1, "shop", &["http://10.99.0.9:80", &backend])).await.unwrap();
    node.until_answer("shop", "hello 200 2");
    node.backends[0].kill().unwrap();
    let begun = Instant::now();
    loop {
        let page = node.get("shop", &[]);
        if page.contains("none of its servers answers") && page.ends_with(" 503 2") {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn names_come_and_go_and_no_request_of_another_fails() {
    let mut node = Node::new().await;
    let (shop, blog) = (node.serve(5, "shop"), node.serve(6, "blog"));
    node.gateway.ensure(&node.spec(1, "shop", &[&shop])).await.unwrap();
    node.until_answer("shop", "shop 200 2");
    let (gateway, spec) = (node.gateway.clone(), node.spec(2, "blog", &[&blog]));
    let changing = tokio::spawn(async move {
        for _ in 0..20 {
            gateway.ensure(&spec).await.unwrap();
            gateway.remove(&spec.id).await.unwrap();
        }
        gateway.ensure(&spec).await.unwrap();
    });
    let mut asked = 0;
    while !changing.is_finished() || asked < 20 {
        assert_eq!(node.get("shop", &[]), "shop 200 2");
        asked += 1;
    }
    changing.await.unwrap();
    node.until_answer("blog", "blog 200 2");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn a_reload_in_a_pause_of_the_network_fails_no_request() {
    let mut node = Node::new().await;
    let others = ["one", "two", "three", "four"];
    node.gateway.grant(&grants(&[&["shop"], &others[..]].concat()));
    let backend = node.serve(5, "hello");
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    node.until_answer("shop", "hello 200 2");
    let before = node.proxies();
    let pause = Silence::begin(node.namespace());
    for (contract, name) in (2..).zip(others) {
        node.gateway.ensure(&node.spec(contract, name, &[&backend])).await.unwrap();
    }
    assert_ne!(node.proxies(), before, "its pool was full");
    wait_until("the new process to find the server down", || {
        node.statistic("http.5.site.0", "s0", 15) == "DOWN"
    });
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| node.get("shop", &[]));
        // The request is on its way to the server.
        wait_until("the request", || node.statistic("http.5.site.0", "BACKEND", 2) == "1");
        drop(pause);
        assert_eq!(asked.join().unwrap(), "hello 200 2");
    });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn a_killed_proxy_is_back_and_the_next_agent_goes_on_with_it() {
    let mut node = Node::new().await;
    let backend = node.serve(5, "hello");
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    node.until_answer("shop", "hello 200 2");
    for pid in node.proxies() {
        succeeds("kill", &["-9", &pid.to_string()]);
    }
    node.until_answer("shop", "hello 200 2");
    let before = node.proxies();
    node.running.abort();
    (node.gateway, node.running) = start(node.data.path(), &node.key, node.ip);
    let blog = node.serve(6, "blog");
    node.gateway.ensure(&node.spec(2, "blog", &[&blog])).await.unwrap();
    node.until_answer("blog", "blog 200 2");
    assert_eq!(node.get("shop", &[]), "hello 200 2");
    assert_eq!(node.proxies(), before, "it wasn't started again");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn a_gateway_with_another_address_serves_there() {
    let mut node = Node::new().await;
    node.running.abort();
    (node.gateway, node.running) =
        run(Gateway::new(node.data.path(), &node.key, GatewayArgs::default(), &[]).unwrap());
    let at = |ip| GatewayGrants { addresses: vec![ip], ..grants(&["shop"]) };
    node.gateway.grant(&at(node.ip));
    let backend = node.serve(5, "hello");
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    node.until_answer("shop", "hello 200 2");
    let before = node.ip;
    node.ip = IpAddr::from([127, 78, node.key[0], node.key[1].clamp(1, 254)]);
    node.gateway.grant(&at(node.ip));
    node.until_answer("shop", "hello 200 2");
    wait_until("the other address to be left", || TcpStream::connect((before, 443)).is_err());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root, haproxy and pebble"]
async fn an_authority_signs_the_certificate_of_a_site() {
    let mut node = Node::new().await;
    let authority = Authority::start(node.data.path(), node.ip);
    let backend = node.serve(5, "hello");
    node.with_authority(&authority.directory, authority.root.clone());
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    let name = hex::encode(&Blake2Hasher::hash(b"shop.gw1.example.org")[..16]);
    let file = node.data.path().join(format!("gateway/{name}.pem"));
    let begun = Instant::now();
    // Before, the node's own signs it.
    while !node.get("shop", &["-k", "-v", "--stderr", "-"]).contains("Pebble Intermediate") {
        assert!(begun.elapsed() < LIMIT, "{:?}", node.gateway.observe().await.unwrap());
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(node.gateway.observe().await.unwrap()[0].trouble, None);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // The next agent goes on with it, and it outlives the authority.
    drop(authority);
    let signed = fs::read(&file).unwrap();
    node.running.abort();
    (node.gateway, node.running) = start(node.data.path(), &node.key, node.ip);
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    assert!(node.get("shop", &["-k"]).starts_with("hello 200"));
    assert_eq!(fs::read(&file).unwrap(), signed);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn many_domains_of_one_twin_are_looked_up_without_a_pause() {
    let mut node = Node::new().await;
    // Two at a time, with pauses between them, take longer than the limit.
    for number in 0..20 {
        let name = format!("s{number}");
        let mut spec = node.spec(1, &name, &["http://185.69.166.20:8080"]);
        (spec.host, spec.site.network) = (GatewayHost::Domain(format!("{name}.example.net")), None);
        node.gateway.ensure(&spec).await.unwrap();
    }
    // The next agent knows nothing of them.
    node.running.abort();
    drop((&mut node.running).await);
    fs::write(node.data.path().join("gateway/domains.json"), r#"{"known":{}}"#).unwrap();
    (node.gateway, node.running) = start(node.data.path(), &node.key, node.ip);
    let begun = Instant::now();
    loop {
        let observed = node.gateway.observe().await.unwrap();
        assert_eq!(observed.len(), 20);
        let waits = |told: &str| told.contains("is being looked up");
        if !observed.iter().any(|site| site.trouble.as_deref().is_some_and(waits)) {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{observed:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn limits_of_a_site_hold_and_forged_headers_do_not() {
    let node = Node::new().await;
    let mut spec = node.spec(1, "shop", &[&node.echo(5)]);
    spec.site.limits.request_bytes = 10;
    node.gateway.ensure(&spec).await.unwrap();
    let forged =
        ["-H", "X-Forwarded-For: 6.6.6.6", "-H", "X-Forwarded-Proto: ftp", "-H", "Forwarded: for=6.6.6.6"];
    let begun = Instant::now();
    let told = loop {
        let told = node.get("shop", &forged).to_lowercase();
        if told.ends_with(" 200 2") {
            break told;
        }
        assert!(begun.elapsed() < LIMIT, "{told}");
    };
    assert!(
        told.contains("x-forwarded-for: 127.0.0.1\r\n") && told.contains("x-forwarded-proto: https\r\n"),
        "{told}"
    );
    assert!(!told.contains("6.6.6.6") && !told.contains("ftp"), "{told}");
    assert!(node.get("shop", &["--http1.1", "-d", "more than ten bytes"]).ends_with(" 413 1.1"));
    // Bodies that don't say their lengths: the server may answer before it has read one.
    let unmeasured: [&[&str]; 2] =
        [&["--http1.1", "-H", "Transfer-Encoding: chunked"], &["--http2", "-H", "Content-Length:"]];
    for how in unmeasured {
        wait_until("an answer", || {
            let told = node.get("shop", &[how, &forged, &["-d", "few"]].concat()).to_lowercase();
            told.contains("x-forwarded-for: 127.0.0.1\r\n") && !told.contains("6.6.6.6")
        });
        wait_until("a refusal", || {
            node.get("shop", &[how, &["-d", "more than ten bytes"]].concat()).contains(" 413 ")
        });
    }
    spec.site.limits.requests_per_second = 1;
    node.gateway.ensure(&spec).await.unwrap();
    let answers: Vec<String> = (0..20).map(|_| node.get("shop", &[])).collect();
    assert!(answers.iter().any(|answer| answer.ends_with(" 429 2")), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn a_site_has_so_many_requests_at_the_same_time() {
    let node = Node::new().await;
    let (asked, waits) = std::sync::mpsc::channel();
    // It leaves one request without an answer.
    let at = node.listen(5, move |mut stream| {
        if head(&mut stream).starts_with("GET /wait ") {
            asked.send(()).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        } else {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello");
        }
    });
    let mut spec = node.spec(1, "shop", &[&format!("http://{at}")]);
    (spec.site.limits.connections, spec.site.limits.answer_seconds) = (1, 10);
    node.gateway.ensure(&spec).await.unwrap();
    node.until_answer("shop", "hello 200 2");
    let mut waiting = node.ask("shop", "/wait").args(["-m", "20"]).spawn().unwrap();
    waits.recv_timeout(LIMIT).unwrap();
    assert!(node.get("shop", &[]).ends_with(" 429 2"));
    assert!(waiting.wait().unwrap().success(), "it was told that there is no answer");
    node.until_answer("shop", "hello 200 2");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn a_site_without_traffic_refuses_requests_beyond_a_megabit() {
    let mut node = Node::new().await;
    let backend = node.serve(5, &"x".repeat(4_000_000));
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    let status = |node: &Node| node.get("shop", &["-o", "/dev/null"]);
    let begun = Instant::now();
    while status(&node) != " 200 2" {
        assert!(begun.elapsed() < LIMIT);
    }
    node.gateway.slow_down(&BTreeSet::from([1])).await.unwrap();
    let answers: Vec<String> = (0..3).map(|_| status(&node)).collect();
    assert_eq!(answers.last().map(String::as_str), Some(" 429 2"), "{answers:?}");
    node.gateway.slow_down(&BTreeSet::new()).await.unwrap();
    assert_eq!(status(&node), " 200 2");
    assert!(node.gateway.counted().await.unwrap()[&1].sent_bytes >= 8_000_000);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn backends_speak_http_2_or_do_tls_themselves() {
    let mut node = Node::new().await;
    let backend = format!("h2c://{}", node.answer(5, "proto h2", "%[req.ver]"));
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    node.until_answer("shop", "2.0 200 2");
    let own = rcgen::generate_simple_self_signed(["blog.gw1.example.org".to_owned()]).unwrap();
    let file = node.data.path().join("own.pem");
    fs::write(&file, own.cert.pem() + &own.signing_key.serialize_pem()).unwrap();
    let options = format!("ssl crt {} accept-proxy", file.display());
    let backend = format!("tcp://{}", node.answer(6, &options, "%[src]"));
    let mut spec = node.spec(2, "blog", &[&backend]);
    (spec.site.tls_passthrough, spec.site.proxy_protocol) = (true, true);
    node.gateway.ensure(&spec).await.unwrap();
    wait_until("the backend's own page", || node.get("blog", &["-k"]) == "127.0.0.1 200 1.1");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn two_gateways_do_not_pass_a_connection_on_for_ever() {
    let (one, two) = (Node::new().await, Node::new().await);
    let count = Arc::new(AtomicUsize::new(0));
    for (node, other) in [(&one, &two), (&two, &one)] {
        let (taken, streams) = std::sync::mpsc::channel();
        let at = node.listen(5, move |stream| drop(taken.send(stream)));
        let (to, count) = (other.ip, count.clone());
        // Outside of the namespace, where the gateways are.
        std::thread::spawn(move || {
            for stream in streams {
                let count = count.clone();
                std::thread::spawn(move || hand_on(stream, to, &count));
            }
        });
        let mut spec = node.spec(1, "shop", &[&format!("tcp://{at}")]);
        spec.site.tls_passthrough = true;
        node.gateway.ensure(&spec).await.unwrap();
    }
    let passed = || {
        let before = count.load(Ordering::Relaxed);
        let answer = one.get("shop", &["-k"]);
        (answer, count.load(Ordering::Relaxed) - before)
    };
    let by_both = (" 000 0".to_owned(), 2);
    wait_until("both to pass a connection on", || passed() == by_both);
    assert_eq!(passed(), by_both);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn trailers_of_grpc_reach_the_visitor() {
    let node = Node::new().await;
    // The proxy ends a connection whenever it likes.
    let at = node.listen(5, |stream| drop(answer_with_trailer(stream)));
    node.gateway.ensure(&node.spec(1, "shop", &[&format!("h2c://{at}")])).await.unwrap();
    let call = ["-D", "-", "-H", "TE: trailers", "-d", "request"];
    wait_until("an answer with its trailer", || {
        let answer = node.get("shop", &call);
        let (head, rest) = answer.split_once("hello").unwrap_or_default();
        head.contains("content-type: application/grpc")
            && rest.starts_with("grpc-status: 0")
            && rest.ends_with(" 200 2")
    });
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn a_websocket_passes_in_both_directions() {
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    const FRAME: &[u8] = b"\x81\x05hello";
    let node = Node::new().await;
    let at = node.listen(5, |mut stream| {
        if !head(&mut stream).to_lowercase().contains("upgrade: websocket") {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nplain");
        } else {
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
            let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut stream);
        }
    });
    node.gateway.ensure(&node.spec(1, "shop", &[&format!("http://{at}")])).await.unwrap();
    node.until_answer("shop", "plain 200 2");
    let root = fs::read(node.data.path().join("gateway/authority.crt")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&root).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect((node.ip, 443)).await.unwrap();
    let host = ServerName::try_from("shop.gw1.example.org").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(host, stream).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: shop.gw1.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    while !told.ends_with(b"\r\n\r\n") {
        told.push(timeout(LIMIT, stream.read_u8()).await.unwrap().unwrap());
    }
    let told = String::from_utf8(told).unwrap();
    assert!(told.starts_with("HTTP/1.1 101 ") && told.contains(ACCEPT), "{told}");
    for _ in 0..3 {
        stream.write_all(FRAME).await.unwrap();
        let mut back = vec![0; FRAME.len()];
        timeout(LIMIT, stream.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(back, FRAME);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn requests_go_elsewhere_when_a_backend_dies() {
    let mut node = Node::new().await;
    let (one, two) = (node.serve(5, "one"), node.serve(6, "two"));
    node.gateway.ensure(&node.spec(1, "shop", &[&one, &two])).await.unwrap();
    for answer in ["one 200 2", "two 200 2"] {
        wait_until(answer, || node.get("shop", &[]) == answer);
    }
    node.backends[0].kill().unwrap();
    node.backends[0].wait().unwrap();
    for _ in 0..20 {
        assert_eq!(node.get("shop", &[]), "two 200 2");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn a_request_that_changes_something_is_sent_once() {
    let mut node = Node::new().await;
    let (asked, requests) = std::sync::mpsc::channel();
    // It takes connections, and answers nothing.
    let at = node.listen(5, move |mut stream| {
        let method = head(&mut stream).split(' ').next().unwrap_or_default().to_owned();
        if !method.is_empty() {
            // The test may be over.
            let _ = asked.send(method);
        }
    });
    let (silent, other) = (format!("http://{at}"), node.serve(6, "other"));
    node.gateway.ensure(&node.spec(1, "shop", &[&silent])).await.unwrap();
    wait_until("the site", || node.get("shop", &["--http1.1"]).ends_with(" 502 1.1"));
    assert!(requests.try_iter().filter(|method| method == "GET").count() > 1);
    assert!(node.get("shop", &["--http1.1", "-d", "order"]).ends_with(" 502 1.1"));
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), ["POST"]);
    node.gateway.ensure(&node.spec(1, "shop", &[&silent, &other])).await.unwrap();
    node.until_answer("shop", "other 200 2");
    for _ in 0..10 {
        assert_eq!(node.get("shop", &[]), "other 200 2");
    }
    assert!(requests.try_iter().count() > 0, "its requests were repeated");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root, haproxy and pebble"]
async fn an_authority_renews_a_certificate_that_is_due() {
    let mut node = Node::new().await;
    let authority = Authority::start(node.data.path(), node.ip);
    let backend = node.serve(5, "hello");
    let name = hex::encode(&Blake2Hasher::hash(b"shop.gw1.example.org")[..16]);
    let file = node.data.path().join(format!("gateway/{name}.pem"));
    let index = node.data.path().join("gateway/certificates.json");
    let known = || -> serde_json::Value { serde_json::from_slice(&fs::read(&index).unwrap()).unwrap() };
    let host = "shop.gw1.example.org";
    let is_signed = || fs::exists(&index).unwrap() && known()[host]["is_trusted"] == true;
    node.with_authority(&authority.directory, authority.root.clone());
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    wait_until("the first certificate", is_signed);
    let first = fs::read(&file).unwrap();
    node.running.abort();
    drop((&mut node.running).await);
    let mut aged = known();
    aged[host]["renew_at_ms"] = 1.into();
    fs::write(&index, aged.to_string()).unwrap();
    node.with_authority(&authority.directory, authority.root.clone());
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    wait_until("another certificate", || {
        assert!(node.get("shop", &["-k"]).starts_with("hello 200"), "the old one serves until then");
        is_signed() && known()[host]["renew_at_ms"] != 1
    });
    let second = fs::read(&file).unwrap();
    assert_ne!(second, first);
    let served = || node.get("shop", &["-k", "-v", "--stderr", "-"]);
    wait_until("it to be served", || served().contains("Pebble Intermediate"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root, haproxy and pebble"]
async fn where_no_authority_signs_the_old_certificate_serves() {
    let mut node = Node::new().await;
    let authority = Authority::start(node.data.path(), node.ip);
    let backend = node.serve(5, "hello");
    let host = "shop.gw1.example.org";
    let name = hex::encode(&Blake2Hasher::hash(host.as_bytes())[..16]);
    let file = node.data.path().join(format!("gateway/{name}.pem"));
    let index = node.data.path().join("gateway/certificates.json");
    let known = || -> serde_json::Value { serde_json::from_slice(&fs::read(&index).unwrap()).unwrap() };
    node.with_authority(&authority.directory, authority.root.clone());
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    wait_until("a certificate", || fs::exists(&index).unwrap() && known()[host]["is_trusted"] == true);
    let signed = fs::read(&file).unwrap();
    node.running.abort();
    drop((&mut node.running).await);
    let mut aged = known();
    aged[host]["renew_at_ms"] = 1.into();
    fs::write(&index, aged.to_string()).unwrap();
    let (directory, root) = (authority.directory.clone(), authority.root.clone());
    drop(authority);
    node.with_authority(&directory, root);
    node.gateway.ensure(&node.spec(1, "shop", &[&backend])).await.unwrap();
    wait_until("a failure", || known()[host]["failures"] == 1);
    assert_eq!(known()[host]["is_trusted"], true);
    assert_eq!(fs::read(&file).unwrap(), signed);
    assert!(node.get("shop", &["-k", "-v", "--stderr", "-"]).contains("Pebble Intermediate"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and haproxy"]
async fn the_hosts_own_services_are_no_backends() {
    let node = Node::new().await;
    let mut spec = node.spec(1, "shop", &["http://127.0.0.1:80"]);
    spec.site.network = None;
    match node.gateway.ensure(&spec).await {
        Err(DriverError::Invalid { field: "/data/backends", .. }) => {}
        other => panic!("{other:?}"),
    }
    let taken = node.gateway.ensure(&node.spec(1, "mine", &["http://10.99.0.5:80"])).await;
    assert!(matches!(taken, Err(DriverError::Invalid { field: "/data/name", .. })), "{taken:?}");
}
