// SPDX-License-Identifier: Apache-2.0
//! Public addresses of machines, as the chain has them.

use serde::{Deserialize, Serialize};
use sp_core::{Blake2Hasher, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use tfgrid_primitives::ContractId;

/// The longest prefix of a network that has addresses for all machines of a node: with fewer bits left, two of them may
/// get the same.
const MAX_PREFIX: u8 = 80;

/// A public address with the router to other networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicAddress {
    /// What the machine has as its own.
    pub ip: IpAddr,
    /// Next hop to other networks.
    pub gateway: IpAddr,
}

/// A public IP of a farm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicIp {
    /// Its IPv4 address.
    pub v4: PublicAddress,
    /// The IPv6 address that comes with it.
    pub v6: Option<PublicAddress>,
}

impl PublicIp {
    /// The IPv4 address, then the IPv6 address where there is one.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> {
        [Some(self.v4), self.v6].into_iter().flatten().map(|address| address.ip)
    }
}

/// The public IPv6 network that a node is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicNetwork {
    /// The node's own address.
    pub address: Ipv6Addr,
    /// How many leading bits of the address name the network.
    pub prefix: u8,
    /// The router to other networks.
    pub gateway: Ipv6Addr,
}

impl PublicNetwork {
    /// The address of a machine. It follows from contract and name, so it stays, and differs on each node of the
    /// network. `None` if the network is too small for that, or the address is the node's or the router's.
    pub fn address_of(&self, contract: ContractId, machine: &str) -> Option<PublicAddress> {
        if self.prefix > MAX_PREFIX {
            return None;
        }
        let hash = Blake2Hasher::hash(format!("{contract}-{machine}").as_bytes());
        let host = u128::from_be_bytes(*hash.0.first_chunk()?);
        let mask = u128::MAX >> self.prefix;
        let ip = Ipv6Addr::from((u128::from(self.address) & !mask) | (host & mask));
        let is_free = ip != self.address && ip != self.gateway;
        is_free.then(|| PublicAddress { ip: ip.into(), gateway: self.gateway.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(prefix: u8) -> PublicNetwork {
        let [address, gateway] = ["2a10:b600:1::10", "fe80::1"].map(|text| text.parse().unwrap());
        PublicNetwork { address, prefix, gateway }
    }

    #[test]
    fn an_ipv6_address_stays_and_is_the_machines_own() {
        let address = |contract, machine: &str| network(64).address_of(contract, machine).unwrap().ip;
        assert_eq!(address(7, "web"), address(7, "web"));
        assert!(address(7, "web").to_string().starts_with("2a10:b600:1:0:"), "{}", address(7, "web"));
        assert!(address(7, "web") != address(8, "web") && address(7, "web") != address(7, "db"));
    }

    #[test]
    fn no_machine_has_the_address_of_node_or_router() {
        let IpAddr::V6(ip) = network(64).address_of(7, "web").unwrap().ip else { panic!("IPv4") };
        for other in
            [PublicNetwork { address: ip, ..network(64) }, PublicNetwork { gateway: ip, ..network(64) }]
        {
            assert_eq!(other.address_of(7, "web"), None);
        }
        assert!(network(64).address_of(7, "db").is_some());
    }

    #[test]
    fn a_network_without_room_has_no_addresses() {
        assert!(network(MAX_PREFIX).address_of(7, "web").is_some());
        assert_eq!(network(MAX_PREFIX + 1).address_of(7, "web"), None);
    }
}
