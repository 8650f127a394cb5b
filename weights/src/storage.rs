// SPDX-License-Identifier: Apache-2.0
//! What reads and writes of the state cost on ParityDb, as the SDK's `benchmark storage` measures them: with what is
//! read in the memory of the system, and nothing of it in the memory of the process. A node is faster, since its trie
//! cache has what was used before.

use crate::{Options, Outcome, machine, times::Times, weights_file::digits};
use sc_client_api::{Backend as _, BlockImportOperation, NewBlockState, TrieCacheContext};
use sc_client_db::{Backend, BlocksPruning, DatabaseSettings, DatabaseSource, PruningMode};
use sp_core::H256;
use sp_io::hashing::{blake2_128, twox_64};
use sp_runtime::{
    OpaqueExtrinsic, StateVersion, Storage, generic,
    traits::{BlakeTwo256, Header as _},
};
use sp_state_machine::Backend as _;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

type Header = generic::Header<u32, BlakeTwo256>;
type Block = generic::Block<Header, OpaqueExtrinsic>;

/// Keys of the state, which is too large for any cache of a processor.
const KEYS: u64 = 1_000_000;
/// Keys that a block changes: about as many as a full one does, so that what a block pays once is shared among as
/// many.
const KEYS_A_BLOCK: u64 = 5_000;
/// Keys written at a time while the state is made.
const KEYS_AT_FIRST: u64 = 50_000;
/// Bytes of values, in turn: balances, records and a body.
const VALUE_BYTES: [usize; 8] = [4, 16, 32, 80, 80, 120, 250, 1_024];
/// States that are kept: so few that nearly each block prunes one, as a node's does.
const KEPT: u32 = 16;
/// What the trie may keep in memory while the state is made.
const CACHE: usize = 256 << 20;

/// Measures on a state of a million keys, and writes `primitives/src/weights.rs`.
pub fn measure(options: &Options) -> Outcome<()> {
    fs::create_dir_all(&options.disk)
        .map_err(|error| format!("creating the folder {}: {error}", options.disk.display()))?;
    let folder = tempfile::tempdir_in(&options.disk)?;
    eprintln!("making a state of {KEYS} keys in {}", folder.path().display());
    let mut database = Database::create(folder.path())?.without_cache(folder.path())?;
    let reads = database.reads()?;
    eprintln!("read: {reads}");
    let writes = database.writes()?;
    eprintln!("write: {writes}");
    let path = options.workspace.join("primitives/src/weights.rs");
    fs::write(&path, code(&reads, &writes)).map_err(|error| format!("{}: {error}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

fn code(reads: &Times, writes: &Times) -> String {
    format!(
        "// SPDX-License-Identifier: Apache-2.0\n\
         //! What reads and writes of the state cost, written by `make weights PALLETS=storage`.\n\
         //!\n\
         //! Measured on ParityDb with {} keys, without the node's trie cache, on\n\
         //! {}. A write has its part of a block's root and commit, of {} keys.\n\
         //!\n\
         //! - read: {reads}\n\
         //! - write: {writes}\n\n\
         use sp_core::parameter_types;\n\
         use sp_weights::{{RuntimeDbWeight, constants::WEIGHT_REF_TIME_PER_NANOS}};\n\n\
         parameter_types! {{\n\
         \x20   /// A read and a write of one key.\n\
         \x20   pub const DbWeight: RuntimeDbWeight = RuntimeDbWeight {{\n\
         \x20       read: {} * WEIGHT_REF_TIME_PER_NANOS,\n\
         \x20       write: {} * WEIGHT_REF_TIME_PER_NANOS,\n\
         \x20   }};\n\
         }}\n",
        digits(KEYS.into()),
        machine::description(),
        digits(KEYS_A_BLOCK.into()),
        digits(reads.mean().into()),
        digits(writes.mean().into()),
    )
}

/// A database and its last block.
struct Database {
    backend: Backend<Block>,
    head: H256,
    number: u32,
}

impl Database {
    fn create(folder: &Path) -> Outcome<Self> {
        let backend = open(folder, Some(CACHE))?;
        let first = (0..KEYS_AT_FIRST).map(|n| (key(n), value(n, 0)));
        let genesis = Storage { top: first.collect(), ..Storage::default() };
        let mut operation = backend.begin_operation()?;
        let root = operation.set_genesis_state(genesis, true, StateVersion::V1)?;
        let header = header(0, root, H256::zero());
        let head = header.hash();
        operation.set_block_data(header, Some(vec![]), None, None, NewBlockState::Final, true)?;
        backend.commit_operation(operation)?;
        let mut database = Self { backend, head, number: 0 };
        for from in (KEYS_AT_FIRST..KEYS).step_by(KEYS_AT_FIRST as usize) {
            let keys: Vec<_> = (from..from + KEYS_AT_FIRST).map(|n| (key(n), value(n, 0))).collect();
            database.advance(&keys)?;
        }
        Ok(database)
    }

    /// The same database, with nothing of it in the memory of this process.
    fn without_cache(self, folder: &Path) -> Outcome<Self> {
        let Self { backend, head, number } = self;
        drop(backend);
        Ok(Self { backend: open(folder, None)?, head, number })
    }

    /// Stores the changes of a block: its root, and the commit.
    fn advance(&mut self, changes: &[(Vec<u8>, Vec<u8>)]) -> Outcome<()> {
        let state = self.backend.state_at(self.head, TrieCacheContext::Trusted)?;
        let delta = changes.iter().map(|(key, value)| (&key[..], Some(&value[..])));
        let (root, transaction) = state.storage_root(delta, StateVersion::V1);
        let header = header(self.number + 1, root, self.head);
        let head = header.hash();
        let mut operation = self.backend.begin_operation()?;
        self.backend.begin_state_operation(&mut operation, self.head)?;
        operation.update_db_storage(transaction)?;
        operation.set_block_data(header, Some(vec![]), None, None, NewBlockState::Final, true)?;
        self.backend.commit_operation(operation)?;
        (self.head, self.number) = (head, self.number + 1);
        Ok(())
    }

    /// Reads each key once, after a round in which all are read.
    fn reads(&self) -> Outcome<Times> {
        let state = self.backend.state_at(self.head, TrieCacheContext::Untrusted)?;
        let round = || -> Outcome<Vec<Duration>> {
            (0..KEYS)
                .map(|n| -> Outcome<Duration> {
                    let key = key(n);
                    let start = Instant::now();
                    let value = state.storage(&key)?;
                    let time = start.elapsed();
                    value.map(|_| time).ok_or_else(|| format!("key {n} is gone").into())
                })
                .collect()
        };
        round()?;
        Ok(Times::new(round()?).ok_or("nothing was read")?)
    }

    /// Changes each key once, in blocks without a pause between them, so that the database has to keep up.
    fn writes(&mut self) -> Outcome<Times> {
        let mut times = vec![];
        for from in (0..KEYS).step_by(KEYS_A_BLOCK as usize) {
            let keys: Vec<_> = (from..from + KEYS_A_BLOCK).map(|n| (key(n), value(n, 1))).collect();
            let start = Instant::now();
            self.advance(&keys)?;
            times.push(start.elapsed() / KEYS_A_BLOCK as u32);
        }
        Ok(Times::new(times).ok_or("nothing was written")?)
    }
}

/// A key as a map of a pallet has it. By their hashes, keys that follow each other lie apart in the trie.
fn key(n: u64) -> Vec<u8> {
    let bytes = n.to_le_bytes();
    let map = twox_64(&[(n % VALUE_BYTES.len() as u64) as u8]);
    [&map[..], &map, &map, &map, &blake2_128(&bytes), &bytes].concat()
}

/// The value of this key in this round. Values of different keys differ: a state with equal values would be smaller.
fn value(n: u64, round: u8) -> Vec<u8> {
    let bytes = VALUE_BYTES[(n % VALUE_BYTES.len() as u64) as usize];
    let mut value = vec![round; bytes];
    let own = n.to_le_bytes();
    value.iter_mut().zip(own).for_each(|(byte, own)| *byte = own ^ round);
    value
}

fn open(folder: &Path, cache: Option<usize>) -> Outcome<Backend<Block>> {
    let settings = DatabaseSettings {
        trie_cache_maximum_size: cache,
        state_pruning: Some(PruningMode::blocks_pruning(KEPT)),
        source: DatabaseSource::ParityDb { path: folder.into() },
        blocks_pruning: BlocksPruning::KeepFinalized,
        pruning_filters: vec![],
        metrics_registry: None,
    };
    Ok(Backend::new(settings, 0)?)
}

fn header(number: u32, root: H256, parent: H256) -> Header {
    Header::new(number, H256::zero(), root, parent, Default::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_differ() {
        assert!(key(1) != key(9) && value(1, 0) != value(9, 0) && value(1, 0) != value(1, 1));
        assert_eq!(KEYS % KEYS_A_BLOCK + KEYS % KEYS_AT_FIRST, 0);
    }
}
