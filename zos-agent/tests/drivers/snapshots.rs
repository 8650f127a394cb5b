// SPDX-License-Identifier: Apache-2.0
//! Content of volumes and roots over the peer endpoint: taken at one instant, and put in place at once or not at all.

use super::{
    peer::{Desk, OWNER, known},
    *,
};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, getxattr, lgetxattr_query, mknodat, setxattr};
use std::{
    collections::{BTreeSet, VecDeque},
    os::unix::fs::{FileExt, MetadataExt},
};
use tfgrid_client::{
    peer::{
        NodePeer, PeerError,
        frame::Frame,
        protocol::{Ask, FailedCode, Message},
    },
    snapshot::{
        CHUNK_BYTES, CONTENT_BYTES, ChunkHash, Item, Kind, Part, Position, Step, chunk_hash, wanted_bits,
    },
};

/// Steps with the content of their chunks.
type Batches = Vec<(Vec<Step>, Vec<u8>)>;

/// A volume of the contract, with its folder.
async fn made(desk: &Desk, contract: ContractId) -> (VolumeSpec, PathBuf) {
    let spec = volume(contract, 256);
    desk.host.volumes.ensure(&spec).await.unwrap();
    let folder = desk.host.volumes.folder(&spec.id).await.unwrap();
    (spec, folder)
}

/// Takes the volume of a contract: all chunks but those that are known. Returns also the bytes that came and went.
async fn taken(
    peer: &NodePeer,
    contract: ContractId,
    known: &BTreeSet<ChunkHash>,
    once_it_is_kept: impl FnOnce(),
) -> (Batches, usize) {
    taken_of(peer, contract, "data", known, once_it_is_kept).await
}

/// The same of any workload.
async fn taken_of(
    peer: &NodePeer,
    contract: ContractId,
    workload: &str,
    known: &BTreeSet<ChunkHash>,
    once_it_is_kept: impl FnOnce(),
) -> (Batches, usize) {
    let mut call = peer.ask(contract, Ask::Snapshot { workload: workload.into() }).await.unwrap();
    call.ready().await.unwrap();
    once_it_is_kept();
    let (mut input, mut output) = call.split();
    let (mut batches, mut moved) = (Batches::new(), 0);
    let mut missing: VecDeque<(usize, usize)> = VecDeque::new();
    let mut position = Position::default();
    loop {
        let frame = timeout(LIMIT, output.next()).await.unwrap().unwrap();
        let Some(Frame::Data(bytes)) = frame else { panic!("{frame:?}") };
        moved += bytes.len();
        match Part::read(&bytes).unwrap() {
            Part::Batch(steps) => {
                let (wanted, length) = wanted(&steps, &mut position, known);
                if !wanted.is_empty() {
                    let bits = wanted_bits(&wanted);
                    moved += bits.len();
                    input.data(&bits).await.unwrap();
                }
                if length > 0 {
                    missing.push_back((batches.len(), length));
                }
                batches.push((steps, Vec::new()));
            }
            Part::Content(content) => {
                let (batch, left) = missing.front_mut().unwrap();
                batches[*batch].1.extend(&content);
                *left -= content.len();
                if *left == 0 {
                    missing.pop_front();
                }
            }
            Part::End => {
                position.end().unwrap();
                input.finish();
                assert!(missing.is_empty());
                return (batches, moved);
            }
        }
    }
}

/// Which chunks are wanted, and how long they are together.
fn wanted(steps: &[Step], position: &mut Position, known: &BTreeSet<ChunkHash>) -> (Vec<bool>, usize) {
    let (mut wanted, mut length) = (Vec::new(), 0);
    for step in steps {
        let mut left = position.step(step).unwrap() as usize;
        if let Step::Chunks(hashes) = step {
            for hash in hashes {
                let of_chunk = left.min(CHUNK_BYTES);
                left -= of_chunk;
                let is_wanted = !known.contains(hash);
                length += if is_wanted { of_chunk } else { 0 };
                wanted.push(is_wanted);
            }
        }
    }
    (wanted, length)
}

fn hashes(batches: &Batches) -> BTreeSet<ChunkHash> {
    let steps = batches.iter().flat_map(|(steps, _)| steps);
    let hashes = steps.filter_map(|step| if let Step::Chunks(hashes) = step { Some(hashes) } else { None });
    hashes.flatten().copied().collect()
}

/// Restores the volume of a contract.
async fn restored(peer: &NodePeer, contract: ContractId, batches: &Batches) -> Result<(), PeerError> {
    restored_if(false, peer, contract, "data", batches).await
}

/// The same of any workload, with `once` only where it wasn't restored before.
async fn restored_if(
    once: bool,
    peer: &NodePeer,
    contract: ContractId,
    workload: &str,
    batches: &Batches,
) -> Result<(), PeerError> {
    let mut call = peer.ask(contract, Ask::Restore { workload: workload.into(), once }).await?;
    call.ready().await?;
    let (mut input, mut output) = call.split();
    let sending = async {
        for (steps, content) in batches {
            input.data(&Part::Batch(steps.clone()).written()).await?;
            for piece in content.chunks(CONTENT_BYTES) {
                input.data(&Part::Content(piece.to_vec()).written()).await?;
            }
        }
        input.data(&Part::End.written()).await
    };
    // What fails here is told there.
    let _ = sending.await;
    input.finish();
    match timeout(LIMIT, output.next()).await.unwrap()? {
        Some(Frame::Message(Message::Done {})) => Ok(()),
        other => panic!("{other:?}"),
    }
}

fn code(error: PeerError) -> FailedCode {
    match error {
        PeerError::Failed(failed) => failed.code,
        other => panic!("{other}"),
    }
}

/// Waits until nothing of a stream is left.
async fn until_clean(desk: &Desk, contract: ContractId) {
    let pool = &desk.host.pool;
    let engines = fs::read_dir(pool.engine().join("docker")).unwrap().flatten();
    let folders: Vec<_> = engines
        .map(|data| data.path().join("btrfs/new"))
        .chain([pool.volumes().with_file_name("snapshots")])
        .collect();
    let is_left =
        |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&format!("{contract}-"));
    let begun = Instant::now();
    while folders.iter().flat_map(fs::read_dir).flatten().flatten().any(is_left) {
        assert!(begun.elapsed() < LIMIT, "a snapshot is left in one of {folders:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Bytes that no chunk has twice.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::fill(&mut bytes[..]);
    bytes
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_volume_is_restored_in_another_contract_as_it_was() {
    let desk = Desk::open().await;
    let (first, second) = (desk.machine.id.contract, contract());
    let contracts = [(first, OWNER), (second, OWNER)];
    desk.known.send_replace(known(&[&desk.owner], &desk.neighbour, &contracts));
    let (_, old) = made(&desk, first).await;
    let (spec, new) = made(&desk, second).await;
    let first_user = desk.host.machines.first_user().await.unwrap();

    let content = noise(3 << 20);
    fs::create_dir(old.join("db")).unwrap();
    fs::write(old.join("db/rows"), &content).unwrap();
    chown(old.join("db/rows"), Some(first_user + 999), Some(first_user + 50)).unwrap();
    fs::set_permissions(old.join("db/rows"), fs::Permissions::from_mode(0o4640)).unwrap();
    setxattr(old.join("db/rows"), "user.kind", b"rows", XattrFlags::empty()).unwrap();
    fs::hard_link(old.join("db/rows"), old.join("same")).unwrap();
    symlink("../../etc/shadow", old.join("db/link")).unwrap();
    mknodat(CWD, old.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let sparse = fs::File::create(old.join("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    sparse.write_all_at(b"deep", 1 << 29).unwrap();
    chown(&old, Some(first_user + 7), Some(first_user)).unwrap();
    fs::write(new.join("before"), "the content that is replaced").unwrap();

    let owner = desk.caller(&desk.owner).await;
    let change = || {
        fs::write(old.join("db/rows"), "changed after the instant").unwrap();
        fs::remove_file(old.join("db/link")).unwrap();
    };
    let (batches, _) = taken(&owner, first, &BTreeSet::new(), change).await;
    restored(&owner, second, &batches).await.unwrap();

    let new = desk.host.volumes.folder(&spec.id).await.unwrap();
    assert!(!new.join("before").exists());
    assert_eq!(fs::read(new.join("db/rows")).unwrap(), content);
    let rows = fs::metadata(new.join("db/rows")).unwrap();
    assert_eq!((rows.uid() - first_user, rows.gid() - first_user, rows.mode() & 0o7777), (999, 50, 0o4640));
    assert_eq!((rows.nlink(), rows.ino()), (2, fs::metadata(new.join("same")).unwrap().ino()));
    let mut kind = [0; 4];
    assert_eq!(getxattr(new.join("same"), "user.kind", &mut kind[..]).unwrap(), 4);
    assert_eq!(&kind, b"rows");
    assert_eq!(fs::read_link(new.join("db/link")).unwrap(), Path::new("../../etc/shadow"));
    let sparse = fs::metadata(new.join("sparse")).unwrap();
    assert!(sparse.len() == 1 << 30 && sparse.blocks() * 512 < MIB, "{sparse:?}");
    assert_eq!(fs::metadata(&new).unwrap().uid() - first_user, 7);
    let volumes = desk.host.volumes_of(second).await;
    assert_eq!((volumes.len(), volumes[0].size), (1, spec.size));
    // It has been used: nobody takes it for a new one.
    assert!(lgetxattr_query(&new, "trusted.zos.fresh").is_err());
    // What its machine writes from now on is newer than any snapshot.
    fs::write(new.join("later"), "written after it was restored").unwrap();
    assert_eq!(
        code(restored_if(true, &owner, second, "data", &batches).await.unwrap_err()),
        FailedCode::BadRequest
    );
    assert!(new.join("later").exists() && desk.host.volumes_of(second).await[0].restored);
    for contract in [first, second] {
        until_clean(&desk, contract).await;
    }
    desk.host.destroy(second).await;
    desk.close().await;
}

const SLEEP: [&str; 2] = ["/bin/sleep", "1000"];

/// A desk whose machine has an image with a `VOLUME`; with another machine of that image, and one of another image.
async fn with_machines() -> (Desk, MachineSpec, MachineSpec) {
    let host = Host::new().await;
    let registry = Registry::start(&host);
    let image = registry.push(&host, "db", "VOLUME /seeded");
    let (same, other) = (host.started(&image, &SLEEP).await, host.started(&registry.image, &SLEEP).await);
    let desk = Desk::of(host, &image, &SLEEP).await;
    let contracts = [&desk.machine, &same, &other].map(|machine| (machine.id.contract, OWNER));
    desk.known.send_replace(known(&[&desk.owner], &desk.neighbour, &contracts));
    (desk, same, other)
}

/// Stops the desk's machine as its owner does.
async fn stop(desk: &Desk, owner: &NodePeer) {
    desk.host.machines.stop(&desk.machine.id).await.unwrap();
    let stop = Ask::Stop { workload: desk.machine.id.name.clone() };
    owner.answer(desk.machine.id.contract, stop).await.unwrap();
}

async fn close(desk: Desk, machines: [MachineSpec; 2]) {
    for machine in machines {
        desk.host.destroy(machine.id.contract).await;
    }
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_root_is_restored_in_another_contract_as_it_was() {
    let (desk, old, other) = with_machines().await;
    let (owner, new) = (desk.caller(&desk.owner).await, &desk.machine);
    let contract = new.id.contract;
    let change = "echo mine >/note; chown 1000 /note; /bin/busybox rm /etc/inittab; /bin/busybox rm -r /home/app; \
                  echo file >/home/app; mkdir -p /opt/deep; /bin/busybox ln -s /nowhere /opt/deep/link; \
                  echo db >/seeded/file";
    desk.host.exec(&old, change).unwrap();
    let none = BTreeSet::new();
    let later = || drop(desk.host.exec(&old, "echo later >/note").unwrap());
    let (root, moved) = taken_of(&owner, old.id.contract, "web", &none, later).await;
    assert!(moved < 64 * 1_024, "what is as in the image was moved: {moved} bytes");
    let (volumes, _) = taken_of(&owner, old.id.contract, "web_volumes", &none, || {}).await;

    desk.host.exec(new, "echo before >/before").unwrap();
    let of_running = restored_if(false, &owner, contract, "web", &root).await.unwrap_err();
    assert_eq!(code(of_running), FailedCode::Running);
    stop(&desk, &owner).await;
    for (workload, batches) in [("web", &root), ("web_volumes", &volumes)] {
        restored_if(true, &owner, contract, workload, batches).await.unwrap();
        let again = restored_if(true, &owner, contract, workload, batches).await.unwrap_err();
        assert_eq!(code(again), FailedCode::BadRequest, "{workload} was restored before");
    }
    let there = owner.volumes(contract, true).await.unwrap();
    assert!(there["web"].restored && there["web"].used_bytes < MIB, "{there:?}");
    assert!(!owner.volumes(contract, false).await.unwrap().contains_key("web"));

    desk.host.machines.start(&new.id).await.unwrap();
    desk.host.until(&new.id, is_running).await;
    let read = "stat -c %u /note; readlink /opt/deep/link; ls /before /etc/inittab 2>/dev/null; \
                cat /note /home/app /seeded/file";
    assert_eq!(desk.host.exec(new, read).unwrap(), "1000\n/nowhere\nmine\nfile\ndb");
    let full = desk.host.exec(new, "dd if=/dev/zero of=/much bs=1M count=20").unwrap_err();
    assert!(full.contains("quota"), "{full}");
    for machine in [&old, new] {
        until_clean(&desk, machine.id.contract).await;
    }
    close(desk, [old, other]).await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_root_of_another_image_and_hostile_ones_are_refused() {
    let (desk, same, other) = with_machines().await;
    let (owner, own) = (desk.caller(&desk.owner).await, &desk.machine);
    let contract = own.id.contract;
    let none = BTreeSet::new();
    let (of_other, _) = taken_of(&owner, other.id.contract, "web", &none, || {}).await;
    let (of_same, _) = taken_of(&owner, same.id.contract, "web", &none, || {}).await;
    let (volumes, _) = taken_of(&owner, same.id.contract, "web_volumes", &none, || {}).await;
    desk.host.exec(own, "echo mine >/note && echo mine >/seeded/file").unwrap();
    stop(&desk, &owner).await;

    let item = |path: &[u8], kind| {
        let (path, changed) = (path.to_vec(), (0, 0));
        Step::Item(Item { path, kind, mode: 0o755, user: 0, group: 0, changed, attributes: Vec::new() })
    };
    let begun = |steps: &[Step]| vec![(steps.to_vec(), Vec::new())];
    let of_image = of_same[0].0[..2].to_vec();
    assert!(matches!(&of_image[..], [Step::Image(_), Step::Item(_)]), "{of_image:?}");
    let out = [&of_image[..], &[Step::Gone(b"escape/x".to_vec())]].concat();
    // Of its folder for the `VOLUME`, a link that the engine would mount.
    let folder = volumes.iter().flat_map(|(steps, _)| steps).find_map(|step| match step {
        Step::Item(item) if !item.path.is_empty() && !item.path.contains(&b'/') => Some(item.path.clone()),
        _ => None,
    });
    let link = [item(b"", Kind::Folder), item(&folder.unwrap(), Kind::Link(b"/etc".to_vec()))];
    for (workload, batches, words) in [
        ("web", of_other, "another image"),
        ("web", volumes.clone(), "not the root of a machine"),
        ("web_volumes", of_same.clone(), "not the content of a volume"),
        ("web", begun(&out), "can't remove"),
        ("web_volumes", begun(&link), "isn't what an image declares"),
    ] {
        match restored_if(false, &owner, contract, workload, &batches).await.unwrap_err() {
            PeerError::Failed(failed) => {
                assert!(failed.code == FailedCode::BadRequest && failed.message.contains(words), "{failed}");
            }
            other => panic!("{words}: {other}"),
        }
        until_clean(&desk, contract).await;
    }
    // What the snapshot doesn't have of a `VOLUME` stays.
    restored_if(false, &owner, contract, "web_volumes", &begun(&link[..1])).await.unwrap();
    desk.host.machines.start(&own.id).await.unwrap();
    desk.host.until(&own.id, is_running).await;
    assert_eq!(desk.host.exec(own, "cat /note /seeded/file").unwrap(), "mine\nmine");
    close(desk, [same, other]).await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_root_beyond_its_size_is_not_kept() {
    let desk = Desk::open().await;
    let (owner, id) = (desk.caller(&desk.owner).await, &desk.machine.id);
    let root = desk.host.machines.root(id).await.unwrap().unwrap().path;
    let limit = |mib: u64| desk.host.pool.limit_snapshot(&root, mib * MIB);
    limit(256).await.unwrap();
    fs::write(root.join("much"), vec![0; 128 * MIB as usize]).unwrap();
    taken_of(&owner, id.contract, &id.name, &BTreeSet::new(), || {}).await;
    limit(16).await.unwrap();
    // The kernel counts what it shares with the first one for neither, until that is dropped.
    let mut call = owner.ask(id.contract, Ask::Snapshot { workload: id.name.clone() }).await.unwrap();
    match call.ready().await.unwrap_err() {
        PeerError::Failed(failed) => assert!(failed.message.contains("more than its size"), "{failed}"),
        other => panic!("{other}"),
    }
    until_clean(&desk, id.contract).await;
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_change_of_one_in_a_hundred_moves_little() {
    let desk = Desk::open().await;
    let contract = desk.machine.id.contract;
    let (_, folder) = made(&desk, contract).await;
    let bytes = 64 * MIB as usize;
    fs::write(folder.join("db"), noise(bytes)).unwrap();
    let owner = desk.caller(&desk.owner).await;
    let (all, _) = taken(&owner, contract, &BTreeSet::new(), || {}).await;
    // Pages of a database, here and there.
    let file = fs::File::options().write(true).open(folder.join("db")).unwrap();
    for page in 0..bytes / CHUNK_BYTES / 100 {
        file.write_all_at(&noise(CHUNK_BYTES), (page * 100 * CHUNK_BYTES) as u64).unwrap();
    }
    let (changed, moved) = taken(&owner, contract, &hashes(&all), || {}).await;
    assert_eq!(hashes(&changed).difference(&hashes(&all)).count(), bytes / CHUNK_BYTES / 100);
    assert!(moved < bytes * 20 / 1_024, "{moved} bytes moved");
    until_clean(&desk, contract).await;
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_running_machine_keeps_its_volume() {
    let desk = Desk::open().await;
    let contract = desk.machine.id.contract;
    let (spec, folder) = made(&desk, contract).await;
    fs::write(folder.join("note"), "old").unwrap();
    let owner = desk.caller(&desk.owner).await;
    let (batches, _) = taken(&owner, contract, &BTreeSet::new(), || {}).await;
    fs::write(folder.join("note"), "new").unwrap();
    assert_eq!(code(restored(&owner, contract, &batches).await.unwrap_err()), FailedCode::Running);
    desk.host.machines.stop(&desk.machine.id).await.unwrap();
    let refused = restored(&owner, contract, &batches).await.unwrap_err();
    assert_eq!(code(refused), FailedCode::Running, "it may start again");
    let stop = Ask::Stop { workload: desk.machine.id.name.clone() };
    owner.answer(contract, stop).await.unwrap();
    assert_eq!(fs::read_to_string(folder.join("note")).unwrap(), "new");
    until_clean(&desk, contract).await;
    restored(&owner, contract, &batches).await.unwrap();
    let folder = desk.host.volumes.folder(&spec.id).await.unwrap();
    assert_eq!(fs::read_to_string(folder.join("note")).unwrap(), "old");
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_caller_that_goes_while_a_volume_is_kept_leaves_nothing() {
    let desk = Desk::open().await;
    let contract = desk.machine.id.contract;
    let (_, folder) = made(&desk, contract).await;
    let owner = desk.caller(&desk.owner).await;
    let ask = |workload: &str| owner.ask(contract, Ask::Snapshot { workload: workload.into() });
    for _ in 0..8 {
        // It is written to the disk while the volume is kept.
        fs::write(folder.join("db"), noise(4 << 20)).unwrap();
        drop(ask("data").await.unwrap());
        let begun = Instant::now();
        while code(ask("nothing").await.unwrap().message().await.unwrap_err()) == FailedCode::TooMany {
            assert!(begun.elapsed() < LIMIT, "a snapshot keeps its place");
            sleep(Duration::from_millis(10)).await;
        }
    }
    until_clean(&desk, contract).await;
    desk.close().await;
}

#[tokio::test]
#[ignore = "needs a node: run by `make test`"]
async fn a_broken_or_hostile_restore_touches_nothing() {
    let desk = Desk::open().await;
    let (own, other) = (desk.machine.id.contract, contract());
    desk.known.send_replace(known(&[&desk.owner], &desk.neighbour, &[(own, OWNER), (other, OWNER)]));
    let (_, folder) = made(&desk, other).await;
    fs::write(folder.join("note"), "mine").unwrap();
    let owner = desk.caller(&desk.owner).await;
    let item = |path: &str, kind| {
        let (path, changed) = (path.as_bytes().to_vec(), (0, 0));
        Step::Item(Item { path, kind, mode: 0o755, user: 0, group: 0, changed, attributes: Vec::new() })
    };
    let root = || item("", Kind::Folder);
    let file = |hash| vec![root(), item("note", Kind::File(3)), Step::Chunks(vec![hash])];
    for hostile in [
        vec![(file(chunk_hash(b"two")), b"one".to_vec())],
        vec![(file(chunk_hash(b"one")), Vec::new())],
        vec![(vec![root(), item("../note", Kind::Folder)], Vec::new())],
        vec![(vec![root(), item("up", Kind::Link(b"..".to_vec())), item("up/x", Kind::Folder)], Vec::new())],
        // A folder that comes before its own.
        vec![(vec![root(), item("deep/er", Kind::Folder)], Vec::new())],
    ] {
        let refused = restored(&owner, other, &hostile).await.unwrap_err();
        assert_eq!(code(refused), FailedCode::BadRequest, "{hostile:?}");
        until_clean(&desk, other).await;
    }
    for workload in ["data/../../volumes/1-data", "../x", "web.volumes", "../x_volumes", "_volumes", ""] {
        for ask in [
            Ask::Snapshot { workload: workload.into() },
            Ask::Restore { workload: workload.into(), once: false },
        ] {
            let refused = owner.answer(other, ask).await.unwrap_err();
            assert_eq!(code(refused), FailedCode::BadRequest, "{workload}");
        }
    }
    let missing =
        owner.ask(other, Ask::Snapshot { workload: "nothing".into() }).await.unwrap().message().await;
    assert_eq!(code(missing.unwrap_err()), FailedCode::NotFound);
    // A caller that goes in the middle.
    let mut call = owner.ask(other, Ask::Restore { workload: "data".into(), once: false }).await.unwrap();
    call.ready().await.unwrap();
    let again = owner.ask(other, Ask::Snapshot { workload: "data".into() }).await.unwrap().message().await;
    assert_eq!(code(again.unwrap_err()), FailedCode::TooMany);
    let (mut input, output) = call.split();
    input.data(&Part::Batch(file(chunk_hash(b"one"))).written()).await.unwrap();
    drop((input, output));
    until_clean(&desk, other).await;
    assert_eq!(fs::read_to_string(folder.join("note")).unwrap(), "mine");
    desk.host.destroy(other).await;
    desk.close().await;
}
