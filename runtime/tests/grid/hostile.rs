// SPDX-License-Identifier: Apache-2.0
//! What those try who want more than their due, and what they get.

use crate::{chain::*, governance::by_root};
use frame_support::{assert_ok, traits::Get};
use pallet_grid_contracts::CancelReason;
use sp_core::Pair;
use sp_keyring::Sr25519Keyring::{self, Dave};
use tfgrid_primitives::{
    Body, Refusal, Registration, Resources, UsageItem, UsageTotals,
    units::{HOUR_MS, TFT, USD},
};
use tfgrid_runtime::{parameters::ExtraFeeLimit, *};

type Call = pallet_grid_contracts::Call<Runtime>;
type Error = pallet_grid_contracts::Error<Runtime>;

/// Bob's bot, which may deploy for him.
pub fn bot() -> Sr25519Keyring {
    let delegate = Dave.to_account_id().into();
    let add = pallet_proxy::Call::add_proxy { delegate, proxy_type: ProxyType::Deploy, delay: 0 };
    assert_ok!(call(Bob, add));
    Dave
}

pub fn for_bob(inner: impl Into<RuntimeCall>) -> pallet_proxy::Call<Runtime> {
    let (real, inner) = (Bob.to_account_id().into(), Box::new(inner.into()));
    pallet_proxy::Call::proxy { real, force_proxy_type: None, call: inner }
}

/// What the call that a proxy made came to.
pub fn outcome() -> Result<(), sp_runtime::DispatchError> {
    let events = System::events().into_iter().rev();
    let executed = events.filter_map(|record| match record.event {
        RuntimeEvent::Proxy(pallet_proxy::Event::ProxyExecuted { result }) => Some(result),
        _ => None,
    });
    executed.into_iter().next().expect("a proxy has made a call")
}

#[test]
fn a_registration_seen_in_the_pool_admits_nobody_else() {
    run(|| {
        farm_with_ticket(1);
        let (theirs, mine) = (Machine::key(1), Machine::key(2));
        let seen = register(registration(&ticket(), &theirs), &ticket(), &theirs);
        let pallet_grid_nodes::Call::register { registration: copied, ticket_signature, .. } = seen.clone()
        else {
            unreachable!()
        };
        let stolen = Registration { node_key: mine.public().0, ..copied };
        let node_signature = mine.sign(&stolen.signing_bytes(GENESIS));
        let front_run =
            pallet_grid_nodes::Call::register { registration: stolen, ticket_signature, node_signature };
        assert_refused(front_run, Refusal::TicketSignatureWrong);
        report(seen.clone()).unwrap();
        assert_refused(seen, Refusal::TicketUsed);
    });
}

#[test]
fn no_price_moves_between_plan_and_block() {
    run_with_node(|_, bob| {
        let plan = Contracts::quote(1, small(), 0).unwrap();
        let mut policy = pallet_grid_billing::Policy::<Runtime>::get().unwrap();
        policy.prices.cu *= 2;
        assert_ok!(by_root(pallet_grid_billing::Call::set_policy { policy }.into()));
        let body = Body::Plain(b"{}".to_vec());
        let planned = Call::create_node_contract {
            node: 1,
            resources: small(),
            body,
            public_ips: 0,
            networks: Default::default(),
            traffic_gb: 0,
            max_usd_rate: plan,
        };
        assert_fails(Bob, planned, Error::RateAboveMaximum);
        let rent = Contracts::quote_rent(1).unwrap();
        assert_ok!(call(
            Alice,
            pallet_grid_nodes::Call::set_extra_fee { node: 1, fee: ExtraFeeLimit::get() }
        ));
        assert_ok!(call(Bob, Call::create_rent_contract { node: 1, max_usd_rate: rent }));
        assert_eq!(Billing::settled_payer(bob).charged.extra, 0, "a raise in the block before counts later");
    });
}

#[test]
fn a_farmer_cannot_raise_prices_under_a_tenant() {
    run_with_node(|mut machine, bob| {
        let id = deployed(&mut machine, Bob, small());
        let rate = Billing::settled_payer(bob).charged.usd;
        assert_ok!(call(
            Alice,
            pallet_grid_nodes::Call::set_extra_fee { node: 1, fee: ExtraFeeLimit::get() }
        ));
        assert_ok!(call(Alice, pallet_grid_nodes::Call::set_dedicated { node: 1, dedicated: true }));
        assert_ok!(by_root(pallet_grid_nodes::Call::certify { node: 1, seen: Some(capacity()) }.into()));
        machine.serve(2 * HOUR_MS);
        let payer = Billing::settled_payer(bob);
        assert_eq!((payer.charged.usd, payer.charged.extra), (rate, 0));
        assert_ok!(call(Bob, cancel(id)));
    });
}

#[test]
fn each_create_and_cancel_in_a_loop_costs_ten_minutes() {
    run_with_node(|_, bob| {
        let before = credit(bob);
        for id in 1..=6 {
            assert_ok!(call(Bob, create(1, capacity())));
            assert_ok!(call(Bob, cancel(id)));
        }
        let hour = u128::from(Contracts::quote(1, capacity(), 0).unwrap()) * TFT / 10_000_000_000 * 20;
        assert!((before - credit(bob)).abs_diff(hour) <= 6, "six times ten minutes");
    });
}

#[test]
fn stolen_bot_key_pays_no_fee_moves_no_money_raises_no_limit() {
    run_with_node(|mut machine, bob| {
        let bot = bot();
        assert_ok!(call(
            Alice,
            pallet_grid_nodes::Call::set_extra_fee { node: 1, fee: ExtraFeeLimit::get() }
        ));
        machine.serve(2 * HOUR_MS);
        let rent = Call::create_rent_contract { node: 1, max_usd_rate: u64::MAX };
        assert_ok!(call(bot, for_bob(rent)));
        assert_eq!(outcome(), Err(pallet_grid_billing::Error::<Runtime>::ExtraFeeAboveLimit.into()));

        let limits = pallet_grid_billing::Limits { max_extra_fee: u64::MAX, ..Default::default() };
        let filtered = Err(frame_system::Error::<Runtime>::CallFiltered.into());
        let forbidden: [RuntimeCall; 6] = [
            pallet_grid_billing::Call::set_limits { limits }.into(),
            pallet_grid_billing::Call::withdraw { amount: TFT }.into(),
            pallet_grid_billing::Call::attach_provider { contract: 1, provider: 1 }.into(),
            pallet_grid_twins::Call::offer_transfer { to: Dave.to_account_id() }.into(),
            pallet_grid_twins::Call::set_peer_addresses { addresses: Default::default() }.into(),
            pallet_proxy::Call::remove_proxies {}.into(),
        ];
        for inner in forbidden {
            assert_ok!(call(bot, for_bob(inner.clone())));
            assert_eq!(outcome(), filtered, "{inner:?}");
            let batch = pallet_utility::Call::batch_all { calls: vec![inner] };
            assert_ok!(call(bot, for_bob(batch)));
            assert_eq!(outcome(), filtered);
        }
        assert_eq!(credit(bob), CREDIT);
        assert_ok!(call(bot, for_bob(create(1, small()))));
        assert_eq!(outcome(), Ok(()));
    });
}

#[test]
fn a_stolen_bots_key_buys_no_traffic_on_a_node_of_the_thiefs() {
    run_with_node(|_, bob| {
        let bot = bot();
        let mut with_traffic = create(1, small());
        if let Call::create_node_contract { traffic_gb, .. } = &mut with_traffic {
            *traffic_gb = 1;
        }
        assert_ok!(call(bot, for_bob(with_traffic.clone())));
        assert_eq!(outcome(), Err(frame_system::Error::<Runtime>::CallFiltered.into()));
        assert_eq!(credit(bob), CREDIT);
        assert_ok!(call(Bob, with_traffic));
        assert!(credit(bob) < CREDIT);
    });
}

#[test]
fn stolen_bot_key_earns_a_farm_nothing_by_create_and_cancel() {
    run_with_node(|mut machine, bob| {
        let bot = bot();
        for id in 1..=3 {
            let pair = vec![create(1, small()).into(), cancel(id).into()];
            assert_ok!(call(bot, for_bob(pallet_utility::Call::batch_all { calls: pair })));
            assert_eq!(outcome(), Ok(()));
        }
        assert_ok!(call(bot, for_bob(create(1, small()))));
        report(machine.deployed(4, b"{}")).unwrap();
        assert_ok!(call(bot, for_bob(cancel(4))));
        assert!(credit(bob) < CREDIT);
        let earned = |payee| (pallet_grid_billing::Payable::<Runtime>::get(payee)).whole();
        assert!(earned(pallet_grid_billing::Payee::Foundation) > 0);
        // At most what the one that ran has earned in the block in which it did.
        let block = u128::from(Contracts::quote(1, small(), 0).unwrap()) * TFT / 10_000_000_000 * 20 / 1_200;
        assert!(earned(pallet_grid_billing::Payee::Farm(1)) <= block);
    });
}

#[test]
fn many_contracts_do_not_live_on_the_credit_of_one() {
    run_with_credit(4 * TFT / 5, |mut machine, bob| {
        // That is an hour of 0.04 USD, or of nearly four small contracts.
        for _ in 0..3 {
            assert_ok!(call(Bob, create(1, small())));
        }
        let too_low = || pallet_grid_billing::Error::<Runtime>::CreditTooLow;
        assert_ok!(call(Bob, create(1, Resources { cru: 1, mru: 1, sru: 0, ..small() })));
        assert_fails(Bob, create(1, small()), too_low());
        // Nor is it taken out from under them before they run.
        assert_fails(Bob, pallet_grid_billing::Call::withdraw { amount: TFT / 5 }, too_low());
        report(machine.deployed(1, b"{}")).unwrap();
        assert_fails(Bob, create(1, small()), too_low());
        // Each that is cancelled pays its ten minutes.
        let before = credit(bob);
        for id in 2..=3 {
            assert_ok!(call(Bob, cancel(id)));
        }
        let minutes = u128::from(Contracts::quote(1, small(), 0).unwrap()) * TFT / 10_000_000_000 * 20 / 3;
        assert!((before - credit(bob)).abs_diff(minutes) <= 2, "{}", before - credit(bob));
    });
}

#[test]
fn owners_limit_binds_all_contracts_before_and_after_they_run() {
    run_with_node(|mut machine, bob| {
        let one = Contracts::quote(1, small(), 0).unwrap();
        let limits = pallet_grid_billing::Limits { max_usd_rate: one * 2, ..Default::default() };
        assert_ok!(call(Bob, pallet_grid_billing::Call::set_limits { limits }));
        let above = || pallet_grid_billing::Error::<Runtime>::RateAboveLimit;
        let first = deployed(&mut machine, Bob, small());
        assert_ok!(call(Bob, create(1, small())));
        assert_fails(Bob, create(1, small()), above());
        // A smaller version makes room only when it has come.
        let nothing = Resources { sru: 1, ..Resources::ZERO };
        assert_ok!(call(Bob, update(first, nothing)));
        assert_fails(Bob, create(1, Resources { mru: 0, ..small() }), above());
        report(machine.deployed(first, b"{}")).unwrap();
        // Contracts of a silent node come back without asking.
        report(machine.deployed(2, b"{}")).unwrap();
        pass(4 * heartbeat_ms());
        assert_eq!(Billing::settled_payer(bob).charged.usd, 0);
        let name = b"a-name".to_vec().try_into().unwrap();
        assert_ok!(call(Bob, Call::create_name_contract { name, max_usd_rate: u64::MAX }));
        let limits = pallet_grid_billing::Limits { max_usd_rate: one, ..Default::default() };
        assert_ok!(call(Bob, pallet_grid_billing::Call::set_limits { limits }));
        let name = b"another".to_vec().try_into().unwrap();
        assert_fails(Bob, Call::create_name_contract { name, max_usd_rate: u64::MAX }, above());
    });
}

#[test]
fn a_node_gains_nothing_by_reporting_on_contracts_of_others() {
    run(|| {
        farm_with_ticket(2);
        let (mut first, mut second) = (Machine::join(1), Machine::join(2));
        let bob = customer(Bob, CREDIT);
        let id = deployed(&mut first, Bob, small());
        assert_refused(second.deployed(id, b"mine"), Refusal::ContractOfOtherNode);
        assert_refused(second.progress(id, 1), Refusal::ContractOfOtherNode);
        let totals = UsageTotals { received_bytes: 1, ..Default::default() };
        report(second.usage(vec![UsageItem { contract: id, totals }].try_into().unwrap())).unwrap();
        assert_eq!(pallet_grid_contracts::Usage::<Runtime>::get(id), None);
        assert_ok!(call(Bob, cancel(id)));
        assert_refused(second.released(id), Refusal::ContractOfOtherNode);
        assert_eq!(Billing::settled_payer(bob).charged.usd, 0);
    });
}

#[test]
fn the_extremes_of_every_number_are_refused_without_harm() {
    run_with_node(|_, bob| {
        let all = u64::MAX;
        let absurd = Resources { cru: all, mru: all, sru: all, hru: all, gpu: all };
        let calls: Vec<RuntimeCall> = vec![
            create(u32::MAX, absurd).into(),
            create(1, absurd).into(),
            Call::create_rent_contract { node: u32::MAX, max_usd_rate: all }.into(),
            Call::cancel { contract: all, reason: CancelReason::NotDelivered }.into(),
            pallet_grid_billing::Call::attach_provider { contract: all, provider: u32::MAX }.into(),
            pallet_grid_billing::Call::deposit { twin: u32::MAX, amount: u128::MAX }.into(),
            pallet_grid_billing::Call::deposit { twin: bob, amount: u128::MAX }.into(),
            pallet_grid_billing::Call::withdraw { amount: u128::MAX }.into(),
            pallet_grid_billing::Call::collect { contract: all }.into(),
            pallet_grid_billing::Call::pay_out { payee: pallet_grid_billing::Payee::Farm(u32::MAX) }.into(),
            pallet_grid_clock::Call::set_price { price: all }.into(),
            pallet_grid_nodes::Call::set_extra_fee { node: u32::MAX, fee: all }.into(),
            pallet_grid_nodes::Call::remove { node: u32::MAX }.into(),
            pallet_grid_farms::Call::remove_ip { ip: u32::MAX }.into(),
            pallet_grid_twins::Call::accept_transfer { twin: u32::MAX }.into(),
        ];
        for inner in calls {
            let root = || sp_io::storage::root(sp_core::storage::StateVersion::V1);
            let before = root();
            assert!(call(Bob, inner.clone()).is_err(), "{inner:?}");
            assert_eq!(before, root(), "a failed call changed something: {inner:?}");
        }
        let price = |price| by_root(pallet_grid_clock::Call::set_price { price }.into());
        assert!(price(0).is_err() && price(all).is_err() && price(USD).is_ok());
    });
}
