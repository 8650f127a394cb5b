// SPDX-License-Identifier: Apache-2.0

use crate::{mock::*, *};
use frame_support::{assert_noop, assert_ok, traits::Hooks, weights::Weight};
use sp_runtime::traits::BadOrigin;
use tfgrid_primitives::{
    Deadline,
    clock::HALT_CAP_MS,
    traits::{Agenda, Clock as _, LedgerClock, PriceHistory},
    units::{DAY_MS, HOUR_MS, MINUTE_MS, USD},
};

#[test]
fn only_governance_sets_the_price_within_the_bounds() {
    run(|| {
        let root = RuntimeOrigin::root;
        assert_noop!(Clock::set_price(RuntimeOrigin::signed(1), PRICE), BadOrigin);
        for price in [0, USD / 1_000 - 1, 100 * USD + 1, u64::MAX] {
            assert_noop!(Clock::set_price(root(), price), Error::<Test>::PriceOutOfBounds);
        }
        assert_ok!(Clock::set_price(root(), USD / 1_000));
        assert_ok!(Clock::set_price(root(), 100 * USD));
        System::assert_has_event(Event::PriceSet { price: 100 * USD }.into());
    });
}

#[test]
fn only_governance_sets_the_bounds_around_the_price() {
    run(|| {
        let set = |min, max| Clock::set_bounds(RuntimeOrigin::root(), PriceBounds { min, max });
        assert_noop!(Clock::set_bounds(RuntimeOrigin::signed(1), PriceBounds::default()), BadOrigin);
        for (min, max) in [
            (PRICE, PRICE - 1),
            (LEAST_PRICE - 1, PRICE),
            (PRICE, GREATEST_PRICE + 1),
            (PRICE + 1, USD),
            (LEAST_PRICE, PRICE - 1),
        ] {
            assert_noop!(set(min, max), Error::<Test>::BoundsInvalid);
        }
        assert_ok!(set(PRICE, PRICE));
        System::assert_has_event(Event::BoundsSet { bounds: PriceBounds { min: PRICE, max: PRICE } }.into());
        assert_noop!(Clock::set_price(RuntimeOrigin::root(), PRICE + 1), Error::<Test>::PriceOutOfBounds);
    });
}

#[test]
#[should_panic(expected = "isn't within valid bounds")]
fn a_genesis_price_out_of_bounds_is_refused() {
    let genesis = GenesisConfig::<Test> { price: u64::MAX, ..Default::default() };
    new_test_ext().execute_with(|| Clock::build_genesis(&genesis));
}

mod feed {
    use super::*;

    #[test]
    fn moves_less_than_a_tenth_in_ten_minutes() {
        run(|| {
            Feed::set(Some(PRICE * 2));
            let mut seen = vec![Clock::tft_price()];
            for _ in 0..60 {
                pass(MINUTE_MS);
                seen.push(Clock::tft_price());
            }
            assert!(seen[1] > PRICE && seen.is_sorted());
            assert!(seen.windows(12).all(|ten| ten[11] - ten[0] <= ten[0] / 10), "{seen:?}");
            assert!(seen[60] > PRICE * 3 / 2, "an hour of it is much: {seen:?}");
            // There it stays; and downwards it is the same.
            pass(HOUR_MS);
            assert_eq!(Clock::tft_price(), PRICE * 2);
            Feed::set(Some(1));
            pass(10 * MINUTE_MS);
            assert!(
                (PRICE * 18 / 10..PRICE * 19 / 10).contains(&Clock::tft_price()),
                "{}",
                Clock::tft_price()
            );
        });
    }

    #[test]
    fn a_lying_feed_stays_within_the_bounds() {
        run(|| {
            let bounds = PriceBounds { max: PRICE * 105 / 100, ..PriceBounds::default() };
            assert_ok!(Clock::set_bounds(RuntimeOrigin::root(), bounds));
            Feed::set(Some(u64::MAX));
            pass(HOUR_MS);
            assert_eq!(Clock::tft_price(), PRICE * 105 / 100);
            Feed::set(Some(0));
            pass(24 * HOUR_MS);
            assert_eq!(Clock::tft_price(), USD / 1_000);
        });
    }

    #[test]
    fn without_an_answer_the_last_price_stays() {
        run(|| {
            let stale = || {
                let is_stale =
                    |event: &RuntimeEvent| matches!(event, RuntimeEvent::Clock(Event::PriceStale { .. }));
                System::events().iter().filter(|record| is_stale(&record.event)).count()
            };
            pass(HOUR_MS);
            assert_eq!(stale(), 0, "a chain without oracles has nothing to say");
            Feed::set(Some(PRICE + 100));
            pass(2 * MINUTE_MS);
            Feed::set(None);
            pass(HOUR_MS);
            assert_eq!((Clock::tft_price(), stale()), (PRICE + 100, 1));
        });
    }

    #[test]
    fn the_feed_goes_on_from_what_governance_sets() {
        run(|| {
            Feed::set(Some(PRICE));
            pass(MINUTE_MS);
            set_price(2 * PRICE);
            pass(MINUTE_MS);
            assert_eq!(Clock::tft_price(), 2 * PRICE - PRICE / 60);
        });
    }

    #[test]
    fn daily_prices_are_means_and_a_ring_of_400() {
        run(|| {
            assert_eq!(Clock::average_price(30), Some(PRICE), "the first day begins with its price");
            pass_fast(2 * DAY_MS);
            set_price(2 * PRICE);
            pass_fast(DAY_MS);
            let days = Clock::daily_prices();
            assert_eq!(days.len(), 4);
            assert!(days.windows(2).all(|pair| pair[0].day + 1 == pair[1].day));
            assert!(days[0].price.abs_diff(PRICE) <= 1 && days[1].price.abs_diff(PRICE) <= 1);
            assert!((PRICE + 1..2 * PRICE).contains(&days[2].price), "a day with both prices: {days:?}");
            let mean = days.iter().map(|day| day.price).sum::<u64>() / 4;
            assert_eq!(Clock::average_price(30), Some(mean));
            assert_eq!(Clock::average_price(1), Some(2 * PRICE));
            assert_eq!(Clock::average_price(0), None);

            for _ in 0..410 {
                // A chain that runs once a day.
                block_at(price_clock().stepped_at_ms + DAY_MS);
            }
            assert_eq!(Clock::daily_prices().len(), 400);
            assert_eq!(Clock::average_price(u32::MAX), Some(2 * PRICE));
        });
    }
}

mod agenda {
    use super::*;

    #[test]
    fn deadlines_are_served_in_the_order_in_which_they_are_due() {
        run(|| {
            let now = Clock::grid_now();
            Clock::arm(now + 9_000, Deadline::Answer(1));
            Clock::arm(now + 3_000, Deadline::Tombstone(7));
            Clock::arm(now + 3_000, Deadline::Silence(2));
            Clock::arm(now + 6_000, Deadline::Sweep(3));
            Clock::arm(now + 6_000, Deadline::Sweep(3));
            Clock::disarm(now + 9_000, Deadline::Answer(1));
            Clock::disarm(now + 9_000, Deadline::Answer(1));
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
    fn work_in_steps_goes_to_the_tail() {
        run(|| {
            let now = Clock::grid_now();
            StepsLeft::set(3);
            Clock::arm(now, Deadline::Sweep(1));
            Clock::arm(now + 1, Deadline::Answer(9));
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
    fn a_backlog_has_an_event_whatever_is_left_of_the_block() {
        let step = STEP.saturating_add(<() as WeightInfo>::serve_deadline());
        let half_a_look = <() as WeightInfo>::next_deadline() / 2;
        let mut limit = step.saturating_mul(10);
        while limit.all_lt(step.saturating_mul(11)) {
            run(|| {
                let now = Clock::grid_now();
                (0..50).for_each(|contract| Clock::arm(now + 1, Deadline::Answer(contract)));
                block_with(price_clock().stepped_at_ms + 3_000, limit);
                assert!((5..12).contains(&Served::get().len()));
                let behind: RuntimeEvent = Event::Behind { due: now + 1 }.into();
                assert!(System::events().iter().any(|record| record.event == behind), "{limit:?}");
            });
            limit = limit.saturating_add(half_a_look);
        }
    }

    #[test]
    fn a_backlog_is_served_in_order_over_blocks() {
        run(|| {
            let now = Clock::grid_now();
            for contract in 0..1_000 {
                Clock::arm(now + 1 + contract % 7, Deadline::Answer(contract));
            }
            // As much as a hundred take, and a look at the next one: once for the half of deadlines, and once for what
            // payers leave.
            let look = <() as WeightInfo>::next_deadline();
            let step = STEP.saturating_add(<() as WeightInfo>::serve_deadline()).saturating_add(look);
            let limit = <() as WeightInfo>::on_poll()
                .saturating_add(step.saturating_mul(100))
                .saturating_add(look * 2);
            block_with(price_clock().stepped_at_ms + 3_000, limit);
            assert_eq!(Served::get().len(), 100);
            let behind = |event: &RuntimeEvent| matches!(event, RuntimeEvent::Clock(Event::Behind { .. }));
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
            let now = Clock::grid_now();
            Clock::arm(now + HALT_CAP_MS + 1, Deadline::Answer(1));
            block_at(price_clock().stepped_at_ms + 5 * DAY_MS);
            assert!(Served::get().is_empty());
            pass(3_000);
            assert_eq!(Served::get().len(), 1);
        });
    }

    #[test]
    fn payers_get_what_deadlines_leave_and_the_reverse() {
        let half = tick_impls::agendas_limit::<Test>() / 2;
        let arm = |count| (0..count).for_each(|n| Clock::arm(Clock::grid_now() + 1, Deadline::Answer(n)));
        let served = |payers| {
            PayersWeight::set(payers);
            pass(3_000);
            Served::take().len() as u64
        };
        run(|| {
            arm(10_000);
            let alone = served(Weight::zero());
            let beside_payers = served(half);
            assert!(LeftForPayers::get().all_gte(half), "{:?}", LeftForPayers::get());
            assert!(
                beside_payers * 19 / 10 < alone && alone <= beside_payers * 2 + 1,
                "{alone}, {beside_payers}"
            );
            let step = STEP
                .saturating_add(<() as WeightInfo>::serve_deadline())
                .saturating_add(<() as WeightInfo>::next_deadline());
            assert!((half.ref_time() / step.ref_time()).abs_diff(beside_payers) <= 1, "{beside_payers}");
        });
    }

    #[test]
    fn each_kind_fits_in_half_of_the_agendas_share() {
        run(<Clock as Hooks<u64>>::integrity_test);
    }
}
