// SPDX-License-Identifier: Apache-2.0

//! The commands of `docs/TEAMS.md`, in its order; the first signature of a second device is given with polkadot-js.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{collections::BTreeMap, env, fs, path::PathBuf, process::Command};
use tfgrid_client::{AccountId32, Team, parse_suri};
use tfgrid_tests::{Grid, answer, binary, programs, repository, text, with_a_yes};

const PAGE: &str = "docs/TEAMS.md";
const KEYS: [&str; 8] = ["laptop", "phone", "new_phone", "paper", "bot", "ann", "ben", "cid"];
/// Exit code of a command whose call awaits the signatures of others.
const PROPOSED: i32 = 5;

/// A reader who types the page's commands.
struct Reader {
    /// The folder of the teams, and of the device.
    folder: PathBuf,
    chain: String,
    /// The variables of the page.
    variables: BTreeMap<String, String>,
}

fn uri(key: &str) -> String {
    format!("//teams//{key}")
}

fn account(key: &str) -> Result<AccountId32> {
    Ok(parse_suri(&uri(key))?.account())
}

fn team(keys: [&str; 3]) -> Result<String> {
    let accounts = keys.into_iter().map(account).collect::<Result<Vec<_>>>()?;
    Ok(Team::new(accounts, 2)?.account().to_string())
}

impl Reader {
    fn new(grid: &Grid) -> Result<Self> {
        let mut variables = BTreeMap::new();
        for key in KEYS {
            let name = key.to_uppercase();
            variables.insert(format!("{name}_ACCOUNT"), account(key)?.to_string());
            variables.insert(name, uri(key));
        }
        for (name, keys) in [
            ("ME", ["laptop", "phone", "paper"]),
            ("ME_AGAIN", ["laptop", "new_phone", "paper"]),
            ("SHOP", ["ann", "ben", "cid"]),
        ] {
            variables.insert(name.into(), team(keys)?);
        }
        Ok(Self { folder: grid.run().subfolder("teams")?, chain: grid.chain.url(), variables })
    }

    fn of(&self, variable: &str) -> &str {
        &self.variables[variable]
    }

    fn set_up(&self, command: &mut Command) -> Result<()> {
        let path = env::var("PATH").context("there is no PATH")?;
        command
            .current_dir(repository())
            .env("PATH", format!("{}:{path}", programs()?.display()))
            .env("XDG_CONFIG_HOME", &self.folder)
            .env("TFGRID_DEVICE", self.folder.join("device"))
            .env("TFGRID_CHAIN", &self.chain)
            .envs(&self.variables);
        Ok(())
    }

    /// Types a line of the page, and `y` where it asks.
    fn types(&self, line: &str) -> Result<()> {
        let mut script = Command::new("script");
        self.set_up(&mut script)?;
        let output = with_a_yes(&mut script, line).with_context(|| format!("can't run {line:?}"))?;
        ensure!(
            output.status.success() || output.status.code() == Some(PROPOSED),
            "{line:?} ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stdout)
        );
        Ok(())
    }

    /// The JSON answer of a command with a key.
    fn threebot(&self, key: &str, args: &[&str]) -> Result<Value> {
        let mut command = Command::new(binary("threebot")?);
        self.set_up(&mut command)?;
        answer(command.args(["--json", "--key", self.of(key)]).args(args))
    }

    fn proposals(&self) -> Result<Vec<Value>> {
        let listed = self.threebot("LAPTOP", &["approve", "list"])?;
        listed["proposals"].as_array().cloned().with_context(|| format!("{listed} lists nothing"))
    }
}

fn commands(page: &str) -> Vec<&str> {
    let blocks = page.split("\n```sh\n").skip(1);
    blocks.flat_map(|block| block.split("\n```").next().unwrap_or_default().lines()).collect()
}

pub fn teams_sign_as_their_page_says(grid: &mut Grid) -> Result<()> {
    let mut reader = Reader::new(grid)?;
    for (key, amount) in [("LAPTOP_ACCOUNT", "60"), ("ANN_ACCOUNT", "30")] {
        grid.user.threebot(&["send", reader.of(key), amount])?;
    }
    let page = fs::read_to_string(repository().join(PAGE)).with_context(|| format!("can't read {PAGE}"))?;
    let (mut told, mut hashes) = (Vec::new(), Vec::new());
    for line in commands(&page) {
        if let [proposal] = &*reader.proposals()? {
            let hash = text(&proposal["call_hash"])?.to_owned();
            if line.contains("approve") && !hashes.contains(&hash) {
                ensure_only_signatories_sign_what_was_proposed(&reader, proposal)?;
                told.push(text(&proposal["description"][0])?.to_owned());
                hashes.push(hash.clone());
            }
            reader.variables.insert("CALL".into(), hash);
        }
        if line.contains("$TWIN") {
            let found = reader.threebot("LAPTOP", &["twin", "find", reader.of("ME")])?;
            reader.variables.insert("TWIN".into(), found["twin"].to_string());
        }
        reader.types(line)?;
    }
    ensure_told(&reader, &told)?;
    ensure!(reader.proposals()?.is_empty(), "something still awaits signatures");
    ensure_nothing_is_made_twice(&reader, &hashes)?;
    ensure_all_moved(&reader)
}

fn ensure_told(reader: &Reader, told: &[String]) -> Result<()> {
    let twin = reader.of("TWIN");
    let expected = [
        "create a twin with the devices".to_owned(),
        format!("pay 10 TFT into the credit of twin {twin}"),
        "make 2 calls, all or none:".into(),
        format!("send 5 TFT to {}", reader.of("CID_ACCOUNT")),
        format!("send 5 TFT to {}", reader.of("ME_AGAIN")),
        format!("offer the twin, with all that it owns, to {}", reader.of("ME_AGAIN")),
        format!("take over twin {twin}"),
    ];
    ensure!(told.len() == expected.len(), "told were {told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        ensure!(told.starts_with(&expected), "told was {told:?}, not {expected:?}");
    }
    Ok(())
}

fn why(outcome: Result<Value>) -> Result<String> {
    Ok(format!("{:#}", outcome.err().context("a call that must fail succeeded")?))
}

fn ensure_only_signatories_sign_what_was_proposed(reader: &Reader, proposal: &Value) -> Result<()> {
    let hash = text(&proposal["call_hash"])?;
    let error = why(reader.threebot("BOT", &["approve", "sign", hash]))?;
    ensure!(error.contains("isn't one of the signatories"), "{error}");
    // Bytes that somebody hands over, with one more than was proposed.
    let other = reader.folder.join("other-call");
    fs::write(&other, format!("{}00", text(&proposal["bytes"])?))?;
    let other = other.display().to_string();
    let error = why(reader.threebot("LAPTOP", &["approve", "show", hash, "--call", &other]))?;
    ensure!(error.contains("isn't the call that was proposed"), "{error}");
    Ok(())
}

fn ensure_nothing_is_made_twice(reader: &Reader, hashes: &[String]) -> Result<()> {
    for hash in hashes {
        let error = why(reader.threebot("PAPER", &["approve", "sign", hash]))?;
        ensure!(error.contains("no such call awaits signatures"), "{error}");
    }
    Ok(())
}

/// The twin has its credit and its new account; what was rejected was never paid, and its deposit is free.
fn ensure_all_moved(reader: &Reader) -> Result<()> {
    let twin = reader.threebot("LAPTOP", &["twin", "show", reader.of("TWIN")])?;
    ensure!(twin["account"] == reader.of("ME_AGAIN") && twin["credit_tft_1e7"] == "100000000", "{twin}");
    let cid = reader.threebot("CID", &["balance"])?;
    ensure!(cid["free_tft_1e7"] == "0", "{cid}");
    let history = reader.threebot("LAPTOP", &["history", "--account", reader.of("ME")])?;
    let mut signed = history["transactions"].as_array().into_iter().flatten();
    ensure!(
        signed.any(|signed| signed["call"] == "Multisig.as_multi" && signed["done"] == true),
        "{history}"
    );
    let ann = reader.threebot("ANN", &["balance"])?;
    ensure!(ann["held_tft_1e7"] == "0", "{ann}");
    Ok(())
}
