// SPDX-License-Identifier: Apache-2.0
//! The addresses of closed contracts: the chain hears when nothing of them is left.

use super::*;

#[tokio::test]
async fn the_chain_hears_once_that_nothing_of_a_closed_contract_is_left() {
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
async fn nothing_is_said_of_a_contract_that_the_chain_does_not_ask_about() {
    let node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.chain.close(1);
    node.until("nothing is left", |node| node.host.is_empty()).await;
    node.until_another_came_and_went().await;
    assert_eq!(node.chain.reports("released"), []);
}

#[tokio::test]
async fn an_agent_that_was_killed_before_it_could_say_so_says_it_on_return() {
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
async fn a_contract_that_never_ran_here_is_released_too() {
    let node = Node::running();
    node.chain.give_addresses(1);
    node.chain.deploy(1, &machine("web", "web"));
    node.until_failed().await;
    node.until("its addresses are free", |node| !node.chain.is_cooling_down(1)).await;
    assert_eq!(node.host.log(), Vec::<String>::new());
}
