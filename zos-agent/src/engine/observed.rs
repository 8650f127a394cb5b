// SPDX-License-Identifier: Apache-2.0
//! What is really there, by contract.

use crate::drivers::{
    DriverError, MachineDriver, ObservedMachine, ObservedMachines, ObservedVolume, VolumeDriver,
};
use std::collections::BTreeMap;
use tfgrid_primitives::ContractId;

/// What is there of each contract that has left a trace on this node.
pub type Observed = BTreeMap<ContractId, ObservedContract>;

/// What is there of one contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedContract {
    /// By name.
    pub machines: BTreeMap<String, ObservedMachine>,
    /// By name.
    pub volumes: BTreeMap<String, ObservedVolume>,
    /// Whether it has a network.
    pub network: bool,
}

/// Asks both drivers.
///
/// # Errors
/// Where one of them can't tell: half a picture would be taken for absence.
pub async fn observe(
    machines: &dyn MachineDriver,
    volumes: &dyn VolumeDriver,
) -> Result<Observed, DriverError> {
    let (machines, volumes) = futures::try_join!(machines.observe(), volumes.observe())?;
    Ok(by_contract(machines, volumes))
}

fn by_contract(machines: ObservedMachines, volumes: Vec<ObservedVolume>) -> Observed {
    let mut observed = Observed::new();
    for machine in machines.machines {
        let contract = observed.entry(machine.id.contract).or_default();
        contract.machines.insert(machine.id.name.clone(), machine);
    }
    for volume in volumes {
        let contract = observed.entry(volume.id.contract).or_default();
        contract.volumes.insert(volume.id.name.clone(), volume);
    }
    for contract in machines.networks {
        observed.entry(contract).or_default().network = true;
    }
    observed
}
