// SPDX-License-Identifier: Apache-2.0

use crate::{
    mock::{Validators, *},
    *,
};
use codec::Encode;
use frame_support::{assert_noop, assert_ok, traits::fungible::InspectHold};
use sp_runtime::{DispatchResult, traits::BadOrigin};

fn chosen() -> Vec<AccountId> {
    ChosenValidators::<Test>::get().into_inner()
}

fn announce(account: AccountId) -> DispatchResult {
    Validators::announce(RuntimeOrigin::signed(account))
}

fn add(account: AccountId) -> DispatchResult {
    Validators::add_validator(RuntimeOrigin::root(), account)
}

fn remove(account: AccountId) -> DispatchResult {
    Validators::remove_validator(RuntimeOrigin::root(), account)
}

fn retire(account: AccountId) -> DispatchResult {
    Validators::retire(RuntimeOrigin::signed(account))
}

fn set_keys(account: AccountId) {
    let proof = keys(account).create_ownership_proof(&account.encode()).unwrap().encode();
    assert_ok!(Session::set_keys(RuntimeOrigin::signed(account), keys(account), proof));
}

/// Gives an account session keys and lets it be heard from.
fn candidate(account: AccountId) {
    set_keys(account);
    assert_ok!(announce(account));
}

mod session {
    use super::*;

    #[test]
    fn genesis_keys_make_the_first_validators() {
        run(|| {
            assert_eq!(chosen(), [1, 2]);
            assert_eq!(Session::validators(), [1, 2]);
        });
    }

    #[test]
    fn a_candidate_makes_blocks_from_the_second_session() {
        run(|| {
            candidate(3);
            System::assert_last_event(Event::Announced { account: 3, session: 0 }.into());
            assert_ok!(add(3));
            System::assert_last_event(Event::ChangeQueued { change: Change::Joins(3) }.into());
            next_session();
            System::assert_has_event(Event::SetChanged { change: Change::Joins(3), session: 2 }.into());
            assert_eq!((Session::validators(), chosen()), (vec![1, 2], vec![1, 2, 3]));
            next_session();
            assert_eq!(Session::validators(), [1, 2, 3]);
        });
    }

    #[test]
    fn a_removed_validator_stays_until_the_next_session_ends() {
        run(|| {
            assert_ok!(remove(1));
            next_session();
            System::assert_has_event(Event::SetChanged { change: Change::Leaves(1), session: 2 }.into());
            assert_eq!(Session::validators(), [1, 2]);
            next_session();
            assert_eq!(Session::validators(), [2]);
        });
    }

    #[test]
    fn has_at_most_one_change_in_the_order_of_calls() {
        run(|| {
            candidate(3);
            candidate(4);
            assert_ok!(add(3));
            assert_ok!(remove(1));
            assert_ok!(add(4));
            let mut seen = vec![];
            for _ in 0..5 {
                assert_ok!(announce(4));
                next_session();
                seen.push(Session::validators());
            }
            assert_eq!(seen, [vec![1, 2], vec![1, 2, 3], vec![2, 3], vec![2, 3, 4], vec![2, 3, 4]]);
            assert!(PendingChanges::<Test>::get().is_empty());
        });
    }

    #[test]
    fn without_a_change_queues_no_new_set() {
        run(|| {
            next_session();
            let queued = RuntimeEvent::from(pallet_session::Event::NewQueued);
            assert!(System::events().iter().all(|record| record.event != queued));
            assert!(!pallet_session::QueuedChanged::<Test>::get());
        });
    }
}

mod candidate {
    use super::*;

    #[test]
    fn needs_session_keys() {
        run(|| {
            assert_noop!(announce(3), Error::<Test>::NoSessionKeys);
            assert_noop!(add(3), Error::<Test>::NoSessionKeys);
            assert_noop!(retire(3), Error::<Test>::NoSessionKeys);
        });
    }

    #[test]
    fn needs_a_recent_announcement() {
        run(|| {
            set_keys(3);
            assert_noop!(add(3), Error::<Test>::NotAnnounced);
            assert_ok!(announce(3));
            (0..3).for_each(|_| next_session());
            assert_noop!(add(3), Error::<Test>::NotAnnounced);
            assert_ok!(announce(3));
            (0..2).for_each(|_| next_session());
            assert_ok!(add(3));
        });
    }

    #[test]
    fn does_not_join_when_silent_at_its_turn() {
        run(|| {
            candidate(3);
            candidate(4);
            next_session();
            assert_ok!(add(3));
            assert_ok!(remove(1));
            assert_ok!(add(4));
            (0..3).for_each(|_| next_session());
            System::assert_has_event(Event::ChangeDropped { change: Change::Joins(4) }.into());
            assert_eq!(chosen(), [2, 3]);
        });
    }

    #[test]
    fn does_not_join_without_keys_at_its_turn() {
        run(|| {
            candidate(3);
            assert_ok!(add(3));
            assert_ok!(Session::purge_keys(RuntimeOrigin::signed(3)));
            next_session();
            System::assert_has_event(Event::ChangeDropped { change: Change::Joins(3) }.into());
            assert_eq!(chosen(), [1, 2]);
        });
    }
}

mod set {
    use super::*;

    #[test]
    fn only_the_manager_changes_it() {
        run(|| {
            candidate(3);
            assert_noop!(Validators::add_validator(RuntimeOrigin::signed(3), 3), BadOrigin);
            assert_noop!(Validators::remove_validator(RuntimeOrigin::signed(1), 1), BadOrigin);
            assert_noop!(Validators::announce(RuntimeOrigin::root()), BadOrigin);
            assert_noop!(Validators::retire(RuntimeOrigin::root()), BadOrigin);
        });
    }

    #[test]
    fn is_never_empty() {
        run(|| {
            assert_ok!(remove(1));
            assert_noop!(remove(2), Error::<Test>::LastValidator);
            (0..2).for_each(|_| next_session());
            assert_noop!(remove(2), Error::<Test>::LastValidator);
            assert_eq!(Session::validators(), [2]);
        });
    }

    #[test]
    fn keeps_the_last_one_when_the_successor_is_dropped() {
        run(|| {
            candidate(3);
            assert_ok!(add(3));
            assert_ok!(remove(1));
            assert_ok!(remove(2));
            assert_ok!(Session::purge_keys(RuntimeOrigin::signed(3)));
            (0..4).for_each(|_| next_session());
            System::assert_has_event(Event::ChangeDropped { change: Change::Leaves(2) }.into());
            assert_eq!(Session::validators(), [2]);
        });
    }

    #[test]
    fn is_bounded_pending_changes_included() {
        run(|| {
            (3..=6).for_each(candidate);
            (3..=5).for_each(|account| add(account).unwrap());
            assert_noop!(add(6), Error::<Test>::SetFull);
            next_session();
            assert_noop!(add(6), Error::<Test>::SetFull);
            assert_ok!(remove(1));
            next_session();
            assert_ok!(add(6));
        });
    }

    #[test]
    fn validators_do_not_join_and_others_do_not_leave() {
        run(|| {
            assert_ok!(announce(1));
            assert_noop!(add(1), Error::<Test>::AlreadyValidator);
            assert_noop!(remove(3), Error::<Test>::NotValidator);
        });
    }

    #[test]
    fn pending_changes_are_bounded_and_one_per_account() {
        run(|| {
            (3..=5).for_each(candidate);
            assert_ok!(add(3));
            assert_noop!(add(3), Error::<Test>::ChangePending);
            assert_ok!(remove(1));
            assert_noop!(remove(1), Error::<Test>::ChangePending);
            assert_ok!(add(4));
            assert_noop!(add(5), Error::<Test>::TooManyPending);
        });
    }
}

mod retiring {
    use super::*;

    #[test]
    fn releases_keys_and_deposit() {
        run(|| {
            let held = || Balances::balance_on_hold(&pallet_session::HoldReason::Keys.into(), &3);
            candidate(3);
            assert_eq!(held(), KEY_DEPOSIT);
            assert_ok!(retire(3));
            System::assert_last_event(Event::Retired { account: 3 }.into());
            assert_eq!(held(), 0);
            assert_eq!(Session::load_keys(&3), None);
            assert!(!LastAnnouncement::<Test>::contains_key(3));
        });
    }

    #[test]
    fn is_refused_to_present_and_planned_validators() {
        run(|| {
            assert_noop!(retire(1), Error::<Test>::StillValidator);
            candidate(3);
            assert_ok!(add(3));
            assert_noop!(retire(3), Error::<Test>::StillValidator);
            assert_ok!(remove(1));
            (0..2).for_each(|_| next_session());
            assert_noop!(retire(3), Error::<Test>::StillValidator);
            // It isn't chosen any more, but makes blocks in this session.
            assert_eq!(chosen(), [2, 3]);
            assert_noop!(retire(1), Error::<Test>::StillValidator);
            next_session();
            assert_ok!(retire(1));
        });
    }
}
