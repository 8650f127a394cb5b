// SPDX-License-Identifier: Apache-2.0
//! The agent or its engine is killed at every step of a machine's life. The same call, made again, ends in the same
//! state, and nothing is left over.

use super::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Steps of a machine's life, in order.
#[derive(Clone, Copy, Debug)]
enum Step {
    Fetch,
    Create,
    Start,
    Update,
    Stop,
    Resume,
    Remove,
    Clean,
}

const STEPS: [Step; 8] = [
    Step::Fetch,
    Step::Create,
    Step::Start,
    Step::Update,
    Step::Stop,
    Step::Resume,
    Step::Remove,
    Step::Clean,
];

/// Numbers of what the engine has of a contract.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    containers: usize,
    running: usize,
    networks: usize,
    volumes: usize,
}

impl Step {
    async fn make(
        self,
        machines: &DockerMachines,
        spec: &MachineSpec,
        binds: &[Bind],
    ) -> Result<(), DriverError> {
        let rules = ImageRules { limit: ROOM, keep: true };
        match self {
            Self::Fetch => machines.fetch_image(spec, rules).await.map(drop),
            Self::Create => machines.create(spec, binds).await,
            Self::Start | Self::Resume => machines.start(&spec.id).await,
            Self::Update => {
                let newer = MachineSpec { hash: "two".into(), ..spec.clone() };
                machines.fetch_image(&newer, rules).await?;
                machines.create(&newer, binds).await?;
                machines.start(&spec.id).await
            }
            Self::Stop => machines.stop(&spec.id).await,
            Self::Remove => machines.remove_machine(&spec.id).await,
            Self::Clean => machines.remove_network(spec.id.contract).await,
        }
    }

    fn leaves(self) -> Left {
        let (containers, running, networks, volumes) = match self {
            Self::Fetch | Self::Clean => (0, 0, 0, 0),
            Self::Create | Self::Stop => (1, 0, 1, 2),
            Self::Start | Self::Update | Self::Resume => (1, 1, 1, 2),
            Self::Remove => (0, 0, 1, 2),
        };
        Left { containers, running, networks, volumes }
    }
}

impl Host {
    /// Drivers of an agent that has just started.
    fn new_agent(&self) -> DockerMachines {
        let choice = EngineChoice { socket: self.socket.clone(), any: false, private_registries: true };
        DockerMachines::new(choice, self.pool.clone(), &self.node_key, &[[1, 1, 1, 1].into()])
    }

    /// Makes the step until it succeeds; the deployment is never at fault. A call that the engine leaves without an
    /// answer takes a minute.
    async fn make(&self, step: Step, spec: &MachineSpec, binds: &[Bind]) {
        let machines = self.new_agent();
        let begun = Instant::now();
        while let Err(error) = step.make(&machines, spec, binds).await {
            let is_passing = matches!(error, DriverError::Transient(_));
            assert!(is_passing && begun.elapsed() < 4 * LIMIT, "{step:?}: {error:#}");
            sleep(LIMIT / 300).await;
        }
    }

    fn left(&self, contract: ContractId) -> Left {
        let label = format!("label=zos.contract={contract}");
        let count = |words: &[&str]| {
            let filter = ["--quiet", "--filter", &label];
            self.docker(&[words, &filter].concat()).lines().count()
        };
        Left {
            containers: count(&["ps", "--all"]),
            running: count(&["ps"]),
            networks: count(&["network", "ls"]),
            volumes: count(&["volume", "ls"]),
        }
    }

    /// The bridge of the machine, and folders of the engine that hold its root, log and settings.
    fn folders(&self, spec: &MachineSpec) -> Vec<PathBuf> {
        let root = PathBuf::from(self.docker(&["info", "--format", "{{.DockerRootDir}}"]));
        let id = self.docker(&["inspect", "--format", "{{.Id}}", &self.name(&spec.id)]);
        let layer = root.join("image/btrfs/layerdb/mounts").join(&id).join("mount-id");
        let layer = fs::read_to_string(layer).unwrap();
        vec![
            self.bridge(spec.id.contract),
            root.join("image/btrfs/layerdb/mounts").join(&id),
            root.join("containers").join(id),
            root.join("btrfs/subvolumes").join(layer),
        ]
    }

    /// Makes each step after something was interrupted in it. Nothing is left at the end.
    async fn live_through(
        &mut self,
        image: &str,
        interrupts: impl AsyncFn(&mut Self, Step, &MachineSpec, &[Bind]),
    ) {
        let script = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
        let spec = machine(contract(), image, &["/bin/sh", "-c", script]);
        let data = volume(spec.id.contract, 16);
        self.volumes.ensure(&data).await.unwrap();
        let binds = [bind(self.volumes.folder(&data.id).await.unwrap())];
        let mut folders = Vec::new();
        for step in STEPS {
            interrupts(self, step, &spec, &binds).await;
            self.make(step, &spec, &binds).await;
            assert_eq!(self.left(spec.id.contract), step.leaves(), "{step:?}");
            if step.leaves().containers > 0 {
                folders.extend(self.folders(&spec));
            }
        }
        let mark = self.pool.stopped().join(self.name(&spec.id));
        folders.push(mark);
        folders.retain(|folder| folder.exists());
        assert!(folders.is_empty(), "left over: {folders:?}");
        self.destroy(spec.id.contract).await;
    }

    /// What an engine leaves that is killed while it removes a machine.
    async fn leave_root(&self) -> [PathBuf; 2] {
        let root = PathBuf::from(self.docker(&["info", "--format", "{{.DockerRootDir}}"]));
        let mount = root.join("image/btrfs/layerdb/mounts/0123456789abcdef");
        let subvolume = root.join("btrfs/subvolumes/left-over");
        self.pool.ensure_subvolume(&subvolume, MIB).await.unwrap();
        fs::create_dir_all(&mount).unwrap();
        fs::write(mount.join("mount-id"), "left-over").unwrap();
        [mount, subvolume]
    }

    /// What an engine has written without a sync, and ends at.
    fn leave_volume(&self) -> PathBuf {
        let root = PathBuf::from(self.docker(&["info", "--format", "{{.DockerRootDir}}"]));
        let volume = root.join("volumes/left-over");
        fs::create_dir_all(volume.join("_data")).unwrap();
        fs::write(volume.join("opts.json"), "").unwrap();
        volume
    }

    /// Exchanges the volume's content, as a restore does. Returns where the old one is.
    async fn replace(&self, data: &VolumeSpec, content: &str) -> PathBuf {
        let folder = self.volumes.folder(&data.id).await.unwrap();
        let new = self.pool.volumes().with_file_name("snapshots").join(format!("{}.new", data.id));
        self.pool.ensure_subvolume(&new, data.size).await.unwrap();
        fs::write(new.join("note"), content).unwrap();
        renameat_with(CWD, &new, CWD, &folder, RenameFlags::EXCHANGE).unwrap();
        new
    }

    /// Kills a program of the engine, as soon as it runs.
    async fn kill_engine(&self, program: &str, config: &str) {
        let socket = Path::new(self.socket.strip_prefix("unix://").unwrap());
        let line = format!("^{program}.*{}", socket.with_file_name(config).display());
        let begun = Instant::now();
        let pids = loop {
            let found = Command::new("pgrep").arg("-f").arg(&line).output().unwrap();
            if found.status.success() {
                break String::from_utf8(found.stdout).unwrap();
            }
            assert!(begun.elapsed() < LIMIT, "{program} doesn't run");
            sleep(LIMIT / 300).await;
        };
        stdout(Command::new("kill").arg("-9").args(pids.lines()));
    }

    /// Kills the engine, and starts it as after a start of the host.
    async fn restart_host(&mut self) {
        let config = Path::new(self.socket.strip_prefix("unix://").unwrap()).with_file_name("dockerd.json");
        let begun = Instant::now();
        while fs::remove_file(config.with_file_name("answered")).is_err() {
            assert!(begun.elapsed() < LIMIT, "the engine's answer isn't noted");
            sleep(LIMIT / 300).await;
        }
        self.tasks[0].abort();
        self.kill_engine("dockerd", "dockerd.json").await;
        fs::remove_file(&config).unwrap();
        self.restart_keeper();
        while !config.exists() || self.new_agent().ready().await.is_err() {
            assert!(begun.elapsed() < LIMIT, "the engine doesn't start");
            sleep(LIMIT / 300).await;
        }
    }

    /// Ends the agent's task that keeps the engine running, and starts one of another agent.
    fn restart_keeper(&mut self) {
        let data = PathBuf::from(env::var("TFGRID_NODE").unwrap());
        let owner = Identity::load_or_create(&data).unwrap().node_key().public();
        self.tasks.remove(0).abort();
        let own = OwnEngine::new(&data, &self.pool, &owner, Vec::new(), AGENT.into());
        self.tasks.insert(0, tokio::spawn(own.run()));
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_agent_that_dies_at_any_step_goes_on() {
    let mut host = Host::new().await;
    let registry = Registry::start(&host);
    let image = registry.push(&host, "killed", "VOLUME /seeded");
    for delay in [1, 10, 40, 100, 250] {
        let die = async |host: &mut Host, step: Step, spec: &MachineSpec, binds: &[Bind]| {
            let _ = timeout(Duration::from_millis(delay), step.make(&host.new_agent(), spec, binds)).await;
        };
        host.live_through(&image, die).await;
    }
}

/// It runs alone: nextest's configuration names it.
#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_engine_that_dies_at_any_step_goes_on() {
    let mut host = Host::new().await;
    let registry = Registry::start(&host);
    let image = registry.push(&host, "killed", "VOLUME /seeded");
    let left = host.leave_root().await;
    for (program, config, delay) in [("dockerd", "dockerd.json", 50), ("containerd", "containerd.toml", 150)]
    {
        let die = async |host: &mut Host, step: Step, spec: &MachineSpec, binds: &[Bind]| {
            let machines = host.new_agent();
            let kill = async {
                sleep(Duration::from_millis(delay)).await;
                host.kill_engine(program, config).await;
            };
            let _ = tokio::join!(timeout(LIMIT, step.make(&machines, spec, binds)), kill);
            host.restart_keeper();
        };
        host.live_through(&image, die).await;
    }
    assert!(!left.iter().any(|path| path.exists()), "left over: {left:?}");
}

/// It runs alone: nextest's configuration names it.
#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_engine_that_dies_at_any_moment_of_a_start_makes_another() {
    let mut host = Host::new().await;
    let registry = Registry::start(&host);
    let web = host.prepared(&registry.image, &["/bin/sleep", "1000"]).await;
    for delay in (100..700).step_by(100) {
        host.machines.create(&web, &[]).await.unwrap();
        let kill = async {
            sleep(Duration::from_millis(delay)).await;
            host.kill_engine("containerd", "containerd.toml").await;
        };
        let _ = tokio::join!(timeout(LIMIT, host.machines.start(&web.id)), kill);
        host.restart_keeper();
        host.make(Step::Start, &web, &[]).await;
        assert!(is_running(&host.observed_state(&web.id).await.unwrap()), "after {delay} ms");
        host.machines.remove_machine(&web.id).await.unwrap();
    }
    host.destroy(web.id.contract).await;
}

/// It runs alone: nextest's configuration names it.
#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_engine_that_dies_under_a_machine_with_a_volume_lets_it_go() {
    let mut host = Host::new().await;
    let registry = Registry::start(&host);
    let web = host.prepared(&registry.image, &["/bin/sleep", "1000"]).await;
    let (contract, data) = (web.id.contract, volume(web.id.contract, 16));
    host.volumes.ensure(&data).await.unwrap();
    host.run(&web, &[bind(host.volumes.folder(&data.id).await.unwrap())]).await.unwrap();
    host.kill_engine("dockerd", "dockerd.json").await;
    host.restart_keeper();
    let name = host.name(&data.id);
    let mounts = || {
        let all = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let lines: Vec<_> = all.lines().filter(|line| line.contains(&name)).map(str::to_owned).collect();
        lines.join("\n")
    };
    // The second time, as if the agent was killed in between.
    for (content, is_renewed) in [("one", true), ("two", false)] {
        for step in [Step::Stop, Step::Start, Step::Stop] {
            host.make(step, &web, &[]).await;
        }
        let old = host.replace(&data, content).await;
        if is_renewed {
            host.machines.renew_mounts(&web.id).await.unwrap();
            assert!(!mounts().contains(".new "), "{}", mounts());
        }
        host.pool.delete_subvolume(&old).await.unwrap();
        host.make(Step::Start, &web, &[]).await;
        assert_eq!(host.exec(&web, "cat /data/note").unwrap(), content);
    }
    host.make(Step::Stop, &web, &[]).await;
    host.destroy(contract).await;
    assert_eq!(host.left(contract).networks, 0);
    assert_eq!(mounts(), "");
    // Docker 20.10 keeps the volume's name so long.
    host.kill_engine("dockerd", "dockerd.json").await;
    host.restart_keeper();
    host.make(Step::Remove, &web, &[]).await;
    let begun = Instant::now();
    while host.left(contract).volumes > 0 {
        assert!(begun.elapsed() < LIMIT, "the volume's name stays");
        sleep(LIMIT / 300).await;
    }
}

/// It runs alone: nextest's configuration names it.
#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_engine_that_dies_by_a_power_cut_starts_again() {
    let mut host = Host::new().await;
    let registry = Registry::start(&host);
    let machine = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let volume = host.leave_volume();
    host.restart_host().await;
    assert!(!volume.exists());
    host.until(&machine.id, is_running).await;
    host.destroy(machine.id.contract).await;
}

/// It runs alone: nextest's configuration names it.
#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_engine_that_dies_in_order_and_cannot_start_is_healed() {
    let mut host = Host::new().await;
    let volume = host.leave_volume();
    fs::write(orderly_end(), "").unwrap();
    host.restart_host().await;
    assert!(!volume.exists());
}

/// The mark that the boot image leaves.
fn orderly_end() -> PathBuf {
    Path::new(&env::var("TFGRID_NODE").unwrap()).join("ended-in-order")
}

/// It runs alone: nextest's configuration names it.
#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_engine_that_dies_in_order_keeps_unused_images() {
    let mut host = Host::new().await;
    let registry = Registry::start(&host);
    let image = registry.push(&host, "unused", "LABEL name=unused");
    host.prepared(&image, &["/bin/true"]).await;
    for is_in_order in [true, false] {
        if is_in_order {
            fs::write(orderly_end(), "").unwrap();
        }
        host.restart_host().await;
        let images = host.docker(&["image", "ls", "--quiet", "--filter", "label=name=unused"]);
        assert_eq!(!images.is_empty(), is_in_order, "{images}");
    }
}

/// It runs alone: nextest's configuration names it.
#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_engine_that_dies_starts_beside_its_namesake() {
    let mut host = Host::new().await;
    host.tasks[0].abort();
    host.kill_engine("dockerd", "dockerd.json").await;
    let socket = Path::new(host.socket.strip_prefix("unix://").unwrap());
    // As a program in a machine may be, whose users aren't the host's.
    let script = "exec -a dockerd sh -c 'trap \"\" TERM; echo; read line' --config-file \"$0\"";
    let mut namesake = Command::new("unshare")
        .args(["--user", "bash", "-c", script])
        .arg(socket.with_file_name("dockerd.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    namesake.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    host.restart_keeper();
    let begun = Instant::now();
    while host.new_agent().ready().await.is_err() {
        assert!(begun.elapsed() < LIMIT, "the engine doesn't start");
        sleep(LIMIT / 300).await;
    }
    assert!(namesake.try_wait().unwrap().is_none(), "it was ended");
    drop(namesake.stdin.take());
    namesake.wait().unwrap();
}
