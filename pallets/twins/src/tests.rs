// SPDX-License-Identifier: Apache-2.0

use crate::{
    mock::{Twins, *},
    *,
};
use frame_support::{
    assert_noop, assert_ok,
    traits::fungible::{Inspect, InspectHold, MutateHold},
};
use sp_runtime::{DispatchResult, TokenError};
use tfgrid_primitives::{traits::TwinDirectory, units::TFT};

fn keys(n: u8) -> PeerKeys {
    (0..n).map(|i| [i; 32]).collect::<Vec<_>>().try_into().unwrap()
}

fn create(account: AccountId) -> DispatchResult {
    Twins::create(RuntimeOrigin::signed(account), keys(1), Some([9; 32]))
}

fn offer(account: AccountId, to: AccountId) -> DispatchResult {
    Twins::offer_transfer(RuntimeOrigin::signed(account), to)
}

fn accept(account: AccountId, twin: u32) -> DispatchResult {
    Twins::accept_transfer(RuntimeOrigin::signed(account), twin)
}

fn held(reason: impl Into<RuntimeHoldReason>, account: AccountId) -> u128 {
    Balances::balance_on_hold(&reason.into(), &account)
}

mod twin {
    use super::*;

    #[test]
    fn is_found_by_id_and_account_and_holds_its_deposit() {
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
    fn an_account_has_one() {
        run(|| {
            assert_ok!(Twins::create(RuntimeOrigin::signed(ALICE), keys(0), None));
            assert_noop!(
                Twins::create(RuntimeOrigin::signed(ALICE), keys(0), None),
                Error::<Test>::AccountHasTwin
            );
        });
    }

    #[test]
    fn needs_the_deposit() {
        run(|| {
            assert_noop!(
                Twins::create(RuntimeOrigin::signed(POOR), keys(0), None),
                TokenError::FundsUnavailable
            );
        });
    }

    #[test]
    fn its_keys_are_distinct_and_can_be_replaced() {
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
    fn ids_run_out_without_a_panic() {
        run(|| {
            LastTwinId::<Test>::put(u32::MAX);
            assert_noop!(
                Twins::create(RuntimeOrigin::signed(ALICE), keys(0), None),
                Error::<Test>::IdsExhausted
            );
        });
    }

    #[test]
    fn can_be_removed_while_it_owns_nothing() {
        run(|| {
            let remove = |account| Twins::remove(RuntimeOrigin::signed(account));
            assert_noop!(remove(ALICE), Error::<Test>::NoTwin);
            assert_ok!(create(ALICE));
            assert_ok!(offer(ALICE, BOB));
            Busy::set(Some(1));
            assert_noop!(remove(ALICE), Error::<Test>::TwinInUse);
            Busy::set(None);
            assert_ok!(remove(ALICE));
            System::assert_has_event(Event::TwinRemoved { twin: 1, released: TFT }.into());
            assert_eq!(Twins::twin_of(&ALICE), None);
            assert_eq!(Balances::balance(&ALICE), 100 * TFT);
            assert_noop!(accept(BOB, 1), Error::<Test>::NotOffered);
            assert_ok!(create(ALICE));
            assert_eq!(Twins::twin_of(&ALICE), Some(2), "an id is never given twice");
        });
    }
}

mod transfer {
    use super::*;

    #[test]
    fn moves_all_deposits_and_drops_the_keys() {
        use neighbour::HoldReason::{Other, Things};
        run(|| {
            assert_ok!(create(ALICE));
            assert_ok!(Balances::hold(&Things.into(), &ALICE, 7 * TFT));
            assert_ok!(Balances::hold(&Other.into(), &ALICE, 3 * TFT));
            assert_ok!(offer(ALICE, BOB));
            System::assert_has_event(Event::TransferOffered { twin: 1, to: BOB }.into());
            assert_ok!(accept(BOB, 1));
            let moved = Event::TwinTransferred { twin: 1, from: ALICE, to: BOB, deposits: 8 * TFT };
            System::assert_has_event(moved.into());

            assert_eq!((Twins::twin_of(&ALICE), Twins::twin_of(&BOB)), (None, Some(1)));
            assert_eq!(Twins::account_of(1), Some(BOB));
            assert_eq!((held(HoldReason::Twin, ALICE), held(HoldReason::Twin, BOB)), (0, TFT));
            assert_eq!((held(Things, ALICE), held(Things, BOB)), (0, 7 * TFT));
            assert_eq!((held(Other, ALICE), held(Other, BOB)), (3 * TFT, 0));
            assert_eq!((Balances::balance(&ALICE), Balances::balance(&BOB)), (89 * TFT, 100 * TFT));
            let twin = crate::Twins::<Test>::get(1).unwrap();
            assert_eq!((twin.peer_keys, twin.encryption_key), (keys(0), None));
            assert_noop!(accept(BOB, 1), Error::<Test>::NotOffered);
            assert_ok!(create(ALICE));
            assert_eq!(Twins::twin_of(&ALICE), Some(2));
        });
    }

    #[test]
    fn only_the_last_offer_can_be_accepted() {
        run(|| {
            assert_noop!(offer(ALICE, BOB), Error::<Test>::NoTwin);
            assert_noop!(accept(BOB, 1), Error::<Test>::NotOffered);
            assert_ok!(create(ALICE));
            assert_noop!(accept(BOB, 1), Error::<Test>::NotOffered);
            assert_ok!(offer(ALICE, BOB));
            assert_ok!(offer(ALICE, POOR));
            assert_noop!(accept(BOB, 1), Error::<Test>::NotOffered);
            assert_ok!(accept(POOR, 1));
            assert_eq!(Twins::account_of(1), Some(POOR));
        });
    }

    #[test]
    fn a_withdrawn_offer_cannot_be_accepted() {
        run(|| {
            let withdraw = |account| Twins::withdraw_offer(RuntimeOrigin::signed(account));
            assert_noop!(withdraw(ALICE), Error::<Test>::NoTwin);
            assert_ok!(create(ALICE));
            assert_noop!(withdraw(ALICE), Error::<Test>::NoOffer);
            assert_ok!(offer(ALICE, BOB));
            assert_ok!(withdraw(ALICE));
            System::assert_has_event(Event::OfferWithdrawn { twin: 1 }.into());
            assert_noop!(accept(BOB, 1), Error::<Test>::NotOffered);
        });
    }

    #[test]
    fn an_account_with_a_twin_accepts_no_other() {
        run(|| {
            assert_ok!(create(ALICE));
            assert_ok!(create(BOB));
            assert_ok!(offer(ALICE, BOB));
            assert_ok!(offer(BOB, BOB));
            assert_noop!(accept(BOB, 1), Error::<Test>::AccountHasTwin);
            assert_noop!(accept(BOB, 2), Error::<Test>::AccountHasTwin);
        });
    }

    #[test]
    fn fails_where_the_deposits_cannot_move() {
        run(|| {
            assert_ok!(create(ALICE));
            assert_ok!(offer(ALICE, NOBODY));
            assert_noop!(accept(NOBODY, 1), TokenError::CannotCreateHold);
        });
    }
}

mod peer_addresses {
    use super::*;

    fn set(account: AccountId, text: &str) -> DispatchResult {
        let addresses = text.as_bytes().to_vec().try_into().unwrap();
        Twins::set_peer_addresses(RuntimeOrigin::signed(account), addresses)
    }

    fn of(twin: u32) -> Option<String> {
        PeerAddresses::<Test>::get(twin).map(|text| String::from_utf8(text.into_inner()).unwrap())
    }

    fn held_for_them(account: AccountId) -> u128 {
        held(HoldReason::PeerAddresses, account)
    }

    #[test]
    fn each_byte_of_them_is_paid_while_it_is_stored() {
        run(|| {
            assert_ok!(create(ALICE));
            for text in ["192.0.2.9:9618", "https://relay.example.org [2001:db8::9]:9618", "192.0.2.9:1"] {
                assert_ok!(set(ALICE, text));
                let deposit = text.len() as u128 * PER_BYTE;
                System::assert_has_event(Event::PeerAddressesSet { twin: 1, deposit }.into());
                assert_eq!((of(1).as_deref(), held_for_them(ALICE)), (Some(text), deposit));
                assert_eq!(Balances::balance(&ALICE), 99 * TFT - deposit);
            }
            assert_ok!(set(ALICE, ""));
            System::assert_has_event(Event::PeerAddressesSet { twin: 1, deposit: 0 }.into());
            assert_eq!((of(1), held_for_them(ALICE)), (None, 0));
        });
    }

    #[test]
    fn only_an_owner_with_funds_stores_printable_text() {
        run(|| {
            assert_noop!(set(BOB, "192.0.2.9:9618"), Error::<Test>::NoTwin);
            assert_ok!(create(ALICE));
            assert_noop!(set(ALICE, "192.0.2.9:9618\n"), Error::<Test>::NotPrintable);
            let bytes = Addresses::truncate_from(vec![0xff]);
            assert_noop!(
                Twins::set_peer_addresses(RuntimeOrigin::signed(ALICE), bytes),
                Error::<Test>::NotPrintable
            );
            let all_but_a_byte = 99 * TFT - PER_BYTE;
            assert_ok!(Balances::hold(&neighbour::HoldReason::Other.into(), &ALICE, all_but_a_byte));
            assert_noop!(set(ALICE, "192.0.2.9:9618"), TokenError::FundsUnavailable);
            assert_eq!(of(1), None);
        });
    }

    #[test]
    fn they_go_with_their_twin_and_with_its_owner() {
        run(|| {
            assert_ok!(create(ALICE));
            assert_ok!(set(ALICE, "192.0.2.9:9618"));
            assert_ok!(offer(ALICE, BOB));
            assert_ok!(accept(BOB, 1));
            assert_eq!((of(1), held_for_them(ALICE), held_for_them(BOB)), (None, 0, 0));
            assert_eq!(Balances::balance(&ALICE), 99 * TFT, "the twin's deposit alone has moved");

            assert_ok!(set(BOB, "192.0.2.9:1"));
            assert_ok!(Twins::remove(RuntimeOrigin::signed(BOB)));
            let released = TFT + 11 * PER_BYTE;
            System::assert_has_event(Event::TwinRemoved { twin: 1, released }.into());
            assert_eq!((of(1), held_for_them(BOB)), (None, 0));
            assert_eq!(Balances::balance(&BOB), 101 * TFT);
        });
    }
}
