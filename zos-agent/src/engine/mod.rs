// SPDX-License-Identifier: Apache-2.0
//! The level-triggered engine: it compares what the chain wants with what is observed, and has the difference
//! carried out, again and again. Events only wake it, so a missed one costs nothing.

mod exits;
mod holds;
pub mod observed;
pub mod plan;
mod progress;
mod quarantine;
pub mod reconcile;
mod releases;
mod reports;
mod result;
#[cfg(test)]
mod tests;

use crate::{
    backoff::Backoff,
    chain::{
        Chain, Contract, HeadAge, Reports, Snapshot, Version,
        desired::{Desired, Target, Wanted, Workloads},
        stored,
    },
    clock::unix_ms,
    drivers::{MachineDriver, WantedImages, WorkloadId},
    metrics::Metrics,
    store::Store,
};
use anyhow::{Result, anyhow};
use exits::Exits;
use futures::FutureExt;
pub use holds::Holds;
use observed::{Observed, ObservedContract, PoolFaults, observe};
use plan::{Approved, Goal, Plan, keeps_too_much, plan, restored, suspend};
use progress::{Progress, Trouble};
use quarantine::Quarantine;
use reconcile::{Drivers, Failure, Outcome, Purpose, Reconciler};
use releases::Releases;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_client::{
    deployment::{Rejection, WITHHELD},
    sealing::SealKey,
};
use tfgrid_primitives::{ContractId, FailureCode, text::printable};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep_until, timeout},
};
use tracing::{error, info, warn};

/// Limit for the last line of a machine's output, for which all contracts wait.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit of a last line in an event.
const MAX_EVENT_LINE_BYTES: u32 = 200;
/// Longest delay before the drivers are asked again after they failed.
const MAX_OBSERVE_RETRY: Duration = Duration::from_secs(10);

/// Intervals and limits of the engine.
#[derive(Clone, Debug)]
pub struct Timing {
    /// How long the chain is awaited after the start before workloads start as of the stored snapshot.
    pub await_chain: Duration,
    /// From one observation to the next while nothing happens.
    pub observe_every: Duration,
    /// Limit for one observation.
    pub observe_timeout: Duration,
    /// Uptime after which a machine without a health check counts as one that works.
    pub ready_after: Duration,
    /// Uptime after which earlier failures are forgotten.
    pub stable_after: Duration,
    /// Delays after failures.
    pub backoff: Backoff,
    /// How often a version is tried before it is given up, if it was never ready.
    pub tries_before_ready: u32,
    /// How long starts wait while other contracts free their capacity.
    pub hold_starts: Duration,
    /// How often the chain is asked for closed contracts whose addresses await this node's release.
    pub look_every: Duration,
    /// How long workloads of a contract that the chain doesn't know keep running.
    pub quarantine: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            await_chain: Duration::from_secs(15),
            observe_every: Duration::from_secs(30),
            observe_timeout: Duration::from_secs(30),
            ready_after: Duration::from_secs(10),
            stable_after: Duration::from_secs(60),
            backoff: Backoff { first: Duration::from_secs(1), most: Duration::from_secs(300) },
            tries_before_ready: 5,
            hold_starts: Duration::from_secs(15),
            look_every: Duration::from_secs(600),
            quarantine: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// State that is kept over restarts.
pub struct Memory {
    quarantine: Quarantine,
    releases: Releases,
    exits: Exits,
    holds: Holds,
    snapshot: Option<Arc<Snapshot>>,
}

impl Memory {
    /// Machines that their owners have stopped.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Reads the state of the last run; opens sealed bodies with `key`.
    ///
    /// # Errors
    /// If one of its files is damaged or can't be written.
    pub fn load(store: Store, key: &SealKey) -> Result<Self> {
        Ok(Self {
            quarantine: Quarantine::load(store.clone())?,
            releases: Releases::load(store.clone())?,
            exits: Exits::load(store.clone())?,
            holds: Holds::load(store.clone())?,
            // What is damaged here is read from the chain anew.
            snapshot: stored::read(&store, key)
                .unwrap_or_else(|error| {
                    error!("can't go by the stored snapshot: {error:#}");
                    None
                })
                .map(Arc::new),
        })
    }
}

/// Channels to other parts of the agent.
pub struct Outputs {
    /// Reports for the outbox.
    pub reports: watch::Sender<Reports>,
    /// Whether containers and volumes can be observed, for the outbox.
    pub engine_up: watch::Sender<bool>,
    /// The last observation, for the meter and the peer endpoint.
    pub observed: watch::Sender<Arc<Observed>>,
    /// How far the contracts are, for the peer endpoint.
    pub standings: watch::Sender<Arc<Standings>>,
    /// What was done to machines, for their owners. Some is lost where nobody takes it.
    pub done: mpsc::Sender<(WorkloadId, String)>,
}

/// How far each contract is.
pub type Standings = BTreeMap<ContractId, Standing>;

/// How far a contract is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Version that is to run.
    pub version: u32,
    /// Whether all its machines work.
    pub is_ready: bool,
    /// Why they don't, if a try has failed.
    pub trouble: Option<String>,
    /// Whether the body or a part of it is sealed.
    pub is_private: bool,
}

/// An update that can't run, as was found by trying.
#[derive(Clone, Debug)]
struct RejectedUpdate {
    version: Version,
    rejection: Rejection,
}

/// Makes this machine run what the chain wants.
pub struct Engine {
    chain: Arc<dyn Chain>,
    drivers: Drivers,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    outputs: Outputs,
    quarantine: Quarantine,
    timing: Timing,
    metrics: Metrics,
    reconciler: Reconciler,
    progress: BTreeMap<ContractId, Progress>,
    /// Updates that can't run, until the chain has dropped them. Not kept over restarts: trying again finds
    /// them.
    rejected_updates: BTreeMap<ContractId, RejectedUpdate>,
    releases: Releases,
    exits: Exits,
    holds: Holds,
    /// Contracts of which the chain has a record of their end.
    closed: BTreeSet<ContractId>,
    /// Snapshot of the last run of the agent, until the chain is reached.
    stored: Option<Arc<Snapshot>>,
    /// From when on the stored snapshot counts.
    stored_from: Instant,
    /// Snapshot of the last pass.
    last_snapshot: Option<Arc<Snapshot>>,
    /// What was wrong with the storage pools at the last observation.
    faults: PoolFaults,
    failed_observations: u32,
    next_pass: Instant,
}

impl Engine {
    /// Does nothing until it runs.
    pub fn new(
        chain: Arc<dyn Chain>,
        drivers: Drivers,
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        outputs: Outputs,
        memory: Memory,
        timing: Timing,
        metrics: Metrics,
    ) -> Self {
        let Memory { quarantine, releases, exits, holds, snapshot } = memory;
        Self {
            chain,
            reconciler: Reconciler::new(drivers.clone(), outputs.done.clone()),
            drivers,
            snapshots,
            outputs,
            quarantine,
            metrics,
            progress: BTreeMap::new(),
            rejected_updates: BTreeMap::new(),
            releases,
            exits,
            holds,
            closed: BTreeSet::new(),
            stored: snapshot,
            stored_from: Instant::now() + timing.await_chain,
            last_snapshot: None,
            faults: PoolFaults::new(),
            failed_observations: 0,
            next_pass: Instant::now(),
            timing,
        }
    }

    /// Runs until the sender of snapshots is dropped. It may be killed at any instant: the next engine
    /// observes what was begun and finishes it.
    pub async fn run(mut self) {
        loop {
            let due = tokio::select! {
                changed = self.snapshots.changed() => match changed {
                    Ok(()) => self.has_news(),
                    Err(_) => return,
                },
                outcome = self.reconciler.next() => {
                    self.finish(outcome);
                    // One pass is for all plans that have ended.
                    while let Some(outcome) = self.reconciler.next().now_or_never() {
                        self.finish(outcome);
                    }
                    true
                }
                () = self.drivers.machines.changed() => true,
                () = self.holds.changed() => true,
                () = sleep_until(self.next_pass.into()) => true,
            };
            if due {
                self.pass().await;
            }
        }
    }

    /// Whether the latest snapshot differs from the last one in what it wants or proves.
    fn has_news(&mut self) -> bool {
        let latest = self.snapshots.borrow_and_update().clone();
        match (&latest, &self.last_snapshot) {
            (Some(latest), Some(last)) => {
                latest.contracts != last.contracts || latest.age != last.age || latest.grants != last.grants
            }
            (latest, _) => latest.is_some(),
        }
    }

    /// The chain's latest snapshot; the stored one if the chain isn't reached some time after the start.
    fn latest(&mut self) -> Option<Arc<Snapshot>> {
        let latest = self.snapshots.borrow_and_update().clone();
        let now = Instant::now();
        if latest.is_some() {
            self.stored = None;
        } else if self.stored.is_some() && now < self.stored_from {
            self.next_pass = self.stored_from;
        } else if let Some(stored) = &self.stored {
            if self.last_snapshot.is_none() {
                let Snapshot { head, contracts, .. } = &**stored;
                warn!(
                    number = head.number,
                    contracts = contracts.len(),
                    "the chain isn't reached: going by what it said last"
                );
            }
            return Some(stored.clone());
        } else {
            self.next_pass = now + self.timing.observe_every;
        }
        latest
    }

    /// Observes, plans, starts plans and reports.
    async fn pass(&mut self) {
        let Some(snapshot) = self.latest() else { return };
        if snapshot.age != HeadAge::Stored {
            self.drivers.gateways.grant(&snapshot.grants);
        }
        let Some(observed) = self.observe().await else { return };
        for contract in self.holds.take_hurried() {
            self.progress.entry(contract).or_default().hurry();
        }
        self.note_ended(&snapshot);
        self.last_snapshot = Some(snapshot.clone());
        self.next_pass = Instant::now() + self.timing.observe_every;

        let is_stored = snapshot.age == HeadAge::Stored;
        let goals = if is_stored {
            self.stored_goals(&snapshot, &observed)
        } else {
            self.goals(&snapshot, &observed).await
        };
        self.cancel_outdated(&goals);
        self.drivers.machines.want_images(wanted_images(&snapshot));
        let plans = plan(&goals, &observed);
        self.update_progress(&snapshot, &observed, &goals, &plans).await;
        self.forget_gone(&goals);
        self.start(&goals, plans);
        if is_stored {
            return;
        }
        let busy = self.reconciler.busy().into_iter().map(|(contract, _)| contract).collect();
        self.releases.ask(&*self.chain, &snapshot, &observed, &busy, &self.timing).await;
        self.report(&snapshot, &observed);
        self.outputs.observed.send_replace(Arc::new(observed));
    }

    async fn observe(&mut self) -> Option<Observed> {
        let limit = self.timing.observe_timeout;
        let observing = observe(&self.drivers, &self.metrics);
        let result = match timeout(limit, observing).await {
            Ok(result) => result,
            Err(_) => {
                self.metrics.engine_up.set(0);
                Err(anyhow!("the container engine doesn't answer within {limit:?}"))
            }
        };
        let is_whole = matches!(&result, Ok((_, faults)) if !faults.iter().any(|(_, fault)| fault.stops()));
        self.outputs.engine_up.send_if_modified(|up| std::mem::replace(up, is_whole) != is_whole);
        match result {
            Ok((observed, faults)) => {
                self.note_faults(faults);
                if std::mem::take(&mut self.failed_observations) > 0 {
                    info!("firewall, storage pool and container engine are back: heartbeats go on");
                }
                Some(observed)
            }
            Err(why) => {
                self.failed_observations = self.failed_observations.saturating_add(1);
                let most = self.timing.observe_every.min(MAX_OBSERVE_RETRY);
                let delay = Backoff { most, ..self.timing.backoff }.delay(self.failed_observations);
                self.next_pass = Instant::now() + delay;
                warn!(retry_in = ?delay, "no heartbeats, nothing is started: {why:#}");
                None
            }
        }
    }

    /// Logs what is wrong with the storage pools when it changes.
    fn note_faults(&mut self, faults: PoolFaults) {
        if faults == self.faults {
            return;
        }
        for (disk, fault) in &faults {
            let heartbeats = if fault.stops() { "no heartbeats" } else { "heartbeats go on" };
            warn!("{heartbeats}: the storage pool ({disk}) {fault}: {}", fault.advice());
        }
        if faults.is_empty() {
            info!("nothing is wrong with the storage pools any more");
        }
        self.faults = faults;
    }

    /// Contracts that the chain listed at the last pass and doesn't any more may have closed, even if nothing
    /// of them was ever here.
    fn note_ended(&mut self, snapshot: &Snapshot) {
        let Some(last) = &self.last_snapshot else { return };
        let gone = last.contracts.keys().copied().filter(|id| !snapshot.contracts.contains_key(id));
        self.releases.end(gone);
    }

    /// Remembers updates that were found not to run: they stay rejected after the return to the active
    /// version.
    fn note_rejected_updates(&mut self, snapshot: &Snapshot) {
        self.rejected_updates.retain(|id, rejected| {
            let desired = snapshot.contracts.get(id);
            desired.is_some_and(|desired| desired.contract.pending == Some(rejected.version))
        });
        for (&id, desired) in &snapshot.contracts {
            let (Some(version), Some(progress)) = (desired.contract.pending, self.progress.get(&id)) else {
                continue;
            };
            if let Some(rejection) = progress.rejection().filter(|_| progress.version() == Some(version)) {
                let rejected = RejectedUpdate { version, rejection: rejection.clone() };
                self.rejected_updates.entry(id).or_insert(rejected);
            }
        }
    }

    /// The contract's update and why it can't run; `None` if it may run or there is none.
    fn rejected_update<'a>(&'a self, desired: &'a Desired) -> Option<(Version, &'a Rejection)> {
        let pending = desired.pending.as_ref()?;
        let rejection = match &pending.wanted {
            Wanted::Refused(rejection) => rejection,
            _ => &self.rejected_updates.get(&desired.contract.id)?.rejection,
        };
        Some((pending.version, rejection))
    }

    /// The version that is to run: the update, or the active version if the update can't run.
    fn target<'a>(&self, desired: &'a Desired) -> &'a Target {
        match &desired.pending {
            Some(pending) if matches!(pending.wanted, Wanted::Unknown(_)) => &desired.active,
            Some(pending) if self.rejected_update(desired).is_none() => pending,
            _ => &desired.active,
        }
    }

    /// Goals while the chain isn't reached: what it had confirmed goes on, and nothing is deployed or removed.
    fn stored_goals(&mut self, snapshot: &Snapshot, observed: &Observed) -> BTreeMap<ContractId, Goal> {
        let mut goals: BTreeMap<_, _> = observed.keys().map(|contract| (*contract, Goal::Keep)).collect();
        for (&contract, desired) in &snapshot.contracts {
            let Desired { contract: Contract { active, paused, .. }, .. } = **desired;
            self.progress.entry(contract).or_default().begin(active, desired.active.is_private, true);
            let is_unreadable = observed.get(&contract).is_some_and(|there| there.is_unreadable);
            let goal = match desired.active.workloads() {
                _ if is_unreadable => Goal::Keep,
                _ if paused => Goal::Halt,
                Some(workloads) => Goal::Resume(self.holds.mark(workloads).into_owned()),
                None => Goal::Keep,
            };
            goals.insert(contract, goal);
        }
        goals
    }

    async fn goals(&mut self, snapshot: &Snapshot, observed: &Observed) -> BTreeMap<ContractId, Goal> {
        self.note_rejected_updates(snapshot);
        let mut goals = BTreeMap::new();
        for (&contract, desired) in &snapshot.contracts {
            let Target { version, is_private, .. } = *self.target(desired);
            let confirmed = desired.has_confirmed(version);
            self.progress.entry(contract).or_default().begin(version, is_private, confirmed);
            let there = observed.get(&contract);
            let waits = self.waits_for_try(desired, version, there);
            if there.is_some_and(|there| there.is_unreadable) {
                goals.insert(contract, Goal::Keep);
                continue;
            }
            self.reject_what_is_too_much(desired, version, there);
            let may_run = !waits && self.progress.get(&contract).is_none_or(|p| p.rejection().is_none());
            let mut goal = goal(desired, self.target(desired), may_run, there);
            if let Goal::Run { workloads, .. } = &mut goal
                && let Cow::Owned(marked) = self.holds.mark(workloads)
            {
                *workloads = marked;
            }
            goals.insert(contract, goal);
        }
        let absent: BTreeSet<ContractId> =
            observed.keys().copied().filter(|id| !snapshot.contracts.contains_key(id)).collect();
        self.quarantine.keep_only(&absent);
        for contract in absent {
            let is_unreadable = observed.get(&contract).is_some_and(|there| there.is_unreadable);
            goals.insert(contract, self.goal_for_absent(contract, is_unreadable, snapshot).await);
        }
        self.metrics.quarantined.set(self.quarantine.len() as i64);
        goals
    }

    /// A version that isn't confirmed must have room for what earlier ones have left.
    fn reject_what_is_too_much(
        &mut self,
        desired: &Desired,
        version: Version,
        observed: Option<&ObservedContract>,
    ) {
        let contract = desired.contract.id;
        let (Some(observed), false) = (observed, desired.has_confirmed(version)) else { return };
        let rejection = self
            .target(desired)
            .workloads()
            .and_then(|workloads| keeps_too_much(workloads, &version.reserved, observed));
        let progress = self.progress.entry(contract).or_default();
        if let Some(rejection) = rejection.filter(|_| progress.rejection().is_none()) {
            progress.reject(contract, rejection);
        }
    }

    /// Whether the next try of a version that the chain hasn't confirmed is yet to come. Nothing of it runs
    /// until then: what isn't deployed isn't paid for.
    fn waits_for_try(
        &mut self,
        desired: &Desired,
        version: Version,
        observed: Option<&ObservedContract>,
    ) -> bool {
        let contract = desired.contract.id;
        if desired.has_confirmed(version) {
            return false;
        }
        if self.reconciler.purpose(contract) == Some(Purpose::Suspend) {
            return true;
        }
        let progress = self.progress.get(&contract);
        let Some(at) = progress.and_then(|progress| progress.retry_at(Purpose::Run(version))) else {
            return false;
        };
        if at > Instant::now() {
            self.next_pass = self.next_pass.min(at);
            return true;
        }
        observed.is_some_and(|observed| !suspend(&approved(desired, Some(observed)), observed).is_empty())
    }

    /// The goal for a contract that is here but not on the chain. Absence alone destroys nothing: that takes
    /// a record of the contract's end, at a head that is new and fresh.
    async fn goal_for_absent(
        &mut self,
        contract: ContractId,
        is_unreadable: bool,
        snapshot: &Snapshot,
    ) -> Goal {
        if is_unreadable {
            return Goal::Keep;
        }
        if self.closed.contains(&contract) {
            return Goal::Destroy;
        }
        match snapshot.may_destroy(unix_ms()) {
            Err(why) => warn!(contract, "not removed: {why}"),
            Ok(()) => match self.chain.closed(contract, &snapshot.head).await {
                Ok(Some(closed)) => {
                    info!(contract, reason = closed.reason, "closed: removing its workloads");
                    self.closed.insert(contract);
                    self.releases.end([contract]);
                    return Goal::Destroy;
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(contract, "not removed: {:#}", anyhow::Error::from(error));
                    return Goal::Keep;
                }
            },
        }
        let since_ms = self.quarantine.enter(contract, unix_ms());
        if u128::from(since_ms) < self.timing.quarantine.as_millis() { Goal::Keep } else { Goal::Halt }
    }

    /// Cancels plans whose purpose isn't the goal any more.
    fn cancel_outdated(&self, goals: &BTreeMap<ContractId, Goal>) {
        for (contract, purpose) in self.reconciler.busy() {
            let is_wanted = match goals.get(&contract) {
                Some(Goal::Keep) => true,
                Some(goal) => self.purpose(contract, goal) == Some(purpose),
                None => false,
            };
            if !is_wanted {
                self.reconciler.cancel(contract);
            }
        }
    }

    fn purpose(&self, contract: ContractId, goal: &Goal) -> Option<Purpose> {
        match goal {
            Goal::Run { .. } | Goal::Resume(_) => self.progress.get(&contract)?.version().map(Purpose::Run),
            Goal::Suspend(_) => Some(Purpose::Suspend),
            Goal::Halt => Some(Purpose::Halt),
            Goal::Destroy => Some(Purpose::Destroy),
            Goal::Keep => None,
        }
    }

    /// Records how far each contract has come.
    async fn update_progress(
        &mut self,
        snapshot: &Snapshot,
        observed: &Observed,
        goals: &BTreeMap<ContractId, Goal>,
        plans: &[Plan],
    ) {
        let now = Instant::now();
        let nothing = Default::default();
        for (contract, desired) in &snapshot.contracts {
            let target = self.target(desired);
            let Some(progress) = self.progress.get_mut(contract) else { continue };
            let Some(workloads) = target.workloads().filter(|_| !desired.contract.paused) else {
                progress.halted();
                continue;
            };
            let marked = self.holds.mark(workloads);
            let workloads = &*marked;
            if self.reconciler.purpose(*contract).is_some() {
                continue;
            }
            let there = observed.get(contract).unwrap_or(&nothing);
            if there.is_unreadable {
                continue;
            }
            let is_reached = matches!(goals.get(contract), Some(Goal::Run { .. }))
                && !plans.iter().any(|plan| plan.contract == *contract);
            let approved = approved(desired, Some(there));
            progress.observe(workloads, there, &approved, is_reached, now, &self.timing);
            let ends =
                Ends { exits: &mut self.exits, done: &self.outputs.done, is_private: target.is_private };
            ends.note(&*self.drivers.machines, workloads, there).await;
            if let Some(Trouble { spec, how, is_final }) = progress.take_trouble(workloads, there, &approved)
            {
                let line = there.machines.get(&spec.id.name).and_then(|machine| self.exits.line(machine));
                let why = line.map_or_else(|| how.clone(), |line| format!("{how}: {line}"));
                let why = Rejection::new(FailureCode::WorkloadExited, &spec.pointer, why);
                if is_final {
                    progress.reject(*contract, why);
                } else {
                    let confirmed = desired.has_confirmed(target.version);
                    progress.count_try(*contract, why, confirmed, now, &self.timing);
                }
                // At once: the others are to stop, or the active version is to come back.
                self.next_pass = now;
            }
            if let Some(at) = progress.ready_at() {
                self.next_pass = self.next_pass.min(at.max(now));
            }
        }
    }

    fn forget_gone(&mut self, goals: &BTreeMap<ContractId, Goal>) {
        self.progress.retain(|contract, _| goals.contains_key(contract));
        self.closed.retain(|contract| goals.contains_key(contract));
        self.exits.keep(|contract| goals.contains_key(&contract));
        if let Err(why) = self.holds.keep(|contract| goals.contains_key(&contract)) {
            warn!("can't forget the stopped machines of closed contracts: {why:#}");
        }
    }

    fn start(&mut self, goals: &BTreeMap<ContractId, Goal>, plans: Vec<Plan>) {
        let now = Instant::now();
        for plan in plans {
            let contract = plan.contract;
            let Some(purpose) = goals.get(&contract).and_then(|goal| self.purpose(contract, goal)) else {
                continue;
            };
            if self.reconciler.purpose(contract).is_some() {
                continue;
            }
            let progress = self.progress.entry(contract).or_default();
            if progress.rejection().is_some() && matches!(purpose, Purpose::Run(_)) {
                continue;
            }
            if let Some(at) = progress.retry_at(purpose).filter(|at| *at > now) {
                self.next_pass = self.next_pass.min(at);
                continue;
            }
            // Plans that only free capacity come first: starts may need what they free.
            let hold = self.timing.hold_starts;
            if !plan.only_frees() && self.reconciler.is_freeing(hold) && progress.is_held(now, hold) {
                self.next_pass = self.next_pass.min(now + hold);
                continue;
            }
            progress.starting(purpose);
            let kept = match goals.get(&contract) {
                Some(Goal::Run { approved, .. }) => approved.clone(),
                _ => Approved::new(),
            };
            self.reconciler.start(plan, purpose, kept);
        }
    }

    /// Records the outcome of a plan.
    fn finish(&mut self, outcome: Outcome) {
        self.metrics.plan_ended(outcome.label());
        let Outcome { contract, purpose, result } = outcome;
        let progress = self.progress.entry(contract).or_default();
        if matches!(purpose, Purpose::Run(version) if progress.version() != Some(version)) {
            // By now another version is the target.
            return;
        }
        let confirmed = match (purpose, &self.last_snapshot) {
            (Purpose::Run(version), Some(snapshot)) => snapshot.has_confirmed(contract, version),
            _ => false,
        };
        match result {
            Ok(()) if purpose == Purpose::Destroy => info!(contract, "workloads removed"),
            Ok(()) if matches!(purpose, Purpose::Run(_)) => progress.started(),
            Ok(()) | Err(Failure::Cancelled) => {}
            Err(Failure::Refused(why)) => {
                progress.count_try(contract, why, confirmed, Instant::now(), &self.timing);
            }
            Err(Failure::Transient(why)) => {
                progress.failed(contract, purpose, &format!("{why:#}"), Instant::now(), &self.timing);
            }
            // A version that has run once may run again.
            Err(Failure::Invalid(rejection)) if confirmed => {
                let why = progress.told(rejection).to_string();
                progress.failed(contract, purpose, &why, Instant::now(), &self.timing);
            }
            Err(Failure::Invalid(rejection)) => progress.reject(contract, rejection),
        }
    }
}

/// Where runs are noted that have ended by themselves.
struct Ends<'a> {
    exits: &'a mut Exits,
    done: &'a mpsc::Sender<(WorkloadId, String)>,
    /// Whether what they said last is their owner's alone: reports are public.
    is_private: bool,
}

impl Ends<'_> {
    /// Notes the ends, with what was said last if the engine tells that soon.
    async fn note(self, machines: &dyn MachineDriver, workloads: &Workloads, observed: &ObservedContract) {
        for spec in &workloads.machines {
            let Some(machine) = observed.machines.get(&spec.id.name) else { continue };
            if machine.hash != spec.hash || !self.exits.is_new(machine) {
                continue;
            }
            let last_words = timeout(LAST_WORDS_TIMEOUT, machines.last_words(&spec.id)).await;
            let line = last_words.ok().and_then(Result::ok).flatten().unwrap_or_default();
            if self.is_private && !line.is_empty() {
                let what = format!("last line of output: {}", printable(&line, MAX_EVENT_LINE_BYTES));
                // Where nobody takes it, the output itself has it.
                let _ = self.done.try_send((spec.id.clone(), what));
                self.exits.note(spec, machine, WITHHELD);
            } else {
                self.exits.note(spec, machine, &line);
            }
        }
    }
}

/// Images of all machines of a version that runs or may come to run.
fn wanted_images(snapshot: &Snapshot) -> WantedImages {
    let targets =
        snapshot.contracts.values().flat_map(|desired| desired.pending.iter().chain([&desired.active]));
    let machines = targets.filter_map(Target::workloads).flat_map(|workloads| &workloads.machines);
    machines.map(|spec| (spec.id.clone(), spec.hash.clone())).collect()
}

fn goal(desired: &Desired, target: &Target, may_run: bool, observed: Option<&ObservedContract>) -> Goal {
    let confirmed = desired.has_confirmed(target.version);
    match &target.wanted {
        _ if desired.contract.paused => Goal::Halt,
        Wanted::Run(workloads) if may_run => Goal::Run {
            workloads: match observed.filter(|_| confirmed) {
                Some(observed) => restored(workloads, observed),
                None => workloads.clone(),
            },
            approved: approved(desired, observed),
        },
        Wanted::Run(_) | Wanted::Refused(_) if !confirmed => Goal::Suspend(approved(desired, observed)),
        Wanted::Run(_) | Wanted::Refused(_) => Goal::Keep,
        Wanted::Unknown(why) => {
            error!(contract = desired.contract.id, %why, "nothing is changed");
            Goal::Keep
        }
    }
}

/// Machines of the confirmed version. If this node can't read that one, all that aren't the update's.
fn approved(desired: &Desired, observed: Option<&ObservedContract>) -> Approved {
    if desired.contract.confirmed().is_none() {
        return Approved::new();
    }
    let names = |workloads: &Workloads| -> Approved {
        workloads.machines.iter().map(|spec| (spec.id.name.clone(), spec.hash.clone())).collect()
    };
    if let Some(active) = desired.active.workloads() {
        return names(active);
    }
    let update = desired.pending.as_ref().and_then(Target::workloads).map(names).unwrap_or_default();
    let machines = observed.into_iter().flat_map(|observed| observed.machines.values());
    machines
        .map(|machine| (machine.id.name.clone(), machine.hash.clone()))
        .filter(|(name, hash)| update.get(name) != Some(hash))
        .collect()
}
