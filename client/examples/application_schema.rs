// SPDX-License-Identifier: Apache-2.0

//! Writes the JSON Schema of applications to a file: `application_schema docs/application.schema.json`.

use std::{env, error::Error, fs};
use tfgrid_client::deployment::application_schema;

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("name the file to write")?;
    fs::write(&file, format!("{}\n", serde_json::to_string_pretty(&application_schema())?))?;
    Ok(())
}
