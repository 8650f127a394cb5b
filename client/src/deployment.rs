// SPDX-License-Identifier: Apache-2.0
//! The deployment: the JSON document in the body of a node contract (`docs/FORMATS.md` §4).
//!
//! Clients check a deployment before they submit it, and the node checks it again with the same code:
//! every [`Deployment`] from text, JSON or YAML, went through [`Deployment::read`].

mod addresses;
mod application;
mod gateways;
mod image;
mod json;
mod output;
mod ports;
mod rejection;
mod rules;
mod secrets;
#[cfg(test)]
mod tests;

pub use application::{Application, Part, PresentRange, Spread, application_schema};
pub use gateways::{
    Backend, BackendError, BackendProtocol, GatewayFqdnProxy, GatewayNameProxy, MAX_BACKENDS, Site,
    SiteLimits,
};
pub use image::{ImageError, ImageReference};
pub use json::Json;
pub use output::{LogOutput, LogOutputError, LogProtocol};
pub use ports::{Ports, PortsError};
pub use rejection::{Rejection, UNTOLD, WITHHELD};
pub use rules::{is_workload_name, private_subnet};
pub use secrets::{OpenSecrets, Secrets, Text};

use crate::wireguard::{WireGuardKey, key_text};
use codec::Encode;
use ipnet::Ipv4Net;
use json::Cursor;
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize, Serializer};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
};
use tfgrid_primitives::{
    ContractId, FailureCode, Features, Resources,
    net::Subnet,
    report::MAX_GPUS,
    units::{GIB, MIB},
};

/// The only version that this code knows.
pub const VERSION: u64 = 1;
/// The most bytes of a body, plain or sealed.
pub const MAX_BODY_BYTES: usize = tfgrid_primitives::body::MAX_BODY_BYTES as usize;

/// The most seconds that a machine has to stop.
pub const MAX_STOP_SECONDS: u64 = 300;

/// The most private networks of a deployment, and of a machine.
pub const MAX_NETWORKS: usize = 4;
/// The most bytes of a private network's name.
pub const MAX_NETWORK_NAME_BYTES: usize = 20;

/// The most peers of a private network.
pub const MAX_PEERS: usize = 16;

/// The most ranges of open ports of a machine.
pub const MAX_PORTS: usize = 32;

const MIN_BYTES: u64 = 16 * MIB;
/// The most that Linux takes.
const MAX_HOSTNAME_BYTES: usize = 64;
const STOP_SIGNALS: [&str; 8] =
    ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGKILL"];
/// Capabilities that reach nothing outside of a machine with a user namespace of its own.
const CAPABILITIES: [&str; 3] = ["IPC_LOCK", "SYS_NICE", "SYS_PTRACE"];

/// The most seconds in which failures of a health check don't count.
pub const MAX_START_SECONDS: u64 = 300;

/// The workloads of a node contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Json")]
#[schemars(!try_from, deny_unknown_fields)]
pub struct Deployment {
    /// Always 1.
    #[schemars(extend("const" = VERSION))]
    pub version: u64,
    /// For people; at most 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// The part of an application that it is, by which clients find the contracts of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationPart>,
    /// The contract whose place it has taken on another node, as a bot writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaces>,
    /// Texts that `env`, credentials and outputs refer to by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Secrets>,
    /// 1 to 32 workloads.
    #[schemars(length(min = 1, max = 32))]
    pub workloads: Vec<Workload>,
}

/// A part of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ApplicationPart {
    /// Name of the application.
    #[schemars(regex(pattern = "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"))]
    pub name: String,
    /// Name of the part in it.
    #[schemars(regex(pattern = "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"))]
    pub part: String,
}

/// A contract that was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Replaces {
    /// The contract before it.
    pub contract: ContractId,
    /// The snapshot that its volumes are to get; none where it is moved without its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<LastSnapshot>,
}

/// The last snapshot of a contract's volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LastSnapshot {
    /// The contract that it is of.
    pub contract: ContractId,
    /// When it was taken, in seconds since 1970.
    pub taken_at: u64,
}

/// One thing to run, named uniquely in its deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Workload {
    /// Lowercase letters, digits and inner hyphens; at most 32 bytes.
    #[schemars(regex(pattern = "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"))]
    pub name: String,
    /// Its type and settings.
    #[serde(flatten)]
    pub data: WorkloadData,
}

/// The types of workload, with their settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "type", content = "data", rename_all = "lowercase")]
#[expect(clippy::large_enum_variant, reason = "a deployment has at most 32 of them")]
pub enum WorkloadData {
    /// A container that its node runs from an image.
    Zmachine(Zmachine),
    /// A volume that one machine mounts.
    Zmount(Volume),
    /// A volume that machines share.
    Volume(Volume),
    /// A machine's output, sent to its owner.
    Zlogs(Zlogs),
    /// The part of a private network that is on the contract's node.
    Network(Network),
    /// A site that a gateway publishes under a name of its domain.
    #[serde(rename = "gateway-name-proxy")]
    GatewayNameProxy(GatewayNameProxy),
    /// A site that a gateway publishes under a domain of the owner's.
    #[serde(rename = "gateway-fqdn-proxy")]
    GatewayFqdnProxy(GatewayFqdnProxy),
}

/// A container made from an OCI image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Zmachine {
    /// OCI reference with a registry host, and a tag or a digest.
    #[schemars(length(max = 256))]
    pub image: String,
    /// Credentials for the image's registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<Registry>,
    /// Cores, 0.01 or more.
    #[schemars(with = "f64", range(min = 0.01))]
    pub cpu: Cores,
    /// Bytes, 16 MiB or more.
    #[schemars(range(min = MIN_BYTES))]
    pub memory: u64,
    /// Bytes, 16 MiB or more: disk for what the machine writes to its root and to the image's `VOLUME`s.
    #[schemars(range(min = MIN_BYTES), default = "default_rootfs")]
    pub rootfs: u64,
    /// User in the machine, such as `app`, `1000` or `1000:50`, instead of the image's `USER`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Folder in which the machine's program starts, instead of the image's `WORKDIR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Host name, instead of the workload's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_HOSTNAME_BYTES))]
    pub hostname: Option<String>,
    /// Bytes of `/dev/shm`, instead of half the memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm: Option<u64>,
    /// Signal that asks the machine to stop, instead of the image's `STOPSIGNAL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = STOP_SIGNALS))]
    pub stop_signal: Option<String>,
    /// Seconds from that signal to the machine's end by force; at most 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = MAX_STOP_SECONDS))]
    pub stop_seconds: Option<u64>,
    /// When it is started again after it has ended; else `always`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// How its node finds out whether it works, instead of the image's `HEALTHCHECK`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Limits of each process, from their names to their values, instead of the node's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default)]
    pub ulimits: BTreeMap<String, u64>,
    /// GPUs of the node that no other machine uses; at most 16.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default, range(max = MAX_GPUS))]
    pub gpus: u64,
    /// Capabilities of Linux beyond those that every machine has.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(default, extend("items" = { "enum": CAPABILITIES }))]
    pub capabilities: BTreeSet<String>,
    /// Private networks that it is in; without any, it reaches the internet alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, length(max = MAX_NETWORKS))]
    pub interfaces: Vec<Interface>,
    /// Whether it reaches the internet.
    #[serde(skip_serializing_if = "is_true")]
    #[schemars(default = "default_internet")]
    pub internet: bool,
    /// Whether it has one of the contract's public IPv4 addresses.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default)]
    pub public_ip: bool,
    /// Whether it has a public IPv6 address.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default)]
    pub ipv6: bool,
    /// Ports of its public addresses that the internet or a network of it reaches, such as `80/tcp`, `8000-8010/udp` and
    /// `22/tcp from 203.0.113.0/24`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", default, length(max = MAX_PORTS))]
    pub ports: Vec<Ports>,
    /// Volumes of the same deployment, and where the machine sees them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, length(max = 8))]
    pub mounts: Vec<Mount>,
    /// Environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default)]
    pub env: BTreeMap<String, Text>,
    /// Replaces the image's `ENTRYPOINT`; empty keeps it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, length(max = 64))]
    pub entrypoint: Vec<String>,
    /// Replaces the image's `CMD`; empty keeps it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, length(max = 64))]
    pub args: Vec<String>,
}

impl Zmachine {
    /// Whether it asks for public addresses.
    pub fn is_public(&self) -> bool {
        self.public_ip || self.ipv6
    }
}

/// Credentials for a registry. Debug output doesn't have them.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Registry {
    /// Name of the user.
    pub user: Text,
    /// Password or token.
    pub password: Text,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// When a machine that has ended by itself is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Always.
    #[default]
    Always,
    /// Unless its exit code is 0: then it is a job that has finished.
    OnFailure,
    /// Never: it is a job, which has finished if its exit code is 0, and failed otherwise.
    Never,
}

/// A check of whether a machine works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Encode, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Health {
    /// What is tried.
    #[serde(flatten)]
    pub check: Check,
    /// Seconds from the start in which a failure doesn't count; at most 300.
    #[schemars(range(max = MAX_START_SECONDS), default = "default_start_seconds")]
    pub start_seconds: u64,
}

/// What a health check tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Encode, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(deny_unknown_fields)]
pub enum Check {
    /// `GET` of a path, answered with a status from 200 to 399.
    Http {
        /// TCP port of the machine.
        #[schemars(range(min = 1))]
        port: u16,
        /// Path of the request, with its query.
        #[schemars(default = "default_path", regex(pattern = "^/"))]
        path: String,
    },
    /// A connection.
    Tcp {
        /// TCP port of the machine.
        #[schemars(range(min = 1))]
        port: u16,
    },
    /// A program in the machine, which ends with exit code 0.
    Exec(Vec<String>),
}

/// Hundredths of cores. In a document it is a number with at most two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores(pub u64);

impl Serialize for Cores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(hundredths) = *self;
        if hundredths % 100 == 0 {
            serializer.serialize_u64(hundredths / 100)
        } else {
            serializer.serialize_f64(hundredths as f64 / 100.0)
        }
    }
}

/// A volume inside a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Mount {
    /// Name of a `zmount` or `volume` of this deployment.
    pub name: String,
    /// Absolute path in the machine.
    #[schemars(regex(pattern = "^/."))]
    pub path: String,
}

/// A machine's place in a private network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Interface {
    /// Name of a `network` of this deployment.
    pub network: String,
    /// Address of the machine, instead of one that the node picks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub ip: Option<Ipv4Addr>,
}

/// A private network of the contract's owner. Its parts, one for each contract that names it, are linked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Network {
    /// Addresses of the whole network, such as `10.20.0.0/16`.
    #[serde(serialize_with = "as_text")]
    #[schemars(with = "String")]
    pub subnet: Ipv4Net,
    /// Addresses of this contract's machines, such as `10.20.1.0/24`, instead of the whole subnet.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_text")]
    #[schemars(with = "Option<String>", default)]
    pub range: Option<Ipv4Net>,
    /// Computers of the owner's that join it through this contract's node; at most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, length(max = MAX_PEERS))]
    pub peers: Vec<NetworkPeer>,
}

/// A computer of the owner's, in a private network by WireGuard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NetworkPeer {
    /// Name under which machines find it, as a workload's.
    #[schemars(regex(pattern = "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"))]
    pub name: String,
    /// Its public key of WireGuard, in base64.
    #[serde(serialize_with = "as_key_text")]
    #[schemars(with = "String", regex(pattern = "^[A-Za-z0-9+/]{43}=$"))]
    pub public_key: WireGuardKey,
    /// Its address, instead of one that follows from its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub ip: Option<Ipv4Addr>,
}

impl Network {
    /// Addresses of this contract's machines.
    pub fn range(&self) -> Ipv4Net {
        self.range.unwrap_or(self.subnet)
    }

    /// The first address of the range, which is its router's and name server's.
    pub fn gateway(&self) -> Ipv4Addr {
        addresses::nth(self.range(), 1)
    }
}

/// A volume; its content lives as long as the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Volume {
    /// Bytes: whole MiB, 16 MiB or more.
    #[schemars(range(min = MIN_BYTES), extend("multipleOf" = MIB))]
    pub size: u64,
    /// Kind of disk that it lies on; else `ssd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskKind>,
}

/// Sends what a machine writes to its standard output and error to an address of its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Zlogs {
    /// Name of a `zmachine` of this deployment.
    pub zmachine: String,
    /// Address: [`LogOutput`].
    pub output: Text,
}

/// Kind of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiskKind {
    /// Flash, which `sru` counts.
    #[default]
    Ssd,
    /// A hard disk, which `hru` counts.
    Hdd,
}

impl fmt::Display for DiskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ssd => "ssd",
            Self::Hdd => "hdd",
        })
    }
}

impl WorkloadData {
    /// What a node must serve to run it.
    pub fn feature(&self) -> Features {
        match self {
            Self::Zmachine(machine) if machine.is_public() => Features::ZMACHINE.and(Features::PUBLIC_IPS),
            Self::Zmachine(_) => Features::ZMACHINE,
            Self::Zmount(_) => Features::ZMOUNT,
            Self::Volume(_) => Features::VOLUME,
            Self::Zlogs(_) => Features::ZLOGS,
            Self::Network(_) => Features::NETWORKS,
            Self::GatewayNameProxy(_) | Self::GatewayFqdnProxy(_) => Features::GATEWAYS,
        }
    }
}

/// The JSON Schema of deployments, for editors and other clients. Rules that concern several parts of a document, or
/// the content of a text, are not in it.
pub fn schema() -> Schema {
    schema_for!(Deployment)
}

fn default_rootfs() -> u64 {
    GIB
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn default_internet() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn as_text<S: Serializer>(network: &Ipv4Net, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(network)
}

fn as_optional_text<S: Serializer>(network: &Option<Ipv4Net>, serializer: S) -> Result<S::Ok, S::Error> {
    match network {
        Some(network) => serializer.collect_str(network),
        None => serializer.serialize_none(),
    }
}

fn as_key_text<S: Serializer>(key: &WireGuardKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&key_text(key))
}

fn default_start_seconds() -> u64 {
    30
}

fn default_path() -> String {
    "/".into()
}

impl Deployment {
    /// What a node must serve to run all workloads.
    pub fn features(&self) -> Features {
        self.workloads.iter().map(|workload| workload.data.feature()).fold(Features::default(), Features::and)
    }

    /// Reads and checks a plain body.
    ///
    /// # Errors
    /// The first rule of `docs/FORMATS.md` §4 that the body breaks, and where.
    pub fn parse(body: &[u8]) -> Result<Self, Rejection> {
        if body.len() > MAX_BODY_BYTES {
            return Err(Rejection::new(
                FailureCode::BodyInvalid,
                "",
                format!("a body has at most {MAX_BODY_BYTES} bytes, this one has {}", body.len()),
            ));
        }
        let json: Json = serde_json::from_slice(body).map_err(|error| {
            Rejection::new(FailureCode::BodyNotJson, "", format!("the body isn't JSON: {error}"))
        })?;
        Self::read(&json)
    }

    /// Checks a JSON document and makes a deployment of it.
    ///
    /// # Errors
    /// As [`Deployment::parse`].
    pub fn read(json: &Json) -> Result<Self, Rejection> {
        rules::deployment(&Cursor::root(json))
    }

    /// The same for a document of a person, in which numbers and booleans may be meant as strings: those that `texts`
    /// has in their places.
    ///
    /// # Errors
    /// As [`Deployment::parse`].
    pub fn read_loosely(json: &Json, texts: &Json) -> Result<Self, Rejection> {
        rules::deployment(&Cursor::loose(json, texts))
    }

    /// The JSON text that goes into a body.
    ///
    /// # Errors
    /// [`FailureCode::BodyInvalid`] if it would have more than [`MAX_BODY_BYTES`] bytes.
    pub fn to_body(&self) -> Result<Vec<u8>, Rejection> {
        let body = serde_json::to_vec(self)
            .map_err(|error| Rejection::new(FailureCode::BodyNotJson, "", error.to_string()))?;
        Self::parse(&body)?;
        Ok(body)
    }

    /// Its private networks by name.
    pub fn networks(&self) -> impl Iterator<Item = (&str, &Network)> {
        self.workloads.iter().filter_map(|workload| match &workload.data {
            WorkloadData::Network(network) => Some((workload.name.as_str(), network)),
            _ => None,
        })
    }

    /// The private networks that its contract must list, each with the range of the contract.
    pub fn listed_networks(&self) -> Vec<(String, Subnet)> {
        let subnet = |range: Ipv4Net| Subnet { address: range.addr().octets(), prefix: range.prefix_len() };
        self.networks().map(|(name, network)| (name.to_owned(), subnet(network.range()))).collect()
    }

    /// How many public IPv4 addresses its machines ask for.
    pub fn public_ips(&self) -> usize {
        let has_one =
            |data: &WorkloadData| matches!(data, WorkloadData::Zmachine(machine) if machine.public_ip);
        self.workloads.iter().filter(|workload| has_one(&workload.data)).count()
    }

    /// The sum of the workloads' needs.
    pub fn needs(&self) -> Resources {
        let (needs, Cores(hundredths)) =
            self.workloads.iter().fold((Resources::ZERO, Cores(0)), sum_of_needs);
        Resources { cru: hundredths.div_ceil(100), ..needs }
    }

    /// What its contract reserves unless somebody asks for more: its needs; the memory of the smallest machine where it
    /// has none, as networks alone do, since the chain takes no contract that reserves nothing.
    pub fn least_reservation(&self) -> Resources {
        let needs = self.needs();
        if needs == Resources::ZERO { Resources { mru: MIN_BYTES, ..needs } } else { needs }
    }

    /// Its volumes, with their places in [`Self::workloads`] and their names.
    pub fn volumes(&self) -> impl Iterator<Item = (usize, &str, &Volume)> {
        self.workloads.iter().enumerate().filter_map(|(index, workload)| match &workload.data {
            WorkloadData::Zmount(volume) | WorkloadData::Volume(volume) => {
                Some((index, workload.name.as_str(), volume))
            }
            _ => None,
        })
    }

    /// Names of its machines.
    pub fn machines(&self) -> impl Iterator<Item = &str> {
        let is_machine = |workload: &&Workload| matches!(workload.data, WorkloadData::Zmachine(_));
        self.workloads.iter().filter(is_machine).map(|workload| workload.name.as_str())
    }

    /// Checks that the volumes of the active version can become what they are here.
    ///
    /// # Errors
    /// [`FailureCode::BodyInvalid`] at the first one that would shrink or move to another kind of disk, as its node
    /// would find.
    pub fn check_follows(&self, active: &Self) -> Result<(), Rejection> {
        let before: BTreeMap<_, _> = active.volumes().map(|(_, name, volume)| (name, volume)).collect();
        for (index, name, volume) in self.volumes() {
            let Some(before) = before.get(name) else { continue };
            let (has, is_on) = (before.size, before.disk.unwrap_or_default());
            let (field, message) = if volume.size < has {
                ("size", format!("a volume can't shrink: {name} has {has} bytes"))
            } else if volume.disk.unwrap_or_default() != is_on {
                ("disk", format!("a volume can't move to another kind of disk: {name} is on {is_on}"))
            } else {
                continue;
            };
            let path = format!("/workloads/{index}/data/{field}");
            return Err(Rejection::new(FailureCode::BodyInvalid, path, message));
        }
        Ok(())
    }

    /// Checks that the workloads fit the contract's reservation.
    ///
    /// # Errors
    /// [`FailureCode::OverReserved`], with each part that is too small and by how much.
    pub fn check_fits(&self, reserved: &Resources) -> Result<(), Rejection> {
        let needs = self.needs();
        if needs.fits_in(reserved) {
            return Ok(());
        }
        let missing = needs.saturating_sub(reserved);
        let parts: Vec<String> = [
            ("cru", missing.cru, reserved.cru),
            ("mru", missing.mru, reserved.mru),
            ("sru", missing.sru, reserved.sru),
            ("hru", missing.hru, reserved.hru),
            ("gpu", missing.gpu, reserved.gpu),
        ]
        .iter()
        .filter(|(_, short, _)| *short > 0)
        .map(|(name, short, has)| format!("{name} by {short} (the contract reserves {has})"))
        .collect();
        Err(Rejection::new(
            FailureCode::OverReserved,
            "/workloads",
            format!("the workloads need more than the contract reserves: {}", parts.join(", ")),
        ))
    }
}

/// Adds a workload's needs; cores apart, since machines share them.
fn sum_of_needs((sum, cores): (Resources, Cores), workload: &Workload) -> (Resources, Cores) {
    match &workload.data {
        WorkloadData::Zmachine(machine) => {
            let mru = sum.mru.saturating_add(machine.memory);
            let sru = sum.sru.saturating_add(machine.rootfs);
            let gpu = sum.gpu.saturating_add(machine.gpus);
            (Resources { mru, sru, gpu, ..sum }, Cores(cores.0.saturating_add(machine.cpu.0)))
        }
        WorkloadData::Zmount(Volume { size, disk }) | WorkloadData::Volume(Volume { size, disk }) => {
            let sum = match disk.unwrap_or_default() {
                DiskKind::Ssd => Resources { sru: sum.sru.saturating_add(*size), ..sum },
                DiskKind::Hdd => Resources { hru: sum.hru.saturating_add(*size), ..sum },
            };
            (sum, cores)
        }
        WorkloadData::Zlogs(_) => (sum, cores),
        WorkloadData::Network(_) => (sum, cores),
        WorkloadData::GatewayNameProxy(_) | WorkloadData::GatewayFqdnProxy(_) => (sum, cores),
    }
}

impl TryFrom<Json> for Deployment {
    type Error = Rejection;

    fn try_from(json: Json) -> Result<Self, Rejection> {
        Self::read(&json)
    }
}
