// SPDX-License-Identifier: Apache-2.0

//! The command line, and the Rust code that the README quotes.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, thread};
use tfgrid_client::wireguard::{key_text, new_secret, public_key};
use tfgrid_tests::{GREETING, Grid, Person, answer, binary, free_port, page_deployment, page_of, text};

const IMAGE_OF_THE_HELP: &str = "docker.io/library/nginx:1.27";

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
    ensure_the_example_of_the_help_runs(grid)?;
    ensure_the_subxt_example_runs(grid, &file)
}

/// Each takes a nonce that the others want, too.
pub fn calls_at_once_with_one_key_all_succeed(grid: &mut Grid) -> Result<()> {
    let user = &grid.user;
    thread::scope(|scope| {
        let calls: Vec<_> = (0..5).map(|_| scope.spawn(|| user.threebot(&["deposit", "1"]))).collect();
        calls.into_iter().try_for_each(|call| call.join().expect("a failure is an error").map(drop))
    })
}

pub fn a_stored_key_signs_and_its_calls_are_found(grid: &mut Grid) -> Result<()> {
    let folder = grid.run().subfolder("keys")?;
    let passphrase = folder.join("passphrase");
    fs::write(&passphrase, "secret\n")?;
    let owner = Person::new("own", &grid.chain.url(), &folder);
    let run = |args: &[&str]| {
        let mut command = owner.command()?;
        command.args(["--json", "--passphrase-fd", "0"]).args(args);
        answer(command.env("XDG_CONFIG_HOME", &folder).stdin(fs::File::open(&passphrase)?))
    };

    let key = run(&["key", "new", "own", "--scheme", "ed25519"])?;
    let account = text(&key["account"])?;
    let sent = grid.user.threebot(&["send", account, "5"])?;
    ensure!(sent["to"] == account && sent["amount_tft_1e7"] == "50000000", "{sent}");
    ensure!(run(&["balance"])?["free_tft_1e7"] == "50000000", "{account} has something else");
    let twin = run(&["twin", "create"])?;
    ensure!(run(&["twin", "find", account])?["twin"] == twin["twin"], "{twin}");

    let history = run(&["history"])?;
    let last = &history["transactions"][0];
    ensure!(last["call"] == "Twins.create" && last["done"] == true && last["signer"] == account, "{history}");
    let found = run(&["tx", text(&last["hash"])?])?;
    ensure!(found == *last, "{found}, but {last}");
    let nothing = format!("0x{}", "00".repeat(32));
    ensure_refused(&grid.user, &["tx", &nothing, "--blocks", "5"], "isn't in the finalized blocks")
}

pub fn farmers_see_and_set_all_of_their_own(grid: &mut Grid) -> Result<()> {
    let (user, farmer, node) = (&grid.user, &grid.farmer, grid.node.to_string());
    let set = |args: &[&str]| farmer.threebot(&[&["node", args[0], &node][..], &args[1..]].concat());
    let farm = farmer.threebot(&["node", "show", &node])?["farm"].to_string();

    let address = ["--ipv4", "185.69.166.10/24", "--gateway", "185.69.166.1"];
    let added = farmer.threebot(&[&["farm", "add-ip", &farm][..], &address].concat())?;
    let ips = &user.threebot(&["farm", "show", &farm])?["ips"];
    let is_free = |ip: &Value| ip["ip"] == added["ip"] && ip["state"] == "free";
    ensure!(ips.as_array().is_some_and(|ips| ips.iter().any(is_free)), "{ips}");
    farmer.threebot(&["farm", "remove-ip", &added["ip"].to_string()])?;

    set(&["location", "--country", "BE", "--city", "Gent", "--latitude", "51.05", "--longitude", "3.72"])?;
    set(&[&["public-config", "--domain", "gent1.example.org"][..], &address].concat())?;
    let shown = user.threebot(&["node", "show", &node])?;
    ensure!(shown["domain"] == "gent1.example.org" && shown["location"]["country"] == "BE", "{shown}");
    let found = user.threebot(&["node", "find", "--gateway", "--country", "BE", "--cpu", "1"])?;
    ensure!(found["nodes"][0]["node"] == grid.node, "{found}");
    set(&["public-config", "--remove"])?;
    let found = user.threebot(&["node", "find", "--gateway"])?;
    ensure!(found["nodes"] == json!([]) && found["excluded"]["--gateway"] == found["searched"], "{found}");

    ensure!(farmer.threebot(&["farm", "claim", &farm])?["total_tft_1e7"] == "0", "nothing has matured yet");
    ensure_refused(user, &["node", "public-config", &node, "--remove"], "belongs to twin")
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
    ensure_refused(user, &["deploy", "-f", &broken], "images that their registries don't have")?;
    ensure_refused(user, &["deploy", "-f", &broken, "--no-pin"], "isn't complete")?;
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

pub fn a_network_is_made_and_grows(grid: &mut Grid) -> Result<()> {
    let (user, node) = (&grid.user, grid.node.to_string());
    let create = |more: &[&str]| {
        let args = ["net", "create", "lan", "--subnet", "10.20.0.0/16", "--node", &node];
        user.threebot(&[&args[..], more].concat())
    };
    let part = format!("node-{node}");
    let made = create(&[])?;
    ensure!(changes(&made)? == BTreeMap::from([(part.clone(), "create".to_owned())]), "{made}");
    let again = create(&[])?;
    ensure!(changes(&again)? == BTreeMap::from([(part.clone(), "keep".to_owned())]), "{again}");
    let grown = create(&["--peer", &format!("laptop={}", key_text(&public_key(&new_secret())))])?;
    ensure!(changes(&grown)? == BTreeMap::from([(part, "update".to_owned())]), "{grown}");

    let networks = &user.threebot(&["net", "show"])?["networks"];
    let lan = &networks[0];
    ensure!(lan["network"] == "lan" && lan["range"] == "10.20.0.0/24", "{networks}");
    ensure!(lan["node"] == grid.node && lan["peers"][0]["name"] == "laptop", "{networks}");
    let other = ["net", "create", "lan", "--subnet", "10.30.0.0/16", "--node", &node];
    ensure_refused(user, &other, "has the subnet 10.20.0.0/16")?;
    user.threebot(&["cancel", "lan"])?;
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
    let missing = grid.run().folder().join("missing.json");
    fs::write(&missing, page_deployment(&grid.registry.missing_image(), 1).to_string())?;
    let missing = missing.display().to_string();
    // No registry is asked for what can't run anyway.
    ensure_refused(user, &["plan", "-f", &missing, "--node", "99"], "no node has the id 99")?;
    ensure_refused(
        user,
        &["plan", "-f", &missing, "--node", &node],
        "images that their registries don't have",
    )?;
    let create = ["net", "create", "lan", "--subnet", "10.77.0.0/16", "--node", "99"];
    ensure_refused(user, &create, "no node has the id 99: `threebot node find`")?;
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

/// With the image of this grid, which serves what is on the disk, too.
fn ensure_the_example_of_the_help_runs(grid: &Grid) -> Result<()> {
    let output = Command::new(binary("threebot")?).args(["deploy", "--help"]).output()?;
    let help = String::from_utf8(output.stdout)?;
    let (_, after) = help.split_once("Example of a deployment:\n").context("the help has no example")?;
    let (example, _) = after.split_once("\n\n").context("the example has no end")?;
    ensure!(example.contains(IMAGE_OF_THE_HELP), "{example}");
    let file = grid.run().folder().join("example.yaml");
    fs::write(&file, example.replace(IMAGE_OF_THE_HELP, &grid.image))?;
    let (file, node) = (file.display().to_string(), grid.node.to_string());
    let deployed = grid.user.threebot(&["deploy", "--file", &file, "--node", &node])?;
    let page = page_of(&deployed["machines"]["web"])?;
    ensure!(page.starts_with("hello\n"), "the page is {page:?}");
    grid.user.threebot(&["cancel", &deployed["contract"].to_string()]).map(drop)
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
