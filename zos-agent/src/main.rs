// SPDX-License-Identifier: Apache-2.0
//! The node agent's program.

use anyhow::{Context, Result};
use clap::Parser;
use std::io::{self, IsTerminal};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::EnvFilter;
use zos_agent::{
    agent,
    config::{Cli, Command, LogFormat},
};

#[tokio::main(worker_threads = 2)]
async fn main() {
    let cli = Cli::parse();
    log_to_stderr(cli.run.log_format);
    let work = async {
        match cli.command {
            Some(Command::Purge(args)) => agent::purge(args).await,
            None => agent::run(cli.run).await,
        }
    };
    let result = tokio::select! {
        result = work => result,
        result = asked_to_end() => result,
    };
    if let Err(error) = result {
        error!("{error:#}");
        std::process::exit(1);
    }
}

/// Resolves when somebody asks the agent to end. Workloads go on running.
async fn asked_to_end() -> Result<()> {
    let listen = |kind| signal(kind).context("can't listen to signals");
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("ending as asked; workloads go on running");
    Ok(())
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
