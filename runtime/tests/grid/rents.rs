// SPDX-License-Identifier: Apache-2.0
//! Whole nodes for one tenant, and names.

use crate::{chain::*, governance::by_root};
use frame_support::{assert_ok, traits::Get};
use pallet_grid_contracts::CancelReason;
use sp_keyring::Sr25519Keyring;
use tfgrid_primitives::{
    Resources,
    traits::NodeDirectory,
    units::{HOUR_MS, TFT},
    views::{ClosingReason, ContractStatus, Target},
};
use tfgrid_runtime::{
    grid_api::runtime_decl_for_grid_api::GridApi,
    parameters::{ExtraFeeLimit, ExtraFeeNotice},
    *,
};

type Call = pallet_grid_contracts::Call<Runtime>;
type Error = pallet_grid_contracts::Error<Runtime>;

fn rent(node: u32) -> Call {
    Call::create_rent_contract { node, max_usd_rate: u64::MAX }
}

fn name(name: &[u8]) -> Call {
    Call::create_name_contract { name: name.to_vec().try_into().unwrap(), max_usd_rate: u64::MAX }
}

fn reason_of(contract: u64) -> Option<ClosingReason> {
    pallet_grid_contracts::ClosedContracts::<Runtime>::get(contract).map(|closed| closed.reason)
}

#[test]
fn a_rented_node_is_its_tenants_alone_and_half_as_dear() {
    run_with_node(|mut machine, bob| {
        customer(Charlie, 100 * TFT);
        let whole = Contracts::quote(1, capacity(), 0).unwrap();
        assert_ok!(call(Bob, rent(1)));
        let rate = u128::from(Contracts::quote_rent(1).unwrap());
        assert_eq!(rate, u128::from(whole / 2));
        assert_eq!(Billing::settled_payer(bob).charged.usd, rate);
        assert!(matches!(Contracts::status_of(1), Some(ContractStatus::Deployed { .. })));
        assert_fails(Charlie, create(1, small()), Error::NodeRented);
        assert_fails(Charlie, rent(1), Error::NodeRented);
        assert_fails(Bob, rent(1), Error::NodeRented);

        let id = deployed(&mut machine, Bob, capacity());
        assert_eq!(Billing::settled_payer(bob).charged.usd, rate, "capacity of the own node is paid already");
        let page = Contracts::page_of_node(1, None, 10).items;
        assert_eq!(page.iter().map(|c| c.contract).collect::<Vec<_>>(), [id], "a rent is nothing to deploy");
        assert_fails(Bob, cancel(1), Error::RentInUse);
        let before = credit(bob);
        machine.serve(HOUR_MS);
        let hour = rate * TFT / 10_000_000_000 * 20;
        assert!((before - credit(bob)).abs_diff(hour) <= 1);
        assert_ok!(call(Bob, cancel(id)));
        assert_ok!(call(Bob, cancel(1)));
        assert_ok!(call(Charlie, create(1, small())));
    });
}

#[test]
fn a_rent_among_a_nodes_contracts_ends_no_list_of_them() {
    run_with_node(|_, _| {
        assert_ok!(call(Bob, rent(1)));
        for _ in 0..5 {
            assert_ok!(call(Bob, create(1, Resources { cru: 1, ..Resources::ZERO })));
        }
        let listed: Vec<_> = pallet_grid_contracts::NodeContracts::<Runtime>::iter_key_prefix(1).collect();
        assert_ne!(listed.last(), Some(&1), "a rent at the end would prove nothing");
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = Contracts::page_of_node(1, after, 1);
            seen.extend(page.items.iter().map(|contract| contract.contract));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        seen.sort();
        assert_eq!(seen, [2, 3, 4, 5, 6]);
    });
}

#[test]
fn only_an_empty_node_that_is_heard_from_is_rented() {
    run_with_node(|mut machine, _| {
        customer(Charlie, 100 * TFT);
        assert_fails(Bob, rent(9), Error::UnknownNode);
        assert_fails(Sr25519Keyring::Dave, rent(1), Error::NoTwin);
        let id = deployed(&mut machine, Charlie, small());
        assert_fails(Bob, rent(1), Error::NodeNotEmpty);
        assert_ok!(call(Charlie, cancel(id)));
        let cheap = Call::create_rent_contract { node: 1, max_usd_rate: 1 };
        assert_fails(Bob, cheap, Error::RateAboveMaximum);
        pass(4 * heartbeat_ms());
        assert_fails(Bob, rent(1), Error::NodeOffline);
    });
}

#[test]
fn extra_fee_needs_the_owners_limit_and_goes_to_the_farmer() {
    run_with_node(|mut machine, bob| {
        let fee = ExtraFeeLimit::get();
        assert_ok!(call(Alice, pallet_grid_nodes::Call::set_extra_fee { node: 1, fee }));
        machine.serve(ExtraFeeNotice::get() + SLOT_DURATION);
        assert_fails(Bob, rent(1), pallet_grid_billing::Error::<Runtime>::ExtraFeeAboveLimit);
        let limits = pallet_grid_billing::Limits { max_extra_fee: fee, ..Default::default() };
        assert_ok!(call(Bob, pallet_grid_billing::Call::set_limits { limits }));
        let without = Call::create_rent_contract { node: 1, max_usd_rate: fee };
        assert_fails(Bob, without, Error::RateAboveMaximum);
        assert_ok!(call(Bob, rent(1)));
        assert_eq!(Billing::settled_payer(bob).charged.extra, u128::from(fee));

        // A raise changes nothing for the tenant.
        assert_eq!(<Nodes as NodeDirectory>::facts(1).unwrap().extra_fee, fee);
        machine.serve(2 * HOUR_MS);
        let before = credit(bob);
        assert_ok!(call(Charlie, pallet_grid_billing::Call::collect { contract: 1 }));
        let farmers =
            (pallet_grid_billing::Payable::<Runtime>::get(pallet_grid_billing::Payee::Farm(1))).whole();
        let fees = u128::from(fee) * TFT / 10_000_000_000 * 20 * 2;
        assert!(farmers > fees, "{farmers} of {fees}");
        assert_eq!(credit(bob), before);
    });
}

#[test]
fn a_dedicated_node_is_only_rented_as_a_whole() {
    run_with_node(|_, _| {
        assert_ok!(call(Alice, pallet_grid_nodes::Call::set_dedicated { node: 1, dedicated: true }));
        assert_fails(Bob, create(1, small()), Error::NodeDedicated);
        assert_ok!(call(Bob, rent(1)));
        assert_ok!(call(Bob, create(1, small())));
    });
}

#[test]
fn contracts_on_a_rented_node_end_with_a_force_closed_rent() {
    run_with_node(|mut machine, bob| {
        assert_ok!(call(Bob, rent(1)));
        for _ in 0..20 {
            assert_ok!(call(Bob, create(1, Resources { sru: 1, ..Resources::ZERO })));
        }
        assert_ok!(by_root(Call::force_close { contract: 1 }.into()));
        // Nobody runs on for nothing, nor gets in between.
        assert_fails(Bob, create(1, small()), Error::RentEnding);
        assert_fails(Bob, rent(1), Error::NodeNotEmpty);
        check_invariants();
        machine.serve(3 * SLOT_DURATION);
        for id in 1..=21 {
            assert_eq!(reason_of(id), Some(ClosingReason::ByGovernance), "{id}");
        }
        assert_eq!(Nodes::free(1), Some(capacity()));
        assert_eq!(Billing::settled_payer(bob).charged.usd, 0);
        assert_ok!(call(Bob, create(1, small())));
    });
}

#[test]
fn rent_is_suspended_and_resumed_with_its_node() {
    run_with_node(|mut machine, bob| {
        assert_ok!(call(Bob, rent(1)));
        pass(4 * heartbeat_ms());
        assert_eq!(Billing::settled_payer(bob).charged.usd, 0);
        assert!(matches!(Contracts::status_of(1), Some(ContractStatus::NodeOffline { .. })));
        while !Nodes::is_online(1) {
            pass(heartbeat_ms());
            report(machine.heartbeat()).unwrap();
        }
        pass(2 * SLOT_DURATION);
        assert!(Billing::settled_payer(bob).charged.usd > 0);
        let complain = Call::cancel { contract: 1, reason: CancelReason::NotDelivered };
        assert_fails(Bob, complain, Error::NotDeliveredWindowOver);
    });
}

#[test]
fn a_name_is_one_twins_costs_its_price_and_earns_no_farmer() {
    run_with_node(|_, bob| {
        customer(Charlie, 10 * TFT);
        assert_ok!(call(Bob, name(b"shop")));
        assert_fails(Charlie, name(b"shop"), Error::NameTaken);
        assert_eq!(held(Bob, pallet_grid_contracts::HoldReason::Contract), 10 * TFT, "four letters are dear");
        assert_ok!(call(Bob, name(b"shop-2")));
        assert_eq!(held(Bob, pallet_grid_contracts::HoldReason::Contract), 11 * TFT);
        assert_eq!(Billing::settled_payer(bob).charged.usd, 2 * u128::from(Contracts::quote_name().unwrap()));
        let complain = Call::cancel { contract: 1, reason: CancelReason::NotDelivered };
        assert_fails(Bob, complain, Error::NotOnANode);
        let cheap =
            Call::create_name_contract { name: b"other".to_vec().try_into().unwrap(), max_usd_rate: 1 };
        assert_fails(Bob, cheap, Error::RateAboveMaximum);

        pass(HOUR_MS);
        let before = credit(bob);
        assert_ok!(call(Bob, cancel(1)));
        assert_eq!(credit(bob), before);
        assert_eq!(pallet_grid_contracts::ClosedContracts::<Runtime>::get(1).unwrap().node, None);
        let farmers = pallet_grid_billing::Payable::<Runtime>::get(pallet_grid_billing::Payee::Farm(1));
        assert_eq!(farmers, tfgrid_primitives::ExactTft::ZERO);
        assert_ok!(call(Charlie, name(b"shop")));
        // A name that is let go at once costs ten minutes, too.
        let before = credit(bob);
        assert_ok!(call(Bob, name(b"flash")));
        assert_ok!(call(Bob, cancel(4)));
        assert!(credit(bob) < before);
    });
}

#[test]
fn names_that_only_look_like_others_are_refused() {
    run_with_node(|_, _| {
        let bad: [&[u8]; 8] =
            [b"", b"-a", b"a-", b"Shop", b"sh.op", b"xn--shp-hoa", "ѕhop".as_bytes(), b"sh op"];
        for bytes in bad {
            assert_fails(Bob, name(bytes), Error::NameInvalid);
        }
        assert_ok!(call(Bob, name(&[b'a'; 63])));
    });
}

#[test]
fn a_twins_contracts_are_read_in_pages_by_people_too() {
    run_with_node(|_, bob| {
        assert_ok!(call(Bob, name(b"shop-2")));
        assert_ok!(call(Bob, rent(1)));
        assert_ok!(call(Bob, create(1, small())));
        let ask = |after| <Runtime as GridApi<Block>>::contracts_of_twin(bob, after, 2);
        let (first, mut all) = (ask(None), Vec::new());
        assert_eq!(first.items.len(), 2);
        let second = ask(first.next);
        assert_eq!((second.items.len(), second.next), (1, None));
        all.extend(first.items.into_iter().chain(second.items));
        all.sort_by_key(|contract| contract.contract);
        assert_eq!(all[0].target, Target::Name { name: b"shop-2".to_vec() });
        assert_eq!(all[1].target, Target::Rent { node: 1 });
        assert_eq!(all[2].target, Target::Node { node: 1, resources: small(), public_ips: 0 });
        assert_eq!((all[2].status, all[2].rate), (ContractStatus::Created, 0));
        assert_eq!(<Runtime as GridApi<Block>>::quote_rent(1), Contracts::quote_rent(1));
        assert_eq!(<Runtime as GridApi<Block>>::quote_name(), Contracts::quote_name());
        assert_eq!((Contracts::quote_rent(9), Contracts::quote(9, small(), 0)), (None, None));
    });
}
