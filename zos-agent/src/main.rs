// SPDX-License-Identifier: Apache-2.0
//! The program `zos-agent`.

use anyhow::{Context, Result};
use clap::Parser;
use futures::{FutureExt, future::LocalBoxFuture};
use std::{
    env,
    io::{self, IsTerminal},
    process::exit,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::{error, info};
use tracing_subscriber::{EnvFilter, Registry, fmt, prelude::*};
use zos_agent::{
    agent,
    config::{Cli, Command, LogFormat},
    doctor,
    drivers::{machine, network, runtime},
    host,
    own_log::{self, OwnLog},
    update::StartAnew,
};

fn main() {
    let cli = Cli::parse();
    let own_log = start_log(cli.run.log_format);
    let work = match cli.command {
        // Before there is another thread: the kernel lets a process with several into no machine.
        Some(Command::Copy(args)) => {
            if let Err(error) = machine::copy(&args) {
                eprintln!("{error:#}");
                exit(1);
            }
            return;
        }
        Some(Command::Doctor(args)) => doctor::run(args).boxed_local(),
        Some(Command::Purge(args)) => agent::purge(args).boxed_local(),
        Some(Command::Resolve(args)) => network::resolve(args).boxed_local(),
        Some(Command::Runtime(args)) => async { runtime::run(args) }.boxed_local(),
        None => agent::run(cli.run, own_log).boxed_local(),
    };
    run(work);
}

#[tokio::main(worker_threads = 2)]
async fn run(work: LocalBoxFuture<'static, Result<()>>) {
    let work = async {
        host::forbid_core_dumps()?;
        work.await
    };
    let result = tokio::select! {
        result = work => result,
        result = until_signal() => result,
    };
    if let Err(error) = result {
        if error.is::<StartAnew>() {
            info!("{error}");
            exit(StartAnew::EXIT_CODE);
        }
        error!("{error:#}");
        exit(1);
    }
}

/// Resolves on SIGTERM or SIGINT.
async fn until_signal() -> Result<()> {
    let listen = |kind| signal(kind).context("can't listen for signals");
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("stopped by a signal; workloads keep running");
    Ok(())
}

/// Logs to the standard error, and keeps the last lines.
fn start_log(format: LogFormat) -> watch::Receiver<OwnLog> {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,hickory_server=warn"));
    let (own, lines) = own_log::keep::<Registry>();
    let stderr = fmt::layer().with_writer(io::stderr).with_ansi(
        io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    );
    let stderr = match format {
        LogFormat::Text => stderr.with_filter(filter).boxed(),
        LogFormat::Json => stderr.json().with_filter(filter).boxed(),
    };
    Registry::default().with(own).with(stderr).init();
    lines
}
