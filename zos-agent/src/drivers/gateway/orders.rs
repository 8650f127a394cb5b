// SPDX-License-Identifier: Apache-2.0
//! How many certificates an authority is asked for. Its limits are those of the node's account, which all twins share.

use crate::store::Store;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use tfgrid_primitives::TwinId;

const FILE: &str = "orders.json";
const HOUR_MS: u64 = 3_600_000;
const WEEK_MS: u64 = 7 * 24 * HOUR_MS;
/// The most orders of a twin, and in which time.
const OF_TWIN: [(usize, u64); 2] = [(10, 3 * HOUR_MS), (20, WEEK_MS)];
/// The same for a host: authorities forgive few failures.
const OF_HOST: (usize, u64) = (4, HOUR_MS);
/// How long an authority that has had too many requests is left alone.
const PAUSE_MS: u64 = HOUR_MS;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    twin: TwinId,
    host: String,
    at_ms: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    orders: Vec<Order>,
    paused_until_ms: u64,
}

/// Orders of the last week, also for sites that are gone.
pub struct Orders {
    store: Store,
    kept: Kept,
}

impl Orders {
    /// Those in this store.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn open(store: Store) -> Result<Self> {
        Ok(Self { kept: store.read(FILE)?.unwrap_or_default(), store })
    }

    /// Why this twin may not order a certificate for this host now, `None` if it may.
    pub fn refusal(&self, twin: TwinId, host: &str, now_ms: u64) -> Option<String> {
        if now_ms < self.kept.paused_until_ms {
            return Some("its certificate waits: the authority wants no requests for an hour".into());
        }
        let count = |is_of: &dyn Fn(&Order) -> bool, within_ms: u64| {
            let recent = |order: &&Order| now_ms.saturating_sub(order.at_ms) < within_ms;
            self.kept.orders.iter().filter(recent).filter(|order| is_of(order)).count()
        };
        let is_full =
            |(most, within_ms): (usize, u64)| count(&|order: &Order| order.twin == twin, within_ms) >= most;
        if let Some((most, within_ms)) = OF_TWIN.into_iter().find(|limit| is_full(*limit)) {
            let hours = within_ms / HOUR_MS;
            return Some(format!("its certificate waits: twin {twin} has had {most} in {hours} hours"));
        }
        let (most, within_ms) = OF_HOST;
        (count(&|order: &Order| order.host == host, within_ms) >= most)
            .then(|| format!("its certificate waits: {host} has been tried {most} times in an hour"))
    }

    /// Counts an order, if the twin may have it.
    ///
    /// # Errors
    /// If that can't be kept.
    pub fn take(&mut self, twin: TwinId, host: &str, now_ms: u64) -> Result<bool> {
        if self.refusal(twin, host, now_ms).is_some() {
            return Ok(false);
        }
        self.kept.orders.retain(|order| now_ms.saturating_sub(order.at_ms) < WEEK_MS);
        self.kept.orders.push(Order { twin, host: host.to_owned(), at_ms: now_ms });
        self.store.write(FILE, &self.kept)?;
        Ok(true)
    }

    /// Leaves the authority alone for a while.
    ///
    /// # Errors
    /// If that can't be kept.
    pub fn pause(&mut self, now_ms: u64) -> Result<()> {
        self.kept.paused_until_ms = now_ms.saturating_add(PAUSE_MS);
        self.store.write(FILE, &self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn open(dir: &Path) -> Orders {
        Orders::open(Store::open(dir).unwrap()).unwrap()
    }

    #[test]
    fn a_twin_has_few_orders_and_takes_none_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let mut orders = open(dir.path());
        for host in 0..10 {
            assert!(orders.take(5, &format!("a{host}.example"), NOW_MS).unwrap(), "{host}");
        }
        assert!(!orders.take(5, "b.example", NOW_MS).unwrap());
        // Also not by the next agent.
        let mut orders = open(dir.path());
        let why = orders.refusal(5, "b.example", NOW_MS + 3 * HOUR_MS - 1).unwrap();
        assert_eq!(why, "its certificate waits: twin 5 has had 10 in 3 hours");
        assert!(orders.take(6, "b.example", NOW_MS).unwrap());
        for host in 10..20 {
            assert!(orders.take(5, &format!("a{host}.example"), NOW_MS + 3 * HOUR_MS).unwrap(), "{host}");
        }
        assert!(orders.refusal(5, "c.example", NOW_MS + 6 * HOUR_MS).unwrap().ends_with("20 in 168 hours"));
        assert_eq!(orders.refusal(5, "c.example", NOW_MS + WEEK_MS), None);
    }

    #[test]
    fn a_host_that_fails_does_not_use_up_the_account() {
        let dir = tempfile::tempdir().unwrap();
        let mut orders = open(dir.path());
        for twin in 1..=4 {
            assert!(orders.take(twin, "a.example", NOW_MS).unwrap());
        }
        assert!(!orders.take(5, "a.example", NOW_MS + HOUR_MS - 1).unwrap());
        assert!(orders.take(5, "b.example", NOW_MS).unwrap());
        assert!(orders.take(5, "a.example", NOW_MS + HOUR_MS).unwrap());
    }

    #[test]
    fn an_authority_with_too_many_requests_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).pause(NOW_MS).unwrap();
        let mut orders = open(dir.path());
        assert!(!orders.take(5, "a.example", NOW_MS + PAUSE_MS - 1).unwrap());
        assert!(orders.take(5, "a.example", NOW_MS + PAUSE_MS).unwrap());
    }
}
