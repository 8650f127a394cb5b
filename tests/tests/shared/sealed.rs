// SPDX-License-Identifier: Apache-2.0

//! A deployment with secrets, from its file to its machine.

use crate::command_line::ensure_served;
use anyhow::{Context, Result, ensure};
use std::{fs, path::Path};
use tfgrid_tests::{Grid, page_deployment};

const SECRET: &str = "correct-horse-battery-staple";
/// Those of the vectors: secret and public half.
const IDENTITY: &str = "AGE-SECRET-KEY-1YQSJYGEYY5NZW2PF9G4JCTFW9UCRZV3NXS6NVDEC8YARK0PA8CLSWXGG7Q";
const RECIPIENT: &str = "age1xkq8943ktzqdrth2x2ddlyfp8qu9rmfp528rka0fvhgd9ngkvf2qu2snyf";

/// Fails if the secret is in the file or, in a folder, in one of its files.
fn ensure_clean(path: &Path) -> Result<()> {
    if path.is_dir() {
        let mut entries = fs::read_dir(path).with_context(|| format!("can't list {}", path.display()))?;
        return entries.try_for_each(|entry| ensure_clean(&entry?.path()));
    }
    let text = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let is_in = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
    ensure!(!is_in(SECRET.as_bytes()), "{} has the secret", path.display());
    ensure!(!is_in(hex::encode(SECRET).as_bytes()), "{} has the secret in hex", path.display());
    Ok(())
}

fn ensure_the_agent_keeps_it(grid: &Grid) -> Result<()> {
    ensure_clean(&grid.agent.data().join("state"))?;
    ensure!(!grid.agent.log().contains(SECRET), "the agent's log has the secret");
    let process = Path::new("/proc").join(grid.agent.pid().context("the agent doesn't run")?.to_string());
    for file in ["cmdline", "environ"] {
        ensure_clean(&process.join(file))?;
    }
    let limits = fs::read_to_string(process.join("limits"))?;
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    ensure!(core.is_some_and(|line| line.split_whitespace().nth(4) == Some("0")), "{limits}");
    Ok(())
}

pub fn secrets_are_sealed_from_the_file_to_the_machine(grid: &mut Grid) -> Result<()> {
    let (user, node) = (&grid.user, grid.node.to_string());
    let folder = grid.run().folder();
    let identity = folder.join("identity");
    fs::write(&identity, IDENTITY)?;
    let mut deployment = page_deployment(&grid.image, 1);
    deployment["workloads"][1]["data"]["env"]["DB_PASSWORD"] = SECRET.into();
    let file = folder.join("secret.json");
    let text = deployment.to_string();
    fs::write(&file, &text)?;
    let (file, identity) = (file.display().to_string(), identity.display().to_string());

    user.threebot(&["twin", "seal-key", RECIPIENT])?;
    let deployed = user.threebot(&["deploy", "-f", &file, "--node", &node])?;
    ensure_served(&deployed["result"])?;
    let body = deployed["body"].as_str().context("no body")?;
    ensure!(body.starts_with("sealed, "), "{body}");
    let contract = deployed["contract"].to_string();
    let shown = user.threebot(&["show", &contract, "--identity", &identity])?;
    ensure!(shown["body"] == text, "{shown}");
    let environment = grid.engine.docker(&["ps", "--quiet", "--filter", "label=zos.workload=web"])?;
    let inspected = grid.engine.docker(&["inspect", environment.trim()])?;
    ensure!(inspected.matches(SECRET).count() == 1, "the secret isn't in the environment alone: {inspected}");
    ensure_the_agent_keeps_it(grid)?;

    let updated = user.threebot(&["update", &contract, "-f", &file, "--plain"])?;
    ensure!(updated["body"] == text, "{updated}");
    user.threebot(&["cancel", &contract])?;
    Ok(())
}
