// SPDX-License-Identifier: Apache-2.0
//! Prices of capacity (`docs/CALCULATORS.md`).
//!
//! With memory and disks in Gi (2³⁰ bytes):
//!
//! ```text
//! CU = min(max(mru/4, cru/2), max(mru/8, cru), max(mru/2, cru/4))
//! SU = hru/1200 + sru/200
//! ```
//!
//! Both are fractions with a fixed denominator, so everything is computed in whole numbers and divided once.

use crate::{
    resources::Resources,
    units::{GIB, RATE_PER_LIST_PRICE, TftPrice, UsdAmount, UsdRate},
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::U256;

/// List prices in 1e-7 USD per hour and unit, `nu` per GB (10⁹ bytes).
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
    serde::Deserialize,
)]
pub struct PriceList {
    /// Compute unit.
    pub cu: u64,
    /// Storage unit.
    pub su: u64,
    /// GB of public traffic.
    pub nu: u64,
    /// Public IPv4 address.
    pub ipv4: u64,
    /// Unique name on a gateway.
    pub unique_name: u64,
    /// GPU.
    pub gpu: u64,
    /// Price of a rented node, in per cent of the list price of its capacity.
    pub rent_percent: u16,
    /// Price on a certified node, in per cent of the list price.
    pub certified_percent: u16,
    /// Least price of a node contract.
    #[serde(default)]
    pub minimum: u64,
}

impl Default for PriceList {
    fn default() -> Self {
        Self {
            cu: 100_000,
            su: 50_000,
            nu: 15_000,
            ipv4: 40_000,
            unique_name: 2_500,
            gpu: 0,
            rent_percent: 50,
            certified_percent: 125,
            minimum: 1_000,
        }
    }
}

/// The subject of a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub enum Priced {
    /// Capacity of a node.
    Capacity {
        /// Amount.
        resources: Resources,
        /// Number of public IPv4 addresses beside it.
        public_ips: u8,
        /// Whether the node is certified.
        certified: bool,
    },
    /// Capacity of a node that its owner rents: the addresses are paid, and the minimum at least.
    OnRented {
        /// Number of public IPv4 addresses.
        public_ips: u8,
        /// Whether the node is certified.
        certified: bool,
    },
    /// Public IPv4 addresses alone.
    Addresses {
        /// Their number.
        public_ips: u8,
        /// Whether the node is certified.
        certified: bool,
    },
    /// A whole node.
    Rent {
        /// Capacity that the node offers.
        resources: Resources,
        /// Whether the node is certified.
        certified: bool,
    },
    /// A unique name on the gateways.
    Name,
}

impl Priced {
    /// Rate by this list, in 1e-10 USD per hour; `None` above `u64`, and for GPUs while the list has no price
    /// for them.
    pub fn rate(&self, list: &PriceList) -> Option<UsdRate> {
        let node = |certified, rent| PricedNode { certified, rent };
        match *self {
            Self::Capacity { resources, .. } | Self::Rent { resources, .. }
                if resources.gpu > 0 && list.gpu == 0 =>
            {
                None
            }
            Self::Capacity { resources, public_ips, certified } => {
                capacity_rate(list, &resources, public_ips.into(), node(certified, false))
            }
            Self::OnRented { public_ips, certified } => {
                capacity_rate(list, &Resources::ZERO, public_ips.into(), node(certified, false))
            }
            Self::Addresses { public_ips, certified } => {
                capacity_rate(list, &Resources::ZERO, public_ips.into(), node(certified, true))
            }
            Self::Rent { resources, certified } => capacity_rate(list, &resources, 0, node(certified, true)),
            Self::Name => list.unique_name.checked_mul(RATE_PER_LIST_PRICE),
        }
    }
}

/// Cost of `gb` (10⁹ bytes) of public traffic, in 1e-10 USD, rounded down. No price factor applies to it.
pub fn traffic_cost(list: &PriceList, gb: u32, certified: bool) -> UsdAmount {
    let node = PricedNode { certified, rent: false };
    let scaled = U256::from(list.nu)
        * U256::from(RATE_PER_LIST_PRICE)
        * U256::from(gb)
        * U256::from(certified_percent(list, node));
    u128::try_from(scaled / 100u64).unwrap_or(u128::MAX)
}

/// Properties of a node on which the price depends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PricedNode {
    /// The node is certified.
    pub certified: bool,
    /// The contract rents the whole node.
    pub rent: bool,
}

/// `CU × 8 × 2³⁰`: compute units as a whole number.
fn compute_units_scaled(r: &Resources) -> u128 {
    let (mru, cru) = (u128::from(r.mru), u128::from(r.cru) * u128::from(GIB));
    let ample_memory = (2 * mru).max(4 * cru);
    let balanced = mru.max(8 * cru);
    let ample_compute = (4 * mru).max(2 * cru);
    ample_memory.min(balanced).min(ample_compute)
}

/// `SU × 1200 × 2³⁰`: storage units as a whole number.
fn storage_units_scaled(r: &Resources) -> u128 {
    u128::from(r.hru) + 6 * u128::from(r.sru)
}

const CU_DENOMINATOR: u128 = 8 * GIB as u128;
const SU_DENOMINATOR: u128 = 1_200 * GIB as u128;
/// The least common multiple of both.
const DENOMINATOR: u128 = 2_400 * GIB as u128;

/// Compute and storage units in millionths, rounded half up, for people to see.
pub fn cloud_units_millionths(r: &Resources) -> (u64, u64) {
    let millionths = |scaled: u128, denominator: u128| {
        let rounded = round_half_up(U256::from(scaled) * 1_000_000u64, denominator.into());
        u64::try_from(rounded).unwrap_or(u64::MAX)
    };
    (millionths(compute_units_scaled(r), CU_DENOMINATOR), millionths(storage_units_scaled(r), SU_DENOMINATOR))
}

/// Capacity, addresses and GPUs in 1e-7 USD per hour × [`DENOMINATOR`] × 10⁴, with both percentages applied.
fn hourly_scaled(list: &PriceList, r: &Resources, public_ips: u32, node: PricedNode) -> U256 {
    let compute = U256::from(compute_units_scaled(r)) * U256::from(DENOMINATOR / CU_DENOMINATOR) * list.cu;
    let storage = U256::from(storage_units_scaled(r)) * U256::from(DENOMINATOR / SU_DENOMINATOR) * list.su;
    let gpus = U256::from(r.gpu) * list.gpu * U256::from(DENOMINATOR);
    let ips = U256::from(public_ips) * list.ipv4 * U256::from(DENOMINATOR);
    let rent = if node.rent { list.rent_percent } else { 100 };
    ((compute + storage + gpus) * rent + ips * 100u64) * certified_percent(list, node)
}

fn certified_percent(list: &PriceList, node: PricedNode) -> u16 {
    if node.certified { list.certified_percent } else { 100 }
}

/// Rate of a node or rent contract in 1e-10 USD per hour, rounded half up; `None` above `u64`.
pub fn capacity_rate(list: &PriceList, r: &Resources, public_ips: u32, node: PricedNode) -> Option<UsdRate> {
    let scaled = hourly_scaled(list, r, public_ips, node) * RATE_PER_LIST_PRICE;
    let rate = round_half_up(scaled, U256::from(DENOMINATOR) * 10_000u64);
    let minimum = if node.rent { 0 } else { list.minimum.checked_mul(RATE_PER_LIST_PRICE)? };
    u64::try_from(rate).ok().map(|rate| rate.max(minimum))
}

/// Discount for prepaid runway.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Discount {
    /// Less than 1.5 months.
    #[default]
    None,
    /// 1.5 months or more: × 0.8.
    Default,
    /// 3 months or more: × 0.7.
    Bronze,
    /// 6 months or more: × 0.6.
    Silver,
    /// 18 months or more: × 0.4.
    Gold,
}

impl Discount {
    /// The discount for `hours` of prepaid runway; a month has 720 hours.
    pub fn for_runway_hours(hours: u64) -> Self {
        match hours {
            0..1_080 => Self::None,
            1_080..2_160 => Self::Default,
            2_160..4_320 => Self::Bronze,
            4_320..12_960 => Self::Silver,
            _ => Self::Gold,
        }
    }

    /// Price factor: the part of the list price that is paid, in thousandths.
    pub fn permille(self) -> u16 {
        match self {
            Self::None => 1_000,
            Self::Default => 800,
            Self::Bronze => 700,
            Self::Silver => 600,
            Self::Gold => 400,
        }
    }
}

/// An amount of capacity, time and traffic, for a calculator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Capacity for the whole time.
    pub resources: Resources,
    /// Public IPv4 addresses for the whole time.
    pub public_ips: u32,
    /// Public traffic in GB (10⁹ bytes).
    pub traffic_gb: u64,
    /// Time in seconds.
    pub seconds: u64,
    /// Node that it runs on.
    pub node: PricedNode,
    /// Discount of the payer.
    pub discount: Discount,
}

/// Cost of `usage` as (1e-7 USD, 1e-7 TFT), both rounded half up from the exact value; `None` if the price is
/// zero or an amount exceeds `u64`. The minimum rate doesn't apply.
pub fn cost(list: &PriceList, usage: &Usage, price: TftPrice) -> Option<(u64, u64)> {
    let hourly = hourly_scaled(list, &usage.resources, usage.public_ips, usage.node);
    let traffic = U256::from(usage.traffic_gb)
        .checked_mul(list.nu.into())?
        .checked_mul(U256::from(DENOMINATOR) * 100u64 * certified_percent(list, usage.node) * 3_600u64)?;
    let exact = hourly
        .checked_mul(usage.seconds.into())?
        .checked_add(traffic)?
        .checked_mul(usage.discount.permille().into())?;
    let one = U256::from(DENOMINATOR) * 10_000u64 * 3_600u64 * 1_000u64;
    let usd = u64::try_from(round_half_up(exact, one)).ok()?;
    let tft = exact.checked_mul(crate::units::TFT.into())?;
    let tft = (price > 0).then(|| round_half_up(tft, one * price))?;
    Some((usd, u64::try_from(tft).ok()?))
}

fn round_half_up(numerator: U256, denominator: U256) -> U256 {
    numerator.saturating_add(denominator >> 1).checked_div(denominator).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn number(v: &Value, key: &str) -> u64 {
        v[key].as_u64().unwrap_or(0)
    }

    #[test]
    fn the_cost_vectors_hold_to_the_unit() {
        let vectors: Value = serde_json::from_str(include_str!("../../docs/vectors/cost.json")).unwrap();
        let list: PriceList = serde_json::from_value(vectors["policy"].clone()).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() > 10);
        for case in cases {
            let (i, e) = (&case["input"], &case["expect"]);
            let runway_hours = (i["runway"].as_f64().unwrap_or(0.0) * 720.0).floor() as u64;
            let usage = Usage {
                resources: Resources {
                    cru: number(i, "cru"),
                    mru: number(i, "mru") * GIB,
                    sru: number(i, "sru") * GIB,
                    hru: number(i, "hru") * GIB,
                    gpu: number(i, "gpu"),
                },
                public_ips: number(i, "ips") as u32,
                traffic_gb: number(i, "nu_gb"),
                seconds: number(i, "seconds"),
                node: PricedNode {
                    certified: i["certified"].as_bool().unwrap_or(false),
                    rent: i["rent"].as_bool().unwrap_or(false),
                },
                discount: Discount::for_runway_hours(runway_hours),
            };
            let (usd, tft) = cost(&list, &usage, number(i, "price_musd") * 10_000).unwrap();
            assert_eq!(usd, number(e, "usd_units"), "usd of {case}");
            assert_eq!(tft, number(e, "tft_units"), "tft of {case}");
            assert_eq!(serde_json::to_value(usage.discount).unwrap(), e["discount"], "{case}");
            let (cu, su) = cloud_units_millionths(&usage.resources);
            assert!((cu as f64 / 1e6 - e["cu"].as_f64().unwrap()).abs() < 1e-6, "cu of {case}");
            assert!((su as f64 / 1e6 - e["su"].as_f64().unwrap()).abs() < 1e-6, "su of {case}");
        }
    }

    #[test]
    fn a_rate_is_the_price_of_an_hour() {
        let r = Resources { cru: 2, mru: 2 * GIB, sru: 15 * GIB, ..Resources::ZERO };
        let list = PriceList::default();
        assert_eq!(capacity_rate(&list, &r, 0, PricedNode::default()), Some(103_750_000));
        let certified = PricedNode { certified: true, rent: false };
        assert_eq!(capacity_rate(&list, &r, 1, certified), Some(179_687_500));
        let rent = PricedNode { certified: false, rent: true };
        assert_eq!(capacity_rate(&list, &r, 0, rent), Some(51_875_000));
    }

    #[test]
    fn a_tiny_contract_costs_the_minimum_and_a_rent_does_not() {
        let list = PriceList::default();
        let nothing = Resources::ZERO;
        assert_eq!(capacity_rate(&list, &nothing, 0, PricedNode::default()), Some(1_000_000));
        let rent = PricedNode { certified: false, rent: true };
        assert_eq!(capacity_rate(&list, &nothing, 0, rent), Some(0));
    }

    #[test]
    fn rented_nodes_cost_addresses_and_names_cost_their_price() {
        let list = PriceList::default();
        let on_rented = |public_ips| Priced::OnRented { public_ips, certified: false }.rate(&list);
        assert_eq!((on_rented(0), on_rented(2)), (Some(1_000_000), Some(80_000_000)));
        let addresses = |public_ips| Priced::Addresses { public_ips, certified: false }.rate(&list);
        assert_eq!((addresses(0), addresses(2)), (Some(0), Some(80_000_000)));
        assert_eq!(Priced::Name.rate(&list), Some(2_500_000));
        let dear = PriceList { unique_name: u64::MAX, ..list };
        assert_eq!(Priced::Name.rate(&dear), None);
    }

    #[test]
    fn traffic_is_dearer_on_a_certified_node() {
        let list = PriceList::default();
        assert_eq!(traffic_cost(&list, 10, false), 150_000_000);
        assert_eq!(traffic_cost(&list, 10, true), 187_500_000);
        let dear = PriceList { nu: u64::MAX, certified_percent: u16::MAX, ..list };
        assert!(traffic_cost(&dear, u32::MAX, true) > 0);
    }

    #[test]
    fn gpus_without_a_price_are_refused() {
        let resources = Resources { cru: 1, gpu: 1, ..Resources::ZERO };
        let capacity = Priced::Capacity { resources, public_ips: 0, certified: false };
        let rent = Priced::Rent { resources, certified: false };
        let list = PriceList::default();
        assert_eq!((capacity.rate(&list), rent.rate(&list)), (None, None));
        let priced = PriceList { gpu: 1, ..list };
        assert!(capacity.rate(&priced).is_some() && rent.rate(&priced).is_some());
    }

    #[test]
    fn extremes_are_refused_and_do_not_panic() {
        let all = u64::MAX;
        let r = Resources { cru: all, mru: all, sru: all, hru: all, gpu: all };
        let node = PricedNode { certified: true, rent: false };
        let list = PriceList {
            cu: all,
            su: all,
            nu: all,
            ipv4: all,
            unique_name: all,
            gpu: all,
            rent_percent: u16::MAX,
            certified_percent: u16::MAX,
            minimum: all,
        };
        assert_eq!(capacity_rate(&list, &r, u32::MAX, node), None);
        let usage = Usage { resources: r, seconds: all, traffic_gb: all, node, ..Usage::default() };
        assert_eq!(cost(&list, &usage, 1), None);
        assert_eq!(cost(&PriceList::default(), &Usage::default(), 0), None);
    }
}
