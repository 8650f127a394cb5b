// SPDX-License-Identifier: Apache-2.0
//! Sees, enters and reaches a machine through its node, as its owner:
//! `cargo run -p tfgrid-client --example reach_machine -- ws://127.0.0.1:9944 DEVICE-FILE CONTRACT MACHINE`

use std::{env, error::Error, fs};
use tfgrid_client::{
    GridClient,
    api::runtime_types::pallet_grid_contracts::types::ContractKind,
    peer::{
        Device, NodePeer,
        frame::Frame,
        protocol::{Ask, Exec, Forward, Logs, Message, Protocol},
    },
    primitives::ContractId,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, device, contract, machine] = arguments.as_slice() else {
        return Err("usage: reach_machine URL DEVICE-FILE CONTRACT MACHINE".into());
    };
    let seed = hex::decode(fs::read_to_string(device)?.trim())?;
    let device = Device::from_seed(&seed.try_into().map_err(|_| "a device's key has 64 hex digits")?);
    let contract = contract.parse()?;
    let peer = connect(url, &device, contract).await?;
    let status = peer.status(contract).await?;
    println!("state: {}", status.machines.get(machine).ok_or("no such machine")?.state);
    print!("output: {}", output(&peer, contract, machine).await?);
    println!("page: {}", page(&peer, contract, machine).await?.lines().last().unwrap_or_default());
    let (code, text) = run(&peer, contract, machine, &["sh", "-c", "cat; exit 3"], b"typed").await?;
    println!("program: {text}, {code}");
    peer.close().await;
    Ok(())
}

// region: connect
/// Connects to the node of a contract. The device's key is one of its owner's on the chain.
async fn connect(url: &str, device: &Device, contract: ContractId) -> Result<NodePeer, Box<dyn Error>> {
    let at = GridClient::connect(url).await?.finalized().await?;
    let record = at.contract(contract).await?.ok_or("no such contract")?;
    let ContractKind::Node(deployment) = record.kind else { return Err("it has no workloads".into()) };
    let node = at.peer(deployment.node).await?.ok_or("no such node")?;
    Ok(NodePeer::connect(device, &node).await?)
}
// endregion

// region: output
/// What a machine has written; with `follow`, it would go on.
async fn output(peer: &NodePeer, contract: ContractId, machine: &str) -> Result<String, Box<dyn Error>> {
    let logs = Logs { workload: machine.into(), follow: false, tail: None, since: None, timestamps: false };
    let mut call = peer.ask(contract, Ask::Logs(logs)).await?;
    let mut text = Vec::new();
    while let Some(Frame::Data(bytes) | Frame::Errors(bytes)) = call.next().await? {
        text.extend(bytes);
    }
    Ok(String::from_utf8_lossy(&text).into())
}
// endregion

/// Runs a program in a machine; returns its exit code and what it wrote.
async fn run(
    peer: &NodePeer,
    contract: ContractId,
    machine: &str,
    command: &[&str],
    stdin: &[u8],
) -> Result<(i64, String), Box<dyn Error>> {
    let command = command.iter().map(|word| word.to_string()).collect();
    let exec = Exec { workload: machine.into(), command, terminal: None };
    let mut call = peer.ask(contract, Ask::Exec(exec)).await?;
    call.ready().await?;
    let (mut input, mut output) = call.split();
    input.data(stdin).await?;
    input.finish();
    let mut text = Vec::new();
    loop {
        match output.next().await? {
            Some(Frame::Data(bytes) | Frame::Errors(bytes)) => text.extend(bytes),
            Some(Frame::Message(Message::Exit { code })) => {
                return Ok((code, String::from_utf8_lossy(&text).into()));
            }
            other => return Err(format!("the node answers {other:?}").into()),
        }
    }
}

/// The answer of a machine's web server.
async fn page(peer: &NodePeer, contract: ContractId, machine: &str) -> Result<String, Box<dyn Error>> {
    let to = Forward { workload: machine.into(), protocol: Protocol::Tcp, port: 80 };
    let (mut here, there) = duplex(64 * 1024);
    let fetching = async {
        here.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        here.shutdown().await?;
        let mut answer = String::new();
        here.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let (forwarded, answer) = tokio::join!(peer.forward(contract, to, there), fetching);
    forwarded?;
    answer
}
