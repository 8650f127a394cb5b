// SPDX-License-Identifier: Apache-2.0
//! How validators join and leave, down to Aura and GRANDPA.

use crate::{
    chain::*,
    governance::{as_root, by_root, motion},
};
use codec::Encode;
use frame_support::{
    assert_ok, dispatch::DispatchClass, traits::fungible::InspectHold,
    weights::constants::WEIGHT_REF_TIME_PER_MILLIS,
};
use sp_consensus_aura::sr25519::AuthorityId as AuraId;
use sp_consensus_grandpa::AuthorityId as GrandpaId;
use sp_core::proof_of_possession::ProofOfPossessionGenerator;
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};
use sp_runtime::DispatchError::BadOrigin;
use tfgrid_primitives::units::TFT;
use tfgrid_runtime::*;

type Call = pallet_grid_validators::Call<Runtime>;

/// How long a block may take to reach the other validators: what GRANDPA allows for a vote.
const SPREAD_MS: u64 = 333;

/// The secret halves of session keys.
type Secrets = (Sr25519Keyring, Ed25519Keyring);

const OF_ALICE: Secrets = (Alice, Ed25519Keyring::Alice);
const OF_BOB: Secrets = (Bob, Ed25519Keyring::Bob);
const OF_EVE: Secrets = (Sr25519Keyring::Eve, Ed25519Keyring::Eve);

/// The call that sets these keys, with a proof that they are `owner`'s.
fn set_keys(owner: Sr25519Keyring, (aura, grandpa): Secrets) -> pallet_session::Call<Runtime> {
    let owner = owner.to_account_id().encode();
    let proof = (
        aura.pair().generate_proof_of_possession(&owner),
        grandpa.pair().generate_proof_of_possession(&owner),
    );
    let keys = SessionKeys { aura: aura.public().into(), grandpa: grandpa.public().into() };
    pallet_session::Call::set_keys { keys, proof: proof.encode() }
}

fn add(who: Sr25519Keyring) -> RuntimeCall {
    Call::add_validator { account: who.to_account_id() }.into()
}

fn remove(who: Sr25519Keyring) -> RuntimeCall {
    Call::remove_validator { account: who.to_account_id() }.into()
}

fn next_sessions(count: u32) {
    let until = Session::current_index() + count;
    while Session::current_index() < until {
        block(vec![]);
    }
    check_invariants();
}

/// Asserts that Aura and GRANDPA go by these keys.
#[track_caller]
fn assert_authorities(keys: &[Secrets]) {
    let aura: Vec<AuraId> = keys.iter().map(|(aura, _)| aura.public().into()).collect();
    let grandpa: Vec<(GrandpaId, u64)> = keys.iter().map(|(_, key)| (key.public().into(), 1)).collect();
    assert_eq!(pallet_aura::Authorities::<Runtime>::get().into_inner(), aura);
    assert_eq!(Grandpa::grandpa_authorities(), grandpa);
}

/// Bob with session keys, heard from and added by the council.
fn let_bob_join() {
    assert_ok!(call(Bob, set_keys(Bob, OF_BOB)));
    assert_ok!(call(Bob, Call::announce {}));
    assert_ok!(motion(add(Bob), 2));
}

#[test]
fn added_candidate_is_an_authority_two_sessions_later() {
    run(|| {
        let_bob_join();
        next_sessions(1);
        assert_authorities(&[OF_ALICE]);
        assert_eq!(Grandpa::current_set_id(), 0);
        next_sessions(1);
        assert_authorities(&[OF_ALICE, OF_BOB]);
        assert_eq!(Grandpa::current_set_id(), 1);
        next_sessions(1);
        assert_eq!(Grandpa::current_set_id(), 1, "nothing has changed since");
    });
}

#[test]
fn genesis_validator_can_leave_once_another_is_there() {
    run(|| {
        assert_fails(Alice, Call::retire {}, pallet_grid_validators::Error::<Runtime>::StillValidator);
        let_bob_join();
        assert_ok!(by_root(remove(Alice)));
        next_sessions(3);
        assert_authorities(&[OF_BOB]);
        assert_ok!(call(Alice, Call::retire {}));
        assert_eq!(Session::validators(), [Bob.to_account_id()]);
    });
}

#[test]
fn keys_are_only_set_by_who_has_their_secrets() {
    run(|| {
        let pallet_session::Call::set_keys { keys, .. } = set_keys(Bob, OF_BOB) else { unreachable!() };
        let pallet_session::Call::set_keys { proof, .. } = set_keys(Charlie, OF_BOB) else { unreachable!() };
        let stolen = pallet_session::Call::set_keys { keys, proof };
        assert_fails(Bob, stolen, pallet_session::Error::<Runtime>::InvalidProof);
        let taken = set_keys(Bob, OF_ALICE);
        assert_fails(Bob, taken, pallet_session::Error::<Runtime>::DuplicatedKey);
    });
}

#[test]
fn new_keys_of_a_validator_are_in_force_two_sessions_later() {
    run(|| {
        assert_ok!(call(Alice, set_keys(Alice, OF_EVE)));
        next_sessions(1);
        assert_authorities(&[OF_ALICE]);
        next_sessions(1);
        assert_authorities(&[OF_EVE]);
    });
}

#[test]
fn session_keys_are_freed_by_retire_and_never_by_purge() {
    run(|| {
        let held =
            || Balances::balance_on_hold(&pallet_session::HoldReason::Keys.into(), &Bob.to_account_id());
        let purge = RuntimeCall::from(pallet_session::Call::purge_keys {});
        assert_ok!(call(Bob, set_keys(Bob, OF_BOB)));
        assert_eq!(held(), TFT);
        for who in [Alice, Bob] {
            assert_fails(who, purge.clone(), frame_system::Error::<Runtime>::CallFiltered);
        }
        let hidden = pallet_utility::Call::batch_all { calls: vec![purge] };
        assert!(call(Alice, hidden).is_err());
        assert_ok!(call(Bob, Call::retire {}));
        assert_eq!(held(), 0);
        next_sessions(2);
        assert_authorities(&[OF_ALICE]);
    });
}

#[test]
fn nobody_but_governance_changes_the_set() {
    run(|| {
        for change in [add(Bob), remove(Alice)] {
            assert_fails(Bob, change.clone(), BadOrigin);
            assert_fails(Alice, change, BadOrigin);
        }
        let last = pallet_grid_validators::Error::<Runtime>::LastValidator;
        assert_eq!(by_root(remove(Alice)), Err(last.into()));
    });
}

#[test]
fn session_change_block_has_room_for_machines_reports() {
    run_with_node(|mut machine, _| {
        let blocks = SESSION - System::block_number() - 5;
        machine.serve(u64::from(blocks) * SLOT_DURATION);
        while System::block_number() % SESSION != SESSION - 1 {
            block(vec![]);
        }
        let session = Session::current_index();
        report(machine.heartbeat()).unwrap();
        assert_eq!((Session::current_index(), System::block_number() % SESSION), (session + 1, 0));
    });
}

#[test]
fn session_change_block_has_room_for_people() {
    run(|| {
        while System::block_number() % SESSION != SESSION - 1 {
            block(vec![]);
        }
        let (session, before) = (Session::current_index(), Balances::free_balance(Alice.to_account_id()));
        block(vec![signed(Bob, nearly_a_quarter())]);
        assert_eq!((Session::current_index(), System::block_number() % SESSION), (session + 1, 0));
        assert!(Balances::free_balance(Alice.to_account_id()) > before + 100);
    });
}

#[test]
fn heaviest_block_is_made_and_imported_in_its_slot() {
    let limits = <Runtime as frame_system::Config>::BlockWeights::get();
    // The turn of a session declares a whole block, and takes little of it. Without it, one class at most goes on
    // beside a full block.
    let heaviest = limits.max_block + limits.get(DispatchClass::Normal).reserved.unwrap();
    let ms = heaviest.ref_time().div_ceil(WEIGHT_REF_TIME_PER_MILLIS);
    assert!(2 * ms + SPREAD_MS < SLOT_DURATION, "{ms} ms");
}

#[test]
fn a_stalled_grandpa_is_started_again_by_the_council() {
    run(|| {
        let noted = pallet_grandpa::Call::note_stalled { delay: 20, best_finalized_block_number: 1 };
        assert_fails(Alice, noted.clone(), BadOrigin);
        assert_ok!(motion(noted.clone().into(), 2));
        assert_eq!(Grandpa::stalled(), None, "the council alone isn't root");
        assert_ok!(motion(as_root(noted.into()), 2));
        assert_eq!(Grandpa::stalled(), Some((20, 1)));
        next_sessions(1);
        assert_eq!(Grandpa::stalled(), None);
        assert_eq!(Grandpa::pending_change().unwrap().forced, Some(1));
        (0..20).for_each(|_| block(vec![]));
        assert!(Grandpa::pending_change().is_none());
        assert_eq!(Grandpa::current_set_id(), 1);
        assert_authorities(&[OF_ALICE]);
    });
}
