// SPDX-License-Identifier: Apache-2.0

use super::*;

/// What a contract was charged that was charged at all.
const TFT_CHARGED: u128 = 70;

fn status(contract: ContractId) -> Option<ContractStatus> {
    Contracts::contract_status(contract)
}

#[test]
fn a_status_follows_the_contracts_life() {
    run(|| {
        let (tft, usd) = (TFT_CHARGED, CHARGE.usd);
        assert_eq!(status(1), None);
        let contract = opened(Create::default());
        assert_eq!(status(contract), Some(ContractStatus::Created));
        assert_ok!(report(confirm(contract)));
        assert_eq!(status(contract), Some(ContractStatus::Deployed { tft, usd }));
        assert_ok!(call(BOB, cancel(contract)));
        let reason = ClosingReason::Cancelled;
        assert_eq!(status(contract), Some(ContractStatus::Closed { reason, tft, usd }));
        pass(TOMBSTONE_LIFE);
        assert_eq!(status(contract), None);
    });
}

#[test]
fn a_status_shows_an_exhausted_payer() {
    run(|| {
        let (tft, usd) = (TFT_CHARGED, CHARGE.usd);
        let (created, deployed, name) =
            (opened(Create::default()), running(Create::default()), opened(name("shop")));
        Doubles::mutate(|state| state.exhausted.insert(1, false));
        assert_eq!(status(created), Some(ContractStatus::Created));
        assert_eq!(status(deployed), Some(ContractStatus::Paused { tft, usd }));
        assert_eq!(status(name), Some(ContractStatus::Paused { tft, usd }));
    });
}

#[test]
fn a_status_shows_a_silent_node_first() {
    run(|| {
        let (contract, name) = (running(Create::default()), opened(name("shop")));
        Doubles::mutate(|state| state.exhausted.insert(1, false));
        set_service(NODE, Service::Suspended);
        let (tft, usd) = (TFT_CHARGED, CHARGE.usd);
        assert_eq!(status(contract), Some(ContractStatus::NodeOffline { tft, usd }));
        assert_eq!(status(name), Some(ContractStatus::Paused { tft, usd }));
    });
}

#[test]
fn a_drained_node_serves_until_its_contracts_close() {
    run(|| {
        let contract = running(Create::default());
        let (tft, usd) = (TFT_CHARGED, CHARGE.usd);
        set_service(NODE, Service::Ended(ClosingReason::Drained));
        assert_eq!(status(contract), Some(ContractStatus::Deployed { tft, usd }));
        set_service(NODE, Service::Ended(ClosingReason::NodeSilent));
        assert_eq!(status(contract), Some(ContractStatus::NodeOffline { tft, usd }));
    });
}

#[test]
fn a_node_reads_what_it_has_to_deploy() {
    run(|| {
        let contract = opened(Create::default());
        let shown = || Contracts::contracts_of_node(NODE, None, 10).items;
        let first = NodeContract {
            contract,
            twin: 1,
            version: 1,
            body_hash: Body::Plain(BODY.to_vec()).hash(),
            deployed: false,
            paused: false,
            closes_at: None,
            resources: small(),
            pending: None,
        };
        assert_eq!(shown(), [first]);
        assert_ok!(report(confirm(contract)));
        assert_eq!(shown(), [NodeContract { deployed: true, ..first }]);

        assert_ok!(call(BOB, Update::default()));
        let body_hash = Body::Plain(NEW_BODY.to_vec()).hash();
        let pending = Some(PendingVersion { version: 2, body_hash, resources: large() });
        assert_eq!(shown(), [NodeContract { deployed: true, pending, ..first }]);
        Doubles::mutate(|state| state.exhausted.insert(1, false));
        let closes_at = Some(GRACE_ENDS);
        assert_eq!(shown(), [NodeContract { deployed: true, paused: true, closes_at, pending, ..first }]);

        assert_ok!(report(confirm(contract)));
        let second = NodeContract { version: 2, body_hash, resources: large(), ..first };
        assert_eq!(shown(), [NodeContract { deployed: true, paused: true, closes_at, ..second }]);
    });
}

#[test]
fn contract_that_is_not_deployed_is_not_paused() {
    run(|| {
        opened(Create::default());
        Doubles::mutate(|state| state.exhausted.insert(1, false));
        assert!(!Contracts::contracts_of_node(NODE, None, 10).items[0].paused);
    });
}

#[test]
fn pages_of_a_node_skip_its_rent() {
    run(|| {
        let rent = opened(rent(NODE));
        for _ in 0..5 {
            opened(Create::default());
        }
        let order = listed(NODE);
        assert_ne!(order.last(), Some(&rent), "a rent at the end would prove nothing");
        let (mut seen, mut after, mut pages) = (vec![], None, 0);
        loop {
            let page = Contracts::contracts_of_node(NODE, after, 2);
            (pages, after) = (pages + 1, page.next);
            seen.extend(page.items.into_iter().map(|shown| shown.contract));
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = order.into_iter().filter(|contract| *contract != rent).collect();
        assert_eq!((seen, pages), (expected, 3));
        assert_eq!(Contracts::contracts_of_node(9, None, 2).items, []);
    });
}

#[test]
fn a_twin_reads_its_contracts_with_their_prices() {
    run(|| {
        on_node(OTHER_NODE, |node| node.facts.extra_fee = 70);
        let node = opened(Create { public_ips: 1, ..Create::default() });
        let (rent, name) = (opened(rent(OTHER_NODE)), opened(name("shop")));
        assert_ok!(call(CHARLIE, Create::default()));

        let mut shown = Contracts::contracts_of_twin(1, None, 10).items;
        shown.sort_by_key(|shown| shown.contract);
        let targets = [
            Target::Node { node: NODE, resources: small(), public_ips: 1 },
            Target::Rent { node: OTHER_NODE },
            Target::Name { name: b"shop".to_vec() },
        ];
        let (tft, usd) = (TFT_CHARGED, CHARGE.usd);
        let deployed = ContractStatus::Deployed { tft, usd };
        let rates = [(SMALL_RATE + IP_RATE, 0), (list_price(capacity()) / 2, 70), (2_500_000, 0)];
        let expected = [node, rent, name].into_iter().zip(targets).zip(rates);
        assert_eq!(shown.len(), 3);
        for (shown, ((contract, target), (rate, extra))) in shown.into_iter().zip(expected) {
            let status = if contract == node { ContractStatus::Created } else { deployed };
            assert_eq!(shown, TwinContract { contract, target, status, rate, extra });
        }
    });
}

#[test]
fn a_pending_version_is_not_its_contracts_target() {
    run(|| {
        updating(small(), large());
        let shown = &Contracts::contracts_of_twin(1, None, 10).items[0];
        assert_eq!(shown.target, Target::Node { node: NODE, resources: small(), public_ips: 0 });
        assert_eq!(shown.rate, SMALL_RATE);
    });
}

#[test]
fn pages_of_a_twin_follow_each_other() {
    run(|| {
        for letter in ["a", "b", "c", "d", "e"] {
            opened(name(letter));
        }
        let order: Vec<_> = TwinContracts::<Test>::iter_key_prefix(1).collect();
        let page = |after, limit| {
            let page = Contracts::contracts_of_twin(1, after, limit);
            (page.items.into_iter().map(|shown| shown.contract).collect::<Vec<_>>(), page.next)
        };
        assert_eq!(page(None, 2), (order[..2].to_vec(), Some(order[1])));
        assert_eq!(page(Some(order[1]), 2), (order[2..4].to_vec(), Some(order[3])));
        assert_eq!(page(Some(order[3]), 2), (order[4..].to_vec(), None));
        assert_eq!(page(None, 0), (order[..1].to_vec(), Some(order[0])), "a page has something");
    });
}

#[test]
fn quotes_are_what_contracts_cost() {
    run(|| {
        on_node(NODE, |node| node.facts.extra_fee = 70);
        assert_eq!(Contracts::quote(NODE, small(), 2), Some(SMALL_RATE + 2 * IP_RATE));
        assert_eq!(Contracts::quote_rent(NODE), Some(list_price(capacity()) / 2 + 70));
        assert_eq!(Contracts::quote_name(), Some(2_500_000));
        opened(rent(NODE));
        assert_eq!(Contracts::quote(NODE, small(), 2), Some(2 * IP_RATE), "what its tenant pays");
    });
}

#[test]
fn no_quote_is_given_without_node_list_or_bound() {
    run(|| {
        assert_eq!((Contracts::quote(9, small(), 0), Contracts::quote_rent(9)), (None, None));
        assert_eq!(Contracts::quote(NODE, absurd(), 0), None);
        on_node(NODE, |node| node.facts.extra_fee = UsdRate::MAX);
        assert_eq!(Contracts::quote_rent(NODE), None);
        set_prices(None);
        let quotes =
            [Contracts::quote(NODE, small(), 0), Contracts::quote_rent(NODE), Contracts::quote_name()];
        assert_eq!(quotes, [None; 3]);
    });
}

#[test]
fn a_twin_is_in_use_while_it_has_contracts() {
    run(|| {
        assert!(!Contracts::is_in_use(1));
        let contracts = [opened(name("shop")), opened(Create::default())];
        for contract in contracts {
            assert!(Contracts::is_in_use(1) && !Contracts::is_in_use(2));
            assert_ok!(call(BOB, cancel(contract)));
        }
        assert!(!Contracts::is_in_use(1));
        assert!(!TwinContractCount::<Test>::contains_key(1), "a count of nothing isn't stored");
    });
}
