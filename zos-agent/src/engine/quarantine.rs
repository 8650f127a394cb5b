// SPDX-License-Identifier: Apache-2.0
//! Contracts that have left a trace on this node and that the chain doesn't name. Absence proves
//! nothing: an RPC endpoint may lag, lie or belong to another chain. They are left as they are.

use crate::store::Store;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_primitives::ContractId;
use tracing::{error, info, warn};

const FILE: &str = "quarantine.json";

/// Since when each contract is in quarantine, in milliseconds since 1970. Survives restarts.
#[derive(Debug)]
pub struct Quarantine {
    store: Store,
    since: Since,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Since(BTreeMap<ContractId, u64>);

impl Quarantine {
    /// As it was left.
    ///
    /// # Errors
    /// Where its file is damaged or can't be written.
    pub fn load(store: Store) -> Result<Self> {
        let since = store.read_or_default(FILE)?;
        Ok(Self { store, since })
    }

    /// How many contracts are in it.
    pub fn len(&self) -> usize {
        self.since.0.len()
    }

    /// Puts the contract in, where it isn't yet; returns for how many milliseconds it has been.
    pub fn enter(&mut self, contract: ContractId, now_ms: u64) -> u64 {
        if let Some(since) = self.since.0.get(&contract) {
            return now_ms.saturating_sub(*since);
        }
        warn!(contract, "the chain names neither this contract nor its end: its workloads stay as they are");
        self.since.0.insert(contract, now_ms);
        self.save();
        0
    }

    /// Takes out all contracts but these.
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
        // Losing it only makes a quarantine longer.
        if let Err(error) = self.store.write(FILE, &self.since) {
            error!("{error:#}");
        }
    }
}
