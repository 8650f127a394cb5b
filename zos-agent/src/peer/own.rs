// SPDX-License-Identifier: Apache-2.0
//! Answers to the farmer about the node itself.

use super::serve::{Reply, Sources, failed};
use crate::{
    chain::Snapshot,
    clock::unix_ms,
    config::Place,
    doctor::{grid, machine},
    engine::Standings,
    own_log::OwnLog,
    self_test::Outcome,
    store::Store,
};
use std::time::Instant;
use tfgrid_client::{
    finding::Finding,
    peer::protocol::{Failed, FailedCode, LogLine, Message, NodeAsk, NodeLogs, NodeStatus},
};
use tfgrid_primitives::{NodeId, PublicKey};
use tokio::sync::watch;

/// Warnings and errors that are told with a status.
const WARNINGS: usize = 10;

/// The node itself.
pub struct Own {
    /// Its id.
    pub node: NodeId,
    /// Its key for reports.
    pub key: PublicKey,
    /// Its data folder, storage pool and engine.
    pub place: Place,
    /// Its state.
    pub store: Store,
    /// When its agent was started.
    pub begun: Instant,
    /// The log of its agent.
    pub log: watch::Receiver<OwnLog>,
}

impl Sources {
    /// Answers the farmer.
    pub async fn node(&self, ask: NodeAsk, reply: &mut Reply) -> Result<(), Failed> {
        match ask {
            NodeAsk::Status {} => reply.message(Message::Node(self.node_status().await)).await,
            NodeAsk::Logs(wanted) => self.node_logs(wanted, reply).await,
        }
    }

    async fn node_status(&self) -> NodeStatus {
        let Own { node, key, place, store, begun, log } = &*self.own;
        let mut findings = machine::examine(place, key, store).await;
        let snapshot = self.snapshots.borrow().clone();
        findings.push(chain(snapshot.as_deref(), unix_ms()));
        let is_tested =
            Outcome::last(store).is_ok_and(|last| last.is_some_and(|last| last.failure.is_none()));
        findings.push(workloads(is_tested.then_some(&**self.standings.borrow())));
        NodeStatus {
            node: *node,
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_s: begun.elapsed().as_secs(),
            findings,
            warnings: log.borrow().warnings(WARNINGS),
        }
    }

    async fn node_logs(&self, wanted: NodeLogs, reply: &mut Reply) -> Result<(), Failed> {
        let mut log = self.own.log.clone();
        let (kept, mut next) = log.borrow_and_update().since(0);
        let mut lines = chosen(kept, &wanted);
        loop {
            for line in lines {
                reply.message(Message::Line(line)).await?;
            }
            if !wanted.follow {
                return reply.message(Message::Done {}).await;
            }
            log.changed().await.map_err(|_| failed(FailedCode::Failed, "the agent stops"))?;
            (lines, next) = log.borrow_and_update().since(next);
        }
    }
}

/// The lines that are wanted of those that there are.
fn chosen(mut lines: Vec<LogLine>, wanted: &NodeLogs) -> Vec<LogLine> {
    let since_ms = wanted.since.map_or(0, |since| u64::from(since) * 1_000);
    lines.retain(|line| line.at_ms >= since_ms);
    let tail = wanted.tail.map_or(usize::MAX, |tail| tail as usize);
    let left_out = lines.len().saturating_sub(tail);
    lines.split_off(left_out)
}

/// How the node follows the chain.
fn chain(snapshot: Option<&Snapshot>, now_ms: u64) -> Finding {
    const NAME: &str = "chain";
    match snapshot {
        Some(snapshot) => grid::behind(NAME.into(), now_ms.saturating_sub(snapshot.head.timestamp_ms)),
        None => Finding::wrong(
            NAME,
            "nothing was read of it since the start",
            "see that an endpoint of --chain is up",
        ),
    }
}

/// How many contracts run, and nothing of them.
fn workloads(standings: Option<&Standings>) -> Finding {
    const NAME: &str = "contracts";
    let Some(standings) = standings else {
        return Finding::note(NAME, "none is looked at before the self-test has passed");
    };
    let ready = standings.values().filter(|standing| standing.is_ready).count();
    Finding::note(NAME, format!("{ready} of {} run as they should", standings.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Standing;
    use tfgrid_client::{finding::State, peer::protocol::Level};

    #[test]
    fn lines_are_chosen_by_time_and_then_counted_from_the_end() {
        let lines = |range: std::ops::Range<u64>| -> Vec<LogLine> {
            range.map(|at| LogLine { at_ms: at * 1_000, level: Level::Info, text: at.to_string() }).collect()
        };
        let of = |tail, since| chosen(lines(0..9), &NodeLogs { follow: false, tail, since });
        assert_eq!(of(None, None), lines(0..9));
        assert_eq!(of(None, Some(7)), lines(7..9));
        assert_eq!(of(Some(3), Some(2)), lines(6..9));
        assert_eq!((of(Some(0), None), of(Some(99), Some(8))), (lines(0..0), lines(8..9)));
    }

    #[test]
    fn contracts_are_counted_and_their_troubles_withheld() {
        let standing =
            |is_ready| Standing { is_ready, trouble: Some("no image secret".into()), ..Default::default() };
        let standings: Standings = [(7, standing(true)), (8, standing(false))].into();
        assert_eq!(workloads(Some(&standings)).text, "1 of 2 run as they should");
        assert_eq!(workloads(None).text, "none is looked at before the self-test has passed");
        assert_eq!(chain(None, 0).state, State::Wrong);
    }
}
