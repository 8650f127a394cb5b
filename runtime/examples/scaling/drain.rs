// SPDX-License-Identifier: Apache-2.0
//! The credit of all payers ends at the same moment, and people go on making transactions.

use crate::{
    chain,
    database::{Database, Outcome},
    grid,
    jobs::set_clock,
    measure::median,
};
use pallet_grid_billing::{Event, PayersByExhaustion};
use sp_keyring::Sr25519Keyring;
use std::time::{Duration, Instant};
use tfgrid_primitives::{TwinId, units::TFT};
use tfgrid_runtime::*;

/// Deposits that people send to each block meanwhile.
const TRANSACTIONS: u32 = 100;

/// How it went.
pub struct Drained {
    pub payers: usize,
    pub blocks: u32,
    /// The most that a block served.
    pub most: usize,
    /// Transactions in these blocks; each of them succeeded. A block in which a session turns takes none, also
    /// where nobody runs out.
    pub transactions: usize,
    /// The median time that a block took, without and with storing it.
    pub block: Duration,
    pub stored: Duration,
}

/// Lets all run out, and makes blocks until each waits for its owner, in the order in which their credit ended.
pub fn drain(database: &mut Database) -> Outcome<Drained> {
    let expected: Vec<TwinId> = database.advance(|| {
        let ends: Vec<_> = PayersByExhaustion::<Runtime>::iter_keys().collect();
        ends.last().iter().for_each(|last| set_clock(last.end()));
        ends.into_iter().map(|end| end.twin()).collect()
    })?;
    let (mut served, mut blocks, mut stored) = (vec![], vec![], vec![]);
    let (mut most, mut idle, mut transactions) = (0, 0, 0);
    while served.len() < expected.len() {
        let start = Instant::now();
        let (twins, accepted, time) = database.advance(one_block)?;
        stored.push(start.elapsed());
        blocks.push(time);
        transactions += accepted;
        // A block in which a session turns has no room for it.
        idle = if twins.is_empty() { idle + 1 } else { 0 };
        assert!(idle < 2, "two blocks have served nobody");
        most = most.max(twins.len());
        served.extend(twins);
    }
    assert!(served == expected, "they weren't served in the order in which their credit ended");
    let count = blocks.len() as u32;
    Ok(Drained {
        payers: served.len(),
        blocks: count,
        most,
        transactions,
        block: median(blocks),
        stored: median(stored),
    })
}

/// Says who began to wait in it, how many transactions it took, and how long that was.
fn one_block() -> (Vec<TwinId>, usize, Duration) {
    let (twin, amount) = (grid::FARMERS_TWIN, TFT / 10);
    let deposit =
        |n| grid::signed(Sr25519Keyring::Ferdie, n, pallet_grid_billing::Call::deposit { twin, amount });
    let transactions = (0..TRANSACTIONS).map(deposit).collect();
    let start = Instant::now();
    let outcomes = chain::block_after(SLOT_DURATION, transactions);
    let time = start.elapsed();
    let accepted = outcomes.into_iter().filter_map(|outcome| outcome.ok().map(Result::unwrap)).count();
    let began = System::read_events_no_consensus().filter_map(|record| match record.event {
        RuntimeEvent::Billing(Event::GraceBegan { twin, .. }) => Some(twin),
        _ => None,
    });
    (began.collect(), accepted, time)
}
