// SPDX-License-Identifier: Apache-2.0

//! What can't be done is refused with the reason.

use anyhow::{ensure, Context, Result};
use serde_json::{json, Value};
use std::fs;
use tfgrid_tests::{on_a_grid, tft_units, Grid, Options, Person, Steps};

const MIB: u64 = 1 << 20;

fn web(data: Value) -> Value {
    json!({ "version": 1, "workloads": [{ "name": "web", "type": "zmachine", "data": data }] })
}

/// What any node with this much free runs.
fn page_from_a_disk(image: &str) -> String {
    let mounts = json!([{ "name": "data", "path": "/data" }]);
    let machine = json!({ "image": image, "cpu": 1, "memory": 64 * MIB, "mounts": mounts });
    let mut body = web(machine);
    if let Some(workloads) = body["workloads"].as_array_mut() {
        workloads.push(json!({ "name": "data", "type": "zmount", "data": { "size": 16 * MIB } }));
    }
    body.to_string()
}

/// Bodies that the chain takes and no node can deploy, and what the node says.
fn rejected_bodies(grid: &Grid) -> Vec<(String, &'static str)> {
    let image = &grid.image;
    let machine = json!({ "image": image, "cpu": 1, "memory": 64 * MIB });
    let twice = json!({ "name": "web", "type": "zmachine", "data": machine });
    vec![
        ("{".into(), "BodyNotJson"),
        (
            json!({ "version": 1, "workloads": [{ "name": "x", "type": "y", "data": {} }] }).to_string(),
            "BodyUnsupported",
        ),
        (json!({ "version": 1, "workloads": [twice, twice] }).to_string(), "BodyInvalid"),
        (web(json!({ "image": image, "cpu": 64, "memory": 64 * MIB })).to_string(), "OverReserved"),
        (
            web(json!({ "image": grid.registry.missing_image(), "cpu": 1, "memory": 64 * MIB })).to_string(),
            "ImageNotFound",
        ),
    ]
}

fn submit_file(grid: &Grid, person: &Person, body: &str) -> Result<Value> {
    let file = grid.run().folder().join("body.json");
    fs::write(&file, body)?;
    let (node, file) = (grid.node.to_string(), file.display().to_string());
    person.script("submit-contract.mjs", &["--node", &node, "--file", &file])
}

fn error_of<T>(outcome: Result<T>) -> Result<String> {
    Ok(format!("{:#}", outcome.err().context("what must fail succeeded")?))
}

/// Asserts that this body is refused with `code` and its deposit given back; answers with what it cost
/// beside the fee, in units.
fn cost_of_refusal(grid: &Grid, body: &str, code: &str) -> Result<u128> {
    let before = grid.user.script("grid-state.mjs", &["account"])?;
    let error = error_of(submit_file(grid, &grid.user, body))?;
    ensure!(error.contains(code), "{body} should be rejected with {code}: {error}");
    let after = grid.user.script("grid-state.mjs", &["account"])?;
    ensure!(after["held"] == before["held"], "{code}: {before} before, {after} after");
    Ok(tft_units(&before["credit"])?.saturating_sub(tft_units(&after["credit"])?))
}

#[test]
fn nodes_and_chain_refuse_what_is_wrong() -> Result<()> {
    on_a_grid("refusals", Options::default(), &Steps::silent(), |grid| {
        let before = grid.footprint()?;
        for (body, code) in rejected_bodies(grid) {
            // What the node had to look at occupied it: ten minutes are paid.
            ensure!(cost_of_refusal(grid, &body, code)? > 0, "{code} costs nothing");
        }
        let oversize = " ".repeat(8_193);
        ensure!(cost_of_refusal(grid, &oversize, "BodySizeOutOfRange")? == 0, "the chain's refusal costs");
        grid.footprint()?.ensure_within(&before)?;

        let stranger = Person::new("//Charlie", &grid.chain.url());
        let image = page_from_a_disk(&grid.image);
        let error = error_of(submit_file(grid, &stranger, &image))?;
        ensure!(error.contains("NoTwin"), "{error}");
        stranger.threebot(&["twin", "create"])?;
        let error = error_of(submit_file(grid, &stranger, &image))?;
        ensure!(error.contains("CreditTooLow"), "{error}");

        let submitted = submit_file(grid, &grid.user, &image)?;
        let contract = submitted["contract"].to_string();
        let error = error_of(stranger.script("cancel-contract.mjs", &[&contract]))?;
        ensure!(error.contains("NotOwner"), "{error}");
        let error = error_of(grid.user.script("cancel-contract.mjs", &["99"]))?;
        ensure!(error.contains("UnknownContract"), "{error}");
        Ok(())
    })
}
