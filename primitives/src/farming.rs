// SPDX-License-Identifier: Apache-2.0
//! Reward of a node for a farming period (`docs/CALCULATORS.md`).
//!
//! With memory and disks in Gi (2³⁰ bytes):
//!
//! ```text
//! CU = min(2·cru, (mru − 1)/4, sru/50)
//! SU = hru/1200 + sru/250
//! reward in mUSD = ⌊CU·cu + SU·su + NU·nu + ip_seconds·ipv4/3600⌋
//! ```
//!
//! Everything is computed in whole numbers over one denominator and divided once. Periods are 30 days of the
//! calendar, the same for all nodes.

use crate::{
    resources::Resources,
    units::{Balance, DAY_MS, GIB, SECOND_MS, TFT, TftPrice, USD, UnixSeconds},
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::U256;

/// Length of a farming period: 30 days of the calendar, in seconds.
pub const PERIOD_SECONDS: UnixSeconds = 30 * DAY_MS / SECOND_MS;
/// Number of periods that the chain keeps.
pub const PERIODS_KEPT: u32 = 13;

/// Period in which `now` lies: its first second ÷ 30 days.
pub fn period_of(now: UnixSeconds) -> u32 {
    u32::try_from(now / PERIOD_SECONDS).unwrap_or(u32::MAX)
}

/// First second of a period.
pub fn period_start(period: u32) -> UnixSeconds {
    UnixSeconds::from(period) * PERIOD_SECONDS
}

/// Farming rates per unit and period, in mUSD (1e-3 USD).
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
pub struct FarmingRates {
    /// Compute unit.
    pub cu: u64,
    /// Storage unit.
    pub su: u64,
    /// GiB of public traffic.
    pub nu: u64,
    /// Hour of a public IPv4 address.
    pub ipv4: u64,
}

impl Default for FarmingRates {
    /// The DIY policy.
    fn default() -> Self {
        Self { cu: 2_400, su: 1_000, nu: 30, ipv4: 5 }
    }
}

/// Capacity and use of a node in a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Farmed {
    /// Capacity offered.
    pub resources: Resources,
    /// Public traffic in bytes.
    pub traffic_bytes: u64,
    /// Seconds × public IPv4 addresses in use.
    pub ip_seconds: u64,
}

/// Factors of a reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Uptime in thousandths of the period; above 1000 counts as 1000.
    pub uptime_permille: u16,
    /// Whether the node is certified: the reward is multiplied by 1.25.
    pub certified: bool,
    /// Average price of one TFT when the node was enrolled.
    pub price: TftPrice,
}

const CU_DENOMINATOR: u128 = 100 * GIB as u128;
const SU_DENOMINATOR: u128 = 6_000 * GIB as u128;

/// `CU × 100 × 2³⁰`.
fn compute_units_scaled(r: &Resources) -> u128 {
    let cores = 200 * u128::from(r.cru) * u128::from(GIB);
    let memory = 25 * u128::from(r.mru.saturating_sub(GIB));
    cores.min(memory).min(2 * u128::from(r.sru))
}

/// `SU × 6000 × 2³⁰`.
fn storage_units_scaled(r: &Resources) -> u128 {
    5 * u128::from(r.hru) + 24 * u128::from(r.sru)
}

/// Compute and storage units in millionths, rounded down, for people to see.
pub fn farming_units_millionths(r: &Resources) -> (u64, u64) {
    let millionths = |scaled: u128, denominator: u128| {
        let parts = U256::from(scaled) * 1_000_000u64 / U256::from(denominator);
        u64::try_from(parts).unwrap_or(u64::MAX)
    };
    (millionths(compute_units_scaled(r), CU_DENOMINATOR), millionths(storage_units_scaled(r), SU_DENOMINATOR))
}

/// Value of `farmed` in mUSD, rounded down; `None` above `u64`.
pub fn reward_musd(rates: &FarmingRates, farmed: &Farmed) -> Option<u64> {
    const HOUR: u64 = 3_600;
    let compute = U256::from(compute_units_scaled(&farmed.resources))
        * U256::from(SU_DENOMINATOR / CU_DENOMINATOR)
        * rates.cu;
    let storage = U256::from(storage_units_scaled(&farmed.resources)) * rates.su;
    let traffic = U256::from(farmed.traffic_bytes) * U256::from(SU_DENOMINATOR / u128::from(GIB)) * rates.nu;
    let addresses = U256::from(farmed.ip_seconds) * rates.ipv4 * U256::from(SU_DENOMINATOR);
    let sum = (compute + storage + traffic) * HOUR + addresses;
    u64::try_from(sum / (U256::from(SU_DENOMINATOR) * HOUR)).ok()
}

/// Amount that is minted for a reward in mUSD, in 1e-7 TFT, rounded down; `None` if the price is zero.
pub fn reward_tft(musd: u64, payment: &Payment) -> Option<Balance> {
    let uptime = payment.uptime_permille.min(1_000);
    let percent: u64 = if payment.certified { 125 } else { 100 };
    let units = U256::from(musd) * uptime * percent * U256::from(TFT);
    let musd_of_price = U256::from(USD / 1_000);
    let price = U256::from(payment.price) * 100_000u64;
    Balance::try_from((units * musd_of_price).checked_div(price)?).ok()
}

/// What was paid for the use of a node and didn't go to its farmer, in 1e-7 TFT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaidFor {
    /// For public traffic.
    pub traffic: Balance,
    /// For public addresses.
    pub addresses: Balance,
}

/// Amount that is minted for the period of a node, in 1e-7 TFT, rounded down. The parts for traffic and for
/// addresses are each at most what was `paid`; capacity whose value exceeds `u64` counts as none.
pub fn minted(rates: &FarmingRates, farmed: &Farmed, payment: &Payment, paid: PaidFor) -> Balance {
    let idle = Farmed { resources: farmed.resources, ..Farmed::default() };
    let carrying = Farmed { traffic_bytes: farmed.traffic_bytes, ..idle };
    let tft = |musd| reward_tft(musd, payment).unwrap_or(0);
    let used = |farmed| tft(reward_musd(rates, farmed).unwrap_or(u64::MAX));
    let for_capacity = reward_musd(rates, &idle).map_or(0, tft);
    let (with_traffic, with_all) = (used(&carrying), used(farmed));
    let for_traffic = with_traffic.saturating_sub(for_capacity).min(paid.traffic);
    let for_addresses = with_all.saturating_sub(with_traffic).min(paid.addresses);
    for_capacity.saturating_add(for_traffic).saturating_add(for_addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn number(v: &Value, key: &str) -> u64 {
        v[key].as_u64().unwrap_or(0)
    }

    #[test]
    fn the_farming_vectors_hold_to_the_unit() {
        let vectors: Value = serde_json::from_str(include_str!("../../docs/vectors/farming.json")).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() > 4);
        for case in cases {
            let (i, e) = (&case["input"], &case["expect"]);
            let resources = Resources {
                cru: number(i, "cru"),
                mru: number(i, "mru") * GIB,
                sru: number(i, "sru") * GIB,
                hru: number(i, "hru") * GIB,
                gpu: 0,
            };
            let traffic_bytes = number(i, "nu_gib") * GIB;
            let farmed = Farmed { resources, traffic_bytes, ip_seconds: number(i, "ip_seconds") };
            let payment = Payment {
                uptime_permille: number(i, "uptime_permille") as u16,
                certified: i["certified"].as_bool().unwrap_or(false),
                price: number(i, "price_musd") * USD / 1_000,
            };
            let musd = reward_musd(&FarmingRates::default(), &farmed).unwrap();
            assert_eq!(musd, number(e, "musd"), "{case}");
            assert_eq!(reward_tft(musd, &payment), Some(number(e, "tft_units").into()), "{case}");
            let (cu, su) = farming_units_millionths(&resources);
            assert!((cu as f64 / 1e6 - e["cu"].as_f64().unwrap()).abs() < 1e-5, "cu of {case}");
            assert!((su as f64 / 1e6 - e["su"].as_f64().unwrap()).abs() < 1e-5, "su of {case}");
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let all = u64::MAX;
        let resources = Resources { cru: all, mru: all, sru: all, hru: all, gpu: all };
        let farmed = Farmed { resources, traffic_bytes: all, ip_seconds: all };
        let rates = FarmingRates { cu: all, su: all, nu: all, ipv4: all };
        assert_eq!(reward_musd(&rates, &farmed), None);
        let payment = Payment { uptime_permille: u16::MAX, certified: true, price: 0 };
        assert_eq!(reward_tft(all, &payment), None);
        assert!(reward_tft(all, &Payment { price: 1, ..payment }).is_some());
        assert_eq!(reward_musd(&FarmingRates::default(), &Farmed::default()), Some(0));
    }

    #[test]
    fn a_period_is_thirty_days_of_the_calendar() {
        assert_eq!((period_of(0), period_of(PERIOD_SECONDS - 1), period_of(PERIOD_SECONDS)), (0, 0, 1));
        assert_eq!(period_of(period_start(656)), 656);
        assert_eq!(period_of(period_start(656) - 1), 655);
        assert_eq!((period_of(u64::MAX), period_of(period_start(u32::MAX))), (u32::MAX, u32::MAX));
    }

    #[test]
    fn use_earns_its_value_and_at_most_what_was_paid() {
        let rates = FarmingRates::default();
        let resources = Resources { cru: 8, mru: 16 * GIB, sru: 512 * GIB, ..Resources::ZERO };
        let idle = Farmed { resources, ..Farmed::default() };
        let busy = Farmed { traffic_bytes: 60 * GIB, ip_seconds: 36_000, ..idle };
        let payment = Payment { uptime_permille: 1_000, certified: false, price: USD / 20 };
        let capacity = minted(&rates, &idle, &payment, PaidFor::default());
        assert_eq!(Some(capacity), reward_tft(reward_musd(&rates, &idle).unwrap(), &payment));
        // 60 GiB × 30 mUSD and 10 h × 5 mUSD at 0.05 USD.
        let (traffic, addresses) = (36 * TFT, TFT);
        let all = Balance::MAX;
        let minted_for = |traffic, addresses| minted(&rates, &busy, &payment, PaidFor { traffic, addresses });
        assert_eq!(minted_for(0, 0), capacity);
        assert_eq!(minted_for(traffic - 1, 0), capacity + traffic - 1);
        assert_eq!(minted_for(all, 0), capacity + traffic, "what was paid for addresses isn't for traffic");
        assert_eq!(minted_for(0, all), capacity + addresses);
        assert_eq!(minted_for(all, all), capacity + traffic + addresses);
        let paid = PaidFor { traffic: all, addresses: all };
        assert_eq!(minted(&rates, &idle, &payment, paid), capacity);
    }

    #[test]
    fn extreme_use_earns_what_was_paid_and_capacity_nothing() {
        let all = u64::MAX;
        let rates = FarmingRates { cu: all, su: all, nu: all, ipv4: all };
        let payment = Payment { uptime_permille: 1_000, certified: true, price: 1 };
        let busy = Farmed { traffic_bytes: all, ip_seconds: all, ..Farmed::default() };
        let paid = PaidFor { traffic: 77, addresses: 0 };
        assert_eq!(minted(&rates, &busy, &payment, paid), 77);
        let resources = Resources { cru: all, mru: all, sru: all, hru: all, gpu: all };
        assert_eq!(minted(&rates, &Farmed { resources, ..busy }, &payment, paid), 77);
        assert_eq!(minted(&rates, &busy, &Payment { price: 0, ..payment }, paid), 0);
    }

    #[test]
    fn uptime_above_1000_permille_counts_as_1000() {
        let payment = |uptime_permille| Payment { uptime_permille, certified: false, price: USD * 8 / 100 };
        assert_eq!(reward_tft(80, &payment(1_001)), reward_tft(80, &payment(1_000)));
        assert_eq!(reward_tft(80, &payment(1_000)), Some(TFT));
    }
}
