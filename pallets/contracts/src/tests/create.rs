// SPDX-License-Identifier: Apache-2.0

use super::*;
use sp_runtime::traits::Dispatchable;

fn with_networks(networks: Vec<Network>) -> Create {
    Create { networks: networks.try_into().unwrap(), ..Create::default() }
}

fn with_body(bytes: usize) -> Create {
    Create { body: Body::Plain(vec![b' '; bytes]), ..Create::default() }
}

#[test]
fn asks_for_something() {
    run(|| {
        let nothing = Create { resources: Resources::ZERO, ..Create::default() };
        assert_fails(BOB, nothing, Failure::NothingRequested);
    });
}

#[test]
fn capacity_is_reserved_and_an_answer_awaited() {
    run(|| {
        let networks: Networks = vec![network("mesh", [10, 1, 0, 0], 24)].try_into().unwrap();
        let create = Create { public_ips: 2, networks: networks.clone(), traffic_gb: 3, ..Create::default() };
        assert_ok!(call(BOB, create));

        let (deposit, body) = (DEPOSIT + 2 * PER_BYTE, Body::Plain(BODY.to_vec()));
        let answer = Answer { asked_at: now(), by: now() + ANSWER_WITHIN };
        let deployment = Deployment {
            node: NODE,
            resources: small(),
            networks,
            version: 1,
            body_hash: body.hash(),
            last_version: 1,
            answer,
            pending: None,
            last_report: ReportMark::default(),
        };
        let expected = Contract {
            twin: 1,
            kind: ContractKind::Node(deployment),
            state: ContractState::Created,
            deposit,
            created_at: now(),
            deployed_at: 0,
        };
        assert_eq!(record(1), expected);
        assert_eq!(Bodies::<Test>::get(1), body.into_stored());
        assert_eq!((used(NODE), Doubles::get().free_ips, held(BOB)), (small(), 6, deposit));
        assert_eq!(armed(Deadline::Answer(1)), Some(answer.by));
        let rate = SMALL_RATE + 2 * IP_RATE;
        let event = Event::NodeContractCreated { contract: 1, node: NODE, twin: 1, rate, deposit };
        assert_eq!(events(), [event]);
    });
}

#[test]
fn the_account_is_opened_but_not_charged() {
    run(|| {
        assert_ok!(call(BOB, Create { public_ips: 2, traffic_gb: 3, ..Create::default() }));
        let rate = SMALL_RATE + 2 * IP_RATE;
        assert_eq!(traced(), [Traced::Open(1, rate), Traced::BuyTraffic(1, 3)]);
        let Account { parties, price, charged, .. } = account(1);
        assert_eq!(parties, Parties { payer: 1, farm: Some(FARM), node: Some(NODE) });
        let rates = Rates { usd: rate, extra: 0 };
        assert_eq!(price, ContractPrice { rates, public_ips: 2, ip_usd: 2 * IP_RATE, certified: false });
        assert!(!charged);

        assert_ok!(call(BOB, Create::default()));
        assert_eq!(traced(), [Traced::Open(2, SMALL_RATE)], "no traffic is asked for");
    });
}

#[test]
fn weighs_less_without_addresses_traffic_and_grace() {
    run(|| {
        let weight_of = |create: Create| {
            let call = RuntimeCall::Contracts(create.into());
            call.dispatch(RawOrigin::Signed(BOB).into()).unwrap().actual_weight
        };
        let plain = Some(<() as crate::WeightInfo>::create_plain_node_contract(BODY.len() as u32, 0));
        assert_eq!(weight_of(Create::default()), plain);
        assert_eq!(weight_of(Create { public_ips: 1, ..Create::default() }), None);
        assert_eq!(weight_of(Create { traffic_gb: 1, ..Create::default() }), None);
        Doubles::mutate(|state| state.exhausted.insert(1, false));
        assert_eq!(weight_of(Create::default()), None);
    });
}

#[test]
fn a_certified_node_costs_a_quarter_more() {
    run(|| {
        on_node(NODE, |node| node.facts.certified = true);
        let contract = opened(Create { public_ips: 1, ..Create::default() });
        let price = account(contract).price;
        assert_eq!((price.rates.usd, price.ip_usd), (179_687_500, 50_000_000));
        assert!(price.certified);
    });
}

#[test]
fn a_sealed_body_stays_sealed() {
    run(|| {
        let body = Body::Sealed(b"age".to_vec());
        let contract = opened(Create { body: body.clone(), ..Create::default() });
        assert_eq!(deployment(contract).body_hash, body.hash());
        assert_eq!(Bodies::<Test>::get(contract), body.into_stored());
    });
}

#[test]
fn networks_are_listed_by_twin_and_name() {
    run(|| {
        let networks = vec![network("mesh", [10, 1, 0, 0], 24), network("lan-2", [192, 168, 7, 4], 30)];
        let contract = opened(with_networks(networks.clone()));
        for Network { name, subnet } in networks {
            assert_eq!(NetworkMembers::<Test>::get((1, name, contract)), Some(subnet));
        }
        assert_ok!(call(BOB, cancel(contract)));
        assert_eq!(NetworkMembers::<Test>::iter_keys().count(), 0);
    });
}

#[test]
fn ids_are_given_in_turn_and_never_twice() {
    run(|| {
        assert_eq!((opened(Create::default()), opened(name("a-name"))), (1, 2));
        assert_ok!(call(BOB, cancel(2)));
        assert_eq!(opened(Create::default()), 3);
    });
}

#[test]
fn needs_a_twin() {
    run(|| assert_fails(STRANGER, Create::default(), Failure::NoTwin));
}

#[test]
fn needs_a_body_of_at_most_8192_bytes() {
    run(|| {
        assert_fails(BOB, with_body(0), Failure::BodySizeOutOfRange);
        assert_fails(BOB, with_body(8_193), Failure::BodySizeOutOfRange);
        assert_ok!(call(BOB, with_body(1)));
        assert_ok!(call(BOB, with_body(8_192)));
    });
}

#[test]
fn needs_network_names_that_are_labels() {
    run(|| {
        for bad in ["", "-a", "a-", "-", "A", "a_b", "a.b", "é"] {
            let networks = vec![network("mesh", [10, 1, 0, 0], 24), network(bad, [10, 2, 0, 0], 24)];
            assert_fails(BOB, with_networks(networks), Failure::NetworkNameInvalid);
        }
        for good in ["a", "7", "a--b", "abcdefghij-123456789"] {
            assert_ok!(call(BOB, with_networks(vec![network(good, [10, 1, 0, 0], 24)])));
        }
    });
}

#[test]
fn needs_private_subnets_of_prefix_16_to_30() {
    run(|| {
        let bad = [
            ([8, 8, 8, 0], 24),
            ([172, 15, 0, 0], 16),
            ([172, 32, 0, 0], 16),
            ([192, 167, 0, 0], 16),
            ([10, 0, 0, 0], 15),
            ([10, 0, 0, 0], 31),
            ([10, 0, 0, 0], 0),
            ([10, 0, 0, 0], 255),
            ([10, 1, 0, 1], 24),
            ([10, 1, 1, 0], 23),
        ];
        for (address, prefix) in bad {
            assert_fails(BOB, with_networks(vec![network("mesh", address, prefix)]), Failure::SubnetInvalid);
        }
        let good =
            [([10, 0, 0, 0], 16), ([172, 16, 0, 0], 16), ([172, 31, 0, 0], 16), ([192, 168, 0, 4], 30)];
        for (address, prefix) in good {
            assert_ok!(call(BOB, with_networks(vec![network("mesh", address, prefix)])));
        }
    });
}

#[test]
fn needs_each_network_once() {
    run(|| {
        for names in [["mesh", "mesh", "lan"], ["mesh", "lan", "mesh"], ["lan", "mesh", "mesh"]] {
            let twice = names.map(|name| network(name, [10, 1, 0, 0], 24));
            assert_fails(BOB, with_networks(twice.to_vec()), Failure::DuplicateNetwork);
        }
    });
}

#[test]
fn needs_ranges_that_no_other_contract_has() {
    run(|| {
        let mesh = |address, prefix| with_networks(vec![network("mesh", address, prefix)]);
        opened(mesh([10, 1, 2, 0], 24));
        let last = opened(mesh([10, 1, 4, 0], 24));
        for (address, prefix) in [
            ([10, 1, 2, 0], 24),
            ([10, 1, 2, 0], 30),
            ([10, 1, 2, 252], 30),
            ([10, 1, 2, 0], 23),
            ([10, 1, 4, 128], 25),
            ([10, 1, 0, 0], 16),
        ] {
            let networks = vec![network("lan", address, prefix), network("mesh", address, prefix)];
            assert_fails(BOB, with_networks(networks), Failure::RangeTaken);
        }
        for (address, prefix) in [([10, 1, 0, 0], 23), ([10, 1, 3, 0], 24), ([10, 1, 5, 0], 24)] {
            opened(mesh(address, prefix));
        }
        opened(with_networks(vec![network("lan", [10, 1, 4, 0], 24)]));
        assert_ok!(call(CHARLIE, mesh([10, 1, 4, 0], 24)));
        assert_ok!(call(BOB, cancel(last)));
        opened(mesh([10, 1, 4, 0], 24));
    });
}

#[test]
fn needs_a_node_that_is_known_and_serves() {
    run(|| {
        assert_fails(BOB, Create { node: 9, ..Create::default() }, Failure::UnknownNode);
        for service in [Service::Suspended, Service::Ended(ClosingReason::Drained)] {
            set_service(NODE, service);
            assert_fails(BOB, Create::default(), Failure::NodeOffline);
        }
    });
}

#[test]
fn needs_a_rent_where_the_node_is_dedicated() {
    run(|| {
        on_node(NODE, |node| node.facts.dedicated = true);
        assert_fails(BOB, Create::default(), Failure::NodeDedicated);
        opened(rent(NODE));
        assert_ok!(call(BOB, Create::default()));
    });
}

#[test]
fn needs_a_price_within_bounds_and_a_list() {
    run(|| {
        let create = || Create { resources: absurd(), ..Create::default() };
        assert_fails(BOB, create(), Failure::RateOutOfRange);
        set_prices(None);
        assert_fails(BOB, Create::default(), Failure::RateOutOfRange);
    });
}

#[test]
fn costs_at_most_what_its_owner_accepts() {
    run(|| {
        let accept = |max_usd_rate| Create { public_ips: 1, max_usd_rate, ..Create::default() };
        assert_fails(BOB, accept(SMALL_RATE + IP_RATE - 1), Failure::RateAboveMaximum);
        assert_ok!(call(BOB, accept(SMALL_RATE + IP_RATE)));
    });
}

#[test]
fn a_twin_has_a_bounded_number_of_contracts() {
    run(|| {
        let least = || Create { resources: Resources { cru: 1, ..Resources::ZERO }, ..Create::default() };
        for _ in 0..MAX_CONTRACTS {
            assert_ok!(call(BOB, least()));
        }
        for more in [least().into(), rent(OTHER_NODE), name("shop")] {
            assert_fails(BOB, more, Failure::TooManyContracts);
        }
        assert_ok!(call(CHARLIE, least()));
        assert_ok!(call(BOB, cancel(1)));
        assert_ok!(call(BOB, least()));
    });
}

#[test]
fn ids_run_out() {
    run(|| {
        LastContractId::<Test>::put(ContractId::MAX - 1);
        assert_ok!(call(BOB, Create::default()));
        for more in [Create::default().into(), rent(OTHER_NODE), name("shop")] {
            assert_fails(BOB, more, Failure::IdsExhausted);
        }
    });
}

#[test]
fn needs_credit() {
    run(|| {
        credit_too_low();
        assert_fails(BOB, Create::default(), CREDIT_TOO_LOW);
        assert_eq!(TwinContractCount::<Test>::get(1), 0);
    });
}

#[test]
fn needs_the_deposit() {
    run(|| {
        assert_fails(MODEST, with_body(1_000), TokenError::FundsUnavailable);
        assert_ok!(call(MODEST, Create::default()));
    });
}

#[test]
fn needs_what_the_node_has_free() {
    run(|| {
        let rest = capacity().checked_sub(&small()).unwrap();
        opened(Create::default());
        let more = Resources { cru: rest.cru + 1, ..rest };
        assert_fails(BOB, Create { resources: more, ..Create::default() }, NO_CAPACITY);
        assert_ok!(call(BOB, Create { resources: rest, ..Create::default() }));
        assert_eq!(used(NODE), capacity());
    });
}

#[test]
fn a_draining_node_takes_no_more() {
    run(|| {
        opened(Create::default());
        on_node(NODE, |node| node.facts.draining = true);
        assert_fails(BOB, Create::default(), NODE_DRAINS);
    });
}

#[test]
fn needs_what_the_farm_has_of_addresses() {
    run(|| {
        let with_ips = |public_ips| Create { public_ips, ..Create::default() };
        assert_fails(BOB, with_ips(9), NO_IPS);
        assert_ok!(call(BOB, with_ips(8)));
        assert_fails(BOB, with_ips(1), NO_IPS);
        assert_ok!(call(BOB, with_ips(0)));
    });
}

#[test]
fn needs_credit_for_its_traffic() {
    run(|| {
        let with_traffic = |traffic_gb| Create { traffic_gb, ..Create::default() };
        assert_fails(BOB, with_traffic(AFFORDABLE_GB + 1), CREDIT_TOO_LOW);
        assert_ok!(call(BOB, with_traffic(AFFORDABLE_GB)));
    });
}
