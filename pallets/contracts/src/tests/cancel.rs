// SPDX-License-Identifier: Apache-2.0

use super::*;
use crate::{AccountComplaints, COMPLAINT_WINDOW, Complaints, MAX_COMPLAINTS};

#[test]
fn everything_is_released_and_a_tombstone_stays() {
    run(|| {
        let contract = running(Create { public_ips: 2, ..Create::default() });
        let deposit = held(BOB);
        pass(MINUTE_MS);
        assert_ok!(call(BOB, cancel(contract)));
        assert_eq!((used(NODE), held(BOB), listed(NODE)), (Resources::ZERO, 0, vec![]));
        assert_eq!((Bodies::<Test>::get(contract), Results::<Test>::get(contract)), (None, None));
        assert_eq!(Doubles::get().ips[&contract], HeldIps { kept: 0, cooling: vec![now() + COOL_DOWN; 2] });
        assert_eq!(armed(Deadline::CoolDown(contract)), Some(now() + COOL_DOWN));
        let expected = ClosedContract {
            twin: 1,
            node: Some(NODE),
            reason: ClosingReason::Cancelled,
            closed_at: now(),
            closed_at_unix: MockClock::unix_now(),
            usd: CHARGE.usd,
            tft: 70,
        };
        assert_eq!(tombstone(contract), expected);
        assert_eq!(armed(Deadline::Tombstone(contract)), Some(now() + TOMBSTONE_LIFE));
        let (reason, tft, usd) = (expected.reason, expected.tft, expected.usd);
        assert_eq!(events(), [Event::ContractClosed { contract, reason, tft, usd, released: deposit }]);
        assert_fails(BOB, cancel(contract), Failure::UnknownContract);
    });
}

#[test]
fn an_awaited_answer_is_disarmed() {
    run(|| {
        let contract = opened(Create::default());
        assert_ok!(call(BOB, cancel(contract)));
        assert_eq!((armed(Deadline::Answer(contract)), armed(Deadline::CoolDown(contract))), (None, None));
        assert_eq!(traced(), [Traced::Close(contract, Outcome::EndedByOwner { reserved_ms: 0 })]);
        assert_eq!((tombstone(contract).tft, tombstone(contract).usd), (0, 0));
    });
}

#[test]
fn a_pending_version_is_rejected_first() {
    for (first, second) in [(small(), large()), (large(), small())] {
        run(|| {
            let contract = updating(first, second);
            let deposit = held(BOB);
            assert_ok!(call(BOB, cancel(contract)));
            let closed = Traced::Close(contract, Outcome::EndedByOwner { reserved_ms: 0 });
            assert_eq!(traced(), [Traced::Reject(contract, Some(0)), closed]);
            assert_eq!((used(NODE), held(BOB)), (Resources::ZERO, 0));
            assert_eq!(armed(Deadline::Answer(contract)), None);
            assert_eq!(PendingBodies::<Test>::get(contract), None);
            let [Event::ContractClosed { released, .. }] = events()[..] else { panic!("closed once") };
            assert_eq!(released, deposit - 3 * PER_BYTE, "the pending body's deposit goes before");
        });
    }
}

#[test]
fn a_name_is_on_no_node() {
    run(|| {
        let contract = opened(name("shop"));
        assert_ok!(call(BOB, cancel(contract)));
        assert_eq!(traced(), [Traced::Close(contract, Outcome::EndedByOwner { reserved_ms: 0 })]);
        assert_eq!((tombstone(contract).node, held(BOB)), (None, 0));
        assert_eq!(Names::<Test>::iter().count(), 0);
    });
}

#[test]
fn is_the_owners_alone() {
    run(|| {
        let contract = opened(Create::default());
        for close in [cancel, complain] {
            assert_fails(BOB, close(9), Failure::UnknownContract);
            assert_fails(STRANGER, close(contract), Failure::NoTwin);
            assert_fails(CHARLIE, close(contract), Failure::NotOwner);
        }
    });
}

#[test]
fn each_reason_has_its_outcome() {
    use ClosingReason::*;
    let code = FailureCode::BodyInvalid;
    let outcomes = [
        // The reason, its outcome on a node that serves, and on one that is silent.
        (Cancelled, Outcome::EndedByOwner { reserved_ms: 0 }, Outcome::Served),
        (NotDelivered, Outcome::NotDelivered, Outcome::NotDelivered),
        (OutOfFunds, Outcome::Served, Outcome::Served),
        (NodeRejected { code }, Outcome::EndedByOwner { reserved_ms: 0 }, Outcome::Served),
        (NodeRejected { code: FailureCode::NodeFull }, Outcome::Served, Outcome::Served),
        (NodeSilent, Outcome::Served, Outcome::Served),
        (NodeRemoved, Outcome::Served, Outcome::Served),
        (Drained, Outcome::Served, Outcome::Served),
        (ByGovernance, Outcome::Served, Outcome::Served),
    ];
    for (reason, on_serving, on_silent) in outcomes {
        for (service, outcome) in [(Service::Running, on_serving), (Service::Suspended, on_silent)] {
            run(|| {
                let contract = running(Create::default());
                set_service(NODE, service);
                Contracts::close(contract, record(contract), reason);
                assert_eq!(traced(), [Traced::Close(contract, outcome)], "{reason:?}, {service:?}");
                assert_eq!(reason_of(contract), reason);
            });
        }
    }
}

#[test]
fn not_delivered_counts_on_node_and_account() {
    run(|| {
        let contract = running(Create::default());
        assert_ok!(call(BOB, complain(contract)));
        assert_eq!(traced(), [Traced::Close(contract, Outcome::NotDelivered)]);
        assert_eq!(reason_of(contract), ClosingReason::NotDelivered);
        assert_eq!(on_node(NODE, |node| node.not_delivered), REFUND);
        assert_eq!(AccountComplaints::<Test>::get(BOB), Complaints { since: now(), count: 1 });
    });
}

#[test]
fn not_delivered_needs_something_to_refund() {
    run(|| {
        let contract = running(Create::default());
        Doubles::mutate(|state| state.refund = 0);
        assert_fails(BOB, complain(contract), Failure::NothingToRefund);
        assert_ok!(call(BOB, cancel(contract)));
    });
}

#[test]
fn a_rent_can_be_not_delivered() {
    run(|| {
        let contract = opened(rent(NODE));
        assert_ok!(call(BOB, complain(contract)));
        assert_eq!(traced(), [Traced::Close(contract, Outcome::NotDelivered)]);
        assert_eq!(on_node(NODE, |node| node.not_delivered), REFUND);
    });
}

#[test]
fn not_delivered_needs_a_deployment_on_a_node() {
    run(|| {
        assert_fails(BOB, complain(opened(Create::default())), Failure::NotDeployed);
        assert_fails(BOB, complain(opened(name("shop"))), Failure::NotOnANode);
    });
}

#[test]
fn not_delivered_is_said_within_its_window() {
    run(|| {
        let contract = opened(Create::default());
        pass(MINUTE_MS);
        assert_ok!(report(confirm(contract)));
        let late = running(Create::default());
        pass(NOT_DELIVERED_WINDOW - 1);
        assert_ok!(call(BOB, complain(contract)));
        pass(1);
        assert_fails(BOB, complain(late), Failure::NotDeliveredWindowOver);
        assert_ok!(call(BOB, cancel(late)));
    });
}

#[test]
fn three_in_30_days_can_be_not_delivered() {
    run(|| {
        let complain_anew = || call(BOB, complain(running(Create::default())));
        for _ in 0..MAX_COMPLAINTS {
            assert_ok!(complain_anew());
            pass(DAY_MS);
        }
        assert_fails(BOB, complain(running(Create::default())), Failure::TooManyComplaints);
        // The window begins with the first of them.
        pass((30 - 3) * DAY_MS - 1);
        assert_fails(BOB, complain(running(Create::default())), Failure::TooManyComplaints);
        pass(1);
        assert_ok!(complain_anew());
        assert_eq!(AccountComplaints::<Test>::get(BOB), Complaints { since: now(), count: 1 });
        assert_eq!(COMPLAINT_WINDOW, 30 * DAY_MS);
    });
}

#[test]
fn complaints_of_others_do_not_count() {
    run(|| {
        for _ in 0..MAX_COMPLAINTS {
            assert_ok!(call(BOB, complain(running(Create::default()))));
        }
        assert_ok!(call(CHARLIE, Create::default()));
        let theirs = LastContractId::<Test>::get();
        assert_ok!(report(confirm(theirs)));
        assert_ok!(call(CHARLIE, complain(theirs)));
    });
}

#[test]
fn governance_closes_any_contract() {
    run(|| {
        let contract = updating(small(), large());
        assert_fails(BOB, Call::force_close { contract }, BadOrigin);
        let unknown = dispatch(RawOrigin::Root, Call::force_close { contract: 9 });
        assert_eq!(unknown, Err(Failure::UnknownContract.into()));
        force_close(contract);
        assert_eq!(traced(), [Traced::Reject(contract, Some(0)), Traced::Close(contract, Outcome::Served)]);
        assert_eq!(reason_of(contract), ClosingReason::ByGovernance);
        assert_eq!((used(NODE), held(BOB)), (Resources::ZERO, 0));
    });
}
