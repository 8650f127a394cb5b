// SPDX-License-Identifier: Apache-2.0

//! Refusals by chain and nodes, with their reasons.

use anyhow::{Context, Error, Result, ensure};
use serde_json::{Value, json};
use std::{fs, thread};
use tfgrid_tests::{Grid, MIB, Person, page_deployment, units};

/// Lower bound of a contract's deposit, in units of 1e-7 TFT. Far more than a fee.
const LEAST_DEPOSIT: u128 = 1_000_000;

const NO_PANIC: &str = "the thread returns failures as errors";

fn web(data: Value) -> Value {
    json!({ "version": 1, "workloads": [{ "name": "web", "type": "zmachine", "data": data }] })
}

/// Bodies that the chain accepts but no node can deploy, each with the node's failure code and its submitter.
fn rejected_bodies(grid: &Grid) -> [(String, &'static str, &'static str); 5] {
    let image = &grid.image;
    let machine = json!({ "image": image, "cpu": 1, "memory": 64 * MIB, "rootfs": 16 * MIB });
    let twice = json!({ "name": "web", "type": "zmachine", "data": machine });
    let twins = json!({ "version": 1, "workloads": [twice, twice] });
    let unknown = json!({ "version": 1, "workloads": [{ "name": "x", "type": "y", "data": {} }] });
    let large = web(json!({ "image": image, "cpu": 64, "memory": 64 * MIB, "rootfs": 16 * MIB }));
    let missing = web(
        json!({ "image": grid.registry.missing_image(), "cpu": 1, "memory": 64 * MIB, "rootfs": 16 * MIB }),
    );
    [
        ("{".into(), "BodyNotJson", "//Dave"),
        (unknown.to_string(), "BodyUnsupported", "//Eve"),
        (twins.to_string(), "BodyInvalid", "//Ferdie"),
        (large.to_string(), "OverReserved", "//Bob//stash"),
        (missing.to_string(), "ImageNotFound", "//Charlie//stash"),
    ]
}

fn submit_file(grid: &Grid, person: &Person, body: &str) -> Result<Value> {
    let file = tempfile::NamedTempFile::new_in(grid.run().folder())?;
    fs::write(&file, body)?;
    let (node, file) = (grid.node.to_string(), file.path().display().to_string());
    person.script("submit-contract.mjs", &["--node", &node, "--file", &file])
}

fn error_of<T>(outcome: Result<T>) -> Result<String> {
    Ok(format!("{:#}", outcome.err().context("a call that must fail succeeded")?))
}

/// Asserts that this body is refused with `code` and its deposit returned; returns its cost beside the fee,
/// in units.
fn cost_of_refusal(grid: &Grid, person: &Person, body: &str, code: &str) -> Result<u128> {
    let before = person.threebot(&["twin", "show"])?;
    let error = error_of(submit_file(grid, person, body))?;
    ensure!(error.contains(code), "{body} should be rejected with {code}: {error}");
    let after = person.threebot(&["twin", "show"])?;
    let spent = |what: &str| Ok::<_, Error>(units(&before[what])?.saturating_sub(units(&after[what])?));
    ensure!(spent("free_tft_1e7")? < LEAST_DEPOSIT, "{code}: {before} before, {after} after");
    spent("credit_tft_1e7")
}

pub fn nodes_and_chain_refuse_what_is_wrong(grid: &mut Grid) -> Result<()> {
    let grid = &*grid;
    // In parallel, each by another account, since most of the time goes into waiting for blocks.
    thread::scope(|scope| {
        let rejections =
            rejected_bodies(grid).map(|rejected| scope.spawn(move || the_node_refuses(grid, rejected)));
        let stranger = scope.spawn(|| the_chain_refuses_strangers(grid));
        let contract = the_chain_refuses_the_user(grid);
        let stranger = stranger.join().expect(NO_PANIC)?;
        let contract = contract?;
        let error = error_of(stranger.script("cancel-contract.mjs", &[&contract]))?;
        ensure!(error.contains("NotOwner"), "{error}");
        grid.user.threebot(&["cancel", &contract])?;
        rejections.into_iter().try_for_each(|rejection| rejection.join().expect(NO_PANIC))
    })
}

fn the_node_refuses(grid: &Grid, (body, code, key): (String, &str, &str)) -> Result<()> {
    let person = Person::new(key, &grid.chain.url(), grid.run().folder());
    person.threebot(&["twin", "create"])?;
    person.threebot(&["deposit", "1"])?;
    // A rejected contract pays ten minutes of its rate.
    ensure!(cost_of_refusal(grid, &person, &body, code)? > 0, "{code} costs nothing");
    Ok(())
}

/// Returns somebody who has a twin, but no credit.
fn the_chain_refuses_strangers(grid: &Grid) -> Result<Person> {
    let stranger = Person::new("//Charlie", &grid.chain.url(), grid.run().folder());
    let image = page_deployment(&grid.image, 1).to_string();
    let error = error_of(submit_file(grid, &stranger, &image))?;
    ensure!(error.contains("NoTwin"), "{error}");
    let error = error_of(stranger.threebot(&["deposit", "1"]))?;
    ensure!(error.contains("exit status: 4") && error.contains("Twins.NoTwin"), "{error}");
    stranger.threebot(&["twin", "create"])?;
    let error = error_of(submit_file(grid, &stranger, &image))?;
    ensure!(error.contains("CreditTooLow"), "{error}");
    Ok(stranger)
}

/// Returns a contract that the chain accepts.
fn the_chain_refuses_the_user(grid: &Grid) -> Result<String> {
    let user = &grid.user;
    let oversize = " ".repeat(8_193);
    let cost = cost_of_refusal(grid, user, &oversize, "BodySizeOutOfRange")?;
    ensure!(cost == 0, "the chain's refusal costs {cost}");
    let error = error_of(user.threebot(&["cancel", "99"]))?;
    ensure!(error.contains("no contract has the id 99"), "{error}");
    Ok(submit_file(grid, user, &page_deployment(&grid.image, 1).to_string())?["contract"].to_string())
}
