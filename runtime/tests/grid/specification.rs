// SPDX-License-Identifier: Apache-2.0
//! The promises in `docs/SPECIFICATION.md`, and the tests that hold them.

use std::{collections::BTreeSet, fs, path::Path};

const SPECIFICATION: &str = include_str!("../../../docs/SPECIFICATION.md");

/// The promises: their numbers, and what stands behind each.
fn promises() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    let texts = SPECIFICATION.split("\n- **").skip(1);
    texts
        .map(|text| {
            let text = text.split("\n## ").next().unwrap();
            let number = text.split("**").next().unwrap();
            let quotes = text.split('`').skip(1).step_by(2);
            (number, quotes.filter_map(|quote| quote.split_once(".rs::")).collect())
        })
        .collect()
}

#[test]
fn every_promise_has_a_number_of_its_own_and_a_test() {
    let promises = promises();
    assert!(promises.len() > 60);
    let numbers: BTreeSet<_> = promises.iter().map(|(number, _)| number).collect();
    assert_eq!(numbers.len(), promises.len(), "a number is given twice");
    for (number, tests) in promises {
        assert!(!tests.is_empty(), "{number} is held by nothing");
    }
}

#[test]
fn the_tests_that_hold_promises_exist() {
    for (number, tests) in promises() {
        for (file, test) in tests {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../{file}.rs"));
            let code =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{number}: {file}.rs: {error}"));
            let mut path = test.rsplit("::");
            let case = path.next().map(|case| format!("fn {case}("));
            let mut names = case.into_iter().chain(path.map(|module| format!("mod {module} {{")));
            assert!(names.all(|name| code.contains(&name)), "{number}: {file}.rs has no test {test}");
        }
    }
}
