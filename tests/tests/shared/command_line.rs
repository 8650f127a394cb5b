// SPDX-License-Identifier: Apache-2.0

//! The command line, and the Rust code that the README quotes.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, thread};
use tfgrid_tests::{GREETING, Grid, Person, binary, free_port, page_deployment, page_of, text};

/// A file with the deployment of a web server with this many cores.
fn deployment(grid: &Grid, cpu: u64) -> Result<PathBuf> {
    let body = page_deployment(&grid.image, cpu);
    let file = grid.run().folder().join(format!("deployment-{cpu}.json"));
    fs::write(&file, body.to_string())?;
    Ok(file)
}

fn ensure_served(machines: &Value) -> Result<()> {
    let page = page_of(&machines["web"])?;
    ensure!(page.starts_with(GREETING), "the page is {page:?}");
    Ok(())
}

/// Whoever has told first, the node or the chain, says where the page is.
pub fn ensure_runs(deployed: &Value) -> Result<()> {
    ensure!(deployed["ready"] == true || deployed["state"] == "deployed", "{deployed}");
    let told = ["machines", "result"].map(|teller| &deployed[teller]);
    ensure_served(told.into_iter().find(|told| !told.is_null()).context("nobody says where it runs")?)
}

pub fn people_deploy_list_and_cancel(grid: &mut Grid) -> Result<()> {
    let (user, node) = (&grid.user, grid.node.to_string());
    let file = deployment(grid, 1)?.display().to_string();

    let deployed = user.threebot(&["deploy", "--file", &file, "--node", &node])?;
    ensure_runs(&deployed)?;
    // The node says it, before its report is in a block.
    ensure!(deployed["machines"]["web"]["state"] == "running", "{deployed}");
    let contract = deployed["contract"].to_string();
    let listed = user.threebot(&["ps"])?;
    ensure!(listed["contracts"][0]["contract"] == deployed["contract"], "{listed}");
    let cancelled = &user.threebot(&["cancel", &contract])?["contracts"][0];
    ensure!(cancelled["state"] == "closed" && cancelled["reason"] == "Cancelled", "{cancelled}");
    ensure!(user.threebot(&["ps"])?["contracts"] == json!([]), "a cancelled contract is listed");

    ensure_refusals_say_why(grid)?;
    ensure_the_subxt_example_runs(grid, &file)
}

/// An application whose parts are web servers, each with an image of its own.
fn application(grid: &Grid, parts: &[(&str, &str)]) -> Result<String> {
    let part = |image| json!({ "workloads": page_deployment(image, 1)["workloads"] });
    let parts: BTreeMap<&str, Value> = parts.iter().map(|(name, image)| (*name, part(image))).collect();
    let file = grid.run().folder().join("application.json");
    fs::write(&file, json!({ "version": 1, "name": "shop", "parts": parts }).to_string())?;
    Ok(file.display().to_string())
}

/// The changes of an application's parts, by name.
fn changes(answer: &Value) -> Result<BTreeMap<String, String>> {
    let parts = answer["parts"].as_array().context("an application has parts")?;
    parts.iter().map(|part| Ok((text(&part["part"])?.into(), text(&part["change"])?.into()))).collect()
}

pub fn applications_go_on_where_they_stopped(grid: &mut Grid) -> Result<()> {
    let (user, node, image) = (&grid.user, grid.node.to_string(), grid.image.as_str());
    let expected = |changes: &[(&str, &str)]| {
        changes
            .iter()
            .map(|(part, change)| ((*part).to_owned(), (*change).to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    // As if a first run had been interrupted after its first part.
    let begun = application(grid, &[("one", image)])?;
    let first = user.threebot(&["deploy", "-f", &begun, "--node", &node])?;
    ensure!(changes(&first)? == expected(&[("one", "create")]), "{first}");
    let whole = application(grid, &[("one", image), ("two", image)])?;
    let planned = user.threebot(&["plan", "-f", &whole])?;
    ensure!(changes(&planned)? == expected(&[("one", "keep"), ("two", "create")]), "{planned}");
    let second = user.threebot(&["deploy", "-f", &whole])?;
    for part in second["parts"].as_array().context("there are parts")? {
        ensure_served(&part["result"])?;
    }
    let again = user.threebot(&["deploy", "-f", &whole])?;
    ensure!(changes(&again)? == expected(&[("one", "keep"), ("two", "keep")]), "{again}");

    // A part that can't run takes no other one along.
    let missing = image.replacen('/', "/missing-", 1);
    let broken = application(grid, &[("one", image), ("two", image), ("three", &missing)])?;
    ensure_refused(user, &["deploy", "-f", &broken], "application \"shop\" isn't complete")?;
    let listed = user.threebot(&["ps"])?;
    let parts: Vec<_> = ["one", "two"].map(|part| json!(part)).into();
    let found: Vec<_> =
        listed["contracts"].as_array().into_iter().flatten().map(|c| c["part"].clone()).collect();
    ensure!(found == parts, "{listed}");
    let differs = user.threebot(&["diff", "-f", &application(grid, &[("one", &missing)])?])?;
    ensure!(changes(&differs)? == expected(&[("one", "update"), ("two", "stray")]), "{differs}");

    user.threebot(&["wait", "shop"])?;
    user.threebot(&["cancel", "shop"])?;
    ensure!(user.threebot(&["ps"])?["contracts"] == json!([]), "a cancelled application is listed");
    Ok(())
}

fn ensure_refused(person: &Person, args: &[&str], why: &str) -> Result<()> {
    let error = format!("{:#}", person.threebot(args).err().context("a call that must fail succeeded")?);
    ensure!(error.contains(why), "{args:?} should fail with {why:?}: {error}");
    Ok(())
}

fn ensure_refusals_say_why(grid: &Grid) -> Result<()> {
    let (user, node) = (&grid.user, grid.node.to_string());
    let none = deployment(grid, 0)?.display().to_string();
    ensure_refused(user, &["deploy", "-f", &none, "--node", &node], "/workloads/1/data/cpu")?;
    let one = deployment(grid, 1)?.display().to_string();
    ensure_refused(user, &["deploy", "-f", &one, "--node", &node, "--mru", "1MiB"], "mru by")?;
    ensure_refused(user, &["deploy", "-f", &one, "--node", "99"], "no node has the id 99")?;
    ensure_refused(user, &["show", "99"], "no contract has the id 99")?;
    let nowhere = Person::new("//Bob", &format!("ws://127.0.0.1:{}", free_port()?), grid.run().folder());
    ensure_refused(&nowhere, &["ps"], "can't connect to the chain")?;

    // Refusals by the chain take a block each.
    let farmer = grid.farmer.clone();
    let farmers = thread::spawn(move || {
        ensure_refused(&farmer, &["twin", "create"], "AccountHasTwin")?;
        ensure_refused(&farmer, &["farm", "create", "x"], "NameInvalid")
    });
    let nine = deployment(grid, 9)?.display().to_string();
    ensure_refused(user, &["deploy", "-f", &nine, "--node", &node], "NotEnoughCapacity")?;
    ensure_refused(user, &["farm", "ticket", "--farm", "1"], "NotFarmer")?;
    farmers.join().expect("the thread returns failures as errors")
}

fn ensure_the_subxt_example_runs(grid: &Grid, file: &str) -> Result<()> {
    let node = grid.node.to_string();
    let example = binary("examples/submit_contract")?;
    let output = Command::new(&example).args([&grid.chain.url(), "//Bob", &node, file]).output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}: {}", example.display(), String::from_utf8_lossy(&output.stderr));
    let (contract, result) = printed
        .trim()
        .strip_prefix("contract ")
        .and_then(|rest| rest.split_once(": "))
        .with_context(|| format!("the example printed {printed:?}"))?;
    ensure_served(&serde_json::from_str(result)?)?;
    let closed = &grid.user.threebot(&["cancel", contract])?["contracts"][0];
    ensure!(text(&closed["state"])? == "closed", "{closed}");
    Ok(())
}
