// SPDX-License-Identifier: Apache-2.0
//! Follows finalized heads and reads this node's contracts at each.

use super::{
    BodyOf, Chain, ChainError, ChainLimits, Contract, Head, Version,
    desired::{Desired, Wanted},
    endpoints::STALE_MS,
    stored,
};
use crate::{
    backoff::Backoff,
    drivers::{GatewayGrants, GatewayHost, GatewaySpec},
    metrics::Metrics,
    store::Store,
};
use anyhow::{Error, Result, anyhow};
use futures::{FutureExt, StreamExt, TryStreamExt, stream, stream::BoxStream};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tfgrid_client::{grid_at::PublicPlace, sealing::SealKey};
use tfgrid_primitives::{ContractId, TwinId};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

const FILE: &str = "head.json";
/// Without a finalized head for so long, the agent connects again.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit for reading the contracts at one head.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the highest head is written to disk.
const WRITE_EVERY: Duration = Duration::from_secs(30);
/// Blocks from one read of the chain's intervals to the next.
const LIMITS_EVERY: u32 = 20;
/// Blocks from one read of a name's holder to the next.
const NAMES_EVERY: u32 = 10;
/// Limit of names that are read at the same time.
const MAX_READS: usize = 16;

/// A head compared with the highest one that this node has ever seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadAge {
    /// Higher.
    New,
    /// The same block.
    Same,
    /// Lower, or another block of the same number.
    Old,
    /// Read from this node's disk: the chain wasn't reached since the start of the agent.
    Stored,
}

/// This node's contracts at one head.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The block that was read.
    pub head: Head,
    /// Never [`HeadAge::Old`].
    pub age: HeadAge,
    /// All contracts on this node, with their bodies.
    pub contracts: BTreeMap<ContractId, Arc<Desired>>,
    /// The intervals in force.
    pub limits: ChainLimits,
    /// What the chain says of this node as a gateway.
    pub grants: GatewayGrants,
}

/// Why nothing may be destroyed on the word of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// An endpoint that is behind may serve it again.
    #[error("finalized block {0} was seen before this start of the agent")]
    SeenBefore(u32),
    /// The endpoint doesn't keep up with the chain.
    #[error("finalized block {number} is {age_s} s old")]
    Stale {
        /// Block number.
        number: u32,
        /// Seconds by which its clock is behind this machine's.
        age_s: u64,
    },
    /// The endpoint or this machine has the time wrong.
    #[error("finalized block {number} is from {by_s} s in the future")]
    Future {
        /// Block number.
        number: u32,
        /// Seconds by which its clock is ahead of this machine's.
        by_s: u64,
    },
}

impl Snapshot {
    /// Whether what the chain says at this head is enough to destroy data: the head is higher than any seen
    /// before and younger than [`STALE_MS`].
    pub fn may_destroy(&self, now_ms: u64) -> Result<(), Unproven> {
        let Head { number, timestamp_ms, .. } = self.head;
        let age_ms = now_ms.saturating_sub(timestamp_ms);
        if self.age != HeadAge::New {
            return Err(Unproven::SeenBefore(number));
        }
        if age_ms >= STALE_MS {
            return Err(Unproven::Stale { number, age_s: age_ms / 1_000 });
        }
        let ahead_ms = timestamp_ms.saturating_sub(now_ms);
        if ahead_ms >= STALE_MS {
            return Err(Unproven::Future { number, by_s: ahead_ms / 1_000 });
        }
        Ok(())
    }

    /// Whether the node has confirmed any version of the contract.
    pub fn is_deployed(&self, contract: ContractId) -> bool {
        self.contracts.get(&contract).is_some_and(|desired| desired.contract.confirmed().is_some())
    }

    /// Whether this version of the contract is active and confirmed.
    pub fn has_confirmed(&self, contract: ContractId, version: Version) -> bool {
        self.contracts.get(&contract).is_some_and(|desired| desired.has_confirmed(version))
    }
}

/// The highest finalized head that this node has ever seen, kept over restarts.
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

    fn age(&self, head: &Head) -> HeadAge {
        match self.seen {
            Some(seen) if head.number < seen.number => HeadAge::Old,
            Some(seen) if head.number == seen.number && head.hash == seen.hash => HeadAge::Same,
            Some(seen) if head.number == seen.number => HeadAge::Old,
            _ => HeadAge::New,
        }
    }

    fn raise(&mut self, head: &Head) -> Result<()> {
        let seen = Seen { number: head.number, hash: head.hash };
        self.seen = Some(seen);
        if self.written.is_none_or(|written| written.elapsed() >= WRITE_EVERY) {
            self.store.write(FILE, &seen)?;
            self.written = Some(Instant::now());
        }
        Ok(())
    }
}

/// Turns finalized heads into snapshots.
pub struct Follower {
    chain: Arc<dyn Chain>,
    key: SealKey,
    highest: Highest,
    metrics: Metrics,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    backoff: Backoff,
}

impl Follower {
    /// Sends snapshots to `snapshots` once it runs; opens sealed bodies with `key`.
    ///
    /// # Errors
    /// If the file with the highest head is damaged.
    pub fn new(
        chain: Arc<dyn Chain>,
        key: SealKey,
        store: Store,
        metrics: Metrics,
        snapshots: watch::Sender<Option<Arc<Snapshot>>>,
        backoff: Backoff,
    ) -> Result<Self> {
        Ok(Self { chain, key, highest: Highest::load(store)?, metrics, snapshots, backoff })
    }

    /// Follows for ever; connects again when a connection ends.
    pub async fn run(mut self) {
        let mut failures = 0u32;
        loop {
            let why = match timeout(HEAD_TIMEOUT, self.chain.heads()).await {
                Ok(Ok(heads)) => self.follow(heads, &mut failures).await,
                Ok(Err(error)) => error.into(),
                Err(_) => anyhow!("the chain didn't answer within {HEAD_TIMEOUT:?}"),
            };
            self.metrics.chain_up.set(0);
            failures = failures.saturating_add(1);
            let delay = self.backoff.delay(failures);
            warn!(retry_in = ?delay, "not following the chain: {why:#}");
            sleep(delay).await;
        }
    }

    /// Follows one connection; returns why it ended.
    async fn follow(
        &mut self,
        heads: BoxStream<'static, Result<Head, ChainError>>,
        failures: &mut u32,
    ) -> Error {
        let mut heads = heads.fuse();
        let mut behind_since = None;
        loop {
            let mut head = match timeout(HEAD_TIMEOUT, heads.next()).await {
                Ok(Some(Ok(head))) => head,
                Ok(Some(Err(error))) => return error.into(),
                Ok(None) => return anyhow!("the connection ended"),
                Err(_) => return anyhow!("no finalized block for {HEAD_TIMEOUT:?}"),
            };
            // Of heads that queued up during a read, only the last one matters.
            while let Some(Some(Ok(newer))) = heads.next().now_or_never() {
                head = newer;
            }
            if self.highest.age(&head) == HeadAge::Old {
                let since: &mut Instant = behind_since.get_or_insert_with(|| {
                    warn!(
                        number = head.number,
                        "the endpoint serves an older block than before, or another one of the same number: \
                         waiting for a higher one. If the chain was started anew, use an empty --data folder"
                    );
                    Instant::now()
                });
                if since.elapsed() > HEAD_TIMEOUT {
                    return anyhow!("the endpoint stays behind the highest block that this node has seen");
                }
                continue;
            }
            match timeout(READ_TIMEOUT, self.read(&head)).await {
                Ok(Ok(())) => {
                    if std::mem::take(failures) > 0 {
                        info!(number = head.number, "following the chain again");
                    }
                }
                Ok(Err(error)) => return error.into(),
                Err(_) => return anyhow!("block {} wasn't read within {READ_TIMEOUT:?}", head.number),
            }
        }
    }

    async fn read(&mut self, head: &Head) -> Result<(), ChainError> {
        let last = self.snapshots.borrow().clone();
        let age = self.highest.age(head);
        if age == HeadAge::Same && last.is_some() {
            self.metrics.chain_up.set(1);
            return Ok(());
        }
        let snapshot = Arc::new(self.snapshot(head, age, last.as_deref()).await?);
        if last.is_none() {
            info!(number = head.number, contracts = snapshot.contracts.len(), "following the chain");
        }
        self.metrics.chain_up.set(1);
        self.metrics.head.set(head.number.into());
        // Nobody waits for the disk.
        self.snapshots.send_replace(Some(snapshot.clone()));
        if let Err(error) = self.highest.raise(head) {
            error!("{error:#}");
        }
        if last.as_ref().is_none_or(|last| last.contracts != snapshot.contracts)
            && let Err(error) = stored::write(&self.highest.store, &snapshot)
        {
            error!("{error:#}");
        }
        Ok(())
    }

    async fn snapshot(
        &self,
        head: &Head,
        age: HeadAge,
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
        let grants = self.grants(head, &contracts, last).await?;
        Ok(Snapshot { head: *head, age, contracts, limits, grants })
    }

    /// A name that nobody held is looked at in each block, others now and then.
    async fn grants(
        &self,
        head: &Head,
        contracts: &BTreeMap<ContractId, Arc<Desired>>,
        last: Option<&Snapshot>,
    ) -> Result<GatewayGrants, ChainError> {
        let sites: Vec<&GatewaySpec> = contracts.values().flat_map(|desired| desired.gateways()).collect();
        let PublicPlace { addresses, domain } = self.chain.public_place(head).await?;
        let last = last.filter(|last| head.number / NAMES_EVERY == last.head.number / NAMES_EVERY);
        let names: BTreeSet<&str> = sites
            .iter()
            .filter_map(|spec| match &spec.host {
                GatewayHost::Name(name) => Some(name.as_str()),
                GatewayHost::Domain(_) => None,
            })
            .collect();
        let (mut holders, mut reads) = (BTreeMap::new(), Vec::new());
        for name in names {
            match last.and_then(|last| last.grants.holders.get(name)) {
                Some(holder) => drop(holders.insert(name.to_owned(), *holder)),
                None => reads.push(self.held(name, head).boxed()),
            }
        }
        let read: Vec<Option<(String, TwinId)>> =
            stream::iter(reads).buffered(MAX_READS).try_collect().await?;
        holders.extend(read.into_iter().flatten());
        Ok(GatewayGrants { domain, addresses, holders })
    }

    async fn held(&self, name: &str, head: &Head) -> Result<Option<(String, TwinId)>, ChainError> {
        Ok(self.chain.name_holder(name, head).await?.map(|twin| (name.to_owned(), twin)))
    }

    async fn desired(&self, contract: Contract, head: &Head) -> Result<Desired, ChainError> {
        let body = self.chain.body(contract.id, BodyOf::Active, head).await?;
        let pending = match contract.pending {
            Some(_) => self.chain.body(contract.id, BodyOf::Pending, head).await?,
            None => None,
        };
        let desired = Desired::new(contract, body, pending.as_ref(), &self.key);
        if let Some(Wanted::Unknown(why)) = desired.pending.as_ref().map(|pending| &pending.wanted) {
            warn!(contract = desired.contract.id, %why, "update ignored for now");
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
        assert_eq!(highest.age(&head(5, 1)), HeadAge::New);
        highest.raise(&head(5, 1)).unwrap();

        let highest = Highest::load(store).unwrap();
        assert_eq!(highest.age(&head(4, 9)), HeadAge::Old);
        assert_eq!(highest.age(&head(5, 1)), HeadAge::Same);
        assert_eq!(highest.age(&head(5, 2)), HeadAge::Old);
        assert_eq!(highest.age(&head(6, 1)), HeadAge::New);
    }

    #[test]
    fn only_a_new_and_fresh_head_proves_a_contracts_end() {
        let snapshot = |age| Snapshot {
            head: head(5, 1),
            age,
            contracts: BTreeMap::new(),
            limits: ChainLimits { heartbeat_ms: 1, usage_ms: 1, answer_ms: 1 },
            grants: GatewayGrants::default(),
        };
        assert_eq!(snapshot(HeadAge::New).may_destroy(1_000_000 + STALE_MS - 1), Ok(()));
        assert!(snapshot(HeadAge::New).may_destroy(1_000_000 + STALE_MS).is_err());
        assert!(snapshot(HeadAge::Same).may_destroy(1_000_000).is_err());
    }
}
