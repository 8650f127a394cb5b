// SPDX-License-Identifier: Apache-2.0

fn main() {
    #[cfg(feature = "std")]
    build_wasm();
}

#[cfg(feature = "std")]
fn build_wasm() {
    let builder = substrate_wasm_builder::WasmBuilder::init_with_defaults();

    // Builds the runtime twice: once to read its metadata, once to put the hash of it inside.
    #[cfg(feature = "metadata-hash")]
    let builder = builder.enable_metadata_hash("TFT", 7);

    builder.build();
}
