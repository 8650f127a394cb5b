// SPDX-License-Identifier: Apache-2.0
//! Records of the pallet, and the reward of a node.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    Balance, FarmId, Resources, TftPrice, UnixSeconds,
    farming::{
        Farmed, FarmingRates, PERIOD_SECONDS, PERIODS_KEPT, PaidFor, Payment, minted, period_start,
        reward_musd,
    },
    fixed::mul_div,
    traits::{FarmedNode, PaidUse},
    units::{GIB, SECOND_MS, TFT},
};

/// A reward matures so many periods after its own: one whole period lies between.
pub const MATURES_AFTER: u32 = 2;
/// Number of days whose average price of TFT applies to a node that is enrolled.
pub const PRICE_DAYS: u32 = 30;
/// Upper limit of a policy's cap and bond, in 1e-7 TFT.
pub const MAX_CAP: Balance = 100_000_000 * TFT;
/// Upper limit of what a policy pays for the capacity of the largest node per period, in mUSD.
pub const MAX_REWARD_MUSD: u64 = 1_000_000_000;

const TIB: u64 = 1_024 * GIB;

/// Rates and limits of farming.
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
pub struct FarmingPolicy {
    /// Rates per unit and period.
    pub rates: FarmingRates,
    /// Upper limit of what is minted for one period, in 1e-7 TFT.
    pub cap: Balance,
    /// Least uptime with which a node earns anything for a period, in thousandths of the period.
    pub min_uptime_permille: u16,
    /// Upper limit of the capacity of a node that is paid for.
    pub maxima: Resources,
    /// Bond of an enrolled node, held on the farmer's account, in 1e-7 TFT.
    pub bond: Balance,
    /// Whether nodes are enrolled when they join: for chains whose TFT has no value.
    pub automatic: bool,
}

impl FarmingPolicy {
    /// DIY rates, up to 2 million TFT a period, a minimum uptime of 95 %, a bond of 100 TFT, enrolment by
    /// certifiers.
    pub fn standard() -> Self {
        Self {
            rates: FarmingRates::default(),
            cap: 2_000_000 * TFT,
            min_uptime_permille: 950,
            maxima: Resources { cru: 512, mru: 8 * TIB, sru: 512 * TIB, hru: 2_048 * TIB, gpu: 0 },
            bond: 100 * TFT,
            automatic: false,
        }
    }

    /// Whether the policy is within bounds: the arithmetic can't overflow, and an extra digit is refused.
    pub fn is_valid(&self) -> bool {
        let largest = Farmed { resources: self.maxima, ..Farmed::default() };
        self.min_uptime_permille <= 1_000
            && self.cap <= MAX_CAP
            && self.bond <= MAX_CAP
            && reward_musd(&self.rates, &largest).is_some_and(|musd| musd <= MAX_REWARD_MUSD)
    }
}

/// Enrolment of a node for farming.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Enrolment {
    /// Farm whose farmer holds the bond and gets the rewards.
    pub farm: FarmId,
    /// Bond on the farmer's account, in 1e-7 TFT.
    pub bond: Balance,
    /// Average price of one TFT in the 30 days before the enrolment, in 1e-7 USD.
    pub price: TftPrice,
    /// Capacity that the certifier saw: the node reports its own, so no period counts more.
    pub seen: Resources,
    /// Whether the node still earns.
    pub phase: Phase,
}

/// Whether an enrolled node still earns.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub enum Phase {
    /// The node earns; its open period.
    Farming(OpenPeriod),
    /// The node has left: its bond is held until its last reward has matured.
    Leaving {
        /// First period in which the bond can be withdrawn.
        until: u32,
    },
}

/// The period of a node that isn't closed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct OpenPeriod {
    /// Number of the period.
    pub period: u32,
    /// Start of the time that counts: the start of the period or the enrolment, in seconds since 1970.
    pub from: UnixSeconds,
    /// Uptime of the node in the period before `from`, in milliseconds.
    pub uptime_before_ms: u64,
    /// Least capacity that it has offered, part by part.
    pub least_resources: Resources,
    /// Whether the node was certified all the time.
    pub certified: bool,
    /// Whether the machine has ever reported to be a virtual one; `None` without a report.
    pub virtualized: Option<bool>,
    /// What contracts paid for traffic and addresses on the node.
    pub paid: PaidUse,
    /// Whether governance has voided the reward.
    pub void: bool,
}

impl OpenPeriod {
    /// A period that counts from `from` on, in which the node was up for `uptime_before_ms` before. It counts at
    /// most what `node` offers now.
    pub fn begin(period: u32, from: UnixSeconds, uptime_before_ms: u64, node: &FarmedNode) -> Self {
        Self {
            period,
            from: from.max(period_start(period)),
            uptime_before_ms,
            least_resources: node.resources,
            certified: node.certified,
            virtualized: node.virtualized,
            paid: PaidUse::default(),
            void: false,
        }
    }

    /// Records the present state of the node: the worst one in the period counts.
    pub fn record_node(&mut self, node: &FarmedNode) {
        self.least_resources = self.least_resources.min(&node.resources);
        self.certified &= node.certified;
        // `Some(true)` is the greatest: once reported, it stays.
        self.virtualized = self.virtualized.max(node.virtualized);
    }

    /// Adds what contracts paid for traffic and addresses.
    pub fn add_paid_use(&mut self, paid: PaidUse) {
        self.paid = PaidUse {
            traffic_bytes: self.paid.traffic_bytes.saturating_add(paid.traffic_bytes),
            ip_ms: self.paid.ip_ms.saturating_add(paid.ip_ms),
            traffic_tft: self.paid.traffic_tft.saturating_add(paid.traffic_tft),
            ip_tft: self.paid.ip_tft.saturating_add(paid.ip_tft),
        };
    }

    /// Reward of the node for an uptime of `uptime_ms` in the whole period, in 1e-7 TFT.
    pub fn earned(&self, policy: &FarmingPolicy, price: TftPrice, uptime_ms: u64) -> Balance {
        let end = period_start(self.period).saturating_add(PERIOD_SECONDS);
        let counted = end.saturating_sub(self.from).saturating_mul(SECOND_MS);
        let up = uptime_ms.saturating_sub(self.uptime_before_ms).min(counted);
        let enough = permille(up, counted) >= policy.min_uptime_permille;
        if self.void || self.virtualized != Some(false) || !enough {
            return 0;
        }
        let farmed = Farmed {
            resources: self.least_resources.min(&policy.maxima),
            traffic_bytes: self.paid.traffic_bytes,
            ip_seconds: self.paid.ip_ms / SECOND_MS,
        };
        let uptime_permille = permille(up, PERIOD_SECONDS.saturating_mul(SECOND_MS));
        let payment = Payment { uptime_permille, certified: self.certified, price };
        let paid = PaidFor { traffic: self.paid.traffic_tft.whole(), addresses: self.paid.ip_tft.whole() };
        minted(&policy.rates, &farmed, &payment, paid)
    }
}

/// `part ÷ all` in thousandths, rounded down.
fn permille(part: u64, all: u64) -> u16 {
    u16::try_from(mul_div(part.into(), 1_000, all.into())).unwrap_or(u16::MAX)
}

/// Reward of a node for a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Reward {
    /// Number of the period.
    pub period: u32,
    /// Reward before it is scaled to the period's cap, in 1e-7 TFT.
    pub tft: Balance,
    /// Amount minted for it, in 1e-7 TFT; `None` while it is unclaimed.
    pub paid: Option<Balance>,
}

/// Rewards of a node, oldest first. A reward of zero isn't stored.
pub type Rewards = BoundedVec<Reward, ConstU32<PERIODS_KEPT>>;

/// Rewards of all nodes for a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct PeriodTotal {
    /// Number of the period.
    pub period: u32,
    /// Upper limit of what is minted, in 1e-7 TFT: the policy's cap when the first node closed the period.
    pub cap: Balance,
    /// Sum of the rewards, in 1e-7 TFT.
    pub sum: Balance,
    /// Amount minted, in 1e-7 TFT.
    pub paid: Balance,
    /// Part of the sum whose nodes have no records any more, in 1e-7 TFT.
    pub forgotten: Balance,
}

impl PeriodTotal {
    /// Amount that is minted for one of the rewards, in 1e-7 TFT.
    pub fn payout(&self, reward: Balance) -> Balance {
        if self.sum <= self.cap { reward } else { mul_div(reward, self.cap, self.sum) }
    }
}

/// Totals of the periods that are kept, oldest first.
pub type PeriodTotals = BoundedVec<PeriodTotal, ConstU32<PERIODS_KEPT>>;

/// Whether a reward of `period` has matured in the period `now`.
pub fn is_mature(period: u32, now: u32) -> bool {
    period.saturating_add(MATURES_AFTER) <= now
}

/// Whether `period` is deleted when `now` is closed.
pub(crate) fn is_forgotten(period: u32, now: u32) -> bool {
    period.saturating_add(PERIODS_KEPT) <= now
}

/// A reward, for people to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct RewardInfo {
    /// Number of the period.
    pub period: u32,
    /// Reward before it is scaled to the period's cap, in 1e-7 TFT.
    pub tft: Balance,
    /// Amount that was minted for it or, by the present total, would be, in 1e-7 TFT.
    pub payout: Balance,
    /// First moment at which it can be claimed, in seconds since 1970.
    pub claimable_from: UnixSeconds,
    /// Whether it is claimed.
    pub claimed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_primitives::units::{DAY_MS, USD};

    const PERIOD_MS: u64 = PERIOD_SECONDS * SECOND_MS;
    const PRICE: TftPrice = USD / 20;

    fn machine() -> FarmedNode {
        let resources =
            Resources { cru: 8, mru: 16 * GIB, sru: 512 * GIB, hru: 1_024 * GIB, ..Resources::ZERO };
        FarmedNode { farm: 1, resources, certified: false, virtualized: Some(false) }
    }

    fn whole_period() -> OpenPeriod {
        OpenPeriod::begin(5, 0, 0, &machine())
    }

    fn earned(open: &OpenPeriod, uptime_ms: u64) -> Balance {
        open.earned(&FarmingPolicy::standard(), PRICE, uptime_ms)
    }

    #[test]
    fn a_full_period_earns_what_the_formula_says() {
        // 3.75 CU × 2400 + (1024/1200 + 512/250) SU × 1000 = 11901.33 mUSD at 0.05 USD.
        assert_eq!(earned(&whole_period(), PERIOD_MS), 11_901 * TFT / 50);
        let certified = OpenPeriod { certified: true, ..whole_period() };
        assert_eq!(earned(&certified, PERIOD_MS), 11_901 * TFT / 40);
    }

    #[test]
    fn uptime_counts_in_thousandths_from_the_minimum_on() {
        let full = 11_901 * TFT / 50;
        assert_eq!(earned(&whole_period(), PERIOD_MS / 1_000 * 950), full * 950 / 1_000);
        assert_eq!(earned(&whole_period(), PERIOD_MS / 1_000 * 950 - 1), 0);
        assert_eq!(earned(&whole_period(), u64::MAX), full);
    }

    #[test]
    fn a_late_enrolment_earns_for_the_rest_of_the_period() {
        let full = 11_901 * TFT / 50;
        let half = period_start(5) + PERIOD_SECONDS / 2;
        let up_before = PERIOD_MS / 2;
        let late = OpenPeriod::begin(5, half, up_before, &machine());
        assert_eq!(earned(&late, PERIOD_MS), full / 2);
        assert_eq!(earned(&late, up_before), 0, "what it was up before doesn't count");
        // The minimum is one of the part that counts.
        assert_eq!(earned(&late, up_before + PERIOD_MS / 2_000 * 950), full * 475 / 1_000);
        assert_eq!(earned(&late, up_before + PERIOD_MS / 2_000 * 949), 0);
        // More uptime than is left of the period counts as all that is left.
        let last_day = OpenPeriod::begin(5, period_start(6) - DAY_MS / SECOND_MS, 0, &machine());
        assert_eq!(earned(&last_day, PERIOD_MS), full * 33 / 1_000);
    }

    #[test]
    fn only_machines_that_report_to_be_physical_earn() {
        for virtualized in [None, Some(true)] {
            let open = OpenPeriod { virtualized, ..whole_period() };
            assert_eq!(earned(&open, PERIOD_MS), 0);
        }
        let mut open = OpenPeriod { virtualized: None, ..whole_period() };
        open.record_node(&machine());
        assert!(earned(&open, PERIOD_MS) > 0, "it may report that late");
        open.record_node(&FarmedNode { virtualized: Some(true), ..machine() });
        open.record_node(&machine());
        assert_eq!(earned(&open, PERIOD_MS), 0, "but can't withdraw a report of the contrary");
    }

    #[test]
    fn the_worst_state_of_a_node_counts() {
        let mut open = OpenPeriod { certified: true, ..whole_period() };
        let less = Resources { cru: 1, mru: 64 * GIB, ..machine().resources };
        open.record_node(&FarmedNode { resources: less, certified: true, ..machine() });
        assert_eq!(open.least_resources, Resources { cru: 1, ..machine().resources });
        assert!(open.certified);
        open.record_node(&machine());
        open.record_node(&FarmedNode { certified: true, ..machine() });
        assert!(!open.certified);
    }

    #[test]
    fn use_that_is_counted_does_not_wrap() {
        let mut open = whole_period();
        let tft = tfgrid_primitives::ExactTft::MAX;
        let all = PaidUse { traffic_bytes: u64::MAX, ip_ms: u64::MAX, traffic_tft: tft, ip_tft: tft };
        open.add_paid_use(all);
        open.add_paid_use(all);
        assert_eq!(open.paid, all);
        assert!(earned(&open, PERIOD_MS) > 0);
    }

    #[test]
    fn payouts_are_scaled_to_the_cap_and_rounded_down() {
        let total = PeriodTotal { period: 5, cap: 100, sum: 300, paid: 0, forgotten: 0 };
        assert_eq!([100, 200, 2, 0].map(|reward| total.payout(reward)), [33, 66, 0, 0]);
        let below = PeriodTotal { cap: 300, ..total };
        assert_eq!(below.payout(200), 200);
        let nothing = PeriodTotal { cap: 0, ..total };
        assert_eq!(nothing.payout(300), 0);
        let huge = PeriodTotal { cap: MAX_CAP, sum: u128::MAX, ..total };
        assert_eq!(huge.payout(u128::MAX), MAX_CAP);
    }

    #[test]
    fn policies_out_of_bounds_are_invalid() {
        let good = FarmingPolicy::standard();
        assert!(good.is_valid());
        assert!(!FarmingPolicy { min_uptime_permille: 1_001, ..good }.is_valid());
        assert!(!FarmingPolicy { cap: MAX_CAP + 1, ..good }.is_valid());
        assert!(!FarmingPolicy { bond: MAX_CAP + 1, ..good }.is_valid());
        let dear = FarmingRates { cu: u64::MAX, ..good.rates };
        assert!(!FarmingPolicy { rates: dear, ..good }.is_valid());
        let vast = Resources { hru: u64::MAX, ..good.maxima };
        assert!(!FarmingPolicy { maxima: vast, ..good }.is_valid());
    }

    #[test]
    fn one_whole_period_lies_between_earning_and_claiming() {
        assert!(!is_mature(5, 5) && !is_mature(5, 6) && is_mature(5, 7));
        assert!(!is_forgotten(5, 17) && is_forgotten(5, 18));
        assert!(is_mature(u32::MAX, u32::MAX));
    }
}
