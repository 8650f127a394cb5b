// SPDX-License-Identifier: Apache-2.0

use crate::{mock::*, *};
use frame_support::{
    assert_noop, assert_ok,
    traits::{
        fungible::{Inspect, Mutate},
        tokens::Preservation,
    },
};
use sp_runtime::{traits::BadOrigin, ArithmeticError, TokenError};
use tfgrid_primitives::{
    clock::HALT_CAP_MS,
    fixed,
    traits::{Clock, Ledger},
    units::{DAY_MS, GIB, HOUR_MS, TFT, USD},
    Rates, Resources,
};

/// One USD an hour: 20 TFT at the mock's price.
const DOLLAR: Rates = Rates { usd: 10_000_000_000, extra: 0 };
const FARM: u32 = 7;

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
        Billing::start(1, ALICE as u32, FARM, DOLLAR);
        pass(HOUR_MS);
        assert_within_one(credit(ALICE as u32), 80 * TFT);
        let charge = Billing::stop(1);
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
        Billing::start(1, ALICE as u32, FARM, Rates { usd: 0, extra: DOLLAR.usd });
        pass(HOUR_MS);
        Billing::stop(1);
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
            Billing::start(1, ALICE as u32, FARM, Rates { usd: 3_333_333_333, extra: 7 });
            for _ in 0..claims {
                pass(HOUR_MS / claims);
                assert_ok!(Billing::claim(RuntimeOrigin::signed(BOB), 1));
            }
            Billing::stop(1);
            earned = Payable::<Test>::iter_values().sum::<u128>();
        });
        earned
    };
    assert_eq!(earned_with_claims(1), earned_with_claims(100));
}

#[test]
fn a_price_change_is_one_write_and_charged_on_both_sides() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        Billing::start(1, ALICE as u32, FARM, DOLLAR);
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
        Billing::start(1, twin, FARM, DOLLAR);
        assert!(Billing::funded_ms(twin).unwrap().abs_diff(HOUR_MS / 2) <= 1);
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
        Billing::start(1, ALICE as u32, FARM, DOLLAR);
        let withdraw = |amount| Billing::withdraw(RuntimeOrigin::signed(ALICE), amount);
        assert_noop!(withdraw(100 * TFT + 1), Error::<Test>::NotEnoughCredit);
        assert_noop!(withdraw(80 * TFT + 1), Error::<Test>::CreditTooLow);
        assert_ok!(withdraw(80 * TFT));
        assert_eq!(Balances::balance(&ALICE), 980 * TFT);
        Billing::stop(1);
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
        assert_noop!(Billing::ensure_runway(twin, DOLLAR), Error::<Test>::CreditTooLow);
        deposit(ALICE, 20 * TFT - 1);
        assert_noop!(Billing::ensure_runway(twin, DOLLAR), Error::<Test>::CreditTooLow);
        deposit(ALICE, TFT);
        assert_ok!(Billing::ensure_runway(twin, DOLLAR));
        Billing::start(1, twin, FARM, DOLLAR);
        assert_noop!(Billing::ensure_runway(twin, DOLLAR), Error::<Test>::CreditTooLow);
    });
}

#[test]
fn a_halt_of_days_charges_the_cap() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        Billing::start(1, ALICE as u32, FARM, DOLLAR);
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
        let spoilt: [fn(&mut Policy<AccountId>); 6] = [
            |p| p.shares.farm += 1,
            |p| p.shares.foundation = u16::MAX,
            |p| p.min_price = 1,
            |p| p.max_price = u64::MAX,
            |p| p.prices.rent_percent = 0,
            |p| p.prices.certified_percent = 99,
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
        assert_eq!(Billing::quote(&resources, 0, false), Some(103_750_000));
        assert_eq!(Billing::quote(&resources, 0, true), Some(129_687_500));
    });
}

#[test]
fn claims_and_payouts_of_nothing_are_refused() {
    run(|| {
        let signed = || RuntimeOrigin::signed(BOB);
        assert_noop!(Billing::claim(signed(), 99), Error::<Test>::UnknownContract);
        assert_noop!(Billing::pay_out(signed(), Payee::Staking), Error::<Test>::NothingPayable);
        deposit(ALICE, 100 * TFT);
        Billing::start(1, ALICE as u32, 500, DOLLAR);
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
        Billing::start(1, ALICE as u32, FARM, Rates { usd: 10_000, extra: 0 });
        pass(HOUR_MS);
        Billing::stop(1);
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
        Billing::start(1, twin, FARM, DOLLAR);
        pass(HOUR_MS);
        Billing::start(2, twin, FARM + 1, DOLLAR);
        pass(HOUR_MS);
        assert!(Billing::is_exhausted(twin));
        pass(HOUR_MS);
        let (first, second) = (Billing::stop(1), Billing::stop(2));
        assert_within_one(fixed::whole(first.tft), 40 * TFT);
        assert_within_one(fixed::whole(second.tft), 20 * TFT);
        assert_eq!(Billing::stop(3), Default::default());
    });
}
