// SPDX-License-Identifier: Apache-2.0

use crate::{
    Enrolments, Error, Event, FarmEnrolments, FarmingPolicy, HoldReason, MAX_CAP, NodeRewards, PeriodTotal,
    Policy, RewardInfo, Totals, mock::*,
};
use frame_support::{
    assert_ok,
    traits::fungible::{Inspect, InspectHold, Mutate},
};
use sp_runtime::{DispatchError::BadOrigin, DispatchResult, TokenError};
use tfgrid_primitives::{
    Balance, FarmId, NodeId, Resources,
    farming::{PERIOD_SECONDS, PERIODS_KEPT, period_start},
    traits::{FarmInUse, FarmedNode, FarmingPeriods},
    units::{GIB, TFT, USD},
};

type Failure = Error<Test>;

fn bond() -> Balance {
    policy().bond
}

fn held(who: AccountId) -> Balance {
    Balances::balance_on_hold(&HoldReason::Bond.into(), &who)
}

fn issued() -> Balance {
    <Balances as Inspect<AccountId>>::total_issuance()
}

/// Amount that a successful call mints.
fn minted_by(call: impl FnOnce() -> DispatchResult) -> Balance {
    let before = issued();
    assert_ok!(call());
    issued() - before
}

fn set(change: impl FnOnce(&mut FarmingPolicy)) {
    let mut policy = Policy::<Test>::get().unwrap();
    change(&mut policy);
    assert_ok!(govern(Call::set_policy { policy }));
}

/// Reward of a node for a period, claimed or not.
fn reward(node: NodeId, period: u32) -> Balance {
    let rewards = NodeRewards::<Test>::get(node);
    rewards.iter().find(|reward| reward.period == period).map_or(0, |reward| reward.tft)
}

fn total(period: u32) -> PeriodTotal {
    *Totals::<Test>::get().iter().find(|total| total.period == period).unwrap()
}

mod earning {
    use super::*;

    #[test]
    fn full_uptime_earns_the_full_reward_for_the_farmer() {
        run_with_node(|| {
            next_period(&[1]);
            assert_eq!(last_event(), Event::PeriodClosed { node: 1, period: FIRST, tft: FULL });
            next_period(&[1]);
            let before = Balances::balance(&FARMER);
            assert_eq!(minted_by(|| claim(1, FIRST)), FULL);
            assert_eq!(Balances::balance(&FARMER), before + FULL);
            let claimed = Event::RewardClaimed { node: 1, period: FIRST, farm: FARM, tft: FULL };
            assert_eq!(last_event(), claimed);
        });
    }

    #[test]
    fn only_the_first_heartbeat_of_a_period_closes_the_last_one() {
        run_with_node(|| {
            next_period(&[1]);
            let events = System::event_count();
            for _ in 0..10 {
                pass_seconds(600);
                be_up(1);
            }
            assert_eq!((System::event_count(), reward(1, FIRST)), (events, FULL));
            assert_eq!(total(FIRST).sum, FULL);
        });
    }

    #[test]
    fn a_certificate_counts_if_it_was_held_all_the_time() {
        run(|| {
            Machines::mutate(|machines| machines.insert(1, FarmedNode { certified: true, ..machine(FARM) }));
            assert_ok!(enrol(1));
            next_period(&[1]);
            assert_eq!(reward(1, FIRST), FULL * 5 / 4);
            change(1, |machine| machine.certified = false);
            change(1, |machine| machine.certified = true);
            next_period(&[1]);
            assert_eq!(reward(1, FIRST + 1), FULL);
            next_period(&[1]);
            assert_eq!(reward(1, FIRST + 2), FULL * 5 / 4);
        });
    }

    #[test]
    fn paid_traffic_and_addresses_are_rewarded() {
        run_with_node(|| {
            pay_for(1, 40 * GIB, 18_000, 500 * TFT);
            pay_for(1, 20 * GIB, 18_000, 500 * TFT);
            next_period(&[1]);
            // 60 GiB × 30 mUSD + 10 h × 5 mUSD at 0.05 USD; what was paid starts anew with each period.
            assert_eq!(reward(1, FIRST), (11_901 + 1_850) * TFT / 50);
            next_period(&[1]);
            assert_eq!(reward(1, FIRST + 1), FULL);
            pay_for(77, GIB, 0, TFT);
        });
    }

    #[test]
    fn changes_after_a_period_count_for_the_next_one() {
        run_with_node(|| {
            Uptimes::mutate(|uptimes| uptimes.insert((1, FIRST), PERIOD_MS));
            MockClock::set_unix(period_start(FIRST + 1));
            change(1, |machine| (machine.resources.hru, machine.virtualized) = (0, Some(true)));
            Farming::heard(1);
            assert_eq!(reward(1, FIRST), FULL);
            next_period(&[1]);
            assert_eq!(reward(1, FIRST + 1), 0);
        });
    }

    #[test]
    fn the_price_is_that_of_the_days_before_the_enrolment() {
        run_with_node(|| {
            AveragePrice::set(Some(USD));
            next_period(&[1]);
            assert_eq!(reward(1, FIRST), FULL);
            join(2, FARM);
            assert_ok!(enrol(2));
            next_period(&[1, 2]);
            assert_eq!((reward(1, FIRST + 1), reward(2, FIRST + 1)), (FULL, 11_901 * TFT / 1_000));
        });
    }

    #[test]
    fn a_view_shows_payout_and_time_of_a_claim() {
        run_with_node(|| {
            set(|policy| policy.cap = FULL / 2);
            next_period(&[1]);
            let info = RewardInfo {
                period: FIRST,
                tft: FULL,
                payout: FULL / 2,
                claimable_from: period_start(FIRST + 2),
                claimed: false,
            };
            assert_eq!(Farming::node_rewards(1), [info]);
            next_period(&[1]);
            assert_ok!(claim(1, FIRST));
            assert_eq!(Farming::node_rewards(1)[0], RewardInfo { claimed: true, ..info });
            assert_eq!(Farming::period_totals()[0].paid, FULL / 2);
            assert_eq!(Farming::node_enrolment(1).unwrap().farm, FARM);
            assert!(Farming::node_rewards(2).is_empty());
        });
    }
}

mod enrolment {
    use super::*;

    #[test]
    fn a_certifier_enrols_and_the_farmer_holds_a_bond() {
        run(|| {
            join(1, FARM);
            assert_eq!(call(FARMER, Call::enrol { node: 1, seen: Resources::ZERO }), Err(BadOrigin));
            assert_ok!(enrol(1));
            assert_eq!(last_event(), Event::Enrolled { node: 1, farm: FARM, bond: bond(), price: USD / 20 });
            assert_eq!(held(FARMER), bond());
            assert!(Farming::has_earnings(FARM) && !Farming::has_earnings(OTHER_FARM));
            assert_fails(|| enrol(1), Failure::AlreadyEnrolled);
            assert_fails(|| enrol(2), Failure::UnknownNode);
        });
    }

    #[test]
    fn needs_a_price_a_policy_and_the_bond() {
        run(|| {
            join(1, FARM);
            for price in [None, Some(0)] {
                AveragePrice::set(price);
                assert_fails(|| enrol(1), Failure::NoPrice);
            }
            AveragePrice::set(Some(1));
            join(2, POOR_FARM);
            assert_fails(|| enrol(2), TokenError::FundsUnavailable);
            GoneFarm::set(Some(FARM));
            assert_fails(|| enrol(1), Failure::FarmerGone);
            Policy::<Test>::kill();
            assert_fails(|| enrol(1), Failure::NoPolicy);
        });
    }

    #[test]
    fn happens_at_joining_under_an_automatic_policy() {
        run(|| {
            join(1, FARM);
            assert_eq!(Farming::node_enrolment(1), None);
            set(|policy| policy.automatic = true);
            join(2, FARM);
            join(3, POOR_FARM);
            assert!(Farming::node_enrolment(2).is_some());
            assert_eq!((Farming::node_enrolment(3), held(POOR)), (None, 0));
            // A node that moves to another farm is enrolled there.
            move_to(2, OTHER_FARM);
            assert_eq!((held(FARMER), held(OTHER)), (0, bond()));
        });
    }

    #[test]
    fn a_node_without_rewards_leaves_with_its_bond_at_once() {
        run_with_node(|| {
            assert_fails(|| call(STRANGER, Call::leave { node: 1 }), Failure::NotFarmer);
            assert_fails(|| call(FARMER, Call::leave { node: 2 }), Failure::NotEnrolled);
            assert_fails(|| call(STRANGER, Call::withdraw { node: 1 }), Failure::AlreadyEnrolled);
            assert_ok!(call(FARMER, Call::leave { node: 1 }));
            assert_eq!(last_event(), Event::BondReleased { node: 1, farm: FARM, bond: bond() });
            assert_eq!((held(FARMER), Farming::node_enrolment(1)), (0, None));
            assert!(!Farming::has_earnings(FARM));
            assert_ok!(enrol(1));
        });
    }

    #[test]
    fn a_bond_is_held_until_the_last_reward_has_matured() {
        run_with_node(|| {
            next_period(&[1]);
            assert_ok!(call(FARMER, Call::leave { node: 1 }));
            assert_eq!(last_event(), Event::NodeLeft { node: 1, farm: FARM, until: FIRST + 2 });
            assert_fails(|| call(FARMER, Call::leave { node: 1 }), Failure::NotEnrolled);
            assert_fails(|| call(FARMER, Call::withdraw { node: 1 }), Failure::NotMature);
            assert_fails(|| enrol(1), Failure::BondNotWithdrawn);
            assert_eq!(held(FARMER), bond());
            MockClock::set_unix(period_start(FIRST + 2) - 1);
            assert_fails(|| call(FARMER, Call::withdraw { node: 1 }), Failure::NotMature);
            pass_seconds(1);
            // Anybody may withdraw it, which mints what is unclaimed.
            let minted = minted_by(|| call(STRANGER, Call::withdraw { node: 1 }));
            assert_eq!((minted, held(FARMER)), (FULL, 0));
            assert_fails(|| call(STRANGER, Call::withdraw { node: 1 }), Failure::NotEnrolled);
            assert_eq!((total(FIRST).paid, total(FIRST).forgotten), (FULL, FULL));
            assert_ok!(enrol(1));
        });
    }

    #[test]
    fn leaving_forgoes_the_open_period_and_keeps_past_rewards() {
        run_with_node(|| {
            next_period(&[1]);
            Uptimes::mutate(|uptimes| uptimes.insert((1, FIRST + 1), PERIOD_MS - 1));
            MockClock::set_unix(period_start(FIRST + 2) - 1);
            assert_ok!(call(FARMER, Call::leave { node: 1 }));
            pass_seconds(1);
            Farming::heard(1);
            assert_eq!((reward(1, FIRST), reward(1, FIRST + 1)), (FULL, 0));
        });
    }

    #[test]
    fn removing_a_node_closes_a_period_that_is_over() {
        run_with_node(|| {
            Uptimes::mutate(|uptimes| uptimes.insert((1, FIRST), PERIOD_MS));
            MockClock::set_unix(period_start(FIRST + 1));
            remove(1);
            assert_eq!(reward(1, FIRST), FULL);
            MockClock::set_unix(period_start(FIRST + 2));
            assert_eq!(minted_by(|| call(STRANGER, Call::withdraw { node: 1 })), FULL);
        });
    }

    #[test]
    fn a_bond_that_cannot_be_released_now_can_be_later() {
        run_with_node(|| {
            GoneFarm::set(Some(FARM));
            remove(1);
            assert!(Farming::node_enrolment(1).is_some());
            assert_fails(|| call(STRANGER, Call::withdraw { node: 1 }), Failure::FarmerGone);
            GoneFarm::set(None);
            assert_ok!(call(STRANGER, Call::withdraw { node: 1 }));
            assert_eq!(held(FARMER), 0);
        });
    }
}

/// Attempts to earn more than was served.
mod abuse {
    use super::*;

    #[test]
    fn a_node_that_is_not_enrolled_earns_nothing() {
        run(|| {
            join(1, FARM);
            pay_for(1, 1_000 * GIB, 0, 1_000 * TFT);
            next_period(&[1]);
            next_period(&[1]);
            assert!(NodeRewards::<Test>::get(1).is_empty());
            assert_fails(|| claim(1, FIRST), Failure::NotEnrolled);
            remove(1);
        });
    }

    #[test]
    fn a_late_enrolment_does_not_pay_for_the_time_before() {
        run(|| {
            join(1, FARM);
            pass_seconds(PERIOD_SECONDS - 86_400);
            be_up(1);
            assert_ok!(enrol(1));
            next_period(&[1]);
            // One day of thirty, in whole thousandths.
            assert_eq!(reward(1, FIRST), FULL * 33 / 1_000);
        });
    }

    #[test]
    fn a_virtual_machine_earns_nothing_even_if_it_stays_silent() {
        run(|| {
            for (node, virtualized) in [(1, Some(true)), (2, None), (3, Some(false))] {
                let machine = FarmedNode { virtualized, ..machine(FARM) };
                Machines::mutate(|machines| machines.insert(node, machine));
                assert_ok!(enrol(node));
            }
            change(3, |machine| machine.virtualized = Some(true));
            change(3, |machine| machine.virtualized = Some(false));
            next_period(&[1, 2, 3]);
            assert_eq!([1, 2, 3].map(|node| reward(node, FIRST)), [0; 3]);
            next_period(&[1, 2, 3]);
            assert_eq!([1, 2, 3].map(|node| reward(node, FIRST + 1)), [0, 0, FULL]);
        });
    }

    #[test]
    fn a_clone_adds_nothing_because_a_node_has_one_uptime() {
        run_with_node(|| {
            // Both machines send heartbeats: the period closes once, with the uptime of the one node; and
            // while the node counts as cloned that doesn't grow.
            Uptimes::mutate(|uptimes| uptimes.insert((1, FIRST), PERIOD_MS / 10));
            MockClock::set_unix(period_start(FIRST + 1));
            Farming::heard(1);
            Farming::heard(1);
            assert_eq!((reward(1, FIRST), Totals::<Test>::get().len()), (0, 0));
        });
    }

    #[test]
    fn resources_inflated_for_a_moment_do_not_count() {
        run_with_node(|| {
            let inflate = |machine: &mut FarmedNode| {
                machine.resources = Resources { cru: 400, mru: 1_024 * GIB, ..machine.resources };
            };
            let deflate = |machine: &mut FarmedNode| machine.resources = crate::mock::machine(FARM).resources;
            // In the middle of a period, and over the end of one.
            change(1, inflate);
            change(1, deflate);
            change(1, inflate);
            next_period(&[1]);
            change(1, deflate);
            next_period(&[1]);
            assert_eq!((reward(1, FIRST), reward(1, FIRST + 1)), (FULL, FULL));
        });
    }

    #[test]
    fn a_node_that_shrinks_earns_as_if_it_always_was_small() {
        run_with_node(|| {
            pass_seconds(PERIOD_SECONDS - 1);
            change(1, |machine| machine.resources = Resources { cru: 1, mru: GIB, ..Resources::ZERO });
            next_period(&[1]);
            assert_eq!(reward(1, FIRST), 0);
        });
    }

    #[test]
    fn capacity_above_the_maxima_does_not_count() {
        run(|| {
            let maxima = policy().maxima;
            let largest = FarmedNode { resources: maxima, ..machine(FARM) };
            let vast = Resources { cru: u64::MAX, mru: u64::MAX, sru: u64::MAX, hru: u64::MAX, gpu: 16 };
            let beyond = FarmedNode { resources: vast, ..machine(FARM) };
            Machines::set([(1, largest), (2, beyond)].into());
            assert_ok!(enrol(1));
            assert_ok!(enrol(2));
            next_period(&[1, 2]);
            assert!(reward(1, FIRST) > FULL);
            assert_eq!(reward(1, FIRST), reward(2, FIRST));
        });
    }

    #[test]
    fn washing_traffic_costs_more_than_it_earns() {
        run_with_node(|| {
            // The farmer pays 100 TFT for traffic on his node: half of it returns as his share, and the
            // reward is at most the other half, whatever is claimed to have been served for it.
            let (paid, share) = (100 * TFT, 50 * TFT);
            pay_for(1, u64::MAX, 0, paid - share);
            next_period(&[1]);
            assert_eq!(reward(1, FIRST) - FULL, paid - share);
            // Not with a certificate either, which makes rewards larger.
            change(1, |machine| machine.certified = true);
            next_period(&[1]);
            pay_for(1, u64::MAX, 0, paid - share);
            next_period(&[1]);
            assert_eq!(reward(1, FIRST + 2) - FULL * 5 / 4, paid - share);
        });
    }

    #[test]
    fn capacity_counts_as_a_certifier_has_seen_it() {
        run_with_node(|| {
            change(1, |machine| machine.resources.hru *= 100);
            next_period(&[1]);
            next_period(&[1]);
            assert_eq!([FIRST, FIRST + 1].map(|period| reward(1, period)), [FULL; 2]);
            let seen = Machines::get()[&1].resources;
            let inspect = |node| Call::inspect { node, seen };
            assert_fails(|| call(FARMER, inspect(1)), sp_runtime::DispatchError::BadOrigin);
            assert_fails(|| govern(inspect(2)), Failure::NotEnrolled);
            assert_ok!(govern(inspect(1)));
            assert_eq!(last_event(), Event::Inspected { node: 1, seen });
            next_period(&[1]);
            assert_eq!(reward(1, FIRST + 2), FULL, "from the next period on");
            next_period(&[1]);
            assert!(reward(1, FIRST + 3) > 5 * FULL);
        });
    }

    #[test]
    fn unpaid_traffic_does_not_count() {
        run_with_node(|| {
            pay_for(1, 1_000_000 * GIB, 1_000_000, 0);
            next_period(&[1]);
            assert_eq!(reward(1, FIRST), FULL);
        });
    }

    #[test]
    fn a_reward_is_claimed_once() {
        run_with_node(|| {
            next_period(&[1]);
            next_period(&[1]);
            assert_ok!(claim(1, FIRST));
            assert_fails(|| claim(1, FIRST), Failure::AlreadyClaimed);
            // Nor once more when the bond is withdrawn.
            assert_ok!(call(FARMER, Call::leave { node: 1 }));
            next_period(&[]);
            let minted = minted_by(|| call(FARMER, Call::withdraw { node: 1 }));
            assert_eq!(minted, FULL, "that of the second period");
        });
    }

    #[test]
    fn only_matured_rewards_can_be_claimed() {
        run_with_node(|| {
            assert_fails(|| claim(1, FIRST), Failure::NotMature);
            next_period(&[1]);
            assert_fails(|| claim(1, FIRST), Failure::NotMature);
            MockClock::set_unix(period_start(FIRST + 2) - 1);
            assert_fails(|| claim(1, FIRST), Failure::NotMature);
            pass_seconds(1);
            assert_fails(|| claim(1, FIRST - 1), Failure::NoReward);
            assert_fails(|| claim(1, u32::MAX), Failure::NotMature);
            assert_fails(|| claim(2, FIRST), Failure::NotEnrolled);
            assert_ok!(claim(1, FIRST));
        });
    }

    #[test]
    fn a_voided_reward_leaves_more_for_the_others() {
        run_with_node(|| {
            join(2, OTHER_FARM);
            assert_ok!(enrol(2));
            set(|policy| policy.cap = FULL);
            next_period(&[1, 2]);
            assert_ok!(govern(Call::void { node: 1, period: FIRST }));
            next_period(&[1, 2]);
            assert_fails(|| claim(1, FIRST), Failure::NoReward);
            assert_eq!(minted_by(|| claim(2, FIRST)), FULL);
        });
    }

    #[test]
    fn a_moving_node_earns_for_each_farm_what_it_served_there() {
        run_with_node(|| {
            next_period(&[1]);
            pass_seconds(PERIOD_SECONDS / 2);
            be_up(1);
            move_to(1, OTHER_FARM);
            // The new farm has to wait for a certifier, and until the old farm's bond is free.
            assert_fails(|| enrol(1), Failure::BondNotWithdrawn);
            next_period(&[1]);
            assert_eq!(reward(1, FIRST + 1), 0, "the running period is lost");
            let before = Balances::balance(&OTHER);
            assert_ok!(claim(1, FIRST));
            assert_eq!(Balances::balance(&FARMER), RICH - bond() + FULL, "the old farm earned it");
            assert_ok!(call(STRANGER, Call::withdraw { node: 1 }));
            assert_ok!(enrol(1));
            assert_eq!((held(FARMER), held(OTHER)), (0, bond()));
            next_period(&[1]);
            next_period(&[1]);
            assert_ok!(claim(1, FIRST + 2));
            assert_eq!(Balances::balance(&OTHER), before - bond() + FULL);
        });
    }

    #[test]
    fn registering_again_does_not_earn_twice() {
        run_with_node(|| {
            next_period(&[1]);
            pass_seconds(PERIOD_SECONDS / 4);
            be_up(1);
            remove(1);
            // The same machine has another id now, and needs another bond.
            join(2, FARM);
            assert_ok!(enrol(2));
            assert_eq!(held(FARMER), 2 * bond());
            Uptimes::mutate(|uptimes| uptimes.insert((2, FIRST + 1), PERIOD_MS * 3 / 4));
            MockClock::set_unix(period_start(FIRST + 2));
            Farming::heard(2);
            assert_eq!((reward(1, FIRST), reward(1, FIRST + 1)), (FULL, 0));
            assert_eq!(reward(2, FIRST + 1), FULL * 3 / 4, "from the new enrolment on");
            MockClock::set_unix(period_start(FIRST + 3));
            assert_eq!(minted_by(|| call(FARMER, Call::withdraw { node: 1 })), FULL);
            assert_eq!(minted_by(|| claim(2, FIRST + 1)), FULL * 3 / 4);
        });
    }

    #[test]
    fn enrolling_again_does_not_count_time_twice() {
        run_with_node(|| {
            for quarter in 1..=3 {
                MockClock::set_unix(period_start(FIRST) + quarter * PERIOD_SECONDS / 4);
                be_up(1);
                assert_ok!(call(FARMER, Call::leave { node: 1 }));
                assert_ok!(enrol(1));
            }
            next_period(&[1]);
            assert_eq!(reward(1, FIRST), FULL / 4);
        });
    }

    #[test]
    fn silences_are_not_paid_and_too_many_cost_the_whole_reward() {
        run_with_node(|| {
            let silent_for = |permille: u64| {
                let period = Farming::period_now();
                let up = PERIOD_MS / 1_000 * (1_000 - permille);
                Uptimes::mutate(|uptimes| uptimes.insert((1, period), up));
                MockClock::set_unix(period_start(period + 1));
                Farming::heard(1);
                reward(1, period)
            };
            assert_eq!(silent_for(0), FULL);
            assert_eq!(silent_for(50), FULL * 95 / 100);
            assert_eq!(silent_for(51), 0);
            assert_eq!(silent_for(1_000), 0);
        });
    }

    #[test]
    fn a_period_that_is_not_closed_in_the_next_one_is_lost() {
        run_with_node(|| {
            Uptimes::mutate(|uptimes| uptimes.insert((1, FIRST), PERIOD_MS));
            join(2, FARM);
            assert_ok!(enrol(2));
            next_period(&[2]);
            next_period(&[2]);
            assert_ok!(claim(2, FIRST));
            // Others have been paid by the period's total: it can't grow any more.
            Farming::heard(1);
            assert_eq!(last_event(), Event::PeriodClosed { node: 1, period: FIRST, tft: 0 });
            assert_fails(|| claim(1, FIRST), Failure::NoReward);
        });
    }

    #[test]
    fn claims_share_the_cap_in_any_order() {
        let nodes: Vec<NodeId> = (1..=7).collect();
        let claimed_in = |order: Vec<NodeId>| {
            let mut parts = vec![];
            run(|| {
                for node in &nodes {
                    join(*node, FARM);
                    change(*node, |machine| machine.resources.hru = u64::from(*node) * 1_024 * GIB);
                    assert_ok!(enrol(*node));
                }
                set(|policy| policy.cap = 1_000 * TFT + 1);
                next_period(&nodes);
                next_period(&nodes);
                for node in &order {
                    parts.push((*node, minted_by(|| claim(*node, FIRST))));
                }
            });
            parts.sort();
            parts
        };
        let parts = claimed_in(nodes.clone());
        let sum: Balance = parts.iter().map(|(_, part)| part).sum();
        assert!(sum <= 1_000 * TFT + 1 && sum > 1_000 * TFT - 7, "{sum}");
        assert!(parts.windows(2).all(|pair| pair[0].1 < pair[1].1), "who earned more gets more");
        assert_eq!(claimed_in(nodes.iter().rev().copied().collect()), parts);
    }

    #[test]
    fn a_cap_raised_later_does_not_change_a_closed_period() {
        run_with_node(|| {
            join(2, FARM);
            assert_ok!(enrol(2));
            set(|policy| policy.cap = 10);
            next_period(&[1]);
            set(|policy| policy.cap = MAX_CAP);
            Uptimes::mutate(|uptimes| uptimes.insert((2, FIRST), PERIOD_MS));
            Farming::heard(2);
            assert_eq!((total(FIRST).cap, total(FIRST).sum), (10, 2 * FULL));
            next_period(&[1, 2]);
            assert_eq!((minted_by(|| claim(1, FIRST)), minted_by(|| claim(2, FIRST))), (5, 5));
        });
    }
}

mod governance {
    use super::*;

    #[test]
    fn rewards_are_voided_until_they_mature() {
        run_with_node(|| {
            let void = |period| Call::void { node: 1, period };
            assert_eq!(call(FARMER, void(FIRST)), Err(BadOrigin));
            // While the period runs.
            assert_ok!(govern(void(FIRST)));
            assert_eq!(last_event(), Event::RewardVoided { node: 1, period: FIRST, tft: 0 });
            next_period(&[1]);
            assert_eq!(last_event(), Event::PeriodClosed { node: 1, period: FIRST, tft: 0 });
            assert_fails(|| govern(void(FIRST)), Failure::NoReward);
            // When it is closed.
            next_period(&[1]);
            assert_ok!(govern(void(FIRST + 1)));
            assert_eq!(last_event(), Event::RewardVoided { node: 1, period: FIRST + 1, tft: FULL });
            assert_fails(|| govern(void(FIRST + 1)), Failure::NoReward);
            assert_fails(|| govern(void(FIRST + 3)), Failure::NoReward);
            assert_fails(|| govern(Call::void { node: 2, period: FIRST + 1 }), Failure::NoReward);
            // Too late.
            next_period(&[1]);
            next_period(&[1]);
            assert_fails(|| govern(void(FIRST + 2)), Failure::AlreadyMature);
            assert_eq!(reward(1, FIRST + 2), FULL);
        });
    }

    #[test]
    fn a_period_that_is_over_and_not_closed_can_be_voided() {
        run_with_node(|| {
            Uptimes::mutate(|uptimes| uptimes.insert((1, FIRST), PERIOD_MS));
            MockClock::set_unix(period_start(FIRST + 1));
            assert_ok!(govern(Call::void { node: 1, period: FIRST }));
            Farming::heard(1);
            assert_eq!(reward(1, FIRST), 0);
        });
    }

    #[test]
    fn a_bond_is_burnt_with_all_that_has_not_matured() {
        run_with_node(|| {
            next_period(&[1]);
            next_period(&[1]);
            assert_fails(|| call(FARMER, Call::forfeit { node: 1 }), BadOrigin);
            assert_fails(|| govern(Call::forfeit { node: 2 }), Failure::NotEnrolled);
            let before = issued();
            assert_ok!(govern(Call::forfeit { node: 1 }));
            assert_eq!(last_event(), Event::BondForfeited { node: 1, farm: FARM, bond: bond() });
            // What has matured is paid, the reward of the last period isn't.
            assert_eq!(issued(), before - bond() + FULL);
            assert_eq!(Balances::total_balance(&FARMER), RICH - bond() + FULL);
            assert_eq!((held(FARMER), Farming::node_enrolment(1)), (0, None));
            assert_eq!(total(FIRST + 1).sum, 0);
            next_period(&[1]);
            assert_fails(|| claim(1, FIRST + 1), Failure::NotEnrolled);
        });
    }

    #[test]
    fn leaving_saves_no_bond_before_the_last_reward_matured() {
        run_with_node(|| {
            next_period(&[1]);
            remove(1);
            assert_ok!(govern(Call::forfeit { node: 1 }));
            assert_eq!(Balances::total_balance(&FARMER), RICH - bond());
            assert_eq!(total(FIRST).sum, 0);
        });
    }

    #[test]
    fn bonds_of_other_nodes_of_the_farm_stay() {
        run_with_node(|| {
            join(2, FARM);
            set(|policy| policy.bond = 3 * TFT);
            assert_ok!(enrol(2));
            assert_eq!(held(FARMER), bond() + 3 * TFT);
            assert_ok!(govern(Call::forfeit { node: 1 }));
            assert_eq!(held(FARMER), 3 * TFT);
            assert!(Farming::has_earnings(FARM));
        });
    }

    #[test]
    fn a_policy_is_set_as_a_whole_and_must_be_valid() {
        run(|| {
            let good = FarmingPolicy { cap: 7, ..policy() };
            assert_eq!(call(FARMER, Call::set_policy { policy: good }), Err(BadOrigin));
            let bad = FarmingPolicy { min_uptime_permille: 1_001, ..good };
            assert_fails(|| govern(Call::set_policy { policy: bad }), Failure::PolicyInvalid);
            assert_ok!(govern(Call::set_policy { policy: good }));
            assert_eq!(
                (Policy::<Test>::get(), last_event()),
                (Some(good), Event::PolicySet { policy: good })
            );
        });
    }

    #[test]
    fn without_a_policy_nothing_is_minted() {
        run_with_node(|| {
            Policy::<Test>::kill();
            next_period(&[1]);
            assert_eq!(reward(1, FIRST), 0);
        });
    }
}

mod history {
    use super::*;

    #[test]
    fn thirteen_periods_are_kept_and_older_rewards_are_lost() {
        run_with_node(|| {
            (0..20).for_each(|_| next_period(&[1]));
            let periods: Vec<_> = NodeRewards::<Test>::get(1).iter().map(|reward| reward.period).collect();
            let expected: Vec<_> = (FIRST + 20 - PERIODS_KEPT..FIRST + 20).collect();
            assert_eq!(periods, expected);
            assert_eq!(Totals::<Test>::get().len(), PERIODS_KEPT as usize);
            assert_fails(|| claim(1, FIRST), Failure::NoReward);
            assert_ok!(claim(1, expected[0]));
        });
    }

    #[test]
    fn a_reward_without_a_total_is_not_paid() {
        run_with_node(|| {
            join(2, FARM);
            assert_ok!(enrol(2));
            next_period(&[1, 2]);
            assert_ok!(call(FARMER, Call::leave { node: 1 }));
            (0..PERIODS_KEPT).for_each(|_| next_period(&[2]));
            assert_fails(|| claim(1, FIRST), Failure::PeriodForgotten);
            assert_eq!(Farming::node_rewards(1)[0].payout, 0);
            // The bond is free all the same.
            assert_eq!(minted_by(|| call(FARMER, Call::withdraw { node: 1 })), 0);
            assert_eq!(held(FARMER), bond());
        });
    }

    #[test]
    fn withdrawing_pays_all_that_is_unclaimed_and_cleans_up() {
        run_with_node(|| {
            (0..5).for_each(|_| next_period(&[1]));
            assert_ok!(claim(1, FIRST));
            remove(1);
            next_period(&[]);
            assert_eq!(minted_by(|| call(STRANGER, Call::withdraw { node: 1 })), 4 * FULL);
            assert!(NodeRewards::<Test>::get(1).is_empty() && !Enrolments::<Test>::contains_key(1));
            assert_eq!(FarmEnrolments::<Test>::iter().count(), 0);
        });
    }

    #[test]
    fn a_reward_below_the_minimum_balance_can_be_claimed_later() {
        run_with_node(|| {
            set(|policy| (policy.bond, policy.cap) = (0, EXISTENTIAL_DEPOSIT - 1));
            join(2, POOR_FARM);
            assert_ok!(enrol(2));
            next_period(&[2]);
            next_period(&[2]);
            Balances::set_balance(&POOR, 0);
            assert_fails(|| claim(2, FIRST), TokenError::BelowMinimum);
            assert_eq!(total(FIRST).paid, 0);
            Balances::set_balance(&POOR, TFT);
            assert_ok!(claim(2, FIRST));
        });
    }
}

/// Random histories of a few nodes in two farms.
mod invariants {
    use super::*;
    use frame_support::storage::{TransactionOutcome, with_transaction};
    use proptest::prelude::*;
    use sp_runtime::DispatchError;
    use std::collections::BTreeMap;

    const NODES: NodeId = 4;

    #[derive(Clone, Debug)]
    enum Step {
        Enrol(NodeId),
        Leave(NodeId),
        Remove(NodeId),
        Join(NodeId, FarmId),
        Move(NodeId, FarmId),
        Change(NodeId, u64, Option<bool>, bool),
        Pay(NodeId, u64),
        Period(Vec<NodeId>),
        Wait(u64),
        BeUp(NodeId),
        Claim(NodeId, u32),
        Withdraw(NodeId),
        Void(NodeId, u32),
        Forfeit(NodeId),
        Cap(Balance),
    }

    fn node() -> impl Strategy<Value = NodeId> {
        1..=NODES
    }

    fn farm() -> impl Strategy<Value = FarmId> {
        FARM..=OTHER_FARM
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => node().prop_map(Step::Enrol),
            1 => node().prop_map(Step::Leave),
            1 => node().prop_map(Step::Remove),
            1 => (node(), farm()).prop_map(|(node, farm)| Step::Join(node, farm)),
            1 => (node(), farm()).prop_map(|(node, farm)| Step::Move(node, farm)),
            2 => (node(), 1..64u64, any::<Option<bool>>(), any::<bool>())
                .prop_map(|(node, gib, virtualized, certified)| Step::Change(node, gib, virtualized, certified)),
            2 => (node(), any::<u32>()).prop_map(|(node, paid)| Step::Pay(node, paid.into())),
            6 => prop::collection::vec(node(), 0..6).prop_map(Step::Period),
            1 => (0..PERIOD_SECONDS).prop_map(Step::Wait),
            2 => node().prop_map(Step::BeUp),
            4 => (node(), 0..4u32).prop_map(|(node, ago)| Step::Claim(node, ago)),
            1 => node().prop_map(Step::Withdraw),
            1 => (node(), 0..3u32).prop_map(|(node, ago)| Step::Void(node, ago)),
            1 => node().prop_map(Step::Forfeit),
            1 => (0..3 * FULL).prop_map(Step::Cap),
        ]
    }

    fn exists(node: NodeId) -> bool {
        Machines::get().contains_key(&node)
    }

    /// A step that isn't possible fails.
    fn attempt(_: DispatchResult) {}

    fn make(step: Step) {
        match step {
            Step::Enrol(node) => attempt(enrol(node)),
            Step::Leave(node) => attempt(call(FARMER, Call::leave { node })),
            Step::Remove(node) if exists(node) => remove(node),
            Step::Join(node, farm) if !exists(node) && !Enrolments::<Test>::contains_key(node) => {
                join(node, farm)
            }
            Step::Move(node, farm) if exists(node) => move_to(node, farm),
            Step::Change(node, gib, virtualized, certified) if exists(node) => change(node, |machine| {
                machine.resources.mru = gib * GIB;
                machine.virtualized = virtualized.map(|virtualized| virtualized && gib > 48);
                machine.certified = certified;
            }),
            Step::Pay(node, paid) => pay_for(node, paid * 1_000, paid, paid.into()),
            Step::Period(up) => next_period(&up),
            Step::Wait(seconds) => pass_seconds(seconds),
            Step::BeUp(node) if exists(node) => be_up(node),
            Step::Claim(node, ago) => attempt(claim(node, Farming::period_now() - ago)),
            Step::Withdraw(node) => attempt(call(STRANGER, Call::withdraw { node })),
            Step::Void(node, ago) => {
                attempt(govern(Call::void { node, period: Farming::period_now() - ago }));
            }
            Step::Forfeit(node) => attempt(govern(Call::forfeit { node })),
            Step::Cap(cap) => set(|policy| policy.cap = cap),
            Step::Remove(_) | Step::Join(..) | Step::Move(..) | Step::Change(..) | Step::BeUp(_) => {}
        }
    }

    fn start() {
        for node in 1..=NODES {
            join(node, FARM + node % 2);
            attempt(enrol(node));
        }
        set(|policy| (policy.cap, policy.min_uptime_permille) = (2 * FULL, 300));
    }

    /// Amounts minted per node and period when all rewards are claimed in this order.
    fn claims(order: impl Iterator<Item = (NodeId, u32)>) -> BTreeMap<(NodeId, u32), Balance> {
        with_transaction(|| {
            let minted: BTreeMap<_, _> = order
                .map(|(node, period)| {
                    let before = issued();
                    attempt(claim(node, period));
                    ((node, period), issued() - before)
                })
                .collect();
            Farming::do_try_state().unwrap();
            TransactionOutcome::Rollback(Ok::<_, DispatchError>(minted))
        })
        .unwrap()
    }

    /// Sums the amounts of the events per period.
    fn minted_per_period() -> BTreeMap<u32, Balance> {
        let mut minted = BTreeMap::new();
        for event in System::read_events_for_pallet::<Event<Test>>() {
            if let Event::RewardClaimed { period, tft, .. } = event {
                *minted.entry(period).or_default() += tft;
            }
        }
        minted
    }

    proptest! {
        #[test]
        fn no_history_mints_more_than_the_cap_of_a_period(steps in prop::collection::vec(step(), 1..80)) {
            run(|| {
                start();
                let mut caps = BTreeMap::new();
                for step in steps {
                    make(step);
                    Farming::do_try_state().unwrap();
                    Totals::<Test>::get().iter().for_each(|total| {
                        let cap = caps.entry(total.period).or_insert(total.cap);
                        assert_eq!(*cap, total.cap, "a period's cap has changed");
                    });
                }
                let before = issued();
                let claimed = minted_per_period();
                let periods = Farming::period_now() - 5..=Farming::period_now();
                let all = periods.flat_map(|period| (1..=NODES).map(move |node| (node, period)));
                all.for_each(|(node, period)| attempt(claim(node, period)));
                let minted = minted_per_period();
                let more: Balance = minted.values().sum::<Balance>() - claimed.values().sum::<Balance>();
                assert_eq!(issued() - before, more, "the events sum up to all that is minted");
                for (period, tft) in minted {
                    assert!(tft <= caps[&period], "period {period} minted {tft}, more than {}", caps[&period]);
                }
            });
        }

        #[test]
        fn claims_pay_the_same_in_any_order(
            steps in prop::collection::vec(step(), 20..80),
            seed in any::<u64>(),
        ) {
            run(|| {
                start();
                steps.into_iter().for_each(make);
                let now = Farming::period_now();
                let all: Vec<_> =
                    (1..=NODES).flat_map(|node| (now - 4..=now).map(move |period| (node, period))).collect();
                let mut shuffled = all.clone();
                shuffled.sort_by_key(|(node, period)| sp_io::hashing::twox_64(&[
                    &seed.to_le_bytes()[..], &node.to_le_bytes(), &period.to_le_bytes(),
                ].concat()));
                let straight = claims(all.iter().copied());
                assert_eq!(straight, claims(all.into_iter().rev()));
                assert_eq!(straight, claims(shuffled.into_iter()));
            });
        }
    }
}
