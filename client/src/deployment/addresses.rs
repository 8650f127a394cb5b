// SPDX-License-Identifier: Apache-2.0
//! Addresses of machines and peers in private networks. They follow from the deployment alone, so a node that starts
//! anew, and everyone who reads the deployment, finds the same.

use super::{
    Deployment, Interface, Network, NetworkPeer, Rejection, Workload, WorkloadData, rules::invalid_at,
};
use ipnet::Ipv4Net;
use sp_core::{Blake2Hasher, Hasher};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

/// Addresses by the positions of the workload, and of its interface or peer.
type Addresses = BTreeMap<(usize, usize), Ipv4Addr>;

/// Address number `index` of a network.
pub(super) fn nth(network: Ipv4Net, index: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network.network()).saturating_add(index))
}

/// Every interface is in a network of the deployment, with an address of its range that is free.
pub(super) fn check(workloads: &[Workload]) -> Result<(), Rejection> {
    addresses(workloads).map(drop)
}

impl Deployment {
    /// Address of each machine and peer in each of its networks, by their names.
    pub fn addresses(&self) -> BTreeMap<(String, String), Ipv4Addr> {
        // Every deployment was checked.
        let addresses = addresses(&self.workloads).unwrap_or_default();
        places(&self.workloads)
            .filter_map(|place| {
                let names = (place.name.to_owned(), place.network.to_owned());
                Some((names, *addresses.get(&place.at)?))
            })
            .collect()
    }
}

/// The place of a machine or a peer in a network.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// Positions of the workload, and in its interfaces or peers.
    at: (usize, usize),
    name: &'a str,
    network: &'a str,
    ip: Option<Ipv4Addr>,
    is_peer: bool,
}

impl Place<'_> {
    /// Where its address stands in the deployment, or what it would have one of.
    fn path(&self, interface_field: &str, peer_field: &str) -> String {
        let (index, position) = self.at;
        let (list, field) =
            if self.is_peer { ("peers", peer_field) } else { ("interfaces", interface_field) };
        format!("/workloads/{index}/data/{list}/{position}/{field}")
    }
}

/// Those of machines, then those of peers: no machine gets another address for a peer.
fn places(workloads: &[Workload]) -> impl Iterator<Item = Place<'_>> {
    let of_machines = workloads.iter().enumerate().flat_map(|(index, workload)| {
        let interfaces = match &workload.data {
            WorkloadData::Zmachine(machine) => machine.interfaces.as_slice(),
            _ => &[],
        };
        interfaces.iter().enumerate().map(move |(position, Interface { network, ip })| Place {
            at: (index, position),
            name: &workload.name,
            network,
            ip: *ip,
            is_peer: false,
        })
    });
    let of_peers = workloads.iter().enumerate().flat_map(|(index, workload)| {
        let peers = match &workload.data {
            WorkloadData::Network(network) => network.peers.as_slice(),
            _ => &[],
        };
        peers.iter().enumerate().map(move |(position, NetworkPeer { name, ip, .. })| Place {
            at: (index, position),
            name,
            network: &workload.name,
            ip: *ip,
            is_peer: true,
        })
    });
    of_machines.chain(of_peers)
}

/// Addresses that the deployment names come first, whatever its order.
fn addresses(workloads: &[Workload]) -> Result<Addresses, Rejection> {
    let mut addresses = Addresses::new();
    let mut taken: BTreeSet<Ipv4Addr> = BTreeSet::new();
    for place in places(workloads) {
        let Some(network) = find(workloads, place.network) else {
            let message = format!("{:?} isn't a network of this deployment", place.network);
            return Err(invalid_at(place.path("network", "name"), message));
        };
        let Some(ip) = place.ip else { continue };
        let refused = |message| Err(invalid_at(place.path("ip", "ip"), message));
        if !hosts(network).any(|host| host == ip) {
            return refused(format!(
                "isn't an address for machines and peers in {}; {} is the router's",
                network.range(),
                network.gateway()
            ));
        }
        if !taken.insert(ip) {
            return refused(format!("another machine or peer has {ip} already"));
        }
        addresses.insert(place.at, ip);
    }
    for place in places(workloads).filter(|place| place.ip.is_none()) {
        let Some(network) = find(workloads, place.network) else { continue };
        let Some(ip) = free(network, place.name, &taken) else {
            let message = format!("no address of {} is left", network.range());
            return Err(invalid_at(place.path("network", "name"), message));
        };
        taken.insert(ip);
        addresses.insert(place.at, ip);
    }
    Ok(addresses)
}

fn find<'a>(workloads: &'a [Workload], name: &str) -> Option<&'a Network> {
    workloads.iter().find(|workload| workload.name == name).and_then(|workload| match &workload.data {
        WorkloadData::Network(network) => Some(network),
        _ => None,
    })
}

/// Addresses for machines and peers: neither network, router nor broadcast.
fn hosts(network: &Network) -> impl Iterator<Item = Ipv4Addr> {
    network.range().hosts().skip(1)
}

/// The place to look first follows from the name: a machine or peer keeps its address when others come or go.
fn free(network: &Network, name: &str, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let count = hosts(network).count();
    let [first, second, ..] = Blake2Hasher::hash(name.as_bytes()).0;
    let start = usize::from(u16::from_be_bytes([first, second])).checked_rem(count)?;
    let from_start = hosts(network).skip(start).chain(hosts(network).take(start));
    from_start.into_iter().find(|ip| !taken.contains(ip))
}
