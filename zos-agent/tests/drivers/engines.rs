// SPDX-License-Identifier: Apache-2.0
//! Engines of nodes, and those of others.

use super::{public::Space, *};
use zos_agent::former::Former;

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
async fn a_purge_takes_bridges_that_the_engine_forgot_and_no_others() {
    let (host, other) = (Host::new().await, Host::new().await);
    let registry = Registry::start(&host);
    let mut bridges = Vec::new();
    for host in [&host, &other] {
        let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
        let (contract, bridge) = (web.id.contract, host.bridge(web.id.contract));
        host.machines.remove_machine(&web.id).await.unwrap();
        host.docker(&["network", "rm", &format!("zos-{contract}")]);
        assert!(!bridge.exists());
        // As it stays when an engine is killed while it removes the network.
        let name = bridge.file_name().unwrap();
        stdout(Command::new("ip").args(["link", "add"]).arg(name).args(["type", "bridge"]));
        assert!(host.machines.observe().await.unwrap().networks.contains(&contract));
        bridges.push(bridge);
    }
    let there = || bridges.iter().map(|bridge| bridge.exists()).collect::<Vec<_>>();
    assert_eq!((host.machines.purge().await.unwrap(), there()), ((0, 1), vec![false, true]));
    assert_eq!((other.machines.purge().await.unwrap(), there()), ((0, 1), vec![false, false]));
    assert!(host.machines.observe().await.unwrap().networks.is_empty());
}

/// A bridge of somebody else's. It is removed on drop.
struct Bridge(String);

impl Bridge {
    fn new(name: &str, alias: &str) -> Self {
        stdout(Command::new("ip").args(["link", "add", name, "type", "bridge"]));
        let bridge = Self(name.into());
        stdout(Command::new("ip").args(["link", "set", "dev", name, "alias", alias]));
        bridge
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "delete", &self.0]).status();
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_bridge_of_somebody_else_is_neither_shared_nor_removed() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let (contract, bridge) = (web.id.contract, host.bridge(web.id.contract));
    let name = bridge.file_name().unwrap().to_str().unwrap();
    let own = format!("zos-{}", hex::encode(&host.node_key[..4]));
    assert_eq!(fs::read_to_string(bridge.join("ifalias")).unwrap(), format!("{own}\n"));
    host.destroy(contract).await;
    let mark = host.pool.stopped().with_file_name("networks").join(format!("{own}-{contract}"));
    for (alias, is_marked) in [("", false), ("zos-00c0ffee", false), ("zos-00c0ffee", true)] {
        let _others = Bridge::new(name, alias);
        if is_marked {
            fs::write(&mark, "").unwrap();
        }
        let error = host.run(&web, &[]).await.unwrap_err();
        let is_passing = matches!(error, DriverError::Transient(_));
        assert!(is_passing && error.to_string().contains("isn't this node's"), "{alias:?}: {error}");
        host.machines.remove_network(contract).await.unwrap();
        assert_eq!((bridge.exists(), mark.exists()), (true, false), "{alias:?}");
    }
    host.run(&web, &[]).await.unwrap();
    host.destroy(contract).await;
    assert!(!bridge.exists());
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_purge_puts_back_what_the_machine_was_like() {
    // Limits that all machines share are raised by now, and stay so.
    let _host = Host::new().await;
    let space = Space::new();
    let forwards = "/proc/sys/net/ipv4/ip_forward";
    space.within(move || fs::write(forwards, "0").unwrap());
    space.run("iptables -w -A FORWARD -s 198.51.100.1 -j DROP");
    let rules =
        || ["filter", "nat"].map(|table| stdout(&mut space.command(&format!("iptables -w -t {table} -S"))));
    let before = rules();
    let former = space.within(|| block_on(Former::now()).unwrap());
    for rule in [
        "-P FORWARD DROP",
        "-N DOCKER",
        "-N DOCKER-USER",
        "-A FORWARD -j DOCKER-USER",
        "-A DOCKER-USER -j RETURN",
        "-t nat -N DOCKER",
        "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    ] {
        space.run(&format!("iptables -w {rule}"));
    }
    space.within(move || fs::write(forwards, "1").unwrap());
    space.within(move || block_on(former.put_back()));
    assert_eq!(rules(), before);
    assert_eq!(space.within(move || fs::read_to_string(forwards).unwrap()), "0\n");
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The process of the engine's program with this configuration.
fn process(host: &Host, program: &str, config: &str) -> String {
    let config = Path::new(host.socket.strip_prefix("unix://").unwrap()).with_file_name(config);
    stdout(Command::new("pgrep").arg("-f").arg(format!("^{program}.*{}", config.display())))
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn an_engine_that_dies_comes_back_and_machines_run_on() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let pid = || host.docker(&["inspect", "--format", "{{.State.Pid}}", &host.name(&web.id)]);
    let before = (host.machines.observe().await.unwrap().machines, pid());
    for (program, config) in [("dockerd", "dockerd.json"), ("containerd", "containerd.toml")] {
        stdout(Command::new("kill").args(["-9", &process(&host, program, config)]));
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

/// It runs alone: nextest's configuration names it.
#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn limits_of_machines_outlive_the_engines_end() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let image = registry.push(&host, "db", "VOLUME /seeded");
    let db = host.started(&image, &["/bin/sleep", "1000"]).await;
    let disable = || {
        let pool = host.pool.volumes().parent().unwrap().to_owned();
        stdout(Command::new("btrfs").args(["quota", "disable"]).arg(pool))
    };
    // Of 64 MiB, 8 are for what the engine keeps, 14 for the root, and 42 for what the image declares.
    let ends_at_its_limit = |path: &str, mib: u64| {
        let script = format!("dd if=/dev/zero of={path} bs=1M count={mib}");
        let full = host.exec(&db, &script).unwrap_err();
        assert!(full.contains("quota"), "{path}: {full}");
    };
    disable();
    host.volumes.observe().await.unwrap();
    for (path, mib) in [("/much", 20), ("/seeded/much", 50)] {
        ends_at_its_limit(path, mib);
        host.exec(&db, &format!("/bin/busybox rm {path}")).unwrap();
    }

    host.machines.stop(&db.id).await.unwrap();
    // The engine does that, too, unless another test has left a machine that runs.
    disable();
    let engine = process(&host, "dockerd", "dockerd.json");
    stdout(Command::new("kill").arg(&engine));
    let line = Path::new("/proc").join(&engine).join("cmdline");
    let begun = Instant::now();
    while fs::read(&line).is_ok_and(|line| !line.is_empty()) || host.machines.observe().await.is_err() {
        assert!(begun.elapsed() < LIMIT, "the engine doesn't come back");
        sleep(LIMIT / 300).await;
    }
    host.machines.start(&db.id).await.unwrap();
    for (path, mib) in [("/much", 20), ("/seeded/much", 50), ("/etc/hosts", 20)] {
        ends_at_its_limit(path, mib);
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
