// SPDX-License-Identifier: Apache-2.0

//! Runs a command with the data folder of a node in `TFGRID_NODE`. What the command starts there, such as the node's
//! engine, is removed afterwards.

use anyhow::{Context, Result, ensure};
use std::{env, process::Command};
use tfgrid_tests::{asks_for_help, binary, on_a_run, remember_firewall};

const HELP: &str = "\
Runs a command with the data folder of a node in TFGRID_NODE. What the command starts there, such as the node's
engine, is removed afterwards.

Usage: with-engine COMMAND [ARGUMENT …]";

fn main() -> Result<()> {
    if asks_for_help(HELP) {
        return Ok(());
    }
    let words: Vec<String> = env::args().skip(1).collect();
    let (program, arguments) =
        words.split_first().context("with-engine needs a command: see with-engine --help")?;
    on_a_run("with-engine", |run| {
        remember_firewall(&run)?;
        run.note_agent(&binary("zos-agent")?)?;
        let status = Command::new(program)
            .args(arguments)
            .env("TFGRID_NODE", run.subfolder("agent")?)
            // A footprint looks there for disks that are left behind.
            .env("TMPDIR", run.folder())
            .status()
            .with_context(|| format!("can't run {program}"))?;
        ensure!(status.success(), "{program} failed ({status})");
        Ok(())
    })
}
