// SPDX-License-Identifier: Apache-2.0
//! Closed contracts whose public addresses the chain keeps back until this node reports that everything of
//! them is removed.

use super::observed::Observed;
use crate::{
    chain::{Chain, Report, Reports, Snapshot, Topic},
    clock::unix_ms,
    store::Store,
};
use anyhow::{Error, Result};
use std::{collections::BTreeSet, time::Duration};
use tfgrid_primitives::ContractId;
use tracing::{debug, error};

const FILE: &str = "releases.json";

/// Contracts that may await a release, kept over restarts: after a crash between removal and report, the
/// farmer's addresses must not stay blocked.
#[derive(Debug)]
pub struct Releases {
    store: Store,
    /// Contracts that the chain doesn't list any more.
    ending: BTreeSet<ContractId>,
    /// Contracts to report: everything is removed, and the chain awaits the report.
    awaited: BTreeSet<ContractId>,
}

impl Releases {
    /// Reads the contracts of the last run.
    ///
    /// # Errors
    /// If the file is damaged or can't be written.
    pub fn load(store: Store) -> Result<Self> {
        let ending = store.read_or_default(FILE)?;
        Ok(Self { store, ending, awaited: BTreeSet::new() })
    }

    /// Adds contracts that the chain doesn't list any more.
    pub fn end(&mut self, contracts: impl IntoIterator<Item = ContractId>) {
        let before = self.ending.len();
        self.ending.extend(contracts);
        if self.ending.len() != before {
            self.save();
        }
    }

    /// Asks the chain which of the contracts that are removed here await a report.
    pub async fn ask(
        &mut self,
        chain: &dyn Chain,
        snapshot: &Snapshot,
        observed: &Observed,
        stale_after: Duration,
    ) {
        let before = self.ending.len();
        self.ending.retain(|contract| !snapshot.contracts.contains_key(contract));
        self.awaited.clear();
        if snapshot.may_destroy(unix_ms(), stale_after).is_ok() {
            let gone: Vec<ContractId> =
                self.ending.iter().copied().filter(|contract| !observed.contains_key(contract)).collect();
            for contract in gone {
                match chain.awaits_release(contract, &snapshot.head).await {
                    Ok(true) => {
                        self.awaited.insert(contract);
                    }
                    Ok(false) => {
                        self.ending.remove(&contract);
                    }
                    Err(error) => {
                        debug!(
                            contract,
                            "can't tell whether its release is awaited: {:#}",
                            Error::from(error)
                        );
                    }
                }
            }
        }
        if self.ending.len() != before {
            self.save();
        }
    }

    /// Adds the reports that the chain awaits.
    pub fn report(&self, reports: &mut Reports) {
        for &contract in &self.awaited {
            reports.insert(Topic::Release(contract), Report::Released { contract });
        }
    }

    fn save(&self) {
        // A lost write only blocks the addresses for longer.
        if let Err(error) = self.store.write(FILE, &self.ending) {
            error!("{error:#}");
        }
    }
}
