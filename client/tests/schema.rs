// SPDX-License-Identifier: Apache-2.0
//! The JSON Schema in `docs/` is that of the code.

use serde_json::{Value, json};
use tfgrid_client::deployment::{application_schema, schema};

#[test]
fn the_published_schema_is_that_of_the_types() {
    let published: Value =
        serde_json::from_str(include_str!("../../docs/deployment.schema.json")).expect("it is JSON");
    assert_eq!(
        schema().as_value(),
        &published,
        "run `cargo run --example deployment_schema docs/deployment.schema.json`"
    );
    assert_eq!(published["$defs"]["Zmachine"]["required"], json!(["image", "cpu", "memory"]));
}

#[test]
fn the_published_schema_of_applications_is_that_of_the_types() {
    let published: Value =
        serde_json::from_str(include_str!("../../docs/application.schema.json")).expect("it is JSON");
    assert_eq!(
        application_schema().as_value(),
        &published,
        "run `cargo run --example application_schema docs/application.schema.json`"
    );
}
