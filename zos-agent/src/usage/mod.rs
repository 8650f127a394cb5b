// SPDX-License-Identifier: Apache-2.0
//! Resources used by contracts: totals over restarts of machines and agent.

mod totals;

use crate::{
    chain::Snapshot,
    drivers::{MachineDriver, ObservedMachine},
    engine::observed::{Observed, ObservedContract},
    store::Store,
};
use anyhow::Result;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_primitives::{ContractId, UsageItem, UsageTotals, report::MAX_USAGE_ITEMS};
use tokio::{sync::watch, time::sleep_until};
use totals::Totals;
use tracing::{debug, error};

const FILE: &str = "usage.json";
/// Longest time from one reading to the next. What a machine uses after its last reading isn't counted.
const READ_EVERY: Duration = Duration::from_secs(60);

/// Sources of the meter.
pub struct MeterInputs {
    /// Machines and volumes on this host.
    pub observed: watch::Receiver<Arc<Observed>>,
    /// Contracts, and the chain's reporting intervals.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
}

/// Turns counters of machines into usage reports.
pub struct Meter {
    machines: Arc<dyn MachineDriver>,
    inputs: MeterInputs,
    reports: watch::Sender<Vec<UsageItem>>,
    store: Store,
    totals: Totals,
    /// Last contract in the last report. A report has room for some contracts only.
    last_reported: ContractId,
}

impl Meter {
    /// Continues from the stored totals.
    ///
    /// # Errors
    /// If their file is damaged or can't be written.
    pub fn load(
        machines: Arc<dyn MachineDriver>,
        inputs: MeterInputs,
        reports: watch::Sender<Vec<UsageItem>>,
        store: Store,
    ) -> Result<Self> {
        let totals = store.read_or_default(FILE)?;
        Ok(Self { machines, inputs, reports, store, totals, last_reported: 0 })
    }

    /// Reads and reports until the engine ends.
    pub async fn run(mut self) {
        // Without a snapshot, neither intervals nor contracts are known.
        if self.inputs.snapshots.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let mut next_reading = Instant::now();
        let mut next_report = Instant::now() + self.interval();
        loop {
            tokio::select! {
                changed = self.inputs.observed.changed() => match changed {
                    Ok(()) => self.forget_gone(),
                    Err(_) => return,
                },
                () = sleep_until(next_reading.into()) => {
                    next_reading = Instant::now() + self.interval().min(READ_EVERY);
                    self.read().await;
                    if next_report <= Instant::now() {
                        next_report = Instant::now() + self.interval();
                        self.report();
                    }
                }
            }
        }
    }

    /// Time from one report to the next.
    fn interval(&self) -> Duration {
        let snapshot = self.inputs.snapshots.borrow();
        snapshot
            .as_ref()
            .map_or(READ_EVERY, |snapshot| Duration::from_millis(snapshot.limits.usage_ms.max(1_000)))
    }

    async fn read(&mut self) {
        let observed = self.inputs.observed.borrow().clone();
        let machines = observed.values().flat_map(|contract| contract.machines.values());
        for machine in machines.filter(|machine| machine.is_running()) {
            self.read_machine(machine).await;
        }
        // A lost write only counts less usage.
        if let Err(error) = self.store.write(FILE, &self.totals) {
            error!("{error:#}");
        }
    }

    async fn read_machine(&mut self, machine: &ObservedMachine) {
        match self.machines.usage(&machine.id).await {
            Ok(Some(usage)) => self.totals.record(&machine.id, &machine.instance, usage),
            Ok(None) => {}
            Err(error) => debug!(machine = %machine.id, "no usage: {error:#}"),
        }
    }

    fn report(&mut self) {
        let Some(snapshot) = self.inputs.snapshots.borrow().clone() else { return };
        let observed = self.inputs.observed.borrow().clone();
        let after = observed.range(self.last_reported.saturating_add(1)..);
        let before = observed.range(..=self.last_reported);
        let items: Vec<UsageItem> = after
            .chain(before)
            .filter(|(contract, _)| snapshot.is_deployed(**contract))
            .take(MAX_USAGE_ITEMS as usize)
            .map(|(&contract, there)| UsageItem { contract, totals: self.contract(contract, there) })
            .collect();
        self.last_reported = items.last().map_or(0, |item| item.contract);
        self.reports.send_replace(items);
    }

    fn contract(&self, contract: ContractId, there: &ObservedContract) -> UsageTotals {
        let running = |name: &str| there.machines.get(name).is_some_and(ObservedMachine::is_running);
        UsageTotals {
            disk_bytes: there.volumes.values().map(|volume| volume.used).sum(),
            ..self.totals.of(contract, running)
        }
    }

    /// Drops the totals of contracts that are neither here nor on the chain.
    fn forget_gone(&mut self) {
        let observed = self.inputs.observed.borrow_and_update().clone();
        let Some(snapshot) = self.inputs.snapshots.borrow().clone() else { return };
        self.totals.keep(|id| observed.contains_key(&id) || snapshot.contracts.contains_key(&id));
    }
}
