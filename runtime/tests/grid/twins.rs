// SPDX-License-Identifier: Apache-2.0
//! Who owns a twin, and what moves with it.

use crate::chain::*;
use frame_support::{
    assert_ok,
    traits::fungible::{InspectHold, Mutate},
};
use sp_core::Pair;
use sp_keyring::Sr25519Keyring;
use sp_runtime::Weight;
use tfgrid_primitives::{traits::TwinDirectory, units::TFT};
use tfgrid_runtime::*;

/// All that is on hold on an account.
fn on_hold(account: &AccountId) -> Balance {
    Balances::total_balance_on_hold(account)
}

fn in_use() -> pallet_grid_twins::Error<Runtime> {
    pallet_grid_twins::Error::TwinInUse
}

fn offer(who: Sr25519Keyring, to: &AccountId) {
    assert_ok!(call(who, pallet_grid_twins::Call::offer_transfer { to: to.clone() }));
}

/// The account of which Bob and Charlie dispose together.
fn of_both() -> AccountId {
    let mut both = [Bob.to_account_id(), Charlie.to_account_id()];
    both.sort();
    Multisig::multi_account_id(&both, 2)
}

/// Bob and Charlie make a call as that account.
fn both_call(inner: impl Into<RuntimeCall>) {
    let inner = inner.into();
    for (who, other) in [(Bob, Charlie), (Charlie, Bob)] {
        let started = pallet_multisig::Multisigs::<Runtime>::iter_prefix_values(of_both()).next();
        let step = pallet_multisig::Call::as_multi {
            threshold: 2,
            other_signatories: vec![other.to_account_id()],
            maybe_timepoint: started.map(|operation| operation.when),
            call: Box::new(inner.clone()),
            max_weight: Weight::from_parts(1_000_000_000_000, 1_000_000),
        };
        assert_ok!(call(who, step));
    }
}

#[test]
fn twin_of_a_farmer_moves_with_all_its_deposits() {
    run(|| {
        farm_with_ticket(3);
        let mut machine = Machine::join(1);
        let gateway = [185, 69, 166, 1];
        let v4 = pallet_grid_farms::Interface { address: [185, 69, 166, 2], prefix: 24, gateway };
        let address = pallet_grid_farms::PublicIp { v4, v6: None };
        assert_ok!(call(Alice, pallet_grid_farms::Call::add_ip { farm: 1, address }));
        assert_ok!(call(Alice, pallet_grid_billing::Call::deposit { twin: 1, amount: 100 * TFT }));
        assert_ok!(call(Alice, create(machine.id, small())));
        let (alice, bob) = (Alice.to_account_id(), Bob.to_account_id());
        let all = on_hold(&alice);
        assert!(all > (1 + 10 + 30 + 5) * TFT, "twin, farm, nodes and tickets, public IP, and a contract");

        offer(Alice, &bob);
        assert_ok!(call(Bob, pallet_grid_twins::Call::accept_transfer { twin: 1 }));
        assert_eq!((on_hold(&alice), on_hold(&bob)), (0, all));
        check_invariants();

        let ticket = ticket().public().0;
        assert_fails(
            Alice,
            pallet_grid_farms::Call::close_ticket { ticket },
            pallet_grid_farms::Error::<Runtime>::NoTwin,
        );
        report(machine.deployed(1, b"{}")).unwrap();
        let reason = pallet_grid_contracts::CancelReason::Cancelled;
        assert_ok!(call(Bob, pallet_grid_contracts::Call::cancel { contract: 1, reason }));
        assert_ok!(call(Bob, pallet_grid_farms::Call::close_ticket { ticket }));
        assert_ok!(call(Bob, pallet_grid_farms::Call::remove_ip { ip: 1 }));
        assert_fails(
            Bob,
            pallet_grid_farms::Call::remove { farm: 1 },
            pallet_grid_farms::Error::<Runtime>::FarmHasNodes,
        );
        assert_ok!(call(Bob, pallet_grid_nodes::Call::remove { node: machine.id }));
        assert_eq!(on_hold(&bob), 11 * TFT, "twin and farm are left");
    });
}

#[test]
fn a_twin_that_owns_something_stays() {
    run(|| {
        let refuses = || assert_fails(Alice, pallet_grid_twins::Call::remove {}, in_use());
        farm_with_ticket(1);
        let ticket = ticket().public().0;
        refuses();
        assert_ok!(call(Alice, pallet_grid_farms::Call::close_ticket { ticket }));
        assert_ok!(call(Alice, pallet_grid_farms::Call::remove { farm: 1 }));
        assert_ok!(call(Alice, pallet_grid_billing::Call::deposit { twin: 1, amount: TFT }));
        refuses();
        assert_ok!(call(Alice, pallet_grid_billing::Call::withdraw { amount: TFT }));
        assert_ok!(call(Alice, pallet_grid_twins::Call::remove {}));
        assert_eq!(on_hold(&Alice.to_account_id()), 0);
    });
}

#[test]
fn a_twin_with_contracts_stays_and_one_that_had_some_can_go() {
    run_with_node(|mut machine, _bob| {
        assert_ok!(call(Bob, create(machine.id, small())));
        assert_fails(Bob, pallet_grid_twins::Call::remove {}, in_use());
        report(machine.failed(1, tfgrid_primitives::FailureCode::BodyInvalid)).unwrap();
        let left = Billing::payer(2).credit;
        assert_ok!(call(Bob, pallet_grid_billing::Call::withdraw { amount: left }));
        assert_ok!(call(Bob, pallet_grid_twins::Call::remove {}));
    });
}

#[test]
fn a_farm_stays_until_its_earnings_are_paid_out() {
    run_with_node(|mut machine, _bob| {
        assert_ok!(call(Bob, create(machine.id, small())));
        report(machine.deployed(1, b"{}")).unwrap();
        machine.serve(2 * 3_600_000);
        let reason = pallet_grid_contracts::CancelReason::Cancelled;
        assert_ok!(call(Bob, pallet_grid_contracts::Call::cancel { contract: 1, reason }));
        let ticket = ticket().public().0;
        assert_ok!(call(Alice, pallet_grid_farms::Call::close_ticket { ticket }));
        assert_ok!(call(Alice, pallet_grid_nodes::Call::remove { node: machine.id }));
        assert_fails(
            Alice,
            pallet_grid_farms::Call::remove { farm: 1 },
            pallet_grid_farms::Error::<Runtime>::FarmHasEarnings,
        );
        let payee = pallet_grid_billing::Payee::Farm(1);
        assert_ok!(call(Bob, pallet_grid_billing::Call::pay_out { payee }));
        assert_ok!(call(Alice, pallet_grid_farms::Call::remove { farm: 1 }));
    });
}

#[test]
fn transferred_twin_has_no_refill_and_default_limits() {
    run(|| {
        let bob = customer(Bob, 10 * TFT);
        let limits = pallet_grid_billing::Limits {
            max_usd_rate: 7,
            max_extra_fee: u64::MAX,
            refill_per_30_days: Balance::MAX,
        };
        let refill = Some(pallet_grid_billing::AutoRefill { hours: 24 });
        assert_ok!(call(Bob, pallet_grid_billing::Call::set_limits { limits }));
        assert_ok!(call(Bob, pallet_grid_billing::Call::set_auto_refill { refill }));
        offer(Bob, &Charlie.to_account_id());
        assert_ok!(call(Charlie, pallet_grid_twins::Call::accept_transfer { twin: bob }));
        assert_eq!(pallet_grid_billing::AutoRefills::<Runtime>::get(bob), None);
        assert_eq!(pallet_grid_billing::OwnerLimits::<Runtime>::get(bob), Default::default());
    });
}

#[test]
fn a_multisig_takes_over_a_twin_and_acts_for_it() {
    run(|| {
        customer(Alice, 10 * TFT);
        let account = of_both();
        assert_ok!(Balances::mint_into(&account, 100 * TFT));
        offer(Alice, &account);
        both_call(pallet_grid_twins::Call::accept_transfer { twin: 1 });
        assert_eq!(Twins::account_of(1), Some(account.clone()));
        both_call(pallet_grid_farms::Call::create { name: b"shared".to_vec().try_into().unwrap() });
        assert_eq!(Farms::farm_by_name(b"shared".to_vec()), Some(1));
        assert_eq!(on_hold(&account), 11 * TFT);
    });
}

#[test]
fn a_bot_cannot_give_its_owners_twin_away() {
    run(|| {
        customer(Bob, 10 * TFT);
        let (bob, bot) = (Bob.to_account_id(), Charlie.to_account_id());
        let proxy_type = ProxyType::Deploy;
        let hire = pallet_proxy::Call::add_proxy { delegate: bot.clone().into(), proxy_type, delay: 0 };
        assert_ok!(call(Bob, hire));
        let give: RuntimeCall = pallet_grid_twins::Call::offer_transfer { to: bot }.into();
        let filtered = frame_system::Error::<Runtime>::CallFiltered;
        let as_bob =
            pallet_proxy::Call::proxy { real: bob.into(), force_proxy_type: None, call: Box::new(give) };
        assert_ok!(call(Charlie, as_bob));
        let refused = pallet_proxy::Event::ProxyExecuted { result: Err(filtered.into()) };
        System::assert_has_event(refused.into());
        assert_eq!(pallet_grid_twins::TransferOffers::<Runtime>::get(1), None);
    });
}
