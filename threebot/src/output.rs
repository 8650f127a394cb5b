// SPDX-License-Identifier: Apache-2.0
//! Answers and errors, as text for people and as JSON for scripts.

use crate::{
    consent::NobodyToAsk,
    contract::{Rejected, failure_value, merge},
    foreseen::Foreseen,
    keyring::KeyFile,
    msg::SendError,
    session::{DevelopmentKey, NoKey},
};
use clap::error::ErrorKind;
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    process::ExitCode,
};
use tfgrid_client::{Error, peer::PeerError, primitives::text::is_control, stored_key::StoredKeyError};

/// Exit code of a command whose call awaits the signatures of others.
const AWAITS_SIGNATURES: u8 = 5;

/// The outcome of a command: the same facts as text and as JSON.
pub struct Answer {
    pub text: String,
    pub value: Value,
    /// Exit code of a command that has printed its answer by itself.
    printed: Option<ExitCode>,
    code: ExitCode,
}

impl Answer {
    pub fn new(text: impl Into<String>, value: Value) -> Self {
        Self { text: text.into(), value, printed: None, code: ExitCode::SUCCESS }
    }

    /// That of a command whose call awaits the signatures of others.
    pub fn awaiting(text: impl Into<String>, value: Value) -> Self {
        Self { code: ExitCode::from(AWAITS_SIGNATURES), ..Self::new(text, value) }
    }

    /// That of a command that has printed everything.
    pub fn printed(code: ExitCode) -> Self {
        Self { printed: Some(code), ..Self::new("", Value::Null) }
    }

    /// Prints the answer on stdout. A reader that has gone, such as `head`, isn't an error.
    pub fn print(self, as_json: bool) -> ExitCode {
        if let Some(code) = self.printed {
            return code;
        }
        match writeln!(io::stdout(), "{}", line(&self.text, &self.value, as_json)) {
            Ok(()) => self.code,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.code,
            Err(error) => print_error(&anyhow::Error::new(error).context("can't print the answer"), as_json),
        }
    }
}

/// Whether something couldn't be printed because its reader has gone, such as `head`, which isn't an error.
pub fn is_unread(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints what programs read, as it is.
pub fn print_raw(text: &[u8]) -> anyhow::Result<Answer> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("can't print the answer"))
        }
        _ => Ok(Answer::printed(ExitCode::SUCCESS)),
    }
}

/// Wrong usage that shows only once the arguments are read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

impl Usage {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// An exit code, and the code that scripts get in JSON.
struct Code(u8, String);

impl Code {
    fn of(error: &anyhow::Error) -> Self {
        let is_no_key = error.is::<NoKey>() || error.is::<KeyFile>() || error.is::<StoredKeyError>();
        let is_usage = error.is::<Usage>() || error.is::<NobodyToAsk>();
        if is_no_key || error.is::<DevelopmentKey>() || is_usage {
            return Self::usage();
        }
        if let Some(Foreseen { code, .. }) = error.downcast_ref() {
            return Self(4, (*code).into());
        }
        if error.is::<Rejected>() {
            return Self(1, "NodeRejected".into());
        }
        match error.downcast_ref::<PeerError>() {
            Some(PeerError::Failed(failed)) => return Self(1, format!("{:?}", failed.code)),
            Some(PeerError::Idle) => return Self(1, "Idle".into()),
            Some(
                PeerError::Connect { .. }
                | PeerError::NotReached { .. }
                | PeerError::AnotherKey { .. }
                | PeerError::NoAddress,
            ) => {
                return Self(3, "NoNode".into());
            }
            _ => {}
        }
        match error.downcast_ref::<SendError>() {
            Some(SendError::Refused { refusal, .. }) => return Self(1, format!("{:?}", refusal.code)),
            Some(SendError::Stranger(_)) => return Self(1, "Stranger".into()),
            Some(SendError::NoAnswer(_)) => return Self(1, "NoAnswer".into()),
            Some(SendError::NoAddress(_) | SendError::NotReached { .. }) => return Self(3, "NoBot".into()),
            _ => {}
        }
        match error.downcast_ref::<Error>() {
            Some(Error::Key(_)) => Self::usage(),
            Some(Error::Connect { .. }) => Self(3, "NoChain".into()),
            Some(Error::Refused { refusal, .. }) => Self(4, format!("{refusal:?}")),
            Some(Error::Failed { pallet, name, .. }) => Self(4, format!("{pallet}.{name}")),
            Some(Error::NotTaken { .. }) => Self(4, "NotTaken".into()),
            Some(Error::Unknown { .. }) => Self(1, "Unknown".into()),
            Some(Error::TimedOut { .. }) => Self(1, "TimedOut".into()),
            Some(Error::Outdated { .. }) => Self(1, "Outdated".into()),
            _ => Self(1, "Failed".into()),
        }
    }

    fn usage() -> Self {
        Self(2, "Usage".into())
    }
}

/// Prints an error on stderr; answers with the exit code.
pub fn print_error(error: &anyhow::Error, as_json: bool) -> ExitCode {
    print_line(&format!("threebot: {}", message(error)), &error_value(error), as_json);
    ExitCode::from(Code::of(error).0)
}

/// The messages of an error and its causes, but for those that an earlier one includes, and what to do.
pub fn message(error: &anyhow::Error) -> String {
    let message = error.chain().fold(String::new(), |message, cause| {
        let cause = cause.to_string();
        if message.is_empty() {
            cause
        } else if message.contains(&cause) {
            message
        } else {
            format!("{message}: {cause}")
        }
    });
    match error.downcast_ref() {
        Some(Error::Failed { name, .. }) if name == "RateAboveMaximum" => {
            format!("{message} It has risen since the plan was made: run the command again for a new one.")
        }
        _ => message,
    }
}

/// Prints what is wrong with the command line on stderr, or the help that was asked for on stdout; answers with
/// the exit code.
pub fn print_usage_error(error: &clap::Error, as_json: bool) -> ExitCode {
    if let Some(message) = usage_message(error).filter(|_| as_json) {
        print_line(&message, &coded(&message, Code::usage()), as_json);
    } else {
        // Nothing is left to do if it can't be printed.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// An error as scripts get it.
pub fn error_value(error: &anyhow::Error) -> Value {
    let mut value = match error.downcast_ref().and_then(usage_message) {
        Some(message) => coded(&message, Code::usage()),
        None => coded(&message(error), Code::of(error)),
    };
    if let Some(rejected) = error.downcast_ref::<Rejected>() {
        let Rejected { failure, image, said, .. } = rejected;
        let said = said.as_deref().unwrap_or_default();
        merge(&mut value, json!({ "failure": failure_value(failure), "image": image, "said": said }));
    }
    if let Some(Error::Unknown { hash, .. }) = error.downcast_ref() {
        merge(&mut value, json!({ "transaction": format!("{hash:?}") }));
    }
    value
}

fn coded(message: &str, Code(_, code): Code) -> Value {
    json!({ "error": message, "code": code })
}

/// The error of a command line without the usage below it; `None` for a request for help.
fn usage_message(error: &clap::Error) -> Option<String> {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Some("the command isn't complete: see --help".into());
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let words = first.split_whitespace().collect::<Vec<_>>().join(" ");
    error.use_stderr().then_some(words)
}

/// The most characters of a line that people read.
pub const WIDTH: usize = 80;
/// The characters of a row's label.
const LABEL: usize = 10;

/// A row of an answer. Words that don't fit in its line go on below; none is cut.
pub fn row(label: &str, text: &str) -> String {
    let lines: Vec<String> = text.lines().flat_map(|line| wrapped(line, WIDTH - LABEL)).collect();
    format!("{label:<LABEL$}{}", lines.join(&format!("\n{:LABEL$}", "")))
}

/// Text with each line so far from the left. Words that don't fit in their line go on below.
pub fn indented(text: &str, columns: usize) -> String {
    let lines = text.lines().flat_map(|line| wrapped(line, WIDTH - columns));
    lines.map(|line| format!("{:columns$}{line}", "")).collect::<Vec<_>>().join("\n")
}

fn wrapped(line: &str, columns: usize) -> Vec<String> {
    let fits = |line: &str, word: &str| line.chars().count() + 1 + word.chars().count() <= columns;
    line.split(' ').fold(Vec::new(), |mut lines: Vec<String>, word| {
        match lines.last_mut().filter(|last| fits(last, word)) {
            Some(last) => last.extend([" ", word]),
            None => lines.push(word.into()),
        }
        lines
    })
}

/// `1 contract`, `2 contracts`
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Prints a warning on stderr.
pub fn warn(message: &str, as_json: bool) {
    print_line(&format!("threebot: warning: {message}"), &json!({ "warning": message }), as_json);
}

/// Prints on stderr how things stand.
pub fn note(message: &str, as_json: bool) {
    print_line(&format!("threebot: {message}"), &json!({ "note": message }), as_json);
}

/// Prints a line on stderr. Nothing is left to do if even that is closed.
fn print_line(text: &str, value: &Value, as_json: bool) {
    let _ = writeln!(io::stderr(), "{}", line(text, value, as_json));
}

/// What is printed of facts that others may have written.
pub fn line(text: &str, value: &Value, as_json: bool) -> String {
    if as_json { json_line(value) } else { visible(text) }
}

/// Text with a space for each character that isn't seen, but the ends of its lines: a terminal would obey them.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && is_unseen(c) { ' ' } else { c }).collect()
}

/// Control characters, marks of direction, and what has no width and joins nothing.
fn is_unseen(c: char) -> bool {
    is_control(c) || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// JSON without such characters, also those that JSON needn't escape.
pub fn json_line(value: &Value) -> String {
    value.to_string().chars().fold(String::new(), |mut line, c| {
        if is_unseen(c) {
            line.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            line.push(c);
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use anyhow::Context;
    use clap::Parser;
    use std::time::Duration;
    use tfgrid_client::{deployment::Rejection, primitives::FailureCode};

    fn usage_of(line: &str) -> Option<String> {
        usage_message(&Cli::try_parse_from(line.split(' ')).err().expect("the line is wrong"))
    }

    #[test]
    fn a_price_that_has_risen_is_told_with_what_to_do() {
        let failed = |name: &str| {
            let (what, docs) = ("deploy".into(), "The price exceeds `max_usd_rate`.".into());
            anyhow::Error::new(Error::Failed { what, pallet: "Contracts".into(), name: name.into(), docs })
        };
        assert!(message(&failed("RateAboveMaximum")).ends_with("run the command again for a new one."));
        assert!(message(&failed("NodeOffline")).ends_with("`max_usd_rate`."));
    }

    #[test]
    fn scripts_get_a_wrong_command_line_in_one_line() {
        let price = "the following required arguments were not provided: --tft-price <USD>";
        for (line, expected) in [
            ("threebot calc cost --json", price),
            ("threebot calc cost --json --tft-price 1 --nonsense", "unexpected argument '--nonsense' found"),
            ("threebot dance --json", "unrecognized subcommand 'dance'"),
            ("threebot --json calc", "the command isn't complete: see --help"),
        ] {
            assert_eq!(usage_of(line).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(usage_of("threebot calc cost --json --help"), None);
    }

    #[test]
    fn a_row_is_wrapped_between_words() {
        assert_eq!(row("node", "3"), "node      3");
        let text = row("failed", &"eleven chars ".repeat(20));
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(
            text.lines().skip(1).all(|line| line.starts_with("          ") && &line[10..11] != " "),
            "{text}"
        );
        let word = "x".repeat(200);
        assert_eq!(
            row("result", &format!("a {word} b")),
            format!("result    a\n          {word}\n          b")
        );
    }

    #[test]
    fn what_others_wrote_cannot_change_a_terminal() {
        let text = "body  a\x1b[2J\r\u{7f}\u{9b}\u{202e}b\u{200f}\n      世";
        let value = json!({ "body": text });
        assert_eq!(line(text, &value, false), "body  a [2J    b \n      世");
        let as_json = line(text, &value, true);
        assert!(!as_json.chars().any(is_unseen), "{as_json:?}");
        assert_eq!(serde_json::from_str::<Value>(&as_json).unwrap(), value);
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("the disk is full").context("can't write: the disk is full");
        assert_eq!(message(&error.context("can't save")), "can't save: can't write: the disk is full");
    }

    #[test]
    fn scripts_get_what_a_node_said() {
        let failure =
            Rejection::new(FailureCode::WorkloadExited, "/workloads/1", "exit code 3: no key").failure(2);
        let value = error_value(&Rejected::new("version 2 can't run", failure).into());
        let expected = json!({
            "error": "version 2 can't run: the workload ended by itself again and again (WorkloadExited), at \
                      /workloads/1: exit code 3: no key",
            "code": "NodeRejected",
            "failure": {
                "version": 2, "code": "WorkloadExited", "path": "/workloads/1", "text": "exit code 3: no key"
            },
            "image": null,
            "said": [],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn each_kind_of_error_has_its_code() {
        let failed = Error::Failed {
            what: "deposit".into(),
            pallet: "Billing".into(),
            name: "NoTwin".into(),
            docs: "The caller has no twin.".into(),
        };
        let connect =
            Error::Connect { url: "ws://x".into(), source: tfgrid_client::error::ConnectError::Scheme };
        let ended = Error::TimedOut { what: "deposit".into(), within: Duration::ZERO };
        let unknown =
            Error::Unknown { what: "deposit".into(), hash: Default::default(), source: Box::new(ended) };
        for (error, exit, code) in [
            (anyhow::Error::new(NoKey), 2, "Usage"),
            (Err::<(), _>(DevelopmentKey).context("can't sign").unwrap_err(), 2, "Usage"),
            (Usage::new("leave out -t or --json").into(), 2, "Usage"),
            (Err::<(), _>(std::fmt::Error).context(Usage::new("no address")).unwrap_err(), 2, "Usage"),
            (connect.into(), 3, "NoChain"),
            (failed.into(), 4, "Billing.NoTwin"),
            (unknown.into(), 1, "Unknown"),
            (Foreseen::new("Contracts.NameTaken", "it is taken").into(), 4, "Contracts.NameTaken"),
            (anyhow::anyhow!("no node has the id 7"), 1, "Failed"),
            (SendError::NoAddress(7).into(), 3, "NoBot"),
            (SendError::Stranger(7).into(), 1, "Stranger"),
        ] {
            assert_eq!((Code::of(&error).0, error_value(&error)["code"].as_str()), (exit, Some(code)));
        }
    }
}
