// SPDX-License-Identifier: Apache-2.0
//! Traffic is bought in advance, drawn on, and what is left comes back.

use super::*;

const GB: u64 = 1_000_000_000;
/// What a GB costs: 0.0015 USD at 0.05 USD per TFT.
const GB_PRICE: u128 = 3 * TFT / 100;

fn buy(account: AccountId, contract: u64, gb: u32, max_tft: u128) -> sp_runtime::DispatchResult {
    Billing::buy_traffic(RuntimeOrigin::signed(account), contract, gb, max_tft)
}

#[test]
fn traffic_is_bought_drawn_on_and_the_rest_returns() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        begin(1, parties(1, FARM), Rates { usd: 0, extra: 0 });
        assert_ok!(buy(ALICE, 1, 10, TFT));
        assert_within_one(credit(1), 100 * TFT - 10 * GB_PRICE);
        assert_eq!(Billing::allowance(1).unwrap().bytes, 10 * GB);
        assert_eq!(Billing::use_traffic(1, 4 * GB), 4 * GB);
        assert_within_one(charged(1).whole(), 4 * GB_PRICE);
        let charge = Billing::close(1, Outcome::Served);
        assert_within_one(charge.tft.whole(), 4 * GB_PRICE);
        assert_eq!(charge.usd, 60_000_000);
        assert_within_one(credit(1), 100 * TFT - 4 * GB_PRICE);
        assert_within_one(Payable::<Test>::get(Payee::Farm(FARM)).whole(), 2 * GB_PRICE);
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
        assert_within_one(charged(1).ceil(), 2 * GB_PRICE);
    });
}

#[test]
fn a_contract_that_never_started_gets_its_traffic_back() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        let before = Billing::settled_payer(1).credit;
        Billing::open_account(7, parties(1, FARM), ContractPrice::default());
        assert_ok!(<Billing as Ledger>::buy_traffic(7, 0));
        assert_eq!(Billing::allowance(7), None);
        assert_ok!(<Billing as Ledger>::buy_traffic(7, 5));
        assert!(credit(1) < 100 * TFT);
        assert_eq!(Billing::close(7, Outcome::Served), Charge::default());
        assert_eq!(Billing::settled_payer(1).credit, before);
        assert_eq!(Billing::allowance(7), None);
    });
}

#[test]
fn traffic_is_dearer_where_certified_and_never_discounted() {
    run(|| {
        deposit(ALICE, 110 * TFT);
        let rates = Rates { usd: 50_000_000, extra: 0 };
        begin_at(1, parties(1, FARM), ContractPrice { certified: true, ..ContractPrice::plain(rates) });
        assert_eq!(Billing::price_factor_permille(1), 800);
        let before = credit(1);
        assert_ok!(buy(ALICE, 1, 10, TFT));
        assert_within_one(before - credit(1), 10 * GB_PRICE * 5 / 4);
    });
}

#[test]
fn an_allowance_prolongs_no_grace_period() {
    run(|| {
        deposit(ALICE, 200 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        // All but an hour and a little lies in the allowance.
        assert_ok!(buy(ALICE, 1, 5_900, u128::MAX));
        pass(2 * HOUR_MS);
        let grace = Billing::grace(1).unwrap();
        assert!(grace.until - grace.since < 2 * HOUR_MS, "{grace:?}");
    });
}

#[test]
fn traffic_that_cannot_be_bought_changes_nothing() {
    run(|| {
        deposit(ALICE, 21 * TFT);
        deposit(BOB, 21 * TFT);
        assert_noop!(buy(ALICE, 1, 1, TFT), Error::<Test>::UnknownContract);
        begin(1, parties(1, FARM), DOLLAR);
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
fn undelivered_contract_returns_unused_traffic() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        Standings::<Test>::insert(ALICE, Standing { paid: 100 * TFT, refunded: 0 });
        let before = Billing::settled_payer(1).credit;
        begin(1, parties(1, FARM), Rates { usd: 333, extra: 0 });
        assert_ok!(buy(ALICE, 1, 3, TFT));
        pass(MINUTE_MS);
        Billing::use_traffic(1, GB);
        let charge = Billing::close(1, Outcome::NotDelivered);
        assert_eq!(before - Billing::settled_payer(1).credit, charge.tft);
        assert!(charge.tft.whole() - GB_PRICE < TFT / 1_000, "little is charged beside the traffic");
        assert_eq!(Counted::get(), [], "farming hears nothing of it");
        assert_eq!(Payable::<Test>::get(Payee::Farm(FARM)), ExactTft::ZERO);
    });
}

#[test]
fn farming_counts_what_was_paid_without_the_farmers_part() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        let ips = Priced::Addresses { public_ips: 2, certified: false };
        let ip_usd = Billing::quote(&ips).unwrap();
        let rates = Rates { usd: 2 * ip_usd, extra: 5 };
        begin_at(1, parties(1, FARM), ContractPrice { public_ips: 2, ip_usd, ..ContractPrice::plain(rates) });
        assert_ok!(buy(ALICE, 1, 3, TFT));
        pass(HOUR_MS);
        Billing::use_traffic(1, 2 * GB);
        assert_ok!(Billing::collect(RuntimeOrigin::signed(BOB), 1));
        let counted = Counted::get();
        let [(1, paid)] = counted[..] else { panic!("{counted:?}") };
        assert_eq!((paid.traffic_bytes, paid.ip_ms), (2 * GB, 2 * HOUR_MS));
        // 0.008 USD of addresses and 0.003 USD of traffic, half of it the farmer's.
        assert_within_one(paid.ip_tft.whole(), 20 * TFT * 8 / 1_000 / 2);
        assert_within_one(paid.traffic_tft.whole(), 20 * TFT * 3 / 1_000 / 2);
        Billing::close(1, Outcome::Served);
        assert_eq!(Counted::get().len(), 1, "nothing is told twice");
    });
}

#[test]
fn addresses_were_paid_with_no_more_than_the_contract_cost() {
    run(|| {
        // The list has become cheaper than what the addresses were agreed to be of the rate.
        let rates = Rates { usd: DOLLAR.usd / 10, extra: 0 };
        deposit(ALICE, 100 * TFT);
        let price = ContractPrice { public_ips: 1, ip_usd: DOLLAR.usd, ..ContractPrice::plain(rates) };
        begin_at(1, parties(1, FARM), price);
        pass(HOUR_MS);
        let cost = Billing::close(1, Outcome::Served).tft;
        let counted: ExactTft =
            Counted::get().into_iter().map(|(_, paid)| paid.ip_tft + paid.traffic_tft).sum();
        let half = cost.scaled(1, 2) + ExactTft::from_raw(1);
        assert!(counted > ExactTft::ZERO && counted <= half, "{counted:?}, without the farmer's half");
    });
}

#[test]
fn a_farmer_who_is_the_provider_farms_none_of_its_part() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        assert_ok!(Billing::add_provider(RuntimeOrigin::root(), BOB, 500));
        begin(1, parties(1, FARM), Rates { usd: 0, extra: 0 });
        assert_ok!(Billing::attach_provider(RuntimeOrigin::signed(ALICE), 1, 1));
        assert_ok!(buy(ALICE, 1, 10, TFT));
        Billing::use_traffic(1, 10 * GB);
        Billing::close(1, Outcome::Served);
        let [(1, paid)] = Counted::get()[..] else { panic!("{:?}", Counted::get()) };
        // Of the foundation's 40 % half is the provider's; the staking pool has 10 %.
        assert_within_one(paid.traffic_tft.whole(), 10 * GB_PRICE * 3 / 10);
    });
}
