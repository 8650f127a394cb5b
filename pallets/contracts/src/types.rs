// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use sp_core::H256;
use tfgrid_primitives::{
    Balance, ContractId, GridMillis, NodeId, ReportMark, Resources, TwinId, UsdRate,
    traits::Service,
    units::{DAY_MS, MINUTE_MS},
    views::PendingVersion,
};

pub use tfgrid_primitives::net::Subnet;

/// The most networks of a contract.
pub const MAX_NETWORKS: u32 = 4;
/// The most bytes of a network's name.
pub const MAX_NETWORK_NAME: u32 = 20;
/// The most bytes of a name on the gateways: a label of DNS.
pub const MAX_UNIQUE_NAME: u32 = 63;
/// A name with as many bytes or fewer is short, and dearer to hold.
pub const SHORT_NAME: usize = 4;

/// The name of a private network.
pub type NetworkName = BoundedVec<u8, ConstU32<MAX_NETWORK_NAME>>;
/// A name on the gateways.
pub type UniqueName = BoundedVec<u8, ConstU32<MAX_UNIQUE_NAME>>;
/// The private networks of a contract.
pub type Networks = BoundedVec<Network, ConstU32<MAX_NETWORKS>>;

/// A private network that a contract takes part in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Network {
    /// Its name, the twin's own.
    pub name: NetworkName,
    /// The node's part of it.
    pub subnet: Subnet,
}

/// Whether this has `a–z 0–9 -` only and no hyphen at either end.
fn is_label(name: &[u8]) -> bool {
    let plain = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.iter().all(|c| plain(c) || *c == b'-')
        && name.first().is_some_and(plain)
        && name.last().is_some_and(plain)
}

/// Whether this may be a name on the gateways. `xn--` would show as letters that only look like others.
pub(crate) fn is_unique_name(name: &[u8]) -> bool {
    is_label(name) && !name.starts_with(b"xn--")
}

impl Network {
    /// Whether the name obeys its rule.
    pub(crate) fn has_valid_name(&self) -> bool {
        is_label(&self.name)
    }

    /// Whether one of these is the same network with all addresses of this range.
    pub(crate) fn is_within(&self, others: &[Self]) -> bool {
        others.iter().any(|other| other.name == self.name && other.subnet.contains(&self.subnet))
    }
}

/// The arguments of `create_node_contract`, without the body.
pub(crate) struct CreateRequest {
    pub node: NodeId,
    pub resources: Resources,
    pub public_ips: u8,
    pub networks: Networks,
    /// In 10⁹ bytes.
    pub traffic_gb: u32,
    /// In 1e-10 USD per hour.
    pub max_usd_rate: UsdRate,
}

/// The arguments of `update_node_contract`, without the body.
pub(crate) struct UpdateRequest {
    pub resources: Resources,
    pub public_ips: u8,
    pub networks: Networks,
    /// In 1e-10 USD per hour.
    pub max_usd_rate: UsdRate,
}

/// An open contract.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Contract {
    /// The twin that owns it and pays for it.
    pub twin: TwinId,
    /// What it is a right to.
    pub kind: ContractKind,
    /// Whether its node has deployed it; rents and names are deployed from the start.
    pub state: ContractState,
    /// What is held for it on the twin's account, in 1e-7 TFT.
    pub deposit: Balance,
    /// When it was created, in grid time.
    pub created_at: GridMillis,
    /// When it was deployed, in grid time; 0 before.
    pub deployed_at: GridMillis,
}

/// What a contract is a right to. Nearly all contracts are node contracts, so boxing them would only cost.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub enum ContractKind {
    /// Capacity of a node.
    #[codec(index = 0)]
    Node(Deployment),
    /// A whole node.
    #[codec(index = 1)]
    Rent {
        /// The node.
        node: NodeId,
    },
    /// A name on the gateways.
    #[codec(index = 2)]
    Name {
        /// The name.
        name: UniqueName,
    },
}

/// A right to capacity of a node, with the versions of its body.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Deployment {
    /// The node.
    pub node: NodeId,
    /// What the active version may use.
    pub resources: Resources,
    /// The private networks that it takes part in.
    pub networks: Networks,
    /// The active version of the body; the first is 1.
    pub version: u32,
    /// Hash of the active body.
    pub body_hash: H256,
    /// The last version that was given: no version is given twice, also after an update that failed.
    pub last_version: u32,
    /// Until when the node must answer on the first version.
    pub answer: Answer,
    /// The version that awaits the node's answer.
    pub pending: Option<Pending>,
    /// The node's last report on it.
    pub last_report: ReportMark,
}

impl Deployment {
    /// The first version of what is requested, as its node is asked for it.
    pub(crate) fn first(request: CreateRequest, body_hash: H256, answer: Answer) -> Self {
        let CreateRequest { node, resources, networks, .. } = request;
        Self {
            node,
            resources,
            networks,
            version: 1,
            body_hash,
            last_version: 1,
            answer,
            pending: None,
            last_report: ReportMark::default(),
        }
    }

    /// What is reserved on the node: until it has answered an update, the larger of both versions.
    pub fn reserved(&self) -> Resources {
        self.pending.as_ref().map_or(self.resources, |pending| self.resources.max(&pending.resources))
    }
}

/// A version that the node hasn't deployed yet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Pending {
    /// The version.
    pub version: u32,
    /// Hash of its body.
    pub body_hash: H256,
    /// What it may use.
    pub resources: Resources,
    /// How many public addresses it has.
    pub public_ips: u8,
    /// The private networks that it takes part in.
    pub networks: Networks,
    /// What is held for its body, in 1e-7 TFT.
    pub deposit: Balance,
    /// Until when the node must answer.
    pub answer: Answer,
}

impl From<&Pending> for PendingVersion {
    fn from(pending: &Pending) -> Self {
        let Pending { version, body_hash, resources, .. } = *pending;
        Self { version, body_hash, resources }
    }
}

/// How long a node may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Answer {
    /// When it was asked, in grid time.
    pub asked_at: GridMillis,
    /// Until when it must answer, in grid time; a report of progress moves it.
    pub by: GridMillis,
}

impl Contract {
    /// The node that it is on; a name is on none.
    pub fn node(&self) -> Option<NodeId> {
        match &self.kind {
            ContractKind::Node(deployment) => Some(deployment.node),
            ContractKind::Rent { node } => Some(*node),
            ContractKind::Name { .. } => None,
        }
    }

    /// What a node deploys for it.
    pub fn deployment(&self) -> Option<&Deployment> {
        match &self.kind {
            ContractKind::Node(deployment) => Some(deployment),
            _ => None,
        }
    }

    /// The answer that its node owes.
    pub fn awaited(&self) -> Option<Answer> {
        let deployment = self.deployment()?;
        match self.state {
            ContractState::Created => Some(deployment.answer),
            ContractState::Deployed => deployment.pending.as_ref().map(|pending| pending.answer),
        }
    }
}

/// Whether a contract is deployed. *Paused* isn't a state: it follows from the payer's credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub enum ContractState {
    /// Capacity is reserved; the node hasn't answered.
    Created,
    /// The node has deployed it; it is charged.
    Deployed,
}

/// Why an owner closes a contract.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum CancelReason {
    /// The owner doesn't need it any more.
    #[codec(index = 0)]
    Cancelled,
    /// The node reported it as deployed, but it doesn't run: what was charged is refunded, without the minimum
    /// charge and used traffic, up to a tenth of what the foundation and stakers got of the account's payments
    /// for capacity.
    #[codec(index = 1)]
    NotDelivered,
}

/// The most contracts that an account may cancel as not delivered within [`COMPLAINT_WINDOW`].
pub const MAX_COMPLAINTS: u32 = 3;
/// The time in which they are counted, in grid time.
pub const COMPLAINT_WINDOW: GridMillis = 30 * DAY_MS;

/// The contracts that an account has lately cancelled as not delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Complaints {
    /// When the first of them was, in grid time.
    pub since: GridMillis,
    /// How many they are.
    pub count: u32,
}

/// A node measures a little before it is heard: its use may fall into so much more time than lies between two
/// reports.
pub const USAGE_LEEWAY_MS: GridMillis = 5 * MINUTE_MS;

/// No report of use reaches back any further: a node that wasn't heard for so long has served nobody.
pub const LONGEST_USAGE_WINDOW: GridMillis = DAY_MS;

/// The last usage report of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct UsageMark {
    /// Which one it was, and when.
    pub mark: ReportMark,
    /// The public traffic that the node said then that it can carry, in bytes per second.
    pub bytes_per_second: u64,
}

impl Default for UsageMark {
    /// Nothing bounds what a node declares before its first report.
    fn default() -> Self {
        Self { mark: ReportMark::default(), bytes_per_second: u64::MAX }
    }
}

/// The contracts of a node that one step of a sweep brings to what the node's state asks for.
pub const SWEEP_STEP: u32 = 16;

/// How far the sweep of a node's contracts got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Sweep {
    /// What it brings about.
    pub service: Service,
    /// The contract that it brought there last.
    pub last: ContractId,
}
