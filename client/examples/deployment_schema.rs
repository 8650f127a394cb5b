// SPDX-License-Identifier: Apache-2.0

//! Writes the JSON Schema of deployments to a file: `deployment_schema docs/deployment.schema.json`.

use std::{env, error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("name the file to write")?;
    fs::write(&file, format!("{}\n", serde_json::to_string_pretty(&tfgrid_client::deployment::schema())?))?;
    Ok(())
}
