// SPDX-License-Identifier: Apache-2.0
//! What the chain wants this node to run.

use crate::{
    chain::{Body, Contract, Version},
    drivers::{ContainerSpec, MachineSpec, VolumeSpec, WorkloadId},
};
use codec::Encode;
use sp_core::{Blake2Hasher, Hasher};
use tfgrid_client::deployment::{Deployment, Rejection, WorkloadData, Zmachine};
use tfgrid_primitives::{ContractId, FailureCode};

/// A contract with what its bodies ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The contract.
    pub contract: Contract,
    /// The version that stands.
    pub standing: Target,
    /// The version that its owner wants instead.
    pub pending: Option<Target>,
}

/// A version with what its body asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The version.
    pub version: Version,
    /// What to do about it.
    pub wanted: Wanted,
}

/// What a body asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// These workloads.
    Run(Workloads),
    /// Something that this node refuses.
    Refused(Rejection),
    /// It couldn't be read: leave everything as it is.
    Unknown(String),
}

/// The workloads of a deployment, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workloads {
    /// `zmachine`s.
    pub machines: Vec<MachineSpec>,
    /// `zmount`s.
    pub volumes: Vec<VolumeSpec>,
}

impl Desired {
    /// Reads the bodies that stand with the contract.
    pub fn new(contract: Contract, body: Option<&Body>, pending_body: Option<&Body>) -> Self {
        let standing = Target::new(contract.id, contract.standing, body);
        let pending = contract.pending.map(|pending| Target::new(contract.id, pending, pending_body));
        Self { contract, standing, pending }
    }

    /// Whether the node has confirmed this version.
    pub fn has_confirmed(&self, version: Version) -> bool {
        self.contract.confirmed() == Some(version)
    }

    /// Why this node refuses the body of a version, where it does.
    pub fn rejection(&self, version: u32) -> Option<&Rejection> {
        let targets = self.pending.iter().chain([&self.standing]);
        targets.filter(|target| target.version.number == version).find_map(|target| match &target.wanted {
            Wanted::Refused(rejection) => Some(rejection),
            _ => None,
        })
    }
}

impl Target {
    fn new(contract: ContractId, version: Version, body: Option<&Body>) -> Self {
        let wanted = match body {
            None => Wanted::Unknown("the chain has no body for it".into()),
            Some(body) if body.hash().0 != version.body_hash => {
                Wanted::Unknown("its body and its body hash differ".into())
            }
            Some(Body::Sealed(_)) => Wanted::Refused(Rejection::new(
                FailureCode::BodyUnsupported,
                "",
                "this node can't open sealed bodies: submit a plain one",
            )),
            Some(Body::Plain(text)) => match read(contract, &version, text) {
                Ok(workloads) => Wanted::Run(workloads),
                Err(rejection) => Wanted::Refused(rejection),
            },
        };
        Self { version, wanted }
    }
}

fn read(contract: ContractId, version: &Version, text: &[u8]) -> Result<Workloads, Rejection> {
    let deployment = Deployment::parse(text)?;
    deployment.check_fits(&version.reserved)?;
    let mut workloads = Workloads::default();
    for (index, workload) in deployment.workloads.into_iter().enumerate() {
        let id = WorkloadId { contract, name: workload.name };
        let pointer = format!("/workloads/{index}");
        match workload.data {
            WorkloadData::Zmachine(machine) => {
                workloads.machines.push(machine_spec(id, version.number, pointer, machine));
            }
            WorkloadData::Zmount(volume) => {
                workloads.volumes.push(VolumeSpec { id, pointer, size: volume.size });
            }
        }
    }
    Ok(workloads)
}

fn machine_spec(id: WorkloadId, version: u32, pointer: String, machine: Zmachine) -> MachineSpec {
    let container = ContainerSpec {
        image: machine.image,
        cpu: machine.cpu,
        memory: machine.memory,
        mounts: machine.mounts.into_iter().map(|mount| (mount.name, mount.path)).collect(),
        env: machine.env,
        entrypoint: machine.entrypoint,
        args: machine.args,
    };
    let hash = hash(&container);
    MachineSpec { id, version, pointer, container, hash }
}

/// Changes with anything that changes how the machine runs.
fn hash(container: &ContainerSpec) -> String {
    hex::encode(&Blake2Hasher::hash(&container.encode())[..16])
}
