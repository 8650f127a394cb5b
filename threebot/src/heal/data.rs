// SPDX-License-Identifier: Apache-2.0
//! Snapshots of contracts' volumes and machines, taken and restored beside the rounds.

use super::{Retention, Saved, Schedule, chain::up_to_date};
use crate::{
    peer::connected,
    snapshot::{
        Around, Keys, Of, Place, Snapshot, image_of, list, remove, restore, start_all, stop_all, take,
    },
    time::now,
};
use anyhow::{Context, Result, anyhow, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
    path::PathBuf,
    time::Duration,
};
use tfgrid_client::{
    GridAt,
    deployment::LastSnapshot,
    peer::{Device, protocol::Volume},
    primitives::{ContractId, PublicKey, TwinId, UnixSeconds},
    sealing::{Recipient, SealKey},
};
use tokio::{task::JoinSet, time::timeout};

/// How many are taken at the same time, and how many restored.
const MAX_JOBS: usize = 4;
/// Limit for one: a node that sends or takes next to nothing holds up others no longer.
const DONE_WITHIN: Duration = Duration::from_secs(6 * 3_600);

/// Seconds by which a snapshot's time may be ahead: it is that of whoever took it.
const MAX_AHEAD: u64 = 300;

/// When snapshots of a contract's volumes and machines were taken.
pub type Times = BTreeMap<String, UnixSeconds>;

/// Snapshots of all that the mandate names of contracts, in a place of the owner's.
pub trait Snapshots: Clone + Send + Sync + 'static {
    /// All that are in the place.
    fn all(&self) -> impl Future<Output = Result<Saved>> + Send;

    /// Takes one of each volume, and machine where roots are saved, of a contract; returns when.
    fn take(
        &self,
        contract: ContractId,
        around: Option<Around>,
    ) -> impl Future<Output = Result<Times>> + Send;

    /// Puts the last one of `from` in place of the content of `to`, unless that has been done; returns what has it, and
    /// when that was taken.
    fn restore(&self, from: LastSnapshot, to: ContractId) -> impl Future<Output = Result<Times>> + Send;
}

/// What is done for one contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    Take(ContractId),
    Restore { from: LastSnapshot, to: ContractId },
}

impl Job {
    /// The contract whose node does it.
    pub fn contract(self) -> ContractId {
        match self {
            Self::Take(contract) | Self::Restore { to: contract, .. } => contract,
        }
    }
}

/// Jobs that run beside the rounds.
pub struct Jobs<S> {
    pub snapshots: S,
    within: Duration,
    running: BTreeSet<Job>,
    tasks: JoinSet<(Job, Result<Times>)>,
}

impl<S: Snapshots> Jobs<S> {
    pub fn new(snapshots: S) -> Self {
        Self { snapshots, within: DONE_WITHIN, running: BTreeSet::new(), tasks: JoinSet::new() }
    }

    /// Starts a job, unless it or too many others of its kind run. A snapshot is taken with the commands `around` it.
    pub fn start(&mut self, job: Job, around: Option<Around>) {
        let of_kind = self.running.iter().filter(|other| discriminant(*other) == discriminant(&job)).count();
        if of_kind >= MAX_JOBS || !self.running.insert(job) {
            return;
        }
        let (snapshots, within) = (self.snapshots.clone(), self.within);
        self.tasks.spawn(async move {
            let doing = async {
                match job {
                    Job::Take(contract) => snapshots.take(contract, around).await,
                    Job::Restore { from, to } => snapshots.restore(from, to).await,
                }
            };
            let done = timeout(within, doing).await;
            (job, done.unwrap_or_else(|_| Err(anyhow!("it isn't done within {within:?}"))))
        });
    }

    /// Whether something is done for a contract.
    pub fn is_busy(&self, contract: ContractId) -> bool {
        self.running.iter().any(|job| job.contract() == contract)
    }

    /// The jobs that have ended since the last call, with the snapshots that were taken.
    pub fn ended(&mut self) -> Vec<(Job, Result<Times>)> {
        let mut ended = Vec::new();
        while let Some(task) = self.tasks.try_join_next() {
            match task {
                Ok((job, done)) => {
                    self.running.remove(&job);
                    ended.push((job, done));
                }
                // It is started again when the next round asks for it.
                Err(_) => self.running.clear(),
            }
        }
        ended
    }
}

/// The owner's place, reached by the owner's contracts' nodes over a device of the bot's.
#[derive(Clone)]
pub struct Volumes {
    /// RPC addresses of the chain.
    urls: Vec<String>,
    /// The bot's, which says which chain that is.
    folder: PathBuf,
    twin: TwinId,
    device: Device,
    place: Place,
    /// Whether roots of machines are saved and restored, too.
    roots: bool,
    keep: Option<Retention>,
    identity: SealKey,
    is_json: bool,
}

impl Volumes {
    pub fn new(
        schedule: &Schedule,
        urls: Vec<String>,
        folder: PathBuf,
        twin: TwinId,
        device: Device,
        identity: SealKey,
        is_json: bool,
    ) -> Result<Self> {
        let place = schedule.place.parse().context("snapshots.place of the mandate")?;
        let Schedule { roots, keep, .. } = *schedule;
        Ok(Self { urls, folder, twin, device, place, roots, keep, identity, is_json })
    }

    /// The chain at a finalized block, from the first endpoint that is up to date.
    async fn at(&self) -> Result<GridAt> {
        let mut last = anyhow!("there is no endpoint");
        for url in &self.urls {
            match up_to_date(url, &self.folder).await {
                Ok((_, at)) => return Ok(at),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Snapshots are sealed to the owner and its bots, and trusted where a device of the owner's twin vouches for them.
    async fn keys(&self, at: &GridAt, contract: ContractId) -> Result<Keys> {
        let twin = at.twin(self.twin).await?.with_context(|| format!("no twin has the id {}", self.twin))?;
        let node = at.node_of_contract(contract).await?;
        let node = node.with_context(|| format!("contract {contract} has closed, or isn't on a node"))?;
        let sealed_to = at.seal_keys(node, self.twin).await?;
        let sealed_to: Vec<PublicKey> =
            sealed_to.map(|keys| keys.owner.into_iter().chain(keys.bots).collect()).unwrap_or_default();
        let recipients = sealed_to.iter().map(Recipient::new).collect::<Result<_, _>>()?;
        Ok(Keys { identity: self.identity.clone(), recipients, trusted: twin.peer_keys.0 })
    }
}

impl Snapshots for Volumes {
    async fn all(&self) -> Result<Saved> {
        let mut last = Saved::new();
        // They are in the order of times: the last one of each volume stays.
        for snapshot in list(&self.place, None).await?.into_iter().filter(|it| has_come(it, now())) {
            let at = snapshot.taken_at().unwrap_or_default();
            last.entry(snapshot.contract).or_default().insert(snapshot.workload, at);
        }
        Ok(last)
    }

    async fn take(&self, contract: ContractId, around: Option<Around>) -> Result<Times> {
        let at = self.at().await?;
        let keys = self.keys(&at, contract).await?;
        let node = connected(&at, contract, &self.device, self.is_json).await?;
        let of = if self.roots { Of::All } else { Of::Volumes };
        let taken =
            take(&node.peer, &self.device, contract, of, &self.place, &keys, around.as_ref(), false).await;
        node.done(Ok(())).await?;
        let taken = taken?.into_iter().map(|taken| taken.snapshot);
        let times =
            taken.filter_map(|snapshot| Some((snapshot.workload.clone(), snapshot.taken_at()?))).collect();
        let Some(keep) = self.keep else { return Ok(times) };
        let mut all = list(&self.place, Some(contract)).await?;
        all.retain(|snapshot| has_come(snapshot, now()));
        for old in keep.past(&all, now()) {
            let removed = remove(&self.place, &keys, old).await;
            removed.with_context(|| format!("it was taken, but the old snapshot {old} isn't removed"))?;
        }
        Ok(times)
    }

    async fn restore(&self, from: LastSnapshot, to: ContractId) -> Result<Times> {
        let at = self.at().await?;
        let keys = self.keys(&at, to).await?;
        let all = list(&self.place, Some(from.contract)).await?;
        let volumes = last_of_each(all, now());
        let newest = volumes.values().filter_map(Snapshot::taken_at).max();
        let node = connected(&at, to, &self.device, self.is_json).await?;
        let restored = async {
            let there = node.peer.volumes(to, self.roots).await?;
            let mut missing = Vec::new();
            for (workload, snapshot) in not_restored(&volumes, &there)? {
                // A root doesn't fit where an update has made its machine of another image since.
                let image = there.get(workload).and_then(|volume| volume.image);
                if image_of(&self.place, &keys, snapshot).await? == image {
                    missing.push((workload, snapshot));
                }
            }
            if !missing.is_empty() {
                ensure!(
                    newest >= Some(from.taken_at),
                    "the last snapshot of contract {} isn't in {}: a bot with another place has taken it",
                    from.contract,
                    self.place
                );
            }
            let all = async {
                if !missing.is_empty() {
                    // No machine runs with a part of it.
                    stop_all(&node.peer, to).await?;
                }
                for (workload, snapshot) in &missing {
                    restore(&node.peer, &self.place, &keys, snapshot, (to, workload.as_str()), true).await?;
                }
                anyhow::Ok(())
            };
            let all = all.await;
            // A bot that was killed in the middle has left them stopped, too.
            all.and(start_all(&node.peer, to).await)?;
            anyhow::Ok(in_place(&volumes, &there, &missing))
        };
        let restored = restored.await;
        node.done(Ok(())).await?;
        restored
    }
}

/// The volumes of a node's that nobody has restored yet, with what they are to get.
///
/// # Errors
/// If the node has none: an agent that has just started has yet to look.
fn not_restored<'a>(
    snapshots: &'a BTreeMap<String, Snapshot>,
    there: &BTreeMap<String, Volume>,
) -> Result<Vec<(&'a String, &'a Snapshot)>> {
    ensure!(!there.is_empty(), "its node has nothing of it yet");
    let is_missing = |name: &str| there.get(name).is_some_and(|volume| !volume.restored);
    Ok(snapshots.iter().filter(|(name, _)| is_missing(name)).collect())
}

/// What has its snapshot, restored `now` or before, and when that was taken.
fn in_place(
    snapshots: &BTreeMap<String, Snapshot>,
    there: &BTreeMap<String, Volume>,
    now: &[(&String, &Snapshot)],
) -> Times {
    let has = |name: &String| {
        there.get(name).is_some_and(|volume| volume.restored)
            || now.iter().any(|(workload, _)| *workload == name)
    };
    let restored = snapshots.iter().filter(|(name, _)| has(name));
    restored.filter_map(|(name, snapshot)| Some((name.clone(), snapshot.taken_at()?))).collect()
}

/// The last snapshot of each volume, of those that are in the order of times.
fn last_of_each(all: Vec<Snapshot>, now: UnixSeconds) -> BTreeMap<String, Snapshot> {
    let all = all.into_iter().filter(|it| has_come(it, now));
    all.map(|snapshot| (snapshot.workload.clone(), snapshot)).collect()
}

/// Whether a snapshot's time has come: one of a clock that was ahead would be the last one until then.
fn has_come(snapshot: &Snapshot, now: UnixSeconds) -> bool {
    snapshot.taken_at().is_some_and(|at| at <= now.saturating_add(MAX_AHEAD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    /// Holds jobs until it is let go.
    #[derive(Clone)]
    struct Held(&'static Semaphore);

    impl Snapshots for Held {
        async fn all(&self) -> Result<Saved> {
            Ok(Saved::new())
        }

        async fn take(&self, _: ContractId, _: Option<Around>) -> Result<Times> {
            self.0.acquire().await?.forget();
            Ok(Times::new())
        }

        async fn restore(&self, _: LastSnapshot, _: ContractId) -> Result<Times> {
            Err(anyhow!("it is damaged"))
        }
    }

    async fn ended(jobs: &mut Jobs<Held>) -> Vec<(Job, Result<Times>)> {
        let waiting = async {
            loop {
                let ended = jobs.ended();
                if !ended.is_empty() {
                    return ended;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), waiting).await.unwrap()
    }

    #[tokio::test]
    async fn so_many_jobs_run_at_once_and_each_once() {
        let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
        let mut jobs = Jobs::new(Held(gate));
        let restore = Job::Restore { from: LastSnapshot { contract: 1, taken_at: 0 }, to: 2 };
        jobs.start(restore, None);
        let failed = ended(&mut jobs).await;
        assert!(failed[0].0.contract() == 2 && failed[0].1.is_err());
        for contract in [7, 7, 8, 9, 10, 11] {
            jobs.start(Job::Take(contract), None);
        }
        assert_eq!(jobs.running.len(), MAX_JOBS);
        assert!(!jobs.running.contains(&Job::Take(11)));
        assert!(jobs.is_busy(7) && !jobs.is_busy(11));
        gate.add_permits(1);
        assert!(ended(&mut jobs).await[0].1.is_ok());
        assert_eq!(jobs.running.len(), MAX_JOBS - 1);
        jobs.start(Job::Take(11), None);
        jobs.start(restore, None);
        assert!(jobs.running.contains(&restore), "it waits for no snapshot");
    }

    #[test]
    fn a_snapshot_of_the_future_is_not_the_last_one() {
        let snapshot: Snapshot = "7/data/20231114T221320000Z".parse().unwrap();
        let at = snapshot.taken_at().unwrap();
        assert_eq!(at, 1_700_000_000);
        assert!(has_come(&snapshot, at) && has_come(&snapshot, at - MAX_AHEAD));
        assert!(!has_come(&snapshot, at - MAX_AHEAD - 1));
    }

    #[test]
    fn volumes_that_no_node_has_seen_yet_are_not_restored() {
        let snapshot = |name: &str| -> Snapshot { format!("7/{name}/20261120T060000000Z").parse().unwrap() };
        let snapshots: BTreeMap<String, Snapshot> =
            ["cache", "data", "old"].map(|name| (name.to_owned(), snapshot(name))).into();
        let volume = |restored| Volume { restored, ..Volume::default() };
        let there: BTreeMap<_, _> =
            [("cache".to_owned(), volume(true)), ("data".to_owned(), volume(false))].into();
        let missing = not_restored(&snapshots, &there).unwrap();
        assert_eq!(missing, [(&"data".to_owned(), &snapshot("data"))]);
        let at = snapshot("data").taken_at().unwrap();
        let times = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), at)).collect::<Times>();
        assert_eq!(in_place(&snapshots, &there, &missing), times(&["cache", "data"]));
        assert_eq!(in_place(&snapshots, &there, &[]), times(&["cache"]));
        let error = not_restored(&snapshots, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("has nothing of it yet"), "{error}");
    }

    #[tokio::test]
    async fn a_job_that_does_not_end_is_given_up() {
        let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
        let mut jobs = Jobs { within: Duration::from_millis(1), ..Jobs::new(Held(gate)) };
        jobs.start(Job::Take(7), None);
        let (_, done) = jobs.tasks.join_next().await.unwrap().unwrap();
        assert!(done.unwrap_err().to_string().contains("isn't done within"));
    }
}
