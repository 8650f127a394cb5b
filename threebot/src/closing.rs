// SPDX-License-Identifier: Apache-2.0
//! Deadlines at which open contracts close.

use crate::time::{exact_moment, stretch};
use anyhow::Result;
use serde_json::{Value, json};
use tfgrid_client::{
    GridAt,
    primitives::{GridMillis, NodeId, TwinId, UnixSeconds, text::printable},
};

/// A deadline at which contracts close, and why.
pub struct Closing {
    at: UnixSeconds,
    now: UnixSeconds,
    why: String,
}

/// The calendar time of a grid time that is ahead, if the chain doesn't stop before.
pub async fn calendar_time(at: &GridAt, deadline: GridMillis) -> Result<UnixSeconds> {
    let left = deadline.saturating_sub(at.grid_info().await?.grid_now) / 1_000;
    Ok((at.timestamp_ms().await? / 1_000).saturating_add(left))
}

impl Closing {
    /// That of the contracts on a node which drains.
    pub async fn of_drain(at: &GridAt, node: NodeId) -> Result<Option<Self>> {
        let drain = at.farmer_settings(node).await?.and_then(|settings| settings.drain);
        let Some(drain) = drain else { return Ok(None) };
        Self::new(at, drain.deadline, drain_text(node, &drain.reason.0)).await.map(Some)
    }

    /// That of a payer's contracts in the grace period.
    pub async fn of_grace(at: &GridAt, twin: TwinId) -> Result<Option<Self>> {
        let Some(grace) = at.payer_settings(twin).await?.grace else { return Ok(None) };
        let why = format!("the credit of twin {twin} is used up, unless somebody deposits before");
        Self::new(at, grace.until, why).await.map(Some)
    }

    async fn new(at: &GridAt, deadline: GridMillis, why: String) -> Result<Self> {
        let now = at.timestamp_ms().await? / 1_000;
        Ok(Self { at: calendar_time(at, deadline).await?, now, why })
    }

    #[cfg(test)]
    pub fn sample(why: &str) -> Self {
        Self { at: 1_700_000_000, now: 1_699_999_940, why: why.into() }
    }

    pub fn text(&self) -> String {
        let left = stretch(self.at.saturating_sub(self.now));
        format!("{} (in {left}): {}", exact_moment(self.at), self.why)
    }

    pub fn value(&self) -> Value {
        json!({ "at": self.at, "why": self.why })
    }
}

/// Why a node's contracts close, with the farmer's own reason on one line.
fn drain_text(node: NodeId, reason: &[u8]) -> String {
    let reason = printable(&String::from_utf8_lossy(reason), u32::MAX);
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("its farmer drains node {node}{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farmer_writes_one_line() {
        assert_eq!(drain_text(3, b"a new\ndisk\x1b"), "its farmer drains node 3: a new disk");
        assert_eq!(drain_text(3, b"\n"), "its farmer drains node 3");
    }
}
