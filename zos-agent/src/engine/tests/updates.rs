// SPDX-License-Identifier: Apache-2.0
//! Updates of contracts. The active version keeps running until the new one does, and comes back if that
//! fails.

use super::*;

#[tokio::test]
async fn an_update_replaces_only_what_differs() {
    let node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.chain.deploy(1, &web_with_data(16, "good evening"));
    node.until("version 2 is deployed", |node| node.chain.reports("deployed").len() == 2).await;
    assert_eq!((node.times("remove 1-web"), node.times("start 1-web")), (1, 2));
    assert_eq!(node.times("ensure 1-data"), 1);

    node.chain.deploy(1, &web_with_data(16, "good evening").replace("\"version\"", " \"version\""));
    node.until("version 3 is deployed", |node| node.chain.reports("deployed").len() == 3).await;
    assert_eq!(node.times("start 1-web"), 2);
}

#[tokio::test]
async fn an_update_that_cannot_run_leaves_the_old_version_running() {
    let node = Node::running();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    let instance = node.host.instance(1, "web");
    node.host.image("localhost/web:2", Image::Refused(FailureCode::ImageNotFound));
    node.chain.deploy(1, &machine("web", "localhost/web:2"));
    assert_eq!(node.until_failed().await.0, FailureCode::ImageNotFound);
    node.until_another_came_and_went().await;
    assert_eq!(node.host.instance(1, "web"), instance);
    assert!(node.host.is_running(1, "web"));
}

#[tokio::test]
async fn a_volume_grows_while_its_machine_runs_and_never_shrinks() {
    let node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.chain.deploy(1, &web_with_data(32, "hello"));
    node.until("it has grown", |node| node.chain.reports("deployed").len() == 2).await;
    assert_eq!(node.host.volume(1, "data").unwrap().size, 32 << 20);
    assert_eq!(node.host.log().last().unwrap(), "ensure 1-data");

    node.chain.deploy(1, &web_with_data(16, "hello"));
    let expected = (FailureCode::BodyInvalid, "/workloads/0/data/size".to_string());
    assert_eq!(node.until_failed().await, expected);
    assert_eq!(node.times("stop 1-web"), 0);
}

#[tokio::test]
async fn a_volume_that_would_move_to_another_disk_changes_nothing() {
    let node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    let log = node.host.log();
    let moved = web_with_data(16, "other").replace(r#""size":16777216"#, r#""size":16777216,"disk":"hdd""#);
    node.chain.deploy(1, &moved);
    let expected = (FailureCode::BodyInvalid, "/workloads/0/data/disk".to_string());
    assert_eq!(node.until_failed().await, expected);
    assert_eq!(node.host.log(), [log, vec!["ensure 1-data".into()]].concat());
}

#[tokio::test]
async fn a_bad_update_is_reported_and_changes_nothing() {
    let too_much = machine("web", "localhost/web:1").replace(r#""cpu":1"#, r#""cpu":5"#);
    for (body, code) in [
        (Body::Plain(b"{".to_vec()), FailureCode::BodyNotJson),
        (Body::Plain(machine("web", "web").into_bytes()), FailureCode::BodyInvalid),
        (Body::Plain(too_much.into_bytes()), FailureCode::OverReserved),
        (Body::Sealed(b"no age file".to_vec()), FailureCode::BodyInvalid),
    ] {
        let node = Node::running();
        node.chain.deploy(1, &web_with_data(16, "hello"));
        node.until_deployed(1).await;
        let (log, instance) = (node.host.log(), node.host.instance(1, "web"));
        node.chain.deploy_with(1, body);
        assert_eq!(node.until_failed().await.0, code);
        node.until("the chain has dropped it", |node| node.chain.pending(1).is_none()).await;
        node.until_another_came_and_went().await;
        assert_eq!((node.host.instance(1, "web"), node.chain.active(1)), (instance, Some(1)));
        assert_eq!(node.host.log()[..log.len()], log);
        assert!(!node.host.log()[log.len()..].iter().any(|line| line.contains(" 1-")));
    }
}

#[tokio::test]
async fn an_update_whose_machine_keeps_exiting_is_reverted() {
    let node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    let hash = node.host.hash(1, "web");
    node.host.crash("web", true);
    node.chain.deploy(1, &web_with_data(32, "good evening"));
    let expected = (FailureCode::WorkloadExited, "/workloads/1".to_string());
    assert_eq!(node.until_failed().await, expected);
    node.host.crash("web", false);
    node.until("the old version runs again", |node| {
        node.host.is_running(1, "web") && node.host.hash(1, "web") == hash
    })
    .await;
    node.until("the chain has dropped it", |node| node.chain.pending(1).is_none()).await;
    assert_eq!(node.chain.active(1), Some(1));
    // The volume that was grown for it keeps its content, and goes back to its size.
    node.until("the volume is as before", |node| node.host.volume(1, "data").unwrap().size == 16 << 20).await;
    assert!(!node.did("delete 1-data"));
}

#[tokio::test]
async fn the_old_version_comes_back_without_its_registry() {
    let node = Node::running();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    let hash = node.host.hash(1, "web");
    node.host.image("localhost/web:1", Image::Refused(FailureCode::ImageNotFound));
    node.host.crash("web", true);
    node.chain.deploy(1, &machine("web", "localhost/web:2"));
    node.until_failed().await;
    node.host.crash("web", false);
    node.until("the old version runs again", |node| {
        node.host.is_running(1, "web") && node.host.hash(1, "web") == hash
    })
    .await;
    assert_eq!(node.times("pull localhost/web:1"), 1);
}

#[tokio::test]
async fn an_update_of_one_machine_keeps_the_image_of_another() {
    let node = Node::running();
    node.chain.deploy(1, &machines(&[("db", "localhost/db:1"), ("web", "localhost/web:1")]));
    node.until_deployed(1).await;
    node.host.image("localhost/web:2", Image::Flaky(u32::MAX));
    node.chain.deploy(1, &machines(&[("db", "localhost/db:1"), ("web", "localhost/web:2")]));
    node.until("the update is fetched", |node| node.did("pull localhost/web:2")).await;
    // A machine that is the same in both versions has to be created again meanwhile.
    node.host.lose(1, "db");
    node.until("its image is kept", |node| node.did("keep localhost/db:1")).await;
    assert_eq!(node.times("pull localhost/db:1"), 1);
}

#[tokio::test]
async fn images_of_active_and_pending_version_are_wanted() {
    let node = Node::running();
    let wanted = |node: &Node| node.host.wanted_images().len();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    node.host.image("localhost/web:2", Image::Stuck);
    node.chain.deploy(1, &machine("web", "localhost/web:2"));
    node.until("both are wanted", |node| wanted(node) == 2).await;
    node.chain.drop_update(1);
    node.until("one is wanted", |node| wanted(node) == 1).await;
    node.chain.close(1);
    node.until("none is wanted", |node| wanted(node) == 0).await;
}

#[tokio::test]
async fn an_update_that_the_chain_has_dropped_is_cancelled() {
    let node = Node::running();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    let instance = node.host.instance(1, "web");
    node.host.image("localhost/web:2", Image::Stuck);
    node.chain.deploy(1, &machine("web", "localhost/web:2"));
    node.until("the pull began", |node| node.did("pull localhost/web:2")).await;
    node.chain.drop_update(1);
    node.until("the pull is given up", |node| node.did("cancel localhost/web:2")).await;
    node.until_another_came_and_went().await;
    assert_eq!(node.host.instance(1, "web"), instance);
    assert_eq!(node.failure(), None);
}

#[tokio::test]
async fn a_newer_update_replaces_one_in_progress() {
    let node = Node::running();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    node.host.image("localhost/web:2", Image::Stuck);
    node.chain.deploy(1, &machine("web", "localhost/web:2"));
    node.until("the pull began", |node| node.did("pull localhost/web:2")).await;
    node.chain.deploy(1, &machine("web", "localhost/web:3"));
    node.until("version 3 is active", |node| node.chain.active(1) == Some(3)).await;
    assert_eq!(node.times("remove 1-web"), 1);
}

#[tokio::test]
async fn an_update_repairs_a_bad_first_version() {
    let node = Node::running();
    node.chain.refuse_reports(true);
    node.chain.deploy(1, &machine("web", "web"));
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until("it runs", |node| node.host.is_running(1, "web")).await;
    node.chain.refuse_reports(false);
    node.until("version 2 is active", |node| node.chain.active(1) == Some(2)).await;
}

#[tokio::test]
async fn progress_is_reported_until_the_answer() {
    let node = Node::running();
    node.host.image("localhost/web:1", Image::Stuck);
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until("progress is reported", |node| node.reported_progress(1) == Some(1)).await;
    node.chain.deploy(1, &machine("web", "localhost/web:2"));
    node.until_deployed_in_version(1, 2).await;
    node.until("no more progress is reported", |node| node.reported_progress(1).is_none()).await;

    // A restart of a confirmed version needs no answer.
    node.host.points.hang_after(Some(0));
    node.host.lose(1, "web");
    node.until("the start hangs", |node| node.host.points.hangs_at().is_some()).await;
    let observations = node.host.observations();
    node.until("the agent has observed twice", |node| node.host.observations() >= observations + 2).await;
    assert_eq!(node.reported_progress(1), None);
}
