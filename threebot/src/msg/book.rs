// SPDX-License-Identifier: Apache-2.0
//! The phone book on the chain, and who may write.

use anyhow::Result;
use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};
use tfgrid_client::{
    GridClient,
    peer::PeerAddresses,
    primitives::{PublicKey, TwinId},
};
use tokio::sync::Mutex;

/// Age from which an entry is read again: a key that is removed ends within this time, and that to the next finalized
/// head.
const READ_EVERY: Duration = Duration::from_secs(6);
/// Twins whose entries are kept.
const MAX_KEPT: usize = 10_000;

/// Twins whose messages are taken, as whoever started the bot has named them. The device that sends must be theirs,
/// too.
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

/// The peer keys of twins, and where they are dialled, at the finalized head.
pub struct Book {
    chain: String,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    /// The connection, while it works.
    grid: Option<GridClient>,
    entries: HashMap<TwinId, (Instant, Entry)>,
}

#[derive(Clone, Default)]
struct Entry {
    keys: Vec<PublicKey>,
    addresses: PeerAddresses,
}

impl Book {
    /// Reads from the chain at this address.
    pub fn new(chain: String, grid: GridClient) -> Self {
        let read = Read { grid: Some(grid), ..Read::default() };
        Self { chain, read: Mutex::new(read) }
    }

    /// The peer keys of a twin; none of an unknown one.
    pub async fn keys(&self, twin: TwinId) -> Result<Vec<PublicKey>> {
        Ok(self.entry(twin).await?.keys)
    }

    /// Where a twin publishes that it is reached; empty of one that doesn't.
    pub async fn addresses(&self, twin: TwinId) -> Result<PeerAddresses> {
        Ok(self.entry(twin).await?.addresses)
    }

    async fn entry(&self, twin: TwinId) -> Result<Entry> {
        let mut read = self.read.lock().await;
        if let Some((at, entry)) = read.entries.get(&twin)
            && at.elapsed() < READ_EVERY
        {
            return Ok(entry.clone());
        }
        // Not back in its place if it fails: the next read connects again.
        let grid = match read.grid.take() {
            Some(grid) => grid,
            None => GridClient::connect(&self.chain).await?,
        };
        let at = grid.finalized().await?;
        let keys = at.twin(twin).await?.map(|record| record.peer_keys.0).unwrap_or_default();
        let entry = Entry { keys, addresses: at.twin_addresses(twin).await? };
        if read.entries.len() >= MAX_KEPT {
            read.entries.clear();
        }
        read.grid = Some(grid);
        read.entries.insert(twin, (Instant::now(), entry.clone()));
        Ok(entry)
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
        let entry = |keys| Entry { keys, addresses: PeerAddresses::default() };
        let entries = keys.into_iter().map(|(twin, keys)| (twin, (read_at, entry(keys))));
        let read = Read { grid: None, entries: entries.collect() };
        // Nothing listens there.
        Self { chain: "ws://127.0.0.1:9".into(), read: Mutex::new(read) }
    }

    /// The same where a twin that it has publishes that it is reached there.
    #[cfg(test)]
    pub fn with_addresses(mut self, twin: TwinId, addresses: PeerAddresses) -> Self {
        self.read.get_mut().entries.get_mut(&twin).unwrap().1.addresses = addresses;
        self
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
