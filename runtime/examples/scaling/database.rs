// SPDX-License-Identifier: Apache-2.0
//! A chain's state in ParityDb, as a node keeps it.

use frame_support::storage::StoragePrefixedMap;
use sc_client_api::{Backend as _, BlockImportOperation, NewBlockState, TrieCacheContext};
use sc_client_db::{Backend, BlocksPruning, DatabaseSettings, DatabaseSource, PruningMode};
use sp_core::H256;
use sp_io::hashing::twox_128;
use sp_runtime::{
    StateVersion, Storage,
    traits::{HashingFor, Header as _},
};
use sp_state_machine::{Backend as _, Ext, OverlayedChanges};
use std::{collections::BTreeMap, error::Error, path::Path};
use tfgrid_runtime::{Header, Runtime, opaque::Block};

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// States that are kept.
const KEPT: u32 = 16;
/// What the trie may keep in memory while the state is made.
const CACHE: usize = 256 << 20;

/// A database and its last block.
pub struct Database {
    backend: Backend<Block>,
    head: H256,
    number: u32,
}

impl Database {
    /// A new database that starts with `genesis`.
    pub fn create(path: &Path, genesis: Storage) -> Outcome<Self> {
        let backend = open(path, Some(CACHE))?;
        let mut operation = backend.begin_operation()?;
        let root = operation.set_genesis_state(genesis, true, StateVersion::V1)?;
        let header = header(0, root, H256::zero());
        let head = header.hash();
        operation.set_block_data(header, Some(vec![]), None, None, NewBlockState::Final, true)?;
        backend.commit_operation(operation)?;
        Ok(Self { backend, head, number: 0 })
    }

    /// The same database, with nothing of it in the memory of this process: what is read comes from ParityDb.
    pub fn cold(self, path: &Path) -> Outcome<Self> {
        let Self { backend, head, number } = self;
        drop(backend);
        Ok(Self { backend: open(path, None)?, head, number })
    }

    /// Runs `work` on the state and stores what it changes as a block's.
    pub fn advance<T>(&mut self, work: impl FnOnce() -> T) -> Outcome<T> {
        let state = self.backend.state_at(self.head, TrieCacheContext::Trusted)?;
        let mut overlay = OverlayedChanges::default();
        let answer =
            sp_externalities::set_and_run_with_externalities(&mut Ext::new(&mut overlay, &state, None), work);
        let changes = overlay.drain_storage_changes(&state, StateVersion::V1)?;
        let header = header(self.number + 1, changes.transaction_storage_root, self.head);
        let head = header.hash();
        let mut operation = self.backend.begin_operation()?;
        self.backend.begin_state_operation(&mut operation, self.head)?;
        operation.update_db_storage(changes.transaction)?;
        operation.update_storage(changes.main_storage_changes, changes.child_storage_changes)?;
        operation.set_block_data(header, Some(vec![]), None, None, NewBlockState::Final, true)?;
        self.backend.commit_operation(operation)?;
        (self.head, self.number) = (head, self.number + 1);
        Ok(answer)
    }

    /// Prepares a fresh view of the state, runs `work` on it, has a look at what it did and forgets it.
    pub fn attempt<T>(
        &self,
        prepare: impl FnOnce(),
        work: impl FnOnce() -> T,
        look: impl FnOnce(),
    ) -> Outcome<Attempt<T>> {
        let state = self.backend.state_at(self.head, TrieCacheContext::Untrusted)?;
        let mut overlay = OverlayedChanges::<HashingFor<Block>>::default();
        let mut ext = Ext::<HashingFor<Block>, _>::new(&mut overlay, &state, None);
        sp_externalities::set_and_run_with_externalities(&mut ext, prepare);
        let prepared = written(&mut overlay);
        // Asking for it begins the count anew.
        state.usage_info();
        let mut ext = Ext::<HashingFor<Block>, _>::new(&mut overlay, &state, None);
        let answer = sp_externalities::set_and_run_with_externalities(&mut ext, work);
        let reads = state.usage_info().reads.ops;
        let writes =
            written(&mut overlay).into_iter().filter(|(key, value)| prepared.get(key) != Some(value));
        let writes = writes.count() as u64;
        let mut ext = Ext::<HashingFor<Block>, _>::new(&mut overlay, &state, None);
        sp_externalities::set_and_run_with_externalities(&mut ext, look);
        Ok(Attempt { answer, reads, writes })
    }
}

/// What was tried on a state.
pub struct Attempt<T> {
    pub answer: T,
    /// Keys read from the database.
    pub reads: u64,
    /// Keys that have another value than before, without those of `frame_system` that every block has.
    pub writes: u64,
}

/// What has another value than in the database; accounts are `frame_system`'s, too, but not its own affair.
fn written(overlay: &mut OverlayedChanges<HashingFor<Block>>) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let system = twox_128(b"System");
    let accounts = frame_system::Account::<Runtime>::final_prefix();
    let keys: Vec<Vec<u8>> = overlay
        .changes()
        .map(|(key, _)| key.clone())
        .filter(|key| !key.starts_with(&system) || key.starts_with(&accounts))
        .filter(|key| !is_well_known(key))
        .collect();
    keys.into_iter()
        .map(|key| {
            let value = overlay.storage(&key).flatten().map(<[u8]>::to_vec);
            (key, value)
        })
        .collect()
}

/// What the host keeps for itself while a block is made.
fn is_well_known(key: &[u8]) -> bool {
    key.starts_with(b":")
}

fn open(path: &Path, cache: Option<usize>) -> Outcome<Backend<Block>> {
    let settings = DatabaseSettings {
        trie_cache_maximum_size: cache,
        state_pruning: Some(PruningMode::blocks_pruning(KEPT)),
        source: DatabaseSource::ParityDb { path: path.into() },
        blocks_pruning: BlocksPruning::KeepFinalized,
        pruning_filters: vec![],
        metrics_registry: None,
    };
    Ok(Backend::new(settings, 0)?)
}

fn header(number: u32, root: H256, parent: H256) -> Header {
    Header::new(number, Default::default(), root, parent, Default::default())
}
