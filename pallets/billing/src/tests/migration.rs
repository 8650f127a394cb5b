// SPDX-License-Identifier: Apache-2.0
//! What goes on and what is put off while a migration takes many blocks.

use super::*;
use crate::mock::migration::*;
use codec::Encode;
use frame_support::migrations::MultiStepMigrator;
use pallet_migrations::{Cursor, MigrationCursor};
use tfgrid_primitives::{DeadlineKey, ExhaustionKey, GridMillis, Payer};

const SLOT: u64 = 3_000;
/// So many that their migration takes longer than the clocks' cap for one block.
const PAYERS: TwinId = 125;
/// Deadlines that are due one after the other, and how far apart.
const ANSWERS: u64 = 20;
const ANSWER_EVERY_MS: GridMillis = 10_000;

/// A chain that the runtime before has left: in each second from the eleventh on the credit of a payer ends,
/// but every fifth's lasts long and has a discount.
fn run_chain(test: impl FnOnce()) {
    run_from_genesis(|| {
        FailsAt::set(None);
        last_runtime_was(false);
        real_block(SLOT);
        (1..=PAYERS).for_each(begin_to_pay);
        for answer in 1..=ANSWERS {
            Clock::arm(Clock::grid_now() + answer * ANSWER_EVERY_MS, Deadline::Answer(answer));
        }
        test();
    });
}

fn begin_to_pay(twin: TwinId) {
    let (credit, rates) = if lasts(twin) {
        (5 * TFT, Rates { usd: 1_000_007, extra: 0 })
    } else {
        let seconds = u128::from(twin) + 10;
        (20 * TFT * seconds / 3_600, Rates { usd: DOLLAR.usd - 7 * u64::from(twin), extra: twin.into() })
    };
    assert_ok!(Billing::deposit(RuntimeOrigin::signed(ALICE), twin, credit));
    begin(twin.into(), parties(twin, FARM), rates);
    assert_eq!(Billing::price_factor_permille(twin) < 1_000, lasts(twin));
    lengthen(twin);
}

fn lasts(twin: TwinId) -> bool {
    twin.is_multiple_of(5)
}

/// What every payer has and every contract was charged, to the last bit.
fn books() -> Vec<(Payer, Charge)> {
    (1..=PAYERS).map(|twin| (Billing::settled_payer(twin), charge_of(twin))).collect()
}

fn charge_of(twin: TwinId) -> Charge {
    Billing::charge_of(twin.into())
}

/// What is due on both agendas.
fn agendas() -> (Vec<ExhaustionKey>, Vec<DeadlineKey>) {
    (
        PayersByExhaustion::<Test>::iter_keys().collect(),
        pallet_grid_clock::Deadlines::<Test>::iter_keys().collect(),
    )
}

fn anybodys_deposit() -> Transaction {
    signed(BOB, Call::<Test>::deposit { twin: 5, amount: TFT })
}

/// A block in which nothing but the price clock and the migration moves.
fn migrating_block(ms: u64) {
    let (grid, charged_ms) = (Clock::grid_now(), price_clock().total_ms);
    let (due, served) = (agendas(), Served::get());
    let block = author(ms, vec![anybodys_deposit()]);
    assert_eq!(block.extrinsics.len(), 1, "a transaction came in");
    import(block);
    assert_eq!(price_clock().total_ms, charged_ms + ms.min(HALT_CAP_MS));
    assert_eq!(Clock::grid_now(), grid);
    assert_eq!((agendas(), Served::get()), (due, served));
}

/// Another runtime comes: blocks until its migration is done, the n-th so long after the one before it. Says
/// how many there were.
fn migrate_in(ms: impl Fn(u64) -> u64) -> u64 {
    last_runtime_was(true);
    let mut blocks = 0;
    loop {
        blocks += 1;
        migrating_block(ms(blocks));
        if !MultiBlockMigrations::ongoing() {
            assert!(blocks >= 5 && blocks * SLOT > HALT_CAP_MS, "only {blocks} blocks");
            return blocks;
        }
    }
}

fn migrate() -> u64 {
    migrate_in(|_| SLOT)
}

/// The books of a chain that nothing has happened to, after blocks at these distances.
fn books_without_a_migration(distances: impl IntoIterator<Item = u64>) -> Vec<(Payer, Charge)> {
    let mut found = vec![];
    run_chain(|| {
        distances.into_iter().for_each(real_block);
        found = books();
    });
    found
}

#[track_caller]
fn assert_same_books(left: &[(Payer, Charge)], right: &[(Payer, Charge)]) {
    assert_eq!(left.len(), PAYERS as usize);
    for (left, right) in left.iter().zip(right) {
        assert_eq!(left, right);
    }
}

#[test]
fn a_migration_of_many_blocks_leaves_no_second_unbilled() {
    run_chain(|| {
        let blocks = migrate();
        let ended = (1..=PAYERS).filter(|twin| Billing::is_exhausted(*twin)).count();
        assert!(ended > 40, "the credit of {ended} has ended");
        real_block(SLOT);
        assert_same_books(&books(), &books_without_a_migration((0..=blocks).map(|_| SLOT)));
    });
}

#[test]
fn every_record_is_migrated_and_none_is_lost() {
    run_chain(|| {
        let short = Payer::default().encoded_size();
        let lengths = || -> Vec<usize> { (1..=PAYERS).map(length_of_record).collect() };
        let records = || -> Vec<Payer> { (1..=PAYERS).map(Payers::<Test>::get).collect() };
        let before = records();
        assert!(lengths().iter().all(|length| *length > short));
        last_runtime_was(true);
        migrating_block(SLOT);
        let written = lengths().iter().filter(|length| **length == short).count();
        assert_eq!(written as u64, RECORDS_A_BLOCK);
        while MultiBlockMigrations::ongoing() {
            migrating_block(SLOT);
        }
        assert!(lengths().iter().all(|length| *length == short));
        assert_eq!(records(), before);
        assert_eq!(Payers::<Test>::iter_keys().count(), PAYERS as usize);
    });
}

#[test]
fn a_transaction_waits_until_the_migration_is_done() {
    run_chain(|| {
        // Each of its blocks was offered one.
        migrate();
        assert_eq!(Balances::balance(&BOB), 1_000 * TFT);
        let block = author(SLOT, vec![anybodys_deposit()]);
        assert_eq!(block.extrinsics.len(), 2);
        import(block);
        assert_eq!(Balances::balance(&BOB), 999 * TFT);
    });
}

#[test]
#[should_panic(expected = "Only inherents are allowed in this block")]
fn block_with_a_transaction_during_a_migration_is_refused() {
    run_chain(|| {
        last_runtime_was(true);
        migrating_block(SLOT);
        let mut block = author(SLOT, vec![]);
        block.extrinsics.push(anybodys_deposit());
        import(block);
    });
}

#[test]
fn payer_exhausted_in_a_migration_gets_grace_right_after_it() {
    run_chain(|| {
        let ends: Vec<_> = (1..=PAYERS).map(|twin| Payers::<Test>::get(twin).end).collect();
        migrate();
        let ended: Vec<TwinId> = (1..=PAYERS).filter(|twin| Billing::is_exhausted(*twin)).collect();
        let owed = |twin: &TwinId| (Billing::settled_payer(*twin).credit, charge_of(*twin));
        let before: Vec<_> = ended.iter().map(owed).collect();
        assert_eq!(Graces::<Test>::iter().count(), 0);
        real_block(SLOT);
        assert_eq!(ended.iter().map(owed).collect::<Vec<_>>(), before);
        for twin in &ended {
            assert_eq!(Billing::grace(*twin).unwrap().since, Clock::grid_now());
        }
        // The agenda goes on: each of the others gets its grace in the block in which its credit ends.
        while price_clock().stepped_at_ms < START_MS + 160_000 {
            real_block(SLOT);
            assert!((1..=PAYERS).all(|twin| Billing::grace(twin).is_some() == Billing::is_exhausted(twin)));
        }
        assert!((1..=PAYERS).all(|twin| Billing::grace(twin).is_some() != lasts(twin)));
        // Nobody's credit ended elsewhere on the price clock than it would have.
        assert!((1..=PAYERS).map(|twin| Payers::<Test>::get(twin).end).eq(ends));
    });
}

/// Blocks until all answers were asked for; says which was when, in grid time and by the calendar.
fn answers() -> Vec<(Deadline, GridMillis, u64)> {
    let mut seen = vec![];
    while seen.len() < ANSWERS as usize {
        real_block(SLOT);
        let answers = Served::take().into_iter().filter(|(_, due)| matches!(due, Deadline::Answer(_)));
        seen.extend(answers.map(|(grid, answer)| (answer, grid, Timestamp::get())));
    }
    seen
}

#[test]
fn deadlines_come_as_much_later_as_a_migration_took() {
    let mut usual = vec![];
    run_chain(|| usual = answers());
    run_chain(|| {
        let took = migrate() * SLOT;
        let late = answers().into_iter().map(|(answer, grid, at)| (answer, grid, at - took));
        assert!(late.eq(usual));
    });
}

/// A halt of three days before this block from the upgrade on, in a migration of so many blocks.
fn check_halt_before(halted: u64, blocks: u64) {
    let distance = |block| if block == halted { 3 * DAY_MS } else { SLOT };
    run_chain(|| {
        let (start, charged_ms) = (Clock::grid_now(), price_clock().total_ms);
        assert_eq!(migrate_in(distance), blocks);
        assert!(Served::get().is_empty());
        real_block(distance(blocks + 1));
        assert_eq!(price_clock().total_ms - charged_ms, blocks * SLOT + HALT_CAP_MS);
        let counted = if halted > blocks { HALT_CAP_MS } else { SLOT };
        assert_eq!(Clock::grid_now(), start + counted);
        assert!(Timestamp::get() > START_MS + 3 * DAY_MS);
        let due = (1..=counted / ANSWER_EVERY_MS).map(Deadline::Answer);
        assert!(Served::get().into_iter().map(|(_, served)| served).eq(due));
        assert_same_books(&books(), &books_without_a_migration((1..=blocks + 1).map(distance)));
    });
}

#[test]
fn halt_in_a_migration_charges_the_cap_and_fires_nothing_early() {
    let mut blocks = 0;
    run_chain(|| blocks = migrate());
    for halted in [blocks / 2, blocks, blocks + 1] {
        check_halt_before(halted, blocks);
    }
}

/// With try-runtime a migration that fails panics.
#[cfg(not(feature = "try-runtime"))]
#[test]
fn failed_migration_freezes_all_but_the_price_clock() {
    run_chain(|| {
        FailsAt::set(Payers::<Test>::iter_keys().nth(62));
        last_runtime_was(true);
        let mut blocks = 0;
        while Cursor::<Test>::get() != Some(MigrationCursor::Stuck) {
            migrating_block(SLOT);
            blocks += 1;
        }
        assert!(blocks >= 5);
        // The step that failed has left nothing behind.
        let written = (1..=PAYERS).filter(|twin| length_of_record(*twin) == Payer::default().encoded_size());
        assert_eq!(written.count() as u64, (blocks - 1) * RECORDS_A_BLOCK);
        (0..20).for_each(|_| migrating_block(SLOT));

        Cursor::<Test>::kill();
        real_block(SLOT);
        assert!(Graces::<Test>::iter().count() > 0 && !Served::get().is_empty());
        assert_same_books(&books(), &books_without_a_migration((0..blocks + 21).map(|_| SLOT)));
    });
}
