// SPDX-License-Identifier: Apache-2.0

use super::*;

/// Half of it is more and half of it less than [`small`].
fn other() -> Resources {
    Resources { cru: 1, mru: 4 * GIB, ..small() }
}

#[test]
fn the_larger_is_reserved_the_price_proposed() {
    run(|| {
        let contract = running(Create { public_ips: 1, ..Create::default() });
        let before = record(contract);
        assert_ok!(call(BOB, Update { public_ips: 1, ..Update::default() }));

        let body = Body::Plain(NEW_BODY.to_vec());
        let answer = Answer { asked_at: now(), by: now() + ANSWER_WITHIN };
        let (resources, deposit) = (large(), 3 * PER_BYTE);
        let (body_hash, networks) = (body.hash(), Networks::default());
        let pending = Pending { version: 2, body_hash, resources, public_ips: 1, networks, deposit, answer };
        let mut expected = deployment(contract);
        (expected.last_version, expected.pending) = (2, Some(pending));
        let deposit = before.deposit + deposit;
        assert_eq!(record(contract), Contract { kind: ContractKind::Node(expected), deposit, ..before });
        assert_eq!(PendingBodies::<Test>::get(contract), body.into_stored());
        assert_eq!((used(NODE), held(BOB)), (large(), deposit));
        assert_eq!(armed(Deadline::Answer(contract)), Some(answer.by));

        let rate = list_price(large()) + IP_RATE;
        assert_eq!(traced(), [Traced::Propose(contract, rate)]);
        let Account { price, proposed, .. } = account(contract);
        let rates = Rates { usd: rate, extra: 0 };
        assert_eq!(proposed, Some(ContractPrice { rates, ..price }), "the addresses stay");
        assert_eq!(events(), [Event::UpdateRequested { contract, node: NODE, version: 2, rate }]);
    });
}

fn members(name: &[u8]) -> Vec<(ContractId, Subnet)> {
    let name = NetworkName::try_from(name.to_vec()).unwrap();
    NetworkMembers::<Test>::iter_prefix((1, name)).collect()
}

#[test]
fn networks_change_when_the_version_runs() {
    run(|| {
        let (old, kept) = (network("old", [10, 1, 0, 0], 24), network("kept", [10, 2, 0, 0], 24));
        let moved = network("kept", [10, 3, 0, 0], 24);
        let first = vec![old.clone(), kept.clone()].try_into().unwrap();
        let contract = running(Create { networks: first, ..Create::default() });
        let networks: Networks = vec![moved.clone(), network("new", [10, 4, 0, 0], 24)].try_into().unwrap();
        let update = || Update { networks: networks.clone(), ..Update::default() };
        assert_ok!(call(BOB, update()));
        assert_eq!((members(b"kept"), members(b"new")), (vec![(contract, kept.subnet)], vec![]));
        assert_ok!(call(BOB, Call::withdraw_update { contract }));
        assert_eq!(members(b"old"), [(contract, old.subnet)]);

        assert_ok!(call(BOB, update()));
        assert_ok!(report(confirm(contract)));
        assert_eq!((members(b"old"), members(b"kept")), (vec![], vec![(contract, moved.subnet)]));
        assert_eq!((members(b"new").len(), deployment(contract).networks), (1, networks));
    });
}

fn mesh(third: u8, prefix: u8) -> Networks {
    vec![network("mesh", [10, 1, third, 0], prefix)].try_into().unwrap()
}

fn in_mesh(third: u8, prefix: u8) -> Create {
    Create { networks: mesh(third, prefix), ..Create::default() }
}

/// An update that only takes this range.
fn to_mesh(contract: ContractId, third: u8, prefix: u8) -> Update {
    Update { contract, resources: small(), networks: mesh(third, prefix), ..Update::default() }
}

#[test]
fn a_version_that_is_pending_has_its_ranges_already() {
    run(|| {
        let first = running(in_mesh(0, 24));
        assert_ok!(call(BOB, to_mesh(first, 8, 24)));
        for third in [0, 8] {
            assert_fails(BOB, in_mesh(third, 24), Failure::RangeTaken);
        }
        assert_ok!(report(confirm(first)));
        let second = running(in_mesh(0, 24));
        for (third, prefix) in [(8, 24), (8, 25), (0, 16)] {
            assert_fails(BOB, to_mesh(second, third, prefix), Failure::RangeTaken);
        }
        assert_ok!(call(BOB, to_mesh(second, 4, 24)));
        assert_ok!(call(BOB, Call::withdraw_update { contract: second }));
        opened(in_mesh(4, 24));
    });
}

#[test]
fn a_range_grows_and_shrinks() {
    run(|| {
        let contract = running(in_mesh(4, 24));
        for (third, prefix) in [(4, 23), (4, 23), (5, 24), (0, 16), (4, 24)] {
            assert_ok!(call(BOB, to_mesh(contract, third, prefix)));
            assert_fails(BOB, in_mesh(5, 30), Failure::RangeTaken);
            assert_ok!(report(confirm(contract)));
        }
        opened(in_mesh(5, 24));
    });
}

#[test]
fn another_first_version_has_other_ranges_at_once() {
    run(|| {
        let (other, contract) = (opened(in_mesh(0, 24)), opened(in_mesh(1, 24)));
        assert_fails(BOB, to_mesh(contract, 0, 23), Failure::RangeTaken);
        assert_ok!(call(BOB, to_mesh(contract, 2, 24)));
        assert_ok!(call(BOB, to_mesh(other, 0, 23)));
        assert_eq!(members(b"mesh").len(), 2);
    });
}

#[test]
fn addresses_are_reserved_at_once_and_freed_when_less_runs() {
    run(|| {
        let contract = running(Create { public_ips: 1, ..Create::default() });
        let update = |public_ips| Update { public_ips, ..Update::default() };
        assert_fails(BOB, update(9), NO_IPS);
        assert_ok!(call(BOB, update(3)));
        assert_eq!(Doubles::get().free_ips, 5);
        assert_ok!(report(confirm(contract)));
        assert_eq!((Doubles::get().free_ips, account(contract).price.public_ips), (5, 3));
        assert_ok!(call(BOB, update(1)));
        assert_eq!(Doubles::get().free_ips, 5);
        assert_ok!(report(confirm(contract)));
        assert_eq!((Doubles::get().free_ips, account(contract).price.public_ips), (7, 1));
        assert_ok!(call(BOB, Update { resources: small(), ..update(0) }));
        assert_ok!(report(confirm(contract)));
        assert_eq!(Doubles::get().free_ips, 8);
    });
}

#[test]
fn addresses_of_a_version_that_fails_are_free() {
    run(|| {
        let contract = running(Create { public_ips: 1, ..Create::default() });
        assert_ok!(call(BOB, Update { public_ips: 3, ..Update::default() }));
        assert_ok!(report(reject(contract)));
        assert_eq!(Doubles::get().free_ips, 7);
    });
}

#[test]
fn addresses_of_a_version_without_answer_cool_down() {
    run(|| {
        let contract = running(Create { public_ips: 1, ..Create::default() });
        let more = || Update { public_ips: 3, ..Update::default() };
        assert_ok!(call(BOB, more()));
        assert_ok!(call(BOB, Call::withdraw_update { contract }));
        assert_eq!(Doubles::get().free_ips, 5);
        pass(ANSWER_WITHIN - 1);
        // The contract itself may have them again, and their time starts anew.
        assert_ok!(call(BOB, more()));
        assert_ok!(call(BOB, Call::withdraw_update { contract }));
        pass(ANSWER_WITHIN - 1);
        assert_eq!(Doubles::get().free_ips, 5);
        pass(1);
        assert_eq!(Doubles::get().free_ips, 7);
    });
}

#[test]
fn a_first_version_changes_addresses_and_networks() {
    run(|| {
        let mesh = network("mesh", [10, 1, 0, 0], 24);
        assert_ok!(call(BOB, Create { public_ips: 3, ..Create::default() }));
        let networks = Networks::try_from(vec![mesh.clone()]).unwrap();
        assert_ok!(call(BOB, Update { public_ips: 1, networks, ..Update::default() }));
        assert_eq!((Doubles::get().free_ips, members(b"mesh")), (5, vec![(1, mesh.subnet)]));
        pass(ANSWER_WITHIN - 1);
        assert_ok!(report(work_on(1)));
        pass(1);
        assert_eq!((Doubles::get().free_ips, account(1).price.public_ips), (7, 1));
    });
}

#[test]
fn what_the_node_does_not_serve_is_refused() {
    run(|| {
        let contract = running(Create::default());
        on_node(NODE, |node| node.facts.features = Features::ZMACHINE);
        let networks = || Networks::try_from(vec![network("mesh", [10, 1, 0, 0], 24)]).unwrap();
        let with_ips = Create { public_ips: 1, ..Create::default() };
        assert_fails(BOB, with_ips, Failure::PublicIpsNotServed);
        let with_networks = Create { networks: networks(), ..Create::default() };
        assert_fails(BOB, with_networks, Failure::NetworksNotServed);
        let with_ips = Update { contract, public_ips: 1, ..Update::default() };
        assert_fails(BOB, with_ips, Failure::PublicIpsNotServed);
        let with_networks = Update { contract, networks: networks(), ..Update::default() };
        assert_fails(BOB, with_networks, Failure::NetworksNotServed);
        assert_ok!(call(BOB, Update::default()));
    });
}

#[test]
fn a_smaller_version_frees_nothing_yet() {
    run(|| {
        updating(large(), small());
        assert_eq!(used(NODE), large());
    });
}

#[test]
fn the_larger_of_each_resource_is_reserved() {
    run(|| {
        updating(small(), other());
        assert_eq!(used(NODE), Resources { mru: 4 * GIB, ..small() });
    });
}

#[test]
fn a_confirmed_version_is_the_active_one() {
    for (first, second) in [(small(), large()), (large(), small()), (small(), other())] {
        run(|| {
            let contract = updating(first, second);
            let hash = asked(contract).1;
            assert_ok!(report(confirm(contract)));
            assert_eq!(traced(), [Traced::Accept(contract)]);
            assert_eq!(events(), [Event::Deployed { contract, node: NODE, version: 2 }]);
            let Deployment { version, body_hash, resources, pending, .. } = deployment(contract);
            assert_eq!((version, body_hash, resources, pending), (2, hash, second, None));
            assert_eq!(Bodies::<Test>::get(contract).unwrap().bytes(), NEW_BODY);
            assert_eq!(PendingBodies::<Test>::get(contract), None);
            assert_eq!((used(NODE), held(BOB)), (second, DEPOSIT + 3 * PER_BYTE));
            assert_eq!(armed(Deadline::Answer(contract)), None);
            assert_eq!(account(contract).price.rates.usd, list_price(second));
        });
    }
}

#[test]
fn a_rejected_version_leaves_the_active_one() {
    for (first, second) in [(small(), large()), (large(), small()), (small(), other())] {
        run(|| {
            let contract = updating(first, second);
            let failure = failed_payload(contract).failure;
            assert_ok!(report(reject(contract)));
            assert_eq!(traced(), [Traced::Reject(contract, Some(0))]);
            assert_eq!(Failures::<Test>::get(contract), Some(failure.clone()));
            assert_eq!(events(), [Event::DeploymentRejected { contract, node: NODE, failure }]);
            let Deployment { version, resources, pending, .. } = deployment(contract);
            assert_eq!((version, resources, pending), (1, first, None));
            assert_eq!(Bodies::<Test>::get(contract).unwrap().bytes(), BODY);
            assert_eq!(PendingBodies::<Test>::get(contract), None);
            assert_eq!((used(NODE), held(BOB)), (first, DEPOSIT + 2 * PER_BYTE));
            assert_eq!(armed(Deadline::Answer(contract)), None);
            assert_eq!(account(contract).price.rates.usd, list_price(first));
        });
    }
}

#[test]
fn no_version_is_given_twice() {
    run(|| {
        let contract = updating(small(), large());
        assert_ok!(report(reject(contract)));
        assert_ok!(call(BOB, Update::default()));
        assert_eq!(asked(contract).0, 3);
        assert_ok!(report(confirm(contract)));
        assert_eq!((deployment(contract).version, deployment(contract).last_version), (3, 3));
    });
}

#[test]
fn versions_run_out() {
    run(|| {
        let contract = running(Create::default());
        let mut record = record(contract);
        let ContractKind::Node(deployment) = &mut record.kind else { unreachable!() };
        deployment.last_version = u32::MAX;
        crate::Contracts::<Test>::insert(contract, record);
        assert_fails(BOB, Update::default(), Failure::IdsExhausted);
    });
}

#[test]
fn on_a_rented_node_only_addresses_are_priced() {
    run(|| {
        opened(rent(NODE));
        let contract = running(Create { public_ips: 1, ..Create::default() });
        let update = Update { contract, public_ips: 1, max_usd_rate: IP_RATE, ..Update::default() };
        assert_ok!(call(BOB, update));
        assert_eq!(traced(), [Traced::Propose(contract, IP_RATE)]);
    });
}

#[test]
fn is_the_owners_alone() {
    run(|| {
        running(Create::default());
        assert_fails(BOB, Update { contract: 2, ..Update::default() }, Failure::UnknownContract);
        assert_fails(STRANGER, Update::default(), Failure::NoTwin);
        assert_fails(CHARLIE, Update::default(), Failure::NotOwner);
    });
}

#[test]
fn needs_a_body_of_at_most_8192_bytes() {
    run(|| {
        running(Create::default());
        let with_body = |bytes| Update { body: Body::Plain(vec![b' '; bytes]), ..Update::default() };
        assert_fails(BOB, with_body(0), Failure::BodySizeOutOfRange);
        assert_fails(BOB, with_body(8_193), Failure::BodySizeOutOfRange);
        assert_ok!(call(BOB, with_body(8_192)));
    });
}

#[test]
fn rents_and_names_have_no_versions() {
    run(|| {
        for contract in [opened(rent(NODE)), opened(name("shop"))] {
            assert_fails(BOB, Update { contract, ..Update::default() }, Failure::NotANodeContract);
        }
    });
}

#[test]
fn takes_the_place_of_a_first_version() {
    run(|| {
        let contract = opened(Create::default());
        let first = deployed_payload(contract);
        pass(MINUTE_MS);
        begin();
        assert_ok!(call(BOB, Update { contract, resources: other(), ..Update::default() }));
        let rate = list_price(other());
        assert_eq!(traced(), [Traced::Replace(contract, rate, Some(MINUTE_MS))]);
        assert_eq!(events(), [Event::UpdateRequested { contract, node: NODE, version: 2, rate }]);
        let Deployment { version, last_version, resources, pending, .. } = deployment(contract);
        assert_eq!((version, last_version, resources, pending), (2, 2, other(), None));
        assert_eq!((used(NODE), held(BOB)), (other(), DEPOSIT + 3 * PER_BYTE));
        assert_eq!(Bodies::<Test>::get(contract).unwrap().bytes(), NEW_BODY);
        assert_eq!(armed(Deadline::Answer(contract)), Some(now() + ANSWER_WITHIN));

        assert_refused(deployed(NODE, next(), first), Refusal::VersionMismatch);
        assert_ok!(report(confirm(contract)));
        assert_eq!(account(contract).price.rates.usd, rate);
    });
}

#[test]
fn a_first_version_is_kept_where_a_newer_one_is_refused() {
    run(|| {
        let contract = opened(Create::default());
        credit_too_low();
        assert_fails(BOB, Update { contract, resources: large(), ..Update::default() }, CREDIT_TOO_LOW);
        assert_eq!((deployment(contract).version, used(NODE)), (1, small()));
    });
}

#[test]
fn takes_the_place_of_the_pending_one() {
    run(|| {
        let contract = updating(small(), large());
        let deposit = record(contract).deposit;
        pass(MINUTE_MS);
        assert_ok!(call(BOB, Update { contract, resources: other(), ..Update::default() }));
        let [rejected, _] = traced()[..] else { panic!("a proposal ends and another begins") };
        assert_eq!(rejected, Traced::Reject(contract, Some(MINUTE_MS)));
        let pending = deployment(contract).pending.unwrap();
        assert_eq!((pending.version, pending.resources), (3, other()));
        assert_eq!(record(contract).deposit, deposit);
        assert_eq!(armed(Deadline::Answer(contract)), Some(now() + ANSWER_WITHIN));
        // The node's answer on the version that it was asked for before comes too late.
        let late = DeployedPayload { version: 2, ..deployed_payload(contract) };
        assert_refused(deployed(NODE, next(), late), Refusal::VersionMismatch);
    });
}

#[test]
fn asks_for_something() {
    run(|| {
        let contract = running(Create::default());
        let nothing = Update { contract, resources: Resources::ZERO, ..Update::default() };
        assert_fails(BOB, nothing, Failure::NothingRequested);
    });
}

#[test]
fn is_kept_where_a_newer_one_is_refused() {
    run(|| {
        let contract = updating(small(), large());
        assert_fails(
            BOB,
            Update { contract, resources: absurd(), ..Update::default() },
            Failure::RateOutOfRange,
        );
        assert_eq!(deployment(contract).pending.unwrap().version, 2);
    });
}

#[test]
fn is_withdrawn_by_its_owner() {
    run(|| {
        let withdraw = |contract| Call::withdraw_update { contract };
        let contract = running(Create { resources: small(), ..Create::default() });
        let deposit = record(contract).deposit;
        assert_fails(BOB, withdraw(contract), Failure::NoUpdatePending);
        assert_fails(BOB, withdraw(99), Failure::UnknownContract);
        assert_ok!(call(BOB, Update { contract, resources: large(), ..Update::default() }));
        begin();
        assert_fails(CHARLIE, withdraw(contract), Failure::NotOwner);
        assert_ok!(call(BOB, withdraw(contract)));
        assert_eq!(traced(), [Traced::Reject(contract, Some(0))]);
        assert_eq!(events(), [Event::UpdateWithdrawn { contract, version: 2 }]);
        assert_eq!((record(contract).deposit, deployment(contract).pending), (deposit, None));
        assert_eq!(armed(Deadline::Answer(contract)), None);
    });
}

#[test]
fn needs_a_node_that_is_there_and_serves() {
    run(|| {
        running(Create::default());
        set_service(NODE, Service::Suspended);
        assert_fails(BOB, Update::default(), Failure::NodeOffline);
        remove_node(NODE);
        assert_fails(BOB, Update::default(), Failure::UnknownNode);
    });
}

#[test]
fn costs_at_most_what_its_owner_accepts() {
    run(|| {
        running(Create { public_ips: 1, ..Create::default() });
        assert_fails(BOB, Update { resources: absurd(), ..Update::default() }, Failure::RateOutOfRange);
        let rate = list_price(large()) + IP_RATE;
        let accept = |max_usd_rate| Update { public_ips: 1, max_usd_rate, ..Update::default() };
        assert_fails(BOB, accept(rate - 1), Failure::RateAboveMaximum);
        assert_ok!(call(BOB, accept(rate)));
    });
}

#[test]
fn needs_credit_unless_it_costs_less() {
    run(|| {
        running(Create::default());
        credit_too_low();
        assert_fails(BOB, Update::default(), CREDIT_TOO_LOW);
        assert_ok!(call(BOB, Update { resources: other(), ..Update::default() }));
    });
}

#[test]
fn needs_what_the_node_has_free() {
    run(|| {
        running(Create::default());
        opened(Create::default());
        let most = capacity().checked_sub(&small()).unwrap();
        let more = Resources { cru: most.cru + 1, ..most };
        assert_fails(BOB, Update { resources: more, ..Update::default() }, NO_CAPACITY);
        assert_ok!(call(BOB, Update { resources: most, ..Update::default() }));
        assert_eq!(used(NODE), capacity());
    });
}

#[test]
fn a_draining_node_still_updates() {
    run(|| {
        running(Create::default());
        on_node(NODE, |node| node.facts.draining = true);
        assert_ok!(call(BOB, Update::default()));
    });
}

#[test]
fn needs_the_deposit() {
    run(|| {
        assert_ok!(call(MODEST, Create::default()));
        assert_ok!(report(confirm(1)));
        let body = Body::Plain(vec![b' '; 1_000]);
        assert_fails(MODEST, Update { body, ..Update::default() }, TokenError::FundsUnavailable);
        assert_ok!(call(MODEST, Update::default()));
    });
}
