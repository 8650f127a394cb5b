// SPDX-License-Identifier: Apache-2.0
//! What people and machines are told.

use clap::error::ErrorKind;
use serde_json::{Value, json};
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
    print_line(if as_json { error_value(&message).to_string() } else { format!("threebot: {message}") });
    ExitCode::from(match error.downcast_ref::<Error>() {
        Some(Error::Connect { .. }) => 3,
        Some(Error::Refused { .. } | Error::Failed { .. } | Error::NotTaken { .. }) => 4,
        _ => 1,
    })
}

/// Prints what is wrong with the command line on stderr, or the help that it asks for on stdout, and says
/// with which code to exit.
pub fn print_usage_error(error: &clap::Error, as_json: bool) -> ExitCode {
    match usage_message(error).filter(|_| as_json) {
        Some(message) => print_line(error_value(&message).to_string()),
        // Nothing is left to do where it can't be printed.
        None => drop(error.print()),
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// An error as machines get it.
pub fn error_value(message: &str) -> Value {
    json!({ "error": message })
}

/// What is wrong with the command line, without the usage that people see below it; `None` where nothing is.
pub fn usage_message(error: &clap::Error) -> Option<String> {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Some("the command isn't complete: see --help".into());
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let words = first.split_whitespace().collect::<Vec<_>>().join(" ");
    error.use_stderr().then_some(words)
}

/// Prints a line on stderr. Nothing is left to do where even that is closed.
fn print_line(line: String) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn message(line: &str) -> Option<String> {
        usage_message(&Cli::try_parse_from(line.split(' ')).err().expect("the line is wrong"))
    }

    #[test]
    fn machines_get_what_is_wrong_with_the_command_line_in_one_line() {
        let price = "the following required arguments were not provided: --tft-price <USD>";
        for (line, expected) in [
            ("threebot calc cost --json", price),
            ("threebot calc cost --json --tft-price 1 --nonsense", "unexpected argument '--nonsense' found"),
            ("threebot dance --json", "unrecognized subcommand 'dance'"),
            ("threebot --json calc", "the command isn't complete: see --help"),
        ] {
            assert_eq!(message(line).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(message("threebot calc cost --json --help"), None);
    }
}
