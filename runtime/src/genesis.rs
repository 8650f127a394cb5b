// SPDX-License-Identifier: Apache-2.0
//! What a chain starts with.

use crate::*;
use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use frame_support::build_struct_json_patch;
use pallet_grid_billing::BillingPolicy;
use pallet_grid_clock::PriceBounds;
use pallet_grid_farming::FarmingPolicy;
use serde_json::{Value, json};
use sp_genesis_builder::PresetId;
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};
use tfgrid_primitives::units::{MINUTE_MS, SECOND_MS, TFT, USD};

/// The preset of a chain of one validator for trying things out.
pub const DEVELOPMENT: &str = sp_genesis_builder::DEV_RUNTIME_PRESET;
/// The preset of a chain of four validators on one machine.
pub const LOCAL_TESTNET: &str = sp_genesis_builder::LOCAL_TESTNET_RUNTIME_PRESET;
/// The preset of the public chain, with blanks: [`ensure_complete`] refuses it until they are filled in.
pub const MAIN: &str = "main";

/// What every well-known account of the test presets starts with.
const ENDOWMENT: Balance = 1_000_000 * TFT;
/// 0.05 USD per TFT.
const TEST_PRICE: u64 = USD / 20;

/// Who has which session keys.
type Validator = (AccountId, AccountId, SessionKeys);

/// A well-known account that makes blocks with its well-known keys.
fn validator(account: Sr25519Keyring, grandpa: Ed25519Keyring) -> Validator {
    let keys = SessionKeys { aura: account.public().into(), grandpa: grandpa.public().into() };
    (account.to_account_id(), account.to_account_id(), keys)
}

/// A genesis for tests: the well-known keys own money, Alice governs alone, or three of the council, and what
/// takes minutes takes seconds.
fn test_genesis(validators: Vec<Validator>) -> Value {
    use Sr25519Keyring::{Alice, Bob, Charlie, Eve, Ferdie};
    let accounts = |keyrings: &[Sr25519Keyring]| -> Vec<AccountId> {
        keyrings.iter().map(|keyring| keyring.to_account_id()).collect()
    };
    let policy = BillingPolicy::standard(Ferdie.to_account_id(), Eve.to_account_id());
    build_struct_json_patch!(RuntimeGenesisConfig {
        balances: BalancesConfig {
            balances: Sr25519Keyring::well_known()
                .map(|keyring| (keyring.to_account_id(), ENDOWMENT))
                .collect(),
        },
        session: SessionConfig { keys: validators },
        sudo: SudoConfig { key: Some(Alice.to_account_id()) },
        council_membership: CouncilMembershipConfig {
            members: accounts(&[Alice, Bob, Charlie]).try_into().unwrap_or_default(),
        },
        feeders: FeedersConfig { members: accounts(&[Alice]).try_into().unwrap_or_default() },
        initial_intervals: InitialIntervalsConfig {
            heartbeat_ms: Some(10 * SECOND_MS),
            usage_ms: Some(12 * SECOND_MS),
            result_ms: Some(3 * SECOND_MS),
            // Long enough for a slow machine that fetches an image.
            answer_ms: Some(5 * MINUTE_MS),
            long_offline_ms: Some(14 * MINUTE_MS),
            not_delivered_ms: Some(MINUTE_MS),
            tombstone_ms: Some(90 * MINUTE_MS),
            drain_notice_ms: Some(MINUTE_MS),
            extra_fee_notice_ms: Some(MINUTE_MS),
            min_feeders: Some(1),
            answer_limit_ms: Some(30 * MINUTE_MS),
            cool_down_ms: Some(MINUTE_MS),
            grace_max_ms: Some(10 * MINUTE_MS),
        },
        clock: ClockConfig { price: TEST_PRICE, bounds: PriceBounds::default() },
        billing: BillingConfig { policy: Some(policy) },
        farming: FarmingConfig {
            policy: Some(FarmingPolicy { automatic: true, ..FarmingPolicy::standard() }),
        },
    })
}

/// What a blank starts with; the rest says what belongs there.
const BLANK: &str = "FILL IN: ";

fn blank(what: &str) -> Value {
    Value::String(format!("{BLANK}{what}"))
}

/// The public chain: no sudo key, intervals as designed, and blanks for what only its founders know. Lists
/// may be as long as need be.
fn main_genesis() -> Value {
    let nobody = AccountId::new([0; 32]);
    let mut policy = json!(BillingPolicy::standard(nobody.clone(), nobody));
    policy["foundation"] = blank("the foundation's account, SS58");
    policy["staking"] = blank("the staking pool's account, SS58");
    json!({
        "balances": {
            "balances": [[
                blank("an account that starts with TFT, SS58"),
                blank("how much, a number in 1e-7 TFT"),
            ]],
        },
        "session": {
            "keys": [[
                blank("the first validator's account, SS58"),
                blank("the same account again"),
                { "aura": blank("its sr25519 key, SS58"), "grandpa": blank("its ed25519 key, SS58") },
            ]],
        },
        "councilMembership": { "members": [blank("the first member of the council, SS58")] },
        "clock": {
            "price": blank("what one TFT costs, a number in 1e-7 USD"),
            "bounds": PriceBounds::default(),
        },
        "billing": { "policy": policy },
        "farming": { "policy": FarmingPolicy::standard() },
    })
}

/// Refuses a genesis that no chain can start from, and says what is missing and where.
pub fn ensure_complete(genesis: &[u8]) -> Result<(), String> {
    let genesis: Value = serde_json::from_slice(genesis).map_err(|error| format!("no JSON: {error}"))?;
    let mut blanks = Vec::new();
    find_blanks(&genesis, "", &mut blanks);
    if !blanks.is_empty() {
        return Err(format!(
            "the genesis has blanks that its founders must fill in in the chain spec: {}",
            blanks.join("; ")
        ));
    }
    let validators = genesis["session"]["keys"].as_array().map_or(0, Vec::len);
    if validators == 0 {
        return Err("nobody would make blocks: /session/keys of the genesis names no validator".into());
    }
    ensure_governed(&genesis)
}

/// Refuses a chain that nobody could govern, that mints for every node, or whose foundation is the pot itself.
fn ensure_governed(genesis: &Value) -> Result<(), String> {
    let has_sudo = genesis["sudo"]["key"].is_string();
    let council = genesis["councilMembership"]["members"].as_array().map_or(0, Vec::len);
    if !has_sudo && council == 0 {
        return Err("nobody would govern: /councilMembership/members of the genesis is empty".into());
    }
    if !has_sudo && genesis["farming"]["policy"]["automatic"] == true {
        return Err("every node would mint: /farming/policy/automatic of the genesis must be false".into());
    }
    if genesis["billing"]["policy"]["foundation"] == json!(Billing::pot()) {
        return Err("/billing/policy/foundation of the genesis is the account that keeps all credit".into());
    }
    Ok(())
}

fn find_blanks(value: &Value, path: &str, blanks: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            blanks.extend(text.strip_prefix(BLANK).map(|what| format!("{path} ({what})")));
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                find_blanks(item, &format!("{path}/{i}"), blanks);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                find_blanks(field, &format!("{path}/{name}"), blanks);
            }
        }
        _ => {}
    }
}

/// The preset of a name, as JSON.
pub fn preset(id: &PresetId) -> Option<Vec<u8>> {
    use Ed25519Keyring as Grandpa;
    use Sr25519Keyring as Account;
    let genesis = match id.as_ref() {
        DEVELOPMENT => test_genesis(vec![validator(Account::Alice, Grandpa::Alice)]),
        LOCAL_TESTNET => test_genesis(vec![
            validator(Account::Alice, Grandpa::Alice),
            validator(Account::Bob, Grandpa::Bob),
            validator(Account::Charlie, Grandpa::Charlie),
            validator(Account::Dave, Grandpa::Dave),
        ]),
        MAIN => main_genesis(),
        _ => return None,
    };
    Some(genesis.to_string().into_bytes())
}

/// The names of the presets.
pub fn preset_names() -> Vec<PresetId> {
    [DEVELOPMENT, LOCAL_TESTNET, MAIN].map(PresetId::from).into()
}
