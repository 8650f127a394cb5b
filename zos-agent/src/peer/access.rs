// SPDX-License-Identifier: Apache-2.0
//! Callers' rights to ask about contracts and about the node, as of the finalized head.

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
/// Keys of a twin that can't be read are forgotten after so long a time: a read that takes its time keeps them for as
/// long again as its limit, which makes a minute.
const UNREAD_FOR: Duration = Duration::from_secs(40);
/// Keys are forgotten after so long a time without a finalized head: the chain may have removed them since.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);
/// Twins that are read at the same time.
const MAX_READS: usize = 16;

/// Twins with contracts on this node, its farmer, and their peer keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    twins: BTreeMap<TwinId, Vec<PublicKey>>,
    keys: HashMap<PublicKey, BTreeSet<TwinId>>,
    owners: BTreeMap<ContractId, TwinId>,
    farmer: Option<TwinId>,
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
        Self { twins, keys, owners, farmer: None }
    }

    /// The same, with the twin that owns the node's farm.
    #[must_use]
    pub fn with_farmer(self, farmer: Option<TwinId>) -> Self {
        Self { farmer, ..self }
    }

    /// Whether the key is one of a twin with a contract here, or of the farmer.
    pub fn knows(&self, key: &PublicKey) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether the node has this contract.
    pub fn has(&self, contract: ContractId) -> bool {
        self.owners.contains_key(&contract)
    }

    /// The contract's owner, or the farmer where it is about the node itself, if the key is one of its.
    pub fn owner(&self, key: &PublicKey, contract: Option<ContractId>) -> Option<TwinId> {
        let owner = match contract {
            Some(contract) => self.owners.get(&contract).copied(),
            None => self.farmer,
        };
        owner.filter(|owner| self.keys.get(key).is_some_and(|twins| twins.contains(owner)))
    }
}

/// The node's farmer, and when that was read.
#[derive(Clone, Copy)]
struct Farmer {
    twin: Option<TwinId>,
    read_at: Instant,
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
        let mut farmer: Option<Farmer> = None;
        loop {
            match timeout(self.known_for, self.snapshots.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    warn!("owners are forgotten: no finalized head for {:?}", self.known_for);
                    read_at.clear();
                    farmer = None;
                    self.publish(Known::default());
                    continue;
                }
            }
            let Some(snapshot) = self.snapshots.borrow_and_update().clone() else { continue };
            let owners: BTreeMap<_, _> =
                snapshot.contracts.iter().map(|(id, desired)| (*id, desired.contract.twin)).collect();
            farmer = farmer.filter(|farmer| farmer.read_at.elapsed() < self.unread_for);
            let twin = farmer.and_then(|farmer| farmer.twin);
            let wanted: BTreeSet<_> = owners.values().copied().chain(twin).collect();
            let mut twins = self.known.borrow().twins.clone();
            read_at.retain(|twin, at| wanted.contains(twin) && at.elapsed() < self.unread_for);
            twins.retain(|twin, _| read_at.contains_key(twin));
            // At once: a contract that has closed has no owner any more.
            self.publish(Known::new(twins.clone(), owners.clone()).with_farmer(twin));
            let is_due =
                |twin: &TwinId| read_at.get(twin).is_none_or(|at: &Instant| at.elapsed() >= READ_EVERY);
            let due: Vec<_> = wanted.iter().copied().filter(is_due).collect();
            let begun = Instant::now();
            // The keys of a farmer that is new are read with the next head.
            let (read, read_farmer) =
                tokio::join!(self.read(due, &snapshot.head), self.farmer(farmer, &snapshot.head));
            farmer = read_farmer;
            read_at.extend(read.iter().map(|(twin, _)| (*twin, begun)));
            twins.extend(read);
            let twin = farmer.and_then(|farmer| farmer.twin);
            self.publish(Known::new(twins, owners).with_farmer(twin));
        }
    }

    fn publish(&self, now: Known) {
        self.known.send_if_modified(|known| {
            let changed = **known != now;
            *known = Arc::new(now);
            changed
        });
    }

    /// The farmer, read again where that is due.
    async fn farmer(&self, last: Option<Farmer>, at: &Head) -> Option<Farmer> {
        if last.is_some_and(|last| last.read_at.elapsed() < READ_EVERY) {
            return last;
        }
        let read_at = Instant::now();
        match timeout(READ_WITHIN, self.chain.farmer(at)).await {
            Ok(Ok(twin)) => Some(Farmer { twin, read_at }),
            Ok(Err(why)) => {
                warn!("can't read who owns this node's farm: {:#}", anyhow::Error::from(why));
                last
            }
            Err(_) => last,
        }
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
            assert_eq!(known.owner(&key, Some(contract)), Some(owner), "{contract}");
        }
        for (key, contract) in [([1; 32], 20), ([1; 32], 30), ([1; 32], 11), ([4; 32], 10)] {
            assert_eq!(known.owner(&key, Some(contract)), None, "{contract}");
        }
        assert!(known.knows(&[9; 32]) && !known.knows(&[4; 32]));
    }

    #[test]
    fn only_a_key_of_the_farmer_asks_about_the_node() {
        let twins = BTreeMap::from([(1, vec![[1; 32]]), (2, vec![[2; 32]])]);
        let known = Known::new(twins, BTreeMap::from([(10, 1)]));
        assert_eq!(known.owner(&[2; 32], None), None);
        let known = known.with_farmer(Some(2));
        assert_eq!((known.owner(&[2; 32], None), known.owner(&[1; 32], None)), (Some(2), None));
        assert_eq!(known.owner(&[2; 32], Some(10)), None, "a farmer sees nothing of its tenants");
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
        chain.set_farmer(2);
        let blocks = async {
            loop {
                chain.advance();
                sleep(Duration::from_millis(20)).await;
            }
        };
        let reads = async {
            let may_ask = |known: &Arc<Known>| [Some(10), None].map(|of| known.owner(&KEY, of).is_some());
            published.wait_for(|known| may_ask(known) == [true; 2]).await.unwrap();
            chain.set_peer_keys(None);
            published.wait_for(|known| may_ask(known) == [false; 2]).await.unwrap();
            chain.set_peer_keys(Some(vec![KEY]));
            published.wait_for(|known| may_ask(known) == [true; 2]).await.unwrap();
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
