// SPDX-License-Identifier: Apache-2.0
//! The agent is killed before and after each step of each change of a contract. What the next one makes of it is what
//! an agent makes that lives.

use super::*;
use crate::drivers::fake::World;
use futures::future::join_all;

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
            Self::Cancel => node.host.is_empty(),
        }
    }

    /// Waits until the change is over and nothing is left to do, or a step hangs; returns whether one does.
    async fn hangs(self, node: &Node) -> bool {
        node.until("a step hangs or the change is over", |node| node.host.hangs() || self.is_over(node))
            .await;
        if !node.host.hangs() {
            node.host.crash("web", false);
            let is_quiet = |node: &Node| node.host.observations_since_change() >= 4;
            node.until("a step hangs or nothing is left to do", |node| node.host.hangs() || is_quiet(node))
                .await;
        }
        node.host.hangs()
    }

    /// Makes the change, and kills the agent after so many points of it; returns whether it was killed.
    async fn ends(self, kill_after: Option<u32>) -> (End, bool) {
        let mut node = Node::new();
        node.timing.observe_every = Duration::from_millis(20);
        node.start();
        self.prepare(&node).await;
        node.host.hang_after(kill_after);
        self.make(&node);
        let is_killed = self.hangs(&node).await;
        if is_killed {
            node.kill().await;
            node.host.hang_after(None);
            node.start();
            node.until_another_came_and_went().await;
            self.hangs(&node).await;
        }
        ((node.chain.contract_state(1), node.chain.active(1), node.host.world()), is_killed)
    }

    /// Returns how often the agent was killed.
    async fn survives_kills(self) -> u32 {
        let (expected, _) = self.ends(None).await;
        for points in 0.. {
            let (end, is_killed) = self.ends(Some(points)).await;
            assert_eq!(end, expected, "{self:?}, killed after {points} points");
            if !is_killed {
                return points;
            }
        }
        unreachable!("steps end")
    }
}

impl Node {
    fn is_up(&self, name: &str) -> bool {
        self.host.is_running(1, name)
    }
}

#[tokio::test]
async fn a_kill_at_any_step_changes_no_end() {
    let kills = join_all(CHANGES.map(Change::survives_kills)).await;
    // A pause has the fewest: it stops two machines.
    assert!(kills.iter().all(|kills| *kills >= 4), "{kills:?}");
}
