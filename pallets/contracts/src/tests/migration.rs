// SPDX-License-Identifier: Apache-2.0
//! Contracts from before ranges were claimed.

use super::*;
use crate::{NetworkRanges, WeightInfo, migrations::ClaimRanges};
use frame_support::{
    migrations::{SteppedMigration, SteppedMigrationError},
    traits::StorageVersion,
    weights::WeightMeter,
};

/// As the runtime before has left it.
fn forget_claims() {
    let _ = NetworkRanges::<Test>::clear(u32::MAX, None);
    StorageVersion::new(1).put::<Contracts>();
}

fn mesh(third: u8, prefix: u8) -> Networks {
    vec![network("mesh", [10, 1, third, 0], prefix)].try_into().unwrap()
}

/// A contract that takes part in `mesh` with this range, whoever has it.
fn running_in_mesh(third: u8, prefix: u8) -> ContractId {
    forget_claims();
    running(Create { networks: mesh(third, prefix), ..Create::default() })
}

/// Asks for a version with this range.
fn move_to(contract: ContractId, third: u8) {
    forget_claims();
    let networks = mesh(third, 24);
    assert_ok!(call(BOB, Update { contract, resources: small(), networks, ..Update::default() }));
}

/// Migrates with room for so many contracts in a block; returns the number of blocks.
fn migrate(contracts: u64) -> u64 {
    let (mut cursor, mut blocks) = (None, 0);
    loop {
        let mut meter = WeightMeter::with_limit(<() as WeightInfo>::claim_ranges() * contracts);
        cursor = ClaimRanges::<Test>::step(cursor, &mut meter).unwrap();
        blocks += 1;
        Contracts::do_try_state().unwrap();
        if cursor.is_none() {
            return blocks;
        }
    }
}

fn subnets_of(contract: ContractId) -> Vec<Subnet> {
    deployment(contract).networks.iter().map(|network| network.subnet).collect()
}

#[test]
fn ranges_of_older_contracts_are_claimed_in_steps() {
    run(|| {
        let [.., last] = [0, 4, 8].map(|third| running_in_mesh(third, 24));
        let closed = running_in_mesh(12, 24);
        assert_ok!(call(BOB, cancel(closed)));
        move_to(last, 9);
        forget_claims();

        assert!(migrate(1) > 4, "a contract with each block");
        for _ in 0..2 {
            assert_eq!(NetworkRanges::<Test>::iter_keys().count(), 4);
            assert_eq!(migrate(1), 1, "it is done");
        }
        for third in [0, 4, 8, 9] {
            let taken = Create { networks: mesh(third, 25), ..Create::default() };
            assert_fails(BOB, taken, Failure::RangeTaken);
        }
    });
}

#[test]
fn claims_of_a_runtime_that_had_not_migrated_are_made_anew() {
    run(|| {
        let (first, second) = (running_in_mesh(0, 24), running_in_mesh(0, 24));
        assert_eq!(NetworkRanges::<Test>::iter_keys().count(), 1, "that of the second one");
        migrate(100);
        assert_eq!((subnets_of(first).len(), subnets_of(second).len()), (1, 0));
    });
}

#[test]
fn of_two_older_contracts_with_one_range_the_first_has_it() {
    run(|| {
        let [first, second, third] = [24, 16, 25].map(|prefix| running_in_mesh(0, prefix));
        move_to(third, 8);
        forget_claims();
        migrate(100);
        assert_eq!([first, second, third].map(|contract| subnets_of(contract).len()), [1, 0, 0]);
        assert_eq!(deployment(third).pending.unwrap().networks, mesh(8, 24), "that is free");
        let name = NetworkName::try_from(b"mesh".to_vec()).unwrap();
        assert!(NetworkMembers::<Test>::iter_key_prefix((1, name)).eq([first]));
        assert_ok!(report(confirm(third)));
        assert_eq!(subnets_of(third).len(), 1);
        for contract in [second, first, third] {
            assert_ok!(call(BOB, cancel(contract)));
        }
        assert_eq!(NetworkRanges::<Test>::iter_keys().count(), 0);
    });
}

#[test]
fn a_block_without_room_for_a_contract_is_told() {
    run(|| {
        running_in_mesh(0, 24);
        let required = <() as WeightInfo>::claim_ranges();
        let refused = ClaimRanges::<Test>::step(None, &mut WeightMeter::with_limit(required / 2));
        assert_eq!(refused, Err(SteppedMigrationError::InsufficientWeight { required }));
        migrate(1);
    });
}
