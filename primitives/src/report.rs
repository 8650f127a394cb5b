// SPDX-License-Identifier: Apache-2.0
//! Reports of nodes to the chain, and the bytes that nodes sign (`docs/FORMATS.md` §3).

use crate::{
    features::Features,
    ids::{ContractId, NodeId},
    refusal::Refusal,
    resources::Resources,
    text::is_printable,
    ticket::Isolation,
    units::{GridMillis, HOUR_MS},
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::{ConstU32, H256};
use sp_runtime::{
    BoundedVec,
    transaction_validity::{TransactionLongevity, TransactionPriority, ValidTransaction},
};

/// An ed25519 signature by the key of a machine.
pub type KeySignature = sp_core::ed25519::Signature;

/// Domain of report signatures: no other signature of the same key starts with it.
pub const REPORT_DOMAIN: &[u8; 16] = b"tfgrid/report/v1";
/// Upper limit of bytes of a deployment's result.
pub const MAX_RESULT_BYTES: u32 = 256;
/// Upper limit of bytes of the path in a failure report.
pub const MAX_PATH_BYTES: u32 = 128;
/// Upper limit of bytes of the text in a failure report.
pub const MAX_FAILURE_TEXT_BYTES: u32 = 128;
/// Upper limit of items in a usage report.
pub const MAX_USAGE_ITEMS: u32 = 64;

/// Priority of reports in the pool: above all transactions of users.
pub const REPORT_PRIORITY: TransactionPriority = TransactionPriority::MAX / 2;
/// Priority of heartbeats: no other reports of however many nodes make one of them late.
pub const HEARTBEAT_PRIORITY: TransactionPriority = REPORT_PRIORITY + 1;
/// Number of blocks after which the pool drops a report.
pub const REPORT_LONGEVITY: TransactionLongevity = 32;

/// Validity of a report that the pool accepts: one at a time per `provides`, before the transactions of
/// users.
pub fn valid_report(prefix: &'static str, provides: impl Encode) -> ValidTransaction {
    ValidTransaction::with_tag_prefix(prefix)
        .and_provides(provides)
        .priority(REPORT_PRIORITY)
        .longevity(REPORT_LONGEVITY)
        .into()
}

/// Bytes of an image that a node fetches in a millisecond at least.
const LEAST_BYTES_PER_MS: u64 = 1_000;

/// The most that images add to the time of a deployment: a reservation awaits nothing for longer.
const MAX_DOWNLOAD_MS: GridMillis = 6 * HOUR_MS;

/// How much longer a deployment may take because of `bytes` of images.
pub fn download_ms(bytes: u64) -> GridMillis {
    (bytes / LEAST_BYTES_PER_MS).min(MAX_DOWNLOAD_MS)
}

/// Kind of a report. The number is part of the signed bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum ReportKind {
    /// The node is alive.
    Heartbeat = 0,
    /// The deployment of a contract runs.
    Deployed = 1,
    /// The deployment of a contract can't run: its owner must change it.
    Failed = 2,
    /// Use of the node by its contracts.
    Usage = 3,
    /// The deployment of a contract is in progress and takes longer.
    Progress = 4,
    /// The node has released everything of a closed contract.
    Released = 5,
    /// Hardware and capacity of the node.
    Details = 6,
    /// The node goes to sleep or has woken up.
    Power = 7,
}

/// The bytes that a node signs for a report with the `payload` of that kind.
pub fn report_bytes<P: Encode>(
    genesis: H256,
    node: NodeId,
    kind: ReportKind,
    sequence: u64,
    payload: &P,
) -> Vec<u8> {
    (REPORT_DOMAIN, genesis, node, kind, sequence, payload).encode()
}

/// Mark of the last report of a kind: the next one must come after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct ReportMark {
    /// Sequence number: that of the next report must be higher.
    pub sequence: u64,
    /// Grid time at which the chain took it.
    pub at: GridMillis,
}

impl ReportMark {
    /// Refuses a report whose sequence number isn't higher.
    pub fn ensure_newer(&self, sequence: u64) -> Result<(), Refusal> {
        if sequence > self.sequence { Ok(()) } else { Err(Refusal::SequenceOld) }
    }

    /// Refuses a report at `now` (grid time) that comes less than `interval` after this one.
    pub fn ensure_due(&self, now: GridMillis, interval: GridMillis) -> Result<(), Refusal> {
        if now.saturating_sub(self.at) >= interval { Ok(()) } else { Err(Refusal::TooSoon) }
    }
}

/// Payload of [`ReportKind::Heartbeat`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct HeartbeatPayload {
    /// Random number, new at each start of the agent.
    pub boot_nonce: u64,
}

/// How to reach a deployment, as its node writes it (`docs/FORMATS.md` §5).
pub type DeploymentResult = BoundedVec<u8, ConstU32<MAX_RESULT_BYTES>>;
/// A JSON pointer into a body (RFC 6901).
pub type FailurePath = BoundedVec<u8, ConstU32<MAX_PATH_BYTES>>;
/// What a failure is, in words of the node, the registry or the workload.
pub type FailureText = BoundedVec<u8, ConstU32<MAX_FAILURE_TEXT_BYTES>>;
/// Payload of [`ReportKind::Usage`].
pub type UsagePayload = BoundedVec<UsageItem, ConstU32<MAX_USAGE_ITEMS>>;

/// Payload of [`ReportKind::Deployed`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct DeployedPayload {
    /// Id of the contract that the node has deployed.
    pub contract: ContractId,
    /// Version that runs.
    pub version: u32,
    /// Hash of the body of that version.
    pub body_hash: H256,
    /// How to reach the deployment.
    pub result: DeploymentResult,
}

/// Payload of [`ReportKind::Progress`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct ProgressPayload {
    /// Id of the contract that the node is still deploying.
    pub contract: ContractId,
    /// Version in progress.
    pub version: u32,
}

/// Payload of [`ReportKind::Released`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct ReleasedPayload {
    /// The closed contract.
    pub contract: ContractId,
}

/// Payload of [`ReportKind::Power`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct PowerPayload {
    /// State that the node is about to have.
    pub state: PowerState,
}

/// Power state of a node.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum PowerState {
    /// The node is up.
    #[default]
    Up,
    /// The node sleeps to save energy, until its farmer wakes it.
    Standby,
}

/// Upper limit of bytes of a machine's serial number.
pub const MAX_SERIAL_BYTES: u32 = 64;
/// Upper limit of bytes of the addresses of a node's peer endpoint.
pub const MAX_PEER_ADDRESSES_BYTES: u32 = 256;
/// Upper limit of bytes of the version of a node's software.
pub const MAX_VERSION_BYTES: u32 = 64;
/// Upper limit of GPUs of a node.
pub const MAX_GPUS: u32 = 16;

/// A GPU, by its PCI ids.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
)]
pub struct Gpu {
    /// PCI vendor id.
    pub vendor: u16,
    /// PCI device id.
    pub device: u16,
    /// Memory in bytes.
    pub memory: u64,
}

/// Payload of [`ReportKind::Details`].
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct DetailsPayload {
    /// Capacity that the node offers, with as many GPUs as in `gpus`.
    pub resources: Resources,
    /// Isolation of its tenants.
    pub isolation: Isolation,
    /// Serial number of the mainboard, as the firmware reports it.
    pub serial: BoundedVec<u8, ConstU32<MAX_SERIAL_BYTES>>,
    /// Whether the machine is a virtual one.
    pub virtualized: bool,
    /// Whether it was booted with secure boot.
    pub secure_boot: bool,
    /// GPUs.
    pub gpus: BoundedVec<Gpu, ConstU32<MAX_GPUS>>,
    /// Public traffic that it can carry, in bytes per second, both directions together. Reports of use can't
    /// exceed it, so a node that declares none carries no paid traffic.
    pub bytes_per_second: u64,
    /// What its agent has code for: contracts ask for nothing else.
    pub features: Features,
    /// Where its peer endpoint is reached: IP addresses with port and URLs of relays, with a space between two
    /// (`docs/FORMATS.md` §8). Empty if it has none.
    pub peer_addresses: BoundedVec<u8, ConstU32<MAX_PEER_ADDRESSES_BYTES>>,
    /// Version of its boot image, else of its agent, for people.
    pub version: BoundedVec<u8, ConstU32<MAX_VERSION_BYTES>>,
}

/// Payload of [`ReportKind::Failed`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct FailedPayload {
    /// Id of the contract that the node can't deploy.
    pub contract: ContractId,
    /// Which version can't run, and why.
    pub failure: Failure,
}

/// Why a node can't run a version of a contract.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Failure {
    /// Version that can't run.
    pub version: u32,
    /// Reason.
    pub code: FailureCode,
    /// Place in the body.
    pub path: FailurePath,
    /// The reason in words, such as an exit code with the last line of output.
    pub text: FailureText,
}

impl Failure {
    /// Whether people can be shown its path and text as they are.
    pub fn is_printable(&self) -> bool {
        is_printable(&self.path) && is_printable(&self.text)
    }
}

/// Reason of a node to reject a deployment. Numbers are stable (`docs/FORMATS.md` §3.2).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum FailureCode {
    /// The body isn't JSON or isn't a deployment.
    #[codec(index = 1)]
    BodyNotJson = 1,
    /// The body has an unknown version, workload type or field, or the node can't open its seal.
    #[codec(index = 2)]
    BodyUnsupported = 2,
    /// A name, size, path or reference breaks a rule.
    #[codec(index = 3)]
    BodyInvalid = 3,
    /// The workloads need more than the contract reserves.
    #[codec(index = 4)]
    OverReserved = 4,
    /// The registry says that it doesn't have the image.
    #[codec(index = 5)]
    ImageNotFound = 5,
    /// The image is larger than the contract's disk.
    #[codec(index = 6)]
    ImageTooLarge = 6,
    /// The workload ended several times before it was ready.
    #[codec(index = 7)]
    WorkloadExited = 7,
    /// The registry doesn't give the image without credentials.
    #[codec(index = 8)]
    ImageDenied = 8,
    /// The node's own disk is full.
    #[codec(index = 9)]
    NodeFull = 9,
    /// The node's engine refused several times to create or start the workload.
    #[codec(index = 10)]
    WorkloadRefused = 10,
}

impl FailureCode {
    /// Whether the node itself is at fault, so that its reservation costs nothing.
    pub fn is_nodes_fault(self) -> bool {
        self == Self::NodeFull
    }
}

/// Use of a node by one contract. Totals count from the deployment on.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct UsageTotals {
    /// CPU time, in milliseconds of one core.
    pub cpu_ms: u64,
    /// Memory in use now, in bytes.
    pub memory_bytes: u64,
    /// Disk in use now, in bytes.
    pub disk_bytes: u64,
    /// Traffic received, in bytes.
    pub received_bytes: u64,
    /// Traffic sent, in bytes.
    pub sent_bytes: u64,
}

impl UsageTotals {
    /// Whether no total is lower than in `before`.
    pub fn follows(&self, before: &Self) -> bool {
        self.cpu_ms >= before.cpu_ms
            && self.received_bytes >= before.received_bytes
            && self.sent_bytes >= before.sent_bytes
    }
}

/// An item of [`ReportKind::Usage`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct UsageItem {
    /// Contract that used the node.
    pub contract: ContractId,
    /// Totals of the contract.
    pub totals: UsageTotals,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_bytes_are_those_of_the_formats_page() {
        let bytes =
            report_bytes(H256([7; 32]), 3, ReportKind::Heartbeat, 9, &HeartbeatPayload { boot_nonce: 5 });
        let mut expected = b"tfgrid/report/v1".to_vec();
        expected.extend([7u8; 32]);
        expected.extend([3, 0, 0, 0, 0]);
        expected.extend(9u64.to_le_bytes());
        expected.extend(5u64.to_le_bytes());
        assert_eq!(bytes, expected);
    }

    #[test]
    fn sequence_numbers_rise() {
        let mark = ReportMark { sequence: 5, at: 0 };
        assert_eq!(mark.ensure_newer(6), Ok(()));
        assert_eq!([5, 4, 0].map(|old| mark.ensure_newer(old)), [Err(Refusal::SequenceOld); 3]);
        let last = ReportMark { sequence: u64::MAX, at: 0 };
        assert_eq!(last.ensure_newer(u64::MAX), Err(Refusal::SequenceOld));
    }

    #[test]
    fn a_report_is_due_an_interval_after_the_one_before() {
        let mark = ReportMark { sequence: 0, at: 100 };
        assert_eq!([150, 151, u64::MAX].map(|now| mark.ensure_due(now, 50)), [Ok(()); 3]);
        assert_eq!([149, 100, 0].map(|now| mark.ensure_due(now, 50)), [Err(Refusal::TooSoon); 3]);
    }

    #[test]
    fn failure_codes_are_stable() {
        assert_eq!(FailureCode::BodyNotJson.encode(), [1]);
        assert_eq!(FailureCode::WorkloadExited.encode(), [7]);
        assert_eq!(FailureCode::WorkloadRefused.encode(), [10]);
        assert!(FailureCode::decode(&mut &[0u8][..]).is_err());
    }

    #[test]
    fn a_download_has_a_second_per_megabyte_within_limits() {
        assert_eq!([0, 999, 1_000_000, u64::MAX].map(download_ms), [0, 0, 1_000, 6 * HOUR_MS]);
    }

    #[test]
    fn present_use_may_fall_and_totals_may_not() {
        let before =
            UsageTotals { cpu_ms: 5, memory_bytes: 5, disk_bytes: 5, received_bytes: 5, sent_bytes: 5 };
        assert!(UsageTotals { memory_bytes: 0, disk_bytes: 0, ..before }.follows(&before));
        assert!(!UsageTotals { cpu_ms: 4, ..before }.follows(&before));
        assert!(!UsageTotals { sent_bytes: 4, ..before }.follows(&before));
    }
}
