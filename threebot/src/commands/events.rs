// SPDX-License-Identifier: Apache-2.0
//! `threebot events`

use crate::{
    cli::Global,
    output::{self, Answer},
    peer::{Connected, Target},
    time::exact_moment,
};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::{
    io::{self, Write},
    process::ExitCode,
};
use tfgrid_client::peer::{
    PeerError,
    frame::Frame,
    protocol::{Ask, Event, Message},
};

/// Show what has happened to a contract's workloads since the agent was started
#[derive(Args)]
pub struct Events {
    #[command(flatten)]
    target: Target,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
}

impl Events {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let connected = self.target.connect(global).await?;
        let printed = print(&connected, self.follow, global.json).await;
        connected.done(printed).await?;
        Ok(Answer::printed(ExitCode::SUCCESS))
    }
}

async fn print(connected: &Connected, follow: bool, json: bool) -> Result<(), PeerError> {
    let mut call = connected.peer.ask(connected.contract, Ask::Events { follow }).await?;
    loop {
        match call.next().await? {
            Some(Frame::Message(Message::Event(event))) => {
                let line = output::line(&line(&event), &json!(event), json);
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

fn line(event: &Event) -> String {
    let workload = event.workload.as_deref().unwrap_or("-");
    format!("{}  {workload:<16} {}", exact_moment(event.at_ms / 1_000), event.what)
}
