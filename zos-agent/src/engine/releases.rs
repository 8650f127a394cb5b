// SPDX-License-Identifier: Apache-2.0
//! Closed contracts whose public addresses the chain keeps back until this node reports that everything of
//! them is removed.

use super::{Timing, observed::Observed};
use crate::{
    chain::{Chain, Report, Reports, Snapshot, Topic},
    clock::unix_ms,
    store::Store,
};
use anyhow::{Error, Result};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
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
    /// When to look on the chain for others, such as those that closed before this node saw them.
    next_look: Instant,
}

impl Releases {
    /// Reads the contracts of the last run.
    ///
    /// # Errors
    /// If the file is damaged or can't be written.
    pub fn load(store: Store) -> Result<Self> {
        let ending = store.read_or_default(FILE)?;
        Ok(Self { store, ending, awaited: BTreeSet::new(), next_look: Instant::now() })
    }

    /// Adds contracts that the chain doesn't list any more.
    pub fn end(&mut self, contracts: impl IntoIterator<Item = ContractId>) {
        let before = self.ending.len();
        self.ending.extend(contracts);
        if self.ending.len() != before {
            self.save();
        }
    }

    /// Asks the chain for contracts that await a report, at the first call and then every `look_every`, and
    /// which of those that are removed here still do. Nothing of the `busy` ones counts as removed.
    pub async fn ask(
        &mut self,
        chain: &dyn Chain,
        snapshot: &Snapshot,
        observed: &Observed,
        busy: &BTreeSet<ContractId>,
        timing: &Timing,
    ) {
        let before = self.ending.clone();
        self.awaited.clear();
        if snapshot.may_destroy(unix_ms()).is_ok() {
            self.look(chain, snapshot, timing.look_every).await;
            self.ending.retain(|contract| !snapshot.contracts.contains_key(contract));
            let is_gone =
                |contract: &ContractId| !observed.contains_key(contract) && !busy.contains(contract);
            let gone: Vec<ContractId> = self.ending.iter().copied().filter(is_gone).collect();
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
        if self.ending != before {
            self.save();
        }
    }

    /// Adds contracts that await a report, if it is time to look for them.
    async fn look(&mut self, chain: &dyn Chain, snapshot: &Snapshot, look_every: Duration) {
        if Instant::now() < self.next_look {
            return;
        }
        match chain.awaited_releases(&snapshot.head).await {
            Ok(contracts) => {
                self.ending.extend(contracts);
                self.next_look = Instant::now() + look_every;
            }
            Err(error) => debug!("can't look for releases that are awaited: {:#}", Error::from(error)),
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
