// SPDX-License-Identifier: Apache-2.0
//! Files of machines, from and to them over the peer endpoint.

use super::{peer::Desk, *};
use std::os::unix::fs::MetadataExt;
use tfgrid_client::{
    archive,
    peer::{
        Call, NodePeer, PeerError,
        frame::{Frame, MAX_FRAME_BYTES},
        protocol::{Ask, Failed, FailedCode, Message},
    },
};

/// A desk with a machine of one program, without a shell and `tar`.
async fn bare() -> Desk {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("srv")).unwrap();
    fs::copy("/bin/busybox", folder.path().join("sleep")).unwrap();
    let packed = folder.path().join("rootfs.tar");
    stdout(Command::new("tar").arg("-C").arg(folder.path()).arg("-cf").arg(&packed).args(["srv", "sleep"]));
    let image = registry.push_packed(&host, "bare", "USER 1000:1001", &packed);
    Desk::of(host, &image, &["/sleep", "1000"]).await
}

/// The archive of a path under this name.
fn packed(path: &Path, name: &str) -> Vec<u8> {
    let mut packed = Vec::new();
    archive::pack(&mut packed, path, Path::new(name)).unwrap();
    packed
}

fn copy_in(desk: &Desk, path: &str) -> Ask {
    Ask::CopyIn { workload: desk.machine.id.name.clone(), path: path.into() }
}

/// Copies an archive to a folder of the machine.
async fn send(desk: &Desk, peer: &NodePeer, archive: &[u8], path: &str) -> Result<(), PeerError> {
    let mut call = peer.ask(desk.machine.id.contract, copy_in(desk, path)).await?;
    call.ready().await?;
    let (mut input, mut output) = call.split();
    for bytes in archive.chunks(MAX_FRAME_BYTES) {
        // A node that takes no more says why.
        if input.data(bytes).await.is_err() {
            break;
        }
    }
    input.finish();
    let answer = timeout(2 * LIMIT, output.next()).await.unwrap()?;
    assert_eq!(answer, Some(Frame::Message(Message::Done {})));
    Ok(())
}

/// The archive of a path in the machine.
async fn receive(desk: &Desk, peer: &NodePeer, path: &str) -> Result<Vec<u8>, PeerError> {
    let ask = Ask::CopyOut { workload: desk.machine.id.name.clone(), path: path.into() };
    let mut call = peer.ask(desk.machine.id.contract, ask).await?;
    call.ready().await?;
    let mut archive = Vec::new();
    loop {
        match timeout(LIMIT, call.next()).await.unwrap()? {
            Some(Frame::Data(bytes)) => archive.extend(bytes),
            Some(Frame::Message(Message::Done {})) => return Ok(archive),
            other => panic!("{other:?}"),
        }
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, PeerError>) -> Failed {
    match answer {
        Err(PeerError::Failed(failed)) => failed,
        other => panic!("{other:?}"),
    }
}

/// Folder of the process of a copy from or to the machine, which is one of the machine's.
fn copier(desk: &Desk) -> Option<PathBuf> {
    let shown = desk.host.docker(&["top", &desk.host.name(&desk.machine.id), "-o", "pid,args"]);
    let line = shown.lines().find(|line| line.contains("--first-user"))?;
    Some(Path::new("/proc").join(line.split_whitespace().next()?))
}

/// Whether a copy from or to the machine runs.
fn is_copied(desk: &Desk) -> bool {
    copier(desk).is_some()
}

/// A copy to the machine, of which nothing has come yet.
async fn begun<'a>(desk: &Desk, peer: &'a NodePeer) -> Call<'a> {
    let mut call = peer.ask(desk.machine.id.contract, copy_in(desk, "/")).await.unwrap();
    call.ready().await.unwrap();
    wait_until("the copy", || is_copied(desk));
    call
}

/// The machine's root folder, as this host sees it.
fn root(desk: &Desk) -> PathBuf {
    let name = desk.host.name(&desk.machine.id);
    let pid = desk.host.docker(&["inspect", "--format", "{{.State.Pid}}", &name]);
    PathBuf::from(format!("/proc/{}/root", pid.trim()))
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn files_of_a_machine_without_a_shell_are_copied_both_ways() {
    let desk = bare().await;
    let peer = desk.caller(&desk.owner).await;
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    fs::create_dir_all(site.join("deep")).unwrap();
    let page: Vec<u8> = (0..300_000u32).flat_map(u32::to_be_bytes).collect();
    fs::write(site.join("deep/page"), &page).unwrap();
    symlink("/nowhere", site.join("link")).unwrap();
    for _ in 0..2 {
        // The second one replaces the first.
        send(&desk, &peer, &packed(&site, "copy"), "/srv").await.unwrap();
    }
    let there = root(&desk).join("srv/copy/deep/page").metadata().unwrap();
    let first = desk.host.machines.first_user().await.unwrap();
    assert_eq!((there.uid(), there.gid()), (first + 1000, first + 1001), "it belongs to the machine's user");
    let archive = receive(&desk, &peer, "/srv/copy").await.unwrap();
    archive::unpack(&archive[..], folder.path()).unwrap();
    assert_eq!(fs::read(folder.path().join("copy/deep/page")).unwrap(), page);
    assert_eq!(fs::read_link(folder.path().join("copy/link")).unwrap(), Path::new("/nowhere"));
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_copy_that_fails_says_why() {
    let desk = Desk::open().await;
    let peer = desk.caller(&desk.owner).await;
    for (path, why) in [
        ("/nothing", "can't read /nothing: No such file"),
        ("/bin/busybox/x", "Not a directory"),
        ("/dev/null", "neither a file nor a folder"),
        ("etc", "begins with /"),
    ] {
        let failed = refused(receive(&desk, &peer, path).await);
        assert!(failed.code == FailedCode::BadRequest && failed.message.contains(why), "{path}: {failed:?}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    for (path, why) in [("/nothing", "No such file"), ("/bin/busybox", "isn't a folder")] {
        let failed = refused(send(&desk, &peer, &packed(file.path(), "new"), path).await);
        assert!(failed.message.contains(why), "{path}: {failed:?}");
    }
    let failed = refused(send(&desk, &peer, &[b'x'; 2048], "/tmp").await);
    assert_eq!(failed.code, FailedCode::BadRequest, "{failed:?}");
    // More than the machine's disk has.
    file.as_file().set_len(80 * MIB).unwrap();
    let failed = refused(send(&desk, &peer, &packed(file.path(), "large"), "/home").await);
    assert!(failed.message.contains("quota"), "{failed:?}");
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn paths_that_lead_out_of_a_machine_stay_in_it() {
    let desk = Desk::open().await;
    let peer = desk.caller(&desk.owner).await;
    let secret = tempfile::Builder::new().prefix("copied").tempfile_in("/tmp").unwrap();
    fs::write(secret.path(), "of the host").unwrap();
    let name = secret.path().file_name().unwrap().to_str().unwrap();
    // It points to `/tmp` by way of more parents than there are.
    let path = format!("/escape/{name}");
    for path in [&path, &format!("/../..{}", secret.path().display())] {
        let failed = refused(receive(&desk, &peer, path).await);
        assert!(failed.message.contains("No such file"), "{path}: {failed:?}");
    }
    let own = tempfile::NamedTempFile::new().unwrap();
    fs::write(own.path(), "of the owner").unwrap();
    for folder in ["/escape", "/../../tmp"] {
        send(&desk, &peer, &packed(own.path(), name), folder).await.unwrap();
        assert_eq!(
            desk.host.exec(&desk.machine, &format!("cat /tmp/{name}; rm /tmp/{name}")).unwrap(),
            "of the owner"
        );
        assert_eq!(fs::read_to_string(secret.path()).unwrap(), "of the host");
    }
    // Programs in the machine see no process of the copy, by which they could reach the host's files.
    let begun = begun(&desk, &peer).await;
    let seen = desk.host.exec(&desk.machine, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").unwrap();
    assert!(!seen.contains("--first-user"), "{seen}");
    drop(begun);
    let swaps = "while true; do ln -s /escape /swap; rm /swap; mkdir /swap; rm -r /swap; done";
    let machine = desk.host.name(&desk.machine.id);
    desk.host.docker(&["exec", "--detach", &machine, "/bin/sh", "-c", swaps]);
    for _ in 0..10 {
        // It fails where the folder isn't there.
        drop(send(&desk, &peer, &packed(own.path(), name), "/swap").await);
        drop(receive(&desk, &peer, "/swap").await);
    }
    assert_eq!(fs::read_to_string(secret.path()).unwrap(), "of the host");
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_copy_counts_as_the_machines_and_ends_with_it() {
    let desk = bare().await;
    let peer = desk.caller(&desk.owner).await;
    drop(begun(&desk, &peer).await);
    let gone = Instant::now();
    while is_copied(&desk) {
        assert!(gone.elapsed() < LIMIT, "a copy stays without its caller");
        sleep(Duration::from_millis(100)).await;
    }
    let mut call = begun(&desk, &peer).await;
    let adjustment = fs::read_to_string(copier(&desk).unwrap().join("oom_score_adj")).unwrap();
    assert_eq!(adjustment, "1000\n", "it ends before the machine's programs");
    desk.host.machines.stop(&desk.machine.id).await.unwrap();
    let failed = refused(timeout(LIMIT, call.next()).await.unwrap());
    assert_eq!(failed.code, FailedCode::NotRunning);
    let failed = refused(send(&desk, &peer, &[], "/srv").await);
    assert_eq!(failed.code, FailedCode::NotRunning);
    drop(call);
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_contract_has_8_copies_at_a_time() {
    let desk = bare().await;
    let peer = desk.caller(&desk.owner).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(begun(&desk, &peer).await);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let archive = packed(file.path(), "new");
    assert_eq!(refused(send(&desk, &peer, &archive, "/srv").await).code, FailedCode::TooMany);
    drop(open.pop());
    let ended = Instant::now();
    while send(&desk, &peer, &archive, "/srv").await.is_err() {
        assert!(ended.elapsed() < LIMIT, "a copy that has ended keeps its place");
        sleep(Duration::from_millis(100)).await;
    }
    drop(open);
    desk.close().await;
}
