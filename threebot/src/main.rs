// SPDX-License-Identifier: Apache-2.0
//! The user's and farmer's command line for TF Grid Ledger.

mod account;
mod application;
mod cli;
mod closing;
mod commands;
mod consent;
mod contract;
mod deployment;
mod describe;
mod device;
mod durable;
mod foreseen;
mod heal;
mod heard;
mod interface;
mod keyring;
mod many;
mod msg;
mod output;
mod peer;
mod pins;
mod plan;
mod rights;
mod sealing;
mod secret;
mod session;
mod snapshot;
mod source;
mod team;
mod time;
mod webhook;

use clap::Parser;
use cli::Cli;
use std::{env, process::ExitCode};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::print_usage_error(&error, env::args_os().any(|arg| arg == "--json")),
    };
    let json = cli.global.json;
    match commands::run(cli).await.or_else(team::proposed) {
        Ok(answer) => answer.print(json),
        Err(error) => output::print_error(&error, json),
    }
}
