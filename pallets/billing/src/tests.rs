// SPDX-License-Identifier: Apache-2.0

mod bills;
#[cfg(not(feature = "runtime-benchmarks"))]
mod migration;
mod payers;
mod prices;
mod reference;
mod traffic;

use crate::{mock::*, *};
use frame_support::{
    assert_noop, assert_ok,
    traits::{
        fungible::{Inspect, Mutate},
        tokens::Preservation,
    },
};
use sp_runtime::{ArithmeticError, TokenError, traits::BadOrigin};
use tfgrid_primitives::{
    Charge, Deadline, Rates, Resources, TwinId,
    clock::HALT_CAP_MS,
    fixed,
    ledger::Gap,
    pricing::Priced,
    traits::{Agenda, Clock, Ledger, Parties, Refund, ServeDeadlines, Stopped},
    units::{DAY_MS, GIB, HOUR_MS, MINUTE_MS, TFT, USD},
};

/// One USD an hour: 20 TFT at the mock's price.
const DOLLAR: Rates = Rates { usd: 10_000_000_000, extra: 0 };
const FARM: u32 = 7;

/// Twin `payer` pays, `farm` earns, node 1 serves.
fn parties(payer: TwinId, farm: u32) -> Parties {
    Parties { payer, farm: Some(farm), node: Some(1), public_ips: 0, ip_rate: 0, priced: None }
}

fn deposit(account: AccountId, amount: u128) {
    assert_ok!(Billing::deposit(RuntimeOrigin::signed(account), account as u32, amount));
}

/// The credit that a payer can see, in whole units.
fn credit(twin: u32) -> u128 {
    fixed::whole(Billing::settled_payer(twin).credit)
}

/// What a running contract was charged.
fn charged(contract: u64) -> tfgrid_primitives::Q64 {
    <Billing as Ledger>::charge_of(contract).tft
}

/// Charges for a contract from now on, as after its deployment.
fn begin(contract: u64, parties: Parties, rates: Rates) {
    Billing::promise(parties.payer, rates);
    Billing::start(contract, parties, rates);
}

fn assert_within_one(left: u128, right: u128) {
    assert!(left.abs_diff(right) <= 1, "{left} isn't {right}");
}

#[test]
fn anybody_deposits_for_any_twin() {
    run(|| {
        assert_ok!(Billing::deposit(RuntimeOrigin::signed(BOB), ALICE as u32, 5 * TFT));
        assert_eq!(credit(ALICE as u32), 5 * TFT);
        assert_eq!(Balances::balance(&BOB), 995 * TFT);
        assert_eq!(Balances::balance(&Billing::pot()), 5 * TFT + ED);
        System::assert_has_event(Event::Deposited { twin: ALICE as u32, from: BOB, amount: 5 * TFT }.into());
    });
}

#[test]
fn a_deposit_that_cannot_be_made_changes_nothing() {
    run(|| {
        let deposit = |twin, amount| Billing::deposit(RuntimeOrigin::signed(ALICE), twin, amount);
        assert_noop!(deposit(1_000, TFT), Error::<Test>::UnknownTwin);
        assert_noop!(deposit(1, ED - 1), Error::<Test>::DepositTooSmall);
        assert_noop!(deposit(1, 1_001 * TFT), TokenError::FundsUnavailable);
        assert_noop!(deposit(1, u128::MAX), ArithmeticError::Underflow);
    });
}

#[test]
fn a_running_contract_is_charged_to_the_unit_and_shared() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(ALICE as u32, FARM), DOLLAR);
        pass(HOUR_MS);
        assert_within_one(credit(ALICE as u32), 80 * TFT);
        let charge = Billing::stop(1, Refund::Served).charge;
        assert_eq!(charge.usd, 10_000_000_000);
        assert_within_one(fixed::whole(charge.tft), 20 * TFT);
        pass(HOUR_MS);
        assert_within_one(credit(ALICE as u32), 80 * TFT);

        for (payee, account, share) in [
            (Payee::Farm(FARM), 107, 10 * TFT),
            (Payee::Foundation, FOUNDATION, 8 * TFT),
            (Payee::Staking, STAKING, 2 * TFT),
        ] {
            assert_ok!(Billing::pay_out(RuntimeOrigin::signed(BOB), payee));
            assert_within_one(Balances::balance(&account), share);
            assert_noop!(Billing::pay_out(RuntimeOrigin::signed(BOB), payee), Error::<Test>::NothingPayable);
        }
    });
}

#[test]
fn an_extra_fee_is_wholly_the_farmers() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(ALICE as u32, FARM), Rates { usd: 0, extra: DOLLAR.usd });
        pass(HOUR_MS);
        Billing::stop(1, Refund::Served);
        assert_within_one(fixed::ceil(Payable::<Test>::get(Payee::Farm(FARM))), 20 * TFT);
        assert_eq!(Payable::<Test>::get(Payee::Foundation), 0);
    });
}

#[test]
fn claiming_often_earns_what_claiming_once_earns() {
    let earned_with_claims = |claims: u64| {
        let mut earned = 0;
        run(|| {
            deposit(ALICE, 100 * TFT);
            begin(1, parties(ALICE as u32, FARM), Rates { usd: 3_333_333_333, extra: 7 });
            pass(HOUR_MS);
            for _ in 0..claims {
                pass(HOUR_MS / claims);
                assert_ok!(Billing::claim(RuntimeOrigin::signed(BOB), 1));
            }
            Billing::stop(1, Refund::Served);
            earned = Payable::<Test>::iter_values().sum::<u128>();
        });
        earned
    };
    assert_eq!(earned_with_claims(1), earned_with_claims(100));
}

#[test]
fn claiming_in_every_block_rounds_no_payee_down() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        // A block earns a small part of a unit.
        let tiny = Rates { usd: 7, extra: 0 };
        begin(1, parties(1, FARM), tiny);
        begin(2, parties(1, FARM + 1), tiny);
        pass(HOUR_MS);
        while Billing::grid_now() < 3 * HOUR_MS {
            pass(3_000);
            assert_ok!(Billing::claim(RuntimeOrigin::signed(ALICE), 1));
        }
        assert_ok!(Billing::claim(RuntimeOrigin::signed(ALICE), 2));
        let farms = [FARM, FARM + 1].map(|farm| Payable::<Test>::get(Payee::Farm(farm)));
        assert_eq!(fixed::whole(farms[0].abs_diff(farms[1])), 0);
        assert!(farms[0] > 0);
    });
}

#[test]
fn a_closed_contract_has_nothing_left_to_claim() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(2 * HOUR_MS);
        Billing::stop(1, Refund::Served);
        assert_noop!(Billing::claim(RuntimeOrigin::signed(BOB), 1), Error::<Test>::UnknownContract);
    });
}

#[test]
fn time_that_goes_back_charges_nothing() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        let (before, now) = (Billing::settled_payer(1), Billing::price_clock().stepped_at_ms);
        block_at(now - 10 * MINUTE_MS);
        block_at(0);
        assert_eq!(Billing::settled_payer(1), before);
        block_at(now + 3_000);
        assert_within_one(fixed::whole(before.credit) - credit(1), 20 * TFT * 3 / 3_600);
    });
}

#[test]
fn a_price_change_is_one_write_and_charged_on_both_sides() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(ALICE as u32, FARM), DOLLAR);
        pass(HOUR_MS);
        assert_ok!(Billing::set_price(RuntimeOrigin::root(), USD / 10));
        pass(HOUR_MS);
        assert_within_one(credit(ALICE as u32), 70 * TFT);
    });
}

#[test]
fn a_payer_runs_out_at_its_end_and_goes_on_after_a_deposit() {
    run(|| {
        let twin = ALICE as u32;
        deposit(ALICE, 10 * TFT);
        begin(1, parties(twin, FARM), DOLLAR);
        assert!(Billing::funded_ms(twin).unwrap().abs_diff(HOUR_MS / 2) <= 1);
        assert!(Billing::funded_until(twin).unwrap().abs_diff(Billing::unix_now() + 1_800) <= 1);
        assert_eq!(Billing::funded_until(99), None);
        pass(HOUR_MS / 2 - 3_000);
        assert!(!Billing::is_exhausted(twin));
        pass(6_000);
        assert!(Billing::is_exhausted(twin));
        pass(DAY_MS / 4);
        assert_within_one(fixed::whole(charged(1)), 10 * TFT);
        assert_eq!(credit(twin), 0);

        deposit(ALICE, 20 * TFT);
        assert!(!Billing::is_exhausted(twin));
        pass(HOUR_MS / 2);
        assert_within_one(fixed::whole(charged(1)), 20 * TFT);
    });
}

#[test]
fn a_withdrawal_leaves_an_hour_of_what_runs() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(ALICE as u32, FARM), DOLLAR);
        let withdraw = |amount| Billing::withdraw(RuntimeOrigin::signed(ALICE), amount);
        assert_noop!(withdraw(100 * TFT + 1), Error::<Test>::NotEnoughCredit);
        assert_noop!(withdraw(80 * TFT + 1), Error::<Test>::CreditTooLow);
        assert_ok!(withdraw(80 * TFT));
        assert_eq!(Balances::balance(&ALICE), 980 * TFT);
        Billing::stop(1, Refund::Served);
        assert_ok!(withdraw(20 * TFT));
        assert_eq!(Balances::balance(&ALICE), 1_000 * TFT);
        assert_eq!(Balances::balance(&Billing::pot()), ED, "the pot survives its last unit");
        assert_noop!(Billing::withdraw(RuntimeOrigin::signed(5_000), 1), Error::<Test>::NoTwin);
    });
}

#[test]
fn what_starts_needs_an_hour_of_credit() {
    run(|| {
        let twin = ALICE as u32;
        assert_noop!(Billing::ensure_affordable(twin, DOLLAR), Error::<Test>::CreditTooLow);
        deposit(ALICE, 20 * TFT - 1);
        assert_noop!(Billing::ensure_affordable(twin, DOLLAR), Error::<Test>::CreditTooLow);
        deposit(ALICE, TFT);
        assert_ok!(Billing::ensure_affordable(twin, DOLLAR));
        begin(1, parties(twin, FARM), DOLLAR);
        assert_noop!(Billing::ensure_affordable(twin, DOLLAR), Error::<Test>::CreditTooLow);
    });
}

#[test]
fn a_halt_of_days_charges_the_cap() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(ALICE as u32, FARM), DOLLAR);
        let grid = Billing::grid_now();
        block_at(Billing::price_clock().stepped_at_ms + 5 * DAY_MS);
        let minute = 20 * TFT / 60;
        assert_within_one(100 * TFT - credit(ALICE as u32), minute);
        assert_eq!(Billing::grid_now() - grid, HALT_CAP_MS);
    });
}

#[test]
fn only_governance_sets_price_and_policy_and_both_are_checked() {
    run(|| {
        let root = RuntimeOrigin::root;
        assert_noop!(Billing::set_price(RuntimeOrigin::signed(ALICE), PRICE), BadOrigin);
        for price in [0, USD / 1_000 - 1, 100 * USD + 1, u64::MAX] {
            assert_noop!(Billing::set_price(root(), price), Error::<Test>::PriceOutOfBounds);
        }
        assert_ok!(Billing::set_price(root(), USD / 1_000));
        assert_ok!(Billing::set_price(root(), 100 * USD));

        let standard = || Policy::standard(FOUNDATION, STAKING);
        let signed = RuntimeOrigin::signed(ALICE);
        assert_noop!(Billing::set_policy(signed, standard()), BadOrigin);
        let spoilt: [fn(&mut Policy<AccountId>); 10] = [
            |p| p.shares.farm += 1,
            |p| p.shares.foundation = u16::MAX,
            |p| p.min_price = 1,
            |p| p.max_price = u64::MAX,
            |p| p.prices.rent_percent = 0,
            |p| p.prices.certified_percent = 99,
            |p| p.levels[1].hours = p.levels[0].hours,
            |p| p.levels[1].permille = p.levels[0].permille,
            |p| p.levels[0].permille = 1_000,
            |p| p.levels[3].permille = 99,
        ];
        for spoil in spoilt {
            let mut policy = standard();
            spoil(&mut policy);
            assert_noop!(Billing::set_policy(root(), policy), Error::<Test>::PolicyInvalid);
        }
        let too_cheap = Policy { max_price: USD, ..standard() };
        assert_noop!(Billing::set_policy(root(), too_cheap), Error::<Test>::PriceOutOfBounds);
        assert_ok!(Billing::set_policy(root(), standard()));
    });
}

#[test]
fn a_quote_is_the_list_price() {
    run(|| {
        let resources = Resources { cru: 2, mru: 2 * GIB, sru: 15 * GIB, ..Resources::ZERO };
        let priced = |certified| Priced::Capacity { resources, public_ips: 0, certified };
        assert_eq!(Billing::quote(&priced(false)), Some(103_750_000));
        assert_eq!(Billing::quote(&priced(true)), Some(129_687_500));
        assert_eq!(Billing::quote(&Priced::Name), Some(2_500_000));
    });
}

#[test]
fn claims_and_payouts_of_nothing_are_refused() {
    run(|| {
        let signed = || RuntimeOrigin::signed(BOB);
        assert_noop!(Billing::claim(signed(), 99), Error::<Test>::UnknownContract);
        assert_noop!(Billing::pay_out(signed(), Payee::Staking), Error::<Test>::NothingPayable);
        deposit(ALICE, 100 * TFT);
        begin(1, parties(ALICE as u32, 500), DOLLAR);
        pass(HOUR_MS);
        assert_ok!(Billing::claim(signed(), 1));
        assert_noop!(Billing::pay_out(signed(), Payee::Farm(500)), Error::<Test>::UnknownPayee);
    });
}

#[test]
fn a_payee_without_an_account_loses_nothing() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        // So little that the staking pool's share is below the existential deposit.
        begin(1, parties(ALICE as u32, FARM), Rates { usd: 10_000, extra: 0 });
        pass(HOUR_MS);
        Billing::stop(1, Refund::Served);
        let payable = Payable::<Test>::get(Payee::Staking);
        assert!(fixed::whole(payable) > 0);
        let paying = Billing::pay_out(RuntimeOrigin::signed(BOB), Payee::Staking);
        assert_noop!(paying, TokenError::BelowMinimum);
        assert_eq!(Payable::<Test>::get(Payee::Staking), payable);
        assert_ok!(Balances::transfer(&BOB, &STAKING, TFT, Preservation::Preserve));
        assert_ok!(Billing::pay_out(RuntimeOrigin::signed(BOB), Payee::Staking));
        assert_eq!(Balances::balance(&STAKING), TFT + fixed::whole(payable));
    });
}

#[test]
fn two_contracts_of_one_payer_cost_their_sum_and_end_together() {
    run(|| {
        let twin = ALICE as u32;
        deposit(ALICE, 60 * TFT);
        begin(1, parties(twin, FARM), DOLLAR);
        pass(HOUR_MS);
        begin(2, parties(twin, FARM + 1), DOLLAR);
        pass(HOUR_MS);
        assert!(Billing::is_exhausted(twin));
        pass(HOUR_MS);
        let (first, second) =
            (Billing::stop(1, Refund::Served).charge, Billing::stop(2, Refund::Served).charge);
        assert_within_one(fixed::whole(first.tft), 40 * TFT);
        assert_within_one(fixed::whole(second.tft), 20 * TFT);
        assert_eq!(Billing::stop(3, Refund::Served), Default::default());
    });
}

#[test]
fn what_is_earned_first_is_set_aside() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        let claim = || Billing::claim(RuntimeOrigin::signed(BOB), 1);
        pass(HOUR_MS - 3_000);
        assert_noop!(claim(), Error::<Test>::SetAside);
        // A resize pays nobody either.
        Billing::resize(1, Rates { usd: DOLLAR.usd / 2, extra: 0 });
        assert_eq!(Payable::<Test>::iter().count(), 0);
        pass(3_000);
        assert_ok!(claim());
    });
}

#[test]
fn what_was_not_delivered_is_paid_back_to_the_last_bit() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        let before = Billing::settled_payer(1).credit;
        begin(1, parties(1, FARM), Rates { usd: 3_333_333_333, extra: 77 });
        pass(HOUR_MS / 3);
        Billing::resize(1, DOLLAR);
        pass(HOUR_MS / 3);
        assert_eq!(Billing::stop(1, Refund::All), Stopped::default());
        assert_eq!(Billing::settled_payer(1).credit, before);
        assert_eq!(Payable::<Test>::iter().count(), 0);
    });
}

#[test]
fn a_silence_is_paid_back_however_late_it_is_noticed() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        begin(2, Parties { node: Some(2), ..parties(1, FARM) }, DOLLAR);
        pass(HOUR_MS);
        SilentSince::set(Some(Billing::now().clock));
        pass(HOUR_MS);
        assert_noop!(Billing::claim(RuntimeOrigin::signed(BOB), 1), Error::<Test>::NodeSilent);
        Billing::suspend(1);
        assert_within_one(fixed::whole(charged(1)), 20 * TFT);
        assert_within_one(fixed::whole(charged(2)), 40 * TFT);
        assert_within_one(credit(1), 40 * TFT);

        pass(HOUR_MS);
        assert_within_one(fixed::whole(charged(1)), 20 * TFT);
        SilentSince::set(None);
        Billing::resume(1);
        Billing::resume(1);
        pass(HOUR_MS / 2);
        assert_within_one(fixed::whole(charged(1)), 30 * TFT);
        let closed = Billing::stop(1, Refund::Served).charge;
        assert_within_one(fixed::whole(closed.tft), 30 * TFT);
        let millisecond = DOLLAR.usd / 3_600_000 + 1;
        assert!(closed.usd.abs_diff(15_000_000_000) <= millisecond.into(), "{}", closed.usd);
    });
}

#[test]
fn a_silence_is_paid_back_though_the_node_was_back_before_anybody_noticed() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        let from = Billing::now().clock;
        pass(HOUR_MS);
        LastOutage::set(Gap { from, to: Billing::now().clock });
        // What began after its return isn't concerned.
        begin(2, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        assert_noop!(Billing::claim(RuntimeOrigin::signed(BOB), 1), Error::<Test>::NodeSilent);
        assert_ok!(Billing::claim(RuntimeOrigin::signed(BOB), 2));
        assert_within_one(credit(1), 20 * TFT);
        Billing::resume(1);
        Billing::resume(1);
        assert_within_one(credit(1), 40 * TFT);
        assert_within_one(fixed::whole(charged(1)), 40 * TFT);
        assert_ok!(Billing::claim(RuntimeOrigin::signed(BOB), 1));
        // Also where it ends before.
        LastOutage::set(Gap { from: Billing::now().clock, to: Billing::now().clock + from / 2 });
        pass(HOUR_MS);
        let closed = Billing::stop(2, Refund::Served).charge;
        assert_within_one(fixed::whole(closed.tft), 20 * TFT + 10 * TFT);
    });
}

#[test]
fn a_silence_pays_back_no_more_than_the_discount_let_it_cost() {
    run(|| {
        let rate = Rates { usd: 50_000_000, extra: 0 }; // a tenth of a TFT an hour
        Balances::mint_into(&ALICE, 1_000 * TFT).unwrap();
        deposit(ALICE, 1_500 * TFT);
        begin(1, parties(1, FARM), rate);
        assert_eq!(Billing::discount_permille(1), 400);
        pass(HOUR_MS);
        SilentSince::set(Some(Billing::now().clock));
        let before = Billing::settled_payer(1).credit;
        pass(HOUR_MS);
        let spent = before - Billing::settled_payer(1).credit;
        // The discount is thrown away so that the silence counts at full price.
        assert_ok!(Billing::withdraw(RuntimeOrigin::signed(ALICE), 1_490 * TFT));
        assert_eq!(Billing::discount_permille(1), 1_000);
        let left = Billing::settled_payer(1).credit;
        Billing::suspend(1);
        let back = Billing::settled_payer(1).credit - left;
        assert_within_one(fixed::whole(back), fixed::whole(spent));
    });
}

#[test]
fn two_waits_within_a_silence_are_both_left_out_of_what_comes_back() {
    run(|| {
        deposit(ALICE, 20 * TFT);
        SilentSince::set(Some(Billing::now().clock));
        begin(1, parties(1, FARM), DOLLAR);
        for _ in 0..2 {
            pass(2 * HOUR_MS);
            assert!(Billing::settled_payer(1).paused);
            deposit(BOB, ED);
            assert_ok!(Billing::deposit(RuntimeOrigin::signed(BOB), 1, 20 * TFT));
        }
        pass(HOUR_MS / 2);
        Billing::suspend(1);
        assert_within_one(credit(1), 60 * TFT);
        assert_eq!(fixed::whole(charged(1)), 0);
    });
}

#[test]
fn what_a_trial_sets_aside_comes_back_where_its_rate_counts_and_is_earned_where_not() {
    run(|| {
        let (low, hour) = (DOLLAR.usd / 10, 20 * TFT);
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        Billing::begin_trial(1, low);
        let end = Payers::<Test>::get(1).end;
        pass(HOUR_MS);
        assert_noop!(Billing::claim(RuntimeOrigin::signed(BOB), 1), Error::<Test>::SetAside);
        assert_eq!(Payers::<Test>::get(1).end, end, "credit pays for what runs");
        Billing::end_trial(1);
        assert_within_one(fixed::whole(charged(1)), 2 * hour);
        assert_ok!(Billing::claim(RuntimeOrigin::signed(BOB), 1));

        Billing::begin_trial(1, low);
        pass(HOUR_MS);
        assert_within_one(fixed::whole(charged(1)), 3 * hour);
        Billing::resize(1, Rates { usd: low, extra: 0 });
        assert_within_one(fixed::whole(charged(1)), 2 * hour + hour / 10);
        assert_within_one(credit(1), 100 * TFT - 2 * hour - hour / 10);
        pass(HOUR_MS);
        let closed = Billing::stop(1, Refund::Served).charge;
        assert_within_one(fixed::whole(closed.tft), 2 * hour + hour / 5);
    });
}

#[test]
fn a_trial_without_credit_is_no_free_ride() {
    run(|| {
        deposit(ALICE, 20 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(59 * MINUTE_MS);
        Billing::begin_trial(1, 1);
        pass(30 * MINUTE_MS);
        assert!(Billing::settled_payer(1).paused);
        Billing::end_trial(1);
        assert_within_one(fixed::whole(charged(1)), 20 * TFT);
    });
}

#[test]
fn a_silence_gives_back_once_what_a_trial_set_aside() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        begin(2, parties(1, FARM), Rates { usd: 1, extra: 0 });
        Billing::begin_trial(1, DOLLAR.usd / 2);
        pass(HOUR_MS);
        SilentSince::set(Some(Billing::now().clock));
        pass(HOUR_MS);
        Billing::suspend(1);
        assert_eq!(Payers::<Test>::get(1).promised.rate, DOLLAR.usd.into());
        pass(HOUR_MS);
        SilentSince::set(None);
        Billing::resume(1);
        pass(HOUR_MS);
        assert_within_one(fixed::whole(charged(1)), 40 * TFT);
        Billing::resize(1, Rates { usd: DOLLAR.usd / 2, extra: 0 });
        assert_within_one(fixed::whole(charged(1)), 20 * TFT);
        assert_eq!(Payers::<Test>::get(1).promised.rate, 0);
    });
}

#[test]
fn a_change_of_rates_in_a_silence_takes_no_refund_and_makes_none_larger() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        deposit(BOB, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        begin(2, parties(2, FARM), DOLLAR);
        pass(HOUR_MS);
        SilentSince::set(Some(Billing::now().clock));
        pass(HOUR_MS / 2);
        let double = Rates { usd: 2 * DOLLAR.usd, extra: 0 };
        Billing::resize(1, double);
        Billing::resize(2, Rates { usd: DOLLAR.usd / 2, extra: 0 });
        assert_within_one(fixed::whole(charged(1)), 30 * TFT);
        pass(HOUR_MS / 2);
        (1..=2).for_each(Billing::suspend);
        // Of what was charged, 30 and 15 TFT, the lower rate for all the time.
        assert_within_one(credit(1), 100 * TFT - 50 * TFT + 20 * TFT);
        assert_within_one(credit(2), 100 * TFT - 35 * TFT + 10 * TFT);
    });
}

#[test]
fn two_changes_of_rates_in_a_silence_make_no_refund_larger() {
    run(|| {
        deposit(ALICE, 400 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        SilentSince::set(Some(Billing::now().clock));
        pass(HOUR_MS / 2);
        let dear = Rates { usd: 10 * DOLLAR.usd, extra: 0 };
        Billing::resize(1, dear);
        Billing::resize(1, dear);
        Billing::suspend(1);
        assert_within_one(credit(1), 400 * TFT - 20 * TFT);
    });
}

#[test]
fn a_heartbeat_that_is_a_little_late_gives_nothing_back_and_holds_claims() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        (OnlyLate::set(true), SilentSince::set(Some(Billing::now().clock)));
        pass(10 * MINUTE_MS);
        assert_noop!(Billing::claim(RuntimeOrigin::signed(BOB), 1), Error::<Test>::NodeSilent);
        let closed = Billing::stop(1, Refund::Served).charge;
        assert_within_one(fixed::whole(closed.tft), 20 * TFT + 20 * TFT / 6);
    });
}

#[test]
fn a_contract_that_stops_in_a_silence_pays_only_up_to_the_last_heartbeat() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS / 2);
        SilentSince::set(Some(Billing::now().clock));
        pass(HOUR_MS / 2);
        assert_within_one(fixed::whole(Billing::stop(1, Refund::Served).charge.tft), 10 * TFT);
        assert_within_one(credit(1), 90 * TFT);
    });
}

#[test]
fn a_silence_never_pays_back_more_than_was_charged() {
    run(|| {
        // Half an hour of credit, three hours of silence.
        deposit(ALICE, 10 * TFT);
        SilentSince::set(Some(0));
        begin(1, parties(1, FARM), DOLLAR);
        pass(3 * HOUR_MS);
        assert!(Billing::is_exhausted(1));
        Billing::suspend(1);
        assert_within_one(credit(1), 10 * TFT);
        assert!(credit(1) <= 10 * TFT);
        assert_eq!(fixed::whole(charged(1)), 0);
        assert!(!Billing::is_exhausted(1), "what is suspended costs nothing");
    });
}

#[test]
fn a_suspended_contract_takes_another_rate_when_it_goes_on() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        Billing::suspend(1);
        Billing::resize(1, Rates { usd: DOLLAR.usd * 2, extra: 0 });
        pass(HOUR_MS);
        assert_eq!(credit(1), 100 * TFT);
        Billing::resume(1);
        pass(HOUR_MS);
        assert_within_one(credit(1), 60 * TFT);
        Billing::suspend(1);
        Billing::stop(1, Refund::Served);
        assert_eq!(Payers::<Test>::get(1).rate, 0);
    });
}

#[test]
fn ten_minutes_are_the_least_that_is_charged() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        let minimum = 20 * TFT / 6;
        let charge = Billing::charge_minimum(2, 1, DOLLAR, Stopped::default());
        assert_within_one(fixed::whole(charge.tft), minimum);
        assert!(charge.usd.abs_diff(10_000_000_000 / 6) <= 1);
        assert_within_one(credit(1), 100 * TFT - minimum);
        // A stolen key that creates and cancels earns no farm anything.
        assert_eq!(Payable::<Test>::get(Payee::Farm(FARM)), 0);
        let foundation = fixed::ceil(Payable::<Test>::get(Payee::Foundation));
        assert_within_one(foundation, minimum * 9 / 10);

        // The rest of it, and nothing where more was paid already.
        begin(1, parties(1, FARM), DOLLAR);
        pass(5 * MINUTE_MS);
        let paid = Billing::stop(1, Refund::Served);
        let charge = Billing::charge_minimum(1, 1, DOLLAR, paid);
        assert_within_one(fixed::whole(charge.tft), minimum);
        let all = Stopped { charge, traffic_usd: 0 };
        let again = Billing::charge_minimum(1, 1, DOLLAR, all);
        assert_within_one(fixed::whole(again.tft), fixed::whole(charge.tft));
    });
}

#[test]
fn the_minimum_charge_counts_dollars_and_no_traffic() {
    run(|| {
        deposit(ALICE, 400 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(30 * MINUTE_MS);
        // TFT that bought half an hour buy two minutes now, and were paid all the same.
        assert_ok!(Billing::set_price(RuntimeOrigin::root(), PRICE / 15));
        let stopped = Billing::stop(1, Refund::Served);
        assert_eq!(Billing::charge_minimum(1, 1, DOLLAR, stopped), stopped.charge);
        assert_ok!(Billing::set_price(RuntimeOrigin::root(), PRICE));
        begin(2, parties(1, FARM), DOLLAR);
        assert_ok!(<Billing as Ledger>::buy_traffic(2, 1, 1_000, false));
        Billing::use_traffic(2, u64::MAX);
        let stopped = Billing::stop(2, Refund::Served);
        let charge = Billing::charge_minimum(2, 1, DOLLAR, stopped);
        assert_within_one(fixed::whole(charge.tft - stopped.charge.tft), 20 * TFT / 6);

        // What a silence gives back is time, no traffic.
        begin(3, parties(1, FARM), DOLLAR);
        assert_ok!(<Billing as Ledger>::buy_traffic(3, 1, 1_000, false));
        Billing::use_traffic(3, u64::MAX);
        SilentSince::set(Some(Billing::now().clock));
        pass(HOUR_MS);
        Billing::suspend(3);
        SilentSince::set(None);
        let stopped = Billing::stop(3, Refund::Served);
        let charge = Billing::charge_minimum(3, 1, DOLLAR, stopped);
        assert!(fixed::whole(charge.tft - stopped.charge.tft) > 18 * TFT / 6);
    });
}

#[test]
fn the_minimum_charge_takes_no_more_than_there_is() {
    run(|| {
        deposit(BOB, TFT);
        let charge = Billing::charge_minimum(1, 2, DOLLAR, Stopped::default());
        assert_eq!(fixed::whole(charge.tft), TFT);
        assert_eq!(credit(2), 0);
    });
}

#[test]
fn owners_limits_bind_what_starts() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        let with_extra = Rates { usd: 0, extra: 1 };
        assert_noop!(Billing::ensure_affordable(1, with_extra), Error::<Test>::ExtraFeeAboveLimit);
        let set = |max_usd_rate, max_extra_fee| {
            let limits = Limits { max_usd_rate, max_extra_fee, refill_per_30_days: 0 };
            assert_ok!(Billing::set_limits(RuntimeOrigin::signed(ALICE), limits));
        };
        set(DOLLAR.usd, 1);
        assert_ok!(Billing::ensure_affordable(1, with_extra));
        assert_ok!(Billing::ensure_affordable(1, DOLLAR));
        begin(1, parties(1, FARM), DOLLAR);
        let one_more = Rates { usd: 1, extra: 0 };
        assert_noop!(Billing::ensure_affordable(1, one_more), Error::<Test>::RateAboveLimit);
        set(0, 0);
        assert_noop!(
            Billing::set_limits(RuntimeOrigin::signed(5_000), Limits::default()),
            Error::<Test>::NoTwin
        );
    });
}

#[test]
fn a_solution_provider_gets_its_part_of_the_foundations() {
    run(|| {
        let root = RuntimeOrigin::root;
        assert_noop!(Billing::add_provider(RuntimeOrigin::signed(ALICE), BOB, 500), BadOrigin);
        assert_noop!(Billing::add_provider(root(), BOB, 501), Error::<Test>::ProviderShareTooLarge);
        assert_ok!(Billing::add_provider(root(), BOB, 500));
        deposit(ALICE, 100 * TFT);
        assert_noop!(Billing::attach_provider(1, 1), Error::<Test>::UnknownContract);
        begin(1, parties(1, FARM), DOLLAR);
        assert_noop!(Billing::attach_provider(1, 9), Error::<Test>::UnknownProvider);
        assert_ok!(Billing::attach_provider(1, 1));
        assert_noop!(Billing::attach_provider(1, 1), Error::<Test>::ProviderAttached);
        pass(HOUR_MS);
        Billing::stop(1, Refund::Served);
        assert_within_one(fixed::whole(Payable::<Test>::get(Payee::Foundation)), 4 * TFT);
        assert_within_one(fixed::whole(Payable::<Test>::get(Payee::Farm(FARM))), 10 * TFT);
        let before = Balances::balance(&BOB);
        assert_ok!(Billing::pay_out(RuntimeOrigin::signed(ALICE), Payee::Provider(1)));
        assert_within_one(Balances::balance(&BOB) - before, 4 * TFT);

        assert_noop!(Billing::set_provider_share(root(), 2, 0), Error::<Test>::UnknownProvider);
        assert_noop!(Billing::set_provider_share(root(), 1, 501), Error::<Test>::ProviderShareTooLarge);
        assert_noop!(Billing::set_provider_share(RuntimeOrigin::signed(BOB), 1, 0), BadOrigin);
        assert_ok!(Billing::set_provider_share(root(), 1, 0));
        assert_noop!(
            Billing::pay_out(RuntimeOrigin::signed(ALICE), Payee::Provider(9)),
            Error::<Test>::NothingPayable
        );
    });
}

#[test]
fn ids_of_providers_run_out_without_harm() {
    run(|| {
        LastProviderId::<Test>::put(u32::MAX);
        assert_noop!(Billing::add_provider(RuntimeOrigin::root(), BOB, 1), Error::<Test>::IdsExhausted);
    });
}

#[test]
fn deadlines_are_served_in_the_order_in_which_they_are_due() {
    run(|| {
        let now = Billing::grid_now();
        Billing::arm(now + 9_000, Deadline::Answer(1));
        Billing::arm(now + 3_000, Deadline::Tombstone(7));
        Billing::arm(now + 3_000, Deadline::Silence(2));
        Billing::arm(now + 6_000, Deadline::Sweep(3));
        Billing::arm(now + 6_000, Deadline::Sweep(3));
        Billing::disarm(now + 9_000, Deadline::Answer(1));
        Billing::disarm(now + 9_000, Deadline::Answer(1));
        pass(12_000);
        let served = [
            (now + 3_000, Deadline::Silence(2)),
            (now + 3_000, Deadline::Tombstone(7)),
            (now + 6_000, Deadline::Sweep(3)),
        ];
        assert_eq!(Served::get(), served);
        assert_eq!(Deadlines::<Test>::iter_keys().count(), 0);
    });
}

#[test]
fn work_in_steps_goes_to_the_tail_and_comes_to_an_end() {
    run(|| {
        let now = Billing::grid_now();
        StepsLeft::set(3);
        Billing::arm(now, Deadline::Sweep(1));
        Billing::arm(now + 1, Deadline::Answer(9));
        pass(9_000);
        let sweeps = Served::get().iter().filter(|(_, deadline)| *deadline == Deadline::Sweep(1)).count();
        assert_eq!(sweeps, 4);
        let place = |wanted: Deadline| Served::get().iter().position(|(_, d)| *d == wanted).unwrap();
        assert!(
            place(Deadline::Answer(9)) <= 1,
            "the second step comes after what was due: {:?}",
            Served::get()
        );
        assert_eq!(Deadlines::<Test>::iter_keys().count(), 0);
    });
}

#[test]
fn a_backlog_is_said_whatever_is_left_of_the_block() {
    let step =
        Directory::weight_of(&Deadline::Answer(0)).saturating_add(<() as WeightInfo>::serve_deadline());
    let half_a_look = <() as WeightInfo>::next_deadline() / 2;
    let mut limit = step.saturating_mul(10);
    while limit.all_lt(step.saturating_mul(11)) {
        run(|| {
            let now = Billing::grid_now();
            (0..50).for_each(|contract| Billing::arm(now + 1, Deadline::Answer(contract)));
            block_with(Billing::price_clock().stepped_at_ms + 3_000, limit);
            assert!((5..12).contains(&Served::get().len()));
            let behind: RuntimeEvent = Event::Behind { due: now + 1 }.into();
            assert!(System::events().iter().any(|record| record.event == behind), "{limit:?}");
        });
        limit = limit.saturating_add(half_a_look);
    }
}

#[test]
fn a_backlog_is_served_in_order_over_blocks_and_said() {
    run(|| {
        let now = Billing::grid_now();
        for contract in 0..1_000 {
            Billing::arm(now + 1 + contract % 7, Deadline::Answer(contract));
        }
        // As much as a hundred take, and a look at the next one.
        let look = <() as WeightInfo>::next_deadline();
        let step = Directory::weight_of(&Deadline::Answer(0))
            .saturating_add(<() as WeightInfo>::serve_deadline())
            .saturating_add(look);
        let limit = <() as WeightInfo>::on_poll()
            .saturating_add(<() as WeightInfo>::next_end())
            .saturating_add(step.saturating_mul(100))
            .saturating_add(look);
        block_with(Billing::price_clock().stepped_at_ms + 3_000, limit);
        assert_eq!(Served::get().len(), 100);
        let behind = |event: &RuntimeEvent| matches!(event, RuntimeEvent::Billing(Event::Behind { .. }));
        assert!(System::events().iter().any(|record| behind(&record.event)));
        while Deadlines::<Test>::iter_keys().next().is_some() {
            pass(3_000);
        }
        let order: Vec<u64> = Served::get()
            .into_iter()
            .map(|(_, deadline)| match deadline {
                Deadline::Answer(contract) => contract % 7,
                _ => unreachable!("nothing else was armed"),
            })
            .collect();
        assert_eq!(order.len(), 1_000);
        assert!(order.is_sorted());
    });
}

#[test]
fn a_halt_fires_no_deadline() {
    run(|| {
        let now = Billing::grid_now();
        Billing::arm(now + HALT_CAP_MS + 1, Deadline::Answer(1));
        block_at(Billing::price_clock().stepped_at_ms + 5 * DAY_MS);
        assert!(Served::get().is_empty());
        pass(3_000);
        assert_eq!(Served::get().len(), 1);
    });
}
