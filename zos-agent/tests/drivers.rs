// SPDX-License-Identifier: Apache-2.0
//! Tests of the drivers on a node's own engine, a real pool and a real registry. They need root, and a node's data
//! folder in `TFGRID_NODE`: the first test starts its engine, the others use it too, and `zos-agent purge --yes` ends
//! it. `make test` runs them with `with-engine cargo nextest run --workspace --run-ignored only`.

#[path = "drivers/gateway.rs"]
mod gateway;
#[path = "drivers/hostile.rs"]
mod hostile;
#[path = "drivers/images.rs"]
mod images;
#[path = "drivers/kills.rs"]
mod kills;
#[path = "drivers/networks.rs"]
mod networks;
#[path = "drivers/peer.rs"]
mod peer;
#[path = "drivers/pools.rs"]
mod pools;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
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

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_volume_keeps_its_content_until_it_is_deleted() {
    let host = Host::new().await;
    let contract = contract();
    let spec = volume(contract, 16);
    host.volumes.ensure(&spec).await.unwrap();
    host.volumes.ensure(&spec).await.unwrap();
    let dir = host.volumes.folder(&spec.id).await.unwrap();
    fs::write(dir.join("note"), "mine").unwrap();

    let larger = volume(contract, 64);
    host.volumes.ensure(&larger).await.unwrap();
    assert_eq!(fs::read_to_string(dir.join("note")).unwrap(), "mine");
    let observed = host.volumes.observe().await.unwrap().volumes;
    let observed = observed.iter().find(|volume| volume.id == spec.id).unwrap();
    assert_eq!(observed.size, 64 * MIB);
    assert!(observed.used < MIB, "{observed:?}");

    let refused = host.volumes.ensure(&spec).await.unwrap_err();
    assert!(matches!(refused, DriverError::Invalid { code: FailureCode::BodyInvalid, .. }), "{refused}");

    host.volumes.delete(&spec.id).await.unwrap();
    host.volumes.delete(&spec.id).await.unwrap();
    assert!(host.volumes.folder(&spec.id).await.is_err());
    assert!(!dir.exists());
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_interrupted_creation_of_a_volume_is_repaired() {
    let host = Host::new().await;
    let spec = volume(contract(), 16);
    let path = host.pool.volumes().join(spec.id.to_string());
    stdout(Command::new("btrfs").args(["subvolume", "create"]).arg(&path));
    let observed = host.volumes.observe().await.unwrap().volumes;
    assert_eq!(observed.iter().find(|volume| volume.id == spec.id).unwrap().size, 0);
    assert!(host.volumes.folder(&spec.id).await.is_err());
    host.volumes.ensure(&spec).await.unwrap();
    host.volumes.folder(&spec.id).await.unwrap();
    host.volumes.delete(&spec.id).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_volume_that_cannot_be_read_hides_no_other() {
    let host = Host::new().await;
    let (broken, whole) = (volume(contract(), 16), volume(contract(), 16));
    for spec in [&broken, &whole] {
        host.volumes.ensure(spec).await.unwrap();
    }
    let folder = host.volumes.folder(&broken.id).await.unwrap();
    // A quota that the kernel doesn't have.
    let name = "trusted.zos.id";
    rustix::fs::setxattr(&folder, name, b"999999999", rustix::fs::XattrFlags::REPLACE).unwrap();
    let observed = host.volumes.observe().await.unwrap();
    assert!(observed.unreadable.contains(&broken.id.contract));
    assert!(observed.volumes.iter().any(|volume| volume.id == whole.id));
    assert!(host.volumes.ensure(&broken).await.is_err());
    for spec in [&broken, &whole] {
        host.volumes.delete(&spec.id).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_volume_holds_no_more_than_its_size() {
    let host = Host::new().await;
    let spec = volume(contract(), 16);
    host.volumes.ensure(&spec).await.unwrap();
    let dir = host.volumes.folder(&spec.id).await.unwrap();
    let error = fs::write(dir.join("much"), vec![1; 17 * MIB as usize]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::QuotaExceeded);
    host.volumes.delete(&spec.id).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_machine_serves_its_volume_and_leaves_nothing_behind() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let contract = contract();
    let data = volume(contract, 16);
    let web = machine(contract, &registry.image, &[]);

    host.volumes.ensure(&data).await.unwrap();
    let dir = host.volumes.folder(&data.id).await.unwrap();
    fs::write(dir.join("index.html"), "a page from a disk").unwrap();
    host.machines.fetch_image(&web, fetched(ROOM)).await.unwrap();
    host.run(&web, &[bind(dir.clone())]).await.unwrap();
    host.run(&web, &[bind(dir.clone())]).await.unwrap();

    let MachineState::Running { ip: Some(ip), .. } = host.until(&web.id, is_running).await else { panic!() };
    assert_eq!(get(ip, ""), "a page from a disk");
    let usage = host.machines.usage(&web.id).await.unwrap().unwrap();
    assert!(usage.received_bytes > 0 && usage.sent_bytes > 0 && usage.memory_bytes > 0, "{usage:?}");

    host.machines.stop(&web.id).await.unwrap();
    host.machines.stop(&web.id).await.unwrap();
    assert!(!is_running(&host.observed_state(&web.id).await.unwrap()));
    assert_eq!(host.machines.usage(&web.id).await.unwrap(), None);

    host.machines.remove_machine(&web.id).await.unwrap();
    host.machines.remove_machine(&web.id).await.unwrap();
    host.volumes.delete(&data.id).await.unwrap();
    host.machines.remove_network(contract).await.unwrap();
    host.machines.remove_network(contract).await.unwrap();
    let observed = host.machines.observe().await.unwrap();
    assert!(observed.machines.is_empty() && observed.networks.is_empty());
    let label = format!("label=zos.contract={contract}");
    assert_eq!(host.docker(&["volume", "ls", "--quiet", "--filter", &label]), "", "a volume's name is left");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_machine_is_confined_on_the_engine() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    host.until(&web.id, is_running).await;

    let inspected = host.docker(&["inspect", "--format", "{{json .HostConfig}}", &host.name(&web.id)]);
    let config: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(config["Memory"], 64 * MIB);
    assert_eq!(config["MemorySwap"], 64 * MIB);
    assert_eq!(config["NanoCpus"], 1_000_000_000);
    assert_eq!(config["PidsLimit"], 512);
    assert_eq!(config["Init"], true);
    let status = host.exec(&web, "cat /proc/self/status").unwrap();
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .trim_start_matches(':')
            .trim()
            .to_owned()
    };
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("Seccomp"), "2");
    // Docker's defaults without NET_RAW, bit 13.
    assert_eq!(field("CapEff"), "00000000a80405fb");
    let users = host.exec(&web, "cat /proc/self/uid_map").unwrap();
    let outside: u32 = users.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(outside > 0, "root inside is root outside: {users}");
    assert!(host.exec(&web, "echo x >/proc/sys/kernel/hostname").is_err());
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_machine_with_another_spec_is_replaced() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let mut web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let first = host.machines.observe().await.unwrap().machines.remove(0);
    web.hash = "two".into();
    host.machines.fetch_image(&web, fetched(ROOM)).await.unwrap();
    host.run(&web, &[]).await.unwrap();
    let second = host.machines.observe().await.unwrap().machines.remove(0);
    assert_eq!((first.hash.as_str(), second.hash.as_str()), ("one", "two"));
    assert_ne!(first.instance, second.instance);
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_missing_image_differs_from_an_unreachable_registry() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let contract = contract();
    let pull = |image: String| {
        let machine = machine(contract, &image, &[]);
        let machines = &host.machines;
        async move { machines.fetch_image(&machine, fetched(ROOM)).await.unwrap_err() }
    };
    for missing in [
        format!("{}/nothing:1", registry.address),
        format!("{}/web:2", registry.address),
        format!("{}/web@sha256:{}", registry.address, "0".repeat(64)),
    ] {
        let error = pull(missing.clone()).await;
        assert!(
            matches!(
                error,
                DriverError::Invalid { code: FailureCode::ImageNotFound, field: "/data/image", .. }
            ),
            "{missing}: {error:?}"
        );
    }
    let nobody = format!("127.0.0.1:{}/web:1", free_port());
    let error = pull(nobody).await;
    assert!(matches!(error, DriverError::Transient(_)), "{error:?}");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_image_that_asks_for_credentials_is_refused() {
    let host = Host::new().await;
    for (status, expected) in [
        ("401 Unauthorized", FailureCode::ImageDenied),
        ("403 Forbidden", FailureCode::ImageDenied),
        ("404 Not Found", FailureCode::ImageNotFound),
    ] {
        let image = format!("{}/web:1", refusing_registry(status));
        let machine = machine(contract(), &image, &[]);
        let error = host.machines.fetch_image(&machine, fetched(ROOM)).await.unwrap_err();
        assert!(
            matches!(error, DriverError::Invalid { code, .. } if code == expected),
            "{status}: {error:?}"
        );
    }
    let image = format!("{}/web:1", refusing_registry("503 Service Unavailable"));
    let machine = machine(contract(), &image, &[]);
    let error = host.machines.fetch_image(&machine, fetched(ROOM)).await.unwrap_err();
    assert!(matches!(error, DriverError::Transient(_)), "{error:?}");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn failures_of_a_registry_are_told_apart() {
    const CORRUPT: &str = "isn't what its digest says";
    let host = Host::new().await;
    let fetch = async |address: String| {
        let machine = machine(contract(), &format!("{address}/web:1"), &[]);
        host.machines.fetch_image(&machine, fetched(ROOM)).await
    };
    let good = HandMade::new("amd64");
    let other = HandMade::new("s390x");
    let other_in_list = HandMade::new("s390x");
    let damaged = |damage: fn(&mut Vec<u8>)| -> Answers {
        let image = HandMade::damaged(damage);
        Box::new(move |path| image.answer(path))
    };
    let cases: [(&str, Answers, Option<&str>); 9] = [
        (
            "another architecture",
            Box::new(move |path| other.answer(path)),
            Some("isn't for the architecture"),
        ),
        ("a layer that is cut off", damaged(|layer| layer.truncate(layer.len() / 2)), Some(CORRUPT)),
        ("a layer with a wrong bit", damaged(|layer| layer[20] ^= 1), Some(CORRUPT)),
        ("a layer that is no archive", damaged(|layer| layer.fill(b'x')), Some(CORRUPT)),
        (
            "a list without this architecture",
            Box::new(move |path| {
                if !path.ends_with("/manifests/1") {
                    return other_in_list.answer(path);
                }
                let list = other_in_list.list("s390x");
                ("200 OK", format!("Content-Type: {}\r\n", HandMade::LIST), list)
            }),
            Some("isn't for the architecture"),
        ),
        ("a corrupt layer", corrupted(|image| digest(&image.layer)), Some(CORRUPT)),
        ("a corrupt configuration", corrupted(|image| digest(&image.config)), Some(CORRUPT)),
        (
            "too many requests",
            Box::new(|_| {
                let text = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}"#;
                ("429 Too Many Requests", "Content-Type: application/json\r\n".into(), text.into())
            }),
            None,
        ),
        ("fault", Box::new(|_| ("503 Service Unavailable", String::new(), Vec::new())), None),
    ];
    for (what, answer, expected) in cases {
        let error = fetch(server(answer)).await.unwrap_err();
        match (&error, expected) {
            (DriverError::Refused { code: FailureCode::ImageNotFound, message, .. }, Some(CORRUPT)) => {
                assert!(message.contains(CORRUPT), "{what}: {message}");
            }
            (DriverError::Invalid { code: FailureCode::ImageNotFound, message, .. }, Some(words)) => {
                assert!(message.contains(words) && words != CORRUPT, "{what}: {message}");
            }
            (DriverError::Transient(_), None) => {}
            _ => panic!("{what}: {error:?}"),
        }
    }
    if std::env::consts::ARCH == "x86_64" {
        fetch(server(move |path| good.answer(path))).await.unwrap();
    }
}

/// A registry that answers with something else for one of an image's digests.
fn corrupted(which: impl Fn(&HandMade) -> String) -> Answers {
    let image = HandMade::new("amd64");
    let bad = which(&image);
    Box::new(move |path| {
        let (status, headers, mut body) = image.answer(path);
        if path.ends_with(&bad) {
            body[20] ^= 1;
        }
        (status, headers, body)
    })
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_private_image_is_its_owners_alone() {
    let host = Host::new().await;
    let mut registry = Registry::start(&host);
    let login = registry.ask_for_credentials();
    let tag = format!("{}/web:1", registry.address);
    let machine = |image: &str, login: Option<&Login>| {
        let mut machine = machine(contract(), image, &["/bin/sleep", "1000"]);
        machine.container.mounts.clear();
        machine.registry = login.cloned();
        machine
    };
    let mine = machine(&tag, Some(&login));
    host.machines.fetch_image(&mine, fetched(ROOM)).await.unwrap();
    host.run(&mine, &[]).await.unwrap();
    host.machines.fetch_image(&machine(&registry.image, Some(&login)), fetched(ROOM)).await.unwrap();

    let wrong = Login { password: "sesame".into(), ..login.clone() };
    for image in [&tag, &registry.image] {
        for login in [None, Some(&wrong)] {
            let others = machine(image, login);
            for keep in [false, true] {
                let fetched = host.machines.fetch_image(&others, ImageRules { limit: ROOM, keep }).await;
                assert!(
                    matches!(fetched, Err(DriverError::Invalid { code: FailureCode::ImageDenied, .. })),
                    "{image} {keep}: {fetched:?}"
                );
            }
            assert!(host.machines.create(&others, &[]).await.is_err(), "{image}");
        }
    }
    let kept = host.docker(&["inspect", &host.name(&mine.id), &registry.image]);
    assert!(kept.contains("zos.invalid/") && !kept.contains(PASSWORD), "{kept}");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_tag_that_moves_moves_no_confirmed_machine() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let tag = format!("{}/web:1", registry.address);
    let id_of =
        |machine: &MachineSpec| host.docker(&["inspect", "--format", "{{.Image}}", &host.name(&machine.id)]);
    let web = host.started(&tag, &["/bin/sleep", "1000"]).await;
    let before = id_of(&web);

    registry.push(&host, "web", "LABEL moved=yes");
    let others = host.started(&tag, &["/bin/sleep", "1000"]).await;
    assert_ne!(id_of(&others), before);
    host.machines.remove_machine(&web.id).await.unwrap();
    host.machines.fetch_image(&web, ImageRules { limit: ROOM, keep: true }).await.unwrap();
    host.run(&web, &[]).await.unwrap();
    assert_eq!(id_of(&web), before);

    let mut changed = web;
    changed.hash = "two".into();
    host.machines.fetch_image(&changed, fetched(ROOM)).await.unwrap();
    host.run(&changed, &[]).await.unwrap();
    assert_eq!(id_of(&changed), id_of(&others));
}

/// It runs alone: nextest's configuration names it.
#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn unused_images_go_when_room_is_short() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let share = host.pool.share().unwrap().images;
    let has = |machine: &MachineSpec| {
        let name = format!("zos.invalid/{}/{}:one", hex::encode(&host.node_key[..4]), machine.id);
        succeeds(&host.socket, &["image", "inspect", &name])
    };
    let prepare = async |name: &str| {
        let image = registry.push(&host, name, &format!("LABEL name={name}"));
        host.prepared(&image, &["/bin/sleep", "1000"]).await
    };
    let first = prepare("first").await;
    // All that is unused goes, whatever other tests have left.
    let all = machine(contract(), &registry.image, &[]);
    host.machines.fetch_image(&all, fetched(share)).await.unwrap();
    assert!(!has(&first) && has(&all));

    let (used, old, new) = (prepare("used").await, prepare("old").await, prepare("new").await);
    let wanted = prepare("wanted").await;
    host.machines
        .want_images([&all, &wanted].map(|machine| (machine.id.clone(), machine.hash.clone())).into());
    for machine in [&used, &new] {
        host.machines.create(machine, &[]).await.unwrap();
    }
    host.machines.remove_machine(&new.id).await.unwrap();
    let sizes = host.docker(&["image", "inspect", "--format", "{{.Size}}", &registry.image]);
    let size: u64 = sizes.parse().unwrap();
    host.machines.fetch_image(&all, fetched(share - 4 * size - size / 2)).await.unwrap();
    assert_eq!([&used, &new, &wanted].map(has), [true; 3]);
    assert!(!has(&old));
    host.machines.fetch_image(&all, fetched(share)).await.unwrap();
    assert_eq!([&used, &new, &wanted].map(has), [true, false, true]);
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn tenants_images_come_from_public_addresses_alone() {
    let host = Host::new().await;
    let victims = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap()];
    let [port, port6] = victims.each_ref().map(|victim| victim.local_addr().unwrap().port());
    for victim in &victims {
        victim.set_nonblocking(true).unwrap();
    }
    let places = [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("[::1]:{port6}"),
        "169.254.169.254:80".into(),
        "10.255.255.1:80".into(),
    ];
    for place in &places {
        for (lure, leads_astray) in [("blobs/", true), ("manifests/", true), ("", false)] {
            let (image, to) = (HandMade::new("amd64"), place.clone());
            let hostile = server(move |path| match path {
                "/v2/" if !leads_astray => {
                    let realm = format!("WWW-Authenticate: Bearer realm=\"http://{to}/token\"\r\n");
                    ("401 Unauthorized", realm, Vec::new())
                }
                path if leads_astray && path.contains(lure) => {
                    ("307 Temporary Redirect", format!("Location: http://{to}/\r\n"), Vec::new())
                }
                path => image.answer(path),
            });
            // The firewall takes it for a mirror of the farmer's, which may have any address.
            let registries = Registries { mirrors: vec![format!("http://{hostile}")], allow_private: false };
            let _firewall = Firewall::install_with(&registries).await;
            let machine = machine(contract(), &format!("{hostile}/web:1"), &[]);
            let begun = Instant::now();
            let error = host.machines.fetch_image(&machine, fetched(ROOM)).await.unwrap_err();
            assert!(
                begun.elapsed() < LIMIT && format!("{error:?}").contains("refused"),
                "{place}: {error:?}"
            );
        }
    }
    for victim in &victims {
        assert!(victim.accept().is_err(), "a service of this machine was reached");
    }

    let _firewall = Firewall::install_with(&Registries::default()).await;
    let choice = EngineChoice { socket: host.socket.clone(), any: false, private_registries: false };
    let strict = DockerMachines::new(choice, host.pool.clone(), &host.node_key, &[]);
    let mut places = vec![places[0].clone(), places[1].clone(), places[4].clone()];
    // Where the machine's own name is in /etc/hosts, it stands for a name server's answer.
    let name = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let own = format!("{}:{port}", name.trim());
    places.extend(
        own.to_socket_addrs().is_ok_and(|mut found| found.all(|to| to.ip().is_loopback())).then_some(own),
    );
    for place in places {
        let machine = machine(contract(), &format!("{place}/web:1"), &[]);
        match strict.fetch_image(&machine, fetched(ROOM)).await.unwrap_err() {
            DriverError::Invalid { code: FailureCode::BodyInvalid, message, .. } => {
                assert!(message.contains("doesn't fetch images from private addresses"), "{message}");
            }
            error => panic!("{place}: {error:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_machine_that_cannot_be_created_is_refused() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let image = registry.push(&host, "bad", r#"VOLUME ["/bin/busybox"]"#);
    let web = host.prepared(&image, &["/bin/sleep", "1000"]).await;
    let error = host.machines.create(&web, &[]).await.unwrap_err();
    assert!(matches!(error, DriverError::Refused { .. }), "{error:?}");
    assert_eq!(host.observed_state(&web.id).await, None);
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_created_machine_runs_only_once_it_is_started() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let web = host.prepared(&registry.image, &["/bin/sleep", "1000"]).await;
    host.machines.create(&web, &[]).await.unwrap();
    host.machines.create(&web, &[]).await.unwrap();
    let how = "never started".to_string();
    assert_eq!(host.observed_state(&web.id).await, Some(MachineState::Stopped { how, exit: None }));
    host.machines.start(&web.id).await.unwrap();
    host.machines.start(&web.id).await.unwrap();
    host.until(&web.id, is_running).await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_kept_image_needs_no_registry() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let web = machine(contract(), &format!("{}/web:1", registry.address), &[]);
    let kept = ImageRules { limit: ROOM, keep: true };
    host.machines.fetch_image(&web, kept).await.unwrap();
    drop(registry);
    host.machines.fetch_image(&web, kept).await.unwrap();
    let error = host.machines.fetch_image(&web, fetched(ROOM)).await.unwrap_err();
    assert!(matches!(error, DriverError::Transient(_)), "{error:?}");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_image_over_its_limit_is_refused_and_removed() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let machine = machine(contract(), &registry.image, &[]);
    let error = host.machines.fetch_image(&machine, fetched(MIB)).await.unwrap_err();
    assert!(matches!(error, DriverError::Invalid { code: FailureCode::ImageTooLarge, .. }), "{error:?}");
    assert!(!succeeds(&host.socket, &["image", "inspect", &registry.image]));
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_missing_program_ends_its_machine() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let web = host.prepared(&registry.image, &["/bin/nothing"]).await;
    match host.run(&web, &[]).await {
        Ok(()) | Err(DriverError::Refused { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
    host.until(&web.id, |state| matches!(state, MachineState::Stopped { how, .. } if how.contains("127")))
        .await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_machine_leaves_its_exit_code_and_last_words() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    // The engine has no order between the two streams.
    let script = "echo starting; sleep 0.5; echo no configuration >&2; exit 3";
    let web = host.started(&registry.image, &["/bin/sh", "-c", script]).await;
    let how = "exit code 3".to_string();
    host.until(&web.id, |state| *state == MachineState::Stopped { how: how.clone(), exit: Some(3) }).await;
    let last_words = host.machines.last_words(&web.id).await.unwrap();
    assert_eq!(last_words.as_deref(), Some("no configuration"));

    let silent = host.started(&registry.image, &["/bin/sh", "-c", "echo; exit 0"]).await;
    host.until(&silent.id, |state| !is_running(state)).await;
    assert_eq!(host.machines.last_words(&silent.id).await.unwrap(), None);
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_machine_that_exceeds_its_memory_is_killed() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let script = "x=x; while true; do x=$x$x; done";
    let web = host.started(&registry.image, &["/bin/sh", "-c", script]).await;
    host.until(&web.id, |state| !is_running(state)).await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_exit_of_a_machine_is_noticed_at_once() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let web = host.prepared(&registry.image, &["/bin/sleep", "1000"]).await;

    let noticed = async {
        let mut noticed = 0;
        while noticed < 2 {
            host.machines.changed().await;
            let machines = host.machines.observe().await.unwrap().machines;
            match (noticed, machines.first().map(|machine| machine.is_running())) {
                (0, Some(true)) => {
                    noticed = 1;
                    host.docker(&["kill", machines[0].instance.split('@').next().unwrap()]);
                }
                (1, Some(false)) => noticed = 2,
                _ => {}
            }
        }
    };
    let start = async {
        host.run(&web, &[]).await.unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = noticed => {}
        () = start => {}
        () = tokio::time::sleep(LIMIT) => panic!("timed out waiting for events of the engine"),
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn tenants_reach_neither_the_host_nor_each_other() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let _firewall = Firewall::install().await;
    let service = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = service.local_addr().unwrap().port();

    let mut names = Vec::new();
    let mut ips = Vec::new();
    for _ in 0..2 {
        let web = host.started(&registry.image, &["/bin/httpd", "-f", "-p", "80", "-h", "/bin"]).await;
        let MachineState::Running { ip: Some(ip), .. } = host.until(&web.id, is_running).await else {
            panic!()
        };
        assert!(get(ip, "busybox").len() > 1000, "the host reaches tenants");
        names.push(host.name(&web.id));
        ips.push(ip);
    }
    let gateway = host.docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}",
        &names[0],
    ]);
    let reaches = |ip: &str, port: u16| {
        let connect = ["exec", &names[0], "/bin/nc", "-w", "2", ip, &port.to_string()];
        succeeds(&host.socket, &connect)
    };
    assert!(reaches(&ips[0].to_string(), 80), "the test's own tool fails");
    assert!(!reaches(&gateway, port), "the host is reached");
    assert!(!reaches(&ips[1].to_string(), 80), "another tenant is reached");
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

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn tenants_send_mail_only_where_the_farmer_lets_them() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let _firewall = Firewall::install().await;
    let _internet = Internet::with_servers(&[25, 80]);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let name = host.name(&web.id);
    let reaches =
        |port: &str| succeeds(&host.socket, &["exec", &name, "/bin/nc", "-w", "2", Internet::ADDRESS, port]);
    wait_until("the web server to be reached", || reaches("80"));
    assert!(!reaches("25"));
    AgentFirewall::new(true, any_registry(), Vec::new()).ensure().await.unwrap();
    wait_until("the mail server to be reached", || reaches("25"));
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn machines_ask_the_farms_name_servers_for_names_only() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let _firewall = Firewall::install().await;
    let _farm = Internet::with_servers(&[53, 80]);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let name = host.name(&web.id);
    let reaches = |address: &str, port: &str| {
        succeeds(&host.socket, &["exec", &name, "/bin/nc", "-w", "2", address, port])
    };
    wait_until("the internet to be reached", || reaches(Internet::ADDRESS, "53"));
    assert!(!reaches(Internet::PRIVATE, "53"));
    let name_server = Internet::PRIVATE.parse().unwrap();
    AgentFirewall::new(false, any_registry(), vec![name_server]).ensure().await.unwrap();
    wait_until("the name server to be reached", || reaches(Internet::PRIVATE, "53"));
    assert!(!reaches(Internet::PRIVATE, "80"));
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

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_purge_removes_everything_of_this_node_and_nothing_else() {
    let (host, other) = (Host::new().await, Host::new().await);
    let registry = Registry::start(&host);
    let (mine, others) = (contract(), contract());
    for (host, contract) in [(&host, mine), (&other, others)] {
        let data = volume(contract, 16);
        let web = machine(contract, &registry.image, &["/bin/sleep", "1000"]);
        host.volumes.ensure(&data).await.unwrap();
        host.machines.fetch_image(&web, fetched(ROOM)).await.unwrap();
        let dir = host.volumes.folder(&data.id).await.unwrap();
        host.run(&web, &[bind(dir)]).await.unwrap();
    }
    assert_eq!(host.machines.purge().await.unwrap(), (1, 1));
    assert!(host.machines.observe().await.unwrap().machines.is_empty());
    assert!(is_running(&other.observed_state(&id(others, "web")).await.unwrap()));
    other.destroy(others).await;
    host.destroy(mine).await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_root_can_be_written_and_ends_at_its_limit() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let other = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    host.exec(&web, "echo x >/x && echo x >/run/x && echo x >/var/cache/web/x").unwrap();
    let full = host.exec(&web, "dd if=/dev/zero of=/much bs=1M count=70").unwrap_err();
    assert!(full.contains("quota"), "{full}");
    // Overwriting what the image brought counts too.
    assert!(host.exec(&web, "cat /bin/busybox >/bin/busybox.new").is_err());
    host.exec(&other, "dd if=/dev/zero of=/much bs=1M count=40").unwrap();
    assert_eq!(host.exec(&web, "/bin/busybox rm /much; echo x >/y; cat /y").unwrap(), "x");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_volume_of_an_image_is_limited_and_survives_updates() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let image = registry.push(&host, "db", "VOLUME [\"/seeded\", \"/var/lib/db\"]");
    let mut db = host.started(&image, &["/bin/sleep", "1000"]).await;
    assert_eq!(host.exec(&db, "cat /seeded/file").unwrap(), "from the image");
    // Three quarters of 64 MiB are for all of them together.
    let full = host.exec(&db, "dd if=/dev/zero of=/seeded/much bs=1M count=30 && dd if=/dev/zero of=/var/lib/db/much bs=1M count=30");
    assert!(full.unwrap_err().contains("quota"));
    assert!(host.exec(&db, "dd if=/dev/zero of=/much bs=1M count=20").unwrap_err().contains("quota"));
    host.exec(&db, "/bin/busybox rm /seeded/much; echo mine >/seeded/file").unwrap();
    let anonymous =
        host.docker(&["inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", &host.name(&db.id)]);
    assert!(anonymous.split_whitespace().all(|name| name.starts_with("zos-")), "{anonymous}");

    db.hash = "two".into();
    host.machines.fetch_image(&db, fetched(ROOM)).await.unwrap();
    host.run(&db, &[]).await.unwrap();
    assert_eq!(host.exec(&db, "cat /seeded/file").unwrap(), "mine");

    host.destroy(db.id.contract).await;
    let left: Vec<_> = host.volumes.observe().await.unwrap().volumes;
    assert!(left.iter().all(|volume| volume.id.contract != db.id.contract), "{left:?}");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_fresh_volume_belongs_to_the_user_of_the_image() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let image = registry.push(&host, "app", "USER app");
    let mut app = host.prepared(&image, &["/bin/sleep", "1000"]).await;
    let names = [("empty", "/var/lib/app"), ("home", "/home/app"), ("seeded", "/seeded")];
    app.container.mounts = names.map(|(name, path)| (name.to_string(), path.to_string())).to_vec();
    let mut binds = Vec::new();
    for (name, target) in names {
        let spec = VolumeSpec { id: id(app.id.contract, name), ..volume(app.id.contract, 16) };
        host.volumes.ensure(&spec).await.unwrap();
        let source = host.volumes.folder(&spec.id).await.unwrap();
        binds.push(Bind { source, target: target.into() });
    }
    host.run(&app, &binds).await.unwrap();
    assert_eq!(host.exec(&app, "id -u").unwrap(), "1000");
    host.exec(&app, "echo x >/var/lib/app/x && echo y >/home/app/file && echo z >/seeded/z").unwrap();
    assert_eq!(host.exec(&app, "cat /seeded/file").unwrap(), "from the image");

    // Later uses change no owner.
    chown(&binds[0].source, Some(0), Some(0)).unwrap();
    app.hash = "two".into();
    host.machines.fetch_image(&app, fetched(ROOM)).await.unwrap();
    host.run(&app, &binds).await.unwrap();
    assert_eq!(host.exec(&app, "cat /home/app/file").unwrap(), "y");
    assert!(host.exec(&app, "echo x >/var/lib/app/y").is_err());
    host.destroy(app.id.contract).await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn machines_of_a_contract_share_a_volume() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let mut web = host.prepared(&registry.image, &["/bin/sleep", "1000"]).await;
    web.container.mounts = vec![("data".into(), "/data".into())];
    let spec = volume(web.id.contract, 16);
    host.volumes.ensure(&spec).await.unwrap();
    let binds = [bind(host.volumes.folder(&spec.id).await.unwrap())];
    let other = MachineSpec { id: id(web.id.contract, "other"), ..web.clone() };
    host.machines.fetch_image(&other, fetched(ROOM)).await.unwrap();
    for machine in [&web, &other] {
        host.run(machine, &binds).await.unwrap();
    }
    host.exec(&web, "echo hello >/data/page").unwrap();
    assert_eq!(host.exec(&other, "cat /data/page").unwrap(), "hello");
    assert!(host.exec(&other, "dd if=/dev/zero of=/data/full bs=1M count=32").is_err());
    assert_eq!(host.exec(&web, "cat /data/page").unwrap(), "hello");
    host.destroy(web.id.contract).await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_image_does_what_it_does_on_a_stock_engine() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    for script in [
        "echo x >/home/x && chown 1000:1000 /home/x && [ \"$(stat -c %u /home/x)\" = 1000 ]",
        "[ \"$(/bin/busybox su app -c 'id -u')\" = 1000 ]",
        "chroot / /bin/sh -c id",
        "cp /bin/busybox /tmp/busybox && /tmp/busybox true",
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=20 && cat /dev/null >/dev/shm/x",
        "/bin/busybox mknod /tmp/p p",
    ] {
        if let Err(output) = host.exec(&web, script) {
            panic!("{script}: {output}");
        }
    }
    let image = registry.push(&host, "unprivileged", "USER app");
    let web = host.started(&image, &["/bin/httpd", "-f", "-p", "80", "-h", "/seeded"]).await;
    let MachineState::Running { ip: Some(ip), .. } = host.until(&web.id, is_running).await else { panic!() };
    assert_eq!(get(ip, "file"), "from the image");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_machine_runs_as_its_deployment_says() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let mut web = host.prepared(&registry.image, &["/bin/sleep", "1000"]).await;
    web.container.user = Some("app".into());
    web.container.workdir = Some("/seeded".into());
    web.container.hostname = Some("db.example.org".into());
    web.container.shm = Some(MIB);
    web.container.cpu = 25;
    host.run(&web, &[]).await.unwrap();
    assert_eq!(
        host.exec(&web, "id -u; cat file; cat /proc/sys/kernel/hostname").unwrap(),
        "1000\nfrom the imagedb.example.org"
    );
    assert!(host.exec(&web, "dd if=/dev/zero of=/dev/shm/x bs=1M count=2").is_err());
    let cpus = host.docker(&["inspect", "--format", "{{.HostConfig.NanoCpus}}", &host.name(&web.id)]);
    assert_eq!(cpus, "250000000");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn limits_capabilities_and_time_to_stop_are_as_asked_for() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let mut web = host.prepared(&registry.image, &["/bin/sh", "-c", "trap '' TERM; sleep 1000"]).await;
    web.container.ulimits = [("nofile".to_string(), 100)].into();
    web.container.capabilities = ["SYS_PTRACE".to_string()].into();
    web.container.stop_seconds = Some(2);
    host.run(&web, &[]).await.unwrap();
    host.until(&web.id, is_running).await;
    assert_eq!(host.exec(&web, "ulimit -n; ulimit -c").unwrap(), "100\n0");
    let status = host.exec(&web, "cat /proc/1/status").unwrap();
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
    let bounding = u64::from_str_radix(bounding, 16).unwrap();
    let has = |capability: u64| bounding & (1 << capability) != 0;
    // SYS_PTRACE, NET_RAW and SYS_ADMIN.
    assert_eq!([19, 13, 21].map(has), [true, false, false]);

    let begun = Instant::now();
    host.machines.stop(&web.id).await.unwrap();
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(9), "{took:?}");
}

/// Device nodes of cards that the host doesn't have, at the paths at which containers see them: with user namespaces,
/// these are the host's.
struct Cards([PathBuf; 2]);

impl Drop for Cards {
    fn drop(&mut self) {
        for node in &self.0 {
            let _ = fs::remove_file(node);
        }
        // Unless the host has cards of its own.
        let _ = fs::remove_dir("/dev/dri");
    }
}

/// A system with two cards of AMD; their nodes are those of `/dev/zero`.
fn system_with_gpus() -> (TempDir, Cards) {
    let root = tempfile::tempdir().unwrap();
    symlink("/dev", root.path().join("dev")).unwrap();
    let cards = Cards([241, 242].map(|number| format!("/dev/dri/renderD{number}").into()));
    for number in [241, 242] {
        let device = root.path().join(format!("sys/bus/pci/devices/0000:{number}:00.0"));
        fs::create_dir_all(device.join(format!("drm/renderD{number}"))).unwrap();
        for (file, text) in [("class", "0x030000"), ("vendor", "0x1002"), ("device", "0x73bf")] {
            fs::write(device.join(file), text).unwrap();
        }
        fs::create_dir_all("/dev/dri").unwrap();
        let node = format!("/dev/dri/renderD{number}");
        stdout(Command::new("mknod").args(["-m", "600", &node, "c", "1", "5"]));
    }
    (root, cards)
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_gpu_belongs_to_one_machine_until_that_is_removed() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let (root, _cards) = system_with_gpus();
    let choice = EngineChoice { socket: host.socket.clone(), any: false, private_registries: true };
    let machines = DockerMachines::new(choice, host.pool.clone(), &host.node_key, &[])
        .with_gpus(Gpus::open(root.path(), 2).unwrap());
    let (mut first, mut second) = (
        host.prepared(&registry.image, &["/bin/sleep", "1000"]).await,
        host.prepared(&registry.image, &["/bin/sleep", "1000"]).await,
    );
    (first.container.gpus, second.container.gpus) = (1, 1);
    for machine in [&first, &second] {
        machines.create(machine, &[]).await.unwrap();
        machines.start(&machine.id).await.unwrap();
    }
    let nodes = |machine: &MachineSpec| host.exec(machine, "ls /dev/dri").unwrap();
    assert_eq!((nodes(&first), nodes(&second)), ("renderD241".to_string(), "renderD242".to_string()));
    assert_eq!(host.exec(&first, "head -c 3 /dev/dri/renderD241 | wc -c").unwrap(), "3");

    let mut third = host.prepared(&registry.image, &["/bin/sleep", "1000"]).await;
    third.container.gpus = 1;
    let busy = machines.create(&third, &[]).await.unwrap_err();
    assert!(matches!(busy, DriverError::Transient(_)), "{busy}");
    // A machine that is stopped keeps its own.
    machines.stop(&first.id).await.unwrap();
    assert!(machines.create(&third, &[]).await.is_err());
    machines.remove_machine(&first.id).await.unwrap();
    machines.create(&third, &[]).await.unwrap();
    machines.start(&third.id).await.unwrap();
    assert_eq!(nodes(&third), "renderD241");
    let mut greedy = host.prepared(&registry.image, &["/bin/sleep", "1000"]).await;
    greedy.container.gpus = 3;
    let refused = machines.create(&greedy, &[]).await.unwrap_err().to_string();
    assert!(refused.starts_with("this node has 2 GPUs"), "{refused}");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_health_check_finds_out_whether_a_machine_works() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let check = |check| Some(Health { check, start_seconds: 0 });
    let exec = |words: &[&str]| check(Check::Exec(words.iter().map(ToString::to_string).collect()));
    let http = |path: &str| check(Check::Http { port: 80, path: path.into() });
    let image = registry.push(
        &host,
        "checked",
        r#"HEALTHCHECK --interval=1s --retries=1 CMD ["/bin/sh", "-c", "exit 1"]"#,
    );
    for (image, health, works) in [
        (&registry.image, http("/file"), true),
        (&registry.image, http("/none"), false),
        (&registry.image, check(Check::Tcp { port: 80 }), true),
        (&registry.image, check(Check::Tcp { port: 81 }), false),
        (&registry.image, exec(&["/bin/sh", "-c", "[ -f /seeded/file ]"]), true),
        (&image, None, false),
        (&image, check(Check::Tcp { port: 80 }), true),
    ] {
        let mut web = host.prepared(image, &["/bin/httpd", "-f", "-p", "80", "-h", "/seeded"]).await;
        web.container.health = health.clone();
        host.run(&web, &[]).await.unwrap();
        let has_ended_checks = |state: &MachineState| match state {
            MachineState::Running { condition: Condition::Healthy, .. } => works,
            MachineState::Running { condition: Condition::Unhealthy(_), .. } => !works,
            _ => false,
        };
        println!("{health:?}");
        host.until(&web.id, has_ended_checks).await;
        host.destroy(web.id.contract).await;
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_end_differs_from_a_stop_whatever_the_exit_code() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let exit = |state: &MachineState| match state {
        MachineState::Stopped { exit, .. } => Some(*exit),
        MachineState::Running { .. } => None,
    };
    let job = host.started(&registry.image, &["/bin/sh", "-c", "exit 0"]).await;
    host.until(&job.id, |state| exit(state) == Some(Some(0))).await;
    host.machines.stop(&job.id).await.unwrap();
    host.until(&job.id, |state| exit(state) == Some(Some(0))).await;

    let script = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
    let web = host.started(&registry.image, &["/bin/sh", "-c", script]).await;
    host.until(&web.id, is_running).await;
    host.machines.stop(&web.id).await.unwrap();
    host.until(&web.id, |state| exit(state) == Some(None)).await;
    host.machines.start(&web.id).await.unwrap();
    host.docker(&["kill", "--signal", "TERM", &host.name(&web.id)]);
    host.until(&web.id, |state| exit(state) == Some(Some(0))).await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn images_have_a_share_of_the_pool() {
    let host = Host::new().await;
    let share = host.pool.share().unwrap();
    assert!(share.images >= POOL_BYTES / 10 && share.offered < POOL_BYTES - share.images, "{share:?}");
}

/// It runs alone, and so does the next: nextest's configuration names them.
#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_fetch_ends_before_it_takes_room_from_tenants() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let web = machine(contract(), &registry.image, &[]);
    let padding = host.pool.volumes().with_file_name("padding");
    let space = rustix::fs::statvfs(host.pool.volumes()).unwrap();
    let length = space.f_bavail * space.f_frsize - host.pool.share().unwrap().reserve / 2;
    let file = fs::File::create(&padding).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length).unwrap();
    let fetched = host.machines.fetch_image(&web, fetched(ROOM)).await;
    fs::remove_file(&padding).unwrap();
    stdout(Command::new("btrfs").args(["filesystem", "sync"]).arg(host.pool.volumes()));
    match fetched.unwrap_err() {
        DriverError::Invalid { code: FailureCode::ImageTooLarge, message, .. } => {
            assert!(message.contains("unpacks to more"), "{message}");
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_engine_that_dies_comes_back_and_machines_run_on() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let pid = || host.docker(&["inspect", "--format", "{{.State.Pid}}", &host.name(&web.id)]);
    let before = (host.machines.observe().await.unwrap().machines, pid());
    let socket = Path::new(host.socket.strip_prefix("unix://").unwrap());
    for (program, config) in [("dockerd", "dockerd.json"), ("containerd", "containerd.toml")] {
        let config = socket.with_file_name(config);
        let line = stdout(Command::new("pgrep").arg("-f").arg(format!("^{program}.*{}", config.display())));
        stdout(Command::new("kill").args(["-9", &line]));
        let begun = Instant::now();
        while host.machines.observe().await.is_ok() && begun.elapsed() < Duration::from_millis(500) {}
        while host.machines.observe().await.is_err() {
            assert!(begun.elapsed() < LIMIT, "{program} doesn't come back");
            sleep(LIMIT / 300).await;
        }
        assert_eq!((host.machines.observe().await.unwrap().machines, pid()), before, "after {program}");
    }
    let begun = Instant::now();
    while host.exec(&web, "id").is_err() {
        assert!(begun.elapsed() < LIMIT, "containerd doesn't come back");
        sleep(LIMIT / 300).await;
    }
    host.machines.stop(&web.id).await.unwrap();
    assert!(!is_running(&host.observed_state(&web.id).await.unwrap()));
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

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_engine_that_is_not_fit_runs_machines_only_if_told() {
    // Before the host, which is dropped first and removes its machines.
    let stock = StockEngine::start();
    let mut host = Host::new().await;
    let machines = |any| {
        let choice = EngineChoice { socket: stock.socket.clone(), any, private_registries: any };
        Arc::new(DockerMachines::new(choice, host.pool.clone(), &host.node_key, &[]))
    };
    let (careful, careless) = (machines(false), machines(true));
    let begun = Instant::now();
    while let Err(error) = careless.ready().await {
        assert!(begun.elapsed() < LIMIT, "{error:#}");
        sleep(LIMIT / 300).await;
    }
    let error = careful.ready().await.unwrap_err().to_string();
    for part in ["isn't fit for tenants", "user namespaces", "live restore", "Leave --engine out"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(careful.observe().await.unwrap_err().to_string(), error);

    (host.machines, host.socket) = (careless, stock.socket.clone());
    let registry = Registry::start(&host);
    let image = registry.push(&host, "db", "VOLUME /seeded");
    let db = host.prepared(&image, &["/bin/sleep", "1000"]).await;
    let data = volume(db.id.contract, 16);
    host.volumes.ensure(&data).await.unwrap();
    host.run(&db, &[bind(host.volumes.folder(&data.id).await.unwrap())]).await.unwrap();
    host.exec(&db, "cat /seeded/file && echo x >/data/x && echo x >/x").unwrap();
    host.destroy(db.id.contract).await;
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
    stdout(Command::new("btrfs").args(["device", "scan", "--forget"]));
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_disk_that_holds_data_is_never_formatted() {
    let (data, node) = (tempfile::tempdir().unwrap(), rand::random());
    let (full, blank) = (Disk::new(), Disk::new());
    stdout(Command::new("mkfs.ext4").args(["-q", &full.device]));
    for place in [full.device.clone(), format!("{},{}", blank.device, full.device)] {
        let error = open(&data, &place, node).await.unwrap_err();
        assert!(error.contains("holds data (ext4)") && error.contains("wipefs --all"), "{error}");
    }
    assert_eq!((full.signatures().as_str(), blank.signatures().as_str()), ("ext4", ""));
    let error = open(&data, "/dev/no-such-disk", node).await.unwrap_err();
    assert!(error.contains("there is no /dev/no-such-disk"), "{error}");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_pool_on_disks_is_used_again_and_removed() {
    let (data, node) = (tempfile::tempdir().unwrap(), rand::random());
    let (one, two) = (Disk::new(), Disk::new());
    let place = format!("{},{}", one.device, two.device);
    let pool = open(&data, &place, node).await.unwrap();
    let folder = pool.volumes().join("7-data");
    pool.ensure_subvolume(&folder, 16 * MIB).await.unwrap();
    fs::write(folder.join("note"), "mine").unwrap();
    open(&data, &place, node).await.unwrap();

    unmount(&pool);
    let error = pool.check().await.unwrap_err().to_string();
    assert!(error.contains("is gone"), "{error}");
    two.disconnect();
    let error = open(&data, &one.device, node).await.unwrap_err();
    assert!(error.contains("is a disk of the pool missing"), "{error}");
    two.connect();
    let other = open(&data, &place, rand::random()).await.unwrap_err();
    assert!(other.contains("belongs to the node with the key"), "{other}");
    let pool = open(&data, &place, node).await.unwrap();
    assert_eq!(fs::read_to_string(folder.join("note")).unwrap(), "mine");
    assert_eq!(pool.subvolume(&folder).unwrap().unwrap().limit, 16 * MIB);

    pool.remove().await.unwrap();
    assert_eq!((one.signatures() + &two.signatures()).as_str(), "");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_pool_in_a_file_grows_and_does_not_shrink() {
    let (data, node) = (tempfile::tempdir().unwrap(), rand::random());
    let pool = open(&data, "4GiB", node).await.unwrap();
    let before = pool.share().unwrap().offered;
    let pool = open(&data, "8GiB", node).await.unwrap();
    assert!(pool.share().unwrap().offered >= before + (3 << 30));
    let error = open(&data, "4GiB", node).await.unwrap_err();
    assert!(error.contains("can't shrink"), "{error}");
    pool.remove().await.unwrap();
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_folder_on_btrfs_can_be_the_pool() {
    let host = Host::new().await;
    let (data, node): (_, [u8; 32]) = (tempfile::tempdir().unwrap(), rand::random());
    let folder = host.pool.volumes().with_file_name(format!("folder-{}", hex::encode(&node[..4])));
    let place = folder.to_str().unwrap();
    let pool = open(&data, place, node).await.unwrap();
    let volume = pool.volumes().join("7-data");
    pool.ensure_subvolume(&volume, 16 * MIB).await.unwrap();
    assert!(pool.share().unwrap().offered > 0);
    pool.remove().await.unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::remove_dir(&folder).unwrap();
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_self_test_passes_in_seconds_and_leaves_nothing() {
    let host = Host::new().await;
    let _firewall = Firewall::install().await;
    let firewall = AgentFirewall::new(false, any_registry(), Vec::new());
    let test = SelfTest { machines: &host.machines, volumes: &host.volumes, firewall: &firewall };
    let names = format!("reference=zos.invalid/*/{}-*", ContractId::MAX);
    let images = || host.docker(&["image", "ls", "--quiet", "--filter", &names]);
    let begun = Instant::now();
    test.run().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(host.machines.observe().await.unwrap().machines, []);
    assert!(host.machines.observe().await.unwrap().networks.is_empty());
    assert_eq!(host.volumes_of(ContractId::MAX).await, []);
    assert_eq!(images(), "");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_self_test_removes_what_a_killed_one_has_left() {
    let host = Host::new().await;
    let _firewall = Firewall::install().await;
    let firewall = AgentFirewall::new(false, any_registry(), Vec::new());
    let test = SelfTest { machines: &host.machines, volumes: &host.volumes, firewall: &firewall };
    let runs = async {
        let begun = Instant::now();
        while !host.machines.observe().await.unwrap().machines.iter().any(|machine| machine.is_running()) {
            assert!(begun.elapsed() < LIMIT, "its machine doesn't run");
        }
    };
    tokio::select! {
        result = test.run() => panic!("it wasn't killed: {result:?}"),
        () = runs => {}
    }
    test.run().await.unwrap();
    assert_eq!(host.machines.observe().await.unwrap().machines, []);
}

/// A firewall that isn't there, and volumes that are larger than they should be.
struct Loose(PoolVolumes);

#[async_trait::async_trait]
impl FirewallDriver for Loose {
    async fn ensure(&self) -> Result<(), DriverError> {
        Ok(())
    }
}

#[async_trait::async_trait]
impl VolumeDriver for Loose {
    async fn faults(&self) -> Vec<(DiskKind, PoolFault)> {
        self.0.faults().await
    }

    async fn observe(&self) -> Result<ObservedVolumes, DriverError> {
        self.0.observe().await
    }

    async fn ensure(&self, spec: &VolumeSpec) -> Result<(), DriverError> {
        self.0.ensure(&VolumeSpec { size: 4 * spec.size, ..spec.clone() }).await
    }

    async fn folder(&self, id: &WorkloadId) -> Result<PathBuf, DriverError> {
        self.0.folder(id).await
    }

    async fn delete(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.0.delete(id).await
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_self_test_finds_a_missing_limit_or_firewall() {
    let host = Host::new().await;
    let loose = Loose(host.volumes.clone());
    let mut test = SelfTest { machines: &host.machines, volumes: &host.volumes, firewall: &loose };
    let why = test.run().await.unwrap_err().to_string();
    assert!(why.contains("no firewall keeps tenants from it"), "{why}");
    test.volumes = &loose;
    let why = test.run().await.unwrap_err().to_string();
    assert!(why.contains("fit in /data, which is limited to 16 MiB"), "{why}");
    assert_eq!(host.volumes_of(ContractId::MAX).await, []);
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_confirmed_sealed_machine_starts_without_the_chain() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let _firewall = Firewall::install().await;
    let text = format!(
        r#"{{"version":1,"workloads":[{{"name":"web","type":"zmachine","data":{{"image":"{}","cpu":1,
            "memory":67108864,"rootfs":67108864,"env":{{"PASSWORD":"{PASSWORD}"}},
            "entrypoint":["/bin/sleep","1000"]}}}}]}}"#,
        registry.image
    );
    let key = SealKey::new(&[7; 32]).unwrap();
    let body = Body::Sealed(seal(text.as_bytes(), &[key.recipient()]).unwrap());
    let reserved = Resources { cru: 1, mru: ROOM, sru: ROOM, hru: 0, gpu: 0 };
    let active = Version { number: 1, body_hash: body.hash().0, reserved };
    let id = contract();
    let confirmed =
        Contract { id, twin: 1, active, state: ContractState::Deployed, pending: None, paused: false };
    let desired = Desired::new(confirmed, Some(body), None, &key);
    let web = desired.active.workloads().unwrap().machines[0].clone();
    host.machines.fetch_image(&web, fetched(ROOM)).await.unwrap();
    host.run(&web, &[]).await.unwrap();
    host.docker(&["kill", &host.name(&web.id)]);
    host.until(&web.id, |state| !is_running(state)).await;

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let snapshot = Snapshot {
        head: Head { number: 5, hash: [5; 32], timestamp_ms: 0 },
        age: HeadAge::New,
        contracts: [(id, Arc::new(desired))].into(),
        limits: ChainLimits { heartbeat_ms: 1_000, usage_ms: 1_000, answer_ms: 1_000 },
        grants: Default::default(),
    };
    stored::write(&store, &snapshot).unwrap();
    let joined = Joined { genesis: Default::default(), node: 1, client: None };
    let endpoints = Endpoints::new(vec![format!("ws://127.0.0.1:{}", free_port())]);
    let chain = Arc::new(RpcChain::new(endpoints, joined, MachineKey::generate().0));
    let (_snapshots, snapshots) = watch::channel(None);
    let outputs = Outputs {
        reports: watch::channel(Reports::new()).0,
        engine_up: watch::channel(false).0,
        observed: watch::channel(Arc::default()).0,
        standings: watch::channel(Arc::default()).0,
        done: mpsc::channel(1).0,
    };
    let drivers = Drivers {
        machines: host.machines.clone(),
        volumes: Arc::new(host.volumes.clone()),
        networks: Arc::new(PrivateNetworks::new(
            &host.node_key,
            Vec::new(),
            env!("CARGO_BIN_EXE_zos-agent").into(),
        )),
        gateways: Arc::new(Gateway::new(folder.path(), &host.node_key, GatewayArgs::default(), &[]).unwrap()),
        firewall: Arc::new(AgentFirewall::new(false, any_registry(), Vec::new())),
    };
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let timing = Timing { await_chain: Duration::ZERO, ..Timing::default() };
    let memory = Memory::load(store, &key).unwrap();
    let engine = Engine::new(chain, drivers, snapshots, outputs, memory, timing, metrics);
    let engine = tokio::spawn(engine.run());
    host.until(&web.id, is_running).await;
    engine.abort();

    let inspect = |what: &str| host.docker(&["inspect", "--format", what, &host.name(&web.id)]);
    assert!(inspect("{{json .Config.Env}}").contains(PASSWORD));
    assert!(!inspect("{{json .Config.Labels}}").contains(PASSWORD));
    let needles = [PASSWORD.to_owned(), hex::encode(PASSWORD)];
    for entry in fs::read_dir(folder.path()).unwrap() {
        let text = String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned();
        assert!(!needles.iter().any(|needle| text.contains(needle)), "{text}");
    }
}
