// SPDX-License-Identifier: Apache-2.0
//! What carries workloads out. Every step is idempotent, and every name derives from the contract's
//! id and the workload's name, so a step may be repeated after a crash at any instant.

#[cfg(test)]
pub mod fake;
pub mod firewall;
pub mod machine;
mod tools;
pub mod volume;

use async_trait::async_trait;
use codec::Encode;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    path::PathBuf,
};
use tfgrid_primitives::{ContractId, FailureCode};

/// A workload of a contract.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId {
    /// The contract.
    pub contract: ContractId,
    /// Unique in the contract's deployment.
    pub name: String,
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.contract, self.name)
    }
}

/// A machine as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSpec {
    /// Which one.
    pub id: WorkloadId,
    /// The contract's version that asks for it.
    pub version: u32,
    /// Its place in the body, such as `/workloads/1`.
    pub pointer: String,
    /// How it runs.
    pub container: ContainerSpec,
    /// Hash of `container`: two machines with the same hash are the same.
    pub hash: String,
}

/// Everything that decides how a machine runs.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct ContainerSpec {
    /// OCI reference.
    pub image: String,
    /// Cores.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
    /// From volume to path in the machine; a volume may stand here more than once.
    pub mounts: Vec<(String, String)>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Replaces the image's, unless empty.
    pub entrypoint: Vec<String>,
    /// Replaces the image's, unless empty.
    pub args: Vec<String>,
}

/// What applies to a machine's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRules {
    /// The most bytes that it may take.
    pub limit: u64,
    /// Whether one that is here will do: the machine ran from it before, and needn't wait for a
    /// registry to do so again.
    pub keep: bool,
}

/// A volume as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Which one.
    pub id: WorkloadId,
    /// Its place in the body, such as `/workloads/0`.
    pub pointer: String,
    /// Bytes.
    pub size: u64,
}

/// A folder of the host in a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// In the machine.
    pub target: String,
}

/// A machine as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedMachine {
    /// Which one.
    pub id: WorkloadId,
    /// [`MachineSpec::hash`] of what it was made from.
    pub hash: String,
    /// Changes with every start.
    pub instance: String,
    /// What it does.
    pub state: MachineState,
}

/// What a machine does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineState {
    /// It runs.
    Running {
        /// Its address on its contract's network.
        ip: Option<IpAddr>,
    },
    /// It was stopped, ended by itself, or was never started.
    Stopped {
        /// For the log: how it ended.
        how: String,
    },
}

impl ObservedMachine {
    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, MachineState::Running { .. })
    }

    /// How it ended, `None` while it runs.
    pub fn how_it_stopped(&self) -> Option<&str> {
        match &self.state {
            MachineState::Running { .. } => None,
            MachineState::Stopped { how } => Some(how),
        }
    }
}

/// Everything of this node that the engine holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedMachines {
    /// Machines, running or not.
    pub machines: Vec<ObservedMachine>,
    /// Contracts that have a network.
    pub networks: BTreeSet<ContractId>,
}

/// A volume as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedVolume {
    /// Which one.
    pub id: WorkloadId,
    /// Bytes; zero where it isn't complete.
    pub size: u64,
    /// Whether machines can mount it.
    pub attached: bool,
    /// Bytes that its content takes on the host.
    pub used: u64,
}

/// What one run of a machine has used since its start, except `memory_bytes`, which is in use now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineUsage {
    /// CPU time in milliseconds of one core.
    pub cpu_ms: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// Bytes.
    pub received_bytes: u64,
    /// Bytes.
    pub sent_bytes: u64,
}

/// Why a driver couldn't do a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The contract's owner must change something.
    #[error("{message}")]
    Invalid {
        /// For the chain.
        code: FailureCode,
        /// Place in the workload, such as `/data/image`.
        field: &'static str,
        /// For the log.
        message: String,
    },
    /// The machine didn't start: what is in it can't be run.
    #[error("{0}")]
    Exited(String),
    /// Another try may succeed.
    #[error("{0}")]
    Transient(String),
}

impl DriverError {
    /// A failure that another try may mend.
    pub fn transient(message: impl fmt::Display) -> Self {
        Self::Transient(message.to_string())
    }
}

/// Runs machines.
#[async_trait]
pub trait MachineDriver: Send + Sync {
    /// Everything of this node that is there.
    async fn observe(&self) -> Result<ObservedMachines, DriverError>;

    /// Fetches what the machine needs, without touching any that runs. May take long.
    async fn prepare(&self, spec: &MachineSpec, rules: ImageRules) -> Result<(), DriverError>;

    /// Makes the machine and its contract's network where they are missing, and starts it.
    async fn run(&self, spec: &MachineSpec, binds: &[Bind]) -> Result<(), DriverError>;

    /// Stops the machine where it runs.
    async fn stop(&self, id: &WorkloadId) -> Result<(), DriverError>;

    /// Removes the machine where it exists, stopping it first.
    async fn remove(&self, id: &WorkloadId) -> Result<(), DriverError>;

    /// Removes what is left of a contract without machines: its network.
    async fn release(&self, contract: ContractId) -> Result<(), DriverError>;

    /// What the present run of a machine has used, `None` where it doesn't run.
    async fn usage(&self, id: &WorkloadId) -> Result<Option<MachineUsage>, DriverError>;

    /// Resolves when a machine of this node has changed since the last call.
    async fn changed(&self);
}

/// Keeps volumes.
#[async_trait]
pub trait VolumeDriver: Send + Sync {
    /// Every volume that is there.
    async fn observe(&self) -> Result<Vec<ObservedVolume>, DriverError>;

    /// Makes the volume where it is missing, grows it where it is smaller, and attaches it.
    /// Refuses to shrink it. A volume that must grow is detached first, so nothing may use it.
    async fn attach(&self, spec: &VolumeSpec) -> Result<(), DriverError>;

    /// Where the attached volume is, checked this moment.
    async fn mount_point(&self, id: &WorkloadId) -> Result<PathBuf, DriverError>;

    /// Detaches the volume; its content stays.
    async fn detach(&self, id: &WorkloadId) -> Result<(), DriverError>;

    /// Deletes the volume with its content.
    async fn destroy(&self, id: &WorkloadId) -> Result<(), DriverError>;
}
