// SPDX-License-Identifier: Apache-2.0
//! Who may do what, and what a chain starts with.

use crate::chain::*;
use codec::Encode;
use frame_support::{assert_ok, traits::Get, weights::Weight};
use parameters::{HeartbeatInterval, RuntimeParameters, dynamic};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{
    BuildStorage,
    DispatchError::BadOrigin,
    DispatchResult,
    traits::{BlakeTwo256, Dispatchable, Hash},
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

/// What becomes of a call that root makes; `sudo` itself succeeds in any case.
pub fn by_root(inner: RuntimeCall) -> DispatchResult {
    frame_support::storage::with_storage_layer(|| {
        inner.dispatch(RuntimeOrigin::root()).map(drop).map_err(|failure| failure.error)
    })
}

/// What the council decides on to have a call made that only root may make.
pub fn as_root(inner: RuntimeCall) -> RuntimeCall {
    let call_hash = BlakeTwo256::hash_of(&inner);
    let dispatch = pallet_whitelist::Call::dispatch_whitelisted_call_with_preimage { call: Box::new(inner) };
    let calls = vec![pallet_whitelist::Call::whitelist_call { call_hash }.into(), dispatch.into()];
    pallet_utility::Call::batch_all { calls }.into()
}

#[test]
fn price_and_intervals_belong_to_governance() {
    run(|| {
        let price = RuntimeCall::from(pallet_grid_clock::Call::set_price { price: USD / 10 });
        assert_fails(Bob, price.clone(), BadOrigin);
        assert_fails(Bob, heartbeat_interval(60_000), BadOrigin);
        assert_fails(Bob, sudo(price.clone()), pallet_sudo::Error::<Runtime>::RequireSudo);
        assert_ok!(call(Alice, sudo(price)));
        assert_eq!(pallet_grid_clock::PriceClockState::<Runtime>::get().price, USD / 10);
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

/// What Charlie makes in Bob's name.
fn in_bobs_name(inner: impl Into<RuntimeCall>) {
    let (real, call_of_bob) = (Bob.to_account_id().into(), Box::new(inner.into()));
    let proxy = pallet_proxy::Call::proxy { real, force_proxy_type: None, call: call_of_bob };
    assert_ok!(call(Charlie, proxy));
}

/// A chain with a node, Bob as a customer, and Charlie as Bob's proxy for deploying.
fn run_with_deploy_proxy(test: impl FnOnce()) {
    run_with_node(|_, _| {
        let delegate = Charlie.to_account_id().into();
        let add = pallet_proxy::Call::add_proxy { delegate, proxy_type: ProxyType::Deploy, delay: 0 };
        assert_ok!(call(Bob, add));
        test();
    });
}

fn contract(id: u64) -> Option<pallet_grid_contracts::Contract> {
    pallet_grid_contracts::Contracts::<Runtime>::get(id)
}

#[test]
fn a_deploy_proxy_manages_contracts_also_several_at_once() {
    run_with_deploy_proxy(|| {
        in_bobs_name(create(1, small()));
        assert_eq!(contract(1).unwrap().twin, 2);
        let reason = pallet_grid_contracts::CancelReason::Cancelled;
        let cancel = pallet_grid_contracts::Call::cancel { contract: 1, reason };
        let calls = vec![cancel.into(), create(1, small()).into()];
        in_bobs_name(pallet_utility::Call::batch_all { calls });
        assert!(contract(1).is_none() && contract(2).is_some());
    });
}

#[test]
fn a_deploy_proxy_has_no_right_beyond_its_type() {
    run_with_deploy_proxy(|| {
        in_bobs_name(create(1, small()));
        let (free, credit) = (Balances::free_balance(Bob.to_account_id()), Billing::settled_payer(2).credit);
        let charlie = Charlie.to_account_id();
        let transfer = RuntimeCall::from(pallet_balances::Call::transfer_all {
            dest: charlie.clone().into(),
            keep_alive: false,
        });
        let forbidden: Vec<RuntimeCall> = vec![
            transfer.clone(),
            pallet_grid_billing::Call::withdraw { amount: 100 * TFT }.into(),
            pallet_grid_billing::Call::deposit { twin: 1, amount: TFT }.into(),
            pallet_grid_billing::Call::attach_provider { contract: 1, provider: 1 }.into(),
            pallet_grid_contracts::Call::cancel {
                contract: 1,
                reason: pallet_grid_contracts::CancelReason::NotDelivered,
            }
            .into(),
            pallet_proxy::Call::add_proxy { delegate: charlie.into(), proxy_type: ProxyType::Any, delay: 0 }
                .into(),
            pallet_utility::Call::as_derivative { index: 0, call: Box::new(create(1, small()).into()) }
                .into(),
            pallet_utility::Call::batch { calls: vec![transfer.clone()] }.into(),
            pallet_utility::Call::force_batch { calls: vec![transfer.clone()] }.into(),
            pallet_utility::Call::batch_all { calls: vec![create(1, small()).into(), transfer] }.into(),
        ];
        for inner in forbidden {
            in_bobs_name(inner);
        }
        assert_eq!(Balances::free_balance(Bob.to_account_id()), free);
        assert_eq!(Billing::settled_payer(2).credit, credit);
        assert!(contract(1).is_some() && contract(2).is_none());
        assert_eq!(pallet_proxy::Proxies::<Runtime>::get(Bob.to_account_id()).0.len(), 1);
    });
}

/// What two of Alice, Bob and Charlie make in the name of their common account.
fn by_two_of_three(inner: impl Into<RuntimeCall>) {
    let inner = Box::new(inner.into());
    let others = |who: Sr25519Keyring| {
        let mut others = signatories();
        others.retain(|account| *account != who.to_account_id());
        others
    };
    let first = pallet_multisig::Timepoint { height: System::block_number(), index: 0 };
    for (who, maybe_timepoint) in [(Alice, None), (Bob, Some(first))] {
        let as_multi = pallet_multisig::Call::as_multi {
            threshold: 2,
            other_signatories: others(who),
            maybe_timepoint,
            call: inner.clone(),
            max_weight: Weight::MAX,
        };
        assert_ok!(call(who, as_multi));
    }
}

fn signatories() -> Vec<AccountId> {
    let mut accounts = [Alice, Bob, Charlie].map(|who| who.to_account_id()).to_vec();
    accounts.sort();
    accounts
}

/// A twin with credit for an account without a key.
fn pay_for(account: &AccountId, make: impl Fn(RuntimeCall)) -> u32 {
    let (dest, value) = (account.clone().into(), 1_000 * TFT);
    assert_ok!(call(Alice, pallet_balances::Call::transfer_allow_death { dest, value }));
    let twin = pallet_grid_twins::Call::create { peer_keys: Default::default(), encryption_key: None };
    make(twin.into());
    let twin = pallet_grid_twins::TwinByAccount::<Runtime>::get(account).unwrap();
    make(pallet_grid_billing::Call::deposit { twin, amount: 100 * TFT }.into());
    twin
}

#[test]
fn a_multisig_account_owns_a_twin_and_contracts() {
    run_with_node(|_, _| {
        let account = Multisig::multi_account_id(&signatories(), 2);
        let twin = pay_for(&account, by_two_of_three);
        by_two_of_three(create(1, small()));
        assert_eq!(contract(1).unwrap().twin, twin);
    });
}

#[test]
fn one_signatory_alone_makes_no_call() {
    run_with_node(|_, _| {
        let account = Multisig::multi_account_id(&signatories(), 2);
        pay_for(&account, by_two_of_three);
        let withdraw = RuntimeCall::from(pallet_grid_billing::Call::withdraw { amount: TFT });
        let (free, inner) = (Balances::free_balance(&account), Box::new(withdraw));
        let of_three = |maybe_timepoint| pallet_multisig::Call::as_multi {
            threshold: 2,
            other_signatories: signatories()
                .into_iter()
                .filter(|other| *other != Alice.to_account_id())
                .collect(),
            maybe_timepoint,
            call: inner.clone(),
            max_weight: Weight::MAX,
        };
        assert_ok!(call(Alice, of_three(None)));
        let first = pallet_multisig::Timepoint { height: System::block_number(), index: 0 };
        assert_fails(Alice, of_three(Some(first)), pallet_multisig::Error::<Runtime>::AlreadyApproved);
        let alone =
            pallet_multisig::Call::as_multi_threshold_1 { other_signatories: vec![], call: inner.clone() };
        assert!(call(Alice, alone).is_err());
        assert_eq!(Balances::free_balance(&account), free);
    });
}

#[test]
fn a_pure_proxy_account_owns_a_twin_and_contracts() {
    run_with_node(|_, _| {
        let pure = pallet_proxy::Call::create_pure { proxy_type: ProxyType::Any, delay: 0, index: 0 };
        let account = Proxy::pure_account(&Bob.to_account_id(), &ProxyType::Any, 0, None);
        assert_ok!(call(Bob, pure));
        let in_its_name = |inner: RuntimeCall| {
            let (real, inner) = (account.clone().into(), Box::new(inner));
            let proxy = pallet_proxy::Call::proxy { real, force_proxy_type: None, call: inner };
            assert_ok!(call(Bob, proxy));
        };
        let twin = pay_for(&account, in_its_name);
        in_its_name(create(1, small()).into());
        assert_eq!(contract(1).unwrap().twin, twin);
    });
}

#[test]
fn the_test_presets_build_chains() {
    for name in [genesis::DEVELOPMENT, genesis::LOCAL_TESTNET] {
        let storage = genesis_of(&name.into()).build_storage().unwrap();
        sp_io::TestExternalities::new(storage).execute_with(|| {
            assert!(!pallet_aura::Authorities::<Runtime>::get().is_empty());
            assert_eq!(Grandpa::grandpa_authorities().len(), Session::validators().len());
            assert_eq!(pallet_grid_clock::PriceClockState::<Runtime>::get().price, USD / 20);
            check_invariants();
        });
    }
    assert_eq!(genesis::preset(&"no-such-preset".into()), None);
}

#[test]
fn the_public_chain_refuses_to_start_while_it_has_blanks() {
    let main = genesis::preset(&genesis::MAIN.into()).unwrap();
    let refused = genesis::ensure_complete(&main).unwrap_err();
    for blank in ["/clock/price", "/billing/policy/foundation", "/session/keys/0/0", "/councilMembership"] {
        assert!(refused.contains(blank), "{refused}");
    }
    assert!(genesis_value(genesis::MAIN).get("sudo").is_none(), "nobody rules the public chain alone");
    let local = genesis::preset(&genesis::LOCAL_TESTNET.into()).unwrap();
    assert_eq!(genesis::ensure_complete(&local), Ok(()));
    let nobody = genesis::ensure_complete(b"{}").unwrap_err();
    assert!(nobody.contains("nobody would make blocks"), "{nobody}");
    assert!(genesis::ensure_complete(b"{").unwrap_err().contains("no JSON"));
}

#[test]
fn a_genesis_that_nobody_could_govern_is_refused() {
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut genesis = genesis_value(genesis::LOCAL_TESTNET);
        genesis.as_object_mut().unwrap().remove("sudo");
        genesis["farming"]["policy"]["automatic"] = false.into();
        change(&mut genesis);
        genesis::ensure_complete(genesis.to_string().as_bytes()).err().unwrap_or_default()
    };
    assert_eq!(refused(&|_| ()), "");
    let nobody = refused(&|genesis| genesis["councilMembership"]["members"] = serde_json::json!([]));
    assert!(nobody.contains("nobody would govern"), "{nobody}");
    let minting = refused(&|genesis| genesis["farming"]["policy"]["automatic"] = true.into());
    assert!(minting.contains("every node would mint"), "{minting}");
    let pot = refused(&|genesis| {
        genesis["billing"]["policy"]["foundation"] = serde_json::json!(Billing::pot());
    });
    assert!(pot.contains("the account that keeps all credit"), "{pot}");
}

fn genesis_value(name: &str) -> serde_json::Value {
    serde_json::from_slice(&genesis::preset(&name.into()).unwrap()).unwrap()
}

/// A call of the council: proposed by Alice, voted for by so many of Alice, Bob and Charlie, closed.
pub fn motion(inner: RuntimeCall, ayes: usize) -> DispatchResult {
    let index = pallet_collective::ProposalCount::<Runtime, pallet_collective::Instance1>::get();
    call(Alice, proposal(&inner, ayes as u32))?;
    for member in [Alice, Bob, Charlie].into_iter().take(ayes) {
        call(member, vote(&inner, index, true))?;
    }
    call(Alice, closing(&inner, index))
}

fn proposal(inner: &RuntimeCall, threshold: u32) -> RuntimeCall {
    let (proposal, length_bound) = (Box::new(inner.clone()), inner.encoded_size() as u32);
    RuntimeCall::Council(pallet_collective::Call::propose { threshold, proposal, length_bound })
}

fn vote(inner: &RuntimeCall, index: u32, approve: bool) -> RuntimeCall {
    let proposal = BlakeTwo256::hash_of(inner);
    RuntimeCall::Council(pallet_collective::Call::vote { proposal, index, approve })
}

fn closing(inner: &RuntimeCall, index: u32) -> RuntimeCall {
    RuntimeCall::Council(pallet_collective::Call::close {
        proposal_hash: BlakeTwo256::hash_of(inner),
        index,
        proposal_weight_bound: Weight::MAX,
        length_bound: inner.encoded_size() as u32,
    })
}

#[test]
fn a_member_that_fills_all_motions_is_voted_down() {
    run(|| {
        type Error = pallet_collective::Error<Runtime, pallet_collective::Instance1>;
        let most: u32 =
            <Runtime as pallet_collective::Config<pallet_collective::Instance1>>::MaxProposals::get();
        let filling = |n| RuntimeCall::from(pallet_grid_clock::Call::set_price { price: USD + u64::from(n) });
        for n in 0..most {
            assert_ok!(call(Charlie, proposal(&filling(n), 2)));
        }
        let expel = pallet_membership::Call::remove_member { who: Charlie.to_account_id().into() };
        let expel = RuntimeCall::CouncilMembership(expel);
        assert_fails(Alice, proposal(&expel, 2), Error::TooManyProposals);
        for member in [Alice, Bob] {
            assert_ok!(call(member, vote(&filling(0), 0, false)));
        }
        // In one transaction, so that nobody takes the place.
        let calls = vec![closing(&filling(0), 0), proposal(&expel, 2)];
        assert_ok!(call(Alice, pallet_utility::Call::batch_all { calls }));
        for member in [Alice, Bob] {
            assert_ok!(call(member, vote(&expel, most, true)));
        }
        assert_ok!(call(Bob, closing(&expel, most)));
        let members = pallet_collective::Members::<Runtime, pallet_collective::Instance1>::get();
        assert!(!members.contains(&Charlie.to_account_id()));
        assert_fails(Charlie, proposal(&filling(most), 2), Error::NotMember);
    });
}

#[test]
fn three_fifths_of_the_council_govern_and_fewer_do_not() {
    run(|| {
        let price = |price| RuntimeCall::from(pallet_grid_clock::Call::set_price { price });
        assert_ok!(motion(price(USD / 10), 2));
        assert_eq!(
            pallet_grid_clock::PriceClockState::<Runtime>::get().price,
            USD / 10,
            "two of three are more than three fifths"
        );
        assert_ok!(call(Alice, proposal(&price(USD), 1)));
        assert_eq!(
            pallet_grid_clock::PriceClockState::<Runtime>::get().price,
            USD / 10,
            "one of three is less"
        );
        assert_fails(Bob, price(USD), BadOrigin);
    });
}

#[test]
fn a_prime_alone_carries_no_motion() {
    run(|| {
        let price = || pallet_grid_clock::PriceClockState::<Runtime>::get().price;
        let (before, alice) = (price(), Alice.to_account_id());
        let prime = pallet_membership::Call::set_prime { who: alice.into() };
        assert_ok!(by_root(RuntimeCall::CouncilMembership(prime)));
        let inner = RuntimeCall::from(pallet_grid_clock::Call::set_price { price: USD / 10 });
        assert_ok!(call(Alice, proposal(&inner, 2)));
        assert_ok!(call(Alice, vote(&inner, 0, true)));
        let close = || call(Alice, closing(&inner, 0));
        assert!(close().is_err(), "the others may still vote");
        let duration: u32 =
            <Runtime as pallet_collective::Config<pallet_collective::Instance1>>::MotionDuration::get();
        System::set_block_number(System::block_number() + duration + 1);
        assert_ok!(close());
        System::assert_has_event(
            pallet_collective::Event::<Runtime, pallet_collective::Instance1>::Disapproved {
                proposal_hash: BlakeTwo256::hash_of(&inner),
            }
            .into(),
        );
        assert_eq!(price(), before);
    });
}

#[test]
fn the_councils_members_are_those_of_the_membership() {
    run(|| {
        let members = || pallet_collective::Members::<Runtime, pallet_collective::Instance1>::get();
        let dave = Sr25519Keyring::Dave.to_account_id();
        let add =
            RuntimeCall::CouncilMembership(pallet_membership::Call::add_member { who: dave.clone().into() });
        assert_eq!(members(), signatories());
        assert_fails(Alice, add.clone(), BadOrigin);
        assert_ok!(motion(add, 2));
        assert!(members().contains(&dave));
        // Two of four are too few by now.
        let before = pallet_grid_clock::PriceClockState::<Runtime>::get().price;
        assert!(motion(pallet_grid_clock::Call::set_price { price: USD }.into(), 2).is_ok());
        assert_eq!(pallet_grid_clock::PriceClockState::<Runtime>::get().price, before);
    });
}

#[test]
fn the_council_has_calls_of_root_made_and_plans_ahead() {
    run(|| {
        let code = frame_system::Call::authorize_upgrade { code_hash: Default::default() };
        assert_ok!(motion(code.clone().into(), 2));
        assert!(System::authorized_upgrade().is_none(), "an upgrade is root's");
        assert_ok!(motion(as_root(code.into()), 2));
        assert!(System::authorized_upgrade().is_some());

        let price = RuntimeCall::from(pallet_grid_clock::Call::set_price { price: USD / 10 });
        let when = System::block_number() + 2;
        let plan = pallet_scheduler::Call::schedule {
            when,
            maybe_periodic: None,
            priority: 0,
            call: Box::new(price),
        };
        assert_fails(Bob, plan.clone(), BadOrigin);
        assert_ok!(motion(plan.into(), 2));
        let before = pallet_grid_clock::PriceClockState::<Runtime>::get().price;
        block(vec![]);
        assert_eq!(pallet_grid_clock::PriceClockState::<Runtime>::get().price, before);
        block(vec![]);
        assert_eq!(pallet_grid_clock::PriceClockState::<Runtime>::get().price, USD / 10);
    });
}
