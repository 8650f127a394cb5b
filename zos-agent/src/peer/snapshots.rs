// SPDX-License-Identifier: Apache-2.0
//! Content of volumes, to their owner and back. What it takes of the node is bounded: one stream of a contract at a
//! time and few of all, each in a thread that comes last, and nothing stays after it.

use super::serve::{Reply, Sources, failed};
use crate::{
    drivers::{
        DriverError, MachineDriver, ObservedVolume, WorkloadId,
        machine::DockerMachines,
        snapshot::{Beside, Use},
        volume::PoolVolumes,
    },
    trees::{Batch, Chunk, Ids, content, read_tree, write_tree},
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
        protocol::{Failed, FailedCode, Message, Volume},
    },
    snapshot::{CONTENT_BYTES, Part, is_wanted},
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

/// Streams of volumes.
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
    /// The volumes of a contract.
    pub fn volumes(&self, contract: ContractId) -> BTreeMap<String, Volume> {
        let observed = self.observed.borrow();
        let volumes = observed.get(&contract).into_iter().flat_map(|there| &there.volumes);
        // Those of images are no workloads.
        let volumes = volumes.filter(|(name, _)| is_workload_name(name));
        let of = |(name, volume): (&String, &ObservedVolume)| {
            let ObservedVolume { size, used, restored, .. } = *volume;
            (name.clone(), Volume { size_bytes: size, used_bytes: used, restored })
        };
        volumes.map(of).collect()
    }

    /// Machines that have this volume, as far as is known; all of the contract where it isn't.
    fn machines_with(&self, volume: &WorkloadId) -> BTreeSet<String> {
        let snapshot = self.snapshots.borrow().clone();
        if let Some(desired) = snapshot.as_ref().and_then(|snapshot| snapshot.contracts.get(&volume.contract))
        {
            let targets = desired.pending.iter().chain([&desired.active]);
            let machines = targets.filter_map(|target| target.workloads()).flat_map(|found| &found.machines);
            let has = |mounts: &[(String, String)]| mounts.iter().any(|(name, _)| *name == volume.name);
            let with = machines.filter(|machine| has(&machine.container.mounts));
            return with.map(|machine| machine.id.name.clone()).collect();
        }
        let observed = self.observed.borrow();
        observed.get(&volume.contract).into_iter().flat_map(|there| there.machines.keys().cloned()).collect()
    }
}

impl Snapshots {
    /// Streams of these volumes, which this engine's machines have.
    pub fn new(machines: Arc<DockerMachines>, volumes: PoolVolumes) -> Self {
        let (of_contract, all) = Default::default();
        Self { machines, volumes, of_contract, all, begun: Rate::new(AT_ONCE, EVERY) }
    }

    /// Sends the content of a volume as it is now.
    pub async fn take(
        &self,
        contract: ContractId,
        workload: String,
        reply: &mut Reply,
        receive: RecvStream,
    ) -> Result<(), Failed> {
        let id = WorkloadId { contract, name: workload };
        let (beside, places) = self.begin(&id, Use::Snapshot).await?;
        let held = Held(Some((beside.clone(), places)));
        let sent = self.send(&beside, reply, receive).await;
        held.end().await;
        sent?;
        send_part(&Part::End, reply).await
    }

    async fn send(&self, beside: &Beside, reply: &mut Reply, receive: RecvStream) -> Result<(), Failed> {
        beside.keep().await.map_err(broken)?;
        let ids = self.ids().await?;
        reply.message(Message::Ready {}).await?;
        let batches = read(beside.path().to_owned(), ids)?;
        let (answers, wanted) = mpsc::channel(AHEAD);
        tokio::select! {
            sent = send(batches, wanted, reply) => sent,
            () = hear(receive, answers) => Err(gone()),
            why = beside.outgrown() => Err(failed(FailedCode::Failed, &why)),
            () = sleep(LASTS_AT_MOST) => Err(too_long()),
        }
    }

    /// Puts what the caller sends in place of the content of a volume; with `once`, only where nobody has before.
    pub async fn restore(
        &self,
        sources: &Sources,
        contract: ContractId,
        workload: String,
        once: bool,
        reply: &mut Reply,
        receive: RecvStream,
    ) -> Result<(), Failed> {
        let id = WorkloadId { contract, name: workload };
        self.ensure_stopped(sources, &id).await?;
        let (beside, places) = self.begin(&id, Use::NewContent).await?;
        let held = Held(Some((beside.clone(), places)));
        // No other stream of the contract goes on.
        if once && beside.is_restored() {
            held.end().await;
            return Err(failed(FailedCode::BadRequest, "this volume was restored before"));
        }
        let replaced = self.replace(sources, &id, &beside, reply, receive).await;
        held.end().await;
        replaced?;
        sources.tell(id, "its owner restores it");
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
        beside.make_empty().await.map_err(broken)?;
        let ids = self.ids().await?;
        reply.message(Message::Ready {}).await?;
        let (parts, waiting) = mpsc::channel(PARTS_WAITING);
        let written = write(beside.path().to_owned(), ids, waiting)?;
        tokio::select! {
            fed = feed(receive, parts) => fed?,
            () = sleep(LASTS_AT_MOST) => return Err(too_long()),
        }
        let written = timeout(GOES_ON_WITHIN, written).await.map_err(|_| too_long())?;
        let written = written.unwrap_or_else(|_| Err(anyhow!("the node's writing has ended")));
        written.map_err(|why| {
            failed(FailedCode::BadRequest, &format!("the content can't be written: {why:#}"))
        })?;
        beside.enlarge().await.map_err(broken)?;
        {
            // A machine that starts in between would have the content that goes.
            let _frozen = sources.holds.freeze().await;
            self.ensure_stopped(sources, id).await?;
            beside.put_in_place().map_err(broken)?;
        }
        beside.sync().await.map_err(broken)
    }

    /// The places of a stream and its subvolume, which isn't made yet.
    async fn begin(&self, id: &WorkloadId, used_for: Use) -> Result<(Beside, Places), Failed> {
        // The caller chooses it, and it becomes a path.
        if !is_workload_name(&id.name) {
            return Err(failed(FailedCode::BadRequest, "no volume has this name"));
        }
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
        match self.volumes.beside(id, used_for).await {
            Ok(beside) => Ok((beside, (of_contract, of_all))),
            Err(why) => {
                let message =
                    format!("contract {} has no volume {}: {:#}", id.contract, id.name, Error::from(why));
                Err(failed(FailedCode::NotFound, &message))
            }
        }
    }

    async fn ids(&self) -> Result<Ids, Failed> {
        let first = self.machines.first_user().await.map_err(|why| broken(why.into()))?;
        Ok(Ids { first })
    }

    /// Fails if a machine has the volume that runs, or may start at any time.
    async fn ensure_stopped(&self, sources: &Sources, volume: &WorkloadId) -> Result<(), Failed> {
        for name in sources.machines_with(volume) {
            let machine = WorkloadId { contract: volume.contract, name };
            let process = self.machines.process(&machine).await;
            let runs = process.map_err(|why: DriverError| broken(why.into()))?.is_some();
            if runs || !sources.holds.contains(&machine) {
                let message = format!("the machine {} has this volume: stop it first", machine.name);
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
fn read(root: PathBuf, ids: Ids) -> Result<mpsc::Receiver<Result<Option<Batch>, Error>>, Failed> {
    let (batches, read) = mpsc::channel(AHEAD);
    in_the_background(move || {
        let all = read_tree(&root, ids, &mut |batch| {
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
    mut parts: mpsc::Receiver<Part>,
) -> Result<oneshot::Receiver<Result<(), Error>>, Failed> {
    let (ended, written) = oneshot::channel();
    in_the_background(move || {
        let all = write_tree(&root, ids, &mut || parts.blocking_recv());
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
