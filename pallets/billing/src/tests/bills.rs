// SPDX-License-Identifier: Apache-2.0
//! What contracts were charged by month.

use super::*;
use crate::history_impls::add_to_months;
use proptest::prelude::*;

fn sum(months: &Months) -> Charge {
    months.iter().fold(Charge::default(), |sum, month| sum.plus(&month.charge))
}

#[test]
fn a_bill_adds_up_to_what_the_credit_lost() {
    run(|| {
        let rates = Rates { usd: 33_333_333, extra: 77 };
        deposit(ALICE, 500 * TFT);
        let before = Billing::settled_payer(1).credit;
        begin(1, parties(1, FARM), rates);
        for _ in 0..4 {
            pass_fast(20 * DAY_MS);
            assert_ok!(Billing::collect(RuntimeOrigin::signed(BOB), 1));
        }
        let charge = Billing::close(1, Outcome::Served);
        let bill = Billing::bill(1);
        assert!(bill.len() >= 3, "{bill:?}");
        assert!(bill.windows(2).all(|pair| pair[0].month < pair[1].month));
        assert_eq!(sum(&bill), charge);
        assert_eq!(before - Billing::settled_payer(1).credit, charge.tft);
        Billing::forget(1);
        assert!(Billing::bill(1).is_empty());
    });
}

#[test]
fn refund_is_taken_off_the_bill() {
    run(|| {
        deposit(ALICE, 100 * TFT);
        Standings::<Test>::insert(ALICE, Standing { paid: 100_000 * TFT, refunded: 0 });
        begin(1, parties(1, FARM), DOLLAR);
        pass(HOUR_MS / 4);
        resize(1, Rates { usd: DOLLAR.usd / 2, extra: 0 });
        pass(HOUR_MS / 4);
        assert!(sum(&Billing::bill(1)).tft > ExactTft::ZERO);
        let charge = Billing::close(1, Outcome::NotDelivered);
        assert_eq!(sum(&Billing::bill(1)), charge);
        assert_within_one(charge.tft.whole(), 20 * TFT / 6 / 2);
    });
}

/// What the last event about a contract's charge says.
fn last_charged() -> Option<Event<Test>> {
    let events = System::events().into_iter().rev().map(|record| record.event);
    let mut ours =
        events.filter_map(|event| if let RuntimeEvent::Billing(event) = event { Some(event) } else { None });
    ours.find(|event| matches!(event, Event::Charged { .. }))
}

#[test]
fn the_minimum_charge_is_in_the_bill() {
    run(|| {
        let rates = Rates { usd: 33_333_333, extra: 77 };
        deposit(ALICE, 500 * TFT);
        begin(1, parties(1, FARM), rates);
        pass(3 * MINUTE_MS);
        let before = Billing::charge_of(1);
        let charge = Billing::close(1, Outcome::EndedByOwner { reserved_ms: 0 });
        assert!(charge.tft.whole() > 3 * before.tft.whole() && charge.usd > 3 * before.usd);
        assert_eq!(sum(&Billing::bill(1)), charge);
        let whole = Event::Charged { contract: 1, usd: charge.usd, tft: charge.tft.whole() };
        assert_eq!(last_charged(), Some(whole));

        // Also where it never ran, and no more than there was.
        let before = Billing::settled_payer(1).credit;
        let all = Rates { usd: u64::MAX, extra: 0 };
        Billing::open_account(2, parties(1, FARM), ContractPrice::plain(all));
        let charge = Billing::close(2, Outcome::EndedByOwner { reserved_ms: 0 });
        assert_eq!((charge.tft, credit(1)), (before, 0));
        assert_eq!(sum(&Billing::bill(2)), charge);
        Billing::open_account(3, parties(1, FARM), ContractPrice::plain(all));
        let nothing = Billing::close(3, Outcome::EndedByOwner { reserved_ms: 0 });
        assert_eq!(nothing, Charge::default());
        assert!(Billing::bill(3).is_empty(), "nothing was charged");
    });
}

#[test]
fn the_minimum_charge_of_another_month_has_a_line_of_its_own() {
    run(|| {
        // Until a minute before a month ends.
        let month_ms = MONTH_MS - Clock::unix_now() * 1_000 % MONTH_MS;
        pass_fast(month_ms - MINUTE_MS);
        deposit(ALICE, 500 * TFT);
        begin(1, parties(1, FARM), DOLLAR);
        pass(MINUTE_MS / 2);
        resize(1, DOLLAR);
        pass(MINUTE_MS);
        let stopped = Billing::charge_of(1);
        let charge = Billing::close(1, Outcome::EndedByOwner { reserved_ms: 0 });
        let bill = Billing::bill(1);
        assert_eq!(bill.len(), 2);
        assert_eq!(bill[0].month + 1, bill[1].month);
        assert!(bill[0].charge.tft.scaled(2, 1) < stopped.tft && bill[0].charge.tft > ExactTft::ZERO);
        assert_eq!(sum(&bill), charge);
    });
}

proptest! {
    /// Up and down, the months' sum follows the charge; the oldest go.
    #[test]
    fn months_follow_the_charge(
        steps in prop::collection::vec((0u32..3, 0u128..1 << 90, any::<bool>()), 1..60),
    ) {
        let (mut months, mut month, mut charge) = (Months::default(), 5, Charge::default());
        let mut dropped = false;
        for (later, amount, up) in steps {
            month += later;
            let change = Charge { tft: ExactTft::from_raw(amount), usd: amount / 3 };
            let after = if up { charge.plus(&change) } else { charge.minus(&change) };
            dropped |= months.is_full();
            add_to_months(&mut months, month, charge, after);
            charge = after;
            prop_assert!(months.windows(2).all(|pair| pair[0].month < pair[1].month));
            if !dropped {
                prop_assert_eq!(sum(&months), charge);
            }
        }
    }
}
