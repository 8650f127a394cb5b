// SPDX-License-Identifier: Apache-2.0

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::spawn,
    time::{Duration, Instant},
};

/// A program that prints lines of JSON and reads some. Dropping this kills it.
pub struct Lines {
    process: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
}

impl Lines {
    pub fn start(command: &mut Command) -> Result<Self> {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.with_context(|| format!("can't run {:?}", command.get_program()))?;
        let input = process.stdin.take().context("it has no stdin")?;
        let output = process.stdout.take().context("it has no stdout")?;
        let (sender, lines) = channel();
        // It ends with the program.
        spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.filter_map(|line| serde_json::from_str(&line).ok()).try_for_each(|line| sender.send(line))
        });
        Ok(Self { process, input, lines })
    }

    /// The next line for which `wanted` has an answer; others are passed over.
    pub fn until<T>(&self, what: &str, limit: Duration, wanted: impl Fn(&Value) -> Option<T>) -> Result<T> {
        let begun = Instant::now();
        let mut passed = Vec::new();
        while let Some(left) = limit.checked_sub(begun.elapsed()) {
            let Ok(line) = self.lines.recv_timeout(left) else { break };
            if let Some(found) = wanted(&line) {
                return Ok(found);
            }
            passed.push(line.to_string());
        }
        bail!("no line says {what}, but: {}", passed.join(" "))
    }

    /// Writes a line.
    pub fn say(&mut self, line: &Value) -> Result<()> {
        Ok(writeln!(self.input, "{line}")?)
    }

    /// Kills it.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
