// SPDX-License-Identifier: Apache-2.0

//! The program `tfgrid-node`: a node of the grid's chain.

mod chain_spec;
mod checkpoint;
mod cli;
mod command;
mod disk;
mod endpoints;
mod nodelay;
mod rpc;
mod sealing;
mod service;
mod types;

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
