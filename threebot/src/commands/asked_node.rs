// SPDX-License-Identifier: Apache-2.0
//! `threebot node status` and `threebot node logs`: what a farmer's node says of itself.

use super::logs::seconds_ago;
use crate::{
    cli::Global,
    output::{self, Answer},
    peer::OwnNode,
    time::{exact_moment, stretch},
};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};
use tfgrid_client::{
    peer::{
        NodePeer, PeerError,
        frame::Frame,
        protocol::{LogLine, Message, NodeLogs, NodeStatus},
    },
    units::parse_duration,
};

/// Ask your node for its state: findings about agent and machine, and the last warnings
///
/// It is asked with the key of this device, which must be one of the twin that owns the farm.
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot node status 3           what is ok, worth a note, or wrong
  threebot node status 3 --json    the same for scripts")]
pub struct Status {
    #[command(flatten)]
    node: OwnNode,
}

impl Status {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let (peer, status) = self.node.connect(global).await?;
        peer.close().await;
        Ok(Answer::new(text(&status), json!(status)))
    }
}

/// What the node says, for people.
fn text(status: &NodeStatus) -> String {
    let NodeStatus { node, version, uptime_s, findings, warnings } = status;
    let mut lines = vec![format!("node {node}, zos-agent {version}, up for {}", stretch(*uptime_s))];
    lines.extend(findings.iter().map(ToString::to_string));
    if !warnings.is_empty() {
        lines.push("last warnings:".into());
    }
    lines.extend(warnings.iter().map(line));
    lines.join("\n")
}

fn line(LogLine { at_ms, level, text }: &LogLine) -> String {
    format!("{}  {level:<5} {text}", exact_moment(at_ms / 1_000))
}

/// Show your node's log, without anything of tenants
///
/// The node keeps the last 2,000 lines since its agent was started. It is asked with the key of this device, which must
/// be one of the twin that owns the farm.
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot node logs 3                 all that is kept
  threebot node logs 3 -f --tail 20    the last lines, and those to come
  threebot node logs 3 --since 10m     the lines of the last ten minutes")]
pub struct Logs {
    #[command(flatten)]
    node: OwnNode,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// Only so many of the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// Only lines of so long a time, such as 90s or 10m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    since: Option<Duration>,
}

impl Logs {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let (peer, _) = self.node.connect(global).await?;
        let wanted = NodeLogs { follow: self.follow, tail: self.tail, since: self.since.map(seconds_ago) };
        let printed = print(&peer, wanted, global.json).await;
        peer.close().await;
        printed?;
        Ok(Answer::printed(ExitCode::SUCCESS))
    }
}

async fn print(peer: &NodePeer, wanted: NodeLogs, json: bool) -> Result<(), PeerError> {
    let mut call = peer.node_logs(wanted).await?;
    loop {
        match call.next().await? {
            Some(Frame::Message(Message::Line(said))) => {
                let line = output::line(&line(&said), &json!(said), json);
                // A reader that has gone, such as `head`, isn't an error.
                if writeln!(io::stdout(), "{line}").is_err() {
                    return Ok(());
                }
            }
            Some(Frame::Message(Message::Done {})) => return Ok(()),
            _ => return Err(PeerError::Unexpected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::{finding::Finding, peer::protocol::Level};

    #[test]
    fn a_status_has_findings_and_then_the_last_warnings() {
        let status = NodeStatus {
            node: 3,
            version: "1.2.0".into(),
            uptime_s: 3_720,
            findings: vec![
                Finding::ok("agent", "it runs"),
                Finding::wrong("firewall", "it isn't set", "set it"),
            ],
            warnings: vec![LogLine {
                at_ms: 1_700_000_000_500,
                level: Level::Warn,
                text: "a try has failed".into(),
            }],
        };
        let expected = "node 3, zos-agent 1.2.0, up for 1 h 2 min\n\
                        ok     agent: it runs\n\
                        wrong  firewall: it isn't set\n       -> set it\n\
                        last warnings:\n\
                        2023-11-14 22:13:20 UTC  warn  a try has failed";
        assert_eq!(text(&status), expected);
        assert!(!text(&NodeStatus { warnings: Vec::new(), ..status }).contains("warnings"));
    }
}
