// SPDX-License-Identifier: Apache-2.0
//! Follows finalized heads and reads what the chain wants of this node at each.

use super::{Chain, ChainError, ChainLimits, Contract, Head, Version, Which};
use crate::{
    backoff::Backoff,
    engine::desired::{Desired, Wanted},
    metrics::Metrics,
    store::Store,
};
use anyhow::Result;
use futures::{FutureExt, StreamExt, stream::BoxStream};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_primitives::ContractId;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

const FILE: &str = "head.json";
/// The longest that finalized heads may fail to arrive before the connection is made anew.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest that reading one head may take.
const READING: Duration = Duration::from_secs(60);
/// How often the highest head is written down.
const WRITING: Duration = Duration::from_secs(30);
/// How many heads pass before the chain's intervals are read again.
const LIMITS_EVERY: u32 = 20;

/// How a head stands to the highest one that this node has ever seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Higher.
    New,
    /// The same.
    Same,
    /// Lower, or another block of the same number.
    Old,
}

/// What the chain wants of this node, at one head.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where it was read.
    pub head: Head,
    /// [`Standing::New`] or [`Standing::Same`].
    pub standing: Standing,
    /// All contracts on this node.
    pub contracts: BTreeMap<ContractId, Arc<Desired>>,
    /// The intervals in force.
    pub limits: ChainLimits,
}

impl Snapshot {
    /// Whether a record of a contract's end, read at this head, proves anything.
    ///
    /// # Errors
    /// Why it doesn't, for the log.
    pub fn may_destroy(&self, now_ms: u64, stale: Duration) -> Result<(), String> {
        let age_ms = now_ms.saturating_sub(self.head.timestamp_ms);
        if self.standing != Standing::New {
            return Err(format!("finalized block {} was seen before this start", self.head.number));
        }
        if u128::from(age_ms) >= stale.as_millis() {
            return Err(format!("finalized block {} is {} s old", self.head.number, age_ms / 1_000));
        }
        Ok(())
    }

    /// Whether the node has confirmed a version of the contract.
    pub fn is_deployed(&self, contract: ContractId) -> bool {
        self.contracts.get(&contract).is_some_and(|desired| desired.contract.confirmed().is_some())
    }

    /// Whether the node has confirmed this version of the contract, and it still stands.
    pub fn has_confirmed(&self, contract: ContractId, version: Version) -> bool {
        self.contracts.get(&contract).is_some_and(|desired| desired.has_confirmed(version))
    }
}

/// The highest finalized head that this node has ever seen. Survives restarts.
struct Highest {
    store: Store,
    seen: Option<Seen>,
    written: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    number: u32,
    hash: [u8; 32],
}

impl Highest {
    fn load(store: Store) -> Result<Self> {
        let seen = store.read(FILE)?;
        Ok(Self { store, seen, written: None })
    }

    fn standing(&self, head: &Head) -> Standing {
        match self.seen {
            Some(seen) if head.number < seen.number => Standing::Old,
            Some(seen) if head.number == seen.number && head.hash == seen.hash => Standing::Same,
            Some(seen) if head.number == seen.number => Standing::Old,
            _ => Standing::New,
        }
    }

    fn raise(&mut self, head: &Head) -> Result<()> {
        let seen = Seen { number: head.number, hash: head.hash };
        self.seen = Some(seen);
        if self.written.is_none_or(|written| written.elapsed() >= WRITING) {
            self.store.write(FILE, &seen)?;
            self.written = Some(Instant::now());
        }
        Ok(())
    }
}

/// Reads heads into snapshots.
pub struct Follower {
    chain: Arc<dyn Chain>,
    highest: Highest,
    metrics: Metrics,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    backoff: Backoff,
}

impl Follower {
    /// Ready to run; snapshots go to `snapshots`.
    ///
    /// # Errors
    /// Where the note of the highest head is damaged.
    pub fn new(
        chain: Arc<dyn Chain>,
        store: Store,
        metrics: Metrics,
        snapshots: watch::Sender<Option<Arc<Snapshot>>>,
        backoff: Backoff,
    ) -> Result<Self> {
        Ok(Self { chain, highest: Highest::load(store)?, metrics, snapshots, backoff })
    }

    /// Follows for ever, connecting again whenever the chain goes away.
    pub async fn run(mut self) {
        let mut failures = 0u32;
        loop {
            let why = match timeout(SILENCE, self.chain.heads()).await {
                Ok(Ok(heads)) => self.follow(heads, &mut failures).await,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("the chain doesn't answer for {} s", SILENCE.as_secs()),
            };
            self.metrics.chain_up.set(0);
            failures = failures.saturating_add(1);
            let delay = self.backoff.delay(failures);
            warn!(retry_in = ?delay, "not following the chain: {why}");
            sleep(delay).await;
        }
    }

    /// Follows one connection to its end; returns how it ended.
    async fn follow(
        &mut self,
        heads: BoxStream<'static, Result<Head, ChainError>>,
        failures: &mut u32,
    ) -> String {
        let mut heads = heads.fuse();
        let mut is_behind = false;
        loop {
            let mut head = match timeout(SILENCE, heads.next()).await {
                Ok(Some(Ok(head))) => head,
                Ok(Some(Err(error))) => return error.to_string(),
                Ok(None) => return "the connection ended".into(),
                Err(_) => return format!("no finalized block for {} s", SILENCE.as_secs()),
            };
            // Of heads that queued up while one was read, the last one says it all.
            while let Some(Some(Ok(newer))) = heads.next().now_or_never() {
                head = newer;
            }
            if self.highest.standing(&head) == Standing::Old {
                if !is_behind {
                    warn!(
                        number = head.number,
                        "the chain shows an older or another block than it did: waiting until it is \
                         further; if it was made anew, start with an empty --data folder"
                    );
                }
                is_behind = true;
                continue;
            }
            match timeout(READING, self.read(&head)).await {
                Ok(Ok(())) => {
                    if std::mem::take(failures) > 0 {
                        info!(number = head.number, "following the chain again");
                    }
                }
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return format!("reading a block took more than {} s", READING.as_secs()),
            }
        }
    }

    async fn read(&mut self, head: &Head) -> Result<(), ChainError> {
        let last = self.snapshots.borrow().clone();
        let standing = self.highest.standing(head);
        if standing == Standing::Same && last.is_some() {
            self.metrics.chain_up.set(1);
            return Ok(());
        }
        let snapshot = self.snapshot(head, standing, last.as_deref()).await?;
        if let Err(error) = self.highest.raise(head) {
            error!("{error:#}");
        }
        if last.is_none() {
            info!(number = head.number, contracts = snapshot.contracts.len(), "following the chain");
        }
        self.metrics.chain_up.set(1);
        self.metrics.head.set(head.number.into());
        self.snapshots.send_replace(Some(Arc::new(snapshot)));
        Ok(())
    }

    async fn snapshot(
        &self,
        head: &Head,
        standing: Standing,
        last: Option<&Snapshot>,
    ) -> Result<Snapshot, ChainError> {
        let limits = match last {
            Some(last) if head.number / LIMITS_EVERY == last.head.number / LIMITS_EVERY => last.limits,
            _ => self.chain.limits(head).await?,
        };
        let mut contracts = BTreeMap::new();
        for contract in self.chain.contracts(head).await? {
            let known = last.and_then(|last| last.contracts.get(&contract.id));
            let desired = match known {
                Some(known) if known.contract == contract => known.clone(),
                _ => Arc::new(self.desired(contract, head).await?),
            };
            contracts.insert(desired.contract.id, desired);
        }
        Ok(Snapshot { head: *head, standing, contracts, limits })
    }

    async fn desired(&self, contract: Contract, head: &Head) -> Result<Desired, ChainError> {
        let body = self.chain.body(contract.id, Which::Standing, head).await?;
        let pending = match contract.pending {
            Some(_) => self.chain.body(contract.id, Which::Pending, head).await?,
            None => None,
        };
        let desired = Desired::new(contract, body.as_ref(), pending.as_ref());
        if let Some(Wanted::Unknown(why)) = desired.pending.as_ref().map(|pending| &pending.wanted) {
            warn!(contract = desired.contract.id, "its update is left alone: {why}");
        }
        Ok(desired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: u32, hash: u8) -> Head {
        Head { number, hash: [hash; 32], timestamp_ms: 1_000_000 }
    }

    #[test]
    fn the_highest_head_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut highest = Highest::load(store.clone()).unwrap();
        assert_eq!(highest.standing(&head(5, 1)), Standing::New);
        highest.raise(&head(5, 1)).unwrap();

        let highest = Highest::load(store).unwrap();
        assert_eq!(highest.standing(&head(4, 9)), Standing::Old);
        assert_eq!(highest.standing(&head(5, 1)), Standing::Same);
        assert_eq!(highest.standing(&head(5, 2)), Standing::Old);
        assert_eq!(highest.standing(&head(6, 1)), Standing::New);
    }

    #[test]
    fn only_a_new_and_fresh_head_proves_a_contracts_end() {
        let snapshot = |standing| Snapshot {
            head: head(5, 1),
            standing,
            contracts: BTreeMap::new(),
            limits: ChainLimits { heartbeat_ms: 1, usage_ms: 1 },
        };
        let stale = Duration::from_secs(300);
        assert_eq!(snapshot(Standing::New).may_destroy(1_000_000 + 299_999, stale), Ok(()));
        assert!(snapshot(Standing::New).may_destroy(1_000_000 + 300_000, stale).is_err());
        assert!(snapshot(Standing::Same).may_destroy(1_000_000, stale).is_err());
    }
}
