// SPDX-License-Identifier: Apache-2.0
//! Closed contracts whose public addresses the chain keeps back until it hears that nothing of them
//! is left here.

use super::Observed;
use crate::{
    chain::{Chain, Report, Snapshot, Topic},
    clock::unix_ms,
    engine::Reports,
    store::Store,
};
use anyhow::Result;
use std::{collections::BTreeSet, time::Duration};
use tfgrid_primitives::ContractId;
use tracing::{debug, error};

const FILE: &str = "releases.json";

/// Contracts that may have closed and that the chain may wait for. Survives restarts: a crash between
/// the removal and the report must not cost the farmer his addresses.
#[derive(Debug)]
pub struct Releases {
    store: Store,
    ending: BTreeSet<ContractId>,
    /// Those of which the chain waits to hear, and nothing is left.
    awaited: BTreeSet<ContractId>,
}

impl Releases {
    /// As they were left.
    ///
    /// # Errors
    /// Where their file is damaged or can't be written.
    pub fn load(store: Store) -> Result<Self> {
        let ending = store.read_or_default(FILE)?;
        Ok(Self { store, ending, awaited: BTreeSet::new() })
    }

    /// These don't stand on the chain any more.
    pub fn end(&mut self, contracts: impl IntoIterator<Item = ContractId>) {
        let before = self.ending.len();
        self.ending.extend(contracts);
        if self.ending.len() != before {
            self.save();
        }
    }

    /// Asks the chain about those of which nothing is left.
    pub async fn ask(
        &mut self,
        chain: &dyn Chain,
        snapshot: &Snapshot,
        observed: &Observed,
        stale: Duration,
    ) {
        let before = self.ending.len();
        self.ending.retain(|contract| !snapshot.contracts.contains_key(contract));
        self.awaited.clear();
        if snapshot.may_destroy(unix_ms(), stale).is_ok() {
            let gone: Vec<ContractId> =
                self.ending.iter().copied().filter(|contract| !observed.contains_key(contract)).collect();
            for contract in gone {
                match chain.awaits_release(contract, &snapshot.head).await {
                    Ok(true) => drop(self.awaited.insert(contract)),
                    Ok(false) => drop(self.ending.remove(&contract)),
                    Err(error) => debug!(contract, "don't know whether its release is awaited: {error}"),
                }
            }
        }
        if self.ending.len() != before {
            self.save();
        }
    }

    /// Adds the reports that the chain waits for.
    pub fn report(&self, reports: &mut Reports) {
        for &contract in &self.awaited {
            reports.insert(Topic::Release(contract), Report::Released { contract });
        }
    }

    fn save(&self) {
        // Losing it lets the addresses cool down for longer.
        if let Err(error) = self.store.write(FILE, &self.ending) {
            error!("{error:#}");
        }
    }
}
