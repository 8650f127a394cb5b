// SPDX-License-Identifier: Apache-2.0
//! Builds the machine of the self-test and packs it as an image, for a registry to serve: so a node tests itself with
//! what the agent brings along, whatever else is on its machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

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
    describe(&out, &variable("CARGO_CFG_TARGET_ARCH"));
}

/// Writes configuration and manifest of the image, and the digests of all its parts.
fn describe(out: &Path, architecture: &str) {
    let architecture = match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let layer = digest(out, "machine.tar");
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{layer}"]}},"history":[{{"created_by":"zos-agent"}}]}}"#
    );
    write(out, "config.json", &config);
    let part = |kind: &str, name: &str| {
        let size = fs::metadata(out.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")).len();
        let digest = digest(out, name);
        format!(r#"{{"mediaType":"application/vnd.docker.{kind}","size":{size},"digest":"{digest}"}}"#)
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{},"layers":[{}]}}"#,
        part("container.image.v1+json", "config.json"),
        part("image.rootfs.diff.tar", "machine.tar")
    );
    write(out, "manifest.json", &manifest);
    digest(out, "manifest.json");
}

/// The digest of a file, which it writes beside it.
fn digest(out: &Path, name: &str) -> String {
    let output = Command::new("sha256sum").arg(out.join(name)).output();
    let output = output.unwrap_or_else(|error| panic!("can't run sha256sum: {error}"));
    let sum = String::from_utf8_lossy(&output.stdout);
    let digest = format!("sha256:{}", sum.split(' ').next().unwrap_or_default());
    assert!(digest.len() == 71, "sha256sum says of {name}: {sum}");
    write(out, &format!("{name}.digest"), &digest);
    digest
}

fn write(out: &Path, name: &str, text: &str) {
    fs::write(out.join(name), text).unwrap_or_else(|error| panic!("can't write {name}: {error}"));
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("can't run {command:?}: {error}"));
    assert!(
        status.success(),
        "{command:?} failed ({status}): it needs tar and the C library for static programs"
    );
}
