// SPDX-License-Identifier: Apache-2.0
//! Writes the runtime's metadata to the file that clients are generated from:
//! `cargo run -p tfgrid-runtime --example metadata -- client/metadata.scale`.

use std::{env, error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: metadata FILE")?;
    fs::write(&path, tfgrid_runtime::metadata_file()?)?;
    println!("wrote {path}");
    Ok(())
}
