// SPDX-License-Identifier: Apache-2.0
//! The phone book on the chain, and who may write.

use anyhow::Result;
use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};
use tfgrid_client::{
    GridClient,
    primitives::{PublicKey, TwinId},
};
use tokio::sync::Mutex;

/// Age from which the keys of a twin are read again: a key that is removed ends within this time, and that to the next
/// finalized head.
const READ_EVERY: Duration = Duration::from_secs(6);
/// Twins whose keys are kept.
const MAX_KEPT: usize = 10_000;

/// Who may write.
#[derive(Clone, Debug)]
pub enum Allowed {
    Twins(BTreeSet<TwinId>),
    Anyone,
}

impl Allowed {
    pub fn has(&self, twin: TwinId) -> bool {
        match self {
            Self::Twins(twins) => twins.contains(&twin),
            Self::Anyone => true,
        }
    }
}

/// The peer keys of twins at the finalized head.
pub struct Book {
    chain: String,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    /// The connection, while it works.
    grid: Option<GridClient>,
    keys: HashMap<TwinId, (Instant, Vec<PublicKey>)>,
}

impl Book {
    /// Reads from the chain at this address.
    pub fn new(chain: String, grid: GridClient) -> Self {
        let read = Read { grid: Some(grid), ..Read::default() };
        Self { chain, read: Mutex::new(read) }
    }

    /// The peer keys of a twin; none of an unknown one.
    pub async fn keys(&self, twin: TwinId) -> Result<Vec<PublicKey>> {
        let mut read = self.read.lock().await;
        if let Some((at, keys)) = read.keys.get(&twin)
            && at.elapsed() < READ_EVERY
        {
            return Ok(keys.clone());
        }
        // Not back in its place if it fails: the next read connects again.
        let grid = match read.grid.take() {
            Some(grid) => grid,
            None => GridClient::connect(&self.chain).await?,
        };
        let record = grid.finalized().await?.twin(twin).await?;
        let keys = record.map(|record| record.peer_keys.0).unwrap_or_default();
        if read.keys.len() >= MAX_KEPT {
            read.keys.clear();
        }
        read.grid = Some(grid);
        read.keys.insert(twin, (Instant::now(), keys.clone()));
        Ok(keys)
    }

    /// Whether the chain says that this key is one of the twin's.
    pub async fn has(&self, twin: TwinId, key: &PublicKey) -> Result<bool> {
        Ok(self.keys(twin).await?.contains(key))
    }

    /// One without a chain, of twins with a device each.
    #[cfg(test)]
    pub fn of(keys: impl IntoIterator<Item = (TwinId, PublicKey)>) -> Self {
        Self::of_devices(keys.into_iter().map(|(twin, key)| (twin, vec![key])))
    }

    /// One without a chain.
    #[cfg(test)]
    pub fn of_devices(keys: impl IntoIterator<Item = (TwinId, Vec<PublicKey>)>) -> Self {
        let read_at = Instant::now() + READ_EVERY * 100;
        let keys = keys.into_iter().map(|(twin, keys)| (twin, (read_at, keys)));
        let read = Read { grid: None, keys: keys.collect() };
        // Nothing listens there.
        Self { chain: "ws://127.0.0.1:9".into(), read: Mutex::new(read) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_one_of_its_twin_alone() {
        let book = Book::of([(7, [1; 32]), (8, [2; 32])]);
        assert!(book.has(7, &[1; 32]).await.unwrap() && !book.has(8, &[1; 32]).await.unwrap());
        assert!(book.has(9, &[1; 32]).await.is_err(), "the chain can't be asked");
    }

    #[test]
    fn nobody_may_write_who_is_not_named() {
        let allowed = Allowed::Twins([7].into());
        assert!(allowed.has(7) && !allowed.has(8) && Allowed::Anyone.has(8));
    }
}
