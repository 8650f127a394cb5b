// SPDX-License-Identifier: Apache-2.0
//! Attempts to run a contract. Not kept over restarts: trying again rebuilds it.

use super::{Timing, observed::ObservedContract, reconcile::Purpose};
use crate::chain::{Version, desired::Workloads};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tfgrid_client::deployment::Rejection;
use tfgrid_primitives::{ContractId, FailureCode};
use tracing::{error, warn};

/// Attempts to run one version of a contract.
#[derive(Debug, Default)]
pub struct Progress {
    version: Option<Version>,
    failures: u32,
    /// Purpose of the last failed plan, and when to try again.
    retry: Option<(Purpose, Instant)>,
    /// Starts of each machine since all machines were last stable.
    starts: BTreeMap<String, u32>,
    /// Whether the machine that is stopped now was counted as a failure.
    exit_counted: bool,
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
    /// Starts over if the version is another one.
    pub fn begin(&mut self, version: Version) {
        if self.version != Some(version) {
            *self = Self { version: Some(version), ..Self::default() };
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
        self.retry.filter(|(failed, _)| *failed == purpose).map(|(_, at)| at)
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

    /// Records a plan that starts these machines.
    pub fn starting<'a>(&mut self, machines: impl Iterator<Item = &'a str>) {
        self.retry = None;
        self.held_since = None;
        self.exit_counted = false;
        for name in machines {
            *self.starts.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Records that the workloads are to be stopped: their exits are no failures.
    pub fn halted(&mut self) {
        self.starts.clear();
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
        self.retry = Some((purpose, now + delay));
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
                    self.starts.clear();
                }
            }
            _ => self.steady = Some(Steady { instances, since: now }),
        }
    }

    /// Counts a started machine that has exited by itself.
    pub fn count_exit(
        &mut self,
        workloads: &Workloads,
        observed: &ObservedContract,
        confirmed: bool,
        now: Instant,
        timing: &Timing,
    ) {
        if self.exit_counted || self.rejection.is_some() {
            return;
        }
        let exited = workloads.machines.iter().find_map(|spec| {
            let starts = *self.starts.get(&spec.id.name)?;
            let how = observed.machines.get(&spec.id.name)?.how_it_stopped()?.to_owned();
            Some((spec, starts, how))
        });
        let Some((spec, starts, how)) = exited else { return };
        self.exit_counted = true;
        let message = format!("machine {:?} exited: {how}", spec.id.name);
        if starts >= timing.starts_before_ready && !confirmed {
            let message = format!("{message}; it was started {starts} times");
            let rejection = Rejection::new(FailureCode::WorkloadExited, &spec.pointer, message);
            self.reject(spec.id.contract, rejection);
        } else {
            let Some(version) = self.version else { return };
            self.failed(spec.id.contract, Purpose::Run(version), &message, now, timing);
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
