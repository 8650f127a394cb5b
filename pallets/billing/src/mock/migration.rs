// SPDX-License-Identifier: Apache-2.0
//! A migration of many blocks, and real blocks: authored as a validator does it, imported as all others do.

use super::*;
use codec::Compact;
use frame_support::{
    migrations::{SteppedMigration, SteppedMigrationError},
    storage::unhashed,
    weights::WeightMeter,
};
use frame_system::{LastRuntimeUpgrade, LastRuntimeUpgradeInfo, mocking::MockUncheckedExtrinsic};
use sp_io::storage::{rollback_transaction, start_transaction};
use sp_runtime::{
    ExtrinsicInclusionMode,
    testing::{H256, Header},
    traits::Header as _,
};
use tfgrid_primitives::Payer;

/// What executes blocks.
pub type Executive =
    frame_executive::Executive<Test, Block, frame_system::ChainContext<Test>, Test, AllPalletsWithSystem>;
pub type Transaction = MockUncheckedExtrinsic<Test, UintAuthorityId>;

parameter_types! {
    /// The payer at whose record the migration fails.
    pub static FailsAt: Option<TwinId> = None;
}

/// A payer's record as the runtime before wrote it: with a number behind it that nobody needs any more. Both
/// runtimes can read it, so the invariants hold in the middle of the migration, too.
type LongPayer = (Payer, u64);

/// What a block has room for, beside the weight of migrating at all.
pub const RECORDS_A_BLOCK: u64 = 5;

/// Writes all payers' records anew, without that number.
pub struct ShortenPayers;

impl SteppedMigration for ShortenPayers {
    /// Whose record was written last.
    type Cursor = TwinId;
    type Identifier = [u8; 16];

    fn id() -> Self::Identifier {
        *b"shorten-payers-2"
    }

    fn step(
        mut cursor: Option<TwinId>,
        meter: &mut WeightMeter,
    ) -> Result<Option<TwinId>, SteppedMigrationError> {
        let required = weight_of_record();
        if !meter.can_consume(required) {
            return Err(SteppedMigrationError::InsufficientWeight { required });
        }
        while meter.try_consume(required).is_ok() {
            let Some(twin) = payer_after(cursor) else { return Ok(None) };
            if FailsAt::get() == Some(twin) {
                return Err(SteppedMigrationError::Failed);
            }
            shorten(twin);
            cursor = Some(twin);
        }
        Ok(cursor)
    }
}

/// So heavy that [`RECORDS_A_BLOCK`] fit in one.
fn weight_of_record() -> Weight {
    let block: Weight = <Test as pallet_migrations::Config>::MaxServiceWeight::get();
    block / (RECORDS_A_BLOCK + 1)
}

fn payer_after(twin: Option<TwinId>) -> Option<TwinId> {
    twin.map_or_else(Payers::<Test>::iter_keys, Payers::<Test>::iter_keys_from_key).next()
}

fn shorten(twin: TwinId) {
    if let Some((payer, _)) = unhashed::get::<LongPayer>(&Payers::<Test>::hashed_key_for(twin)) {
        Payers::<Test>::insert(twin, payer);
    }
}

/// Leaves a payer's record as the runtime before wrote it.
pub fn lengthen(twin: TwinId) {
    let long: LongPayer = (Payers::<Test>::get(twin), u64::MAX);
    unhashed::put(&Payers::<Test>::hashed_key_for(twin), &long);
}

/// How many bytes a payer's record has.
pub fn length_of_record(twin: TwinId) -> usize {
    unhashed::get_raw(&Payers::<Test>::hashed_key_for(twin)).map_or(0, |record| record.len())
}

/// Another runtime than this one made the last block; or this one did.
pub fn last_runtime_was(another: bool) {
    let spec_name = if another { "another" } else { "" }.into();
    LastRuntimeUpgrade::<Test>::put(LastRuntimeUpgradeInfo { spec_version: Compact(0), spec_name });
}

/// A transaction of this account.
pub fn signed(by: AccountId, call: impl Into<RuntimeCall>) -> Transaction {
    Transaction::new_signed(call.into(), by, UintAuthorityId(by), ())
}

/// A block `ms` after the last, as a validator makes it: with these transactions where they may come in. The
/// state stays as it was.
pub fn author(ms: u64, transactions: Vec<Transaction>) -> Block {
    let served = Served::get();
    // Not the layers of calls: those leave a key in the state, and the header says what the state is.
    start_transaction();
    let block = build(ms, transactions);
    rollback_transaction();
    Served::set(served);
    block
}

fn build(ms: u64, transactions: Vec<Transaction>) -> Block {
    let number = System::block_number() + 1;
    let parent = H256::from_low_u64_be(number);
    let header = Header::new(number, H256::zero(), H256::zero(), parent, Default::default());
    let now = (Timestamp::get() + ms).max(START_MS);
    let mut extrinsics = vec![Transaction::new_bare(pallet_timestamp::Call::set { now }.into())];
    if Executive::initialize_block(&header) == ExtrinsicInclusionMode::AllExtrinsics {
        extrinsics.extend(transactions);
    }
    for extrinsic in &extrinsics {
        Executive::apply_extrinsic(extrinsic.clone()).unwrap().unwrap();
    }
    Block { header: Executive::finalize_block(), extrinsics }
}

/// Takes a block from a validator, and checks the invariants.
pub fn import(block: Block) {
    Executive::execute_block(block.into());
    check_invariants();
}

/// An empty block `ms` after the last.
pub fn real_block(ms: u64) {
    import(author(ms, vec![]));
}
