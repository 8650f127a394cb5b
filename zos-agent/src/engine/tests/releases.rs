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

#[tokio::test]
async fn a_contract_that_was_never_seen_is_released() {
    let mut node = Node::new();
    node.timing.look_every = Duration::from_millis(20);
    node.start();
    node.chain.deploy_and_close(1, &machine("web", "localhost/web:1"));
    node.until("its addresses are free", |node| !node.chain.is_cooling_down(1)).await;
    assert_eq!(node.host.log(), Vec::<String>::new());
}

#[tokio::test]
async fn a_contract_that_closed_before_the_start_is_released() {
    let mut node = Node::new();
    node.chain.deploy_and_close(1, &machine("web", "localhost/web:1"));
    node.start();
    node.until("its addresses are free", |node| !node.chain.is_cooling_down(1)).await;
}

#[tokio::test]
async fn partly_removed_contract_is_not_released() {
    let mut node = Node::running();
    node.chain.give_addresses(1);
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.kill().await;
    node.chain.close(1);
    node.host.points.hang_after(Some(1));
    node.timing.look_every = Duration::ZERO;
    node.start();
    node.until("its removal hangs", |node| node.host.points.hangs_at().is_some()).await;
    let observations = node.host.observations();
    node.until("the agent has observed twice", |node| node.host.observations() >= observations + 2).await;
    assert_eq!(node.chain.reports("released"), []);

    node.host.points.hang_after(None);
    node.until("its addresses are free", |node| !node.chain.is_cooling_down(1)).await;
    assert!(node.host.is_empty());
}
