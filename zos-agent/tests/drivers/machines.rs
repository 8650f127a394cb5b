// SPDX-License-Identifier: Apache-2.0
//! Machines from their creation to their end.

use super::*;

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
    // Its owner has it started again.
    host.machines.forget_end(&web.id).unwrap();
    host.until(&web.id, |state| exit(state) == Some(None)).await;
    host.machines.start(&web.id).await.unwrap();
    host.until(&web.id, is_running).await;
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
    let confirmed = Contract {
        id,
        twin: 1,
        active,
        state: ContractState::Deployed,
        pending: None,
        paused: false,
        public_ips: Vec::new(),
        public_network: None,
    };
    let desired = Desired::new(confirmed, Some(body), None, &key);
    let web = desired.active.workloads().unwrap().machines[0].clone();
    host.machines.fetch_image(&web, fetched(ROOM)).await.unwrap();
    host.run(&web, &[]).await.unwrap();
    host.docker(&["kill", &host.name(&web.id)]);
    host.until(&web.id, |state| !is_running(state)).await;

    let (folder, sites) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
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
        addresses: Arc::new(
            PublicAddresses::new(&host.node_key, store.clone(), None, Vec::new(), false).unwrap(),
        ),
        gateways: Arc::new(Gateway::new(sites.path(), &host.node_key, GatewayArgs::default(), &[]).unwrap()),
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
