// SPDX-License-Identifier: Apache-2.0

//! Sealed bodies between the Rust SDK and `age-encryption` of npm.

use anyhow::{Context, Result, ensure};
use std::{
    io::Write,
    process::{Command, Stdio},
};
use tfgrid_client::sealing::{SealKey, seal};
use tfgrid_tests::repository;

const BODY: &str = r#"{"version":1,"description":"schlüssel 🔑","workloads":[]}"#;

/// What `tests/js/sealed-body.mjs` makes of `input`.
fn script(args: &[String], input: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new("node")
        .arg(repository().join("tests/js/sealed-body.mjs"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("can't start node")?;
    // Dropped at once: the script reads to the end.
    child.stdin.take().context("the script has no stdin")?.write_all(input)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "sealed-body.mjs failed: {}", output.status);
    Ok(output.stdout)
}

#[test]
fn age_of_javascript_opens_what_the_sdk_seals_and_back() -> Result<()> {
    let secrets = [[5; 32], [6; 32]];
    let [node, owner] = secrets.map(|secret| SealKey::new(&secret));
    let (node, owner) = (node?, owner?);
    let recipients = [node.recipient(), owner.recipient()];

    let sealed = seal(BODY.as_bytes(), &recipients)?;
    for secret in secrets {
        let opened = script(&["open".into(), hex::encode(secret)], &sealed)?;
        ensure!(opened == BODY.as_bytes(), "{}", String::from_utf8_lossy(&opened));
    }
    let stranger = script(&["open".into(), hex::encode([7; 32])], &sealed);
    ensure!(stranger.is_err(), "a stranger opened it");

    let keys = recipients.iter().map(|recipient| Ok(hex::encode(recipient.key()?)));
    let seal_for_twin_7 = ["seal", "7"].map(|word| Ok(word.to_owned()));
    let args: Vec<String> = seal_for_twin_7.into_iter().chain(keys).collect::<Result<_>>()?;
    let sealed = script(&args, BODY.as_bytes())?;
    for key in [node, owner] {
        ensure!(key.of(7).open(&sealed)? == BODY.as_bytes(), "{key:?} opened something else");
        ensure!(key.of(8).open(&sealed).is_err(), "{key:?} opened it for another twin");
    }
    Ok(())
}
