// SPDX-License-Identifier: Apache-2.0
//! Nodes farm: what heartbeats, details and certifiers say, through to what is minted.

use crate::chain::*;
use frame_support::{
    assert_ok,
    traits::fungible::{Inspect, InspectHold},
};
use pallet_grid_farming::{FarmingPolicy, HoldReason};
use sp_runtime::traits::Dispatchable;
use tfgrid_primitives::{
    NodeId,
    farming::{PERIOD_SECONDS, period_start},
    traits::Clock as _,
    units::{HOUR_MS, SECOND_MS, TFT},
};
use tfgrid_runtime::*;

fn govern(call: impl Into<RuntimeCall>) {
    assert_ok!(call.into().dispatch(RuntimeOrigin::root()).map(drop).map_err(|failure| failure.error));
}

fn bond() -> Balance {
    FarmingPolicy::standard().bond
}

/// The chain halts until the next period begins.
pub fn next_period() {
    let start = period_start(Farming::period_now() + 1) * SECOND_MS;
    pallet_timestamp::Now::<Runtime>::put(start.next_multiple_of(SLOT_DURATION));
    block(vec![]);
}

/// The machine is up for an hour, in as few blocks and heartbeats as keep it online.
pub fn an_hour(machine: &mut Machine) {
    let until = Timestamp::get() + HOUR_MS;
    while Timestamp::get() < until {
        pallet_timestamp::Now::<Runtime>::put(Timestamp::get() + 6 * SLOT_DURATION);
        // Two, because the block in which a session ends has no weight left to step grid time.
        block(vec![]);
        block(vec![]);
        report(machine.heartbeat()).unwrap();
    }
}

/// Any uptime earns something.
fn without_minimum() {
    let policy = FarmingPolicy { min_uptime_permille: 0, automatic: true, ..FarmingPolicy::standard() };
    govern(pallet_grid_farming::Call::set_policy { policy });
}

fn rewards(node: NodeId) -> Vec<Balance> {
    Farming::node_rewards(node).iter().map(|reward| reward.tft).collect()
}

#[test]
fn development_chain_pays_a_machines_farmer_a_period_later() {
    run(|| {
        without_minimum();
        farm_with_ticket(1);
        let mut machine = Machine::join(1);
        assert_eq!(held(Alice, HoldReason::Bond), bond());
        report(machine.details(capacity())).unwrap();
        an_hour(&mut machine);
        let period = Farming::period_now();
        assert!(Nodes::node_uptime(1, period) > HOUR_MS * 9 / 10);

        // A chain that halts counts no uptime, and the first heartbeat after it closes the period.
        next_period();
        assert!(rewards(1).is_empty());
        report(machine.heartbeat()).unwrap();
        let [reward] = rewards(1)[..] else { panic!("one period brings one reward") };
        // 2 CU × 2400 + 0.4 SU × 1000 = 5200 mUSD at 0.05 USD, for one thousandth of the period.
        assert_eq!(reward, 5_200 * TFT / 50 / 1_000);

        let claim = pallet_grid_farming::Call::claim { node: 1, period };
        assert_fails(Bob, claim.clone(), pallet_grid_farming::Error::<Runtime>::NotMature);
        next_period();
        let (alice, issued) = (Alice.to_account_id(), Balances::total_issuance());
        let before = Balances::balance(&alice);
        assert_ok!(call(Bob, claim));
        assert_eq!(Balances::balance(&alice), before + reward);
        assert_eq!(Balances::total_issuance(), issued + reward);
    });
}

#[test]
fn a_cloned_node_earns_nothing_while_it_is_cloned() {
    run(|| {
        without_minimum();
        farm_with_ticket(1);
        let mut machine = Machine::join(1);
        report(machine.details(capacity())).unwrap();
        for nonce in [1, 2, 1] {
            pass(heartbeat_ms());
            report(machine.heartbeat_of(nonce)).unwrap();
        }
        an_hour(&mut machine);
        next_period();
        report(machine.heartbeat()).unwrap();
        assert!(rewards(1).is_empty());
    });
}

#[test]
fn a_machine_that_does_not_say_what_it_is_earns_nothing() {
    run(|| {
        without_minimum();
        farm_with_ticket(1);
        let mut machine = Machine::join(1);
        an_hour(&mut machine);
        next_period();
        report(machine.heartbeat()).unwrap();
        assert!(rewards(1).is_empty());
    });
}

#[test]
fn bond_moves_with_the_twin_and_is_released_with_the_node() {
    run(|| {
        farm_with_ticket(1);
        Machine::join(1);
        let (alice, bob) = (Alice.to_account_id(), Bob.to_account_id());
        assert_ok!(call(Alice, pallet_grid_twins::Call::offer_transfer { to: bob.clone() }));
        assert_ok!(call(Bob, pallet_grid_twins::Call::accept_transfer { twin: 1 }));
        assert_eq!((held(Alice, HoldReason::Bond), held(Bob, HoldReason::Bond)), (0, bond()));
        assert_eq!(Balances::total_balance_on_hold(&alice), 0);
        assert_ok!(call(Bob, pallet_grid_nodes::Call::remove { node: 1 }));
        assert_eq!(held(Bob, HoldReason::Bond), 0);
        assert_eq!(Farming::node_enrolment(1), None);
    });
}

#[test]
fn a_farm_stays_until_the_bonds_of_its_nodes_are_withdrawn() {
    run(|| {
        without_minimum();
        farm_with_ticket(1);
        let mut machine = Machine::join(1);
        report(machine.details(capacity())).unwrap();
        an_hour(&mut machine);
        next_period();
        report(machine.heartbeat()).unwrap();
        assert_ok!(call(Alice, pallet_grid_nodes::Call::remove { node: 1 }));
        let close = pallet_grid_farms::Call::close_ticket { ticket: sp_core::Pair::public(&ticket()).0 };
        assert_ok!(call(Alice, close));
        let remove = pallet_grid_farms::Call::remove { farm: 1 };
        assert_fails(Alice, remove.clone(), pallet_grid_farms::Error::<Runtime>::FarmHasEarnings);
        next_period();
        assert_ok!(call(Bob, pallet_grid_farming::Call::withdraw { node: 1 }));
        assert_ok!(call(Alice, remove));
    });
}

#[test]
fn periods_are_those_of_the_calendar() {
    run(|| {
        let now = Clock::unix_now();
        assert_eq!(u64::from(Farming::period_now()), now / PERIOD_SECONDS);
        next_period();
        assert!(Clock::unix_now() % PERIOD_SECONDS < 10);
    });
}
