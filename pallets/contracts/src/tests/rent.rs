// SPDX-License-Identifier: Apache-2.0

use super::*;

/// What a whole node costs, in 1e-10 USD per hour: half of its list price.
fn rent_rate() -> UsdRate {
    list_price(capacity()) / 2
}

#[test]
fn the_node_is_its_tenants_and_charged_at_once() {
    run(|| {
        on_node(NODE, |node| node.facts.extra_fee = 70);
        assert_ok!(call(BOB, rent(NODE)));
        let (rate, extra, deposit) = (rent_rate(), 70, DEPOSIT);
        let expected = Contract {
            twin: 1,
            kind: ContractKind::Rent { node: NODE },
            state: ContractState::Deployed,
            deposit,
            created_at: now(),
            deployed_at: now(),
        };
        assert_eq!((record(1), Rents::<Test>::get(NODE)), (expected, Some(1)));
        assert_eq!(traced(), [Traced::Open(1, rate), Traced::Start(1, 0)]);
        let Account { parties, price, .. } = account(1);
        assert_eq!(parties, Parties { payer: 1, farm: Some(FARM), node: Some(NODE) });
        assert_eq!(price, ContractPrice::plain(Rates { usd: rate, extra }));
        assert_eq!((used(NODE), held(BOB)), (Resources::ZERO, deposit));
        let event = Event::RentContractCreated { contract: 1, node: NODE, twin: 1, rate, extra, deposit };
        assert_eq!(events(), [event]);
        assert_eq!(armed(Deadline::Answer(1)), None, "nothing is to be deployed");
    });
}

#[test]
fn a_certified_node_costs_a_quarter_more() {
    run(|| {
        on_node(NODE, |node| node.facts.certified = true);
        let price = account(opened(rent(NODE))).price;
        assert_eq!((price.rates.usd, price.certified), (rent_rate() * 5 / 4, true));
    });
}

#[test]
fn its_tenant_deploys_for_addresses_and_the_least_rate() {
    run(|| {
        opened(rent(NODE));
        let half = Resources { cru: 50, mru: 50 * GIB, sru: 500 * GIB, ..Resources::ZERO };
        let contract = opened(Create { public_ips: 2, resources: half, ..Create::default() });
        let rates = Rates { usd: 2 * IP_RATE, extra: 0 };
        let price = ContractPrice { rates, public_ips: 2, ip_usd: 2 * IP_RATE, certified: false };
        assert_eq!(account(contract).price, price);
        let contract = opened(Create { resources: half, ..Create::default() });
        assert_eq!(account(contract).price.rates, Rates { usd: LEAST_RATE, extra: 0 });
    });
}

#[test]
fn nobody_else_deploys_on_it() {
    run(|| {
        opened(rent(NODE));
        assert_fails(CHARLIE, Create::default(), Failure::NodeRented);
        assert_ok!(call(CHARLIE, Create { node: OTHER_NODE, ..Create::default() }));
    });
}

#[test]
fn needs_a_twin() {
    run(|| assert_fails(STRANGER, rent(NODE), Failure::NoTwin));
}

#[test]
fn needs_a_node_that_is_known_and_serves() {
    run(|| {
        assert_fails(BOB, rent(9), Failure::UnknownNode);
        set_service(NODE, Service::Suspended);
        assert_fails(BOB, rent(NODE), Failure::NodeOffline);
    });
}

#[test]
fn needs_a_node_that_nobody_rents_or_uses() {
    run(|| {
        let contract = opened(Create::default());
        assert_fails(BOB, rent(NODE), Failure::NodeNotEmpty);
        assert_ok!(call(BOB, cancel(contract)));
        opened(rent(NODE));
        assert_fails(BOB, rent(NODE), Failure::NodeRented);
        assert_fails(CHARLIE, rent(NODE), Failure::NodeRented);
        assert_ok!(call(CHARLIE, rent(OTHER_NODE)));
    });
}

#[test]
fn costs_at_most_what_its_tenant_accepts() {
    run(|| {
        on_node(NODE, |node| node.facts.extra_fee = 70);
        let accept = |max_usd_rate| Call::create_rent_contract { node: NODE, max_usd_rate };
        assert_fails(BOB, accept(rent_rate() + 69), Failure::RateAboveMaximum);
        assert_ok!(call(BOB, accept(rent_rate() + 70)));
    });
}

#[test]
fn needs_a_price_within_bounds_and_a_list() {
    run(|| {
        on_node(NODE, |node| node.facts.extra_fee = UsdRate::MAX);
        assert_fails(BOB, rent(NODE), Failure::RateOutOfRange);
        on_node(NODE, |node| node.facts.extra_fee = 0);
        set_prices(None);
        assert_fails(BOB, rent(NODE), Failure::RateOutOfRange);
    });
}

#[test]
fn needs_credit_and_the_deposit() {
    run(|| {
        let body = Body::Plain(vec![b' '; 850]);
        assert_ok!(call(MODEST, Create { body, ..Create::default() }));
        assert_eq!(held(MODEST), TFT * 95 / 100, "what is left is less than the deposit");
        assert_fails(MODEST, rent(OTHER_NODE), TokenError::FundsUnavailable);
        credit_too_low();
        assert_fails(BOB, rent(OTHER_NODE), CREDIT_TOO_LOW);
    });
}

#[test]
fn a_draining_node_is_not_rented() {
    run(|| {
        on_node(NODE, |node| node.facts.draining = true);
        assert_fails(BOB, rent(NODE), NODE_DRAINS);
    });
}

#[test]
fn is_cancelled_only_when_nothing_is_on_the_node() {
    run(|| {
        let (rent, contract) = (opened(rent(NODE)), opened(Create::default()));
        assert_fails(BOB, cancel(rent), Failure::RentInUse);
        assert_fails(BOB, complain(rent), Failure::RentInUse);
        assert_ok!(call(BOB, cancel(contract)));
        assert_ok!(call(BOB, cancel(rent)));
        assert_eq!((Rents::<Test>::get(NODE), EndedRents::<Test>::get(NODE)), (None, None));
        assert_eq!(armed(Deadline::Sweep(NODE)), None, "no contract is left to close");
        assert_ok!(call(CHARLIE, Create::default()));
    });
}

#[test]
fn contracts_end_with_a_force_closed_rent() {
    run(|| {
        let rent = opened(rent(NODE));
        let contracts = [(); 20].map(|()| running(Create::default()));
        force_close(rent);
        assert_eq!(Rents::<Test>::get(NODE), None);
        assert_eq!(EndedRents::<Test>::get(NODE), Some(ClosingReason::ByGovernance));
        assert_eq!(step(), Some(Deadline::Sweep(NODE)));
        assert_eq!(listed(NODE).len(), 4);
        assert_fails(BOB, Create::default(), Failure::RentEnding);
        assert_fails(CHARLIE, Create::default(), Failure::RentEnding);
        let open = listed(NODE)[0];
        assert_fails(BOB, Update { contract: open, ..Update::default() }, Failure::RentEnding);
        assert_fails(BOB, Call::reprice { contract: open }, Failure::RentEnding);
        assert_eq!(step(), Some(Deadline::Sweep(NODE)));
        for contract in contracts {
            assert_eq!(reason_of(contract), ClosingReason::ByGovernance);
        }
        assert_eq!((step(), EndedRents::<Test>::get(NODE)), (None, None));
        assert_ok!(call(CHARLIE, Create::default()));
    });
}

#[test]
fn the_end_of_a_rent_counts_before_a_silence() {
    run(|| {
        let (rent, contract) = (opened(rent(NODE)), running(Create::default()));
        force_close(rent);
        set_service(NODE, Service::Suspended);
        pass(0);
        assert_eq!(reason_of(contract), ClosingReason::ByGovernance);
    });
}

#[test]
fn an_ended_rent_closes_no_later_rent() {
    run(|| {
        let (first, contract) = (opened(rent(NODE)), opened(Create::default()));
        force_close(first);
        // The node is empty before the sweep has come to it.
        assert_ok!(call(BOB, cancel(contract)));
        assert_fails(CHARLIE, rent(NODE), Failure::RentEnding);
        pass(0);
        assert_ok!(call(CHARLIE, rent(NODE)));
    });
}
