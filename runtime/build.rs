// SPDX-License-Identifier: Apache-2.0

fn main() {
    #[cfg(feature = "std")]
    build_wasm();
}

#[cfg(feature = "std")]
fn build_wasm() {
    use std::{env, path::Path};

    // The builder looks for Cargo.lock above cargo's target folder. That folder may lie elsewhere,
    // and then the runtime would be built with other versions than those locked.
    const WORKSPACE_HINT: &str = "WASM_BUILD_WORKSPACE_HINT";
    if env::var_os(WORKSPACE_HINT).is_none() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        env::set_var(WORKSPACE_HINT, workspace.expect("the runtime is a folder of the workspace"));
    }

    let builder = substrate_wasm_builder::WasmBuilder::init_with_defaults();

    // Builds the runtime twice: once to read its metadata, once to put the hash of it inside.
    #[cfg(feature = "metadata-hash")]
    let builder = builder.enable_metadata_hash("TFT", 7);

    builder.build();
}
