// SPDX-License-Identifier: Apache-2.0
//! Attempts to run a contract. Not kept over restarts: trying again rebuilds it.

use super::{Timing, observed::ObservedContract, reconcile::Purpose};
use crate::{
    chain::{Version, desired::Workloads},
    drivers::MachineSpec,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tfgrid_client::deployment::Rejection;
use tfgrid_primitives::ContractId;
use tracing::{error, warn};

/// Attempts to run one version of a contract.
#[derive(Debug, Default)]
pub struct Progress {
    version: Option<Version>,
    failures: u32,
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
}

impl Progress {
    /// Starts over if the version is another one. One that the chain has confirmed is never given up.
    pub fn begin(&mut self, version: Version, confirmed: bool) {
        if self.version != Some(version) {
            *self = Self { version: Some(version), ..Self::default() };
        }
        if confirmed {
            self.rejection = None;
        }
    }

    /// Why this version can't run, as was found by trying.
    pub fn rejection(&self) -> Option<&Rejection> {
        self.rejection.as_ref()
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
        warn!(contract, failures = self.failures, retry_in = ?delay, "{why}");
    }

    /// Records that this version can't run.
    pub fn reject(&mut self, contract: ContractId, rejection: Rejection) {
        error!(contract, version = ?self.version, code = ?rejection.code, "rejected: {rejection}");
        self.rejection = Some(rejection);
    }

    /// Records an observation; `is_reached` says that nothing is left to do.
    pub fn observe(
        &mut self,
        workloads: &Workloads,
        observed: &ObservedContract,
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
        match &self.steady {
            Some(steady) if steady.instances == instances => {
                if now.duration_since(steady.since) >= timing.stable_after {
                    self.failures = 0;
                    self.failed_tries = 0;
                    self.is_started = false;
                }
            }
            _ => self.steady = Some(Steady { instances, since: now }),
        }
    }

    /// A started machine that has exited by itself, and how; `None` if none has since this was last asked.
    pub fn take_exit<'a>(
        &mut self,
        workloads: &'a Workloads,
        observed: &'a ObservedContract,
    ) -> Option<(&'a MachineSpec, &'a str)> {
        if !self.is_started || self.rejection.is_some() {
            return None;
        }
        let exited = workloads
            .machines
            .iter()
            .find_map(|spec| Some((spec, observed.machines.get(&spec.id.name)?.how_it_stopped()?)))?;
        self.is_started = false;
        Some(exited)
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
            self.failed(contract, Purpose::Run(version), &why.to_string(), now, timing);
        }
    }

    /// Whether all machines have run for long enough to be reported as deployed.
    pub fn is_ready(&self, timing: &Timing) -> bool {
        self.steady.as_ref().is_some_and(|steady| steady.since.elapsed() >= timing.ready_after)
    }

    /// When it will be ready; `None` if it is, or if something is left to do.
    pub fn ready_at(&self, timing: &Timing) -> Option<Instant> {
        let at = self.steady.as_ref()?.since + timing.ready_after;
        (!self.is_ready(timing)).then_some(at)
    }
}
