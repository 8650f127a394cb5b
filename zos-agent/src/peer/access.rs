// SPDX-License-Identifier: Apache-2.0
//! Who may ask about which contract, as of the finalized head.

use crate::chain::{Chain, Head, Snapshot};
use futures::{StreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tfgrid_primitives::{ContractId, PublicKey, TwinId};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::warn;

/// Age of what was read of twins from which it is read again: a key that its owner has removed ends within this time,
/// and that to the next finalized head.
const READ_EVERY: Duration = Duration::from_secs(20);
/// Limit for reading all twins.
const READ_WITHIN: Duration = Duration::from_secs(20);
/// Twins that are read at the same time.
const MAX_READS: usize = 16;

/// Twins with contracts on this node, and their peer keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    twins: BTreeMap<TwinId, Vec<PublicKey>>,
    keys: HashMap<PublicKey, BTreeSet<TwinId>>,
    owners: BTreeMap<ContractId, TwinId>,
}

impl Known {
    /// The peer keys of each twin, and the twin that owns each contract.
    pub fn new(twins: BTreeMap<TwinId, Vec<PublicKey>>, owners: BTreeMap<ContractId, TwinId>) -> Self {
        let mut keys: HashMap<_, BTreeSet<_>> = HashMap::new();
        for (twin, of_twin) in &twins {
            for key in of_twin {
                keys.entry(*key).or_default().insert(*twin);
            }
        }
        Self { twins, keys, owners }
    }

    /// Whether the key is one of a twin with a contract here.
    pub fn knows(&self, key: &PublicKey) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether the key is one of the contract's owner.
    pub fn permits(&self, key: &PublicKey, contract: ContractId) -> bool {
        let owner = self.owners.get(&contract);
        owner.is_some_and(|owner| self.keys.get(key).is_some_and(|twins| twins.contains(owner)))
    }
}

/// Keeps [`Known`] up to date.
pub struct Keeper {
    chain: Arc<dyn Chain>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    known: watch::Sender<Arc<Known>>,
}

impl Keeper {
    /// Sends to `known` once it runs.
    pub fn new(
        chain: Arc<dyn Chain>,
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        known: watch::Sender<Arc<Known>>,
    ) -> Self {
        Self { chain, snapshots, known }
    }

    /// Reads the owners' keys, for ever.
    pub async fn run(mut self) {
        let mut read_at = None;
        while self.snapshots.changed().await.is_ok() {
            let Some(snapshot) = self.snapshots.borrow_and_update().clone() else { continue };
            let owners: BTreeMap<_, _> =
                snapshot.contracts.iter().map(|(id, desired)| (*id, desired.contract.twin)).collect();
            let mut twins = self.known.borrow().twins.clone();
            let wanted: BTreeSet<_> = owners.values().copied().collect();
            twins.retain(|twin, _| wanted.contains(twin));
            let is_old = read_at.is_none_or(|at: Instant| at.elapsed() >= READ_EVERY);
            let missing: Vec<_> =
                wanted.iter().copied().filter(|twin| is_old || !twins.contains_key(twin)).collect();
            if is_old {
                read_at = Some(Instant::now());
            }
            // At once: a contract that has closed has no owner any more.
            self.publish(Known::new(twins.clone(), owners.clone()));
            twins.extend(self.read(missing, &snapshot.head).await);
            self.publish(Known::new(twins, owners));
        }
    }

    fn publish(&self, now: Known) {
        self.known.send_if_modified(|known| {
            let changed = **known != now;
            *known = Arc::new(now);
            changed
        });
    }

    /// The keys of those twins that can be read.
    async fn read(&self, twins: Vec<TwinId>, at: &Head) -> Vec<(TwinId, Vec<PublicKey>)> {
        let reads = twins.into_iter().map(|twin| async move { (twin, self.chain.peer_keys(twin, at).await) });
        let in_time = stream::iter(reads).buffer_unordered(MAX_READS).take_until(sleep(READ_WITHIN));
        let read = in_time.collect::<Vec<_>>().await;
        let keys = read.into_iter().filter_map(|(twin, keys)| match keys {
            Ok(keys) => Some((twin, keys)),
            Err(why) => {
                warn!(twin, "can't read its peer keys: {:#}", anyhow::Error::from(why));
                None
            }
        });
        keys.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_serves_the_contracts_of_its_twins_only() {
        let twins = BTreeMap::from([(1, vec![[1; 32], [9; 32]]), (2, vec![[2; 32], [9; 32]]), (3, vec![])]);
        let known = Known::new(twins, BTreeMap::from([(10, 1), (20, 2), (30, 3)]));
        assert!(known.permits(&[1; 32], 10) && known.permits(&[9; 32], 10) && known.permits(&[9; 32], 20));
        for (key, contract) in [([1; 32], 20), ([1; 32], 30), ([1; 32], 11), ([4; 32], 10)] {
            assert!(!known.permits(&key, contract), "{contract}");
        }
        assert!(known.knows(&[9; 32]) && !known.knows(&[4; 32]));
    }
}
