// SPDX-License-Identifier: Apache-2.0
//! What a chain starts with.

use crate::*;
use alloc::{string::ToString, vec, vec::Vec};
use frame_support::build_struct_json_patch;
use pallet_billing::Policy;
use serde_json::Value;
use sp_consensus_aura::sr25519::AuthorityId as AuraId;
use sp_consensus_grandpa::AuthorityId as GrandpaId;
use sp_genesis_builder::PresetId;
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};
use tfgrid_primitives::units::{SECOND_MS, TFT, USD};

/// The preset of a chain of one validator for trying things out.
pub const DEVELOPMENT: &str = sp_genesis_builder::DEV_RUNTIME_PRESET;
/// The preset of a chain of four validators on one machine.
pub const LOCAL_TESTNET: &str = sp_genesis_builder::LOCAL_TESTNET_RUNTIME_PRESET;

/// What every well-known account of the test presets starts with.
const ENDOWMENT: Balance = 1_000_000 * TFT;
/// 0.05 USD per TFT.
const TEST_PRICE: u64 = USD / 20;

/// A genesis for tests: the well-known keys own money, Alice governs, and what takes minutes takes seconds.
fn test_genesis(validators: &[(Sr25519Keyring, Ed25519Keyring)]) -> Value {
    let account = |keyring: Sr25519Keyring| keyring.to_account_id();
    let aura: Vec<AuraId> = validators.iter().map(|(aura, _)| aura.public().into()).collect();
    let grandpa: Vec<(GrandpaId, u64)> =
        validators.iter().map(|(_, grandpa)| (grandpa.public().into(), 1)).collect();
    let policy = Policy::standard(account(Sr25519Keyring::Ferdie), account(Sr25519Keyring::Eve));
    build_struct_json_patch!(RuntimeGenesisConfig {
        balances: BalancesConfig {
            balances: Sr25519Keyring::well_known().map(|keyring| (account(keyring), ENDOWMENT)).collect(),
        },
        aura: pallet_aura::GenesisConfig { authorities: aura },
        grandpa: pallet_grandpa::GenesisConfig { authorities: grandpa },
        sudo: SudoConfig { key: Some(account(Sr25519Keyring::Alice)) },
        initial_intervals: InitialIntervalsConfig {
            heartbeat_ms: Some(10 * SECOND_MS),
            usage_ms: Some(12 * SECOND_MS),
            result_ms: Some(3 * SECOND_MS),
        },
        billing: BillingConfig { policy: Some(policy), price: TEST_PRICE },
    })
}

/// The preset of a name, as JSON.
pub fn preset(id: &PresetId) -> Option<Vec<u8>> {
    use Ed25519Keyring as Grandpa;
    use Sr25519Keyring as Aura;
    let genesis = match id.as_ref() {
        DEVELOPMENT => test_genesis(&[(Aura::Alice, Grandpa::Alice)]),
        LOCAL_TESTNET => test_genesis(&[
            (Aura::Alice, Grandpa::Alice),
            (Aura::Bob, Grandpa::Bob),
            (Aura::Charlie, Grandpa::Charlie),
            (Aura::Dave, Grandpa::Dave),
        ]),
        _ => return None,
    };
    Some(genesis.to_string().into_bytes())
}

/// The names of the presets.
pub fn preset_names() -> Vec<PresetId> {
    vec![PresetId::from(DEVELOPMENT), PresetId::from(LOCAL_TESTNET)]
}
