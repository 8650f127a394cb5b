// SPDX-License-Identifier: Apache-2.0
//! What is on this machine, by contract.

use crate::drivers::{
    DriverError, MachineDriver, ObservedMachine, ObservedMachines, ObservedVolume, ObservedVolumes,
    VolumeDriver,
};
use std::collections::BTreeMap;
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
    /// Whether its network exists.
    pub network: bool,
    /// Whether a part of it couldn't be read: what is missing here may be there.
    pub is_unreadable: bool,
}

/// Asks both drivers.
///
/// # Errors
/// If either driver fails: one answer alone would make what the other knows look absent.
pub async fn observe(
    machines: &dyn MachineDriver,
    volumes: &dyn VolumeDriver,
) -> Result<Observed, DriverError> {
    let (machines, volumes) = futures::try_join!(machines.observe(), volumes.observe())?;
    Ok(by_contract(machines, volumes))
}

fn by_contract(machines: ObservedMachines, volumes: ObservedVolumes) -> Observed {
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
    for contract in machines.unreadable.into_iter().chain(volumes.unreadable) {
        observed.entry(contract).or_default().is_unreadable = true;
    }
    observed
}
