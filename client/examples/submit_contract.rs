// SPDX-License-Identifier: Apache-2.0
//! Submits a node contract from Rust and waits until it runs:
//! `cargo run -p tfgrid-client --example submit_contract -- ws://127.0.0.1:9944 //Bob 1 deployment.json`

use std::{env, error::Error, fs, process::ExitCode};
use tfgrid_client::{
    GridClient, api,
    deployment::Deployment,
    parse_suri,
    primitives::{NodeId, views::ContractStatus},
};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<String, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, key, node, file] = arguments.as_slice() else {
        return Err("usage: submit_contract URL KEY NODE FILE".into());
    };
    submit(url, key, node.parse()?, &fs::read(file)?).await
}

// region: submit
/// Reserves what the deployment needs, lets `node` run it and answers with how to reach it.
async fn submit(url: &str, key: &str, node: NodeId, json: &[u8]) -> Result<String, Box<dyn Error>> {
    use api::runtime_types::{bounded_collections::bounded_vec::BoundedVec, tfgrid_primitives::body::Body};
    let resources = Deployment::parse(json)?.needs();
    let grid = GridClient::connect(url).await?;
    let rate = grid.finalized().await?.quote(node, resources, 0).await?.ok_or("no such node")?;

    let call = api::transactions().contracts().create_node_contract(
        node,
        resources.into(),
        Body::Plain(json.to_vec()),
        0,                      // public IPs
        BoundedVec(Vec::new()), // private networks
        0,                      // GB of traffic
        rate,                   // and not more
    );
    let included = grid.submit("create", &call, &parse_suri(key)?).await?;
    let created = included.events.find_first::<api::contracts::events::NodeContractCreated>();
    let contract = created.ok_or("the call left no event")??.contract;

    let mut heads = grid.follow().await?;
    while let Some(at) = heads.next().await {
        let at = at?;
        match at.contract_status(contract).await? {
            Some(ContractStatus::Deployed { .. }) => {
                let result = at.result(contract).await?.unwrap_or_default();
                return Ok(format!("contract {contract}: {}", String::from_utf8_lossy(&result)));
            }
            Some(ContractStatus::Closed { reason, .. }) => return Err(format!("{reason:?}").into()),
            _ => {}
        }
    }
    Err("the connection ended".into())
}
// endregion
