// SPDX-License-Identifier: Apache-2.0
//! What becomes of contracts when their node falls silent, sleeps, is drained or shares its key.

use crate::chain::*;
use frame_support::{assert_ok, traits::Get};
use sp_runtime::traits::Dispatchable;
use tfgrid_primitives::{
    Deadline, Refusal, Resources,
    report::PowerState,
    traits::{Clock as _, NodeDirectory, ServeDeadlines, Service},
    units::TFT,
    views::{ClosingReason, ContractStatus},
};
use tfgrid_runtime::{
    parameters::{DrainNotice, LongOffline},
    *,
};

type Call = pallet_grid_nodes::Call<Runtime>;
type Error = pallet_grid_nodes::Error<Runtime>;

fn service() -> Service {
    <Nodes as NodeDirectory>::facts(1).unwrap().service
}

/// Bob deploys so many contracts on the machine.
fn deploy(machine: &mut Machine, contracts: u64) {
    for id in 1..=contracts {
        assert_ok!(call(Bob, create(1, Resources { cru: 0, mru: 0, sru: 1, ..small() })));
        report(machine.deployed(id, b"{}")).unwrap();
        if id % 5 == 0 {
            report(machine.heartbeat()).unwrap();
        }
    }
}

fn drain(deadline: u64) -> Call {
    Call::drain { node: 1, deadline, reason: b"the rack moves".to_vec().try_into().unwrap() }
}

#[test]
fn early_heartbeat_costs_contracts_yet_to_stop_no_refund() {
    run_with_credit(TFT, |mut machine, bob| {
        deploy(&mut machine, 60);
        machine.serve(4 * heartbeat_ms());
        report(machine.heartbeat()).unwrap();
        let served = Billing::settled_payer(bob).credit.whole();
        pass(3 * heartbeat_ms());
        assert!(Nodes::is_online(1));
        // In the first block of the outage sixteen contracts stop; the heartbeat comes in the next.
        block(vec![]);
        assert!(!Nodes::is_online(1));
        report(machine.heartbeat()).unwrap();
        pass(5 * SLOT_DURATION);
        assert_eq!(Billing::settled_payer(bob).charged.usd, 0, "all are suspended");
        let credit = Billing::settled_payer(bob).credit.whole();
        assert!(credit.abs_diff(served) <= 60, "the whole silence is paid back: {credit} of {served}");
    });
}

#[test]
fn deployment_on_a_returning_node_is_charged_once_it_is_online() {
    run_with_node(|mut machine, bob| {
        assert_ok!(call(Bob, create(1, small())));
        pass(4 * heartbeat_ms());
        assert!(!Nodes::is_online(1));
        report(machine.deployed(1, b"{}")).unwrap();
        assert!(matches!(Contracts::status_of(1), Some(ContractStatus::NodeOffline { .. })));
        for _ in 0..2 {
            report(machine.heartbeat()).unwrap();
            pass(heartbeat_ms());
        }
        assert_eq!(credit(bob), CREDIT);
        report(machine.heartbeat()).unwrap();
        assert!(Nodes::is_online(1));
        machine.serve(2 * heartbeat_ms());
        assert!(credit(bob) < CREDIT);
    });
}

#[test]
fn drained_node_takes_no_contracts_and_closes_all_at_deadline() {
    run_with_node(|mut machine, _| {
        deploy(&mut machine, 20);
        let deadline = Clock::grid_now() + DrainNotice::get();
        assert_fails(Bob, drain(deadline), Error::NotFarmer);
        assert_fails(Alice, drain(deadline - 1), Error::DrainTooSoon);
        assert_ok!(call(Alice, drain(deadline)));
        assert_fails(Bob, create(1, small()), Error::NodeDraining);
        machine.serve(DrainNotice::get() - 2 * SLOT_DURATION);
        assert!(matches!(Contracts::status_of(20), Some(ContractStatus::Deployed { .. })));
        machine.serve(6 * SLOT_DURATION);
        for id in 1..=20 {
            let closed = pallet_grid_contracts::ClosedContracts::<Runtime>::get(id).unwrap();
            assert_eq!(closed.reason, ClosingReason::Drained);
        }
        assert_fails(Bob, create(1, small()), pallet_grid_contracts::Error::<Runtime>::NodeOffline);
        assert_ok!(call(Alice, Call::cancel_drain { node: 1 }));
        assert_ok!(call(Bob, create(1, small())));
    });
}

#[test]
fn a_drain_is_moved_with_notice_only_and_cancelled_without() {
    run_with_node(|mut machine, _| {
        let notice = DrainNotice::get();
        let now = Clock::grid_now();
        assert_fails(Alice, Call::cancel_drain { node: 1 }, Error::NotDraining);
        assert_ok!(call(Alice, drain(now + 3 * notice)));
        assert_ok!(call(Alice, drain(now + 2 * notice)));
        assert_fails(Alice, drain(now + notice - 1), Error::DrainTooSoon);
        machine.serve(notice);
        assert_fails(Alice, drain(now + 2 * notice - 1), Error::DrainTooSoon);
        assert_ok!(call(Alice, Call::cancel_drain { node: 1 }));
        machine.serve(2 * notice);
        assert_eq!(service(), Service::Running);
        assert_ok!(call(Alice, drain(u64::MAX)));
    });
}

#[test]
fn cloned_node_serves_nobody_until_its_farmer_clears_it() {
    run_with_node(|mut machine, bob| {
        deploy(&mut machine, 5);
        for nonce in [1, 2, 1] {
            pass(heartbeat_ms());
            report(machine.heartbeat_of(nonce)).unwrap();
        }
        System::assert_has_event(pallet_grid_nodes::Event::<Runtime>::NodeCloned { node: 1 }.into());
        pass(2 * SLOT_DURATION);
        assert_eq!(Billing::settled_payer(bob).charged.usd, 0, "all are suspended");
        machine.serve(6 * heartbeat_ms());
        assert!(!Nodes::is_online(1));

        assert_fails(Bob, Call::clear_clone { node: 1 }, Error::NotFarmer);
        assert_ok!(call(Alice, Call::clear_clone { node: 1 }));
        assert_fails(Alice, Call::clear_clone { node: 1 }, Error::NotCloned);
        machine.serve(8 * heartbeat_ms());
        assert_eq!(service(), Service::Running);
        assert!(Billing::settled_payer(bob).charged.usd > 0);
    });
}

#[test]
fn a_sleeping_node_is_neither_offline_nor_rented_out() {
    run_with_node(|mut machine, _| {
        assert_refused(machine.power(PowerState::Standby), Refusal::PowerRefused);
        let target = PowerState::Standby;
        assert_ok!(call(Alice, Call::set_power_target { node: 1, target }));
        report(machine.power(target)).unwrap();
        pass(10 * heartbeat_ms());
        let fell_silent = pallet_grid_nodes::Event::<Runtime>::NodeOffline { node: 1 }.into();
        assert!(System::events().into_iter().all(|record| record.event != fell_silent));
        assert_fails(Bob, create(1, small()), pallet_grid_contracts::Error::<Runtime>::NodeOffline);

        report(machine.heartbeat()).unwrap();
        assert_eq!(service(), Service::Running);
        assert_ok!(call(Bob, create(1, small())));
        let sleep = Call::set_power_target { node: 1, target };
        assert_fails(Alice, sleep, Error::NodeInUse);
        pass(heartbeat_ms());
        assert_refused(machine.power(target), Refusal::PowerRefused);
    });
}

#[test]
fn node_that_returns_amid_closing_keeps_the_other_contracts() {
    run_with_node(|mut machine, _| {
        deploy(&mut machine, 40);
        while service() != Service::Suspended {
            block(vec![]);
        }
        report(machine.heartbeat()).unwrap();
        pass(heartbeat_ms());
        report(machine.heartbeat()).unwrap();
        pass(heartbeat_ms());
        // A block with time for one step of the sweep, and the third heartbeat in it.
        let late = Clock::grid_now() + LongOffline::get();
        assert!(Nodes::serve(Deadline::Silence(1), late).is_some());
        assert_eq!(service(), Service::Ended(ClosingReason::NodeSilent));
        assert_eq!(Contracts::serve(Deadline::Sweep(1), late), Some(late));
        let heartbeat: RuntimeCall = machine.heartbeat().into();
        assert_ok!(heartbeat.dispatch(frame_system::RawOrigin::None.into()));
        assert!(Nodes::is_online(1));

        machine.serve(2 * heartbeat_ms());
        let closed =
            (1..=40).filter(|id| pallet_grid_contracts::ClosedContracts::<Runtime>::contains_key(id)).count();
        assert_eq!(closed, pallet_grid_contracts::SWEEP_STEP as usize);
        let open = (1..=40).find(|id| pallet_grid_contracts::Contracts::<Runtime>::contains_key(id)).unwrap();
        assert!(matches!(Contracts::status_of(open), Some(ContractStatus::Deployed { .. })));
    });
}

#[test]
fn node_location_and_public_config_are_validated() {
    use pallet_grid_nodes::{Location, PublicConfig, public_config::Ports};
    run_with_node(|_, _| {
        let place = Location { latitude: 0, longitude: 0, country: *b"BE", city: Default::default() };
        let locate = |location| Call::set_location { node: 1, location };
        let pole = Location { latitude: i32::MAX, ..place.clone() };
        assert_fails(Alice, locate(pole), Error::CoordinatesOutOfRange);
        let nowhere = Location { country: *b"b1", ..place.clone() };
        assert_fails(Alice, locate(nowhere), Error::CountryInvalid);
        let bell = Location { city: vec![7].try_into().unwrap(), ..place.clone() };
        assert_fails(Alice, locate(bell), Error::TextInvalid);
        assert_fails(Bob, locate(place.clone()), Error::NotFarmer);
        assert_ok!(call(Alice, locate(place)));

        let configure = |config| Call::set_public_config { node: 1, config: Some(config) };
        let domain = Some(b"-.example".to_vec().try_into().unwrap());
        let named = PublicConfig { domain, ..Default::default() };
        assert_fails(Alice, configure(named), Error::DomainInvalid);
        let wireguard_ports = Some(Ports { first: 0, last: u16::MAX });
        let ported = PublicConfig { wireguard_ports, ..Default::default() };
        assert_fails(Alice, configure(ported), Error::PortsInvalid);
        let address = pallet_grid_nodes::public_config::Interface {
            address: [192, 168, 0, 2],
            prefix: 24,
            gateway: [192, 168, 0, 1],
        };
        let private = PublicConfig { ipv4: Some(address), ..Default::default() };
        assert_fails(Alice, configure(private), Error::AddressInvalid);
        assert_fails(Bob, configure(PublicConfig::default()), Error::NotFarmer);
        assert_ok!(call(Alice, configure(PublicConfig::default())));
        assert_eq!(Nodes::node_offer(1).unwrap().country, Some(*b"BE"));
    });
}
