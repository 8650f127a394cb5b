// SPDX-License-Identifier: Apache-2.0
//! Contracts with public addresses.

use super::*;
use crate::{chain::Traffic, drivers::Counted};
use tfgrid_client::public_ip::{PublicAddress, PublicIp, PublicNetwork};

fn ip(last: u8) -> PublicIp {
    let v4 = PublicAddress { ip: [11, 1, 1, last].into(), gateway: [11, 1, 1, 254].into() };
    PublicIp { v4, v6: None }
}

/// Machines of these names, each with a public address.
fn public(names: &[&str]) -> String {
    let images: Vec<_> = names.iter().map(|name| (*name, "localhost/web:1")).collect();
    machines(&images).replace(r#""cpu""#, r#""public_ip":true,"ports":["80/tcp"],"cpu""#)
}

fn has(node: &Node, name: &str, last: u8) -> bool {
    node.host.public_ips(1, name) == [std::net::IpAddr::from([11, 1, 1, last])]
}

#[tokio::test]
async fn machines_get_the_contracts_addresses_in_order() {
    let node = Node::running();
    node.chain.set_public_ips(1, &[ip(9), ip(10)]);
    node.chain.deploy(1, &public(&["web", "db"]));
    node.until_deployed(1).await;
    assert!(has(&node, "web", 9) && has(&node, "db", 10));
    match &node.chain.reports("deployed")[..] {
        [Report::Deployed { result, .. }] => {
            let text = String::from_utf8_lossy(result);
            assert!(text.contains(r#""public_ip":"11.1.1.9""#) && text.contains("11.1.1.10"), "{text}");
        }
        other => panic!("one report expected: {other:?}"),
    }
}

#[tokio::test]
async fn a_contract_with_too_few_addresses_is_refused() {
    let node = Node::running();
    node.chain.set_public_ips(1, &[ip(9)]);
    node.chain.deploy(1, &public(&["web", "db"]));
    let expected = (FailureCode::OverReserved, "/workloads/1/data/public_ip".to_string());
    assert_eq!(node.until_failed().await, expected);
    assert_eq!(node.failure_text(), "machines ask for 2 public addresses, the contract reserves 1");
}

#[tokio::test]
async fn ipv6_on_a_node_without_it_is_refused() {
    let body = machine("web", "localhost/web:1").replace(r#""cpu""#, r#""ipv6":true,"cpu""#);
    let node = Node::running();
    node.chain.deploy(1, &body);
    let expected = (FailureCode::BodyUnsupported, "/workloads/0/data/ipv6".to_string());
    assert_eq!(node.until_failed().await, expected);

    let node = Node::running();
    let [address, gateway] = ["2a10::1", "fe80::1"].map(|text| text.parse().unwrap());
    let network = PublicNetwork { address, prefix: 64, gateway };
    node.chain.set_public_network(network);
    node.chain.deploy(1, &body);
    node.until_deployed(1).await;
    assert_eq!(node.host.public_ips(1, "web"), [network.address_of(1, "web").unwrap().ip]);
}

#[tokio::test]
async fn two_machines_with_one_ipv6_address_are_refused() {
    let node = Node::running();
    let [address, gateway] = ["2a10::1", "fe80::1"].map(|text| text.parse().unwrap());
    let network = PublicNetwork { address, prefix: 64, gateway };
    node.chain.set_public_network(network);
    let v6 = network.address_of(1, "db");
    node.chain.set_public_ips(1, &[PublicIp { v6, ..ip(9) }]);
    let body = machines(&[("web", "localhost/web:1"), ("db", "localhost/web:1")]);
    let body = body.replace(r#""cpu""#, r#""ipv6":true,"cpu""#);
    node.chain.deploy(1, &body.replacen(r#""ipv6""#, r#""public_ip":true,"ipv6""#, 1));
    assert_eq!(node.until_failed().await, (FailureCode::BodyInvalid, "/workloads/1/data/ipv6".to_string()));
    assert!(node.failure_text().contains("another machine has the address"), "{}", node.failure_text());
}

#[tokio::test]
async fn a_restarted_machine_has_its_address_again() {
    let node = Node::running();
    node.chain.set_public_ips(1, &[ip(9)]);
    node.chain.deploy(1, &public(&["web"]));
    node.until_deployed(1).await;
    node.host.exit(1, "web");
    node.until("it is connected again", |node| node.times("link 1-web") == 2 && has(node, "web", 9)).await;
    assert_eq!(node.times("set 1 addresses of 1"), 1);
}

#[tokio::test]
async fn an_address_that_the_chain_takes_back_goes_alone() {
    let node = Node::running();
    node.chain.set_public_ips(1, &[ip(9)]);
    node.chain.deploy(1, &public(&["web"]));
    node.until_deployed(1).await;
    let instance = node.host.instance(1, "web");
    node.chain.set_public_ips(1, &[]);
    node.until("it is gone", |node| node.host.public_ips(1, "web").is_empty()).await;
    node.chain.set_public_ips(1, &[ip(10)]);
    node.until("there is another", |node| has(node, "web", 10)).await;
    assert_eq!(node.host.instance(1, "web"), instance);
}

#[tokio::test]
async fn an_update_changes_addresses_without_a_restart() {
    let node = Node::running();
    node.chain.set_public_ips(1, &[ip(9)]);
    node.chain.deploy(1, &public(&["web"]));
    node.until_deployed(1).await;
    let instance = node.host.instance(1, "web");
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed_in_version(1, 2).await;
    assert!(node.host.public_ips(1, "web").is_empty());
    assert_eq!(node.host.instance(1, "web"), instance);
}

#[tokio::test]
async fn a_closed_contract_is_released_without_its_addresses() {
    let node = Node::running();
    node.chain.give_addresses(1);
    node.chain.set_public_ips(1, &[ip(9)]);
    node.chain.deploy(1, &public(&["web"]));
    node.until_deployed(1).await;
    node.chain.close(1);
    node.until("its addresses are free", |node| !node.chain.is_cooling_down(1)).await;
    assert!(node.host.is_empty() && node.did("set 0 addresses of 1"));
}

#[tokio::test]
async fn a_contract_that_never_had_traffic_is_slow_at_once() {
    let mut node = Node::new();
    // No reading is due for as long as this test may last.
    node.chain.limits.usage_ms = 3_600_000;
    node.chain.set_public_ips(1, &[ip(9)]);
    node.chain.set_traffic(1, Traffic { left_bytes: 0, reported_bytes: 0 });
    node.start();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    node.chain.deploy(1, &public(&["web"]));
    node.until("it is slow", |node| node.host.is_slow(1)).await;
}

#[tokio::test]
async fn a_contract_without_traffic_is_slow_until_it_has_some() {
    let mut node = Node::new();
    node.chain.limits.usage_ms = 1_000;
    node.chain.set_public_ips(1, &[ip(9)]);
    node.chain.set_traffic(1, Traffic { left_bytes: 100, reported_bytes: 0 });
    node.start();
    node.chain.deploy(1, &public(&["web"]));
    node.until_deployed(1).await;
    node.host.count(1, Counted { received_bytes: 60, sent_bytes: 39 });
    node.until("it is reported", |node| reports(node, 60, 39)).await;
    assert!(!node.host.is_slow(1));

    node.host.count(1, Counted { received_bytes: 61, sent_bytes: 39 });
    node.until("it is slow", |node| node.host.is_slow(1)).await;
    node.chain.set_traffic(1, Traffic { left_bytes: 1, reported_bytes: 100 });
    node.until("it has its speed", |node| !node.host.is_slow(1)).await;
    let events = &mut node.agent.as_mut().unwrap().events;
    let mut told = Vec::new();
    while let Ok((_, what)) = events.try_recv() {
        told.push(what);
    }
    let of_traffic: Vec<_> = told.iter().filter(|what| what.contains("traffic")).collect();
    assert!(of_traffic.len() == 2 && of_traffic[0].contains("1 Mbit/s"), "{told:?}");
}

fn reports(node: &Node, received: u64, sent: u64) -> bool {
    node.chain.reports("usage").iter().any(|report| match report {
        Report::Usage(items) => items.iter().any(|item| {
            item.contract == 1 && (item.totals.received_bytes, item.totals.sent_bytes) == (received, sent)
        }),
        _ => false,
    })
}
