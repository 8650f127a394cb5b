// SPDX-License-Identifier: Apache-2.0
//! Payers that run out, wait, are refilled, go on or close; and their discounts.

use super::*;
use frame_support::traits::Hooks;
use tfgrid_primitives::{ExhaustionKey, GridMillis};

/// What an hour of [`DOLLAR`] costs.
const HOUR: u128 = 20 * TFT;

fn start(twin: TwinId, contract: u64, rates: Rates) {
    begin(contract, parties(twin, FARM), rates);
}

fn deposit_for(from: AccountId, twin: TwinId, amount: u128) {
    assert_ok!(Billing::deposit(RuntimeOrigin::signed(from), twin, amount));
}

fn grace(twin: TwinId) -> Option<Grace> {
    Billing::grace(twin)
}

fn saw(wanted: Event<Test>) -> bool {
    System::events().iter().any(|record| record.event == wanted.clone().into())
}

fn evictions() -> Vec<TwinId> {
    let served = Served::get();
    served
        .iter()
        .filter_map(|(_, d)| if let Deadline::Eviction(twin) = d { Some(*twin) } else { None })
        .collect()
}

fn auto_refill(twin: TwinId, hours: u32, limit: u128) {
    let limits = Limits { refill_per_30_days: limit, ..NO_LIMITS };
    assert_ok!(Billing::set_limits(RuntimeOrigin::signed(twin.into()), limits));
    assert_ok!(Billing::set_auto_refill(RuntimeOrigin::signed(twin.into()), Some(AutoRefill { hours })));
}

/// Blocks in which the agendas have no time.
fn idle_blocks(blocks: u64) {
    for _ in 0..blocks {
        block_with(price_clock().stepped_at_ms + 3_000, <() as pallet_grid_clock::WeightInfo>::on_poll());
    }
}

#[test]
fn a_payer_is_in_the_agenda_once_where_its_credit_ends() {
    run(|| {
        let place =
            || PayersByExhaustion::<Test>::iter_keys().map(|key| (key.end(), key.twin())).collect::<Vec<_>>();
        deposit(ALICE, 100 * TFT);
        assert_eq!(place(), []);
        start(1, 1, DOLLAR);
        let end = Payers::<Test>::get(1).end;
        assert_eq!(place(), [(end, 1)]);
        pass(HOUR_MS);
        deposit(ALICE, 100 * TFT);
        let later = Payers::<Test>::get(1).end;
        assert!(later > end);
        assert_eq!(place(), [(later, 1)]);
        // The price moves the time, not the place.
        set_price(USD);
        assert_eq!(place(), [(later, 1)]);
        Billing::close(1, Outcome::Served);
        assert_eq!(place(), []);
    });
}

#[test]
fn exhausted_payer_is_in_grace_from_that_block_on() {
    run(|| {
        deposit(ALICE, HOUR);
        start(1, 1, DOLLAR);
        pass(HOUR_MS - 3_000);
        assert_eq!(grace(1), None);
        pass(3_000);
        let since = Clock::grid_now();
        // As long as what was paid: an hour.
        let until = grace(1).unwrap().until;
        assert!(until.abs_diff(since + HOUR_MS) <= 1, "{until}");
        assert!(saw(Event::GraceBegan { twin: 1, until }));
        assert!(Billing::is_exhausted(1) && Clock::is_armed(until, Deadline::Grace(1)));
        assert_eq!(PayersByExhaustion::<Test>::iter_keys().count(), 0);
    });
}

#[test]
fn contracts_close_when_grace_is_over_and_not_before() {
    run(|| {
        deposit(ALICE, HOUR);
        start(1, 1, DOLLAR);
        start(1, 2, DOLLAR);
        pass(HOUR_MS / 2);
        // An hour of one contract is half an hour of two.
        pass(HOUR_MS / 2 - 3_000);
        assert!(evictions().is_empty());
        pass(6_000);
        assert_eq!(evictions(), [1]);
        assert!(saw(Event::GraceEnded { twin: 1 }) && grace(1).unwrap().over);
        for contract in [1, 2] {
            assert!(Billing::is_exhausted(1));
            Billing::close(contract, Outcome::Served);
        }
        assert_eq!(grace(1), None);
        assert!(!Billing::is_exhausted(1) && !Payers::<Test>::get(1).paused);
    });
}

#[test]
fn grace_is_capped_by_the_maximum_and_by_what_was_paid_since() {
    run(|| {
        let little = Rates { usd: DOLLAR.usd / 100, extra: 0 };
        let pay_and_run_out = |amount| {
            deposit_for(BOB, 1, amount);
            while grace(1).is_none() {
                pass_fast(6 * HOUR_MS);
            }
            let Grace { since, until, .. } = grace(1).unwrap();
            until - since
        };
        assert_ok!(Billing::deposit(RuntimeOrigin::signed(ALICE), 1, TFT));
        start(1, 1, little);
        // 80 TFT are 400 hours, which is more than 14 days.
        assert_eq!(pay_and_run_out(80 * TFT), GRACE_MAX_MS);
        let second = pay_and_run_out_again(pay_and_run_out, 2 * TFT);
        assert!(second.abs_diff(10 * HOUR_MS) <= 1, "{second}");
    });

    /// The deposit itself ends the grace, so the next is asked for after it.
    fn pay_and_run_out_again(run_out: impl Fn(u128) -> GridMillis, amount: u128) -> GridMillis {
        deposit_for(BOB, 1, amount / 2);
        assert_eq!(grace(1), None);
        run_out(amount / 2)
    }
}

#[test]
fn withdrawn_credit_lengthens_no_grace() {
    run(|| {
        deposit(ALICE, 900 * TFT);
        start(1, 1, DOLLAR);
        assert_ok!(Billing::withdraw(RuntimeOrigin::signed(ALICE), 900 * TFT - HOUR));
        pass(HOUR_MS);
        let Grace { since, until, .. } = grace(1).unwrap();
        assert!((until - since).abs_diff(HOUR_MS) <= 1);
    });
}

#[test]
fn deposit_of_an_hour_resumes_all_in_one_write_and_a_unit_none() {
    run(|| {
        deposit(ALICE, HOUR);
        (1..=20).for_each(|contract| start(1, contract, Rates { usd: DOLLAR.usd / 20, extra: 0 }));
        pass(HOUR_MS);
        let accounts: Vec<_> = LedgerAccounts::<Test>::iter().collect();
        let until = grace(1).unwrap().until;

        for _ in 0..10 {
            deposit_for(BOB, 1, ED);
            pass(3_000);
        }
        assert!(Billing::is_exhausted(1));
        assert_eq!(grace(1).unwrap().until, until, "small change buys no time");
        assert_within_one(credit(1), 10 * ED);
        deposit_for(BOB, 1, HOUR - 10 * ED);
        assert!(!Billing::is_exhausted(1));
        assert_eq!(grace(1), None);
        assert!(!Clock::is_armed(until, Deadline::Grace(1)));
        assert!(saw(Event::Resumed { twin: 1 }));
        assert_eq!(LedgerAccounts::<Test>::iter().collect::<Vec<_>>(), accounts, "contracts are untouched");
        pass(HOUR_MS / 2);
        assert_within_one(credit(1), HOUR / 2);
    });
}

#[test]
fn credit_paid_in_during_grace_may_be_withdrawn() {
    run(|| {
        deposit(ALICE, HOUR);
        start(1, 1, DOLLAR);
        pass(HOUR_MS);
        deposit_for(BOB, 1, HOUR / 2);
        let withdraw = |amount| Billing::withdraw(RuntimeOrigin::signed(ALICE), amount);
        assert_noop!(withdraw(HOUR), Error::<Test>::NotEnoughCredit);
        assert_ok!(withdraw(HOUR / 2));
        assert!(Billing::is_exhausted(1));
        assert_eq!(credit(1), 0);
    });
}

#[test]
fn payer_that_stops_contracts_in_grace_may_go_on_with_the_rest() {
    run(|| {
        deposit(ALICE, HOUR);
        start(1, 1, DOLLAR);
        start(1, 2, Rates { usd: DOLLAR.usd / 10, extra: 0 });
        pass(HOUR_MS);
        deposit_for(BOB, 1, HOUR / 5);
        assert!(Billing::is_exhausted(1));
        Billing::close(1, Outcome::Served);
        assert!(!Billing::is_exhausted(1));
        pass(HOUR_MS);
        assert_within_one(credit(1), HOUR / 10);
    });
}

#[test]
fn grace_ends_silently_when_nothing_is_left_to_run() {
    run(|| {
        deposit(ALICE, HOUR);
        start(1, 1, DOLLAR);
        pass(HOUR_MS);
        Billing::close(1, Outcome::Served);
        assert!(!Billing::is_exhausted(1));
        pass(2 * HOUR_MS);
        assert_eq!(grace(1), None);
        assert!(evictions().is_empty());
        // It starts anew like anybody.
        deposit(ALICE, 2 * HOUR);
        start(1, 2, DOLLAR);
        pass(HOUR_MS);
        assert_within_one(credit(1), HOUR);
    });
}

#[test]
fn a_node_that_is_away_does_not_shorten_its_tenants_grace() {
    run(|| {
        deposit(ALICE, 4 * HOUR);
        start(1, 1, DOLLAR);
        pass(4 * HOUR_MS);
        let until = grace(1).unwrap().until;
        pass(HOUR_MS);
        Billing::suspend(1);
        pass(HOUR_MS);
        Billing::start(1, 0);
        assert!(Billing::is_exhausted(1));
        assert_eq!(grace(1).unwrap().until, until);
    });
}

#[test]
fn refill_replaces_grace_and_counts_from_the_end_of_credit() {
    run(|| {
        auto_refill(1, 24, 1_000 * TFT);
        deposit(ALICE, HOUR);
        start(1, 1, DOLLAR);
        let before = Balances::balance(&ALICE);
        // The agenda gets no time for an hour.
        idle_blocks(2_400);
        assert!(Billing::is_exhausted(1));
        assert_eq!(Balances::balance(&ALICE), before);
        pass(3_000);
        // Late or not, every second is paid.
        assert!(!Billing::is_exhausted(1));
        assert_eq!(grace(1), None);
        let paid = before - Balances::balance(&ALICE);
        let late = 20 * TFT * 3_603_000 / 3_600_000 - HOUR;
        assert_within_one(paid, 24 * HOUR + HOUR + late);
        assert_within_one(credit(1), 24 * HOUR);
        assert_within_one(charged(1).whole(), 2 * HOUR + late);
        assert!(saw(Event::Refilled { twin: 1, amount: paid }));
    });
}

#[test]
fn a_refill_with_an_empty_wallet_is_said_and_grace_begins() {
    run(|| {
        auto_refill(1, 24, u128::MAX);
        deposit(ALICE, HOUR);
        start(1, 1, DOLLAR);
        let rest = Balances::balance(&ALICE) - TFT;
        assert_ok!(Balances::transfer(&ALICE, &BOB, rest, Preservation::Preserve));
        pass(HOUR_MS);
        assert!(grace(1).is_some());
        let failed = |event: &RuntimeEvent| {
            matches!(event, RuntimeEvent::Billing(Event::RefillFailed { twin: 1, .. }))
        };
        assert!(System::events().iter().any(|record| failed(&record.event)));
        assert_eq!(Balances::balance(&ALICE), TFT);

        // Filled later, anybody can have it looked at again.
        let poke = || Billing::poke(RuntimeOrigin::signed(BOB), 1);
        assert_noop!(poke(), Error::<Test>::CreditTooLow);
        assert_ok!(Balances::transfer(&BOB, &ALICE, rest, Preservation::Preserve));
        assert_ok!(poke());
        assert!(!Billing::is_exhausted(1));
        assert_within_one(credit(1), 24 * HOUR);
        assert_noop!(poke(), Error::<Test>::NothingDue);
    });
}

#[test]
fn refills_stay_within_the_owners_limit_of_thirty_days() {
    run(|| {
        let hourly = Rates { usd: DOLLAR.usd / 20, extra: 0 }; // one TFT an hour
        auto_refill(1, 24, 30 * TFT);
        deposit(ALICE, TFT);
        start(1, 1, hourly);
        pass_fast(HOUR_MS);
        assert_within_one(credit(1), 24 * TFT);
        pass_fast(24 * HOUR_MS);
        assert!(grace(1).is_some(), "a second refill would exceed the limit");
        // The next 30 days have a limit of their own.
        deposit_for(BOB, 1, 800 * TFT);
        pass_fast(801 * HOUR_MS);
        assert_within_one(credit(1), 23 * TFT);
        pass_fast(23 * HOUR_MS);
        assert!(grace(1).is_some());
    });
}

#[test]
fn account_filled_during_grace_refills_before_contracts_close() {
    run(|| {
        auto_refill(1, 24, 1_000 * TFT);
        deposit(ALICE, 2 * HOUR);
        start(1, 1, DOLLAR);
        let spare = Balances::balance(&ALICE) - ED;
        assert_ok!(Balances::transfer_keep_alive(RuntimeOrigin::signed(ALICE), BOB, spare));
        pass_fast(2 * HOUR_MS);
        assert!(grace(1).is_some());
        assert_ok!(Balances::transfer_keep_alive(RuntimeOrigin::signed(BOB), ALICE, 30 * HOUR));
        pass_fast(2 * HOUR_MS);
        assert_eq!(grace(1), None, "the end of its grace looks at the account once more");
        assert!(evictions().is_empty());
        assert!(credit(1) > 20 * HOUR);
        // So does the owner's own word.
        assert_ok!(Billing::withdraw(RuntimeOrigin::signed(ALICE), 20 * HOUR));
        assert_ok!(Billing::set_auto_refill(RuntimeOrigin::signed(ALICE), None));
        pass_fast(4 * HOUR_MS);
        assert!(grace(1).is_some());
        let refill = Some(AutoRefill { hours: 24 });
        assert_ok!(Balances::transfer_keep_alive(RuntimeOrigin::signed(BOB), ALICE, 10 * HOUR));
        assert_ok!(Billing::set_auto_refill(RuntimeOrigin::signed(ALICE), refill));
        assert_eq!(grace(1), None);
    });
}

#[test]
fn a_late_eviction_closes_nobody_whose_new_grace_lasts() {
    run(|| {
        deposit(ALICE, HOUR);
        start(1, 1, DOLLAR);
        pass_fast(3 * HOUR_MS);
        assert!(Billing::must_close(1));
        deposit_for(BOB, 1, 2 * HOUR);
        assert!(!Billing::must_close(1));
        pass_fast(2 * HOUR_MS + MINUTE_MS);
        assert!(Billing::is_exhausted(1) && grace(1).is_some());
        assert!(!Billing::must_close(1));
    });
}

#[test]
fn absurd_refills_are_refused() {
    run(|| {
        let set = |account, hours| {
            Billing::set_auto_refill(RuntimeOrigin::signed(account), Some(AutoRefill { hours }))
        };
        assert_noop!(set(ALICE, 23), Error::<Test>::RefillTooSmall);
        assert_noop!(set(5_000, 24), Error::<Test>::NoTwin);
        assert_ok!(set(ALICE, 24));
        assert_ok!(Billing::set_auto_refill(RuntimeOrigin::signed(ALICE), None));
        assert_eq!(AutoRefills::<Test>::get(1), None);
        // Without a limit that allows it there is none.
        assert_ok!(set(ALICE, 24));
        deposit(ALICE, HOUR);
        start(1, 1, DOLLAR);
        pass(HOUR_MS);
        assert!(grace(1).is_some());
    });
}

#[test]
fn anybody_can_serve_a_payer_that_the_agenda_has_not_reached() {
    run(|| {
        let poke = |twin| Billing::poke(RuntimeOrigin::signed(BOB), twin);
        assert_noop!(poke(1), Error::<Test>::NothingDue);
        deposit(ALICE, HOUR);
        start(1, 1, DOLLAR);
        assert_noop!(poke(1), Error::<Test>::NothingDue);
        idle_blocks(1_200);
        assert_eq!(grace(1), None);
        assert_ok!(poke(1));
        assert!(grace(1).is_some());
    });
}

#[test]
fn a_moved_price_lets_anybody_resume_a_paused_payer() {
    let waits_with_half_an_hour = |then: fn()| {
        run(|| {
            deposit(ALICE, HOUR);
            start(1, 1, DOLLAR);
            pass(HOUR_MS);
            deposit_for(BOB, 1, HOUR / 2);
            assert_noop!(Billing::poke(RuntimeOrigin::signed(BOB), 1), Error::<Test>::CreditTooLow);
            set_price(2 * PRICE);
            assert!(Billing::is_exhausted(1));
            then();
            assert!(!Billing::is_exhausted(1) && grace(1).is_none());
            assert!(evictions().is_empty());
        });
    };
    waits_with_half_an_hour(|| {
        assert_ok!(Billing::poke(RuntimeOrigin::signed(BOB), 1));
    });
    waits_with_half_an_hour(|| pass(HOUR_MS + 3_000));
}

#[test]
fn payers_are_served_in_order_over_blocks_with_an_event() {
    run(|| {
        Balances::mint_into(&BOB, 1_000_000 * TFT).unwrap();
        for twin in 300..900 {
            // In an order that isn't that of their numbers.
            deposit_for(BOB, twin, TFT + u128::from(twin * 7 % 600));
            start(twin, twin.into(), Rates { usd: DOLLAR.usd, extra: 0 });
        }
        let mut ends: Vec<(PriceTime, TwinId)> =
            Payers::<Test>::iter().map(|(twin, p)| (p.end, twin)).collect();
        ends.sort_unstable();
        idle_blocks(100);
        assert_eq!(Graces::<Test>::iter().count(), 0);

        let mut blocks = 0;
        while PayersByExhaustion::<Test>::iter_keys().next().is_some() {
            System::reset_events();
            pass(3_000);
            blocks += 1;
            let began: Vec<TwinId> = System::events()
                .iter()
                .filter_map(|record| match record.event {
                    RuntimeEvent::Billing(Event::GraceBegan { twin, .. }) => Some(twin),
                    _ => None,
                })
                .collect();
            let expected: Vec<TwinId> = ends.drain(..began.len()).map(|(_, twin)| twin).collect();
            assert_eq!(began, expected);
            let behind = ends.first().map(|(end, _)| Event::PayersBehind { end: *end });
            assert!(behind.is_none_or(saw));
        }
        assert!((2..10).contains(&blocks), "{blocks}");
    });
}

#[test]
fn neither_agenda_starves_the_other() {
    run(|| {
        Balances::mint_into(&BOB, 1_000_000 * TFT).unwrap();
        for twin in 100..900 {
            deposit_for(BOB, twin, TFT);
            start(twin, twin.into(), DOLLAR);
        }
        idle_blocks(100);
        let now = Clock::grid_now();
        (0..1_000).for_each(|contract| Clock::arm(now, Deadline::Answer(contract)));
        pass(3_000);
        let (waiting, answered) = (Graces::<Test>::iter().count(), Served::get().len());
        assert!(waiting > 100 && answered > 50, "{waiting} payers, {answered} deadlines");
    });
}

#[test]
fn a_key_that_its_payer_has_left_is_dropped() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        start(1, 1, DOLLAR);
        PayersByExhaustion::<Test>::insert(ExhaustionKey::new(PriceTime::ZERO, 1), ());
        PayersByExhaustion::<Test>::insert(ExhaustionKey::new(PriceTime::ZERO, 77), ());
        pass(3_000);
        assert_eq!(PayersByExhaustion::<Test>::iter_keys().count(), 1);
    });
}

#[test]
fn prepaid_runway_earns_a_discount_and_its_loss_ends_it() {
    run(|| {
        let rate = Rates { usd: 50_000_000, extra: 0 }; // 0.1 TFT an hour
        let permille = || Billing::price_factor_permille(1);
        deposit(ALICE, 108 * TFT - 1_000);
        start(1, 1, rate);
        assert_eq!(permille(), 1_000);
        deposit(ALICE, 1_000);
        assert_eq!(permille(), 800);
        assert!(saw(Event::PriceFactorChanged { twin: 1, permille: 800 }));
        let before = credit(1);
        pass(HOUR_MS);
        assert_within_one(before - credit(1), TFT / 10 * 8 / 10);
        for (amount, expected) in [(216, 700), (432, 600)] {
            deposit(ALICE, amount * TFT - credit(1));
            assert_eq!(permille(), expected);
        }
        Balances::mint_into(&ALICE, 1_296 * TFT).unwrap();
        deposit(ALICE, 1_296 * TFT - credit(1));
        assert_eq!(permille(), 400);
        assert_ok!(Billing::withdraw(RuntimeOrigin::signed(ALICE), 1_000 * TFT));
        assert_eq!(permille(), 700);
        // More that runs is less runway.
        start(1, 2, rate);
        assert_eq!(permille(), 800);
    });
}

#[test]
fn strangers_and_offline_nodes_can_only_raise_a_discount() {
    run(|| {
        let rate = Rates { usd: 50_000_000, extra: 0 };
        let permille = || Billing::price_factor_permille(1);
        deposit(ALICE, 330 * TFT);
        start(1, 1, rate);
        start(1, 2, Rates { usd: 2 * rate.usd, extra: 0 });
        assert_eq!(permille(), 800);
        // The runway shrinks below the step; dust of strangers doesn't have it noticed.
        pass_fast(8 * DAY_MS);
        deposit_for(BOB, 1, ED);
        assert_eq!(permille(), 800);
        // What a silent node doesn't serve for a while makes no runway longer.
        Billing::suspend(2);
        assert_eq!(permille(), 800);
        Billing::start(2, 0);
        assert_eq!(permille(), 800, "a node that returns takes nothing away");
        deposit_for(BOB, 1, 300 * TFT);
        assert_eq!(permille(), 800);
        deposit_for(BOB, 1, 200 * TFT);
        assert_eq!(permille(), 700);
        // The owner's own call has it computed again, and so does what it commits to.
        assert_ok!(Billing::withdraw(RuntimeOrigin::signed(ALICE), 500 * TFT));
        assert_eq!(permille(), 1_000);
        Billing::close(2, Outcome::Served);
        assert_eq!(permille(), 700);
        let more = Rates { usd: 2 * rate.usd, extra: 0 };
        Billing::open_account(3, parties(1, FARM), ContractPrice::plain(more));
        assert_eq!(permille(), 1_000);
        Billing::close(3, Outcome::Served);
        assert_eq!(permille(), 700);
    });
}

#[test]
fn discounts_are_reviewed_every_thirty_days() {
    run(|| {
        let rate = Rates { usd: 50_000_000, extra: 0 };
        deposit(ALICE, 110 * TFT);
        start(1, 1, rate);
        assert_eq!(Billing::price_factor_permille(1), 800);
        pass_fast(30 * DAY_MS - MINUTE_MS);
        assert_eq!(Billing::price_factor_permille(1), 800);
        pass_fast(2 * MINUTE_MS);
        assert_eq!(Billing::price_factor_permille(1), 1_000);
        // Who has nothing that is charged isn't looked at any more.
        Billing::close(1, Outcome::Served);
        pass_fast(30 * DAY_MS);
        assert_eq!(pallet_grid_clock::Deadlines::<Test>::iter_keys().count(), 0);
    });
}

#[test]
fn a_start_is_affordable_without_the_discount_it_ends() {
    run(|| {
        let rate = Rates { usd: 50_000_000, extra: 0 };
        deposit(ALICE, 110 * TFT);
        start(1, 1, rate);
        assert_eq!(Billing::price_factor_permille(1), 800);
        // 110 TFT are an hour of 5.5 USD at full price, and more at the discount.
        let six_dollars = Rates { usd: 6 * DOLLAR.usd, extra: 0 };
        assert_noop!(Billing::ensure_affordable(1, six_dollars), Error::<Test>::CreditTooLow);
    });
}

#[test]
fn all_steps_fit_in_a_block() {
    run(<Clock as Hooks<u64>>::integrity_test);
}
