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
    time::{Instant, sleep, timeout},
};
use tracing::warn;

/// Age of what was read of twins from which it is read again: a key that its owner has removed ends within this time,
/// and that to the next finalized head.
const READ_EVERY: Duration = Duration::from_secs(20);
/// Limit for reading all twins.
const READ_WITHIN: Duration = Duration::from_secs(20);
/// Keys of a twin that can't be read are forgotten after so long a time: a read that takes its time keeps them for as long
/// again as its limit, which makes a minute.
const UNREAD_FOR: Duration = Duration::from_secs(40);
/// Keys are forgotten after so long a time without a finalized head: the chain may have removed them since.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);
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

    /// Whether the node has this contract.
    pub fn has(&self, contract: ContractId) -> bool {
        self.owners.contains_key(&contract)
    }

    /// The contract's owner, if the key is one of its.
    pub fn owner(&self, key: &PublicKey, contract: ContractId) -> Option<TwinId> {
        let owner = self.owners.get(&contract).copied();
        owner.filter(|owner| self.keys.get(key).is_some_and(|twins| twins.contains(owner)))
    }
}

/// Keeps [`Known`] up to date.
pub struct Keeper {
    chain: Arc<dyn Chain>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    known: watch::Sender<Arc<Known>>,
    known_for: Duration,
    unread_for: Duration,
}

impl Keeper {
    /// Sends to `known` once it runs.
    pub fn new(
        chain: Arc<dyn Chain>,
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        known: watch::Sender<Arc<Known>>,
    ) -> Self {
        Self { chain, snapshots, known, known_for: KNOWN_FOR, unread_for: UNREAD_FOR }
    }

    /// Reads the owners' keys, for ever.
    pub async fn run(mut self) {
        let mut read_at = BTreeMap::<TwinId, Instant>::new();
        loop {
            match timeout(self.known_for, self.snapshots.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    warn!("owners are forgotten: no finalized head for {:?}", self.known_for);
                    read_at.clear();
                    self.publish(Known::default());
                    continue;
                }
            }
            let Some(snapshot) = self.snapshots.borrow_and_update().clone() else { continue };
            let owners: BTreeMap<_, _> =
                snapshot.contracts.iter().map(|(id, desired)| (*id, desired.contract.twin)).collect();
            let wanted: BTreeSet<_> = owners.values().copied().collect();
            let mut twins = self.known.borrow().twins.clone();
            read_at.retain(|twin, at| wanted.contains(twin) && at.elapsed() < self.unread_for);
            twins.retain(|twin, _| read_at.contains_key(twin));
            // At once: a contract that has closed has no owner any more.
            self.publish(Known::new(twins.clone(), owners.clone()));
            let is_due =
                |twin: &TwinId| read_at.get(twin).is_none_or(|at: &Instant| at.elapsed() >= READ_EVERY);
            let due: Vec<_> = wanted.iter().copied().filter(is_due).collect();
            let begun = Instant::now();
            let read = self.read(due, &snapshot.head).await;
            read_at.extend(read.iter().map(|(twin, _)| (*twin, begun)));
            twins.extend(read);
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
    use crate::{
        backoff::Backoff,
        chain::{Follower, fake::FakeChain},
        metrics::Metrics,
        store::Store,
    };
    use prometheus::Registry;
    use tfgrid_client::sealing::SealKey;

    #[test]
    fn a_key_serves_the_contracts_of_its_twins_only() {
        let twins = BTreeMap::from([(1, vec![[1; 32], [9; 32]]), (2, vec![[2; 32], [9; 32]]), (3, vec![])]);
        let known = Known::new(twins, BTreeMap::from([(10, 1), (20, 2), (30, 3)]));
        for (key, contract, owner) in [([1; 32], 10, 1), ([9; 32], 10, 1), ([9; 32], 20, 2)] {
            assert_eq!(known.owner(&key, contract), Some(owner), "{contract}");
        }
        for (key, contract) in [([1; 32], 20), ([1; 32], 30), ([1; 32], 11), ([4; 32], 10)] {
            assert_eq!(known.owner(&key, contract), None, "{contract}");
        }
        assert!(known.knows(&[9; 32]) && !known.knows(&[4; 32]));
    }

    #[tokio::test]
    async fn keys_are_forgotten_without_finalized_heads() {
        let owner = Known::new(BTreeMap::from([(1, vec![[1; 32]])]), BTreeMap::from([(10, 1)]));
        let (known, mut forgotten) = watch::channel(Arc::new(owner));
        let (_no_heads, snapshots) = watch::channel(None);
        let mut keeper = Keeper::new(Arc::new(FakeChain::new()), snapshots, known);
        keeper.known_for = Duration::from_millis(50);
        let keeping = tokio::spawn(keeper.run());
        let forgets = forgotten.wait_for(|known| !known.knows(&[1; 32]));
        assert!(timeout(Duration::from_secs(10), forgets).await.unwrap().is_ok());
        keeping.abort();
    }

    #[tokio::test]
    async fn keys_of_a_twin_that_cannot_be_read_are_forgotten() {
        const KEY: PublicKey = [1; 32];
        let (chain, folder) = (FakeChain::new(), tempfile::tempdir().unwrap());
        chain.deploy(10, "{}");
        chain.set_peer_keys(Some(vec![KEY]));
        let (known, mut published) = watch::channel(Arc::default());
        let (snapshots, heads) = watch::channel(None);
        let follower = Follower::new(
            Arc::new(chain.clone()),
            SealKey::new(&[7; 32]).unwrap(),
            Store::open(folder.path()).unwrap(),
            Metrics::new(&Registry::new()).unwrap(),
            snapshots,
            Backoff { first: Duration::from_millis(5), most: Duration::from_millis(5) },
        );
        let mut keeper = Keeper::new(Arc::new(chain.clone()), heads, known);
        keeper.unread_for = Duration::from_millis(200);
        let blocks = async {
            loop {
                chain.advance();
                sleep(Duration::from_millis(20)).await;
            }
        };
        let reads = async {
            published.wait_for(|known: &Arc<Known>| known.knows(&KEY)).await.unwrap();
            chain.set_peer_keys(None);
            published.wait_for(|known| !known.knows(&KEY)).await.unwrap();
            chain.set_peer_keys(Some(vec![KEY]));
            published.wait_for(|known| known.knows(&KEY)).await.unwrap();
        };
        tokio::select! {
            () = follower.unwrap().run() => {}
            () = keeper.run() => {}
            () = blocks => {}
            read = timeout(Duration::from_secs(10), reads) => return read.unwrap(),
        }
        panic!("a part has ended");
    }
}
