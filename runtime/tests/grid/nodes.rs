// SPDX-License-Identifier: Apache-2.0
//! How machines join, report and leave.

use crate::chain::*;
use codec::Encode;
use frame_support::{assert_ok, dispatch::DispatchClass::Operational, traits::Get, weights::Weight};
use sp_core::Pair;
use sp_runtime::{
    DispatchError,
    transaction_validity::{InvalidTransaction, UnknownTransaction},
};
use tfgrid_primitives::{
    Refusal, Registration, ReportKind, Resources,
    report::HeartbeatPayload,
    traits::{Clock as _, NodeDirectory},
    units::{DAY_MS, TFT},
    views::NodeFilter,
};
use tfgrid_runtime::*;

type Error = pallet_grid_nodes::Error<Runtime>;

#[test]
fn machine_without_money_joins_on_a_tickets_deposit() {
    run(|| {
        farm_with_ticket(2);
        let machine = Machine::join(1);
        assert_eq!(machine.id, 1);
        let node = pallet_grid_nodes::Nodes::<Runtime>::get(1).unwrap();
        assert_eq!((node.farm, node.key, node.resources), (1, machine.key.public().0, capacity()));
        assert_eq!(held(Alice, pallet_grid_farms::HoldReason::BootTicket), 10 * TFT);
        assert_eq!(held(Alice, pallet_grid_nodes::HoldReason::Node), 10 * TFT);
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
        let pallet_grid_nodes::Call::register { ticket_signature, node_signature, .. } =
            register(r, &ticket, &key)
        else {
            unreachable!()
        };
        let stolen = Registration { node_key: thief.public().0, ..r };
        let replaced =
            pallet_grid_nodes::Call::register { registration: stolen, ticket_signature, node_signature };
        assert_refused(replaced, Refusal::TicketSignatureWrong);

        // Signed for another chain.
        let bytes = r.signing_bytes(sp_core::H256::zero());
        let (ticket_signature, node_signature) = (ticket.sign(&bytes), key.sign(&bytes));
        let foreign = pallet_grid_nodes::Call::register { registration: r, ticket_signature, node_signature };
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
        assert_refused(first.clone(), Refusal::TicketUsed);
        assert_ok!(call(Alice, pallet_grid_nodes::Call::remove { node: 1 }));
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
        pallet_grid_farms::Tickets::<Runtime>::mutate(public, |t| t.as_mut().unwrap().expires = 1);
        assert_refused(register(registration(&ticket, &key), &ticket, &key), Refusal::TicketExpired);
        pallet_grid_farms::Tickets::<Runtime>::mutate(public, |t| t.as_mut().unwrap().expires = u64::MAX / 2);
        assert_ok!(call(Alice, pallet_grid_farms::Call::close_ticket { ticket: public }));
        assert_refused(register(registration(&ticket, &key), &ticket, &key), Refusal::TicketRevoked);
    });
}

#[test]
fn node_is_offline_after_3_missed_heartbeats_and_back_after_3() {
    run_with_node(|mut machine, _| {
        pass(3 * heartbeat_ms());
        assert!(Nodes::is_online(1));
        pass(SLOT_DURATION);
        assert!(!Nodes::is_online(1));
        System::assert_has_event(pallet_grid_nodes::Event::<Runtime>::NodeOffline { node: 1 }.into());
        assert_fails(Bob, create(1, small()), pallet_grid_contracts::Error::<Runtime>::NodeOffline);

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
        System::assert_has_event(pallet_grid_nodes::Event::<Runtime>::NodeOnline { node: 1 }.into());
        assert_ok!(call(Bob, create(1, small())));
    });
}

#[test]
fn flapping_node_returns_more_slowly_than_a_steady_one() {
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
        pallet_grid_nodes::LivenessOf::<Runtime>::mutate(1, |live| {
            let live = live.as_mut().unwrap();
            live.state = pallet_grid_nodes::LiveState::Online { since: 0 };
        });
        pallet_grid_clock::GridClockState::<Runtime>::mutate(|clock| clock.now_ms += DAY_MS);
        assert_eq!(beats_to_return(), 3);
    });
}

#[test]
fn pool_refuses_early_replayed_forged_and_unknown_heartbeats() {
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
        let confused = pallet_grid_nodes::Call::heartbeat { node: 1, sequence, payload, signature };
        assert_refused(confused, Refusal::NodeSignatureWrong);
    });
}

#[test]
fn a_report_is_refused_when_signed_batched_or_general() {
    run_with_node(|mut machine, _| {
        pass(heartbeat_ms());
        let beat = RuntimeCall::from(machine.heartbeat());
        assert_fails(Bob, beat.clone(), DispatchError::BadOrigin);
        let (calls, boxed) = (vec![beat.clone()], Box::new(beat.clone()));
        for wrapped in [
            pallet_utility::Call::batch { calls: calls.clone() },
            pallet_utility::Call::batch_all { calls: calls.clone() },
            pallet_utility::Call::force_batch { calls },
            pallet_utility::Call::if_else { main: boxed.clone(), fallback: boxed },
        ] {
            let unknown: Refused = UnknownTransaction::NoUnsignedValidator.into();
            assert_eq!(validate(bare(wrapped.clone())), Err(unknown));
            assert_eq!(block_after(SLOT_DURATION, vec![bare(wrapped)]), [Ok(Err(DispatchError::BadOrigin))]);
        }
        let batch = pallet_utility::Call::batch_all { calls: vec![beat.clone()] };
        assert!(call(Bob, batch).is_err());
        // Not every library decodes a block with a general transaction.
        let general = UncheckedExtrinsic::new_transaction(beat.clone(), extensions(0));
        let nobody: Refused = InvalidTransaction::UnknownOrigin.into();
        assert_eq!(validate(general.clone()), Err(nobody));
        assert_eq!(block_after(SLOT_DURATION, vec![general]), [Err(nobody)]);
        assert_ok!(report(beat));
    });
}

#[test]
fn peoples_calls_are_refused_when_bare() {
    run_with_node(|_, _| {
        let remove = bare(pallet_grid_nodes::Call::remove { node: 1 });
        assert_eq!(validate(remove.clone()), Err(UnknownTransaction::NoUnsignedValidator.into()));
        assert_eq!(block_after(SLOT_DURATION, vec![remove]), [Ok(Err(DispatchError::BadOrigin))]);
    });
}

#[test]
fn a_report_is_checked_again_in_its_block() {
    run_with_node(|mut machine, _| {
        pass(heartbeat_ms());
        let (beat, soon) = (bare(machine.heartbeat()), bare(machine.heartbeat()));
        assert_ok!(validate(soon.clone()));
        let refused = |refusal| Err(InvalidTransaction::Custom(refusal as u8).into());
        let outcomes = block_after(SLOT_DURATION, vec![beat.clone(), beat, soon]);
        assert_eq!(outcomes, [Ok(Ok(())), refused(Refusal::SequenceOld), refused(Refusal::TooSoon)]);
    });
}

#[test]
fn a_report_is_operational_and_its_check_has_weight() {
    use frame_support::{dispatch::GetDispatchInfo, traits::Authorize};
    run_with_node(|mut machine, _| {
        pass(heartbeat_ms());
        let beat = RuntimeCall::from(machine.heartbeat());
        let (report, weight) = (bare(beat.clone()), beat.get_dispatch_info().call_weight);
        let check = beat.weight_of_authorize();
        assert!(check.ref_time() > 0 && weight.ref_time() > check.ref_time(), "{weight} has no {check}");
        let base = <Runtime as frame_system::Config>::BlockWeights::get().get(Operational).base_extrinsic;
        let length = Weight::from_parts(0, report.encode().len() as u64);
        block(vec![report]);
        assert_eq!(*System::block_weight().get(Operational), weight + base + length);
    });
}

#[test]
fn an_empty_node_is_removed_by_its_farmer_alone() {
    run_with_node(|mut machine, _| {
        let remove = |node| pallet_grid_nodes::Call::remove { node };
        assert_fails(Bob, remove(1), Error::NotFarmer);
        assert_fails(Alice, remove(7), Error::UnknownNode);
        assert_ok!(call(Bob, create(1, small())));
        assert_fails(Alice, remove(1), Error::NodeInUse);
        let reason = pallet_grid_contracts::CancelReason::Cancelled;
        assert_ok!(call(Bob, pallet_grid_contracts::Call::cancel { contract: 1, reason }));
        assert_ok!(call(Alice, remove(1)));
        assert_eq!(held(Alice, pallet_grid_nodes::HoldReason::Node), 0);
        assert_eq!(Nodes::free(1), None);
        assert_refused(machine.heartbeat(), Refusal::NodeUnknown);
        assert_fails(Bob, create(1, small()), pallet_grid_contracts::Error::<Runtime>::UnknownNode);
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

/// Bob's farm, number 2, and an open ticket of it.
fn second_farm() -> sp_core::ed25519::Pair {
    let ticket = sp_core::ed25519::Pair::from_seed(&[2; 32]);
    customer(Bob, 100 * TFT);
    assert_ok!(call(Bob, pallet_grid_farms::Call::create { name: b"windy".to_vec().try_into().unwrap() }));
    let expires = Timestamp::get() / 1_000 + 86_400;
    assert_ok!(call(Bob, open_ticket(2, &ticket, 1, expires)));
    ticket
}

#[test]
fn empty_node_moves_to_another_farm_with_its_deposit() {
    run(|| {
        farm_with_ticket(1);
        let machine = Machine::join(1);
        let before = register(registration(&ticket(), &machine.key), &ticket(), &machine.key);
        let theirs = second_farm();
        let go = register(registration(&theirs, &machine.key), &theirs, &machine.key);

        assert_ok!(call(Bob, create(1, small())));
        assert_refused(go.clone(), Refusal::NotEmpty);
        let reason = pallet_grid_contracts::CancelReason::Cancelled;
        assert_ok!(call(Bob, pallet_grid_contracts::Call::cancel { contract: 1, reason }));
        report(go.clone()).unwrap();

        let node = pallet_grid_nodes::Nodes::<Runtime>::get(1).unwrap();
        assert_eq!((node.farm, node.deposit), (2, 10 * TFT));
        assert_eq!(held(Alice, pallet_grid_nodes::HoldReason::Node), 0);
        assert_eq!(held(Bob, pallet_grid_nodes::HoldReason::Node), 10 * TFT);
        assert_eq!(held(Bob, pallet_grid_farms::HoldReason::BootTicket), 0);
        // Who kept the registrations can't send it back.
        assert_refused(go, Refusal::TicketUsed);
        assert_refused(before, Refusal::TicketUsed);
        assert_fails(Alice, pallet_grid_nodes::Call::remove { node: 1 }, Error::NotFarmer);
        assert_ok!(call(Bob, pallet_grid_nodes::Call::remove { node: 1 }));
    });
}

#[test]
fn a_second_ticket_of_its_own_farm_is_not_spent_by_a_node() {
    run(|| {
        farm_with_ticket(1);
        let machine = Machine::join(1);
        let second = sp_core::ed25519::Pair::from_seed(&[2; 32]);
        let expires = Timestamp::get() / 1_000 + 86_400;
        assert_ok!(call(Alice, open_ticket(1, &second, 1, expires)));
        let again = register(registration(&second, &machine.key), &second, &machine.key);
        assert_refused(again, Refusal::SameFarm);
    });
}

#[test]
fn ids_run_out_in_the_pool_and_the_ticket_stays_unspent() {
    run(|| {
        farm_with_ticket(1);
        pallet_grid_nodes::LastNodeId::<Runtime>::put(u32::MAX);
        let key = Machine::key(1);
        let late = register(registration(&ticket(), &key), &ticket(), &key);
        assert_refused(late, Refusal::IdsExhausted);
        pallet_grid_nodes::LastNodeId::<Runtime>::put(u32::MAX - 1);
        assert_eq!(Machine::join(1).id, u32::MAX);
    });
}

#[test]
fn a_node_offers_no_less_than_its_contracts_have() {
    run_with_node(|mut machine, _| {
        assert_ok!(call(Bob, create(1, small())));
        let less = Resources { mru: small().mru - 1, ..capacity() };
        assert_refused(machine.details(less), Refusal::BelowReserved);
        let unseen = Resources { gpu: 1, ..capacity() };
        assert_refused(machine.details(unseen), Refusal::GpusMiscounted);
        let beyond = Resources { hru: u64::MAX, ..capacity() };
        assert_refused(machine.details(beyond), Refusal::CapacityOutOfRange);

        let rate = price_of(1).rates;
        report(machine.details(small())).unwrap();
        assert_eq!(Nodes::free(1), Some(Resources::ZERO));
        assert_eq!(price_of(1).rates, rate);
    });
}

#[test]
fn governance_certifies_and_other_hardware_loses_it() {
    run_with_node(|mut machine, _| {
        let certify = pallet_grid_nodes::Call::certify { node: 1, seen: Some(capacity()) };
        assert_fails(Alice, certify.clone(), DispatchError::BadOrigin);
        let by_sudo = pallet_sudo::Call::sudo { call: Box::new(certify.into()) };
        assert_ok!(call(Alice, by_sudo));
        assert!(<Nodes as NodeDirectory>::facts(1).unwrap().certified);
        let dearer = Contracts::quote(1, small(), 0);
        report(machine.details(Resources { cru: 4, ..capacity() })).unwrap();
        assert!(!<Nodes as NodeDirectory>::facts(1).unwrap().certified);
        assert!(Contracts::quote(1, small(), 0) < dearer);
        let event = pallet_grid_nodes::Event::<Runtime>::CertificationChanged { node: 1, certified: false };
        System::assert_has_event(event.into());
    });
}

#[test]
fn free_reports_do_not_come_in_floods() {
    use frame_support::traits::Authorize;
    use sp_runtime::transaction_validity::TransactionSource;
    run_with_node(|mut machine, _| {
        pass(heartbeat_ms());
        // Two of a kind compete for one place in the pool.
        let tags = |call: pallet_grid_nodes::Call<Runtime>| {
            let valid = RuntimeCall::from(call).authorize(TransactionSource::External).unwrap().unwrap();
            valid.0.provides
        };
        assert_eq!(tags(machine.heartbeat()), tags(machine.heartbeat()));
        assert_eq!(tags(machine.details(capacity())), tags(machine.details(small())));
        // And one that is in a block leaves no place for the next.
        report(machine.heartbeat()).unwrap();
        report(machine.details(capacity())).unwrap();
        for _ in 0..3 {
            assert_refused(machine.heartbeat(), Refusal::TooSoon);
            assert_refused(machine.details(capacity()), Refusal::TooSoon);
        }
        machine.sequence = 0;
        assert_refused(machine.details(capacity()), Refusal::SequenceOld);
    });
}

#[test]
fn a_fee_cannot_rise_in_the_block_before_the_tenants_call() {
    run_with_node(|mut machine, _| {
        let fee = || <Nodes as NodeDirectory>::facts(1).unwrap().extra_fee;
        let ask = |fee| pallet_grid_nodes::Call::set_extra_fee { node: 1, fee };
        let most = parameters::ExtraFeeLimit::get();
        assert_fails(Bob, ask(1), Error::NotFarmer);
        assert_fails(Alice, ask(most + 1), Error::ExtraFeeAboveMaximum);
        assert_fails(Alice, ask(u64::MAX), Error::ExtraFeeAboveMaximum);
        assert_ok!(call(Alice, ask(most)));
        assert_eq!(fee(), 0);
        machine.serve(parameters::ExtraFeeNotice::get() - SLOT_DURATION);
        assert_eq!(fee(), 0);
        machine.serve(2 * SLOT_DURATION);
        assert_eq!(fee(), most);
        assert_ok!(call(Alice, ask(7)));
        assert_eq!(fee(), 7);
    });
}

#[test]
fn runtime_api_finds_the_same_nodes_as_the_pallet() {
    use tfgrid_runtime::grid_api::runtime_decl_for_grid_api::GridApi;
    run(|| {
        farm_with_ticket(3);
        let _machines = [1, 2, 3].map(Machine::join);
        customer(Bob, 100 * TFT);
        assert_ok!(call(Bob, create(2, capacity())));
        let ask = |after, limit| <Runtime as GridApi<Block>>::find_nodes(NodeFilter::default(), after, limit);
        let page = ask(None, 2);
        assert_eq!(page.items.iter().map(|offer| offer.node).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((page.items[1].free, page.items[1].contracts), (Resources::ZERO, 1));
        let rest = ask(page.next, 2);
        assert_eq!((rest.items[0].node, rest.next), (3, None));
        assert_eq!(<Runtime as GridApi<Block>>::node_offer(3), Nodes::node_offer(3));
        let period = pallet_grid_nodes::uptime::period_of(Clock::unix_now());
        assert_eq!(<Runtime as GridApi<Block>>::node_uptime(3, period), 0);
    });
}
