// SPDX-License-Identifier: Apache-2.0
//! Sealed bodies: opened in memory, and nothing of them told.

use super::*;
use std::fs;
use tfgrid_client::sealing::seal;

const SECRET: &str = "open-sesame";

/// The body, sealed to the node with this key.
fn sealed_to(key: &SealKey, body: &str) -> Body {
    Body::Sealed(seal(body.as_bytes(), &[key.recipient()]).unwrap())
}

fn sealed(body: &str) -> Body {
    sealed_to(&seal_key(), body)
}

/// Whether a file of the agent has the secret, in clear or as hex.
fn is_on_disk(node: &Node) -> bool {
    let needles = [SECRET.to_owned(), hex::encode(SECRET)];
    fs::read_dir(node.data.path()).unwrap().any(|entry| {
        let text = String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned();
        needles.iter().any(|needle| text.contains(needle))
    })
}

#[tokio::test]
async fn a_sealed_body_runs_and_stays_sealed_on_disk() {
    let mut node = Node::running();
    node.chain.deploy_with(1, sealed(&web_with_data(16, SECRET)));
    node.until_deployed(1).await;
    node.until_stored(1, 1, false).await;
    assert!(node.host.is_running(1, "web") && !is_on_disk(&node));
    let text = fs::read_to_string(node.data.path().join("snapshot.json")).unwrap();
    assert!(text.contains(&hex::encode("age-encryption.org")), "{text}");

    node.kill().await;
    node.reboot_alone();
    node.until("the machine runs without the chain", |node| node.host.is_running(1, "web")).await;
}

#[tokio::test]
async fn the_same_body_sealed_again_changes_no_machine() {
    let node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    let instance = node.host.instance(1, "web");
    node.chain.deploy_with(1, sealed(&web_with_data(16, "hello")));
    node.until_deployed_in_version(1, 2).await;
    assert_eq!(node.host.instance(1, "web"), instance);
}

#[tokio::test]
async fn a_body_that_the_node_cannot_open_is_refused_with_the_reason() {
    let body = web_with_data(16, SECRET);
    let Body::Sealed(mut damaged) = sealed(&body) else { unreachable!() };
    damaged.pop();
    let others = sealed_to(&SealKey::new(&[8; 32]).unwrap(), &body);
    let copied = Body::Sealed(seal(body.as_bytes(), &[seal_key().recipient().of(u32::MAX)]).unwrap());
    for (body, code, why) in [
        (others, FailureCode::BodyUnsupported, "isn't sealed to this key"),
        (copied, FailureCode::BodyUnsupported, "for contracts of another twin"),
        (Body::Sealed(damaged), FailureCode::BodyInvalid, "damaged"),
        (Body::Sealed(body.into_bytes()), FailureCode::BodyInvalid, "isn't an age file"),
    ] {
        let node = Node::running();
        node.chain.deploy_with(1, body);
        assert_eq!(node.until_failed().await, (code, String::new()));
        assert!(node.failure_text().contains(why), "{}", node.failure_text());
        assert_eq!(node.host.log(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_failure_repeats_nothing_of_a_sealed_body() {
    let body = |from: &str, to: &str| web_with_data(16, "hello").replace(from, to);
    let field = |name: &str| format!("/workloads/1/data/{name}");
    for (body, path) in [
        (body("localhost/web:1", SECRET), field("image")),
        (body(r#""GREETING":"hello""#, &format!(r#""{SECRET}":1"#)), field("env")),
        (body(r#"/data"}"#, &format!(r#"{SECRET}"}}"#)), field("mounts")),
        (body(r#""env""#, &format!(r#""{SECRET}":1,"env""#)), field(SECRET)),
        (format!(r#"{{"{SECRET}""#), String::new()),
    ] {
        let node = Node::running();
        node.chain.deploy_with(1, sealed(&body));
        let (_, found) = node.until_failed().await;
        // A field that nobody knows is named: it is a typing error.
        assert_eq!(found, path);
        assert!(!node.failure_text().contains(SECRET), "{}", node.failure_text());
        assert!(node.failure_text().contains("--dry-run"), "{}", node.failure_text());
    }
}

#[tokio::test]
async fn words_of_registry_and_engine_are_withheld_for_a_sealed_body() {
    let withheld = "the body or a part of it is sealed, its content isn't told";
    let node = Node::running();
    node.host.image("localhost/web:1", Image::Refused(FailureCode::ImageNotFound));
    node.chain.deploy_with(1, sealed(&web_with_data(16, SECRET)));
    let failure = node.until_failed().await;
    assert_eq!(failure, (FailureCode::ImageNotFound, "/workloads/1/data/image".into()));
    assert_eq!(node.failure_text(), withheld);

    let node = Node::running();
    node.host.refuse_create("web", true);
    node.chain.deploy_with(1, sealed(&web_with_data(16, SECRET)));
    assert_eq!(node.until_failed().await.0, FailureCode::WorkloadRefused);
    assert_eq!(node.failure_text(), withheld);

    let node = Node::running();
    node.host.image("localhost/web:1", Image::Refused(FailureCode::ImageNotFound));
    node.chain.deploy(1, &with_secrets());
    assert_eq!(node.until_failed().await.0, FailureCode::ImageNotFound);
    assert_eq!(node.failure_text(), withheld);
}

/// A plain body with secrets.
fn with_secrets() -> String {
    let hidden = web_with_data(16, SECRET).replace(&format!("\"{SECRET}\""), r#"{"secret":"greeting"}"#);
    hidden.replacen('{', &format!(r#"{{"secrets":{{"greeting":"{SECRET}"}},"#), 1)
}

#[tokio::test]
async fn a_last_line_of_secret_workloads_is_their_owners_alone() {
    for body in [sealed(&web_with_data(16, SECRET)), Body::Plain(with_secrets().into_bytes())] {
        let mut node = Node::running();
        node.chain.deploy_with(1, body);
        node.until_deployed(1).await;
        node.host.exit(1, "web");
        let is_told = |node: &Node| {
            node.chain.reports("deployed").iter().any(|report| match report {
                Report::Deployed { result, .. } => {
                    let result = String::from_utf8_lossy(result);
                    assert!(!result.contains("no configuration"), "{result}");
                    result.contains(r#""exit":1,"line":"told to its owner alone""#)
                }
                _ => false,
            })
        };
        node.until("the exit is told", is_told).await;
        let events = &mut node.agent.as_mut().unwrap().events;
        let mut whats = std::iter::from_fn(|| events.try_recv().ok()).map(|(_, what)| what);
        let last = whats.find(|what| what.starts_with("last line of output: "));
        assert!(last.unwrap().contains("no configuration"));
        let exits = fs::read_to_string(node.data.path().join("exits.json")).unwrap();
        assert!(!exits.contains("no configuration"), "{exits}");
    }
}
