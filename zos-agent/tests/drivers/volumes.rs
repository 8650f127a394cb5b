// SPDX-License-Identifier: Apache-2.0
//! Volumes, and what machines write to their roots.

use super::*;

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
    let full = host.exec(
        &db,
        "dd if=/dev/zero of=/seeded/much bs=1M count=30 && \
         dd if=/dev/zero of=/var/lib/db/much bs=1M count=30",
    );
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
