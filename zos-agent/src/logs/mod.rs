// SPDX-License-Identifier: Apache-2.0
//! Sends the output of machines to the addresses that their owners name in `zlogs` (`docs/FORMATS.md` §4.3).
//!
//! What isn't sent yet stays where the engine keeps it, on disk, where the oldest goes first. So a receiver that is
//! slow or gone costs no memory, and what was written meanwhile follows.

mod reach;
mod sender;
mod shipment;

pub use reach::LogReach;
pub(crate) use reach::is_own;
pub use sender::Connector;

use crate::{
    chain::Snapshot,
    drivers::{LogSpec, WorkloadId, machine::DockerMachines},
    engine::{Standings, observed::Observed},
    store::Store,
};
use anyhow::Result;
use shipment::{Delivery, Shipment};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};
use tracing::warn;

const FILE: &str = "sent.json";
/// After a crash of the agent, lines of so much time may be sent twice.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// Outputs that weren't sent at some time: why they aren't now, `None` if they are again.
pub type LogTroubles = BTreeMap<WorkloadId, Option<String>>;

/// What the shipper goes by.
pub struct ShipperInputs {
    /// What the chain wants.
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Which versions run.
    pub standings: watch::Receiver<Arc<Standings>>,
    /// What runs.
    pub observed: watch::Receiver<Arc<Observed>>,
    /// What is lost of an output, as an event. Some is lost where nobody takes it.
    pub done: mpsc::Sender<(WorkloadId, String)>,
}

/// The time of the last line of each output that was sent. Clones share them.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<BTreeMap<String, String>>>);

impl Sent {
    fn get(&self, id: &WorkloadId) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id.to_string()).cloned()
    }

    fn set(&self, id: &WorkloadId, time: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_string(), time);
    }

    fn retain(&self, wanted: &BTreeMap<WorkloadId, LogSpec>) {
        let wanted: BTreeSet<String> = wanted.keys().map(ToString::to_string).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| wanted.contains(id));
    }

    fn snapshot(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sends machines' output to their owners.
pub struct Shipper {
    machines: Arc<DockerMachines>,
    connector: Connector,
    inputs: ShipperInputs,
    troubles: watch::Sender<LogTroubles>,
    store: Store,
    sent: Sent,
    running: BTreeMap<WorkloadId, Running>,
}

/// A task, which ends with it.
struct Running {
    spec: LogSpec,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shipper {
    /// Goes on where the last run stopped, once it runs.
    ///
    /// # Errors
    /// If its file is damaged or can't be written.
    pub fn load(
        machines: Arc<DockerMachines>,
        connector: Connector,
        inputs: ShipperInputs,
        troubles: watch::Sender<LogTroubles>,
        store: Store,
    ) -> Result<Self> {
        let sent = Sent(Arc::new(Mutex::new(store.read_or_default(FILE)?)));
        Ok(Self { machines, connector, inputs, troubles, store, sent, running: BTreeMap::new() })
    }

    /// Sends, for ever.
    pub async fn run(mut self) {
        let mut saved = self.sent.snapshot();
        loop {
            tokio::select! {
                changed = self.inputs.snapshots.changed() => if changed.is_err() { return },
                changed = self.inputs.standings.changed() => if changed.is_err() { return },
                () = sleep(SAVE_EVERY) => {}
            }
            if let Some(wanted) = self.wanted() {
                self.start_and_end(wanted);
            }
            let now = self.sent.snapshot();
            if now != saved {
                self.save(now.clone()).await;
                saved = now;
            }
        }
    }

    /// Outputs of the versions that run; `None` while the chain hasn't said anything.
    fn wanted(&mut self) -> Option<BTreeMap<WorkloadId, LogSpec>> {
        let snapshot = self.inputs.snapshots.borrow_and_update().clone()?;
        let standings = self.inputs.standings.borrow_and_update().clone();
        let specs = snapshot.contracts.iter().flat_map(|(contract, desired)| {
            let version = standings.get(contract).map(|standing| standing.version);
            let target = desired.target_of(version.unwrap_or_default());
            target.workloads().into_iter().flat_map(|workloads| &workloads.logs)
        });
        Some(specs.map(|spec| (spec.id.clone(), spec.clone())).collect())
    }

    fn start_and_end(&mut self, wanted: BTreeMap<WorkloadId, LogSpec>) {
        self.running.retain(|id, running| wanted.get(id) == Some(&running.spec));
        self.sent.retain(&wanted);
        self.troubles.send_if_modified(|troubles| {
            let before = troubles.len();
            troubles.retain(|id, _| wanted.contains_key(id));
            troubles.len() != before
        });
        for (id, spec) in wanted {
            self.running.entry(id).or_insert_with(|| {
                let delivery = Delivery {
                    spec: spec.clone(),
                    connector: self.connector.clone(),
                    troubles: self.troubles.clone(),
                    done: self.inputs.done.clone(),
                    sent: self.sent.clone(),
                };
                let (machines, observed) = (self.machines.clone(), self.inputs.observed.clone());
                let shipment = Shipment { machines, observed, delivery };
                Running { spec, task: tokio::spawn(shipment.run()) }
            });
        }
    }

    async fn save(&self, sent: BTreeMap<String, String>) {
        let store = self.store.clone();
        let saved = spawn_blocking(move || store.write(FILE, &sent)).await;
        if let Ok(Err(error)) = saved {
            warn!("output may be sent twice after a restart: {error:#}");
        }
    }
}
