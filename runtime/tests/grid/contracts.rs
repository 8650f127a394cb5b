// SPDX-License-Identifier: Apache-2.0
//! Contracts from create to closed, with what they cost.

use crate::chain::*;
use frame_support::{
    assert_ok,
    traits::{Get, fungible::InspectHold},
};
use pallet_grid_contracts::{CancelReason, Network, Subnet};
use sp_keyring::Sr25519Keyring;
use tfgrid_primitives::{
    Body, FailureCode, Refusal, Resources, UsageItem, UsageTotals,
    report::{DeployedPayload, UsagePayload},
    units::{HOUR_MS, MINUTE_MS, TFT},
    views::{ClosingReason, ContractStatus},
};
use tfgrid_runtime::{
    parameters::{AnswerTime, LongOffline, NotDeliveredWindow, ResultInterval, TombstoneTime, UsageInterval},
    *,
};

type Call = pallet_grid_contracts::Call<Runtime>;
type Error = pallet_grid_contracts::Error<Runtime>;

/// `create` with one argument changed.
fn create_with(change: impl FnOnce(&mut Call)) -> Call {
    let mut call = create(1, small());
    change(&mut call);
    call
}

fn with_body(bytes: usize) -> Call {
    create_with(|call| {
        if let Call::create_node_contract { body, .. } = call {
            *body = Body::Plain(vec![b' '; bytes]);
        }
    })
}

pub fn with_networks(list: Vec<(&str, [u8; 4], u8)>) -> Call {
    let list: Vec<Network> = list
        .into_iter()
        .map(|(name, address, prefix)| Network {
            name: name.as_bytes().to_vec().try_into().unwrap(),
            subnet: Subnet { address, prefix },
        })
        .collect();
    create_with(|call| {
        if let Call::create_node_contract { networks, .. } = call {
            *networks = list.try_into().unwrap();
        }
    })
}

#[test]
fn contract_costs_exactly_its_time_deployed_until_closed() {
    run_with_node(|mut machine, bob| {
        assert_ok!(call(Bob, create(1, small())));
        assert_eq!(price_of(1).rates.usd, 103_750_000);
        assert_eq!(Contracts::status_of(1), Some(ContractStatus::Created));
        machine.serve(30_000);
        assert_eq!(credit(bob), CREDIT, "nothing is charged before the node has deployed");

        report(machine.deployed(1, br#"{"web":{"ip":"10.0.0.2"}}"#)).unwrap();
        assert_eq!(
            pallet_grid_contracts::Results::<Runtime>::get(1).unwrap()[..],
            br#"{"web":{"ip":"10.0.0.2"}}"#[..]
        );
        // The block that has the report is the first that isn't charged: it begins the charge.
        machine.serve(HOUR_MS);
        let hour = 103_750_000 * TFT / 10_000_000_000 * 20;
        assert!((CREDIT - credit(bob)).abs_diff(hour) <= 1, "{}", credit(bob));

        assert_ok!(call(Bob, cancel(1)));
        let closed = pallet_grid_contracts::ClosedContracts::<Runtime>::get(1).unwrap();
        assert_eq!((closed.reason, closed.twin, closed.node), (ClosingReason::Cancelled, bob, Some(1)));
        assert_eq!(closed.usd, 103_750_000);
        assert!(closed.tft.abs_diff(hour) <= 1);
        assert!(matches!(Contracts::status_of(1), Some(ContractStatus::Closed { .. })));
        assert_eq!(Nodes::free(1), Some(capacity()));
        let held = Balances::balance_on_hold(
            &pallet_grid_contracts::HoldReason::Contract.into(),
            &Bob.to_account_id(),
        );
        assert_eq!(held, 0);

        let left = credit(bob);
        pass(HOUR_MS);
        assert_eq!(credit(bob), left, "a closed contract costs nothing");
        assert_ok!(call(Bob, pallet_grid_billing::Call::withdraw { amount: left }));
        for payee in [pallet_grid_billing::Payee::Farm(1), pallet_grid_billing::Payee::Foundation] {
            assert_ok!(call(Charlie, pallet_grid_billing::Call::pay_out { payee }));
        }
    });
}

#[test]
fn contract_pauses_with_an_exhausted_payer_until_a_deposit() {
    run(|| {
        farm_with_ticket(1);
        let mut machine = Machine::join(1);
        let bob = customer(Bob, 25 * TFT / 100); // an hour and a bit
        assert_ok!(call(Bob, create(1, small())));
        report(machine.deployed(1, b"{}")).unwrap();
        machine.serve(75 * MINUTE_MS);
        assert!(matches!(Contracts::status_of(1), Some(ContractStatus::Paused { .. })));
        assert!(Contracts::page_of_node(1, None, 10).items[0].paused);
        assert_ok!(call(Charlie, pallet_grid_billing::Call::deposit { twin: bob, amount: TFT }));
        assert!(matches!(Contracts::status_of(1), Some(ContractStatus::Deployed { .. })));
        assert!(!Contracts::page_of_node(1, None, 10).items[0].paused);
    });
}

#[test]
fn contract_that_a_node_rejects_closes_with_the_nodes_reason() {
    run_with_node(|mut machine, bob| {
        assert_ok!(call(Bob, create(1, small())));
        report(machine.failed(1, FailureCode::ImageNotFound)).unwrap();
        let reason = ClosingReason::NodeRejected { code: FailureCode::ImageNotFound };
        let failure = pallet_grid_contracts::Failures::<Runtime>::get(1).unwrap();
        assert_eq!((&failure.path[..], &failure.text[..]), (&b"/workloads/0"[..], &b"no such manifest"[..]));
        assert_eq!(pallet_grid_contracts::ClosedContracts::<Runtime>::get(1).unwrap().reason, reason);
        let held = pallet_grid_contracts::HoldReason::Contract.into();
        assert_eq!(Balances::balance_on_hold(&held, &Bob.to_account_id()), 0);
        assert!(credit(bob) < CREDIT, "it had occupied the node");
        assert_eq!(Nodes::free(1), Some(capacity()));
    });
}

#[test]
fn contract_that_no_node_answers_closes_for_the_minimum() {
    run_with_node(|mut machine, bob| {
        assert_ok!(call(Bob, create(1, small())));
        machine.serve(AnswerTime::get() - 2 * SLOT_DURATION);
        assert_eq!(Contracts::status_of(1), Some(ContractStatus::Created));
        machine.serve(3 * SLOT_DURATION);
        let closed = pallet_grid_contracts::ClosedContracts::<Runtime>::get(1).unwrap();
        // Ten minutes.
        let minimum = an_hour_of(Contracts::quote(1, small(), 0).unwrap()) / 6;
        assert_eq!((closed.reason, closed.tft), (ClosingReason::NodeSilent, minimum));
        assert!((CREDIT - credit(bob)).abs_diff(minimum) <= 1);
        assert_eq!(Nodes::free(1), Some(capacity()));
    });
}

#[test]
fn a_closed_contract_is_forgotten_in_the_end() {
    run_with_node(|mut machine, _| {
        assert_ok!(call(Bob, create(1, small())));
        assert_ok!(call(Bob, cancel(1)));
        machine.serve(TombstoneTime::get() - SLOT_DURATION);
        assert!(Contracts::status_of(1).is_some());
        machine.serve(2 * SLOT_DURATION);
        assert_eq!(Contracts::status_of(1), None);
    });
}

#[test]
fn contracts_on_a_silent_node_cost_nothing_until_it_is_back() {
    run_with_credit(TFT, |mut machine, bob| {
        // More than a step of the sweep takes.
        let one = Resources { cru: 0, mru: 0, sru: 1, ..small() };
        for id in 1..=40 {
            assert_ok!(call(Bob, create(1, one)));
            report(machine.deployed(id, b"{}")).unwrap();
            if id % 5 == 0 {
                report(machine.heartbeat()).unwrap();
            }
        }
        machine.serve(4 * heartbeat_ms());
        report(machine.heartbeat()).unwrap();
        let served = credit(bob);
        pass(4 * heartbeat_ms());
        assert!(matches!(Contracts::status_of(40), Some(ContractStatus::NodeOffline { .. })));
        let payer = Billing::settled_payer(bob);
        assert_eq!(payer.charged.usd, 0, "all are suspended");
        assert!(credit(bob).abs_diff(served) <= 40, "the silence is paid back");
        let rate = price_of(1).rates.usd;

        while !Nodes::is_online(1) {
            pass(heartbeat_ms());
            report(machine.heartbeat()).unwrap();
        }
        // Sixteen a block.
        pass(3 * SLOT_DURATION);
        assert_eq!(Billing::settled_payer(bob).charged.usd, 40 * u128::from(rate));
        assert!(matches!(Contracts::status_of(1), Some(ContractStatus::Deployed { .. })));
        machine.serve(heartbeat_ms());
        assert!(credit(bob) < served);
    });
}

#[test]
fn a_node_that_stays_silent_loses_its_contracts() {
    run_with_node(|mut machine, _| {
        for id in 1..=20 {
            assert_ok!(call(Bob, create(1, Resources { cru: 0, mru: 0, sru: 1, ..small() })));
            report(machine.deployed(id, b"{}")).unwrap();
            if id % 5 == 0 {
                report(machine.heartbeat()).unwrap();
            }
        }
        pass(LongOffline::get() + 5 * heartbeat_ms());
        for id in 1..=20 {
            let closed = pallet_grid_contracts::ClosedContracts::<Runtime>::get(id).unwrap();
            assert_eq!(closed.reason, ClosingReason::NodeSilent);
        }
        assert_eq!(Nodes::free(1), Some(capacity()));
        assert_ok!(call(Alice, pallet_grid_nodes::Call::remove { node: 1 }));
    });
}

#[test]
fn an_undelivered_contract_costs_the_minimum() {
    run_with_node(|mut machine, bob| {
        let complain = |contract| Call::cancel { contract, reason: CancelReason::NotDelivered };
        let window = NotDeliveredWindow::get();
        assert_ok!(call(Bob, create(1, small())));
        assert_fails(Bob, complain(1), Error::NotDeployed);
        report(machine.deployed(1, b"{}")).unwrap();
        machine.serve(window - 2 * SLOT_DURATION);
        let charged = CREDIT - credit(bob);
        assert_fails(Charlie, complain(1), Error::NoTwin);
        assert_fails(Bob, complain(1), Error::NothingToRefund);
        has_paid(Bob, 1_000 * TFT);
        assert_ok!(call(Bob, complain(1)));
        let kept = CREDIT - credit(bob);
        assert!(kept >= charged / 6 && kept < charged / 4, "{kept} of {charged} is kept");
        let closed = pallet_grid_contracts::ClosedContracts::<Runtime>::get(1).unwrap();
        assert!(closed.tft.abs_diff(kept) <= 1);
        let seen = Nodes::node_offer(1).unwrap().not_delivered;
        assert!(seen.abs_diff(charged - kept) <= 2, "people see {seen} at the node");

        for id in 2..=5 {
            assert_ok!(call(Bob, create(1, small())));
            report(machine.deployed(id, b"{}")).unwrap();
            machine.serve(window / 3);
            if id < 4 {
                assert_ok!(call(Bob, complain(id)));
            }
        }
        assert_fails(Bob, complain(4), Error::TooManyComplaints);
        machine.serve(window);
        assert_fails(Bob, complain(4), Error::NotDeliveredWindowOver);
        pallet_grid_clock::GridClockState::<Runtime>::mutate(|clock| {
            clock.now_ms += pallet_grid_contracts::COMPLAINT_WINDOW;
        });
        pallet_grid_contracts::Contracts::<Runtime>::mutate(5, |contract| {
            contract.as_mut().unwrap().deployed_at =
                pallet_grid_clock::GridClockState::<Runtime>::get().now_ms;
        });
        assert_ok!(call(Bob, complain(5)));
    });
}

#[test]
fn contract_that_never_ran_pays_ten_minutes_of_its_capacity() {
    run_with_node(|mut machine, bob| {
        let ten_minutes = 103_750_000 * TFT / 10_000_000_000 * 20 / 6;
        for _ in 0..5 {
            assert_ok!(call(Bob, create(1, small())));
            let id = pallet_grid_contracts::LastContractId::<Runtime>::get();
            let before = credit(bob);
            assert_ok!(call(Bob, cancel(id)));
            assert!((before - credit(bob)).abs_diff(ten_minutes) <= 1);
        }
        // A body that the node can't run is the user's fault, and earns the farmer nothing.
        let farmers = pallet_grid_billing::Payable::<Runtime>::get(pallet_grid_billing::Payee::Farm(1));
        assert_ok!(call(Bob, create(1, small())));
        let before = credit(bob);
        report(machine.failed(6, FailureCode::BodyInvalid)).unwrap();
        assert!((before - credit(bob)).abs_diff(ten_minutes) <= 1);
        assert_eq!(
            pallet_grid_billing::Payable::<Runtime>::get(pallet_grid_billing::Payee::Farm(1)),
            farmers
        );
    });
}

#[test]
fn only_governance_closes_the_contracts_of_others() {
    run_with_node(|_, bob| {
        assert_ok!(call(Bob, create(1, small())));
        assert_fails(Bob, Call::force_close { contract: 1 }, sp_runtime::DispatchError::BadOrigin);
        let close = |contract| {
            let inner = Box::new(Call::force_close { contract }.into());
            call(Alice, pallet_sudo::Call::sudo { call: inner })
        };
        assert_ok!(close(1));
        assert_eq!(
            pallet_grid_contracts::ClosedContracts::<Runtime>::get(1).unwrap().reason,
            ClosingReason::ByGovernance
        );
        assert_eq!(credit(bob), CREDIT);
        let unknown =
            pallet_sudo::Event::<Runtime>::Sudid { sudo_result: Err(Error::UnknownContract.into()) };
        assert_ok!(close(1));
        System::assert_has_event(unknown.into());
    });
}

#[test]
fn a_solution_provider_is_named_once_and_by_the_owner() {
    run_with_node(|mut machine, _| {
        let attach = |provider| pallet_grid_billing::Call::attach_provider { contract: 1, provider };
        let add = pallet_grid_billing::Call::add_provider { account: Charlie.to_account_id(), permille: 100 };
        assert_ok!(call(Alice, pallet_sudo::Call::sudo { call: Box::new(add.into()) }));
        type Error = pallet_grid_billing::Error<Runtime>;
        assert_fails(Bob, attach(1), Error::UnknownContract);
        assert_ok!(call(Bob, create(1, small())));
        report(machine.deployed(1, b"{}")).unwrap();
        assert_fails(Alice, attach(1), Error::NotThePayer);
        assert_fails(Bob, attach(2), Error::UnknownProvider);
        assert_ok!(call(Bob, attach(1)));
        assert_fails(Bob, attach(1), Error::ProviderAttached);
    });
}

#[test]
fn a_create_call_is_refused_for_every_wrong_argument() {
    run_with_node(|_, _| {
        assert_fails(Charlie, create(1, small()), Error::NoTwin);
        assert_fails(Bob, create(9, small()), Error::UnknownNode);
        assert_fails(Bob, with_body(0), Error::BodySizeOutOfRange);
        assert_fails(Bob, with_body(8_193), Error::BodySizeOutOfRange);
        let too_much = Resources { mru: u64::MAX, ..small() };
        assert_fails(Bob, create(1, too_much), pallet_grid_billing::Error::<Runtime>::RateAboveLimit);
        let more_than_free = Resources { cru: 9, ..small() };
        assert_fails(Bob, create(1, more_than_free), pallet_grid_nodes::Error::<Runtime>::NotEnoughCapacity);
        let all = u64::MAX;
        let absurd = Resources { cru: all, mru: all, sru: all, hru: all, gpu: all };
        assert_fails(Bob, create(1, absurd), Error::RateOutOfRange);
        assert_fails(
            Bob,
            create_with(|call| {
                if let Call::create_node_contract { max_usd_rate, .. } = call {
                    *max_usd_rate = 103_749_999;
                }
            }),
            Error::RateAboveMaximum,
        );
        assert_fails(
            Bob,
            create_with(|call| {
                if let Call::create_node_contract { public_ips, .. } = call {
                    *public_ips = 1;
                }
            }),
            pallet_grid_farms::Error::<Runtime>::NotEnoughIps,
        );
        assert_ok!(call(Bob, with_body(8_192)));
    });
}

#[test]
fn networks_are_checked_and_indexed_in_clear() {
    run_with_node(|_, bob| {
        for name in ["", "-a", "a-", "A", "a_b"] {
            assert_fails(Bob, with_networks(vec![(name, [10, 1, 0, 0], 24)]), Error::NetworkNameInvalid);
        }
        for (address, prefix) in [
            ([8, 8, 8, 0], 24),
            ([10, 1, 0, 1], 24),
            ([10, 0, 0, 0], 15),
            ([10, 0, 0, 0], 31),
            ([172, 32, 0, 0], 16),
        ] {
            assert_fails(Bob, with_networks(vec![("mesh", address, prefix)]), Error::SubnetInvalid);
        }
        let twice = vec![("mesh", [10, 1, 0, 0], 24), ("mesh", [10, 2, 0, 0], 24)];
        assert_fails(Bob, with_networks(twice), Error::DuplicateNetwork);

        let good = vec![("mesh", [10, 1, 0, 0], 24), ("lan-2", [192, 168, 7, 4], 30)];
        assert_ok!(call(Bob, with_networks(good)));
        let name: pallet_grid_contracts::NetworkName = b"mesh".to_vec().try_into().unwrap();
        let clash = with_networks(vec![("lan-2", [192, 168, 7, 0], 24)]);
        assert_fails(Bob, clash, Error::RangeTaken);
        let member = pallet_grid_contracts::NetworkMembers::<Runtime>::get((bob, &name, 1));
        assert_eq!(member, Some(Subnet { address: [10, 1, 0, 0], prefix: 24 }));
        assert_ok!(call(Bob, cancel(1)));
        assert_eq!(pallet_grid_contracts::NetworkMembers::<Runtime>::iter_keys().count(), 0);
    });
}

#[test]
fn without_an_hour_of_credit_nothing_is_created() {
    run(|| {
        farm_with_ticket(1);
        Machine::join(1);
        customer(Bob, TFT / 5); // 0.2075 TFT would be an hour
        assert_fails(Bob, create(1, small()), pallet_grid_billing::Error::<Runtime>::CreditTooLow);
    });
}

#[test]
fn only_the_owner_cancels_and_only_once() {
    run_with_node(|_, _| {
        customer(Charlie, TFT);
        assert_ok!(call(Bob, create(1, small())));
        assert_fails(Charlie, cancel(1), Error::NotOwner);
        assert_fails(Sr25519Keyring::Dave, cancel(1), Error::NoTwin);
        assert_fails(Bob, cancel(2), Error::UnknownContract);
        assert_ok!(call(Bob, cancel(1)));
        assert_fails(Bob, cancel(1), Error::UnknownContract);
    });
}

#[test]
fn a_twin_and_a_node_carry_a_bounded_number_of_contracts() {
    run_with_node(|_, bob| {
        pallet_grid_contracts::TwinContractCount::<Runtime>::insert(bob, 10_000);
        assert_fails(Bob, create(1, small()), Error::TooManyContracts);
        pallet_grid_contracts::TwinContractCount::<Runtime>::insert(bob, 0);
        let tiny = || create(1, Resources { sru: 1, ..Resources::ZERO });
        for _ in 0..1_000 {
            assert_ok!(call(Bob, tiny()));
        }
        assert_fails(Bob, tiny(), pallet_grid_nodes::Error::<Runtime>::TooManyContracts);
        assert_ok!(call(Bob, cancel(500)));
        assert_ok!(call(Bob, tiny()));
        assert_ok!(call(Bob, cancel(1)));
        pallet_grid_contracts::LastContractId::<Runtime>::put(u64::MAX);
        assert_fails(Bob, create(1, small()), Error::IdsExhausted);
        pallet_grid_contracts::LastContractId::<Runtime>::put(1_001);
    });
}

#[test]
fn pool_refuses_wrong_reports_on_contracts() {
    run_with_node(|mut machine, _| {
        assert_ok!(call(Bob, create(1, small())));
        let record = pallet_grid_contracts::Contracts::<Runtime>::get(1).unwrap();
        let hash = record.deployment().unwrap().body_hash;
        let good = DeployedPayload { contract: 1, version: 1, body_hash: hash, result: Default::default() };
        let spoilt = |spoil: fn(&mut DeployedPayload)| {
            let mut payload = good.clone();
            spoil(&mut payload);
            payload
        };
        assert_refused(machine.deployed_with(spoilt(|p| p.contract = 9)), Refusal::ContractUnknown);
        assert_refused(machine.deployed_with(spoilt(|p| p.version = 2)), Refusal::VersionMismatch);
        assert_refused(machine.deployed_with(spoilt(|p| p.body_hash.0[0] ^= 1)), Refusal::BodyMismatch);
        let mut forged = Machine { key: Machine::key(9), id: 1, sequence: 100 };
        assert_refused(forged.deployed(1, b""), Refusal::NodeSignatureWrong);
        assert_refused(forged.failed(1, FailureCode::BodyInvalid), Refusal::NodeSignatureWrong);

        let deployed = machine.deployed(1, b"{}");
        report(deployed.clone()).unwrap();
        assert_refused(deployed, Refusal::SequenceOld);
        assert_refused(machine.deployed(1, b"{}"), Refusal::Unchanged);
        assert_refused(machine.failed(1, FailureCode::BodyInvalid), Refusal::AlreadyDeployed);
    });
}

#[test]
fn a_node_reports_on_no_other_nodes_contracts() {
    run(|| {
        farm_with_ticket(2);
        let (_first, mut second) = (Machine::join(1), Machine::join(2));
        customer(Bob, CREDIT);
        assert_ok!(call(Bob, create(1, small())));
        assert_refused(second.deployed(1, b""), Refusal::ContractOfOtherNode);
        assert_refused(second.failed(1, FailureCode::BodyInvalid), Refusal::ContractOfOtherNode);
        let item = UsageItem { contract: 1, totals: UsageTotals::default() };
        report(second.usage(vec![item].try_into().unwrap())).unwrap();
        assert_eq!(pallet_grid_contracts::Usage::<Runtime>::get(1), None);
    });
}

#[test]
fn a_changed_result_is_taken_after_a_while() {
    run_with_node(|mut machine, _| {
        assert_ok!(call(Bob, create(1, small())));
        report(machine.deployed(1, b"a")).unwrap();
        report(machine.deployed(1, b"b")).unwrap();
        assert_refused(machine.deployed(1, b"c"), Refusal::TooSoon);
        pass(ResultInterval::get());
        report(machine.deployed(1, b"c")).unwrap();
        assert_eq!(pallet_grid_contracts::Results::<Runtime>::get(1).unwrap()[..], b"c"[..]);
    });
}

#[test]
fn usage_is_kept_item_by_item_and_the_impossible_refused() {
    run_with_node(|mut machine, _| {
        for _ in 0..2 {
            assert_ok!(call(Bob, create(1, small())));
        }
        report(machine.deployed(1, b"{}")).unwrap();
        let totals =
            UsageTotals { cpu_ms: 10, memory_bytes: 9, disk_bytes: 8, received_bytes: 7, sent_bytes: 6 };
        let items = |totals: UsageTotals| -> UsagePayload {
            [1, 2, 77].map(|contract| UsageItem { contract, totals }).to_vec().try_into().unwrap()
        };
        assert_refused(machine.usage(Default::default()), Refusal::NoItems);
        report(machine.usage(items(totals))).unwrap();
        assert_eq!(pallet_grid_contracts::Usage::<Runtime>::get(1), Some(totals));
        assert_eq!(pallet_grid_contracts::Usage::<Runtime>::get(2), None, "not deployed");
        assert_refused(machine.usage(items(totals)), Refusal::TooSoon);

        pass(UsageInterval::get());
        let less = UsageTotals { cpu_ms: 9, ..totals };
        let old = machine.usage(items(less));
        report(old.clone()).unwrap();
        assert_eq!(pallet_grid_contracts::Usage::<Runtime>::get(1), Some(totals), "a total that went down");
        assert_refused(old, Refusal::SequenceOld);
    });
}

#[test]
fn a_nodes_contracts_are_read_in_pages() {
    run_with_node(|_, _| {
        for _ in 0..5 {
            assert_ok!(call(Bob, create(1, Resources { cru: 1, ..Resources::ZERO })));
        }
        let mut seen = Vec::new();
        loop {
            let page = Contracts::page_of_node(1, seen.last().copied(), 2);
            assert!(page.items.len() <= 2);
            seen.extend(page.items.iter().map(|c| c.contract));
            if page.next.is_none() {
                break;
            }
        }
        seen.sort();
        assert_eq!(seen, [1, 2, 3, 4, 5]);
    });
}
