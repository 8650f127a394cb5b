// SPDX-License-Identifier: Apache-2.0
//! Takes a snapshot: the node tells the hashes of all chunks, and sends those that the place lacks.

use super::{Keys, MANIFEST, MAX_MANIFEST_BYTES, Place, Snapshot, last, located, manifest};
use crate::{contract::size_text, progress::Progress};
use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tfgrid_client::{
    peer::{
        Device, Input, NodePeer, Output, PeerError,
        frame::Frame,
        protocol::{Ask, Exec, IMAGE_VOLUMES, Message},
    },
    primitives::{ContractId, text::printable},
    sealing::{Recipient, seal_file},
    snapshot::{
        CHUNK_BYTES, ChunkHash, Manifest, PACK_BYTES, Part, Position, Step, Stored, chunk_hash, wanted_bits,
    },
};
use tokio::{
    spawn,
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

/// Limit for the node to go on.
const GOES_ON_WITHIN: Duration = Duration::from_secs(600);
/// Limit for a command in a machine.
const COMMAND_WITHIN: Duration = Duration::from_secs(600);
/// Batches that a node may be ahead.
const MAX_AHEAD: usize = 64;
/// Packs that wait to be written.
const PACKS_WAITING: usize = 2;
/// Limit of what is told of a command's errors, and of what is kept of them.
const ERROR_BYTES: u32 = 500;
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// Commands for a shell in a machine, by which what it writes is whole at the instant of the snapshot.
#[derive(Clone, Debug, Default)]
pub struct Around {
    pub machine: String,
    pub before: Option<String>,
    /// It runs in each case once `before` was started.
    pub after: Option<String>,
}

/// A snapshot that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub snapshot: Snapshot,
    /// The one that has what didn't change.
    pub since: Option<Snapshot>,
    /// Bytes of content, without zeros that take no room.
    pub bytes: u64,
    /// Bytes that went between the node and this computer.
    pub moved_bytes: u64,
    /// Bytes that were written to the place.
    pub written_bytes: u64,
}

/// Of what of a contract snapshots are taken. A machine stands for its root, and what its image declares as `VOLUME`.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// Of these volumes and machines.
    Named(&'a [String]),
    /// Of all volumes.
    Volumes,
    /// Of all volumes and machines.
    All,
}

impl Of<'_> {
    /// Names of what is saved, of those that the node has.
    fn names(self, there: &BTreeSet<String>) -> Vec<String> {
        let Self::Named(named) = self else { return there.iter().cloned().collect() };
        let with_volumes = |name: &String| {
            let volumes = Some(format!("{name}{IMAGE_VOLUMES}")).filter(|volumes| there.contains(volumes));
            [name.clone()].into_iter().chain(volumes)
        };
        named.iter().flat_map(with_volumes).collect()
    }
}

/// Takes a snapshot of each, also after one has failed; the first failure is told. `is_watched` is whether there is a
/// terminal for how far each is.
pub async fn take(
    peer: &NodePeer,
    device: &Device,
    contract: ContractId,
    of: Of<'_>,
    place: &Place,
    keys: &Keys,
    around: Option<&Around>,
    is_watched: bool,
) -> Result<Vec<Taken>> {
    let with_roots = !matches!(of, Of::Volumes);
    let there: BTreeSet<_> = peer.volumes(contract, with_roots).await?.into_keys().collect();
    let names = of.names(&there);
    ensure!(!names.is_empty(), "contract {contract} has no volume; --roots saves the roots of its machines");
    let (mut taken, mut failed) = (Vec::new(), None);
    for name in names {
        let one = take_one(peer, device, contract, &name, place, keys, around, is_watched).await;
        match one.with_context(|| format!("{name} of contract {contract}")) {
            Ok(one) => taken.push(one),
            // One machine that can't be saved keeps no volume from being so.
            Err(why) => failed = failed.or(Some(why)),
        }
    }
    failed.map_or(Ok(taken), Err)
}

async fn take_one(
    peer: &NodePeer,
    device: &Device,
    contract: ContractId,
    workload: &str,
    place: &Place,
    keys: &Keys,
    around: Option<&Around>,
    is_watched: bool,
) -> Result<Taken> {
    let snapshot = Snapshot::now(contract, workload);
    // One that can't be used is no reason to take none.
    let since = match last(place, contract, workload).await? {
        Some(since) => manifest(place, keys, &since).await.ok().map(|manifest| (since, manifest)),
        None => None,
    };
    // The command itself may hold a password, and errors go to the owner's webhook.
    let command = |when: &'static str, script: &Option<String>| {
        let around = around.zip(script.clone());
        async move {
            let Some((around, script)) = around else { return Ok(()) };
            let ran = timeout(COMMAND_WITHIN, run(peer, contract, &around.machine, &script)).await;
            ran.unwrap_or_else(|_| Err(anyhow!("it doesn't end within {COMMAND_WITHIN:?}")))
                .with_context(|| format!("the command {when} the snapshot, in {}", around.machine))
        }
    };
    let (before, after) =
        around.map(|around| (around.before.clone(), around.after.clone())).unwrap_or_default();
    let kept = async {
        command("before", &before).await?;
        let mut call = peer.ask(contract, Ask::Snapshot { workload: workload.to_owned() }).await?;
        call.ready().await?;
        Ok::<_, Error>(call)
    };
    let kept = kept.await;
    let ended = command("after", &after).await;
    let (mut input, mut output) = kept?.split();
    ended?;
    let mut taking = Taking::new(place, keys, &snapshot, since.as_ref().map(|(_, manifest)| manifest));
    taking.receive(&mut input, &mut output, Progress::new(is_watched)).await?;
    input.finish();
    let since = since.map(|(since, _)| since);
    taking.finish(device, &snapshot, since).await
}

/// Runs a command in a machine.
async fn run(peer: &NodePeer, contract: ContractId, machine: &str, script: &str) -> Result<()> {
    let command = ["/bin/sh", "-c", script].map(ToOwned::to_owned).to_vec();
    let exec = Exec { workload: machine.to_owned(), command, terminal: None };
    let mut call = peer.ask(contract, Ask::Exec(exec)).await?;
    call.ready().await?;
    let mut errors = Vec::new();
    loop {
        match call.next().await? {
            Some(Frame::Data(_)) => {}
            Some(Frame::Errors(bytes)) => {
                let room = MAX_ERROR_BYTES.saturating_sub(errors.len());
                errors.extend(bytes.into_iter().take(room));
            }
            Some(Frame::Message(Message::Exit { code: 0 })) => return Ok(()),
            Some(Frame::Message(Message::Exit { code })) => {
                let errors = printable(&String::from_utf8_lossy(&errors), ERROR_BYTES);
                bail!("it failed with code {code}: {errors}");
            }
            _ => bail!(PeerError::Unexpected),
        }
    }
}

/// A batch of which content is missing.
struct Open {
    steps: Vec<Step>,
    /// Lengths of its chunks.
    lengths: Vec<usize>,
    wanted: Vec<bool>,
    content: Vec<u8>,
    /// Bytes of content that are to come.
    missing: usize,
}

/// Where a chunk is: the pack's index in the manifest, and the place there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Location {
    pack: u32,
    offset: u32,
}

/// A snapshot on its way to its place.
struct Taking {
    place: Place,
    manifest: Manifest,
    position: Position,
    known: HashMap<ChunkHash, Location>,
    name: Snapshot,
    /// Number of the next pack of this snapshot.
    next_pack: u32,
    /// Its chunks so far. It is the last one of the manifest unless it is empty.
    pack: Vec<u8>,
    packs: mpsc::Sender<(String, Vec<u8>)>,
    writing: JoinHandle<Result<u64>>,
    recipients: Vec<Recipient>,
    bytes: u64,
    moved_bytes: u64,
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

/// Seals and writes packs, one after the other; returns the bytes that it wrote.
async fn write_packs(
    place: Place,
    recipients: Vec<Recipient>,
    mut packs: mpsc::Receiver<(String, Vec<u8>)>,
) -> Result<u64> {
    let mut written = 0;
    while let Some((name, plain)) = packs.recv().await {
        let recipients = recipients.clone();
        let sealed = spawn_blocking(move || seal_file(&plain, &recipients)).await??;
        written += sealed.len() as u64;
        place.put(name, sealed).await?;
    }
    Ok(written)
}

impl Taking {
    fn new(place: &Place, keys: &Keys, snapshot: &Snapshot, since: Option<&Manifest>) -> Self {
        let mut recipients = keys.recipients.clone();
        recipients.push(keys.identity.recipient());
        let (packs, waiting) = mpsc::channel(PACKS_WAITING);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let manifest = Manifest {
            name: snapshot.to_string(),
            contract: snapshot.contract,
            workload: snapshot.workload.clone(),
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            packs: since.map(|since| since.packs.clone()).unwrap_or_default(),
            steps: Vec::new(),
        };
        Self {
            place: place.clone(),
            manifest,
            position: Position::default(),
            known: since.map(known).unwrap_or_default(),
            name: snapshot.clone(),
            next_pack: 0,
            pack: Vec::new(),
            packs,
            writing: spawn(write_packs(place.clone(), recipients.clone(), waiting)),
            recipients,
            bytes: 0,
            moved_bytes: 0,
        }
    }

    /// Takes in what the node sends, and asks for the chunks that the place lacks.
    async fn receive(
        &mut self,
        input: &mut Input,
        output: &mut Output,
        mut progress: Progress,
    ) -> Result<()> {
        let mut ahead: VecDeque<Open> = VecDeque::new();
        loop {
            let next = timeout(GOES_ON_WITHIN, output.next()).await.map_err(|_| PeerError::NoAnswer)??;
            let Some(Frame::Data(bytes)) = next else { bail!(PeerError::Unexpected) };
            self.moved_bytes += bytes.len() as u64;
            let so_far = format!("{}: {},", self.name.workload, size_text(self.bytes));
            progress.tell(&so_far, self.moved_bytes);
            match Part::read(&bytes).context("the node sends what isn't a tree")? {
                Part::Batch(steps) => {
                    let open = self.open(steps).context("the node sends what isn't a tree")?;
                    if !open.wanted.is_empty() {
                        let bits = wanted_bits(&open.wanted);
                        self.moved_bytes += bits.len() as u64;
                        timeout(GOES_ON_WITHIN, input.data(&bits))
                            .await
                            .map_err(|_| PeerError::NoAnswer)??;
                    }
                    ahead.push_back(open);
                    ensure!(ahead.len() <= MAX_AHEAD, "the node sends more than was asked for");
                }
                Part::Content(content) => {
                    let open = ahead.iter_mut().find(|open| open.missing > 0);
                    let open = open.filter(|open| content.len() <= open.missing);
                    let open = open.context("the node sends more than was asked for")?;
                    open.missing -= content.len();
                    open.content.extend(content);
                }
                Part::End => break,
            }
            while let Some(open) = ahead.pop_front() {
                if open.missing > 0 {
                    ahead.push_front(open);
                    break;
                }
                self.keep(open).await?;
            }
        }
        ensure!(ahead.is_empty(), "the node sends less than was asked for");
        Ok(())
    }

    /// What is missing of a batch.
    fn open(&mut self, steps: Vec<Step>) -> Result<Open> {
        let (mut lengths, mut wanted) = (Vec::new(), Vec::new());
        for step in &steps {
            let bytes = self.position.step(step)?;
            if let Step::Chunks(hashes) = step {
                self.bytes += bytes;
                lengths.extend(located(0, bytes, hashes).map(|(_, length, _)| length as usize));
                wanted.extend(hashes.iter().map(|hash| !self.known.contains_key(hash)));
            }
        }
        let missing =
            lengths.iter().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(length, _)| length).sum();
        Ok(Open { steps, lengths, wanted, content: Vec::new(), missing })
    }

    /// Takes a batch with its content into the snapshot.
    async fn keep(&mut self, open: Open) -> Result<()> {
        let Open { steps, lengths, wanted, content, .. } = open;
        let mut chunks = lengths.into_iter().zip(wanted);
        let mut content = &content[..];
        for step in steps {
            match step {
                Step::Item(item) => self.manifest.steps.push(Stored::Item(item)),
                Step::Zeros(chunks) => self.manifest.steps.push(Stored::Zeros(chunks)),
                Step::Image(image) => self.manifest.steps.push(Stored::Image(image)),
                Step::Gone(path) => self.manifest.steps.push(Stored::Gone(path)),
                Step::Chunks(hashes) => {
                    for hash in hashes {
                        let (length, is_wanted) = chunks.next().context("a chunk that was counted")?;
                        if is_wanted {
                            let (chunk, rest) = content.split_at(length);
                            content = rest;
                            ensure!(chunk_hash(chunk) == hash, "the node sends another content than it says");
                            self.put(hash, chunk).await?;
                        }
                        self.refer(hash)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds a chunk to the next pack, unless a batch before had it too.
    async fn put(&mut self, hash: ChunkHash, chunk: &[u8]) -> Result<()> {
        if self.known.contains_key(&hash) {
            return Ok(());
        }
        if self.pack.len() + chunk.len() > PACK_BYTES {
            self.write().await?;
        }
        if self.pack.is_empty() {
            self.manifest.packs.push(self.name.object(self.next_pack));
            self.next_pack += 1;
        }
        let pack = u32::try_from(self.manifest.packs.len() - 1)?;
        let offset = u32::try_from(self.pack.len())?;
        self.known.insert(hash, Location { pack, offset });
        self.pack.extend(chunk);
        Ok(())
    }

    /// Says in the manifest where the next chunk is.
    fn refer(&mut self, hash: ChunkHash) -> Result<()> {
        let at = *self.known.get(&hash).context("a chunk that is known")?;
        match self.manifest.steps.last_mut() {
            Some(Stored::Chunks { pack, offset, hashes })
                if *pack == at.pack
                    && *offset as usize + hashes.len() * CHUNK_BYTES == at.offset as usize =>
            {
                hashes.push(hash);
            }
            _ => {
                let Location { pack, offset } = at;
                self.manifest.steps.push(Stored::Chunks { pack, offset, hashes: vec![hash] });
            }
        }
        Ok(())
    }

    /// Has the pack written.
    async fn write(&mut self) -> Result<()> {
        let name = self.manifest.packs.last().context("a pack has a name")?.clone();
        let pack = std::mem::take(&mut self.pack);
        if self.packs.send((name, pack)).await.is_err() {
            (&mut self.writing).await??;
        }
        Ok(())
    }

    /// Writes the rest, and at last the manifest.
    async fn finish(
        mut self,
        device: &Device,
        snapshot: &Snapshot,
        since: Option<Snapshot>,
    ) -> Result<Taken> {
        self.position.end().context("the node sends what isn't a tree")?;
        if !self.pack.is_empty() {
            self.write().await?;
        }
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.packs, closed));
        let mut written_bytes = (&mut self.writing).await??;
        if let Some(since) = &since {
            let is_there = super::list(&self.place, Some(since.contract)).await?.contains(since);
            ensure!(is_there, "the snapshot {since}, which has the rest, was removed: take it again");
        }
        drop_unused(&mut self.manifest);
        let signed = self.manifest.sign(device).encoded();
        let recipients = self.recipients.clone();
        let sealed = spawn_blocking(move || seal_file(&signed, &recipients)).await??;
        ensure!(sealed.len() as u64 <= MAX_MANIFEST_BYTES, "the volume has too much for one snapshot");
        written_bytes += sealed.len() as u64;
        self.place.put(snapshot.object(MANIFEST), sealed).await?;
        let (bytes, moved_bytes) = (self.bytes, self.moved_bytes);
        Ok(Taken { snapshot: snapshot.clone(), since, bytes, moved_bytes, written_bytes })
    }
}

/// Where the chunks of a snapshot are.
fn known(manifest: &Manifest) -> HashMap<ChunkHash, Location> {
    let mut known = HashMap::new();
    for stored in &manifest.steps {
        if let Stored::Chunks { pack, offset, hashes } = stored {
            let offsets = (*offset..).step_by(CHUNK_BYTES);
            let locations = offsets.map(|offset| Location { pack: *pack, offset });
            known.extend(hashes.iter().copied().zip(locations));
        }
    }
    known
}

/// Names no pack of which the snapshot needs nothing.
fn drop_unused(manifest: &mut Manifest) {
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    let mut packs = Vec::new();
    for stored in &mut manifest.steps {
        if let Stored::Chunks { pack, .. } = stored {
            let number = numbers.entry(*pack).or_insert_with(|| {
                packs.push(manifest.packs[*pack as usize].clone());
                packs.len() as u32 - 1
            });
            *pack = *number;
        }
    }
    manifest.packs = packs;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Packs, verify};
    use std::fs;
    use tfgrid_client::{
        sealing::SealKey,
        snapshot::{Item, Kind},
    };

    fn item(path: &str, kind: Kind) -> Step {
        let (path, changed) = (path.as_bytes().to_vec(), (0, 0));
        Step::Item(Item { path, kind, mode: 0o644, user: 0, group: 0, changed, attributes: Vec::new() })
    }

    /// A file's content: chunks with these first bytes, and a shorter last one.
    fn content(chunks: &[u8]) -> Vec<Vec<u8>> {
        let mut content: Vec<_> = chunks.iter().map(|first| vec![*first; CHUNK_BYTES]).collect();
        content.push(b"end".to_vec());
        content
    }

    fn keys(device: &Device) -> Keys {
        let identity = SealKey::new(&[7; 32]).unwrap();
        Keys { identity, recipients: Vec::new(), trusted: vec![device.public()] }
    }

    /// Takes a snapshot of a tree with this file, as from a node; returns also how many chunks were wanted.
    async fn taken(place: &Place, device: &Device, content: &[Vec<u8>], number: u32) -> (Taken, usize) {
        let keys = keys(device);
        let since = last(place, 7, "data").await.unwrap();
        let of_last = match &since {
            Some(since) => Some(manifest(place, &keys, since).await.unwrap()),
            None => None,
        };
        let snapshot = Snapshot { contract: 7, workload: "data".into(), time: format!("2000{number}") };
        let mut taking = Taking::new(place, &keys, &snapshot, of_last.as_ref());
        let size = content.iter().map(Vec::len).sum::<usize>() as u64;
        let hashes = content.iter().map(|chunk| chunk_hash(chunk)).collect();
        let steps = vec![item("", Kind::Folder), item("file", Kind::File(size)), Step::Chunks(hashes)];
        let mut open = taking.open(steps).unwrap();
        let wanted = open.wanted.iter().filter(|wanted| **wanted).count();
        for (chunk, _) in content.iter().zip(open.wanted.clone()).filter(|(_, wanted)| *wanted) {
            open.content.extend(chunk);
        }
        assert_eq!(open.missing, open.content.len());
        taking.keep(open).await.unwrap();
        (taking.finish(device, &snapshot, since).await.unwrap(), wanted)
    }

    #[test]
    fn a_machine_is_saved_with_what_its_image_declares() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let there: BTreeSet<_> = names(&["data", "db", "db_volumes", "web"]).into_iter().collect();
        let named = |of: &[&str]| Of::Named(&names(of)).names(&there);
        assert_eq!(named(&["db", "data"]), ["db", "db_volumes", "data"]);
        assert_eq!(named(&["other"]), ["other"], "the node says that it has none");
        assert_eq!(Of::All.names(&there), names(&["data", "db", "db_volumes", "web"]));
    }

    #[tokio::test]
    async fn a_root_is_kept_with_its_image_and_what_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (place, device) = (Place::Folder(folder.path().into()), Device::generate());
        let snapshot = Snapshot { contract: 7, workload: "web".into(), time: "2000".into() };
        let keys = keys(&device);
        let mut taking = Taking::new(&place, &keys, &snapshot, None);
        let steps = vec![Step::Image([7; 32]), item("", Kind::Folder), Step::Gone(b"etc/motd".to_vec())];
        let open = taking.open(steps.clone()).unwrap();
        taking.keep(open).await.unwrap();
        taking.finish(&device, &snapshot, None).await.unwrap();
        let manifest = manifest(&place, &keys, &snapshot).await.unwrap();
        assert_eq!(manifest.steps.iter().map(Stored::step).collect::<Vec<_>>(), steps);
        assert_eq!(verify(&place, &keys, &snapshot).await.unwrap().items, 1);
    }

    #[tokio::test]
    async fn only_what_changed_is_asked_for_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let (place, device) = (Place::Folder(folder.path().into()), Device::generate());
        // More than a pack holds.
        let many: Vec<u8> = (0..=255).collect();
        let mut content = [content(&many)[..256].to_vec(), content(&many)].concat();
        for (index, chunk) in content.iter_mut().enumerate().take(512) {
            chunk[1..3].copy_from_slice(&(index as u16).to_be_bytes());
        }
        let (first, wanted) = taken(&place, &device, &content, 1).await;
        assert_eq!((first.since, wanted), (None, 513));
        content[3] = vec![0xaa; CHUNK_BYTES];
        content[400] = vec![0xbb; CHUNK_BYTES];
        let (second, wanted) = taken(&place, &device, &content, 2).await;
        assert_eq!((second.since.as_ref(), wanted), (Some(&first.snapshot), 2));
        assert!(second.written_bytes < 64 * 1024, "{second:?}");
        let keys = keys(&device);
        for taken in [&first.snapshot, &second.snapshot] {
            assert_eq!(verify(&place, &keys, taken).await.unwrap().bytes, 512 * CHUNK_BYTES as u64 + 3);
        }
    }

    #[tokio::test]
    async fn what_other_snapshots_need_outlives_a_removed_one() {
        let folder = tempfile::tempdir().unwrap();
        let (place, device) = (Place::Folder(folder.path().into()), Device::generate());
        let (first, _) = taken(&place, &device, &content(&[1, 2, 3]), 1).await;
        let (second, _) = taken(&place, &device, &content(&[1, 9, 3]), 2).await;
        let (keys, snapshots) = (keys(&device), [first.snapshot, second.snapshot]);
        super::super::remove(&place, &keys, &snapshots[0]).await.unwrap();
        assert_eq!(super::super::list(&place, None).await.unwrap(), snapshots[1..]);
        verify(&place, &keys, &snapshots[1]).await.unwrap();
        super::super::remove(&place, &keys, &snapshots[1]).await.unwrap();
        assert!(place.list(String::new()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_damaged_or_foreign_snapshot_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let (place, device) = (Place::Folder(folder.path().into()), Device::generate());
        let (taken, _) = taken(&place, &device, &content(&[1, 2, 3]), 1).await;
        let (snapshot, keys) = (taken.snapshot, keys(&device));
        let told = async |keys: &Keys| format!("{:#}", verify(&place, keys, &snapshot).await.unwrap_err());

        let stranger = Keys {
            trusted: vec![Device::generate().public()],
            identity: keys.identity.clone(),
            recipients: Vec::new(),
        };
        let error = told(&stranger).await;
        assert!(error.contains("--signed-by") && error.contains(&hex::encode(device.public())), "{error}");
        let other = SealKey::new(&[8; 32]).unwrap();
        let other = Keys { identity: other, recipients: Vec::new(), trusted: keys.trusted.clone() };
        let error = told(&other).await;
        assert!(error.contains("isn't sealed to your key"), "{error}");

        let pack = snapshot.object(0);
        let file = folder.path().join(&pack);
        let whole = fs::read(&file).unwrap();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&file, damaged).unwrap();
        let error = told(&keys).await;
        assert!(error.contains(&format!("the pack {pack} can't be used")), "{error}");
        // Sealed by somebody who knows the public key.
        fs::write(&file, seal_file(&[0; 3 * CHUNK_BYTES + 3], &[keys.identity.recipient()]).unwrap())
            .unwrap();
        let error = told(&keys).await;
        assert!(error.contains("has another content than its snapshot"), "{error}");
        fs::remove_file(&file).unwrap();
        let error = told(&keys).await;
        assert!(error.contains(&format!("can't read {pack}")), "{error}");
        fs::write(&file, whole).unwrap();
        verify(&place, &keys, &snapshot).await.unwrap();
    }

    #[tokio::test]
    async fn a_place_learns_no_name_and_no_content() {
        let folder = tempfile::tempdir().unwrap();
        let (place, device) = (Place::Folder(folder.path().into()), Device::generate());
        taken(&place, &device, &[b"a secret of the owner".to_vec()], 1).await;
        for name in place.list(String::new()).await.unwrap() {
            let bytes = place.get(name.clone(), 1 << 20).await.unwrap();
            assert!(bytes.starts_with(b"age-encryption.org/v1"), "{name}");
            let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
            assert!(
                !has(b"a secret of") && !has(b"file") && !has(&chunk_hash(b"a secret of the owner")),
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn a_node_that_sends_another_content_is_caught() {
        let folder = tempfile::tempdir().unwrap();
        let (place, device) = (Place::Folder(folder.path().into()), Device::generate());
        let snapshot = Snapshot { contract: 7, workload: "data".into(), time: "2000".into() };
        let mut taking = Taking::new(&place, &keys(&device), &snapshot, None);
        let steps =
            vec![item("", Kind::Folder), item("a", Kind::File(3)), Step::Chunks(vec![chunk_hash(b"one")])];
        let mut open = taking.open(steps).unwrap();
        open.content = b"two".to_vec();
        let error = taking.keep(open).await.unwrap_err().to_string();
        assert!(error.contains("another content than it says"), "{error}");
        assert!(taking.open(vec![item("../a", Kind::Folder)]).is_err());
    }

    #[tokio::test]
    async fn packs_are_kept_while_they_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let (place, device) = (Place::Folder(folder.path().into()), Device::generate());
        let (taken, _) = taken(&place, &device, &content(&[1]), 1).await;
        let keys = keys(&device);
        let manifest = manifest(&place, &keys, &taken.snapshot).await.unwrap();
        let names: BTreeSet<_> = manifest.packs.iter().collect();
        assert_eq!(names.len(), manifest.packs.len());
        let mut packs = Packs::new(&place, &keys, &manifest.packs);
        packs.get(0).await.unwrap();
        fs::remove_file(folder.path().join(&manifest.packs[0])).unwrap();
        packs.get(0).await.unwrap();
        assert!(packs.get(1).await.is_err());
    }
}
