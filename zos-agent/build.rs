// SPDX-License-Identifier: Apache-2.0
//! Builds the machine of the self-test and packs it as the content of an image: so a node tests itself with what the
//! agent brings along, whatever else is on its machine.

use std::{env, path::PathBuf, process::Command};

const SOURCE: &str = "self-test/machine.rs";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let out = PathBuf::from(variable("OUT_DIR"));
    let mut compile = Command::new(variable("RUSTC"));
    compile.args(["--edition=2024", "--crate-type=bin", "--target", &variable("TARGET"), SOURCE]);
    compile.args(["-Copt-level=s", "-Cpanic=abort", "-Cstrip=symbols", "-Ctarget-feature=+crt-static"]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compile.arg(format!("-Clinker={linker}"));
    }
    run(compile.arg("-o").arg(out.join("machine")));
    let mut pack = Command::new("tar");
    pack.args(["--create", "--owner=0", "--group=0", "--mtime=@0", "--file"]).arg(out.join("machine.tar"));
    run(pack.arg("--directory").arg(&out).arg("machine"));
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("can't run {command:?}: {error}"));
    assert!(
        status.success(),
        "{command:?} failed ({status}): it needs tar and the C library for static programs"
    );
}
