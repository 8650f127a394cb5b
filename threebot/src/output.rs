// SPDX-License-Identifier: Apache-2.0
//! What people and machines are told.

use serde_json::{json, Value};
use std::{
    io::{self, Write},
    process::ExitCode,
};
use tfgrid_client::Error;

/// The outcome of a command: the same facts as text and as JSON.
pub struct Answer {
    text: String,
    pub value: Value,
}

impl Answer {
    pub fn new(text: impl Into<String>, value: Value) -> Self {
        Self { text: text.into(), value }
    }

    /// Prints it on stdout. Who closed the other end doesn't want to know.
    pub fn print(self, as_json: bool) -> ExitCode {
        let line = if as_json { self.value.to_string() } else { self.text };
        match writeln!(io::stdout(), "{line}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    }
}

/// Prints an error on stderr and says with which code to exit.
pub fn print_error(error: &anyhow::Error, as_json: bool) -> ExitCode {
    let message = format!("{error:#}");
    let line = if as_json { json!({ "error": message }).to_string() } else { format!("threebot: {message}") };
    // Nothing is left to do where even stderr is closed.
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::from(match error.downcast_ref::<Error>() {
        Some(Error::Connect { .. }) => 3,
        Some(Error::Refused { .. } | Error::Failed { .. } | Error::NotTaken { .. }) => 4,
        _ => 1,
    })
}
