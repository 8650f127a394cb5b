// SPDX-License-Identifier: Apache-2.0

//! A grid to try things on, until Ctrl-C.

use anyhow::{Context, Result, ensure};
use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
};
use tfgrid_tests::{
    Explorer, Grid, Options, Steps, asks_for_help, on_a_grid, page_deployment, programs, repository,
};

const PORT: u16 = 9944;
const EXPLORER_PORT: u16 = 9940;
/// The same with polkadot-js.
const SCRIPT: &str = "tests/js/submit-contract.mjs";

const HELP: &str = "\
Starts a grid to try things on, at ws://127.0.0.1:9944: a chain, a Docker engine, a registry with an image, a node
agent, a farmer and a user, and the web explorer at http://127.0.0.1:9940, if `make explorer` has built it. Ctrl-C ends
it and removes everything.

Usage: dev";

fn main() -> Result<()> {
    if asks_for_help(HELP) {
        return Ok(());
    }
    ensure!(env::args().len() == 1, "dev takes no arguments: see dev --help");
    for port in [PORT, EXPLORER_PORT] {
        TcpListener::bind(("127.0.0.1", port)).with_context(|| {
            format!(
                "port {port} is taken: a development grid runs already, or another program has it. End that first"
            )
        })?;
    }
    let options = Options { port: Some(PORT), ignores_others: true, ..Options::default() };
    on_a_grid("dev", options, &Steps::aloud(), |grid| {
        let explorer = Explorer::serve(&repository().join("explorer/dist"), EXPLORER_PORT);
        let address = explorer.as_ref().map_or_else(|error| format!("{error:#}"), Explorer::url);
        show(grid, &site(grid)?, &address)?;
        wait_for_signal()?;
        println!("\nstopping …");
        Ok(())
    })
}

/// Writes a deployment for `threebot`.
fn site(grid: &Grid) -> Result<PathBuf> {
    let file = grid.run().folder().join("site.json");
    fs::write(&file, format!("{:#}\n", page_deployment(&grid.image, 1)))?;
    Ok(file)
}

fn show(grid: &Grid, site: &Path, explorer: &str) -> Result<()> {
    let Grid { agent, registry, engine, chain, image, node, .. } = grid;
    // An installed `tfgrid-dev` comes without it.
    let script = repository()
        .join(SCRIPT)
        .exists()
        .then(|| format!("\n  node {SCRIPT} --key //Bob --node {node} --image {image}"));
    println!(
        "
  explorer   {explorer}
  chain      {chain}   (polkadot-js apps: https://polkadot.js.org/apps/?rpc={chain})
  node       {node}, metrics at http://{metrics}/metrics
  engine     {engine}
  registry   {registry}
  image      {image}
  logs       {logs}

  //Alice    farmer and sudo
  //Bob      user with 100 TFT of credit
  //Charlie, //Dave, //Eve, //Ferdie   have TFT, but no twin yet

To deploy a web server from the image:

  export PATH={programs}:$PATH
  export TFGRID_DEVICE={device}
  threebot --key //Bob deploy --file {site} --node {node}
  threebot forward 1 8080:web:80                      then open http://127.0.0.1:8080{script}

Ctrl-C ends the grid and removes everything.",
        chain = chain.url(),
        metrics = agent.metrics(),
        engine = engine.host(),
        registry = registry.address(),
        logs = grid.run().logs().display(),
        programs = programs()?.display(),
        site = site.display(),
        device = grid.user.device().display(),
        script = script.unwrap_or_default(),
    );
    Ok(())
}

fn wait_for_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => {},
            _ = terminate.recv() => {},
        }
        Ok(())
    })
}
