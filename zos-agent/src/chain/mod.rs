// SPDX-License-Identifier: Apache-2.0
//! The chain as the agent uses it: finalized contracts are its work, reports are its answers.

pub mod client;
pub mod desired;
pub mod endpoints;
#[cfg(test)]
pub mod fake;
mod follow;
mod outbox;
pub mod stored;

pub use follow::{Follower, HeadAge, Snapshot, Unproven};
pub use outbox::{Outbox, OutboxInputs};

use async_trait::async_trait;
use futures::stream::BoxStream;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use sp_core::H256;
use std::{collections::BTreeMap, fmt};
use tfgrid_client::{
    grid_at::{NodePower, PublicPlace},
    peer::NodeAddress,
    public_ip::{PublicIp, PublicNetwork},
};
use tfgrid_primitives::{
    ContractId, NodeId, PublicKey, Refusal, Resources, TwinId, UsageItem,
    report::{DetailsPayload, Failure},
};

/// The body of a node contract.
pub type Body = tfgrid_primitives::Body<Vec<u8>>;

/// A finalized block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Block number.
    pub number: u32,
    /// Block hash.
    pub hash: [u8; 32],
    /// The chain's clock in this block, in milliseconds since 1970.
    pub timestamp_ms: u64,
}

/// Whether the node has confirmed the active version of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContractState {
    /// The chain waits for the node's report.
    Created,
    /// The node has reported it as deployed.
    Deployed,
}

/// A version of a contract's deployment.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Increases with every update.
    pub number: u32,
    /// Hash of its [`Body`].
    pub body_hash: [u8; 32],
    /// Capacity of this node that it may use.
    pub reserved: Resources,
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} of {}", self.number, hex::encode(&self.body_hash[..4]))
    }
}

/// Selects one of a contract's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyOf {
    /// The body of the active version.
    Active,
    /// The body of the version that awaits the node's answer.
    Pending,
}

/// A node contract on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// Contract id.
    pub id: ContractId,
    /// Twin of its owner; 0, which is nobody, in snapshots of earlier agents.
    #[serde(default)]
    pub twin: TwinId,
    /// The version that runs, or is to run first.
    pub active: Version,
    /// Whether `active` is confirmed.
    pub state: ContractState,
    /// The update that awaits the node's answer; `active` stays in force until it is confirmed.
    pub pending: Option<Version>,
    /// Whether its payer is out of funds.
    pub paused: bool,
    /// Its public IPs, in the order in which it got them.
    #[serde(default)]
    pub public_ips: Vec<PublicIp>,
    /// The node's public IPv6 network.
    #[serde(default)]
    pub public_network: Option<PublicNetwork>,
}

impl Contract {
    /// The version that the node has confirmed.
    pub fn confirmed(&self) -> Option<Version> {
        (self.state == ContractState::Deployed).then_some(self.active)
    }
}

/// The record that a closed contract leaves on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Why it was closed, for the log.
    pub reason: String,
}

/// Public traffic of a contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that it has bought and, as far as the chain knows, not used.
    pub left_bytes: u64,
    /// Bytes in both directions that the node has reported, in all.
    pub reported_bytes: u64,
}

/// Reporting intervals that the chain prescribes, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLimits {
    /// From one heartbeat to the next.
    pub heartbeat_ms: u64,
    /// From one usage report to the next.
    pub usage_ms: u64,
    /// From a request, or the last report of progress, to the answer.
    pub answer_ms: u64,
}

/// A report of this node (`docs/FORMATS.md` §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The node is alive and can run workloads.
    Heartbeat {
        /// Random, drawn once per start of the agent.
        boot_nonce: u64,
    },
    /// A version of a contract runs.
    Deployed {
        /// Contract id.
        contract: ContractId,
        /// Version number.
        version: u32,
        /// Hash of the body that runs.
        body_hash: [u8; 32],
        /// JSON of at most 256 bytes: how to reach it.
        result: Vec<u8>,
    },
    /// A version of a contract can't run until its owner changes it.
    Failed {
        /// Contract id.
        contract: ContractId,
        /// The version and why it can't run.
        failure: Failure,
    },
    /// Resources used by contracts; at most 64 items.
    Usage(Vec<UsageItem>),
    /// A version is still being deployed.
    Progress {
        /// Contract id.
        contract: ContractId,
        /// Version number.
        version: u32,
    },
    /// Everything of a closed contract is removed.
    Released {
        /// Contract id.
        contract: ContractId,
    },
    /// Hardware of this machine.
    Details(DetailsPayload),
    /// The machine sleeps, as its farmer wants.
    Sleep,
}

/// Subject of a report by the engine. A newer report replaces an older one on the same topic. Topics are sent
/// in the order of their variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// A deployment in progress.
    Progress(ContractId),
    /// The outcome of a deployment.
    Answer(ContractId),
    /// The removal of a closed contract.
    Release(ContractId),
}

/// The engine's reports, one per topic.
pub type Reports = BTreeMap<Topic, Report>;

impl Report {
    /// Name of the kind in logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Heartbeat { .. } => "heartbeat",
            Self::Deployed { .. } => "deployed",
            Self::Failed { .. } => "failed",
            Self::Usage(_) => "usage",
            Self::Progress { .. } => "progress",
            Self::Released { .. } => "released",
            Self::Details(_) => "details",
            Self::Sleep => "power",
        }
    }
}

/// Outcome of a report that the chain didn't refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the transaction pool, from which it may still be dropped.
    InPool,
    /// The chain has the same information already.
    AlreadyKnown,
}

/// A failed read or submission. A later try may succeed.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The client failed.
    #[error(transparent)]
    Client(#[from] tfgrid_client::Error),
    /// The chain refused a report.
    #[error("the chain refused it: {}", .0.text())]
    Refused(Refusal),
    /// The endpoint serves another chain than at the start.
    #[error("{url} serves another chain than at the start: its genesis is {found:?}, it was {expected:?}")]
    OtherChain {
        /// RPC endpoint.
        url: String,
        /// Genesis hash at the start.
        expected: H256,
        /// Genesis hash now.
        found: H256,
    },
    /// There are several endpoints, and none can be used.
    #[error("no endpoint of the chain can be used:{0}")]
    NoEndpoint(String),
    /// No endpoint was reached since the start.
    #[error("the chain wasn't reached yet")]
    NotConnected,
    /// A block was read too late.
    #[error("block {0} was dropped from the blocks that the agent keeps")]
    BlockDropped(u32),
    /// A block number is too large.
    #[error("block number {0} has more than 32 bits")]
    BlockNumber(u64),
    /// A part of a report is too long.
    #[error("{0} is longer than the chain accepts")]
    TooLong(&'static str),
}

/// One node's access to the chain.
#[async_trait]
pub trait Chain: Send + Sync {
    /// Finalized heads, starting with the present one. Ends when the connection does.
    async fn heads(&self) -> Result<BoxStream<'static, Result<Head, ChainError>>, ChainError>;

    /// All node contracts on this node.
    async fn contracts(&self, at: &Head) -> Result<Vec<Contract>, ChainError>;

    /// A contract's body, `None` if the chain has none.
    async fn body(&self, contract: ContractId, of: BodyOf, at: &Head) -> Result<Option<Body>, ChainError>;

    /// The record of a closed contract, `None` if it is open or unknown.
    async fn closed(&self, contract: ContractId, at: &Head) -> Result<Option<Closed>, ChainError>;

    /// Whether the chain waits for [`Report::Released`] of this closed contract.
    async fn awaits_release(&self, contract: ContractId, at: &Head) -> Result<bool, ChainError>;

    /// Closed contracts of this node that [`Chain::awaits_release`], also those that it never saw.
    async fn awaited_releases(&self, at: &Head) -> Result<Vec<ContractId>, ChainError>;

    /// Whether this node is registered.
    async fn is_registered(&self, at: &Head) -> Result<bool, ChainError>;

    /// The hardware that was last reported, `None` before the first report.
    async fn details(&self, at: &Head) -> Result<Option<DetailsPayload>, ChainError>;

    /// Whether this node is to sleep, and whether the chain knows that it does.
    async fn power(&self, at: &Head) -> Result<NodePower, ChainError>;

    /// Other nodes of the farm that sleep, and are to be woken.
    async fn nodes_to_wake(&self, at: &Head) -> Result<Vec<NodeId>, ChainError>;

    /// The public addresses and the domain of this node; nothing where its farmer has set none.
    async fn public_place(&self, at: &Head) -> Result<PublicPlace, ChainError>;

    /// The twin that holds a name on the gateways, `None` for a free one.
    async fn name_holder(&self, name: &str, at: &Head) -> Result<Option<TwinId>, ChainError>;

    /// The peer keys of a twin; none for an unknown one.
    async fn peer_keys(&self, twin: TwinId, at: &Head) -> Result<Vec<PublicKey>, ChainError>;

    /// The twin that owns this node's farm, `None` where the node isn't registered.
    async fn farmer(&self, at: &Head) -> Result<Option<TwinId>, ChainError>;

    /// A contract's public traffic.
    async fn traffic(&self, contract: ContractId, at: &Head) -> Result<Traffic, ChainError>;

    /// The contracts that take part in a twin's private network, with their ranges.
    async fn network_members(
        &self,
        twin: TwinId,
        network: &str,
        at: &Head,
    ) -> Result<Vec<(ContractId, Ipv4Net)>, ChainError>;

    /// The node of an open node contract.
    async fn node_of_contract(&self, contract: ContractId, at: &Head) -> Result<Option<NodeId>, ChainError>;

    /// A node's peer endpoint; `None` for an unknown node.
    async fn node_address(&self, node: NodeId, at: &Head) -> Result<Option<NodeAddress>, ChainError>;

    /// The intervals in force.
    async fn limits(&self, at: &Head) -> Result<ChainLimits, ChainError>;

    /// Sequence number of this node's last heartbeat, `None` if the node is unknown.
    async fn last_heartbeat(&self, at: &Head) -> Result<Option<u64>, ChainError>;

    /// Ends the connection, and with it the stream of heads: the next one is to the next endpoint.
    async fn leave_endpoint(&self);

    /// Signs a report and submits it.
    async fn submit(&self, sequence: u64, report: &Report) -> Result<Submitted, ChainError>;
}
