// SPDX-License-Identifier: Apache-2.0
//! When a version counts as deployed, and what owners see of machines that end.

use super::*;

/// One machine with more fields.
fn machine_with(name: &str, fields: &str) -> String {
    machine(name, "localhost/web:1").replace(r#""cpu":1"#, &format!(r#""cpu":1,{fields}"#))
}

fn last_result(node: &Node) -> String {
    match node.chain.reports("deployed").pop() {
        Some(Report::Deployed { result, .. }) => String::from_utf8(result).unwrap(),
        other => panic!("a result expected: {other:?}"),
    }
}

async fn until_result(node: &Node, expected: &str) {
    let has_it = |node: &Node| !node.chain.reports("deployed").is_empty() && last_result(node) == expected;
    node.until(&format!("the result is {expected}"), has_it).await;
}

/// A node on which nothing is ever up for long enough.
fn impatient() -> Node {
    let mut node = Node::new();
    node.timing.ready_after = Duration::from_secs(3600);
    node.start();
    node
}

#[tokio::test]
async fn a_machine_must_stay_up_to_count_as_deployed() {
    let node = impatient();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until("progress is reported", |node| {
        node.host.is_running(1, "web") && node.reported_progress(1) == Some(1)
    })
    .await;
    assert_eq!(node.chain.contract_state(1), Some(ContractState::Created));
}

#[tokio::test]
async fn a_job_that_has_finished_is_deployed_at_once() {
    for restart in ["never", "on-failure"] {
        let node = impatient();
        node.host.end_with("job", Some(0));
        node.chain.deploy(1, &machine_with("job", &format!(r#""restart":"{restart}""#)));
        node.until_deployed(1).await;
        assert_eq!(last_result(&node), r#"{"job":{"exit":0,"line":"[31mno configuration"}}"#);
        assert_eq!((node.times("start 1-job"), node.failure()), (1, None));
    }
}

#[tokio::test]
async fn a_job_that_fails_is_given_up_at_once_or_tried_again() {
    for (restart, tries, text) in [("never", 1, ""), ("on-failure", 5, "5 times: ")] {
        let node = Node::running();
        node.host.end_with("job", Some(3));
        node.chain.deploy(1, &machine_with("job", &format!(r#""restart":"{restart}""#)));
        assert_eq!(node.until_failed().await, (FailureCode::WorkloadExited, "/workloads/0".to_string()));
        assert_eq!(node.failure_text(), format!("{text}exit code 3: [31mno configuration"));
        assert_eq!(node.times("start 1-job"), tries);
    }
}

#[tokio::test]
async fn a_finished_job_stays_so_over_restarts_and_pauses() {
    let mut node = Node::running();
    node.chain.deploy(1, &machine_with("job", r#""restart":"never""#));
    node.until_deployed(1).await;
    node.host.exit_with(1, "job", 7);
    until_result(&node, r#"{"job":{"exit":7,"line":"[31mno configuration"}}"#).await;
    node.kill().await;
    node.start();
    node.until_another_came_and_went().await;
    node.chain.pause(1, true);
    node.until_another_came_and_went().await;
    node.chain.pause(1, false);
    node.until_another_came_and_went().await;
    assert_eq!((node.times("start 1-job"), node.failure()), (1, None));
}

#[tokio::test]
async fn a_job_that_a_pause_interrupts_runs_again() {
    let node = Node::running();
    node.chain.deploy(1, &machine_with("job", r#""restart":"never""#));
    node.until_deployed(1).await;
    node.chain.pause(1, true);
    node.until("it stops", |node| node.did("stop 1-job")).await;
    node.chain.pause(1, false);
    node.until("it runs again", |node| node.host.is_running(1, "job")).await;
    assert_eq!(last_result(&node), r#"{"job":{"ip":"172.30.1.2"}}"#);
}

#[tokio::test]
async fn a_crash_after_deployment_is_told_to_the_owner() {
    let mut node = Node::running();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    node.host.exit(1, "web");
    let told = |restarts| {
        format!(
            r#"{{"web":{{"ip":"172.30.1.2","restarts":{restarts},"exit":1,"line":"[31mno configuration"}}}}"#
        )
    };
    until_result(&node, &told(1)).await;
    node.kill().await;
    node.start();
    node.until_another_came_and_went().await;
    node.host.exit(1, "web");
    until_result(&node, &told(2)).await;

    node.chain.deploy(1, &machine("web", "localhost/web:2"));
    node.until_deployed_in_version(1, 2).await;
    until_result(&node, r#"{"web":{"ip":"172.30.1.2"}}"#).await;
}

#[tokio::test]
async fn a_machine_that_waits_for_a_try_is_started_for_its_owner() {
    let mut node = Node::new();
    let hour = Duration::from_secs(3600);
    node.timing.backoff = Backoff { first: hour, most: hour };
    node.timing.stable_after = hour;
    node.start();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    node.host.exit(1, "web");
    until_result(&node, r#"{"web":{"restarts":1,"exit":1,"line":"[31mno configuration"}}"#).await;
    node.until_another_came_and_went().await;
    assert!(!node.host.is_running(1, "web"), "it waits");
    node.agent.as_ref().unwrap().holds.hurry(1);
    node.until("it runs again", |node| node.host.is_running(1, "web")).await;
}

#[tokio::test]
async fn a_checked_machine_is_deployed_once_it_is_healthy() {
    let node = impatient();
    node.host.set_condition("web", Condition::Starting);
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until("it runs", |node| node.host.is_running(1, "web")).await;
    node.until("progress is reported", |node| node.reported_progress(1) == Some(1)).await;
    assert_eq!(node.chain.contract_state(1), Some(ContractState::Created));
    node.host.set_condition("web", Condition::Healthy);
    node.until_deployed(1).await;

    node.host.set_condition("web", Condition::Unhealthy("timeout".into()));
    until_result(&node, r#"{"web":{"ip":"172.30.1.2","health":"unhealthy"}}"#).await;
    assert_eq!(node.times("start 1-web"), 1);
}

#[tokio::test]
async fn an_unhealthy_update_does_not_replace_what_works() {
    let node = Node::running();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    let hash = node.host.hash(1, "web");
    node.host.set_condition("web", Condition::Unhealthy("status 500".into()));
    node.chain.deploy(1, &machine("web", "localhost/web:2"));
    assert_eq!(node.until_failed().await, (FailureCode::WorkloadExited, "/workloads/0".to_string()));
    assert_eq!(node.failure_text(), "5 times: unhealthy: status 500");
    node.until("the active version is back", |node| {
        node.host.hash(1, "web") == hash && node.host.is_running(1, "web")
    })
    .await;
}
