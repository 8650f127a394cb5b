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
use sp_runtime::{TokenError, traits::BadOrigin};
use tfgrid_primitives::{
    Charge, ClockSpan, Deadline, ExactTft, PriceTime, Rates, Resources, TwinId,
    clock::HALT_CAP_MS,
    pricing::Priced,
    traits::{Agenda, Clock as _, ContractPrice, Ledger, LedgerClock, Outcome, Parties},
    units::{DAY_MS, GIB, HOUR_MS, MINUTE_MS, MONTH_MS, TFT, USD},
};

/// One USD an hour: 20 TFT at the mock's price.
const DOLLAR: Rates = Rates { usd: 10_000_000_000, extra: 0 };
const FARM: u32 = 7;

/// Twin `payer` pays, `farm` earns, node 1 serves.
fn parties(payer: TwinId, farm: u32) -> Parties {
    Parties { payer, farm: Some(farm), node: Some(1) }
}

fn deposit(account: AccountId, amount: u128) {
    assert_ok!(Billing::deposit(RuntimeOrigin::signed(account), account as u32, amount));
}

/// The credit that a payer can see, in whole units.
fn credit(twin: u32) -> u128 {
    Billing::settled_payer(twin).credit.whole()
}

/// What an open contract was charged.
fn charged(contract: u64) -> ExactTft {
    Billing::charge_of(contract).tft
}

/// Charges for a contract from now on, whatever its payer can afford.
fn begin(contract: u64, parties: Parties, rates: Rates) {
    begin_at(contract, parties, ContractPrice::plain(rates));
}

fn begin_at(contract: u64, parties: Parties, price: ContractPrice) {
    Billing::open_account(contract, parties, price);
    Billing::start(contract, 0);
}

/// Proposes other rates and accepts them at once.
fn resize(contract: u64, rates: Rates) {
    assert_ok!(Billing::propose(contract, ContractPrice::plain(rates), rates));
    Billing::accept(contract, 0);
}

/// Proposes a rate while capacity of another is reserved.
fn propose_usd(contract: u64, usd: u64, reserved: u64) {
    let (price, reserved) =
        (ContractPrice::plain(Rates { usd, extra: 0 }), Rates { usd: reserved, extra: 0 });
    assert_ok!(Billing::propose(contract, price, reserved));
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
        let left = Balances::free_balance(ALICE) - ED - FEE_RESERVE;
        for amount in [left + 1, 1_001 * TFT, u128::MAX] {
            assert_noop!(deposit(1, amount), Error::<Test>::NothingLeftForFees);
        }
        assert_ok!(deposit(1, left));
    });
}

#[test]
fn a_running_contract_is_charged_to_the_unit_and_shared() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(ALICE as u32, FARM), DOLLAR);
        pass(HOUR_MS);
        assert_within_one(credit(ALICE as u32), 80 * TFT);
        let charge = Billing::close(1, Outcome::Served);
        assert_eq!(charge.usd, 10_000_000_000);
        assert_within_one(charge.tft.whole(), 20 * TFT);
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
        Billing::close(1, Outcome::Served);
        assert_within_one(Payable::<Test>::get(Payee::Farm(FARM)).ceil(), 20 * TFT);
        assert_eq!(Payable::<Test>::get(Payee::Foundation), ExactTft::ZERO);
    });
}

#[test]
fn collecting_often_earns_what_collecting_once_earns() {
    let earned_by_collections = |collections: u64| {
        let mut earned = ExactTft::ZERO;
        run(|| {
            deposit(ALICE, 100 * TFT);
            begin(1, parties(ALICE as u32, FARM), Rates { usd: 3_333_333_333, extra: 7 });
            pass(HOUR_MS);
            for _ in 0..collections {
                pass(HOUR_MS / collections);
                assert_ok!(Billing::collect(RuntimeOrigin::signed(BOB), 1));
            }
            Billing::close(1, Outcome::Served);
            earned = Payable::<Test>::iter_values().sum();
        });
        earned
    };
    assert_eq!(earned_by_collections(1), earned_by_collections(100));
}

#[test]
fn collecting_in_every_block_rounds_no_payee_down() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        // A block earns a small part of a unit.
        let tiny = Rates { usd: 7, extra: 0 };
        begin(1, parties(1, FARM), tiny);
        begin(2, parties(1, FARM + 1), tiny);
        pass(HOUR_MS);
        while Clock::grid_now() < 3 * HOUR_MS {
            pass(3_000);
            assert_ok!(Billing::collect(RuntimeOrigin::signed(ALICE), 1));
        }
        assert_ok!(Billing::collect(RuntimeOrigin::signed(ALICE), 2));
        let farms = [FARM, FARM + 1].map(|farm| Payable::<Test>::get(Payee::Farm(farm)));
        assert_eq!(farms[0].whole().abs_diff(farms[1].whole()), 0);
        assert!(farms[0] > ExactTft::ZERO);
    });
}

#[test]
fn a_closed_contract_has_nothing_left_to_collect() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(2 * HOUR_MS);
        Billing::close(1, Outcome::Served);
        assert_noop!(Billing::collect(RuntimeOrigin::signed(BOB), 1), Error::<Test>::UnknownContract);
    });
}

#[test]
fn time_that_goes_back_charges_nothing() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        let (before, now) = (Billing::settled_payer(1), price_clock().stepped_at_ms);
        block_at(now - 10 * MINUTE_MS);
        block_at(0);
        assert_eq!(Billing::settled_payer(1), before);
        block_at(now + 3_000);
        assert_within_one(before.credit.whole() - credit(1), 20 * TFT * 3 / 3_600);
    });
}

#[test]
fn a_price_change_is_one_write_and_charged_on_both_sides() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(ALICE as u32, FARM), DOLLAR);
        pass(HOUR_MS);
        set_price(USD / 10);
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
        assert!(Billing::funded_until(twin).unwrap().abs_diff(Clock::unix_now() + 1_800) <= 1);
        assert_eq!(Billing::funded_until(99), None);
        pass(HOUR_MS / 2 - 3_000);
        assert!(!Billing::is_exhausted(twin));
        pass(6_000);
        assert!(Billing::is_exhausted(twin));
        pass(DAY_MS / 4);
        assert_within_one(charged(1).whole(), 10 * TFT);
        assert_eq!(credit(twin), 0);

        deposit(ALICE, 5 * TFT);
        let until = Graces::<Test>::get(twin).unwrap().until;
        System::assert_last_event(Event::CreditMissing { twin, missing: 15 * TFT, until }.into());
        assert!(Billing::is_exhausted(twin));
        deposit(ALICE, 15 * TFT);
        assert!(!Billing::is_exhausted(twin));
        pass(HOUR_MS / 2);
        assert_within_one(charged(1).whole(), 20 * TFT);
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
        Billing::close(1, Outcome::Served);
        assert_ok!(withdraw(20 * TFT));
        assert_eq!(Balances::balance(&ALICE), 1_000 * TFT);
        assert_eq!(Balances::balance(&Billing::pot()), ED, "the pot survives its last unit");
        assert_noop!(Billing::withdraw(RuntimeOrigin::signed(5_000), 1), Error::<Test>::NoTwin);
    });
}

#[test]
fn contract_needs_an_hour_of_credit_to_start() {
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
        let grid = Clock::grid_now();
        block_at(price_clock().stepped_at_ms + 5 * DAY_MS);
        let minute = 20 * TFT / 60;
        assert_within_one(100 * TFT - credit(ALICE as u32), minute);
        assert_eq!(Clock::grid_now() - grid, HALT_CAP_MS);
    });
}

#[test]
fn only_governance_sets_the_policy_and_it_is_checked() {
    run(|| {
        let root = RuntimeOrigin::root;
        let standard = || BillingPolicy::standard(FOUNDATION, STAKING);
        assert_noop!(Billing::set_policy(RuntimeOrigin::signed(ALICE), standard()), BadOrigin);
        let spoilt: [fn(&mut BillingPolicy<AccountId>); 8] = [
            |p| p.shares.farm += 1,
            |p| p.shares.foundation = u16::MAX,
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
fn collections_and_payouts_of_nothing_are_refused() {
    run(|| {
        let signed = || RuntimeOrigin::signed(BOB);
        assert_noop!(Billing::collect(signed(), 99), Error::<Test>::UnknownContract);
        assert_noop!(Billing::pay_out(signed(), Payee::Staking), Error::<Test>::NothingPayable);
        deposit(ALICE, 100 * TFT);
        begin(1, parties(ALICE as u32, 500), DOLLAR);
        pass(HOUR_MS);
        assert_ok!(Billing::collect(signed(), 1));
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
        Billing::close(1, Outcome::Served);
        let payable = Payable::<Test>::get(Payee::Staking);
        assert!(payable.whole() > 0);
        let paying = Billing::pay_out(RuntimeOrigin::signed(BOB), Payee::Staking);
        assert_noop!(paying, TokenError::BelowMinimum);
        assert_eq!(Payable::<Test>::get(Payee::Staking), payable);
        assert_ok!(Balances::transfer(&BOB, &STAKING, TFT, Preservation::Preserve));
        assert_ok!(Billing::pay_out(RuntimeOrigin::signed(BOB), Payee::Staking));
        assert_eq!(Balances::balance(&STAKING), TFT + payable.whole());
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
        let (first, second) = (Billing::close(1, Outcome::Served), Billing::close(2, Outcome::Served));
        assert_within_one(first.tft.whole(), 40 * TFT);
        assert_within_one(second.tft.whole(), 20 * TFT);
    });
}

#[test]
fn first_earnings_of_a_contract_are_set_aside() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        let collect = || Billing::collect(RuntimeOrigin::signed(BOB), 1);
        pass(HOUR_MS - 3_000);
        assert_noop!(collect(), Error::<Test>::SetAside);
        // A resize pays nobody either.
        resize(1, Rates { usd: DOLLAR.usd / 2, extra: 0 });
        assert_eq!(Payable::<Test>::iter().count(), 0);
        pass(3_000);
        assert_ok!(collect());
    });
}

#[test]
fn undelivered_contract_pays_the_minimum_charge() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        Standings::<Test>::insert(ALICE, Standing { paid: 1_000 * TFT, refunded: 0 });
        let before = Billing::settled_payer(1).credit;
        OwnerLimits::<Test>::insert(1, Limits { max_extra_fee: 77, ..NO_LIMITS });
        begin(1, parties(1, FARM), Rates { usd: 3_333_333_333, extra: 77 });
        pass(HOUR_MS / 3);
        resize(1, DOLLAR);
        pass(HOUR_MS / 3);
        let refund = Billing::refund_of_complaint(1);
        let charge = Billing::close(1, Outcome::NotDelivered);
        assert_within_one(charge.tft.whole(), 20 * TFT / 6);
        assert_eq!(before - Billing::settled_payer(1).credit, charge.tft);
        assert_eq!(Standings::<Test>::get(ALICE).refunded, refund + 1, "rounded up");
        assert_eq!(Payable::<Test>::get(Payee::Farm(FARM)), ExactTft::ZERO, "no side gains by it");
    });
}

#[test]
fn complaints_return_a_tenth_of_what_was_paid_at_most() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        assert_eq!(Billing::refund_of_complaint(1), 0, "nothing was paid yet");
        assert_ok!(Billing::collect(RuntimeOrigin::signed(BOB), 1));
        // Half of it went to the farm, from where it might come back.
        assert_within_one(Standings::<Test>::get(ALICE).paid, 10 * TFT);
        begin(2, parties(1, FARM), DOLLAR);
        pass(HOUR_MS / 2);
        assert_within_one(Billing::refund_of_complaint(2), TFT);
        assert_within_one(Billing::close(2, Outcome::NotDelivered).tft.whole(), 9 * TFT);
        let Standing { paid, refunded } = Standings::<Test>::get(ALICE);
        assert_within_one(paid, 10 * TFT + 9 * TFT / 2);
        assert_within_one(refunded, TFT);
        begin(3, parties(1, FARM), DOLLAR);
        pass(HOUR_MS / 2);
        assert_within_one(Billing::refund_of_complaint(3), 9 * TFT / 20);
    });
}

#[test]
fn extra_fees_and_traffic_earn_no_standing() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        OwnerLimits::<Test>::insert(1, Limits { max_extra_fee: DOLLAR.usd, ..NO_LIMITS });
        begin(1, parties(1, FARM), Rates { usd: 0, extra: DOLLAR.usd });
        assert_ok!(Billing::buy_traffic(RuntimeOrigin::signed(ALICE), 1, 3, TFT));
        pass(HOUR_MS);
        Billing::use_traffic(1, 3_000_000_000);
        assert_ok!(Billing::collect(RuntimeOrigin::signed(BOB), 1));
        assert_eq!(Standings::<Test>::get(ALICE), Standing::default());
    });
}

#[test]
fn complaint_that_is_backed_in_part_leaves_the_farm_its_share() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        Standings::<Test>::insert(ALICE, Standing { paid: 100, refunded: 0 });
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS / 2);
        assert_eq!(Billing::refund_of_complaint(1), 10);
        assert_within_one(Billing::close(1, Outcome::NotDelivered).tft.whole(), 10 * TFT - 10);
        assert_within_one(Payable::<Test>::get(Payee::Farm(FARM)).whole(), 5 * TFT - 5);
    });
}

#[test]
fn a_silence_is_paid_back_however_late_it_is_noticed() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        begin(2, Parties { node: Some(2), ..parties(1, FARM) }, DOLLAR);
        pass(HOUR_MS);
        SilentSince::set(Some(Clock::now().clock));
        pass(HOUR_MS);
        assert_noop!(Billing::collect(RuntimeOrigin::signed(BOB), 1), Error::<Test>::NodeSilent);
        Billing::suspend(1);
        assert_within_one(charged(1).whole(), 20 * TFT);
        assert_within_one(charged(2).whole(), 40 * TFT);
        assert_within_one(credit(1), 40 * TFT);

        pass(HOUR_MS);
        assert_within_one(charged(1).whole(), 20 * TFT);
        SilentSince::set(None);
        Billing::start(1, 0);
        Billing::start(1, 0);
        pass(HOUR_MS / 2);
        assert_within_one(charged(1).whole(), 30 * TFT);
        let closed = Billing::close(1, Outcome::Served);
        assert_within_one(closed.tft.whole(), 30 * TFT);
        let millisecond = DOLLAR.usd / 3_600_000 + 1;
        assert!(closed.usd.abs_diff(15_000_000_000) <= millisecond.into(), "{}", closed.usd);
    });
}

#[test]
fn a_silence_that_ended_unnoticed_is_paid_back() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        let from = Clock::now().clock;
        pass(HOUR_MS);
        LastOutage::set(ClockSpan { from, to: Clock::now().clock });
        // What began after its return isn't concerned.
        begin(2, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        assert_noop!(Billing::collect(RuntimeOrigin::signed(BOB), 1), Error::<Test>::NodeSilent);
        assert_ok!(Billing::collect(RuntimeOrigin::signed(BOB), 2));
        assert_within_one(credit(1), 20 * TFT);
        Billing::start(1, 0);
        Billing::start(1, 0);
        assert_within_one(credit(1), 40 * TFT);
        assert_within_one(charged(1).whole(), 40 * TFT);
        assert_ok!(Billing::collect(RuntimeOrigin::signed(BOB), 1));
        // Also where it ends before.
        LastOutage::set(ClockSpan { from: Clock::now().clock, to: Clock::now().clock + from.scaled(1, 2) });
        pass(HOUR_MS);
        let closed = Billing::close(2, Outcome::Served);
        assert_within_one(closed.tft.whole(), 20 * TFT + 10 * TFT);
    });
}

#[test]
fn a_silence_pays_back_no_more_than_it_cost() {
    run(|| {
        let rate = Rates { usd: 50_000_000, extra: 0 }; // a tenth of a TFT an hour
        Balances::mint_into(&ALICE, 1_000 * TFT).unwrap();
        deposit(ALICE, 1_500 * TFT);
        begin(1, parties(1, FARM), rate);
        assert_eq!(Billing::price_factor_permille(1), 400);
        pass(HOUR_MS);
        SilentSince::set(Some(Clock::now().clock));
        let before = Billing::settled_payer(1).credit;
        pass(HOUR_MS);
        let spent = before - Billing::settled_payer(1).credit;
        // The discount is thrown away so that the silence counts at full price.
        assert_ok!(Billing::withdraw(RuntimeOrigin::signed(ALICE), 1_490 * TFT));
        assert_eq!(Billing::price_factor_permille(1), 1_000);
        let left = Billing::settled_payer(1).credit;
        Billing::suspend(1);
        let back = Billing::settled_payer(1).credit - left;
        assert_within_one(back.whole(), spent.whole());
    });
}

#[test]
fn two_graces_within_a_silence_are_left_out_of_a_refund() {
    run(|| {
        deposit(ALICE, 20 * TFT);
        SilentSince::set(Some(Clock::now().clock));
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
        assert_eq!(charged(1).whole(), 0);
    });
}

#[test]
fn the_present_price_counts_until_another_is_accepted() {
    run(|| {
        let (low, hour) = (DOLLAR.usd / 10, 20 * TFT);
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        propose_usd(1, low, low);
        assert_eq!(Payers::<Test>::get(1).committed.usd, 0);
        pass(HOUR_MS);
        assert_ok!(Billing::collect(RuntimeOrigin::signed(BOB), 1));
        Billing::reject(1, None);
        assert_within_one(charged(1).whole(), 2 * hour);

        propose_usd(1, low, low);
        pass(HOUR_MS);
        Billing::accept(1, HOUR_MS);
        assert_within_one(charged(1).whole(), 3 * hour);
        pass(HOUR_MS);
        let closed = Billing::close(1, Outcome::Served);
        assert_within_one(closed.tft.whole(), 3 * hour + hour / 10);
    });
}

#[test]
fn what_an_update_reserves_is_paid_for_with_its_answer() {
    run(|| {
        let (hour, twice) = (20 * TFT, 2 * DOLLAR.usd);
        deposit(ALICE, 900 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        let (mut due, mut earned) = (0, 0);
        // What it costs as much as the present version, and reserves as much again; answered after 6 minutes.
        let answers: [(fn(), u128); 4] = [
            (|| Billing::accept(1, HOUR_MS / 10), hour / 10),
            (|| Billing::reject(1, Some(HOUR_MS / 10)), hour / 6),
            (|| Billing::reject(1, Some(HOUR_MS)), hour),
            (|| Billing::reject(1, None), 0),
        ];
        for (answer, price) in answers {
            propose_usd(1, DOLLAR.usd, twice);
            assert_eq!(Payers::<Test>::get(1).committed.usd, DOLLAR.usd.into());
            pass(HOUR_MS / 10);
            answer();
            due += hour / 10 + price;
            earned += hour / 10;
            assert!(charged(1).whole().abs_diff(due) <= 4, "{} of {due}", charged(1).whole());
            assert_eq!(Payers::<Test>::get(1).committed.usd, 0);
        }
        // The farm's half is of what ran.
        pass(HOUR_MS);
        assert_ok!(Billing::collect(RuntimeOrigin::signed(BOB), 1));
        assert!(Payable::<Test>::get(Payee::Farm(FARM)).whole().abs_diff((earned + hour) / 2) <= 1);
    });
}

#[test]
fn a_change_of_rates_in_a_silence_makes_no_refund_larger() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        deposit(BOB, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        begin(2, parties(2, FARM), DOLLAR);
        pass(HOUR_MS);
        SilentSince::set(Some(Clock::now().clock));
        pass(HOUR_MS / 2);
        let double = Rates { usd: 2 * DOLLAR.usd, extra: 0 };
        resize(1, double);
        resize(2, Rates { usd: DOLLAR.usd / 2, extra: 0 });
        assert_within_one(charged(1).whole(), 30 * TFT);
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
        SilentSince::set(Some(Clock::now().clock));
        pass(HOUR_MS / 2);
        let dear = Rates { usd: 10 * DOLLAR.usd, extra: 0 };
        resize(1, dear);
        resize(1, dear);
        Billing::suspend(1);
        assert_within_one(credit(1), 400 * TFT - 20 * TFT);
    });
}

#[test]
fn a_late_heartbeat_refunds_nothing_and_holds_collection() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS);
        OnlyLate::set(true);
        SilentSince::set(Some(Clock::now().clock));
        pass(10 * MINUTE_MS);
        assert_noop!(Billing::collect(RuntimeOrigin::signed(BOB), 1), Error::<Test>::NodeSilent);
        let closed = Billing::close(1, Outcome::Served);
        assert_within_one(closed.tft.whole(), 20 * TFT + 20 * TFT / 6);
    });
}

#[test]
fn a_contract_closed_in_a_silence_pays_to_the_heartbeat() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS / 2);
        SilentSince::set(Some(Clock::now().clock));
        pass(HOUR_MS / 2);
        assert_within_one((Billing::close(1, Outcome::Served).tft).whole(), 10 * TFT);
        assert_within_one(credit(1), 90 * TFT);
    });
}

#[test]
fn a_silence_never_pays_back_more_than_was_charged() {
    run(|| {
        // Half an hour of credit, three hours of silence.
        deposit(ALICE, 10 * TFT);
        SilentSince::set(Some(PriceTime::ZERO));
        begin(1, parties(1, FARM), DOLLAR);
        pass(3 * HOUR_MS);
        assert!(Billing::is_exhausted(1));
        Billing::suspend(1);
        assert_within_one(credit(1), 10 * TFT);
        assert!(credit(1) <= 10 * TFT);
        assert_eq!(charged(1).whole(), 0);
        assert!(!Billing::is_exhausted(1), "what is suspended costs nothing");
    });
}

#[test]
fn a_suspended_contract_takes_another_rate_when_it_goes_on() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        Billing::suspend(1);
        resize(1, Rates { usd: DOLLAR.usd * 2, extra: 0 });
        pass(HOUR_MS);
        assert_eq!(credit(1), 100 * TFT);
        Billing::start(1, 0);
        pass(HOUR_MS);
        assert_within_one(credit(1), 60 * TFT);
        Billing::suspend(1);
        Billing::close(1, Outcome::Served);
        assert_eq!(Payers::<Test>::get(1).charged.usd, 0);
    });
}

#[test]
fn ten_minutes_are_the_least_that_is_charged() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        let minimum = 20 * TFT / 6;
        Billing::open_account(2, parties(1, FARM), ContractPrice::plain(DOLLAR));
        let charge = Billing::close(2, Outcome::EndedByOwner { reserved_ms: 0 });
        assert_within_one(charge.tft.whole(), minimum);
        assert!(charge.usd.abs_diff(10_000_000_000 / 6) <= 1);
        assert_within_one(credit(1), 100 * TFT - minimum);
        // A stolen key that creates and cancels earns no farm anything.
        assert_eq!(Payable::<Test>::get(Payee::Farm(FARM)), ExactTft::ZERO);
        let foundation = Payable::<Test>::get(Payee::Foundation).ceil();
        assert_within_one(foundation, minimum * 9 / 10);

        // The rest of it, and nothing where more was paid already.
        begin(1, parties(1, FARM), DOLLAR);
        pass(5 * MINUTE_MS);
        let charge = Billing::close(1, Outcome::EndedByOwner { reserved_ms: 0 });
        assert_within_one(charge.tft.whole(), minimum);
        begin(3, parties(1, FARM), DOLLAR);
        pass(11 * MINUTE_MS);
        let charge = Billing::close(3, Outcome::EndedByOwner { reserved_ms: 0 });
        assert_within_one(charge.tft.whole(), minimum * 11 / 10);
    });
}

#[test]
fn the_minimum_charge_counts_dollars_and_no_traffic() {
    run(|| {
        let minimum = 20 * TFT / 6;
        deposit(ALICE, 400 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(30 * MINUTE_MS);
        // TFT that bought half an hour buy two minutes now, and were paid all the same.
        set_price(PRICE / 15);
        let charge = Billing::close(1, Outcome::EndedByOwner { reserved_ms: 0 });
        assert_within_one(charge.tft.whole(), 10 * TFT);
        set_price(PRICE);
        begin(2, parties(1, FARM), DOLLAR);
        assert_ok!(<Billing as Ledger>::buy_traffic(2, 1_000));
        Billing::use_traffic(2, u64::MAX);
        let traffic = charged(2).whole();
        let charge = Billing::close(2, Outcome::EndedByOwner { reserved_ms: 0 });
        assert_within_one(charge.tft.whole() - traffic, minimum);

        // What a silence gives back is time, no traffic.
        begin(3, parties(1, FARM), DOLLAR);
        assert_ok!(<Billing as Ledger>::buy_traffic(3, 1_000));
        Billing::use_traffic(3, u64::MAX);
        SilentSince::set(Some(Clock::now().clock));
        pass(HOUR_MS);
        Billing::suspend(3);
        SilentSince::set(None);
        let before = charged(3).whole();
        let charge = Billing::close(3, Outcome::EndedByOwner { reserved_ms: 0 });
        assert!(charge.tft.whole() - before > 18 * TFT / 6);
    });
}

#[test]
fn a_wait_is_paid_for_as_it_passes() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        Billing::open_account(1, parties(1, FARM), ContractPrice::plain(DOLLAR));
        for quarters in 1..=4 {
            Billing::pay_wait(1, quarters * HOUR_MS / 4);
            assert_within_one(credit(1), 100 * TFT - u128::from(quarters) * 5 * TFT);
        }
        Billing::pay_wait(1, HOUR_MS);
        assert_within_one(credit(1), 80 * TFT);
        // In dollars: what was paid at another price is paid.
        set_price(PRICE / 2);
        Billing::pay_wait(1, HOUR_MS);
        assert_within_one(credit(1), 80 * TFT);
        set_price(PRICE);
        Billing::start(1, HOUR_MS * 5 / 4);
        assert_within_one(credit(1), 75 * TFT);
        // It is no part of what the time costs that follows.
        resize(1, Rates { usd: DOLLAR.usd / 2, extra: 0 });
        let charge = Billing::close(1, Outcome::EndedByOwner { reserved_ms: 0 });
        assert_within_one(charge.tft.whole(), 25 * TFT + 20 * TFT / 6 / 2);
        assert_eq!(Payable::<Test>::get(Payee::Farm(FARM)), ExactTft::ZERO);
    });
}

#[test]
fn a_wait_without_end_pays_its_rest_once() {
    run(|| {
        deposit(ALICE, 200 * TFT);
        Billing::open_account(1, parties(1, FARM), ContractPrice::plain(DOLLAR));
        Billing::pay_wait(1, HOUR_MS / 2);
        let charge = Billing::close(1, Outcome::EndedByOwner { reserved_ms: HOUR_MS });
        assert_within_one(charge.tft.whole(), 20 * TFT);
        // The minimum charge is met by what was paid on the way.
        Billing::open_account(2, parties(1, FARM), ContractPrice::plain(DOLLAR));
        Billing::pay_wait(2, 5 * MINUTE_MS);
        let charge = Billing::close(2, Outcome::EndedByOwner { reserved_ms: 6 * MINUTE_MS });
        assert_within_one(charge.tft.whole(), 20 * TFT / 6);
        // And so is that of an update.
        begin(3, parties(1, FARM), DOLLAR);
        let before = credit(1);
        propose_usd(3, 2 * DOLLAR.usd, 2 * DOLLAR.usd);
        Billing::pay_wait(3, HOUR_MS / 2);
        Billing::accept(3, HOUR_MS);
        assert_within_one(before - credit(1), 20 * TFT);
        propose_usd(3, 3 * DOLLAR.usd, 3 * DOLLAR.usd);
        Billing::pay_wait(3, 5 * MINUTE_MS);
        Billing::reject(3, Some(6 * MINUTE_MS));
        assert_within_one(before - credit(1), 20 * TFT + 20 * TFT / 6);
    });
}

#[test]
fn what_was_paid_for_a_replaced_version_pays_for_no_other() {
    run(|| {
        deposit(ALICE, 400 * TFT);
        Billing::open_account(1, parties(1, FARM), ContractPrice::plain(DOLLAR));
        assert_ok!(Billing::replace(1, ContractPrice::plain(DOLLAR), Some(HOUR_MS)));
        let charge = Billing::close(1, Outcome::EndedByOwner { reserved_ms: HOUR_MS });
        assert_within_one(charge.tft.whole(), 40 * TFT);
        // Nor does what an update reserved.
        begin(2, parties(1, FARM), DOLLAR);
        propose_usd(2, 2 * DOLLAR.usd, 2 * DOLLAR.usd);
        Billing::reject(2, Some(HOUR_MS));
        let charge = Billing::close(2, Outcome::EndedByOwner { reserved_ms: 0 });
        assert_within_one(charge.tft.whole(), 20 * TFT + 20 * TFT / 6);
    });
}

#[test]
fn credit_lasts_as_long_as_it_pays_for_all_rates() {
    run(|| {
        assert_eq!(Billing::lasts_ms(1), u64::MAX, "nothing is charged");
        deposit(ALICE, 90 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        Billing::open_account(2, parties(1, FARM), ContractPrice::plain(DOLLAR));
        assert!(Billing::lasts_ms(1).abs_diff(HOUR_MS * 9 / 4) <= 1);
        pass(HOUR_MS / 2);
        assert!(Billing::lasts_ms(1).abs_diff(HOUR_MS * 2) <= 1);
        set_price(PRICE / 2);
        assert!(Billing::lasts_ms(1).abs_diff(HOUR_MS) <= 1);
    });
}

#[test]
fn opening_says_whether_the_payer_goes_on_as_before() {
    run(|| {
        let open = |contract, usd| {
            Billing::open_account(contract, parties(1, FARM), ContractPrice::plain(Rates { usd, extra: 0 }))
        };
        deposit(ALICE, 30 * TFT);
        assert!(open(1, DOLLAR.usd), "nothing is charged");
        Billing::start(1, 0);
        pass(HOUR_MS);
        assert!(open(2, 1), "its place stays");
        pass(HOUR_MS);
        deposit(ALICE, 15 * TFT);
        assert!(Billing::is_exhausted(1));
        set_price(2 * PRICE);
        assert!(!open(3, 1));
        assert!(!Billing::is_exhausted(1), "that ended its grace");
    });
}

#[test]
fn the_minimum_charge_takes_no_more_than_there_is() {
    run(|| {
        deposit(BOB, TFT);
        Billing::open_account(1, parties(2, FARM), ContractPrice::plain(DOLLAR));
        let charge = Billing::close(1, Outcome::EndedByOwner { reserved_ms: 0 });
        assert_eq!(charge.tft.whole(), TFT);
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
        let attach =
            |account, provider| Billing::attach_provider(RuntimeOrigin::signed(account), 1, provider);
        assert_noop!(attach(ALICE, 1), Error::<Test>::UnknownContract);
        begin(1, parties(1, FARM), DOLLAR);
        assert_noop!(attach(5_000, 1), Error::<Test>::NoTwin);
        assert_noop!(attach(BOB, 1), Error::<Test>::NotThePayer);
        assert_noop!(attach(ALICE, 9), Error::<Test>::UnknownProvider);
        assert_ok!(attach(ALICE, 1));
        System::assert_has_event(Event::ProviderAttached { contract: 1, provider: 1 }.into());
        assert_noop!(attach(ALICE, 1), Error::<Test>::ProviderAttached);
        pass(HOUR_MS);
        Billing::close(1, Outcome::Served);
        assert_within_one(Payable::<Test>::get(Payee::Foundation).whole(), 4 * TFT);
        assert_within_one(Payable::<Test>::get(Payee::Farm(FARM)).whole(), 10 * TFT);
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
