// SPDX-License-Identifier: Apache-2.0
//! What nodes tell the chain, and the bytes that they sign (`docs/FORMATS.md` §3).

use crate::{
    ids::{ContractId, NodeId},
    refusal::Refusal,
    resources::Resources,
    ticket::Isolation,
    units::GridMillis,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::{ConstU32, H256};
use sp_runtime::{
    BoundedVec,
    transaction_validity::{TransactionLongevity, TransactionPriority, ValidTransaction},
};

/// An ed25519 signature by a machine's key.
pub type KeySignature = sp_core::ed25519::Signature;

/// Separates report signatures from all others that the same key makes.
pub const REPORT_DOMAIN: &[u8; 16] = b"tfgrid/report/v1";
/// The most bytes of a deployment's result that a contract keeps.
pub const MAX_RESULT_BYTES: u32 = 256;
/// The most bytes of a path in a failure report.
pub const MAX_PATH_BYTES: u32 = 128;
/// The most items in a usage report.
pub const MAX_USAGE_ITEMS: u32 = 64;

/// Reports go before everything that users send.
pub const REPORT_PRIORITY: TransactionPriority = TransactionPriority::MAX / 2;
/// A report that hasn't made it into a block within as many blocks is worthless.
pub const REPORT_LONGEVITY: TransactionLongevity = 32;

/// How the pool treats a report that may enter: one at a time per `provides`, before what users send.
pub fn valid_report(prefix: &'static str, provides: impl Encode) -> ValidTransaction {
    ValidTransaction::with_tag_prefix(prefix)
        .and_provides(provides)
        .priority(REPORT_PRIORITY)
        .longevity(REPORT_LONGEVITY)
        .into()
}

/// The kinds of report; the number is part of the signed bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum ReportKind {
    /// The node is alive.
    Heartbeat = 0,
    /// A contract's deployment runs.
    Deployed = 1,
    /// A contract's deployment can't run: the user must change something.
    Failed = 2,
    /// What contracts used.
    Usage = 3,
    /// A contract's deployment is on its way and takes longer.
    Progress = 4,
    /// What a closed contract had is gone from the node.
    Released = 5,
    /// What the machine is.
    Details = 6,
    /// The node sleeps or wakes.
    Power = 7,
}

/// The bytes that a node signs for a report; `payload` is the SCALE-encoded payload of the kind.
pub fn report_bytes<P: Encode>(
    genesis: H256,
    node: NodeId,
    kind: ReportKind,
    sequence: u64,
    payload: &P,
) -> Vec<u8> {
    (REPORT_DOMAIN, genesis, node, kind, sequence, payload).encode()
}

/// What is remembered of a report that was taken: the next of its kind must come after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct ReportMark {
    /// Its sequence: the next must be above.
    pub sequence: u64,
    /// When it came in, in grid time.
    pub at: GridMillis,
}

impl ReportMark {
    /// Refuses a report that was taken before, or is older than this one.
    pub fn ensure_newer(&self, sequence: u64) -> Result<(), Refusal> {
        (sequence > self.sequence).then_some(()).ok_or(Refusal::SequenceOld)
    }

    /// Refuses a report at `now` that comes less than `interval` (both in grid time) after this one.
    pub fn ensure_due(&self, now: GridMillis, interval: GridMillis) -> Result<(), Refusal> {
        (now.saturating_sub(self.at) >= interval).then_some(()).ok_or(Refusal::TooSoon)
    }
}

/// Payload of [`ReportKind::Heartbeat`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct HeartbeatPayload {
    /// Random, new at each start of the agent.
    pub boot_nonce: u64,
}

/// What the node writes about how to reach a deployment (`docs/FORMATS.md` §5).
pub type DeploymentResult = BoundedVec<u8, ConstU32<MAX_RESULT_BYTES>>;
/// A JSON pointer into a body.
pub type FailurePath = BoundedVec<u8, ConstU32<MAX_PATH_BYTES>>;
/// What contracts used.
pub type UsagePayload = BoundedVec<UsageItem, ConstU32<MAX_USAGE_ITEMS>>;

/// Payload of `report_deployed`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct DeployedPayload {
    /// The contract.
    pub contract: ContractId,
    /// The version that runs.
    pub version: u32,
    /// Hash of the body that runs.
    pub body_hash: H256,
    /// How to reach it.
    pub result: DeploymentResult,
}

/// Payload of [`ReportKind::Progress`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct ProgressPayload {
    /// The contract.
    pub contract: ContractId,
    /// The version that is on its way.
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
    /// What the node is about to be.
    pub state: PowerState,
}

/// Whether a node is up.
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
    /// Up.
    #[default]
    Up,
    /// Asleep to save energy, until its farmer wakes it.
    Standby,
}

/// The most bytes of a machine's serial number.
pub const MAX_SERIAL_BYTES: u32 = 64;
/// The most GPUs of a node.
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
    /// Its memory in bytes.
    pub memory: u64,
}

/// Payload of [`ReportKind::Details`]: what the machine is.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct DetailsPayload {
    /// What it offers; as many GPUs as are described in `gpus`.
    pub resources: Resources,
    /// What keeps its tenants apart.
    pub isolation: Isolation,
    /// The mainboard's serial number, as the firmware tells it.
    pub serial: BoundedVec<u8, ConstU32<MAX_SERIAL_BYTES>>,
    /// Whether the machine is itself a virtual one.
    pub virtualized: bool,
    /// Whether it was booted with secure boot.
    pub secure_boot: bool,
    /// Its GPUs.
    pub gpus: BoundedVec<Gpu, ConstU32<MAX_GPUS>>,
}

/// Payload of `report_failed`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct FailedPayload {
    /// The contract.
    pub contract: ContractId,
    /// The version that can't run.
    pub version: u32,
    /// Why.
    pub code: FailureCode,
    /// Where in the body.
    pub path: FailurePath,
}

/// Why a node refuses a deployment. Numbers are stable (`docs/FORMATS.md` §3.2).
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
    /// The body isn't JSON or not a deployment.
    #[codec(index = 1)]
    BodyNotJson = 1,
    /// Unknown version, workload type or field, or sealed where the node can't open it.
    #[codec(index = 2)]
    BodyUnsupported = 2,
    /// A name, size, path or reference breaks a rule.
    #[codec(index = 3)]
    BodyInvalid = 3,
    /// The workloads need more than the contract reserves.
    #[codec(index = 4)]
    OverReserved = 4,
    /// The registry says that the image doesn't exist.
    #[codec(index = 5)]
    ImageNotFound = 5,
    /// The image is larger than the contract's disk.
    #[codec(index = 6)]
    ImageTooLarge = 6,
    /// The workload ended by itself again and again before it was ready.
    #[codec(index = 7)]
    WorkloadExited = 7,
}

/// One contract's use of a node. Totals count from the deployment on.
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
    /// Whether `self` can come after `before`: no total went down.
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
    /// Whose use it is.
    pub contract: ContractId,
    /// What it used.
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
    fn a_report_has_a_higher_sequence_than_the_one_before() {
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
        assert!(FailureCode::decode(&mut &[0u8][..]).is_err());
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
