// SPDX-License-Identifier: Apache-2.0

//! A grid to try things on, until Ctrl-C.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
};
use tfgrid_tests::{
    DOMAIN, Explorer, GATEWAY, Grid, Options, Steps, asks_for_help, on_a_grid, page_deployment, programs,
    repository, shop_deployment,
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
        grid.farmer.makes_a_gateway(grid.node)?;
        let site = file(grid, "site.json", &page_deployment(&grid.image, 1))?;
        let shop = file(grid, "shop.json", &shop_deployment(&grid.image))?;
        show(grid, &site, &shop, &address)?;
        wait_for_signal()?;
        println!("\nstopping …");
        Ok(())
    })
}

/// Writes a deployment for `threebot`.
fn file(grid: &Grid, name: &str, deployment: &Value) -> Result<PathBuf> {
    let file = grid.run().folder().join(name);
    fs::write(&file, format!("{deployment:#}\n"))?;
    Ok(file)
}

fn show(grid: &Grid, site: &Path, shop: &Path, explorer: &str) -> Result<()> {
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

To publish its page by the node's web gateway. The node's own authority signs the certificate: give a browser that
trusts {authority} the line `{GATEWAY} shop.{DOMAIN}` in /etc/hosts.

  threebot --key //Bob name reserve shop
  threebot --key //Bob deploy --file {shop} --node {node}
  curl --cacert {authority} --resolve shop.{DOMAIN}:443:{GATEWAY} https://shop.{DOMAIN}/

Ctrl-C ends the grid and removes everything.",
        chain = chain.url(),
        metrics = agent.metrics(),
        engine = engine.host(),
        registry = registry.address(),
        logs = grid.run().logs().display(),
        programs = programs()?.display(),
        site = site.display(),
        shop = shop.display(),
        authority = agent.data().join("gateway/authority.crt").display(),
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
