// SPDX-License-Identifier: Apache-2.0
//! Which nodes have parts of this node's networks, as of the finalized head.

use crate::{
    chain::{Chain, ChainError, Snapshot},
    drivers::NetworkId,
};
use futures::{FutureExt, StreamExt, stream};
use ipnet::Ipv4Net;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tfgrid_client::peer::NodeAddress;
use tfgrid_primitives::{ContractId, NodeId, PublicKey};
use tokio::time::Instant;
use tracing::warn;

/// Networks that are read at the same time.
const MAX_READS: usize = 16;
/// Age from which a node's key and addresses are read again.
const READ_AGAIN: Duration = Duration::from_secs(30);

/// Another node of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberNode {
    /// Its peer endpoint.
    pub address: NodeAddress,
    /// Addresses of its machines in the network.
    pub ranges: BTreeSet<Ipv4Net>,
}

/// The other nodes of a network, by their peer keys.
pub type MemberNodes = BTreeMap<PublicKey, MemberNode>;
/// The other nodes of each network of this node.
pub type Members = BTreeMap<NetworkId, MemberNodes>;

/// Reads members.
pub struct MemberReader {
    chain: Arc<dyn Chain>,
    own: PublicKey,
    /// A contract stays on its node.
    nodes: BTreeMap<ContractId, NodeId>,
    addresses: BTreeMap<NodeId, (NodeAddress, Instant)>,
}

impl MemberReader {
    /// Reads for the node with this peer key.
    pub fn new(chain: Arc<dyn Chain>, own: PublicKey) -> Self {
        Self { chain, own, nodes: BTreeMap::new(), addresses: BTreeMap::new() }
    }

    /// The members of the networks that contracts of this snapshot have. Those of a network that can't be read are as
    /// in `before`.
    pub async fn read(&mut self, snapshot: &Snapshot, before: &Members) -> Members {
        let targets =
            snapshot.contracts.values().flat_map(|desired| desired.pending.iter().chain([&desired.active]));
        let specs = targets.filter_map(|target| target.workloads()).flat_map(|workloads| &workloads.networks);
        let networks: BTreeSet<NetworkId> = specs.map(|spec| spec.id.clone()).collect();
        let (chain, head) = (&self.chain, &snapshot.head);
        let read = |id: NetworkId| {
            let read = async move {
                let contracts = chain.network_members(id.twin, &id.name, head).await;
                (id, contracts)
            };
            read.boxed()
        };
        let reads: Vec<_> = networks.into_iter().map(read).collect();
        let read: Vec<_> = stream::iter(reads).buffer_unordered(MAX_READS).collect().await;
        let mut members = Members::new();
        let mut seen = BTreeSet::new();
        for (id, contracts) in read {
            let found = match contracts {
                Ok(contracts) => self.located(contracts, snapshot, &mut seen).await,
                Err(why) => Err(why),
            };
            match found {
                Ok(found) => drop(members.insert(id, settle(found, &self.own))),
                Err(why) => {
                    warn!(
                        twin = id.twin,
                        network = id.name,
                        "can't read who is in it: {:#}",
                        anyhow::Error::from(why)
                    );
                    let known = before.get(&id).cloned();
                    members.extend(known.map(|nodes| (id, nodes)));
                }
            }
        }
        self.nodes.retain(|contract, _| seen.contains(contract));
        let nodes: BTreeSet<_> = self.nodes.values().copied().collect();
        self.addresses.retain(|node, _| nodes.contains(node));
        members
    }

    /// The contracts with the addresses of their nodes.
    async fn located(
        &mut self,
        contracts: Vec<(ContractId, Ipv4Net)>,
        snapshot: &Snapshot,
        seen: &mut BTreeSet<ContractId>,
    ) -> Result<Vec<(ContractId, Ipv4Net, NodeAddress)>, ChainError> {
        let mut located = Vec::new();
        for (contract, range) in contracts {
            seen.insert(contract);
            let node = match self.nodes.get(&contract) {
                Some(node) => *node,
                None => match self.chain.node_of_contract(contract, &snapshot.head).await? {
                    Some(node) => node,
                    None => continue,
                },
            };
            self.nodes.insert(contract, node);
            let known = self.addresses.get(&node).filter(|(_, read)| read.elapsed() < READ_AGAIN);
            let address = match known {
                Some((address, _)) => address.clone(),
                None => match self.chain.node_address(node, &snapshot.head).await? {
                    Some(address) => {
                        self.addresses.insert(node, (address.clone(), Instant::now()));
                        address
                    }
                    None => continue,
                },
            };
            located.push((contract, range, address));
        }
        Ok(located)
    }
}

/// The other nodes with their ranges. Where ranges overlap, that of the earliest contract counts: so all nodes send
/// packets for an address to the same one.
fn settle(mut contracts: Vec<(ContractId, Ipv4Net, NodeAddress)>, own: &PublicKey) -> MemberNodes {
    contracts.sort_by_key(|(contract, ..)| *contract);
    let mut taken: Vec<Ipv4Net> = Vec::new();
    let mut nodes = MemberNodes::new();
    for (_, range, address) in contracts {
        let range = range.trunc();
        let is_taken = taken.iter().any(|other| other.contains(&range) || range.contains(other));
        taken.push(range);
        if address.key == *own {
            continue;
        }
        let node =
            nodes.entry(address.key).or_insert_with(|| MemberNode { address, ranges: BTreeSet::new() });
        if !is_taken {
            node.ranges.insert(range);
        }
    }
    nodes
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
    use tfgrid_client::{peer::PeerAddresses, sealing::SealKey};
    use tokio::sync::watch;

    fn address(key: u8) -> NodeAddress {
        NodeAddress { key: [key; 32], addresses: PeerAddresses::default() }
    }

    fn range(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn of_overlapping_ranges_the_earliest_contracts_counts() {
        let contracts = vec![
            (9, range("10.20.1.0/24"), address(1)),
            (2, range("10.20.1.128/25"), address(2)),
            (4, range("10.20.2.0/24"), address(3)),
            (3, range("10.20.2.0/23"), address(2)),
            (5, range("10.20.8.0/24"), address(3)),
        ];
        for own in 1..=3 {
            let nodes = settle(contracts.clone(), &[own; 32]);
            let ranges =
                |key: u8| nodes[&[key; 32]].ranges.iter().map(ToString::to_string).collect::<Vec<_>>();
            let settled =
                [(1, vec![]), (2, vec!["10.20.1.128/25", "10.20.2.0/23"]), (3, vec!["10.20.8.0/24"])];
            for (key, settled) in settled.into_iter().filter(|(key, _)| *key != own) {
                assert_eq!(ranges(key), settled, "node {key} for node {own}");
            }
            assert!(!nodes.contains_key(&[own; 32]));
        }
    }

    #[tokio::test]
    async fn members_are_those_of_the_finalized_head() {
        const BODY: &str = r#"{"version":1,"workloads":[
            {"name":"site","type":"network","data":{"subnet":"10.20.0.0/16","range":"10.20.1.0/24"}},
            {"name":"web","type":"zmachine","data":{"image":"localhost/web:1","cpu":1,"memory":16777216,
                "interfaces":[{"network":"site"}]}}]}"#;
        let chain = FakeChain::new();
        let folder = tempfile::tempdir().unwrap();
        let (snapshots, mut seen) = watch::channel(None);
        let again = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(1) };
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let key = SealKey::new(&[7; 32]).unwrap();
        let store = Store::open(folder.path()).unwrap();
        let follower = Follower::new(Arc::new(chain.clone()), key, store, metrics, snapshots, again).unwrap();
        let following = tokio::spawn(follower.run());
        for node in [1, 2, 3] {
            chain.set_address(node, address(node as u8));
        }
        let both = [(1, range("10.20.1.0/24"), 1), (2, range("10.20.2.0/24"), 2)];
        chain.set_members(1, "site", &both);
        chain.deploy(1, BODY);

        let mut reader = MemberReader::new(Arc::new(chain.clone()), [1; 32]);
        let has =
            |snapshot: &Option<Arc<Snapshot>>| snapshot.as_ref().is_some_and(|s| !s.contracts.is_empty());
        let snapshot = seen.wait_for(has).await.unwrap().clone().unwrap();
        let id = NetworkId { twin: 1, name: "site".into() };
        let members = reader.read(&snapshot, &Members::new()).await;
        assert_eq!(members[&id].keys().collect::<Vec<_>>(), [&[2u8; 32]]);

        chain.set_members(1, "site", &[both[0], (3, range("10.20.2.0/24"), 3)]);
        let members = reader.read(&snapshot, &members).await;
        assert_eq!(members[&id].keys().collect::<Vec<_>>(), [&[3u8; 32]], "a node that has left is a member");

        // It has registered again with another key.
        chain.set_address(3, address(4));
        reader.addresses.values_mut().for_each(|(_, read)| *read -= READ_AGAIN);
        let members = reader.read(&snapshot, &members).await;
        assert_eq!(members[&id].keys().collect::<Vec<_>>(), [&[4u8; 32]], "a key is as it was");
        following.abort();
    }
}
