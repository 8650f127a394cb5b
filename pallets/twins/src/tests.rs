// SPDX-License-Identifier: Apache-2.0

use crate::{
    mock::{Twins, *},
    *,
};
use frame_support::{
    assert_noop, assert_ok,
    traits::fungible::{Inspect, InspectHold},
};
use sp_runtime::TokenError;
use tfgrid_primitives::{traits::TwinDirectory, units::TFT};

fn keys(n: u8) -> PeerKeys {
    (0..n).map(|i| [i; 32]).collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn a_twin_is_found_by_id_and_account_and_holds_its_deposit() {
    run(|| {
        assert_ok!(Twins::create(RuntimeOrigin::signed(ALICE), keys(4), Some([9; 32])));
        assert_ok!(Twins::create(RuntimeOrigin::signed(BOB), keys(0), None));
        assert_eq!(Twins::twin_of(&ALICE), Some(1));
        assert_eq!(Twins::twin_of(&BOB), Some(2));
        assert_eq!(Twins::account_of(1), Some(ALICE));
        assert_eq!(Twins::account_of(3), None);
        assert_eq!(Balances::balance_on_hold(&HoldReason::Twin.into(), &ALICE), TFT);
        assert_eq!(Balances::balance(&ALICE), 99 * TFT);
        System::assert_has_event(Event::TwinCreated { twin: 1, account: ALICE, deposit: TFT }.into());
    });
}

#[test]
fn an_account_has_one_twin() {
    run(|| {
        assert_ok!(Twins::create(RuntimeOrigin::signed(ALICE), keys(0), None));
        assert_noop!(
            Twins::create(RuntimeOrigin::signed(ALICE), keys(0), None),
            Error::<Test>::AccountHasTwin
        );
    });
}

#[test]
fn who_cannot_pay_the_deposit_gets_no_twin() {
    run(|| {
        assert_noop!(Twins::create(RuntimeOrigin::signed(POOR), keys(0), None), TokenError::FundsUnavailable);
    });
}

#[test]
fn keys_are_replaced_by_their_owner_and_listed_once() {
    run(|| {
        let twice: PeerKeys = vec![[1; 32], [1; 32]].try_into().unwrap();
        assert_noop!(
            Twins::create(RuntimeOrigin::signed(ALICE), twice.clone(), None),
            Error::<Test>::DuplicatePeerKey
        );
        assert_noop!(Twins::update(RuntimeOrigin::signed(ALICE), keys(1), None), Error::<Test>::NoTwin);
        assert_ok!(Twins::create(RuntimeOrigin::signed(ALICE), keys(1), None));
        assert_noop!(
            Twins::update(RuntimeOrigin::signed(ALICE), twice, None),
            Error::<Test>::DuplicatePeerKey
        );
        assert_ok!(Twins::update(RuntimeOrigin::signed(ALICE), keys(2), Some([7; 32])));
        let twin = crate::Twins::<Test>::get(1).unwrap();
        assert_eq!((twin.peer_keys, twin.encryption_key), (keys(2), Some([7; 32])));
    });
}

#[test]
fn ids_run_out_without_harm() {
    run(|| {
        LastTwinId::<Test>::put(u32::MAX);
        assert_noop!(Twins::create(RuntimeOrigin::signed(ALICE), keys(0), None), Error::<Test>::IdsExhausted);
    });
}
