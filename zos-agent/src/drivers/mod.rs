// SPDX-License-Identifier: Apache-2.0
//! Drivers run workloads. Every call is idempotent, and every name is derived from the contract's id and the
//! workload's name, so that a call can be repeated after a crash at any instant.

pub mod address;
mod counters;
mod daemon;
pub mod dockerd;
#[cfg(test)]
pub mod fake;
pub mod firewall;
mod forwarding;
pub mod gateway;
mod leftovers;
pub(crate) mod limits;
pub mod machine;
pub mod name_servers;
pub mod network;
pub mod pool;
pub mod registries;
pub mod runtime;
pub(crate) mod snapshot;
pub(crate) mod tools;
pub(crate) mod uplink;
pub mod volume;

use anyhow::anyhow;
use async_trait::async_trait;
use codec::Encode;
use ipnet::Ipv4Net;
use network::WireGuardKey;
use pool::PoolFault;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};
use tfgrid_client::{
    deployment::{DiskKind, Health, Ports, Restart, Site},
    public_ip::PublicAddress,
};
use tfgrid_primitives::{ContractId, FailureCode, TwinId};

/// Seconds in which a machine stops before it is ended by force, unless its owner says otherwise.
pub const DEFAULT_STOP_SECONDS: u64 = 10;

/// A workload of a contract.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadId {
    /// Contract id.
    pub contract: ContractId,
    /// Name of the workload, unique in the contract.
    pub name: String,
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.contract, self.name)
    }
}

/// A machine to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSpec {
    /// Contract and name.
    pub id: WorkloadId,
    /// Version of the contract that contains it.
    pub version: u32,
    /// JSON pointer to it in the body, such as `/workloads/1`.
    pub pointer: String,
    /// When it is started again.
    pub restart: Restart,
    /// Whether its owner has stopped it.
    pub is_held: bool,
    /// Credentials for its image's registry. They don't change how it runs.
    pub registry: Option<Credentials>,
    /// Settings of its container.
    pub container: ContainerSpec,
    /// Networks that it is in.
    pub attachment: Attachment,
    /// Its public addresses. They come and go while it runs.
    pub public: Option<AddressSpec>,
    /// Hash of `container` and `attachment`. A running machine with the same hash needs no change.
    pub hash: String,
}

impl MachineSpec {
    /// The exit code of a machine that isn't to be started again, `None` if it runs or is to run.
    pub fn finished(&self, machine: &ObservedMachine) -> Option<i64> {
        if self.is_held && !machine.is_running() {
            return Some(0);
        }
        machine.exit().filter(|code| match self.restart {
            Restart::Always => false,
            Restart::OnFailure => *code == 0,
            Restart::Never => true,
        })
    }
}

/// Everything that decides how a machine runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub struct ContainerSpec {
    /// OCI reference.
    pub image: String,
    /// Hundredths of cores.
    pub cpu: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Disk for its root and for what its image declares as `VOLUME`, in bytes beyond the image.
    pub rootfs: u64,
    /// Replaces the user of the image.
    pub user: Option<String>,
    /// Replaces the working folder of the image.
    pub workdir: Option<String>,
    /// Replaces the workload's name as host name.
    pub hostname: Option<String>,
    /// Bytes of `/dev/shm`; half the memory if it isn't given.
    pub shm: Option<u64>,
    /// Replaces the stop signal of the image.
    pub stop_signal: Option<String>,
    /// Seconds from that signal to its end by force; [`DEFAULT_STOP_SECONDS`] if they aren't given.
    pub stop_seconds: Option<u64>,
    /// Replaces the health check of the image.
    pub health: Option<Health>,
    /// Limits of its processes that replace those of the node.
    pub ulimits: BTreeMap<String, u64>,
    /// GPUs that no other machine uses.
    #[codec(skip)]
    pub gpus: u64,
    /// Capabilities beyond those of every machine.
    pub capabilities: BTreeSet<String>,
    /// Pairs of volume name and path in the machine. A volume may be mounted at several paths.
    pub mounts: Vec<(String, String)>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Replaces the entrypoint of the image unless empty.
    pub entrypoint: Vec<String>,
    /// Replaces the arguments of the image unless empty.
    pub args: Vec<String>,
}

/// Credentials for a registry. Debug output doesn't have them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name of the user.
    pub user: String,
    /// Password or token.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Output of a machine that is to be sent to its owner. Debug output doesn't have the address, which may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct LogSpec {
    /// Contract and name.
    pub id: WorkloadId,
    /// The machine.
    pub machine: WorkloadId,
    /// Address: a [`LogOutput`](tfgrid_client::deployment::LogOutput).
    pub output: String,
}

impl fmt::Debug for LogSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSpec")
            .field("id", &self.id)
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

/// A private network: of a twin, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NetworkId {
    /// Its owner.
    pub twin: TwinId,
    /// Name of the network, unique for its owner.
    pub name: String,
}

/// The part of a private network that a contract has on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSpec {
    /// The network.
    pub id: NetworkId,
    /// Contract id.
    pub contract: ContractId,
    /// JSON pointer to it in the body, such as `/workloads/0`.
    pub pointer: String,
    /// Addresses of the contract's machines.
    pub range: Ipv4Net,
    /// The first of them, which is its router's and name server's.
    pub gateway: Ipv4Addr,
    /// Addresses of the whole network.
    pub subnet: Ipv4Net,
    /// Computers of the owner's that join it here, by their names.
    pub peers: BTreeMap<String, NetworkPeer>,
}

/// A computer of the owner's in a private network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkPeer {
    /// Its public key of WireGuard.
    pub key: WireGuardKey,
    /// Its address, one of the contract's range.
    pub ip: Ipv4Addr,
}

/// What a machine reaches. The default is the internet alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Private networks that it is in. The first one leads to the internet.
    pub interfaces: Vec<InterfaceSpec>,
    /// Whether it reaches the internet.
    pub internet: bool,
}

impl Default for Attachment {
    fn default() -> Self {
        Self { interfaces: Vec::new(), internet: true }
    }
}

/// A machine's place in a private network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceSpec {
    /// The network.
    pub network: NetworkId,
    /// Addresses of the whole network.
    pub subnet: Ipv4Net,
    /// Addresses of the contract's machines.
    pub range: Ipv4Net,
    /// The first of them, which is its router's and name server's.
    pub gateway: Ipv4Addr,
    /// Address of the machine.
    pub ip: Ipv4Addr,
}

/// Public addresses of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressSpec {
    /// At least one: an IPv4 address, an IPv6 address or both.
    pub addresses: Vec<PublicAddress>,
    /// Ports that the internet reaches.
    pub ports: Vec<Ports>,
}

impl AddressSpec {
    /// The addresses alone.
    pub fn ips(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(|address| address.ip).collect()
    }
}

/// Rules for fetching a machine's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRules {
    /// Maximum size in bytes.
    pub limit: u64,
    /// Whether the image that was fetched for the machine before is used, without asking the registry. True for a
    /// machine that the chain has confirmed.
    pub keep: bool,
}

/// Machines whose images are wanted, with the hashes of their specs.
pub type WantedImages = BTreeSet<(WorkloadId, String)>;

/// A volume that is to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Contract and name.
    pub id: WorkloadId,
    /// JSON pointer to it in the body, such as `/workloads/0`.
    pub pointer: String,
    /// Size in bytes.
    pub size: u64,
    /// Kind of disk that it lies on.
    pub disk: DiskKind,
    /// Whether an update that failed may have grown it: its limit goes back to `size`, and its content stays.
    pub restores: bool,
}

/// A folder of the host that is mounted in a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Path on the host.
    pub source: PathBuf,
    /// Path in the machine.
    pub target: String,
}

/// A machine that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedMachine {
    /// Contract and name.
    pub id: WorkloadId,
    /// [`MachineSpec::hash`] of its spec.
    pub hash: String,
    /// Identifies one run: it changes with every start.
    pub instance: String,
    /// Whether it runs.
    pub state: MachineState,
}

/// Whether a machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineState {
    /// It runs.
    Running {
        /// Address on the contract's network.
        ip: Option<IpAddr>,
        /// What its health check says.
        condition: Condition,
    },
    /// It was stopped, has exited, or was never started.
    Stopped {
        /// How it ended, for the log.
        how: String,
        /// Its exit code, if it has ended by itself.
        exit: Option<i64>,
    },
}

/// What the health check of a running machine says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// There is none.
    #[default]
    Unchecked,
    /// Nothing yet.
    Starting,
    /// It works.
    Healthy,
    /// It doesn't work, and what the last check found.
    Unhealthy(String),
}

impl ObservedMachine {
    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, MachineState::Running { .. })
    }

    /// How its last run ended, `None` while it runs.
    pub fn how_it_stopped(&self) -> Option<&str> {
        match &self.state {
            MachineState::Running { .. } => None,
            MachineState::Stopped { how, .. } => Some(how),
        }
    }

    /// Its exit code, if it has ended by itself.
    pub fn exit(&self) -> Option<i64> {
        match &self.state {
            MachineState::Running { .. } => None,
            MachineState::Stopped { exit, .. } => *exit,
        }
    }

    /// What its health check has found if it doesn't work.
    pub fn sickness(&self) -> Option<&str> {
        match &self.state {
            MachineState::Running { condition: Condition::Unhealthy(found), .. } => Some(found),
            _ => None,
        }
    }
}

/// Everything of this node on the container engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedMachines {
    /// All machines, running or not.
    pub machines: Vec<ObservedMachine>,
    /// Contracts that have a network.
    pub networks: BTreeSet<ContractId>,
    /// Contracts of which a machine couldn't be read.
    pub unreadable: BTreeSet<ContractId>,
}

/// A volume that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedVolume {
    /// Contract and name.
    pub id: WorkloadId,
    /// Size in bytes; zero if its creation was interrupted.
    pub size: u64,
    /// Bytes of its content.
    pub used: u64,
    /// Kind of disk that it lies on.
    pub disk: DiskKind,
    /// Whether its owner has restored its content.
    pub restored: bool,
}

/// Everything of this node in those storage pools that can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedVolumes {
    /// All volumes.
    pub volumes: Vec<ObservedVolume>,
    /// Contracts of which a volume couldn't be read.
    pub unreadable: BTreeSet<ContractId>,
}

/// The process of a machine's run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number on the host.
    pub pid: i64,
    /// [`ObservedMachine::instance`] of the run.
    pub instance: String,
}

/// The part of a private network that exists for a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedNetwork {
    /// The network.
    pub id: NetworkId,
    /// Contract id.
    pub contract: ContractId,
    /// Addresses of the contract's machines; `None` if something of it is missing.
    pub range: Option<Ipv4Net>,
}

/// A machine's place in a private network that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedPort {
    /// Contract and name of the machine.
    pub machine: WorkloadId,
    /// The network.
    pub network: NetworkId,
    /// [`ObservedMachine::instance`] of the run that it was made for.
    pub instance: String,
}

/// All private networks of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedNetworks {
    /// Their parts by contracts.
    pub networks: Vec<ObservedNetwork>,
    /// What is connected to them.
    pub ports: Vec<ObservedPort>,
}

/// All public addresses of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedAddresses {
    /// Those that are set up, by machines, running or not.
    pub machines: BTreeMap<WorkloadId, AddressSpec>,
    /// What is connected.
    pub links: Vec<ObservedLink>,
}

/// A run of a machine that has its public addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedLink {
    /// Contract and name of the machine.
    pub machine: WorkloadId,
    /// [`ObservedMachine::instance`] of the run.
    pub instance: String,
    /// The addresses.
    pub ips: Vec<IpAddr>,
}

/// Class of the traffic in private networks, which costs nothing.
pub const PRIVATE: &str = "private";

/// Traffic of a contract. Counters start at zero when something resets them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Bytes to its machines and sites.
    pub received_bytes: u64,
    /// Bytes from its machines and sites.
    pub sent_bytes: u64,
}

/// A site to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewaySpec {
    /// Contract and name.
    pub id: WorkloadId,
    /// Its owner.
    pub twin: TwinId,
    /// JSON pointer to it in the body, such as `/workloads/2`.
    pub pointer: String,
    /// Where it is published.
    pub host: GatewayHost,
    /// Where requests go.
    pub site: Site,
}

impl GatewaySpec {
    /// The private network of its backends, `None` for public addresses.
    pub fn network(&self) -> Option<NetworkId> {
        self.site.network.clone().map(|name| NetworkId { twin: self.twin, name })
    }
}

/// Where a site is published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GatewayHost {
    /// Under this name below the node's domain, if the twin holds it.
    Name(String),
    /// Under this domain, if it leads to the node.
    Domain(String),
}

/// What the chain says of this node as a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayGrants {
    /// Domain under which names are.
    pub domain: Option<String>,
    /// Public addresses of the node.
    pub addresses: Vec<IpAddr>,
    /// Twins that hold the names that are wanted here.
    pub holders: BTreeMap<String, TwinId>,
}

/// A site that is known to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedGateway {
    /// As it was last ensured.
    pub spec: GatewaySpec,
    /// Address under which it is published, `None` if it isn't.
    pub url: Option<String>,
    /// Why it isn't published, or not as its visitors expect.
    pub trouble: Option<String>,
}

/// Resources used by one run of a machine since its start; `memory_bytes` is the present value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineUsage {
    /// CPU time in milliseconds of one core.
    pub cpu_ms: u64,
    /// Memory in use now.
    pub memory_bytes: u64,
    /// Traffic to the machine.
    pub received_bytes: u64,
    /// Traffic from the machine.
    pub sent_bytes: u64,
}

/// A failed call of a driver.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The contract's owner must change something.
    #[error("{message}")]
    Invalid {
        /// Class of the failure.
        code: FailureCode,
        /// Place in the workload, such as `/data/image`.
        field: &'static str,
        /// Explanation for the owner; for a registry's refusal, its own words.
        message: String,
    },
    /// Most often the image or the deployment is the cause, but a later try may succeed: some are made.
    #[error("{message}")]
    Refused {
        /// Class of the failure.
        code: FailureCode,
        /// Place in the workload.
        field: &'static str,
        /// Explanation for the owner.
        message: String,
    },
    /// A later try may succeed.
    #[error(transparent)]
    Transient(#[from] anyhow::Error),
}

impl DriverError {
    /// A failure without a cause that a later try may not meet.
    pub fn transient(message: impl fmt::Display) -> Self {
        Self::Transient(anyhow!("{message}"))
    }

    /// The machine can't be created or didn't start.
    fn refused(message: String) -> Self {
        Self::Refused { code: FailureCode::WorkloadRefused, field: "", message }
    }
}

fn io_error(action: &str, path: &Path, error: std::io::Error) -> DriverError {
    DriverError::Transient(anyhow::Error::from(error).context(format!("can't {action} {}", path.display())))
}

/// Driver of machines and their networks.
#[async_trait]
pub trait MachineDriver: Send + Sync {
    /// All machines and networks of this node. One that can't be read hides no other.
    async fn observe(&self) -> Result<ObservedMachines, DriverError>;

    /// Fetches the machine's image, and returns whether its registry was asked. May take long, and changes no machine.
    async fn fetch_image(&self, spec: &MachineSpec, rules: ImageRules) -> Result<bool, DriverError>;

    /// From now on only images of existing machines and these are kept when room is short.
    fn want_images(&self, wanted: WantedImages);

    /// Creates the machine and its contract's network if they are missing, and starts nothing. A machine with
    /// another spec is replaced.
    async fn create(&self, spec: &MachineSpec, binds: &[Bind]) -> Result<(), DriverError>;

    /// Starts a machine that was created.
    async fn start(&self, id: &WorkloadId) -> Result<(), DriverError>;

    /// Stops the machine if it runs.
    async fn stop(&self, id: &WorkloadId) -> Result<(), DriverError>;

    /// Stops and removes the machine if it exists.
    async fn remove_machine(&self, id: &WorkloadId) -> Result<(), DriverError>;

    /// Removes the network and the images of a contract that has no machines.
    async fn remove_network(&self, contract: ContractId) -> Result<(), DriverError>;

    /// The process of a machine, `None` if it doesn't run.
    async fn process(&self, id: &WorkloadId) -> Result<Option<Process>, DriverError>;

    /// The last line of a machine's output, `None` if it has none.
    async fn last_words(&self, id: &WorkloadId) -> Result<Option<String>, DriverError>;

    /// Resources used by the present run of a machine, `None` if it doesn't run.
    async fn usage(&self, id: &WorkloadId) -> Result<Option<MachineUsage>, DriverError>;

    /// Resolves when a machine of this node has changed since the last call.
    async fn changed(&self);
}

/// Driver of the rules that keep tenants from the host and its network.
#[async_trait]
pub trait FirewallDriver: Send + Sync {
    /// Sets the rules, unless they are in place.
    async fn ensure(&self) -> Result<(), DriverError>;

    /// From now on, the node's engine fetches images from this registry, too, whatever its address.
    async fn let_engine_reach(&self, registry: Option<SocketAddr>) -> Result<(), DriverError>;

    /// How many packets of tenants to addresses that aren't public were refused since the rules were set.
    async fn refused(&self) -> Result<u64, DriverError>;
}

/// Driver of private networks, each of which has a part for each contract that is in it.
#[async_trait]
pub trait NetworkDriver: Send + Sync {
    /// All private networks of this node.
    async fn observe(&self) -> Result<ObservedNetworks, DriverError>;

    /// Makes what is missing of a contract's part of a network. A part with another range is replaced.
    async fn ensure(&self, spec: &NetworkSpec) -> Result<(), DriverError>;

    /// Connects a run of a machine with its networks, which must exist.
    async fn attach(&self, spec: &MachineSpec, process: &Process) -> Result<(), DriverError>;

    /// Removes a contract's part of a network, which has no machines, and the network with its last part.
    async fn remove(&self, contract: ContractId, id: &NetworkId) -> Result<(), DriverError>;
}

/// Driver of public addresses.
#[async_trait]
pub trait AddressDriver: Send + Sync {
    /// All public addresses of this node. Puts back what somebody has removed of them.
    async fn observe(&self) -> Result<ObservedAddresses, DriverError>;

    /// Gives the contract's machines these addresses, and none of its machines any other. Running machines lose what
    /// changes until they are attached.
    async fn set(
        &self,
        contract: ContractId,
        machines: &BTreeMap<String, AddressSpec>,
    ) -> Result<(), DriverError>;

    /// Connects a run of a machine with its addresses, which must be set.
    async fn attach(&self, id: &WorkloadId, process: &Process) -> Result<(), DriverError>;
}

/// Counts a class of traffic. Owners pay for all but [`PRIVATE`]; what they pay for is slowed down.
#[async_trait]
pub trait TrafficCounter: Send + Sync {
    /// Name of the class.
    fn class(&self) -> &'static str;

    /// What was counted, by contracts.
    async fn counted(&self) -> Result<BTreeMap<ContractId, Counted>, DriverError>;

    /// Slows down what these contracts have of it, now and later, and nothing of others.
    async fn slow_down(&self, contracts: &BTreeSet<ContractId>) -> Result<(), DriverError>;
}

/// Driver of web gateways.
#[async_trait]
pub trait GatewayDriver: Send + Sync {
    /// From now on, this is what the chain says.
    fn grant(&self, grants: &GatewayGrants);

    /// All sites that were ensured.
    async fn observe(&self) -> Result<Vec<ObservedGateway>, DriverError>;

    /// Publishes the site, in place of an earlier one of this workload. Refuses one that may not be published under its
    /// name; one whose domain doesn't lead here yet is published once it does.
    async fn ensure(&self, spec: &GatewaySpec) -> Result<(), DriverError>;

    /// Ends a site. Its connections are closed.
    async fn remove(&self, id: &WorkloadId) -> Result<(), DriverError>;
}

/// Driver of volumes, which outlive the machines that mount them.
#[async_trait]
pub trait VolumeDriver: Send + Sync {
    /// What is wrong with the storage pools.
    async fn faults(&self) -> Vec<(DiskKind, PoolFault)>;

    /// All volumes of this node. One that can't be read hides no other, nor does the pool on hard disks.
    async fn observe(&self) -> Result<ObservedVolumes, DriverError>;

    /// Creates the volume if it is missing, and grows it if it is smaller. Refuses to shrink it, unless it `restores`,
    /// or to move it to another kind of disk.
    async fn ensure(&self, spec: &VolumeSpec) -> Result<(), DriverError>;

    /// The folder of the volume, to be mounted in a machine; fails if it isn't there.
    async fn folder(&self, id: &WorkloadId) -> Result<PathBuf, DriverError>;

    /// Deletes the volume with its content.
    async fn delete(&self, id: &WorkloadId) -> Result<(), DriverError>;
}
