// SPDX-License-Identifier: Apache-2.0
//! What nodes of a private network tell each other (`docs/FORMATS.md` §9).

use super::members::MemberNode;
use crate::drivers::{
    NetworkId,
    network::{Names, WireGuardKey, key_from_text},
};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use tfgrid_client::deployment::is_workload_name;
use tfgrid_primitives::TwinId;

/// Name of the protocol with its version, as the two ends agree on it (ALPN).
pub const LINKS_ALPN: &[u8] = b"tfgrid/links/1";
/// Addresses of machines in a part. So many fit a frame.
pub const MAX_ADDRESSES: usize = 1_000;

/// A node's part of a private network. Fields of later versions are passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Twin of the network.
    pub twin: TwinId,
    /// Name of the network.
    pub network: String,
    /// The node's public key of WireGuard for this network, in base64.
    pub key: String,
    /// Its UDP port of WireGuard.
    pub port: u16,
    /// The machines there.
    pub machines: Names,
}

/// A part that isn't taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// The node has no contract in the network.
    #[error("it has no contract in this network")]
    NoMember,
    /// The key isn't one.
    #[error("its WireGuard key isn't one: {0:?}")]
    Key(String),
    /// Another node of the network, or this one, has the key.
    #[error("its WireGuard key is another node's")]
    KeyTaken,
    /// There is no such port.
    #[error("its WireGuard port is 0")]
    Port,
    /// There are more than [`MAX_ADDRESSES`].
    #[error("it has {0} addresses of machines, more than {MAX_ADDRESSES}")]
    TooMany(usize),
    /// A machine's name isn't one.
    #[error("{0:?} is no name of a machine")]
    Name(String),
    /// An address isn't one of the node's.
    #[error("the address {0} isn't in its ranges")]
    Address(Ipv4Addr),
}

impl Part {
    /// The network.
    pub fn id(&self) -> NetworkId {
        NetworkId { twin: self.twin, name: self.network.clone() }
    }

    /// The key, if all of the part may be from this node.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub fn check(&self, from: &MemberNode) -> Result<WireGuardKey, PartError> {
        let key = key_from_text(&self.key).filter(|key| *key != [0; 32]);
        let key = key.ok_or_else(|| PartError::Key(self.key.chars().take(64).collect()))?;
        if self.port == 0 {
            return Err(PartError::Port);
        }
        let addresses = || self.machines.values().flatten();
        // Names without addresses take room, too.
        let count = addresses().count().max(self.machines.len());
        if count > MAX_ADDRESSES {
            return Err(PartError::TooMany(count));
        }
        if let Some(name) = self.machines.keys().find(|name| !is_workload_name(name)) {
            return Err(PartError::Name(name.chars().take(64).collect()));
        }
        let is_outside = |ip: &&Ipv4Addr| !from.ranges.iter().any(|range| range.contains(*ip));
        match addresses().find(is_outside) {
            Some(ip) => Err(PartError::Address(*ip)),
            None => Ok(key),
        }
    }
}

/// As many of these machines as a part may have.
pub fn limited(machines: &Names) -> Names {
    let pairs = machines.iter().flat_map(|(name, addresses)| addresses.iter().map(move |ip| (name, *ip)));
    let mut limited = Names::new();
    for (name, ip) in pairs.take(MAX_ADDRESSES) {
        limited.entry(name.clone()).or_default().insert(ip);
    }
    limited
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::drivers::network::key_text;
    use std::collections::BTreeSet;
    use tfgrid_client::peer::{NodeAddress, PeerAddresses, frame::MAX_FRAME_BYTES};

    /// A node with these ranges.
    pub fn member(peer_key: u8, ranges: &[&str]) -> MemberNode {
        let address = NodeAddress { key: [peer_key; 32], addresses: PeerAddresses::default() };
        MemberNode { address, ranges: ranges.iter().map(|range| range.parse().unwrap()).collect() }
    }

    /// A part of the network `site` of twin 5 with a machine.
    pub fn part(key: u8, name: &str, ip: &str) -> Part {
        let machines = [(name.to_owned(), BTreeSet::from([ip.parse().unwrap()]))].into();
        Part { twin: 5, network: "site".into(), key: key_text(&[key; 32]), port: 21_000, machines }
    }

    #[test]
    fn only_what_may_be_a_nodes_part_is_taken() {
        let node = member(1, &["10.20.1.0/24", "10.20.3.0/24"]);
        assert_eq!(part(1, "web", "10.20.3.7").check(&node), Ok([1; 32]));
        let outside: Ipv4Addr = "10.20.2.7".parse().unwrap();
        let wrong = [
            (part(1, "web", "10.20.2.7"), PartError::Address(outside)),
            (part(1, "Web", "10.20.1.7"), PartError::Name("Web".into())),
            (part(1, "a.b", "10.20.1.7"), PartError::Name("a.b".into())),
            (Part { port: 0, ..part(1, "web", "10.20.1.7") }, PartError::Port),
            (Part { key: "AQ==".into(), ..part(1, "web", "10.20.1.7") }, PartError::Key("AQ==".into())),
            (part(0, "web", "10.20.1.7"), PartError::Key(key_text(&[0; 32]))),
        ];
        for (part, why) in wrong {
            assert_eq!(part.check(&node), Err(why));
        }
    }

    #[test]
    fn a_part_has_as_many_addresses_as_fit_a_frame() {
        let node = member(1, &["10.20.0.0/16"]);
        let name = |n: u16| format!("{n:032}");
        let address = |n: u16| BTreeSet::from([Ipv4Addr::from_bits(0x0a14_0000 + u32::from(n))]);
        let machines: Names = (0..1_500).map(|n| (name(n), address(n))).collect();
        let many = Part { machines, ..part(1, "web", "10.20.1.7") };
        assert_eq!(many.check(&node), Err(PartError::TooMany(1_500)));
        let empty = (0..1_500).map(|n| (name(n), BTreeSet::new())).collect();
        let names = Part { machines: empty, ..part(1, "web", "10.20.1.7") };
        assert_eq!(names.check(&node), Err(PartError::TooMany(1_500)));
        let most = Part { machines: limited(&many.machines), ..many };
        assert!(most.check(&node).is_ok());
        assert!(serde_json::to_vec(&most).unwrap().len() <= MAX_FRAME_BYTES);
    }

    #[test]
    fn a_part_has_the_form_of_the_formats_page() {
        let text = r#"{"twin":5,"network":"site","key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","port":21000,"machines":{"web":["10.20.1.7"]},"later":1}"#;
        assert_eq!(serde_json::from_str::<Part>(text).unwrap(), part(1, "web", "10.20.1.7"));
    }
}
