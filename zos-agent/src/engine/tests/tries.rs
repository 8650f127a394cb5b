// SPDX-License-Identifier: Apache-2.0
//! Deployments of which a part can't run. Nothing of them runs unless the chain counts them as deployed.

use super::*;

const IMAGE: &str = "localhost/web:1";

/// Two machines, `a` and `b`.
fn pair() -> String {
    machines(&[("a", IMAGE), ("b", IMAGE)])
}

/// Waits until the agent has looked at the host twice more.
async fn until_observed_twice(node: &Node) {
    let observations = node.host.observations();
    node.until("the agent has observed twice", |node| node.host.observations() >= observations + 2).await;
}

#[tokio::test]
async fn no_machine_starts_while_another_cannot_be_created() {
    let node = Node::running();
    node.host.refuse_create("b", true);
    node.chain.deploy(1, &pair());
    let expected = (FailureCode::WorkloadRefused, "/workloads/1".to_string());
    assert_eq!(node.until_failed().await, expected);
    assert_eq!((node.times("create 1-b"), node.times("start 1-a")), (5, 0));
    node.until("it is removed", |node| node.host.is_empty()).await;
}

#[tokio::test]
async fn a_damaged_image_is_given_up_after_some_tries() {
    let node = Node::running();
    node.host.image(IMAGE, Image::Corrupt(4));
    node.chain.deploy(1, &machine("web", IMAGE));
    node.until_deployed(1).await;

    node.host.image("localhost/web:2", Image::Corrupt(u32::MAX));
    node.chain.deploy(1, &machine("web", "localhost/web:2"));
    let expected = (FailureCode::ImageNotFound, "/workloads/0/data/image".to_string());
    assert_eq!(node.until_failed().await, expected);
    assert_eq!(node.times("pull localhost/web:2"), 5);
    assert!(node.host.is_running(1, "web"));
}

/// Deploys `a` and `b`, of which `b` can't run, while the chain takes no reports: `a` runs only while `b` is
/// tried, and not at all once the agent has given up.
async fn give_up(node: &Node) {
    node.chain.refuse_reports(true);
    node.chain.deploy(1, &pair());
    node.until("it is given up", |node| node.times("start 1-b") == 5 && !node.host.is_running(1, "a")).await;
    until_observed_twice(node).await;
    assert!(!node.host.is_running(1, "a"));
    // On a busy machine the next try may be due before `a` is stopped for the last one.
    assert_eq!((node.times("start 1-a"), node.times("start 1-b")), (node.times("stop 1-a"), 5));
}

/// The chain takes reports again, and the node says that `b` can't run.
async fn assert_rejected(node: &Node, code: FailureCode) {
    node.chain.refuse_reports(false);
    let expected = (code, "/workloads/1".to_string());
    assert_eq!(node.until_failed().await, expected);
}

#[tokio::test]
async fn machines_stop_when_another_cannot_start() {
    let node = Node::running();
    node.host.refuse_start("b", true);
    give_up(&node).await;
    assert_rejected(&node, FailureCode::WorkloadRefused).await;
}

#[tokio::test]
async fn machines_stop_when_another_exits_before_the_answer() {
    let node = Node::running();
    node.host.crash("b", true);
    give_up(&node).await;
    assert_rejected(&node, FailureCode::WorkloadExited).await;
}

#[tokio::test]
async fn a_version_that_is_confirmed_late_is_tried_again() {
    let node = Node::running();
    node.host.crash("b", true);
    give_up(&node).await;
    node.host.crash("b", false);
    node.chain.confirm(1);
    node.until("both run", |node| node.host.is_running(1, "a") && node.host.is_running(1, "b")).await;
}

#[tokio::test]
async fn machines_of_a_confirmed_version_outlive_one_another() {
    let node = Node::running();
    node.chain.deploy(1, &pair());
    node.until_deployed(1).await;
    let instance = node.host.instance(1, "a");
    node.host.crash("b", true);
    node.host.exit(1, "b");
    node.until("it was started often", |node| node.times("start 1-b") >= 8).await;
    assert!(node.host.is_running(1, "a"));
    assert_eq!((node.host.instance(1, "a"), node.failure()), (instance, None));
}

#[tokio::test]
async fn a_confirmed_machine_is_created_again_for_ever() {
    let node = Node::running();
    node.chain.deploy(1, &machine("web", IMAGE));
    node.until_deployed(1).await;
    node.host.refuse_create("web", true);
    node.host.lose(1, "web");
    node.until("it was tried often", |node| node.times("create 1-web") >= 8).await;
    node.host.refuse_create("web", false);
    node.until("it runs", |node| node.host.is_running(1, "web")).await;
    assert_eq!(node.failure(), None);
}

#[tokio::test]
async fn an_update_that_adds_a_bad_machine_stops_no_other() {
    let node = Node::running();
    node.chain.deploy(1, &machine("a", IMAGE));
    node.until_deployed(1).await;
    let instance = node.host.instance(1, "a");
    node.host.refuse_create("b", true);
    node.chain.deploy(1, &machines(&[("a", "localhost/web:2"), ("b", IMAGE)]));
    let expected = (FailureCode::WorkloadRefused, "/workloads/1".to_string());
    assert_eq!(node.until_failed().await, expected);
    node.until_another_came_and_went().await;
    assert!(node.host.is_running(1, "a"));
    assert_eq!((node.host.instance(1, "a"), node.chain.active(1)), (instance, Some(1)));
}

#[tokio::test]
async fn an_update_that_cannot_be_created_is_reverted() {
    let node = Node::running();
    node.chain.deploy(1, &pair());
    node.until_deployed(1).await;
    let (a, old) = (node.host.instance(1, "a"), node.host.hash(1, "b"));
    node.host.refuse_create("b", true);
    node.chain.deploy(1, &machines(&[("a", IMAGE), ("b", "localhost/web:2")]));
    let expected = (FailureCode::WorkloadRefused, "/workloads/1".to_string());
    assert_eq!(node.until_failed().await, expected);
    node.host.refuse_create("b", false);
    node.until("the old version runs again", |node| {
        node.host.is_running(1, "b") && node.host.hash(1, "b") == old
    })
    .await;
    assert_eq!(node.host.instance(1, "a"), a);
}

#[tokio::test]
async fn an_update_leaves_what_is_not_its_own_running() {
    let node = Node::running();
    node.chain.deploy(1, &machine("a", IMAGE));
    node.until_deployed(1).await;
    let instance = node.host.instance(1, "a");
    node.host.refuse_start("c", true);
    node.chain.deploy(1, &machines(&[("a", IMAGE), ("b", IMAGE), ("c", IMAGE)]));
    let expected = (FailureCode::WorkloadRefused, "/workloads/2".to_string());
    assert_eq!(node.until_failed().await, expected);
    node.until_another_came_and_went().await;
    assert_eq!(node.host.instance(1, "a"), instance);
    assert!(node.host.is_running(1, "a") && !node.host.is_running(1, "b"));
    assert!(node.times("stop 1-b") >= 4, "it is stopped between the tries");
}

#[tokio::test]
async fn an_unconfirmed_machine_stops_before_a_fetch() {
    let node = Node::running();
    node.chain.refuse_reports(true);
    node.chain.deploy(1, &machine("a", IMAGE));
    node.until("it runs", |node| node.host.is_running(1, "a")).await;
    node.host.image("localhost/slow:1", Image::Stuck);
    node.chain.deploy(1, &machines(&[("a", IMAGE), ("b", "localhost/slow:1")]));
    node.until("the pull began", |node| node.did("pull localhost/slow:1")).await;
    assert!(!node.host.is_running(1, "a"));
}
