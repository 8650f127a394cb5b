// SPDX-License-Identifier: Apache-2.0
//! The chain specs in `chain-spec/`.

use serde_json::Value;
use std::{fs, path::Path};
use tfgrid_runtime::genesis;

fn spec(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chain-spec").join(format!("{name}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_chain_specs_start_with_the_presets_of_this_runtime() {
    for name in genesis::preset_names() {
        let preset: Value = serde_json::from_slice(&genesis::preset(&name).unwrap()).unwrap();
        let kept = &spec(&name)["genesis"]["runtimeGenesis"]["patch"];
        assert_eq!(*kept, preset, "{name}.json is stale: run `make chain-specs` and commit it");
    }
}

#[test]
fn the_public_chain_is_not_to_be_mixed_up_with_others() {
    let names = ["name", "id", "chainType"];
    let [development, local, main] = ["development", "local_testnet", "main"].map(spec);
    for name in names {
        assert!(main[name] != development[name] && main[name] != local[name], "{name}");
        assert_ne!(development[name], local[name], "{name}");
    }
    assert_eq!(main["chainType"], "Live");
}
