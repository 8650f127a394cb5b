// SPDX-License-Identifier: Apache-2.0

use crate::{Process, Run, binary, free_port, http, wait_for};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

/// Its node compiles its runtime first, as those of other grids may do meanwhile.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A development chain of one validator in the run's folder.
pub struct Chain {
    rpc: SocketAddr,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Chain {
    /// Starts a chain with its RPC on `port`. `sealing` is the node's option of that name; slots of 3 s if
    /// `None`.
    pub fn start(run: &Run, port: u16, sealing: Option<&str>) -> Result<Self> {
        let rpc = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let base = run.subfolder("chain")?;
        let p2p = free_port()?;
        let mut arguments = vec![
            "--dev".into(),
            "--no-prometheus".into(),
            "--no-telemetry".into(),
            format!("--base-path={}", base.display()),
            format!("--rpc-port={port}"),
            format!("--listen-addr=/ip4/127.0.0.1/tcp/{p2p}"),
        ];
        arguments.extend(sealing.map(|sealing| format!("--sealing={sealing}")));
        let mut chain = Self { rpc, arguments, process: None };
        chain.resume(run)?;
        Ok(chain)
    }

    /// Starts the chain again after [`Self::stop`]. It continues from its last block.
    pub fn resume(&mut self, run: &Run) -> Result<()> {
        let mut command = Command::new(binary("tfgrid-node")?);
        let process = Process::start(run, "chain", command.args(&self.arguments))?;
        let process = self.process.insert(process);
        // Before the first block the chain's clock is at 1970, and calls that depend on it fail.
        wait_for("the chain's first block", START_LIMIT, || {
            process.ensure_running()?;
            let header = rpc_call(self.rpc, "chain_getHeader", json!([]));
            Ok(header.is_ok_and(|header| header["number"] != "0x0").then_some(()))
        })
    }

    pub fn stop(&mut self) -> Result<()> {
        self.process.take().context("the chain doesn't run")?.stop()
    }

    /// Number of the last finalized block.
    pub fn finalized(&self) -> Result<u64> {
        let hash = rpc_call(self.rpc, "chain_getFinalizedHead", json!([]))?;
        let header = rpc_call(self.rpc, "chain_getHeader", json!([hash]))?;
        let number = header["number"].as_str().and_then(|number| number.strip_prefix("0x"));
        let number = number.with_context(|| format!("{header} has no number"))?;
        u64::from_str_radix(number, 16).with_context(|| format!("{number:?} is no number"))
    }

    /// Address of its RPC.
    pub fn rpc(&self) -> SocketAddr {
        self.rpc
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.rpc)
    }
}

fn rpc_call(rpc: SocketAddr, method: &str, params: Value) -> Result<Value> {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let response: Value = serde_json::from_str(&http::post(rpc, &request.to_string())?)?;
    response.get("result").cloned().with_context(|| format!("{method} at {rpc}: {response}"))
}
