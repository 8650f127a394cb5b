// SPDX-License-Identifier: Apache-2.0
//! Content of volumes over the peer endpoint: taken at one instant, and put in place at once or not at all.

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
    let mut call = peer.ask(contract, Ask::Snapshot { workload: "data".into() }).await.unwrap();
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
    restored_if(false, peer, contract, batches).await
}

/// The same, with `once` only where it wasn't restored before.
async fn restored_if(
    once: bool,
    peer: &NodePeer,
    contract: ContractId,
    batches: &Batches,
) -> Result<(), PeerError> {
    let mut call = peer.ask(contract, Ask::Restore { workload: "data".into(), once }).await?;
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
    let folder = desk.host.pool.volumes().with_file_name("snapshots");
    let is_left = |entry: std::io::Result<fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().starts_with(&format!("{contract}-"))
    };
    let begun = Instant::now();
    while fs::read_dir(&folder).unwrap().any(is_left) {
        assert!(begun.elapsed() < LIMIT, "a snapshot is left in {}", folder.display());
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
    assert_eq!(code(restored_if(true, &owner, second, &batches).await.unwrap_err()), FailedCode::BadRequest);
    assert!(new.join("later").exists() && desk.host.volumes_of(second).await[0].restored);
    for contract in [first, second] {
        until_clean(&desk, contract).await;
    }
    desk.host.destroy(second).await;
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
    for workload in ["data/../../volumes/1-data", "../x", "web.volumes", ""] {
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
