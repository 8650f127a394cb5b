// SPDX-License-Identifier: Apache-2.0

/// Names the wasm runtime that the node gets instead of one built now: a release has that of `make runtime`, whose
/// bytes anybody can build again.
#[cfg(feature = "std")]
const READY: &str = "TFGRID_RUNTIME_WASM";

fn main() {
    #[cfg(feature = "std")]
    {
        println!("cargo::rerun-if-env-changed={READY}");
        match std::env::var(READY) {
            Ok(wasm) => take(&wasm),
            Err(_) => build_wasm(),
        }
    }
}

#[cfg(feature = "std")]
fn take(wasm: &str) {
    println!("cargo::rerun-if-changed={wasm}");
    let path = std::fs::canonicalize(wasm)
        .unwrap_or_else(|error| panic!("{READY}={wasm}: {error}; `make runtime` builds it"));
    let source = format!("pub const WASM_BINARY: Option<&[u8]> = Some(include_bytes!({path:?}));");
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(std::path::Path::new(&out).join("wasm_binary.rs"), source)
        .unwrap_or_else(|error| panic!("can't write wasm_binary.rs in {}: {error}", out.display()));
}

#[cfg(feature = "std")]
fn build_wasm() {
    let builder = substrate_wasm_builder::WasmBuilder::init_with_defaults();

    // Builds the runtime twice: once to read its metadata, once to put the hash of it inside.
    #[cfg(feature = "metadata-hash")]
    let builder = builder.enable_metadata_hash("TFT", 7);

    builder.build();
}
