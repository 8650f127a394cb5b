// SPDX-License-Identifier: Apache-2.0
//! Tests of the drivers on a real Docker engine, real loop devices and a real registry. They need root, and
//! the engine's socket (`unix:///…`) in `TFGRID_DOCKER`. `make test` runs them with `with-engine cargo
//! nextest run --workspace --run-ignored only`.

use std::{
    env, fs,
    io::{Read, Write},
    net::{IpAddr, TcpListener},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tfgrid_primitives::{ContractId, FailureCode};
use tokio::{task::JoinHandle, time::timeout};
use zos_agent::drivers::{
    Bind, ContainerSpec, DriverError, ImageRules, MachineDriver, MachineSpec, MachineState, VolumeDriver,
    VolumeSpec, WorkloadId, firewall, machine::DockerMachines, volume::LoopVolumes,
};

const MIB: u64 = 1 << 20;
const ROOM: u64 = 1 << 30;
const LIMIT: Duration = Duration::from_secs(30);

/// Rules for an image that is fetched and has at most `limit` bytes.
fn fetched(limit: u64) -> ImageRules {
    ImageRules { limit, keep: false }
}

/// Drivers of a node on a real engine. Everything is removed on drop.
struct Host {
    socket: String,
    node_key: [u8; 32],
    data: TempDir,
    machines: Arc<DockerMachines>,
    volumes: LoopVolumes,
    listener: JoinHandle<()>,
}

/// The firewall rules for tenants, removed on drop.
struct Firewall;

impl Firewall {
    async fn install() -> Self {
        firewall::install().await.unwrap();
        Self
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        let _ = Command::new("nft").args(["delete", "table", "inet", "zos"]).status();
    }
}

impl Host {
    fn new() -> Self {
        let socket = env::var("TFGRID_DOCKER").expect("TFGRID_DOCKER names the engine's socket");
        let data = tempfile::tempdir().unwrap();
        let node_key = rand::random();
        let dns = vec!["1.1.1.1".into()];
        let machines = Arc::new(DockerMachines::new(socket.clone(), &node_key, dns));
        let volumes = LoopVolumes::open(data.path()).unwrap();
        let listening = machines.clone();
        let listener = tokio::spawn(async move { listening.listen().await });
        Self { socket, node_key, data, machines, volumes, listener }
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

    /// Loop devices of anything in this node's folder.
    fn loop_devices(&self) -> Vec<String> {
        let devices = stdout(Command::new("losetup").args(["--noheadings", "--output", "BACK-FILE"]));
        let data = self.data.path().to_string_lossy().into_owned();
        devices.lines().filter(|line| line.contains(&data)).map(Into::into).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.listener.abort();
        let machines = DockerMachines::new(self.socket.clone(), &self.node_key, Vec::new());
        let volumes = self.volumes.clone();
        let purge = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let purged = machines.purge().await;
                volumes.purge().await.map(drop).and(purged.map(drop))
            })
        };
        // A runtime can't be started within another.
        let purged = std::thread::spawn(purge).join();
        if !std::thread::panicking() {
            purged.unwrap().unwrap();
        }
    }
}

/// A registry with the image of a web server that has `httpd`, `sh`, `nc`, `sleep` and `dd`.
struct Registry {
    process: Child,
    address: String,
    image: String,
    _folder: TempDir,
}

impl Registry {
    fn start(host: &Host) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("storage");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '{address}'}}\n",
            storage.display()
        );
        fs::write(&config, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let mut registry = Self { process, address, image: String::new(), _folder: folder };
        registry.image = registry.push(host, "web", r#"CMD ["/bin/httpd", "-f", "-p", "80", "-h", "/data"]"#);
        registry
    }

    /// Pushes an image with this instruction and removes the engine's copy; returns its name by digest.
    fn push(&self, host: &Host, name: &str, change: &str) -> String {
        let archive = self._folder.path().join("rootfs.tar");
        pack(&self._folder.path().join("rootfs"), &archive);
        let name = format!("{}/{name}:1", self.address);
        let id = host.docker(&["import", "--change", change, &archive.to_string_lossy(), &name]);
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

/// A registry at this address that answers everything with this status, for ever.
fn refusing_registry(status: &'static str) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 4096]);
            let _ = write!(
                connection,
                "HTTP/1.1 {status}\r\nWWW-Authenticate: Basic realm=\"private\"\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    address
}

fn pack(rootfs: &Path, archive: &Path) {
    let bin = rootfs.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
    fs::set_permissions(bin.join("busybox"), fs::Permissions::from_mode(0o755)).unwrap();
    for applet in ["sh", "httpd", "nc", "sleep", "dd", "cat"] {
        let _ = symlink("busybox", bin.join(applet));
    }
    let packed = Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(archive).arg(".").status().unwrap();
    assert!(packed.success());
}

fn docker(socket: &str, args: &[&str]) -> String {
    stdout(Command::new("docker").arg("--host").arg(socket).args(args))
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
    VolumeSpec { id: id(contract, "data"), pointer: "/workloads/0".into(), size: mib * MIB }
}

fn machine(contract: ContractId, image: &str, entrypoint: &[&str]) -> MachineSpec {
    MachineSpec {
        id: id(contract, "web"),
        version: 1,
        pointer: "/workloads/1".into(),
        container: ContainerSpec {
            image: image.into(),
            cpu: 1,
            memory: 64 * MIB,
            mounts: vec![("data".into(), "/data".into())],
            env: [("GREETING".to_string(), "hello".to_string())].into(),
            entrypoint: entrypoint.iter().map(ToString::to_string).collect(),
            args: vec![],
        },
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
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_volume_keeps_its_content_until_it_is_deleted() {
    let host = Host::new();
    let contract = contract();
    let spec = volume(contract, 16);
    host.volumes.attach(&spec).await.unwrap();
    host.volumes.attach(&spec).await.unwrap();
    let dir = host.volumes.mount_point(&spec.id).await.unwrap();
    fs::write(dir.join("note"), "mine").unwrap();
    assert_eq!(host.loop_devices().len(), 1);

    host.volumes.detach(&spec.id).await.unwrap();
    host.volumes.detach(&spec.id).await.unwrap();
    assert!(host.loop_devices().is_empty());
    assert!(host.volumes.mount_point(&spec.id).await.is_err());

    let larger = volume(contract, 64);
    host.volumes.attach(&larger).await.unwrap();
    assert_eq!(fs::read_to_string(dir.join("note")).unwrap(), "mine");
    let observed = host.volumes.observe().await.unwrap();
    assert_eq!((observed[0].size, observed[0].attached), (64 * MIB, true));
    assert!(observed[0].used < 32 * MIB, "the file is sparse");

    let refused = host.volumes.attach(&spec).await.unwrap_err();
    assert!(matches!(refused, DriverError::Invalid { code: FailureCode::BodyInvalid, .. }), "{refused}");

    host.volumes.delete(&spec.id).await.unwrap();
    host.volumes.delete(&spec.id).await.unwrap();
    assert_eq!(host.volumes.observe().await.unwrap(), []);
    assert!(host.loop_devices().is_empty() && !dir.exists());
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn an_interrupted_creation_and_orphaned_devices_are_repaired() {
    let host = Host::new();
    let spec = volume(contract(), 16);
    let image = host.data.path().join(format!("volumes/{}.img", spec.id));
    fs::write(image.with_extension("img.new"), "half of it").unwrap();
    host.volumes.attach(&spec).await.unwrap();
    host.volumes.detach(&spec.id).await.unwrap();

    // The state after a crash between two steps.
    stdout(Command::new("losetup").arg("--find").arg(&image));
    stdout(Command::new("losetup").arg("--find").arg(&image));
    host.volumes.attach(&spec).await.unwrap();
    assert_eq!(host.loop_devices().len(), 2);
    host.volumes.detach(&spec.id).await.unwrap();
    assert!(host.loop_devices().is_empty());
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_volume_holds_no_more_than_its_size() {
    let host = Host::new();
    let spec = volume(contract(), 16);
    host.volumes.attach(&spec).await.unwrap();
    let dir = host.volumes.mount_point(&spec.id).await.unwrap();
    let error = fs::write(dir.join("much"), vec![1; 17 * MIB as usize]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_machine_serves_its_volume_and_leaves_nothing_behind() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let contract = contract();
    let data = volume(contract, 16);
    let web = machine(contract, &registry.image, &[]);

    host.volumes.attach(&data).await.unwrap();
    let dir = host.volumes.mount_point(&data.id).await.unwrap();
    fs::write(dir.join("index.html"), "a page from a disk").unwrap();
    host.machines.fetch_image(&web, fetched(ROOM)).await.unwrap();
    host.run(&web, &[bind(dir.clone())]).await.unwrap();
    host.run(&web, &[bind(dir.clone())]).await.unwrap();

    let MachineState::Running { ip: Some(ip) } = host.until(&web.id, is_running).await else { panic!() };
    assert_eq!(get(ip, ""), "a page from a disk");
    let usage = host.machines.usage(&web.id).await.unwrap().unwrap();
    assert!(usage.received_bytes > 0 && usage.sent_bytes > 0 && usage.memory_bytes > 0, "{usage:?}");

    // While it is in use, a volume can't be taken away, and says so.
    let busy = host.volumes.detach(&data.id).await.unwrap_err().to_string();
    assert!(busy.contains("still in use"), "{busy}");

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
    assert!(!succeeds(&host.socket, &["image", "inspect", &registry.image]), "the image is removed");
    assert!(host.loop_devices().is_empty());
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_machine_is_confined_on_the_engine() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    host.until(&web.id, is_running).await;

    let name = format!("zos-{}-{}", hex::encode(&host.node_key[..4]), web.id);
    let inspected = host.docker(&["inspect", "--format", "{{json .HostConfig}}", &name]);
    let config: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(config["Memory"], 64 * MIB);
    assert_eq!(config["MemorySwap"], 64 * MIB);
    assert_eq!(config["NanoCpus"], 1_000_000_000);
    assert_eq!(config["ReadonlyRootfs"], true);
    assert_eq!(config["PidsLimit"], 512);
    assert_eq!(config["Init"], true);
    assert_eq!(config["CapDrop"], serde_json::json!(["ALL"]));
    let exec = |script: &str| succeeds(&host.socket, &["exec", &name, "/bin/sh", "-c", script]);
    assert!(!exec("echo x > /x"), "the root can be written");
    assert!(exec("echo x > /tmp/x && echo x > /run/x"), "scratch folders can't be written");
    assert!(!exec("/bin/dd if=/dev/zero of=/tmp/y bs=1M count=17"), "scratch has no end");
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_machine_with_another_spec_is_replaced() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let mut web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let first = host.machines.observe().await.unwrap().machines.remove(0);
    web.hash = "two".into();
    host.run(&web, &[]).await.unwrap();
    let second = host.machines.observe().await.unwrap().machines.remove(0);
    assert_eq!((first.hash.as_str(), second.hash.as_str()), ("one", "two"));
    assert_ne!(first.instance, second.instance);
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_missing_image_differs_from_an_unreachable_registry() {
    let host = Host::new();
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
#[ignore = "needs a Docker engine: run by `make test`"]
async fn an_image_that_asks_for_credentials_is_refused() {
    let host = Host::new();
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
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_machine_that_cannot_be_created_is_refused() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let image = registry.push(&host, "bad", r#"VOLUME ["/bin/busybox"]"#);
    let web = host.prepared(&image, &["/bin/sleep", "1000"]).await;
    let error = host.machines.create(&web, &[]).await.unwrap_err();
    assert!(matches!(error, DriverError::Refused(_)), "{error:?}");
    assert_eq!(host.observed_state(&web.id).await, None);
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_created_machine_runs_only_once_it_is_started() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let web = host.prepared(&registry.image, &["/bin/sleep", "1000"]).await;
    host.machines.create(&web, &[]).await.unwrap();
    host.machines.create(&web, &[]).await.unwrap();
    let how = "never started".to_string();
    assert_eq!(host.observed_state(&web.id).await, Some(MachineState::Stopped { how }));
    host.machines.start(&web.id).await.unwrap();
    host.machines.start(&web.id).await.unwrap();
    host.until(&web.id, is_running).await;
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_kept_image_needs_no_registry() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let web = machine(contract(), &format!("{}/web:1", registry.address), &[]);
    let kept = ImageRules { limit: ROOM, keep: true };
    host.machines.fetch_image(&web, kept).await.unwrap();
    drop(registry);
    host.machines.fetch_image(&web, kept).await.unwrap();
    let error = host.machines.fetch_image(&web, fetched(ROOM)).await.unwrap_err();
    assert!(matches!(error, DriverError::Transient(_)), "{error:?}");
    host.docker(&["image", "rm", &web.container.image]);
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn an_image_over_its_limit_is_refused_and_removed() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let machine = machine(contract(), &registry.image, &[]);
    let error = host.machines.fetch_image(&machine, fetched(MIB)).await.unwrap_err();
    assert!(matches!(error, DriverError::Invalid { code: FailureCode::ImageTooLarge, .. }), "{error:?}");
    assert!(!succeeds(&host.socket, &["image", "inspect", &registry.image]));
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_missing_program_ends_its_machine() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let web = host.prepared(&registry.image, &["/bin/nothing"]).await;
    match host.run(&web, &[]).await {
        Ok(()) | Err(DriverError::Refused(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
    host.until(&web.id, |state| matches!(state, MachineState::Stopped { how } if how.contains("127"))).await;
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_machine_leaves_its_exit_code_and_last_words() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let script = "echo starting; echo no configuration >&2; exit 3";
    let web = host.started(&registry.image, &["/bin/sh", "-c", script]).await;
    let how = "exit code 3".to_string();
    host.until(&web.id, |state| *state == MachineState::Stopped { how: how.clone() }).await;
    let last_words = host.machines.last_words(&web.id).await.unwrap();
    assert_eq!(last_words.as_deref(), Some("no configuration"));

    let silent = host.started(&registry.image, &["/bin/sh", "-c", "echo; exit 0"]).await;
    host.until(&silent.id, |state| !is_running(state)).await;
    assert_eq!(host.machines.last_words(&silent.id).await.unwrap(), None);
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_machine_that_exceeds_its_memory_is_killed() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let script = "x=x; while true; do x=$x$x; done";
    let web = host.started(&registry.image, &["/bin/sh", "-c", script]).await;
    host.until(&web.id, |state| !is_running(state)).await;
}

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn an_exit_of_a_machine_is_noticed_at_once() {
    let host = Host::new();
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
#[ignore = "needs a Docker engine: run by `make test`"]
async fn tenants_reach_neither_the_host_nor_each_other() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let _firewall = Firewall::install().await;
    let service = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = service.local_addr().unwrap().port();

    let mut names = Vec::new();
    let mut ips = Vec::new();
    for _ in 0..2 {
        let web = host.started(&registry.image, &["/bin/httpd", "-f", "-p", "80", "-h", "/bin"]).await;
        let MachineState::Running { ip: Some(ip) } = host.until(&web.id, is_running).await else { panic!() };
        assert!(get(ip, "busybox").len() > 1000, "the host reaches tenants");
        names.push(format!("zos-{}-{}", hex::encode(&host.node_key[..4]), web.id));
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

#[tokio::test]
#[ignore = "needs a Docker engine: run by `make test`"]
async fn a_purge_removes_everything_of_this_node_and_nothing_else() {
    let (host, other) = (Host::new(), Host::new());
    let registry = Registry::start(&host);
    let (mine, others) = (contract(), contract());
    for (host, contract) in [(&host, mine), (&other, others)] {
        let data = volume(contract, 16);
        let web = machine(contract, &registry.image, &["/bin/sleep", "1000"]);
        host.volumes.attach(&data).await.unwrap();
        host.machines.fetch_image(&web, fetched(ROOM)).await.unwrap();
        let dir = host.volumes.mount_point(&data.id).await.unwrap();
        host.run(&web, &[bind(dir)]).await.unwrap();
    }
    assert_eq!(host.machines.purge().await.unwrap(), (1, 1));
    assert_eq!(host.volumes.purge().await.unwrap(), 1);
    assert!(host.loop_devices().is_empty());
    assert!(host.machines.observe().await.unwrap().machines.is_empty());
    assert!(is_running(&other.observed_state(&id(others, "web")).await.unwrap()));
}
