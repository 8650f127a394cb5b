// SPDX-License-Identifier: Apache-2.0
//! What is on this machine, by contract.

use super::reconcile::Drivers;
use crate::{
    drivers::{
        AddressSpec, DriverError, ObservedAddresses, ObservedGateway, ObservedMachine, ObservedMachines,
        ObservedNetwork, ObservedNetworks, ObservedVolume, ObservedVolumes, pool::PoolFault,
    },
    metrics::Metrics,
};
use anyhow::{Error, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use tfgrid_client::deployment::DiskKind;
use tfgrid_primitives::ContractId;

/// Every contract of which anything is on this machine.
pub type Observed = BTreeMap<ContractId, ObservedContract>;

/// What is on this machine of one contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedContract {
    /// Machines by name, running or not.
    pub machines: BTreeMap<String, ObservedMachine>,
    /// Volumes by name.
    pub volumes: BTreeMap<String, ObservedVolume>,
    /// Whether its network on the engine exists.
    pub network: bool,
    /// Its parts of private networks, by the networks' names.
    pub private_networks: BTreeMap<String, ObservedNetwork>,
    /// Pairs of a machine and a private network that its present run is connected with.
    pub ports: BTreeSet<(String, String)>,
    /// Public addresses that its machines have, running or not, by their names.
    pub addresses: BTreeMap<String, AddressSpec>,
    /// Public addresses that the present runs of its machines are connected with, by their names.
    pub links: BTreeMap<String, Vec<IpAddr>>,
    /// Sites that are known to the gateway, by name.
    pub gateways: BTreeMap<String, ObservedGateway>,
    /// Whether a part of it couldn't be read: what is missing here may be there.
    pub is_unreadable: bool,
}

impl ObservedContract {
    /// Whether this is the present run of a machine.
    fn is_run(&self, machine: &str, instance: &str) -> bool {
        let machine = self.machines.get(machine);
        machine.is_some_and(|machine| machine.is_running() && machine.instance == instance)
    }
}

/// What is wrong with the storage pools.
pub type PoolFaults = Vec<(DiskKind, PoolFault)>;

/// Asks all drivers, and counts in the metrics which of them answer. The faults are those that let others go on.
///
/// # Errors
/// If one fails: what it knows would look absent, or nothing would keep tenants from the host.
pub async fn observe(drivers: &Drivers, metrics: &Metrics) -> Result<(Observed, PoolFaults)> {
    let Drivers { machines, volumes, networks, addresses, gateways, firewall } = drivers;
    let (guarded, machines, volumes, networks, addresses, gateways, faults) = futures::join!(
        firewall.ensure(),
        machines.observe(),
        volumes.observe(),
        networks.observe(),
        addresses.observe(),
        gateways.observe(),
        volumes.faults()
    );
    metrics.firewall_up.set(guarded.is_ok().into());
    metrics.engine_up.set(machines.is_ok().into());
    metrics.pool_up.set((volumes.is_ok() && !faults.iter().any(|(_, fault)| fault.stops())).into());
    metrics.pool_faults(&faults);
    let fails = |part: &str, why: DriverError| Error::from(why).context(format!("the {part} fails"));
    guarded.map_err(|why| fails("firewall", why))?;
    let volumes = volumes.map_err(|why| fails("storage pool", why))?;
    let machines = machines.map_err(|why| fails("container engine", why))?;
    let networks = networks.map_err(|why| fails("part for private networks", why))?;
    let addresses = addresses.map_err(|why| fails("part for public addresses", why))?;
    let gateways = gateways.map_err(|why| fails("web gateway", why))?;
    let mut observed = by_contract(machines, volumes, networks, addresses);
    for gateway in gateways {
        let contract = observed.entry(gateway.spec.id.contract).or_default();
        contract.gateways.insert(gateway.spec.id.name.clone(), gateway);
    }
    Ok((observed, faults))
}

fn by_contract(
    machines: ObservedMachines,
    volumes: ObservedVolumes,
    networks: ObservedNetworks,
    addresses: ObservedAddresses,
) -> Observed {
    let mut observed = Observed::new();
    for machine in machines.machines {
        let contract = observed.entry(machine.id.contract).or_default();
        contract.machines.insert(machine.id.name.clone(), machine);
    }
    for volume in volumes.volumes {
        let contract = observed.entry(volume.id.contract).or_default();
        contract.volumes.insert(volume.id.name.clone(), volume);
    }
    for contract in machines.networks {
        observed.entry(contract).or_default().network = true;
    }
    for network in networks.networks {
        let contract = observed.entry(network.contract).or_default();
        contract.private_networks.insert(network.id.name.clone(), network);
    }
    for port in networks.ports {
        let contract = observed.entry(port.machine.contract).or_default();
        if contract.is_run(&port.machine.name, &port.instance) {
            contract.ports.insert((port.machine.name, port.network.name));
        }
    }
    for (id, spec) in addresses.machines {
        observed.entry(id.contract).or_default().addresses.insert(id.name, spec);
    }
    for link in addresses.links {
        let contract = observed.entry(link.machine.contract).or_default();
        if contract.is_run(&link.machine.name, &link.instance) {
            contract.links.insert(link.machine.name, link.ips);
        }
    }
    for contract in machines.unreadable.into_iter().chain(volumes.unreadable) {
        observed.entry(contract).or_default().is_unreadable = true;
    }
    observed
}
