// SPDX-License-Identifier: Apache-2.0
//! What a new runtime finds, and what goes on while it changes the state.

use crate::{chain::*, contracts::with_networks, governance::by_root};
use codec::Compact;
use frame_support::{
    assert_ok,
    traits::{GetStorageVersion, StorageVersion},
};
use frame_system::{LastRuntimeUpgrade, LastRuntimeUpgradeInfo};
use pallet_migrations::{Cursor, MigrationCursor};
use sp_runtime::{
    DispatchError::BadOrigin,
    traits::{BlakeTwo256, Hash},
};
use tfgrid_primitives::{
    traits::Clock as _,
    units::{MINUTE_MS, TFT},
    views::ContractStatus,
};
use tfgrid_runtime::*;

fn versions<P: GetStorageVersion<InCodeStorageVersion = StorageVersion>>() -> [StorageVersion; 2] {
    [P::on_chain_storage_version(), P::in_code_storage_version()]
}

fn charged(contract: u64) -> Balance {
    match Contracts::status_of(contract) {
        Some(ContractStatus::Deployed { tft, .. }) => tft,
        other => panic!("it isn't deployed: {other:?}"),
    }
}

#[test]
fn every_pallet_of_ours_starts_with_its_storage_version() {
    run(|| {
        let first = [StorageVersion::new(1), StorageVersion::new(1)];
        assert_eq!(versions::<Validators>(), first);
        assert_eq!(versions::<Billing>(), first);
        assert_eq!(versions::<Twins>(), first);
        assert_eq!(versions::<Farms>(), first);
        assert_eq!(versions::<Nodes>(), first);
        assert_eq!(versions::<Contracts>(), [StorageVersion::new(2), StorageVersion::new(2)]);
    });
}

#[test]
fn a_chain_with_a_running_contract_lives_through_an_upgrade() {
    run_with_node(|mut machine, bob| {
        assert_ok!(call(Bob, create(1, small())));
        report(machine.deployed(1, b"{}")).unwrap();
        machine.serve(MINUTE_MS);
        let (cost, credit) = (charged(1), Billing::settled_payer(bob).credit);

        let older = LastRuntimeUpgradeInfo { spec_version: Compact(0), spec_name: VERSION.spec_name };
        LastRuntimeUpgrade::<Runtime>::put(older);
        block(vec![]);
        assert_eq!(LastRuntimeUpgrade::<Runtime>::get(), Some(VERSION.into()), "the migrations have run");
        check_invariants();

        machine.serve(MINUTE_MS);
        assert!(Nodes::is_online(1));
        assert!(charged(1) > cost && Billing::settled_payer(bob).credit < credit);
    });
}

#[test]
fn a_chain_without_claimed_ranges_has_them_after_an_upgrade() {
    run_with_node(|mut machine, _| {
        let in_mesh = || with_networks(vec![("mesh", [10, 1, 0, 0], 24)]);
        assert_ok!(call(Bob, in_mesh()));
        report(machine.deployed(1, b"{}")).unwrap();
        let _ = pallet_grid_contracts::NetworkRanges::<Runtime>::clear(u32::MAX, None);
        StorageVersion::new(1).put::<Contracts>();
        check_invariants();

        let older = LastRuntimeUpgradeInfo { spec_version: Compact(0), spec_name: VERSION.spec_name };
        LastRuntimeUpgrade::<Runtime>::put(older);
        block(vec![]);
        check_invariants();
        assert_eq!(versions::<Contracts>(), [StorageVersion::new(2), StorageVersion::new(2)]);
        assert_fails(Bob, in_mesh(), pallet_grid_contracts::Error::<Runtime>::RangeTaken);
    });
}

#[test]
fn while_a_migration_goes_on_prices_count_and_deadlines_wait() {
    run_with_node(|mut machine, _| {
        assert_ok!(call(Bob, create(1, small())));
        report(machine.deployed(1, b"{}")).unwrap();
        block(vec![]);
        let (cost, grid, price) = (charged(1), Clock::grid_now(), Clock::price_now());

        // What a migration that never ends leaves behind, until a runtime comes that mends it.
        Cursor::<Runtime>::put(MigrationCursor::Stuck);
        pass(10 * heartbeat_ms());
        assert_eq!(Clock::grid_now(), grid);
        assert!(Clock::price_now() > price && charged(1) > cost);
        assert!(Nodes::is_online(1), "nobody could have been heard from");
        check_invariants();

        Cursor::<Runtime>::kill();
        pass(2 * SLOT_DURATION);
        assert!(Clock::grid_now() > grid);
        assert_ok!(call(Bob, pallet_grid_billing::Call::deposit { twin: 2, amount: TFT }));
    });
}

#[test]
fn no_new_runtime_comes_before_a_migration_is_done() {
    run(|| {
        Cursor::<Runtime>::put(MigrationCursor::Stuck);
        let set = frame_system::Call::<Runtime>::set_code_without_checks { code: vec![0] };
        let refused = frame_system::Error::<Runtime>::MultiBlockMigrationsOngoing;
        assert_eq!(by_root(set.into()), Err(refused.into()));
        Cursor::<Runtime>::kill();
    });
}

#[test]
fn no_code_is_applied_but_the_authorized_one() {
    run(|| {
        let apply =
            |code: &[u8]| frame_system::Call::<Runtime>::apply_authorized_upgrade { code: code.to_vec() };
        type Error = frame_system::Error<Runtime>;
        assert_fails(Bob, apply(b"new"), Error::NothingAuthorized);
        let code_hash = BlakeTwo256::hash(b"new");
        let authorize = frame_system::Call::<Runtime>::authorize_upgrade { code_hash };
        assert_fails(Bob, authorize.clone(), BadOrigin);
        assert_ok!(by_root(authorize.into()));
        assert_fails(Bob, apply(b"another"), Error::Unauthorized);
        assert!(System::authorized_upgrade().is_some());
    });
}
