// SPDX-License-Identifier: Apache-2.0
//! Machines that their owners have stopped, kept over restarts of the agent.

use crate::{chain::desired::Workloads, drivers::WorkloadId, store::Store};
use anyhow::{Context, Result};
use std::{
    borrow::Cow,
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError},
};
use tfgrid_primitives::ContractId;
use tokio::{
    sync::{Mutex, Notify, OwnedMutexGuard},
    task::spawn_blocking,
};

const FILE: &str = "stopped.json";

/// Machines that stay stopped. Clones share them.
#[derive(Clone)]
pub struct Holds {
    store: Store,
    held: Arc<SyncMutex<BTreeSet<(ContractId, String)>>>,
    /// Contracts of which owners want the next try at once. A start of the agent makes it anyway.
    hurried: Arc<SyncMutex<BTreeSet<ContractId>>>,
    changed: Arc<Notify>,
    turn: Arc<Mutex<()>>,
}

impl Holds {
    /// Reads them from disk.
    ///
    /// # Errors
    /// If the file is damaged or can't be written.
    pub fn load(store: Store) -> Result<Self> {
        let held = store.read_or_default(FILE)?;
        Ok(Self {
            store,
            held: Arc::new(SyncMutex::new(held)),
            hurried: Arc::default(),
            changed: Arc::default(),
            turn: Arc::default(),
        })
    }

    /// Stops a machine, or lets it run again.
    ///
    /// # Errors
    /// If the file can't be written: nothing is changed.
    pub async fn set(&self, id: &WorkloadId, is_held: bool) -> Result<()> {
        if self.contains(id) == is_held {
            return Ok(());
        }
        // One after another, and off the threads that run everything else: each waits for the disk.
        let _turn = self.turn.lock().await;
        let (holds, key) = (self.clone(), (id.contract, id.name.clone()));
        let change = move || {
            let mut new = holds.lock().clone();
            if is_held {
                new.insert(key)
            } else {
                new.remove(&key)
            };
            holds.store.write(FILE, &new)?;
            *holds.lock() = new;
            anyhow::Ok(())
        };
        spawn_blocking(change).await.context("the change was not made")??;
        self.changed.notify_one();
        Ok(())
    }

    /// Until this is dropped, no machine that is stopped may run again.
    pub async fn freeze(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Makes the contract's next try at once, whatever has failed before.
    pub fn hurry(&self, contract: ContractId) {
        self.hurried.lock().unwrap_or_else(PoisonError::into_inner).insert(contract);
        self.changed.notify_one();
    }

    /// The contracts whose next try is to be made at once.
    pub fn take_hurried(&self) -> BTreeSet<ContractId> {
        mem::take(&mut *self.hurried.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the owner has stopped the machine.
    pub fn contains(&self, id: &WorkloadId) -> bool {
        self.lock().contains(&(id.contract, id.name.clone()))
    }

    /// The workloads, with those machines marked; borrowed if there are none, as nearly always.
    pub fn mark<'a>(&self, workloads: &'a Workloads) -> Cow<'a, Workloads> {
        if !workloads.machines.iter().any(|spec| self.contains(&spec.id)) {
            return Cow::Borrowed(workloads);
        }
        let mut marked = workloads.clone();
        for spec in &mut marked.machines {
            spec.is_held = self.contains(&spec.id);
        }
        Cow::Owned(marked)
    }

    /// Forgets the machines of contracts that are gone.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn keep(&self, is_kept: impl Fn(ContractId) -> bool) -> Result<()> {
        let mut held = self.lock();
        if held.iter().all(|(contract, _)| is_kept(*contract)) {
            return Ok(());
        }
        let new = held.iter().filter(|(contract, _)| is_kept(*contract)).cloned().collect();
        self.store.write(FILE, &new)?;
        *held = new;
        Ok(())
    }

    /// Resolves when a machine was stopped or may run again.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(ContractId, String)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_stopped_stays_so_while_it_is_frozen() {
        let folder = tempfile::tempdir().unwrap();
        let holds = Holds::load(Store::open(folder.path()).unwrap()).unwrap();
        let id = WorkloadId { contract: 7, name: "web".into() };
        holds.set(&id, true).await.unwrap();
        let frozen = holds.freeze().await;
        let mut starting = std::pin::pin!(holds.set(&id, false));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), &mut starting).await.is_err());
        assert!(holds.contains(&id));
        drop(frozen);
        starting.await.unwrap();
        assert!(!holds.contains(&id));
    }

    #[tokio::test]
    async fn a_stop_outlives_the_agent_and_ends_with_its_contract() {
        let folder = tempfile::tempdir().unwrap();
        let load = || Holds::load(Store::open(folder.path()).unwrap()).unwrap();
        let id = |contract| WorkloadId { contract, name: "web".into() };
        let holds = load();
        for contract in [7, 8, 9] {
            holds.set(&id(contract), true).await.unwrap();
        }
        holds.set(&id(8), false).await.unwrap();
        holds.keep(|contract| contract != 9).unwrap();
        let held: Vec<_> = [7, 8, 9].into_iter().filter(|contract| load().contains(&id(*contract))).collect();
        assert_eq!(held, [7]);
    }
}
