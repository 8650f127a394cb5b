// SPDX-License-Identifier: Apache-2.0
//! The level-triggered engine: what the chain wants against what is there, again and again. Events
//! only wake it; a missed one costs nothing.

pub mod desired;
pub mod observed;
pub mod plan;
mod progress;
mod quarantine;
pub mod reconcile;
mod releases;
mod result;
#[cfg(test)]
mod tests;

use crate::{
    backoff::Backoff,
    chain::{Chain, Report, Snapshot, Topic, Version},
    clock::unix_ms,
    drivers::ImageRules,
    metrics::Metrics,
    store::Store,
};
use anyhow::Result;
use desired::{Desired, Target, Wanted};
use observed::{Observed, ObservedContract, observe};
use plan::{Plan, Step, Wish, as_grown, plan};
use progress::Progress;
use quarantine::Quarantine;
use reconcile::{Drivers, Failure, Outcome, Purpose, Reconciler};
use releases::Releases;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_client::deployment::Rejection;
use tfgrid_primitives::{ContractId, units::GIB};
use tokio::{
    sync::watch,
    time::{sleep_until, timeout},
};
use tracing::{error, info, warn};

/// Disk that any image may take, whatever its contract reserves.
const FREE_IMAGE_BYTES: u64 = GIB;

/// The engine's intervals.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Between two looks at what is there, when nothing happens.
    pub look: Duration,
    /// The longest that a look may take.
    pub look_limit: Duration,
    /// How long machines must have run to be reported as deployed.
    pub settle: Duration,
    /// How long they must have run for earlier failures to be forgotten.
    pub stable: Duration,
    /// Between tries that fail.
    pub backoff: Backoff,
    /// How often a machine is started before it is given up, if it was never ready.
    pub starts_before_ready: u32,
    /// How long a start waits for releases of other contracts.
    pub hold: Duration,
    /// The age from which a finalized head proves nothing any more.
    pub stale: Duration,
    /// How long workloads of a contract that the chain doesn't name go on running.
    pub quarantine: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(30),
            look_limit: Duration::from_secs(30),
            settle: Duration::from_millis(500),
            stable: Duration::from_secs(60),
            backoff: Backoff { first: Duration::from_secs(1), most: Duration::from_secs(300) },
            starts_before_ready: 5,
            hold: Duration::from_secs(15),
            stale: Duration::from_secs(300),
            quarantine: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// The reports that what is there calls for.
pub type Reports = BTreeMap<Topic, Report>;

/// What the engine remembers of contracts that the chain doesn't name any more. Survives restarts.
pub struct Memory {
    quarantine: Quarantine,
    releases: Releases,
}

impl Memory {
    /// As it was left.
    ///
    /// # Errors
    /// Where one of its files is damaged or can't be written.
    pub fn load(store: Store) -> Result<Self> {
        Ok(Self { quarantine: Quarantine::load(store.clone())?, releases: Releases::load(store)? })
    }
}

/// What the engine tells others.
pub struct Outputs {
    /// For the outbox.
    pub reports: watch::Sender<Reports>,
    /// For the meter.
    pub observed: watch::Sender<Arc<Observed>>,
}

/// An update that was found out by trying not to run.
#[derive(Clone, Debug)]
struct RefusedUpdate {
    version: Version,
    rejection: Rejection,
}

/// Makes what is there what the chain wants.
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
    /// Updates that can't run, until the chain has dropped them. Lost with the agent, and found out
    /// again.
    refused: BTreeMap<ContractId, RefusedUpdate>,
    releases: Releases,
    /// Contracts whose end the chain has proved.
    closed: BTreeSet<ContractId>,
    /// What the last pass was about.
    seen: Option<Arc<Snapshot>>,
    looks_failed: u32,
    next_look: Instant,
}

impl Engine {
    /// Ready to run.
    pub fn new(
        chain: Arc<dyn Chain>,
        drivers: Drivers,
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        outputs: Outputs,
        memory: Memory,
        timing: Timing,
        metrics: Metrics,
    ) -> Self {
        let Memory { quarantine, releases } = memory;
        Self {
            chain,
            reconciler: Reconciler::new(drivers.clone()),
            drivers,
            snapshots,
            outputs,
            quarantine,
            timing,
            metrics,
            progress: BTreeMap::new(),
            refused: BTreeMap::new(),
            releases,
            closed: BTreeSet::new(),
            seen: None,
            looks_failed: 0,
            next_look: Instant::now(),
        }
    }

    /// Runs until the sender of snapshots is gone. Dropping it at any instant is safe: what was
    /// begun is found and finished by the next engine.
    pub async fn run(mut self) {
        loop {
            let due = tokio::select! {
                changed = self.snapshots.changed() => match changed {
                    Ok(()) => self.is_news(),
                    Err(_) => return,
                },
                outcome = self.reconciler.next() => {
                    self.finish(outcome);
                    true
                }
                () = self.drivers.machines.changed() => true,
                () = sleep_until(self.next_look.into()) => true,
            };
            if due {
                self.pass().await;
            }
        }
    }

    /// Whether the latest snapshot wants anything else than the last, or proves more.
    fn is_news(&mut self) -> bool {
        let latest = self.snapshots.borrow_and_update().clone();
        match (&latest, &self.seen) {
            (Some(latest), Some(seen)) => {
                latest.contracts != seen.contracts || latest.standing != seen.standing
            }
            (latest, _) => latest.is_some(),
        }
    }

    /// Looks, plans, and starts what is to be done.
    async fn pass(&mut self) {
        let Some(snapshot) = self.snapshots.borrow_and_update().clone() else {
            self.next_look = Instant::now() + self.timing.look;
            return;
        };
        let Some(observed) = self.look().await else { return };
        self.notice_ends(&snapshot);
        self.seen = Some(snapshot.clone());
        self.next_look = Instant::now() + self.timing.look;

        let wishes = self.wishes(&snapshot, &observed).await;
        self.give_up_unwanted(&wishes);
        let plans = plan(&wishes, &observed);
        self.note(&snapshot, &observed, &plans);
        self.forget(&wishes);
        self.start(&snapshot, &wishes, plans);
        self.releases.ask(&*self.chain, &snapshot, &observed, self.timing.stale).await;
        self.report(&snapshot, &observed);
        self.outputs.observed.send_replace(Arc::new(observed));
    }

    async fn look(&mut self) -> Option<Observed> {
        let drivers = self.drivers.clone();
        let looked = timeout(self.timing.look_limit, observe(&*drivers.machines, &*drivers.volumes)).await;
        let why = match looked {
            Ok(Ok(observed)) => {
                if self.looks_failed > 0 {
                    info!("the drivers answer again");
                }
                self.looks_failed = 0;
                self.metrics.engine_up.set(1);
                return Some(observed);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {:?}", self.timing.look_limit),
        };
        self.looks_failed = self.looks_failed.saturating_add(1);
        self.metrics.engine_up.set(0);
        let most = self.timing.look.min(Duration::from_secs(10));
        let delay = Backoff { most, ..self.timing.backoff }.delay(self.looks_failed);
        self.next_look = Instant::now() + delay;
        warn!(retry_in = ?delay, "can't see what is running: {why}");
        None
    }

    /// What stood at the last pass and doesn't any more may be over, even if it never left a trace
    /// here.
    fn notice_ends(&mut self, snapshot: &Snapshot) {
        let Some(seen) = &self.seen else { return };
        let gone = seen.contracts.keys().copied().filter(|id| !snapshot.contracts.contains_key(id));
        self.releases.end(gone);
    }

    /// Verdicts on updates outlive the return to the version that stands.
    fn keep_verdicts(&mut self, snapshot: &Snapshot) {
        self.refused.retain(|id, refused| {
            let desired = snapshot.contracts.get(id);
            desired.is_some_and(|desired| desired.contract.pending == Some(refused.version))
        });
        for (&id, desired) in &snapshot.contracts {
            let (Some(version), Some(progress)) = (desired.contract.pending, self.progress.get(&id)) else {
                continue;
            };
            if let (Some(rejection), true) = (progress.verdict(), progress.version() == Some(version)) {
                let refused = RefusedUpdate { version, rejection: rejection.clone() };
                self.refused.entry(id).or_insert(refused);
            }
        }
    }

    /// Why the contract's update can't run, where it is known not to.
    fn refused_update<'a>(&'a self, desired: &'a Desired) -> Option<(Version, &'a Rejection)> {
        let pending = desired.pending.as_ref()?;
        let rejection = match &pending.wanted {
            Wanted::Refused(rejection) => rejection,
            _ => &self.refused.get(&desired.contract.id)?.rejection,
        };
        Some((pending.version, rejection))
    }

    /// The version that is to run: the one that the owner wants, unless it can't.
    fn target<'a>(&self, desired: &'a Desired) -> &'a Target {
        match &desired.pending {
            Some(pending) if matches!(pending.wanted, Wanted::Unknown(_)) => &desired.standing,
            Some(pending) if self.refused_update(desired).is_none() => pending,
            _ => &desired.standing,
        }
    }

    async fn wishes(&mut self, snapshot: &Snapshot, observed: &Observed) -> BTreeMap<ContractId, Wish> {
        self.keep_verdicts(snapshot);
        let mut wishes = BTreeMap::new();
        for (&contract, desired) in &snapshot.contracts {
            let target = self.target(desired);
            let progress = self.progress.entry(contract).or_default();
            progress.of_version(target.version);
            wishes.insert(contract, wish(desired, target, progress, observed.get(&contract)));
        }
        let absent: BTreeSet<ContractId> =
            observed.keys().copied().filter(|id| !snapshot.contracts.contains_key(id)).collect();
        self.quarantine.keep_only(&absent);
        for contract in absent {
            wishes.insert(contract, self.wish_for_absent(contract, snapshot).await);
        }
        self.metrics.quarantined.set(self.quarantine.len() as u64);
        wishes
    }

    /// Nothing is destroyed on absence: only a record of the contract's end, at a head that proves
    /// something, ends it.
    async fn wish_for_absent(&mut self, contract: ContractId, snapshot: &Snapshot) -> Wish {
        if self.closed.contains(&contract) {
            return Wish::Destroy;
        }
        match snapshot.may_destroy(unix_ms(), self.timing.stale) {
            Err(why) => warn!(contract, "not removed: {why}"),
            Ok(()) => match self.chain.closed(contract, &snapshot.head).await {
                Ok(Some(closed)) => {
                    info!(contract, reason = closed.reason, "closed: its workloads are removed");
                    self.closed.insert(contract);
                    self.releases.end([contract]);
                    return Wish::Destroy;
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(contract, "not removed: {error}");
                    return Wish::Keep;
                }
            },
        }
        let for_ms = self.quarantine.enter(contract, unix_ms());
        match u128::from(for_ms) < self.timing.quarantine.as_millis() {
            true => Wish::Keep,
            false => Wish::Halt,
        }
    }

    /// What is being done for a reason that is gone.
    fn give_up_unwanted(&self, wishes: &BTreeMap<ContractId, Wish>) {
        for (contract, purpose) in self.reconciler.busy() {
            let wanted = match wishes.get(&contract) {
                Some(Wish::Keep) => true,
                Some(wish) => self.purpose(contract, wish) == Some(purpose),
                None => false,
            };
            if !wanted {
                self.reconciler.give_up(contract);
            }
        }
    }

    fn purpose(&self, contract: ContractId, wish: &Wish) -> Option<Purpose> {
        match wish {
            Wish::Run(_) => self.progress.get(&contract)?.version().map(Purpose::Run),
            Wish::Halt => Some(Purpose::Halt),
            Wish::Destroy => Some(Purpose::Destroy),
            Wish::Keep => None,
        }
    }

    /// Takes note of how far each contract is.
    fn note(&mut self, snapshot: &Snapshot, observed: &Observed, plans: &[Plan]) {
        let now = Instant::now();
        let nothing = Default::default();
        for (contract, desired) in &snapshot.contracts {
            let target = self.target(desired);
            let Some(progress) = self.progress.get_mut(contract) else { continue };
            let (Wanted::Run(workloads), false) = (&target.wanted, desired.contract.paused) else {
                progress.halted();
                continue;
            };
            if self.reconciler.purpose(*contract).is_some() {
                continue;
            }
            let there = observed.get(contract).unwrap_or(&nothing);
            let as_wished =
                progress.verdict().is_none() && !plans.iter().any(|plan| plan.contract == *contract);
            progress.observe(workloads, there, as_wished, now, &self.timing);
            let confirmed = desired.has_confirmed(target.version);
            progress.count_end(workloads, there, confirmed, now, &self.timing);
            if let Some(at) = progress.settles_at(&self.timing) {
                self.next_look = self.next_look.min(at.max(now));
            }
            if progress.verdict().is_some() && desired.contract.pending == Some(target.version) {
                // The version that stands comes back.
                self.next_look = now;
            }
        }
    }

    /// Drops what is remembered of contracts that are gone.
    fn forget(&mut self, wishes: &BTreeMap<ContractId, Wish>) {
        self.progress.retain(|contract, _| wishes.contains_key(contract));
        self.closed.retain(|contract| wishes.contains_key(contract));
    }

    fn start(&mut self, snapshot: &Snapshot, wishes: &BTreeMap<ContractId, Wish>, plans: Vec<Plan>) {
        let now = Instant::now();
        for plan in plans {
            let contract = plan.contract;
            let Some(purpose) = wishes.get(&contract).and_then(|wish| self.purpose(contract, wish)) else {
                continue;
            };
            if self.reconciler.purpose(contract).is_some() {
                continue;
            }
            let progress = self.progress.entry(contract).or_default();
            if progress.verdict().is_some() && matches!(purpose, Purpose::Run(_)) {
                continue;
            }
            if let Some(at) = progress.retry_at(purpose).filter(|at| *at > now) {
                self.next_look = self.next_look.min(at);
                continue;
            }
            // Releases come first among the plans: what they give back, starts may need.
            if !plan.releases() && self.reconciler.is_releasing() && progress.hold(now, self.timing.hold) {
                self.next_look = self.next_look.min(now + self.timing.hold);
                continue;
            }
            progress.starting(plan.steps.iter().filter_map(|step| match step {
                Step::Run(spec) => Some(spec.id.name.as_str()),
                _ => None,
            }));
            let image = match purpose {
                Purpose::Run(version) => ImageRules {
                    limit: version.reserved.sru.max(FREE_IMAGE_BYTES),
                    // To start again, or to come back from an update that failed, takes no registry.
                    keep: snapshot.has_confirmed(contract, version),
                },
                Purpose::Halt | Purpose::Destroy => ImageRules { limit: 0, keep: true },
            };
            self.reconciler.start(plan, purpose, image);
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        let Outcome { contract, purpose, result } = outcome;
        self.metrics.plan_ended(&result);
        let progress = self.progress.entry(contract).or_default();
        if matches!(purpose, Purpose::Run(version) if progress.version() != Some(version)) {
            // Another version is tried by now.
            return;
        }
        let confirmed = match (purpose, &self.seen) {
            (Purpose::Run(version), Some(seen)) => seen.has_confirmed(contract, version),
            _ => false,
        };
        match result {
            Ok(()) if purpose == Purpose::Destroy => info!(contract, "its workloads are removed"),
            Ok(()) | Err(Failure::GivenUp) => {}
            // What is observed next tells the rest.
            Err(Failure::Exited(why)) => warn!(contract, "{why}"),
            Err(Failure::Transient(why)) => {
                progress.failed(contract, purpose, &why, Instant::now(), &self.timing);
            }
            // What ran once may run again.
            Err(Failure::Invalid(rejection)) if confirmed => {
                progress.failed(contract, purpose, &rejection.to_string(), Instant::now(), &self.timing);
            }
            Err(Failure::Invalid(rejection)) => progress.refused(contract, rejection),
        }
    }

    /// Reports follow from what is there, not from what was done.
    fn report(&mut self, snapshot: &Snapshot, observed: &Observed) {
        let mut counts = Counts::default();
        let mut reports = Reports::new();
        for (&id, desired) in &snapshot.contracts {
            let target = self.target(desired);
            let progress = self.progress.get(&id);
            let ready = progress.is_some_and(|p| p.is_ready(&self.timing));
            let rejection = match &target.wanted {
                Wanted::Refused(rejection) => Some(rejection),
                _ => progress.and_then(Progress::verdict),
            };
            counts.add(desired, ready, rejection.is_some(), progress.is_some_and(Progress::is_failing));
            if let Some(report) = self.answer(desired, target, rejection, ready, observed.get(&id)) {
                reports.insert(Topic::Answer(id), report);
            }
            let version = target.version.number;
            let is_awaited = !desired.has_confirmed(target.version);
            if is_awaited && self.reconciler.purpose(id) == Some(Purpose::Run(target.version)) {
                reports.insert(Topic::Progress(id), Report::Progress { contract: id, version });
            }
        }
        self.releases.report(&mut reports);
        self.metrics.contracts(&counts);
        self.outputs.reports.send_if_modified(|sent| {
            for (_, report) in reports.iter().filter(|(topic, report)| sent.get(topic) != Some(report)) {
                log_report(report, snapshot);
            }
            let changed = *sent != reports;
            *sent = reports;
            changed
        });
    }

    /// What the chain is told of a contract. An update that can't run goes first: until the chain has
    /// dropped it, nobody asks about the version that stands.
    fn answer(
        &self,
        desired: &Desired,
        target: &Target,
        rejection: Option<&Rejection>,
        ready: bool,
        observed: Option<&ObservedContract>,
    ) -> Option<Report> {
        let contract = desired.contract.id;
        let failed = |(version, rejection): (Version, &Rejection)| Report::Failed {
            contract,
            version: version.number,
            code: rejection.code,
            path: rejection.report_path().to_owned(),
        };
        if let Some(refused) = self.refused_update(desired) {
            return Some(failed(refused));
        }
        if let Some(rejection) = rejection {
            return (!desired.has_confirmed(target.version)).then(|| failed((target.version, rejection)));
        }
        let (Wanted::Run(workloads), true) = (&target.wanted, ready) else { return None };
        Some(Report::Deployed {
            contract,
            version: target.version.number,
            body_hash: target.version.body_hash,
            result: result::result(workloads, observed),
        })
    }
}

fn log_report(report: &Report, snapshot: &Snapshot) {
    match report {
        Report::Deployed { contract, version, result, .. } => {
            info!(contract, version, result = %String::from_utf8_lossy(result), "it runs");
        }
        Report::Failed { contract, version, code, .. } => {
            // What was found out by trying is in the log already.
            if let Some(rejection) = snapshot.contracts.get(contract).and_then(|d| d.rejection(*version)) {
                error!(contract, version, ?code, "refused: {rejection}");
            }
        }
        Report::Released { contract } => info!(contract, "nothing of it is left: the chain is told"),
        _ => {}
    }
}

fn wish(
    desired: &Desired,
    target: &Target,
    progress: &Progress,
    observed: Option<&ObservedContract>,
) -> Wish {
    match &target.wanted {
        _ if desired.contract.paused => Wish::Halt,
        Wanted::Run(workloads) if progress.verdict().is_none() => {
            let confirmed = desired.has_confirmed(target.version);
            Wish::Run(match observed.filter(|_| confirmed) {
                Some(observed) => as_grown(workloads, observed),
                None => workloads.clone(),
            })
        }
        Wanted::Run(_) | Wanted::Refused(_) => Wish::Keep,
        Wanted::Unknown(why) => {
            error!(contract = desired.contract.id, "left as it is: {why}");
            Wish::Keep
        }
    }
}

/// How many contracts are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Their workloads run.
    pub running: u64,
    /// On their way, for the first time or after a change.
    pub starting: u64,
    /// Something fails and is tried again.
    pub failing: u64,
    /// Refused by this node.
    pub refused: u64,
    /// Stopped, for their payer is out of funds.
    pub paused: u64,
}

impl Counts {
    fn add(&mut self, desired: &Desired, ready: bool, refused: bool, failing: bool) {
        let count = match () {
            () if desired.contract.paused => &mut self.paused,
            () if refused => &mut self.refused,
            () if ready => &mut self.running,
            () if failing => &mut self.failing,
            () => &mut self.starting,
        };
        *count += 1;
    }
}
