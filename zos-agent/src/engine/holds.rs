// SPDX-License-Identifier: Apache-2.0
//! Machines that their owners have stopped, kept over restarts of the agent.

use crate::{chain::desired::Workloads, drivers::WorkloadId, store::Store};
use anyhow::Result;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tfgrid_primitives::ContractId;
use tokio::sync::Notify;

const FILE: &str = "stopped.json";

/// Machines that stay stopped. Clones share them.
#[derive(Clone)]
pub struct Holds {
    store: Store,
    held: Arc<Mutex<BTreeSet<(ContractId, String)>>>,
    changed: Arc<Notify>,
}

impl Holds {
    /// Reads them from disk.
    ///
    /// # Errors
    /// If the file is damaged or can't be written.
    pub fn load(store: Store) -> Result<Self> {
        let held = store.read_or_default(FILE)?;
        Ok(Self { store, held: Arc::new(Mutex::new(held)), changed: Arc::default() })
    }

    /// Stops a machine, or lets it run again.
    ///
    /// # Errors
    /// If the file can't be written: nothing is changed.
    pub fn set(&self, id: &WorkloadId, is_held: bool) -> Result<()> {
        let key = (id.contract, id.name.clone());
        self.change(|held| if is_held { held.insert(key) } else { held.remove(&key) })?;
        self.changed.notify_one();
        Ok(())
    }

    /// Whether the owner has stopped the machine.
    pub fn contains(&self, id: &WorkloadId) -> bool {
        self.lock().contains(&(id.contract, id.name.clone()))
    }

    /// The workloads, with those machines marked.
    pub fn mark(&self, workloads: &Workloads) -> Workloads {
        let mut workloads = workloads.clone();
        for spec in &mut workloads.machines {
            spec.is_held = self.contains(&spec.id);
        }
        workloads
    }

    /// Forgets the machines of contracts that are gone.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn keep(&self, is_kept: impl Fn(ContractId) -> bool) -> Result<()> {
        self.change(|held| {
            let before = held.len();
            held.retain(|(contract, _)| is_kept(*contract));
            held.len() != before
        })
    }

    /// Resolves when a machine was stopped or may run again.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<(ContractId, String)>) -> bool) -> Result<()> {
        let mut held = self.lock();
        let mut new = held.clone();
        if change(&mut new) {
            self.store.write(FILE, &new)?;
            *held = new;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(ContractId, String)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_outlives_the_agent_and_ends_with_its_contract() {
        let folder = tempfile::tempdir().unwrap();
        let load = || Holds::load(Store::open(folder.path()).unwrap()).unwrap();
        let id = |contract| WorkloadId { contract, name: "web".into() };
        let holds = load();
        for contract in [7, 8, 9] {
            holds.set(&id(contract), true).unwrap();
        }
        holds.set(&id(8), false).unwrap();
        holds.keep(|contract| contract != 9).unwrap();
        let held: Vec<_> = [7, 8, 9].into_iter().filter(|contract| load().contains(&id(*contract))).collect();
        assert_eq!(held, [7]);
    }
}
