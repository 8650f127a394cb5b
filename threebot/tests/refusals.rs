// SPDX-License-Identifier: Apache-2.0
//! How the command line refuses, as scripts see it: exit code, stdout, stderr.

use serde_json::Value;
use std::process::{Command, Output};

fn threebot(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_threebot")).args(line.split(' ')).output().unwrap()
}

/// The error on stderr, which is all that is printed; with the exit code.
fn error_of(line: &str) -> (Option<i32>, String) {
    let output = threebot(line);
    assert!(output.stdout.is_empty(), "{line}: {output:?}");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(printed.lines().count(), 1, "{line}: {printed}");
    let value: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 1, "{line}: {printed}");
    (output.status.code(), value["error"].as_str().unwrap().to_owned())
}

#[test]
fn machines_get_wrong_usage_as_one_line_of_json() {
    for (line, why) in [
        ("calc cost --json", "not provided: --tft-price <USD>"),
        ("--json calc", "isn't complete"),
        ("calc cost --cru -1 --tft-price 1 --json", "below zero"),
        ("claim --json", "not provided"),
        ("claim 7 --farm 1 --json", "cannot be used with"),
    ] {
        let (code, error) = error_of(line);
        assert_eq!(code, Some(2), "{line}");
        assert!(error.contains(why), "{line}: {error}");
    }
}

#[test]
fn machines_get_what_failed_in_the_same_form() {
    let (code, error) = error_of("calc cost --tft-price 1 --prices nowhere.json --json");
    assert_eq!(code, Some(1));
    assert!(error.contains("can't read the prices nowhere.json"), "{error}");
}

#[test]
fn people_get_the_usage_with_what_is_wrong() {
    let output = threebot("calc cost --tft-price 0");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        printed.contains("the price of TFT must be above zero") && printed.contains("--help"),
        "{printed}"
    );
}

#[test]
fn help_is_help_for_machines_too() {
    let output = threebot("calc cost --help --json");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    assert!(printed.starts_with("What capacity, addresses and traffic cost"), "{printed}");
}
