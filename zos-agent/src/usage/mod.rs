// SPDX-License-Identifier: Apache-2.0
//! Resources used by contracts: totals over restarts of machines, agent and host; and what follows when paid traffic is
//! used up.

mod totals;

use crate::{
    chain::{Chain, Snapshot},
    drivers::{MachineDriver, ObservedMachine, TrafficCounter, WorkloadId},
    engine::observed::{Observed, ObservedContract},
    metrics::Metrics,
    store::Store,
};
use anyhow::{Context, Error, Result};
use std::{
    collections::BTreeSet,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_primitives::{ContractId, UsageItem, UsageTotals, report::MAX_USAGE_ITEMS};
use tokio::{
    sync::{mpsc, watch},
    time::sleep_until,
};
use totals::Totals;
use tracing::{debug, error, warn};

const FILE: &str = "usage.json";
/// Longest time from one reading to the next. What a machine uses after its last reading isn't counted.
const READ_EVERY: Duration = Duration::from_secs(60);

/// Changes with each start of this host.
pub(crate) const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Sources of the meter.
pub struct MeterInputs {
    /// The chain, which knows what traffic was bought.
    pub chain: Arc<dyn Chain>,
    /// Counters of traffic, each of a class of its own.
    pub counters: Vec<Arc<dyn TrafficCounter>>,
    /// Machines and volumes on this host.
    pub observed: watch::Receiver<Arc<Observed>>,
    /// Contracts, and the chain's reporting intervals.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Tells the traffic by classes.
    pub metrics: Metrics,
}

/// Turns counters into usage reports, and slows down machines and sites whose traffic is used up.
pub struct Meter {
    machines: Arc<dyn MachineDriver>,
    inputs: MeterInputs,
    reports: watch::Sender<Vec<UsageItem>>,
    done: mpsc::Sender<(WorkloadId, String)>,
    store: Store,
    /// This start of the host.
    boot: String,
    totals: Totals,
    /// Contracts whose traffic is used up.
    slow: BTreeSet<ContractId>,
    /// Contracts with public addresses when speeds were last set.
    judged: BTreeSet<ContractId>,
    /// Last contract in the last report. A report has room for some contracts only.
    last_reported: ContractId,
}

impl Meter {
    /// Continues from the stored totals. Tells `done` which machines and sites are slow.
    ///
    /// # Errors
    /// If their file is damaged or can't be written.
    pub fn load(
        machines: Arc<dyn MachineDriver>,
        inputs: MeterInputs,
        reports: watch::Sender<Vec<UsageItem>>,
        done: mpsc::Sender<(WorkloadId, String)>,
        store: Store,
    ) -> Result<Self> {
        let totals = store.read_or_default(FILE)?;
        let boot = fs::read_to_string(BOOT).with_context(|| format!("can't read {BOOT}"))?;
        let (slow, judged, last_reported) = (BTreeSet::new(), BTreeSet::new(), 0);
        Ok(Self { machines, inputs, reports, done, store, boot, totals, slow, judged, last_reported })
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
                    Ok(()) => {
                        self.forget_gone();
                        // Until then, it has all speed.
                        if self.has_new_addresses() {
                            next_reading = Instant::now();
                        }
                    }
                    Err(_) => return,
                },
                () = sleep_until(next_reading.into()) => {
                    next_reading = Instant::now() + self.interval().min(READ_EVERY);
                    self.read().await;
                    self.set_speed().await;
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
        for counter in &self.inputs.counters {
            match counter.counted().await {
                Ok(counted) => {
                    for (contract, counted) in counted {
                        self.totals.count(contract, counter.class(), &self.boot, counted);
                    }
                }
                Err(error) => {
                    let why = format!("{:#}", Error::from(error));
                    warn!(class = counter.class(), why, "traffic isn't counted");
                }
            }
        }
        for (class, counted) in self.totals.traffic() {
            self.inputs.metrics.traffic(class, counted);
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

    /// Slows down contracts whose traffic is used up, and lets others have their speed.
    async fn set_speed(&mut self) {
        let Some(snapshot) = self.inputs.snapshots.borrow().clone() else { return };
        let observed = self.inputs.observed.borrow().clone();
        let (mut slow, mut judged) = (BTreeSet::new(), BTreeSet::new());
        for (&contract, there) in &*observed {
            if there.addresses.is_empty() && there.gateways.is_empty() {
                continue;
            }
            judged.insert(contract);
            let is_slow = match self.inputs.chain.traffic(contract, &snapshot.head).await {
                Ok(traffic) => {
                    let totals = self.totals.of(contract, |_| false);
                    let used = totals.received_bytes.saturating_add(totals.sent_bytes);
                    used.saturating_sub(traffic.reported_bytes) >= traffic.left_bytes
                }
                Err(error) => {
                    debug!(contract, "can't tell what traffic is left: {:#}", Error::from(error));
                    self.slow.contains(&contract)
                }
            };
            if is_slow {
                slow.insert(contract);
            }
            if is_slow != self.slow.contains(&contract) {
                self.tell_speed(contract, there, is_slow);
            }
        }
        for counter in &self.inputs.counters {
            if let Err(error) = counter.slow_down(&slow).await {
                let why = format!("{:#}", Error::from(error));
                warn!(class = counter.class(), why, "can't set the speed of traffic");
            }
        }
        (self.slow, self.judged) = (slow, judged);
    }

    /// Whether a contract has public addresses that had none when speeds were last set.
    fn has_new_addresses(&self) -> bool {
        let observed = self.inputs.observed.borrow();
        let mut with_some =
            observed.iter().filter(|(_, there)| !there.addresses.is_empty() || !there.gateways.is_empty());
        with_some.any(|(contract, _)| !self.judged.contains(contract))
    }

    fn tell_speed(&self, contract: ContractId, there: &ObservedContract, is_slow: bool) {
        let what = if is_slow {
            "the contract's traffic is used up: public addresses and sites are slowed down to 1 Mbit/s"
        } else {
            "there is traffic again: public addresses and sites have their speed back"
        };
        for name in there.addresses.keys().chain(there.gateways.keys()) {
            let id = WorkloadId { contract, name: name.clone() };
            drop(self.done.try_send((id, what.to_owned())));
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
