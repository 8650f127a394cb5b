// SPDX-License-Identifier: Apache-2.0

//! `tfgrid-node`: the program that runs the ledger of the grid.

mod chain_spec;
mod cli;
mod command;
mod rpc;
mod sealing;
mod service;

use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}
