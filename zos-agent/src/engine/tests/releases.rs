// SPDX-License-Identifier: Apache-2.0
//! Releases of closed contracts with public addresses.

use super::*;

#[tokio::test]
async fn a_release_is_reported_once_everything_is_removed() {
    let node = Node::running();
    node.chain.give_addresses(1);
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.chain.close(1);
    node.until("its addresses are free", |node| !node.chain.is_cooling_down(1)).await;
    assert!(node.host.is_empty());
    node.until_another_came_and_went().await;
    assert_eq!(node.chain.reports("released"), [Report::Released { contract: 1 }]);
}

#[tokio::test]
async fn a_release_that_is_not_awaited_is_not_reported() {
    let node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.chain.close(1);
    node.until("nothing is left", |node| node.host.is_empty()).await;
    node.until_another_came_and_went().await;
    assert_eq!(node.chain.reports("released"), []);
}

#[tokio::test]
async fn a_release_is_reported_after_the_agent_was_killed() {
    let mut node = Node::running();
    node.chain.give_addresses(1);
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.chain.refuse_reports(true);
    node.chain.close(1);
    node.until("nothing is left", |node| node.host.is_empty()).await;
    node.kill().await;
    assert!(node.chain.is_cooling_down(1));

    node.chain.refuse_reports(false);
    node.start();
    node.chain.advance();
    node.until("its addresses are free", |node| !node.chain.is_cooling_down(1)).await;
}

#[tokio::test]
async fn a_contract_that_never_ran_here_is_released() {
    let node = Node::running();
    node.chain.give_addresses(1);
    node.chain.deploy(1, &machine("web", "web"));
    node.until_failed().await;
    node.until("its addresses are free", |node| !node.chain.is_cooling_down(1)).await;
    assert_eq!(node.host.log(), Vec::<String>::new());
}
