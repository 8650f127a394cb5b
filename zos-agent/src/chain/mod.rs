// SPDX-License-Identifier: Apache-2.0
//! The chain as the agent sees it: the job queue and the database, read at finalized heads only.

pub mod client;
#[cfg(test)]
pub mod fake;
mod follow;
mod outbox;

pub use follow::{Follower, Snapshot, Standing};
pub use outbox::{Outbox, OutboxInputs};

use async_trait::async_trait;
use futures::stream::BoxStream;
use std::fmt;
use tfgrid_primitives::{ContractId, FailureCode, Resources, UsageItem, report::DetailsPayload};

/// The body of a node contract.
pub type Body = tfgrid_primitives::Body<Vec<u8>>;

/// A finalized block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u32,
    /// Its hash.
    pub hash: [u8; 32],
    /// The chain's clock in it, in milliseconds since 1970.
    pub timestamp_ms: u64,
}

/// How far a contract has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContractState {
    /// The chain waits for the node's report on the version that stands.
    Created,
    /// The node has confirmed that version.
    Deployed,
}

/// A version of a contract's deployment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Rises with every update.
    pub number: u32,
    /// Hash of its [`Body`].
    pub body_hash: [u8; 32],
    /// What it may use of this node.
    pub reserved: Resources,
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} of {}", self.number, hex::encode(&self.body_hash[..4]))
    }
}

/// Which body of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// That of the version that stands.
    Standing,
    /// That of the version that waits for the node's answer.
    Pending,
}

/// A node contract on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Its id.
    pub id: ContractId,
    /// The version that stands.
    pub standing: Version,
    /// Whether that version is confirmed.
    pub state: ContractState,
    /// The version that its owner wants instead. The other one stands until the node has confirmed
    /// this one.
    pub pending: Option<Version>,
    /// Whether its payer is out of funds.
    pub paused: bool,
}

impl Contract {
    /// The version that the node has confirmed.
    pub fn confirmed(&self) -> Option<Version> {
        (self.state == ContractState::Deployed).then_some(self.standing)
    }
}

/// The record that a closed contract leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Why it was closed, for the log.
    pub reason: String,
}

/// Intervals that the chain prescribes, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainLimits {
    /// Between two heartbeats.
    pub heartbeat_ms: u64,
    /// Between two usage reports.
    pub usage_ms: u64,
}

/// What the node tells the chain (`docs/FORMATS.md` §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The node is alive.
    Heartbeat {
        /// Random, new at each start of the agent.
        boot_nonce: u64,
    },
    /// A contract's deployment runs.
    Deployed {
        /// Whose.
        contract: ContractId,
        /// Which version of it.
        version: u32,
        /// Of which body.
        body_hash: [u8; 32],
        /// JSON of at most 256 bytes: how to reach it.
        result: Vec<u8>,
    },
    /// A contract's deployment can't run: its owner must change something.
    Failed {
        /// Whose.
        contract: ContractId,
        /// Which version of it.
        version: u32,
        /// Why.
        code: FailureCode,
        /// Where in the body: a JSON pointer of at most 128 bytes.
        path: String,
    },
    /// What contracts used; at most 64 items.
    Usage(Vec<UsageItem>),
    /// A contract's deployment is on its way and takes longer.
    Progress {
        /// Whose.
        contract: ContractId,
        /// Which version of it.
        version: u32,
    },
    /// Nothing of a closed contract is left.
    Released {
        /// Which.
        contract: ContractId,
    },
    /// What the machine is.
    Details(DetailsPayload),
}

/// What a report is about: of each, only the latest is sent. The order is the order of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// A contract's answer is on its way.
    Progress(ContractId),
    /// How a contract's deployment ended.
    Answer(ContractId),
    /// The end of a contract.
    Release(ContractId),
}

impl Report {
    /// The kind's name in logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Heartbeat { .. } => "heartbeat",
            Self::Deployed { .. } => "deployed",
            Self::Failed { .. } => "failed",
            Self::Usage(_) => "usage",
            Self::Progress { .. } => "progress",
            Self::Released { .. } => "released",
            Self::Details(_) => "details",
        }
    }
}

/// What became of a report that the chain didn't refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the pool. It may still get lost.
    Taken,
    /// The chain knows already what it says.
    Known,
}

/// Why the chain didn't answer as hoped, as a sentence. All of it is worth another try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ChainError(pub String);

/// One node's view of the chain.
#[async_trait]
pub trait Chain: Send + Sync {
    /// Finalized heads, the present one first. Ends when the connection does.
    async fn heads(&self) -> Result<BoxStream<'static, Result<Head, ChainError>>, ChainError>;

    /// All node contracts on this node.
    async fn contracts(&self, at: &Head) -> Result<Vec<Contract>, ChainError>;

    /// A contract's body, `None` where the chain has none.
    async fn body(&self, contract: ContractId, which: Which, at: &Head) -> Result<Option<Body>, ChainError>;

    /// The record of a closed contract, `None` where it isn't closed or unknown.
    async fn closed(&self, contract: ContractId, at: &Head) -> Result<Option<Closed>, ChainError>;

    /// Whether the chain waits to hear that nothing of this closed contract is left.
    async fn awaits_release(&self, contract: ContractId, at: &Head) -> Result<bool, ChainError>;

    /// What the chain knows of this machine, `None` where it hasn't told yet.
    async fn details(&self, at: &Head) -> Result<Option<DetailsPayload>, ChainError>;

    /// The intervals in force.
    async fn limits(&self, at: &Head) -> Result<ChainLimits, ChainError>;

    /// Signs a report and hands it to the chain.
    async fn submit(&self, sequence: u64, report: &Report) -> Result<Submitted, ChainError>;
}
