// SPDX-License-Identifier: Apache-2.0
//! What the other nodes of this node's networks have said, kept over restarts of the agent.

use super::{
    members::{MemberNode, Members},
    protocol::{Part, PartError},
};
use crate::{
    drivers::{
        NetworkId,
        network::{NetworkNames, WireGuardKey},
    },
    store::Store,
};
use anyhow::Result;
use std::collections::BTreeMap;
use tfgrid_primitives::PublicKey;

const FILE: &str = "links.json";

/// The last part that each other node has said of each network.
pub struct Book {
    store: Store,
    parts: BTreeMap<NetworkId, BTreeMap<PublicKey, Part>>,
}

impl Book {
    /// Reads what was kept.
    ///
    /// # Errors
    /// If its file can't be read or is damaged.
    pub fn load(store: Store) -> Result<Self> {
        let kept: Vec<(PublicKey, Part)> = store.read(FILE)?.unwrap_or_default();
        let mut parts: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (from, part) in kept {
            parts.entry(part.id()).or_default().insert(from, part);
        }
        Ok(Self { store, parts })
    }

    /// Takes what a node says of its part; returns whether that is news. `own` is this node's key for the network.
    ///
    /// # Errors
    /// If it can't be true. What the node has said before stays.
    pub fn take(
        &mut self,
        from: &PublicKey,
        part: Part,
        members: &Members,
        own: &WireGuardKey,
    ) -> Result<bool, PartError> {
        let id = part.id();
        let member = members.get(&id).and_then(|nodes| nodes.get(from)).ok_or(PartError::NoMember)?;
        let key = part.check(member)?;
        let others = self.parts.entry(id.clone()).or_default();
        let is_taken = others.iter().any(|(node, other)| node != from && other.key == part.key);
        if is_taken || key == *own {
            return Err(PartError::KeyTaken);
        }
        let is_new = others.get(from) != Some(&part);
        if is_new {
            others.insert(*from, part);
        }
        Ok(is_new)
    }

    /// Forgets nodes that have left, and networks of which nothing is here any more; returns whether there were any.
    /// While it isn't known who is in a network, nobody has left it.
    pub fn keep(&mut self, members: &Members, is_here: impl Fn(&NetworkId) -> bool) -> bool {
        let count = |book: &Self| book.parts.values().map(BTreeMap::len).sum::<usize>();
        let before = count(self);
        self.parts.retain(|id, nodes| {
            let members = members.get(id);
            nodes.retain(|from, _| members.map_or_else(|| is_here(id), |members| members.contains_key(from)));
            !nodes.is_empty()
        });
        count(self) != before
    }

    /// Writes all to the disk.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write(&self) -> Result<()> {
        let parts = self.parts.values().flatten();
        self.store.write(FILE, &parts.collect::<Vec<_>>())
    }

    /// The other nodes of a network that have said what is true of them at this head.
    pub fn nodes<'a>(
        &'a self,
        id: &NetworkId,
        members: &'a Members,
    ) -> impl Iterator<Item = (&'a MemberNode, WireGuardKey, &'a Part)> + use<'a> {
        let members = members.get(id);
        let parts = self.parts.get(id).into_iter().flatten();
        parts.filter_map(move |(from, part)| {
            let member = members?.get(from).filter(|member| !member.ranges.is_empty())?;
            Some((member, part.check(member).ok()?, part))
        })
    }

    /// Names of machines on other nodes.
    pub fn names(&self, members: &Members) -> NetworkNames {
        let mut names = NetworkNames::new();
        for id in members.keys() {
            let of_network = names.entry(id.clone()).or_default();
            for (_, _, part) in self.nodes(id, members) {
                for (name, addresses) in &part.machines {
                    of_network.entry(name.clone()).or_default().extend(addresses);
                }
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::protocol::tests::{member, part};
    use std::{collections::BTreeSet, net::Ipv4Addr};

    const OWN: WireGuardKey = [99; 32];

    fn id() -> NetworkId {
        NetworkId { twin: 5, name: "site".into() }
    }

    /// Nodes 1 and 2.
    fn members() -> Members {
        let nodes = [(1, "10.20.1.0/24"), (2, "10.20.2.0/24")];
        let nodes = nodes.map(|(key, range)| ([key; 32], member(key, &[range])));
        [(id(), nodes.into())].into()
    }

    fn book() -> (Book, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Book::load(Store::open(folder.path()).unwrap()).unwrap(), folder)
    }

    #[test]
    fn names_of_all_nodes_are_known_over_a_restart() {
        let ((mut book, folder), members) = (book(), members());
        assert_eq!(book.take(&[1; 32], part(11, "web", "10.20.1.7"), &members, &OWN), Ok(true));
        assert_eq!(book.take(&[1; 32], part(11, "web", "10.20.1.7"), &members, &OWN), Ok(false));
        assert_eq!(book.take(&[2; 32], part(12, "web", "10.20.2.7"), &members, &OWN), Ok(true));
        book.write().unwrap();
        let book = Book::load(Store::open(folder.path()).unwrap()).unwrap();
        let expected: BTreeSet<Ipv4Addr> = ["10.20.1.7", "10.20.2.7"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(book.names(&members)[&id()]["web"], expected);
    }

    #[test]
    fn lies_are_refused_and_what_was_said_before_stays() {
        let ((mut book, _folder), members) = (book(), members());
        book.take(&[1; 32], part(11, "web", "10.20.1.7"), &members, &OWN).unwrap();
        let outside = PartError::Address("10.20.2.7".parse().unwrap());
        for (from, part, why) in [
            ([1; 32], part(11, "web", "10.20.2.7"), outside),
            ([2; 32], part(11, "db", "10.20.2.7"), PartError::KeyTaken),
            ([2; 32], part(99, "db", "10.20.2.7"), PartError::KeyTaken),
            ([3; 32], part(13, "db", "10.20.1.8"), PartError::NoMember),
            ([2; 32], Part { twin: 6, ..part(12, "db", "10.20.2.7") }, PartError::NoMember),
        ] {
            assert_eq!(book.take(&from, part, &members, &OWN), Err(why));
        }
        let keys: Vec<_> = book.nodes(&id(), &members).map(|(_, key, _)| key).collect();
        assert_eq!(keys, [[11; 32]]);
        assert!(book.names(&members)[&id()].keys().eq(["web"]));
    }

    #[test]
    fn a_node_that_leaves_or_loses_its_range_is_forgotten() {
        let ((mut book, _folder), mut members) = (book(), members());
        book.take(&[1; 32], part(11, "web", "10.20.1.7"), &members, &OWN).unwrap();
        book.take(&[2; 32], part(12, "db", "10.20.2.7"), &members, &OWN).unwrap();
        members.get_mut(&id()).unwrap().insert([2; 32], member(2, &["10.20.3.0/24"]));
        assert_eq!(book.nodes(&id(), &members).count(), 1);
        assert!(!book.keep(&members, |_| false));
        members.get_mut(&id()).unwrap().remove(&[1; 32]);
        assert!(book.keep(&members, |_| true));
        assert_eq!(book.nodes(&id(), &members).count(), 0);
        members.clear();
        assert!(!book.keep(&members, |_| true), "it isn't known who is in the network");
        assert!(book.keep(&members, |_| false) && book.parts.is_empty());
    }
}
