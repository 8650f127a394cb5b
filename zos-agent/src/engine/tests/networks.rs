// SPDX-License-Identifier: Apache-2.0
//! Contracts with private networks.

use super::*;

/// A machine in a network of its own range.
fn site(range: &str) -> String {
    format!(
        r#"{{"version":1,"workloads":[
            {{"name":"backend","type":"network","data":{{"subnet":"10.20.0.0/16","range":"{range}"}}}},
            {{"name":"web","type":"zmachine","data":{{"image":"localhost/web:1","cpu":1,"memory":16777216,
                "interfaces":[{{"network":"backend"}}]}}}}]}}"#
    )
}

#[tokio::test]
async fn a_machine_is_connected_with_its_network_and_leaves_nothing() {
    let node = Node::running();
    node.chain.deploy(1, &site("10.20.1.0/24"));
    node.until_deployed(1).await;
    let expected = [
        "pull localhost/web:1",
        "ensure network backend of 1",
        "create 1-web",
        "start 1-web",
        "attach 1-web",
    ];
    assert_eq!(node.host.log(), expected);
    node.chain.close(1);
    node.until("everything is removed", |node| node.host.is_empty()).await;
}

#[tokio::test]
async fn a_restarted_machine_is_connected_again() {
    let node = Node::running();
    node.chain.deploy(1, &site("10.20.1.0/24"));
    node.until_deployed(1).await;
    node.host.exit(1, "web");
    node.until("it is connected again", |node| node.times("attach 1-web") == 2).await;
    assert_eq!(node.times("start 1-web"), 2);
}

#[tokio::test]
async fn a_network_that_somebody_has_removed_comes_back() {
    let node = Node::running();
    node.chain.deploy(1, &site("10.20.1.0/24"));
    node.until_deployed(1).await;
    let instance = node.host.instance(1, "web");
    node.host.lose_networks();
    node.until("it is connected again", |node| node.times("attach 1-web") == 2).await;
    assert_eq!(node.host.instance(1, "web"), instance);
}

#[tokio::test]
async fn a_range_that_another_contract_has_is_refused() {
    let node = Node::running();
    node.chain.deploy(1, &site("10.20.1.0/24"));
    node.until_deployed(1).await;
    node.chain.deploy(2, &site("10.20.1.0/24"));
    let expected = (FailureCode::BodyInvalid, "/workloads/0/data/range".to_string());
    assert_eq!(node.until_failed().await, expected);
    assert!(node.host.is_running(1, "web"));
}
