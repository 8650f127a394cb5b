// SPDX-License-Identifier: Apache-2.0

//! A grid to try things on: runs until Ctrl-C.

use anyhow::Result;
use tfgrid_tests::{Grid, Options, Steps, on_a_grid};

const PORT: u16 = 9944;

fn main() -> Result<()> {
    let options = Options { port: Some(PORT), sealing: None };
    on_a_grid("dev", options, &Steps::aloud(), |grid| {
        show(grid);
        wait_for_signal()?;
        println!("\nstopping …");
        Ok(())
    })
}

fn show(grid: &Grid) {
    let Grid { agent, registry, engine, chain, image, node, .. } = grid;
    println!(
        "
  chain      {chain}   (polkadot-js apps: https://polkadot.js.org/apps/?rpc={chain})
  node       {node}, metrics at http://{metrics}/metrics
  engine     {engine}
  registry   {registry}
  image      {image}
  logs       {logs}

  //Alice    farmer and sudo
  //Bob      user with 100 TFT of credit
  //Charlie, //Dave, //Eve, //Ferdie   have TFT, but no twin yet

To deploy:

  node tests/js/submit-contract.mjs --key //Bob --node {node} --image {image}

Ctrl-C ends it and removes everything.",
        chain = chain.url(),
        metrics = agent.metrics(),
        engine = engine.host(),
        registry = registry.address(),
        logs = grid.run().logs().display(),
    );
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
