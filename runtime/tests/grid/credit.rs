// SPDX-License-Identifier: Apache-2.0
//! What becomes of contracts when their owner's credit ends.

use crate::{chain::*, governance::by_root};
use frame_support::{
    assert_ok,
    traits::{Get, fungible::Inspect},
};
use pallet_grid_billing::{AutoRefill, Limits};
use parameters::{GraceMax, RuntimeParameters, dynamic};
use sp_runtime::{DispatchError::BadOrigin, DispatchResult, transaction_validity::InvalidTransaction};
use tfgrid_primitives::{
    ExactTft, FailureCode, GridMillis, Resources, TwinId,
    traits::{Clock as _, Ledger},
    units::{DAY_MS, MINUTE_MS, TFT, USD},
    views::{ClosedContract, ClosingReason, ContractStatus},
};
use tfgrid_runtime::*;

/// How many contracts Bob has.
const CONTRACTS: u64 = 40;
/// Two hours of them.
const PAID: Balance = 16 * TFT / 100;
/// What an hour of them costs when TFT has lost nearly all its worth.
const HOUR: Balance = 4 * TFT;

/// Bob's contracts, each so small that it costs the minimum. Then TFT falls to a fiftieth, so that his two hours
/// are two minutes and a bit.
fn run_with_contracts(test: impl FnOnce(Machine, TwinId)) {
    run_with_credit(PAID, |mut machine, bob| {
        let tiny = Resources { sru: 1, ..Resources::ZERO };
        for id in 1..=CONTRACTS {
            assert_ok!(call(Bob, create(1, tiny)));
            report(machine.deployed(id, b"{}")).unwrap();
            if id % 5 == 0 {
                report(machine.heartbeat()).unwrap();
            }
        }
        assert_ok!(by_root(pallet_grid_clock::Call::set_price { price: USD / 1_000 }.into()));
        test(machine, bob);
    });
}

/// The contracts that are closed, each for want of funds.
fn closed() -> Vec<ClosedContract> {
    let closed: Vec<_> =
        (1..=CONTRACTS).filter_map(pallet_grid_contracts::ClosedContracts::<Runtime>::get).collect();
    assert!(closed.iter().all(|closed| closed.reason == ClosingReason::OutOfFunds));
    closed
}

/// Waits until Bob's credit has ended.
fn run_out(machine: &mut Machine, bob: TwinId) {
    machine.serve(3 * MINUTE_MS);
    assert!(Billing::is_exhausted(bob));
}

#[test]
fn contracts_close_after_grace_with_bills_equal_to_payments() {
    run_with_contracts(|mut machine, bob| {
        run_out(&mut machine, bob);
        assert!(matches!(Contracts::status_of(CONTRACTS), Some(ContractStatus::Paused { .. })));
        let until = Billing::grace(bob).unwrap().until;
        machine.serve(until - Clock::grid_now() - SLOT_DURATION);
        assert!(closed().is_empty(), "nothing closes before the end of grace");
        machine.serve(4 * SLOT_DURATION);
        assert_eq!(closed().len() as u64, CONTRACTS);
        assert_eq!(Nodes::free(1), Some(capacity()));
        assert!(!Billing::is_exhausted(bob) && Billing::grace(bob).is_none());

        let charged: Balance = closed().iter().map(|closed| closed.tft).sum();
        assert!(PAID - charged <= CONTRACTS.into(), "{charged}");
        let billed: ExactTft = (1..=CONTRACTS).map(|id| billed(id).tft).sum();
        assert_eq!(billed + Billing::settled_payer(bob).credit, ExactTft::from_whole(PAID));
    });
}

#[test]
fn bill_of_a_contract_that_ends_early_equals_its_charge() {
    run_with_node(|mut machine, bob| {
        let ended = |contract| {
            let ClosedContract { tft, usd, .. } =
                pallet_grid_contracts::ClosedContracts::<Runtime>::get(contract).unwrap();
            let billed = billed(contract);
            assert!(tft > 0);
            assert_eq!((billed.tft.whole(), billed.usd), (tft, usd));
            System::assert_has_event(pallet_grid_billing::Event::Charged { contract, usd, tft }.into());
            billed.tft
        };
        assert_ok!(call(Bob, create(1, small())));
        assert_ok!(call(Bob, cancel(1)));
        let unanswered = ended(1);
        let second = deployed(&mut machine, Bob, small());
        machine.serve(2 * MINUTE_MS);
        assert_ok!(call(Bob, cancel(second)));
        let cancelled = ended(second);
        assert_ok!(call(Bob, create(1, small())));
        report(machine.failed(3, FailureCode::BodyInvalid)).unwrap();
        let rejected = ended(3);
        let all = unanswered + cancelled + rejected;
        assert_eq!(all + Billing::settled_payer(bob).credit, ExactTft::from_whole(CREDIT));
    });
}

/// A call that sets the longest grace.
fn grace_max(ms: Option<GridMillis>) -> RuntimeCall {
    use dynamic::intervals::{GraceMaxMs, Parameters as Intervals};
    let key_value = RuntimeParameters::Intervals(Intervals::GraceMaxMs(GraceMaxMs, ms));
    pallet_parameters::Call::set_parameter { key_value }.into()
}

#[test]
fn governance_sets_grace_max_between_a_minute_and_90_days() {
    run(|| {
        assert_eq!(GraceMax::get(), 10 * MINUTE_MS, "where what takes minutes takes seconds");
        assert_fails(Bob, grace_max(Some(DAY_MS)), BadOrigin);
        for (set, read) in [
            (Some(7 * DAY_MS), 7 * DAY_MS),
            (Some(0), MINUTE_MS),
            (Some(u64::MAX), 90 * DAY_MS),
            // As designed.
            (None, 14 * DAY_MS),
        ] {
            assert_ok!(by_root(grace_max(set)));
            assert_eq!(GraceMax::get(), read);
        }
    });
}

/// Bob pays in what is 23 minutes of his contract once TFT has lost nearly all its worth. How long is his
/// grace when they are over?
fn grace_of_bob(machine: &mut Machine, bob: TwinId) -> GridMillis {
    deployed(machine, Bob, small());
    assert_ok!(by_root(pallet_grid_clock::Call::set_price { price: USD / 1_000 }.into()));
    machine.serve(24 * MINUTE_MS);
    let grace = Billing::grace(bob).unwrap();
    grace.until - grace.since
}

#[test]
fn grace_lasts_no_longer_than_governance_sets() {
    run_with_credit(4 * TFT, |mut machine, bob| {
        let grace = grace_of_bob(&mut machine, bob);
        assert_eq!(grace, 10 * MINUTE_MS);
        machine.serve(grace);
        let closed = pallet_grid_contracts::ClosedContracts::<Runtime>::get(1).unwrap();
        assert_eq!(closed.reason, ClosingReason::OutOfFunds);
    });
    run_with_credit(4 * TFT, |mut machine, bob| {
        assert_ok!(by_root(grace_max(Some(2 * MINUTE_MS))));
        assert_eq!(grace_of_bob(&mut machine, bob), 2 * MINUTE_MS);
    });
    run_with_credit(4 * TFT, |mut machine, bob| {
        assert_ok!(by_root(grace_max(Some(DAY_MS))));
        let grace = grace_of_bob(&mut machine, bob);
        assert!((22 * MINUTE_MS..24 * MINUTE_MS).contains(&grace), "as long as what was paid buys");
    });
}

#[test]
fn deposit_of_an_hour_in_grace_resumes_all_contracts() {
    run_with_contracts(|mut machine, bob| {
        run_out(&mut machine, bob);
        let deposit = |amount| call(Charlie, pallet_grid_billing::Call::deposit { twin: bob, amount });
        assert_ok!(deposit(HOUR / 2));
        assert!(Billing::is_exhausted(bob), "half an hour isn't one");
        assert_ok!(deposit(HOUR / 2));
        assert!(matches!(Contracts::status_of(1), Some(ContractStatus::Deployed { .. })));
        machine.serve(5 * MINUTE_MS);
        assert!(closed().is_empty() && !Billing::is_exhausted(bob));
    });
}

#[test]
fn an_owners_account_keeps_contracts_running() {
    run_with_contracts(|mut machine, bob| {
        let limits = Limits { refill_per_30_days: 25 * HOUR, ..Limits::default() };
        assert_ok!(call(Bob, pallet_grid_billing::Call::set_limits { limits }));
        let refill = Some(AutoRefill { hours: 24 });
        assert_ok!(call(Bob, pallet_grid_billing::Call::set_auto_refill { refill }));
        machine.serve(5 * MINUTE_MS);
        assert!(matches!(Contracts::status_of(1), Some(ContractStatus::Deployed { .. })));
        let left = Billing::payer(bob).credit;
        assert!((23 * HOUR..24 * HOUR).contains(&left), "{left}");
        assert!(!Billing::is_exhausted(bob));
    });
}

/// A call in a transaction that Bob signs and pays for, with what became of it.
fn signed_by_bob(call: impl Into<RuntimeCall>) -> Result<DispatchResult, Refused> {
    let transaction = signed(Bob, call);
    validate(transaction.clone())?;
    block_after(SLOT_DURATION, vec![transaction]).remove(0)
}

/// Leaves Bob nothing but the existential deposit.
fn empty_bobs_account() -> Balance {
    let bob = Bob.to_account_id();
    let least = <Balances as Inspect<_>>::minimum_balance();
    let value = Balances::free_balance(&bob) - least;
    let dest = Alice.to_account_id().into();
    assert_ok!(call(Bob, pallet_balances::Call::transfer_keep_alive { dest, value }));
    least
}

#[test]
fn an_empty_account_cancels_and_withdraws() {
    run_with_node(|mut machine, bob| {
        let id = deployed(&mut machine, Bob, small());
        let least = empty_bobs_account();
        let free = || Balances::free_balance(Bob.to_account_id());
        let hold = held(Bob, pallet_grid_contracts::HoldReason::Contract);
        let name = b"shop".to_vec().try_into().unwrap();
        let create_name = pallet_grid_contracts::Call::create_name_contract { name, max_usd_rate: u64::MAX };
        assert_eq!(signed_by_bob(create_name), Err(InvalidTransaction::Payment.into()));
        assert_eq!(signed_by_bob(cancel(id + 1)), Err(InvalidTransaction::Payment.into()));

        assert_eq!(signed_by_bob(cancel(id)), Ok(Ok(())));
        let fee = hold + least - free();
        assert!((1..hold / 2).contains(&fee), "{fee} of {hold}");
        assert_eq!(held(Bob, pallet_grid_contracts::HoldReason::Contract), 0);

        empty_bobs_account();
        let before = credit(bob);
        let withdraw = |amount| pallet_grid_billing::Call::withdraw { amount };
        assert_eq!(signed_by_bob(withdraw(TFT)), Ok(Ok(())));
        assert!(free() >= least + TFT && before - credit(bob) > TFT && before - credit(bob) < TFT * 11 / 10);
        empty_bobs_account();
        // The fee is paid also where the rest isn't there.
        assert!(matches!(signed_by_bob(withdraw(before)), Ok(Err(_))));
        assert_eq!(free(), least);
    });
}

#[test]
fn what_contracts_rely_on_pays_no_fee_of_a_withdrawal() {
    run_with_contracts(|mut machine, bob| {
        machine.serve(MINUTE_MS);
        empty_bobs_account();
        let withdraw = pallet_grid_billing::Call::withdraw { amount: 1 };
        assert_eq!(signed_by_bob(withdraw), Err(InvalidTransaction::Payment.into()));
        assert!(credit(bob) > 0);
    });
}

#[test]
fn deposits_and_refills_leave_the_price_of_calls() {
    run_with_contracts(|mut machine, bob| {
        let free = || Balances::free_balance(Bob.to_account_id());
        let deposit = |amount| pallet_grid_billing::Call::deposit { twin: bob, amount };
        let kept = <Balances as Inspect<_>>::minimum_balance() + TFT / 5;
        let error = pallet_grid_billing::Error::<Runtime>::NothingLeftForFees;
        assert_fails(Bob, deposit(free() - kept + 1), error);

        // A refill of an hour is there, and no more than that.
        let limits = Limits { refill_per_30_days: 100 * HOUR, ..Limits::default() };
        assert_ok!(call(Bob, pallet_grid_billing::Call::set_limits { limits }));
        let refill = Some(AutoRefill { hours: 24 });
        assert_ok!(call(Bob, pallet_grid_billing::Call::set_auto_refill { refill }));
        let value = free() - 24 * HOUR - kept / 2;
        let dest = Alice.to_account_id().into();
        assert_ok!(call(Bob, pallet_balances::Call::transfer_keep_alive { dest, value }));
        run_out(&mut machine, bob);
        assert_eq!(free(), 24 * HOUR + kept / 2);

        let value = 30 * HOUR;
        let dest = Bob.to_account_id().into();
        assert_ok!(call(Alice, pallet_balances::Call::transfer_keep_alive { dest, value }));
        assert_ok!(call(Charlie, pallet_grid_billing::Call::poke { twin: bob }));
        assert!(!Billing::is_exhausted(bob));
        assert_ok!(call(Bob, deposit(free() - kept)));
        assert_eq!(free(), kept);
        for count in 0..10 {
            // One that holds nothing, since it fails.
            assert!(matches!(signed_by_bob(create(99, small())), Ok(Err(_))), "{count} calls were paid");
        }
    });
}
