// SPDX-License-Identifier: Apache-2.0
//! Workloads that the chain wants on this node, parsed from contract bodies.

use super::{Body, Contract, Version};
use crate::drivers::{
    AddressSpec, Attachment, ContainerSpec, Credentials, GatewayHost, GatewaySpec, InterfaceSpec, LogSpec,
    MachineSpec, NetworkId, NetworkPeer, NetworkSpec, VolumeSpec, WorkloadId,
};
use codec::Encode;
use sp_core::{Blake2Hasher, Hasher};
use std::collections::{BTreeMap, BTreeSet};
use tfgrid_client::{
    deployment::{
        self, Deployment, GatewayFqdnProxy, GatewayNameProxy, Interface, Network, OpenSecrets, Registry,
        Rejection, WorkloadData, Zlogs, Zmachine,
    },
    sealing::SealKey,
};
use tfgrid_primitives::{FailureCode, TwinId};

/// A contract with its parsed bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The contract as the chain has it.
    pub contract: Contract,
    /// The body of the active version.
    pub body: Option<Body>,
    /// The active version.
    pub active: Target,
    /// The update that awaits this node's answer.
    pub pending: Option<Target>,
}

/// A version with its parsed body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The version as the chain has it.
    pub version: Version,
    /// Whether its body or a part of it is sealed: what is told of it must not repeat anything from there.
    pub is_private: bool,
    /// Content of its body.
    pub wanted: Wanted,
}

/// Content of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Workloads to run.
    Run(Workloads),
    /// Something that this node can't run.
    Refused(Rejection),
    /// Not to be had from the chain: everything stays as it is.
    Unknown(BodyError),
}

/// The chain gave no body, or not the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// There is no body.
    #[error("the chain has no body for this version")]
    Missing,
    /// The body isn't the one that the contract names.
    #[error("the hash of the body isn't the one in the contract")]
    HashMismatch,
}

/// Workloads in the order of the deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workloads {
    /// Workloads of type `zmachine`.
    pub machines: Vec<MachineSpec>,
    /// Workloads of type `zmount` and `volume`.
    pub volumes: Vec<VolumeSpec>,
    /// Workloads of type `zlogs`.
    pub logs: Vec<LogSpec>,
    /// Workloads of type `network`.
    pub networks: Vec<NetworkSpec>,
    /// Workloads of types `gateway-name-proxy` and `gateway-fqdn-proxy`.
    pub gateways: Vec<GatewaySpec>,
    /// Whether they have texts that not everyone may read.
    pub has_secrets: bool,
}

impl Desired {
    /// Parses the contract's bodies; opens sealed ones with `key`. The plain text of these stays in memory.
    pub fn new(contract: Contract, body: Option<Body>, pending_body: Option<&Body>, key: &SealKey) -> Self {
        let target = |version, body| Target::new(&contract, version, body, key);
        let active = target(contract.active, body.as_ref());
        let pending = contract.pending.map(|pending| target(pending, pending_body));
        Self { contract, body, active, pending }
    }

    /// The update if it has this number, else the active version.
    pub fn target_of(&self, version: u32) -> &Target {
        self.pending.iter().find(|pending| pending.version.number == version).unwrap_or(&self.active)
    }

    /// Sites of all its versions.
    pub fn gateways(&self) -> impl Iterator<Item = &GatewaySpec> {
        let targets = self.pending.iter().chain([&self.active]);
        targets.filter_map(Target::workloads).flat_map(|workloads| &workloads.gateways)
    }

    /// Whether the node has confirmed this version.
    pub fn has_confirmed(&self, version: Version) -> bool {
        self.contract.confirmed() == Some(version)
    }

    /// Why this node refuses the body of a version, `None` if it doesn't.
    pub fn rejection(&self, version: u32) -> Option<&Rejection> {
        let targets = self.pending.iter().chain([&self.active]);
        targets.filter(|target| target.version.number == version).find_map(|target| match &target.wanted {
            Wanted::Refused(rejection) => Some(rejection),
            _ => None,
        })
    }
}

impl Target {
    /// Its workloads, `None` if the body can't be run.
    pub fn workloads(&self) -> Option<&Workloads> {
        match &self.wanted {
            Wanted::Run(workloads) => Some(workloads),
            Wanted::Refused(_) | Wanted::Unknown(_) => None,
        }
    }

    fn new(contract: &Contract, version: Version, body: Option<&Body>, key: &SealKey) -> Self {
        // Anyone can copy what is sealed into a contract of their own.
        let key = &key.of(contract.twin);
        let parsed = match body {
            None => Err(Wanted::Unknown(BodyError::Missing)),
            Some(body) if body.hash().0 != version.body_hash => Err(Wanted::Unknown(BodyError::HashMismatch)),
            Some(Body::Sealed(sealed)) => key
                .open(sealed)
                .and_then(|text| parse(contract, &version, &text, key).map_err(Rejection::withheld))
                .map_err(Wanted::Refused),
            Some(Body::Plain(text)) => parse(contract, &version, text, key).map_err(Wanted::Refused),
        };
        let has_secrets = parsed.as_ref().is_ok_and(|workloads| workloads.has_secrets);
        let wanted = parsed.map_or_else(|not_run| not_run, Wanted::Run);
        Self { version, is_private: has_secrets || matches!(body, Some(Body::Sealed(_))), wanted }
    }
}

fn parse(contract: &Contract, version: &Version, text: &[u8], key: &SealKey) -> Result<Workloads, Rejection> {
    let deployment = Deployment::parse(text)?;
    let secrets = deployment.open_secrets(key)?;
    deployment.check_fits(&version.reserved)?;
    let mut workloads = Workloads { has_secrets: deployment.secrets.is_some(), ..Workloads::default() };
    let places = places(contract.twin, &deployment);
    let mut peers = peers(&deployment);
    let mut addresses = public_addresses(contract, version, &deployment)?;
    for (index, workload) in deployment.workloads.into_iter().enumerate() {
        let id = WorkloadId { contract: contract.id, name: workload.name };
        let pointer = format!("/workloads/{index}");
        match workload.data {
            WorkloadData::Zmachine(machine) => {
                let interfaces = places.get(&id.name).cloned().unwrap_or_default();
                let attachment = Attachment { interfaces, internet: machine.internet };
                let public = addresses.remove(&id.name);
                let spec = machine_spec(id, version.number, pointer, machine, attachment, &secrets);
                workloads.machines.push(MachineSpec { public, ..spec });
            }
            WorkloadData::Zlogs(logs) => workloads.logs.push(log_spec(id, logs, &secrets)),
            WorkloadData::Zmount(volume) | WorkloadData::Volume(volume) => {
                workloads.volumes.push(VolumeSpec {
                    id,
                    pointer,
                    size: volume.size,
                    disk: volume.disk.unwrap_or_default(),
                    restores: false,
                });
            }
            WorkloadData::Network(network) => workloads.networks.push(NetworkSpec {
                subnet: network.subnet,
                peers: peers.remove(&id.name).unwrap_or_default(),
                id: NetworkId { twin: contract.twin, name: id.name },
                contract: contract.id,
                pointer,
                range: network.range(),
                gateway: network.gateway(),
            }),
            WorkloadData::GatewayNameProxy(GatewayNameProxy { name, site }) => {
                let host = GatewayHost::Name(name);
                workloads.gateways.push(GatewaySpec { id, twin: contract.twin, pointer, host, site });
            }
            WorkloadData::GatewayFqdnProxy(GatewayFqdnProxy { fqdn, site }) => {
                let host = GatewayHost::Domain(fqdn);
                workloads.gateways.push(GatewaySpec { id, twin: contract.twin, pointer, host, site });
            }
        }
    }
    Ok(workloads)
}

fn log_spec(id: WorkloadId, Zlogs { zmachine, output }: Zlogs, secrets: &OpenSecrets) -> LogSpec {
    let machine = WorkloadId { contract: id.contract, name: zmachine };
    LogSpec { id, machine, output: secrets.reveal(output) }
}

/// Places of machines in private networks, by the machines' names.
fn places(twin: TwinId, deployment: &Deployment) -> BTreeMap<String, Vec<InterfaceSpec>> {
    let networks: BTreeMap<&str, &Network> = deployment.networks().collect();
    let addresses = deployment.addresses();
    let place = |machine: &str, interface: &Interface| {
        let network = networks.get(interface.network.as_str())?;
        Some(InterfaceSpec {
            network: NetworkId { twin, name: interface.network.clone() },
            subnet: network.subnet,
            range: network.range(),
            gateway: network.gateway(),
            ip: *addresses.get(&(machine.to_owned(), interface.network.clone()))?,
        })
    };
    let machines = deployment.workloads.iter().filter_map(|workload| match &workload.data {
        WorkloadData::Zmachine(machine) => Some((&workload.name, &machine.interfaces)),
        _ => None,
    });
    machines
        .map(|(name, interfaces)| {
            (name.clone(), interfaces.iter().filter_map(|interface| place(name, interface)).collect())
        })
        .collect()
}

/// Peers of each network, by their names.
fn peers(deployment: &Deployment) -> BTreeMap<String, BTreeMap<String, NetworkPeer>> {
    let addresses = deployment.addresses();
    let of_network = |name: &str, network: &Network| {
        let peer = |peer: &deployment::NetworkPeer| {
            let ip = *addresses.get(&(peer.name.clone(), name.to_owned()))?;
            Some((peer.name.clone(), NetworkPeer { key: peer.public_key, ip }))
        };
        network.peers.iter().filter_map(peer).collect()
    };
    deployment.networks().map(|(name, network)| (name.to_owned(), of_network(name, network))).collect()
}

/// Public addresses of machines, by the machines' names: those of the contract in its order, and of the node's IPv6
/// network. A version that the node has confirmed runs without those that the chain has taken back since.
fn public_addresses(
    contract: &Contract,
    version: &Version,
    deployment: &Deployment,
) -> Result<BTreeMap<String, AddressSpec>, Rejection> {
    let is_new = contract.confirmed() != Some(*version);
    let mut ips = contract.public_ips.iter();
    let (mut specs, mut taken) = (BTreeMap::new(), BTreeSet::new());
    for (index, workload) in deployment.workloads.iter().enumerate() {
        let WorkloadData::Zmachine(machine) = &workload.data else { continue };
        let ip = if machine.public_ip { ips.next() } else { None };
        let in_network = contract.public_network.filter(|_| machine.ipv6);
        let in_network = in_network.and_then(|network| network.address_of(contract.id, &workload.name));
        let v6 = ip.and_then(|ip| ip.v6).or(in_network);
        let place = |field: &str| format!("/workloads/{index}/data/{field}");
        if is_new && machine.public_ip && ip.is_none() {
            let (reserved, asked) = (contract.public_ips.len(), deployment.public_ips());
            let text = format!("machines ask for {asked} public addresses, the contract reserves {reserved}");
            return Err(Rejection::new(FailureCode::OverReserved, place("public_ip"), text));
        }
        if is_new && machine.ipv6 && v6.is_none() {
            let text = "this node has no public IPv6 network that has room for machines";
            return Err(Rejection::new(FailureCode::BodyUnsupported, place("ipv6"), text));
        }
        let addresses: Vec<_> = ip.map(|ip| ip.v4).into_iter().chain(v6).collect();
        // Names can be searched for that have the same IPv6 address.
        if let Some(twice) = addresses.iter().find(|address| !taken.insert(address.ip)) {
            let text = format!("another machine has the address {} already: choose another name", twice.ip);
            return Err(Rejection::new(FailureCode::BodyInvalid, place("ipv6"), text));
        }
        if !addresses.is_empty() {
            specs.insert(workload.name.clone(), AddressSpec { addresses, ports: machine.ports.clone() });
        }
    }
    Ok(specs)
}

fn machine_spec(
    id: WorkloadId,
    version: u32,
    pointer: String,
    machine: Zmachine,
    attachment: Attachment,
    secrets: &OpenSecrets,
) -> MachineSpec {
    let env = machine.env.into_iter().map(|(name, text)| (name, secrets.reveal(text)));
    let registry = machine.registry.map(|Registry { user, password }| Credentials {
        user: secrets.reveal(user),
        password: secrets.reveal(password),
    });
    let container = ContainerSpec {
        image: machine.image,
        cpu: machine.cpu.0,
        memory: machine.memory,
        rootfs: machine.rootfs,
        user: machine.user,
        workdir: machine.workdir,
        hostname: machine.hostname,
        shm: machine.shm,
        stop_signal: machine.stop_signal,
        stop_seconds: machine.stop_seconds,
        health: machine.health,
        ulimits: machine.ulimits,
        gpus: machine.gpus,
        capabilities: machine.capabilities,
        mounts: machine.mounts.into_iter().map(|mount| (mount.name, mount.path)).collect(),
        env: env.collect(),
        entrypoint: machine.entrypoint,
        args: machine.args,
    };
    let hash = hash(&container, &attachment);
    let restart = machine.restart.unwrap_or_default();
    MachineSpec {
        id,
        version,
        pointer,
        restart,
        is_held: false,
        registry,
        container,
        attachment,
        public: None,
        hash,
    }
}

/// Two specs with the same hash run the same way. What agents of an earlier release didn't know counts only where it is
/// set: a machine of theirs keeps its hash.
fn hash(container: &ContainerSpec, attachment: &Attachment) -> String {
    let gpus = Some(container.gpus).filter(|gpus| *gpus > 0).map(|gpus| gpus.encode());
    let mut text = [container.encode(), gpus.unwrap_or_default()].concat();
    if *attachment != Attachment::default() {
        let place = |InterfaceSpec { network, subnet, range, gateway, ip }: &InterfaceSpec| {
            (&network.name, [subnet, range].map(ToString::to_string), [gateway, ip].map(ToString::to_string))
                .encode()
        };
        let places: Vec<_> = attachment.interfaces.iter().map(place).collect();
        (places, attachment.internet).encode_to(&mut text);
    }
    hex::encode(&Blake2Hasher::hash(&text)[..16])
}
