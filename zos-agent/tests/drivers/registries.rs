// SPDX-License-Identifier: Apache-2.0
//! Images from registries.

use super::*;
use zos_agent::drivers::pool::run_folder;

/// A node whose engine asks a mirror first for images of Docker Hub. All of it is removed on drop.
struct Mirrored {
    data: TempDir,
    key: [u8; 32],
    machines: DockerMachines,
    keeping: JoinHandle<()>,
}

impl Mirrored {
    async fn start(mirror: String) -> Self {
        let (data, key) = (tempfile::tempdir().unwrap(), rand::random());
        let pool = open(&data, "24GiB", key).await.unwrap();
        let own = OwnEngine::new(data.path(), &pool, &key, vec![mirror], AGENT.into());
        let choice = EngineChoice { socket: own.socket(), any: false, private_registries: false };
        let machines = DockerMachines::new(choice, pool, &key, &[]);
        let node = Self { data, key, machines, keeping: tokio::spawn(own.run()) };
        let begun = Instant::now();
        while let Err(error) = node.machines.ready().await {
            assert!(begun.elapsed() < LIMIT, "{error:#}");
            sleep(LIMIT / 300).await;
        }
        node
    }
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        self.keeping.abort();
        let run = run_folder(&self.key);
        for config in ["dockerd.json", "containerd.toml"] {
            let _ = Command::new("pkill").args(["-9", "-f"]).arg(run.join(config)).status();
        }
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        for place in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if Path::new(place).starts_with(&run) {
                let _ = Command::new("umount").args(["--lazy", place]).status();
            }
        }
        let file = self.data.path().join("pool.img");
        let devices =
            Command::new("losetup").args(["--noheadings", "--output", "NAME", "-j"]).arg(file).output();
        let devices = devices.map(|output| output.stdout).unwrap_or_default();
        for device in String::from_utf8_lossy(&devices).lines() {
            let _ = Command::new("losetup").args(["--detach", device.trim()]).status();
        }
        let _ = fs::remove_dir_all(run);
    }
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn tenants_images_come_from_the_farmers_mirror_by_digest() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    // Docker Hub has none of this name.
    let name = format!("tfgrid-{:08x}/web", rand::random::<u32>());
    let pushed = registry.push(&host, &name, "LABEL mirrored=yes");
    let (_, digest) = pushed.split_once('@').unwrap();
    let mirror = format!("http://{}", registry.address);
    let registries = Registries { mirrors: vec![mirror.clone()], allow_private: false };
    let _firewall = Firewall::install_with(&registries).await;
    let node = Mirrored::start(mirror).await;
    for version in [format!("@{digest}"), ":1".into()] {
        let web = machine(contract(), &format!("docker.io/{name}{version}"), &[]);
        node.machines.fetch_image(&web, fetched(ROOM)).await.unwrap();
    }
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
    const LIMITED: &str = "limits how often it is asked";
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
            Some(LIMITED),
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
            (DriverError::Transient(_), Some(LIMITED)) => {
                assert!(error.to_string().contains(LIMITED), "{what}: {error}");
            }
            (DriverError::Transient(_), None) => {
                assert!(!error.to_string().contains(LIMITED), "{what}: {error}");
            }
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
    // Images of machines that a failed test has left stay.
    for machine in host.docker(&["ps", "--all", "--quiet"]).lines() {
        host.docker(&["rm", "--force", machine]);
    }
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
async fn an_image_that_cannot_be_read_hides_no_other() {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let broken = host.prepared(&registry.push(&host, "broken", "LABEL broken=yes"), &["/bin/id"]).await;
    let web = host.started(&registry.image, &["/bin/sleep", "1000"]).await;
    let name = format!("zos.invalid/{}/{}:one", hex::encode(&host.node_key[..4]), broken.id);
    let id = host.docker(&["image", "inspect", "--format", "{{.Id}}", &name]);
    let root = PathBuf::from(host.docker(&["info", "--format", "{{.DockerRootDir}}"]));
    let file = root.join("image/btrfs/imagedb/content").join(id.replace(':', "/"));
    let content = fs::read(&file).unwrap();
    fs::write(&file, "{").unwrap();
    let created = host.machines.create(&broken, &[]).await;
    let other = timeout(LIMIT, host.started(&registry.image, &["/bin/sleep", "1000"])).await;
    fs::write(&file, content).unwrap();
    assert!(created.is_err(), "what can't be read is created");
    let observed = host.machines.observe().await.unwrap();
    let is_there = |id: &WorkloadId| observed.machines.iter().any(|machine| machine.id == *id);
    assert!(is_there(&web.id) && is_there(&other.unwrap().id) && observed.unreadable.is_empty());
    host.run(&broken, &[]).await.unwrap();
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
