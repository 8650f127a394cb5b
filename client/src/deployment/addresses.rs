// SPDX-License-Identifier: Apache-2.0
//! Addresses of machines in private networks. They follow from the deployment alone, so a node that starts anew, and
//! everyone who reads the deployment, finds the same.

use super::{Deployment, Interface, Network, Rejection, Workload, WorkloadData, rules::invalid_at};
use ipnet::Ipv4Net;
use sp_core::{Blake2Hasher, Hasher};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

/// Addresses by the positions of machine and interface.
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
    /// Address of each machine in each of its networks, by their names.
    pub fn addresses(&self) -> BTreeMap<(String, String), Ipv4Addr> {
        // Every deployment was checked.
        let addresses = addresses(&self.workloads).unwrap_or_default();
        interfaces(&self.workloads)
            .filter_map(|(at, machine, interface)| {
                Some(((machine.to_owned(), interface.network.clone()), *addresses.get(&at)?))
            })
            .collect()
    }
}

/// Interfaces with their positions and the names of their machines.
fn interfaces(workloads: &[Workload]) -> impl Iterator<Item = ((usize, usize), &str, &Interface)> {
    workloads.iter().enumerate().flat_map(|(index, workload)| {
        let interfaces = match &workload.data {
            WorkloadData::Zmachine(machine) => machine.interfaces.as_slice(),
            _ => &[],
        };
        let at = move |(position, interface)| ((index, position), workload.name.as_str(), interface);
        interfaces.iter().enumerate().map(at)
    })
}

/// Addresses that the deployment names come first, whatever its order.
fn addresses(workloads: &[Workload]) -> Result<Addresses, Rejection> {
    let mut addresses = Addresses::new();
    let mut taken: BTreeSet<Ipv4Addr> = BTreeSet::new();
    for ((index, position), _, interface) in interfaces(workloads) {
        let path = format!("/workloads/{index}/data/interfaces/{position}");
        let Some(network) = find(workloads, &interface.network) else {
            let message = format!("{:?} isn't a network of this deployment", interface.network);
            return Err(invalid_at(format!("{path}/network"), message));
        };
        let Some(ip) = interface.ip else { continue };
        let refused = |message| Err(invalid_at(format!("{path}/ip"), message));
        if !hosts(network).any(|host| host == ip) {
            return refused(format!(
                "isn't an address for machines in {}; {} is the router's",
                network.range(),
                network.gateway()
            ));
        }
        if !taken.insert(ip) {
            return refused(format!("another machine has {ip} already"));
        }
        addresses.insert((index, position), ip);
    }
    for (at @ (index, position), machine, interface) in interfaces(workloads) {
        let Some(network) = find(workloads, &interface.network).filter(|_| interface.ip.is_none()) else {
            continue;
        };
        let Some(ip) = free(network, machine, &taken) else {
            let path = format!("/workloads/{index}/data/interfaces/{position}/network");
            return Err(invalid_at(path, format!("no address of {} is left", network.range())));
        };
        taken.insert(ip);
        addresses.insert(at, ip);
    }
    Ok(addresses)
}

fn find<'a>(workloads: &'a [Workload], name: &str) -> Option<&'a Network> {
    workloads.iter().find(|workload| workload.name == name).and_then(|workload| match &workload.data {
        WorkloadData::Network(network) => Some(network),
        _ => None,
    })
}

/// Addresses for machines: neither network, router nor broadcast.
fn hosts(network: &Network) -> impl Iterator<Item = Ipv4Addr> {
    network.range().hosts().skip(1)
}

/// The place to look first follows from the machine's name: it keeps its address when others come or go.
fn free(network: &Network, machine: &str, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let count = hosts(network).count();
    let [first, second, ..] = Blake2Hasher::hash(machine.as_bytes()).0;
    let start = usize::from(u16::from_be_bytes([first, second])).checked_rem(count)?;
    let from_start = hosts(network).skip(start).chain(hosts(network).take(start));
    from_start.into_iter().find(|ip| !taken.contains(ip))
}
