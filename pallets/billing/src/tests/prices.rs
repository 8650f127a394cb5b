// SPDX-License-Identifier: Apache-2.0
//! The price of TFT: fed, bounded, remembered; and list prices that change under contracts.

use super::*;
use tfgrid_primitives::traits::PriceHistory;

fn price() -> u64 {
    Billing::price_clock().price
}

#[test]
fn the_price_follows_the_feed_by_less_than_a_tenth_in_ten_minutes() {
    run(|| {
        Feed::set(Some(PRICE * 2));
        let mut seen = vec![price()];
        for _ in 0..60 {
            pass(MINUTE_MS);
            seen.push(price());
        }
        assert!(seen[1] > PRICE && seen.is_sorted());
        assert!(seen.windows(12).all(|ten| ten[11] - ten[0] <= ten[0] / 10), "{seen:?}");
        assert!(seen[60] > PRICE * 3 / 2, "an hour of it is much: {seen:?}");
        // There it stays; and downwards it is the same.
        pass(HOUR_MS);
        assert_eq!(price(), PRICE * 2);
        Feed::set(Some(1));
        pass(10 * MINUTE_MS);
        assert!((PRICE * 18 / 10..PRICE * 19 / 10).contains(&price()), "{}", price());
    });
}

#[test]
fn a_lying_feed_stays_within_the_policys_bounds() {
    run(|| {
        let policy = Policy { max_price: PRICE * 105 / 100, ..Policy::standard(FOUNDATION, STAKING) };
        assert_ok!(Billing::set_policy(RuntimeOrigin::root(), policy));
        Feed::set(Some(u64::MAX));
        pass(HOUR_MS);
        assert_eq!(price(), PRICE * 105 / 100);
        Feed::set(Some(0));
        pass(24 * HOUR_MS);
        assert_eq!(price(), USD / 1_000);
    });
}

#[test]
fn without_an_answer_the_last_price_stays_and_that_is_said_once() {
    run(|| {
        let stale = || {
            let is_stale =
                |event: &RuntimeEvent| matches!(event, RuntimeEvent::Billing(Event::PriceStale { .. }));
            System::events().iter().filter(|record| is_stale(&record.event)).count()
        };
        pass(HOUR_MS);
        assert_eq!(stale(), 0, "a chain without oracles has nothing to say");
        Feed::set(Some(PRICE + 100));
        pass(2 * MINUTE_MS);
        Feed::set(None);
        pass(HOUR_MS);
        assert_eq!((price(), stale()), (PRICE + 100, 1));
    });
}

#[test]
fn governance_still_sets_the_price_and_the_feed_goes_on_from_there() {
    run(|| {
        Feed::set(Some(PRICE));
        pass(MINUTE_MS);
        assert_ok!(Billing::set_price(RuntimeOrigin::root(), 2 * PRICE));
        pass(MINUTE_MS);
        assert_eq!(price(), 2 * PRICE - PRICE / 60);
    });
}

#[test]
fn daily_prices_are_means_and_a_year_and_a_month_of_them_are_kept() {
    run(|| {
        assert_eq!(Billing::average_price(30), Some(PRICE), "the first day begins with its price");
        pass_fast(2 * DAY_MS);
        assert_ok!(Billing::set_price(RuntimeOrigin::root(), 2 * PRICE));
        pass_fast(DAY_MS);
        let days = Billing::daily_prices();
        assert_eq!(days.len(), 4);
        assert!(days.windows(2).all(|pair| pair[0].day + 1 == pair[1].day));
        assert!(days[0].price.abs_diff(PRICE) <= 1 && days[1].price.abs_diff(PRICE) <= 1);
        assert!((PRICE + 1..2 * PRICE).contains(&days[2].price), "a day with both prices: {days:?}");
        let mean = days.iter().map(|day| day.price).sum::<u64>() / 4;
        assert_eq!(Billing::average_price(30), Some(mean));
        assert_eq!(Billing::average_price(1), Some(2 * PRICE));
        assert_eq!(Billing::average_price(0), None);

        for _ in 0..410 {
            // A chain that runs once a day.
            block_at(Billing::price_clock().stepped_at_ms + DAY_MS);
        }
        assert_eq!(Billing::daily_prices().len(), 400);
        assert_eq!(Billing::average_price(u32::MAX), Some(2 * PRICE));
    });
}

fn dearer() -> Policy<AccountId> {
    let mut policy = Policy::standard(FOUNDATION, STAKING);
    policy.prices.cu *= 2;
    policy.prices.ipv4 *= 3;
    policy
}

#[test]
fn a_contract_keeps_its_rate_until_thirty_days_after_a_new_list() {
    run(|| {
        let resources = Resources { cru: 2, mru: 2 * GIB, ..Resources::ZERO };
        let priced = Priced::Capacity { resources, public_ips: 1, certified: false };
        let usd = Billing::quote(&priced).unwrap();
        let parties =
            Parties { priced: Some(priced), public_ips: 1, ip_rate: 40_000_000, ..parties(1, FARM) };
        deposit(ALICE, 1_000 * TFT - TFT);
        begin(1, parties, Rates { usd, extra: 9 });
        begin(2, super::parties(1, FARM), DOLLAR);
        Billing::stop(2, Refund::Served);
        let reprice = |contract| Billing::reprice(RuntimeOrigin::signed(BOB), contract);
        assert_ok!(Billing::set_policy(RuntimeOrigin::root(), dearer()));
        assert_noop!(reprice(1), Error::<Test>::NoticeRuns);
        pass_fast(30 * DAY_MS - MINUTE_MS);
        // Other changes of the policy are no new notice.
        let other = Policy { max_price: USD, ..dearer() };
        assert_ok!(Billing::set_policy(RuntimeOrigin::root(), other));
        assert_noop!(reprice(1), Error::<Test>::NoticeRuns);
        assert_eq!(Payers::<Test>::get(1).rate, usd.into());
        pass_fast(2 * MINUTE_MS);
        assert_ok!(reprice(1));
        let rate = Billing::quote(&priced).unwrap();
        assert_eq!(Payers::<Test>::get(1).rate, rate.into());
        let account = Accruals::<Test>::get(1).unwrap();
        assert_eq!((account.accrual.rates.extra, account.ip_rate), (9, 120_000_000));
        System::assert_has_event(Event::Repriced { contract: 1, rate }.into());
        assert_noop!(reprice(1), Error::<Test>::PricedAlready);
        assert_noop!(reprice(2), Error::<Test>::UnknownContract);
        begin(3, super::parties(1, FARM), DOLLAR);
        assert_noop!(reprice(3), Error::<Test>::PriceAgreed);
        // What it has grown to counts.
        Billing::describe(1, Priced::Name);
        assert_ok!(reprice(1));
        assert_eq!(Accruals::<Test>::get(1).unwrap().accrual.rates.usd, 2_500_000);
    });
}
