// SPDX-License-Identifier: Apache-2.0
//! How machines join, report and leave.

use crate::chain::*;
use frame_support::{assert_ok, traits::fungible::InspectHold};
use sp_core::Pair;
use sp_keyring::Sr25519Keyring;
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError};
use tfgrid_primitives::{
    report::HeartbeatPayload,
    units::{DAY_MS, TFT},
    Refusal, Registration, ReportKind, Resources,
};
use tfgrid_runtime::*;

type Error = pallet_nodes::Error<Runtime>;

fn held(who: Sr25519Keyring, reason: impl Into<RuntimeHoldReason>) -> Balance {
    Balances::balance_on_hold(&reason.into(), &who.to_account_id())
}

#[test]
fn a_machine_joins_without_money_and_its_tickets_deposit_becomes_its_own() {
    run(|| {
        farm_with_ticket(2);
        let machine = Machine::join(1);
        assert_eq!(machine.id, 1);
        let node = pallet_nodes::Nodes::<Runtime>::get(1).unwrap();
        assert_eq!((node.farm, node.key, node.resources), (1, machine.key.public().0, capacity()));
        assert_eq!(held(Alice, pallet_farms::HoldReason::BootTicket), 10 * TFT);
        assert_eq!(held(Alice, pallet_nodes::HoldReason::Node), 10 * TFT);
        assert!(Nodes::is_online(1));
    });
}

#[test]
fn a_registration_is_refused_when_anything_about_it_is_wrong() {
    run(|| {
        farm_with_ticket(1);
        let (ticket, key) = (ticket(), Machine::key(1));
        let spoilt = |spoil: fn(&mut Registration)| {
            let mut r = registration(&ticket, &key);
            spoil(&mut r);
            register(r, &ticket, &key)
        };
        assert_refused(spoilt(|r| r.valid_until = Timestamp::get() / 1_000 - 1), Refusal::ValidityOutOfRange);
        assert_refused(spoilt(|r| r.valid_until += 3_600), Refusal::ValidityOutOfRange);
        assert_refused(spoilt(|r| r.resources.cru = 0), Refusal::CapacityOutOfRange);
        assert_refused(spoilt(|r| r.resources.hru = u64::MAX), Refusal::CapacityOutOfRange);
        assert_refused(spoilt(|r| r.ticket = [9; 32]), Refusal::TicketUnknown);
    });
}

#[test]
fn a_forged_or_foreign_ticket_signature_admits_nobody() {
    run(|| {
        farm_with_ticket(1);
        let (ticket, key, thief) = (ticket(), Machine::key(1), Machine::key(9));
        let r = registration(&ticket, &key);
        assert_refused(register(r, &thief, &key), Refusal::TicketSignatureWrong);
        assert_refused(register(r, &ticket, &thief), Refusal::NodeSignatureWrong);

        // Who sees a registration on its way can't put another machine in its place.
        let pallet_nodes::Call::register { ticket_signature, node_signature, .. } =
            register(r, &ticket, &key)
        else {
            unreachable!()
        };
        let stolen = Registration { node_key: thief.public().0, ..r };
        let replaced =
            pallet_nodes::Call::register { registration: stolen, ticket_signature, node_signature };
        assert_refused(replaced, Refusal::TicketSignatureWrong);

        // Signed for another chain.
        let bytes = r.signing_bytes(sp_core::H256::zero());
        let (ticket_signature, node_signature) = (ticket.sign(&bytes), key.sign(&bytes));
        let foreign = pallet_nodes::Call::register { registration: r, ticket_signature, node_signature };
        assert_refused(foreign, Refusal::TicketSignatureWrong);
    });
}

#[test]
fn a_ticket_is_not_spent_twice_by_one_key_nor_by_too_many() {
    run(|| {
        farm_with_ticket(2);
        let ticket = ticket();
        let again = |n| {
            let key = Machine::key(n);
            register(registration(&ticket, &key), &ticket, &key)
        };
        let first = again(1);
        report(first.clone()).unwrap();
        assert_refused(first.clone(), Refusal::KeyTaken);
        assert_ok!(call(Alice, pallet_nodes::Call::remove { node: 1 }));
        assert_refused(first, Refusal::TicketUsed);
        report(again(2)).unwrap();
        assert_refused(again(3), Refusal::TicketExhausted);
    });
}

#[test]
fn an_expired_or_closed_ticket_admits_nobody() {
    run(|| {
        farm_with_ticket(2);
        let (ticket, key) = (ticket(), Machine::key(1));
        let public = ticket.public().0;
        pallet_farms::Tickets::<Runtime>::mutate(public, |t| t.as_mut().unwrap().expires = 1);
        assert_refused(register(registration(&ticket, &key), &ticket, &key), Refusal::TicketExpired);
        pallet_farms::Tickets::<Runtime>::mutate(public, |t| t.as_mut().unwrap().expires = u64::MAX / 2);
        assert_ok!(call(Alice, pallet_farms::Call::close_ticket { ticket: public }));
        assert_refused(register(registration(&ticket, &key), &ticket, &key), Refusal::TicketRevoked);
    });
}

#[test]
fn a_node_is_offline_after_three_missed_heartbeats_and_back_after_three_in_a_row() {
    run_with_node(|mut machine, _| {
        pass(3 * heartbeat_ms());
        assert!(Nodes::is_online(1));
        pass(SLOT_DURATION);
        assert!(!Nodes::is_online(1));
        System::assert_has_event(pallet_nodes::Event::<Runtime>::NodeOffline { node: 1 }.into());
        assert_fails(Bob, create(1, small()), pallet_contracts::Error::<Runtime>::NodeOffline);

        let beat = |machine: &mut Machine| {
            pass(heartbeat_ms());
            report(machine.heartbeat()).unwrap();
            Nodes::is_online(1)
        };
        assert!(!beat(&mut machine));
        assert!(!beat(&mut machine));
        // One that is late starts the row anew.
        pass(2 * heartbeat_ms());
        assert!(!beat(&mut machine));
        assert!(!beat(&mut machine));
        assert!(beat(&mut machine));
        System::assert_has_event(pallet_nodes::Event::<Runtime>::NodeOnline { node: 1 }.into());
        assert_ok!(call(Bob, create(1, small())));
    });
}

#[test]
fn a_node_that_flaps_returns_more_slowly_and_a_steady_one_as_fast_as_ever() {
    run_with_node(|mut machine, _| {
        let mut beats_to_return = || {
            pass(4 * heartbeat_ms());
            assert!(!Nodes::is_online(1));
            let mut beats = 0;
            while !Nodes::is_online(1) {
                pass(heartbeat_ms());
                report(machine.heartbeat()).unwrap();
                beats += 1;
            }
            beats
        };
        let (first, second, third) = (beats_to_return(), beats_to_return(), beats_to_return());
        assert!(first < second && second < third, "{first}, {second}, {third}");
        pallet_nodes::Liveliness::<Runtime>::mutate(1, |live| {
            let live = live.as_mut().unwrap();
            live.state = pallet_nodes::LiveState::Online { since: 0 };
        });
        pallet_billing::GridClockState::<Runtime>::mutate(|clock| clock.now_ms += DAY_MS);
        assert_eq!(beats_to_return(), 3);
    });
}

#[test]
fn heartbeats_are_refused_in_the_pool_when_early_replayed_forged_or_of_nobody() {
    run_with_node(|mut machine, _| {
        assert_refused(machine.heartbeat(), Refusal::TooSoon);
        pass(heartbeat_ms());
        let good = machine.heartbeat();
        report(good.clone()).unwrap();
        pass(heartbeat_ms());
        assert_refused(good, Refusal::SequenceOld);

        let mut forged = Machine { key: Machine::key(9), id: 1, sequence: 100 };
        assert_refused(forged.heartbeat(), Refusal::NodeSignatureWrong);
        forged.id = 2;
        assert_refused(forged.heartbeat(), Refusal::NodeUnknown);

        // A signature of another kind of report is none for this one.
        let payload = HeartbeatPayload { boot_nonce: 1 };
        let (sequence, signature) = machine.sign(ReportKind::Usage, &payload);
        let confused = pallet_nodes::Call::heartbeat { node: 1, sequence, payload, signature };
        assert_refused(confused, Refusal::NodeSignatureWrong);
    });
}

#[test]
fn what_is_authorised_cannot_be_called_by_people_or_bare() {
    run_with_node(|mut machine, _| {
        pass(heartbeat_ms());
        let beat = RuntimeCall::from(machine.heartbeat());
        assert_fails(Bob, beat.clone(), sp_runtime::DispatchError::BadOrigin);
        let batch = pallet_utility::Call::batch_all { calls: vec![beat.clone()] };
        assert!(call(Bob, batch).is_err());
        let bare = validate(UncheckedExtrinsic::new_bare(beat));
        assert!(matches!(
            bare,
            Err(TransactionValidityError::Unknown(_) | TransactionValidityError::Invalid(_))
        ));
        // And what people sign can't pretend to be authorised.
        let unsigned = general(pallet_nodes::Call::remove { node: 1 });
        assert_eq!(validate(unsigned), Err(InvalidTransaction::UnknownOrigin.into()));
    });
}

#[test]
fn an_empty_node_is_removed_by_its_farmer_alone() {
    run_with_node(|mut machine, _| {
        let remove = |node| pallet_nodes::Call::remove { node };
        assert_fails(Bob, remove(1), Error::NotFarmer);
        assert_fails(Alice, remove(7), Error::UnknownNode);
        assert_ok!(call(Bob, create(1, small())));
        assert_fails(Alice, remove(1), Error::NodeInUse);
        let reason = pallet_contracts::CancelReason::Cancelled;
        assert_ok!(call(Bob, pallet_contracts::Call::cancel { contract: 1, reason }));
        assert_ok!(call(Alice, remove(1)));
        assert_eq!(held(Alice, pallet_nodes::HoldReason::Node), 0);
        assert_eq!(Nodes::free(1), None);
        assert_refused(machine.heartbeat(), Refusal::NodeUnknown);
        assert_fails(Bob, create(1, small()), pallet_contracts::Error::<Runtime>::UnknownNode);
    });
}

#[test]
fn free_capacity_is_what_is_not_reserved() {
    run_with_node(|_, _| {
        assert_eq!(Nodes::free(1), Some(capacity()));
        assert_ok!(call(Bob, create(1, small())));
        assert_eq!(Nodes::free(1), capacity().checked_sub(&small()));
        let rest = capacity().checked_sub(&small()).unwrap();
        let more = Resources { cru: rest.cru + 1, ..rest };
        assert_fails(Bob, create(1, more), Error::NotEnoughCapacity);
        assert_ok!(call(Bob, create(1, rest)));
        assert_eq!(Nodes::free(1), Some(Resources::ZERO));
    });
}
