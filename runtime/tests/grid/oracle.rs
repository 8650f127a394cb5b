// SPDX-License-Identifier: Apache-2.0
//! What feeders say and how the price follows.

use crate::{chain::*, governance::by_root};
use frame_support::assert_ok;
use parameters::{RuntimeParameters, dynamic};
use sp_keyring::Sr25519Keyring::{self, Dave};
use sp_runtime::DispatchResult;
use tfgrid_primitives::units::{HOUR_MS, MINUTE_MS, USD};
use tfgrid_runtime::*;

/// What TFT costs at first.
const FIRST: u64 = USD / 20;

fn feed(who: Sr25519Keyring, price: u64) -> DispatchResult {
    let values = vec![(PriceKey::TftUsd, price)].try_into().unwrap();
    call(who, pallet_oracle::Call::feed_values { values })
}

fn price() -> u64 {
    pallet_grid_clock::PriceClockState::<Runtime>::get().price
}

fn need_feeders(quorum: u32) {
    use dynamic::limits::{MinFeeders, Parameters as Limits};
    let key_value = RuntimeParameters::Limits(Limits::MinFeeders(MinFeeders, Some(quorum)));
    assert_ok!(by_root(pallet_parameters::Call::set_parameter { key_value }.into()));
}

fn add_feeder(who: Sr25519Keyring) -> DispatchResult {
    let add = pallet_membership::Call::<Runtime, pallet_membership::Instance2>::add_member {
        who: who.to_account_id().into(),
    };
    by_root(RuntimeCall::Feeders(add))
}

fn remove_feeder(who: Sr25519Keyring) -> DispatchResult {
    let remove = pallet_membership::Call::<Runtime, pallet_membership::Instance2>::remove_member {
        who: who.to_account_id().into(),
    };
    by_root(RuntimeCall::Feeders(remove))
}

/// What the oracle itself keeps as combined.
fn kept() -> Option<u64> {
    Oracle::values(PriceKey::TftUsd).map(|kept| kept.value)
}

fn is_stale(event: &RuntimeEvent) -> bool {
    matches!(event, RuntimeEvent::Clock(pallet_grid_clock::Event::PriceStale { .. }))
}

#[test]
fn the_price_follows_the_feeder_and_nobody_else() {
    run(|| {
        let refused = pallet_oracle::Error::<Runtime>::NoPermission;
        assert_eq!(feed(Bob, 2 * FIRST), Err(refused.into()));
        assert_ok!(feed(Alice, FIRST + 1_000));
        pass(2 * MINUTE_MS);
        assert_eq!(price(), FIRST + 1_000);
        assert_ok!(feed(Alice, u64::MAX));
        pass(10 * MINUTE_MS);
        let risen = price() - FIRST - 1_000;
        assert!((FIRST / 20..FIRST / 10).contains(&risen), "a liar moves it by less than a tenth: {risen}");
    });
}

#[test]
fn the_median_of_enough_feeders_counts_and_one_liar_does_not() {
    run(|| {
        need_feeders(3);
        for who in [Bob, Charlie] {
            assert_ok!(add_feeder(who));
        }
        assert_ok!(feed(Alice, FIRST + 2_000));
        assert_ok!(feed(Bob, u64::MAX));
        pass(2 * MINUTE_MS);
        assert_eq!(price(), FIRST, "two don't make three");
        assert_ok!(feed(Charlie, FIRST + 1_000));
        pass(2 * MINUTE_MS);
        assert_eq!(price(), FIRST + 2_000);
    });
}

#[test]
fn two_lying_feeders_of_four_move_the_price_to_a_mean_at_most() {
    run(|| {
        need_feeders(3);
        for who in [Bob, Charlie, Dave] {
            assert_ok!(add_feeder(who));
        }
        assert_ok!(feed(Alice, FIRST + 1_000));
        assert_ok!(feed(Bob, FIRST + 2_000));
        for liar in [Charlie, Dave] {
            assert_ok!(feed(liar, FIRST + 4_001));
        }
        pass(2 * MINUTE_MS);
        assert_eq!((price(), kept()), (FIRST + 3_000, Some(FIRST + 4_001)));
        for liar in [Charlie, Dave] {
            assert_ok!(feed(liar, FIRST - 4_000));
        }
        pass(2 * MINUTE_MS);
        assert_eq!(price(), FIRST - 1_500, "nor do they press it further down");
    });
}

#[test]
fn old_value_counts_no_more_though_the_oracle_keeps_it() {
    run(|| {
        assert_ok!(add_feeder(Bob));
        assert_ok!(feed(Alice, FIRST + 4_000));
        pass(HOUR_MS / 2);
        assert_ok!(feed(Bob, FIRST + 1_000));
        pass(2 * MINUTE_MS);
        assert_eq!(price(), FIRST + 2_500);
        pass(HOUR_MS / 2);
        assert_eq!((price(), kept()), (FIRST + 1_000, Some(FIRST + 4_000)));
    });
}

#[test]
fn removed_feeders_value_counts_no_more_though_it_is_kept() {
    run(|| {
        assert_ok!(add_feeder(Bob));
        assert_ok!(feed(Alice, FIRST + 1_000));
        assert_ok!(feed(Bob, FIRST + 4_000));
        pass(2 * MINUTE_MS);
        assert_eq!(price(), FIRST + 2_500);
        assert_ok!(remove_feeder(Bob));
        pass(2 * MINUTE_MS);
        assert_eq!((price(), kept()), (FIRST + 1_000, Some(FIRST + 4_000)));
    });
}

#[test]
fn price_stays_and_is_reported_stale_after_an_hour() {
    run(|| {
        assert_ok!(feed(Alice, FIRST + 2_000));
        pass(HOUR_MS - MINUTE_MS);
        let stale = || System::events().iter().any(|record| is_stale(&record.event));
        assert!(!stale());
        let said = (0..3 * 60).any(|_| {
            pass(SLOT_DURATION);
            stale()
        });
        assert!(said);
        assert_eq!(price(), FIRST + 2_000);
    });
}

#[test]
fn a_feeder_is_heard_once_in_a_block() {
    run(|| {
        assert_ok!(feed(Alice, FIRST + 1_000));
        let again = pallet_oracle::Error::<Runtime>::AlreadyFeeded;
        assert_eq!(feed(Alice, FIRST + 2_000), Err(again.into()));
        block(vec![]);
        assert_ok!(feed(Alice, FIRST + 2_000));
    });
}
