// SPDX-License-Identifier: Apache-2.0
//! Who may do what, and what a chain starts with.

use crate::chain::*;
use frame_support::{assert_ok, traits::Get};
use parameters::{dynamic, HeartbeatInterval, RuntimeParameters};
use sp_runtime::{BuildStorage, DispatchError::BadOrigin};
use tfgrid_primitives::units::{DAY_MS, TFT, USD};
use tfgrid_runtime::*;

fn heartbeat_interval(ms: u64) -> RuntimeCall {
    use dynamic::intervals::{HeartbeatMs, Parameters as Intervals};
    let key_value = RuntimeParameters::Intervals(Intervals::HeartbeatMs(HeartbeatMs, Some(ms)));
    pallet_parameters::Call::set_parameter { key_value }.into()
}

fn sudo(inner: RuntimeCall) -> RuntimeCall {
    pallet_sudo::Call::sudo { call: Box::new(inner) }.into()
}

#[test]
fn price_and_intervals_belong_to_governance() {
    run(|| {
        let price = RuntimeCall::from(pallet_billing::Call::set_price { price: USD / 10 });
        assert_fails(Bob, price.clone(), BadOrigin);
        assert_fails(Bob, heartbeat_interval(60_000), BadOrigin);
        assert_fails(Bob, sudo(price.clone()), pallet_sudo::Error::<Runtime>::RequireSudo);
        assert_ok!(call(Alice, sudo(price)));
        assert_eq!(Billing::price_clock().price, USD / 10);
    });
}

#[test]
fn intervals_are_clamped_where_they_are_read() {
    run(|| {
        assert_ok!(call(Alice, sudo(heartbeat_interval(0))));
        assert_eq!(HeartbeatInterval::get(), 3_000);
        assert_ok!(call(Alice, sudo(heartbeat_interval(u64::MAX))));
        assert_eq!(HeartbeatInterval::get(), DAY_MS);
    });
}

#[test]
fn a_deploy_proxy_manages_contracts_and_moves_no_money() {
    run_with_node(|_, bob| {
        let delegate = Charlie.to_account_id().into();
        let add = pallet_proxy::Call::add_proxy { delegate, proxy_type: ProxyType::Deploy, delay: 0 };
        assert_ok!(call(Bob, add));
        let act = |inner: RuntimeCall| {
            let real = Bob.to_account_id().into();
            assert_ok!(call(
                Charlie,
                pallet_proxy::Call::proxy { real, force_proxy_type: None, call: Box::new(inner) }
            ));
        };
        act(create(1, small()).into());
        assert_eq!(pallet_contracts::Contracts::<Runtime>::get(1).unwrap().twin, bob);
        let before = Balances::free_balance(Bob.to_account_id());
        act(pallet_billing::Call::withdraw { amount: 100 * TFT }.into());
        let dest = Charlie.to_account_id().into();
        act(pallet_balances::Call::transfer_allow_death { dest, value: TFT }.into());
        assert_eq!(Balances::free_balance(Bob.to_account_id()), before);
        assert!(pallet_contracts::Contracts::<Runtime>::contains_key(1));
    });
}

#[test]
fn every_preset_builds_a_chain() {
    for name in genesis::preset_names() {
        let storage = genesis_of(&name).build_storage().unwrap();
        sp_io::TestExternalities::new(storage).execute_with(|| {
            assert!(!pallet_aura::Authorities::<Runtime>::get().is_empty());
            assert_eq!(Billing::price_clock().price, USD / 20);
            check_laws();
        });
    }
    assert_eq!(genesis::preset(&"no-such-preset".into()), None);
}
