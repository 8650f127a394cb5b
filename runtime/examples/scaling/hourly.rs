// SPDX-License-Identifier: Apache-2.0
//! What billing costs that lives on transactions, for comparison: each hour each contract is settled by a signed
//! transaction of its own, which shares out what it has earned.
//!
//! The model is lenient: nothing is counted that comes before a transaction is in a block (its signing, its way
//! through the pools), nor that a settlement which pays somebody out moves money.

use crate::{
    chain,
    database::{Database, Outcome},
    grid::{self, Size},
    jobs::{self, Job, Scenario},
    measure::{SAMPLES, measure},
};
use frame_support::{
    dispatch::{DispatchClass, GetDispatchInfo},
    weights::Weight,
};
use sp_keyring::Sr25519Keyring;
use std::time::Duration;
use tfgrid_primitives::units::HOUR_MS;
use tfgrid_runtime::*;

/// Settlements in a block, fewer than would fit.
const SETTLEMENTS: u32 = 500;
/// Blocks of settlements that are measured.
const BLOCKS_MEASURED: u32 = 11;
/// Blocks in an hour.
pub const BLOCKS: u32 = (HOUR_MS / SLOT_DURATION) as u32;

const BLOCK_OF_SETTLEMENTS: Scenario =
    Scenario::new("a block of 500 signed settlements", block_of_settlements);

/// An hour of all contracts of a grid in which none starts, ends or runs out.
pub struct Hour {
    /// How long one settlement takes, and what the chain reckons with for it.
    pub settlement: Duration,
    pub settlement_weight: Weight,
    /// What the settlements are of all that an hour's blocks have room for, in thousandths.
    pub room_permille: u64,
    /// How long an hour's settlements take.
    pub hourly: Duration,
    /// How long an hour's hooks take, which settle the same contracts.
    pub by_clock: Duration,
}

pub fn hour(database: &Database, size: Size) -> Outcome<Hour> {
    let block = measure(&BLOCK_OF_SETTLEMENTS, database, size, BLOCKS_MEASURED)?;
    let empty = measure(&jobs::EMPTY_BLOCK, database, size, SAMPLES)?;
    let hooks = measure(&jobs::HOOKS, database, size, SAMPLES)?;
    let settlement = block.median.saturating_sub(empty.median) / SETTLEMENTS;
    let settlement_weight = block.weight.unwrap_or_default() / u64::from(SETTLEMENTS);
    let room = u64::from(BLOCKS) * class().max_total.unwrap_or_default().ref_time();
    let needed = u64::from(size.contracts) * settlement_weight.ref_time();
    Ok(Hour {
        settlement,
        settlement_weight,
        room_permille: needed * 1_000 / room,
        hourly: settlement * size.contracts,
        by_clock: hooks.median * BLOCKS,
    })
}

fn block_of_settlements(size: Size, n: u32) -> Job {
    grid::nothing_is_set_aside();
    let transactions: Vec<_> = (0..SETTLEMENTS)
        .map(|k| {
            let contract = size.pick(n * SETTLEMENTS + k).contract();
            grid::signed(Sr25519Keyring::Ferdie, k, pallet_grid_billing::Call::collect { contract })
        })
        .collect();
    let weight_of = |transaction: &UncheckedExtrinsic| {
        let info = transaction.get_dispatch_info();
        info.total_weight().saturating_add(class().base_extrinsic)
    };
    let weight = transactions.iter().map(weight_of).fold(Weight::zero(), Weight::saturating_add);
    Job { work: Box::new(|| chain::block(transactions)), weight: Some(weight) }
}

/// What the chain allows people's transactions.
fn class() -> frame_system::limits::WeightsPerClass {
    let weights = <Runtime as frame_system::Config>::BlockWeights::get();
    weights.get(DispatchClass::Normal).clone()
}
