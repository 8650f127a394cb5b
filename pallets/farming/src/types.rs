// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet, and what a node has earned by them.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    Balance, FarmId, Resources, TftPrice, UnixSeconds,
    farming::{
        Farmed, FarmingRates, PERIOD_SECONDS, PERIODS_KEPT, Payment, minted, period_start, reward_musd,
    },
    fixed::mul_div,
    traits::{FarmedNode, PaidUse},
    units::{GIB, SECOND_MS, TFT},
};

/// A reward can be claimed from the start of so many periods after its own: one whole period lies between.
pub const MATURES_AFTER: u32 = 2;
/// How many days of prices make the price that a node is enrolled at.
pub const PRICE_DAYS: u32 = 30;
/// No policy admits more per period, in 1e-7 TFT.
pub const GREATEST_CAP: Balance = 100_000_000 * TFT;
/// No policy admits more for the largest node's capacity per period, in mUSD.
pub const GREATEST_MUSD: u64 = 1_000_000_000;

const TIB: u64 = 1_024 * GIB;

/// What is paid for what, and how much at most.
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
    /// What is paid per unit and period.
    pub rates: FarmingRates,
    /// The most that is minted for one period, in 1e-7 TFT.
    pub cap: Balance,
    /// Who was up for a smaller part of a period earns nothing for it, in thousandths.
    pub min_uptime_permille: u16,
    /// What a node has more of isn't paid for.
    pub maxima: Resources,
    /// Held on the farmer's account for each enrolled node, in 1e-7 TFT.
    pub bond: Balance,
    /// Whether nodes are enrolled when they join: for chains whose TFT is worth nothing.
    pub automatic: bool,
}

impl FarmingPolicy {
    /// DIY rates, up to 2 million TFT a period, an uptime of 95 %, a bond of 100 TFT, enrolment by certifiers.
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

    /// Whether its parts are ones that the arithmetic can bear and nobody has slipped a digit.
    pub fn is_valid(&self) -> bool {
        let largest = Farmed { resources: self.maxima, ..Farmed::default() };
        self.min_uptime_permille <= 1_000
            && self.cap <= GREATEST_CAP
            && self.bond <= GREATEST_CAP
            && reward_musd(&self.rates, &largest).is_some_and(|musd| musd <= GREATEST_MUSD)
    }
}

/// A node whose capacity is paid for, or was.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Enrolment {
    /// The farm on whose farmer's account the bond is held, and that its rewards go to.
    pub farm: FarmId,
    /// The bond, in 1e-7 TFT.
    pub bond: Balance,
    /// The average price of one TFT in the 30 days before it was enrolled, in 1e-7 USD.
    pub price: TftPrice,
    /// Whether it still earns.
    pub phase: Phase,
}

/// Whether an enrolled node still earns.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub enum Phase {
    /// It earns.
    Farming(Running),
    /// It has left: its bond is held until its last reward has matured.
    Leaving {
        /// The period with which that is so.
        until: u32,
    },
}

/// What a node has shown of itself in the period that isn't closed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Running {
    /// The period.
    pub period: u32,
    /// From when it counts: the start of the period, or when the node was enrolled in it.
    pub from: UnixSeconds,
    /// What the node had been up in the period before that, in milliseconds.
    pub uptime_before: u64,
    /// Part by part the least that it has offered.
    pub least: Resources,
    /// Whether it was certified all the time.
    pub certified: bool,
    /// Whether it has said that it is a virtual machine; `None` while it hasn't said what it is.
    pub virtualized: Option<bool>,
    /// What was paid for traffic and addresses on it.
    pub paid: PaidUse,
    /// Governance has voided it.
    pub void: bool,
}

impl Running {
    /// A period that counts from `from` on, when the node had been up in it for `uptime_before`.
    pub fn begin(period: u32, from: UnixSeconds, uptime_before: u64, node: &FarmedNode) -> Self {
        Self {
            period,
            from: from.max(period_start(period)),
            uptime_before,
            least: node.resources,
            certified: node.certified,
            virtualized: node.virtualized,
            paid: PaidUse::default(),
            void: false,
        }
    }

    /// The node shows itself like this in the period: what is worse counts.
    pub fn see(&mut self, node: &FarmedNode) {
        self.least = self.least.min(&node.resources);
        self.certified &= node.certified;
        // `Some(true)` is the greatest: once said, it stays.
        self.virtualized = self.virtualized.max(node.virtualized);
    }

    /// Contracts have paid for more traffic and addresses.
    pub fn count(&mut self, paid: PaidUse) {
        self.paid = PaidUse {
            traffic_bytes: self.paid.traffic_bytes.saturating_add(paid.traffic_bytes),
            ip_ms: self.paid.ip_ms.saturating_add(paid.ip_ms),
            tft: self.paid.tft.saturating_add(paid.tft),
        };
    }

    /// What the node has earned, in 1e-7 TFT, when it was up for `uptime_ms` in the whole period.
    pub fn earned(&self, policy: &FarmingPolicy, price: TftPrice, uptime_ms: u64) -> Balance {
        let end = period_start(self.period).saturating_add(PERIOD_SECONDS);
        let counted = end.saturating_sub(self.from).saturating_mul(SECOND_MS);
        let up = uptime_ms.saturating_sub(self.uptime_before).min(counted);
        let enough = permille(up, counted) >= policy.min_uptime_permille;
        if self.void || self.virtualized != Some(false) || !enough {
            return 0;
        }
        let farmed = Farmed {
            resources: self.least.min(&policy.maxima),
            traffic_bytes: self.paid.traffic_bytes,
            ip_seconds: self.paid.ip_ms / SECOND_MS,
        };
        let uptime_permille = permille(up, PERIOD_SECONDS.saturating_mul(SECOND_MS));
        let payment = Payment { uptime_permille, certified: self.certified, price };
        minted(&policy.rates, &farmed, &payment, self.paid.tft.whole())
    }
}

/// How many thousandths `part` is of `all`, rounded down.
fn permille(part: u64, all: u64) -> u16 {
    u16::try_from(mul_div(part.into(), 1_000, all.into())).unwrap_or(u16::MAX)
}

/// What a node earned in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Reward {
    /// The period.
    pub period: u32,
    /// The reward before it is scaled to the period's cap, in 1e-7 TFT.
    pub tft: Balance,
    /// What was minted for it, in 1e-7 TFT; `None` while nobody has claimed it.
    pub paid: Option<Balance>,
}

/// A node's rewards, oldest first; those of no value are left out.
pub type Rewards = BoundedVec<Reward, ConstU32<PERIODS_KEPT>>;

/// All that nodes earned in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct PeriodTotal {
    /// The period.
    pub period: u32,
    /// The most that is minted for it, in 1e-7 TFT: the policy's cap when the first node closed it.
    pub cap: Balance,
    /// The sum of its rewards, in 1e-7 TFT.
    pub sum: Balance,
    /// What was minted of it, in 1e-7 TFT.
    pub paid: Balance,
    /// The part of the sum whose nodes are forgotten, in 1e-7 TFT.
    pub forgotten: Balance,
}

impl PeriodTotal {
    /// What is minted for one of its rewards.
    pub fn payout(&self, reward: Balance) -> Balance {
        if self.sum <= self.cap { reward } else { mul_div(reward, self.cap, self.sum) }
    }
}

/// The periods that are remembered, oldest first.
pub type PeriodTotals = BoundedVec<PeriodTotal, ConstU32<PERIODS_KEPT>>;

/// Whether a reward of `period` can be claimed in the period `now`.
pub fn is_mature(period: u32, now: u32) -> bool {
    period.saturating_add(MATURES_AFTER) <= now
}

/// Whether `period` is remembered no longer when `now` is closed.
pub(crate) fn is_forgotten(period: u32, now: u32) -> bool {
    period.saturating_add(PERIODS_KEPT) <= now
}

/// A reward as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct RewardInfo {
    /// The period.
    pub period: u32,
    /// The reward before it is scaled to the period's cap, in 1e-7 TFT.
    pub tft: Balance,
    /// What was minted for it or, as the period stands now, would be, in 1e-7 TFT.
    pub payout: Balance,
    /// From when it can be claimed, in seconds since 1970.
    pub claimable_from: UnixSeconds,
    /// Whether it was.
    pub claimed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_primitives::{
        ExactTft,
        units::{DAY_MS, USD},
    };

    const PERIOD_MS: u64 = PERIOD_SECONDS * SECOND_MS;
    const PRICE: TftPrice = USD / 20;

    fn machine() -> FarmedNode {
        let resources =
            Resources { cru: 8, mru: 16 * GIB, sru: 512 * GIB, hru: 1_024 * GIB, ..Resources::ZERO };
        FarmedNode { farm: 1, resources, certified: false, virtualized: Some(false) }
    }

    fn whole_period() -> Running {
        Running::begin(5, 0, 0, &machine())
    }

    fn earned(running: &Running, uptime_ms: u64) -> Balance {
        running.earned(&FarmingPolicy::standard(), PRICE, uptime_ms)
    }

    #[test]
    fn a_full_period_earns_what_the_formula_says() {
        // 3.75 CU × 2400 + (1024/1200 + 512/250) SU × 1000 = 11901.33 mUSD at 0.05 USD.
        assert_eq!(earned(&whole_period(), PERIOD_MS), 11_901 * TFT / 50);
        let certified = Running { certified: true, ..whole_period() };
        assert_eq!(earned(&certified, PERIOD_MS), 11_901 * TFT / 40);
    }

    #[test]
    fn uptime_counts_by_the_thousandth_and_below_the_minimum_nothing_does() {
        let full = 11_901 * TFT / 50;
        assert_eq!(earned(&whole_period(), PERIOD_MS / 1_000 * 950), full * 950 / 1_000);
        assert_eq!(earned(&whole_period(), PERIOD_MS / 1_000 * 950 - 1), 0);
        assert_eq!(earned(&whole_period(), u64::MAX), full);
    }

    #[test]
    fn who_is_enrolled_in_mid_period_earns_for_the_rest_of_it_only() {
        let full = 11_901 * TFT / 50;
        let half = period_start(5) + PERIOD_SECONDS / 2;
        let up_before = PERIOD_MS / 2;
        let late = Running::begin(5, half, up_before, &machine());
        assert_eq!(earned(&late, PERIOD_MS), full / 2);
        assert_eq!(earned(&late, up_before), 0, "what it was up before doesn't count");
        // The minimum is one of the part that counts.
        assert_eq!(earned(&late, up_before + PERIOD_MS / 2_000 * 950), full * 475 / 1_000);
        assert_eq!(earned(&late, up_before + PERIOD_MS / 2_000 * 949), 0);
        // More uptime than is left of the period counts as all that is left.
        let last_day = Running::begin(5, period_start(6) - DAY_MS / SECOND_MS, 0, &machine());
        assert_eq!(earned(&last_day, PERIOD_MS), full * 33 / 1_000);
    }

    #[test]
    fn only_machines_that_say_that_they_are_no_virtual_ones_earn() {
        for virtualized in [None, Some(true)] {
            let running = Running { virtualized, ..whole_period() };
            assert_eq!(earned(&running, PERIOD_MS), 0);
        }
        let mut running = Running { virtualized: None, ..whole_period() };
        running.see(&machine());
        assert!(earned(&running, PERIOD_MS) > 0, "it may say so late");
        running.see(&FarmedNode { virtualized: Some(true), ..machine() });
        running.see(&machine());
        assert_eq!(earned(&running, PERIOD_MS), 0, "but not take it back");
    }

    #[test]
    fn the_worst_that_a_node_shows_is_what_counts() {
        let mut running = Running { certified: true, ..whole_period() };
        let less = Resources { cru: 1, mru: 64 * GIB, ..machine().resources };
        running.see(&FarmedNode { resources: less, certified: true, ..machine() });
        assert_eq!(running.least, Resources { cru: 1, ..machine().resources });
        assert!(running.certified);
        running.see(&machine());
        running.see(&FarmedNode { certified: true, ..machine() });
        assert!(!running.certified);
    }

    #[test]
    fn use_that_is_counted_does_not_wrap() {
        let mut running = whole_period();
        let all = PaidUse { traffic_bytes: u64::MAX, ip_ms: u64::MAX, tft: ExactTft::MAX };
        running.count(all);
        running.count(all);
        assert_eq!(running.paid, all);
        assert!(earned(&running, PERIOD_MS) > 0);
    }

    #[test]
    fn payouts_are_scaled_to_the_cap_and_rounded_down() {
        let total = PeriodTotal { period: 5, cap: 100, sum: 300, paid: 0, forgotten: 0 };
        assert_eq!([100, 200, 2, 0].map(|reward| total.payout(reward)), [33, 66, 0, 0]);
        let below = PeriodTotal { cap: 300, ..total };
        assert_eq!(below.payout(200), 200);
        let nothing = PeriodTotal { cap: 0, ..total };
        assert_eq!(nothing.payout(300), 0);
        let huge = PeriodTotal { cap: GREATEST_CAP, sum: u128::MAX, ..total };
        assert_eq!(huge.payout(u128::MAX), GREATEST_CAP);
    }

    #[test]
    fn policies_that_the_arithmetic_cannot_bear_are_invalid() {
        let good = FarmingPolicy::standard();
        assert!(good.is_valid());
        assert!(!FarmingPolicy { min_uptime_permille: 1_001, ..good }.is_valid());
        assert!(!FarmingPolicy { cap: GREATEST_CAP + 1, ..good }.is_valid());
        assert!(!FarmingPolicy { bond: GREATEST_CAP + 1, ..good }.is_valid());
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
