// SPDX-License-Identifier: Apache-2.0

//! The built-in chains: the specs of `chain-spec/`. They contain no code; the runtime of this binary is
//! added.

use sc_service::GenericChainSpec;
use serde_json::Value;
use std::fs;
use tfgrid_runtime::genesis;

pub type ChainSpec = GenericChainSpec;

/// One validator, Alice.
const DEVELOPMENT: &[u8] = include_bytes!("../../chain-spec/development.json");
/// Four validators, Alice to Dave, on one machine or in one LAN.
const LOCAL_TESTNET: &[u8] = include_bytes!("../../chain-spec/local_testnet.json");
/// The public chain. It is refused while its genesis has blanks that its founders must fill in.
const MAIN: &[u8] = include_bytes!("../../chain-spec/main.json");

/// The spec for `--chain id`, where `id` is a built-in name or a path. Errors are texts, as the SDK's are.
pub fn load(id: &str) -> Result<ChainSpec, String> {
    match id {
        "dev" => complete(DEVELOPMENT.into()),
        "" | "local" => complete(LOCAL_TESTNET.into()),
        genesis::MAIN => complete(MAIN.into()),
        path => from_file(path).map_err(|error| {
            format!(
                "cannot load the chain spec `{path}`: {error}. \
                 Give `dev`, `local`, `main`, or the path of a spec made by `export-chain-spec`"
            )
        }),
    }
}

fn from_file(path: &str) -> Result<ChainSpec, String> {
    complete(fs::read(path).map_err(|error| error.to_string())?)
}

/// Completes a spec: a plain one without code gets the runtime of this binary. A spec with blanks is refused.
fn complete(text: Vec<u8>) -> Result<ChainSpec, String> {
    let mut spec: Value = serde_json::from_slice(&text).map_err(|error| format!("it isn't JSON: {error}"))?;
    let plain = spec.pointer_mut("/genesis/runtimeGenesis").and_then(Value::as_object_mut);
    let Some(plain) = plain else {
        return ChainSpec::from_json_bytes(text);
    };
    if let Some(patch) = plain.get("patch") {
        genesis::ensure_complete(patch.to_string().as_bytes())?;
    }
    if plain.contains_key("code") {
        return ChainSpec::from_json_bytes(text);
    }
    plain.insert("code".into(), code()?.into());
    ChainSpec::from_json_bytes(spec.to_string().into_bytes())
}

/// The runtime of this binary, in the encoding of specs.
fn code() -> Result<String, String> {
    let code = tfgrid_runtime::WASM_BINARY.ok_or(
        "this binary was built without a runtime (SKIP_WASM_BUILD), so it has none for a spec without code. \
         Build it without that variable, or give --chain the path of a spec that has its code",
    )?;
    Ok(sp_core::bytes::to_hex(code, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc_service::{ChainSpec as _, ChainType};

    #[test]
    fn specs_name_the_token_for_wallets() {
        for id in ["dev", "local"] {
            let properties = load(id).unwrap().properties();
            assert_eq!(properties["tokenSymbol"], "TFT");
            assert_eq!(properties["tokenDecimals"], 7);
            assert_eq!(properties["ss58Format"], 42);
        }
    }

    #[test]
    fn each_name_gives_its_chain() {
        let dev = load("dev").unwrap();
        assert_eq!(dev.id(), "tfgrid_dev");
        assert_eq!(dev.name(), "TF Grid Development");
        assert_eq!(dev.chain_type(), ChainType::Development);

        let local = load("local").unwrap();
        assert_eq!(local.id(), "tfgrid_local");
        assert_eq!(local.chain_type(), ChainType::Local);
        assert_eq!(load("").unwrap().id(), local.id());
    }

    #[test]
    fn built_in_chains_have_no_boot_nodes_or_telemetry() {
        for id in ["dev", "local"] {
            let spec = load(id).unwrap();
            assert!(spec.boot_nodes().is_empty());
            assert!(spec.telemetry_endpoints().is_none());
        }
    }

    #[test]
    fn the_presets_exist_in_the_runtime() {
        for id in ["dev", "local"] {
            let json = load(id).unwrap().as_json(true).unwrap();
            assert!(json.contains("\"raw\""), "{id} has no raw genesis");
        }
    }

    #[test]
    fn a_spec_without_code_gets_the_runtime_of_the_binary() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../chain-spec/local_testnet.json");
        let of_file = load(path).unwrap();
        assert_eq!(of_file.as_json(true).unwrap(), load("local").unwrap().as_json(true).unwrap());
    }

    #[test]
    fn the_public_chain_names_its_blanks() {
        let main = concat!(env!("CARGO_MANIFEST_DIR"), "/../chain-spec/main.json");
        for id in ["main", main] {
            let error = load(id).err().unwrap();
            assert!(error.contains("/session/keys/0/0 (the first validator's account"), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named_in_the_error() {
        let error = load("no/such/spec.json").err().unwrap();
        assert!(error.contains("no/such/spec.json"), "{error}");
        assert!(error.contains("export-chain-spec"), "{error}");
    }
}
