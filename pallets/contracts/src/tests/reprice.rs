// SPDX-License-Identifier: Apache-2.0

use super::*;

fn reprice(contract: ContractId) -> Call {
    Call::reprice { contract }
}

/// Anyone may bring a contract to the present list.
#[track_caller]
fn assert_repriced(contract: ContractId, rate: UsdRate) {
    begin();
    assert_ok!(call(STRANGER, reprice(contract)));
    assert_eq!(traced(), [Traced::Reprice(contract, rate)]);
    assert_eq!(events(), [Event::Repriced { contract, rate }]);
    assert_eq!(account(contract).price.rates.usd, rate);
}

#[test]
fn a_contract_follows_with_its_addresses() {
    run(|| {
        let contract = running(Create { public_ips: 1, ..Create::default() });
        double_prices();
        assert_repriced(contract, 2 * (SMALL_RATE + IP_RATE));
        let price = account(contract).price;
        assert_eq!((price.public_ips, price.ip_usd), (1, 2 * IP_RATE));
    });
}

#[test]
fn a_created_contract_follows_the_list() {
    run(|| {
        let contract = opened(Create::default());
        double_prices();
        assert_repriced(contract, 2 * SMALL_RATE);
    });
}

#[test]
fn a_contract_follows_a_certificate_that_is_lost() {
    run(|| {
        on_node(NODE, |node| node.facts.certified = true);
        let contract = running(Create::default());
        assert_eq!(account(contract).price.rates.usd, SMALL_RATE / 4 * 5);
        on_node(NODE, |node| node.facts.certified = false);
        assert_repriced(contract, SMALL_RATE);
        // One that its node gets later makes nobody pay more without notice.
        on_node(NODE, |node| node.facts.certified = true);
        double_prices();
        assert_repriced(contract, 2 * SMALL_RATE);
        assert!(!account(contract).price.certified);
    });
}

#[test]
fn a_place_keeps_its_part_of_the_node() {
    run(|| {
        let large = Resources { cru: 400, mru: 800 * GIB, sru: 5_000 * GIB, ..Resources::ZERO };
        on_node(NODE, |node| node.facts.resources = large);
        let tiny = Resources { sru: 1, ..Resources::ZERO };
        let contract = running(Create { resources: tiny, ..Create::default() });
        let rate = account(contract).price.rates.usd;
        assert!(rate > list_price(tiny));
        assert_repriced(contract, rate);
        // Nor can its farmer raise it.
        on_node(NODE, |node| node.facts.resources.cru *= 10);
        assert_repriced(contract, rate);
    });
}

#[test]
fn a_rent_follows_the_list_and_keeps_its_fee() {
    run(|| {
        on_node(NODE, |node| node.facts.extra_fee = 70);
        let contract = opened(rent(NODE));
        let rate = account(contract).price.rates.usd;
        on_node(NODE, |node| node.facts.extra_fee = 700);
        double_prices();
        assert_repriced(contract, 2 * rate);
        assert_eq!(account(contract).price.rates.extra, 70);
    });
}

#[test]
fn a_rent_costs_what_was_rented_whatever_the_node_declares() {
    run(|| {
        let contract = opened(rent(NODE));
        let rate = account(contract).price.rates.usd;
        on_node(NODE, |node| node.facts.resources.cru *= 10);
        double_prices();
        assert_repriced(contract, 2 * rate);
    });
}

#[test]
fn contracts_of_a_tenant_cost_their_addresses() {
    run(|| {
        opened(rent(NODE));
        let contract = running(Create { public_ips: 1, ..Create::default() });
        double_prices();
        assert_repriced(contract, 2 * IP_RATE);
    });
}

#[test]
fn a_name_follows_the_list() {
    run(|| {
        let contract = opened(name("shop"));
        let rate = account(contract).price.rates.usd;
        double_prices();
        assert_repriced(contract, 2 * rate);
    });
}

#[test]
fn needs_an_open_contract_and_a_signature() {
    run(|| {
        assert_fails(BOB, reprice(1), Failure::UnknownContract);
        let contract = opened(name("shop"));
        assert_eq!(dispatch(RawOrigin::Root, reprice(contract)), Err(BadOrigin));
        assert_ok!(call(BOB, cancel(contract)));
        assert_fails(BOB, reprice(contract), Failure::UnknownContract);
    });
}

#[test]
fn waits_for_the_answer_on_a_pending_version() {
    run(|| {
        let contract = updating(small(), large());
        double_prices();
        assert_fails(BOB, reprice(contract), Failure::UpdatePending);
        assert_ok!(report(confirm(contract)));
        assert_repriced(contract, 2 * list_price(large()));
    });
}

#[test]
fn needs_the_node() {
    run(|| {
        let contract = running(Create::default());
        remove_node(NODE);
        assert_fails(BOB, reprice(contract), Failure::UnknownNode);
    });
}

#[test]
fn needs_a_price_within_bounds_and_a_list() {
    run(|| {
        let contracts = [running(Create::default()), opened(name("shop"))];
        let dear = PriceList { cu: u64::MAX, unique_name: u64::MAX, ..PriceList::default() };
        for prices in [None, Some(dear)] {
            set_prices(prices);
            for contract in contracts {
                assert_fails(BOB, reprice(contract), Failure::RateOutOfRange);
            }
        }
    });
}

#[test]
fn needs_the_ledgers_consent() {
    run(|| {
        let contract = running(Create::default());
        Doubles::mutate(|state| state.list_too_recent = true);
        assert_fails(BOB, reprice(contract), LIST_TOO_RECENT);
    });
}
