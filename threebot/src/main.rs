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
mod progress;
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
use std::{env, ffi::OsString, process::ExitCode};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(arguments(env::args_os().collect())) {
        Ok(cli) => cli,
        Err(error) => return output::print_usage_error(&error, env::args_os().any(|arg| arg == "--json")),
    };
    let json = cli.global.json;
    match commands::run(cli).await.or_else(team::proposed) {
        Ok(answer) => answer.print(json),
        Err(error) => output::print_error(&error, json),
    }
}

/// `help COMMAND --help` is `COMMAND --help`: the parser's own command for help has no options.
fn arguments(mut given: Vec<OsString>) -> Vec<OsString> {
    let asks_twice = given.last().is_some_and(|last| last == "--help" || last == "-h");
    if asks_twice && given.get(1).is_some_and(|first| first == "help") {
        given.remove(1);
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_about_help_is_help() {
        let told = |line: &str| arguments(line.split(' ').map(Into::into).collect()).join(" ".as_ref());
        assert_eq!(told("threebot help --help"), "threebot --help");
        assert_eq!(told("threebot help node list -h"), "threebot node list -h");
        assert_eq!(told("threebot help node"), "threebot help node");
    }
}
