// SPDX-License-Identifier: Apache-2.0

//! Runs a command with the address of a Docker engine in `TFGRID_DOCKER`: the machine's own engine if there
//! is one, else one that is removed afterwards.

use anyhow::{Context, Result, ensure};
use std::{env, process::Command};
use tfgrid_tests::{Engine, asks_for_help, on_a_run};

const HELP: &str = "\
Runs a command with the address of a Docker engine in TFGRID_DOCKER: the machine's own engine if there is one, else
one that is removed afterwards.

Usage: with-engine COMMAND [ARGUMENT …]";

fn main() -> Result<()> {
    if asks_for_help(HELP) {
        return Ok(());
    }
    let words: Vec<String> = env::args().skip(1).collect();
    let (program, arguments) =
        words.split_first().context("with-engine needs a command: see with-engine --help")?;
    on_a_run("with-engine", |run| {
        let engine = Engine::obtain(&run)?;
        let status = Command::new(program)
            .args(arguments)
            .env("TFGRID_DOCKER", engine.host())
            .status()
            .with_context(|| format!("can't run {program}"))?;
        ensure!(status.success(), "{program} failed ({status})");
        Ok(())
    })
}
