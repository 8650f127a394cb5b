// SPDX-License-Identifier: Apache-2.0
//! What people and machines read from the chain.

use crate::{
    ids::{ContractId, FarmId, NodeId, TwinId},
    report::FailureCode,
    resources::Resources,
    units::{Balance, GridMillis, TftPrice, UnixSeconds, UsdAmount, UsdRate},
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::H256;

/// Why a contract closed. Numbers are stable.
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
    /// Its owner says that the node didn't deliver.
    #[codec(index = 1)]
    NotDelivered,
    /// The credit stayed used up until the end of grace.
    #[codec(index = 2)]
    OutOfFunds,
    /// The node can't deploy the body as it is.
    #[codec(index = 3)]
    NodeRejected {
        /// Why.
        code: FailureCode,
    },
    /// The node didn't answer in time.
    #[codec(index = 4)]
    NodeSilent,
    /// The node is gone.
    #[codec(index = 5)]
    NodeRemoved,
    /// The farmer drained the node.
    #[codec(index = 6)]
    Drained,
    /// Governance closed it.
    #[codec(index = 7)]
    ByGovernance,
}

/// What is remembered of a closed contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo, serde::Serialize)]
pub struct ClosedContract {
    /// Whose it was.
    pub twin: TwinId,
    /// On which node; `None` for a name.
    pub node: Option<NodeId>,
    /// Why it closed.
    pub reason: ClosingReason,
    /// When, in grid time.
    pub closed_at: GridMillis,
    /// When, by the calendar.
    pub closed_at_unix: UnixSeconds,
    /// What it was charged in all, in 1e-10 USD.
    pub usd: UsdAmount,
    /// What it was charged in all, in 1e-7 TFT, fraction left out.
    pub tft: Balance,
}

/// How a contract stands, for people to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
pub enum ContractStatus {
    /// Reserved, the node hasn't answered yet.
    Created,
    /// Running and charged.
    Deployed {
        /// Charged so far, in 1e-7 TFT, fraction left out.
        tft: Balance,
        /// Charged so far, in 1e-10 USD.
        usd: UsdAmount,
    },
    /// Deployed, but its owner's credit is used up: stopped and not charged.
    Paused {
        /// Charged so far, in 1e-7 TFT, fraction left out.
        tft: Balance,
        /// Charged so far, in 1e-10 USD.
        usd: UsdAmount,
    },
    /// Closed.
    Closed {
        /// Why.
        reason: ClosingReason,
        /// Charged in all, in 1e-7 TFT, fraction left out.
        tft: Balance,
        /// Charged in all, in 1e-10 USD.
        usd: UsdAmount,
    },
    /// Deployed, but its node is silent: not charged until it returns.
    NodeOffline {
        /// Charged so far, in 1e-7 TFT, fraction left out.
        tft: Balance,
        /// Charged so far, in 1e-10 USD.
        usd: UsdAmount,
    },
}

/// An open contract as its node needs to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct NodeContract {
    /// Its id.
    pub contract: ContractId,
    /// Whose it is.
    pub twin: TwinId,
    /// The version of its body.
    pub version: u32,
    /// Hash of its body.
    pub body_hash: H256,
    /// Whether the chain knows it as deployed.
    pub deployed: bool,
    /// Whether its owner's credit is used up.
    pub paused: bool,
    /// What it may use.
    pub resources: Resources,
    /// The version that waits for the node's answer.
    pub pending: Option<PendingVersion>,
}

/// A version of a contract that its node hasn't deployed yet; until it has, the old one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct PendingVersion {
    /// The version.
    pub version: u32,
    /// Hash of its body.
    pub body_hash: H256,
    /// What it may use.
    pub resources: Resources,
}

/// What a contract is a claim on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Capacity of a node.
    Node {
        /// The node.
        node: NodeId,
        /// How much is reserved.
        resources: Resources,
        /// Public IPv4 addresses beside it.
        public_ips: u8,
    },
    /// A whole node.
    Rent {
        /// The node.
        node: NodeId,
    },
    /// A name on the gateways.
    Name {
        /// In ASCII.
        name: Vec<u8>,
    },
}

/// An open contract as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
pub struct TwinContract {
    /// Its id.
    pub contract: ContractId,
    /// On what.
    pub claim: Claim,
    /// How it stands.
    pub status: ContractStatus,
    /// What it costs at list price, in 1e-10 USD per hour.
    pub rate: UsdRate,
    /// The farmer's extra fee, in 1e-10 USD per hour.
    pub extra: UsdRate,
}

/// How many months of what a contract was charged the chain keeps.
pub const MONTHS_KEPT: u32 = 13;

/// The most items on a page, and the most records that are read for one.
pub const MAX_PAGE: u32 = 500;

/// A page of a list, and where the next one starts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Page<Item, Cursor> {
    /// What was found.
    pub items: Vec<Item>,
    /// What to ask for next; `None` at the end.
    pub next: Option<Cursor>,
}

impl<Item, Cursor> Page<Item, Cursor> {
    /// A page on which nothing follows.
    pub fn empty() -> Self {
        Self { items: Vec::new(), next: None }
    }

    /// The same page with what `show` makes of each item; without those of which it makes nothing.
    pub fn filter_map<Shown>(self, show: impl FnMut(Item) -> Option<Shown>) -> Page<Shown, Cursor> {
        Page { items: self.items.into_iter().filter_map(show).collect(), next: self.next }
    }
}

impl<Key: Copy> Page<Key, Key> {
    /// The first `limit` of `keys`: at least one, at most [`MAX_PAGE`].
    pub fn first_of(mut keys: impl Iterator<Item = Key>, limit: u32) -> Self {
        let items: Vec<_> = keys.by_ref().take(limit.clamp(1, MAX_PAGE) as usize).collect();
        let next = items.last().copied().filter(|_| keys.next().is_some());
        Self { items, next }
    }
}

/// A two-letter country code (ISO 3166-1 alpha-2).
pub type CountryCode = [u8; 2];

/// Which nodes are looked for.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo, serde::Serialize,
)]
pub struct NodeFilter {
    /// At least this is free.
    pub free: Resources,
    /// Of this farm.
    pub farm: Option<FarmId>,
    /// In this country.
    pub country: Option<CountryCode>,
    /// Certified ones only.
    pub certified: bool,
    /// Only those that the caller could rent as a whole: empty and not draining.
    pub rentable: bool,
    /// Also those that are offline, asleep or draining.
    pub unavailable: bool,
}

/// A node as people look for it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
pub struct NodeOffer {
    /// Its id.
    pub node: NodeId,
    /// Its farm.
    pub farm: FarmId,
    /// All that it offers.
    pub total: Resources,
    /// What is free of it.
    pub free: Resources,
    /// Whether a certifier vouched for it.
    pub certified: bool,
    /// Whether it counts as online.
    pub online: bool,
    /// Whether its farmer drains it.
    pub draining: bool,
    /// Whether it is only rented as a whole.
    pub dedicated: bool,
    /// What the farmer asks for a rent beside the list price, in 1e-10 USD per hour.
    pub extra_fee: UsdRate,
    /// Where it says that it is.
    pub country: Option<CountryCode>,
    /// How many contracts have capacity of it.
    pub contracts: u32,
    /// How often tenants said that it didn't deliver.
    pub not_delivered: u32,
}

/// A payer's credit, settled up to the block that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
pub struct PayerInfo {
    /// What is left, in 1e-7 TFT, fraction left out.
    pub credit: Balance,
    /// What all its running contracts cost, in 1e-10 USD per hour, discount left out.
    pub rate: u128,
    /// What may be charged beside that without another word of its owner, in the same unit: contracts that no
    /// node has deployed yet or whose node is silent, and larger versions.
    pub promised: u128,
    /// What must stay of the credit, in 1e-7 TFT, rounded up: an hour of both.
    pub must_keep: Balance,
    /// Whether the credit is used up and its contracts are paused.
    pub exhausted: bool,
    /// How long the credit lasts at the present price, in milliseconds; `None` while nothing is charged.
    pub funded_ms: Option<u64>,
}

/// The chain's clocks and intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo, serde::Serialize)]
pub struct GridInfo {
    /// Grid time.
    pub grid_now: GridMillis,
    /// The price of one TFT, in 1e-7 USD.
    pub tft_price: TftPrice,
    /// How often a node says that it is alive, in milliseconds.
    pub heartbeat_ms: u64,
    /// How often a node reports what its contracts use, in milliseconds.
    pub usage_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_to_go_on_only_where_more_follows() {
        let page = |keys: core::ops::Range<u32>, limit| Page::first_of(keys, limit);
        assert_eq!(page(0..3, 2), Page { items: [0, 1].to_vec(), next: Some(1) });
        assert_eq!(page(0..2, 2), Page { items: [0, 1].to_vec(), next: None });
        assert_eq!(page(0..0, 2), Page::empty());
    }

    #[test]
    fn a_page_has_something_and_never_too_much() {
        let lens = [0, 1, MAX_PAGE, u32::MAX].map(|limit| Page::first_of(0..u32::MAX, limit).items.len());
        assert_eq!(lens, [1, 1, 500, 500]);
    }

    #[test]
    fn what_is_not_shown_on_a_page_does_not_end_the_list() {
        let page = Page::first_of(0..9, 4).filter_map(|key| (key < 2).then_some(key * 10));
        assert_eq!(page, Page { items: [0, 10].to_vec(), next: Some(3) });
    }
}
