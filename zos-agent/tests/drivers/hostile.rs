// SPDX-License-Identifier: Apache-2.0
//! A tenant that means harm. Each test asserts that a neighbour and the host go on.

use super::*;

/// Scripts that run in a machine with root and all that its image brings.
struct Hostile {
    host: Host,
    registry: Registry,
    neighbour: MachineSpec,
}

impl Hostile {
    async fn new() -> Self {
        let host = Host::new().await;
        let mut registry = Registry::start(&host);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/hostile.c");
        let program = registry.rootfs().join("bin/hostile");
        stdout(Command::new("cc").args(["-static", "-Wall", "-Werror", "-o"]).args([&program, &source]));
        registry.image = registry.push(&host, "hostile", "VOLUME /seeded");
        let neighbour = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
        host.until(&neighbour.id, is_running).await;
        Self { host, registry, neighbour }
    }

    /// Another machine, which does nothing until it is told.
    async fn machine(&self) -> MachineSpec {
        let machine = self.host.started(&self.registry.image, &["/bin/sleep", "1000"]).await;
        self.host.until(&machine.id, is_running).await;
        machine
    }

    /// Starts a script in the machine and doesn't wait for it.
    fn detach(&self, machine: &MachineSpec, script: &str) {
        let name = self.host.name(&machine.id);
        self.host.docker(&["exec", "--detach", &name, "/bin/sh", "-c", script]);
    }

    /// A file of the control group that counts the machine's processes.
    fn pids(&self, machine: &MachineSpec, file: &str) -> String {
        let pid = self.host.docker(&["inspect", "--format", "{{.State.Pid}}", &self.host.name(&machine.id)]);
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let group = |controller: &str| groups.lines().find_map(|line| Some(line.split_once(controller)?.1));
        // Version 1 has a hierarchy for each controller.
        let (root, group) = match group(":pids:") {
            Some(group) => ("/sys/fs/cgroup/pids", group),
            None => ("/sys/fs/cgroup", group("0::").unwrap()),
        };
        fs::read_to_string(format!("{root}{group}/{file}")).unwrap().trim().to_owned()
    }

    /// How many forks of the machine its limit has refused.
    fn refused_forks(&self, machine: &MachineSpec) -> u64 {
        let events = self.pids(machine, "pids.events");
        events.lines().find_map(|line| line.strip_prefix("max ")).unwrap().parse().unwrap()
    }

    /// Asserts that the neighbour can write, fork and use memory, and that the node can run one more machine.
    async fn others_go_on(&self) {
        let script = "dd if=/dev/zero of=/x bs=1M count=8 && dd if=/dev/zero of=/seeded/x bs=1M count=8 && \
                      dd if=/dev/zero of=/dev/shm/x bs=1M count=8 && rm /x /seeded/x /dev/shm/x && sh -c id";
        if let Err(output) = self.host.exec(&self.neighbour, script) {
            panic!("the neighbour suffers: {output}");
        }
        let machine = self.machine().await;
        self.host.destroy(machine.id.contract).await;
    }

    fn free(&self) -> u64 {
        stdout(Command::new("btrfs").args(["filesystem", "sync"]).arg(self.host.pool.volumes()));
        let space = rustix::fs::statvfs(self.host.pool.volumes()).unwrap();
        space.f_bavail * space.f_frsize
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_fork_bomb_ends_at_the_limit_of_its_machine() {
    let hostile = Hostile::new().await;
    let mut bomb = hostile.host.prepared(&hostile.registry.image, &["/bin/sleep", "1000"]).await;
    // Processes end it, not memory.
    bomb.container.memory = 512 * MIB;
    hostile.host.run(&bomb, &[]).await.unwrap();
    hostile.host.until(&bomb.id, is_running).await;
    // The shell may end when it can't fork, and what it has started stays.
    hostile.detach(&bomb, "while true; do sleep 1000 & done");
    wait_until("the limit", || hostile.refused_forks(&bomb) > 0);
    hostile.others_go_on().await;
    let (present, most) = (hostile.pids(&bomb, "pids.current"), hostile.pids(&bomb, "pids.max"));
    let [present, most] = [present, most].map(|count| count.parse::<u64>().unwrap());
    assert!(present + 10 > most, "{present} of {most} processes");
    hostile.host.destroy(bomb.id.contract).await;
    hostile.others_go_on().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_machine_fills_no_more_than_its_own_disk() {
    let hostile = Hostile::new().await;
    let filler = hostile.machine().await;
    let before = hostile.free();
    for path in [
        "/x",
        "/seeded/x",
        "/dev/shm/x",
        "/dev/x",
        "/run/x",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
    ] {
        let script = format!("dd if=/dev/zero of={path} bs=1M count=100");
        // Memory that is full ends the machine rather than the script.
        if hostile.host.exec(&filler, &script).is_ok() {
            panic!("{path} holds more than the machine has");
        }
        // Btrfs may refuse for a moment to limit what is full; the agent tries again.
        let begun = Instant::now();
        while let Err(error) = hostile.host.run(&filler, &[]).await {
            assert!(matches!(error, DriverError::Transient(_)) && begun.elapsed() < LIMIT, "{error}");
        }
        hostile.host.until(&filler.id, is_running).await;
    }
    let taken = before.saturating_sub(hostile.free());
    // Its disk has 64 MiB and its memory as many.
    assert!(taken < 128 * MIB, "{taken}");
    hostile.others_go_on().await;
    hostile.host.destroy(filler.id.contract).await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn files_without_content_count_too() {
    let hostile = Hostile::new().await;
    let mut filler = hostile.host.prepared(&hostile.registry.image, &["/bin/sleep", "1000"]).await;
    filler.container.rootfs = 16 * MIB;
    hostile.host.run(&filler, &[]).await.unwrap();
    let script = "mkdir /many && cd /many && i=0 && while [ $i -lt 200000 ]; do : >a-name-of-some-length-$i || exit 1; \
                  i=$((i + 1)); done";
    let full = hostile.host.exec(&filler, script).unwrap_err();
    assert!(full.contains("quota"), "{full}");
    hostile.others_go_on().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_flood_of_output_is_kept_in_part() {
    let hostile = Hostile::new().await;
    let line = "x".repeat(1000);
    let script = format!("i=0; while [ $i -lt 60000 ]; do echo {line}; i=$((i + 1)); done; exec sleep 1000");
    let talker = hostile.host.started(&hostile.registry.image, &["/bin/sh", "-c", &script]).await;
    wait_until("the flood", || {
        hostile.host.exec(&talker, "cat /proc/[0-9]*/comm").is_ok_and(|programs| programs.contains("sleep"))
    });
    let path = hostile.host.docker(&["inspect", "--format", "{{.LogPath}}", &hostile.host.name(&talker.id)]);
    let folder = Path::new(&path).parent().unwrap();
    let sizes = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    let kept: u64 = sizes.sum();
    // An eighth of its disk.
    assert!(kept > 2 * MIB && kept < 8 * MIB, "{kept}");
    hostile.others_go_on().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn memory_that_is_used_up_is_that_of_its_machine() {
    let hostile = Hostile::new().await;
    let eater = hostile.machine().await;
    assert!(hostile.host.exec(&eater, "x=x; while true; do x=$x$x; done").is_err());
    assert!(hostile.host.exec(&eater, "dd if=/dev/zero of=/dev/x bs=1M count=63 && tail /dev/zero").is_err());
    hostile.others_go_on().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn limits_of_the_kernel_are_used_up_by_nobody() {
    let hostile = Hostile::new().await;
    let taker = hostile.machine().await;
    hostile.detach(&taker, "hostile 2000 >/taken");
    wait_until("instances", || hostile.host.exec(&taker, "cat /taken").is_ok_and(|taken| taken == "2000"));
    hostile.detach(&hostile.neighbour, "hostile 100 >/taken");
    let neighbour = &hostile.neighbour;
    wait_until("the neighbour", || {
        hostile.host.exec(neighbour, "cat /taken").is_ok_and(|taken| taken == "100")
    });
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn calls_that_harm_are_refused() {
    let hostile = Hostile::new().await;
    let machine = hostile.machine().await;
    assert_eq!(hostile.host.exec(&machine, "hostile").unwrap(), "");
    let processes = hostile.host.exec(&machine, "ls -d /proc/[0-9]* | wc -l").unwrap();
    assert!(processes.parse::<u32>().unwrap() < 10, "others' processes can be seen: {processes}");
    let devices = hostile.host.exec(&machine, "find / -xdev -type b -o -type s").unwrap();
    assert_eq!(devices, "", "disks or sockets of the host");
    assert_eq!(
        hostile.host.exec(&machine, "ls /run /var/run").unwrap_or_default().matches("docker").count(),
        0
    );
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn processes_of_others_are_not_traced() {
    let hostile = Hostile::new().await;
    let machine = hostile.machine().await;
    let name = hostile.host.name(&hostile.neighbour.id);
    let neighbour = hostile.host.docker(&["inspect", "--format", "{{.State.Pid}}", &name]);
    let trace = |pids: &str| hostile.host.exec(&machine, &format!("hostile trace {pids}")).unwrap();
    assert_eq!(trace(&format!("{neighbour} {}", std::process::id())), "");
    hostile.others_go_on().await;
}

/// What an engine leaves open for the first program's folder was a way out once (CVE-2024-21626).
#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn no_workdir_leads_out_of_a_machine() {
    let hostile = Hostile::new().await;
    let host = &hostile.host;
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "secret").unwrap();
    let reads = format!("cat ../../../../../../../..{}", secret.path().display());
    for number in 3..=10 {
        let folder = format!("/proc/self/fd/{number}");
        let mut machine = host.prepared(&hostile.registry.image, &["/bin/sh", "-c", &reads]).await;
        machine.container.workdir = Some(folder.clone());
        if host.run(&machine, &[]).await.is_ok() {
            host.until(&machine.id, |state| !is_running(state)).await;
            let said = host.machines.last_words(&machine.id).await.unwrap().unwrap_or_default();
            assert!(said.contains("No such file"), "{folder}: {said}");
        }
        host.destroy(machine.id.contract).await;
        let name = host.name(&hostile.neighbour.id);
        let enters = ["exec", "--workdir", &folder, &name, "/bin/sh", "-c", &reads];
        assert!(!succeeds(&host.socket, &enters), "{folder} of a program that is started later");
    }
    hostile.others_go_on().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn the_runtime_is_not_overwritten() {
    let hostile = Hostile::new().await;
    let runtime = Path::new("/usr/sbin/runc");
    let before = fs::read(runtime).unwrap();
    let machine = hostile.machine().await;
    // The program of the next `exec` is whatever runs it: the engine's runtime.
    hostile.host.exec(&machine, "ln -s /proc/self/exe /runtime").unwrap();
    hostile.detach(
        &machine,
        "while true; do for p in /proc/[0-9]*; do \
         case $(readlink $p/exe) in *runc*) echo x >>$p/exe && echo >/done; esac; done; done",
    );
    let name = hostile.host.name(&machine.id);
    for _ in 0..10 {
        succeeds(&hostile.host.socket, &["exec", &name, "/runtime", "init"]);
    }
    assert!(hostile.host.exec(&machine, "cat /done").is_err(), "the runtime can be written");
    assert!(fs::read(runtime).unwrap() == before, "the runtime has changed");
    hostile.others_go_on().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn the_kernels_files_tell_nothing_of_the_host() {
    let hostile = Hostile::new().await;
    let machine = hostile.machine().await;
    let sees = |script: &str| match hostile.host.exec(&machine, script) {
        Ok(output) | Err(output) => output,
    };
    for file in [
        "cmdline",
        "diskstats",
        "interrupts",
        "iomem",
        "key-users",
        "keys",
        "locks",
        "modules",
        "partitions",
        "softirqs",
        "timer_list",
    ] {
        let content = sees(&format!("[ ! -e /proc/{file} ] || cat /proc/{file}"));
        assert_eq!(content, "", "/proc/{file}");
    }
    for folder in
        ["/proc/fs", "/proc/pressure", "/sys/block", "/sys/firmware", "/sys/module", "/sys/fs/btrfs"]
    {
        assert_eq!(sees(&format!("[ ! -e {folder} ] || ls -A {folder}")), "", "{folder}");
    }
    let names = "-name serial -o -name backing_file -o -name 'product_*' -o -path '*qgroups/*'";
    assert_eq!(sees(&format!("find /sys -type f '(' {names} ')' 2>/dev/null")), "");
    let shown =
        sees("ls /sys/devices; cat /sys/kernel/mm/transparent_hugepage/enabled; cat /sys/class/net/lo/mtu");
    assert!(shown.contains("system") && shown.contains("madvise") && shown.ends_with("65536"), "{shown}");
    let place = hostile.host.pool.volumes();
    let place = place.parent().unwrap().to_str().unwrap();
    assert_eq!(sees(&format!("cat /proc/self/mountinfo /proc/self/mounts | grep -c {place}")), "0");
    for write in ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/sys/kernel/mm/ksm/run"] {
        assert!(hostile.host.exec(&machine, &format!("echo 1 >{write}")).is_err(), "{write}");
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn tenants_find_nothing_by_a_scan() {
    let hostile = Hostile::new().await;
    let _firewall = Firewall::install().await;
    let _internet = Internet::with_servers(&[80]);
    let machine = hostile.machine().await;
    let host = &hostile.host;
    let service = TcpListener::bind(("::", 0)).unwrap();
    let port = service.local_addr().unwrap().port();
    let addresses = stdout(Command::new("ip").args(["-json", "address"]));
    let interfaces: serde_json::Value = serde_json::from_str(&addresses).unwrap();
    let addresses = interfaces.as_array().unwrap().iter().flat_map(|interface| {
        let name = interface["ifname"].as_str().unwrap();
        let local =
            interface["addr_info"].as_array().unwrap().iter().filter_map(|info| info["local"].as_str());
        local.filter(move |_| name != "lo").map(str::to_owned).collect::<Vec<_>>()
    });
    let neighbour = host.docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &host.name(&hostile.neighbour.id),
    ]);
    let targets: Vec<String> = addresses
        .chain([neighbour, "169.254.169.254".into(), "192.168.1.1".into(), "10.0.0.1".into()])
        .collect();
    hostile.detach(&hostile.neighbour, &format!("nc -l -p {port}"));
    assert!(targets.iter().any(|target| target.contains(':')), "the host has no IPv6: {targets:?}");
    let scan = |target: &str, port: u16| {
        format!("(nc -w 2 {target} {port} </dev/null 2>/dev/null && echo {target}) & ")
    };
    let scans: String = targets.iter().map(|target| scan(target, port)).collect();
    wait_until("the internet", || host.reaches(&machine.id, Internet::ADDRESS, 80));
    // Where there is something to find, this finds it.
    let scans = scans + &scan(Internet::ADDRESS, 80);
    let script =
        format!("{scans} nc -w 2 fe80::1%eth0 {port} </dev/null 2>/dev/null && echo IPv6; wait; true");
    assert_eq!(host.exec(&machine, &script).unwrap(), Internet::ADDRESS);
    assert_eq!(host.exec(&machine, "cat /proc/net/if_inet6").unwrap_or_default(), "", "IPv6");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn disks_are_shared_by_weight_where_the_kernel_has_it() {
    let hostile = Hostile::new().await;
    let name = hostile.host.name(&hostile.neighbour.id);
    let weight = hostile.host.docker(&["inspect", "--format", "{{.HostConfig.BlkioWeight}}", &name]);
    let cores = std::thread::available_parallelism().unwrap().get();
    let has_weights = Path::new("/sys/fs/cgroup/blkio/blkio.weight").exists()
        || fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
            .is_ok_and(|controllers| controllers.contains("io"));
    let expected = if has_weights { (1000 / cores).clamp(10, 1000) } else { 0 };
    assert_eq!(weight, expected.to_string());
}
