// SPDX-License-Identifier: Apache-2.0
//! Traffic is bought in advance, drawn on, and what is left comes back.

use super::*;

const GB: u64 = 1_000_000_000;
/// What a GB costs: 0.0015 USD at 0.05 USD per TFT.
const GB_PRICE: u128 = 3 * TFT / 100;

fn buy(account: AccountId, contract: u64, gb: u32, max_tft: u128) -> sp_runtime::DispatchResult {
    Billing::buy_traffic(RuntimeOrigin::signed(account), contract, gb, max_tft)
}

fn certified(certified: bool) -> Parties {
    let priced = Priced::OnRented { public_ips: 0, certified };
    Parties { priced: Some(priced), ..parties(1, FARM) }
}

#[test]
fn traffic_is_bought_from_credit_drawn_on_and_the_rest_returns() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), Rates { usd: 0, extra: 0 });
        assert_ok!(buy(ALICE, 1, 10, TFT));
        assert_within_one(credit(1), 100 * TFT - 10 * GB_PRICE);
        assert_eq!(Billing::allowance(1).unwrap().bytes, 10 * GB);
        assert_eq!(Billing::use_traffic(1, 4 * GB), 4 * GB);
        assert_within_one(fixed::whole(charged(1)), 4 * GB_PRICE);
        let charge = Billing::stop(1, Refund::Served).charge;
        assert_within_one(fixed::whole(charge.tft), 4 * GB_PRICE);
        assert_eq!(charge.usd, 60_000_000);
        assert_within_one(credit(1), 100 * TFT - 4 * GB_PRICE);
        assert_within_one(fixed::whole(Payable::<Test>::get(Payee::Farm(FARM))), 2 * GB_PRICE);
        assert_eq!(Billing::allowance(1), None);
    });
}

#[test]
fn a_node_draws_no_more_than_was_bought() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), Rates { usd: 0, extra: 0 });
        assert_eq!(Billing::use_traffic(1, GB), 0);
        assert_ok!(buy(ALICE, 1, 1, TFT));
        let credit_left = credit(1);
        assert_eq!(Billing::use_traffic(1, u64::MAX), GB);
        assert_eq!(Billing::use_traffic(1, u64::MAX), 0);
        assert_eq!(credit(1), credit_left, "a node can't touch credit");
        assert_eq!(Billing::use_traffic(99, GB), 0);
        // In many small draws it is the same.
        assert_ok!(buy(ALICE, 1, 1, TFT));
        let drawn: u64 = (0..1_001).map(|_| Billing::use_traffic(1, GB / 1_000)).sum();
        assert_eq!(drawn, GB);
        assert_within_one(fixed::ceil(charged(1)), 2 * GB_PRICE);
    });
}

#[test]
fn a_contract_that_never_started_gets_its_traffic_back() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        let before = Billing::settled_payer(1).credit;
        assert_ok!(<Billing as Ledger>::buy_traffic(7, 1, 5, true));
        assert!(credit(1) < 100 * TFT);
        assert_eq!(Billing::stop(7, Refund::Served), Stopped::default());
        assert_eq!(Billing::settled_payer(1).credit, before);
        assert_ok!(<Billing as Ledger>::buy_traffic(7, 1, 0, true));
        assert_eq!(Billing::allowance(7), None);
    });
}

#[test]
fn certification_and_discount_count_at_the_moment_of_buying() {
    run(|| {
        deposit(ALICE, 110 * TFT);
        begin(1, certified(true), Rates { usd: 50_000_000, extra: 0 });
        assert_eq!(Billing::discount_permille(1), 800);
        let before = credit(1);
        assert_ok!(buy(ALICE, 1, 10, TFT));
        assert_within_one(before - credit(1), 10 * GB_PRICE);
    });
}

#[test]
fn traffic_that_cannot_be_bought_changes_nothing() {
    run(|| {
        deposit(ALICE, 21 * TFT);
        deposit(BOB, 21 * TFT);
        assert_noop!(buy(ALICE, 1, 1, TFT), Error::<Test>::UnknownContract);
        begin(1, certified(false), DOLLAR);
        assert_noop!(buy(5_000, 1, 1, TFT), Error::<Test>::NoTwin);
        assert_noop!(buy(BOB, 1, 1, TFT), Error::<Test>::NotThePayer);
        assert_noop!(buy(ALICE, 1, 10, 10 * GB_PRICE - 1), Error::<Test>::TrafficTooDear);
        assert_noop!(buy(ALICE, 1, 40, u128::MAX), Error::<Test>::CreditTooLow);
        assert_noop!(buy(ALICE, 1, 1_000, u128::MAX), Error::<Test>::NotEnoughCredit);
        assert_ok!(buy(ALICE, 1, 1, GB_PRICE));
        Allowances::<Test>::mutate(1, |allowance| allowance.as_mut().unwrap().bytes = u64::MAX);
        assert_noop!(buy(ALICE, 1, 1, TFT), Error::<Test>::AllowanceTooLarge);
    });
}

#[test]
fn what_was_not_delivered_returns_traffic_used_and_unused() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        let before = Billing::settled_payer(1).credit;
        begin(1, parties(1, FARM), Rates { usd: 333, extra: 0 });
        assert_ok!(buy(ALICE, 1, 3, TFT));
        pass(MINUTE_MS);
        Billing::use_traffic(1, GB + 1);
        let stopped = Billing::stop(1, Refund::All);
        assert_eq!(stopped.charge, Charge::default());
        assert_eq!(Billing::settled_payer(1).credit, before);
        assert_eq!(Counted::get(), [], "farming hears nothing of it");
    });
}

#[test]
fn farming_hears_what_was_paid_for_addresses_and_traffic_without_the_farmers_part() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        let ips = Priced::OnRented { public_ips: 2, certified: false };
        let ip_rate = Billing::quote(&ips).unwrap();
        let parties = Parties { public_ips: 2, ip_rate, priced: Some(ips), ..parties(1, FARM) };
        begin(1, parties, Rates { usd: 2 * ip_rate, extra: 5 });
        assert_ok!(buy(ALICE, 1, 3, TFT));
        pass(HOUR_MS);
        Billing::use_traffic(1, 2 * GB);
        assert_ok!(Billing::claim(RuntimeOrigin::signed(BOB), 1));
        let counted = Counted::get();
        let [(1, paid)] = counted[..] else { panic!("{counted:?}") };
        assert_eq!((paid.traffic_bytes, paid.ip_ms), (2 * GB, 2 * HOUR_MS));
        // 0.008 USD of addresses and 0.003 USD of traffic, half of it the farmer's.
        assert_within_one(fixed::whole(paid.tft), 20 * TFT * 11 / 1_000 / 2);
        Billing::stop(1, Refund::Served);
        assert_eq!(Counted::get().len(), 1, "nothing is told twice");
    });
}

#[test]
fn addresses_were_paid_with_no_more_than_the_contract_cost() {
    run(|| {
        // The list has become cheaper than what the addresses were agreed to be of the rate.
        let rates = Rates { usd: DOLLAR.usd / 10, extra: 0 };
        deposit(ALICE, 100 * TFT);
        begin(1, Parties { public_ips: 1, ip_rate: DOLLAR.usd, ..parties(1, FARM) }, rates);
        pass(HOUR_MS);
        let cost = Billing::stop(1, Refund::Served).charge.tft;
        let counted: u128 = Counted::get().into_iter().map(|(_, paid)| paid.tft).sum();
        assert!(counted > 0 && counted <= cost / 2 + 1, "the farmer's half isn't counted either: {counted}");
    });
}

#[test]
fn a_farmer_who_is_the_solution_provider_too_farms_nothing_back_of_that_part() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        assert_ok!(Billing::add_provider(RuntimeOrigin::root(), BOB, 500));
        begin(1, parties(1, FARM), Rates { usd: 0, extra: 0 });
        assert_ok!(Billing::attach_provider(1, 1));
        assert_ok!(buy(ALICE, 1, 10, TFT));
        Billing::use_traffic(1, 10 * GB);
        Billing::stop(1, Refund::Served);
        let [(1, paid)] = Counted::get()[..] else { panic!("{:?}", Counted::get()) };
        // Of the foundation's 40 % half is the provider's; the staking pool has 10 %.
        assert_within_one(fixed::whole(paid.tft), 10 * GB_PRICE * 3 / 10);
    });
}
