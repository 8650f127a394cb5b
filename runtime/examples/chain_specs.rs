// SPDX-License-Identifier: Apache-2.0
//! Puts the runtime's genesis presets into the chain specs, after a change of one:
//! `cargo run -p tfgrid-runtime --example chain_specs -- chain-spec`.

use serde_json::Value;
use std::{env, error::Error, fs, path::Path};
use tfgrid_runtime::genesis;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("usage: chain_specs FOLDER")?;
    for preset in genesis::preset_names() {
        let path = Path::new(&folder).join(format!("{preset}.json"));
        let mut spec: Value = serde_json::from_slice(&fs::read(&path)?)?;
        let genesis = genesis::preset(&preset).ok_or("a preset is listed that isn't there")?;
        spec["genesis"]["runtimeGenesis"]["patch"] = serde_json::from_slice(&genesis)?;
        fs::write(&path, format!("{spec:#}\n"))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
