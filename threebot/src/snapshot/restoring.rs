// SPDX-License-Identifier: Apache-2.0
//! Restores a snapshot: each chunk is checked before it is sent, and the node puts the whole in place at once.

use super::{Keys, Place, Snapshot, located, manifest, packs::Packs};
use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use std::{
    mem,
    time::{Duration, Instant},
};
use tfgrid_client::{
    peer::{
        NodePeer, PeerError,
        frame::Frame,
        protocol::{Ask, MachineStatus, Message},
    },
    primitives::ContractId,
    snapshot::{Batcher, CONTENT_BYTES, Manifest, Part, Position, Step, Stored, TreeError},
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

/// Limit for the node to take the next part.
const TAKEN_WITHIN: Duration = Duration::from_secs(600);
/// Parts that wait to be sent, while the next pack is read.
const PARTS_WAITING: usize = 64;
/// Limit for the node to put the content in place after it has all of it.
const IN_PLACE_WITHIN: Duration = Duration::from_secs(600);
/// Limit for the reason of a node that takes no more.
const REASON_WITHIN: Duration = Duration::from_secs(5);
/// Limit for machines to stop.
const STOPPED_WITHIN: Duration = Duration::from_secs(300);
/// From one look at them to the next.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// A snapshot that is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Bytes of content, without zeros that take no room.
    pub bytes: u64,
    /// Machines that were stopped for it, and are to run again.
    pub started: Vec<String>,
}

/// Puts a snapshot in place of the content of a contract's volume or machine's root; with `once`, only where nobody has
/// before. The contract's machines are stopped for it, and then those that ran are started again.
pub async fn restore(
    peer: &NodePeer,
    place: &Place,
    keys: &Keys,
    snapshot: &Snapshot,
    (to_contract, workload): (ContractId, &str),
    once: bool,
) -> Result<Restored> {
    // What can't be used stops no machine.
    let manifest = manifest(place, keys, snapshot).await?;
    ensure_image(peer, &manifest, to_contract, workload).await?;
    let stopped = not_held(peer, to_contract).await?;
    let restored = async {
        stop_all(peer, to_contract).await?;
        let ask = Ask::Restore { workload: workload.to_owned(), once };
        send(peer, place, keys, &manifest, to_contract, ask).await
    };
    let restored = restored.await;
    for name in &stopped {
        let started = peer.answer(to_contract, Ask::Start { workload: name.clone() }).await;
        if restored.is_ok() {
            started.with_context(|| format!("{workload} is restored, but {name} isn't started again"))?;
        }
    }
    let bytes = restored.with_context(|| format!("{workload} of contract {to_contract} stays as it was"))?;
    Ok(Restored { bytes, started: stopped })
}

/// Fails where a root is to go into what isn't a machine with its image.
async fn ensure_image(
    peer: &NodePeer,
    manifest: &Manifest,
    contract: ContractId,
    workload: &str,
) -> Result<()> {
    let Some(had) = manifest.image() else { return Ok(()) };
    let there = peer.volumes(contract, true).await?;
    let has = there.get(workload).and_then(|volume| volume.image);
    let has = has.with_context(|| format!("it is a machine's root, and {workload} is no machine there"))?;
    ensure!(had == has, TreeError::OtherImage { had, has });
    Ok(())
}

/// The machines of a contract that their owner hasn't stopped.
async fn not_held(peer: &NodePeer, contract: ContractId) -> Result<Vec<String>> {
    let machines = peer.status(contract).await?.machines;
    Ok(machines.into_iter().filter(|(_, machine)| !machine.is_held()).map(|(name, _)| name).collect())
}

/// Stops all machines of a contract, and waits until they are.
pub async fn stop_all(peer: &NodePeer, contract: ContractId) -> Result<()> {
    for name in not_held(peer, contract).await? {
        peer.answer(contract, Ask::Stop { workload: name }).await?;
    }
    until_stopped(peer, contract).await
}

/// Starts all machines of a contract that are stopped, as those are of a restore that was killed.
pub async fn start_all(peer: &NodePeer, contract: ContractId) -> Result<()> {
    let machines = peer.status(contract).await?.machines;
    for (name, _) in machines.into_iter().filter(|(_, machine)| machine.is_held()) {
        peer.answer(contract, Ask::Start { workload: name }).await?;
    }
    Ok(())
}

async fn until_stopped(peer: &NodePeer, contract: ContractId) -> Result<()> {
    let begun = Instant::now();
    loop {
        let machines = peer.status(contract).await?.machines;
        let runs =
            |machine: &MachineStatus| ["running", MachineStatus::STOPPING].contains(&machine.state.as_str());
        let Some((name, _)) = machines.iter().find(|(_, machine)| runs(machine)) else { return Ok(()) };
        if begun.elapsed() > STOPPED_WITHIN {
            bail!("the machine {name} doesn't stop within {STOPPED_WITHIN:?}");
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Sends a snapshot's content; returns its bytes.
async fn send(
    peer: &NodePeer,
    place: &Place,
    keys: &Keys,
    manifest: &Manifest,
    contract: ContractId,
    ask: Ask,
) -> Result<u64> {
    let mut call = peer.ask(contract, ask).await?;
    call.ready().await?;
    let (mut input, mut output) = call.split();
    let (parts, mut waiting) = mpsc::channel::<Vec<u8>>(PARTS_WAITING);
    let reading = read(place, keys, manifest, parts);
    let sending = async {
        while let Some(part) = waiting.recv().await {
            timeout(TAKEN_WITHIN, input.data(&part)).await.map_err(|_| PeerError::NoAnswer)??;
        }
        Ok::<_, Error>(())
    };
    let answer = async {
        match output.next().await? {
            Some(Frame::Message(Message::Done {})) => Ok(()),
            _ => Err(Error::from(PeerError::Unexpected)),
        }
    };
    tokio::pin!(answer);
    let sent = tokio::select! {
        biased;
        answered = &mut answer => return Err(answered.err().unwrap_or(PeerError::Unexpected.into())),
        sent = async { tokio::try_join!(reading, sending) } => sent,
    };
    let bytes = match sent {
        Ok((bytes, ())) => bytes,
        // What is broken off here is dropped there. Where the node takes no more, it says why.
        Err(why) if why.is::<PeerError>() => {
            let said = timeout(REASON_WITHIN, answer).await;
            return Err(said.ok().and_then(Result::err).unwrap_or(why));
        }
        Err(why) => return Err(why),
    };
    input.finish();
    timeout(IN_PLACE_WITHIN, answer).await.map_err(|_| PeerError::NoAnswer)??;
    Ok(bytes)
}

/// Reads and checks a snapshot in the parts in which it is sent; returns its bytes.
async fn read(place: &Place, keys: &Keys, manifest: &Manifest, parts: mpsc::Sender<Vec<u8>>) -> Result<u64> {
    let mut packs = Packs::new(place, keys, &manifest.packs);
    let mut position = Position::default();
    let mut batcher = Batcher::default();
    let (mut content, mut all) = (Vec::new(), 0);
    for stored in &manifest.steps {
        let bytes = position.step(&stored.step())?;
        let Stored::Chunks { pack, offset, hashes } = stored else {
            if let Some(full) = batcher.push(stored.step()) {
                pass(full, mem::take(&mut content), &parts).await?;
            }
            continue;
        };
        all += bytes;
        let pack = packs.get(*pack).await?;
        for (at, length, hash) in located(*offset, bytes, hashes) {
            let chunk = pack.chunk(at, length, hash)?;
            if let Some(full) = batcher.push(Step::Chunks(vec![*hash])) {
                pass(full, mem::take(&mut content), &parts).await?;
            }
            content.extend(chunk);
        }
    }
    pass(batcher.finish(), content, &parts).await?;
    pass_part(&Part::End, &parts).await?;
    Ok(all)
}

/// Passes on a batch and the content of its chunks.
async fn pass(steps: Vec<Step>, content: Vec<u8>, parts: &mpsc::Sender<Vec<u8>>) -> Result<()> {
    pass_part(&Part::Batch(steps), parts).await?;
    for content in content.chunks(CONTENT_BYTES) {
        pass_part(&Part::Content(content.to_vec()), parts).await?;
    }
    Ok(())
}

async fn pass_part(part: &Part, parts: &mpsc::Sender<Vec<u8>>) -> Result<()> {
    parts.send(part.written()).await.map_err(|_| anyhow!("the node takes no more"))
}
