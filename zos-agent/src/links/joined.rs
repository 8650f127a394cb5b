// SPDX-License-Identifier: Apache-2.0
//! Peers of the owners' that join networks through this node, as of the finalized head.

use crate::{
    chain::Snapshot,
    drivers::{
        NetworkId, NetworkPeer,
        network::{Elsewhere, Names, WireGuardKey},
    },
};
use ipnet::Ipv4Net;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

/// A peer of a network, with the address of its router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    name: String,
    peer: NetworkPeer,
    router: Ipv4Addr,
}

impl Joined {
    /// Whether this is its public key.
    pub fn has_key(&self, key: &WireGuardKey) -> bool {
        self.peer.key == *key
    }
}

/// The peers of each network that has some.
pub type Peers = BTreeMap<NetworkId, Vec<Joined>>;

/// Those of contracts that run as the node has reported. What a node refuses gets no peers.
pub fn peers(snapshot: &Snapshot) -> Peers {
    let run = snapshot.contracts.values().filter(|desired| {
        let contract = &desired.contract;
        contract.confirmed().is_some() && !contract.paused
    });
    let mut peers = Peers::new();
    for spec in run.filter_map(|desired| desired.active.workloads()).flat_map(|workloads| &workloads.networks)
    {
        for (name, peer) in &spec.peers {
            let joined = Joined { name: name.clone(), peer: *peer, router: spec.gateway };
            peers.entry(spec.id.clone()).or_default().push(joined);
        }
    }
    peers
}

/// Addresses of each key. A peer with the node's own key is none.
pub fn ranges(peers: &[Joined], own: &WireGuardKey) -> BTreeMap<WireGuardKey, BTreeSet<Ipv4Net>> {
    let mut ranges: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for Joined { peer, .. } in peers.iter().filter(|joined| joined.peer.key != *own) {
        ranges.entry(peer.key).or_default().insert(peer.ip.into());
    }
    ranges
}

/// From which address of the node each is answered.
pub fn sources(peers: &[Joined]) -> BTreeMap<Ipv4Net, Ipv4Addr> {
    peers.iter().map(|joined| (joined.peer.ip.into(), joined.router)).collect()
}

/// Adds the peers' names.
pub fn add_names(peers: &[Joined], names: &mut Names) {
    for Joined { name, peer, .. } in peers {
        names.entry(name.clone()).or_default().insert(peer.ip);
    }
}

/// These names on other nodes with those of peers.
pub fn elsewhere(names: BTreeMap<NetworkId, Names>, peers: &Peers) -> BTreeMap<NetworkId, Elsewhere> {
    let far = |(id, names)| (id, Elsewhere { names, peers: BTreeSet::new() });
    let mut elsewhere: BTreeMap<NetworkId, Elsewhere> = names.into_iter().map(far).collect();
    for (id, peers) in peers {
        let found = elsewhere.entry(id.clone()).or_default();
        add_names(peers, &mut found.names);
        found.peers.extend(peers.iter().map(|joined| joined.peer.ip));
    }
    elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(name: &str, key: u8, last: u8) -> Joined {
        let ip = Ipv4Addr::new(10, 20, 1, last);
        let peer = NetworkPeer { key: [key; 32], ip };
        Joined { name: name.into(), peer, router: [10, 20, 1, 1].into() }
    }

    #[test]
    fn a_peer_has_its_addresses_alone_and_never_the_nodes_key() {
        let peers = [joined("a", 1, 7), joined("b", 1, 8), joined("c", 2, 9)];
        let found = ranges(&peers, &[2; 32]);
        let expected: BTreeSet<Ipv4Net> =
            ["10.20.1.7/32", "10.20.1.8/32"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(found, BTreeMap::from([([1; 32], expected)]));
    }

    #[test]
    fn peers_are_found_beside_machines_on_other_nodes() {
        let id = |name: &str| NetworkId { twin: 5, name: name.into() };
        let far = Ipv4Addr::new(10, 20, 2, 7);
        let names = [(id("site"), [("web".to_owned(), BTreeSet::from([far]))].into())].into();
        let peers = [(id("site"), vec![joined("laptop", 1, 7)]), (id("back"), vec![joined("phone", 2, 8)])];
        let found = elsewhere(names, &peers.into());
        assert!(found[&id("site")].names.keys().eq(["laptop", "web"]));
        assert_eq!(found[&id("site")].peers, BTreeSet::from([Ipv4Addr::new(10, 20, 1, 7)]));
        assert!(found[&id("back")].names.keys().eq(["phone"]));
    }
}
