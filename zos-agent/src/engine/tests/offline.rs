// SPDX-License-Identifier: Apache-2.0
//! Starts of the agent while the chain can't be reached.

use super::*;
use crate::chain::stored;

impl Node {
    fn store(&self) -> Store {
        Store::open(self.data.path()).unwrap()
    }

    /// Waits until this version of the contract is in the stored snapshot, paused or not.
    pub(super) async fn until_stored(&self, contract: ContractId, version: u32, paused: bool) {
        self.until(&format!("version {version} of contract {contract} is stored"), |node| {
            let snapshot = stored::read(&node.store(), &seal_key()).unwrap();
            snapshot
                .and_then(|snapshot| Some(snapshot.contracts.get(&contract)?.contract.clone()))
                .is_some_and(|contract| {
                    contract.confirmed().is_some_and(|v| v.number == version) && contract.paused == paused
                })
        })
        .await;
    }

    /// The machine of an agent that was killed reboots, and its chain can't be reached.
    pub(super) fn reboot_alone(&mut self) {
        self.chain.cut_off(true);
        self.host.reboot();
        self.timing.await_chain = Duration::from_millis(1);
        self.start();
    }

    /// Waits until the agent has looked several times, and so would have acted.
    async fn until_it_has_looked(&self) {
        self.until_passes(4).await;
    }

    async fn until_passes(&self, passes: u32) {
        let observations = self.host.observations();
        self.until("the agent looks again", |node| node.host.observations() >= observations + passes).await;
    }

    fn done_since_the_reboot(&self) -> Vec<String> {
        self.host.log().into_iter().skip_while(|line| line != "reboot").skip(1).collect()
    }
}

#[tokio::test]
async fn confirmed_workloads_start_without_the_chain() {
    let mut node = Node::running();
    node.host.image("localhost/slow:1", Image::Stuck);
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.chain.deploy(2, &machine("paused", "localhost/paused:1"));
    node.chain.deploy(3, &machine("new", "localhost/slow:1"));
    node.until_deployed(1).await;
    node.until_deployed(2).await;
    node.chain.pause(2, true);
    node.until_stored(1, 1, false).await;
    node.until_stored(2, 1, true).await;

    node.kill().await;
    node.reboot_alone();
    node.until("the confirmed machine runs", |node| node.host.is_running(1, "web")).await;
    node.until_it_has_looked().await;
    assert_eq!(node.done_since_the_reboot(), ["start 1-web"]);
    assert!(node.agent.as_ref().unwrap().reports.borrow().is_empty());

    node.host.image("localhost/slow:1", Image::Flaky(0));
    node.chain.cut_off(false);
    node.chain.pause(2, false);
    node.until_deployed(3).await;
    node.until("the paused one runs", |node| node.host.is_running(2, "paused")).await;
    assert_eq!(node.times("start 1-web"), 2);
}

#[tokio::test]
async fn nothing_is_removed_without_the_chain() {
    let mut node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.until_stored(1, 1, false).await;
    node.chain.close(1);
    node.kill().await;
    node.reboot_alone();
    node.until("it runs", |node| node.host.is_running(1, "web")).await;

    node.chain.cut_off(false);
    node.until("nothing is left", |node| node.host.is_empty()).await;
}

#[tokio::test]
async fn a_machine_of_another_version_stays_as_it_is() {
    let mut node = Node::running();
    node.chain.deploy(1, &web_with_data(16, "hello"));
    node.until_deployed(1).await;
    node.until_stored(1, 1, false).await;
    let outdated = stored::read(&node.store(), &seal_key()).unwrap().unwrap();
    node.chain.deploy(1, &web_with_data(16, "goodbye"));
    node.until_deployed_in_version(1, 2).await;
    node.until_stored(1, 2, false).await;
    node.kill().await;
    stored::write(&node.store(), &outdated).unwrap();

    node.reboot_alone();
    node.until_it_has_looked().await;
    assert_eq!(node.done_since_the_reboot(), Vec::<String>::new());
    node.chain.cut_off(false);
    node.until("it runs", |node| node.host.is_running(1, "web")).await;
}

#[tokio::test]
async fn a_damaged_snapshot_is_read_from_the_chain_anew() {
    let mut node = Node::running();
    node.chain.deploy(1, &machine("web", "localhost/web:1"));
    node.until_deployed(1).await;
    node.kill().await;
    std::fs::write(node.data.path().join("snapshot.json"), "{").unwrap();
    node.host.reboot();
    node.start();
    node.until("it runs", |node| node.host.is_running(1, "web")).await;
    node.until_stored(1, 1, false).await;
}

/// Passes of the engine in ten minutes in which nothing happens.
const PASSES_OF_TEN_MINUTES: u32 = 20;

#[tokio::test]
async fn ten_minutes_without_the_chain_lose_nothing() {
    let mut node = Node::new();
    node.timing.observe_every = Duration::from_millis(10);
    node.start();
    node.chain.deploy(1, &web_with_data(16, "stays"));
    node.chain.deploy(2, &web_with_data(16, "closes"));
    node.chain.deploy(3, &machine("paused", "localhost/paused:1"));
    for contract in 1..=3 {
        node.until_deployed(contract).await;
        node.until_stored(contract, 1, false).await;
    }
    let instance = node.host.instance(2, "web");

    node.chain.cut_off(true);
    node.chain.close(2);
    node.chain.pause(3, true);
    node.chain.deploy(4, &machine("new", "localhost/new:1"));
    node.until_passes(PASSES_OF_TEN_MINUTES / 2).await;
    node.host.exit(1, "web");
    node.until("what has ended runs again", |node| node.host.is_running(1, "web")).await;
    node.kill().await;
    node.timing.await_chain = Duration::from_millis(1);
    node.start();
    node.until_passes(PASSES_OF_TEN_MINUTES / 2).await;
    for (contract, name) in [(1, "web"), (2, "web"), (3, "paused")] {
        assert!(node.host.is_running(contract, name), "{contract}");
    }
    assert_eq!(node.host.instance(2, "web"), instance, "it ran all the time");
    let log = node.host.log();
    let is_loss = |line: &&String| ["remove", "delete", "stop"].iter().any(|what| line.starts_with(what));
    assert_eq!(log.iter().find(is_loss), None);
    assert!(!node.did("start 4-new"));

    node.chain.cut_off(false);
    node.until("all is as the chain wants it", |node| {
        node.host.is_running(1, "web")
            && node.host.instance(2, "web").is_none()
            && node.host.volume(2, "data").is_none()
            && !node.host.is_running(3, "paused")
            && node.host.is_running(4, "new")
    })
    .await;
    assert!(node.host.volume(1, "data").is_some());
}
