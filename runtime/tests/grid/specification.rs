// SPDX-License-Identifier: Apache-2.0
//! The promises in `docs/SPECIFICATION.md`, the findings in `docs/SECURITY.md`, and the tests that hold them.

use std::{collections::BTreeSet, fs, path::Path};

const SPECIFICATION: &str = include_str!("../../../docs/SPECIFICATION.md");
const SECURITY: &str = include_str!("../../../docs/SECURITY.md");

/// Where the tests are that `docs/SECURITY.md` names without a file.
const ATTACKS: &str = "runtime/tests/grid/attacks";
/// Where scenarios are, which one test runs.
const SCENARIOS: &str = "tests/tests/shared/";

/// A file without `.rs`, and a test in it with its modules.
type Test = (&'static str, &'static str);

/// What a page has between backticks.
fn quotes(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split('`').skip(1).step_by(2)
}

/// The promises: their numbers, and what stands behind each.
fn promises() -> Vec<(&'static str, Vec<Test>)> {
    let texts = SPECIFICATION.split("\n- **").skip(1);
    texts
        .map(|text| {
            let text = text.split("\n## ").next().unwrap();
            let number = text.split("**").next().unwrap();
            (number, quotes(text).filter_map(|quote| quote.split_once(".rs::")).collect())
        })
        .collect()
}

/// The tests that `docs/SECURITY.md` names. Nothing else there is one word of three parts or more.
fn defences() -> Vec<Test> {
    let is_word =
        |quote: &str| quote.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
    let named = |quote: &'static str| match quote.matches('_').count() {
        2.. if is_word(quote) => Some((ATTACKS, quote)),
        _ => quote.split_once(".rs::"),
    };
    quotes(SECURITY).filter_map(named).collect()
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
            assert!(is_test(file, test), "{number}: {file}.rs has no test {test}");
        }
    }
}

#[test]
fn the_tests_that_hold_off_attacks_exist() {
    let defences = defences();
    assert!(defences.len() > 60, "{}", defences.len());
    for (file, test) in defences {
        assert!(is_test(file, test), "docs/SECURITY.md: {file}.rs has no test {test}");
    }
}

#[test]
fn a_function_without_the_attribute_is_no_test() {
    let here = "runtime/tests/grid/specification";
    assert!(is_test(here, "a_function_without_the_attribute_is_no_test"));
    assert!(!is_test(here, "promises") && !is_test(here, "no_such_case"));
    assert!(
        is_test(ATTACKS, "value::traffic_has_no_discount")
            && !is_test(ATTACKS, "flood::traffic_has_no_discount")
    );
    assert!(!is_test("tests/tests/shared/blocks", "no_such_scenario"));
}

/// Whether a file has this test, which is run: it carries the attribute, or is listed as a scenario.
fn is_test(file: &str, test: &str) -> bool {
    let (code, mut path) = (read(file), test.split("::").collect::<Vec<_>>());
    let case = path.pop().unwrap();
    let module = path.iter().try_fold(&*code, |code, name| {
        let (_, after) = code.split_once(&format!("mod {name} {{"))?;
        after.split("\n}\n").next()
    });
    let Some((before, _)) = module.and_then(|code| code.split_once(&format!("fn {case}("))) else {
        return false;
    };
    let lines = before.rsplit('\n').skip(1).map(str::trim_start);
    let mut attributes = lines.take_while(|line| line.starts_with(['#', '/']));
    attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
        || is_scenario(file, case)
}

fn is_scenario(file: &str, case: &str) -> bool {
    let listed = |module| read(&format!("{SCENARIOS}main")).contains(&format!("{module}::{case},"));
    file.strip_prefix(SCENARIOS).is_some_and(listed)
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../{file}.rs"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}.rs: {error}"))
}
