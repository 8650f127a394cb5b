// SPDX-License-Identifier: Apache-2.0
//! What the agent remembers of its tries for a contract. Lost with the agent, and made anew by
//! trying again.

use super::{Timing, desired::Workloads, observed::ObservedContract, reconcile::Purpose};
use crate::chain::Version;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tfgrid_client::deployment::Rejection;
use tfgrid_primitives::{ContractId, FailureCode};
use tracing::{error, warn};

/// Tries for one version of a contract.
#[derive(Debug, Default)]
pub struct Progress {
    version: Option<Version>,
    failures: u32,
    /// What failed last, and when to try it again.
    retry: Option<(Purpose, Instant)>,
    /// How often each machine was started since all of them last ran for a while.
    starts: BTreeMap<String, u32>,
    /// Whether the present stop of a machine is counted.
    end_counted: bool,
    steady: Option<Steady>,
    verdict: Option<Rejection>,
    held_since: Option<Instant>,
}

#[derive(Debug)]
struct Steady {
    instances: BTreeMap<String, String>,
    since: Instant,
}

impl Progress {
    /// Begins anew when the version changes.
    pub fn of_version(&mut self, version: Version) {
        if self.version != Some(version) {
            *self = Self { version: Some(version), ..Self::default() };
        }
    }

    /// Why this version can't run, found out by trying.
    pub fn verdict(&self) -> Option<&Rejection> {
        self.verdict.as_ref()
    }

    /// The version that is tried.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// When the next try for this purpose is due, `None` for at once.
    pub fn retry_at(&self, purpose: Purpose) -> Option<Instant> {
        self.retry.filter(|(failed, _)| *failed == purpose).map(|(_, at)| at)
    }

    /// Whether something failed since all machines last ran for a while.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether a start is still held back behind releases. It is for a while only: a release that
    /// hangs must not stop everybody.
    pub fn hold(&mut self, now: Instant, at_most: Duration) -> bool {
        let since = *self.held_since.get_or_insert(now);
        now.duration_since(since) < at_most
    }

    /// A plan is being carried out that starts these machines.
    pub fn starting<'a>(&mut self, machines: impl Iterator<Item = &'a str>) {
        self.retry = None;
        self.held_since = None;
        self.end_counted = false;
        for name in machines {
            *self.starts.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// The workloads were told to stop: that they end isn't their failure.
    pub fn halted(&mut self) {
        self.starts.clear();
        self.steady = None;
    }

    /// A try failed; another may succeed.
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

    /// A try failed for good.
    pub fn refused(&mut self, contract: ContractId, rejection: Rejection) {
        error!(contract, version = ?self.version, code = ?rejection.code, "refused: {rejection}");
        self.verdict = Some(rejection);
    }

    /// Takes note of what is there. `as_wished`: nothing is left to do.
    pub fn observe(
        &mut self,
        workloads: &Workloads,
        observed: &ObservedContract,
        as_wished: bool,
        now: Instant,
        timing: &Timing,
    ) {
        if !as_wished {
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
                if now.duration_since(steady.since) >= timing.stable {
                    self.failures = 0;
                    self.starts.clear();
                }
            }
            _ => self.steady = Some(Steady { instances, since: now }),
        }
    }

    /// Counts a machine that ended by itself after it was started.
    pub fn count_end(
        &mut self,
        workloads: &Workloads,
        observed: &ObservedContract,
        confirmed: bool,
        now: Instant,
        timing: &Timing,
    ) {
        if self.end_counted || self.verdict.is_some() {
            return;
        }
        let ended = workloads.machines.iter().find_map(|spec| {
            let starts = *self.starts.get(&spec.id.name)?;
            let how = observed.machines.get(&spec.id.name)?.how_it_stopped()?.to_owned();
            Some((spec, starts, how))
        });
        let Some((spec, starts, how)) = ended else { return };
        self.end_counted = true;
        let message = format!("machine {:?} ended by itself: {how}", spec.id.name);
        if starts >= timing.starts_before_ready && !confirmed {
            let message = format!("{message}; that was start {starts} of {starts}");
            let rejection = Rejection::new(FailureCode::WorkloadExited, &spec.pointer, message);
            self.refused(spec.id.contract, rejection);
        } else {
            let Some(version) = self.version else { return };
            self.failed(spec.id.contract, Purpose::Run(version), &message, now, timing);
        }
    }

    /// Whether everything has been as wished for long enough, without a restart.
    pub fn is_ready(&self, timing: &Timing) -> bool {
        self.steady.as_ref().is_some_and(|steady| steady.since.elapsed() >= timing.settle)
    }

    /// When it will be ready, if nothing happens; `None` where it is already or something must.
    pub fn settles_at(&self, timing: &Timing) -> Option<Instant> {
        let at = self.steady.as_ref()?.since + timing.settle;
        (!self.is_ready(timing)).then_some(at)
    }
}
