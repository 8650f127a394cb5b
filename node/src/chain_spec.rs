// SPDX-License-Identifier: Apache-2.0

//! The chains that the binary knows by name. Their genesis is a preset of the runtime, so that a
//! spec says only what the runtime can't: name, id, type and how wallets show the token.

use sc_service::{ChainType, GenericChainSpec, Properties};
use sp_genesis_builder::{DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET};
use std::path::PathBuf;
use tfgrid_runtime::genesis;

pub type ChainSpec = GenericChainSpec;

/// Prefix of the network protocols. Chains are told apart by their genesis hash.
const PROTOCOL_ID: &str = "tfgrid";

/// The spec that `--chain id` names: a built-in one, or the path of a file.
pub fn load(id: &str) -> Result<ChainSpec, String> {
    match id {
        "dev" => development(),
        "" | "local" => local_testnet(),
        genesis::MAIN => main(),
        path => ChainSpec::from_json_file(PathBuf::from(path)).map_err(|error| {
            format!(
                "cannot load the chain spec `{path}`: {error}. \
                 Give `dev`, `local`, `main`, or the path of a spec made by `export-chain-spec`"
            )
        }),
    }
}

/// One validator, Alice.
fn development() -> Result<ChainSpec, String> {
    built_in("TF Grid Development", "tfgrid_dev", ChainType::Development, DEV_RUNTIME_PRESET)
}

/// Four validators, Alice to Dave, on one machine or in one LAN.
fn local_testnet() -> Result<ChainSpec, String> {
    built_in("TF Grid Local Testnet", "tfgrid_local", ChainType::Local, LOCAL_TESTNET_RUNTIME_PRESET)
}

/// The public chain: refused while its founders haven't filled in the blanks of its genesis.
fn main() -> Result<ChainSpec, String> {
    let preset = genesis::preset(&genesis::MAIN.into()).ok_or("the runtime has no preset for it")?;
    genesis::ensure_complete(&preset)?;
    built_in("TF Grid", "tfgrid", ChainType::Live, genesis::MAIN)
}

fn built_in(name: &str, id: &str, chain_type: ChainType, preset: &str) -> Result<ChainSpec, String> {
    let code = tfgrid_runtime::WASM_BINARY.ok_or(
        "this binary was built without a runtime (SKIP_WASM_BUILD), so it has no built-in chains. \
         Build it without that variable, or give --chain the path of a spec",
    )?;
    Ok(ChainSpec::builder(code, None)
        .with_name(name)
        .with_id(id)
        .with_chain_type(chain_type)
        .with_protocol_id(PROTOCOL_ID)
        .with_properties(properties())
        .with_genesis_config_preset_name(preset)
        .build())
}

/// How wallets and explorers show amounts and addresses.
fn properties() -> Properties {
    Properties::from_iter([
        ("tokenSymbol".into(), "TFT".into()),
        ("tokenDecimals".into(), 7.into()),
        ("ss58Format".into(), 42.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc_service::ChainSpec as _;

    #[test]
    fn wallets_learn_the_token_from_the_spec() {
        for id in ["dev", "local"] {
            let properties = load(id).unwrap().properties();
            assert_eq!(properties["tokenSymbol"], "TFT");
            assert_eq!(properties["tokenDecimals"], 7);
            assert_eq!(properties["ss58Format"], 42);
        }
    }

    #[test]
    fn the_names_lead_to_the_right_chains() {
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
    fn built_in_chains_call_nobody() {
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
    fn a_missing_file_is_named_in_the_error() {
        let error = load("no/such/spec.json").err().unwrap();
        assert!(error.contains("no/such/spec.json"), "{error}");
        assert!(error.contains("export-chain-spec"), "{error}");
    }
}
