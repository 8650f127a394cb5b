// SPDX-License-Identifier: Apache-2.0
//! Builds the wasm runtime with its benchmarks. The program that runs it needs no benchmarks of its own, so
//! the SDK isn't compiled natively a second time.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    #[cfg(feature = "measure")]
    runtime::build()?;
    Ok(())
}

#[cfg(feature = "measure")]
mod runtime {
    use super::Error;
    use std::{env, fs, path::Path, process::Command};

    /// Set in the process that runs the builder.
    const IS_BUILDER: &str = "TFGRID_WEIGHTS_BUILDER";

    /// The builder reads its settings from the environment, so it runs in a process with another one.
    pub fn build() -> Result<(), Box<dyn Error>> {
        let workspace =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the crate has no parent folder")?;
        if env::var_os(IS_BUILDER).is_some() {
            return run_builder(workspace);
        }
        // The builder derives its folder from `OUT_DIR` and the name of the runtime's crate, which would
        // overwrite the node's runtime. Hence another `OUT_DIR`.
        let apart = Path::new(&env::var("OUT_DIR")?).join("target/release/build/runtime");
        fs::create_dir_all(&apart)?;
        // Cargo creates this file beside `OUT_DIR`; the builder reads its time.
        fs::write(apart.with_file_name("invoked.timestamp"), "")?;
        println!("cargo:rustc-env=RUNTIME={}", apart.join("wasm_binary.rs").display());

        let status = Command::new(env::current_exe()?)
            .env("WASM_BUILD_WORKSPACE_HINT", workspace)
            .env("OUT_DIR", &apart)
            .env(IS_BUILDER, "1")
            .status()?;
        if status.success() { Ok(()) } else { Err(format!("the wasm builder failed ({status})").into()) }
    }

    fn run_builder(workspace: &Path) -> Result<(), Box<dyn Error>> {
        substrate_wasm_builder::WasmBuilder::new()
            .with_project(workspace.join("runtime/Cargo.toml"))?
            .enable_feature("runtime-benchmarks")
            .import_memory()
            .export_heap_base()
            .build();
        Ok(())
    }
}
