// SPDX-License-Identifier: Apache-2.0

use crate::{Person, get, text};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Stdio},
};

/// A forwarded port, until it is dropped.
pub struct Forwarded {
    process: Child,
    /// Where the machine's port is now.
    pub local: SocketAddr,
}

impl Forwarded {
    /// Runs `threebot forward`; returns once it listens.
    pub fn open(user: &Person, contract: &str, ports: &str) -> Result<Self> {
        let mut command = user.command()?;
        let mut process =
            command.args(["--json", "forward", contract, ports]).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().context("threebot has no stdout")?;
        BufReader::new(output).read_line(&mut line)?;
        let Ok(told) = serde_json::from_str::<Value>(&line) else {
            process.kill()?;
            bail!("forward printed {line:?}");
        };
        let local = text(&told["local"])?.parse()?;
        Ok(Self { process, local })
    }

    /// What the machine answers to a request for its root.
    pub fn page(&self) -> Result<String> {
        get(self.local, "/")
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
