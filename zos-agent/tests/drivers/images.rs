// SPDX-License-Identifier: Apache-2.0
//! Images of many kinds do on a node what they do on a stock engine. `docs/IMAGES.md` is about them.

use super::*;

/// An image, what runs in it, and what comes of that on any engine.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// Instructions of the image; words of the script aren't among them.
    image: &'static str,
    /// Script that runs as the machine's program; empty for what the image itself says.
    runs: &'static str,
    /// Where a fresh volume is mounted.
    volume: Option<&'static str>,
    /// Script that is tried inside until it succeeds. The machine is stopped then; without one it ends by itself.
    asks: Option<&'static str>,
    /// Script that is tried in the same way after a restart.
    asks_again: Option<&'static str>,
    stop_seconds: u64,
    health: &'static str,
    /// The exit code, and all output.
    ends: (i64, &'static str),
}

/// What came of an image.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    health: String,
    exit: i64,
    output: String,
}

const WAITS: &str = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
const PLAIN: Kind = Kind {
    name: "",
    image: "",
    runs: "",
    volume: None,
    asks: None,
    asks_again: None,
    stop_seconds: 1,
    health: "",
    ends: (0, ""),
};

const KINDS: [Kind; 24] = [
    Kind {
        name: "writes to its root",
        runs: "for d in / /run /var/cache/web; do echo x >$d/x && cat $d/x; done",
        ends: (0, "x\nx\nx"),
        ..PLAIN
    },
    Kind {
        name: "a volume of the image begins with its files",
        image: "VOLUME /seeded",
        runs: "cat /seeded/file; echo; echo more >/seeded/more; cat /seeded/more; stat -c %u:%a /seeded",
        ends: (0, "from the image\nmore\n0:755"),
        ..PLAIN
    },
    Kind {
        name: "a volume of the image belongs to its user",
        image: "USER app\nVOLUME /home/app",
        runs: "id -u; echo x >/home/app/x; stat -c %u:%g /home/app/x; cat /home/app/file",
        ends: (0, "1000\n1000:1000\nfrom the image"),
        ..PLAIN
    },
    Kind {
        name: "a volume below a link of the image",
        image: "VOLUME /escape/zos-escaped",
        runs: "echo x >/escape/zos-escaped/x; cat /tmp/zos-escaped/x",
        ends: (0, "x"),
        ..PLAIN
    },
    Kind {
        name: "a user without root and a fresh volume",
        image: "USER app",
        runs: "cat /home/app/file; echo; echo x >/home/app/x && stat -c %u:%g /home/app/x",
        volume: Some("/home/app"),
        ends: (0, "from the image\n1000:1000"),
        ..PLAIN
    },
    Kind {
        name: "a database that wants an empty folder",
        image: "USER app",
        runs: "[ -z \"$(ls -A /var/lib/db)\" ] && chmod 700 /var/lib/db && mkdir -m 700 /var/lib/db/base && \
               echo 15 >/var/lib/db/VERSION && stat -c %u:%a /var/lib/db",
        volume: Some("/var/lib/db"),
        ends: (0, "1000:700"),
        ..PLAIN
    },
    Kind {
        name: "a good health check",
        image: "HEALTHCHECK --interval=1s --retries=1 CMD test -e /seeded/file",
        runs: WAITS,
        asks: Some("true"),
        health: "healthy",
        ..PLAIN
    },
    Kind {
        name: "a bad health check",
        image: "HEALTHCHECK --interval=1s --retries=1 CMD test -e /nothing",
        runs: WAITS,
        asks: Some("true"),
        health: "unhealthy",
        ..PLAIN
    },
    Kind {
        name: "an init of its own",
        image: "CMD [\"/sbin/init\"]",
        asks: Some("[ -e /run/booted ] && cat /proc/1/comm"),
        ends: (137, "init"),
        ..PLAIN
    },
    Kind {
        name: "ignores SIGTERM",
        runs: "trap '' TERM; while true; do sleep 0.1; done",
        asks: Some("echo here"),
        ends: (137, "here"),
        ..PLAIN
    },
    Kind {
        name: "ends at SIGTERM in its own way",
        runs: "trap 'echo bye; exit 7' TERM; while true; do sleep 0.1; done",
        asks: Some("echo here"),
        ends: (7, "here\nbye"),
        ..PLAIN
    },
    Kind {
        name: "a stop signal of its own",
        image: "STOPSIGNAL SIGUSR1",
        runs: "trap 'exit 5' USR1; while true; do sleep 0.1; done",
        asks: Some("echo here"),
        ends: (5, "here"),
        ..PLAIN
    },
    Kind {
        name: "orphans",
        runs: "(sh -c 'sleep 0.1 &'); sleep 0.5; ps -o stat | grep -c Z; true",
        ends: (0, "0"),
        ..PLAIN
    },
    Kind {
        name: "changes owner, user and root folder",
        runs: "echo x >/tmp/x; chown 1000:1000 /tmp/x; stat -c %u:%g /tmp/x; su app -c 'id -u'; \
               chroot / /bin/sh -c 'echo root'",
        ends: (0, "1000:1000\n1000\nroot"),
        ..PLAIN
    },
    Kind {
        name: "a user that the image doesn't know",
        image: "USER 4242:4343",
        runs: "id -u; id -g; echo x >/tmp/x && stat -c %u:%g /tmp/x",
        ends: (0, "4242\n4343\n4242:4343"),
        ..PLAIN
    },
    Kind {
        name: "executes from /tmp",
        runs: "cp /bin/busybox /tmp/busybox && /tmp/busybox echo ran",
        ends: (0, "ran"),
        ..PLAIN
    },
    Kind {
        name: "200 MiB of /dev/shm",
        runs: "dd if=/dev/zero of=/dev/shm/x bs=1M count=200 2>/dev/null; stat -c %s /dev/shm/x",
        ends: (0, "209715200"),
        ..PLAIN
    },
    Kind {
        name: "listens on port 80 without being root",
        image: "USER app\nSTOPSIGNAL SIGKILL\nCMD [\"/bin/httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/seeded\"]",
        asks: Some("wget -qO- http://127.0.0.1/file"),
        ends: (137, "from the image"),
        ..PLAIN
    },
    Kind { name: "a job", runs: "echo done; exit 3", ends: (3, "done"), ..PLAIN },
    Kind {
        name: "entrypoint, arguments, environment and folder",
        image: "ENV GREETING=hello\nWORKDIR /srv/app\nENTRYPOINT [\"/bin/sh\", \"-c\", \"echo $GREETING $0; pwd\"]\n\
                CMD [\"world\"]",
        ends: (0, "hello world\n/srv/app"),
        ..PLAIN
    },
    Kind {
        name: "adds hosts and name servers",
        runs: "for f in hosts resolv.conf; do echo '# mine' >>/etc/$f; grep -c mine /etc/$f; done",
        ends: (0, "1\n1"),
        ..PLAIN
    },
    Kind {
        name: "pipes, links and devices",
        runs: "mkfifo /tmp/p; ln -s /tmp/p /tmp/l; ln /tmp/p /tmp/h; stat -c %h /tmp/p; readlink /tmp/l; \
               head -c 3 /dev/zero | wc -c; echo x >/dev/null; head -c 5 /dev/urandom | wc -c; tty",
        ends: (1, "2\n/tmp/p\n3\n5\nnot a tty"),
        ..PLAIN
    },
    Kind {
        name: "asks about the machine",
        runs: "[ \"$(nproc)\" -gt 0 ] && grep -q processor /proc/cpuinfo && grep -q MemTotal /proc/meminfo && \
               cat /sys/devices/system/cpu/online /proc/loadavg /proc/uptime /proc/stat >/dev/null && \
               cat /sys/class/net/lo/mtu && free >/dev/null && ps >/dev/null && df / >/dev/null && echo known",
        ends: (0, "65536\nknown"),
        ..PLAIN
    },
    Kind {
        name: "a hundred layers",
        image: HUNDRED_LAYERS,
        runs: "ls / | grep -c '^layer-'",
        ends: (0, "99"),
        ..PLAIN
    },
];

/// Makes an image of what `scripts/setup-programs.sh` has put into a folder.
const PROGRAMS_IMAGE: &str = r#"COPY . /
RUN for user in 33:www-data 101:redis 102:postgres; do \
    id=${user%:*} name=${user#*:}; \
    echo "$name:x:$id:$id::/:/bin/sh" >>/etc/passwd; echo "$name:x:$id:" >>/etc/group; \
    done"#;

/// Real programs, configured as their own images are.
const PROGRAMS: [Kind; 3] = [
    Kind {
        name: "nginx",
        image: r#"RUN ln -s ../sites-available/default /etc/nginx/sites-enabled/
RUN mkdir -p /var/www/html && echo hello >/var/www/html/index.html
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]"#,
        asks: Some(
            "wget -qO- http://127.0.0.1/ && grep -q 'GET / ' /var/log/nginx/access.log && echo logged",
        ),
        stop_seconds: 30,
        ends: (0, "hello\nlogged"),
        ..PLAIN
    },
    Kind {
        name: "Redis",
        image: r#"RUN mkdir /data && chown 101:101 /data
VOLUME /data
WORKDIR /data
USER redis
CMD ["redis-server", "--logfile", "/data/log"]"#,
        volume: Some("/data"),
        asks: Some("redis-cli SET greeting hello && redis-cli GET greeting"),
        asks_again: Some("redis-cli GET greeting"),
        stop_seconds: 30,
        ends: (0, "OK\nhello\nhello"),
        ..PLAIN
    },
    Kind {
        name: "PostgreSQL",
        image: r#"ENV PGDATA=/var/lib/postgresql/data PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin
RUN mkdir -p /var/run/postgresql $PGDATA && chmod 700 $PGDATA && chown 102:102 /var/run/postgresql $PGDATA
VOLUME /var/lib/postgresql/data
USER postgres
STOPSIGNAL SIGINT
CMD ["sh", "-c", "[ -s $PGDATA/PG_VERSION ] || initdb --auth=trust --no-locale >/dev/null; exec postgres -c listen_addresses='*' 2>/dev/null"]"#,
        volume: Some("/var/lib/postgresql/data"),
        asks: Some(
            "psql -qAtc \"create table greetings (text text); insert into greetings values ('hello'); \
             select text from greetings\"",
        ),
        asks_again: Some("psql -qAtc 'select text from greetings'"),
        stop_seconds: 30,
        ends: (0, "hello\nhello"),
        ..PLAIN
    },
];

/// Stands for instructions that are too many to write.
const HUNDRED_LAYERS: &str = "hundred layers";
const SHM: u64 = 256 * MIB;

impl Kind {
    /// The image's instructions, one a line.
    fn instructions(&self) -> String {
        if self.image != HUNDRED_LAYERS {
            return self.image.to_owned();
        }
        (0..99).map(|layer| format!("COPY etc/inittab /layer-{layer}\n")).collect()
    }

    fn entrypoint(&self) -> Vec<&'static str> {
        if self.runs.is_empty() { Vec::new() } else { vec!["/bin/sh", "-c", self.runs] }
    }

    /// What comes of the container, which was just started.
    fn outcome(&self, socket: &str, container: &str) -> Outcome {
        let inspect = |what: &str| docker(socket, &["inspect", "--format", what, container]);
        let mut said = String::new();
        for script in self.asks.iter().chain(&self.asks_again) {
            if !said.is_empty() {
                docker(socket, &["restart", container]);
            }
            let mut answer = String::new();
            wait_until(self.name, || {
                let words = ["exec", container, "/bin/sh", "-c", script];
                let output = Command::new("docker").args(["--host", socket]).args(words).output().unwrap();
                answer = String::from_utf8_lossy(&output.stdout).into_owned();
                output.status.success()
            });
            said += &answer;
        }
        let health = || inspect("{{with .State.Health}}{{.Status}}{{end}}");
        wait_until(self.name, || health() != "starting");
        let health = if self.asks.is_some() { health() } else { String::new() };
        if self.asks.is_some() {
            docker(socket, &["stop", container]);
        }
        let exit = docker(socket, &["wait", container]).parse().unwrap();
        said += &docker(socket, &["logs", container]);
        Outcome { health, exit, output: said.trim().to_owned() }
    }

    async fn on_the_node(&self, host: &Host, image: &str) -> Outcome {
        let mut spec = machine(contract(), image, &self.entrypoint());
        host.machines.fetch_image(&spec, fetched(4 * ROOM)).await.unwrap();
        spec.container.mounts.clear();
        spec.container.memory = 2 * SHM;
        spec.container.env.clear();
        spec.container.stop_seconds = Some(self.stop_seconds);
        let mut binds = Vec::new();
        if let Some(target) = self.volume {
            let data = volume(spec.id.contract, 128);
            host.volumes.ensure(&data).await.unwrap();
            let source = host.volumes.folder(&data.id).await.unwrap();
            binds.push(Bind { source, target: target.into() });
        }
        host.run(&spec, &binds).await.unwrap();
        let outcome = self.outcome(&host.socket, &host.name(&spec.id));
        host.destroy(spec.id.contract).await;
        outcome
    }

    fn on_stock(&self, stock: &StockEngine, image: &str) -> Outcome {
        let name = format!("k{}", contract());
        let (shm, stop_seconds) = (SHM.to_string(), self.stop_seconds.to_string());
        let mut words = vec![
            "run",
            "--detach",
            "--name",
            &name,
            "--shm-size",
            &shm,
            "--stop-timeout",
            &stop_seconds,
            "--network",
            "none",
        ];
        let entrypoint = self.entrypoint();
        if let Some(program) = entrypoint.first() {
            words.extend(["--entrypoint", program]);
        }
        let mount = self.volume.map(|target| format!("{name}:{target}"));
        if let Some(mount) = &mount {
            words.extend(["--volume", mount]);
        }
        words.push(image);
        words.extend(entrypoint.iter().skip(1));
        docker(&stock.socket, &words);
        let outcome = self.outcome(&stock.socket, &name);
        docker(&stock.socket, &["rm", "--volumes", &name]);
        outcome
    }
}

impl Registry {
    /// Builds an image from another one with these instructions and the files of a folder on that engine, pushes it,
    /// and returns its name by digest.
    fn build(&self, stock: &StockEngine, from: &str, files: &Path, name: &str, instructions: &str) -> String {
        let folder = self.folder.path();
        fs::write(folder.join("Dockerfile"), format!("FROM {from}\n{instructions}\n")).unwrap();
        let name = format!("{}/{name}:1", self.address);
        let file = folder.join("Dockerfile").display().to_string();
        let words = ["build", "--quiet", "--network", "none", "--tag", &name, "--file", &file];
        docker(&stock.socket, &[&words[..], &[&files.to_string_lossy()]].concat());
        docker(&stock.socket, &["push", "--quiet", &name]);
        docker(&stock.socket, &["image", "inspect", "--format", "{{index .RepoDigests 0}}", &name])
    }
}

/// Runs these kinds on both engines. Their images are built on one with the files of this folder, if there is one.
async fn compare(kinds: &[Kind], files: Option<&Path>) {
    let stock = StockEngine::start();
    let host = Host::new().await;
    let registry = Registry::start(&host);
    if kinds.iter().any(|kind| kind.image.contains("/large")) {
        // Nothing makes it smaller.
        let file = format!("of={}", registry.rootfs().join("large").display());
        let count = format!("count={}", 2 * ROOM / MIB);
        let words = ["if=/dev/urandom", &file, "bs=1M", &count, "status=none"];
        stdout(Command::new("dd").args(words));
    }
    wait_until("the stock engine", || succeeds(&stock.socket, &["info"]));
    let base = match files {
        Some(files) => registry.build(&stock, &registry.image, files, "programs", PROGRAMS_IMAGE),
        None => registry.image.clone(),
    };
    let mut differences = Vec::new();
    for (number, kind) in kinds.iter().enumerate() {
        let begun = Instant::now();
        let name = format!("kind-{number}");
        let image = registry.build(&stock, &base, &registry.rootfs(), &name, &kind.instructions());
        let (node, stock) = (kind.on_the_node(&host, &image).await, kind.on_stock(&stock, &image));
        println!("{}: {:?} in {:?}", kind.name, node, begun.elapsed());
        let (exit, output) = kind.ends;
        let expected = Outcome { health: kind.health.into(), exit, output: output.into() };
        if node != expected || stock != expected {
            differences.push((kind.name, node, stock, expected));
        }
    }
    assert!(differences.is_empty(), "on the node, on a stock engine, expected: {differences:#?}");
    assert!(!Path::new("/tmp/zos-escaped").exists(), "a volume was made on the host");
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn kinds_of_images_end_as_on_a_stock_engine() {
    compare(&KINDS[..12], None).await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn more_kinds_of_images_end_as_on_a_stock_engine() {
    compare(&KINDS[12..], None).await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn real_programs_do_as_on_a_stock_engine() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/setup-programs.sh");
    compare(&PROGRAMS, Some(Path::new(&stdout(&mut Command::new(script))))).await;
}

#[tokio::test]
#[ignore = "takes minutes: run by `make large`"]
async fn an_image_of_2_gib_runs() {
    let kind = Kind {
        name: "2 GiB",
        image: "COPY large /large",
        runs: "stat -c %s /large",
        ends: (0, "2147483648"),
        ..PLAIN
    };
    compare(&[kind], None).await;
}
