// SPDX-License-Identifier: Apache-2.0
//! Who may do what, and what a chain starts with.

use crate::chain::*;
use codec::Encode;
use frame_support::{assert_ok, traits::Get};
use parameters::{dynamic, HeartbeatInterval, RuntimeParameters};
use sp_runtime::{
    traits::{BlakeTwo256, Hash},
    BuildStorage,
    DispatchError::BadOrigin,
};
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
fn the_test_presets_build_chains() {
    for name in [genesis::DEVELOPMENT, genesis::LOCAL_TESTNET] {
        let storage = genesis_of(&name.into()).build_storage().unwrap();
        sp_io::TestExternalities::new(storage).execute_with(|| {
            assert!(!pallet_aura::Authorities::<Runtime>::get().is_empty());
            assert_eq!(Grandpa::grandpa_authorities().len(), Session::validators().len());
            assert_eq!(Billing::price_clock().price, USD / 20);
            check_laws();
        });
    }
    assert_eq!(genesis::preset(&"no-such-preset".into()), None);
}

#[test]
fn the_public_chain_refuses_to_start_while_it_has_blanks() {
    let main = genesis::preset(&genesis::MAIN.into()).unwrap();
    let refused = genesis::ensure_complete(&main).unwrap_err();
    for blank in ["/billing/price", "/billing/policy/foundation", "/session/keys/0/0", "/councilMembership"] {
        assert!(refused.contains(blank), "{refused}");
    }
    assert!(genesis_value(genesis::MAIN).get("sudo").is_none(), "nobody rules the public chain alone");
    let local = genesis::preset(&genesis::LOCAL_TESTNET.into()).unwrap();
    assert_eq!(genesis::ensure_complete(&local), Ok(()));
    let nobody = genesis::ensure_complete(b"{}").unwrap_err();
    assert!(nobody.contains("nobody would make blocks"), "{nobody}");
    assert!(genesis::ensure_complete(b"{").unwrap_err().contains("no JSON"));
}

fn genesis_value(name: &str) -> serde_json::Value {
    serde_json::from_slice(&genesis::preset(&name.into()).unwrap()).unwrap()
}

/// A call of the council: proposed by Alice, voted for by so many of Alice, Bob and Charlie, closed.
fn motion(inner: RuntimeCall, ayes: usize) -> sp_runtime::DispatchResult {
    use pallet_collective::Call as Motion;
    let (hash, length) = (BlakeTwo256::hash_of(&inner), inner.encoded_size() as u32);
    let threshold = ayes as u32;
    let index = pallet_collective::ProposalCount::<Runtime, pallet_collective::Instance1>::get();
    let propose = Motion::<Runtime, pallet_collective::Instance1>::propose {
        threshold,
        proposal: Box::new(inner),
        length_bound: length,
    };
    call(Alice, RuntimeCall::Council(propose))?;
    for member in [Alice, Bob, Charlie].into_iter().take(ayes) {
        let vote = Motion::vote { proposal: hash, index, approve: true };
        call(member, RuntimeCall::Council(vote))?;
    }
    let close = Motion::close {
        proposal_hash: hash,
        index,
        proposal_weight_bound: frame_support::weights::Weight::MAX,
        length_bound: length,
    };
    call(Alice, RuntimeCall::Council(close))
}

#[test]
fn three_fifths_of_the_council_govern_and_fewer_do_not() {
    run(|| {
        let price = |price| RuntimeCall::from(pallet_billing::Call::set_price { price });
        assert_ok!(motion(price(USD / 10), 2));
        assert_eq!(Billing::price_clock().price, USD / 10, "two of three are more than three fifths");
        assert_ok!(call(
            Alice,
            RuntimeCall::Council(pallet_collective::Call::propose {
                threshold: 1,
                proposal: Box::new(price(USD)),
                length_bound: 100,
            })
        ));
        assert_eq!(Billing::price_clock().price, USD / 10, "one of three is less");
        assert_fails(Bob, price(USD), BadOrigin);
    });
}
