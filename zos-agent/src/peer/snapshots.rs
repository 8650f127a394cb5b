// SPDX-License-Identifier: Apache-2.0
//! Content of volumes and roots, to their owner and back. What it takes of the node is bounded: one stream of a
//! contract at a time and few of all, each in a thread that comes last, and nothing stays after it.

use super::serve::{Reply, Sources, failed};
use crate::{
    drivers::{
        DriverError, MachineDriver, ObservedVolume, WorkloadId,
        machine::{DockerMachines, image_volumes, machine_of_volumes},
        snapshot::{Beside, Use},
        volume::PoolVolumes,
    },
    trees::{Batch, Chunk, Ids, Image, content, read_tree, write_tree},
};
use anyhow::{Error, anyhow};
use iroh::endpoint::RecvStream;
use rustix::{process::setpriority_process, thread::gettid};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::pending,
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};
use tfgrid_client::{
    deployment::is_workload_name,
    peer::{
        Counts, Place, Rate,
        frame::Frame,
        protocol::{Failed, FailedCode, IMAGE_VOLUMES, Message, Volume},
    },
    snapshot::{CONTENT_BYTES, ImageId, Part, is_wanted},
};
use tfgrid_primitives::ContractId;
use tokio::{
    spawn,
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};
use tracing::warn;

/// Streams of all contracts at the same time.
const MAX_AT_ONCE: usize = 4;
/// Streams of a contract that may begin right after each other, and how soon each of the next ones may follow.
const AT_ONCE: u32 = 32;
const EVERY: Duration = Duration::from_secs(30);
/// A stream ends after so long a time: until then the node keeps what the volume has overwritten.
const LASTS_AT_MOST: Duration = Duration::from_secs(6 * 3_600);
/// Limit for the caller to go on.
const GOES_ON_WITHIN: Duration = Duration::from_secs(600);
/// Batches of which the content may still be asked for.
const AHEAD: usize = 8;
/// Parts that wait to be written. In memory, one takes up to 60 times as much as in its frame.
const PARTS_WAITING: usize = 8;
/// What is added to the priority of a thread that reads or writes a tree: it gets what others leave.
const LOW_PRIORITY: i32 = 10;

/// Streams of volumes and roots.
pub struct Snapshots {
    machines: Arc<DockerMachines>,
    volumes: PoolVolumes,
    of_contract: Counts<ContractId>,
    all: Counts<()>,
    begun: Rate<ContractId>,
}

/// A stream's subvolume and its places, which are free once it is deleted.
struct Held(Option<(Beside, Places)>);

type Places = (Place<ContractId>, Place<()>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((beside, places)) = self.0.take() {
            spawn(clean(beside, places));
        }
    }
}

impl Held {
    /// Ends it before the caller hears of it, who may go on with the next one. It ends also if nobody waits for that.
    async fn end(mut self) {
        if let Some((beside, places)) = self.0.take() {
            // An error says that the agent stops.
            let _ = spawn(clean(beside, places)).await;
        }
    }
}

async fn clean(beside: Beside, places: Places) {
    if let Err(why) = beside.delete().await {
        warn!(why = format!("{why:#}"), "what a snapshot has left takes room until the agent starts again");
    }
    drop(places);
}

impl Sources {
    /// The volumes of a contract; with `roots` also those that images of its machines declare.
    fn volumes(&self, contract: ContractId, roots: bool) -> BTreeMap<String, Volume> {
        let observed = self.observed.borrow();
        let volumes = observed.get(&contract).into_iter().flat_map(|there| there.volumes.values());
        let named = |volume: &ObservedVolume| match machine_of_volumes(&volume.id) {
            Some(machine) => roots.then(|| (machine.name + IMAGE_VOLUMES, shown(volume))),
            None => is_workload_name(&volume.id.name).then(|| (volume.id.name.clone(), shown(volume))),
        };
        volumes.filter_map(named).collect()
    }

    /// The machines of a contract that are here.
    fn machines(&self, contract: ContractId) -> BTreeSet<String> {
        let observed = self.observed.borrow();
        observed.get(&contract).into_iter().flat_map(|there| there.machines.keys().cloned()).collect()
    }

    /// Machines that have this volume, as far as is known; all of the contract where it isn't.
    fn machines_with(&self, volume: &WorkloadId) -> BTreeSet<String> {
        if let Some(machine) = machine_of_volumes(volume) {
            return [machine.name].into();
        }
        let snapshot = self.snapshots.borrow().clone();
        if let Some(desired) = snapshot.as_ref().and_then(|snapshot| snapshot.contracts.get(&volume.contract))
        {
            let targets = desired.pending.iter().chain([&desired.active]);
            let machines = targets.filter_map(|target| target.workloads()).flat_map(|found| &found.machines);
            let has = |mounts: &[(String, String)]| mounts.iter().any(|(name, _)| *name == volume.name);
            let with = machines.filter(|machine| has(&machine.container.mounts));
            return with.map(|machine| machine.id.name.clone()).collect();
        }
        self.machines(volume.contract)
    }
}

/// A volume as callers see it.
fn shown(volume: &ObservedVolume) -> Volume {
    let ObservedVolume { size, used, restored, .. } = *volume;
    Volume { size_bytes: size, used_bytes: used, restored, image: None }
}

/// What a caller names: a volume, a machine for its root, or what its image declares as `VOLUME`.
fn id_of(contract: ContractId, workload: &str) -> Result<WorkloadId, Failed> {
    let machine = workload.strip_suffix(IMAGE_VOLUMES);
    let name = machine.unwrap_or(workload).to_owned();
    // The caller chooses it, and it becomes a path.
    if !is_workload_name(&name) {
        return Err(failed(FailedCode::BadRequest, "no volume or machine has this name"));
    }
    let id = WorkloadId { contract, name };
    Ok(if machine.is_some() { image_volumes(&id) } else { id })
}

impl Snapshots {
    /// Streams of these volumes, and of roots of this engine's machines, which have them.
    pub fn new(machines: Arc<DockerMachines>, volumes: PoolVolumes) -> Self {
        let (of_contract, all) = Default::default();
        Self { machines, volumes, of_contract, all, begun: Rate::new(AT_ONCE, EVERY) }
    }

    /// The volumes of a contract; with `roots` also its machines, for their roots, and what their images declare as
    /// `VOLUME`.
    pub async fn volumes(
        &self,
        sources: &Sources,
        contract: ContractId,
        roots: bool,
    ) -> Result<BTreeMap<String, Volume>, Failed> {
        let mut all = sources.volumes(contract, roots);
        let machines = if roots { sources.machines(contract) } else { BTreeSet::new() };
        for name in machines {
            let id = WorkloadId { contract, name };
            let root = self.machines.root(&id).await.map_err(|why| broken(why.into()))?;
            let Some(root) = root else { continue };
            let observed = self.volumes.observe_root(&id, &root).await.map_err(|why| broken(why.into()))?;
            all.insert(id.name, Volume { image: Some(root.image.id), ..shown(&observed) });
        }
        Ok(all)
    }

    /// Sends the content of a volume or a root as it is now.
    pub async fn take(
        &self,
        contract: ContractId,
        workload: String,
        reply: &mut Reply,
        receive: RecvStream,
    ) -> Result<(), Failed> {
        let id = id_of(contract, &workload)?;
        let (beside, places) = self.begin(&id, Use::Snapshot).await?;
        let held = Held(Some((beside.clone(), places)));
        let sent = self.send(&beside, reply, receive).await;
        held.end().await;
        sent?;
        send_part(&Part::End, reply).await
    }

    async fn send(&self, beside: &Beside, reply: &mut Reply, receive: RecvStream) -> Result<(), Failed> {
        let not_kept = |why: Error| failed(FailedCode::Failed, &format!("it can't be kept: {why:#}"));
        beside.keep().await.map_err(not_kept)?;
        let ids = self.ids().await?;
        reply.message(Message::Ready {}).await?;
        let batches = read(beside.path().to_owned(), ids, beside.image().cloned())?;
        let (answers, wanted) = mpsc::channel(AHEAD);
        tokio::select! {
            sent = send(batches, wanted, reply) => sent,
            () = hear(receive, answers) => Err(gone()),
            why = beside.outgrown() => Err(failed(FailedCode::Failed, &why)),
            () = sleep(LASTS_AT_MOST) => Err(too_long()),
        }
    }

    /// Puts what the caller sends in place of the content of a volume or a root; with `once`, only where nobody has
    /// before.
    pub async fn restore(
        &self,
        sources: &Sources,
        contract: ContractId,
        workload: String,
        once: bool,
        reply: &mut Reply,
        receive: RecvStream,
    ) -> Result<(), Failed> {
        let id = id_of(contract, &workload)?;
        let (beside, places) = self.begin(&id, Use::NewContent).await?;
        let held = Held(Some((beside.clone(), places)));
        // No other stream of the contract goes on.
        let replaced = if once && beside.is_restored() {
            Err(failed(FailedCode::BadRequest, "it was restored before"))
        } else {
            self.replace(sources, &id, &beside, reply, receive).await
        };
        held.end().await;
        replaced?;
        sources.tell(WorkloadId { contract, name: workload }, "its owner restores it");
        reply.message(Message::Done {}).await
    }

    async fn replace(
        &self,
        sources: &Sources,
        id: &WorkloadId,
        beside: &Beside,
        reply: &mut Reply,
        receive: RecvStream,
    ) -> Result<(), Failed> {
        self.ensure_stopped(sources, id, beside).await?;
        beside.begin_anew().await.map_err(broken)?;
        let ids = self.ids().await?;
        reply.message(Message::Ready {}).await?;
        let (parts, waiting) = mpsc::channel(PARTS_WAITING);
        let image = beside.image().map(|image| image.id);
        let written = write(beside.path().to_owned(), ids, image, waiting)?;
        tokio::select! {
            fed = feed(receive, parts) => fed?,
            () = sleep(LASTS_AT_MOST) => return Err(too_long()),
        }
        let written = timeout(GOES_ON_WITHIN, written).await.map_err(|_| too_long())?;
        let written = written.unwrap_or_else(|_| Err(anyhow!("the node's writing has ended")));
        let refused =
            |why: Error| failed(FailedCode::BadRequest, &format!("the content can't be written: {why:#}"));
        written.map_err(refused)?;
        beside.enlarge().await.map_err(broken)?;
        if let Some(machine) = machine_of_volumes(id) {
            beside.adopt_volumes(&machine).await.map_err(refused)?;
        }
        {
            // A machine that starts in between would have the content that goes.
            let _frozen = sources.holds.freeze().await;
            self.ensure_stopped(sources, id, beside).await?;
            beside.put_in_place().map_err(broken)?;
            for name in sources.machines_with(id) {
                let machine = WorkloadId { contract: id.contract, name };
                self.machines.renew_mounts(&machine).await.map_err(|why| broken(why.into()))?;
            }
        }
        beside.sync().await.map_err(broken)
    }

    /// The places of a stream and its subvolume, which isn't made yet.
    async fn begin(&self, id: &WorkloadId, used_for: Use) -> Result<(Beside, Places), Failed> {
        let too_many = |message: &str| failed(FailedCode::TooMany, message);
        let of_contract = Place::take(&self.of_contract, id.contract, 1).ok_or_else(|| {
            too_many("another snapshot of this contract is taken or restored: wait until it is done")
        })?;
        let of_all = Place::take(&self.all, (), MAX_AT_ONCE).ok_or_else(|| {
            too_many("the node takes and restores as many snapshots as it can: try again later")
        })?;
        if !self.begun.take(id.contract, Instant::now()) {
            let message =
                format!("the node begins {AT_ONCE} snapshots of a contract at once, then one each {EVERY:?}");
            return Err(too_many(&message));
        }
        match self.beside(id, used_for).await {
            Ok(beside) => Ok((beside, (of_contract, of_all))),
            Err(why) => {
                let why = Error::from(why);
                let message =
                    format!("contract {} has no volume or machine {}: {why:#}", id.contract, id.name);
                Err(failed(FailedCode::NotFound, &message))
            }
        }
    }

    /// A subvolume beside the volume, or the root of the machine, with this name.
    async fn beside(&self, id: &WorkloadId, used_for: Use) -> Result<Beside, DriverError> {
        let of_volume = self.volumes.beside(id, used_for).await;
        if of_volume.is_ok() {
            return of_volume;
        }
        match self.machines.root(id).await? {
            Some(root) => self.volumes.beside_root(id, root, used_for).await,
            None => of_volume,
        }
    }

    async fn ids(&self) -> Result<Ids, Failed> {
        let first = self.machines.first_user().await.map_err(|why| broken(why.into()))?;
        Ok(Ids { first })
    }

    /// Fails if the machine, or one that has the volume, runs or may start at any time.
    async fn ensure_stopped(
        &self,
        sources: &Sources,
        id: &WorkloadId,
        beside: &Beside,
    ) -> Result<(), Failed> {
        let is_root = beside.image().is_some();
        let machines: BTreeSet<_> =
            if is_root { [id.name.clone()].into() } else { sources.machines_with(id) };
        for name in machines {
            let machine = WorkloadId { contract: id.contract, name };
            let process = self.machines.process(&machine).await;
            let runs = process.map_err(|why: DriverError| broken(why.into()))?.is_some();
            if runs || !sources.holds.contains(&machine) {
                let message = format!("the machine {} uses it: stop it first", machine.name);
                return Err(failed(FailedCode::Running, &message));
            }
        }
        Ok(())
    }
}

/// Does something in a thread that gets what others leave.
fn in_the_background(act: impl FnOnce() + Send + 'static) -> Result<(), Failed> {
    let begun = thread::Builder::new().name("snapshot".into()).spawn(move || {
        // It is only slower for others if that fails.
        let _ = setpriority_process(Some(gettid()), LOW_PRIORITY);
        act();
    });
    begun.map(drop).map_err(|why| broken(why.into()))
}

/// The batches of a tree, `None` at its end.
fn read(
    root: PathBuf,
    ids: Ids,
    image: Option<Image>,
) -> Result<mpsc::Receiver<Result<Option<Batch>, Error>>, Failed> {
    let (batches, read) = mpsc::channel(AHEAD);
    in_the_background(move || {
        let all = read_tree(&root, ids, image.as_ref(), &mut |batch| {
            batches.blocking_send(Ok(Some(batch))).map_err(|_| anyhow!("nobody reads it"))
        });
        // An error says that the caller has gone.
        let _ = batches.blocking_send(all.map(|()| None));
    })?;
    Ok(read)
}

/// How the writing of a tree ends.
fn write(
    root: PathBuf,
    ids: Ids,
    image: Option<ImageId>,
    mut parts: mpsc::Receiver<Part>,
) -> Result<oneshot::Receiver<Result<(), Error>>, Failed> {
    let (ended, written) = oneshot::channel();
    in_the_background(move || {
        let all = write_tree(&root, ids, image, &mut || parts.blocking_recv());
        // An error says that the caller has gone.
        let _ = ended.send(all);
    })?;
    Ok(written)
}

/// Sends all batches, and of each what is wanted; not the end.
async fn send(
    mut batches: mpsc::Receiver<Result<Option<Batch>, Error>>,
    mut wanted: mpsc::Receiver<Vec<u8>>,
    reply: &mut Reply,
) -> Result<(), Failed> {
    let mut ahead: VecDeque<Vec<Chunk>> = VecDeque::new();
    let mut has_ended = false;
    while !has_ended || !ahead.is_empty() {
        tokio::select! {
            batch = batches.recv(), if !has_ended && ahead.len() < AHEAD => {
                match batch.unwrap_or_else(|| Err(anyhow!("the node's reading has ended"))).map_err(broken)? {
                    Some(Batch { steps, chunks }) => {
                        send_part(&Part::Batch(steps), reply).await?;
                        if !chunks.is_empty() {
                            ahead.push_back(chunks);
                        }
                    }
                    None => has_ended = true,
                }
            }
            bits = wanted.recv(), if !ahead.is_empty() => {
                let Some((bits, chunks)) = bits.zip(ahead.pop_front()) else { return Err(gone()) };
                send_wanted(&bits, chunks, reply).await?;
            }
            () = sleep(GOES_ON_WITHIN) => return Err(gone()),
        }
    }
    Ok(())
}

async fn send_wanted(bits: &[u8], chunks: Vec<Chunk>, reply: &mut Reply) -> Result<(), Failed> {
    if bits.len() != chunks.len().div_ceil(8) {
        return Err(failed(FailedCode::BadRequest, "there is one bit for each chunk"));
    }
    let chunks = chunks.into_iter().enumerate().filter(|(number, _)| is_wanted(bits, *number));
    let chunks: Vec<_> = chunks.map(|(_, chunk)| chunk).collect();
    let content = spawn_blocking(move || content(&chunks)).await.map_err(|why| broken(why.into()))?;
    for piece in content.map_err(broken)?.chunks(CONTENT_BYTES) {
        send_part(&Part::Content(piece.to_vec()), reply).await?;
    }
    Ok(())
}

async fn send_part(part: &Part, reply: &mut Reply) -> Result<(), Failed> {
    reply.frame(Frame::<Message>::Data(part.written())).await
}

/// Passes on what the caller wants. Its end, and anything else, ends that.
async fn hear(mut receive: RecvStream, answers: mpsc::Sender<Vec<u8>>) {
    while let Ok(Some(Frame::Data(bits))) = Frame::<()>::read(&mut receive).await {
        if answers.send(bits).await.is_err() {
            break;
        }
    }
    // Nothing more is wanted; what was may still be sent.
    drop(answers);
    pending::<()>().await;
}

/// Passes on the caller's parts, up to the last one or until nobody takes them.
async fn feed(mut receive: RecvStream, parts: mpsc::Sender<Part>) -> Result<(), Failed> {
    loop {
        let frame = timeout(GOES_ON_WITHIN, Frame::<()>::read(&mut receive)).await;
        let Ok(Ok(Some(Frame::Data(bytes)))) = frame else { return Err(gone()) };
        let part = Part::read(&bytes).map_err(|why| failed(FailedCode::BadRequest, &why.to_string()))?;
        let is_last = part == Part::End;
        if parts.send(part).await.is_err() || is_last {
            return Ok(());
        }
    }
}

fn gone() -> Failed {
    failed(FailedCode::Closed, "the caller has gone, or doesn't go on")
}

fn too_long() -> Failed {
    failed(FailedCode::Failed, &format!("it takes more than {LASTS_AT_MOST:?}"))
}

/// The node's own failure.
fn broken(why: Error) -> Failed {
    failed(FailedCode::Failed, &format!("the node fails: {why:#}"))
}
