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

/// A node of a development chain, with its data in the run's folder.
pub struct Chain {
    name: String,
    rpc: SocketAddr,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Chain {
    /// Starts a chain of one validator with its RPC on `port`. `sealing` is the node's option of that name; slots of
    /// 3 s if `None`.
    pub fn start(run: &Run, port: u16, sealing: Option<&str>) -> Result<Self> {
        let sealing = sealing.map(|sealing| format!("--sealing={sealing}"));
        let arguments = ["--dev".to_owned()].into_iter().chain(sealing).collect();
        let mut chain = Self::begin(run, "chain", port, arguments)?;
        chain.waits_for_a_block()?;
        Ok(chain)
    }

    /// Starts a node of this name, and doesn't wait for it.
    pub fn begin(run: &Run, name: &str, port: u16, mut arguments: Vec<String>) -> Result<Self> {
        let rpc = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let base = run.subfolder(name)?;
        let p2p = free_port()?;
        arguments.extend([
            "--no-prometheus".into(),
            "--no-telemetry".into(),
            format!("--base-path={}", base.display()),
            format!("--rpc-port={port}"),
            format!("--listen-addr=/ip4/127.0.0.1/tcp/{p2p}"),
        ]);
        let mut chain = Self { name: name.into(), rpc, arguments, process: None };
        chain.launch(run)?;
        Ok(chain)
    }

    /// Starts the chain again after [`Self::stop`]. It continues from its last block.
    pub fn resume(&mut self, run: &Run) -> Result<()> {
        self.launch(run)?;
        self.waits_for_a_block()
    }

    fn launch(&mut self, run: &Run) -> Result<()> {
        let mut command = Command::new(binary("tfgrid-node")?);
        self.process = Some(Process::start(run, &self.name, command.args(&self.arguments))?);
        Ok(())
    }

    /// Before the first block the chain's clock is at 1970, and calls that depend on it fail.
    fn waits_for_a_block(&mut self) -> Result<()> {
        let first = |chain: &Self| {
            let header = chain.call("chain_getHeader", json!([])).ok()?;
            (header["number"] != "0x0").then_some(())
        };
        self.waits_for("the first block", first)
    }

    /// Waits until `probe` finds something, while the node runs.
    pub fn waits_for<T>(&mut self, what: &str, probe: impl Fn(&Self) -> Option<T>) -> Result<T> {
        wait_for(&format!("{what} at {}", self.name), START_LIMIT, || {
            self.process.as_mut().context("the chain doesn't run")?.ensure_running()?;
            Ok(probe(self))
        })
    }

    /// The output of all its starts.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    pub fn stop(&mut self) -> Result<()> {
        self.process.take().context("the chain doesn't run")?.stop()
    }

    /// Number of the last finalized block.
    pub fn finalized(&self) -> Result<u64> {
        let hash = self.call("chain_getFinalizedHead", json!([]))?;
        let header = self.call("chain_getHeader", json!([hash]))?;
        let number = header["number"].as_str().and_then(|number| number.strip_prefix("0x"));
        let number = number.with_context(|| format!("{header} has no number"))?;
        u64::from_str_radix(number, 16).with_context(|| format!("{number:?} is no number"))
    }

    /// The result of an RPC method.
    pub fn call(&self, method: &str, params: Value) -> Result<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let response: Value = serde_json::from_str(&http::post(self.rpc, &request.to_string())?)?;
        response.get("result").cloned().with_context(|| format!("{method} at {}: {response}", self.rpc))
    }

    /// Address of its RPC.
    pub fn rpc(&self) -> SocketAddr {
        self.rpc
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.rpc)
    }
}
