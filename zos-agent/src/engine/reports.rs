// SPDX-License-Identifier: Apache-2.0
//! Reports and contract counts. Both follow from what is observed, not from what was done.

use super::{
    Engine, Standing, Standings,
    observed::{Observed, ObservedContract},
    progress::Progress,
    reconcile::Purpose,
    result,
};
use crate::chain::{
    Report, Reports, Snapshot, Topic, Version,
    desired::{Desired, Target, Wanted},
};
use std::sync::Arc;
use tfgrid_client::deployment::Rejection;
use tfgrid_primitives::report::Failure;
use tracing::{error, info};

impl Engine {
    /// Replaces the reports in the outbox, and the counts in the metrics.
    pub(super) fn report(&mut self, snapshot: &Snapshot, observed: &Observed) {
        let mut counts = Counts::default();
        let mut reports = Reports::new();
        let mut standings = Standings::new();
        for (&id, desired) in &snapshot.contracts {
            let target = self.target(desired);
            let progress = self.progress.get(&id);
            let is_ready = progress.is_some_and(|p| p.is_ready());
            let rejection = match &target.wanted {
                Wanted::Refused(rejection) => Some(rejection),
                _ => progress.and_then(Progress::rejection),
            };
            let is_failing = progress.is_some_and(Progress::is_failing);
            *counts.of(desired, is_ready, rejection.is_some(), is_failing) += 1;
            let last_failure = || progress?.last_failure().map(ToOwned::to_owned).filter(|_| !is_ready);
            let trouble = rejection.map(ToString::to_string).or_else(last_failure);
            let (version, is_private) = (target.version.number, target.is_private);
            standings.insert(id, Standing { version, is_ready, trouble, is_private });
            let there = observed.get(&id);
            let report = if there.is_some_and(|there| there.is_unreadable) {
                self.outputs.reports.borrow().get(&Topic::Answer(id)).cloned()
            } else {
                self.answer(desired, target, rejection, is_ready, there)
            };
            if let Some(report) = report {
                reports.insert(Topic::Answer(id), report);
            }
            let version = target.version.number;
            let is_awaited = !desired.has_confirmed(target.version);
            let is_busy = self.reconciler.purpose(id) == Some(Purpose::Run(target.version));
            if is_awaited && (is_busy || progress.is_some_and(Progress::is_settling)) {
                reports.insert(Topic::Progress(id), Report::Progress { contract: id, version });
            }
        }
        self.outputs.standings.send_if_modified(|sent| {
            let changed = **sent != standings;
            *sent = Arc::new(standings);
            changed
        });
        self.releases.report(&mut reports);
        for (state, count) in counts.by_state() {
            self.metrics.contracts(state, count);
        }
        self.outputs.reports.send_if_modified(|sent| {
            for (_, report) in reports.iter().filter(|(topic, report)| sent.get(topic) != Some(report)) {
                log(report, snapshot);
            }
            let changed = *sent != reports;
            *sent = reports;
            changed
        });
    }

    /// The answer to a contract's owner. An update that can't run goes first: until the chain has dropped it,
    /// the chain awaits no answer about the active version.
    fn answer(
        &self,
        desired: &Desired,
        target: &Target,
        rejection: Option<&Rejection>,
        is_ready: bool,
        observed: Option<&ObservedContract>,
    ) -> Option<Report> {
        let contract = desired.contract.id;
        let failed = |(version, rejection): (Version, &Rejection)| Report::Failed {
            contract,
            failure: rejection.failure(version.number),
        };
        if let Some(rejected) = self.rejected_update(desired) {
            return Some(failed(rejected));
        }
        if let Some(rejection) = rejection {
            return (!desired.has_confirmed(target.version)).then(|| failed((target.version, rejection)));
        }
        // Once confirmed, the owner is also told how it fares when not all of it works.
        let exits = self.exits.of(contract);
        let is_sick = observed.is_some_and(|there| there.machines.values().any(|m| m.sickness().is_some()));
        let tells =
            desired.has_confirmed(target.version) && !desired.contract.paused && (exits.is_some() || is_sick);
        let workloads = target.workloads().filter(|_| is_ready || tells)?;
        Some(Report::Deployed {
            contract,
            version: target.version.number,
            body_hash: target.version.body_hash,
            result: result::result(workloads, observed, exits),
        })
    }
}

fn log(report: &Report, snapshot: &Snapshot) {
    match report {
        Report::Deployed { contract, version, result, .. } => {
            info!(contract, version, result = %String::from_utf8_lossy(result), "deployed");
        }
        Report::Failed { contract, failure } => {
            let Failure { version, code, .. } = failure;
            // Rejections that were found by trying are in the log already.
            if let Some(rejection) = snapshot.contracts.get(contract).and_then(|d| d.rejection(*version)) {
                error!(contract, version, ?code, why = rejection.to_string(), "rejected");
            }
        }
        Report::Released { contract } => info!(contract, "everything of it is removed: reporting that"),
        _ => {}
    }
}

/// Number of contracts by state.
#[derive(Default)]
struct Counts {
    running: u32,
    /// In deployment, for the first time or after a change.
    starting: u32,
    /// Failed, and tried again.
    failing: u32,
    /// Rejected by this node.
    refused: u32,
    /// Stopped because the payer is out of funds.
    paused: u32,
}

impl Counts {
    /// The counter of a contract's state.
    fn of(&mut self, desired: &Desired, is_ready: bool, is_refused: bool, is_failing: bool) -> &mut u32 {
        if desired.contract.paused {
            &mut self.paused
        } else if is_refused {
            &mut self.refused
        } else if is_ready {
            &mut self.running
        } else if is_failing {
            &mut self.failing
        } else {
            &mut self.starting
        }
    }

    fn by_state(self) -> [(&'static str, u32); 5] {
        let Self { running, starting, failing, refused, paused } = self;
        [
            ("running", running),
            ("starting", starting),
            ("failing", failing),
            ("refused", refused),
            ("paused", paused),
        ]
    }
}
