// SPDX-License-Identifier: Apache-2.0
//! Contracts that are on this machine but not on the chain, which has no record of their end either. That
//! proves nothing: an RPC endpoint may be behind, lie or belong to another chain. Their workloads keep
//! running for a while.

use crate::store::Store;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_primitives::ContractId;
use tracing::{error, info, warn};

const FILE: &str = "quarantine.json";

/// Contracts in quarantine, kept over restarts.
#[derive(Debug)]
pub struct Quarantine {
    store: Store,
    since: Since,
}

/// Start of each quarantine, in milliseconds since 1970.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Since(BTreeMap<ContractId, u64>);

impl Quarantine {
    /// Reads the quarantines of the last run.
    ///
    /// # Errors
    /// If the file is damaged or can't be written.
    pub fn load(store: Store) -> Result<Self> {
        let since = store.read_or_default(FILE)?;
        Ok(Self { store, since })
    }

    /// Number of contracts in quarantine.
    pub fn len(&self) -> usize {
        self.since.0.len()
    }

    /// Puts the contract into quarantine unless it is in it; returns for how many milliseconds it has been.
    pub fn enter(&mut self, contract: ContractId, now_ms: u64) -> u64 {
        if let Some(since) = self.since.0.get(&contract) {
            return now_ms.saturating_sub(*since);
        }
        warn!(
            contract,
            "the chain has neither this contract nor a record of its end: its workloads keep running"
        );
        self.since.0.insert(contract, now_ms);
        self.save();
        0
    }

    /// Ends the quarantine of all contracts but these.
    pub fn keep_only(&mut self, absent: &BTreeSet<ContractId>) {
        let before = self.len();
        self.since.0.retain(|contract, _| {
            let stays = absent.contains(contract);
            if !stays {
                info!(contract, "out of quarantine");
            }
            stays
        });
        if self.len() != before {
            self.save();
        }
    }

    fn save(&self) {
        // A lost write only makes a quarantine longer.
        if let Err(error) = self.store.write(FILE, &self.since) {
            error!("{error:#}");
        }
    }
}
