// SPDX-License-Identifier: Apache-2.0

use crate::{
    Details, DrainReason, Error, Event, FarmerSettings, HoldReason, LastNodeId, LiveState, Liveness,
    LivenessOf, Location, Locations, MachineDetails, NotDelivered, Outage, PublicConfigs,
    mock::*,
    public_config::{Interface, Ports, PublicConfig},
    uptime::PERIOD_SECONDS,
};
use frame_support::{
    BoundedVec, assert_ok,
    traits::{Authorize, fungible::InspectHold},
};
use sp_core::Pair;
use sp_runtime::{DispatchError::BadOrigin, transaction_validity::TransactionSource};
use tfgrid_primitives::{
    Deadline, Features, NodeId, Refusal, Resources,
    refund::ClockSpan,
    report::{DetailsPayload, Gpu, HeartbeatPayload, PowerState},
    traits::{Clock, FarmInUse, NodeDirectory, NodeFacts, NodeLiveness, ServeDeadlines, Service},
    units::{DAY_MS, GIB, HOUR_MS, MINUTE_MS},
    views::{ClosingReason, NodeFilter},
};

type Failure = Error<Test>;

fn run_with_node(test: impl FnOnce(Machine)) {
    run(|| test(Machine::join(1)));
}

fn facts(node: NodeId) -> NodeFacts {
    <Nodes as NodeDirectory>::facts(node).unwrap()
}

fn live(node: NodeId) -> Liveness {
    LivenessOf::<Test>::get(node).unwrap()
}

fn outage(node: NodeId) -> Outage {
    match live(node).state {
        LiveState::Offline(outage) => outage,
        other => panic!("the node isn't offline but {other:?}"),
    }
}

fn held(who: AccountId) -> u128 {
    Balances::balance_on_hold(&HoldReason::Node.into(), &who)
}

fn small() -> Resources {
    Resources { cru: 1, mru: GIB, ..Resources::ZERO }
}

fn text<const N: u32>(text: &str) -> BoundedVec<u8, frame_support::traits::ConstU32<N>> {
    text.as_bytes().to_vec().try_into().unwrap()
}

/// A details report with this capacity and so many GPUs described.
fn details_of(resources: Resources, gpus: usize) -> DetailsPayload {
    let gpus = vec![Gpu { vendor: 0x10de, device: 0x2684, memory: 24 * GIB }; gpus];
    DetailsPayload {
        resources,
        serial: b"SN-1".to_vec().try_into().unwrap(),
        secure_boot: true,
        gpus: gpus.try_into().unwrap(),
        features: Features::ZMACHINE,
        peer_addresses: text("192.0.2.7:9617"),
        version: text("0.1.0"),
        ..Default::default()
    }
}

mod liveness {
    use super::*;

    #[test]
    fn three_missed_heartbeats_set_a_node_offline() {
        run_with_node(|mut machine| {
            machine.beat(2);
            pass(3 * INTERVAL);
            assert!(Nodes::is_online(1));
            assert!(swept().is_empty());
            pass(1);
            assert_eq!((facts(1).online, facts(1).service), (false, Service::Suspended));
            assert_eq!(last_event(), Event::NodeOffline { node: 1 });
            assert_eq!(swept(), [1], "one sweep is armed");
        });
    }

    #[test]
    fn a_silence_counts_though_the_agenda_is_late() {
        run_with_node(|mut machine| {
            machine.beat(2);
            let last = MockClock::price_now();
            // Nothing is served meanwhile.
            MockClock::advance(4 * INTERVAL);
            assert!(Nodes::is_online(1), "the agenda hasn't checked it yet");
            assert_eq!(Nodes::offline_since(1), Some(last));
            report(machine.heartbeat()).unwrap();
            assert!(!Nodes::is_online(1));
            assert_eq!(last_event(), Event::NodeOffline { node: 1 });
            assert_eq!((Nodes::silent_since(1), swept()), (Some(last), vec![1]));
            assert_eq!(live(1).flaps, 1, "it had been online for less than a day");
            machine.beat(2);
            assert!(Nodes::is_online(1));
            assert_eq!(Nodes::last_outage(1), ClockSpan { from: last, to: MockClock::price_now() });
        });
    }

    #[test]
    fn heartbeats_go_before_other_reports() {
        run_with_node(|mut machine| {
            pass(INTERVAL);
            let priority = |call: Call| {
                RuntimeCall::Nodes(call).authorize(TransactionSource::External).unwrap().unwrap().0.priority
            };
            let details = priority(machine.details(details_of(capacity(), 0)));
            assert!(priority(machine.heartbeat()) > details);
        });
    }

    #[test]
    fn heartbeats_in_time_keep_a_node_online() {
        run_with_node(|mut machine| {
            for _ in 0..20 {
                pass(3 * INTERVAL);
                report(machine.heartbeat()).unwrap();
            }
            assert!(Nodes::is_online(1));
            assert!(swept().is_empty());
        });
    }

    #[test]
    fn a_node_is_back_after_three_heartbeats_in_a_row() {
        run_with_node(|mut machine| {
            pass(DAY_MS);
            assert_eq!((Swept::take(), live(1).flaps), (vec![1], 1));
            machine.beat(2);
            assert!(!Nodes::is_online(1));
            machine.beat(1);
            assert!(Nodes::is_online(1));
            assert_eq!(last_event(), Event::NodeOnline { node: 1 });
            assert_eq!((swept(), facts(1).service), (vec![1], Service::Running));
        });
    }

    #[test]
    fn a_late_heartbeat_starts_a_new_streak() {
        run_with_node(|mut machine| {
            pass(DAY_MS);
            machine.beat(2);
            pass(2 * INTERVAL + 1);
            report(machine.heartbeat()).unwrap();
            assert_eq!(outage(1).streak.map(|streak| streak.beats), Some(1));
            machine.beat(1);
            assert!(!Nodes::is_online(1));
            machine.beat(1);
            assert!(Nodes::is_online(1));
        });
    }

    /// How many heartbeats bring a node back that has just gone offline.
    fn beats_to_return(machine: &mut Machine) -> u64 {
        pass(4 * INTERVAL);
        assert!(!Nodes::is_online(machine.id));
        (1..)
            .find(|_| {
                machine.beat(1);
                Nodes::is_online(machine.id)
            })
            .unwrap()
    }

    #[test]
    fn the_way_back_doubles_with_each_flap_until_a_steady_day() {
        run_with_node(|mut machine| {
            let beats = [(); 5].map(|()| beats_to_return(&mut machine));
            assert_eq!(beats, [3, 5, 7, 7, 7]);
            machine.beat(DAY_MS / INTERVAL);
            assert_eq!(beats_to_return(&mut machine), 3);
            assert_eq!(live(1).flaps, 0);
        });
    }

    #[test]
    fn fourteen_days_offline_end_contracts_until_the_return() {
        run_with_node(|mut machine| {
            pass(3 * INTERVAL + 1);
            assert_eq!(swept(), [1]);
            pass(OFFLINE_TIMEOUT - 1);
            assert_eq!((swept(), facts(1).service), (vec![], Service::Suspended));
            pass(1);
            assert_eq!(last_event(), Event::NodeGivenUp { node: 1 });
            assert_eq!(facts(1).service, Service::Ended(ClosingReason::NodeSilent));
            assert_eq!(swept(), [1]);
            pass(5 * OFFLINE_TIMEOUT);
            assert!(swept().is_empty(), "more silence changes nothing");
            machine.beat(3);
            assert_eq!((swept(), facts(1).service), (vec![1], Service::Running));
        });
    }

    #[test]
    fn early_replayed_forged_and_unknown_heartbeats_are_refused() {
        run_with_node(|mut machine| {
            assert_refused(machine.heartbeat(), Refusal::TooSoon);
            pass(INTERVAL / 2);
            let good = machine.heartbeat();
            report(good.clone()).unwrap();
            pass(INTERVAL);
            assert_refused(good, Refusal::SequenceOld);
            let mut forger = Machine { key: Machine::key(9), id: 1, sequence: 100, nonce: 1 };
            assert_refused(forger.heartbeat(), Refusal::NodeSignatureWrong);
            forger.id = 2;
            assert_refused(forger.heartbeat(), Refusal::NodeUnknown);
        });
    }

    #[test]
    fn no_sequence_follows_the_highest_one() {
        run_with_node(|mut machine| {
            pass(INTERVAL);
            machine.sequence = u64::MAX - 1;
            report(machine.heartbeat()).unwrap();
            pass(INTERVAL);
            machine.sequence = u64::MAX - 1;
            assert_refused(machine.heartbeat(), Refusal::SequenceOld);
        });
    }

    #[test]
    fn alternating_machines_are_clones_until_the_farmer_clears_it() {
        run_with_node(|mut machine| {
            for nonce in [1, 2, 3, 3] {
                pass(INTERVAL);
                machine.beat_as(nonce);
            }
            assert!(Nodes::is_online(1), "reboots are no clones");
            pass(INTERVAL);
            machine.beat_as(2);
            assert_eq!(last_event(), Event::NodeCloned { node: 1 });
            assert_eq!((facts(1).service, swept()), (Service::Suspended, vec![1]));
            assert!(outage(1).cloned);

            let events = System::event_count();
            machine.beat(10);
            assert!(outage(1).cloned, "heartbeats don't count");
            assert_eq!(System::event_count(), events, "nor is there another event");

            assert_fails(STRANGER, Call::clear_clone { node: 1 }, Failure::NotFarmer);
            assert_ok!(call(FARMER, Call::clear_clone { node: 1 }));
            assert_fails(FARMER, Call::clear_clone { node: 1 }, Failure::NotCloned);
            machine.beat(3);
            assert!(Nodes::is_online(1));
            assert_fails(FARMER, Call::clear_clone { node: 1 }, Failure::NotCloned);
        });
    }

    #[test]
    fn after_clearing_either_machine_may_stay_but_not_both() {
        run_with_node(|mut machine| {
            for nonce in [1, 2, 1] {
                pass(INTERVAL);
                machine.beat_as(nonce);
            }
            assert_ok!(call(FARMER, Call::clear_clone { node: 1 }));
            pass(INTERVAL);
            machine.beat_as(2);
            assert!(!outage(1).cloned);
            pass(INTERVAL);
            machine.beat_as(1);
            assert!(outage(1).cloned);
        });
    }

    #[test]
    fn a_clone_does_not_restart_an_outage() {
        run_with_node(|mut machine| {
            pass(INTERVAL);
            machine.beat_as(1);
            pass(DAY_MS);
            let since = outage(1).since;
            machine.beat_as(2);
            pass(INTERVAL);
            machine.beat_as(1);
            assert_eq!((outage(1).cloned, outage(1).since, outage(1).streak), (true, since, None));
            pass(OFFLINE_TIMEOUT);
            assert_eq!(facts(1).service, Service::Ended(ClosingReason::NodeSilent));
        });
    }

    #[test]
    fn a_silence_lasts_from_the_last_heartbeat_to_the_return() {
        run_with_node(|mut machine| {
            machine.beat(1);
            let heard = MockClock::price_now();
            pass(INTERVAL);
            assert_eq!(Nodes::silent_since(1), None);
            pass(1);
            assert_eq!((Nodes::silent_since(1), Nodes::offline_since(1)), (Some(heard), None));
            pass(DAY_MS);
            assert_eq!(Nodes::offline_since(1), Some(heard));
            // A heartbeat on the way back doesn't make the silence paid for.
            machine.beat(2);
            assert_eq!(Nodes::silent_since(1), Some(heard));
            machine.beat(1);
            assert_eq!(Nodes::silent_since(1), None);
            assert_eq!(Nodes::silent_since(77), Some(tfgrid_primitives::PriceTime::ZERO));
        });
    }
}

mod uptime {
    use super::*;

    #[test]
    fn uptime_counts_while_online_and_not_in_silences() {
        run_with_node(|mut machine| {
            machine.beat(6);
            assert_eq!(Nodes::node_uptime(1, 656), 6 * INTERVAL);
            pass(2 * HOUR_MS);
            machine.beat(3);
            assert_eq!(Nodes::node_uptime(1, 656), 6 * INTERVAL, "on the way back nothing counts");
            machine.beat(1);
            assert_eq!(Nodes::node_uptime(1, 656), 7 * INTERVAL);
        });
    }

    #[test]
    fn uptime_is_split_where_a_period_ends() {
        run_with_node(|mut machine| {
            let end = PERIOD_SECONDS * 1_000 - DAY_MS;
            machine.beat((end - MINUTE_MS) / INTERVAL);
            let before = Nodes::node_uptime(1, 656);
            pass(INTERVAL + MINUTE_MS);
            report(machine.heartbeat()).unwrap();
            assert_eq!(Nodes::node_uptime(1, 656), before + INTERVAL);
            assert_eq!(Nodes::node_uptime(1, 657), MINUTE_MS);
        });
    }
}

/// Hooks of farming.
mod farming {
    use super::*;
    use tfgrid_primitives::traits::FarmedNode;

    fn events() -> Vec<FarmingEvent> {
        Recorded::take().into_iter().map(|(event, ..)| event).collect()
    }

    fn farmed(farm: u32) -> Option<FarmedNode> {
        Some(FarmedNode { farm, resources: capacity(), certified: false, virtualized: None })
    }

    #[test]
    fn each_change_that_counts_is_reported() {
        run_with_node(|mut machine| {
            assert_eq!(Recorded::take(), [(FarmingEvent::Joined, 1, farmed(FARM))]);
            machine.beat(2);
            assert_eq!(events(), [FarmingEvent::Heard, FarmingEvent::Heard]);
            report(machine.details(details_of(capacity(), 0))).unwrap();
            let expected = farmed(FARM).map(|node| FarmedNode { virtualized: Some(false), ..node });
            assert_eq!(Recorded::take(), [(FarmingEvent::Changed, 1, expected)]);
            crate::Pallet::<Test>::do_certify(1, Some(capacity())).unwrap();
            let expected = expected.map(|node| FarmedNode { certified: true, ..node });
            assert_eq!(Recorded::take(), [(FarmingEvent::Changed, 1, expected)]);
        });
    }

    #[test]
    fn a_moving_node_leaves_before_and_joins_after_the_move() {
        run_with_node(|machine| {
            Recorded::take();
            report(register(OTHER_FARM, &machine.key, capacity())).unwrap();
            let expected =
                [(FarmingEvent::Left, 1, farmed(FARM)), (FarmingEvent::Joined, 1, farmed(OTHER_FARM))];
            assert_eq!(Recorded::take(), expected);
            assert_ok!(call(OTHER, Call::remove { node: 1 }));
            assert_eq!(Recorded::take(), [(FarmingEvent::Left, 1, farmed(OTHER_FARM))]);
        });
    }

    #[test]
    fn a_cloned_node_gains_no_uptime() {
        run_with_node(|mut machine| {
            for nonce in [1, 2, 1] {
                pass(INTERVAL);
                machine.beat_as(nonce);
            }
            let uptime = Nodes::node_uptime(1, 656);
            Recorded::take();
            machine.beat(10);
            assert_eq!((Nodes::node_uptime(1, 656), events().len()), (uptime, 10));
        });
    }

    #[test]
    fn refused_calls_are_not_reported() {
        run_with_node(|mut machine| {
            Recorded::take();
            assert_refused(machine.heartbeat(), Refusal::TooSoon);
            assert_fails(STRANGER, Call::remove { node: 1 }, Failure::NotFarmer);
            assert!(events().is_empty());
        });
    }
}

mod joining {
    use super::*;

    #[test]
    fn the_tickets_deposit_becomes_the_nodes() {
        run_with_node(|machine| {
            let record = crate::Nodes::<Test>::get(1).unwrap();
            assert_eq!(
                (record.farm, record.resources, record.settings),
                (FARM, capacity(), FarmerSettings::default())
            );
            assert_eq!((held(FARMER), Nodes::is_online(1)), (NODE_DEPOSIT, true));
            assert!(Nodes::has_nodes(FARM) && !Nodes::has_nodes(OTHER_FARM));
            assert_refused(register(FARM, &machine.key, capacity()), Refusal::TicketUsed);
        });
    }

    #[test]
    fn ids_run_out_in_the_pool_and_not_in_a_block() {
        run(|| {
            LastNodeId::<Test>::put(NodeId::MAX - 1);
            assert_eq!(Machine::join(1).id, NodeId::MAX);
            let more = register(FARM, &Machine::key(2), capacity());
            assert_refused(more, Refusal::IdsExhausted);
        });
    }

    #[test]
    fn an_empty_node_moves_with_a_ticket_of_another_farm() {
        run_with_node(|mut machine| {
            let drain = Call::drain { node: 1, deadline: 99 * DAY_MS, reason: text("rack moves") };
            assert_ok!(call(FARMER, drain));
            assert_ok!(call(FARMER, Call::set_extra_fee { node: 1, fee: 7 }));
            assert_ok!(call(FARMER, Call::set_public_config { node: 1, config: Some(Default::default()) }));
            report(machine.details(details_of(capacity(), 0))).unwrap();
            machine.beat(2);

            let bigger = Resources { gpu: 1, ..capacity() };
            let go = register(OTHER_FARM, &machine.key, bigger);
            report(go.clone()).unwrap();
            let deposit = NODE_DEPOSIT;
            let moved = Event::NodeMoved { node: 1, from: FARM, to: OTHER_FARM, released: deposit, deposit };
            assert_eq!(last_event(), moved);
            let record = crate::Nodes::<Test>::get(1).unwrap();
            assert_eq!(
                (record.farm, record.resources, record.settings),
                (OTHER_FARM, bigger, FarmerSettings::default())
            );
            assert_eq!((held(FARMER), held(OTHER)), (0, deposit));
            assert!(!Nodes::has_nodes(FARM) && Nodes::has_nodes(OTHER_FARM));
            assert_eq!((Details::<Test>::get(1), PublicConfigs::<Test>::get(1)), (None, None));
            assert_eq!(Nodes::node_uptime(1, 656), 2 * INTERVAL, "it is the same machine");
            assert_fails(FARMER, Call::remove { node: 1 }, Failure::NotFarmer);

            // Neither replay brings it back to where it was.
            assert_refused(go, Refusal::TicketUsed);
            assert_refused(register(FARM, &machine.key, capacity()), Refusal::TicketUsed);
            Spent::set(vec![]);
            assert_refused(register(OTHER_FARM, &machine.key, capacity()), Refusal::SameFarm);
        });
    }

    #[test]
    fn a_node_with_contracts_stays_in_its_farm() {
        run_with_node(|machine| {
            Nodes::reserve(1, &small()).unwrap();
            assert_refused(register(OTHER_FARM, &machine.key, capacity()), Refusal::NotEmpty);
            Nodes::release(1, &small());
            report(register(OTHER_FARM, &machine.key, capacity())).unwrap();
        });
    }

    #[test]
    fn a_move_takes_both_keys_and_wakes_but_ends_no_outage() {
        run(|| {
            let (mut asleep, silent) = (Machine::join(1), Machine::join(2));
            let thief = Machine::key(9);
            let Call::register { registration, ticket_signature, .. } =
                register(OTHER_FARM, &asleep.key, capacity())
            else {
                unreachable!()
            };
            let node_signature = thief.sign(b"something else");
            let stolen = Call::register { registration, ticket_signature, node_signature };
            assert_refused(stolen, Refusal::NodeSignatureWrong);

            let target = PowerState::Standby;
            let details = DetailsPayload { features: Features::POWER, ..DetailsPayload::default() };
            Details::<Test>::insert(1, MachineDetails::from(details));
            assert_ok!(call(FARMER, Call::set_power_target { node: 1, target }));
            report(asleep.power(target)).unwrap();
            pass(DAY_MS);
            report(register(OTHER_FARM, &asleep.key, capacity())).unwrap();
            report(register(OTHER_FARM, &silent.key, capacity())).unwrap();
            assert_eq!((Nodes::is_online(1), Nodes::is_online(2)), (true, false));
        });
    }

    #[test]
    fn a_removed_node_leaves_nothing_behind() {
        run_with_node(|mut machine| {
            machine.beat(1);
            report(machine.details(details_of(capacity(), 0))).unwrap();
            let drain = Call::drain { node: 1, deadline: 99 * DAY_MS, reason: text("") };
            assert_ok!(call(FARMER, drain));
            assert_ok!(call(FARMER, Call::set_public_config { node: 1, config: Some(Default::default()) }));
            Nodes::count_not_delivered(1, 5);
            assert_fails(STRANGER, Call::remove { node: 1 }, Failure::NotFarmer);
            assert_fails(FARMER, Call::remove { node: 2 }, Failure::UnknownNode);

            assert_ok!(call(FARMER, Call::remove { node: 1 }));
            assert_eq!(held(FARMER), 0);
            assert!(Armed::get().is_empty());
            assert_eq!(<Nodes as NodeDirectory>::facts(1), None);
            assert_eq!(Nodes::serve(Deadline::Silence(1), 0), None);
            assert_eq!(Nodes::serve(Deadline::Drain(1), 0), None);
            assert_eq!(Nodes::serve(Deadline::Sweep(1), 0), None);
        });
    }

    #[test]
    fn a_node_with_contracts_is_not_removed() {
        run_with_node(|_| {
            Nodes::reserve(1, &small()).unwrap();
            assert_fails(FARMER, Call::remove { node: 1 }, Failure::NodeInUse);
            Nodes::release(1, &small());
        });
    }
}

mod details {
    use super::*;

    #[test]
    fn a_node_says_what_it_is() {
        run_with_node(|mut machine| {
            let resources = Resources { gpu: 2, ..capacity() };
            report(machine.details(details_of(resources, 2))).unwrap();
            assert_eq!(facts(1).resources, resources);
            assert_eq!(facts(1).features, Features::ZMACHINE);
            assert_eq!(Nodes::offer_of(1).unwrap().features, Features::ZMACHINE);
            let details = Details::<Test>::get(1).unwrap();
            assert_eq!((&details.serial[..], details.gpus.len()), (&b"SN-1"[..], 2));
            assert_eq!(
                (&details.peer_addresses[..], &details.version[..]),
                (&b"192.0.2.7:9617"[..], &b"0.1.0"[..])
            );
            assert_eq!((details.virtualized, details.secure_boot), (false, true));
            assert_eq!(last_event(), Event::DetailsReported { node: 1 });
        });
    }

    #[test]
    fn impossible_details_are_refused() {
        run_with_node(|mut machine| {
            Nodes::reserve(1, &small()).unwrap();
            let gpu = Resources { gpu: 2, ..capacity() };
            let unprintable = DetailsPayload { serial: text("SN\n1"), ..details_of(gpu, 1) };
            assert_refused(machine.details(unprintable), Refusal::NotPrintable);
            let unprintable = DetailsPayload { peer_addresses: text("::1\n"), ..details_of(gpu, 1) };
            assert_refused(machine.details(unprintable), Refusal::NotPrintable);
            let unprintable = DetailsPayload { version: text("1\u{1b}"), ..details_of(gpu, 1) };
            assert_refused(machine.details(unprintable), Refusal::NotPrintable);
            assert_refused(machine.details(details_of(gpu, 1)), Refusal::GpusMiscounted);
            assert_refused(machine.details(details_of(capacity(), 1)), Refusal::GpusMiscounted);
            let none = Resources { cru: 0, ..capacity() };
            assert_refused(machine.details(details_of(none, 0)), Refusal::CapacityOutOfRange);
            let too_much = Resources { cru: u64::MAX, ..capacity() };
            assert_refused(machine.details(details_of(too_much, 0)), Refusal::CapacityOutOfRange);
            let less = Resources { mru: GIB - 1, ..capacity() };
            assert_refused(machine.details(details_of(less, 0)), Refusal::BelowReserved);
            let mut forger = Machine { key: Machine::key(9), ..Machine { id: 1, sequence: 9, ..machine } };
            assert_refused(forger.details(details_of(capacity(), 0)), Refusal::NodeSignatureWrong);
            forger.id = 7;
            assert_refused(forger.details(details_of(capacity(), 0)), Refusal::NodeUnknown);
            Nodes::release(1, &small());
        });
    }

    #[test]
    fn exactly_what_is_reserved_is_enough() {
        run_with_node(|mut machine| {
            Nodes::reserve(1, &small()).unwrap();
            report(machine.details(details_of(small(), 0))).unwrap();
            assert_eq!(Nodes::node_free(1), Some(Resources::ZERO));
            Nodes::release(1, &small());
        });
    }

    #[test]
    fn details_come_once_per_interval_and_never_twice() {
        run_with_node(|mut machine| {
            let first = machine.details(details_of(capacity(), 0));
            report(first.clone()).unwrap();
            assert_refused(first.clone(), Refusal::SequenceOld);
            pass(INTERVAL - 1);
            assert_refused(machine.details(details_of(capacity(), 0)), Refusal::TooSoon);
            pass(1);
            assert_refused(first, Refusal::SequenceOld);
            report(machine.details(details_of(capacity(), 0))).unwrap();
        });
    }

    #[test]
    fn a_certificate_is_lost_by_a_change_of_more_than_one_percent() {
        run_with_node(|mut machine| {
            assert_eq!(call(FARMER, Call::certify { node: 1, seen: Some(capacity()) }), Err(BadOrigin));
            certify(1, Some(capacity())).unwrap();
            assert!(facts(1).certified);
            let mut report_cru = |cru| {
                pass(INTERVAL);
                report(machine.details(details_of(Resources { cru, ..capacity() }, 0))).unwrap();
                facts(1).certified
            };
            assert!(report_cru(101));
            assert!(report_cru(99), "it is compared with what was certified, not with the last report");
            assert!(!report_cru(98));
            assert_eq!(last_event(), Event::CertificationChanged { node: 1, certified: false });
            assert!(!report_cru(100), "only a certifier gives it back");
        });
    }

    fn certify(node: NodeId, seen: Option<Resources>) -> sp_runtime::DispatchResult {
        use sp_runtime::traits::Dispatchable;
        let call = RuntimeCall::Nodes(Call::certify { node, seen });
        call.dispatch(RuntimeOrigin::root()).map(drop).map_err(|e| e.error)
    }

    #[test]
    fn a_certificate_can_be_withdrawn_and_is_lost_by_a_move() {
        run_with_node(|machine| {
            certify(1, Some(capacity())).unwrap();
            assert_eq!(last_event(), Event::CertificationChanged { node: 1, certified: true });
            certify(1, None).unwrap();
            assert!(!facts(1).certified);
            assert_eq!(certify(2, Some(capacity())), Err(Failure::UnknownNode.into()));
            // What the node says between the certifier's visit and the call isn't what was seen.
            let other = Resources { cru: 50, ..capacity() };
            assert_eq!(certify(1, Some(other)), Err(Failure::OffersOtherThanSeen.into()));
            // A move with other hardware costs it, too.
            certify(1, Some(capacity())).unwrap();
            report(register(OTHER_FARM, &machine.key, other)).unwrap();
            assert!(!facts(1).certified);
        });
    }
}

mod power {
    use super::{run_with_node as run_with_newcomer, *};

    /// The node's agent can send it to sleep.
    fn run_with_node(test: impl FnOnce(Machine)) {
        run_with_newcomer(|machine| {
            let details = DetailsPayload { features: Features::POWER, ..DetailsPayload::default() };
            Details::<Test>::insert(1, MachineDetails::from(details));
            test(machine);
        });
    }

    fn request(target: PowerState) {
        assert_ok!(call(FARMER, Call::set_power_target { node: 1, target }));
        assert_eq!(last_event(), Event::PowerTargetSet { node: 1, target });
    }

    #[test]
    fn an_empty_node_sleeps_on_request_and_a_heartbeat_wakes_it() {
        run_with_node(|mut machine| {
            request(PowerState::Standby);
            report(machine.power(PowerState::Standby)).unwrap();
            assert_eq!(last_event(), Event::PowerChanged { node: 1, state: PowerState::Standby });
            assert_eq!((facts(1).online, facts(1).service), (false, Service::Suspended));
            pass(100 * DAY_MS);
            assert!(matches!(live(1).state, LiveState::Standby { .. }), "sleep is no silence");
            assert!(swept().is_empty());
            report(machine.heartbeat()).unwrap();
            assert_eq!(last_event(), Event::PowerChanged { node: 1, state: PowerState::Up });
            assert!(facts(1).online);
            assert_eq!(Nodes::node_uptime(1, 656), 0, "sleep is no uptime");
            machine.beat(1);
            assert!(facts(1).online);
        });
    }

    #[test]
    fn a_node_that_reports_waking_up_must_send_heartbeats() {
        run_with_node(|mut machine| {
            request(PowerState::Standby);
            report(machine.power(PowerState::Standby)).unwrap();
            pass(DAY_MS);
            report(machine.power(PowerState::Up)).unwrap();
            pass(3 * INTERVAL);
            assert!(facts(1).online);
            pass(1);
            assert!(!facts(1).online);
        });
    }

    #[test]
    fn sleep_is_refused_unless_requested_empty_and_online() {
        run_with_node(|mut machine| {
            assert_refused(machine.power(PowerState::Standby), Refusal::PowerRefused);
            assert_refused(machine.power(PowerState::Up), Refusal::PowerRefused);
            request(PowerState::Standby);
            Nodes::reserve(1, &small()).unwrap();
            assert_refused(machine.power(PowerState::Standby), Refusal::PowerRefused);
            Nodes::release(1, &small());
            // Sleep ends no outage.
            pass(DAY_MS);
            assert_refused(machine.power(PowerState::Standby), Refusal::PowerRefused);
            machine.beat(3);
            let good = machine.power(PowerState::Standby);
            let mut forger = Machine { key: Machine::key(9), id: 1, sequence: 99, nonce: 1 };
            assert_refused(forger.power(PowerState::Standby), Refusal::NodeSignatureWrong);
            forger.id = 7;
            assert_refused(forger.power(PowerState::Standby), Refusal::NodeUnknown);
            report(good.clone()).unwrap();
            assert_refused(good, Refusal::SequenceOld);
            assert_refused(machine.power(PowerState::Up), Refusal::TooSoon);
        });
    }

    #[test]
    fn a_node_with_contracts_is_not_sent_to_sleep() {
        run_with_node(|_| {
            Nodes::reserve(1, &small()).unwrap();
            let call_for = |node, target| Call::set_power_target { node, target };
            assert_fails(FARMER, call_for(1, PowerState::Standby), Failure::NodeInUse);
            request(PowerState::Up);
            Nodes::release(1, &small());
            assert_fails(STRANGER, call_for(1, PowerState::Standby), Failure::NotFarmer);
            assert_fails(FARMER, call_for(7, PowerState::Standby), Failure::UnknownNode);
        });
    }

    #[test]
    fn a_node_that_nobody_could_wake_is_not_sent_to_sleep() {
        run_with_newcomer(|_| {
            let call_for = |target| Call::set_power_target { node: 1, target };
            assert_fails(FARMER, call_for(PowerState::Standby), Failure::PowerNotServed);
            Details::<Test>::insert(1, MachineDetails::from(DetailsPayload::default()));
            assert_fails(FARMER, call_for(PowerState::Standby), Failure::PowerNotServed);
            request(PowerState::Up);
        });
    }

    #[test]
    fn a_clone_of_a_sleeping_machine_is_detected() {
        run_with_node(|mut machine| {
            for nonce in [1, 2] {
                pass(INTERVAL);
                machine.beat_as(nonce);
            }
            request(PowerState::Standby);
            report(machine.power(PowerState::Standby)).unwrap();
            pass(INTERVAL);
            machine.beat_as(1);
            assert!(outage(1).cloned);
        });
    }
}

mod draining {
    use super::*;

    fn drain(deadline: u64) -> Call {
        Call::drain { node: 1, deadline, reason: text("the rack moves") }
    }

    fn in_a_week() -> u64 {
        MockClock::grid_now() + DRAIN_NOTICE
    }

    #[test]
    fn contracts_end_at_the_deadline_and_none_is_added() {
        run_with_node(|mut machine| {
            Nodes::reserve(1, &small()).unwrap();
            let deadline = in_a_week();
            assert_ok!(call(FARMER, drain(deadline)));
            assert_eq!(last_event(), Event::DrainAnnounced { node: 1, deadline });
            assert!(facts(1).draining);
            assert_eq!(Nodes::reserve(1, &small()), Err(Failure::NodeDraining.into()));
            assert_ok!(Nodes::resize(1, &small(), &capacity()));
            assert_ok!(Nodes::resize(1, &capacity(), &small()));
            machine.beat(DRAIN_NOTICE / INTERVAL - 1);
            pass(INTERVAL - 1);
            assert_eq!((facts(1).service, swept()), (Service::Running, vec![]));
            pass(1);
            assert_eq!(facts(1).service, Service::Ended(ClosingReason::Drained));
            assert_eq!(last_event(), Event::DrainEnded { node: 1 });
            assert_eq!(swept(), [1]);
            Nodes::release(1, &small());
            assert_eq!(Nodes::reserve(1, &small()), Err(Failure::NodeDraining.into()));
        });
    }

    #[test]
    fn a_drain_is_announced_and_moved_with_notice() {
        run_with_node(|_| {
            let too_soon = drain(in_a_week() - 1);
            assert_fails(FARMER, too_soon, Failure::DrainTooSoon);
            assert_fails(FARMER, drain(0), Failure::DrainTooSoon);
            assert_fails(STRANGER, drain(in_a_week()), Failure::NotFarmer);
            let unreadable = DrainReason::truncate_from(vec![0xff]);
            let deadline = in_a_week();
            let bad = Call::drain { node: 1, deadline, reason: unreadable };
            assert_fails(FARMER, bad, Failure::TextInvalid);
            let nobody = Call::drain { node: 7, deadline, reason: text("") };
            assert_fails(FARMER, nobody, Failure::UnknownNode);

            assert_ok!(call(FARMER, drain(30 * DAY_MS)));
            assert_ok!(call(FARMER, drain(40 * DAY_MS)));
            assert_ok!(call(FARMER, drain(in_a_week())));
            pass(DAY_MS);
            assert_fails(FARMER, drain(in_a_week() - DAY_MS), Failure::DrainTooSoon);
            assert_ok!(call(FARMER, drain(u64::MAX)));
            pass(100 * DAY_MS);
            assert!(!Armed::get().is_empty());
            assert_ne!(facts(1).service, Service::Ended(ClosingReason::Drained));
        });
    }

    #[test]
    fn a_cancelled_drain_ends_no_contract() {
        run_with_node(|mut machine| {
            assert_fails(FARMER, Call::cancel_drain { node: 1 }, Failure::NotDraining);
            assert_ok!(call(FARMER, drain(in_a_week())));
            assert_fails(STRANGER, Call::cancel_drain { node: 1 }, Failure::NotFarmer);
            assert_fails(FARMER, Call::cancel_drain { node: 7 }, Failure::UnknownNode);
            assert_ok!(call(FARMER, Call::cancel_drain { node: 1 }));
            assert_eq!(last_event(), Event::DrainCancelled { node: 1 });
            machine.beat(DRAIN_NOTICE / INTERVAL + 1);
            assert_eq!((facts(1).service, swept()), (Service::Running, vec![]));
            assert_ok!(Nodes::reserve(1, &small()));
            Nodes::release(1, &small());
            // Also when its deadline is over.
            assert_ok!(call(FARMER, drain(in_a_week())));
            machine.beat(DRAIN_NOTICE / INTERVAL);
            assert_eq!(swept(), [1]);
            assert_ok!(call(FARMER, Call::cancel_drain { node: 1 }));
            assert_eq!(facts(1).service, Service::Running);
        });
    }

    #[test]
    fn an_offline_node_is_drained_too() {
        run_with_node(|_| {
            assert_ok!(call(FARMER, drain(in_a_week())));
            pass(DRAIN_NOTICE);
            assert_eq!(facts(1).service, Service::Ended(ClosingReason::Drained));
        });
    }
}

mod settings {
    use super::*;

    fn ask(fee: u64) {
        assert_ok!(call(FARMER, Call::set_extra_fee { node: 1, fee }));
    }

    #[test]
    fn a_higher_fee_counts_after_notice_and_a_lower_one_at_once() {
        run_with_node(|_| {
            ask(100);
            let from = MockClock::grid_now() + FEE_NOTICE;
            assert_eq!(last_event(), Event::ExtraFeeSet { node: 1, fee: 100, from });
            pass(FEE_NOTICE - 1);
            assert_eq!(facts(1).extra_fee, 0, "the fee of a plan holds until its block");
            pass(1);
            assert_eq!(facts(1).extra_fee, 100);
            ask(40);
            assert_eq!(facts(1).extra_fee, 40);
            ask(60);
            assert_eq!(facts(1).extra_fee, 40);
        });
    }

    #[test]
    fn a_lower_maximum_binds_fees_set_before() {
        run_with_node(|_| {
            let ask_for = |node, fee| Call::set_extra_fee { node, fee };
            assert_fails(FARMER, ask_for(1, 1_001), Failure::ExtraFeeAboveMaximum);
            assert_fails(FARMER, ask_for(1, u64::MAX), Failure::ExtraFeeAboveMaximum);
            assert_fails(STRANGER, ask_for(1, 1), Failure::NotFarmer);
            assert_fails(FARMER, ask_for(7, 1), Failure::UnknownNode);
            ask(1_000);
            pass(FEE_NOTICE);
            MaxExtraFee::set(300);
            assert_eq!(facts(1).extra_fee, 300);
        });
    }

    #[test]
    fn a_node_is_dedicated_by_itself_or_with_its_farm() {
        run_with_node(|_| {
            let set = |node, dedicated| Call::set_dedicated { node, dedicated };
            assert_fails(STRANGER, set(1, true), Failure::NotFarmer);
            assert_fails(FARMER, set(7, true), Failure::UnknownNode);
            assert_ok!(call(FARMER, set(1, true)));
            assert_eq!(last_event(), Event::DedicatedSet { node: 1, dedicated: true });
            assert!(facts(1).dedicated);
            assert_ok!(call(FARMER, set(1, false)));
            assert!(!facts(1).dedicated);
            DedicatedFarm::set(Some(FARM));
            assert!(facts(1).dedicated && Nodes::node_offer(1).unwrap().dedicated);
        });
    }

    #[test]
    fn a_location_is_a_place_on_earth() {
        run_with_node(|_| {
            let gent =
                Location { latitude: 51_053_800, longitude: 3_725_000, country: *b"BE", city: text("Gent") };
            let set = |node, change: fn(&mut Location)| {
                let mut location = gent.clone();
                change(&mut location);
                Call::set_location { node, location }
            };
            let out = Failure::CoordinatesOutOfRange;
            assert_fails(FARMER, set(1, |l| l.latitude = 90_000_001), out);
            assert_fails(FARMER, set(1, |l| l.latitude = i32::MIN), Failure::CoordinatesOutOfRange);
            assert_fails(FARMER, set(1, |l| l.longitude = -180_000_001), Failure::CoordinatesOutOfRange);
            assert_fails(FARMER, set(1, |l| l.country = *b"be"), Failure::CountryInvalid);
            assert_fails(FARMER, set(1, |l| l.country = [0; 2]), Failure::CountryInvalid);
            assert_fails(FARMER, set(1, |l| l.city = text("Ge\u{7}nt")), Failure::TextInvalid);
            assert_fails(STRANGER, set(1, |_| ()), Failure::NotFarmer);
            assert_fails(FARMER, set(7, |_| ()), Failure::UnknownNode);
            assert_ok!(call(FARMER, set(1, |l| (l.latitude, l.longitude) = (-90_000_000, 180_000_000))));
            assert_ok!(call(FARMER, set(1, |_| ())));
            assert_eq!(Locations::<Test>::get(1), Some(gent.clone()));
            assert_eq!(last_event(), Event::LocationSet { node: 1 });
        });
    }

    #[test]
    fn a_public_config_is_checked_and_can_be_removed() {
        run_with_node(|_| {
            let good = PublicConfig {
                ipv4: Some(Interface { address: [185, 69, 166, 10], prefix: 24, gateway: [185, 69, 166, 1] }),
                ipv6: None,
                domain: Some(text("gent01.example")),
                wireguard_ports: Some(Ports { first: 51_820, last: 51_920 }),
            };
            let set = |node, config| Call::set_public_config { node, config };
            let private = PublicConfig {
                ipv4: good.ipv4.map(|ip| Interface { address: [10; 4], ..ip }),
                ..good.clone()
            };
            assert_fails(FARMER, set(1, Some(private)), Failure::AddressInvalid);
            let nowhere = PublicConfig { domain: Some(text("localhost")), ..good.clone() };
            assert_fails(FARMER, set(1, Some(nowhere)), Failure::DomainInvalid);
            let backwards =
                PublicConfig { wireguard_ports: Some(Ports { first: 2, last: 1 }), ..good.clone() };
            assert_fails(FARMER, set(1, Some(backwards)), Failure::PortsInvalid);
            assert_fails(STRANGER, set(1, Some(good.clone())), Failure::NotFarmer);
            assert_fails(FARMER, set(7, Some(good.clone())), Failure::UnknownNode);
            assert_ok!(call(FARMER, set(1, Some(good.clone()))));
            assert_eq!(PublicConfigs::<Test>::get(1), Some(good));
            assert_eq!(last_event(), Event::PublicConfigSet { node: 1 });
            assert_ok!(call(FARMER, set(1, None)));
            assert_eq!(PublicConfigs::<Test>::get(1), None);
        });
    }
}

mod capacity {
    use super::*;

    #[test]
    fn capacity_is_never_oversold_and_comes_back() {
        run_with_node(|_| {
            assert_eq!(Nodes::reserve(7, &small()), Err(Failure::UnknownNode.into()));
            let more = Resources { cru: 101, ..small() };
            assert_eq!(Nodes::reserve(1, &more), Err(Failure::NotEnoughCapacity.into()));
            assert_ok!(Nodes::reserve(1, &small()));
            let extreme = Resources { cru: u64::MAX, ..small() };
            assert_eq!(Nodes::reserve(1, &extreme), Err(Failure::NotEnoughCapacity.into()));
            assert_ok!(Nodes::reserve(1, &small()));
            assert_ok!(Nodes::reserve(1, &small()));
            assert_eq!(Nodes::reserve(1, &small()), Err(Failure::TooManyContracts.into()));
            assert_eq!((facts(1).contracts, Nodes::node_free(1).unwrap().cru), (3, 97));
            for _ in 0..3 {
                Nodes::release(1, &small());
            }
            assert_eq!((facts(1).contracts, Nodes::node_free(1)), (0, Some(capacity())));
            assert_eq!(Nodes::node_free(7), None);
        });
    }

    #[test]
    fn a_reservation_grows_within_what_is_free_and_always_shrinks() {
        run_with_node(|_| {
            assert_ok!(Nodes::reserve(1, &small()));
            let half = Resources { cru: 50, ..small() };
            assert_ok!(Nodes::reserve(1, &half));
            let more = Resources { cru: 51, ..small() };
            assert_ok!(Nodes::resize(1, &small(), &half));
            assert_eq!(Nodes::resize(1, &half, &more), Err(Failure::NotEnoughCapacity.into()));
            let extreme = Resources { hru: u64::MAX, ..half };
            assert_eq!(Nodes::resize(1, &half, &extreme), Err(Failure::NotEnoughCapacity.into()));
            assert_eq!(Nodes::resize(7, &half, &small()), Err(Failure::UnknownNode.into()));
            assert_ok!(Nodes::resize(1, &half, &small()));
            assert_eq!((facts(1).contracts, Nodes::node_free(1).unwrap().cru), (2, 49));
            Nodes::release(1, &small());
            Nodes::release(1, &half);
        });
    }

    #[test]
    fn refunds_of_complaints_fade_in_90_days() {
        run_with_node(|_| {
            let seen = || Nodes::node_offer(1).unwrap().not_delivered;
            Nodes::count_not_delivered(1, 30);
            Nodes::count_not_delivered(7, 30);
            assert_eq!((seen(), NotDelivered::<Test>::contains_key(7)), (30, false));
            NotDelivered::<Test>::mutate(1, |sum| sum.at = MockClock::grid_now());
            MockClock::advance(crate::UNDELIVERED_FADES_IN / 3);
            assert_eq!(seen(), 20);
            Nodes::count_not_delivered(1, 10);
            assert_eq!(seen(), 30, "what was left begins anew");
            MockClock::advance(crate::UNDELIVERED_FADES_IN);
            assert_eq!(seen(), 0);
            Nodes::count_not_delivered(1, u128::MAX);
            Nodes::count_not_delivered(1, u128::MAX);
            assert_eq!(seen(), u128::MAX);
        });
    }
}

mod search {
    use super::*;

    fn find(filter: NodeFilter) -> Vec<NodeId> {
        let page = Nodes::find_nodes(filter, None, 100);
        assert_eq!(page.next, None);
        page.items.into_iter().map(|offer| offer.node).collect()
    }

    #[test]
    fn nodes_are_found_by_what_they_offer() {
        run(|| {
            let mut machines = [1, 2, 3, 4].map(Machine::join);
            Nodes::reserve(2, &Resources { cru: 60, ..small() }).unwrap();
            report(register(OTHER_FARM, &machines[2].key, capacity())).unwrap();
            let location = Location { latitude: 0, longitude: 0, country: *b"BE", city: text("") };
            assert_ok!(call(FARMER, Call::set_location { node: 1, location }));
            crate::Nodes::<Test>::mutate(1, |node| node.as_mut().unwrap().certified = Some(capacity()));
            pass(3 * INTERVAL);
            machines[..3].iter_mut().for_each(|machine| report(machine.heartbeat()).unwrap());
            pass(1);

            assert_eq!(find(NodeFilter::default()), [1, 2, 3], "node 4 is offline");
            assert_eq!(find(NodeFilter { unavailable: true, ..Default::default() }), [1, 2, 3, 4]);
            let free = Resources { cru: 50, ..Resources::ZERO };
            assert_eq!(find(NodeFilter { free, ..Default::default() }), [1, 3]);
            assert_eq!(find(NodeFilter { farm: Some(OTHER_FARM), ..Default::default() }), [3]);
            assert_eq!(find(NodeFilter { country: Some(*b"BE"), ..Default::default() }), [1]);
            assert!(find(NodeFilter { country: Some(*b"NL"), ..Default::default() }).is_empty());
            assert_eq!(find(NodeFilter { certified: true, ..Default::default() }), [1]);
            assert_eq!(find(NodeFilter { rentable: true, ..Default::default() }), [1, 3]);

            let deadline = MockClock::grid_now() + DRAIN_NOTICE;
            assert_ok!(call(FARMER, Call::drain { node: 1, deadline, reason: text("") }));
            assert_eq!(find(NodeFilter::default()), [2, 3]);
            let rentable = NodeFilter { rentable: true, unavailable: true, ..Default::default() };
            assert_eq!(find(rentable), [3, 4]);
            let offer = Nodes::node_offer(1).unwrap();
            assert_eq!((offer.farm, offer.total, offer.free), (FARM, capacity(), capacity()));
            assert!(offer.draining && offer.online && offer.certified);
            assert_eq!((offer.country, Nodes::node_offer(7)), (Some(*b"BE"), None));
            Nodes::release(2, &Resources { cru: 60, ..small() });
        });
    }

    #[test]
    fn pages_follow_each_other_and_scan_500_ids_at_most() {
        run(|| {
            Machine::join(1);
            Machine::join(2);
            LastNodeId::<Test>::put(1_200);
            Machine::join(3);
            let all = NodeFilter::default();
            let page = |after, limit| {
                let page = Nodes::find_nodes(all.clone(), after, limit);
                (page.items.into_iter().map(|offer| offer.node).collect::<Vec<_>>(), page.next)
            };
            assert_eq!(page(None, 1), (vec![1], Some(1)));
            assert_eq!(page(None, 0), (vec![1], Some(1)), "a page of nothing would lead nowhere");
            assert_eq!(page(Some(1), 10), (vec![2], Some(501)));
            assert_eq!(page(Some(501), 10), (vec![], Some(1_001)), "an empty page leads on");
            assert_eq!(page(Some(1_001), 1), (vec![1_201], None));
            assert_eq!(page(Some(1_001), u32::MAX), (vec![1_201], None));
            assert_eq!(page(Some(u32::MAX), 10), (vec![], None));
        });
    }

    #[test]
    fn an_empty_directory_has_one_empty_page() {
        run(|| assert!(find(NodeFilter::default()).is_empty()));
    }
}

#[test]
fn people_and_machines_have_calls_of_their_own() {
    use frame_support::traits::Authorize;
    use sp_runtime::transaction_validity::TransactionSource;
    run_with_node(|mut machine| {
        pass(INTERVAL);
        for machines in [
            machine.heartbeat(),
            machine.details(details_of(capacity(), 0)),
            machine.power(PowerState::Up),
            register(FARM, &Machine::key(2), capacity()),
        ] {
            assert_fails(FARMER, machines, BadOrigin);
        }
        let peoples = RuntimeCall::Nodes(Call::remove { node: 1 });
        assert!(peoples.authorize(TransactionSource::External).is_none());
    });
}

/// A call of a machine that `authorize` hasn't checked is a bug of the runtime: tests panic, production logs
/// it.
#[test]
#[should_panic = "authorize_heartbeat has read the last heartbeat"]
fn a_heartbeat_that_was_not_authorised_is_a_bug() {
    run(|| Nodes::do_heartbeat(7, 1, HeartbeatPayload { boot_nonce: 1 }));
}
