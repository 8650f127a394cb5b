// SPDX-License-Identifier: Apache-2.0
//! `threebot logs`

use crate::{
    cli::Global,
    output::{Answer, json_line},
    peer::{Connected, Target},
};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, SystemTime},
};
use tfgrid_client::{
    peer::{
        PeerError,
        frame::Frame,
        protocol::{Ask, Logs as Wanted, Message},
    },
    units::parse_duration,
};

/// Show what a machine writes to its standard output and error
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot logs 7                     all that is kept of the only machine
  threebot logs 7 web -f --tail 20    the last lines of `web`, and those to come
  threebot logs 7 web --since 10m     the lines of the last ten minutes")]
pub struct Logs {
    #[command(flatten)]
    target: Target,
    /// The machine; needed if there are several
    workload: Option<String>,
    /// Wait for more, also after the machine was started again
    #[arg(short, long)]
    follow: bool,
    /// Only so many of the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// Only lines of so long a time, such as 90s or 10m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Begin each line with its time
    #[arg(long)]
    timestamps: bool,
}

impl Logs {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let connected = self.target.connect(global).await?;
        let wanted = Wanted {
            workload: connected.machine(self.workload)?,
            follow: self.follow,
            tail: self.tail,
            since: self.since.map(seconds_ago),
            timestamps: self.timestamps,
        };
        let printed = print(&connected, wanted, global.json).await;
        connected.done(printed).await?;
        Ok(Answer::printed(ExitCode::SUCCESS))
    }
}

/// The time so long ago, in seconds since 1970.
pub fn seconds_ago(time: Duration) -> u32 {
    let then = SystemTime::now().checked_sub(time).unwrap_or(SystemTime::UNIX_EPOCH);
    let since = then.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

async fn print(connected: &Connected, wanted: Wanted, json: bool) -> Result<(), PeerError> {
    let mut call = connected.peer.ask(connected.contract, Ask::Logs(wanted)).await?;
    loop {
        let (is_error, bytes) = match call.next().await? {
            Some(Frame::Data(bytes)) => (false, bytes),
            Some(Frame::Errors(bytes)) => (true, bytes),
            Some(Frame::Message(Message::Done {})) => return Ok(()),
            _ => return Err(PeerError::Unexpected),
        };
        let written = if json { print_json(is_error, &bytes) } else { print_raw(is_error, &bytes) };
        // A reader that has gone, such as `head`, isn't an error.
        if written.is_err() {
            return Ok(());
        }
    }
}

fn print_json(is_error: bool, bytes: &[u8]) -> io::Result<()> {
    let stream = if is_error { "stderr" } else { "stdout" };
    let text = String::from_utf8_lossy(bytes);
    writeln!(io::stdout(), "{}", json_line(&json!({ "stream": stream, "text": text })))
}

/// Prints bytes on the stream on which the machine wrote them.
pub fn print_raw(is_error: bool, bytes: &[u8]) -> io::Result<()> {
    if is_error {
        return io::stderr().write_all(bytes);
    }
    let mut out = io::stdout();
    out.write_all(bytes)?;
    out.flush()
}
