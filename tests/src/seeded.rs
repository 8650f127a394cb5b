// SPDX-License-Identifier: Apache-2.0

use crate::{Chain, repository};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// A grid that exists on the chain alone. Its first nodes send heartbeats until it is dropped; the others need none.
pub struct Seeded {
    /// Ids of what was made first: `farm`, `twins`, `nodes`, `contracts`.
    pub ids: Value,
    seeding: Child,
}

impl Seeded {
    /// Makes so many nodes, and contracts that are in nobody's list.
    pub fn start(chain: &Chain, nodes: u32, contracts: u32) -> Result<Self> {
        let mut seeding = script("seed.mjs", chain);
        let mut seeding =
            seeding.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("can't run node")?;
        let output = seeding.stdout.take();
        let mut seeded = Self { ids: Value::Null, seeding };
        let mut line = String::new();
        BufReader::new(output.context("the seeding has no output")?).read_line(&mut line)?;
        seeded.ids =
            serde_json::from_str(&line).with_context(|| format!("the grid isn't seeded: {line:?}"))?;
        let mut copying = script("simulate.mjs", chain);
        let copied = copying.args([nodes.to_string(), contracts.to_string()]).status()?;
        ensure!(copied.success(), "nodes and contracts weren't copied");
        Ok(seeded)
    }

    /// Gives //Bob so many contracts on each of these nodes.
    pub fn rent(&self, chain: &Chain, each: usize, nodes: &[u64]) -> Result<()> {
        let mut renting = script("rent.mjs", chain);
        renting.arg(each.to_string()).args(nodes.iter().map(u64::to_string));
        ensure!(renting.status()?.success(), "contracts weren't made");
        Ok(())
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        // It ends by itself once nobody holds its input.
        let _ = self.seeding.kill();
        let _ = self.seeding.wait();
    }
}

fn script(name: &str, chain: &Chain) -> Command {
    let mut command = Command::new("node");
    command.arg(repository().join("explorer/tests").join(name)).arg(chain.url());
    command
}
