// SPDX-License-Identifier: Apache-2.0
//! Builds the runtime for wasm with its benchmarks in it, and nothing else: the program that runs it needs no
//! benchmarks itself, so the SDK isn't compiled a second time.

fn main() {
    #[cfg(feature = "measure")]
    build_runtime();
}

#[cfg(feature = "measure")]
fn build_runtime() {
    use std::{env, path::Path};

    let workspace =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this is a folder of the workspace");
    env::set_var("WASM_BUILD_WORKSPACE_HINT", workspace);

    // The builder works in the target folder above `OUT_DIR`, in a folder that is named like the runtime's crate:
    // it would take the place of the runtime that the node carries.
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let apart = Path::new(&out).join("target/release/build/runtime");
    std::fs::create_dir_all(&apart).expect("OUT_DIR can be written to");
    // Cargo leaves this beside `OUT_DIR`; the builder gives its files the time of it.
    std::fs::write(apart.with_file_name("invoked.timestamp"), "").expect("the folder exists");
    env::set_var("OUT_DIR", &apart);
    println!("cargo:rustc-env=RUNTIME={}", apart.join("wasm_binary.rs").display());

    substrate_wasm_builder::WasmBuilder::new()
        .with_project(workspace.join("runtime/Cargo.toml"))
        .expect("the runtime has a manifest")
        .enable_feature("runtime-benchmarks")
        .import_memory()
        .export_heap_base()
        .build();
}
