// SPDX-License-Identifier: Apache-2.0
//! Tests of the drivers on a node's own engine, a real pool and a real registry. They need root, and a node's data
//! folder in `TFGRID_NODE`: the first test starts its engine, the others use it too, and `zos-agent purge --yes` ends
//! it. `make test` runs them with `with-engine cargo nextest run --workspace --run-ignored only`.

#[path = "drivers/copies.rs"]
mod copies;
#[path = "drivers/disks.rs"]
mod disks;
#[path = "drivers/engines.rs"]
mod engines;
#[path = "drivers/gateway.rs"]
mod gateway;
#[path = "drivers/hostile.rs"]
mod hostile;
#[path = "drivers/images.rs"]
mod images;
#[path = "drivers/kills.rs"]
mod kills;
#[path = "drivers/links.rs"]
mod links;
#[path = "drivers/machines.rs"]
mod machines;
#[path = "drivers/networks.rs"]
mod networks;
#[path = "drivers/peer.rs"]
mod peer;
#[path = "drivers/pools.rs"]
mod pools;
#[path = "drivers/public.rs"]
mod public;
#[path = "drivers/registries.rs"]
mod registries;
#[path = "drivers/self_test.rs"]
mod self_test;
#[path = "drivers/snapshots.rs"]
mod snapshots;
#[path = "drivers/tenants.rs"]
mod tenants;
#[path = "drivers/volumes.rs"]
mod volumes;

use rustix::{
    fs::{Mode, OFlags, open as open_file},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use std::{
    env, fs,
    io::{Read, Write},
    net::{IpAddr, TcpListener, TcpStream, ToSocketAddrs},
    os::{
        fd::AsFd,
        unix::{
            fs::{PermissionsExt, chown, symlink},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tfgrid_client::{
    MachineKey,
    deployment::{Check, DiskKind, Health},
    sealing::{SealKey, seal},
};
use tfgrid_primitives::{ContractId, FailureCode, Resources};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use zos_agent::{
    chain::{
        Body, ChainLimits, Contract, ContractState, Head, HeadAge, Reports, Snapshot, Version,
        client::{Joined, RpcChain},
        desired::Desired,
        endpoints::Endpoints,
        stored,
    },
    drivers::{
        Bind, Condition, ContainerSpec, Credentials as Login, DriverError, FirewallDriver, ImageRules,
        MachineDriver, MachineSpec, MachineState, ObservedVolume, ObservedVolumes, VolumeDriver, VolumeSpec,
        WorkloadId,
        address::PublicAddresses,
        dockerd::OwnEngine,
        firewall::Firewall as AgentFirewall,
        gateway::{AcmeArgs, Gateway, GatewayArgs},
        machine::{DockerMachines, EngineChoice},
        network::PrivateNetworks,
        pool::{Pool, PoolFault, PoolPlace, Pools},
        registries::Registries,
        volume::PoolVolumes,
    },
    engine::{Engine, Memory, Outputs, Timing, reconcile::Drivers},
    gpus::Gpus,
    identity::Identity,
    metrics::Metrics,
    self_test::SelfTest,
    store::Store,
};

const MIB: u64 = 1 << 20;
const ROOM: u64 = 1 << 30;
/// Its tenth, which is for images, holds one of 2 GiB.
const POOL_BYTES: u64 = 24 << 30;
const LIMIT: Duration = Duration::from_secs(30);
const PASSWORD: &str = "open sesame";

/// Rules for an image that is fetched and has at most `limit` bytes.
fn fetched(limit: u64) -> ImageRules {
    ImageRules { limit, keep: false }
}

/// Drivers of a node on the shared engine. Everything of it is removed on drop.
struct Host {
    socket: String,
    node_key: [u8; 32],
    pool: Pool,
    machines: Arc<DockerMachines>,
    volumes: PoolVolumes,
    tasks: Vec<JoinHandle<()>>,
}

/// The agent's program.
const AGENT: &str = env!("CARGO_BIN_EXE_zos-agent");

/// Rules that stop no other test from fetching images.
fn any_registry() -> Registries {
    Registries { allow_private: true, ..Default::default() }
}

/// The firewall rules for tenants, removed on drop.
struct Firewall;

impl Firewall {
    async fn install() -> Self {
        Self::install_with(&any_registry()).await
    }

    async fn install_with(registries: &Registries) -> Self {
        AgentFirewall::new(false, registries.clone(), Vec::new()).ensure().await.unwrap();
        Self
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        let _ = Command::new("nft").args(["delete", "table", "inet", "zos"]).status();
    }
}

impl Host {
    async fn new() -> Self {
        let data = PathBuf::from(env::var("TFGRID_NODE").expect("TFGRID_NODE names a node's data folder"));
        let lock = fs::File::create(data.join("test.lock")).unwrap();
        lock.lock().unwrap();
        let owner = Identity::load_or_create(&data).unwrap().node_key().public();
        let store = Store::open(data.join("state")).unwrap();
        let place = PoolPlace::File(POOL_BYTES);
        place.remember(&store, DiskKind::Ssd).unwrap();
        let pool = Pool::open(&data, DiskKind::Ssd, place, &owner).await.unwrap();
        let own = OwnEngine::new(&data, &pool, &owner, Vec::new(), AGENT.into());
        let socket = own.socket();
        let node_key = rand::random();
        let choice = EngineChoice { socket: socket.clone(), any: false, private_registries: true };
        let machines = Arc::new(DockerMachines::new(choice, pool.clone(), &node_key, &[[1, 1, 1, 1].into()]));
        let mut tasks = vec![tokio::spawn(own.run())];
        let begun = Instant::now();
        while let Err(error) = machines.ready().await {
            assert!(begun.elapsed() < LIMIT, "{error:#}");
            sleep(LIMIT / 300).await;
        }
        // A test before may have ended it.
        let containerd = Path::new(socket.strip_prefix("unix://").unwrap()).with_file_name("containerd.sock");
        wait_until("containerd", || UnixStream::connect(&containerd).is_ok());
        let listening = machines.clone();
        tasks.push(tokio::spawn(async move { listening.listen().await }));
        let volumes = PoolVolumes::new(Pools { ssd: pool.clone(), hdd: None });
        Self { socket, node_key, pool, machines, volumes, tasks }
    }

    fn docker(&self, args: &[&str]) -> String {
        docker(&self.socket, args)
    }

    /// A machine without mounts whose image is fetched.
    async fn prepared(&self, image: &str, entrypoint: &[&str]) -> MachineSpec {
        let mut spec = machine(contract(), image, entrypoint);
        spec.container.mounts.clear();
        self.machines.fetch_image(&spec, fetched(ROOM)).await.unwrap();
        spec
    }

    /// A machine without mounts that was started.
    async fn started(&self, image: &str, entrypoint: &[&str]) -> MachineSpec {
        let spec = self.prepared(image, entrypoint).await;
        self.run(&spec, &[]).await.unwrap();
        spec
    }

    /// Creates the machine if it is missing, and starts it.
    async fn run(&self, spec: &MachineSpec, binds: &[Bind]) -> Result<(), DriverError> {
        self.machines.create(spec, binds).await?;
        self.machines.start(&spec.id).await
    }

    /// Whether a connection from the machine is taken there.
    fn reaches(&self, from: &WorkloadId, address: &str, port: u16) -> bool {
        let connect = ["exec", &self.name(from), "/bin/nc", "-w", "2", address, &port.to_string()];
        succeeds(&self.socket, &connect)
    }

    async fn volumes_of(&self, contract: ContractId) -> Vec<ObservedVolume> {
        let mut volumes = self.volumes.observe().await.unwrap().volumes;
        volumes.retain(|volume| volume.id.contract == contract);
        volumes
    }

    async fn observed_state(&self, id: &WorkloadId) -> Option<MachineState> {
        let observed = self.machines.observe().await.unwrap();
        observed.machines.into_iter().find(|machine| machine.id == *id).map(|machine| machine.state)
    }

    /// Waits until the machine has the wanted state. Checks it at each event of the engine.
    async fn until(&self, id: &WorkloadId, wanted: impl Fn(&MachineState) -> bool) -> MachineState {
        let begun = Instant::now();
        loop {
            match self.observed_state(id).await {
                Some(state) if wanted(&state) => return state,
                other => assert!(begun.elapsed() < LIMIT, "timed out waiting for {id}; it is {other:?}"),
            }
            // An event before the listener was ready is lost, hence the timeout.
            let _ = timeout(Duration::from_millis(500), self.machines.changed()).await;
        }
    }

    /// Runs a script in the machine; `Err` has its output too.
    fn exec(&self, machine: &MachineSpec, script: &str) -> Result<String, String> {
        let mut command = Command::new("docker");
        command.args(["--host", &self.socket, "exec", &self.name(&machine.id), "/bin/sh", "-c", script]);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    /// Name of a machine's container.
    fn name(&self, id: &WorkloadId) -> String {
        format!("zos-{}-{id}", hex::encode(&self.node_key[..4]))
    }

    /// The kernel's folder about the bridge of a contract's network.
    fn bridge(&self, contract: ContractId) -> PathBuf {
        let options = "{{index .Options \"com.docker.network.bridge.name\"}}";
        let network = format!("zos-{contract}");
        let bridge = self.docker(&["network", "inspect", "--format", options, &network]);
        Path::new("/sys/class/net").join(bridge)
    }

    /// Removes everything of the contract.
    async fn destroy(&self, contract: ContractId) {
        for machine in self.machines.observe().await.unwrap().machines {
            if machine.id.contract == contract {
                self.machines.remove_machine(&machine.id).await.unwrap();
            }
        }
        for volume in self.volumes.observe().await.unwrap().volumes {
            if volume.id.contract == contract {
                self.volumes.delete(&volume.id).await.unwrap();
            }
        }
        self.machines.remove_network(contract).await.unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        let choice = EngineChoice { socket: self.socket.clone(), any: true, private_registries: true };
        let machines = DockerMachines::new(choice, self.pool.clone(), &self.node_key, &[]);
        let purge = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(machines.purge())
        };
        // A runtime can't be started within another.
        let purged = std::thread::spawn(purge).join();
        // A gateway's, if the test had one. Other nodes' purges take it for that of a node.
        let _ = fs::remove_dir_all(format!("/run/zos/{}", hex::encode(&self.node_key[..4])));
        if !std::thread::panicking() {
            purged.unwrap().unwrap();
        }
    }
}

/// A registry with the image of a web server, made of busybox.
struct Registry {
    process: Child,
    address: String,
    image: String,
    folder: TempDir,
}

impl Registry {
    fn start(host: &Host) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let process = Self::serve(folder.path(), &address, "");
        let mut registry = Self { process, address, image: String::new(), folder };
        registry.image = registry.push(host, "web", r#"CMD ["/bin/httpd", "-f", "-p", "80", "-h", "/data"]"#);
        registry
    }

    fn serve(folder: &Path, address: &str, more: &str) -> Child {
        let config = folder.join("config.yml");
        let storage = folder.join("storage");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '{address}'}}\n{more}",
            storage.display()
        );
        fs::write(&config, text).unwrap();
        let mut serve = Command::new("docker-registry");
        serve.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        serve.spawn().expect("docker-registry is installed")
    }

    /// From now on, it gives its images to this user only.
    fn ask_for_credentials(&mut self) -> Login {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let users = self.folder.path().join("users");
        fs::write(&users, "owner:$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n").unwrap();
        let auth = format!("auth: {{htpasswd: {{realm: private, path: '{}'}}}}\n", users.display());
        self.process = Self::serve(self.folder.path(), &self.address, &auth);
        wait_until("the registry", || TcpStream::connect(&self.address).is_ok());
        Login { user: "owner".into(), password: PASSWORD.into() }
    }

    /// What its images hold.
    fn rootfs(&self) -> PathBuf {
        self.folder.path().join("rootfs")
    }

    /// Pushes an image with these instructions, one a line, and removes the engine's copy; returns its name by
    /// digest.
    fn push(&self, host: &Host, name: &str, changes: &str) -> String {
        let archive = self.folder.path().join("rootfs.tar");
        pack(&self.rootfs(), &archive);
        self.push_packed(host, name, changes, &archive)
    }

    /// The same with the content of an archive.
    fn push_packed(&self, host: &Host, name: &str, changes: &str, archive: &Path) -> String {
        let name = format!("{}/{name}:1", self.address);
        let archive = archive.to_string_lossy();
        let changes = changes.lines().flat_map(|change| ["--change", change]);
        let words: Vec<&str> = ["import"].into_iter().chain(changes).chain([&*archive, &name]).collect();
        let id = host.docker(&words);
        let begun = Instant::now();
        while !succeeds(&host.socket, &["push", "--quiet", &name]) {
            assert!(begun.elapsed() < LIMIT, "can't push to the registry");
        }
        let digest = host.docker(&["image", "inspect", "--format", "{{index .RepoDigests 0}}", &name]);
        host.docker(&["image", "rm", "--force", &id]);
        digest
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Status, headers with a line break after each, and body.
type Answer = (&'static str, String, Vec<u8>);
type Answers = Box<dyn Fn(&str) -> Answer + Send>;

/// A server on loopback that answers each path like this, for ever; returns its address.
fn server(answer: impl Fn(&str) -> Answer + Send + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let length = connection.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let mut words = request.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let (status, headers, body) = answer(path);
            let _ = write!(
                connection,
                "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            if method != "HEAD" {
                let _ = connection.write_all(&body);
            }
        }
    });
    address
}

/// A registry that answers everything with this status.
fn refusing_registry(status: &'static str) -> String {
    server(move |_| (status, "WWW-Authenticate: Basic realm=\"private\"\r\n".into(), Vec::new()))
}

fn digest(content: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    let sum = stdout(Command::new("sha256sum").arg(file.path()));
    format!("sha256:{}", sum.split(' ').next().unwrap())
}

/// An image of one layer for this architecture, of which no engine has any part.
struct HandMade {
    config: Vec<u8>,
    layer: Vec<u8>,
    manifest: Vec<u8>,
}

impl HandMade {
    const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

    fn new(architecture: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tar = folder.path().join("layer.tar");
        fs::write(folder.path().join("file"), rand::random::<[u8; 64]>()).unwrap();
        stdout(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(folder.path()).arg("file"));
        let tar_digest = digest(&fs::read(&tar).unwrap());
        stdout(Command::new("gzip").arg(&tar));
        let layer = fs::read(folder.path().join("layer.tar.gz")).unwrap();
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","config":{{}},
                "rootfs":{{"type":"layers","diff_ids":["{tar_digest}"]}},"history":[{{"created_by":"hand"}}]}}"#
        );
        Self::of(config.into_bytes(), layer)
    }

    fn of(config: Vec<u8>, layer: Vec<u8>) -> Self {
        let blob = |kind: &str, content: &[u8]| {
            let (digest, size) = (digest(content), content.len());
            format!(r#"{{"mediaType":"application/vnd.docker.{kind}","size":{size},"digest":"{digest}"}}"#)
        };
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
            Self::MANIFEST,
            blob("container.image.v1+json", &config),
            blob("image.rootfs.diff.tar.gzip", &layer)
        );
        Self { config, layer, manifest: manifest.into_bytes() }
    }

    /// The same with a layer that its maker has damaged: the digest is that of what is sent.
    fn damaged(damage: impl Fn(&mut Vec<u8>)) -> Self {
        let Self { config, mut layer, .. } = Self::new("amd64");
        damage(&mut layer);
        Self::of(config, layer)
    }

    /// A list with its manifest alone, said to be for this architecture.
    fn list(&self, architecture: &str) -> Vec<u8> {
        let (media, digest, size) = (Self::MANIFEST, digest(&self.manifest), self.manifest.len());
        let platform = format!(r#"{{"architecture":"{architecture}","os":"linux"}}"#);
        let entry =
            format!(r#"{{"mediaType":"{media}","size":{size},"digest":"{digest}","platform":{platform}}}"#);
        let list = Self::LIST;
        format!(r#"{{"schemaVersion":2,"mediaType":"{list}","manifests":[{entry}]}}"#).into_bytes()
    }

    /// What a registry that has it answers.
    fn answer(&self, path: &str) -> Answer {
        let found = |kind: &str, content: &[u8]| {
            let headers = format!("Content-Type: {kind}\r\nDocker-Content-Digest: {}\r\n", digest(content));
            ("200 OK", headers, content.to_vec())
        };
        match path.rsplit('/').next().unwrap_or_default() {
            "" => ("200 OK", String::new(), Vec::new()),
            end if end == digest(&self.config) => found("application/octet-stream", &self.config),
            end if end == digest(&self.layer) => found("application/octet-stream", &self.layer),
            _ => found(Self::MANIFEST, &self.manifest),
        }
    }
}

fn pack(rootfs: &Path, archive: &Path) {
    let bin = rootfs.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
    fs::set_permissions(bin.join("busybox"), fs::Permissions::from_mode(0o755)).unwrap();
    for applet in stdout(Command::new("busybox").arg("--list")).lines() {
        let _ = symlink("busybox", bin.join(applet));
    }
    for folder in ["etc", "run", "tmp", "sbin", "var/cache/web", "var/lib/db", "seeded", "home/app"] {
        fs::create_dir_all(rootfs.join(folder)).unwrap();
    }
    fs::set_permissions(rootfs.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    let _ = symlink("../bin/busybox", rootfs.join("sbin/init"));
    let _ = symlink("../../../../../../tmp", rootfs.join("escape"));
    fs::write(rootfs.join("etc/inittab"), "::sysinit:/bin/touch /run/booted\n").unwrap();
    fs::write(rootfs.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
        .unwrap();
    fs::write(rootfs.join("seeded/file"), "from the image").unwrap();
    fs::write(rootfs.join("home/app/file"), "from the image").unwrap();
    for path in ["home/app", "home/app/file", "var/lib/db"] {
        chown(rootfs.join(path), Some(1000), Some(1000)).unwrap();
    }
    let packed = Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(archive).arg(".").status().unwrap();
    assert!(packed.success());
}

fn docker(socket: &str, args: &[&str]) -> String {
    stdout(Command::new("docker").arg("--host").arg(socket).args(args))
}

/// Waits until `holds`; each try takes some time.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} for {what}");
    }
}

fn succeeds(socket: &str, args: &[&str]) -> bool {
    let mut command = Command::new("docker");
    let status = command.arg("--host").arg(socket).args(args).stdout(Stdio::null()).stderr(Stdio::null());
    status.status().unwrap().success()
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A random id, so that tests on one engine don't collide.
fn contract() -> ContractId {
    u64::from(rand::random::<u32>())
}

fn id(contract: ContractId, name: &str) -> WorkloadId {
    WorkloadId { contract, name: name.into() }
}

fn volume(contract: ContractId, mib: u64) -> VolumeSpec {
    VolumeSpec {
        id: id(contract, "data"),
        pointer: "/workloads/0".into(),
        size: mib * MIB,
        disk: DiskKind::Ssd,
        restores: false,
    }
}

fn machine(contract: ContractId, image: &str, entrypoint: &[&str]) -> MachineSpec {
    MachineSpec {
        id: id(contract, "web"),
        version: 1,
        pointer: "/workloads/1".into(),
        restart: Default::default(),
        is_held: false,
        registry: None,
        container: ContainerSpec {
            image: image.into(),
            cpu: 100,
            memory: 64 * MIB,
            rootfs: 64 * MIB,
            mounts: vec![("data".into(), "/data".into())],
            env: [("GREETING".to_string(), "hello".to_string())].into(),
            entrypoint: entrypoint.iter().map(ToString::to_string).collect(),
            ..Default::default()
        },
        attachment: Default::default(),
        public: None,
        hash: "one".into(),
    }
}

fn bind(source: PathBuf) -> Bind {
    Bind { source, target: "/data".into() }
}

fn is_running(state: &MachineState) -> bool {
    matches!(state, MachineState::Running { .. })
}

/// A page of a machine. Tries again until the machine's server listens.
fn get(ip: IpAddr, path: &str) -> String {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().proxy(None).timeout_global(Some(LIMIT)).build().into();
    let begun = Instant::now();
    loop {
        match agent.get(format!("http://{ip}/{path}")).call() {
            Ok(mut response) => {
                let page = response.body_mut().read_to_vec().unwrap();
                return String::from_utf8_lossy(&page).into_owned();
            }
            Err(error) => assert!(begun.elapsed() < LIMIT, "{ip}: {error}"),
        }
    }
}

/// A network namespace with a public address, as a machine on the internet has. It ends with its processes.
struct Internet {
    processes: Vec<Child>,
}

impl Internet {
    const ADDRESS: &str = "11.22.33.2";
    /// An address of the farm's own network.
    const PRIVATE: &str = "192.168.77.2";

    /// With web servers at these ports.
    fn with_servers(ports: &[u16]) -> Self {
        let holder = Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap();
        let pid = holder.id();
        let mut internet = Self { processes: vec![holder] };
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        wait_until("the namespace", || namespace(&pid.to_string()) != namespace("self"));
        let inside = format!("nsenter --target {pid} --net");
        for command in [
            format!("ip link add zt-host type veth peer name zt-far netns {pid}"),
            "ip addr add 11.22.33.1/30 dev zt-host".into(),
            "ip addr add 192.168.77.1/30 dev zt-host".into(),
            "ip link set zt-host up".into(),
            format!("{inside} ip addr add {}/30 dev zt-far", Self::ADDRESS),
            format!("{inside} ip addr add {}/30 dev zt-far", Self::PRIVATE),
            format!("{inside} ip link set zt-far up"),
        ] {
            assert!(words(&command).status().unwrap().success(), "{command}");
        }
        for port in ports {
            let server = format!("{inside} busybox httpd -f -p {port}");
            internet.processes.push(words(&server).spawn().unwrap());
        }
        internet
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        // A namespace ends a little after its processes, and the link with it.
        let _ = Command::new("ip").args(["link", "delete", "zt-host"]).stderr(Stdio::null()).status();
    }
}

fn enter(namespace: &fs::File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// A command from its words.
fn words(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

/// An engine of another's making. It ends on drop.
struct StockEngine {
    process: Child,
    socket: String,
    folder: TempDir,
}

impl StockEngine {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let socket = format!("unix://{}", path("docker.sock"));
        fs::write(path("daemon.json"), "{}").unwrap();
        let process = Command::new("dockerd")
            .args(["--config-file", &path("daemon.json"), "--host", &socket, "--data-root", &path("data")])
            .args([
                "--exec-root",
                &path("exec"),
                "--pidfile",
                &path("pid"),
                "--bridge",
                "none",
                "--iptables=false",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, socket, folder }
    }
}

impl Drop for StockEngine {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for place in places.filter(|place| Path::new(place).starts_with(self.folder.path())) {
            let _ = Command::new("umount").arg(place).status();
        }
    }
}

/// A blank disk: a loop device on a sparse file.
struct Disk {
    device: String,
    file: tempfile::NamedTempFile,
}

impl Disk {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(2 << 30).unwrap();
        let device = stdout(Command::new("losetup").args(["--find", "--show"]).arg(file.path()));
        Self { device, file }
    }

    fn disconnect(&self) {
        stdout(Command::new("losetup").args(["--detach", &self.device]));
        // The kernel waits until nobody has it open, such as another test that scans all disks.
        let kernel = self.device.replace("/dev/", "/sys/block/");
        wait_until("a disk to be gone", || !Path::new(&kernel).join("loop").exists());
    }

    fn connect(&self) {
        stdout(Command::new("losetup").arg(&self.device).arg(self.file.path()));
    }

    fn signatures(&self) -> String {
        stdout(Command::new("wipefs").args(["--no-act", "--noheadings", "--output", "TYPE", &self.device]))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let mine = mounts.lines().filter(|line| line.split(' ').next() == Some(&self.device));
        for place in mine.filter_map(|line| line.split(' ').nth(1)) {
            let _ = Command::new("umount").arg(place).status();
        }
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

async fn open(data: &TempDir, place: &str, node: [u8; 32]) -> Result<Pool, String> {
    open_for(DiskKind::Ssd, data, place, node).await
}

async fn open_for(disk: DiskKind, data: &TempDir, place: &str, node: [u8; 32]) -> Result<Pool, String> {
    let pool = Pool::open(data.path(), disk, place.parse().unwrap(), &node).await;
    pool.map_err(|error| format!("{error:#}"))
}

/// As a reboot does.
fn unmount(pool: &Pool) {
    let root = pool.volumes().parent().unwrap().to_owned();
    wait_until("a pool that nothing uses", || {
        Command::new("umount").arg("--quiet").arg(&root).status().unwrap().success()
    });
    // A machine that starts, or a grid on a machine of its own, has a copy of all mounts for a moment.
    wait_until("disks that nothing uses", || {
        let is_free = |disk: &PathBuf| open_file(disk, OFlags::RDONLY | OFlags::EXCL, Mode::empty()).is_ok();
        pool.devices().iter().all(is_free)
    });
    stdout(Command::new("btrfs").args(["device", "scan", "--forget"]));
}
