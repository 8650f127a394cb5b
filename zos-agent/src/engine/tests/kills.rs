// SPDX-License-Identifier: Apache-2.0
//! The agent is killed before and after each step of each change of a contract, at each call of the chain, and at each
//! place that a report is on its way there. What the next agent makes of it is what one makes that lives.

use super::*;
use crate::drivers::fake::World;
use futures::future::join_all;
use std::collections::BTreeSet;

/// What happens to a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Deploy,
    Update,
    /// An update whose machine keeps exiting.
    BadUpdate,
    Pause,
    Resume,
    Cancel,
}

const CHANGES: [Change; 6] =
    [Change::Deploy, Change::Update, Change::BadUpdate, Change::Pause, Change::Resume, Change::Cancel];

/// How a change ends: the contract's state and active version on the chain, and what is on the host.
type End = (Option<ContractState>, Option<u32>, World);

/// A machine with a volume of this size, and another machine.
fn body(mib: u64, greeting: &str, other: &str) -> String {
    let more = machine(other, "localhost/other:1");
    let workloads = &more[more.find('[').unwrap() + 1..];
    web_with_data(mib, greeting).trim_end_matches("]}").to_owned() + "," + workloads
}

impl Change {
    async fn prepare(self, node: &Node) {
        node.chain.give_addresses(1);
        if self == Self::Deploy {
            return;
        }
        node.chain.deploy(1, &body(16, "hello", "db"));
        node.until_deployed(1).await;
        node.host.write(1, "data", 5_000);
        node.host.crash("web", self == Self::BadUpdate);
        if self == Self::Resume {
            node.chain.pause(1, true);
            node.until("it is paused", |node| !node.is_up("web") && !node.is_up("db")).await;
        }
    }

    fn make(self, node: &Node) {
        match self {
            Self::Deploy => node.chain.deploy(1, &body(16, "hello", "db")),
            Self::Update | Self::BadUpdate => node.chain.deploy(1, &body(32, "good evening", "cache")),
            Self::Pause => node.chain.pause(1, true),
            Self::Resume => node.chain.pause(1, false),
            Self::Cancel => node.chain.close(1),
        }
    }

    fn is_over(self, node: &Node) -> bool {
        let is_answered =
            node.chain.pending(1).is_none() && node.chain.contract_state(1) == Some(ContractState::Deployed);
        match self {
            Self::Deploy | Self::Update | Self::BadUpdate => is_answered,
            Self::Pause => !node.is_up("web") && !node.is_up("db"),
            Self::Resume => node.is_up("web") && node.is_up("db"),
            Self::Cancel => node.host.is_empty() && !node.chain.is_cooling_down(1),
        }
    }

    /// Waits until the change is over and nothing is left to do, or something hangs; returns where.
    async fn hangs_at(self, node: &Node) -> Option<&'static str> {
        let points = &node.host.points;
        let hangs = || points.hangs_at().is_some();
        node.until("something hangs or the change is over", |node| hangs() || self.is_over(node)).await;
        if !hangs() {
            node.host.crash("web", false);
            let is_quiet = |node: &Node| node.host.observations_since_change() >= 4;
            node.until("something hangs or nothing is left to do", |node| hangs() || is_quiet(node)).await;
        }
        points.hangs_at()
    }

    /// Makes the change, and kills the agent after so many points of it; returns where it was killed.
    async fn ends(self, kill_after: Option<u32>) -> (End, Option<&'static str>) {
        let mut node = Node::new();
        node.chain.points = node.host.points.clone();
        node.timing.observe_every = Duration::from_millis(20);
        node.start();
        self.prepare(&node).await;
        node.host.points.hang_after(kill_after);
        self.make(&node);
        let killed_at = self.hangs_at(&node).await;
        if killed_at.is_some() {
            node.kill().await;
            node.host.points.hang_after(None);
            node.start();
            node.until_another_came_and_went().await;
            self.hangs_at(&node).await;
        }
        ((node.chain.contract_state(1), node.chain.active(1), node.host.world()), killed_at)
    }

    /// Returns where the agent was killed.
    async fn survives_kills(self) -> BTreeSet<&'static str> {
        let (expected, _) = self.ends(None).await;
        let mut places = BTreeSet::new();
        for points in 0.. {
            let (end, killed_at) = self.ends(Some(points)).await;
            assert_eq!(end, expected, "{self:?}, killed after {points} points, at {killed_at:?}");
            let Some(place) = killed_at else { break };
            places.insert(place);
        }
        places
    }

    /// Places at which it can be interrupted.
    fn places(self) -> BTreeSet<&'static str> {
        let answers = ["in a block", "in the pool", "not submitted"];
        let more: &[&str] = match self {
            Self::Deploy | Self::Update | Self::BadUpdate => &["body"],
            Self::Pause | Self::Resume => return BTreeSet::from(["body", "contracts", "step"]),
            Self::Cancel => &["awaits_release", "closed"],
        };
        ["contracts", "step"].into_iter().chain(answers).chain(more.iter().copied()).collect()
    }
}

impl Node {
    fn is_up(&self, name: &str) -> bool {
        self.host.is_running(1, name)
    }
}

#[tokio::test]
async fn a_kill_at_any_step_changes_no_end() {
    let killed = join_all(CHANGES.map(Change::survives_kills)).await;
    for (change, killed) in CHANGES.into_iter().zip(killed) {
        assert!(killed.is_superset(&change.places()), "{change:?}: {killed:?}");
    }
}
