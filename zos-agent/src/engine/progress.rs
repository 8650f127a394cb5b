// SPDX-License-Identifier: Apache-2.0
//! Attempts to run a contract. Not kept over restarts: trying again rebuilds it.

use super::{Timing, observed::ObservedContract, plan::Approved, reconcile::Purpose};
use crate::{
    chain::{Version, desired::Workloads},
    drivers::{Condition, MachineSpec, MachineState, ObservedMachine},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tfgrid_client::deployment::{Rejection, WITHHELD};
use tfgrid_primitives::ContractId;
use tracing::{error, warn};

/// Attempts to run one version of a contract.
#[derive(Debug, Default)]
pub struct Progress {
    version: Option<Version>,
    is_private: bool,
    failures: u32,
    /// Why the last try failed.
    last_failure: Option<String>,
    /// Purposes whose last plan failed, and when to try again.
    retries: Vec<(Purpose, Instant)>,
    /// Tries, since all machines were last stable, in which one couldn't be created or exited.
    failed_tries: u32,
    /// Whether the machines were started and none has been counted as exited since.
    is_started: bool,
    steady: Option<Steady>,
    rejection: Option<Rejection>,
    held_since: Option<Instant>,
}

/// Since when the same runs of all machines are observed.
#[derive(Debug)]
struct Steady {
    instances: BTreeMap<String, String>,
    since: Instant,
    /// How long they must be steady to work, `None` while a health check says that one doesn't.
    works_after: Option<Duration>,
}

/// What keeps a version from working.
pub struct Trouble<'a> {
    /// The machine that has it.
    pub spec: &'a MachineSpec,
    /// In words.
    pub how: String,
    /// Whether it is of no use to try again.
    pub is_final: bool,
}

impl Progress {
    /// Starts over if the version is another one. One that the chain has confirmed is never given up.
    pub fn begin(&mut self, version: Version, is_private: bool, confirmed: bool) {
        if self.version != Some(version) {
            *self = Self { version: Some(version), is_private, ..Self::default() };
        }
        if confirmed {
            self.rejection = None;
        }
    }

    /// Why this version can't run, as was found by trying.
    pub fn rejection(&self) -> Option<&Rejection> {
        self.rejection.as_ref()
    }

    /// Why the last try failed, until all machines were stable.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// The version that is to run.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// When to try this purpose again, `None` if at once.
    pub fn retry_at(&self, purpose: Purpose) -> Option<Instant> {
        self.retries.iter().find(|(failed, _)| *failed == purpose).map(|(_, at)| *at)
    }

    /// Whether anything failed since all machines were last stable.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether a start still waits for other contracts to free their capacity, which it does for `limit` at
    /// most: one that hangs must not stop all others.
    pub fn is_held(&mut self, now: Instant, limit: Duration) -> bool {
        let since = *self.held_since.get_or_insert(now);
        now.duration_since(since) < limit
    }

    /// Makes the next try due, whatever has failed before.
    pub fn hurry(&mut self) {
        self.retries.clear();
    }

    /// Records the start of a plan.
    pub fn starting(&mut self, purpose: Purpose) {
        // A suspension lasts until the next try, so it doesn't bring that forward.
        self.retries.retain(|(failed, _)| purpose == Purpose::Suspend && *failed != purpose);
        self.held_since = None;
        self.is_started = false;
    }

    /// Records that all machines were started.
    pub fn started(&mut self) {
        self.is_started = true;
    }

    /// Records that the workloads are to be stopped: their exits are no failures.
    pub fn halted(&mut self) {
        self.failed_tries = 0;
        self.is_started = false;
        self.steady = None;
    }

    /// Records a failure after which a later try may succeed.
    pub fn failed(
        &mut self,
        contract: ContractId,
        purpose: Purpose,
        why: &str,
        now: Instant,
        timing: &Timing,
    ) {
        self.failures = self.failures.saturating_add(1);
        let delay = timing.backoff.delay(self.failures);
        self.retries.retain(|(failed, _)| *failed != purpose);
        self.retries.push((purpose, now + delay));
        self.last_failure = Some(why.to_owned());
        warn!(contract, failures = self.failures, retry_in = ?delay, why, "a try has failed");
    }

    /// What may be told of a rejection of this version.
    pub fn told(&self, rejection: Rejection) -> Rejection {
        if self.is_private { rejection.withheld() } else { rejection }
    }

    /// Records that this version can't run.
    pub fn reject(&mut self, contract: ContractId, rejection: Rejection) {
        let rejection = self.told(rejection);
        error!(contract, version = ?self.version, code = ?rejection.code, why = rejection.to_string(), "rejected");
        self.rejection = Some(rejection);
    }

    /// Records an observation; `is_reached` says that nothing is left to do. Whether an approved machine works is
    /// no question any more.
    pub fn observe(
        &mut self,
        workloads: &Workloads,
        observed: &ObservedContract,
        approved: &Approved,
        is_reached: bool,
        now: Instant,
        timing: &Timing,
    ) {
        if !is_reached {
            self.steady = None;
            return;
        }
        let instance = |name: &String| observed.machines.get(name).map(|m| m.instance.clone());
        let instances: BTreeMap<String, String> = workloads
            .machines
            .iter()
            .filter_map(|spec| Some((spec.id.name.clone(), instance(&spec.id.name)?)))
            .collect();
        let works_after = workloads
            .machines
            .iter()
            .filter_map(|spec| Some((spec, observed.machines.get(&spec.id.name)?)))
            .filter(|(_, machine)| !is_approved(approved, machine))
            .map(|(spec, machine)| works_after(spec, machine, timing))
            .try_fold(Duration::ZERO, |most, one| Some(most.max(one?)));
        match &mut self.steady {
            Some(steady) if steady.instances == instances => {
                steady.works_after = works_after;
                if now.duration_since(steady.since) >= timing.stable_after {
                    self.failures = 0;
                    self.last_failure = None;
                    self.failed_tries = 0;
                    self.is_started = false;
                }
            }
            _ => self.steady = Some(Steady { instances, since: now, works_after }),
        }
    }

    /// What keeps this version from working. A machine that has to be started again is named once a try, as is one
    /// that doesn't work and isn't approved; a job of which nothing can come any more, always.
    pub fn take_trouble<'a>(
        &mut self,
        workloads: &'a Workloads,
        observed: &ObservedContract,
        approved: &Approved,
    ) -> Option<Trouble<'a>> {
        if self.rejection.is_some() {
            return None;
        }
        let trouble = workloads.machines.iter().find_map(|spec| {
            let machine = observed.machines.get(&spec.id.name)?;
            let is_new = !is_approved(approved, machine);
            let (how, is_final) = match (machine.how_it_stopped(), spec.finished(machine)) {
                (Some(how), Some(1..)) if is_new => (how.to_owned(), true),
                // What the agent has stopped, for its owner, hasn't exited.
                (Some(how), None) if self.is_started && machine.exit().is_some() => (how.to_owned(), false),
                (None, _) if self.is_started && is_new => {
                    let found = machine.sickness()?;
                    let found = if self.is_private { WITHHELD } else { found };
                    (format!("unhealthy: {found}"), false)
                }
                _ => return None,
            };
            Some(Trouble { spec, how, is_final })
        })?;
        self.is_started = false;
        Some(trouble)
    }

    /// Counts a try in which a machine couldn't be created or exited. The last one that a version has before
    /// it is confirmed is its rejection.
    pub fn count_try(
        &mut self,
        contract: ContractId,
        mut why: Rejection,
        confirmed: bool,
        now: Instant,
        timing: &Timing,
    ) {
        self.failed_tries = self.failed_tries.saturating_add(1);
        if self.failed_tries >= timing.tries_before_ready && !confirmed {
            why.message = format!("{} times: {}", self.failed_tries, why.message);
            self.reject(contract, why);
        } else if let Some(version) = self.version {
            let why = self.told(why).to_string();
            self.failed(contract, Purpose::Run(version), &why, now, timing);
        }
    }

    /// Whether nothing is left to do but to wait until it is certain that all machines work.
    pub fn is_settling(&self) -> bool {
        self.steady.is_some() && !self.is_ready()
    }

    /// Whether all machines work: healthy, finished, or up for long enough where nothing checks them.
    pub fn is_ready(&self) -> bool {
        let steady = self.steady.as_ref();
        steady.is_some_and(|steady| steady.works_after.is_some_and(|after| steady.since.elapsed() >= after))
    }

    /// When it will be ready; `None` if it is, or if something is left to do.
    pub fn ready_at(&self) -> Option<Instant> {
        let steady = self.steady.as_ref()?;
        let at = steady.since + steady.works_after?;
        (!self.is_ready()).then_some(at)
    }
}

fn is_approved(approved: &Approved, machine: &ObservedMachine) -> bool {
    approved.get(&machine.id.name) == Some(&machine.hash)
}

/// How long a machine must stay as it is to work, `None` if it doesn't work now.
fn works_after(spec: &MachineSpec, machine: &ObservedMachine, timing: &Timing) -> Option<Duration> {
    match &machine.state {
        MachineState::Running { condition: Condition::Unchecked, .. } => Some(timing.ready_after),
        MachineState::Running { condition: Condition::Healthy, .. } => Some(Duration::ZERO),
        MachineState::Running { .. } => None,
        MachineState::Stopped { .. } => (spec.finished(machine) == Some(0)).then_some(Duration::ZERO),
    }
}
