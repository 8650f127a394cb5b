// SPDX-License-Identifier: Apache-2.0
//! A contract's next version, and the time that nodes have to answer.

use crate::chain::*;
use frame_support::{assert_ok, traits::Get};
use tfgrid_primitives::{
    Body, ContractId, FailureCode, Rates, Refusal, Resources,
    clock::stretch,
    report::download_ms,
    traits::Clock as _,
    units::{HOUR_MS, MINUTE_MS, TFT, USD},
    views::{ClosingReason, ContractStatus},
};
use tfgrid_runtime::{
    parameters::{AnswerLimit, AnswerTime},
    *,
};

type Call = pallet_grid_contracts::Call<Runtime>;
type Error = pallet_grid_contracts::Error<Runtime>;
type Event = pallet_grid_contracts::Event<Runtime>;

fn large() -> Resources {
    Resources { cru: 4, mru: 2 * small().mru, sru: small().sru, ..Resources::ZERO }
}

fn agreed() -> u64 {
    price_of(1).rates.usd
}

fn reserved() -> Resources {
    capacity().saturating_sub(&Nodes::free(1).unwrap())
}

#[test]
fn pending_update_reserves_the_larger_and_bills_what_runs() {
    run_with_node(|mut machine, _| {
        let id = deployed(&mut machine, Bob, small());
        let before = agreed();
        let body = held(Bob, pallet_grid_contracts::HoldReason::Contract);
        assert_ok!(call(Bob, update(id, large())));
        assert_eq!((reserved(), agreed()), (large(), before));
        let page = Contracts::page_of_node(1, None, 10).items;
        let pending = page[0].pending.unwrap();
        assert_eq!((page[0].version, page[0].resources), (1, small()));
        assert_eq!((pending.version, pending.resources), (2, large()));
        let both = held(Bob, pallet_grid_contracts::HoldReason::Contract);
        assert_eq!(both - body, NEW_BODY.len() as u128 * TFT / 1_000);

        report(machine.deployed(id, b"new")).unwrap();
        let after = agreed();
        assert!(reserved() == large() && after > before);
        assert_eq!(pallet_grid_contracts::Bodies::<Runtime>::get(id).unwrap().bytes(), NEW_BODY);
        assert_eq!(both - held(Bob, pallet_grid_contracts::HoldReason::Contract), 2 * TFT / 1_000);
        System::assert_has_event(Event::Deployed { contract: id, node: 1, version: 2 }.into());

        // And down again.
        assert_ok!(call(Bob, update(id, small())));
        assert_eq!((reserved(), agreed()), (large(), after));
        report(machine.deployed(id, b"old")).unwrap();
        assert_eq!((reserved(), agreed()), (small(), before));
        assert_ok!(call(Bob, cancel(id)));
        assert_eq!(Nodes::free(1), Some(capacity()));
        assert_eq!(held(Bob, pallet_grid_contracts::HoldReason::Contract), 0);
    });
}

#[test]
fn an_update_that_fails_leaves_the_old_version_as_it_was() {
    run_with_node(|mut machine, _| {
        let id = deployed(&mut machine, Bob, large());
        let (rate, hold) = (agreed(), held(Bob, pallet_grid_contracts::HoldReason::Contract));
        for _ in 0..2 {
            assert_ok!(call(Bob, update(id, small())));
            report(machine.failed(id, FailureCode::BodyInvalid)).unwrap();
            assert_eq!((reserved(), agreed()), (large(), rate));
            assert_eq!(held(Bob, pallet_grid_contracts::HoldReason::Contract), hold);
            assert!(matches!(Contracts::status_of(id), Some(ContractStatus::Deployed { .. })));
        }
        // A version's number isn't given twice: an answer can't be taken for another's.
        assert_ok!(call(Bob, update(id, small())));
        assert_eq!(Contracts::page_of_node(1, None, 10).items[0].pending.unwrap().version, 4);

        machine.serve(AnswerTime::get() + SLOT_DURATION);
        assert_eq!(Contracts::page_of_node(1, None, 10).items[0].pending, None);
        assert_eq!((reserved(), agreed()), (large(), rate));
        assert_eq!(held(Bob, pallet_grid_contracts::HoldReason::Contract), hold);
    });
}

/// What Bob pays while he asks again and again for a small version that `end` lets come to nothing, in 1e-7 TFT,
/// and what the large one that runs costs in that time.
fn paid_on_the_bill_of_a_small_version(end: fn(&mut Machine, ContractId)) -> (Balance, Balance) {
    let (mut paid, mut due) = (0, 0);
    run_with_node(|mut machine, bob| {
        let id = deployed(&mut machine, Bob, large());
        let (before, clock) = (credit(bob), Clock::price_now());
        for _ in 0..6 {
            machine.serve(2 * SLOT_DURATION);
            assert_ok!(call(Bob, update(id, Resources { sru: 1, ..Resources::ZERO })));
            machine.serve(AnswerTime::get() / 2);
            end(&mut machine, id);
        }
        paid = before - credit(bob);
        due = (Rates { usd: agreed(), extra: 0 }.cost_of(Clock::price_now() - clock, 1_000).shared).ceil();
    });
    (paid, due)
}

#[test]
fn whoever_runs_a_large_version_pays_for_it() {
    let rejected = paid_on_the_bill_of_a_small_version(|machine, id| {
        report(machine.failed(id, FailureCode::ImageNotFound)).unwrap();
    });
    let expired = paid_on_the_bill_of_a_small_version(|machine, _| {
        machine.serve(AnswerTime::get() / 2 + 2 * SLOT_DURATION);
    });
    let confirmed = paid_on_the_bill_of_a_small_version(|machine, id| {
        report(machine.deployed(id, b"small")).unwrap();
        assert_ok!(call(Bob, update(id, large())));
        report(machine.deployed(id, b"large")).unwrap();
    });
    for (paid, due) in [rejected, expired, confirmed] {
        // Grid time, which counts the reserved time, may be a block behind.
        assert!(paid.abs_diff(due) <= due / 200, "{paid} were paid for {due}");
    }
}

#[test]
fn cancel_before_a_small_version_runs_pays_for_the_large_one() {
    run_with_node(|mut machine, bob| {
        let id = deployed(&mut machine, Bob, large());
        let (before, clock) = (credit(bob), Clock::price_now());
        assert_ok!(call(Bob, update(id, Resources { sru: 1, ..Resources::ZERO })));
        machine.serve(AnswerTime::get() / 2);
        let rates = Rates { usd: agreed(), extra: 0 };
        report(machine.progress(id, 2)).unwrap();
        machine.serve(20 * MINUTE_MS - AnswerTime::get().min(MINUTE_MS));
        assert!(matches!(Contracts::status_of(id), Some(ContractStatus::Deployed { .. })));
        assert_ok!(call(Bob, cancel(id)));
        let due = (rates.cost_of(Clock::price_now() - clock, 1_000).shared).ceil();
        assert!((before - credit(bob)).abs_diff(due) <= 2);
    });
}

#[test]
fn updates_of_equal_price_reserve_nothing_for_nothing() {
    run_with_node(|mut machine, bob| {
        let disk = Resources { sru: 5 * small().sru, ..small() };
        let memory = Resources { mru: 4 * small().mru, ..small() };
        let id = deployed(&mut machine, Bob, disk);
        let both = Contracts::quote(1, disk.max(&memory), 0).unwrap();
        let (before, mut due) = (credit(bob), 0);
        for (version, resources) in [(2, memory), (3, disk), (4, memory)] {
            let (clock, rate) = (Clock::price_now(), agreed());
            assert_ok!(call(Bob, update(id, resources)));
            machine.serve(AnswerTime::get() / 2);
            report(machine.progress(id, version)).unwrap();
            machine.serve(AnswerTime::get() / 2);
            report(machine.deployed(id, b"{}")).unwrap();
            assert!(both > rate.max(agreed()));
            due += (Rates { usd: both, extra: 0 }.cost_of(Clock::price_now() - clock, 1_000).shared).ceil();
        }
        let paid = before - credit(bob);
        assert!(paid.abs_diff(due) <= due / 100, "{paid} of {due}");
    });
}

#[test]
fn payer_short_of_credit_and_limit_may_shrink_a_contract() {
    run_with_credit(TFT, |mut machine, bob| {
        let id = deployed(&mut machine, Bob, large());
        let limits = pallet_grid_billing::Limits { max_usd_rate: 1, ..Default::default() };
        assert_ok!(call(Bob, pallet_grid_billing::Call::set_limits { limits }));
        machine.serve(HOUR_MS);
        assert!(Billing::funded_ms(bob).unwrap() < HOUR_MS * 2);
        assert_fails(
            Bob,
            update(id, Resources { sru: 2 * small().sru, ..large() }),
            pallet_grid_billing::Error::<Runtime>::RateAboveLimit,
        );
        assert_ok!(call(Bob, update(id, small())));
    });
}

#[test]
fn contract_closed_with_a_pending_update_releases_everything() {
    run_with_node(|mut machine, _| {
        let id = deployed(&mut machine, Bob, small());
        assert_ok!(call(Bob, update(id, large())));
        assert_ok!(call(Bob, cancel(id)));
        assert_eq!(Nodes::free(1), Some(capacity()));
        assert_eq!(held(Bob, pallet_grid_contracts::HoldReason::Contract), 0);
        assert!(!pallet_grid_contracts::PendingBodies::<Runtime>::contains_key(id));
    });
}

#[test]
fn an_update_is_refused_for_every_wrong_argument() {
    run_with_node(|mut machine, _| {
        assert_ok!(call(Bob, create(1, small())));
        report(machine.deployed(1, b"{}")).unwrap();
        assert_fails(Bob, update(2, large()), Error::UnknownContract);
        assert_fails(Charlie, update(1, large()), Error::NoTwin);
        assert_fails(Alice, update(1, large()), Error::NotOwner);
        let with = |bytes: usize, max_usd_rate| {
            let mut call = update(1, large());
            if let Call::update_node_contract { body, max_usd_rate: most, .. } = &mut call {
                (*body, *most) = (Body::Plain(vec![b' '; bytes]), max_usd_rate);
            }
            call
        };
        assert_fails(Bob, with(0, u64::MAX), Error::BodySizeOutOfRange);
        assert_fails(Bob, with(8_193, u64::MAX), Error::BodySizeOutOfRange);
        assert_fails(Bob, with(2, agreed()), Error::RateAboveMaximum);
        let all = u64::MAX;
        let absurd = Resources { cru: all, mru: all, sru: all, hru: all, gpu: all };
        assert_fails(Bob, update(1, absurd), Error::RateOutOfRange);
        let more_than_free = Resources { cru: capacity().cru + 1, ..small() };
        assert_fails(Bob, update(1, more_than_free), pallet_grid_nodes::Error::<Runtime>::NotEnoughCapacity);

        assert_ok!(call(Bob, update(1, large())));
        let name = b"a-name".to_vec().try_into().unwrap();
        assert_ok!(call(Bob, Call::create_name_contract { name, max_usd_rate: u64::MAX }));
        assert_fails(Bob, update(2, small()), Error::NotANodeContract);
        pass(4 * heartbeat_ms());
        assert_fails(Bob, update(1, small()), Error::NodeOffline);
    });
}

#[test]
fn pool_refuses_reports_on_versions_that_are_not_pending() {
    run_with_node(|mut machine, _| {
        let id = deployed(&mut machine, Bob, small());
        assert_refused(machine.progress(id, 1), Refusal::NothingPending);
        assert_refused(machine.progress(9, 1), Refusal::ContractUnknown);
        assert_ok!(call(Bob, update(id, large())));
        assert_refused(machine.progress(id, 3), Refusal::VersionMismatch);
        assert_refused(machine.progress(id, 1), Refusal::NothingPending);
        assert_refused(machine.progress(id, 2), Refusal::TooSoon);
        let mut other = Machine { key: Machine::key(9), id: 7, sequence: 100 };
        assert_refused(other.progress(id, 2), Refusal::ContractOfOtherNode);
        pass(AnswerTime::get() / 2);
        let mut forged = Machine { key: Machine::key(9), id: 1, sequence: 100 };
        assert_refused(forged.progress(id, 2), Refusal::NodeSignatureWrong);
        let progress = machine.progress(id, 2);
        report(progress.clone()).unwrap();
        assert_refused(progress, Refusal::SequenceOld);
    });
}

#[test]
fn progress_extends_the_answer_deadline_up_to_a_limit() {
    run_with_node(|mut machine, bob| {
        let resources = Resources { sru: 600_000_000, ..small() };
        assert_ok!(call(Bob, create(1, resources)));
        let step = AnswerTime::get() / 2;
        let limit = AnswerLimit::get() + download_ms(resources.sru);
        for _ in 0..limit / step - 2 {
            machine.serve(step);
            report(machine.progress(1, 1)).unwrap();
        }
        machine.serve(step);
        assert_eq!(Contracts::status_of(1), Some(ContractStatus::Created));
        assert_refused(machine.progress(1, 1), Refusal::AnswerExpired);
        machine.serve(step);
        let closed = pallet_grid_contracts::ClosedContracts::<Runtime>::get(1).unwrap();
        assert_eq!(closed.reason, ClosingReason::NodeSilent);
        let hourly = an_hour_of(Contracts::quote(1, resources, 0).unwrap());
        let due = hourly * u128::from(limit) / u128::from(HOUR_MS);
        assert!(
            closed.tft + 1 >= due && closed.tft < due * 11 / 10,
            "{} for the time that it was reserved",
            closed.tft
        );
        assert!((CREDIT - credit(bob)).abs_diff(closed.tft) <= 1);
    });
}

#[test]
fn a_first_version_that_is_replaced_pays_for_its_time() {
    run_with_node(|mut machine, bob| {
        assert_ok!(call(Bob, create(1, large())));
        let (rate, clock) = (agreed(), Clock::price_now());
        machine.serve(AnswerTime::get() / 2);
        report(machine.progress(1, 1)).unwrap();
        machine.serve(AnswerTime::get() / 2);
        assert_ok!(call(Bob, update(1, small())));
        let time = Rates { usd: rate, extra: 0 }.cost_of(Clock::price_now() - clock, 1_000).shared;
        let minimum = Rates { usd: rate, extra: 0 }.cost_of(stretch(10 * MINUTE_MS, USD / 20), 1_000).shared;
        let paid = CREDIT - credit(bob);
        assert!(paid.abs_diff(time.max(minimum).ceil()) <= 2, "{paid}");
        report(machine.deployed(1, b"{}")).unwrap();
        assert_eq!((reserved(), Contracts::page_of_node(1, None, 10).items[0].version), (small(), 2));
    });
}
