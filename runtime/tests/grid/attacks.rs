// SPDX-License-Identifier: Apache-2.0
//! Attacks that once worked, each by the finding of `docs/SECURITY.md` that it belongs to.

use crate::{
    chain::*,
    farming::{an_hour, next_period},
    governance::by_root,
    hostile::{bot, for_bob, outcome},
};
use frame_support::{
    assert_ok,
    dispatch::{DispatchClass, GetDispatchInfo},
    traits::{Get, fungible::Inspect},
    weights::{Weight, WeightToFee},
};
use pallet_grid_contracts::CancelReason;
use pallet_grid_farming::FarmingPolicy;
use pallet_grid_farms::{Interface, PublicIp};
use pallet_transaction_payment::MultiplierUpdate as _;
use sp_keyring::Sr25519Keyring;
use sp_runtime::{
    DispatchResult,
    traits::{Convert, Dispatchable},
    transaction_validity::InvalidTransaction,
};
use std::collections::BTreeSet;
use tfgrid_primitives::{
    ContractId, ExactTft, FailureCode, Refusal, Resources, UsageItem,
    report::PowerState,
    traits::{Clock as _, Ledger as _},
    units::{DAY_MS, GIB, HOUR_MS, MINUTE_MS, TFT, USD},
    views::{ClosingReason, ContractStatus},
};
use tfgrid_runtime::{
    fees::{BYTE_FEE, FeeAdjustment, LengthToFee},
    parameters::{
        AnswerLimit, AnswerTime, CoolDownTime, HeartbeatInterval, NotDeliveredWindow, ResultInterval,
        UsageInterval,
    },
    *,
};

type Call = pallet_grid_contracts::Call<Runtime>;
type Error = pallet_grid_contracts::Error<Runtime>;

fn tiny() -> Resources {
    Resources { sru: 1, ..Resources::ZERO }
}

fn rent() -> Call {
    Call::create_rent_contract { node: 1, max_usd_rate: u64::MAX }
}

fn wealth(who: Sr25519Keyring) -> Balance {
    Balances::total_balance(&who.to_account_id())
}

mod flood {
    use super::*;

    #[test]
    fn a_node_corrects_one_result_per_interval() {
        run_with_node(|mut machine, _| {
            let ids: Vec<_> = (0..5).map(|_| deployed(&mut machine, Bob, tiny())).collect();
            let corrections = |machine: &mut Machine, text: &[u8]| {
                let reports: Vec<_> = ids.iter().map(|id| machine.deployed(*id, text)).collect();
                reports.into_iter().map(report).filter(Result::is_ok).count()
            };
            assert_eq!(corrections(&mut machine, b"{\"a\":1}"), 1);
            assert_refused(machine.deployed(ids[4], b"{\"a\":2}"), Refusal::TooSoon);
            pass(ResultInterval::get());
            assert_eq!(corrections(&mut machine, b"{\"a\":3}"), 1);
        });
    }

    /// How many of its free reports a node with deployed contracts gets into the blocks of `ms`, though it offers all
    /// kinds in each block.
    fn reports_in(ms: u64, machine: &mut Machine, ids: &[ContractId]) -> usize {
        let blocks = ms / SLOT_DURATION;
        let in_block = |n| {
            let text = format!("{{\"a\":{n}}}");
            let items: Vec<_> =
                ids.iter().map(|id| UsageItem { contract: *id, totals: Default::default() }).collect();
            let mut offered: Vec<RuntimeCall> = vec![
                machine.heartbeat().into(),
                machine.details(capacity()).into(),
                machine.usage(items.try_into().unwrap()).into(),
            ];
            offered.extend([PowerState::Up, PowerState::Standby].map(|state| machine.power(state).into()));
            for id in ids {
                offered.push(machine.deployed(*id, text.as_bytes()).into());
                offered.push(machine.failed(*id, FailureCode::BodyInvalid).into());
                offered.push(machine.progress(*id, 1).into());
                offered.push(machine.released(*id).into());
            }
            let taken = offered.into_iter().map(bare).filter(|report| validate(report.clone()).is_ok());
            block_after(SLOT_DURATION, taken.collect()).into_iter().flatten().count()
        };
        (0..blocks).map(in_block).sum()
    }

    #[test]
    fn free_reports_of_a_node_have_one_sum_for_all_kinds() {
        let taken_with = |contracts| {
            let mut taken = 0;
            run_with_node(|mut machine, _| {
                let ids = created(contracts);
                block(ids.iter().map(|id| bare(machine.deployed(*id, b"{}"))).collect());
                let (heartbeat, window) = (HeartbeatInterval::get(), 10 * HeartbeatInterval::get());
                pass(heartbeat);
                taken = reports_in(window, &mut machine, &ids) as u64;
                let intervals = [heartbeat / 2, heartbeat, UsageInterval::get() / 2, ResultInterval::get()];
                let most: u64 = intervals.map(|interval| window / interval + 1).into_iter().sum();
                assert!(taken <= most, "{taken} of {most}");
            });
            taken
        };
        let (few, many) = (taken_with(1), taken_with(12));
        assert!(few > 40 && few == many, "{few} with a contract, {many} with twelve");
    }

    /// The weight of all free reports of a node in a day, with the intervals of the main preset.
    fn a_nodes_day(machine: &mut Machine) -> Weight {
        let id = deployed(machine, Bob, tiny());
        let item = UsageItem { contract: id, totals: Default::default() };
        let items = vec![item; 64].try_into().unwrap();
        let base = <Runtime as frame_system::Config>::BlockWeights::get()
            .get(DispatchClass::Operational)
            .base_extrinsic;
        let kinds: [(RuntimeCall, u64); 5] = [
            (machine.heartbeat().into(), HeartbeatInterval::get() / 2),
            (machine.details(capacity()).into(), HeartbeatInterval::get()),
            (machine.power(PowerState::Up).into(), HeartbeatInterval::get() / 2),
            (machine.usage(items).into(), UsageInterval::get() / 2),
            (machine.deployed(id, &[b' '; 256]).into(), ResultInterval::get()),
        ];
        let in_a_day = |(report, interval): (RuntimeCall, u64)| {
            (report.get_dispatch_info().call_weight + base) * (DAY_MS / interval)
        };
        kinds.map(in_a_day).into_iter().fold(Weight::zero(), |sum, weight| sum + weight)
    }

    #[test]
    fn thousands_of_nodes_are_needed_to_fill_what_reports_have() {
        run_with_node(|mut machine, _| {
            use parameters::dynamic::intervals::{HeartbeatMs, Parameters as Intervals, ResultMs, UsageMs};
            let defaults = [
                Intervals::HeartbeatMs(HeartbeatMs, None),
                Intervals::UsageMs(UsageMs, None),
                Intervals::ResultMs(ResultMs, None),
            ];
            for interval in defaults {
                let key_value = parameters::RuntimeParameters::Intervals(interval);
                assert_ok!(by_root(pallet_parameters::Call::set_parameter { key_value }.into()));
            }
            let limits = <Runtime as frame_system::Config>::BlockWeights::get();
            let in_a_block = limits.get(DispatchClass::Operational).max_total.unwrap().ref_time();
            let nodes = in_a_block * u64::from(DAY) / a_nodes_day(&mut machine).ref_time();
            assert!(nodes > 2_000, "{nodes}");
        });
    }

    #[test]
    fn a_contract_on_a_rented_node_costs_the_minimum() {
        run_with_node(|_, bob| {
            assert_ok!(call(Bob, rent()));
            let before = Billing::settled_payer(bob).all_rates().usd;
            assert_ok!(call(Bob, create(1, tiny())));
            assert_eq!(Billing::settled_payer(bob).all_rates().usd, before + 1_000_000);
            assert_fails(Bob, create(1, Resources::ZERO), Error::NothingRequested);
            let id = pallet_grid_contracts::LastContractId::<Runtime>::get();
            assert_fails(Bob, update(id, Resources::ZERO), Error::NothingRequested);
        });
    }

    #[test]
    fn all_places_of_a_node_cost_as_much_as_the_node() {
        run_with_node(|mut machine, _| {
            let Resources { cru, mru, sru, hru, gpu } = capacity();
            let large = Resources { cru: 50 * cru, mru: 50 * mru, sru: 50 * sru, hru: 50 * hru, gpu };
            report(machine.details(large)).unwrap();
            let quote = |resources| Contracts::quote(1, resources, 0).unwrap();
            assert!(quote(tiny()) > 1_000_000, "more than the least rate of all");
            assert!(1_000 * quote(tiny()) >= quote(Resources { gpu: 0, ..large }));
            assert!(quote(small()) > quote(tiny()));
        });
    }

    #[test]
    fn people_find_a_quarter_of_each_block_free() {
        let limits = <Runtime as frame_system::Config>::BlockWeights::get();
        let part =
            |weight: frame_support::weights::Weight| weight.ref_time() * 100 / limits.max_block.ref_time();
        let (normal, operational) =
            (limits.get(DispatchClass::Normal), limits.get(DispatchClass::Operational));
        assert_eq!((normal.reserved.map(part), normal.max_total.map(part)), (Some(25), Some(88)));
        assert_eq!((operational.reserved.map(part), operational.max_total.map(part)), (Some(25), Some(60)));
    }

    /// As many tiny contracts of Bob's, none of which any node has answered.
    fn created(count: u64) -> Vec<ContractId> {
        let first = pallet_grid_contracts::LastContractId::<Runtime>::get() + 1;
        for _ in 0..count {
            assert_ok!(call(Bob, create(1, tiny())));
        }
        (first..first + count).collect()
    }

    #[test]
    fn a_full_block_of_reports_has_room_for_people() {
        run_with_node(|mut machine, _| {
            let limits = <Runtime as frame_system::Config>::BlockWeights::get();
            let room = limits.get(DispatchClass::Operational).max_total.unwrap().ref_time();
            let one = RuntimeCall::from(machine.deployed(created(1)[0], b"{}"));
            let offered = room / one.get_dispatch_info().call_weight.ref_time() * 5 / 4;
            let reports = created(offered).into_iter().map(|id| bare(machine.deployed(id, b"{}")));
            let transactions = reports.chain([signed(Bob, nearly_a_quarter())]).collect();
            let mut outcomes = block_after(SLOT_DURATION, transactions);
            assert_eq!(outcomes.pop(), Some(Ok(Ok(()))));
            let exhausted = outcomes
                .iter()
                .filter(|outcome| **outcome == Err(InvalidTransaction::ExhaustsResources.into()));
            let (left_out, taken) = (exhausted.count(), outcomes.iter().flatten().count());
            assert_eq!((left_out + taken) as u64, offered);
            assert!(left_out > 0 && taken > 100, "{taken} were taken, {left_out} left out");
        });
    }

    #[test]
    fn a_full_block_of_peoples_calls_has_room_for_reports() {
        run_with_node(|mut machine, _| {
            let limits = <Runtime as frame_system::Config>::BlockWeights::get();
            let class = limits.get(DispatchClass::Operational);
            let one = RuntimeCall::from(machine.deployed(created(1)[0], b"{}"));
            let each = one.get_dispatch_info().call_weight + class.base_extrinsic;
            let fit = class.reserved.unwrap().ref_time() / each.ref_time();
            let reports = created(fit).into_iter().map(|id| bare(machine.deployed(id, b"{}")));
            let people = Sr25519Keyring::well_known().map(|who| signed(who, transfers(8)));
            let outcomes = block_after(SLOT_DURATION, people.chain(reports).collect());
            let (people, reports) = outcomes.split_at(outcomes.len() - fit as usize);
            assert_eq!(people.last(), Some(&Err(InvalidTransaction::ExhaustsResources.into())));
            assert!(reports.iter().all(|outcome| *outcome == Ok(Ok(()))));
            let weight = System::block_weight().total().ref_time();
            assert!(weight > limits.max_block.ref_time(), "{weight}");
        });
    }

    /// What the creation says that it has taken, if that is less than declared.
    fn weight_of(create: Call) -> Option<Weight> {
        RuntimeCall::from(create).dispatch(RuntimeOrigin::signed(Bob.to_account_id())).unwrap().actual_weight
    }

    #[test]
    fn only_a_plain_contract_weighs_less() {
        run_with_node(|mut machine, bob| {
            let plain = Some(<() as pallet_grid_contracts::WeightInfo>::create_plain_node_contract(2, 0));
            assert_eq!(weight_of(create(1, tiny())), plain, "nothing is charged yet");
            report(machine.deployed(1, b"{}")).unwrap();
            assert_eq!(weight_of(create(1, tiny())), plain);
            let mut with_traffic = create(1, tiny());
            if let Call::create_node_contract { traffic_gb, .. } = &mut with_traffic {
                *traffic_gb = 1;
            }
            assert_eq!(weight_of(with_traffic), None);
            assert_eq!(Billing::price_factor_permille(bob), 400);
            assert_eq!(weight_of(create(1, small())), None);
            assert_eq!(Billing::price_factor_permille(bob), 1_000, "its place in the agenda moved");
        });
    }

    #[test]
    fn a_contract_that_ends_a_grace_weighs_as_declared() {
        run_with_credit(TFT / 50, |mut machine, bob| {
            deployed(&mut machine, Bob, tiny());
            let set_price = |price| by_root(pallet_grid_clock::Call::set_price { price }.into());
            assert_ok!(set_price(USD / 1_000));
            machine.serve(15 * MINUTE_MS);
            assert_ok!(call(Charlie, pallet_grid_billing::Call::deposit { twin: bob, amount: TFT / 50 }));
            assert!(Billing::is_exhausted(bob));
            assert_ok!(set_price(USD / 20));
            assert_eq!(weight_of(create(1, tiny())), None);
            assert!(!Billing::is_exhausted(bob));
        });
    }

    #[test]
    fn a_ticket_has_sixteen_places_in_the_pool() {
        run(|| {
            farm_with_ticket(1);
            let tags: BTreeSet<_> = (0..100)
                .flat_map(|n| {
                    let key = Machine::key(n);
                    validity(bare(register(registration(&ticket(), &key), &ticket(), &key))).unwrap().provides
                })
                .collect();
            assert!((10..=16).contains(&tags.len()), "{}", tags.len());
        });
    }

    #[test]
    fn a_day_of_full_blocks_costs_ten_thousand_dollars() {
        run(|| {
            let blocks_a_day = u128::from(DAY);
            let limits = <Runtime as frame_system::Config>::BlockLength::get();
            let bytes = *limits.max.get(DispatchClass::Normal);
            let block = frame_support::weights::Weight::from_parts(bytes.into(), 0);
            // At 0.05 USD per TFT, before the multiplier moves.
            let usd = LengthToFee::weight_to_fee(&block) * blocks_a_day / TFT / 20;
            assert!(usd > 10_000, "{usd} USD");
            assert_eq!(
                LengthToFee::weight_to_fee(&frame_support::weights::Weight::from_parts(1, 0)),
                BYTE_FEE
            );
        });
    }

    #[test]
    fn full_blocks_double_the_fee_within_two_minutes() {
        run(|| {
            let one = FeeAdjustment::min();
            let after = |blocks, full: bool| {
                let len = if full { 3_900_000 } else { 0 };
                frame_system::BlockSize::<Runtime>::put(len);
                (0..blocks).fold(one, |multiplier, _| FeeAdjustment::convert(multiplier))
            };
            assert_eq!(after(1_000, false), one);
            assert!(after(2 * MINUTE, true).into_inner() > 2 * one.into_inner());
            assert_eq!(after(10_000, true), FeeAdjustment::max());
            frame_system::BlockSize::<Runtime>::kill();
        });
    }
}

mod squatting {
    use super::*;

    #[test]
    fn a_grace_without_anything_to_wait_for_ends() {
        run_with_credit(TFT / 50, |mut machine, bob| {
            let id = deployed(&mut machine, Bob, tiny());
            // So that the test needn't take hours.
            let set_price = |price| by_root(pallet_grid_clock::Call::set_price { price }.into());
            assert_ok!(set_price(USD / 1_000));
            machine.serve(15 * MINUTE_MS);
            assert!(Billing::is_exhausted(bob));
            assert_ok!(set_price(USD / 20));
            assert_ok!(call(Bob, cancel(id)));
            assert_eq!(Billing::grace(bob), None);

            assert_ok!(call(Bob, pallet_grid_billing::Call::deposit { twin: bob, amount: 10 * TFT }));
            assert_ok!(call(Bob, create(1, capacity())));
            let all = pallet_grid_billing::Call::withdraw { amount: 10 * TFT };
            assert_fails(Bob, all, pallet_grid_billing::Error::<Runtime>::CreditTooLow);
        });
    }

    #[test]
    fn a_grace_with_a_silent_contract_frees_no_committed_credit() {
        run_with_credit(TFT / 50, |mut machine, bob| {
            deployed(&mut machine, Bob, tiny());
            assert_ok!(by_root(pallet_grid_clock::Call::set_price { price: USD / 1_000 }.into()));
            machine.serve(15 * MINUTE_MS);
            assert!(Billing::is_exhausted(bob));
            assert_ok!(by_root(pallet_grid_clock::Call::set_price { price: USD / 20 }.into()));
            // Its own node falls silent, so that nothing is charged while the grace goes on.
            pass(5 * heartbeat_ms());
            assert!(Billing::grace(bob).is_some() && !Billing::is_exhausted(bob));
            let amount = 10 * TFT;
            assert_ok!(call(Bob, pallet_grid_billing::Call::deposit { twin: bob, amount }));
            let all = pallet_grid_billing::Call::withdraw { amount };
            assert_fails(Bob, all, pallet_grid_billing::Error::<Runtime>::CreditTooLow);
        });
    }

    #[test]
    fn updates_that_never_come_pay_for_what_they_reserve() {
        run_with_node(|mut machine, bob| {
            let id = deployed(&mut machine, Bob, tiny());
            let (before, mut held) = (credit(bob), 0);
            for round in 0..3 {
                assert_ok!(call(Bob, update(id, capacity())));
                assert_eq!(Nodes::free(1), Some(Resources::ZERO));
                let since = Clock::grid_now();
                let step = AnswerTime::get() / 2;
                for _ in 0..AnswerLimit::get() / step - 2 {
                    machine.serve(step);
                    report(machine.progress(id, round + 2)).unwrap();
                }
                machine.serve(2 * step);
                held += Clock::grid_now() - since;
            }
            assert_ok!(call(Bob, update(id, capacity())));
            assert_ok!(call(Bob, cancel(id)));
            let hourly = an_hour_of(Contracts::quote(1, capacity(), 0).unwrap());
            let due = hourly * u128::from(held) / u128::from(HOUR_MS);
            let paid = before - credit(bob);
            // The last one pays its ten minutes, too.
            assert!(paid > due && paid < due + hourly / 4, "{paid} paid of {due}");
        });
    }

    #[test]
    fn a_first_version_that_never_comes_pays_for_its_time() {
        run_with_node(|mut machine, bob| {
            let before = credit(bob);
            let resources = Resources { sru: 0, ..capacity() };
            assert_ok!(call(Bob, create(1, resources)));
            let step = AnswerTime::get() / 2;
            while matches!(Contracts::status_of(1), Some(ContractStatus::Created)) {
                machine.serve(step);
                let _ = report(machine.progress(1, 1));
            }
            let closed = pallet_grid_contracts::ClosedContracts::<Runtime>::get(1).unwrap();
            assert_eq!(closed.reason, ClosingReason::NodeSilent);
            assert!((before - credit(bob)).abs_diff(closed.tft) <= 1);
            let hourly = an_hour_of(Contracts::quote(1, resources, 0).unwrap());
            let due = hourly * u128::from(AnswerLimit::get()) / u128::from(HOUR_MS);
            assert!(closed.tft + 1 >= due && closed.tft < due * 11 / 10, "{} paid of {due}", closed.tft);
            assert_eq!(
                pallet_grid_billing::Payable::<Runtime>::get(pallet_grid_billing::Payee::Farm(1)),
                ExactTft::ZERO,
                "no farmer earns what it didn't serve"
            );
        });
    }

    #[test]
    fn replacing_a_first_version_ends_with_the_credit() {
        run_with_credit(TFT, |_, bob| {
            assert_ok!(call(Bob, create(1, small())));
            let replaced = (0..1_000).take_while(|_| call(Bob, update(1, small())).is_ok()).count();
            let kept = an_hour_of(price_of(1).rates.usd);
            assert!(replaced > 0 && credit(bob) >= kept, "{replaced} times, {} is left", credit(bob));
        });
    }

    #[test]
    fn a_contract_cancelled_at_once_pays_for_its_wait() {
        run_with_node(|mut machine, bob| {
            let before = credit(bob);
            let resources = Resources { sru: 0, ..capacity() };
            assert_ok!(call(Bob, create(1, resources)));
            let asked_at = Clock::grid_now();
            for _ in 0..3 {
                machine.serve(AnswerTime::get() / 2);
                report(machine.progress(1, 1)).unwrap();
            }
            report(machine.deployed(1, b"{}")).unwrap();
            let waited_ms = Clock::grid_now() - asked_at;
            assert_ok!(call(Bob, cancel(1)));
            let hourly = an_hour_of(Contracts::quote(1, resources, 0).unwrap());
            let beyond_answer = waited_ms - AnswerTime::get();
            let due = hourly * u128::from(beyond_answer + 10 * MINUTE_MS) / u128::from(HOUR_MS);
            let paid = before - credit(bob);
            assert!(paid + 1 >= due && paid < due * 101 / 100, "{paid} paid of {due}");
        });
    }

    #[test]
    fn a_wait_ends_with_the_credit_that_pays_for_it() {
        let resources = Resources { sru: 100 * GIB, ..small() };
        run_with_credit(10 * TFT, |mut machine, bob| {
            let hourly = an_hour_of(Contracts::quote(1, resources, 0).unwrap());
            assert_ok!(call(Bob, pallet_grid_billing::Call::withdraw { amount: 10 * TFT - 2 * hourly }));
            assert_ok!(call(Bob, create(1, resources)));
            let asked_at = Clock::grid_now();
            while matches!(Contracts::status_of(1), Some(ContractStatus::Created)) {
                machine.serve(AnswerTime::get() / 2);
                let _ = report(machine.progress(1, 1));
            }
            let waited_ms = Clock::grid_now() - asked_at;
            assert!(waited_ms.abs_diff(2 * HOUR_MS) <= AnswerTime::get(), "{waited_ms}");
            let closed = pallet_grid_contracts::ClosedContracts::<Runtime>::get(1).unwrap();
            assert!(closed.tft.abs_diff(2 * hourly) <= hourly / 100, "{} paid of {hourly} twice", closed.tft);
            assert!(credit(bob) <= hourly / 100);
        });
    }

    #[test]
    fn a_wait_is_paid_though_its_credit_is_withdrawn() {
        let resources = Resources { sru: 90 * GIB, ..small() };
        run_with_credit(20 * TFT, |mut machine, bob| {
            let hourly = an_hour_of(Contracts::quote(1, resources, 0).unwrap());
            let before = credit(bob);
            assert_ok!(call(Bob, create(1, resources)));
            let asked_at = Clock::grid_now();
            while Clock::grid_now() < asked_at + 2 * HOUR_MS {
                machine.serve(AnswerTime::get() / 2);
                let _ = report(machine.progress(1, 1));
            }
            let amount = credit(bob) - hourly - TFT / 1_000;
            assert_ok!(call(Bob, pallet_grid_billing::Call::withdraw { amount }));
            assert_ok!(call(Bob, cancel(1)));
            let paid = before - amount - credit(bob);
            assert!(paid >= 2 * hourly * 99 / 100, "{paid} for two hours of {hourly}");
        });
    }

    #[test]
    fn a_tenant_uses_no_more_than_was_rented() {
        run_with_node(|mut machine, _| {
            report(machine.details(Resources { cru: 1, mru: 1, ..Resources::ZERO })).unwrap();
            assert_ok!(call(Bob, rent()));
            machine.serve(heartbeat_ms());
            report(machine.details(capacity())).unwrap();
            let too_much = pallet_grid_nodes::Error::<Runtime>::NotEnoughCapacity;
            assert_fails(Bob, create(1, small()), too_much);
        });
    }

    #[test]
    fn addresses_that_reached_no_node_cool_down_briefly() {
        run_with_node(|mut machine, _| {
            for n in 10..26 {
                let v4 = Interface { address: [185, 69, 166, n], prefix: 24, gateway: [185, 69, 166, 1] };
                let address = PublicIp { v4, v6: None };
                assert_ok!(call(Alice, pallet_grid_farms::Call::add_ip { farm: 1, address }));
            }
            let mut with_ips = create(1, tiny());
            if let Call::create_node_contract { public_ips, .. } = &mut with_ips {
                *public_ips = 16;
            }
            let next = pallet_grid_contracts::LastContractId::<Runtime>::get() + 1;
            let calls = vec![with_ips.clone().into(), cancel(next).into()];
            assert_ok!(call(Bob, pallet_utility::Call::batch_all { calls }));
            machine.serve(AnswerTime::get().min(CoolDownTime::get()) + SLOT_DURATION);
            assert_ok!(call(Bob, with_ips));
        });
    }
}

mod value {
    use super::*;

    #[test]
    fn complaints_of_new_twins_give_nothing_back() {
        run_with_node(|mut machine, bob| {
            let complain = |contract| Call::cancel { contract, reason: CancelReason::NotDelivered };
            let used = |machine: &mut Machine| {
                let id = deployed(machine, Bob, capacity());
                machine.serve(NotDeliveredWindow::get() - 5 * SLOT_DURATION);
                id
            };
            let id = used(&mut machine);
            assert_fails(Bob, complain(id), Error::NothingToRefund);
            assert_ok!(call(Bob, cancel(id)));
            // What was paid earns a tenth of it, and on the account's next twin no more.
            let paid = CREDIT - credit(bob);
            let (mut twin, mut returned) = (bob, 0);
            for _ in 0..3 {
                assert_ok!(call(Bob, pallet_grid_billing::Call::withdraw { amount: credit(twin) }));
                assert_ok!(call(Bob, pallet_grid_twins::Call::remove {}));
                twin = customer(Bob, CREDIT);
                let id = used(&mut machine);
                let before = credit(twin);
                assert_ok!(call(Bob, complain(id)));
                returned += credit(twin) - before;
            }
            let spent = paid * 4 - returned;
            assert!(returned > 0 && returned * 9 <= spent, "{returned} came back of {spent}");
        });
    }

    #[test]
    fn a_node_earns_for_what_a_certifier_saw() {
        run(|| {
            let policy = FarmingPolicy { min_uptime_permille: 0, ..FarmingPolicy::standard() };
            assert_ok!(by_root(pallet_grid_farming::Call::set_policy { policy }.into()));
            farm_with_ticket(1);
            let mut machine = Machine::join(1);
            report(machine.details(capacity())).unwrap();
            assert_ok!(by_root(pallet_grid_farming::Call::enrol { node: 1, seen: capacity() }.into()));
            an_hour_of_the_next_period(&mut machine);
            report(machine.details(policy.maxima)).unwrap();
            for _ in 0..2 {
                an_hour_of_the_next_period(&mut machine);
            }
            let rewards: Vec<_> = Farming::node_rewards(1).iter().map(|reward| reward.tft).collect();
            assert!(rewards.len() > 1 && rewards.iter().max() < Some(&TFT), "{rewards:?}");
        });
    }

    /// Goes to the next farming period, where the machine comes back and is up for an hour.
    fn an_hour_of_the_next_period(machine: &mut Machine) {
        next_period();
        for _ in 0..5 {
            pass(heartbeat_ms());
            report(machine.heartbeat()).unwrap();
        }
        an_hour(machine);
    }

    #[test]
    fn a_stolen_deploy_key_spends_a_few_dollars_an_hour() {
        run_with_credit(10_000 * TFT, |mut machine, bob| {
            assert_ok!(by_root(pallet_grid_clock::Call::set_price { price: USD }.into()));
            let thief = bot();
            let by_thief = |inner: Call| -> DispatchResult {
                assert_ok!(call(thief, for_bob(inner)));
                outcome()
            };
            let before = credit(bob);
            // It opens and ends what it can; and leaves running what it may.
            let mut opened = 0;
            while by_thief(create(1, capacity())).is_ok() {
                opened += 1;
                let id = pallet_grid_contracts::LastContractId::<Runtime>::get();
                assert_ok!(by_thief(cancel(id)));
            }
            assert!(opened > 3);
            let refused = pallet_grid_billing::Error::<Runtime>::EndedTooOften;
            assert_eq!(by_thief(create(1, tiny())), Err(refused.into()));
            let vandalism = before - credit(bob);
            let limit = u128::from(pallet_grid_billing::DEFAULT_MAX_USD_RATE) * TFT / 10_000_000_000;
            assert!(vandalism < limit + limit / 6, "{vandalism}");
            machine.serve(HOUR_MS);
            assert_ok!(by_thief(create(1, capacity())));
            let running = pallet_grid_contracts::LastContractId::<Runtime>::get();
            report(machine.deployed(running, b"{}")).unwrap();
            let rate = Billing::settled_payer(bob).all_rates().usd;
            assert!(rate > 0 && rate <= pallet_grid_billing::DEFAULT_MAX_USD_RATE.into(), "{rate}");
        });
    }

    #[test]
    fn a_rented_node_offers_no_less_than_was_rented() {
        run_with_node(|mut machine, bob| {
            assert_ok!(call(Bob, rent()));
            assert_refused(
                machine.details(Resources { cru: 1, mru: 1, ..Resources::ZERO }),
                Refusal::BelowReserved,
            );
            assert_ok!(call(Bob, create(1, capacity())));
            assert_ok!(call(Bob, cancel(2)));
            assert_ok!(call(Bob, cancel(1)));
            let _ = bob;
            report(machine.details(Resources { cru: 1, mru: 1, ..Resources::ZERO })).unwrap();
        });
    }

    #[test]
    fn traffic_has_no_discount() {
        run_with_credit(200 * TFT, |mut machine, bob| {
            let id = deployed(&mut machine, Bob, tiny());
            assert_ok!(call(Bob, pallet_grid_billing::Call::deposit { twin: bob, amount: TFT }));
            assert_eq!(Billing::price_factor_permille(bob), 400);
            let before = credit(bob);
            let buy =
                pallet_grid_billing::Call::buy_traffic { contract: id, gb: 1_000, max_tft: Balance::MAX };
            assert_ok!(call(Bob, buy));
            let list = 1_000 * 15_000 * TFT / 500_000;
            assert!((before - credit(bob)).abs_diff(list) <= 1);
        });
    }

    #[test]
    fn gpus_without_a_price_are_for_nobody() {
        run_with_node(|_, _| {
            assert_fails(Bob, create(1, Resources { gpu: 1, ..tiny() }), Error::RateOutOfRange);
        });
    }
}

mod leftovers {
    use super::*;

    #[test]
    fn a_removed_node_leaves_no_report_behind() {
        run_with_node(|mut machine, _| {
            let id = deployed(&mut machine, Bob, small());
            report(machine.deployed(id, b"{\"a\":1}")).unwrap();
            let item = tfgrid_primitives::UsageItem { contract: id, totals: Default::default() };
            report(machine.usage(vec![item].try_into().unwrap())).unwrap();
            assert_ok!(call(Bob, cancel(id)));
            assert_ok!(call(Alice, pallet_grid_nodes::Call::remove { node: 1 }));
            assert!(!pallet_grid_contracts::LastUsageReport::<Runtime>::contains_key(1));
            assert!(!pallet_grid_contracts::LastCorrections::<Runtime>::contains_key(1));
        });
    }

    #[test]
    fn a_removed_twin_leaves_no_payer_behind() {
        run_with_node(|mut machine, bob| {
            let id = deployed(&mut machine, Bob, small());
            machine.serve(HOUR_MS);
            assert_ok!(call(Bob, cancel(id)));
            let amount = credit(bob);
            let before = wealth(Bob);
            assert_ok!(call(Bob, pallet_grid_billing::Call::withdraw { amount }));
            assert_ok!(call(Bob, pallet_grid_twins::Call::remove {}));
            assert!(!pallet_grid_billing::Payers::<Runtime>::contains_key(bob));
            assert!(wealth(Bob) > before);
        });
    }
}
