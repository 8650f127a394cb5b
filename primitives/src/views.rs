// SPDX-License-Identifier: Apache-2.0
//! Views of the chain, as people and machines read them.

use crate::{
    features::Features,
    ids::{ContractId, FarmId, NodeId, TwinId},
    report::FailureCode,
    resources::Resources,
    units::{Balance, GridMillis, TftPrice, UnixSeconds, UsdAmount, UsdRate},
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::H256;

/// Reason for which a contract closed. Numbers are stable.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
)]
pub enum ClosingReason {
    /// Its owner cancelled it.
    #[codec(index = 0)]
    Cancelled,
    /// Its owner cancelled it because the node didn't deliver.
    #[codec(index = 1)]
    NotDelivered,
    /// The credit was used up and the grace period ended.
    #[codec(index = 2)]
    OutOfFunds,
    /// The node rejected the deployment.
    #[codec(index = 3)]
    NodeRejected {
        /// Reason of the node.
        code: FailureCode,
    },
    /// The node didn't answer in time, or was offline for too long.
    #[codec(index = 4)]
    NodeSilent,
    /// The node was removed.
    #[codec(index = 5)]
    NodeRemoved,
    /// The farmer drained the node.
    #[codec(index = 6)]
    Drained,
    /// Governance closed it.
    #[codec(index = 7)]
    ByGovernance,
}

/// Record of a closed contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo, serde::Serialize)]
pub struct ClosedContract {
    /// Twin of the owner.
    pub twin: TwinId,
    /// Node that it was on; `None` for a name.
    pub node: Option<NodeId>,
    /// Reason.
    pub reason: ClosingReason,
    /// Grid time of the closing.
    pub closed_at: GridMillis,
    /// Calendar time of the closing, in seconds since 1970.
    pub closed_at_unix: UnixSeconds,
    /// Total charge, in 1e-10 USD.
    pub usd: UsdAmount,
    /// Total charge, in 1e-7 TFT, rounded down.
    pub tft: Balance,
}

/// Status of a contract, for people to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
pub enum ContractStatus {
    /// Reserved; the node hasn't answered yet.
    Created,
    /// Deployed and charged.
    Deployed {
        /// Charge so far, in 1e-7 TFT, rounded down.
        tft: Balance,
        /// Charge so far, in 1e-10 USD.
        usd: UsdAmount,
    },
    /// Deployed, but stopped and not charged, because its owner's credit is used up.
    Paused {
        /// Charge so far, in 1e-7 TFT, rounded down.
        tft: Balance,
        /// Charge so far, in 1e-10 USD.
        usd: UsdAmount,
    },
    /// Closed.
    Closed {
        /// Reason.
        reason: ClosingReason,
        /// Total charge, in 1e-7 TFT, rounded down.
        tft: Balance,
        /// Total charge, in 1e-10 USD.
        usd: UsdAmount,
    },
    /// Deployed, but not charged, because its node is offline.
    NodeOffline {
        /// Charge so far, in 1e-7 TFT, rounded down.
        tft: Balance,
        /// Charge so far, in 1e-10 USD.
        usd: UsdAmount,
    },
}

/// An open contract, for its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct NodeContract {
    /// Id.
    pub contract: ContractId,
    /// Twin of the owner.
    pub twin: TwinId,
    /// Version of the body.
    pub version: u32,
    /// Hash of the body.
    pub body_hash: H256,
    /// Whether the node has reported it as deployed.
    pub deployed: bool,
    /// Whether it is paused because its owner's credit is used up.
    pub paused: bool,
    /// Grid time at which a paused contract closes unless its owner pays: so long it may hold the capacity.
    pub closes_at: Option<GridMillis>,
    /// Capacity that it may use.
    pub resources: Resources,
    /// The version that awaits the node's answer, if any.
    pub pending: Option<PendingVersion>,
}

/// A version of a contract that awaits its node's answer; the active version runs until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct PendingVersion {
    /// Number of the version.
    pub version: u32,
    /// Hash of the body.
    pub body_hash: H256,
    /// Capacity that it may use.
    pub resources: Resources,
}

/// What a contract reserves.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Capacity of a node.
    Node {
        /// Id of the node that has the capacity.
        node: NodeId,
        /// Capacity reserved.
        resources: Resources,
        /// Number of public IPv4 addresses.
        public_ips: u8,
    },
    /// A whole node.
    Rent {
        /// Id of the node that is rented.
        node: NodeId,
    },
    /// A name on the gateways.
    Name {
        /// The name, in ASCII.
        name: Vec<u8>,
    },
}

/// An open contract, for its owner.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
pub struct TwinContract {
    /// Id.
    pub contract: ContractId,
    /// What it reserves.
    pub target: Target,
    /// Status.
    pub status: ContractStatus,
    /// Rate at list price, in 1e-10 USD per hour.
    pub rate: UsdRate,
    /// Extra fee of the farmer, in 1e-10 USD per hour.
    pub extra: UsdRate,
}

/// Number of months for which the chain keeps the charges of a contract.
pub const MONTHS_KEPT: u32 = 13;

/// Upper limit of items on a page, and of records read for one.
pub const MAX_PAGE: u32 = 500;

/// A page of a list, and the cursor of the next one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Page<Item, Cursor> {
    /// Items of the page.
    pub items: Vec<Item>,
    /// Cursor of the next page; `None` at the end of the list.
    pub next: Option<Cursor>,
}

impl<Item, Cursor> Page<Item, Cursor> {
    /// An empty page at the end of a list.
    pub fn empty() -> Self {
        Self { items: Vec::new(), next: None }
    }

    /// The page with `show` applied to each item, without those for which it returns `None`.
    pub fn filter_map<Shown>(self, show: impl FnMut(Item) -> Option<Shown>) -> Page<Shown, Cursor> {
        Page { items: self.items.into_iter().filter_map(show).collect(), next: self.next }
    }
}

impl<Key: Copy> Page<Key, Key> {
    /// The first `limit` of `keys`, with `limit` clamped to 1 to [`MAX_PAGE`].
    pub fn first_of(mut keys: impl Iterator<Item = Key>, limit: u32) -> Self {
        let items: Vec<_> = keys.by_ref().take(limit.clamp(1, MAX_PAGE) as usize).collect();
        let next = items.last().copied().filter(|_| keys.next().is_some());
        Self { items, next }
    }
}

/// A two-letter country code (ISO 3166-1 alpha-2).
pub type CountryCode = [u8; 2];

/// Filter of nodes.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo, serde::Serialize,
)]
pub struct NodeFilter {
    /// Least free capacity.
    pub free: Resources,
    /// Only nodes of this farm.
    pub farm: Option<FarmId>,
    /// Only nodes in this country.
    pub country: Option<CountryCode>,
    /// Only certified nodes.
    pub certified: bool,
    /// Only nodes that can be rented as a whole: empty and not draining.
    pub rentable: bool,
    /// Also nodes that are offline, asleep or draining.
    pub unavailable: bool,
}

/// What a node offers to tenants.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
pub struct NodeOffer {
    /// Id.
    pub node: NodeId,
    /// Farm that it belongs to.
    pub farm: FarmId,
    /// Capacity that it offers.
    pub total: Resources,
    /// Free part of it.
    pub free: Resources,
    /// Whether it is certified.
    pub certified: bool,
    /// Whether it is online.
    pub online: bool,
    /// Whether it is draining: it takes no new contracts.
    pub draining: bool,
    /// Whether it is only rented as a whole.
    pub dedicated: bool,
    /// Extra fee for renting it, beside the list price, in 1e-10 USD per hour.
    pub extra_fee: UsdRate,
    /// Country, according to its farmer.
    pub country: Option<CountryCode>,
    /// Number of contracts on it.
    pub contracts: u32,
    /// What its agent has code for; nothing before it has said so.
    pub features: Features,
    /// What tenants got back because it hadn't delivered, in 1e-7 TFT; fades in 90 days.
    pub not_delivered: Balance,
}

/// Credit of a payer, settled up to the block of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
pub struct PayerInfo {
    /// Credit left, in 1e-7 TFT, rounded down.
    pub credit: Balance,
    /// Sum of the rates that are charged, in 1e-10 USD per hour, at list price.
    pub rate: u128,
    /// Committed rates: will be charged without another call of the owner, in 1e-10 USD per hour. They are
    /// those of contracts that no node has deployed yet or whose node is offline, and of larger pending
    /// versions.
    pub committed: u128,
    /// Credit that can't be withdrawn, in 1e-7 TFT, rounded up: an hour of both.
    pub must_keep: Balance,
    /// Whether the credit is used up and the contracts are paused.
    pub exhausted: bool,
    /// Time that the credit lasts at the present price, in milliseconds; `None` while nothing is charged.
    pub funded_ms: Option<u64>,
}

/// Clocks and intervals of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
pub struct GridInfo {
    /// Grid time now.
    pub grid_now: GridMillis,
    /// Price of one TFT, in 1e-7 USD.
    pub tft_price: TftPrice,
    /// Time between two heartbeats of a node, in milliseconds.
    pub heartbeat_ms: u64,
    /// Time between two usage reports of a node, in milliseconds.
    pub usage_ms: u64,
    /// Time in which a node answers on a version, from the request or its last report of progress, in
    /// milliseconds.
    pub answer_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_cursor_if_more_follows() {
        let page = |keys: core::ops::Range<u32>, limit| Page::first_of(keys, limit);
        assert_eq!(page(0..3, 2), Page { items: [0, 1].to_vec(), next: Some(1) });
        assert_eq!(page(0..2, 2), Page { items: [0, 1].to_vec(), next: None });
        assert_eq!(page(0..0, 2), Page::empty());
    }

    #[test]
    fn a_page_has_1_to_500_items() {
        let lens = [0, 1, MAX_PAGE, u32::MAX].map(|limit| Page::first_of(0..u32::MAX, limit).items.len());
        assert_eq!(lens, [1, 1, 500, 500]);
    }

    #[test]
    fn filtered_items_do_not_end_the_list() {
        let page = Page::first_of(0..9, 4).filter_map(|key| (key < 2).then_some(key * 10));
        assert_eq!(page, Page { items: [0, 10].to_vec(), next: Some(3) });
    }
}
