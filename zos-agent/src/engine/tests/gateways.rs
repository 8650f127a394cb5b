// SPDX-License-Identifier: Apache-2.0
//! Contracts with sites.

use super::*;
use crate::{chain::Traffic, drivers::Counted};

/// A site of twin 1 and nothing else.
fn shop() -> String {
    r#"{"version":1,"workloads":[{"name":"shop","type":"gateway-name-proxy",
        "data":{"name":"shop","backends":["http://185.69.166.20:80"]}}]}"#
        .into()
}

fn gateway() -> Node {
    let node = Node::running();
    node.chain.set_public_place();
    node.chain.hold_name("shop", Some(1));
    node
}

fn last_result(node: &Node) -> String {
    match node.chain.reports("deployed").pop() {
        Some(Report::Deployed { result, .. }) => String::from_utf8(result).unwrap(),
        other => panic!("a result expected: {other:?}"),
    }
}

#[tokio::test]
async fn a_site_is_published_and_its_address_told() {
    let node = gateway();
    node.chain.deploy(1, &shop());
    node.until_deployed(1).await;
    assert_eq!(node.host.log(), ["publish 1-shop"]);
    assert_eq!(last_result(&node), r#"{"shop":{"url":"https://shop.gw1.example.org"}}"#);
    node.chain.close(1);
    node.until("it is gone", |node| node.did("end 1-shop") && node.host.is_empty()).await;
}

#[tokio::test]
async fn a_name_that_another_twin_holds_is_refused() {
    let node = gateway();
    node.chain.hold_name("shop", Some(2));
    node.chain.deploy(1, &shop());
    let expected = (FailureCode::BodyInvalid, "/workloads/0/data/name".to_string());
    assert_eq!(node.until_failed().await, expected);
}

#[tokio::test]
async fn a_paused_contract_publishes_nothing_until_it_is_paid() {
    let node = gateway();
    node.chain.deploy(1, &shop());
    node.until_deployed(1).await;
    node.chain.pause(1, true);
    node.until("it ends", |node| node.did("end 1-shop")).await;
    node.chain.pause(1, false);
    node.until("it is back", |node| node.times("publish 1-shop") == 2).await;
}

#[tokio::test]
async fn a_site_without_traffic_is_slow_until_its_owner_buys_some() {
    let mut node = Node::new();
    node.chain.limits.usage_ms = 1_000;
    node.chain.set_traffic(1, Traffic { left_bytes: 100, reported_bytes: 0 });
    node.start();
    node.chain.set_public_place();
    node.chain.hold_name("shop", Some(1));
    node.chain.deploy(1, &shop());
    node.until_deployed(1).await;
    node.host.count(1, Counted { received_bytes: 40, sent_bytes: 60 });
    node.until("it is slow", |node| node.host.is_slow(1)).await;
    node.chain.set_traffic(1, Traffic { left_bytes: 1, reported_bytes: 100 });
    node.until("it has its speed", |node| !node.host.is_slow(1)).await;
}
